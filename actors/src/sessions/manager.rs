//! Session managers: who gets which resource. A supervised process for each share of the users.
//!
//! Binding, conflicts, resumption and the end of lost sessions go through the manager of the user,
//! so that what two connections of one user do at once happens one after the other. Everything else
//! reads the table without asking (law 3). A manager only moves entries of table and registry: what an end
//! asks of stores and says to contacts is for the tasks of [`ends`](super::ends).

use super::{
    claim::{BindError, Claim, ResumeError},
    end::begin,
    ends::{self, Ends},
    keep,
    managers::{Msg, Place, Placed},
    past::Past,
    registry, unfinished,
    windows::Windows,
    work::Work,
    writer,
};
use crate::{
    env::Env,
    resource::{Ended, FrozenWaiting, Owner, PATIENCE, Resource},
};
use cluster::RegistryError;
use serde_json::{Value, json};
use std::{borrow::Cow, sync::Arc, time::Duration};
use supervision::{
    ChildSpec, Cx, Event, Exit, InitError, Monitor, Next, Server, Shutdown, SupervisorSpec, Timer,
};
use tokio::time::Instant;
use xmpp::jid::{BareJid, FullJid};

/// How long a manager may take to end the sessions that are left when the node stops.
const LAST_SESSIONS: Duration = Duration::from_secs(60);

/// Sessions whose windows are over that are looked at in one go.
const EXPIRED: usize = 256;

/// The supervisor of all managers of a node.
pub fn spec(env: &Arc<Env>) -> SupervisorSpec {
    let managers = env.managers.count();
    let spec = SupervisorSpec::one_for_one()
        .intensity(10, Duration::from_secs(10))
        .child(ends::tasks(managers))
        .child(unfinished::tasks())
        .child(writer::tasks(managers))
        .child(ChildSpec::supervisor("writers", writer::spec(env)));
    (0..managers).fold(spec, |spec, n| {
        let env = Arc::clone(env);
        let args = move || (Arc::clone(&env), n);
        let manager = ChildSpec::server::<SessionManager>(&n.to_string(), args);
        spec.child(manager.shutdown(Shutdown::Timeout(LAST_SESSIONS)))
    })
}

/// The process of a manager.
pub struct SessionManager {
    env: Arc<Env>,
    number: usize,
    place: Arc<Place>,
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
        let place = env.managers.place(number).map(Arc::clone);
        let place = place.ok_or_else(|| InitError::failed("there is no such manager"))?;
        place.enter(cx.me().clone());
        let (windows, past, ends) = Default::default();
        let mut manager = Self { env, number, place, windows, past, ends, alarm: None };
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
            Msg::Changed(resource) => {
                if let Some(end) = self.windows.end(resource.id()) {
                    self.ends.add(resource, Work::Sleep(end));
                }
            }
            Msg::Again(resource, work) => self.ends.add_again(resource, work),
            Msg::Finish(work) => unfinished::start(cx.system(), work),
            Msg::End(resource, why, reply) => {
                self.end(resource, why).await;
                reply.into_iter().for_each(|reply| reply.send(()));
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
        if let Event::Down { monitor, reason, .. } = event {
            self.down((monitor, &reason), cx);
        }
        self.go_on(cx);
        Next::Continue
    }

    fn describe(msg: &Msg) -> Cow<'static, str> {
        match msg {
            Msg::Bind(user, ..) => format!("bind {user}").into(),
            Msg::Resume(user, ..) => format!("resume {user}").into(),
            Msg::Lost(resource, _) => format!("lost {}", resource.jid()).into(),
            Msg::Freeze(_) => "freeze".into(),
            Msg::End(resource, why, _) => format!("end {} {why:?}", resource.jid()).into(),
            Msg::Changed(resource) => format!("changed {}", resource.jid()).into(),
            Msg::Again(resource, what) => format!("again {} {what:?}", resource.jid()).into(),
            Msg::Finish(_) => "finish".into(),
            Msg::Alarm => "alarm".into(),
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
            // one that can be resumed waits in the store, and another process goes on with it
            if !resource.can_sleep() {
                self.end(resource, Ended::Shutdown).await;
            } else if resource.should_sleep() {
                // its connection was lost just now, or the store did not take it before
                let end = self.windows.end(resource.id());
                let end = end.unwrap_or_else(|| Instant::now() + resource.window());
                self.ends.add(resource, Work::Sleep(end));
            }
        }
        self.finish_all(cx).await;
        // the store did not take them
        for resource in self.mine().into_iter().filter(|resource| resource.should_sleep()) {
            self.end(resource, Ended::Shutdown).await;
        }
        self.finish_all(cx).await;
    }
}

impl SessionManager {
    /// The resources of this manager's users.
    fn mine(&self) -> Vec<Arc<Resource>> {
        let mine = |r: &Arc<Resource>| self.env.managers.number_of(r.user()) == self.number;
        self.env.table.all().filter(mine).collect()
    }

