//! In which order a process takes what comes, held against OTP: `otp/order.expected.txt` has scenarios and what a `gen_server`
//! did in each; `otp/order.escript` makes them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::{BOTH, What};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use supervision::{
    ChildSpec, Cx, Event, Exit, InitError, Local, Monitor, Next, Process, Ref, Restart, Server,
    Shutdown, Started, SupervisorSpec, System, Timer, testkit,
};
use tokio::time::{Instant, sleep, sleep_until};

const HELPERS: [&str; 4] = ["h0", "h1", "l0", "l1"];

/// A unit of the scenarios.
fn units(n: &str) -> Duration {
    Duration::from_millis(n.parse().unwrap())
}

enum Do {
    Note(String),
    Busy(String, Duration),
    Timer(String, Duration),
    Due(String),
    Idle(String, Duration),
    TooLong(String),
    Cancel,
}

#[derive(Clone)]
struct Args {
    trap: bool,
    helpers: Vec<Ref<Last>>,
    said: Arc<Mutex<Vec<String>>>,
}

struct Scribe {
    args: Args,
    timer: Option<Timer>,
    monitors: Vec<(Monitor, &'static str)>,
}

impl Scribe {
    fn new(args: Args, cx: &mut Cx<Do>) -> Self {
        cx.trap_exit(args.trap);
        let mut monitors = Vec::new();
        for (name, helper) in HELPERS.into_iter().zip(&args.helpers) {
            match name.starts_with('h') {
                true => monitors.push((cx.monitor(helper.pid()), name)),
                false => cx.link(helper.pid()),
            }
        }
        Self { args, timer: None, monitors }
    }

    fn say(&self, what: String) {
        self.args.said.lock().push(what);
    }

    async fn act(&mut self, what: Do, cx: &mut Cx<Do>) {
        match what {
            Do::Note(at) => self.say(at),
            Do::Busy(at, time) => {
                self.say(format!("busy{at}"));
                sleep(time).await;
            }
            Do::Timer(at, after) => self.timer = Some(cx.send_after(after, Do::Due(at))),
            Do::Due(at) => self.say(format!("due{at}")),
            Do::Idle(at, after) => cx.idle_after(after, Do::TooLong(at)),
            Do::TooLong(at) => self.say(format!("idle{at}")),
            Do::Cancel => {
                if let Some(timer) = self.timer.take() {
                    cx.cancel(timer);
                }
            }
        }
    }

    fn told(&self, event: Event<Do>) {
        let (what, name, reason) = match event {
            Event::Down { monitor, reason, .. } => {
                let of = self.monitors.iter().find(|(of, _)| *of == monitor).unwrap();
                ("down", of.1, reason)
            }
            Event::Exit { from, reason } => {
                let is = |(_, helper): &(&str, &Ref<Last>)| *helper.pid() == from;
                let (name, _) = HELPERS.into_iter().zip(&self.args.helpers).find(is).unwrap();
                ("exit", name, reason)
            }
            Event::Msg(_) => panic!("no event"),
        };
        self.say(format!("{what}:{name}:{reason}"));
    }
}

impl Process for Scribe {
    type Args = Args;
    type Msg = Do;
    const NAME: &'static str = "scribe";

    async fn init(args: Args, cx: &mut Cx<Do>) -> Result<Self, InitError> {
        Ok(Self::new(args, cx))
    }

    async fn run(&mut self, cx: &mut Cx<Do>) -> Exit {
        loop {
            match cx.next().await {
                Event::Msg(what) => self.act(what, cx).await,
                Event::Exit { from, reason } if cx.is_parent(&from) => return reason,
                event => self.told(event),
            }
        }
    }
}

struct Serving(Scribe);

impl Server for Serving {
    type Args = Args;
    type Msg = Do;
    const NAME: &'static str = "serving";

    async fn init(args: Args, cx: &mut Cx<Do>) -> Result<Self, InitError> {
        Ok(Self(Scribe::new(args, cx)))
    }

    async fn handle(&mut self, what: Do, cx: &mut Cx<Do>) -> Next {
        self.0.act(what, cx).await;
        Next::Continue
    }

    async fn event(&mut self, event: Event<Do>, _: &mut Cx<Do>) -> Next {
        self.0.told(event);
        Next::Continue
    }
}

/// What a helper is told: to say something, and to end so.
struct Last(Ref<Do>, String, Exit);

struct Helper;

impl Process for Helper {
    type Args = ();
    type Msg = Last;
    const NAME: &'static str = "helper";

    async fn init((): (), _: &mut Cx<Last>) -> Result<Self, InitError> {
        Ok(Self)
    }

