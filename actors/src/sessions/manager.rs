//! Session managers: who gets which resource. A supervised process for each share of the users.
//!
//! Binding, conflicts, resumption and the end of lost sessions go through the manager of the user,
//! so that what two connections of one user do at once happens one after the other. Everything else
//! reads the table without asking (law 3).

use super::{
    BindError, Claim, ResumeError,
    end::{PATIENCE, end},
    past::Past,
    token,
    windows::Windows,
};
use crate::{
    env::Env,
    resource::{Ended, FrozenWaiting, Owner, Resource},
};
use arc_swap::ArcSwapOption;
use cluster::{Record, RegistryError};
use std::{fmt, sync::Arc, time::Duration};
use supervision::{
    ChildSpec, Cx, Event, Exit, InitError, Process, Ref, Reply, Shutdown, SupervisorSpec,
};
use tokio::time::Instant;
use xmpp::jid::{BareJid, FullJid};

/// How long a manager may take to end the sessions that are left when the node stops.
pub(crate) const LAST_SESSIONS: Duration = Duration::from_secs(60);

/// What a manager is asked.
#[derive(Debug)]
pub enum Msg {
    /// Bind this resource, or one that the server chooses.
    Bind(BareJid, Option<FullJid>, Reply<Result<Claim, BindError>>),
    /// Resume the session with this token.
    Resume(BareJid, String, Reply<Result<Claim, ResumeError>>),
    /// The connection of this resource is gone; it can be resumed for that long, `None`: as long as
    /// was agreed on, or not at all.
    Lost(Arc<Resource>, Option<Duration>),
    /// Which sessions wait to be resumed, for another process.
    Freeze(Reply<Vec<FrozenWaiting>>),
    /// End this session.
    End(Arc<Resource>, Ended, Reply<()>),
}

/// The addresses of the managers; each puts its own here when it starts.
pub struct Managers(Box<[ArcSwapOption<Ref<Msg>>]>);

impl fmt::Debug for Managers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Managers({})", self.0.len())
    }
}

impl Managers {
    pub(crate) fn new(count: usize) -> Self {
        Self((0..count.max(1)).map(|_| ArcSwapOption::empty()).collect())
    }

    pub(super) fn of(&self, env: &Env, user: &BareJid) -> Option<Arc<Ref<Msg>>> {
        self.0.get(env.table.manager_of(user, self.0.len()))?.load_full()
    }

    /// Those that run.
    pub(super) fn all(&self) -> impl Iterator<Item = Arc<Ref<Msg>>> {
        self.0.iter().filter_map(ArcSwapOption::load_full)
    }

    /// The supervisor of all managers of a node.
    pub fn spec(env: &Arc<Env>) -> SupervisorSpec {
        let managers = SupervisorSpec::one_for_one().intensity(10, Duration::from_secs(10));
        (0..env.managers.0.len()).fold(managers, |spec, n| {
            let env = Arc::clone(env);
            let args = move || (Arc::clone(&env), n);
            let manager = ChildSpec::process::<SessionManager>(&n.to_string(), args);
            spec.child(manager.shutdown(Shutdown::Timeout(LAST_SESSIONS)))
        })
    }
}

/// The process.
pub struct SessionManager {
    env: Arc<Env>,
    number: usize,
    windows: Windows,
    past: Past,
}

impl Process for SessionManager {
    type Args = (Arc<Env>, usize);
    type Msg = Msg;
    const NAME: &'static str = "session_manager";
    // as many as connections may end at the same moment
    const INBOX: usize = 100_000;

    async fn init((env, number): Self::Args, cx: &mut Cx<Msg>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        let mut manager = Self { env, number, windows: Windows::default(), past: Past::default() };
        // after a crash: sessions whose windows nobody watches, or whose end was not finished
        for resource in manager.mine() {
            if !matches!(resource.owner(), Owner::Attached(_)) {
                manager.watch(resource, None);
            }
        }
        if let Some(place) = manager.env.managers.0.get(number) {
            place.store(Some(Arc::new(cx.me().clone())));
        }
        Ok(manager)
    }

    async fn run(&mut self, cx: &mut Cx<Msg>) -> Exit {
        loop {
            let next = self.windows.next();
            tokio::select! {
                biased;
                event = cx.next() => match event {
                    Event::Msg(msg) => self.handle(msg).await,
                    Event::Exit { from, reason } if Some(&from) == cx.pid().parent() => {
                        return reason;
                    }
                    Event::Exit { .. } | Event::Down { .. } => {}
                },
                () = until(next) => self.expire().await,
            }
        }
    }

