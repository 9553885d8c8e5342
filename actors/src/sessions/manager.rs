//! Session managers: who gets which resource. A supervised process for each share of the users.
//!
//! Binding, conflicts, resumption and the end of lost sessions go through the manager of the user,
//! so that what two connections of one user do at once happens one after the other. Everything else
//! reads the table without asking (law 3). A manager only moves entries of table and registry: what an end
//! asks of stores and says to contacts is for the tasks of [`ends`](super::ends).

use super::{
    BindError, Claim, ResumeError,
    end::{begin, finish},
    ends::{self, Ends},
    past::Past,
    token,
    unfinished::{self, Work},
    windows::Windows,
};
use crate::{
    env::Env,
    resource::{Ended, FrozenWaiting, Owner, PATIENCE, Resource},
};
use arc_swap::ArcSwapOption;
use cluster::{Record, RegistryError};
use serde_json::{Value, json};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use supervision::{
    ChildSpec, Cx, Event, Exit, InitError, Monitor, Next, Ref, Reply, Server, Shutdown,
    SupervisorSpec, Timer,
};
use tokio::time::Instant;
use xmpp::jid::{BareJid, FullJid};

/// How long a manager may take to end the sessions that are left when the node stops.
pub(crate) const LAST_SESSIONS: Duration = Duration::from_secs(60);

/// Sessions whose windows are over that are looked at in one go.
const EXPIRED: usize = 256;

/// A binding, and the session whose name it took, which is about to be gone.
type Bound = (Claim, Option<Arc<Resource>>);

/// What a manager is asked.
#[derive(Debug)]
pub enum Msg {
    /// Bind this resource, or one that the server chooses.
    Bind(BareJid, Option<FullJid>, Reply<Result<Bound, BindError>>),
    /// Resume the session with this token.
    Resume(BareJid, String, Reply<Result<Claim, ResumeError>>),
    /// The connection of this resource is gone; it can be resumed for that long, `None`: as long as
    /// was agreed on, or not at all.
    Lost(Arc<Resource>, Option<Duration>),
    /// Which sessions wait to be resumed, for another process.
    Freeze(Reply<Vec<FrozenWaiting>>),
    /// End this session; answered when its end has begun.
    End(Arc<Resource>, Ended, Reply<()>),
    /// Have this done: see [`super::finish`].
    Finish(Work),
    /// A window may be over.
    Alarm,
}

/// What everybody knows of one manager.
#[derive(Default)]
struct Place {
    address: ArcSwapOption<Ref<Msg>>,
    /// It did not take a lost session: it has to look for it.
    missed: AtomicBool,
    /// Sessions whose ends it has begun.
    ending: AtomicUsize,
}

/// The managers of a node; each puts its address here when it starts.
pub struct Managers(Box<[Place]>);

impl fmt::Debug for Managers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Managers({})", self.0.len())
    }
}

impl Managers {
    pub(crate) fn new(count: usize) -> Self {
        Self((0..count.max(1)).map(|_| Place::default()).collect())
    }

    fn place(&self, env: &Env, user: &BareJid) -> Option<&Place> {
        self.0.get(env.table.manager_of(user, self.0.len()))
    }

    pub(super) fn of(&self, env: &Env, user: &BareJid) -> Option<Arc<Ref<Msg>>> {
        self.place(env, user)?.address.load_full()
    }

    /// Those that run.
    pub(super) fn all(&self) -> impl Iterator<Item = Arc<Ref<Msg>>> {
        self.0.iter().filter_map(|place| place.address.load_full())
    }

    /// The user's manager did not take a lost session, since it has too much to do: it looks for it later.
    pub(super) fn missed(&self, env: &Env, user: &BareJid) {
        if let Some(place) = self.place(env, user) {
            place.missed.store(true, Ordering::Release);
        }
    }

    /// How many sessions have ended whose messages are not on their way yet, or whose contacts were not told.
    pub fn ending(&self) -> usize {
        self.0.iter().map(|place| place.ending.load(Ordering::Relaxed)).sum()
    }

