//! What a backend shows of itself: to metrics, and to people.

use std::time::Duration;

/// The unit of a value, which ends the metric's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
}

/// A value that a backend shows of itself, as a row of the metrics page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gauge {
    /// What is measured: the name of a metric, without its unit. Rows of one name stand together on the page.
    pub name: &'static str,
    /// In what.
    pub unit: Option<Unit>,
    /// What that is, in a sentence.
    pub help: &'static str,
    /// Which of those with this name it is.
    pub label: (&'static str, &'static str),
    /// At this moment.
    pub value: f64,
}

impl Gauge {
    /// How long the oldest of a queue has waited.
    pub fn queue_age(queue: &'static str, age: Duration) -> Self {
        Self {
            name: "mangrove_queue_age",
            unit: Some(Unit::Seconds),
            help: "How long the oldest of a queue has waited",
            label: ("queue", queue),
            value: age.as_secs_f64(),
        }
    }

    /// Whether the store was found to be in order.
    pub(crate) fn good(what: &'static str, good: bool) -> Self {
        Self {
            name: "mangrove_store_good",
            unit: None,
            help: "Whether the store can be written, and is whole, when it was last looked at",
            label: ("check", what),
            value: f64::from(u8::from(good)),
        }
    }

    /// How many rows of a table could not be read.
    pub(crate) fn bad_rows(table: &'static str, rows: u64) -> Self {
        Self {
            name: "mangrove_store_bad_rows",
            unit: None,
            help: "Rows that could not be read, each time that they were met",
            label: ("table", table),
            value: rows as f64,
        }
    }

    /// How many calls are under way, or wait for others of the same user.
    pub(crate) fn calls(state: &'static str, calls: usize) -> Self {
        Self {
            name: "mangrove_store_calls",
            unit: None,
            help: "Calls of the store that are not answered yet, and those of them that wait for another of the same user",
            label: ("state", state),
            value: calls as f64,
        }
    }

    /// How many transactions were in one another's way, or were undone since their nodes had died.
    pub(crate) fn retries(of: &'static str, transactions: u64) -> Self {
        Self {
            name: "mangrove_store_retries",
            unit: None,
            help: "Transactions that were tried again, since others were in their way, and others that were undone, since their nodes had died",
            label: ("of", of),
            value: transactions as f64,
        }
    }
}

/// What was asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Something that changes it.
    Write,
    /// Something else.
    Read,
}

/// Who is told how long an answer took.
pub type Told = Box<dyn Fn(Asked, Duration) + Send + Sync>;

/// How a backend is, for people: what, and how that is.
pub type Status = Vec<(&'static str, String)>;
