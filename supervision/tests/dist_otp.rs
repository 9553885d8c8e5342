//! What two nodes do with one another, held against OTP: `otp/nodes.expected.txt` is what two nodes of OTP 25 did in the same scenarios
//! (`otp/nodes.sh`, `otp/nodes.erl`).
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use serde::{Deserialize, Serialize};
use std::{collections::HashMap, time::Duration};
use supervision::{
    CallError, Cx, Event, Exit, Far, InitError, Monitor, Node, NodeEvent, Pid, Process, Ref,
    Remote, Reply, System, schedule::Schedule, testkit::Network,
};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::sleep,
};

/// As in `nodes.erl`: `P` is there, `H` here.
const SCENARIOS: &[(&str, &str)] = &[
    ("monitor, ends", "new P; monitor P; stop P over; heard"),
    ("monitor, ends normally", "new P; monitor P; stop P normal; heard"),
    ("monitor, killed", "trap P; monitor P; kill P; heard"),
    ("monitor, has ended", "new P; stop P over; wait; monitor P; heard"),
    ("monitor, lost", "new P; monitor P; lose; heard"),
    ("monitor, twice", "new P; monitor P; monitor P; stop P over; heard"),
    ("monitor, taken back", "new P; monitor P; demonitor; stop P over; heard"),
    ("monitor, taken back when lost", "new P; watch P; lose; wait; wait; heard"),
    ("monitor, by name", "new P; register P; monitor front; stop P over; heard"),
    ("monitor, by a name of nobody", "monitor nobody; heard"),
    ("monitor, by name, lost", "new P; register P; monitor front; lose; heard"),
    ("monitor, of an earlier start", "new P; again; monitor P; heard"),
    ("link, ends", "new P; link P; stop P over; heard"),
    ("link, ends normally", "new P; link P; stop P normal; heard"),
    ("link, killed", "new P; link P; kill P; heard"),
    ("link, has ended", "new P; stop P over; wait; link P; heard"),
    ("link, lost", "new P; link P; lose; heard"),
    ("link, twice", "new P; link P; link P; stop P over; heard"),
    ("link, taken back", "new P; link P; unlink P; stop P over; heard"),
    ("link, from there", "new P; linked P me; wait; stop P over; heard"),
    ("link, of an earlier start", "new P; again; link P; heard"),
    (
        "link, one that does not trap",
        "new P; new H; monitor H; linked H P; wait; stop P over; heard",
    ),
    (
        "link, one that does not trap, killed",
        "new P; new H; monitor H; linked H P; wait; kill P; heard",
    ),
    (
        "link, one that does not trap, normally",
        "new P; new H; monitor H; linked H P; wait; stop P normal; heard; alive H",
    ),
    (
        "link, one that does not trap, lost",
        "new P; new H; monitor H; linked H P; wait; lose; heard",
    ),
    ("link, this side ends", "new P; new H; linked H P; wait; monitor P; stop H over; heard"),
    ("link, this side is killed", "new P; new H; linked H P; wait; monitor P; kill H; heard"),
    (
        "link, this side ends normally",
        "new P; new H; linked H P; wait; monitor P; stop H normal; heard; alive P",
    ),
    ("exit, normal", "new P; monitor P; exit P normal; heard; alive P"),
    ("exit, shutdown", "new P; monitor P; exit P shutdown; heard"),
    ("exit, to one that traps", "trap P; monitor P; exit P over; heard; alive P"),
    ("exit, normal, to one that traps", "trap P; exit P normal; heard"),
    ("exit, killed, to one that traps", "trap P; exit P killed; heard"),
    ("call", "new P; double P 21"),
    ("call, by name", "new P; register P; double front 4"),
    ("call, by a name of nobody", "double nobody 4"),
    ("call, has ended", "new P; stop P over; wait; double P 21"),
    ("call, ends", "new P; asks P over"),
    ("call, ends normally", "new P; asks P normal"),
    ("call, takes too long", "new P; never P"),
    ("call, lost", "new P; loses P; heard"),
    ("send, to nobody", "say nobody 1; heard"),
    ("send, then end", "new P; monitor P; say P 5; stop P over; heard"),
    ("send, then end, linked", "new P; link P; say P 3; stop P over; heard"),
    ("nodes", "lose; wait; nodes; connect; new P; say P 3; wait; lose; heard"),
    ("nodes, another start", "nodes; new P; monitor P; again; heard"),
    ("groups", "new P; members; join P; members; leave P; members; join P; stop P over; members"),
    ("groups, lost", "new P; join P; members; lose; members; connect; members"),
    (
        "groups, those of this node",
        "new H; join H; new P; join P; members; lose; members; stop H normal; members",
    ),
];

#[derive(Debug, Serialize, Deserialize)]
enum Do {
    Stop(String),
    Link(Pid),
    Say(u32),
    Double(u32, Reply<u32>),
    Asks(String, Reply<u32>),
    Never(Reply<u32>),
}

