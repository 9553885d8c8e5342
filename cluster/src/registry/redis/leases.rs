//! Who has a lease.

use super::{
    RedisRegistry,
    call::{AWAY, array, bytes, evaluate, status},
    record::Lease,
    roster::Heard,
    scripts::{LEAVE, REAP, RENEW, ROLL, Script},
    stats::{Operation, count},
};
use crate::{
    BoxFuture, Entry, RegistryError,
    members::{Leases, Member, Roll},
};
use fred::{
    interfaces::ClientLike,
    types::{Key, Value},
};
use std::time::Duration;
use supervision::{Node, id::NODES};

impl RedisRegistry {
    pub(super) fn lease_keys(&self) -> Vec<Key> {
        vec![self.keys.leases().into(), self.keys.control().into()]
    }

    async fn of_leases(
        &self,
        operation: Operation,
        script: &Script,
        args: Vec<Value>,
    ) -> Result<Vec<Value>, RegistryError> {
        self.run(operation, self.caller(0), (script, self.lease_keys(), args)).await
    }

    /// What Redis says of leases, which the roster is told.
    fn heard(&self, answer: Vec<Value>) -> Result<Heard, RegistryError> {
        let mut answer = answer.into_iter();
        let epoch = answer.next().and_then(|epoch| epoch.as_string()?.parse().ok()).ok_or(AWAY)?;
        let age = answer.next().and_then(|age| age.as_i64()).ok_or(AWAY)?;
        let servers = answer.next().and_then(|servers| servers.as_string()).ok_or(AWAY)?;
        let now = answer.next().and_then(|now| now.as_u64()).ok_or(AWAY)?;
        let (pairs, mut leases) = (array(answer.next().ok_or(AWAY)?), Vec::new());
        for [name, lease] in pairs.as_chunks::<2>().0 {
            let (name, lease) = (name.as_str().ok_or(AWAY)?, lease.as_bytes().ok_or(AWAY)?);
            let node = Node::new(&name).map_err(|_| AWAY)?;
            leases.push((node, Lease::decode(lease, now)?));
        }
        let age = Duration::from_millis(u64::try_from(age).unwrap_or_default());
        let heard = Heard { epoch, age, servers, leases };
        let before = self.roster.epoch();
        self.roster.hear(&heard);
        if before != 0 && before != epoch {
            count(&self.stats.epochs);
        }
        Ok(heard)
    }

    /// Reads the leases, whatever is known of Redis.
    pub(super) async fn hear(&self) -> Result<Heard, RegistryError> {
        let client = self.caller(0);
        if !client.is_connected() {
            return Err(AWAY);
        }
        let roll = evaluate(client, &ROLL, self.lease_keys(), Vec::new());
        let answer = self.try_call(Operation::Health, roll).await?;
        self.heard(array(answer))
    }

    async fn renew_now(&self, me: &Member, term: Duration) -> Result<Roll, RegistryError> {
        if self.roster.epoch() == 0 {
            self.look().await;
        }
        let began = self.joined.lock().get(&me.node).cloned();
        let began = match began {
            Some((incarnation, epoch)) if incarnation == me.incarnation => epoch,
            // who has no sessions yet has confirmed them; another node that is renewed for may have begun long ago
            _ if me.sessions == 0 && me.confirmed == 0 => String::new(),
            _ => "-".to_owned(),
        };
        let json = serde_json::to_vec(me).map_err(|_| AWAY)?;
        let term = term.as_millis().min(9_999_999_999);
        let args = vec![
            bytes(&*me.node.name()),
            bytes(me.incarnation.to_be_bytes()),
            bytes(json),
            Value::from(term.to_string()),
            Value::from(me.confirmed.to_string()),
            Value::from(began.clone()),
            Value::from(NODES.to_string()),
        ];
        let answer = self.of_leases(Operation::Renew, &RENEW, args).await?;
        match status(&answer) {
            -1 if answer.len() == 1 => return Err(RegistryError::Fenced),
            -3 if answer.len() == 1 => return Err(RegistryError::Dead),
            -2 if answer.len() == 1 => {
                tracing::error!(most = NODES, "the registry knows too many nodes");
                return Err(AWAY);
            }
            _ => {}
        }
        let heard = self.heard(answer)?;
        let began = if began.is_empty() { heard.epoch.to_string() } else { began };
        self.joined.lock().insert(me.node, (me.incarnation, began));
        Ok(self.roster.roll())
    }

    async fn leave_now(&self, me: &Member) -> Result<(), RegistryError> {
        let args = vec![bytes(&*me.node.name()), bytes(me.incarnation.to_be_bytes())];
        self.of_leases(Operation::Leave, &LEAVE, args).await?;
        self.roster.bury(me.node, me.incarnation);
        Ok(())
    }

    async fn reap_now(&self, node: Node, incarnation: u64) -> Result<bool, RegistryError> {
        // a Redis that was emptied does not know of it
        if self.roster.has_lease(node, incarnation) {
            return Ok(false);
        }
        let args = vec![bytes(&*node.name()), bytes(incarnation.to_be_bytes())];
        let answer = self.of_leases(Operation::Reap, &REAP, args).await?;
        let dead = status(&answer) == 1;
        if dead {
            self.roster.bury(node, incarnation);
        }
        Ok(dead)
    }
}

impl Leases for RedisRegistry {
    fn renew<'a>(
        &'a self,
        me: &'a Member,
        term: Duration,
    ) -> BoxFuture<'a, Result<Roll, RegistryError>> {
        Box::pin(self.renew_now(me, term))
    }

    fn leave<'a>(&'a self, me: &'a Member) -> BoxFuture<'a, Result<(), RegistryError>> {
        Box::pin(self.leave_now(me))
    }

    fn reap(&self, node: Node, incarnation: u64) -> BoxFuture<'_, Result<bool, RegistryError>> {
        Box::pin(self.reap_now(node, incarnation))
    }

    fn sweep(
        &self,
        node: Node,
        incarnation: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Entry>, RegistryError>> {
        Box::pin(self.sweep_now(node, incarnation, limit))
    }
}