    async fn finish_all(&mut self, cx: &mut Cx<Msg>) {
        while self.ends.len() > 0 {
            if !self.ends.start(&self.env, cx) {
                // nobody does it any more
                self.ends.do_one(&self.env).await;
                continue;
            }
            if let Event::Down { monitor, reason, .. } = cx.next().await
                && let Some(resource) = self.ends.ended((monitor, &reason), &self.env, cx.system())
            {
                // somebody else is at it, and slow: there is no later
                self.ends.add(resource, Work::End);
            }
        }
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
        if self.place.has_missed() {
            tracing::warn!("a session manager did not take lost sessions; it looks for them");
            self.look_for_lost();
        }
        let started = self.ends.start(&self.env, cx);
        self.place.ends(self.ends.len());
        let again = (!started).then(|| Instant::now() + PATIENCE);
        let times = self.windows.next().into_iter().chain(again).chain(self.ends.next());
        let Some(next) = times.min() else { return };
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
        let end = Instant::now() + left.unwrap_or_else(|| resource.window());
        if resource.should_sleep() {
            self.ends.add(Arc::clone(&resource), Work::Sleep(end));
        }
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
        self.ends.add(resource, Work::End);
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

    async fn bind(&mut self, user: &BareJid, wanted: Option<FullJid>) -> Result<Placed, BindError> {
        let env = Arc::clone(&self.env);
        let jid = match wanted {
            Some(jid) => jid,
            None => user.with_resource(&env.token()).map_err(|_| BindError::Unavailable)?,
        };
        let settings = env.settings();
        let clock = Arc::clone(&env.clock);
        let resource = Resource::new(jid, env.next_session(), env.queue_limits(), clock);
        keep(&env, &resource);
        let limit = settings.max_resources;
        drop(settings);
        let entered = match registry::bind(&env, &resource, limit).await {
            Err(RegistryError::ResourceLimit { .. }) => {
                self.make_room(user, limit).await;
                registry::bind(&env, &resource, limit).await
            }
            entered => entered,
        };
        let replaced = match entered {
            Ok(replaced) => replaced,
            Err(RegistryError::ResourceLimit { .. }) => return Err(BindError::TooMany),
            Err(error) => {
                tracing::warn!(%error, "a resource could not be bound");
                return Err(BindError::Unavailable);
            }
        };
        let mut before = env.table.resources(user);
        before.retain(|old| old.jid() == resource.jid());
        for old in before.iter().filter(|old| old.owner() != Owner::Ended) {
            self.end(Arc::clone(old), Ended::Conflict).await;
        }
        env.table.insert(Arc::clone(&resource));
        Ok((Claim::new(&self.place, resource, 1, None), before, replaced))
    }

    /// Whoever is there goes before what waits to be resumed: of the user's sessions those that have waited the
    /// longest end, as many as it takes. None, if there are not enough.
    async fn make_room(&mut self, user: &BareJid, limit: usize) {
        let Ok(bound) = self.env.registry.lookup(user.as_str()).await else { return };
        let mut waiting = self.env.table.resources(user);
        waiting.retain(|resource| resource.owner() == Owner::Detached);
        // one whose connection is only just lost has no window yet
        waiting.sort_by_key(|resource| {
            (self.windows.end(resource.id()).is_none(), self.lost(resource))
        });
        let needed = (bound.len() + 1).saturating_sub(limit);
        if needed > waiting.len() {
            return;
        }
        for resource in waiting.into_iter().take(needed) {
            let waited = self.lost(&resource).map(|at| at.elapsed().as_secs());
            tracing::info!(jid = %resource.jid(), waited, "a session that waits to be resumed makes room");
            self.env.metrics.displaced();
            self.end(Arc::clone(&resource), Ended::Closed).await;
            // whatever it leaves behind
            registry::unbind(&self.env, &resource).await;
        }
    }

    /// Since when a session waits to be resumed.
    fn lost(&self, resource: &Resource) -> Option<Instant> {
        self.windows.end(resource.id())?.checked_sub(resource.window())
    }

    fn resume(&mut self, user: &BareJid, token: &str) -> Result<Claim, ResumeError> {
        let has = |r: &&Arc<Resource>| r.has_token(token);
        let found = self.env.table.with_user(user, |rs| rs.iter().find(has).cloned());
        let unknown = || ResumeError::Unknown(self.past.find(user, token));
        let resource = found.ok_or_else(unknown)?;
        let end = self.windows.close(resource.id());
        let (epoch, parked) = resource.attach().ok_or_else(unknown)?;
        // without a window its connection was not known to be lost
        let waited = end.map(|end| {
            resource.window().saturating_sub(end.saturating_duration_since(Instant::now()))
        });
        self.env.metrics.resumed_after(waited.unwrap_or_default());
        Ok(Claim::new(&self.place, resource, epoch, parked))
    }
}
