//! The registry of a node that is alone: a map in memory.

use super::{Binding, BoxFuture, Record, RegistryError, SessionRegistry, Token};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};
use xmpp::jid::BareJid;

const SHARDS: usize = 64;

/// In-memory [`SessionRegistry`]: as many entries as there are bound sessions on this node.
#[derive(Debug)]
pub struct MemoryRegistry {
    shards: [Mutex<HashMap<BareJid, Vec<Record>>>; SHARDS],
    hasher: RandomState,
}

impl Default for MemoryRegistry {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::new(HashMap::new())),
            hasher: RandomState::new(),
        }
    }
}

impl MemoryRegistry {
    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo the array's length")]
    fn shard(&self, user: &BareJid) -> &Mutex<HashMap<BareJid, Vec<Record>>> {
        &self.shards[self.hasher.hash_one(user) as usize % SHARDS]
    }

    fn bind_now(
        &self,
        user: &BareJid,
        record: Record,
        limit: usize,
    ) -> Result<Binding, RegistryError> {
        let mut shard = self.shard(user).lock();
        let records = shard.entry(user.clone()).or_default();
        if let Some(old) = records.iter_mut().find(|r| r.resource == record.resource) {
            return Ok(Binding { replaced: Some(std::mem::replace(old, record)) });
        }
        if records.len() >= limit {
            return Err(RegistryError::ResourceLimit { limit });
        }
        records.push(record);
        Ok(Binding { replaced: None })
    }

    fn update_now(&self, user: &BareJid, resource: &str, token: &Token, prio: Option<i8>) -> bool {
        let mut shard = self.shard(user).lock();
        let record = shard
            .get_mut(user)
            .and_then(|rs| rs.iter_mut().find(|r| r.resource == resource && r.token == *token));
        record.map(|r| r.priority = prio).is_some()
    }

    fn unbind_now(&self, user: &BareJid, resource: &str, token: &Token) -> bool {
        let mut shard = self.shard(user).lock();
        let Some(records) = shard.get_mut(user) else { return false };
        let before = records.len();
        records.retain(|r| r.resource != resource || r.token != *token);
        let removed = records.len() < before;
        if records.is_empty() {
            shard.remove(user);
        }
        removed
    }
}

impl SessionRegistry for MemoryRegistry {
    fn bind<'a>(
        &'a self,
        user: &'a BareJid,
        record: Record,
        limit: usize,
    ) -> BoxFuture<'a, Result<Binding, RegistryError>> {
        Box::pin(std::future::ready(self.bind_now(user, record, limit)))
    }

    fn update<'a>(
        &'a self,
        user: &'a BareJid,
        resource: &'a str,
        token: &'a Token,
        priority: Option<i8>,
    ) -> BoxFuture<'a, Result<bool, RegistryError>> {
        Box::pin(std::future::ready(Ok(self.update_now(user, resource, token, priority))))
    }

    fn unbind<'a>(
        &'a self,
        user: &'a BareJid,
        resource: &'a str,
        token: &'a Token,
    ) -> BoxFuture<'a, Result<bool, RegistryError>> {
        Box::pin(std::future::ready(Ok(self.unbind_now(user, resource, token))))
    }

    fn lookup<'a>(
        &'a self,
        user: &'a BareJid,
    ) -> BoxFuture<'a, Result<Vec<Record>, RegistryError>> {
        let found = self.shard(user).lock().get(user).cloned().unwrap_or_default();
        Box::pin(std::future::ready(Ok(found)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeId;

    fn record(resource: &str, session: u64) -> Record {
        let token = Token { node: NodeId::new("a"), incarnation: 1, session };
        Record { resource: resource.into(), token, priority: None }
    }

    fn user() -> BareJid {
        "juliet@example.com".parse().unwrap()
    }

    #[test]
    fn a_bind_replaces_the_session_that_had_the_resource() {
        let r = MemoryRegistry::default();
        assert_eq!(r.bind_now(&user(), record("balcony", 1), 2).unwrap().replaced, None);
        let second = r.bind_now(&user(), record("balcony", 2), 2).unwrap();
        assert_eq!(second.replaced, Some(record("balcony", 1)));
    }

    #[test]
    fn a_late_unbind_does_not_remove_the_successor() {
        let r = MemoryRegistry::default();
        r.bind_now(&user(), record("balcony", 1), 2).unwrap();
        r.bind_now(&user(), record("balcony", 2), 2).unwrap();
        assert!(!r.unbind_now(&user(), "balcony", &record("balcony", 1).token));
        assert!(!r.update_now(&user(), "balcony", &record("balcony", 1).token, Some(1)));
        assert!(r.update_now(&user(), "balcony", &record("balcony", 2).token, Some(1)));
        assert!(r.unbind_now(&user(), "balcony", &record("balcony", 2).token));
        assert!(r.shard(&user()).lock().is_empty(), "nothing is kept for a user without sessions");
    }

    #[test]
    fn resources_are_limited_but_a_replacement_always_fits() {
        let r = MemoryRegistry::default();
        r.bind_now(&user(), record("a", 1), 1).unwrap();
        let full = r.bind_now(&user(), record("b", 2), 1);
        assert_eq!(full, Err(RegistryError::ResourceLimit { limit: 1 }));
        assert!(r.bind_now(&user(), record("a", 3), 1).is_ok());
    }
}
