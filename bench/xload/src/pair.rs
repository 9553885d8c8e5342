//! Two short mobile sessions that know each other: both log on, each sends the other messages and gets as many, both
//! close the stream.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::conn::Conn;
use crate::ctx::Ctx;
use crate::stats::{Lat, Pattern};
use crate::window::Window;
use crate::{R, xml};

/// What all pairs of a run add up to; latencies only inside the window.
#[derive(Default)]
pub struct Total {
    pub sessions: Cell<u64>,
    pub messages: Cell<u64>,
    pub tls: RefCell<Lat>,
    pub bound: RefCell<Lat>,
    pub online: RefCell<Lat>,
    pub msg: RefCell<Lat>,
    pub close: RefCell<Lat>,
    pub whole: RefCell<Lat>,
    closing: Cell<usize>,
    closed: Notify,
}

/// How a pair behaves.
pub struct Pair {
    pub cx: Rc<Ctx>,
    pub window: Rc<Window>,
    pub total: Rc<Total>,
    pub pattern: Rc<Pattern>,
    /// Bytes of a message's text.
    pub size: usize,
    /// Messages each side sends, the next one when the last has come.
    pub messages: u64,
    /// How long a side waits after each message.
    pub pause: Duration,
    /// To the full JID, not the bare one.
    pub full: bool,
    /// Fetch the roster first.
    pub roster: bool,
}

impl Pair {
    async fn open(&self, u: usize, res: &str) -> R<(Conn, Duration)> {
        let mut c = Conn::login_at(&self.cx, self.cx.addr(u), &self.cx.user(u), res).await?;
        if self.roster {
            c.iq(&self.cx, "get", None, "ro", "<query xmlns='jabber:iq:roster'/>").await?;
        }
        c.online(&self.cx).await?;
        let d = c.t_start.elapsed();
        Ok((c, d))
    }
    async fn send(&self, c: &mut Conn, from: usize, to: &str, seq: u64) -> R<Instant> {
        let mut m = Vec::with_capacity(self.size + 160);
        m.extend_from_slice(
            format!("<message type='chat' to='{to}' id='m{seq}'><body>").as_bytes(),
        );
        self.pattern.escaped(from, seq, self.size, &mut m);
        m.extend_from_slice(b"</body></message>");
        let t = Instant::now();
        c.send(&m).await?;
        Ok(t)
    }
    async fn recv(&self, c: &mut Conn, from: usize, seq: u64, sent: Instant) -> R<Duration> {
        let mut tmp = vec![];
        let f = async {
            loop {
                let r = c.stanza().await?;
                if let Some(a) = c.sm_answer(&r) {
                    c.send(a.as_bytes()).await?;
                    continue;
                }
                let b = c.bytes(&r);
                if xml::name(b) != b"message" {
                    continue;
                }
                if xml::attr(b, "type") == Some("error") {
                    return Err(format!("message bounced: {}", String::from_utf8_lossy(b)));
                }
                let Some(body) = xml::text(b, "body") else { continue };
                return match self.pattern.check(body, self.size, &mut tmp) {
                    Some((f, s)) if f == from && s == seq => Ok(sent.elapsed()),
                    got => Err(format!(
                        "wrong message {got:?}, expected {:?}: {}",
                        (from, seq),
                        String::from_utf8_lossy(b)
                    )),
                };
            }
        };
        match tokio::time::timeout(self.cx.timeout, f).await {
            Ok(r) => r,
            Err(_) => Err("message lost (timeout)".into()),
        }
    }
    /// Users `ua` and `ub` log on and talk. `n` is new in every call; `due` is when an open loop wanted it to begin.
    pub async fn talk(
        &self,
        ua: usize,
        ub: usize,
        n: u64,
        due: Option<Instant>,
    ) -> R<(Conn, Conn)> {
        let res = format!("r{n:x}");
        let ((mut a, da), (mut b, db)) =
            tokio::try_join!(self.open(ua, &res), self.open(ub, &res))?;
        let on = self.window.on.get();
        let late =
            |c: &Conn| due.map(|d| c.t_start.saturating_duration_since(d)).unwrap_or_default();
        let to = |c: &Conn| if self.full { c.jid.clone() } else { xml::bare(&c.jid).to_owned() };
        let (ta, tb) = (to(&a), to(&b));
        for k in 0..self.messages {
            let seq = n * self.messages + k;
            let sa = self.send(&mut a, ua, &tb, seq).await?;
            let sb = self.send(&mut b, ub, &ta, seq).await?;
            let (la, lb) =
                tokio::try_join!(self.recv(&mut b, ua, seq, sa), self.recv(&mut a, ub, seq, sb))?;
            if self.window.on.get() {
                self.total.messages.set(self.total.messages.get() + 2);
                if on {
                    self.total.msg.borrow_mut().add(la);
                    self.total.msg.borrow_mut().add(lb);
                }
            }
            if !self.pause.is_zero() {
                tokio::time::sleep(self.pause).await;
            }
        }
        if on && self.window.on.get() {
            for (c, d) in [(&a, da), (&b, db)] {
                self.total.tls.borrow_mut().add(c.t_tls);
                self.total.bound.borrow_mut().add(c.t_bound + late(c));
                self.total.online.borrow_mut().add(d + late(c));
            }
        }
        Ok((a, b))
    }

    /// Closes both streams and awaits the server's end of them.
    pub async fn part(&self, pair: (Conn, Conn)) {
        tokio::join!(
            close(&self.cx, &self.window, &self.total, pair.0),
            close(&self.cx, &self.window, &self.total, pair.1)
        );
    }

    /// Closes both streams in the background, because a server may take its time over its end of them (ejabberd: 100 ms)
    /// without using any CPU. Returns when no more than `at_most` are closing.
    pub async fn part_in_background(&self, pair: (Conn, Conn), at_most: usize) {
        for c in [pair.0, pair.1] {
            let (cx, w, t) = (Rc::clone(&self.cx), Rc::clone(&self.window), Rc::clone(&self.total));
            t.closing.set(t.closing.get() + 1);
            tokio::task::spawn_local(async move {
                close(&cx, &w, &t, c).await;
                t.closing.set(t.closing.get() - 1);
                t.closed.notify_one();
            });
        }
        self.total.closing_at_most(at_most).await;
    }
}

impl Total {
    /// Waits until no more than `n` sessions are closing in the background.
    pub async fn closing_at_most(&self, n: usize) {
        while self.closing.get() > n {
            let _ = tokio::time::timeout(Duration::from_millis(50), self.closed.notified()).await;
        }
    }
}

async fn close(cx: &Ctx, window: &Window, total: &Total, c: Conn) {
    let (begun, now) = (c.t_start, Instant::now());
    match c.close(cx).await {
        Ok(()) if window.on.get() => {
            total.sessions.set(total.sessions.get() + 1);
            total.close.borrow_mut().add(now.elapsed());
            total.whole.borrow_mut().add(begun.elapsed());
        }
        Ok(()) => {}
        Err(e) => cx.err("close", &e),
    }
}
