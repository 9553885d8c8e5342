//! All that is kept of a user, in MongoDB.

use super::{
    MongoStore,
    document::{Message, Quarantine, Session, User, bson, int, stanza, texts, uint},
    failure::Failure,
    transaction::Tx,
};
use crate::{
    Account, Activity, Everything, Roster, StoreFuture, StoredSession, Transfer, transfer::Kept,
};
use mongodb::bson::{Bson, Document, doc};
use std::sync::Arc;
use xmpp::jid::BareJid;

async fn export(tx: &mut Tx<'_>, user: &BareJid) -> Result<Option<Everything>, Failure> {
    let by_number = doc! { "_id": 1 };
    let own = doc! { "u": user.as_str() };
    let this = doc! { "_id": user.as_str() };
    let store = tx.store;
    let users = store.users::<Document>();
    let Some(head) = users.find_one(this.clone()).session(&mut tx.session).await? else {
        return Ok(None);
    };
    let contacts = store.of::<Document>("roster");
    let items = tx.find(&contacts, own.clone(), doc! {}, doc! {}).await?;
    let messages = store.messages::<Message>();
    let messages = tx.find(&messages, own.clone(), by_number.clone(), doc! {}).await?;
    let sessions = store.of::<Session>("sessions");
    let sessions = tx.find(&sessions, own.clone(), by_number.clone(), doc! {}).await?;
    let quarantine = store.of::<Quarantine>("quarantine");
    let quarantine = tx.find(&quarantine, own.clone(), by_number, doc! {}).await?;
    let vcards = store.of::<Document>("vcards");
    let vcard = tx.find(&vcards, this, doc! {}, doc! {}).await?;
    let private = store.of::<Document>("private");
    let by_name = doc! { "_id.ns": 1, "_id.name": 1 };
    let private = tx.find(&private, own, by_name, doc! {}).await?;
    let messages = messages.into_iter().map(|message| {
        let (read, delivered) = (message.read()?, message.d);
        Ok(Kept { message: read, holders: message.h.into_iter().collect(), delivered })
    });
    let quarantine = quarantine.into_iter().map(|kept| Ok((kept.seen()?, stanza(&kept.x)?)));
    let sessions = sessions.into_iter().map(|session| Ok(StoredSession::try_from(session)?));
    let text = |of: &Document, name: &str| of.get_str(name).unwrap_or_default().to_owned();
    let private = private.iter().filter_map(|element| {
        let id = element.get_document("_id").ok()?;
        Some((text(id, "ns"), text(id, "name"), text(element, "x")))
    });
    let activity = head.get_document("activity").ok().map(|activity| Activity {
        at: activity.get_i64("at").map_or(0, uint),
        status: text(activity, "status"),
    });
    Ok(Some(Everything {
        user: user.clone(),
        roster: Arc::new(store.roster_of(user, &head, items.iter())),
        messages: messages.collect::<Result<_, Failure>>()?,
        sessions: sessions.collect::<Result<_, Failure>>()?,
        quarantine: quarantine.collect::<Result<_, Failure>>()?,
        vcard: vcard.first().map(|vcard| text(vcard, "x")),
        private: private.collect(),
        blocklist: store.blocklist(user, &head),
        activity,
        account: Account::try_from(mongodb::bson::deserialize_from_document::<User>(head)?)?,
    }))
}

/// The user's document.
fn head(all: &Everything) -> Result<Document, Failure> {
    let Everything { user, account, roster, blocklist, activity, .. } = all;
    let mut head = match bson(&User::new(user, account))? {
        Bson::Document(head) => head,
        _ => Document::new(),
    };
    let numbers = all.messages.iter().map(|kept| kept.message.id);
    let last = numbers.chain(all.quarantine.iter().map(|(seen, _)| seen.id)).max();
    let Roster { ver, floor, removed, .. } = &**roster;
    head.extend(doc! {
        "ver": int(*ver), "floor": int(*floor), "removed": super::rosters::removals(removed),
        "blocked": texts(blocklist.iter()), "last": int(last.unwrap_or_default()),
    });
    if let Some(Activity { at, status }) = activity {
        head.insert("activity", doc! { "at": int(*at), "status": status });
    }
    Ok(head)
}