    /// Connections have ended by now: what is left are sessions that wait to be resumed. What they
    /// did not get is kept for their users.
    async fn terminate(&mut self, why: &Exit, _: &mut Cx<Msg>) {
        if matches!(why, Exit::Shutdown | Exit::ShutdownWith(_)) {
            for resource in self.mine() {
                end(&self.env, &resource, Ended::Shutdown).await;
            }
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl SessionManager {
    /// The resources of this manager's users.
    fn mine(&self) -> Vec<Arc<Resource>> {
        let (table, count) = (&self.env.table, self.env.managers.0.len());
        let shards = (0..).map_while(|n| table.page(n));
        let mine = |r: &Arc<Resource>| table.manager_of(r.user(), count) == self.number;
        shards.flatten().filter(mine).collect()
    }

    async fn handle(&mut self, msg: Msg) {
        match msg {
            Msg::Bind(user, wanted, reply) => reply.send(self.bind(&user, wanted).await),
            Msg::Resume(user, token, reply) => reply.send(self.resume(&user, &token)),
            Msg::Lost(resource, left) => match resource.owner() {
                // ended: its connection was killed over it
                Owner::Detached | Owner::Ended => self.watch(resource, left),
                Owner::Attached(_) => {}
            },
            Msg::Freeze(reply) => {
                if let Some(waiting) = self.freeze().await {
                    reply.send(waiting);
                }
            }
            Msg::End(resource, why, reply) => {
                end(&self.env, &resource, why).await;
                reply.send(());
            }
        }
    }

    /// Ends a detached resource when its window is over; at once if it has none, or has ended.
    fn watch(&mut self, resource: Arc<Resource>, left: Option<Duration>) {
        let window = || {
            resource.with_sm(|sm| {
                sm.as_ref().filter(|s| s.token.is_some()).map_or(Duration::ZERO, |s| s.window)
            })
        };
        let end = Instant::now() + left.unwrap_or_else(window);
        self.windows.open(resource, end);
    }

    async fn expire(&mut self) {
        let now = Instant::now();
        while let Some(resource) = self.windows.over(now) {
            if resource.owner() == Owner::Detached {
                self.past.note(&resource);
            }
            if !matches!(resource.owner(), Owner::Attached(_)) {
                end(&self.env, &resource, Ended::Closed).await;
            }
            // its leftovers are slow to go on: once more
            if resource.leaving().is_some() {
                self.windows.open(resource, now + PATIENCE);
            }
        }
    }

    /// `None`: what a session that ended has left behind does not go on its way, and cannot move.
    async fn freeze(&self) -> Option<Vec<FrozenWaiting>> {
        for resource in self.mine().iter().filter(|r| r.leaving().is_some()) {
            end(&self.env, resource, Ended::Closed).await;
            if resource.leaving().is_some() {
                tracing::warn!(jid = %resource.jid(), "a session that ended has still messages");
                return None;
            }
        }
        let now = Instant::now();
        let waiting = self.windows.iter();
        let frozen =
            waiting.filter_map(|(r, end)| r.freeze_waiting(end.saturating_duration_since(now)));
        Some(frozen.collect())
    }

    async fn bind(&mut self, user: &BareJid, wanted: Option<FullJid>) -> Result<Claim, BindError> {
        let env = &self.env;
        let jid = match wanted {
            Some(jid) => jid,
            None => user.with_resource(&env.token()).map_err(|_| BindError::Unavailable)?,
        };
        let settings = env.settings();
        let clock = Arc::clone(&env.clock);
        let resource = Resource::new(jid, env.next_session(), settings.queues, clock);
        let record = Record {
            resource: resource.jid().resource().to_owned(),
            token: token(env, &resource),
            priority: None,
        };
        let limit = settings.max_resources;
        drop(settings);
        match env.registry.bind(user, record, limit).await {
            Ok(_) => {}
            Err(RegistryError::ResourceLimit { .. }) => return Err(BindError::TooMany),
            Err(error) => {
                tracing::warn!(%error, "a resource could not be bound");
                return Err(BindError::Unavailable);
            }
        }
        // what one that has ended leaves behind goes on meanwhile
        let old = env.table.find(user, resource.jid().resource());
        if let Some(old) = old.filter(|old| old.owner() != Owner::Ended) {
            if old.owner() == Owner::Detached {
                self.past.note(&old);
            }
            self.windows.close(old.id());
            end(env, &old, Ended::Conflict).await;
        }
        env.table.insert(Arc::clone(&resource));
        Ok(Claim::new(env, resource, 1, None))
    }

    fn resume(&mut self, user: &BareJid, token: &str) -> Result<Claim, ResumeError> {
        let has = |r: &&Arc<Resource>| {
            r.with_sm(|sm| sm.as_ref().is_some_and(|s| s.token.as_deref() == Some(token)))
        };
        let found = self.env.table.with_user(user, |rs| rs.iter().find(has).cloned());
        let unknown = || ResumeError::Unknown(self.past.find(user, token));
        let resource = found.ok_or_else(unknown)?;
        self.windows.close(resource.id());
        let (epoch, parked) = resource.attach().ok_or_else(unknown)?;
        Ok(Claim::new(&self.env, resource, epoch, parked))
    }
}
