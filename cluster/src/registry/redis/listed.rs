//! What Redis has of a node, for whoever compares it with what that node has.

use super::{
    RedisRegistry,
    call::{AWAY, array},
    keys::BUCKETS,
    record::named,
    scripts::LISTED,
    sessions::AT_ONCE,
    stats::Operation,
};
use crate::RegistryError;
use fred::types::Value;
use futures_util::future::join_all;
use supervision::Node;

impl RedisRegistry {
    /// User and resource of each record that the index of the node names in a group of buckets, which may be another node's by now.
    /// `None`: there is no such group.
    ///
    /// # Errors
    /// When Redis cannot be reached.
    pub async fn listed(
        &self,
        node: Node,
        group: u16,
    ) -> Result<Option<Vec<(String, String)>>, RegistryError> {
        let first = usize::from(group) * AT_ONCE;
        let buckets: Vec<u16> = (0..BUCKETS).skip(first).take(AT_ONCE).collect();
        if buckets.is_empty() {
            return Ok(None);
        }
        let mut all = Vec::new();
        for some in join_all(buckets.iter().map(|bucket| self.listed_in(node, *bucket))).await {
            all.extend(some?);
        }
        Ok(Some(all))
    }

    async fn listed_in(
        &self,
        node: Node,
        bucket: u16,
    ) -> Result<Vec<(String, String)>, RegistryError> {
        let index = self.keys.index(bucket, &node.name());
        let (mut cursor, mut all) = ("0".to_owned(), Vec::new());
        loop {
            let page = (&*LISTED, vec![index.as_str().into()], vec![Value::from(cursor)]);
            let answer = self.run(Operation::Lookup, self.caller(bucket), page).await?;
            let [next, members] = answer.try_into().map_err(|_| AWAY)?;
            let members = array(members).into_iter().filter_map(|member| {
                let (user, resource) = named(member.as_bytes()?)?;
                Some((user.to_owned(), resource.to_owned()))
            });
            all.extend(members);
            cursor = next.as_string().ok_or(AWAY)?;
            if cursor == "0" {
                return Ok(all);
            }
        }
    }
}