async fn import(tx: &mut Tx<'_>, all: &Everything) -> Result<(), Failure> {
    let user = all.user.as_str();
    let users = tx.store.users::<Document>();
    let this = doc! { "_id": user };
    users.replace_one(this, head(all)?).upsert(true).session(&mut tx.session).await?;
    tx.forget_all(&[user]).await?;
    let item = |item: &crate::RosterItem| {
        let id = doc! { "u": user, "j": item.jid.as_str() };
        Ok(doc! { "_id": id, "u": user, "item": bson(item)? })
    };
    let items: Vec<Document> = all.roster.items.iter().map(item).collect::<Result<_, Failure>>()?;
    tx.insert_all("roster", &items).await?;
    let messages = all.messages.iter().map(|Kept { message, holders, delivered }| {
        let holders = holders.iter().cloned().collect();
        let (d, s) = (*delivered, message.strikes);
        let new = Message::new(&all.user, message.id, message.at, &message.stanza, holders);
        Message { d, s, ..new }
    });
    tx.insert_all("messages", &messages.collect::<Vec<_>>()).await?;
    let sessions = all.sessions.iter().map(|session| Session::new(session, session.handled));
    tx.insert_all("sessions", &sessions.collect::<Vec<_>>()).await?;
    let quarantine = all.quarantine.iter().map(|(seen, stanza)| {
        let message = Message::new(&all.user, seen.id, seen.at, stanza, Vec::new());
        Quarantine::new(&message, seen.since)
    });
    tx.insert_all("quarantine", &quarantine.collect::<Vec<_>>()).await?;
    let vcard = all.vcard.iter().map(|xml| doc! { "_id": user, "x": xml });
    tx.insert_all("vcards", &vcard.collect::<Vec<_>>()).await?;
    let private = all.private.iter().map(|(ns, name, xml)| {
        doc! { "_id": { "u": user, "ns": ns, "name": name }, "u": user, "x": xml }
    });
    tx.insert_all("private", &private.collect::<Vec<_>>()).await
}

impl Transfer for MongoStore {
    fn users<'a>(&'a self, after: &'a str, limit: usize) -> StoreFuture<'a, Vec<String>> {
        Box::pin(async move {
            let work = async {
                let of = self.users::<Document>();
                let query = of.find(doc! { "_id": { "$gt": after } }).sort(doc! { "_id": 1 });
                let most = i64::try_from(limit).unwrap_or(i64::MAX);
                let mut found = query.limit(most).projection(doc! { "_id": 1 }).await?;
                let mut users = Vec::new();
                while found.advance().await? {
                    let user = found.deserialize_current()?;
                    users.push(user.get_str("_id").unwrap_or_default().to_owned());
                }
                Ok(users)
            };
            self.reads().run(work).await
        })
    }

    fn export<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Everything>> {
        Box::pin(async move {
            let call = self.reads();
            call.run(call.transaction(user, |tx, user| Box::pin(export(tx, user)))).await
        })
    }

    fn import(&self, everything: Everything) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let weights = everything.messages.iter().map(|kept| kept.message.stanza.weight());
            let sessions = everything.sessions.iter().map(|session| session.frozen.len());
            let size = weights.chain(sessions).sum::<usize>() + everything.roster.weight();
            let call = self.writes(size);
            let work = async {
                let _turn = call.turn(&everything.user).await;
                call.transaction(&everything, |tx, all| Box::pin(import(tx, all))).await
            };
            let imported = call.run(work).await;
            self.unknown(&everything.user, &imported);
            imported
        })
    }
}
