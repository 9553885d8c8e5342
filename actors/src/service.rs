//! Services: domains for which a module answers, and not the server with its accounts: rooms, lists,
//! publish-subscribe. Below a domain the module has whatever nodes and resources it wants.
//!
//! Requests to the domain or a node of it are answered as all are ([`crate::iq`], with
//! [`Target::Service`](crate::cx::Target)); every other stanza is the module's, in a job of its sender.

#[cfg(test)]
mod tests;

use crate::{env::Env, future::BoxFuture, hooks::Service, hosts::Hosts, iq};
use std::{fmt, sync::Arc};
use xmpp::{jid::prepare_domain, stanza::Stanza};

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service({}, {})", self.info.domain, self.module)
    }
}

impl Service {
    /// Whether service discovery of a host lists it: one below another host is listed there.
    pub(crate) fn belongs_to(&self, host: &str, hosts: &Hosts) -> bool {
        let below = |host: &str| {
            self.info.domain.strip_suffix(host).is_some_and(|rest| rest.ends_with('.'))
        };
        below(host) || !hosts.iter().any(|host| below(host))
    }

    /// Gives it its whole domain.
    fn prepare(&mut self, hosts: &Hosts) -> Result<(), String> {
        let (module, name) = (self.module, &self.info.domain);
        let whole = match hosts.default() {
            Some(host) if !name.contains('.') => format!("{name}.{host}"),
            _ => name.clone(),
        };
        let Ok(domain) = prepare_domain(&whole) else {
            return Err(format!("modules.{module}: {whole:?} is no domain for a service"));
        };
        if hosts.named(&domain).is_some() {
            return Err(format!(
                "module {module} and server.hosts both name {domain}: a service needs a domain of its own"
            ));
        }
        self.info.domain = domain.into_owned();
        Ok(())
    }
}

/// Gives services their whole domains; says what is wrong with them.
pub(crate) fn prepare(services: &mut [Service], hosts: &Hosts) -> Vec<String> {
    let mut wrong: Vec<_> = services.iter_mut().filter_map(|s| s.prepare(hosts).err()).collect();
    for (n, one) in services.iter().enumerate() {
        let before = services.iter().take(n).find(|s| s.info.domain == one.info.domain);
        if let Some(other) = before {
            let (a, b, domain) = (other.module, one.module, &one.info.domain);
            wrong.push(format!(
                "modules {a} and {b} both answer for {domain}: a service needs a domain of its own"
            ));
        }
    }
    wrong
}

/// Gives a service a stanza for an address of it.
pub(crate) fn deliver(env: &Arc<Env>, service: &Service, stanza: Stanza) -> Option<BoxFuture<()>> {
    let whole = stanza.head.to.as_ref().is_some_and(|to| to.resource().is_some());
    if iq::is_request(&stanza) && !whole {
        return iq::responded(env, stanza);
    }
    Some((service.run)(env, stanza))
}
