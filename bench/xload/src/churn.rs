//! `churn`: pairs of short mobile sessions, one after another. Closed loop with C sessions at work, or open loop at a
//! fixed rate of arrivals (latency from the intended arrival).

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::{JoinHandle, spawn_local};

use crate::R;
use crate::args::Args;
use crate::ctx::Ctx;
use crate::pair::{Pair, Total};
use crate::report::{base, finish, merge};
use crate::stats::{Pattern, r2, r4};
use crate::sys::Timer;
use crate::window::Window;

/// A closed loop gives up after so many errors: what follows would only be more of them.
const MAX_ERRORS: u64 = 200;

pub async fn run(cx: Rc<Ctx>, a: &Args) -> R<bool> {
    let conc: usize = a.num("conc", 64);
    let rate: f64 = a.num("rate", 0.0);
    let size: usize = a.num("size", 100);
    let full = a.str("to", "bare") == "full";
    let roster = a.flag("roster");
    let window = Window::new(a);
    a.check()?;
    if conc < 2 || cx.users < 2 * conc {
        return Err("--users must be at least twice --conc, and --conc at least 2".into());
    }
    let total = Rc::new(Total::default());
    let pair = Rc::new(Pair {
        cx: Rc::clone(&cx),
        window: Rc::clone(&window),
        total: Rc::clone(&total),
        pattern: Rc::new(Pattern::new(size)),
        size,
        messages: 1,
        pause: Duration::ZERO,
        full,
        roster,
    });
    let open = rate > 0.0;
    let tasks =
        if open { vec![spawn_local(arrivals(pair, rate))] } else { closed_loop(&pair, conc) };
    let d = window.run(&cx, || {}).await;
    for t in tasks {
        let _ = t.await;
    }
    total.closing_at_most(0).await;
    if total.sessions.get() == 0 {
        cx.err("nothing", "no session was completed in the window");
    }
    let n = total.sessions.get() as f64;
    let mut v = base(&cx, a);
    merge(
        &mut v,
        json!({
            "conc": if open { 0 } else { conc / 2 * 2 }, "rate": rate, "mode": if open { "open" } else { "closed" },
            "size": size, "to": if full { "full" } else { "bare" }, "roster": roster,
            "sessions": total.sessions.get(), "messages": total.messages.get(),
            "sessions_per_s": r2(n / d.wall), "server_cpu_ms_per_session": r4(d.srv * 1e3 / n),
            "gen_cpu_ms_per_session": r4(d.generator * 1e3 / n), "sessions_per_server_cpu_s": r2(n / d.srv),
            "tls_ms": total.tls.borrow_mut().json(), "bound_ms": total.bound.borrow_mut().json(),
            "online_ms": total.online.borrow_mut().json(), "message_ms": total.msg.borrow_mut().json(),
            "close_ms": total.close.borrow_mut().json(), "session_ms": total.whole.borrow_mut().json(),
        }),
    );
    merge(&mut v, d.json(&cx.pids));
    Ok(finish(&cx, v))
}

/// The two users of the `n`th pair of sessions.
fn users_of(cx: &Ctx, n: u64) -> (usize, usize) {
    let k = (n as usize % (cx.users / 2)) * 2;
    (k, k + 1)
}

fn closed_loop(pair: &Rc<Pair>, conc: usize) -> Vec<JoinHandle<()>> {
    let next = Rc::new(Cell::new(0_u64));
    let slots = conc / 2;
    let slot = |s: usize| {
        let (pair, next) = (Rc::clone(pair), Rc::clone(&next));
        async move {
            // spread the start
            tokio::time::sleep(Duration::from_millis((s as u64 * 500) / slots as u64)).await;
            while !pair.window.stop.get() && pair.cx.nerr() <= MAX_ERRORS {
                let n = next.replace(next.get() + 1);
                let (ua, ub) = users_of(&pair.cx, n);
                match pair.talk(ua, ub, n, None).await {
                    Ok(both) => pair.part_in_background(both, 8 * conc).await,
                    Err(e) => pair.cx.err("session", &e),
                }
            }
        }
    };
    (0..slots).map(|s| spawn_local(slot(s))).collect()
}

/// `rate` sessions arrive a second, two at a time, whatever became of those before.
async fn arrivals(pair: Rc<Pair>, rate: f64) {
    let timer = match Timer::new() {
        Ok(t) => t,
        Err(e) => return pair.cx.err("timer", &e),
    };
    let flying = Rc::new(Cell::new(0_usize));
    let start = Instant::now();
    let mut n = 0_u64;
    while !pair.window.stop.get() {
        let due = start + Duration::from_secs_f64(n as f64 * 2.0 / rate);
        if due > Instant::now() {
            timer.until(due).await;
            continue;
        }
        if flying.get() >= pair.cx.users / 2 - 1 {
            pair.cx.err("overload", "all users are in a session; the server cannot keep this rate");
            break;
        }
        flying.set(flying.get() + 1);
        let (pair, flying) = (Rc::clone(&pair), Rc::clone(&flying));
        spawn_local(async move {
            let (ua, ub) = users_of(&pair.cx, n);
            match pair.talk(ua, ub, n, Some(due)).await {
                Ok(both) => pair.part_in_background(both, usize::MAX).await,
                Err(e) => pair.cx.err("session", &e),
            }
            flying.set(flying.get() - 1);
        });
        n += 1;
        if n.is_multiple_of(16) {
            tokio::task::yield_now().await;
        }
    }
    while flying.get() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