    async fn run(&mut self, cx: &mut Cx<Last>) -> Exit {
        match cx.next().await {
            Event::Msg(Last(to, at, exit)) => {
                drop(to.cast(Do::Note(at)));
                exit
            }
            _ => Exit::Normal,
        }
    }
}

async fn start(
    what: What,
    args: Args,
    within: Duration,
    system: &System,
) -> (supervision::SupervisorRef, Ref<Do>) {
    let slot: Arc<Mutex<Option<Ref<Do>>>> = Arc::default();
    let keep = Arc::clone(&slot);
    let child = ChildSpec::new("scribe", move |place| {
        let (args, keep) = (args.clone(), Arc::clone(&keep));
        async move {
            let started = match what {
                What::Process => place.process::<Scribe>(args).await?,
                What::Server => place.server::<Serving>(args).await?,
            };
            let pid = started.pid().clone();
            *keep.lock() = Some(started);
            Ok(Started::Up(pid))
        }
    });
    let child = child.restart(Restart::Temporary).shutdown(Shutdown::Timeout(within));
    let root = system.start(SupervisorSpec::one_for_one().child(child)).await.unwrap();
    let me = slot.lock().take().unwrap();
    (root, me)
}

async fn run(what: What, scenario: &str, system: &System) -> String {
    let mut parts = scenario.split(" | ");
    let trap = parts.next() == Some("trap");
    let acts: Vec<Vec<&str>> = parts.map(|act| act.split(' ').collect()).collect();
    let within = match acts.last().map(Vec::as_slice) {
        Some([_, "stop", within]) => units(within),
        _ => Duration::ZERO,
    };
    let said = Arc::default();
    let mut helpers = Vec::new();
    for name in HELPERS {
        helpers.push(system.spawn::<Helper>(name, ()).await.unwrap());
    }
    let args = Args { trap, helpers: helpers.clone(), said: Arc::clone(&said) };
    let (root, me) = start(what, args, within, system).await;
    let pid: Local = me.pid().clone();
    let began = Instant::now();
    let at = |at: &str| began + units(at);
    for act in &acts {
        sleep_until(at(act[0])).await;
        let name = act[0].to_owned();
        let what = match act[1..] {
            ["note"] => Do::Note(name),
            ["busy", time] => Do::Busy(name, units(time)),
            ["timer", after] => Do::Timer(name, units(after)),
            ["idle", after] => Do::Idle(name, units(after)),
            ["cancel"] => Do::Cancel,
            ["last", helper, reason] => {
                let exit = if reason == "normal" { Exit::Normal } else { Exit::error(reason) };
                let n = HELPERS.iter().position(|name| *name == helper).unwrap();
                drop(helpers[n].cast(Last(me.clone(), name, exit)));
                continue;
            }
            ["stop", _] => {
                drop(root.terminate_child("scribe").await);
                continue;
            }
            _ => panic!("{act:?}"),
        };
        drop(me.cast(what));
    }
    sleep(Duration::from_millis(1_500)).await;
    if let Some(reason) = pid.exit_reason() {
        said.lock().push(format!("ended:{reason}"));
    }
    root.stop().await;
    let said: &Vec<String> = &said.lock();
    said.join(" ")
}

#[tokio::test(start_paused = true)]
async fn what_comes_is_taken_in_the_order_of_otp() {
    let mut differs = Vec::new();
    for line in include_str!("otp/order.expected.txt").lines() {
        let (scenario, expected) = line.split_once(" =>").unwrap();
        for what in BOTH {
            let ours = run(what, scenario, &common::system("order")).await;
            if ours != expected.trim() {
                differs.push(format!("{what:?}: {scenario}\n  otp:{expected}\n  ours: {ours}"));
            }
        }
    }
    assert!(differs.is_empty(), "{} differ:\n{}", differs.len(), differs.join("\n"));
}

/// Whether OTP's trace is the only one there can be. All happens at a time of its own, or comes from one sender; but who traps no exits
/// and hears that somebody crashed who has just said something, has heard it or has not.
fn has_one_outcome(scenario: &str) -> bool {
    scenario.starts_with("trap")
        || !scenario.contains("last l0 boom") && !scenario.contains("last l1 boom")
}

#[test]
fn the_order_of_otp_holds_under_every_seed() {
    let all = include_str!("otp/order.expected.txt").lines();
    let scenarios: Vec<&str> = all.filter(|line| has_one_outcome(line)).collect();
    assert!(scenarios.len() > 350);
    testkit::every_seed(0..6, |schedule| {
        for (n, line) in scenarios.iter().enumerate() {
            // each scenario in one engine under this seed, in the other one under the next
            let what = BOTH[(n + usize::try_from(schedule.seed()).unwrap()) % 2];
            let (scenario, expected) = line.split_once(" =>").unwrap();
            let system = common::scheduled("order", schedule.clone());
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_time().start_paused(true).build().unwrap();
            let ours = runtime.block_on(run(what, scenario, &system));
            assert_eq!(ours, expected.trim(), "{what:?}: {scenario}");
        }
    });
}
