//! Operations that are applied once, however often they are tried: what a node has accepted, it may have to try again
//! without knowing whether it was done.

use super::{
    MongoStore,
    call::Call,
    document::{Session, int, ints},
    failure::{Failure, is_duplicate},
    transaction::{Once, Tx, no_account},
};
use crate::{
    OfflineLimits, StoreError, StoredSession,
    journal::{Op, OpId},
    offline::Kept,
    sessions::further,
};
use mongodb::bson::{Document, Uuid, doc};

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The numbers that its messages have: those that were given, unless others have them.
    pub(crate) numbers: Vec<u64>,
    /// It was applied before.
    pub(crate) again: bool,
}

impl OpId {
    /// Of a new operation.
    pub(crate) fn fresh() -> Self {
        Self(Uuid::new().bytes())
    }
}

struct Step<'a> {
    op: &'a Op,
    id: &'a OpId,
    limits: Option<OfflineLimits>,
}

impl MongoStore {
    /// Applies an operation, if it was not applied before: by this node, to this user, before any other. So operations
    /// of a node for one user are applied one after the other, and one that may have been applied is tried again before the next.
    /// Messages whose number is 0 are given one. `limits`: none for what was accepted already.
    ///
    /// # Errors
    /// Those of the method that it is. With `Timeout`, it may have been applied.
    pub(crate) async fn apply(
        &self,
        op: &Op,
        id: &OpId,
        limits: Option<OfflineLimits>,
    ) -> Result<Applied, StoreError> {
        let call = self.writes(op.weight());
        let work = async {
            let _turn = call.turn(op.user()).await;
            if self.forget(&call, op).await? {
                return Ok(Applied::default());
            }
            let step = Step { op, id, limits };
            call.transaction(&step, |tx, step| Box::pin(apply(tx, step))).await
        };
        call.run(work).await
    }

    /// Whether that was all: messages that nobody else holds are gone, without a transaction. No message ever has the number of
    /// another, so it does not matter how often it is tried.
    async fn forget(&self, call: &Call<'_>, op: &Op) -> Result<bool, Failure> {
        let (user, ids, last) = match op {
            Op::Remove { user, ids } => (user, ids, doc! { "w": true }),
            Op::Acknowledge { user, key, ids } => (user, ids, doc! { "h": { "$in": [[key], []] } }),
            _ => return Ok(false),
        };
        let mut these = doc! { "_id": { "$in": ints(ids) }, "u": user.as_str() };
        these.extend(last);
        call.sent();
        let messages = self.messages::<Document>();
        let gone = match ids.len() {
            // the driver tries that again by itself
            1 => messages.delete_one(these).await?,
            _ => messages.delete_many(these).await?,
        };
        call.undone(false);
        Ok(gone.deleted_count == ids.len() as u64)
    }
}

impl Step<'_> {
    /// The numbers that its messages are to have.
    fn numbers(&self, tx: &Tx<'_>) -> Vec<u64> {
        let Op::Append { messages, .. } = self.op else { return Vec::new() };
        let given: Vec<u64> = messages.iter().map(|(number, ..)| *number).collect();
        let usable = !given.contains(&0) && !tx.taken;
        if usable { given } else { tx.store.numbers.take(given.len()) }
    }

    /// How many messages it has, and how large they are.
    fn more(&self) -> Kept {
        let Op::Append { messages, .. } = self.op else { return Kept::default() };
        let mut more = Kept::default();
        messages.iter().for_each(|(.., stanza)| more.add(stanza.weight()));
        more
    }
}

async fn apply(tx: &mut Tx<'_>, step: &Step<'_>) -> Result<Applied, Failure> {
    let numbers = step.numbers(tx);
    let more = step.more();
    let head = match tx.once(step.op.user(), step.id, &numbers, more).await? {
        Some(Once::First(head)) => head,
        Some(Once::Again(numbers)) => return Ok(Applied { numbers, again: true }),
        None => {
            return match step.op {
                Op::Append { user, .. } => Err(no_account(user)),
                Op::Put(session) => Err(no_account(&session.user)),
                // nothing is there of the user
                _ => Ok(Applied::default()),
            };
        }
    };
    match step.op {
        Op::Append { user, holders, messages, by, since } => {
            let created = head.created();
            let before = messages.iter().any(|(_, at, _)| *at < created);
            // by two clocks: it says nothing of the account that is known
            if before && since.is_some_and(|since| since != created) {
                return Err(no_account(user));
            }
            let late = numbers.first().is_some_and(|first| *first <= head.last());
            // the order in which they come is that of their numbers, whoever gives them
            if late && step.limits.is_some() {
                return Err(Failure::Taken(head.last()));
            }
            let new = messages.iter().zip(&numbers);
            let new: Vec<_> = new.map(|((_, at, stanza), n)| (*n, *at, stanza)).collect();
            tx.append(user, head.most(), holders, &new, step.limits).await?;
            tx.handled(by.as_ref()).await?;
        }
        Op::Remove { user, ids } => tx.remove(user, ids).await?,
        Op::Acknowledge { user, key, ids } => tx.acknowledge(user, key, ids).await?,
        Op::Hold { user, key, ids } => tx.hold(user, key, ids).await?,
        Op::Expire { user, key } => {
            tx.forget(user, key).await?;
            tx.let_go(user, key, None).await?;
        }
        Op::Put(session) => put(tx, session).await?,
    }
    Ok(Applied { numbers, again: false })
}

async fn put(tx: &mut Tx<'_>, session: &StoredSession) -> Result<(), Failure> {
    let sessions = tx.store.of::<Session>("sessions");
    let this = doc! { "_id": &session.key };
    let before = sessions.clone_with_type::<Document>();
    let fields = doc! { "u": 1, "epoch": 1, "handled": 1 };
    let before = before.find_one(this.clone()).projection(fields).session(&mut tx.session).await?;
    let of = |name: &str| before.as_ref().and_then(|kept| kept.get_i64(name).ok());
    let kept = before.as_ref().map(|kept| kept.get_str("u").unwrap_or_default());
    session.check(kept.zip(of("epoch").map(super::document::uint)))?;
    let more = of("handled").and_then(|n| u32::try_from(n).ok());
    let more = more.filter(|before| further(*before, session.handled));
    let new = Session::new(session, more.unwrap_or(session.handled));
    let replace = sessions.replace_one(this, &new).upsert(true).session(&mut tx.session);
    match replace.await {
        Err(error) if is_duplicate(&error) => Err(Failure::Taken(0)),
        done => Ok(done.map(drop)?),
    }
}

impl Tx<'_> {
    /// So many stanzas of that session's client are handled: unless more are known to be, since what several users get of it
    /// may come in any order out of a journal.
    async fn handled(&mut self, by: Option<&(String, u32)>) -> Result<(), Failure> {
        let Some((key, handled)) = by else { return Ok(()) };
        let handled = int(u64::from(*handled));
        // as `further` has it, modulo 2^32
        let more = doc! { "$subtract": [{ "$add": [handled, 1_i64 << 32] }, "$handled"] };
        let more = doc! { "$mod": [more, 1_i64 << 32] };
        let further = doc! { "$and": [{ "$gt": [&more, 0] }, { "$lt": [&more, 1_i64 << 31] }] };
        let now = doc! { "$set": { "handled": { "$cond": [further, handled, "$handled"] } } };
        let sessions = self.store.of::<Document>("sessions");
        sessions.update_one(doc! { "_id": key }, vec![now]).session(&mut self.session).await?;
        Ok(())
    }
}
