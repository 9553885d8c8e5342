//! The process that looks at how much memory is in use, and sees that there is enough.

use super::{Relief, Relieved};
use crate::{
    env::Env,
    pressure::{self, CRITICAL, HIGH, Level},
};
use serde_json::{Value, json};
use std::{fmt, sync::Arc, time::Duration};
use supervision::{ChildSpec, Cx, InitError, Next, Server};
use tokio::time::Instant;

/// How often memory is looked at, and how often when it is short.
const LOOK: Duration = Duration::from_millis(500);
const LOOK_CLOSER: Duration = Duration::from_millis(100);
/// Which part of the time for a log-on they wait for memory to become free by itself: less than any of them has patience.
const WAIT: u32 = 10;
/// How long the log does not say that memory is less short.
const SILENCE: Duration = Duration::from_secs(10);

type Read = Arc<dyn Fn() -> Option<usize> + Send + Sync>;

/// Says how many bytes are in use; `None`: it is not known.
#[derive(Clone)]
pub struct Gauge {
    exact: Read,
    most: Option<Read>,
}

impl Gauge {
    /// One that asks `exact`.
    pub fn new(exact: impl Fn() -> Option<usize> + Send + Sync + 'static) -> Self {
        Self { exact: Arc::new(exact), most: None }
    }

    /// Asks `most` first, which costs little and never says less: where that is little, it will do.
    #[must_use]
    pub fn or_most(self, most: impl Fn() -> Option<usize> + Send + Sync + 'static) -> Self {
        Self { most: Some(Arc::new(most)), ..self }
    }

    /// What is in use; exactly from `near` on.
    pub fn read(&self, near: usize) -> Option<usize> {
        let most = self.most.as_ref().and_then(|most| most());
        most.filter(|most| *most < near).or_else(|| (self.exact)())
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauge")
    }
}

/// A time to look has come.
#[derive(Debug)]
pub struct Look;

/// The process that looks at memory and sees that there is enough.
pub struct Watcher {
    env: Arc<Env>,
    gauge: Gauge,
    said: Option<Instant>,
    level: Level,
    /// When memory became short, or was relieved last.
    since: Option<Instant>,
    /// Sessions that end.
    relief: Option<Relief>,
    /// Not enough could be freed: it is not tried again before.
    rest: Option<Instant>,
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
        ChildSpec::server::<Self>("memory", move || (Arc::clone(&env), gauge.clone()))
    }
}

impl Server for Watcher {
    type Args = (Arc<Env>, Gauge);
    type Msg = Look;
    const NAME: &'static str = "memory";
    const INBOX: usize = 1;

    async fn init((env, gauge): Self::Args, cx: &mut Cx<Look>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        let (said, since, relief, rest) = Default::default();
        let mut watcher = Self { env, gauge, said, level: Level::Calm, since, relief, rest };
        watcher.look(cx);
        cx.send_after(Duration::ZERO, Look);
        Ok(watcher)
    }

    async fn handle(&mut self, _: Look, cx: &mut Cx<Look>) -> Next {
        self.look(cx);
        if let Some(relieved) = self.relief.as_ref().and_then(|relief| relief.over(&self.env)) {
            self.relief = None;
            self.relieved(relieved);
        }
        if self.relief.is_none()
            && let Some(mark) = self.to_relieve()
        {
            self.relief = Some(Relief::begin(&self.env, self.env.pressure.excess(mark)));
        }
        let calm = self.env.pressure.level() == Level::Calm;
        cx.send_after(if calm { LOOK } else { LOOK_CLOSER }, Look);
        Next::Continue
    }

    fn state(&self) -> Option<Value> {
        let pressure = &self.env.pressure;
        Some(json!({
            "used": pressure.used(),
            "limit": pressure.limit(),
            "level": self.level.to_string(),
            "log_ons_waiting": pressure.waiting(),
            "relieving": self.relief.is_some(),
        }))
    }
}

impl Watcher {
    /// The mark from which memory is short, when it is to be made free.
    fn to_relieve(&self) -> Option<usize> {
        let (pressure, now) = (&self.env.pressure, Instant::now());
        if self.rest.is_some_and(|until| now < until) {
            return None;
        }
        let wait = self.env.settings().negotiation_timeout / WAIT;
        let long = self.since.is_some_and(|since| now.duration_since(since) >= wait);
        match pressure.level() {
            Level::Critical => Some(CRITICAL),
            Level::High if long && pressure.waiting() > 0 => Some(HIGH),
            Level::High | Level::Calm => None,
        }
    }

    fn relieved(&mut self, relieved: Relieved) {
        let (pressure, now) = (&self.env.pressure, Instant::now());
        let spent = !relieved.enough && pressure.level() > Level::Calm;
        self.since = Some(now);
        self.rest = spent.then_some(now + LOOK);
        if spent && !pressure.is_spent() {
            let (used, limit) = (pressure.used(), pressure.limit());
            tracing::warn!(
                used,
                limit,
                "limits.memory is too small: it is not what waits for clients that takes it"
            );
        }
        pressure.set_spent(spent);
    }

    fn look(&mut self, cx: &Cx<Look>) {
        let (pressure, limit) = (&self.env.pressure, self.env.settings().memory);
        let Some(used) = self.gauge.read(pressure::first_mark(limit)) else { return };
        pressure.set(used, limit);
        let level = pressure.level();
        self.since = self.since.or_else(|| Some(Instant::now())).filter(|_| level > Level::Calm);
        let mib = |bytes: usize| bytes >> 20;
        cx.publish(&match limit {
            0 => format!("{} MiB", mib(used)),
            limit => {
                let why = if pressure.is_spent() {
                    ", and what waits for clients is not why"
                } else {
                    ""
                };
                format!("{} of {} MiB, {level}{why}", mib(used), mib(limit))
            }
        });
        let now = Instant::now();
        let heard = self.said.is_none_or(|at| now.duration_since(at) >= SILENCE);
        if level > self.level || level < self.level && heard {
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
    use super::Gauge;

    #[test]
    fn what_is_little_need_not_be_known_exactly() {
        let gauge = |most: Option<usize>| Gauge::new(|| Some(70)).or_most(move || most);
        let read = [Some(75), Some(80), Some(100), None].map(|most| gauge(most).read(80));
        assert_eq!(read, [Some(75), Some(70), Some(70), Some(70)]);
        assert_eq!(Gauge::new(|| Some(70)).read(80), Some(70));
    }
}
