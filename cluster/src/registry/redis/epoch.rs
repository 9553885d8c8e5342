//! Redis found empty, or another server than before.

use super::{
    RedisRegistry,
    call::{AWAY, evaluate, status},
    keys::BUCKETS,
    scripts::{CLAIM, PUBLISH},
    sessions::AT_ONCE,
    stats::Operation,
};
use crate::RegistryError;
use fred::{
    clients::Client,
    interfaces::{ClientLike, ClusterInterface, HashesInterface},
    types::{InfoKind, Key, Value, config::Options as CallOptions},
};
use futures_util::future::join_all;
use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
    sync::atomic::Ordering,
    time::Duration,
};

/// How long making an epoch may take: another node may begin then.
const MAKING: Duration = Duration::from_secs(3);
/// Every so manieth bucket is looked at.
const GLANCED: u16 = 64;

impl RedisRegistry {
    /// Reads the leases, looks which servers answer, and makes a new epoch if the registry may lack something. Whether it could.
    pub(super) async fn look(&self) -> bool {
        let _one = self.looking.lock().await;
        let Ok(heard) = self.hear().await else { return false };
        let Some(servers) = self.servers(&self.listener).await else { return false };
        let servers = servers.into_iter().collect::<Vec<_>>().join(" ");
        if heard.epoch != 0 && (heard.servers != servers || !self.glance(heard.epoch).await) {
            self.lose(heard.epoch);
        }
        if heard.epoch != 0 && !self.is_lost(heard.epoch) {
            return true;
        }
        match tokio::time::timeout(MAKING, self.make(heard.epoch, servers)).await {
            Ok(Ok(true)) => self.hear().await.is_ok(),
            _ => false,
        }
    }

    /// Whether some buckets have their marks: others each time, so that each primary of a Redis Cluster is soon among them. That of
    /// one server has been emptied is seen by its having no epoch.
    async fn glance(&self, epoch: u64) -> bool {
        if !self.listener.is_clustered() {
            return true;
        }
        let from = self.glanced.fetch_add(1, Ordering::Relaxed);
        let some = (0..BUCKETS).filter(|bucket| bucket % GLANCED == from % GLANCED);
        let marks = some.map(|bucket| {
            let mark =
                self.caller(bucket).hget::<Option<String>, _, _>(self.keys.marks(bucket), "");
            self.try_call(Operation::Health, mark)
        });
        let wrong = |mark: &Result<Option<String>, _>| {
            mark.as_ref().is_ok_and(|mark| *mark != Some(epoch.to_string()))
        };
        !join_all(marks).await.iter().any(wrong)
    }

    /// What the primaries call themselves since they started; `None`: one does not answer.
    pub(super) async fn servers(&self, client: &Client) -> Option<BTreeSet<String>> {
        if !client.is_connected() {
            return None;
        }
        let primaries = match client.is_clustered() {
            true => client.cached_cluster_state()?.unique_primary_nodes(),
            false => Vec::new(),
        };
        let asked = primaries.into_iter().map(|primary| {
            let options = CallOptions { cluster_node: Some(primary), ..CallOptions::default() };
            client.with_options(&options)
        });
        let mut asked: Vec<_> = asked.collect();
        if asked.is_empty() {
            asked.push(client.with_options(&CallOptions::default()));
        }
        let server = Some(InfoKind::Server);
        let asked = asked.iter().map(|primary| {
            self.try_call(Operation::Health, primary.info::<String>(server.clone()))
        });
        let run = |info: &str| {
            let mut lines = info.lines();
            lines.find_map(|line| line.trim().strip_prefix("run_id:").map(str::to_owned))
        };
        join_all(asked).await.into_iter().map(|info| run(&info.ok()?)).collect()
    }

    /// Makes the epoch after that one; `false`: another node does.
    ///
    /// Each bucket is marked before the epoch is known to anybody, and never again: a bucket with the mark was not emptied since.
    async fn make(&self, before: u64, servers: String) -> Result<bool, RegistryError> {
        let client = self.caller(0);
        let epoch = RandomState::new().hash_one(before).max(1).to_string();
        let keys: Vec<Key> = vec![self.keys.control().into(), self.keys.maker().into()];
        let millis = MAKING.as_millis().to_string();
        let args: Vec<Value> =
            [before.to_string(), epoch.clone(), millis].into_iter().map(Value::from).collect();
        let claim = evaluate(client, &CLAIM, keys.clone(), args);
        let claimed = self.try_call(Operation::Health, claim).await?;
        if status(&[claimed]) != 1 {
            return Ok(false);
        }
        let buckets: Vec<u16> = (0..BUCKETS).collect();
        for some in buckets.chunks(AT_ONCE) {
            let marks = some.iter().map(|bucket| self.mark(*bucket, &epoch));
            join_all(marks).await.into_iter().collect::<Result<(), _>>()?;
        }
        let publish = evaluate(
            client,
            &PUBLISH,
            keys,
            vec![Value::from(epoch.clone()), Value::from(servers)],
        );
        let published = status(&[self.try_call(Operation::Health, publish).await?]) == 1;
        if published {
            tracing::warn!(
                epoch,
                "the registry was found empty, or may lack something: all nodes publish their sessions again"
            );
        }
        Ok(published)
    }

    async fn mark(&self, bucket: u16, epoch: &str) -> Result<(), RegistryError> {
        let (client, key) = (self.caller(bucket), self.keys.marks(bucket));
        if !client.is_connected() {
            return Err(AWAY);
        }
        let mark = Box::pin(client.hset::<(), _, _>(key, ("", epoch)));
        self.try_call(Operation::Health, mark).await
    }

    /// Nothing that was read is believed until Redis was looked at again.
    pub(super) fn doubt(&self) {
        self.sure.store(false, Ordering::Release);
        self.cache.tell(false);
        super::stats::count(&self.stats.flushes);
    }
}
