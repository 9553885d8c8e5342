//! One sender, M receivers: what the MUC and the pubsub command share. At most W messages are not yet delivered to
//! everybody.

use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_local};

use crate::R;
use crate::conn::Conn;
use crate::ctx::Ctx;
use crate::login::close_all;
use crate::procstat::Delta;
use crate::stats::{Lat, Pattern, r2};
use crate::window::Window;
use crate::xml::{self, Ev};

pub struct Fan {
    pub cx: Rc<Ctx>,
    w: Rc<Window>,
    pat: Pattern,
    size: usize,
    m: usize,
    window: usize,
    pub sent: Cell<u64>,
    first_open: Cell<u64>,
    open: RefCell<VecDeque<(Instant, usize)>>, // sent at, still missing
    delivered: Cell<u64>,
    reordered: Cell<u64>,
    lat: RefCell<Lat>,
    full_lat: RefCell<Lat>,
    wake: Notify,
    pub joined: Cell<usize>,
    pub join_note: Notify,
}

/// what one receiver has seen
#[derive(Default)]
struct Seen {
    next: u64,
    ahead: HashSet<u64>,
}

impl Fan {
    pub fn new(cx: &Rc<Ctx>, w: &Rc<Window>, m: usize, window: usize, size: usize) -> Rc<Fan> {
        Rc::new(Fan {
            cx: Rc::clone(cx),
            w: Rc::clone(w),
            pat: Pattern::new(size),
            size,
            m,
            window,
            sent: Cell::new(0),
            first_open: Cell::new(0),
            open: Default::default(),
            delivered: Cell::new(0),
            reordered: Cell::new(0),
            lat: Default::default(),
            full_lat: Default::default(),
            wake: Notify::new(),
            joined: Cell::new(0),
            join_note: Notify::new(),
        })
    }
    fn got(
        &self,
        who: usize,
        seen: &mut Seen,
        raw: &[u8],
        now: Instant,
        strict: bool,
        tmp: &mut Vec<u8>,
    ) -> R<()> {
        let Some((0, seq)) = self.pat.check(raw, self.size, tmp) else {
            return Err(format!(
                "receiver {who}: wrong content {:?}",
                String::from_utf8_lossy(&raw[..raw.len().min(120)])
            ));
        };
        if seq == seen.next {
            seen.next += 1;
            while seen.ahead.remove(&seen.next) {
                seen.next += 1;
            }
        } else if seq > seen.next && !strict && seen.ahead.insert(seq) {
            self.reordered.set(self.reordered.get() + 1);
        } else {
            return Err(format!("receiver {who}: got {seq}, expected {}", seen.next));
        }
        let i = seq
            .checked_sub(self.first_open.get())
            .ok_or("delivered more often than there are receivers")? as usize;
        let mut o = self.open.borrow_mut();
        let e = o.get_mut(i).ok_or("a message that was not sent")?;
        e.1 -= 1;
        let at = e.0;
        if self.w.on.get() {
            self.delivered.set(self.delivered.get() + 1);
            self.lat.borrow_mut().add(now - at);
            if e.1 == 0 {
                self.full_lat.borrow_mut().add(now - at);
            }
        }
        let mut popped = false;
        while o.front().map(|x| x.1 == 0).unwrap_or(false) {
            o.pop_front();
            self.first_open.set(self.first_open.get() + 1);
            popped = true;
        }
        if popped {
            self.wake.notify_one();
        }
        Ok(())
    }
    pub fn next_body(&self, out: &mut Vec<u8>) -> u64 {
        let seq = self.sent.get();
        self.sent.set(seq + 1);
        self.pat.escaped(0, seq, self.size, out);
        self.open.borrow_mut().push_back((Instant::now(), self.m));
        seq
    }
    async fn drain(&self) {
        let end = Instant::now() + self.cx.timeout;
        while !self.open.borrow().is_empty() && Instant::now() < end && self.cx.nerr() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let lost: usize = self.open.borrow().iter().map(|x| x.1).sum();
        if lost > 0 {
            self.cx.err("lost", &format!("{lost} deliveries did not arrive"));
        }
    }
    pub fn json(&self, d: &Delta) -> serde_json::Value {
        if self.delivered.get() == 0 {
            self.cx.err("nothing", "nothing was delivered in the window");
        }
        let n = self.delivered.get() as f64;
        json!({
            "receivers": self.m, "window": self.window, "size": self.size, "published_total": self.sent.get(), "delivered": self.delivered.get(),
            "deliveries_per_s": r2(n / d.wall), "server_cpu_us_per_delivery": r2(d.srv * 1e6 / n), "gen_cpu_us_per_delivery": r2(d.generator * 1e6 / n),
            "deliveries_per_server_cpu_s": r2(n / d.srv), "reordered": self.reordered.get(),
            "latency_ms": self.lat.borrow_mut().json(), "last_receiver_ms": self.full_lat.borrow_mut().json(),
        })
    }
}

/// What a connection shall send next, and the bell that tells it so.
pub type Out = Rc<(RefCell<Vec<u8>>, Notify)>;