impl Remote for Do {
    const TAG: &'static str = "otp.do";
}

#[derive(Debug, Serialize, Deserialize)]
enum Hear {
    Said(String),
    Nodes,
    /// Takes nothing for a while, then takes back its monitor of that one, and what waits of it.
    Watch(Pid),
}

impl Remote for Hear {
    const TAG: &'static str = "otp.hear";
}

fn exit(why: &str) -> Exit {
    match why {
        "normal" => Exit::Normal,
        "shutdown" => Exit::Shutdown,
        "killed" => Exit::Killed,
        other => Exit::error(other),
    }
}

/// Does as it is told, and tells the judge what it is told by signals.
struct Worker {
    judge: Pid,
    never: Vec<Reply<u32>>,
}

impl Process for Worker {
    type Args = (bool, Pid);
    type Msg = Do;
    const NAME: &'static str = "worker";

    async fn init((trap, judge): (bool, Pid), cx: &mut Cx<Do>) -> Result<Self, InitError> {
        cx.trap_exit(trap);
        Ok(Self { judge, never: Vec::new() })
    }

    async fn run(&mut self, cx: &mut Cx<Do>) -> Exit {
        let judge: Far<Hear> = cx.system().far(&self.judge);
        loop {
            match cx.next().await {
                Event::Msg(Do::Stop(why) | Do::Asks(why, _)) => return exit(&why),
                Event::Msg(Do::Link(pid)) => cx.link(pid),
                Event::Msg(Do::Say(most)) => {
                    for n in 1..=most {
                        judge.cast(Hear::Said(format!("said {n}"))).unwrap();
                    }
                }
                Event::Msg(Do::Double(n, reply)) => reply.send(2 * n),
                Event::Msg(Do::Never(reply)) => self.never.push(reply),
                Event::Exit { reason, .. } => {
                    judge.cast(Hear::Said(format!("said {reason}"))).unwrap();
                }
                Event::Down { .. } => {}
            }
        }
    }
}

/// What it hears, in its order.
struct Judge(Sender<String>);

impl Process for Judge {
    type Args = Sender<String>;
    type Msg = Hear;
    const NAME: &'static str = "judge";

    async fn init(tell: Sender<String>, cx: &mut Cx<Hear>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        Ok(Self(tell))
    }

    async fn run(&mut self, cx: &mut Cx<Hear>) -> Exit {
        loop {
            let heard = match cx.next().await {
                Event::Msg(Hear::Said(what)) => what,
                Event::Msg(Hear::Nodes) => {
                    cx.monitor_nodes(|event| match event {
                        NodeEvent::Up { .. } => Hear::Said("up".to_owned()),
                        NodeEvent::Down { .. } => Hear::Said("lost".to_owned()),
                    });
                    continue;
                }
                Event::Msg(Hear::Watch(pid)) => {
                    let monitor = cx.monitor(pid);
                    sleep(2 * WHILE).await;
                    cx.demonitor_flush(monitor);
                    continue;
                }
                Event::Exit { reason, .. } => format!("exit {reason}"),
                Event::Down { pid, reason, .. } => match pid.name() {
                    Some((name, _)) => format!("down {name} {reason}"),
                    None => format!("down {reason}"),
                },
            };
            self.0.send(heard).await.unwrap();
        }
    }
}

const WHILE: Duration = Duration::from_millis(150);

struct Nodes {
    schedule: Schedule,
    network: Network,
    here: System,
    there: System,
    judge: Ref<Hear>,
    heard: Receiver<String>,
    pids: HashMap<String, Pid>,
    monitors: Vec<(Pid, Monitor)>,
    lines: Vec<String>,
}

fn node(name: &str, schedule: &Schedule) -> System {
    let system = System::scheduled_on(Node::new(name).unwrap(), name, schedule.clone());
    system.accept::<Do>();
    system.accept::<Hear>();
    system
}

impl Nodes {
    async fn new(seed: u64) -> Self {
        let schedule = Schedule::new(seed);
        let (here, there) = (node("judge@otp", &schedule), node("there@otp", &schedule));
        let (tell, heard) = channel(100);
        let judge = here.spawn::<Judge>("/judge", tell).await.unwrap();
        let network = Network::new(&schedule);
        network.connect(&here, &there).unwrap();
        let (pids, monitors, lines) = (HashMap::new(), Vec::new(), Vec::new());
        Self { schedule, network, here, there, judge, heard, pids, monitors, lines }
    }

    fn me(&self) -> Pid {
        self.judge.pid().into()
    }

    /// `P` is there, `H` is here; anything else is a name there.
    fn far(&self, who: &str) -> Far<Do> {
        match self.pids.get(who) {
            Some(pid) => self.here.far(pid),
            None => self.here.far_named(self.there.node(), who),
        }
    }

    fn lose(&self) {
        self.network.cut(self.here.node(), self.there.node());
    }

