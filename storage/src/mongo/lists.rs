//! vCards, private XML, blocklists and last activity.

use super::{
    MongoStore,
    document::{int, texts, uint},
    failure::Failure,
    known::is_possible,
    transaction::{Tx, no_account, nothing},
};
use crate::{
    Activity, ActivityStore, Blocklist, BlocklistStore, PrivateStore, StoreError, StoreFuture,
    VcardStore, accounts::address,
};
use mongodb::{
    bson::{Bson, Document, doc},
    options::ReturnDocument,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use xmpp::jid::{BareJid, Jid};

/// Updates in one command.
const BULK: usize = 1000;

async fn set_vcard(tx: &mut Tx<'_>, (user, xml): &(&BareJid, String)) -> Result<(), Failure> {
    tx.of(user).await?;
    let new = doc! { "_id": user.as_str(), "x": xml };
    let vcards = tx.store.of::<Document>("vcards");
    let replace = vcards.replace_one(doc! { "_id": user.as_str() }, new).upsert(true);
    replace.session(&mut tx.session).await?;
    Ok(())
}

impl VcardStore for MongoStore {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Arc<str>>> {
        Box::pin(async move {
            let work = async {
                let this = doc! { "_id": user.as_str() };
                let found = self.of::<Document>("vcards").find_one(this).await?;
                Ok(found.and_then(|vcard| vcard.get_str("x").ok().map(Arc::from)))
            };
            self.reads().run(work).await
        })
    }

    fn set<'a>(&'a self, user: &'a BareJid, xml: String) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let call = self.writes(xml.len());
            let work = async {
                let _turn = call.turn(user).await;
                call.transaction(&(user, xml), |tx, new| Box::pin(set_vcard(tx, new))).await
            };
            call.run(work).await
        })
    }
}

/// Whose, what (by namespace and name), and how many of them there may be.
struct Elements<'a> {
    user: &'a BareJid,
    new: BTreeMap<(String, String), String>,
    limit: usize,
}

fn element(user: &BareJid, ns: &str, name: &str) -> Document {
    doc! { "u": user.as_str(), "ns": ns, "name": name }
}

async fn set_private(tx: &mut Tx<'_>, elements: &Elements<'_>) -> Result<(), Failure> {
    let Elements { user, new, limit } = elements;
    tx.of(user).await?;
    let private = tx.store.of::<Document>("private");
    let of_user = doc! { "u": user.as_str() };
    let there = tx.find(&private, of_user, doc! {}, doc! { "_id": 1 }).await?;
    let there: Vec<&Document> =
        there.iter().filter_map(|element| element.get_document("_id").ok()).collect();
    let keys: Vec<Document> = new.keys().map(|(ns, name)| element(user, ns, name)).collect();
    let more = keys.iter().filter(|key| !there.contains(key)).count();
    // who has too many since the limit was lowered may still change them
    if more > 0 && there.len() + more > *limit {
        return Err(StoreError::Full { limit: *limit }.into());
    }
    if new.is_empty() {
        return Ok(());
    }
    let rows = keys.iter().zip(new.values());
    let rows: Vec<Document> =
        rows.map(|(key, xml)| doc! { "_id": key, "u": user.as_str(), "x": xml }).collect();
    let before = doc! { "_id": { "$in": keys } };
    private.delete_many(before).session(&mut tx.session).await?;
    private.insert_many(rows).session(&mut tx.session).await?;
    Ok(())
}

impl PrivateStore for MongoStore {
    fn get<'a>(
        &'a self,
        user: &'a BareJid,
        ns: &'a str,
        name: &'a str,
    ) -> StoreFuture<'a, Option<String>> {
        Box::pin(async move {
            let work = async {
                let this = doc! { "_id": element(user, ns, name) };
                let found = self.of::<Document>("private").find_one(this).await?;
                Ok(found.and_then(|element| element.get_str("x").ok().map(str::to_owned)))
            };
            self.reads().run(work).await
        })
    }

    fn set<'a>(
        &'a self,
        user: &'a BareJid,
        elements: Vec<(String, String, String)>,
        limit: usize,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let size =
                |(ns, name, xml): &(String, String, String)| ns.len() + name.len() + xml.len();
            let call = self.writes(elements.iter().map(size).sum());
            let work = async {
                // of those with one name the last counts
                let new = elements.into_iter().map(|(ns, name, xml)| ((ns, name), xml)).collect();
                let _turn = call.turn(user).await;
                let all = Elements { user, new, limit };
                call.transaction(&all, |tx, all| Box::pin(set_private(tx, all))).await
            };
            call.run(work).await
        })
    }
}

impl MongoStore {
    pub(super) fn blocklist(&self, user: &BareJid, found: &Document) -> Arc<Blocklist> {
        let mut list = Blocklist::new();
        let blocked = found.get_array("blocked").map(Vec::as_slice).unwrap_or_default();
        for jid in blocked {
            match address(jid.as_str().unwrap_or_default()) {
                Ok(jid) => {
                    list.insert(jid);
                }
                // it blocks nobody, and keeps no other from being in force; it stays for an operator to look at
                Err(why) => {
                    tracing::error!(%user, %why, "a blocked address cannot be read: see the collection users");
                    self.health.unreadable("blocklists", 1);
                }
            }
        }
        Arc::new(list)
    }

