//! What is reported of children that do not stop as they are told is what Erlang/OTP 25 reports:
//! `otp/reports.escript` prints it, `otp/reports.expected.txt` is what it printed.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use parking_lot::Mutex;
use std::{collections::BTreeMap, fmt, future::pending, sync::Arc, time::Duration};
use supervision::{
    ChildSpec, Cx, Event, Exit, InitError, Next, PoolRef, PoolSpec, Process, Restart, Server,
    Shutdown, StateMachine, Step, SupervisorSpec, Tasks,
};
use tracing::{
    Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

const EXPECTED: &str = include_str!("otp/reports.expected.txt");
const KINDS: [&str; 7] = ["prompt", "hang", "normal", "oops", "other", "bye", "kill"];
const MORE: [&str; 6] = ["hang", "hang", "oops", "oops", "normal", "prompt"];

/// Ends in its own way when it is told to stop.
struct Ends(&'static str);

impl Process for Ends {
    type Args = &'static str;
    type Msg = ();
    const NAME: &'static str = "t";

    async fn init(kind: &'static str, cx: &mut Cx<()>) -> Result<Self, InitError> {
        cx.trap_exit(kind != "prompt");
        Ok(Self(kind))
    }

    async fn run(&mut self, cx: &mut Cx<()>) -> Exit {
        while !matches!(cx.next().await, Event::Exit { .. }) {}
        match self.0 {
            "hang" => pending().await,
            "normal" => Exit::Normal,
            "bye" => Exit::shutdown("bye"),
            "kill" => {
                cx.pid().kill();
                pending().await
            }
            why => Exit::error(why),
        }
    }
}

/// The reports, as the escript prints them.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<String>>>);

struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl Subscriber for Reports {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(BTreeMap::new());
        event.record(&mut fields);
        let Fields(fields) = fields;
        if fields["message"].starts_with("children did not stop as told") {
            assert_eq!(*event.metadata().level(), tracing::Level::ERROR);
            let [reason, child, count] = ["reason", "child", "count"].map(|name| &fields[name]);
            self.0.lock().push(format!("{reason} {child} {count}"));
        }
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Reports {
    /// What is reported while it runs.
    async fn of(scene: impl Future<Output = ()>) -> Vec<String> {
        let reports = Self::default();
        // were there only one, a place that a thread without any comes to first would be silent for all
        let _second = tracing::Dispatch::new(reports.clone());
        let _here = tracing::subscriber::set_default(reports.clone());
        scene.await;
        std::mem::take(&mut *reports.0.lock())
    }
}

fn child(kind: &'static str, shutdown: Shutdown, restart: Restart) -> ChildSpec {
    ChildSpec::process::<Ends>(kind, move || kind).shutdown(shutdown).restart(restart)
}

/// Instances of one template that differ.
fn template(shutdown: Shutdown, restart: Restart) -> ChildSpec {
    let kinds = Arc::new(Mutex::new(KINDS.into_iter().chain(MORE)));
    ChildSpec::process::<Ends>("t", move || kinds.lock().next().unwrap())
        .shutdown(shutdown)
        .restart(restart)
}

async fn scene(how: &str, strategy: &str, shutdown: Shutdown, restart: Restart) {
    let system = common::system("test");
    let simple = strategy == "simple_one_for_one";
    let spec = match simple {
        true => SupervisorSpec::simple_one_for_one(template(shutdown, restart)),
        false => KINDS.iter().fold(SupervisorSpec::one_for_one(), |spec, kind| {
            spec.child(child(kind, shutdown, restart))
        }),
    };
    let root = system.start(spec).await.unwrap();
    if simple {
        for _ in KINDS.iter().chain(&MORE) {
            root.start_instance().await.unwrap();
        }
    }
    if how == "terminate" {
        for kind in KINDS {
            root.terminate_child(kind).await.unwrap();
        }
    }
    root.stop().await;
    assert_eq!(system.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn children_that_do_not_stop_as_told_are_reported_as_otp_does() {
    let mut sections: Vec<(&str, Vec<String>)> = Vec::new();
    for line in EXPECTED.lines() {
        match line.starts_with("stop ") || line.starts_with("terminate ") {
            true => sections.push((line, Vec::new())),
            false => sections.last_mut().unwrap().1.push(line.to_owned()),
        }
    }
    assert_eq!(sections.len(), 15);
    for (stop, mut expected) in sections {
        let words: Vec<&str> = stop.split(' ').collect();
        let [how, strategy, shutdown, restart] = words[..] else { panic!("{stop}") };
        let shutdown = match shutdown {
            "brutal_kill" => Shutdown::BrutalKill,
            millis => Shutdown::Timeout(Duration::from_millis(millis.parse().unwrap())),
        };
        let restart = match restart {
            "permanent" => Restart::Permanent,
            "transient" => Restart::Transient,
            _ => Restart::Temporary,
        };
        let mut reported = Reports::of(scene(how, strategy, shutdown, restart)).await;
        if strategy == "simple_one_for_one" {
            // a map's order, in both
            expected.sort();
            reported.sort();
        }
        assert_eq!(reported, expected, "{stop}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_reports_as_a_supervisor_of_temporary_instances() {
    let title = "stop simple_one_for_one 300 temporary\n";
    let (_, after) = EXPECTED.split_once(title).unwrap();
    let mut expected: Vec<&str> = after.lines().take_while(|l| !l.starts_with("stop ")).collect();
    expected.sort_unstable();
    for drained in [false, true] {
        let system = common::system("test");
        let mut reported = Reports::of(async {
            let spec =
                PoolSpec { shutdown: Shutdown::Timeout(Duration::from_millis(300)), max: 99 };
            let pool = ChildSpec::pool::<Ends>("pool", "pool", spec);
            let root = system.start(SupervisorSpec::one_for_one().child(pool)).await.unwrap();
            let pool = PoolRef::<Ends>::find(&system, "pool").unwrap();
            for kind in KINDS.into_iter().chain(MORE) {
                pool.start(kind).await.unwrap();
            }
            if drained {
                assert_eq!(pool.drain(Duration::from_secs(9)).await, Ok(13));
            }
            root.stop().await;
        })
        .await;
        reported.sort();
        assert_eq!(reported, expected);
        assert_eq!(system.alive(), 0);
    }
}

/// Does not come to an end of its end.
struct Hangs;

impl Server for Hangs {
    type Args = ();
    type Msg = ();
    const NAME: &'static str = "hangs";

    async fn init((): (), _: &mut Cx<()>) -> Result<Self, InitError> {
        Ok(Self)
    }
    async fn handle(&mut self, (): (), _: &mut Cx<()>) -> Next {
        Next::Continue
    }
    async fn terminate(&mut self, _: &Exit, _: &mut Cx<()>) {
        pending::<()>().await;
    }
}

impl StateMachine for Hangs {
    type Args = ();
    type Msg = ();
    type State = ();
    const NAME: &'static str = "hangs";

    async fn init((): (), _: &mut Cx<()>) -> Result<((), Self), InitError> {
        Ok(((), Self))
    }
    async fn handle(&mut self, (): &(), (): (), _: &mut Cx<()>) -> Step<(), ()> {
        Step::keep()
    }
    async fn terminate(&mut self, (): &(), _: &Exit) {
        pending::<()>().await;
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_killed_when_its_time_is_up_is_reported() {
    let hangs = || ChildSpec::server::<Hangs>("below", || ()).shutdown(Shutdown::Infinity);
    let for_ever = PoolSpec { shutdown: Shutdown::Infinity, max: 9 };
    let children = [
        ChildSpec::server::<Hangs>("server", || ()),
        ChildSpec::state_machine::<Hangs>("machine", || ()),
        ChildSpec::process::<Ends>("process", || "hang"),
        ChildSpec::supervisor("supervisor", SupervisorSpec::one_for_one().child(hangs())),
        ChildSpec::pool::<Ends>("pool", "pool", for_ever),
    ];
    for child in children {
        let (system, id) = (common::system("test"), child.id().to_owned());
        let reported = Reports::of(async {
            let brief = child.shutdown(Shutdown::Timeout(Duration::from_millis(300)));
            let root = SupervisorSpec::one_for_one().child(brief);
            let root = system.start(root).await.unwrap();
            if let Some(pool) = PoolRef::<Ends>::find(&system, "pool") {
                pool.start("hang").await.unwrap();
            }
            root.stop().await;
        })
        .await;
        assert_eq!(reported, [format!("killed {id} 1")]);
        assert_eq!(system.crashes().count(), 0, "the supervisor says it, nobody else: {id}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_killed_has_a_report_and_one_that_is_stopped_has_none() {
    let system = common::system("test");
    let reported = Reports::of(async {
        let tasks = ChildSpec::tasks("tasks", "tasks", PoolSpec::default());
        let root = system.start(SupervisorSpec::one_for_one().child(tasks)).await.unwrap();
        let tasks = Tasks::find(&system, "tasks").unwrap();
        let [late, stopped] = [tasks.start(pending::<()>()), tasks.start(pending::<()>())];
        let (late, stopped) = (late.await.unwrap(), stopped.await.unwrap());
        let (of, pid) = (late.pid().clone(), stopped.pid().clone());
        assert!(late.join(Duration::from_secs(1)).await.is_err());
        assert_eq!(of.wait().await.word(), "killed");
        let crashes = system.crashes().list();
        let crashes: Vec<_> = crashes.iter().map(|r| (&*r.path, &*r.location)).collect();
        assert_eq!(crashes, [(&**of.path(), "killed from outside")]);
        root.stop().await;
        assert_eq!(pid.wait().await.word(), "shutdown");
    })
    .await;
    assert_eq!((reported.len(), system.crashes().count(), system.alive()), (0, 1, 0));
}
