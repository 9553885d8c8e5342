//! What a process notes of what it is at: its last inputs, and which message it took last.

use super::report::cut;
use bytes::Bytes;
use std::{borrow::Cow, collections::VecDeque, fmt, sync::Arc};

/// Inputs a black box holds.
const INPUTS: usize = 4;
/// The most bytes of one input a report keeps.
const INPUT_BYTES: usize = 16 << 10;
/// The most bytes of what is said of a message.
const MESSAGE_BYTES: usize = 1 << 10;

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
    /// What is printed may panic.
    pub(crate) fn to_text(&self) -> String {
        let mut text = match self {
            Self::Bytes(b) => String::from_utf8_lossy(b).into_owned(),
            Self::Shared(value) => format!("{value:?}"),
            Self::Text(text) => text.to_string(),
        };
        cut(&mut text, INPUT_BYTES);
        text
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

/// The last inputs of a process, and its last message. Allocates at the first.
#[derive(Debug, Default)]
pub(crate) struct BlackBox(Option<Box<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    inputs: VecDeque<Recorded>,
    /// The message it took last, where that is noted.
    last: Option<Cow<'static, str>>,
    /// It is to be noted of each.
    words: bool,
}

impl BlackBox {
    /// Of a process that wants its last message in its reports.
    pub(crate) fn with_words() -> Self {
        Self(Some(Box::new(Kept { words: true, ..Kept::default() })))
    }

    pub(crate) fn record(&mut self, input: Recorded) {
        let inputs = &mut self.0.get_or_insert_default().inputs;
        if inputs.len() == INPUTS {
            inputs.pop_front();
        }
        inputs.push_back(input);
    }

    /// Whether nothing was ever noted.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether each message is to be noted.
    pub(crate) fn has_words(&self) -> bool {
        self.0.as_ref().is_some_and(|kept| kept.words)
    }

    /// It has taken a message.
    pub(crate) fn took(&mut self, message: Cow<'static, str>) {
        self.0.get_or_insert_default().last = Some(message);
    }

    /// The message it took last.
    pub(crate) fn last(&self) -> Option<String> {
        let mut last = self.0.as_ref()?.last.as_ref()?.to_string();
        cut(&mut last, MESSAGE_BYTES);
        Some(last)
    }

    /// The inputs.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Recorded> + use<> {
        let inputs = self.0.as_mut().map(|kept| std::mem::take(&mut kept.inputs));
        inputs.into_iter().flatten()
    }
}
