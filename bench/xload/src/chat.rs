//! P pairs, both sides send to each other. Closed loop: at most W messages under way in each direction.
//! Open loop: a fixed total rate, latency counted from the time a message should have been sent.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_local};

use crate::R;
use crate::args::Args;
use crate::conn::Conn;
use crate::ctx::Ctx;
use crate::login::{close_all, logon_all};
use crate::procstat::Delta;
use crate::report::{base, finish, merge};
use crate::stats::{Lat, Pattern, r2};
use crate::sys::Timer;
use crate::window::Window;
use crate::xml::{self, Ev};

/// One direction of a pair.
#[derive(Default)]
struct Lane {
    sent: Cell<u64>,
    got: Cell<u64>,
    times: RefCell<VecDeque<(Instant, Instant)>>, // intended, written
    due: RefCell<VecDeque<Instant>>,
    wake: Notify,
}

#[derive(Default)]
struct Tot {
    delivered: Cell<u64>,
    lat: RefCell<Lat>,
    late: RefCell<Lat>,
}

/// What all clients of a run share.
struct Chat {
    cx: Rc<Ctx>,
    w: Rc<Window>,
    t: Tot,
    pat: Pattern,
    size: usize,
    window: u64,
    rate: f64,
    full: bool,
    lanes: Vec<Rc<Lane>>,
}

struct Client {
    chat: Rc<Chat>,
    me: usize,
    peer: usize,
    to: String,
    out: Rc<Lane>,
    inn: Rc<Lane>,
    end: Rc<Notify>,
}

impl Client {
    fn compose(&self, buf: &mut Vec<u8>, intended: Instant) {
        let seq = self.out.sent.get();
        self.out.sent.set(seq + 1);
        buf.extend_from_slice(b"<message type='chat' to='");
        buf.extend_from_slice(self.to.as_bytes());
        buf.extend_from_slice(format!("' id='{seq}'><body>").as_bytes());
        self.chat.pat.escaped(self.me, seq, self.chat.size, buf);
        buf.extend_from_slice(b"</body></message>");
        self.out.times.borrow_mut().push_back((intended, Instant::now()));
    }
    async fn pump(&self, c: &mut Conn, buf: &mut Vec<u8>) -> R<()> {
        if !self.chat.w.stop.get() {
            if self.chat.open_loop() {
                loop {
                    let Some(t) = self.out.due.borrow_mut().pop_front() else { break };
                    self.compose(buf, t);
                }
            } else {
                while self.out.sent.get() - self.out.got.get() < self.chat.window {
                    let n = Instant::now();
                    self.compose(buf, n);
                }
            }
        }
        if !buf.is_empty() {
            c.send(buf).await?;
            buf.clear();
        }
        Ok(())
    }
    fn take(&self, b: &[u8], now: Instant, tmp: &mut Vec<u8>) -> R<bool> {
        if xml::name(b) != b"message" {
            return Ok(false);
        }
        if xml::attr(b, "type") == Some("error") {
            return Err(format!("message bounced: {}", String::from_utf8_lossy(b)));
        }
        let Some(body) = xml::text(b, "body") else { return Ok(false) };
        let want = self.inn.got.get();
        match self.chat.pat.check(body, self.chat.size, tmp) {
            Some((f, s)) if f == self.peer && s == want => {}
            got => {
                return Err(format!(
                    "got {got:?}, expected {:?}: {}",
                    (self.peer, want),
                    String::from_utf8_lossy(&b[..b.len().min(300)])
                ));
            }
        }
        self.inn.got.set(want + 1);
        let (intended, written) =
            self.inn.times.borrow_mut().pop_front().ok_or("a message nobody sent")?;
        if self.chat.w.on.get() {
            self.chat.t.delivered.set(self.chat.t.delivered.get() + 1);
            self.chat.t.lat.borrow_mut().add(now - intended);
            if self.chat.open_loop() {
                self.chat.t.late.borrow_mut().add(written - intended);
            }
        }
        Ok(true)
    }
    async fn go(&self, c: &mut Conn) -> R<()> {
        let (mut buf, mut tmp) = (Vec::with_capacity(4096), Vec::new());
        self.pump(c, &mut buf).await?;
        loop {
            let mut any = false;
            let now = Instant::now();
            while let Some(e) = c.try_next()? {
                match e {
                    Ev::Stanza(r) => {
                        if let Some(a) = c.sm_answer(&r) {
                            buf.extend_from_slice(a.as_bytes());
                        } else if c.bytes(&r).starts_with(b"<stream:error") {
                            return Err(String::from_utf8_lossy(c.bytes(&r)).into_owned());
                        } else {
                            any |= self.take(c.bytes(&r), now, &mut tmp)?;
                        }
                    }
                    Ev::Close => return Err("the server closed the stream".into()),
                    Ev::Open(_) => {}
                }
            }
            if any && !self.chat.open_loop() {
                self.inn.wake.notify_one();
            }
            if !buf.is_empty() {
                self.pump(c, &mut buf).await?;
            }
            tokio::select! {
                biased;
                r = c.fill() => if !r? { return Err("the server closed the connection".into()) },
                _ = self.out.wake.notified() => self.pump(c, &mut buf).await?,
                _ = self.end.notified() => return Ok(()),
            }
        }
    }
}