pub fn put(out: &Out, text: &str) {
    out.0.borrow_mut().extend_from_slice(text.as_bytes());
    out.1.notify_one();
}

/// Where the messages come from.
#[derive(Clone)]
pub enum Source {
    /// A room, where receiver K is called `nK`.
    Room,
    /// A pubsub node of this name.
    Node(String),
}

/// A connection that sends what it is given and reads all the time.
struct Rx {
    f: Rc<Fan>,
    who: usize,
    source: Source,
    out: Out,
    end: Rc<Notify>,
}

impl Rx {
    fn on(&self, b: &[u8], seen: &mut Seen, now: Instant, tmp: &mut Vec<u8>) -> R<()> {
        let text = || String::from_utf8_lossy(b).into_owned();
        let kind = xml::attr(b, "type");
        match (xml::name(b), &self.source) {
            (b"stream:error", _) => Err(text()),
            (b"message", _) if kind == Some("error") => Err(format!("message bounced: {}", text())),
            (b"iq", _) if kind == Some("error") => Err(format!("iq error: {}", text())),
            (b"message", Source::Room) if kind == Some("groupchat") => match xml::text(b, "body") {
                Some(body) => self.f.got(self.who, seen, body, now, true, tmp),
                None => Ok(()),
            },
            (b"message", Source::Node(node)) if xml::has(b, node) => match xml::text(b, "entry") {
                Some(body) => self.f.got(self.who, seen, body, now, false, tmp),
                None => Ok(()),
            },
            (b"presence", Source::Room) if kind == Some("error") => {
                Err(format!("join refused: {}", text()))
            }
            (b"presence", Source::Room) => {
                let nick = format!("/n{}", self.who);
                let mine = xml::attr(b, "from").is_some_and(|f| f.ends_with(&nick));
                if mine && xml::has(b, "110") && kind.is_none() {
                    self.f.joined.set(self.f.joined.get() + 1);
                    self.f.join_note.notify_one();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
    async fn go(&self, c: &mut Conn) -> R<()> {
        let (mut seen, mut tmp) = (Seen::default(), vec![]);
        loop {
            let now = Instant::now();
            while let Some(e) = c.try_next()? {
                match e {
                    Ev::Stanza(r) => {
                        if let Some(a) = c.sm_answer(&r) {
                            self.out.0.borrow_mut().extend_from_slice(a.as_bytes());
                        } else {
                            self.on(c.bytes(&r), &mut seen, now, &mut tmp)?;
                        }
                    }
                    Ev::Close => return Err("the server closed the stream".into()),
                    Ev::Open(_) => {}
                }
            }
            let o = std::mem::take(&mut *self.out.0.borrow_mut());
            if !o.is_empty() {
                c.send(&o).await?;
            }
            tokio::select! {
                biased;
                r = c.fill() => if !r? { return Err("the server closed the connection".into()) },
                _ = self.out.1.notified() => {}
                _ = self.end.notified() => return Ok(()),
            }
        }
    }
}

pub async fn measure(
    f: &Rc<Fan>,
    w: &Rc<Window>,
    out: Out,
    mut make: impl FnMut(&mut Vec<u8>) + 'static,
) -> Delta {
    let (f2, w2) = (Rc::clone(f), Rc::clone(w));
    let h = spawn_local(async move {
        while !w2.stop.get() && f2.cx.nerr() == 0 {
            let mut b = vec![];
            while f2.open.borrow().len() < f2.window {
                make(&mut b);
            }
            if !b.is_empty() {
                out.0.borrow_mut().extend_from_slice(&b);
                out.1.notify_one();
            }
            let _ = tokio::time::timeout(Duration::from_millis(200), f2.wake.notified()).await;
        }
    });
    let d = w.run(&f.cx, || {}).await;
    let _ = h.await;
    f.drain().await;
    d
}

/// The connections of a run, each with a task that reads it.
pub struct Receivers {
    pub outs: Vec<Out>,
    ends: Vec<Rc<Notify>>,
    tasks: Vec<JoinHandle<Conn>>,
}

impl Receivers {
    pub fn start(f: &Rc<Fan>, conns: Vec<Conn>, source: &Source) -> Receivers {
        let mut all = Receivers { outs: vec![], ends: vec![], tasks: vec![] };
        for (who, mut c) in conns.into_iter().enumerate() {
            let (out, end) = (Out::default(), Rc::new(Notify::new()));
            all.outs.push(Rc::clone(&out));
            all.ends.push(Rc::clone(&end));
            let rx = Rx { f: Rc::clone(f), who, source: source.clone(), out, end };
            all.tasks.push(spawn_local(async move {
                if let Err(e) = rx.go(&mut c).await {
                    rx.f.cx.err("receiver", &e);
                }
                c
            }));
        }
        all
    }

    pub async fn end(self, cx: &Rc<Ctx>) {
        for e in &self.ends {
            e.notify_one();
        }
        let mut conns = vec![];
        for t in self.tasks {
            conns.extend(t.await);
        }
        close_all(cx, conns).await;
    }
}
