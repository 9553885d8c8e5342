//! What becomes of the sessions of a node that is no more, and of this node's own after it was taken for dead: a process that works on one
//! such node after the other.

use crate::{
    env::Env,
    resource::Ended,
    routing::{divert, is_connected, presence},
    sessions::{self, ask_again, look_again, republish},
};
use cluster::{Entry, Start};
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use supervision::{ChildSpec, Cx, InitError, Next, Node, Ref, Server};
use tokio::time::{sleep, timeout};
use xmpp::jid::{BareJid, FullJid};

/// The name of the process.
const NAME: &str = "heirs";

/// How long others have to enter a session in the registry that they have taken over, before it counts as gone.
const PATIENCE: Duration = Duration::from_secs(1);
/// How soon what failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// How soon it is asked again whose sessions are that this node has and others may have by now, and for how long nobody is served
/// before that is known.
const SOON: Duration = Duration::from_millis(200);
const KNOWN: Duration = Duration::from_secs(10);

/// What the process is told.
#[derive(Debug)]
pub enum Msg {
    /// These have left the registry, with their node.
    Gone(Vec<Entry>),
    /// All of that node have.
    Swept(Start),
    /// This node was taken for dead: its sessions are published anew.
    Anew,
}

/// The address of the process, for whoever knows of nodes.
#[derive(Debug)]
pub struct Heirs(Option<Ref<Msg>>);

impl Heirs {
    /// Those of a node.
    pub fn of(env: &Env) -> Self {
        Self(env.process(NAME))
    }

    /// Where it has its place in the tree.
    pub fn child(env: &Arc<Env>) -> ChildSpec {
        let env = Arc::clone(env);
        ChildSpec::server::<Heir>(NAME, move || Arc::clone(&env))
    }

    fn tell(&self, msg: Msg) {
        if self.0.as_ref().is_none_or(|heirs| heirs.cast(msg).is_err()) {
            tracing::error!("nobody goes on with what a node has left");
        }
    }

    /// These sessions of a node that is no more have left the registry, and only this node is told.
    pub fn gone(&self, sessions: Vec<Entry>) {
        self.tell(Msg::Gone(sessions));
    }

    /// All of a node that is no more have.
    pub fn swept(&self, start: Start) {
        self.tell(Msg::Swept(start));
    }

    /// This node was taken for dead, and is another start of it from now on: when its sessions are published anew it is
    /// [ready](cluster::View::is_ready).
    pub fn begins_anew(&self) {
        self.tell(Msg::Anew);
    }
}

/// Sessions of a node that is no more.
#[derive(Debug, Default)]
struct Gone {
    users: HashSet<BareJid>,
    /// Those that were available: who was not is missed by nobody.
    available: Vec<FullJid>,
}

/// The process.
pub struct Heir {
    env: Arc<Env>,
    /// Of each node that is no more, what has left the registry by this node.
    gone: HashMap<Node, Gone>,
}

impl Server for Heir {
    type Args = Arc<Env>;
    type Msg = Msg;
    const NAME: &'static str = NAME;
    // pages of sessions of a node
    const INBOX: usize = 100_000;

    async fn init(env: Arc<Env>, cx: &mut Cx<Msg>) -> Result<Self, InitError> {
        cx.register(NAME)?;
        Ok(Self { env, gone: HashMap::new() })
    }

    async fn handle(&mut self, msg: Msg, _: &mut Cx<Msg>) -> Next {
        match msg {
            Msg::Gone(entries) => entries.into_iter().for_each(|entry| self.notes(entry)),
            Msg::Swept(start) => self.swept(start).await,
            Msg::Anew => self.anew().await,
        }
        Next::Continue
    }

    fn describe(msg: &Msg) -> Cow<'static, str> {
        match msg {
            Msg::Gone(entries) => format!("{} sessions are gone", entries.len()).into(),
            Msg::Swept(start) => format!("{} is no more", start.node).into(),
            Msg::Anew => "this node begins anew".into(),
        }
    }
}

impl Heir {
    fn notes(&mut self, Entry { user, record }: Entry) {
        let Ok(user) = user.parse::<BareJid>() else { return };
        let gone = self.gone.entry(record.token.node).or_default();
        if let (Some(_), Ok(jid)) = (record.priority, user.with_resource(&record.resource)) {
            gone.available.push(jid);
        }
        gone.users.insert(user);
    }

    /// Goes on with what the node had stored; contacts of whoever does not go on anywhere hear that.
    async fn swept(&mut self, start: Start) {
        sessions::take_over(&self.env, &start.node.name()).await;
        let Some(Gone { users, available }) = self.gone.remove(&start.node) else { return };
        for user in users {
            self.is_left(&user).await;
        }
        sleep(PATIENCE).await;
        for jid in available {
            let user = jid.bare();
            let goes_on = loop {
                match self.env.registry.lookup(user.as_str()).await {
                    Ok(records) => break records.iter().any(|r| &*r.resource == jid.resource()),
                    Err(_) => sleep(AGAIN).await,
                }
            };
            if !goes_on {
                presence::vanished(&self.env, &jid).await;
            }
        }
    }

    /// What sessions held that do not go on goes to the user's others now.
    async fn is_left(&self, user: &BareJid) {
        let Some(keeper) = &self.env.hooks().keeper else { return };
        if is_connected(&self.env, user).await
            && self.env.stores.offline.count(user).await.unwrap_or(1) > 0
        {
            divert(&self.env, user, keeper.module, 1).await;
        }
    }

    async fn anew(&self) {
        let mut elsewhere = loop {
            match republish(&self.env).await {
                Ok(elsewhere) => break elsewhere,
                Err(again) => sleep(again).await,
            }
        };
        if let Some(cluster) = &self.env.cluster {
            // whoever has one of them by now may have no link to this node yet
            let known = async {
                while cluster.confirms.has_open() {
                    sleep(SOON).await;
                    elsewhere.extend(ask_again(&self.env, cluster).await);
                }
            };
            drop(timeout(KNOWN, known).await);
            // they were free to take them over
            for session in cluster.confirms.take_open() {
                tracing::info!(jid = %session.jid(), "a session is another node's now");
                self.env.managers.end(&session, Ended::Conflict);
                elsewhere.push(session);
            }
        }
        // nothing is done in the name of sessions that others have by now
        let over = async {
            for session in &elsewhere {
                session.is_over().await;
            }
        };
        drop(timeout(PATIENCE, over).await);
        if let Some(cluster) = &self.env.cluster {
            cluster.view.is_ready(true);
        }
        look_again(&self.env);
        tracing::info!(ended = elsewhere.len(), "this node goes on");
    }
}
