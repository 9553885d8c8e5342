//! Rosters: a version with the user's document, a document each contact.

use super::{
    MongoStore,
    document::{bson, revision, uint},
    failure::Failure,
    known::is_possible,
    transaction::{Tx, no_account},
};
use crate::{Roster, RosterItem, RosterStore, RosterWrite, StoreFuture, accounts::address};
use mongodb::{
    bson::{self, Binary, Bson, Document, doc},
    options::{ReadConcern, ReturnDocument},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};
use xmpp::jid::{BareJid, Jid};

/// What of a user's document is of the roster.
fn fields() -> Document {
    doc! { "ver": 1, "floor": 1, "removed": 1, "rev": 1 }
}

/// A roster, and the revision that it was when it was read; `None`: that is not known.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    roster: Arc<Roster>,
    rev: Option<Binary>,
}

impl Seen {
    /// Bytes, about.
    pub(super) fn weight(&self) -> usize {
        self.roster.weight()
    }

    fn is(&self, user: Option<&Document>) -> bool {
        self.rev.is_some() && self.rev == user.and_then(rev)
    }
}

fn rev(user: &Document) -> Option<Binary> {
    match user.get("rev") {
        Some(Bson::Binary(rev)) => Some(rev.clone()),
        _ => None,
    }
}

impl MongoStore {
    /// What can be read of it: one bad contact does not cost its user all others. Its document stays until that contact is written again.
    pub(super) fn roster_of<'d>(
        &self,
        user: &BareJid,
        header: &Document,
        items: impl Iterator<Item = &'d Document>,
    ) -> Roster {
        let number = |name| header.get_i64(name).map_or(0, uint);
        let mut roster = Roster { ver: number("ver"), floor: number("floor"), ..Roster::default() };
        let removed = header.get_array("removed").map(Vec::as_slice).unwrap_or_default();
        for gone in removed {
            match removal(gone) {
                Some(removal) => roster.removed.push(removal),
                None => {
                    self.unreadable(user);
                    // clients get it as a whole
                    roster.floor = roster.ver;
                }
            }
        }
        for contact in items {
            let item = contact.get("item").cloned().unwrap_or_default();
            match bson::deserialize_from_bson::<RosterItem>(item) {
                Ok(item) => roster.items.push(item),
                Err(_) => self.unreadable(user),
            }
        }
        roster.items.sort_unstable_by(|a, b| a.jid.cmp(&b.jid));
        roster
    }

    fn unreadable(&self, user: &BareJid) {
        tracing::error!(%user, "a part of a roster cannot be read: see the collections users and roster");
        self.health.unreadable("rosters", 1);
    }

    async fn roster(&self, user: &BareJid) -> Result<Seen, Failure> {
        if let Some(seen) = self.known.rosters.get(user) {
            let of = self.users::<Document>();
            let query = of.find_one(doc! { "_id": user.as_str() });
            if seen.is(query.projection(doc! { "rev": 1 }).await?.as_ref()) {
                return Ok(seen);
            }
        }
        // one command sees one state of both collections
        let items = doc! {
            "from": "roster", "localField": "_id", "foreignField": "u", "as": "items",
        };
        let steps = [
            doc! { "$match": { "_id": user.as_str() } },
            doc! { "$project": fields() },
            doc! { "$lookup": items },
        ];
        let of = self.users::<Document>();
        let query = of.aggregate(steps);
        let mut found = query.read_concern(ReadConcern::snapshot()).await?;
        if !found.advance().await? {
            return Ok(Seen { roster: Arc::default(), rev: None });
        }
        let whole = found.deserialize_current()?;
        let items = whole.get_array("items").map(Vec::as_slice).unwrap_or_default();
        let roster = self.roster_of(user, &whole, items.iter().filter_map(Bson::as_document));
        Ok(Seen { roster: Arc::new(roster), rev: rev(&whole) })
    }
}

fn removal(gone: &Bson) -> Option<(Jid, u64)> {
    let gone = gone.as_document()?;
    Some((address(gone.get_str("j").ok()?).ok()?, uint(gone.get_i64("v").ok()?)))
}

/// As they are written.
pub(super) fn removals(removed: &[(Jid, u64)]) -> Vec<Bson> {
    let one = |(jid, ver): &(Jid, u64)| {
        Bson::from(doc! { "j": jid.as_str(), "v": super::document::int(*ver) })
    };
    removed.iter().map(one).collect()
}

