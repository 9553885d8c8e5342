//! Bursts of messages from one to another: sent with few at a time that the server has not counted (XEP-0198), received in
//! order and acknowledged.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::conn::Conn;
use crate::ctx::Ctx;
use crate::stats::Pattern;
use crate::{R, xml};

/// What all bursts of a run have in common.
pub struct Burst {
    pub cx: Rc<Ctx>,
    pattern: Pattern,
    /// Bytes of a message's text.
    pub size: usize,
    /// Messages.
    pub length: u64,
    /// How many may be not counted.
    pub window: u64,
}

/// One that sends bursts to another. It has sent one presence before.
pub struct Sender {
    me: usize,
    to: String,
    sent: u64,
    counted: u64,
}

impl Sender {
    pub fn new(me: usize, to: String) -> Sender {
        Sender { me, to, sent: 0, counted: 1 }
    }
}

impl Burst {
    pub fn from_args(cx: &Rc<Ctx>, a: &Args) -> R<Burst> {
        let (length, window) = (a.num("burst", 100), a.num("window", 8));
        let size = a.num("size", 100);
        if !cx.sm {
            return Err("--sm is needed".into());
        }
        if length == 0 || window == 0 {
            return Err("--burst and --window must not be 0".into());
        }
        Ok(Burst { cx: Rc::clone(cx), pattern: Pattern::new(size), size, length, window })
    }

    /// Sends a burst, and waits until all of it is counted; `accepted` is told how long each took.
    pub async fn send(
        &self,
        c: &mut Conn,
        from: &mut Sender,
        mut accepted: impl FnMut(Duration),
    ) -> R<()> {
        let (begin, end, base) = (from.sent, from.sent + self.length, 1_u64);
        let mut times = VecDeque::new();
        let mut out = Vec::new();
        while from.counted - base < end {
            while from.sent < end && from.sent - (from.counted - base) < self.window {
                let (id, to) = (from.sent, &from.to);
                out.extend_from_slice(
                    format!("<message type='chat' to='{to}' id='{id}'><body>").as_bytes(),
                );
                self.pattern.escaped(from.me, id, self.size, &mut out);
                out.extend_from_slice(b"</body></message><r xmlns='urn:xmpp:sm:3'/>");
                times.push_back(Instant::now());
                from.sent += 1;
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
                    while from.counted < h {
                        from.counted += 1;
                        let Some(t) = times.pop_front() else { continue };
                        accepted(t.elapsed());
                    }
                }
                b"message" => return Err(format!("bounced: {}", String::from_utf8_lossy(b))),
                _ => {}
            }
        }
        Ok(())
    }

    /// The next burst of user `from` comes, in order, and is acknowledged; `got` came before, `came` is called for each.
    pub async fn receive(
        &self,
        c: &mut Conn,
        from: usize,
        got: &mut u64,
        came: impl FnMut(),
    ) -> R<()> {
        let end = *got + self.length;
        let all = self.receive_until(c, from, got, end, came);
        match tokio::time::timeout(self.cx.timeout, all).await {
            Ok(all) => all,
            Err(_) => Err(format!("{} messages did not come", end - *got)),
        }
    }

    async fn receive_until(
        &self,
        c: &mut Conn,
        from: usize,
        got: &mut u64,
        end: u64,
        mut came: impl FnMut(),
    ) -> R<()> {
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
                Some((f, s)) if f == from && s == *got => *got += 1,
                other => return Err(format!("got {other:?}, expected {:?}", (from, *got))),
            }
            came();
        }
        let ack = c.sm_ack();
        c.send(ack.as_bytes()).await?;
        c.iq(&self.cx, "get", None, "p", "<ping xmlns='urn:xmpp:ping'/>").await.map(drop)
    }
}
