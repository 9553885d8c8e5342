//! `chat-detached`: messages to sessions without a connection. A pair's sender sends a burst and waits until the server has
//! counted it (XEP-0198); then the recipient resumes, must get all of it in order, acknowledges it and is cut again.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::spawn_local;

use crate::args::Args;
use crate::conn::Conn;
use crate::ctx::Ctx;
use crate::login::{close_all, logon_all};
use crate::report::{base, finish, merge};
use crate::stats::{Lat, Pattern, r2};
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
    cx: Rc<Ctx>,
    w: Rc<Window>,
    total: Rc<Total>,
    pattern: Rc<Pattern>,
    size: usize,
    burst: u64,
    window: u64,
    /// The sender's number, which is the recipient's less one.
    me: usize,
    to: String,
}

pub async fn run(cx: Rc<Ctx>, a: &Args) -> R<bool> {
    let pairs: usize = a.num("pairs", 32);
    let burst: u64 = a.num("burst", 100);
    let window: u64 = a.num("window", 8);
    let size: usize = a.num("size", 100);
    let w = Window::new(a);
    a.check()?;
    if !cx.sm {
        return Err("--sm is needed".into());
    }
    if cx.users < 2 * pairs || burst == 0 || window == 0 {
        return Err("--users must be at least twice --pairs; --burst and --window not 0".into());
    }
    let total = Rc::new(Total::default());
    let pattern = Rc::new(Pattern::new(size));
    let mut conns: VecDeque<Conn> = logon_all(&cx, 2 * pairs, 32, "away", true).await?.into();
    let mut tasks = vec![];
    for n in 0..pairs {
        let (Some(from), Some(to)) = (conns.pop_front(), conns.pop_front()) else { break };
        let pair = Pair {
            cx: Rc::clone(&cx),
            w: Rc::clone(&w),
            total: Rc::clone(&total),
            pattern: Rc::clone(&pattern),
            size,
            burst,
            window,
            me: 2 * n,
            to: to.jid.clone(),
        };
        tasks.push(spawn_local(async move {
            match pair.talk(from, to).await {
                Ok(both) => Vec::from(both),
                Err(e) => {
                    pair.cx.err("pair", &format!("{n}: {e}"));
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
            "pairs": pairs, "burst": burst, "window": window, "size": size, "messages": total.messages.get(),
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
        let (mut sent, mut got, mut counted) = (0, 0, 1); // the presence counts
        while !self.w.stop.get() {
            to.cut();
            tokio::time::sleep(UNSEEN).await;
            // one that is busy has come round to it after two answers
            for _ in 0..2 {
                self.ask(&mut from).await?;
            }
            self.send(&mut from, &mut sent, &mut counted).await?;
            let (c, _) = Conn::resume(&self.cx, &self.cx.user(self.me + 1), &to).await?;
            to = c;
            let (end, resumed) = (got + self.burst, to.t_bound);
            let all = self.receive(&mut to, &mut got, end);
            let in_time = tokio::time::timeout(self.cx.timeout, all).await;
            in_time.map_err(|_| format!("{} messages did not come", end - got))??;
            if self.w.on.get() {
                self.total.resumed.borrow_mut().add(resumed);
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
        match tokio::time::timeout(self.cx.timeout, answer).await {
            Ok(r) => r,
            Err(_) => Err("<r/> is not answered".into()),
        }
    }

    /// Sends a burst, and waits until all of it is counted.
    async fn send(&self, c: &mut Conn, sent: &mut u64, counted: &mut u64) -> R<()> {
        let (begin, end, base) = (*sent, *sent + self.burst, 1_u64);
        let mut times = VecDeque::new();
        let mut out = Vec::new();
        while *counted - base < end {
            while *sent < end && *sent - (*counted - base) < self.window {
                let (id, to) = (*sent, &self.to);
                out.extend_from_slice(
                    format!("<message type='chat' to='{to}' id='{id}'><body>").as_bytes(),
                );
                self.pattern.escaped(self.me, id, self.size, &mut out);
                out.extend_from_slice(b"</body></message><r xmlns='urn:xmpp:sm:3'/>");
                times.push_back(Instant::now());
                *sent += 1;
            }
            if !out.is_empty() {
                c.send(&out).await?;
                out.clear();
            }
            let r = match tokio::time::timeout(self.cx.timeout, c.stanza()).await {
                Ok(r) => r?,
                Err(_) => return Err(format!("{} messages are not counted", end - begin)),
            };
            if let Some(answer) = c.sm_answer(&r) {
                out.extend_from_slice(answer.as_bytes());
                continue;
            }
            let b = c.bytes(&r);
            match xml::name(b) {
                b"a" => {
                    let h: u64 = xml::attr(b, "h").and_then(|h| h.parse().ok()).unwrap_or(0);
                    while *counted < h {
                        *counted += 1;
                        let Some(t) = times.pop_front() else { continue };
                        if self.w.on.get() {
                            self.total.accepted.borrow_mut().add(t.elapsed());
                        }
                    }
                }
                b"message" => return Err(format!("bounced: {}", String::from_utf8_lossy(b))),
                _ => {}
            }
        }
        Ok(())
    }

    /// All that was sent comes, in order, and is acknowledged.
    async fn receive(&self, c: &mut Conn, got: &mut u64, end: u64) -> R<()> {
        let mut tmp = vec![];
        while *got < end {
            let r = c.stanza().await?;
            if let Some(a) = c.sm_answer(&r) {
                c.send(a.as_bytes()).await?;
                continue;
            }
            let b = c.bytes(&r);
            let Some(body) = xml::text(b, "body") else { continue };
            match self.pattern.check(body, self.size, &mut tmp) {
                Some((f, s)) if f == self.me && s == *got => *got += 1,
                other => {
                    return Err(format!("got {other:?}, expected {:?}", (self.me, *got)));
                }
            }
            if self.w.on.get() {
                self.total.messages.set(self.total.messages.get() + 1);
            }
        }
        let ack = c.sm_ack();
        c.send(ack.as_bytes()).await?;
        c.iq(&self.cx, "get", None, "p", "<ping xmlns='urn:xmpp:ping'/>").await.map(drop)
    }
}
