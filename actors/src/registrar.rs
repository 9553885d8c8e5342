//! How a behaviour joins the server: [`Module`], and the [`Registrar`] that owns what it registers.
//!
//! `docs/modules.md` shows how to write one, from `modules/ping.rs`.

use crate::{
    cx::{Answer, IqCx, SessionCx},
    env::Env,
    future::BoxFuture,
    hooks::{
        Flow, HookTable, IqRow, Keeper, Offline, Order, Row, Service, ServiceInfo, Stage, points,
    },
    hosts::Hosts,
    metrics::{Counter, Histogram, Unit},
    resource::Resource,
    service,
};
use bytes::Bytes;
use config::{Section, Sections};
use serde_json::Value;
use std::{fmt, sync::Arc};
use storage::OfflineLimits;
use supervision::ChildSpec;
use xmpp::{
    Element,
    error::StanzaError,
    jid::{BareJid, Jid},
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
    /// Its answers are also for the domains of services ([`Registrar::service`]), where the service's own module
    /// has none.
    const FOR_SERVICES: bool = false;
    /// Its options.
    type Config: Section;

    /// Makes the module of its options.
    fn new(config: Self::Config) -> Self;

    /// Registers everything it does.
    fn register(on: &mut Registrar<'_, Self>);

    /// Supervised processes of its own, started before the listeners and stopped after them. One that takes a
    /// name ([`supervision::Cx::register`]) is found by [`Env::process`].
    fn children(self: &Arc<Self>, _env: &Arc<Env>) -> Vec<ChildSpec> {
        Vec::new()
    }
}

/// A method of a module that answers requests with the payload `P`.
pub type IqHandler<M, P> = fn(&M, &mut IqCx<'_, '_>, P) -> Answer;

/// The one object through which a module registers what it does.
#[derive(Debug)]
pub struct Registrar<'a, M> {
    module: Arc<M>,
    table: &'a mut HookTable,
    conflicts: &'a mut Vec<String>,
}

