//! The JSON form of a scenario and of a trace: see `README.md` beside this file.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use supervision::{AutoShutdown, Intensity, Restart, Shutdown, Strategy};

#[derive(Deserialize)]
pub struct Scenario {
    pub name: String,
    pub supervisor: Sup,
    pub steps: Vec<Step>,
}

#[derive(Clone, Deserialize)]
pub struct Sup {
    strategy: StrategyName,
    intensity: u32,
    period_s: u64,
    #[serde(default)]
    auto_shutdown: AutoShutdownName,
    pub children: Vec<Child>,
}

#[derive(Clone, Deserialize)]
pub struct Child {
    pub id: String,
    restart: RestartName,
    #[serde(default)]
    shutdown: Option<ShutdownName>,
    #[serde(default)]
    pub significant: bool,
    #[serde(default)]
    pub start: Vec<Outcome>,
    #[serde(default)]
    pub stop: Stop,
    /// Only, and always, with the type `supervisor`.
    #[serde(default)]
    pub supervisor: Option<Sup>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Ok,
    Ignore,
    Error,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    #[default]
    Prompt,
    Hang,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StrategyName {
    OneForOne,
    OneForAll,
    RestForOne,
    SimpleOneForOne,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AutoShutdownName {
    #[default]
    Never,
    AnySignificant,
    AllSignificant,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RestartName {
    Permanent,
    Transient,
    Temporary,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum ShutdownName {
    Millis(u64),
    Word(ShutdownWord),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ShutdownWord {
    BrutalKill,
    Infinity,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    Normal,
    Shutdown,
    ShutdownWith,
    Error,
    Kill,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Step {
    Exit { path: Vec<String>, reason: Reason },
    StartChild { path: Vec<String>, child: Option<Child> },
    TerminateChild { path: Vec<String>, id: String },
    RestartChild { path: Vec<String>, id: String },
    DeleteChild { path: Vec<String>, id: String },
    WhichChildren { path: Vec<String> },
    CountChildren { path: Vec<String> },
    Stop,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "ev", rename_all = "snake_case")]
pub enum Event {
    Start { id: String, n: u64 },
    StartFailed { id: String, n: u64 },
    StartIgnored { id: String, n: u64 },
    Exit { id: String, n: u64, reason: String },
    Result { value: String },
}

#[derive(Serialize)]
pub struct Trace {
    pub name: String,
    pub steps: Vec<Vec<Event>>,
}

impl Sup {
    pub fn strategy(&self) -> Strategy {
        match self.strategy {
            StrategyName::OneForOne => Strategy::OneForOne,
            StrategyName::OneForAll => Strategy::OneForAll,
            StrategyName::RestForOne => Strategy::RestForOne,
            StrategyName::SimpleOneForOne => Strategy::SimpleOneForOne,
        }
    }

    pub fn intensity(&self) -> Intensity {
        Intensity { restarts: self.intensity, period: Duration::from_secs(self.period_s) }
    }

    pub fn auto_shutdown(&self) -> AutoShutdown {
        match self.auto_shutdown {
            AutoShutdownName::Never => AutoShutdown::Never,
            AutoShutdownName::AnySignificant => AutoShutdown::AnySignificant,
            AutoShutdownName::AllSignificant => AutoShutdown::AllSignificant,
        }
    }
}

impl Child {
    pub fn restart(&self) -> Restart {
        match self.restart {
            RestartName::Permanent => Restart::Permanent,
            RestartName::Transient => Restart::Transient,
            RestartName::Temporary => Restart::Temporary,
        }
    }

    /// OTP's default when it is left out.
    pub fn shutdown(&self) -> Shutdown {
        match (self.shutdown, &self.supervisor) {
            (Some(ShutdownName::Millis(ms)), _) => Shutdown::Timeout(Duration::from_millis(ms)),
            (Some(ShutdownName::Word(ShutdownWord::BrutalKill)), _) => Shutdown::BrutalKill,
            (Some(ShutdownName::Word(ShutdownWord::Infinity)), _) | (None, Some(_)) => {
                Shutdown::Infinity
            }
            (None, None) => Shutdown::Timeout(Duration::from_secs(5)),
        }
    }

    /// What its start number `n` (from 1) does.
    pub fn outcome(&self, n: u64) -> Outcome {
        let n = usize::try_from(n).unwrap_or(usize::MAX);
        let planned = self.start.get(n.saturating_sub(1)).or(self.start.last());
        planned.copied().unwrap_or(Outcome::Ok)
    }
}
