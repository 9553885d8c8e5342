//! The hook points, in the order of a stanza's life, and the table that runs them.
//!
//! A handler is a method of a module; it gets what it may look at and returns what it decided or
//! pushes effects. Sync points run in the turn of a session; async points run in a job of whoever
//! caused them. A point is one entry of the list in this file, which makes its column of the table, its
//! documentation and its method of the [`Registrar`](crate::registrar::Registrar). Adding one needs a module that uses it and a reason in
//! ARCHITECTURE.md: they are few on purpose.

#[cfg(test)]
mod tests;

use crate::{
    cx::{Answer, IqCx, SessionCx},
    env::Env,
    future::BoxFuture,
    metrics::modules::ModuleMetrics,
    resource::{QueueLimits, Resource},
};
use bytes::Bytes;
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};
use storage::OfflineLimits;
use xmpp::{
    Element,
    error::StanzaError,
    jid::{BareJid, Jid},
    stanza::{Child, Stanza, Type},
};

/// Whether the next handler, and then the default, is to see the stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// It ends here; whoever stopped has pushed what is to be done instead.
    Stop,
}

/// When a handler runs among those of its point; ties by module name. Handlers of equal order must
/// not depend on each other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Before all others: sees everything.
    First,
    /// May refuse it on behalf of the user (e.g. blocking).
    Privacy,
    /// The usual place.
    Main,
    /// After the others: sees what really happens (e.g. archiving).
    Last,
}

/// What became of a message for a user of whom no resource takes it.
#[derive(Debug)]
pub enum Offline {
    /// Not for me: ask the next module.
    Pass(Stanza),
    /// Stored, pushed or dropped for a good reason: done.
    Taken,
    /// Tell the sender.
    Bounce(Stanza, StanzaError),
}

/// The stage of negotiation that features are offered for (RFC 6120 section 4.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Not authenticated yet.
    Unauthenticated {
        /// Whether the stream is under TLS: a password may be sent in it.
        secure: bool,
        /// Whether accounts of its host are made here, and not by another application.
        own: bool,
    },
    /// Authenticated, before resource binding.
    Authenticated,
}

type Hook<F> = Vec<Row<F>>;

/// The module that keeps messages.
#[derive(Clone, Copy, Debug)]
pub struct Keeper {
    /// Its name.
    pub module: &'static str,
    /// Whether a message of type normal or chat is kept.
    pub worth: fn(&Stanza) -> bool,
    /// How much it keeps for a user.
    pub limits: OfflineLimits,
}

impl Keeper {
    /// How much is kept for a user with a session that can be resumed: what waits for that has room of its own.
    pub fn with_queue(&self, queue: QueueLimits) -> OfflineLimits {
        let OfflineLimits { messages, bytes, .. } = self.limits;
        OfflineLimits {
            messages: messages.saturating_add(queue.queued),
            bytes: bytes.saturating_add(queue.queued_bytes),
            share: 100,
        }
    }
}

/// One registered handler.
pub struct Row<F: ?Sized> {
    /// The module it belongs to.
    pub module: &'static str,
    /// Its place.
    pub order: Order,
    /// The handler.
    pub run: Arc<F>,
}

