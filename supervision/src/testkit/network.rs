//! Connections between the nodes of a test, in memory.

use crate::{
    dist::{Class, ConnectError, Connection, SendError, Transport},
    id::Node,
    schedule::Schedule,
    system::System,
    task::Task,
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::Notify, time::sleep};

/// The most messages that are on their way from one node to another, unless a test says otherwise.
const CREDIT: usize = 1024;
/// How late a frame may be.
const LATE: u64 = 20;

/// Connections between systems of one program, each of which is a node: frames take their time, as the schedule draws, and connections are
/// lost when the test says so, with what was on its way.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use supervision::{Exit, Node, Remote, System, schedule::Schedule};
/// use supervision::testkit::{Network, Probe};
///
/// #[derive(Serialize, Deserialize)]
/// struct Note(u8);
/// impl Remote for Note { const TAG: &'static str = "note"; }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
/// let schedule = Schedule::new(7);
/// let system = |name| System::scheduled_on(Node::new(name).unwrap(), name, schedule.clone());
/// let (a, b) = (system("a@network"), system("b@network"));
/// b.accept::<Note>();
/// let network = Network::new(&schedule).credit(2);
/// network.connect(&a, &b).unwrap();
/// assert!(network.is_connected(a.node(), b.node()));
///
/// let mut probe: Probe<Note> = Probe::start(&b).await;
/// let far = a.far::<Note>(a.pid(probe.pid().id()));
/// network.hold(a.node(), b.node(), true);               // nothing arrives
/// far.cast(Note(1)).unwrap();
/// far.cast(Note(2)).unwrap();
/// assert!(far.cast(Note(3)).is_err());
/// network.hold(a.node(), b.node(), false);
/// assert_eq!((probe.message().await.0, probe.message().await.0), (1, 2));
///
/// let mut watcher: Probe<()> = Probe::start(&a).await;
/// far.monitor(watcher.pid());
/// network.cut(a.node(), b.node());
/// assert!(matches!(watcher.exit().await, (_, Exit::NoConnection)));
/// # });
/// ```
#[derive(Clone)]
pub struct Network {
    schedule: Schedule,
    credit: usize,
    lines: Arc<Mutex<Lines>>,
}

type Lines = BTreeMap<(Node, Node), Arc<Line>>;

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lines.lock().keys()).finish()
    }
}

/// What is on its way from one to the other.
#[derive(Default)]
struct Way {
    frames: VecDeque<(Class, Bytes)>,
    messages: usize,
    held: bool,
}

#[derive(Default)]
struct State {
    ways: [Way; 2],
    cut: Option<Arc<str>>,
}

/// A connection: the first way is from the node that is first by its name's number.
struct Line {
    credit: usize,
    state: Mutex<State>,
    changed: [Notify; 2],
}

impl Line {
    /// What has come on that way, or why nothing will; `None`: nothing yet.
    fn next(&self, way: usize) -> Option<Result<Bytes, Arc<str>>> {
        let state = &mut *self.state.lock();
        let way = state.ways.get_mut(way)?;
        if way.held && state.cut.is_none() {
            return None;
        }
        let Some((class, frame)) = way.frames.pop_front() else {
            return state.cut.clone().map(Err);
        };
        way.messages -= usize::from(class == Class::Message);
        Some(Ok(frame))
    }

    fn cut(&self, why: &str, arrive: impl Fn(usize) -> usize) {
        let state = &mut *self.state.lock();
        if state.cut.is_none() {
            state.cut = Some(why.into());
            for way in &mut state.ways {
                way.frames.truncate(arrive(way.frames.len()));
            }
        }
        self.changed.iter().for_each(Notify::notify_one);
    }

    fn hold(&self, way: usize, held: bool) {
        if let (Some(way), Some(changed)) =
            (self.state.lock().ways.get_mut(way), self.changed.get(way))
        {
            way.held = held;
            changed.notify_one();
        }
    }
}

