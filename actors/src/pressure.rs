//! How much of its memory the node has in use: a state that whoever takes more of it asks for, and the process that
//! keeps it. From 80 % on new log-ons wait, while sessions can be resumed; from 90 % on no connection is
//! accepted, and the sessions with the most in their queues end: what they hold goes to the store, or back to
//! its senders (`routing::relief`).

use crate::{
    env::Env,
    resource::Resource,
    routing::relief::{Relieved, relieve},
    session::effects::BoxFuture,
    stopped::stopped,
};
use std::{
    convert::Infallible,
    fmt,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use supervision::{ChildSpec, Cx, Exit, InitError, Process};
use tokio::{sync::watch, time::Instant};
use xmpp::jid::BareJid;

/// Percent of the limit from which new log-ons wait.
pub const HIGH: usize = 80;
/// Percent of the limit from which queues are moved.
pub const CRITICAL: usize = 90;
/// A state ends so many percent below where it began: it does not flicker.
const SLACK: usize = 5;
/// How often memory is looked at, and how often when it is short.
const LOOK: Duration = Duration::from_millis(500);
const LOOK_CLOSER: Duration = Duration::from_millis(100);
/// How long nothing more is said in the log.
const SILENCE: Duration = Duration::from_secs(10);

/// How short memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// There is enough.
    #[default]
    Calm,
    /// New log-ons wait.
    High,
    /// Queues are moved.
    Critical,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Calm => "calm",
            Self::High => "new log-ons wait",
            Self::Critical => "queues are moved to the store",
        })
    }
}

/// The state. Written by one process; asked for at each connection and log-on, and never for a stanza.
#[derive(Debug)]
pub struct Pressure {
    used: AtomicUsize,
    limit: AtomicUsize,
    level: watch::Sender<Level>,
}

impl Default for Pressure {
    fn default() -> Self {
        Self {
            used: AtomicUsize::new(0),
            limit: AtomicUsize::new(0),
            level: watch::Sender::default(),
        }
    }
}

fn percent(limit: usize, percent: usize) -> usize {
    limit / 100 * percent
}

impl Pressure {
    /// So much is in use, in bytes, and so much may be; limit 0: any.
    pub fn set(&self, used: usize, limit: usize) {
        self.used.store(used, Ordering::Relaxed);
        self.limit.store(limit, Ordering::Relaxed);
        let was = self.level();
        let from = |level: Level, part| {
            let slack = if was >= level { SLACK } else { 0 };
            limit > 0 && used >= percent(limit, part - slack)
        };
        let level = if from(Level::Critical, CRITICAL) {
            Level::Critical
        } else if from(Level::High, HIGH) {
            Level::High
        } else {
            Level::Calm
        };
        self.level.send_if_modified(|now| std::mem::replace(now, level) != level);
    }

    /// How short memory is.
    pub fn level(&self) -> Level {
        *self.level.borrow()
    }

    /// Bytes in use, when they were looked at last.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes that may be in use; 0: any.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// How far what is in use is above the mark at which queues stay where they are.
    fn excess(&self) -> usize {
        self.used().saturating_sub(percent(self.limit(), CRITICAL - SLACK))
    }

    /// Resolves once memory is no shorter than that.
    pub async fn at_most(&self, level: Level) {
        // an error: the sender is gone, which is here
        drop(self.level.subscribe().wait_for(|now| *now <= level).await);
    }

    /// Resolves once memory is shorter than that.
    pub async fn above(&self, level: Level) {
        drop(self.level.subscribe().wait_for(|now| *now > level).await);
    }
}

/// Whether a user may authenticate now: always when memory is not short, or when there is a session that they may want to
/// resume, which takes no more of it. A new one waits again before it is bound.
pub fn admits(env: &Env, user: &BareJid) -> bool {
    let resumable =
        |r: &Arc<Resource>| r.with_sm(|sm| sm.as_ref().is_some_and(|s| s.token.is_some()));
    env.pressure.level() == Level::Calm
        || env.table.with_user(user, |all| all.iter().any(resumable))
}

