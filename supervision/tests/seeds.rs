//! The seeded scheduler: the seed is the order, whatever can happen happens under some seed, what is promised holds under all.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{BOTH, SECOND, What};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};
use supervision::{
    ChildSpec, Cx, Event, Exit, InitError, Next, PoolSpec, Process, Ref, Reply, Server,
    SupervisorRef, SupervisorSpec, System, Task, Tasks,
    schedule::{Fault, Schedule},
    system::Change,
    testkit::{self, Kit},
};
use tokio::time::sleep;

/// Runs a test's future on one thread in paused time.
fn paused<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(future)
}

type Said = Arc<Mutex<Vec<String>>>;

enum Do {
    /// Says it.
    Say(&'static str),
    /// Says it after so long.
    Later(Duration, &'static str),
    /// Has another one say it.
    Tell(Ref<Do>, &'static str),
    Read(Reply<u64>),
    Write(u64, Reply<()>),
    /// Adds one in the store: reads, and writes what it makes of it.
    Torn(Ref<Do>, Reply<()>),
    Add(Reply<()>),
    /// The same in one step.
    Whole(Ref<Do>, Reply<()>),
}

/// Says in its own name what it is told, and is a store of one number.
struct Scribe {
    name: &'static str,
    said: Said,
    number: u64,
}

impl Scribe {
    fn new((name, said): (&'static str, Said)) -> Self {
        Self { name, said, number: 0 }
    }

    fn say(&self, what: &str) {
        self.said.lock().push(format!("{}{what}", self.name));
    }

    async fn act(&mut self, what: Do, cx: &mut Cx<Do>) {
        match what {
            Do::Say(what) => self.say(what),
            Do::Later(time, what) => drop(cx.send_after(time, Do::Say(what))),
            Do::Tell(whom, what) => drop(whom.cast(Do::Say(what))),
            Do::Read(reply) => reply.send(self.number),
            Do::Write(number, reply) => {
                self.number = number;
                reply.send(());
            }
            Do::Torn(store, reply) => {
                let number = store.call(Do::Read, SECOND).await.unwrap();
                store.call(|reply| Do::Write(number + 1, reply), SECOND).await.unwrap();
                reply.send(());
            }
            Do::Add(reply) => {
                self.number += 1;
                reply.send(());
            }
            Do::Whole(store, reply) => {
                store.call(Do::Add, SECOND).await.unwrap();
                reply.send(());
            }
        }
    }
}

impl Process for Scribe {
    type Args = (&'static str, Said);
    type Msg = Do;
    const NAME: &'static str = "scribe";

    async fn init(args: Self::Args, _: &mut Cx<Do>) -> Result<Self, InitError> {
        Ok(Self::new(args))
    }

    async fn run(&mut self, cx: &mut Cx<Do>) -> Exit {
        loop {
            if let Event::Msg(what) = cx.next().await {
                self.act(what, cx).await;
            }
        }
    }

    async fn terminate(&mut self, why: &Exit, _: &mut Cx<Do>) {
        self.say(&format!(" ends: {why}"));
    }
}

impl Server for Scribe {
    type Args = (&'static str, Said);
    type Msg = Do;
    const NAME: &'static str = "scribe";

    async fn init(args: Self::Args, _: &mut Cx<Do>) -> Result<Self, InitError> {
        Ok(Self::new(args))
    }

    async fn handle(&mut self, what: Do, cx: &mut Cx<Do>) -> Next {
        self.act(what, cx).await;
        Next::Continue
    }

    async fn terminate(&mut self, why: &Exit, _: &mut Cx<Do>) {
        self.say(&format!(" ends: {why}"));
    }
}

struct Scene {
    system: System,
    root: SupervisorRef,
    what: What,
    said: Said,
}

impl Scene {
    async fn new(what: What, schedule: &Schedule) -> Self {
        let system = common::scheduled("test", schedule.clone());
        let tasks = ChildSpec::tasks("tasks", "tasks", PoolSpec::default());
        let root = SupervisorSpec::one_for_one().intensity(10, SECOND).child(tasks);
        let root = system.start(root).await.unwrap();
        Self { system, root, what, said: Arc::default() }
    }

    async fn scribe(&self, name: &'static str) -> Ref<Do> {
        let said = Arc::clone(&self.said);
        let args = move || (name, Arc::clone(&said));
        let kit: Kit<Do> = match self.what {
            What::Process => testkit::process_under::<Scribe>(&self.root, name, args).await,
            What::Server => testkit::server_under::<Scribe>(&self.root, name, args).await,
        };
        kit.me
    }

    async fn task(&self, work: impl Future<Output = ()> + Send + 'static) -> Task<()> {
        Tasks::find(&self.system, "tasks").unwrap().start(work).await.unwrap()
    }

    fn said(&self) -> String {
        std::mem::take(&mut *self.said.lock()).join(" ")
    }

    /// What was said in the end; nothing is left.
    async fn over(self) -> String {
        sleep(SECOND * 10).await;
        let said = self.said();
        self.root.stop().await;
        assert_eq!(self.system.alive(), 0);
        said
    }
}

/// Two that can run.
async fn two(scene: Scene) -> String {
    let (a, b) = (scene.scribe("a").await, scene.scribe("b").await);
    a.cast(Do::Say("1")).unwrap();
    b.cast(Do::Say("1")).unwrap();
    scene.over().await
}

/// What waits for one comes between what waits for another.
async fn turns(scene: Scene) -> String {
    let (a, b) = (scene.scribe("a").await, scene.scribe("b").await);
    for what in ["1", "2"] {
        a.cast(Do::Say(what)).unwrap();
        b.cast(Do::Say(what)).unwrap();
    }
    scene.over().await
}

/// Timers of two are due at the same time.
async fn timers(scene: Scene) -> String {
    let (a, b) = (scene.scribe("a").await, scene.scribe("b").await);
    a.cast(Do::Later(SECOND, "1")).unwrap();
    b.cast(Do::Later(SECOND, "1")).unwrap();
    sleep(SECOND / 2).await;
    assert_eq!(scene.said(), "");
    scene.over().await
}

/// What was passed on comes after what was sent later without a detour, or before.
async fn detour(scene: Scene) -> String {
    let (a, b) = (scene.scribe("a").await, scene.scribe("b").await);
    a.cast(Do::Tell(b.clone(), "1")).unwrap();
    scene.task(async move { drop(b.cast(Do::Say("2"))) }).await;
    scene.over().await
}

/// Two tasks that begin at the same time.
async fn starts(scene: Scene) -> String {
    let tasks = Tasks::find(&scene.system, "tasks").unwrap();
    for name in ["a", "b", "c"] {
        let said = Arc::clone(&scene.said);
        tasks.spawn(async move { said.lock().push(name.to_owned()) }).unwrap();
    }
    scene.over().await
}

#[test]
fn each_outcome_of_a_small_race_shows_under_some_seed_and_no_other() {
    type Outcomes = BTreeMap<String, usize>;
    fn count<F: Future<Output = String>>(race: impl Fn(Scene) -> F, what: What) -> Outcomes {
        let mut outcomes = Outcomes::new();
        for seed in 0..250 {
            let said = paused(async { race(Scene::new(what, &Schedule::new(seed)).await).await });
            *outcomes.entry(said).or_default() += 1;
        }
        outcomes
    }
    for what in BOTH {
        let all = |outcomes: &Outcomes| outcomes.keys().cloned().collect::<Vec<_>>();
        assert_eq!(all(&count(two, what)), ["a1 b1", "b1 a1"], "{what:?}");
        let six = [
            "a1 a2 b1 b2",
            "a1 b1 a2 b2",
            "a1 b1 b2 a2",
            "b1 a1 a2 b2",
            "b1 a1 b2 a2",
            "b1 b2 a1 a2",
        ];
        assert_eq!(all(&count(turns, what)), six, "{what:?}");
        assert_eq!(all(&count(timers, what)), ["a1 b1", "b1 a1"], "{what:?}");
        assert_eq!(all(&count(detour, what)), ["b1 b2", "b2 b1"], "{what:?}");
        let orders = ["a b c", "a c b", "b a c", "b c a", "c a b", "c b a"];
        assert_eq!(all(&count(starts, what)), orders, "{what:?}");
    }
}

/// All that happens in a tree in which much does: who starts and ends when, what is said, what goes wrong.
async fn busy(what: What, schedule: Schedule) -> Vec<String> {
    let scene = Scene::new(what, &schedule).await;
    let (said, clock) = (Arc::clone(&scene.said), tokio::time::Instant::now());
    scene.system.observe(move |change| {
        let at = clock.elapsed().as_millis();
        said.lock().push(match change {
            Change::Started(pid) => format!("{at} + {pid:?}"),
            Change::Ended(pid, exit) => format!("{at} - {pid:?} {exit}"),
        });
    });
    let mut scribes = Vec::new();
    for name in ["a", "b", "c", "d"] {
        scribes.push(scene.scribe(name).await);
    }
    for round in 0..10 {
        let some = |n: u64| {
            let of = usize::try_from(schedule.below(n)).unwrap();
            scene.system.find(["/a", "/b", "/c", "/d"][of]).and(scribes.get(of)).cloned()
        };
        let (Some(one), Some(two)) = (some(4), some(4)) else { continue };
        drop(one.cast(Do::Tell(two.clone(), "told")));
        drop(two.cast(Do::Later(Duration::from_millis(schedule.below(3)), "late")));
        scene
            .task(async move {
                let _answer = two.call(Do::Read, SECOND / 100).await;
            })
            .await;
        if round % 3 == 0 {
            sleep(Duration::from_millis(schedule.below(20))).await;
        }
    }
    sleep(SECOND * 10).await;
    scene.root.stop().await;
    assert_eq!(scene.system.alive(), 0);
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
    std::mem::take(&mut *scene.said.lock())
}

#[test]
fn the_same_seed_is_the_same_run_with_its_faults_and_seeds_differ() {
    for what in BOTH {
        let (mut runs, mut faults) = (HashSet::new(), 0);
        for seed in 0..100 {
            let once = || {
                let late = Fault::Delay(Duration::from_millis(5));
                let schedule = ["/a", "/b", "/c"].iter().fold(Schedule::new(seed), |all, path| {
                    let all = all.faults(path, 30, Fault::Crash).faults(path, 30, Fault::Kill);
                    all.faults(path, 5, Fault::Drop).faults(path, 5, late)
                });
                let trace = paused(busy(what, schedule.clone()));
                (trace, schedule.steps(), schedule.digest(), schedule.happened())
            };
            let (one, two) = (once(), once());
            assert_eq!(one, two, "{what:?}, seed {seed}");
            faults += one.3.len();
            runs.insert(one.0);
        }
        assert!(runs.len() > 95 && faults > 100, "{what:?}: {} runs, {faults}", runs.len());
    }
}

/// What a sender sees of a fault at the second of its three messages.
async fn fault(what: What, fault: Fault) -> (String, Result<u64, supervision::CallError>) {
    let schedule = Schedule::new(1).fault_at("/a", 2, fault);
    let scene = Scene::new(what, &schedule).await;
    let (a, began) = (scene.scribe("a").await, tokio::time::Instant::now());
    a.cast(Do::Say("1")).unwrap();
    let call = {
        let a = a.clone();
        async move { a.call(Do::Read, SECOND * 2).await }
    };
    let call = Tasks::find(&scene.system, "tasks").unwrap().start(call).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    drop(a.cast(Do::Say("3")));
    let answer = call.join(SECOND * 3).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    scene.said.lock().push(format!("{}", began.elapsed().as_millis()));
    assert_eq!(schedule.happened().len(), 1);
    (scene.over().await, answer)
}

#[test]
fn a_fault_happens_at_its_message_and_what_comes_behind_it_keeps_its_order() {
    use supervision::CallError::Gone;
    let late = Fault::Delay(SECOND);
    for what in BOTH {
        let all = [Fault::Drop, late, Fault::Crash, Fault::Kill].map(|f| paused(fault(what, f)));
        let [dropped, delayed, crashed, killed] = all;
        assert_eq!(dropped, ("a1 a3 2".to_owned(), Err(Gone(None))), "{what:?}");
        assert_eq!(delayed, ("a1 a3 1001".to_owned(), Ok(0)), "{what:?}");
        let ends = "a1 a ends: a fault of the schedule 2".to_owned();
        let fault = Some(Exit::error("a fault of the schedule"));
        assert_eq!(crashed, (ends, Err(Gone(fault))), "{what:?}");
        assert_eq!(killed, ("a1 2".to_owned(), Err(Gone(Some(Exit::Killed)))), "{what:?}");
    }
}

#[test]
fn who_waits_for_a_late_message_is_stopped_and_killed_like_any_other() {
    for (what, kill) in BOTH.into_iter().flat_map(|what| [(what, true), (what, false)]) {
        let ended = paused(async {
            let late = Fault::Delay(SECOND * 3600);
            let scene = Scene::new(what, &Schedule::new(1).fault_at("/a", 1, late)).await;
            let (a, began) = (scene.scribe("a").await, tokio::time::Instant::now());
            a.cast(Do::Say("1")).unwrap();
            sleep(SECOND).await;
            assert!(a.pid().is_suspended());
            if kill {
                a.pid().kill();
            } else {
                scene.root.terminate_child("a").await.unwrap();
            }
            let exit = a.pid().wait().await;
            assert_eq!(began.elapsed(), SECOND);
            scene.root.stop().await;
            exit.to_string()
        });
        assert_eq!(ended, if kill { "killed" } else { "shutdown" }, "{what:?}");
    }
}

/// Two that add one to the same number.
async fn adders(what: What, schedule: Schedule, add: fn(Ref<Do>, Reply<()>) -> Do) {
    let scene = Scene::new(what, &schedule).await;
    let (store, a, b) = (scene.scribe("s").await, scene.scribe("a").await, scene.scribe("b").await);
    let one = a.call(|reply| add(store.clone(), reply), SECOND);
    let two = b.call(|reply| add(store.clone(), reply), SECOND);
    assert_eq!(tokio::join!(one, two), (Ok(()), Ok(())));
    assert_eq!(store.call(Do::Read, SECOND).await, Ok(2));
    scene.root.stop().await;
}

#[test]
fn a_planted_race_is_found_and_its_mended_form_survives_all_seeds() {
    for what in BOTH {
        let torn = |schedule| paused(adders(what, schedule, Do::Torn));
        let found = testkit::first_failure(0..1000, torn).unwrap();
        assert!(found.why.contains("right: Ok(2)"), "{found}");
        let text = found.to_string();
        assert!(text.starts_with(&format!("seed {}: ", found.seed)), "{text}");
        assert!(text.contains(&format!("SEED={} cargo test", found.seed)), "{text}");
        // the seed is all that is needed to see it again
        let again = testkit::first_failure(found.seed..found.seed + 1, torn).unwrap();
        assert_eq!(again.to_string(), text);
        testkit::every_seed(0..1000, |schedule| paused(adders(what, schedule, Do::Whole)));
    }
}
