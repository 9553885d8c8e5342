//! A crash report, which is data, and what the supervisor says of it.

use super::panic::Panic;
use crate::policy::{Intensity, Restart, Strategy};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    backtrace::Backtrace,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The most bytes of a reason.
const REASON_BYTES: usize = 16 << 10;
/// The most bytes of a state that is shown; a larger one is left out.
const STATE_BYTES: usize = 64 << 10;
/// How deep it may be nested: the file is to be read again, and readers of JSON stop at 128.
const STATE_DEPTH: usize = 100;
/// The most bytes of a stack.
const STACK_BYTES: usize = 64 << 10;
/// The most bytes of any other text.
const TEXT_BYTES: usize = 1 << 10;
/// The most links, names, groups and ancestors.
pub(crate) const LISTED: usize = 32;
/// The most messages that waited.
pub(crate) const WAITING: usize = 8;

/// What a supervisor did about a child that ended.
///
/// Example: [`SupervisorReport`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Did {
    /// It started it again, and those that its strategy says.
    Restarted,
    /// Its start failed; it tries again.
    TriesAgain,
    /// It starts it again after this wait.
    Waits(Duration),
    /// It was one restart too many: it ended itself, and all below it.
    GaveUp,
    /// It left it: such a child is not started again.
    LeftIt,
}

/// A supervisor's view of the crash of a child (OTP's supervisor report).
///
/// ```
/// use supervision::{ChildSpec, SupervisorSpec, System, crash::{Did, SupervisorReport}, testkit};
/// # use supervision::{Cx, Exit, InitError, Process};
/// # struct Fragile;
/// # impl Process for Fragile {
/// #     type Args = ();
/// #     type Msg = ();
/// #     const NAME: &'static str = "fragile";
/// #     async fn init((): (), _: &mut Cx<()>) -> Result<Self, InitError> { Ok(Self) }
/// #     async fn run(&mut self, cx: &mut Cx<()>) -> Exit { cx.next().await; panic!("oh no") }
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let system = System::new("demo");
/// let fragile = ChildSpec::process::<Fragile>("fragile", || ());
/// let root = system.start(SupervisorSpec::one_for_one().child(fragile)).await.unwrap();
/// let pid = system.find("/fragile").unwrap();
/// pid.exit(supervision::Exit::error("away"));
/// testkit::restarted(&pid).await;
/// let report = system.crashes().list().remove(0);
/// let supervisor: &SupervisorReport = report.supervisor.as_ref().unwrap();
/// assert_eq!((&*supervisor.child, supervisor.did), ("fragile", Did::Restarted));
/// assert_eq!((supervisor.restarts, supervisor.intensity.restarts), (1, 1));
/// # root.stop().await;
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisorReport {
    /// Its path.
    pub supervisor: String,
    /// Which child it was to it.
    pub child: String,
    /// When that is restarted.
    pub restart: Restart,
    /// Which children such a restart affects.
    pub strategy: Strategy,
    /// Restarts within the period, this one included.
    pub restarts: u32,
    /// How many within which time are too many.
    pub intensity: Intensity,
    /// What it did.
    pub did: Did,
}

/// A crash, for people and for replaying.
///
/// Example: [`CrashLog`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CrashReport {
    /// Its number in the system, from 1.
    pub id: u64,
    /// Where in the tree.
    pub path: String,
    /// What kind of process.
    pub process: String,
    /// Paths of those above it, the nearest first.
    pub ancestors: Vec<String>,
    /// The panic's message, or the reason of an end that was none.
    pub reason: String,
    /// File, line and column; of an end that was no panic, what it was.
    pub location: String,
    /// It happened in `terminate`.
    pub in_terminate: bool,
    /// The message it was at, or had taken last, as its behaviour describes it.
    #[serde(default)]
    pub message: Option<String>,
    /// The last inputs, the one that crashed it last.
    pub inputs: Vec<String>,
    /// What the process last said of itself.
    pub status: Option<String>,
    /// Its state as it shows it (see [`crate::Server::state`]), after the panic.
    #[serde(default)]
    pub state: Option<Value>,
    /// Messages that waited.
    pub queued: usize,
    /// The first of them, as its behaviour describes them.
    #[serde(default)]
    pub waiting: Vec<String>,
    /// Paths of what it was linked to, its children included.
    #[serde(default)]
    pub links: Vec<String>,
    /// Its names.
    #[serde(default)]
    pub names: Vec<String>,
    /// The groups it was in.
    #[serde(default)]
    pub groups: Vec<String>,
    /// What its supervisor did about it, once it has; none of one that has none, or is in a pool.
    #[serde(default)]
    pub supervisor: Option<SupervisorReport>,
    /// How long it had lived.
    pub uptime: Duration,
    /// When, in milliseconds of the epoch.
    pub at: u64,
    /// The program's version ([`crate::System::set_version`]).
    pub build: String,
    /// How many more like it came and were not kept, since the one before.
    pub suppressed: u64,
    /// The stack, once it was resolved.
    pub backtrace: Option<String>,
    #[serde(skip)]
    pub(crate) stack: Option<Stack>,
}