    fn cast(&self, who: &str, what: Do) {
        self.far(who).cast(what).unwrap();
    }

    /// Its process, where it lives.
    fn local(&self, who: &str) -> supervision::Local {
        let id = self.pids[who].id();
        let system = if who == "H" { &self.here } else { &self.there };
        system.pid(id).local().unwrap().clone()
    }

    async fn does(&mut self, what: &str) {
        let words: Vec<&str> = what.split(' ').collect();
        let (who, how) = (words.get(1).copied().unwrap_or("P"), words.get(2).copied());
        let (how, me) = (how.unwrap_or_default(), self.judge.pid().clone());
        match words[0] {
            "new" | "trap" => {
                let system = if who == "H" { &self.here } else { &self.there };
                let args = (words[0] == "trap", system.pid(me.id()));
                let worker = system.spawn::<Worker>("/worker", args).await.unwrap();
                self.pids.insert(who.to_owned(), self.here.pid(worker.pid().id()));
            }
            "wait" => sleep(WHILE).await,
            "monitor" => {
                let monitor = self.far(who).monitor(&me);
                self.monitors.push((self.pids.get(who).cloned().unwrap_or(self.me()), monitor));
            }
            "demonitor" => {
                self.monitors.drain(..).for_each(|(pid, monitor)| pid.demonitor(monitor));
            }
            "link" => me.link(&self.pids[who]),
            "unlink" => me.unlink(&self.pids[who]),
            "linked" => {
                let whom = if how == "me" { self.me() } else { self.pids[how].clone() };
                self.cast(who, Do::Link(whom));
            }
            "stop" => self.cast(who, Do::Stop(how.to_owned())),
            "kill" => self.pids[who].kill(),
            "exit" => self.pids[who].exit(exit(how)),
            "say" => self.cast(who, Do::Say(if how.is_empty() { 1 } else { how.parse().unwrap() })),
            "lose" => self.lose(),
            "connect" => {
                sleep(WHILE).await;
                self.network.connect(&self.here, &self.there).unwrap();
            }
            "again" => {
                sleep(WHILE).await;
                self.lose();
                sleep(WHILE).await;
                self.there = node("there@otp", &self.schedule);
                self.network.connect(&self.here, &self.there).unwrap();
            }
            "nodes" => self.judge.cast(Hear::Nodes).unwrap(),
            "watch" => self.judge.cast(Hear::Watch(self.pids[who].clone())).unwrap(),
            "register" => {
                let worker = Ref::of::<Do>(self.local(who)).unwrap();
                self.there.register("front", &worker).unwrap();
            }
            "join" => {
                let local = self.local(who);
                local.system().join("g", &local);
            }
            "leave" => {
                let local = self.local(who);
                local.system().leave_group("g", &local);
            }
            "members" => {
                sleep(WHILE).await;
                self.lines.push(format!("{} members", self.here.group("g").len()));
            }
            "alive" => {
                let alive = self.local(who).is_alive();
                self.lines.push(if alive { "alive" } else { "dead" }.to_owned());
            }
            "heard" => {
                sleep(WHILE).await;
                while let Ok(heard) = self.heard.try_recv() {
                    self.lines.push(heard);
                }
                self.lines.push("-".to_owned());
            }
            _ => self.calls(words[0], who, how).await,
        }
    }

    async fn calls(&mut self, what: &str, who: &str, how: &str) {
        let far = self.far(who);
        let answer = match what {
            "double" => far.call(|reply| Do::Double(how.parse().unwrap(), reply), WHILE).await,
            "asks" => far.call(|reply| Do::Asks(how.to_owned(), reply), WHILE).await,
            "never" => far.call(Do::Never, WHILE).await,
            "loses" => {
                let loses = async {
                    sleep(WHILE / 2).await;
                    self.lose();
                };
                tokio::join!(far.call(Do::Never, 10 * WHILE), loses).0
            }
            other => panic!("{other}"),
        };
        self.lines.push(match answer {
            Ok(n) => format!("answer {n}"),
            Err(CallError::Gone(Some(why))) => why.to_string(),
            Err(CallError::Timeout) => "timeout".to_owned(),
            Err(other) => panic!("{other}"),
        });
    }
}

async fn run(seed: u64) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, script) in SCENARIOS {
        let mut nodes = Nodes::new(seed).await;
        for what in script.split("; ") {
            nodes.does(what).await;
        }
        lines.extend(nodes.lines.iter().map(|line| format!("{name}: {line}")));
    }
    lines
}

#[test]
fn two_nodes_do_with_one_another_what_those_of_otp_do() {
    let expected = include_str!("otp/nodes.expected.txt");
    let expected: Vec<&str> = expected.lines().collect();
    for seed in 0..20 {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let lines = runtime.block_on(run(seed));
        for (line, expected) in lines.iter().zip(&expected) {
            assert_eq!(line, expected, "seed {seed}");
        }
        assert_eq!(lines.len(), expected.len());
    }
}
