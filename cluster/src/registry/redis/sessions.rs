//! Who is where.

use super::{
    RedisRegistry,
    call::{AWAY, bytes, status},
    keys::bucket,
    record::{decode, encode, member, priority as flags},
    scripts::{BIND, CONFIRM, Script, TURN, UNBIND, UPDATE},
    stats::{Operation, count},
};
use crate::{
    Binding, BoxFuture, Entry, Held, Record, Records, RegistryError, SessionRegistry, Taking, Token,
};
use bytes::{BufMut, BytesMut};
use fred::{
    interfaces::HashesInterface,
    types::{Key, Value},
};
use futures_util::future::join_all;
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use supervision::Node;

/// Records in one call.
const PAGE: usize = 100;
/// Calls at the same time for one operation.
pub(super) const AT_ONCE: usize = 64;

/// A token as scripts compare it: the end of a record.
fn token_bytes(token: Token) -> Value {
    let name = token.node.name();
    let mut bytes = BytesMut::with_capacity(16 + name.len());
    bytes.put_u64(token.incarnation);
    bytes.put_u64(token.session);
    bytes.put_slice(name.as_bytes());
    Value::Bytes(bytes.freeze())
}

/// What another session has.
fn other(resource: &str, answer: &[Value]) -> Result<Record, RegistryError> {
    let old = answer.get(1).and_then(Value::as_bytes);
    old.and_then(|old| decode(resource.into(), old)).ok_or(AWAY)
}

/// Records of one bucket and one start of a node.
type Page = (u16, Node, u64, Vec<Entry>);

/// In pages.
fn pages(mine: Vec<Entry>) -> Vec<Page> {
    let mut groups: HashMap<(u16, Node, u64), Vec<Entry>> = HashMap::new();
    for entry in mine {
        let token = entry.record.token;
        let group = (bucket(&entry.user), token.node, token.incarnation);
        groups.entry(group).or_default().push(entry);
    }
    let pages = groups.into_iter().flat_map(|((bucket, node, incarnation), entries)| {
        let pages: Vec<_> = entries.chunks(PAGE).map(<[Entry]>::to_vec).collect();
        pages.into_iter().map(move |page| (bucket, node, incarnation, page))
    });
    pages.collect()
}

impl RedisRegistry {
    /// Of each node, its name and its first start that is not dead.
    fn living(&self) -> impl Iterator<Item = Value> {
        let nodes = self.roster.first_alive().into_iter();
        nodes.flat_map(|(node, first)| [bytes(&*node.name()), bytes(first.to_be_bytes())])
    }

    fn known(&self, user: &str) -> Option<Records> {
        let epoch = self.complete().ok()?;
        Some(self.alive(self.cache.get(user, epoch)?))
    }

    /// Without those of dead nodes.
    fn alive(&self, records: Records) -> Records {
        match self.roster.all_live(records.iter().map(|record| record.token)) {
            true => records,
            false => {
                let live = records.iter().filter(|record| self.roster.lives(record.token));
                live.cloned().collect()
            }
        }
    }

    async fn bind_now(
        &self,
        user: &str,
        record: Record,
        limit: usize,
        taking: Taking,
    ) -> Result<Binding, RegistryError> {
        let (epoch, bucket, node) = (self.complete()?, bucket(user), record.token.node.name());
        let keys: [Key; 3] = [
            self.keys.marks(bucket).into(),
            self.keys.user(bucket, user).into(),
            self.keys.index(bucket, &node).into(),
        ];
        let mut args = vec![
            Value::from(epoch.to_string()),
            bytes(&*record.resource),
            Value::Bytes(encode(&record)),
            Value::Bytes(member(user, &record.resource)),
            Value::from(limit.to_string()),
            Value::from(i64::from(taking == Taking::Keep)),
        ];
        args.extend(self.living());
        let answer = self.ask(Operation::Bind, bucket, &BIND, keys.into(), args).await?;
        match status(&answer) {
            0 => Err(self.lose(epoch)),
            -1 => Err(RegistryError::Fenced),
            1 => Ok(Binding { replaced: None }),
            2 => Ok(Binding { replaced: Some(other(&record.resource, &answer)?) }),
            3 => Err(RegistryError::Taken(other(&record.resource, &answer)?)),
            4 => Err(RegistryError::ResourceLimit { limit }),
            _ => Err(AWAY),
        }
    }