impl<M: Module> Registrar<'_, M> {
    /// Answers IQs of type get whose payload is `P`, a namespace and element that no other module
    /// may claim. A payload that cannot be parsed is answered with `bad-request` by itself.
    pub fn iq_get<P: Payload + 'static>(&mut self, f: IqHandler<M, P>) -> &mut Self {
        self.iq(None, Type::Get, f, false)
    }

    /// Answers IQs of type set whose payload is `P`, as [`Registrar::iq_get`] those of type get.
    pub fn iq_set<P: Payload + 'static>(&mut self, f: IqHandler<M, P>) -> &mut Self {
        self.iq(None, Type::Set, f, false)
    }

    /// As [`Registrar::iq_get`], and clients may ask before they log on, under TLS: `cx.from` is `None` then, and
    /// the target is the host of their stream.
    pub fn iq_get_before_auth<P: Payload + 'static>(&mut self, f: IqHandler<M, P>) -> &mut Self {
        self.iq(None, Type::Get, f, true)
    }

    /// As [`Registrar::iq_set`], and clients may ask before they log on: see [`Registrar::iq_get_before_auth`].
    pub fn iq_set_before_auth<P: Payload + 'static>(&mut self, f: IqHandler<M, P>) -> &mut Self {
        self.iq(None, Type::Set, f, true)
    }

    /// Answers requests to the module's service, of type get and with the payload `P`.
    pub fn service_iq_get<P: Payload + 'static>(&mut self, f: IqHandler<M, P>) -> &mut Self {
        self.iq(Some(M::NAME), Type::Get, f, false)
    }

    /// Answers requests to the module's service, of type set and with the payload `P`.
    pub fn service_iq_set<P: Payload + 'static>(&mut self, f: IqHandler<M, P>) -> &mut Self {
        self.iq(Some(M::NAME), Type::Set, f, false)
    }

    fn iq<P: Payload + 'static>(
        &mut self,
        service: Option<&'static str>,
        ty: Type,
        f: IqHandler<M, P>,
        before_auth: bool,
    ) -> &mut Self {
        let m = Arc::clone(&self.module);
        let run = Arc::new(move |cx: &mut IqCx<'_, '_>, element: &Element| {
            match P::from_element(element) {
                Ok(payload) => f(&m, cx, payload),
                Err(e) => Answer::Error(StanzaError::bad_request().with_text(&e.to_string())),
            }
        });
        let module = M::NAME;
        let (hides_accounts, for_services) = (M::HIDES_ACCOUNTS, M::FOR_SERVICES);
        let row = IqRow { module, hides_accounts, before_auth, for_services, run };
        if let Some(other) = self.table.iqs.insert((service, ty, P::NS, P::NAME), row) {
            self.conflicts.push(format!(
                "modules {} and {} both answer <{} xmlns='{}'/>: switch one of them off",
                module,
                other.module,
                P::NAME,
                P::NS
            ));
        }
        self
    }

    /// Answers for a domain: `f` gets every stanza to it, to its nodes and to their resources that is no
    /// request to one of the first two; those are answered by [`Registrar::service_iq_get`] and its like.
    pub fn service(
        &mut self,
        info: ServiceInfo,
        f: fn(&M, &Arc<Env>, Stanza) -> BoxFuture<()>,
    ) -> &mut Self {
        let m = Arc::clone(&self.module);
        let run = Arc::new(move |env: &Arc<Env>, stanza: Stanza| f(&m, env, stanza));
        self.table.services.push(Service { module: M::NAME, info, run });
        self
    }

    /// The module, with its options.
    pub fn module(&self) -> &M {
        &self.module
    }

    /// A feature of the domains of services, where all have it.
    pub fn service_feature(&mut self, ns: &'static str) -> &mut Self {
        self.table.service_features.push(ns);
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

    /// Counts something; the page has it as `mangrove_MODULE_NAME_total`.
    pub fn counter(&mut self, name: &str, help: &str, of: fn(&M) -> &Counter) -> &mut Self {
        let counter = of(&self.module).clone();
        let added = self.table.metrics.add(M::NAME, (name, None), help, counter);
        self.conflicts.extend(added.err());
        self
    }

    /// Measures something; the page has it as `mangrove_MODULE_NAME`, and a unit ends the name.
    pub fn histogram(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        of: fn(&M) -> &Histogram,
    ) -> &mut Self {
        let histogram = of(&self.module).clone();
        let added = self.table.metrics.add(M::NAME, (name, unit), help, histogram);
        self.conflicts.extend(added.err());
        self
    }

    /// A name under which the module marks resources: one that moves to another process keeps it.
    pub fn mark(&mut self, name: &'static str) -> &mut Self {
        self.table.marks.push(name);
        self
    }

    /// Messages that are `worth` it wait with the module, so many for a user, until clients have acknowledged them; it gets a notice when they
    /// have. One module only.
    pub fn keeper(
        &mut self,
        worth: fn(&Stanza) -> bool,
        limits: impl FnOnce(&M) -> OfflineLimits,
    ) -> &mut Self {
        let limits = limits(&self.module);
        let keeper = Keeper { module: M::NAME, worth, limits };
        if let Some(Keeper { module, .. }) = self.table.keeper.replace(keeper) {
            self.conflicts.push(format!("modules {} and {module} both keep messages", M::NAME));
        }
        self
    }
}

macro_rules! methods {
    ($($(#[doc = $doc:literal])+ $name:ident($($arg:ident: $ty:ty),*) $(-> $r:ty)?;)+) => {
        /// The hook points: each gets a method of the module.
        impl<M: Module> Registrar<'_, M> {
            $(
                $(#[doc = $doc])+
                pub fn $name(&mut self, order: Order, f: fn(&M, $($ty),*) $(-> $r)?) -> &mut Self {
                    let m = Arc::clone(&self.module);
                    let run = Arc::new(move |$($arg: $ty),*| f(&m, $($arg),*));
                    self.table.$name.push(Row { module: M::NAME, order, run });
                    self
                }
            )+
        }
    };
}

points!(methods);

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
        if table.modules.contains(&M::NAME) {
            conflicts.push(format!("two modules have the name {}", M::NAME));
        }
        table.modules.push(M::NAME);
        M::register(&mut Registrar { module: Arc::clone(&module), table, conflicts });
        self.children.push((M::NAME, Box::new(move |env| module.children(env))));
        self.xeps.push((M::NAME, M::XEPS));
        self
    }

    /// The hook table for a node with these hosts, and what starts the modules' processes.
    ///
    /// # Errors
    /// A line for each payload or domain that two claim.
    pub fn build(mut self, hosts: &Hosts) -> Result<(HookTable, ModuleChildren), Vec<String>> {
        self.conflicts.extend(service::prepare(&mut self.table.services, hosts));
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