/// The list. `$make` makes something of it: the table here, its methods in [`crate::registrar`].
macro_rules! points {
    ($make:ident) => {
        $make! {
            /// Stream features: append XML to what is offered.
            features(env: &Env, stage: Stage, out: &mut Vec<u8>);
            /// A resource was bound or resumed by a fresh process: load per-session data.
            bound(cx: &mut SessionCx<'_>);
            /// The client sent something, be it white space, an acknowledgement or a part of a stanza: it is
            /// there. Once for all that was read together.
            heard(cx: &mut SessionCx<'_>);
            /// A stanza of the client, its `from` stamped, before it is routed or answered.
            inbound(cx: &mut SessionCx<'_>, stanza: &Stanza) -> Flow;
            /// The resource is about to become visible (initial presence, or its priority is negative no
            /// more); jobs pushed here finish first.
            available(cx: &mut SessionCx<'_>, priority: i8);
            /// The resource has become visible (initial presence, or its priority is negative no more): for what arrived since
            /// `available`.
            visible(cx: &mut SessionCx<'_>, priority: i8);
            /// A presence of type subscribe, subscribed, unsubscribe or unsubscribed that the client sends.
            subscription_out(cx: &mut SessionCx<'_>, stanza: &Stanza) -> Flow;
            /// A presence of type subscribe, subscribed, unsubscribe or unsubscribed that arrives for a local user of somebody
            /// who has no account here, in a job of the sender. Between two accounts it is decided with `subscription_out`.
            subscription_in(env: &Arc<Env>, user: &BareJid, stanza: &Stanza) -> BoxFuture<Flow>;
            /// May `from` learn the presence of this local user? Asked for probes (RFC 6121 section 4.3), and for what goes with
            /// presence: last activity, service discovery.
            may_see(env: &Arc<Env>, user: &BareJid, from: &Jid) -> BoxFuture<Flow>;
            /// May this stanza reach this local account? Asked of what the server handles in its name: an IQ
            /// or a probe of somebody else, a subscription. In a job of the sender; who stops it does so
            /// without a word, an IQ is answered as if there were no such account.
            reaching(env: &Arc<Env>, user: &BareJid, stanza: &Stanza) -> BoxFuture<Flow>;
            /// A message for a local user of whom no resource takes it (XEP-0160).
            offline(env: &Arc<Env>, user: &BareJid, message: Stanza) -> BoxFuture<Offline>;
            /// It is the turn of a notice for this module in the client's queue: somebody put it there, or the client has
            /// acknowledged what the keeper of messages keeps. Or the module holds the queue back, and the client can take more.
            notice(cx: &mut SessionCx<'_>);
            /// A timer of the module went off.
            timer(cx: &mut SessionCx<'_>);
            /// The client ends its stream, in order (without acknowledgements it has what was written to it then) or with an
            /// error. Jobs pushed here finish before the session ends.
            closing(cx: &mut SessionCx<'_>, in_order: bool);
            /// The client went unavailable or its session ended: with its last presence, unless nobody saw it. In the
            /// job that has told its contacts.
            unavailable(env: &Arc<Env>, resource: &Arc<Resource>, presence: Option<&Stanza>) -> BoxFuture<()>;
            /// A session that waited in the store goes on waiting in this process, and nobody has it yet: what the module keeps with the
            /// resource may have changed in the meantime.
            restored(env: &Arc<Env>, resource: &Arc<Resource>) -> BoxFuture<()>;
            /// An account is about to be removed: end what it has with others. Again when there is something new.
            removing(env: &Arc<Env>, user: &BareJid) -> BoxFuture<Result<(), StanzaError>>;
            /// The module changed data of a user on another node, and says what: it does here what follows for the user's sessions.
            told(env: &Arc<Env>, user: &BareJid, what: Bytes) -> BoxFuture<()>;
            /// An account was removed: drop what is cached of it.
            removed(env: &Arc<Env>, user: &BareJid) -> BoxFuture<()>;
            /// Another process goes on with the node: what the module keeps for all sessions and has in no
            /// store, as data.
            freeze() -> Value;
            /// This process goes on with a node: what the module's `freeze` said in the other one.
            thaw(value: &Value);
        }
    };
}
pub(crate) use points;

macro_rules! table {
    ($($(#[doc = $doc:literal])+ $name:ident($($arg:ident: $ty:ty),*) $(-> $r:ty)?;)+) => {
        /// All that the configured modules have registered. Built once, before the node starts; another
        /// set of modules is another process's.
        #[derive(Default)]
        pub struct HookTable {
            $($(#[doc = $doc])+ pub $name: Hook<dyn Fn($($ty),*) $(-> $r)? + Send + Sync>,)+
            /// The modules.
            pub modules: Vec<&'static str>,
            /// IQ handlers by payload.
            pub iqs: Iqs,
            /// disco#info features of the server (XEP-0030 section 3.1).
            pub server_features: Vec<&'static str>,
            /// disco#info features of an account.
            pub account_features: Vec<&'static str>,
            /// disco#info features of the domains of services.
            pub service_features: Vec<&'static str>,
            /// The domains for which modules answer.
            pub services: Vec<Service>,
            /// The names under which modules mark resources.
            pub marks: Vec<&'static str>,
            /// The module that keeps messages until they are acknowledged, and gets a notice when they are.
            pub keeper: Option<Keeper>,
            /// What modules count and measure.
            pub metrics: ModuleMetrics,
        }

        impl HookTable {
            /// Puts the rows into their order.
            pub(crate) fn sort(&mut self) {
                $(self.$name.sort_by_key(|r| (r.order, r.module));)+
            }

            /// The points with the modules on them in order.
            pub fn describe(&self) -> BTreeMap<&'static str, Vec<(&'static str, Order)>> {
                BTreeMap::from([$(
                    (stringify!($name), self.$name.iter().map(|r| (r.module, r.order)).collect()),
                )+])
            }

            /// Each point's name and what it is for.
            pub const DOCS: &'static [(&'static str, &'static str)] =
                &[$((stringify!($name), concat!($($doc, "\n"),+)),)+];
        }
    };
}

points!(table);

impl HookTable {
    /// The module of that name, if it is on.
    pub fn module(&self, name: &str) -> Option<&'static str> {
        self.modules.iter().copied().find(|m| *m == name)
    }
}

impl fmt::Debug for HookTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.describe()).finish()
    }
}

/// A handler of IQ requests, with its module inside.
pub type IqFn = dyn Fn(&mut IqCx<'_, '_>, &Element) -> Answer + Send + Sync;

/// One registered handler of IQ requests.
pub struct IqRow {
    /// The module it belongs to.
    pub module: &'static str,
    /// See [`Module::HIDES_ACCOUNTS`](crate::registrar::Module::HIDES_ACCOUNTS).
    pub hides_accounts: bool,
    /// Clients may ask before they log on.
    pub before_auth: bool,
    /// See [`Module::FOR_SERVICES`](crate::registrar::Module::FOR_SERVICES).
    pub for_services: bool,
    /// The handler.
    pub run: Arc<IqFn>,
}

/// What a handler is for: the service of which module (`None`: the server and accounts), type, namespace and
/// name of the payload.
pub(crate) type IqKey<'a> = (Option<&'a str>, Type, &'a str, &'a str);

/// IQ handlers by payload.
#[derive(Default)]
pub struct Iqs {
    rows: HashMap<IqKey<'static>, IqRow>,
}

impl Iqs {
    pub(crate) fn insert(&mut self, key: IqKey<'static>, row: IqRow) -> Option<IqRow> {
        self.rows.insert(key, row)
    }

    pub(crate) fn find<'r>(&'r self, ty: Type, child: &'r Child) -> Option<&'r IqRow> {
        self.rows.get(&(None, ty, child.ns(), child.name()) as &IqKey<'r>)
    }

    /// The handler of a service's module for it; for its domain also who answers for all services.
    pub(crate) fn find_for<'r>(
        &'r self,
        service: &'r Service,
        to: &Jid,
        ty: Type,
        child: &'r Child,
    ) -> Option<&'r IqRow> {
        let own = (Some(service.module), ty, child.ns(), child.name());
        let common = || self.find(ty, child).filter(|r| r.for_services && to.node().is_none());
        self.rows.get(&own as &IqKey<'r>).or_else(common)
    }

    /// Whether there is something in the namespace that clients may ask before they log on.
    pub(crate) fn before_auth(&self, ns: &str) -> bool {
        self.rows.iter().any(|((_, _, of, _), row)| row.before_auth && *of == ns)
    }
}

impl fmt::Debug for Iqs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.rows.iter().map(|(k, r)| (k, r.module))).finish()
    }
}

/// What a service is, as its module registers it.
#[derive(Clone, Debug)]
pub struct ServiceInfo {
    /// Its domain; a name without a dot is one below the first host.
    pub domain: String,
    /// Its identity in service discovery: the category, as registered with XEP-0030,
    pub category: &'static str,
    /// the type of it,
    pub ty: &'static str,
    /// and a name for people.
    pub name: String,
    /// What it can do.
    pub features: &'static [&'static str],
}

/// Handles a stanza for an address of a service; when it returns, all that the stanza causes is done.
pub type ServiceFn = dyn Fn(&Arc<Env>, Stanza) -> BoxFuture<()> + Send + Sync;

/// A registered service.
pub struct Service {
    /// The module it belongs to.
    pub module: &'static str,
    /// What it is.
    pub info: ServiceInfo,
    /// Handles messages, presence, and IQs that are no requests to the domain or a node.
    pub run: Arc<ServiceFn>,
}