    async fn ask(
        &self,
        operation: Operation,
        bucket: u16,
        script: &Script,
        keys: Vec<Key>,
        args: Vec<Value>,
    ) -> Result<Vec<Value>, RegistryError> {
        self.run(operation, self.caller(bucket), (script, keys, args)).await
    }

    async fn update_now(
        &self,
        user: &str,
        resource: &str,
        token: Token,
        (seq, priority): (u64, Option<i8>),
    ) -> Result<Held, RegistryError> {
        let bucket = bucket(user);
        let keys = vec![self.keys.user(bucket, user).into()];
        let args = vec![
            bytes(resource),
            token_bytes(token),
            bytes(seq.to_be_bytes()),
            bytes(flags(priority)),
        ];
        let answer = self.ask(Operation::Update, bucket, &UPDATE, keys, args).await?;
        match status(&answer) {
            0 => Ok(Held::Nobody),
            1 => Ok(Held::Yes),
            2 => Ok(Held::Other(other(resource, &answer)?)),
            _ => Err(AWAY),
        }
    }

    async fn unbind_now(
        &self,
        user: &str,
        resource: &str,
        token: Token,
    ) -> Result<bool, RegistryError> {
        let (bucket, node) = (bucket(user), token.node.name());
        let keys = vec![
            self.keys.user(bucket, user).into(),
            self.keys.index(bucket, &node).into(),
            self.keys.turn(bucket, user).into(),
        ];
        let args = vec![bytes(resource), token_bytes(token), Value::Bytes(member(user, resource))];
        let answer = self.ask(Operation::Unbind, bucket, &UNBIND, keys, args).await?;
        Ok(status(&answer) == 1)
    }

    async fn turn_now(
        &self,
        user: &str,
        token: Token,
        lasts: Duration,
    ) -> Result<bool, RegistryError> {
        let (bucket, millis) = (bucket(user), lasts.as_millis());
        let keys = vec![self.keys.turn(bucket, user).into()];
        let args = vec![token_bytes(token), Value::from(millis.to_string())];
        let answer = self.ask(Operation::Turn, bucket, &TURN, keys, args).await?;
        Ok(status(&answer) == 1)
    }

    async fn read(&self, user: &str) -> Result<Records, RegistryError> {
        let (epoch, bucket) = (self.complete()?, bucket(user));
        let ticket = self.cache.ticket(user);
        let (key, marks) = (self.keys.user(bucket, user), self.keys.marks(bucket));
        let read = Box::pin(async {
            let both = self.listener.pipeline();
            // in this order: what is emptied after the first was read is found to be without its mark
            both.hgetall::<(), _>(key).await?;
            both.hget::<(), _, _>(marks, "").await?;
            both.all::<(Value, Option<String>)>().await
        });
        let (all, mark) = self.call(Operation::Lookup, &self.listener, read).await?;
        if mark != Some(epoch.to_string()) {
            return Err(self.lose(epoch));
        }
        if self.complete()? != epoch {
            return Err(AWAY);
        }
        let all = all.into_map().map_err(|_| AWAY)?.inner().into_iter();
        let records: Option<Vec<Record>> = all
            .map(|(resource, record)| decode(resource.as_str()?.into(), record.as_bytes()?))
            .collect();
        let records: Records = records.ok_or(AWAY)?.into();
        self.cache.put(user, ticket, epoch, &records);
        Ok(self.alive(records))
    }

    async fn lookup_now(&self, user: &str) -> Result<Records, RegistryError> {
        if let Some(known) = self.known(user) {
            count(&self.stats.hits);
            return Ok(known);
        }
        count(&self.stats.misses);
        self.read(user).await
    }