/// Where one of the two sends.
struct End(Arc<Line>, usize);

impl Transport for End {
    fn send(&self, frame: Bytes, class: Class) -> Result<(), SendError> {
        let Self(line, way) = self;
        let state = &mut *line.state.lock();
        let (Some(way), Some(changed)) = (state.ways.get_mut(*way), line.changed.get(*way)) else {
            return Err(SendError::Closed);
        };
        if state.cut.is_some() {
            return Err(SendError::Closed);
        }
        if class == Class::Message && way.messages >= line.credit {
            return Err(SendError::Full);
        }
        way.messages += usize::from(class == Class::Message);
        way.frames.push_back((class, frame));
        changed.notify_one();
        Ok(())
    }

    fn close(&self, why: &str) {
        self.0.cut(why, |_| 0);
    }
}

/// Hands on what comes on that way, until the connection is lost.
async fn carry(line: Arc<Line>, way: usize, mut to: Connection, schedule: Schedule) {
    let Some(changed) = line.changed.get(way) else { return };
    loop {
        match line.next(way) {
            Some(Ok(frame)) => {
                if schedule.below(2) == 0 {
                    sleep(Duration::from_millis(schedule.below(LATE))).await;
                }
                if let Err(error) = to.receive(&frame) {
                    line.cut(&error.to_string(), |_| 0);
                }
            }
            Some(Err(why)) => return to.lost(&why),
            None => changed.notified().await,
        }
    }
}

impl Network {
    /// A network without connections.
    pub fn new(schedule: &Schedule) -> Self {
        Self { schedule: schedule.clone(), credit: CREDIT, lines: Arc::default() }
    }

    /// At most so many messages are on their way from one node to another.
    #[must_use]
    pub fn credit(self, messages: usize) -> Self {
        Self { credit: messages, ..self }
    }

    fn line(&self, one: Node, other: Node) -> Option<Arc<Line>> {
        self.lines.lock().get(&(one.min(other), one.max(other))).cloned()
    }

    /// Connects two nodes.
    ///
    /// # Errors
    /// When one of them has not heard yet that the connection before is lost.
    pub fn connect(&self, one: &System, other: &System) -> Result<(), ConnectError> {
        let (first, second) = if one.node() < other.node() { (one, other) } else { (other, one) };
        let line = Arc::new(Line {
            credit: self.credit,
            state: Mutex::default(),
            changed: [Notify::new(), Notify::new()],
        });
        let end = |way| Arc::new(End(Arc::clone(&line), way));
        let at_first = first.connect(second.node(), second.creation(), end(0))?;
        let at_second = second.connect(first.node(), first.creation(), end(1))?;
        self.lines.lock().insert((first.node(), second.node()), Arc::clone(&line));
        for (way, to, system) in [(0, at_second, second), (1, at_first, first)] {
            let path = format!("/network/{}", to.node());
            let carries = carry(Arc::clone(&line), way, to, self.schedule.clone());
            Task::alone(system, &path, carries);
        }
        Ok(())
    }

    /// Whether there is a connection, be it that a node has not heard of its end.
    pub fn is_connected(&self, one: Node, other: Node) -> bool {
        self.line(one, other).is_some_and(|line| line.state.lock().cut.is_none())
    }

    /// The connection is lost; of what is on its way each node still gets as much as the schedule draws.
    pub fn cut(&self, one: Node, other: Node) {
        if let Some(line) = self.line(one, other) {
            let arrive = |frames: usize| {
                let arrive = self.schedule.below(frames as u64 + 1);
                usize::try_from(arrive).unwrap_or_default()
            };
            line.cut("the connection was cut", arrive);
        }
    }

    /// Whether what goes from one node to the other waits.
    pub fn hold(&self, from: Node, to: Node, held: bool) {
        if let Some(line) = self.line(from, to) {
            line.hold(usize::from(to < from), held);
        }
    }
}