pub async fn run(cx: Rc<Ctx>, a: &Args) -> R<bool> {
    let pairs: usize = a.num("pairs", 100);
    let conc: usize = a.num("conc", 64);
    let size: usize = a.num("size", 100);
    let chat = Chat {
        cx: Rc::clone(&cx),
        w: Window::new(a),
        t: Tot::default(),
        pat: Pattern::new(size),
        size,
        window: a.num("window", 1),
        rate: a.num("rate", 0.0),
        full: a.str("to", "full") == "full",
        lanes: (0..2 * pairs).map(|_| Rc::default()).collect(),
    };
    a.check()?;
    if cx.users < 2 * pairs {
        return Err("--users must be at least twice --pairs".into());
    }
    let chat = Rc::new(chat);
    let conns = logon_all(&cx, 2 * pairs, conc, "chat", true).await?;
    let (clients, ends) = chat.start(conns);
    let (d, offered) = chat.measure().await?;
    chat.drain().await;
    for e in &ends {
        e.notify_one();
    }
    let mut conns = vec![];
    for c in clients {
        conns.extend(c.await);
    }
    close_all(&cx, conns).await;
    let t = &chat.t;
    if t.delivered.get() == 0 {
        cx.err("nothing", "no message was delivered in the window");
    }
    let m = t.delivered.get() as f64;
    let mut v = base(&cx, a);
    merge(
        &mut v,
        json!({
            "pairs": pairs, "size": size, "to": if chat.full { "full" } else { "bare" },
            "sent_total": chat.lanes.iter().map(|l| l.sent.get()).sum::<u64>(), "delivered": t.delivered.get(),
            "messages_per_s": r2(m / d.wall), "server_cpu_us_per_message": r2(d.srv * 1e6 / m),
            "gen_cpu_us_per_message": r2(d.generator * 1e6 / m), "messages_per_server_cpu_s": r2(m / d.srv),
            "latency_ms": t.lat.borrow_mut().json(),
        }),
    );
    if chat.open_loop() {
        let late = t.late.borrow_mut().json();
        merge(
            &mut v,
            json!({"mode": "open", "rate": chat.rate, "offered": offered, "generator_lateness_ms": late}),
        );
    } else {
        merge(&mut v, json!({"mode": "closed", "window": chat.window}));
    }
    merge(&mut v, d.json(&cx.pids));
    Ok(finish(&cx, v))
}

impl Chat {
    fn open_loop(&self) -> bool {
        self.rate > 0.0
    }

    /// A task for each connection; a client ends when its `Notify` is rung.
    fn start(self: &Rc<Self>, conns: Vec<Conn>) -> (Vec<JoinHandle<Conn>>, Vec<Rc<Notify>>) {
        let jids: Vec<String> = conns.iter().map(|c| c.jid.clone()).collect();
        let (mut tasks, mut ends) = (vec![], vec![]);
        for (me, mut c) in conns.into_iter().enumerate() {
            let peer = me ^ 1;
            let end = Rc::new(Notify::new());
            ends.push(Rc::clone(&end));
            let to = if self.full { &jids[peer] } else { xml::bare(&jids[peer]) };
            let client = Client {
                chat: Rc::clone(self),
                me,
                peer,
                to: to.to_owned(),
                out: Rc::clone(&self.lanes[me]),
                inn: Rc::clone(&self.lanes[peer]),
                end,
            };
            tasks.push(spawn_local(async move {
                if let Err(e) = client.go(&mut c).await {
                    client.chat.cx.err("client", &format!("user {me}: {e}"));
                }
                c
            }));
        }
        (tasks, ends)
    }

    /// The window, and in an open loop the messages that were due in it.
    async fn measure(self: &Rc<Self>) -> R<(Delta, u64)> {
        if !self.open_loop() {
            return Ok((self.w.run(&self.cx, || {}).await, 0));
        }
        let driver = spawn_local(Rc::clone(self).drive());
        let d = self.w.run(&self.cx, || {}).await;
        Ok((d, driver.await.map_err(|e| e.to_string())??))
    }

    async fn drive(self: Rc<Self>) -> R<u64> {
        let timer = Timer::new()?;
        let start = Instant::now();
        let mut k = 0_u64;
        while !self.w.stop.get() {
            let due = start + Duration::from_secs_f64(k as f64 / self.rate);
            if due > Instant::now() {
                timer.until(due).await;
                continue;
            }
            let lane = &self.lanes[(k % self.lanes.len() as u64) as usize];
            lane.due.borrow_mut().push_back(due);
            lane.wake.notify_one();
            k += 1;
            if k.is_multiple_of(64) {
                tokio::task::yield_now().await;
            }
        }
        Ok(k)
    }

    fn missing(&self) -> u64 {
        self.lanes.iter().map(|l| l.sent.get() - l.got.get()).sum()
    }

    /// Every message that was sent must come.
    async fn drain(&self) {
        let end = Instant::now() + self.cx.timeout;
        while self.missing() > 0 && Instant::now() < end && self.cx.nerr() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let lost = self.missing();
        if lost > 0 {
            self.cx.err("lost", &format!("{lost} messages did not arrive"));
        }
    }
}
