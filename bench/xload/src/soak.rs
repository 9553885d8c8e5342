//! `soak`: a crowd that only stays, a smaller one that logs on, chats and leaves all the time, and then everybody goes.
//! Nothing may be left behind: no memory, no session, no process that no supervisor knows.
//!
//! It is done twice, first for a short time. What memory is compared with is the state after that first round, not the
//! state of a fresh server: an allocator keeps the arenas it has once needed, a hash table its largest size, a database
//! its page cache, and the code is paged in. All that depends on the peak, which is the same in both rounds. A leak
//! depends on how often something was done, and the second round does it more often.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::spawn_local;

use crate::R;
use crate::args::Args;
use crate::ctx::Ctx;
use crate::gauges::Counts;
use crate::login::logon_all;
use crate::pair::{Pair, Total};
use crate::procstat::{mem, snap};
use crate::report::{base, finish, merge};
use crate::resident::Residents;
use crate::stats::{Pattern, r2, r4};
use crate::sys::need_files;
use crate::window::Window;

/// After so many errors a round ends: what follows would only be more of them.
const MAX_ERRORS: u64 = 200;
/// Bytes of a message's text.
const SIZE: usize = 100;

struct Soak {
    cx: Rc<Ctx>,
    idle: usize,
    churn: usize,
    conc: usize,
    hold: f64,
    messages: u64,
    look: f64,
    settle: f64,
    metrics: Option<SocketAddr>,
}

/// What one round has shown.
struct Round {
    total: Rc<Total>,
    /// With the idle clients alone, before the others came and when they have left.
    idle_mb: [f64; 2],
    looks: Vec<Value>,
    left_mb: f64,
    after: Option<Counts>,
}

pub async fn run(cx: Rc<Ctx>, a: &Args) -> R<bool> {
    let secs: f64 = a.num("secs", 600.0);
    let warmup: f64 = a.num("warmup", 60.0);
    let tolerance: f64 = a.num("tolerance", 10.0);
    let metrics = match a.opt("metrics") {
        Some(m) => Some(m.parse().map_err(|e| format!("--metrics {m}: {e}"))?),
        None => None,
    };
    let soak = Soak {
        cx: Rc::clone(&cx),
        idle: a.num("idle", 10_000),
        churn: a.num("churn", 2_000),
        conc: a.num("conc", 64),
        hold: a.num("hold", 5.0),
        messages: a.num("messages", 5),
        look: a.num("look", 10.0),
        settle: a.num("settle", 20.0),
        metrics,
    };
    a.check()?;
    soak.can_be_done()?;
    let fresh_mb = soak.pss_mb();
    let fresh = soak.counts("at the start", |c| c.processes == c.in_tree).await?;
    let first = soak.round(warmup, fresh).await?;
    let before = snap(&cx.pids);
    let second = soak.round(secs, fresh).await?;
    let d = snap(&cx.pids).since(&before);

    let growth = |when: &str, [was, is]: [f64; 2]| {
        let growth = (is / was - 1.0) * 100.0;
        if growth > tolerance {
            let told = format!("{is:.1} MB {when}, {was:.1} MB before");
            cx.err("memory", &format!("{told}: {growth:.1} % more, {tolerance} % are allowed"));
        }
        r2(growth)
    };
    let idle = [&first, &second].map(|r| growth("when only the idle clients were left", r.idle_mb));
    let left = growth("when everybody had left", [first.left_mb, second.left_mb]);
    let idle_mb = [&first, &second].map(|r| r.idle_mb.map(r2));
    soak.compare(first.after).await?;
    let sessions = second.total.sessions.get();
    if sessions == 0 {
        cx.err("nothing", "no session was completed");
    }
    let mut v = base(&cx, a);
    merge(
        &mut v,
        json!({
            "idle": soak.idle, "churn": soak.churn, "secs": secs, "warmup": warmup, "tolerance_pct": tolerance,
            "sessions": sessions, "messages": second.total.messages.get(),
            "bound_ms": second.total.bound.borrow_mut().json(), "message_ms": second.total.msg.borrow_mut().json(),
            "server_cpu_ms_per_session": r4(d.srv * 1e3 / sessions as f64),
            "pss_fresh_mb": r2(fresh_mb),
            "pss_idle_mb": idle_mb, "idle_growth_pct": idle,
            "pss_after_first_round_mb": r2(first.left_mb), "pss_after_mb": r2(second.left_mb), "growth_pct": left,
            "counts_fresh": fresh.map(counts_json), "counts_after_first_round": first.after.map(counts_json),
            "counts_after": second.after.map(counts_json), "looks": second.looks,
        }),
    );
    merge(&mut v, d.json(&cx.pids));
    Ok(finish(&cx, v))
}

fn counts_json(c: Counts) -> Value {
    json!({"processes": c.processes, "in_tree": c.in_tree, "sessions": c.sessions, "crashes": c.crashes})
}

impl Soak {
    fn can_be_done(&self) -> R<()> {
        if self.churn < 2 || self.messages == 0 {
            return Err("--churn must be at least 2, --messages at least 1".into());
        }
        if self.cx.users < self.idle + self.churn {
            return Err("--users must be at least --idle and --churn together".into());
        }
        if self.pss_mb() == 0.0 {
            return Err(
                "--pid must name the server's processes: their memory is what a soak measures"
                    .into(),
            );
        }
        need_files(self.idle + self.churn)
    }