impl Tx<'_> {
    /// The roster, which nobody else changes until this is committed.
    async fn roster(&mut self, user: &BareJid) -> Result<Roster, Failure> {
        let touch = doc! { "$inc": { "turn": 1_i64 } };
        let users = self.store.users::<Document>();
        let header = users
            .find_one_and_update(doc! { "_id": user.as_str() }, touch)
            .projection(fields())
            .return_document(ReturnDocument::After)
            .session(&mut self.session)
            .await?;
        let header = header.ok_or_else(|| no_account(user))?;
        let contacts = self.store.of::<Document>("roster");
        let items = self.find(&contacts, doc! { "u": user.as_str() }, doc! {}, doc! {}).await?;
        Ok(self.store.roster_of(user, &header, items.iter()))
    }

    /// Writes what is new: the header, and these contacts.
    async fn write_roster(
        &mut self,
        user: &BareJid,
        roster: &Roster,
        changed: &BTreeSet<Jid>,
    ) -> Result<(), Failure> {
        let removed = removals(&roster.removed);
        let [ver, floor] = [roster.ver, roster.floor].map(super::document::int);
        let header =
            doc! { "$set": { "ver": ver, "floor": floor, "removed": removed, "rev": revision() } };
        let users = self.store.users::<Document>();
        let update = users.update_one(doc! { "_id": user.as_str() }, header);
        update.session(&mut self.session).await?;
        let contacts = self.store.of::<Document>("roster");
        for jid in changed {
            let id = doc! { "u": user.as_str(), "j": jid.as_str() };
            let this = doc! { "_id": id.clone() };
            match roster.item(jid) {
                Some(item) => {
                    let new = doc! { "_id": id, "u": user.as_str(), "item": bson(item)? };
                    let replace = contacts.replace_one(this, new).upsert(true);
                    replace.session(&mut self.session).await?;
                }
                None => {
                    contacts.delete_one(this).session(&mut self.session).await?;
                }
            }
        }
        Ok(())
    }
}

async fn change(
    tx: &mut Tx<'_>,
    (changes, limit): &(Vec<RosterWrite>, usize),
) -> Result<Vec<Arc<Roster>>, Failure> {
    // in an order that is everybody's
    let users: BTreeSet<&BareJid> = changes.iter().map(|write| &write.user).collect();
    let mut now: HashMap<&BareJid, (Arc<Roster>, BTreeSet<Jid>)> = HashMap::new();
    for user in users {
        now.insert(user, (Arc::new(tx.roster(user).await?), BTreeSet::new()));
    }
    let mut after = Vec::with_capacity(changes.len());
    for RosterWrite { user, ver, change } in changes {
        let (roster, changed) = now.entry(user).or_default();
        let jid = change.jid().cloned();
        if Arc::make_mut(roster).apply(*ver, change.clone(), *limit)? {
            changed.extend(jid);
        }
        after.push(Arc::clone(roster));
    }
    for (user, (roster, changed)) in now {
        if !changed.is_empty() {
            tx.write_roster(user, &roster, &changed).await?;
        }
    }
    Ok(after)
}

impl RosterStore for MongoStore {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Arc<Roster>> {
        Box::pin(async move {
            let call = self.reads();
            let read = call.run(self.roster(user));
            Ok(self.or_known(&self.known.rosters, user, read).await?.roster)
        })
    }

    fn change_all(
        &self,
        changes: Vec<RosterWrite>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Arc<Roster>>> {
        Box::pin(async move {
            let call = self.writes(super::call::SMALL * changes.len());
            let users: Vec<BareJid> = changes.iter().map(|write| write.user.clone()).collect();
            let work = async {
                let _turns = call.turn_of_all(&users).await;
                let these = (changes, limit);
                let changed =
                    call.transaction(&these, |tx, these| Box::pin(change(tx, these))).await?;
                for (user, roster) in users.iter().zip(&changed) {
                    let seen = Seen { roster: Arc::clone(roster), rev: None };
                    self.known.rosters.wrote(user, Some(seen));
                }
                Ok(changed)
            };
            let changed = call.run(work).await;
            if changed.is_err() && is_possible(&changed) {
                users.iter().for_each(|user| self.known.rosters.wrote(user, None));
            }
            changed
        })
    }
}