    /// The supervisor of all managers of a node.
    pub fn spec(env: &Arc<Env>) -> SupervisorSpec {
        let managers = env.managers.0.len();
        let spec = SupervisorSpec::one_for_one()
            .intensity(10, Duration::from_secs(10))
            .child(ends::tasks(managers))
            .child(unfinished::tasks());
        (0..managers).fold(spec, |spec, n| {
            let env = Arc::clone(env);
            let args = move || (Arc::clone(&env), n);
            let manager = ChildSpec::server::<SessionManager>(&n.to_string(), args);
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
    ends: Ends,
    /// When [`Msg::Alarm`] comes.
    alarm: Option<(Instant, Timer)>,
}

impl Server for SessionManager {
    type Args = (Arc<Env>, usize);
    type Msg = Msg;
    const NAME: &'static str = "session_manager";
    // as many as connections may end at the same moment
    const INBOX: usize = 100_000;

    async fn init((env, number): Self::Args, cx: &mut Cx<Msg>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        let (windows, past, ends) = Default::default();
        let mut manager = Self { env, number, windows, past, ends, alarm: None };
        if let Some(place) = manager.env.managers.0.get(number) {
            place.address.store(Some(Arc::new(cx.me().clone())));
        }
        // after a crash: sessions whose windows nobody watches, or whose end was not finished
        manager.look_for_lost();
        manager.go_on(cx);
        Ok(manager)
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Cx<Msg>) -> Next {
        match msg {
            Msg::Bind(user, wanted, reply) => reply.send(self.bind(&user, wanted).await),
            Msg::Resume(user, token, reply) => reply.send(self.resume(&user, &token)),
            Msg::Lost(resource, left) => match resource.owner() {
                // ended: its connection was killed over it
                Owner::Detached | Owner::Ended => self.watch(resource, left),
                Owner::Attached(_) => {}
            },
            // what is being finished belongs to no connection any more and cannot move
            Msg::Freeze(_) if unfinished::is_at_work(cx.system()) => {}
            Msg::Freeze(reply) => reply.send(self.freeze()),
            Msg::Finish(work) => unfinished::start(cx.system(), work),
            Msg::End(resource, why, reply) => {
                self.end(resource, why).await;
                reply.send(());
            }
            Msg::Alarm => {
                self.alarm = None;
                self.expire().await;
            }
        }
        self.go_on(cx);
        Next::Continue
    }

    async fn event(&mut self, event: Event<Msg>, cx: &mut Cx<Msg>) -> Next {
        match event {
            Event::Exit { from, reason } if cx.is_parent(&from) => {
                return Next::Stop(reason);
            }
            Event::Down { monitor, reason, .. } => self.down((monitor, &reason), cx),
            Event::Exit { .. } | Event::Msg(_) => {}
        }
        self.go_on(cx);
        Next::Continue
    }

    fn describe(msg: &Msg) -> String {
        match msg {
            Msg::Bind(user, ..) => format!("bind {user}"),
            Msg::Resume(user, ..) => format!("resume {user}"),
            Msg::Lost(resource, _) => format!("lost {}", resource.jid()),
            Msg::Freeze(_) => "freeze".to_owned(),
            Msg::End(resource, why, _) => format!("end {} {why:?}", resource.jid()),
            Msg::Finish(_) => "finish".to_owned(),
            Msg::Alarm => "alarm".to_owned(),
        }
    }

    fn state(&self) -> Option<Value> {
        Some(json!({
            "waiting_to_be_resumed": self.windows.iter().count(),
            "ending": self.ends.len(),
        }))
    }

    /// Connections have ended by now: what is left are sessions that wait to be resumed. What they
    /// did not get is kept for their users.
    async fn terminate(&mut self, why: &Exit, cx: &mut Cx<Msg>) {
        if !matches!(why, Exit::Shutdown | Exit::ShutdownWith(_)) {
            return;
        }
        for resource in self.mine() {
            self.end(resource, Ended::Shutdown).await;
        }
        while self.ends.len() > 0 {
            if !self.ends.start(&self.env, cx) {
                // nobody does it any more
                if let Some(resource) = self.ends.take() {
                    finish(&self.env, &resource).await;
                }
                continue;
            }
            if let Event::Down { monitor, reason, .. } = cx.next().await {
                self.down((monitor, &reason), cx);
            }
        }
    }
}

/// How long the resource waits to be resumed.
fn window(resource: &Resource) -> Duration {
    resource.with_sm(|sm| {
        sm.as_ref().filter(|s| s.token.is_some()).map_or(Duration::ZERO, |s| s.window)
    })
}

impl SessionManager {
    /// The resources of this manager's users.
    fn mine(&self) -> Vec<Arc<Resource>> {
        let (table, count) = (&self.env.table, self.env.managers.0.len());
        let shards = (0..).map_while(|n| table.page(n));
        let mine = |r: &Arc<Resource>| table.manager_of(r.user(), count) == self.number;
        shards.flatten().filter(mine).collect()
    }

    fn look_for_lost(&mut self) {
        for resource in self.mine() {
            if !matches!(resource.owner(), Owner::Attached(_)) && !self.windows.has(resource.id()) {
                self.watch(resource, None);
            }
        }
    }

    /// Starts tasks, and sees that the next window is not missed.
    fn go_on(&mut self, cx: &mut Cx<Msg>) {
        let env = Arc::clone(&self.env);
        let Some(place) = env.managers.0.get(self.number) else { return };
        if place.missed.load(Ordering::Relaxed) && place.missed.swap(false, Ordering::Acquire) {
            tracing::warn!("a session manager did not take lost sessions; it looks for them");
            self.look_for_lost();
        }
        let started = self.ends.start(&env, cx);
        place.ending.store(self.ends.len(), Ordering::Relaxed);
        let again = (!started).then(|| Instant::now() + PATIENCE);
        let Some(next) = self.windows.next().into_iter().chain(again).min() else { return };
        if self.alarm.as_ref().is_some_and(|(at, _)| *at <= next) {
            return;
        }
        if let Some((_, timer)) = self.alarm.take() {
            cx.cancel(timer);
        }
        let after = next.saturating_duration_since(Instant::now());
        self.alarm = Some((next, cx.send_after(after, Msg::Alarm)));
    }

    /// Ends a detached resource when its window is over; at once if it has none, or has ended.
    fn watch(&mut self, resource: Arc<Resource>, left: Option<Duration>) {
        let end = Instant::now() + left.unwrap_or_else(|| window(&resource));
        self.windows.open(resource, end);
    }

    async fn expire(&mut self) {
        let now = Instant::now();
        for _ in 0..EXPIRED {
            let Some(resource) = self.windows.over(now) else { return };
            if !matches!(resource.owner(), Owner::Attached(_)) {
                self.end(resource, Ended::Closed).await;
            }
        }
    }

    /// Begins an end; the rest follows in a task.
    async fn end(&mut self, resource: Arc<Resource>, why: Ended) {
        if resource.owner() == Owner::Detached {
            self.past.note(&resource);
        }
        self.windows.close(resource.id());
        begin(&self.env, &resource, why).await;
        self.ends.add(resource);
    }

    fn down(&mut self, task: (Monitor, &Exit), cx: &Cx<Msg>) {
        // somebody else is at it, and slow: once more
        if let Some(resource) = self.ends.ended(task, &self.env, cx.system()) {
            self.windows.open(resource, Instant::now() + PATIENCE);
        }
    }

    fn freeze(&self) -> Vec<FrozenWaiting> {
        let now = Instant::now();
        let waiting = self.windows.iter();
        let frozen =
            waiting.filter_map(|(r, end)| r.freeze_waiting(end.saturating_duration_since(now)));
        frozen.collect()
    }

    async fn bind(&mut self, user: &BareJid, wanted: Option<FullJid>) -> Result<Bound, BindError> {
        let env = Arc::clone(&self.env);
        let jid = match wanted {
            Some(jid) => jid,
            None => user.with_resource(&env.token()).map_err(|_| BindError::Unavailable)?,
        };
        let settings = env.settings();
        let clock = Arc::clone(&env.clock);
        let resource = Resource::new(jid, env.next_session(), settings.queues, clock);
        let record = Record {
            resource: resource.jid().resource().to_owned(),
            token: token(&env, &resource),
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
        let old = old.filter(|old| old.owner() != Owner::Ended);
        if let Some(old) = &old {
            self.end(Arc::clone(old), Ended::Conflict).await;
        }
        env.table.insert(Arc::clone(&resource));
        Ok((Claim::new(&env, resource, 1, None), old))
    }

    fn resume(&mut self, user: &BareJid, token: &str) -> Result<Claim, ResumeError> {
        let has = |r: &&Arc<Resource>| {
            r.with_sm(|sm| sm.as_ref().is_some_and(|s| s.token.as_deref() == Some(token)))
        };
        let found = self.env.table.with_user(user, |rs| rs.iter().find(has).cloned());
        let unknown = || ResumeError::Unknown(self.past.find(user, token));
        let resource = found.ok_or_else(unknown)?;
        let end = self.windows.close(resource.id());
        let (epoch, parked) = resource.attach().ok_or_else(unknown)?;
        // without a window its connection was not known to be lost
        let waited = end.map(|end| {
            window(&resource).saturating_sub(end.saturating_duration_since(Instant::now()))
        });
        self.env.metrics.resumed_after(waited.unwrap_or_default());
        Ok(Claim::new(&self.env, resource, epoch, parked))
    }
}