    fn pss_mb(&self) -> f64 {
        mem(&self.cx.pids).pss as f64 / 1_048_576.0
    }

    /// The server's counts once they are `good`; that they do not become so is an error of the run. None where the
    /// server has no such endpoint.
    async fn counts(&self, when: &str, good: impl Fn(&Counts) -> bool) -> R<Option<Counts>> {
        let Some(at) = self.metrics else { return Ok(None) };
        // A count that was wrong once will hardly become right: no second wait.
        let wrong = self.cx.errors.borrow().contains_key("counts");
        let patience = if wrong { Duration::ZERO } else { self.cx.timeout };
        let c = Counts::until(at, patience, &good).await?;
        if !good(&c) {
            self.cx.err("counts", &format!("{when}: {c:?}"));
        }
        Ok(Some(c))
    }

    /// Everybody comes, the smaller crowd chats for `secs`, everybody leaves. `fresh`: the counts of an empty server.
    async fn round(&self, secs: f64, fresh: Option<Counts>) -> R<Round> {
        let none = fresh.map_or(0, |c| c.sessions);
        let crowd = none + self.idle as u64;
        let in_order =
            |sessions: u64| move |c: &Counts| c.processes == c.in_tree && c.sessions == sessions;
        let conns = logon_all(&self.cx, self.idle, self.conc, "idle", true).await?;
        let residents = Residents::settle(&self.cx, conns);
        self.counts("when the idle clients are there", in_order(crowd)).await?;
        let before_mb = self.pss_mb();
        let total = Rc::new(Total::default());
        let looks = self.chat(secs, &total).await?;
        self.counts("when only the idle clients are left", in_order(crowd)).await?;
        tokio::time::sleep(Duration::from_secs_f64(self.settle)).await;
        let idle_mb = [before_mb, self.pss_mb()];
        residents.leave(&self.cx).await;
        let after = self.counts("when everybody has left", in_order(none)).await?;
        if let (Some(was), Some(is)) = (fresh, after)
            && is.crashes > was.crashes
        {
            let n = is.crashes - was.crashes;
            self.cx.err("crashes", &format!("the server reports {n} since the soak began"));
        }
        tokio::time::sleep(Duration::from_secs_f64(self.settle)).await;
        Ok(Round { total, idle_mb, looks, left_mb: self.pss_mb(), after })
    }

    /// The smaller crowd, in pairs, each of which begins again when it is through. Returns when all have left.
    async fn chat(&self, secs: f64, total: &Rc<Total>) -> R<Vec<Value>> {
        let window = Window::of(0.0, secs);
        window.on.set(true);
        let pair = Rc::new(Pair {
            cx: Rc::clone(&self.cx),
            window: Rc::clone(&window),
            total: Rc::clone(total),
            pattern: Rc::new(Pattern::new(SIZE)),
            size: SIZE,
            messages: self.messages,
            pause: Duration::from_secs_f64(self.hold / self.messages as f64),
            full: false,
            roster: true,
        });
        let next = Rc::new(Cell::new(0_u64));
        let pairs = self.churn / 2;
        let mut tasks = vec![];
        for p in 0..pairs {
            let (pair, next) = (Rc::clone(&pair), Rc::clone(&next));
            let user = self.idle + 2 * p;
            // spread the start over the length of a session
            let wait = Duration::from_secs_f64(self.hold * p as f64 / pairs as f64);
            tasks.push(spawn_local(async move {
                tokio::time::sleep(wait).await;
                while !pair.window.stop.get() && pair.cx.nerr() <= MAX_ERRORS {
                    let n = next.replace(next.get() + 1);
                    match pair.talk(user, user + 1, n, None).await {
                        Ok(both) => pair.part(both).await,
                        Err(e) => pair.cx.err("session", &e),
                    }
                }
            }));
        }
        let looks = self.watch(secs, total).await;
        window.stop.set(true);
        for t in tasks {
            let _ = t.await;
        }
        looks
    }

    /// A look at the server now and then. Its counts are only noted here: while sessions come and go between one
    /// count and the other, the two may differ by those that are on their way.
    async fn watch(&self, secs: f64, total: &Total) -> R<Vec<Value>> {
        let begun = tokio::time::Instant::now();
        let end = begun + Duration::from_secs_f64(secs);
        let mut looks = vec![];
        while tokio::time::Instant::now() < end && self.cx.nerr() <= MAX_ERRORS {
            let next = tokio::time::Instant::now() + Duration::from_secs_f64(self.look);
            tokio::time::sleep_until(next.min(end)).await;
            let counts = match self.metrics {
                Some(at) => Some(Counts::read(at).await?),
                None => None,
            };
            let look = json!({"at_s": r2(begun.elapsed().as_secs_f64()), "pss_mb": r2(self.pss_mb()),
                "sessions_done": total.sessions.get(), "counts": counts.map(counts_json)});
            eprintln!("xload: soak: {look}");
            looks.push(look);
        }
        Ok(looks)
    }

    /// What must not be more after the second round than after the first. Processes get a moment: a job of the
    /// server's own may just be at work.
    async fn compare(&self, first: Option<Counts>) -> R<()> {
        let Some(first) = first else { return Ok(()) };
        let when = format!("processes after both rounds (after the first {})", first.processes);
        self.counts(&when, |c| c.processes <= first.processes).await?;
        Ok(())
    }
}
