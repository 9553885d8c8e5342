//! How a behaviour joins the server: [`Module`], and the [`Registrar`] that owns what it registers.
//!
//! `docs/modules.md` shows how to write one, from `modules/ping.rs`.

use crate::{
    env::Env,
    hooks::{HookTable, Registration},
    session::{SessionCx, effects::BoxFuture},
};
use config::{Section, Sections};
use std::{collections::HashMap, fmt, future::Future, net::IpAddr, sync::Arc};
use supervision::ChildSpec;
use xmpp::{
    Element,
    error::{StanzaError, StreamError},
    jid::BareJid,
    payload::Payload,
    stanza::{Stanza, Type},
};

/// A XEP and the version of it that a module implements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xep(pub u16, pub &'static str);

/// A behaviour: one file in `modules/`, or outside this crate.
pub trait Module: Sized + Send + Sync + 'static {
    /// Its name: the section `[modules.NAME]` of the configuration.
    const NAME: &'static str;
    /// What it implements.
    const XEPS: &'static [Xep];
    /// It answers requests for accounts that do not exist itself, so that nobody can tell them from
    /// those he may not see. For other modules such a request is `service-unavailable` before they
    /// see it (RFC 6121 section 8.5.1).
    const HIDES_ACCOUNTS: bool = false;
    /// Its options.
    type Config: Section;

    /// Makes the module of its options.
    fn new(config: Self::Config) -> Self;

    /// Registers everything it does.
    fn register(on: &mut Registrar<'_, Self>);

    /// Supervised processes of its own, started before the listeners and stopped after them.
    fn children(self: &Arc<Self>, _env: &Arc<Env>) -> Vec<ChildSpec> {
        Vec::new()
    }
}

/// To whom an IQ is addressed, of those the server answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The server itself (a host).
    Server(Arc<str>),
    /// A local account (RFC 6121 section 8.5.2.1.3).
    Account(BareJid),
}

/// The answer to an IQ request.
pub enum Answer {
    /// A result with this XML as its payload; empty for none.
    Result(Vec<u8>),
    /// An error.
    Error(StanzaError),
    /// An empty result, and then the end of the stream.
    Last(StreamError),
    /// Known later: a store is asked.
    Later(BoxFuture<Answer>),
    /// The handler answers by itself, with what it did to the session at the same moment.
    Sent,
}

impl Answer {
    /// An empty result.
    pub fn empty() -> Self {
        Self::Result(Vec::new())
    }

    /// The answer of a future.
    pub fn later(future: impl Future<Output = Answer> + Send + 'static) -> Self {
        Self::Later(Box::pin(future))
    }
}

impl<E: Into<StanzaError>> From<Result<Vec<u8>, E>> for Answer {
    fn from(result: Result<Vec<u8>, E>) -> Self {
        match result {
            Ok(xml) => Self::Result(xml),
            Err(e) => Self::Error(e.into()),
        }
    }
}

impl From<StanzaError> for Answer {
    fn from(e: StanzaError) -> Self {
        Self::Error(e)
    }
}

/// What an IQ handler gets to see.
#[derive(Debug)]
pub struct IqCx<'a, 's> {
    /// The session that asks. Everything of the node is in `session.env`.
    pub session: &'a mut SessionCx<'s>,
    /// Whom it asks.
    pub target: &'a Target,
    /// The whole stanza.
    pub iq: &'a Stanza,
}

impl IqCx<'_, '_> {
    /// The account asked for, if it is the asking user's own; `forbidden` otherwise.
    ///
    /// # Errors
    /// `forbidden` (RFC 6120 section 8.3.3.4) for somebody else's account.
    pub fn own_account(&self) -> Result<BareJid, StanzaError> {
        match self.target {
            Target::Account(user) if user == self.session.user() => Ok(user.clone()),
            _ => Err(StanzaError::forbidden()),
        }
    }
}

type IqFn = dyn Fn(&mut IqCx<'_, '_>, &Element) -> Answer + Send + Sync;

struct IqRow {
    module: &'static str,
    hides_accounts: bool,
    run: Arc<IqFn>,
}

/// IQ handlers by (type, namespace, element name).
#[derive(Default)]
pub struct Iqs {
    rows: HashMap<(Type, &'static str, &'static str), IqRow>,
}

impl Iqs {
    /// The handler for a payload, and its module.
    pub fn find(&self, ty: Type, ns: &str, name: &str) -> Option<(&'static str, Arc<IqFn>)> {
        let row = self.rows.get(&(ty, ns, name) as &(Type, &str, &str))?;
        Some((row.module, Arc::clone(&row.run)))
    }

    /// Whether the payload is known with either type: decides between `feature-not-implemented`
    /// and `service-unavailable`.
    pub fn knows(&self, ns: &str, name: &str) -> bool {
        [Type::Get, Type::Set].into_iter().any(|t| self.find(t, ns, name).is_some())
    }

    /// Whether the module that answers such a request decides what is said of accounts that do not
    /// exist: see [`Module::HIDES_ACCOUNTS`].
    pub(crate) fn hides_accounts(&self, ty: Type, ns: &str, name: &str) -> bool {
        let row = self.rows.get(&(ty, ns, name) as &(Type, &str, &str));
        row.is_some_and(|r| r.hides_accounts)
    }
}

impl fmt::Debug for Iqs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.rows.iter().map(|(k, r)| (k, r.module))).finish()
    }
}

/// Answers a registration: see [`Registration`].
pub type RegistrationFn<M> = fn(&M, &Arc<Env>, &Arc<str>, IpAddr, &Stanza) -> BoxFuture<Answer>;

