//! A crash report, which is data, and the inputs it shows.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{backtrace::Backtrace, collections::VecDeque, fmt, sync::Arc, time::Duration};

/// Inputs a black box holds.
const INPUTS: usize = 4;
/// The most bytes of one input a report keeps.
const INPUT_BYTES: usize = 16 << 10;

/// An input as it is noted: cheap to make, printed only in a report.
///
/// Example: [`crate::Process`].
#[derive(Clone)]
pub enum Recorded {
    /// Raw bytes.
    Bytes(Bytes),
    /// Anything that can be printed later.
    Shared(Arc<dyn fmt::Debug + Send + Sync>),
    /// A text.
    Text(Arc<str>),
}

impl From<Bytes> for Recorded {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&str> for Recorded {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl<T: fmt::Debug + Send + Sync + 'static> From<Arc<T>> for Recorded {
    fn from(value: Arc<T>) -> Self {
        Self::Shared(value)
    }
}

impl Recorded {
    fn to_text(&self) -> String {
        let mut text = match self {
            Self::Bytes(b) => String::from_utf8_lossy(b).into_owned(),
            Self::Shared(value) => format!("{value:?}"),
            Self::Text(text) => text.to_string(),
        };
        if text.len() > INPUT_BYTES {
            let mut cut = INPUT_BYTES;
            while !text.is_char_boundary(cut) {
                cut -= 1;
            }
            text.truncate(cut);
            text.push_str(" ...");
        }
        text
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

/// The last inputs of a process. Allocates at the first.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "most have none: 8 bytes, not 32")]
pub(crate) struct BlackBox(Option<Box<VecDeque<Recorded>>>);

impl BlackBox {
    pub(crate) fn record(&mut self, input: Recorded) {
        let inputs = self.0.get_or_insert_default();
        if inputs.len() == INPUTS {
            inputs.pop_front();
        }
        inputs.push_back(input);
    }

    pub(crate) fn take(&mut self) -> Vec<String> {
        self.0.take().iter().flat_map(|inputs| inputs.iter()).map(Recorded::to_text).collect()
    }
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
    /// The last inputs, the one that crashed it last.
    pub inputs: Vec<String>,
    /// What the process last said of itself.
    pub status: Option<String>,
    /// Its state as it shows it (see [`crate::Server::state`]), after the panic.
    #[serde(default)]
    pub state: Option<Value>,
    /// Messages that waited.
    pub queued: usize,
    /// How long it had lived.
    pub uptime: Duration,
    /// When, in milliseconds of the epoch.
    pub at: u64,
    /// Program version.
    pub build: String,
    /// How many more like it came and were not kept, since the one before.
    pub suppressed: u64,
    /// The stack, once it was resolved.
    pub backtrace: Option<String>,
    #[serde(skip)]
    pub(crate) stack: Option<Arc<Backtrace>>,
}

impl CrashReport {
    /// The stack as text; resolves the symbols at the first look.
    pub fn stack(&self) -> String {
        let resolved = self.stack.as_ref().map(|s| s.to_string());
        self.backtrace.clone().or(resolved).unwrap_or_default()
    }

    /// The report with its stack resolved.
    #[must_use]
    pub fn resolved(&self) -> Self {
        Self { backtrace: Some(self.stack()), ..self.clone() }
    }
}