/// A stack that nobody has looked at. It shows none of itself: that resolves it, and takes pages.
#[derive(Clone)]
pub(crate) struct Stack(pub(crate) Arc<Backtrace>);

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not resolved")
    }
}

impl CrashReport {
    /// What a panic says; the rest is nothing.
    pub(crate) fn new(process: &str, mut panic: Panic, build: &str) -> Self {
        // of one that is not kept too: as a reason it goes to many
        cut(&mut panic.message, REASON_BYTES);
        Self {
            id: 0,
            path: process.to_owned(),
            process: process.to_owned(),
            ancestors: Vec::new(),
            reason: panic.message,
            location: panic.location,
            in_terminate: panic.in_terminate,
            message: None,
            inputs: Vec::new(),
            status: None,
            state: None,
            queued: 0,
            waiting: Vec::new(),
            links: Vec::new(),
            names: Vec::new(),
            groups: Vec::new(),
            supervisor: None,
            uptime: Duration::ZERO,
            at: now(),
            build: build.to_owned(),
            suppressed: 0,
            backtrace: None,
            stack: panic.backtrace.map(Stack),
        }
    }

    /// What is told of one of another node: its number and time, where it was, and why.
    pub(crate) fn told(
        (id, at): (u64, u64),
        path: String,
        process: &str,
        reason: String,
        location: String,
    ) -> Self {
        let panic = Panic { message: reason, location, backtrace: None, in_terminate: false };
        Self { id, at, path, ..Self::new(process, panic, "") }
    }

    /// The stack as text; resolves the symbols at the first look.
    pub fn stack(&self) -> String {
        let resolved = self.stack.as_ref().map(|Stack(stack)| {
            let mut text = stack.to_string();
            cut(&mut text, STACK_BYTES);
            text
        });
        self.backtrace.clone().or(resolved).unwrap_or_default()
    }

    /// The report with its stack resolved.
    #[must_use]
    pub fn resolved(&self) -> Self {
        Self { backtrace: Some(self.stack()), ..self.clone() }
    }

    /// Cuts what is longer than a report is to be.
    pub(super) fn bound(&mut self) {
        let lists = [&mut self.ancestors, &mut self.links, &mut self.names, &mut self.groups];
        for list in lists {
            list.truncate(LISTED);
            list.iter_mut().for_each(|text| cut(text, TEXT_BYTES));
        }
        self.waiting.iter_mut().for_each(|text| cut(text, TEXT_BYTES));
        for text in [&mut self.path, &mut self.location, &mut self.build] {
            cut(text, TEXT_BYTES);
        }
        self.status.iter_mut().for_each(|text| cut(text, TEXT_BYTES));
        let bytes = self.state.as_ref().map_or(0, |state| state.to_string().len());
        if bytes > STATE_BYTES {
            self.state = Some(Value::String(format!("left out: {bytes} bytes")));
        } else if self.state.as_ref().is_some_and(|state| is_deeper(state, STATE_DEPTH)) {
            self.state = Some(Value::String("left out: nested too deep".to_owned()));
        }
    }
}

fn is_deeper(state: &Value, than: usize) -> bool {
    let below = |below: &Value| than == 0 || is_deeper(below, than - 1);
    match state {
        Value::Array(all) => all.iter().any(below),
        Value::Object(all) => all.values().any(below),
        _ => false,
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Cuts a text at a character.
pub(crate) fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        let mut end = most;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(" ...");
        // the room of what is left out goes too
        text.shrink_to_fit();
    }
}