    /// Makes `blocked` what that expression says.
    async fn block(&self, user: &BareJid, list: Bson) -> Result<Arc<Blocklist>, StoreError> {
        let call = self.writes(0);
        let work = async {
            let _turn = call.turn(user).await;
            call.sent();
            let steps = vec![doc! { "$set": { "blocked": list } }];
            let of = self.users::<Document>();
            let update = of.find_one_and_update(doc! { "_id": user.as_str() }, steps);
            let after = update
                .projection(doc! { "blocked": 1 })
                .return_document(ReturnDocument::After)
                .await?;
            let after = after.ok_or_else(|| no_account(user))?;
            let list = self.blocklist(user, &after);
            self.known.blocklists.wrote(user, Some(Arc::clone(&list)));
            Ok(list)
        };
        let list = call.run(work).await;
        if list.is_err() && is_possible(&list) {
            self.known.blocklists.wrote(user, None);
        }
        list
    }
}

/// The list as it is.
fn blocked() -> Document {
    doc! { "$ifNull": ["$blocked", []] }
}

impl BlocklistStore for MongoStore {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Arc<Blocklist>> {
        Box::pin(async move {
            let work = async {
                let of = self.users::<Document>();
                let query = of.find_one(doc! { "_id": user.as_str() });
                let found = query.projection(doc! { "blocked": 1 }).await?;
                Ok(found.map(|found| self.blocklist(user, &found)).unwrap_or_default())
            };
            self.or_known(&self.known.blocklists, user, self.reads().run(work)).await
        })
    }

    fn add<'a>(
        &'a self,
        user: &'a BareJid,
        jids: Vec<Jid>,
        limit: usize,
    ) -> StoreFuture<'a, Arc<Blocklist>> {
        Box::pin(async move {
            let most = i64::try_from(limit).unwrap_or(i64::MAX);
            let all = doc! { "$setUnion": [blocked(), { "$literal": texts(&jids) }] };
            // who has too many since the limit was lowered keeps them
            let fits = doc! { "$or": [
                { "$lte": [{ "$size": "$$all" }, most] },
                { "$lte": [{ "$size": "$$all" }, { "$size": blocked() }] },
            ] };
            let list = doc! { "$let": {
                "vars": { "all": all },
                "in": { "$cond": [fits, "$$all", blocked()] },
            } };
            let after = self.block(user, list.into()).await?;
            let wanted: BTreeSet<&Jid> = jids.iter().collect();
            let full = wanted.into_iter().any(|jid| !after.contains(jid));
            if full { Err(StoreError::Full { limit }) } else { Ok(after) }
        })
    }

    fn remove<'a>(&'a self, user: &'a BareJid, jids: Vec<Jid>) -> StoreFuture<'a, Arc<Blocklist>> {
        Box::pin(async move {
            let gone = doc! { "$setDifference": [blocked(), { "$literal": texts(&jids) }] };
            let left = if jids.is_empty() { Bson::Array(Vec::new()) } else { gone.into() };
            nothing(self.block(user, left).await)
        })
    }
}

impl ActivityStore for MongoStore {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Activity>> {
        Box::pin(async move {
            let work = async {
                let of = self.users::<Document>();
                let query = of.find_one(doc! { "_id": user.as_str() });
                let found = query.projection(doc! { "activity": 1 }).await?;
                let known = found.as_ref().and_then(|user| user.get_document("activity").ok());
                Ok(known.map(|activity| Activity {
                    at: activity.get_i64("at").map_or(0, uint),
                    status: activity.get_str("status").unwrap_or_default().to_owned(),
                }))
            };
            self.reads().run(work).await
        })
    }

    fn set(&self, all: Vec<(BareJid, Activity)>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let size = |(_, of): &(BareJid, Activity)| of.status.len() + 128;
            let call = self.writes(all.iter().map(size).sum());
            let work = async {
                call.sent();
                for some in all.chunks(BULK) {
                    self.set_some(some).await?;
                }
                Ok(())
            };
            call.run(work).await
        })
    }
}

impl MongoStore {
    async fn set_some(&self, some: &[(BareJid, Activity)]) -> Result<(), Failure> {
        let update = |(user, activity): &(BareJid, Activity)| {
            let new = doc! { "at": int(activity.at), "status": &activity.status };
            // without an account, nothing is there to be updated
            Bson::from(doc! {
                "q": { "_id": user.as_str() },
                "u": { "$set": { "activity": new } },
            })
        };
        let updates: Vec<Bson> = some.iter().map(update).collect();
        // nobody was promised that it is durable
        let command = doc! { "update": "users", "updates": updates, "ordered": false };
        let answer = self.db.run_command(command).await?;
        match answer.get_array("writeErrors").ok().and_then(|errors| errors.first()) {
            Some(error) => Err(StoreError::Failed(error.to_string()).into()),
            None => Ok(()),
        }
    }
}
