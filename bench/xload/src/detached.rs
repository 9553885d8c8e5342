//! `chat-detached`: messages to sessions without a connection. A pair's sender sends a burst and waits until the server has
//! counted it (XEP-0198); then the recipient resumes, must get all of it in order, acknowledges it and is cut again.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use tokio::task::spawn_local;

use crate::args::Args;
use crate::burst::{Burst, Sender};
use crate::conn::Conn;
use crate::ctx::Ctx;
use crate::login::{close_all, logon_all};
use crate::report::{base, finish, merge};
use crate::stats::{Lat, r2};
use crate::window::Window;
use crate::{R, xml};

/// How long a server may take to see that a connection is gone: then the case is what it says. (Prosody 0.12.3 sends the second
/// message twice if it sees that when it writes the first.)
const UNSEEN: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Total {
    messages: Cell<u64>,
    accepted: RefCell<Lat>,
    resumed: RefCell<Lat>,
}

struct Pair {
    w: Rc<Window>,
    total: Rc<Total>,
    burst: Rc<Burst>,
    /// The sender's number, which is the recipient's less one.
    me: usize,
}

pub async fn run(cx: Rc<Ctx>, a: &Args) -> R<bool> {
    let pairs: usize = a.num("pairs", 32);
    let burst = Rc::new(Burst::from_args(&cx, a)?);
    let w = Window::new(a);
    a.check()?;
    if cx.users < 2 * pairs {
        return Err("--users must be at least twice --pairs".into());
    }
    let total = Rc::new(Total::default());
    let mut conns: VecDeque<Conn> = logon_all(&cx, 2 * pairs, 32, "away", true).await?.into();
    let mut tasks = vec![];
    for n in 0..pairs {
        let (Some(from), Some(to)) = (conns.pop_front(), conns.pop_front()) else { break };
        let (w, total, burst) = (Rc::clone(&w), Rc::clone(&total), Rc::clone(&burst));
        let pair = Pair { w, total, burst, me: 2 * n };
        tasks.push(spawn_local(async move {
            match pair.talk(from, to).await {
                Ok(both) => Vec::from(both),
                Err(e) => {
                    pair.burst.cx.err("pair", &format!("{n}: {e}"));
                    vec![]
                }
            }
        }));
    }
    let d = w.run(&cx, || {}).await;
    let mut left = vec![];
    for task in tasks {
        left.extend(task.await.unwrap_or_default());
    }
    close_all(&cx, left).await;
    if total.messages.get() == 0 {
        cx.err("nothing", "no burst was completed in the window");
    }
    let n = total.messages.get() as f64;
    let mut v = base(&cx, a);
    merge(
        &mut v,
        json!({
            "pairs": pairs, "burst": burst.length, "window": burst.window, "size": burst.size, "messages": total.messages.get(),
            "messages_per_s": r2(n / d.wall), "server_cpu_us_per_message": r2(d.srv * 1e6 / n),
            "gen_cpu_us_per_message": r2(d.generator * 1e6 / n),
            "accepted_ms": total.accepted.borrow_mut().json(), "resume_ms": total.resumed.borrow_mut().json(),
        }),
    );
    merge(&mut v, d.json(&cx.pids));
    Ok(finish(&cx, v))
}

impl Pair {
    async fn talk(&self, mut from: Conn, mut to: Conn) -> R<[Conn; 2]> {
        let (mut sender, mut got) = (Sender::new(self.me, to.jid.clone()), 0);
        let (cx, total) = (&self.burst.cx, &self.total);
        while !self.w.stop.get() {
            to.cut();
            tokio::time::sleep(UNSEEN).await;
            // one that is busy has come round to it after two answers
            for _ in 0..2 {
                self.ask(&mut from).await?;
            }
            let on = || self.w.on.get();
            let accepted = |took| {
                if on() {
                    total.accepted.borrow_mut().add(took);
                }
            };
            self.burst.send(&mut from, &mut sender, accepted).await?;
            (to, _) = Conn::resume(cx, &cx.user(self.me + 1), &to).await?;
            let resumed = to.t_bound;
            let came = || total.messages.set(total.messages.get() + u64::from(on()));
            self.burst.receive(&mut to, self.me, &mut got, came).await?;
            if on() {
                total.resumed.borrow_mut().add(resumed);
            }
        }
        Ok([from, to])
    }

    /// One question how much was counted, and the answer.
    async fn ask(&self, c: &mut Conn) -> R<()> {
        c.send(b"<r xmlns='urn:xmpp:sm:3'/>").await?;
        let answer = async {
            loop {
                let r = c.stanza().await?;
                if let Some(a) = c.sm_answer(&r) {
                    c.send(a.as_bytes()).await?;
                } else if xml::name(c.bytes(&r)) == b"a" {
                    return Ok(());
                }
            }
        };
        match tokio::time::timeout(self.burst.cx.timeout, answer).await {
            Ok(r) => r,
            Err(_) => Err("<r/> is not answered".into()),
        }
    }
}
