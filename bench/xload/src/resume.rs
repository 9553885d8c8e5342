//! `resume`: sessions that lose their connection and are resumed over a new one (XEP-0198 section 5), again and again.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use serde_json::json;
use tokio::task::spawn_local;

use crate::R;
use crate::args::Args;
use crate::conn::Conn;
use crate::ctx::Ctx;
use crate::login::{close_all, logon_all};
use crate::report::{base, finish, merge};
use crate::stats::{Lat, r2, r4};
use crate::window::Window;

#[derive(Default)]
struct Total {
    resumed: Cell<u64>,
    tls: RefCell<Lat>,
    whole: RefCell<Lat>,
}

pub async fn run(cx: Rc<Ctx>, a: &Args) -> R<bool> {
    let conc: usize = a.num("conc", 32);
    let each: usize = a.num("each", 8);
    let w = Window::new(a);
    a.check()?;
    if !cx.sm {
        return Err("--sm is needed".into());
    }
    if cx.users < conc * each {
        return Err("--users must be at least --conc times --each".into());
    }
    let total = Rc::new(Total::default());
    let mut conns = logon_all(&cx, conc * each, conc, "resume", true).await?;
    let mut workers = vec![];
    for me in 0..conc {
        let mine = conns.split_off(conns.len() - each);
        // their users, as `logon_all` numbers them
        let first = (conc - 1 - me) * each;
        let (cx, w, total) = (Rc::clone(&cx), Rc::clone(&w), Rc::clone(&total));
        workers.push(spawn_local(async move {
            let mine = mine.into_iter().enumerate().map(|(i, c)| (first + i, c)).collect();
            let (all, result) = come_and_go(&cx, &w, &total, mine).await;
            if let Err(e) = result {
                cx.err("session", &e);
            }
            all
        }));
    }
    let d = w.run(&cx, || {}).await;
    let mut left = vec![];
    for worker in workers {
        left.extend(worker.await.unwrap_or_default());
    }
    close_all(&cx, left).await;
    if total.resumed.get() == 0 {
        cx.err("nothing", "no session was resumed in the window");
    }
    let n = total.resumed.get() as f64;
    let mut v = base(&cx, a);
    merge(
        &mut v,
        json!({
            "conc": conc, "each": each, "resumed": total.resumed.get(), "resumed_per_s": r2(n / d.wall),
            "server_cpu_ms_per_resumption": r4(d.srv * 1e3 / n), "gen_cpu_ms_per_resumption": r4(d.generator * 1e3 / n),
            "tls_ms": total.tls.borrow_mut().json(), "resume_ms": total.whole.borrow_mut().json(),
        }),
    );
    merge(&mut v, d.json(&cx.pids));
    Ok(finish(&cx, v))
}

/// Cuts all of its sessions, then resumes the one that was cut first and cuts it again; at the end it resumes them all.
async fn come_and_go(
    cx: &Rc<Ctx>,
    w: &Window,
    total: &Total,
    mut mine: VecDeque<(usize, Conn)>,
) -> (Vec<Conn>, R<()>) {
    mine.iter_mut().for_each(|(_, c)| c.cut());
    while !w.stop.get() && cx.nerr() == 0 {
        let Some((user, old)) = mine.pop_front() else { break };
        match Conn::resume(cx, &cx.user(user), &old).await {
            Ok((mut c, _)) => {
                if w.on.get() {
                    total.resumed.set(total.resumed.get() + 1);
                    total.tls.borrow_mut().add(c.t_tls);
                    total.whole.borrow_mut().add(c.t_bound);
                }
                c.cut();
                mine.push_back((user, c));
            }
            Err(e) => return (vec![], Err(e)),
        }
    }
    let mut all = vec![];
    for (user, old) in mine {
        match Conn::resume(cx, &cx.user(user), &old).await {
            Ok((c, _)) => all.push(c),
            Err(e) => return (all, Err(e)),
        }
    }
    (all, Ok(()))
}