/// Waits until memory is not short any more; `false`: it still is.
pub async fn calm(env: &Env, patience: Duration) -> bool {
    if env.pressure.level() == Level::Calm {
        return true;
    }
    env.metrics.logins_waited();
    tokio::time::timeout(patience, env.pressure.at_most(Level::Calm)).await.is_ok()
}

/// Says how many bytes are in use; `None`: it is not known.
#[derive(Clone)]
pub struct Gauge(Arc<dyn Fn() -> Option<usize> + Send + Sync>);

impl Gauge {
    /// One that asks `read`.
    pub fn new(read: impl Fn() -> Option<usize> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// What is in use.
    pub fn read(&self) -> Option<usize> {
        (self.0)()
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauge")
    }
}

/// The process that looks at memory and sees that there is enough.
pub struct Watcher {
    env: Arc<Env>,
    gauge: Gauge,
    said: Option<Instant>,
    level: Level,
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watcher({})", self.level)
    }
}

impl Watcher {
    /// Its place in a tree.
    pub fn child(env: &Arc<Env>, gauge: &Gauge) -> ChildSpec {
        let (env, gauge) = (Arc::clone(env), gauge.clone());
        ChildSpec::process::<Self>("memory", move || (Arc::clone(&env), gauge.clone()))
    }
}

impl Process for Watcher {
    type Args = (Arc<Env>, Gauge);
    type Msg = Infallible;
    const NAME: &'static str = "memory";
    const INBOX: usize = 1;

    async fn init((env, gauge): Self::Args, cx: &mut Cx<Infallible>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        let mut watcher = Self { env, gauge, said: None, level: Level::Calm };
        watcher.look(cx);
        Ok(watcher)
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        let mut relief: Option<BoxFuture<Relieved>> = None;
        loop {
            let level = self.env.pressure.level();
            if level == Level::Critical && relief.is_none() {
                let (env, excess) = (Arc::clone(&self.env), self.env.pressure.excess());
                relief = Some(Box::pin(async move { relieve(&env, excess).await }));
            }
            let next = if level == Level::Calm { LOOK } else { LOOK_CLOSER };
            tokio::select! {
                biased;
                reason = stopped(cx) => return reason,
                relieved = running(&mut relief) => {
                    relief = None;
                    // nothing could be ended: it is not tried again at once
                    if relieved.sessions == 0 {
                        tokio::time::sleep(LOOK_CLOSER).await;
                    }
                    self.look(cx);
                }
                () = tokio::time::sleep(next) => self.look(cx),
            }
        }
    }
}

async fn running(relief: &mut Option<BoxFuture<Relieved>>) -> Relieved {
    match relief {
        Some(relief) => relief.await,
        None => pending().await,
    }
}

impl Watcher {
    fn look(&mut self, cx: &Cx<Infallible>) {
        let Some(used) = self.gauge.read() else { return };
        let pressure = &self.env.pressure;
        pressure.set(used, self.env.settings().memory);
        let (level, limit) = (pressure.level(), pressure.limit());
        let mib = |bytes: usize| bytes >> 20;
        cx.publish(&match limit {
            0 => format!("{} MiB", mib(used)),
            limit => format!("{} of {} MiB, {level}", mib(used), mib(limit)),
        });
        let now = Instant::now();
        let heard = self.said.is_none_or(|at| now.duration_since(at) >= SILENCE);
        if level != self.level && heard {
            self.said = Some(now);
            self.level = level;
            match level {
                Level::Calm => tracing::info!(used, limit, "there is enough memory again"),
                _ => tracing::warn!(used, limit, "memory is short: {level}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_begins_at_its_mark_and_ends_below_it() {
        let pressure = Pressure::default();
        let level = |used| {
            pressure.set(used, 1_000);
            pressure.level()
        };
        use Level::{Calm, Critical, High};
        let seen = [799, 800, 790, 750, 749, 799, 900, 899, 850, 849, 800, 749, 950, 0].map(level);
        assert_eq!(
            seen,
            [
                Calm, High, High, High, Calm, Calm, Critical, Critical, Critical, High, High, Calm,
                Critical, Calm
            ]
        );
        pressure.set(usize::MAX, 0);
        assert_eq!(pressure.level(), Calm, "no limit");
    }
}