/// The one object through which a module registers what it does.
#[derive(Debug)]
pub struct Registrar<'a, M> {
    pub(crate) module: Arc<M>,
    pub(crate) table: &'a mut HookTable,
    conflicts: &'a mut Vec<String>,
}

impl<M: Module> Registrar<'_, M> {
    /// Answers IQs of type get whose payload is `P`, a namespace and element that no other module
    /// may claim. A payload that cannot be parsed is answered with `bad-request` by itself.
    pub fn iq_get<P: Payload + 'static>(
        &mut self,
        f: fn(&M, &mut IqCx<'_, '_>, P) -> Answer,
    ) -> &mut Self {
        self.iq(Type::Get, f)
    }

    /// The same for type set.
    pub fn iq_set<P: Payload + 'static>(
        &mut self,
        f: fn(&M, &mut IqCx<'_, '_>, P) -> Answer,
    ) -> &mut Self {
        self.iq(Type::Set, f)
    }

    fn iq<P: Payload + 'static>(
        &mut self,
        ty: Type,
        f: fn(&M, &mut IqCx<'_, '_>, P) -> Answer,
    ) -> &mut Self {
        let m = Arc::clone(&self.module);
        let run = Arc::new(move |cx: &mut IqCx<'_, '_>, element: &Element| {
            match P::from_element(element) {
                Ok(payload) => f(&m, cx, payload),
                Err(e) => Answer::Error(StanzaError::bad_request().with_text(&e.to_string())),
            }
        });
        let row = IqRow { module: M::NAME, hides_accounts: M::HIDES_ACCOUNTS, run };
        if let Some(other) = self.table.iqs.rows.insert((ty, P::NS, P::NAME), row) {
            let who = (M::NAME, other.module, P::NAME, P::NS);
            self.conflicts.push(format!(
                "modules {} and {} both answer <{} xmlns='{}'/>: switch one of them off",
                who.0, who.1, who.2, who.3
            ));
        }
        self
    }

    /// A feature of the server and of accounts in service discovery.
    pub fn feature(&mut self, ns: &'static str) -> &mut Self {
        self.server_feature(ns).account_feature(ns)
    }

    /// A feature of the server.
    pub fn server_feature(&mut self, ns: &'static str) -> &mut Self {
        self.table.server_features.push(ns);
        self
    }

    /// A feature of accounts.
    pub fn account_feature(&mut self, ns: &'static str) -> &mut Self {
        self.table.account_features.push(ns);
        self
    }

    /// A name under which the module marks resources: one that moves to another process keeps it.
    pub fn mark(&mut self, name: &'static str) -> &mut Self {
        self.table.marks.push(name);
        self
    }

    /// Messages wait with the module until clients have acknowledged them; it gets a notice when they
    /// have. One module only.
    pub fn keeper(&mut self) -> &mut Self {
        if let Some(other) = self.table.keeper.replace(M::NAME) {
            self.conflicts.push(format!("modules {} and {other} both keep messages", M::NAME));
        }
        self
    }

    /// Offers registration before authentication. One module only.
    pub fn registration(&mut self, f: RegistrationFn<M>) -> &mut Self {
        let m = Arc::clone(&self.module);
        let run: Arc<Registration> =
            Arc::new(move |env: &_, host: &_, peer, iq: &_| f(&m, env, host, peer, iq));
        if let Some((other, _)) = self.table.registration.replace((M::NAME, run)) {
            self.conflicts.push(format!("modules {} and {other} both offer registration", M::NAME));
        }
        self
    }
}

type Children = Box<dyn Fn(&Arc<Env>) -> Vec<ChildSpec> + Send + Sync>;

/// A set of modules, configured and registered.
#[derive(Default)]
pub struct Modules {
    table: HookTable,
    children: Vec<(&'static str, Children)>,
    xeps: Vec<(&'static str, &'static [Xep])>,
    conflicts: Vec<String>,
}

impl fmt::Debug for Modules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Modules").field("xeps", &self.xeps).finish_non_exhaustive()
    }
}

impl Modules {
    /// Adds module `M` with its section of `[modules]`; a section `enabled = false` leaves it out.
    pub fn add<M: Module>(&mut self, sections: &mut Sections) -> &mut Self {
        if let Some(config) = sections.take::<M::Config>(M::NAME) {
            self.add_with::<M>(config);
        }
        self
    }

    /// Adds module `M` with options made in code.
    pub fn add_with<M: Module>(&mut self, config: M::Config) -> &mut Self {
        let module = Arc::new(M::new(config));
        let (table, conflicts) = (&mut self.table, &mut self.conflicts);
        table.modules.push(M::NAME);
        M::register(&mut Registrar { module: Arc::clone(&module), table, conflicts });
        self.children.push((M::NAME, Box::new(move |env| module.children(env))));
        self.xeps.push((M::NAME, M::XEPS));
        self
    }

    /// The hook table, and what starts the modules' processes.
    ///
    /// # Errors
    /// A line for each payload that two modules claim.
    pub fn build(mut self) -> Result<(HookTable, ModuleChildren), Vec<String>> {
        if !self.conflicts.is_empty() {
            return Err(self.conflicts);
        }
        self.table.sort();
        Ok((self.table, ModuleChildren(self.children)))
    }

    /// Which module implements which XEPs.
    pub fn xeps(&self) -> &[(&'static str, &'static [Xep])] {
        &self.xeps
    }
}

/// The processes that modules own.
pub struct ModuleChildren(Vec<(&'static str, Children)>);

impl ModuleChildren {
    /// The child specifications, by module.
    pub fn specs(&self, env: &Arc<Env>) -> Vec<ChildSpec> {
        self.0.iter().flat_map(|(_, f)| f(env)).collect()
    }
}

impl fmt::Debug for ModuleChildren {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|c| c.0)).finish()
    }
}
