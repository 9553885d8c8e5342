//! `roam`: clients of a cluster as phones are. Each has one session, which can be resumed (XEP-0198); when its connection ends or is silent it
//! connects to a node, mostly another one, and resumes there, or logs on anew. They write to one another; each message is accounted for.
//!
//! Standard input says how it goes on: a line `quiet` ends the talk: everybody connects and waits until nothing comes any more. With each line `look`
//! all log off and on once more, which brings what is still in the store. Its end ends it. `{"event": ...}` lines on standard output say how far it is:
//! `talk` when all have logged on, and `rests` after each line, with how many messages are missing.

mod client;
mod ledger;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::BufRead;
use std::rc::Rc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;

use crate::R;
use crate::args::Args;
use crate::ctx::Ctx;
use crate::report::{base, finish, merge};
use client::Client;
use ledger::Ledger;

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// Messages, and whoever wants to comes and goes.
    Talk,
    /// Nobody sends or leaves any more.
    Quiet,
    /// Everybody logs off, and on again: for the how manieth time.
    Look(u32),
    End,
}

/// Seconds since 1970: what whoever reads the result compares with.
pub fn now() -> f64 {
    UNIX_EPOCH.elapsed().map_or(0.0, |d| d.as_secs_f64())
}

/// A log-on or a resumption after a connection was lost, or the first.
pub struct Return {
    client: usize,
    lost: f64,
    back: f64,
    how: &'static str,
    /// The first answer to `<resume/>`: `resumed`, or a condition; `how`, where none was asked for.
    first: String,
}

/// What all clients share.
pub struct Crowd {
    pub cx: Rc<Ctx>,
    pub clients: usize,
    /// Messages a second of a client.
    rate: f64,
    size: usize,
    /// How long the server may say nothing when it is asked, and one attempt to connect may take.
    silence: Duration,
    /// How often a client that has nothing to say asks.
    ping: Duration,
    /// How long a client stays, about, before it loses its connection or leaves for a while; zero: for ever.
    stay: f64,
    pub ledger: RefCell<Ledger>,
    /// At which address each is connected now.
    places: RefCell<Vec<Option<usize>>>,
    counts: RefCell<BTreeMap<String, u64>>,
    returns: RefCell<Vec<Return>>,
    /// Who is connected, has everything counted and is in that phase.
    settled: RefCell<Vec<Option<Phase>>>,
    sessions: Cell<u64>,
    /// Who has been connected once.
    joined: Cell<usize>,
}

impl Crowd {
    fn count(&self, what: &str) {
        *self.counts.borrow_mut().entry(what.to_owned()).or_default() += 1;
    }

    /// A number from 0 to 1.
    fn chance(&self) -> f64 {
        (self.cx.rnd() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Around so many seconds: from none to twice as many.
    fn about(&self, secs: f64) -> Duration {
        Duration::from_secs_f64(secs * 2.0 * self.chance())
    }

    fn place(&self, client: usize) -> Option<usize> {
        self.places.borrow().get(client).copied().flatten()
    }

    fn is_at(&self, client: usize, place: Option<usize>) {
        if let Some(at) = self.places.borrow_mut().get_mut(client) {
            *at = place;
        }
    }

    fn is_settled(&self, client: usize, phase: Option<Phase>) {
        if let Some(settled) = self.settled.borrow_mut().get_mut(client) {
            *settled = phase;
        }
    }

    fn came_back(&self, client: usize, lost: f64, how: &'static str, first: &str) {
        self.count(how);
        let first = first.to_owned();
        self.returns.borrow_mut().push(Return { client, lost, back: now(), how, first });
    }

    /// Waits until everybody is settled in that phase and nothing has come for so long, or for `most`. How many are not.
    async fn all_settled(&self, phase: Phase, quiet: Duration, most: Duration) -> usize {
        let begun = Instant::now();
        loop {
            let missing = self.settled.borrow().iter().filter(|s| **s != Some(phase)).count();
            let last = self.ledger.borrow().last;
            let rests = begun.max(last).elapsed() >= quiet;
            if (missing == 0 && rests) || begun.elapsed() >= most {
                return missing;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn event(name: &str, more: Value) {
    let mut v = json!({"event": name, "at": now()});
    merge(&mut v, more);
    println!("{v}");
}

/// The lines of standard input.
fn told() -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if tell.blocking_send(line).is_err() {
                break;
            }
        }
    });
    told
}

pub async fn run(cx: Rc<Ctx>, a: &Args) -> R<bool> {
    let clients: usize = a.num("clients", 300);
    let (conc, settle): (usize, f64) = (a.num("conc", 32), a.num("settle", 120.0));
    let quiet = Duration::from_secs_f64(a.num("quiet", 12.0));
    let crowd = Rc::new(Crowd {
        cx: Rc::clone(&cx),
        clients,
        rate: a.num("rate", 100.0) / clients as f64,
        size: a.num("size", 100),
        silence: Duration::from_secs_f64(a.num("silence", 5.0)),
        ping: Duration::from_secs_f64(a.num("ping", 5.0)),
        stay: a.num("stay", 0.0),
        ledger: RefCell::default(),
        places: RefCell::new(vec![None; clients]),
        counts: RefCell::default(),
        returns: RefCell::default(),
        settled: RefCell::new(vec![None; clients]),
        sessions: Cell::new(0),
        joined: Cell::new(0),
    });
    let list = a.flag("list");
    a.check()?;
    if cx.users < clients || clients < 2 {
        return Err("--users must be at least --clients, and these two".into());
    }
    let mut told = told();
    let (tell, phase) = watch::channel(Phase::Talk);
    let turns = Rc::new(tokio::sync::Semaphore::new(conc));
    let tasks: Vec<_> = (0..clients)
        .map(|me| {
            let client = Client::new(Rc::clone(&crowd), me, phase.clone(), Rc::clone(&turns));
            spawn_local(client.live())
        })
        .collect();
    while crowd.joined.get() < clients {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    event("talk", json!({}));
    let most = Duration::from_secs_f64(settle);
    let (mut looks, mut restless) = (0, 0);
    while let Some(line) = told.recv().await {
        let next = match line.trim() {
            "quiet" => Phase::Quiet,
            "look" => {
                looks += 1;
                Phase::Look(looks)
            }
            other => return Err(format!("on standard input: {other}")),
        };
        let _ = tell.send(next);
        restless = crowd.all_settled(next, quiet, most).await;
        event("rests", json!({"missing": crowd.ledger.borrow().missing()}));
    }
    let _ = tell.send(Phase::End);
    let last = tokio::time::Instant::now() + crowd.silence * 3;
    for task in tasks {
        let _ = tokio::time::timeout_at(last, task).await;
    }
    if restless > 0 {
        cx.err("rest", &format!("{restless} clients do not come to rest"));
    }
    let mut v = base(&cx, a);
    merge(&mut v, json!({ "clients": clients, "looks": looks, "events": *crowd.counts.borrow() }));
    merge(&mut v, crowd.ledger.borrow().json());
    if list {
        let shown = |r: &Return| json!([r.client, r.lost, r.back, r.how, r.first]);
        merge(
            &mut v,
            json!({"returns": crowd.returns.borrow().iter().map(shown).collect::<Vec<_>>()}),
        );
    }
    Ok(finish(&cx, v))
}
