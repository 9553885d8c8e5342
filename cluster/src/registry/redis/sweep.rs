//! Removing what a dead start of a node has left, a group of buckets after the other.

use super::{
    RedisRegistry,
    call::{AWAY, array, bytes},
    keys::BUCKETS,
    record::named,
    scripts::{PAGE, SWEEP},
    sessions::{AT_ONCE, found},
    stats::Operation,
};
use crate::{Entry, Record, RegistryError, Token};
use fred::types::{Key, Value};
use futures_util::future::join_all;
use supervision::Node;

const GROUPS: usize = BUCKETS as usize / AT_ONCE;

/// What a page of a bucket's index names.
struct Page {
    bucket: u16,
    /// Where the next begins; "0": there is none.
    cursor: String,
    members: Vec<(String, String)>,
}

impl RedisRegistry {
    pub(super) async fn sweep_now(
        &self,
        node: Node,
        incarnation: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, RegistryError> {
        let (start, mut gone) = (Token { node, incarnation, session: 0 }, Vec::new());
        let first = self.sweeps.lock().get(&(node, incarnation)).copied().unwrap_or_default();
        for group in first..GROUPS {
            self.sweeps.lock().insert((node, incarnation), group);
            if !self.sweep_group(start, group, limit, &mut gone).await? {
                return Ok(gone);
            }
        }
        self.sweeps.lock().remove(&(node, incarnation));
        // what came into earlier groups meanwhile: the start was not fenced off there when this began
        match gone.is_empty() && first > 0 {
            true => Box::pin(self.sweep_now(node, incarnation, limit)).await,
            false => Ok(gone),
        }
    }

    /// Whether that was all of the group.
    async fn sweep_group(
        &self,
        start: Token,
        group: usize,
        limit: usize,
        gone: &mut Vec<Entry>,
    ) -> Result<bool, RegistryError> {
        let buckets = (0..BUCKETS).skip(group * AT_ONCE).take(AT_ONCE);
        let mut from: Vec<_> = buckets.map(|bucket| (bucket, "0".to_owned())).collect();
        while !from.is_empty() {
            let pages = from.iter().map(|(bucket, cursor)| self.page(start, *bucket, cursor));
            let mut pages = join_all(pages).await.into_iter().collect::<Result<Vec<_>, _>>()?;
            let mut room = limit.saturating_sub(gone.len());
            let mut all = true;
            for page in &mut pages {
                all &= page.members.len() <= room;
                page.members.truncate(room);
                room -= page.members.len();
            }
            for swept in join_all(pages.iter().map(|page| self.take(start, page))).await {
                gone.extend(swept?);
            }
            if !all {
                return Ok(false);
            }
            let more = pages.into_iter().filter(|page| page.cursor != "0");
            from = more.map(|page| (page.bucket, page.cursor)).collect();
        }
        Ok(true)
    }

    async fn page(&self, start: Token, bucket: u16, cursor: &str) -> Result<Page, RegistryError> {
        let name = start.node.name();
        let keys = vec![self.keys.marks(bucket).into(), self.keys.index(bucket, &name).into()];
        let args = vec![bytes(&*name), bytes(start.incarnation.to_be_bytes()), Value::from(cursor)];
        let page = (&*PAGE, keys, args);
        let answer = self.run(Operation::Sweep, self.caller(bucket), page).await?;
        let [cursor, members] = answer.try_into().map_err(|_| AWAY)?;
        let members = array(members).into_iter().filter_map(|member| {
            let (user, resource) = named(member.as_bytes()?)?;
            Some((user.to_owned(), resource.to_owned()))
        });
        let cursor = cursor.as_string().ok_or(AWAY)?;
        Ok(Page { bucket, cursor, members: members.collect() })
    }

    /// Removes what a page names, as far as it is of that start or one before.
    async fn take(&self, start: Token, page: &Page) -> Result<Vec<Entry>, RegistryError> {
        if page.members.is_empty() {
            return Ok(Vec::new());
        }
        let (name, bucket) = (start.node.name(), page.bucket);
        let mut keys: Vec<Key> = vec![self.keys.index(bucket, &name).into()];
        let mut args = vec![bytes(&*name), bytes(start.incarnation.to_be_bytes())];
        let mut named = Vec::with_capacity(page.members.len());
        for (user, resource) in &page.members {
            keys.push(self.keys.user(bucket, user).into());
            args.extend([bytes(resource), Value::Bytes(super::record::member(user, resource))]);
            let record =
                Record { resource: resource.as_str().into(), token: start, priority: None, seq: 0 };
            named.push(Entry { user: user.as_str().into(), record });
        }
        let sweep = (&*SWEEP, keys, args);
        let answer = self.run(Operation::Sweep, self.caller(bucket), sweep).await?;
        found(&named, &answer)
    }
}