    /// Publishes a page; those that others have.
    async fn confirm_page(
        &self,
        (bucket, node, incarnation, entries): Page,
    ) -> Result<Vec<Entry>, RegistryError> {
        let (epoch, name) = (self.roster.epoch(), node.name());
        if epoch == 0 {
            return Err(AWAY);
        }
        let mut keys: Vec<Key> =
            vec![self.keys.marks(bucket).into(), self.keys.index(bucket, &name).into()];
        keys.extend(entries.iter().map(|entry| Key::from(self.keys.user(bucket, &entry.user))));
        let mut args = vec![
            Value::from(epoch.to_string()),
            bytes(&*name),
            bytes(incarnation.to_be_bytes()),
            Value::from(entries.len().to_string()),
        ];
        for Entry { user, record } in &entries {
            args.extend([bytes(&*record.resource), Value::Bytes(encode(record))]);
            args.push(Value::Bytes(member(user, &record.resource)));
        }
        args.extend(self.living());
        let answer = self.ask(Operation::Confirm, bucket, &CONFIRM, keys, args).await?;
        match status(&answer) {
            0 => return Err(self.lose(epoch)),
            -1 => return Err(RegistryError::Fenced),
            1 => {}
            _ => return Err(AWAY),
        }
        let others = answer.get(1..).unwrap_or_default();
        found(&entries, others)
    }

    async fn confirm_now(&self, mine: Vec<Entry>) -> Result<Vec<Entry>, RegistryError> {
        let (mut pages, mut others) = (pages(mine), Vec::new());
        while !pages.is_empty() {
            let some = pages.split_off(pages.len().saturating_sub(AT_ONCE));
            for page in join_all(some.into_iter().map(|page| self.confirm_page(page))).await {
                others.extend(page?);
            }
        }
        Ok(others)
    }
}

/// Pairs of a place among entries and another record of that resource.
pub(super) fn found(entries: &[Entry], pairs: &[Value]) -> Result<Vec<Entry>, RegistryError> {
    let (pairs, _) = pairs.as_chunks::<2>();
    let entry = |[place, record]: &[Value; 2]| {
        let Entry { user, record: mine } = entries.get(place.as_usize()?)?;
        let record = decode(Arc::clone(&mine.resource), record.as_bytes()?)?;
        Some(Entry { user: Arc::clone(user), record })
    };
    pairs.iter().map(|pair| entry(pair).ok_or(AWAY)).collect()
}

impl SessionRegistry for RedisRegistry {
    fn bind<'a>(
        &'a self,
        user: &'a str,
        record: Record,
        limit: usize,
        taking: Taking,
    ) -> BoxFuture<'a, Result<Binding, RegistryError>> {
        Box::pin(self.bind_now(user, record, limit, taking))
    }

    fn update<'a>(
        &'a self,
        user: &'a str,
        resource: &'a str,
        token: Token,
        seq: u64,
        priority: Option<i8>,
    ) -> BoxFuture<'a, Result<Held, RegistryError>> {
        Box::pin(self.update_now(user, resource, token, (seq, priority)))
    }

    fn unbind<'a>(
        &'a self,
        user: &'a str,
        resource: &'a str,
        token: Token,
    ) -> BoxFuture<'a, Result<bool, RegistryError>> {
        Box::pin(self.unbind_now(user, resource, token))
    }

    fn turn<'a>(
        &'a self,
        user: &'a str,
        token: Token,
        lasts: Duration,
    ) -> BoxFuture<'a, Result<bool, RegistryError>> {
        Box::pin(self.turn_now(user, token, lasts))
    }

    fn lookup<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<Records, RegistryError>> {
        Box::pin(self.lookup_now(user))
    }

    fn cached(&self, user: &str) -> Option<Records> {
        let known = self.known(user)?;
        self.stats.hits.fetch_add(1, Ordering::Relaxed);
        Some(known)
    }

    fn forget(&self, user: &str) {
        self.cache.forget(user);
    }

    fn confirm(&self, mine: Vec<Entry>) -> BoxFuture<'_, Result<Vec<Entry>, RegistryError>> {
        Box::pin(self.confirm_now(mine))
    }
}
