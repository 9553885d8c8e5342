//! Changes of rosters: read, decide, compare and set, again if somebody else was faster; then what
//! the users' clients are told, in the order of the changes.
//!
//! What is between two accounts stands in both rosters, and is changed in both by one operation of the store.

use super::RosterConfig;
use crate::{
    env::Env,
    routing::{self, presence::show, send},
    serial::Serial,
};
use std::{collections::HashMap, sync::Arc};
use storage::{Roster, RosterChange, RosterItem, RosterWrite, StoreError};
use xmpp::{
    error::StanzaError,
    jid::{BareJid, Jid},
    ns,
    payload::roster::{item, query},
    stanza::{Kind, Stanza, Type},
};

/// The mark of resources that have asked for the roster (RFC 6121 section 2.2: interested).
pub(super) const INTERESTED: &str = "roster";

/// How often a change is decided anew.
const TRIES: usize = 16;

/// What all sessions share.
#[derive(Debug)]
pub(super) struct Rosters {
    pub config: RosterConfig,
    serial: Serial,
}

/// Whom a stanza is for, besides what is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Resources with presence.
    Available,
    /// Resources that asked for the roster.
    Interested,
}

/// One of the things that happen, in their order, when all changes among them are made.
#[derive(Debug)]
pub(super) enum Act {
    /// A roster changes, and the user's clients are told if they see a difference, or always.
    Change { user: BareJid, change: RosterChange, always: bool },
    /// The user's clients get a stanza (sections 3.1.6, 3.2.3 and 3.3.3).
    Tell { user: BareJid, audience: Audience, stanza: Stanza },
    /// A contact sees the user come or go.
    Show { user: BareJid, to: Jid, available: bool },
    /// A stanza goes to a contact whose roster is not here.
    Send(Stanza),
}

/// Writes an item as clients see it: not at all, if they do not (section 3.1.3).
pub(super) fn write(out: &mut Vec<u8>, i: &RosterItem) {
    if !i.hidden {
        item(out, &i.jid, &i.name, i.subscription.as_str(), i.ask, i.approved, &i.groups);
    }
}

/// An item as clients see it.
fn visible(i: &RosterItem) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    write(&mut out, i);
    (!out.is_empty()).then_some(out)
}

/// A push (section 2.1.6) of the item of `jid` as it is in this roster.
pub(super) fn push(roster: &Roster, jid: &Jid, ver: u64, id: &str) -> Stanza {
    let query = query(Some(&ver.to_string()), |out| match roster.item(jid).filter(|i| !i.hidden) {
        Some(shown) => write(out, shown),
        None => item(out, jid, "", "remove", false, false, &[]),
    });
    Stanza::new(Kind::Iq, Type::Set).with_id(id).with_payload(ns::ROSTER, "query", query)
}

impl Rosters {
    pub fn new(config: RosterConfig) -> Self {
        Self { config, serial: Serial::default() }
    }

    /// Does to the rosters of these users what `decide` says of them. It is asked again when somebody else has
    /// changed one of them in the meantime, be it only read for it.
    ///
    /// # Errors
    /// What `decide` says, or the store.
    pub async fn change<const N: usize>(
        &self,
        env: &Arc<Env>,
        users: [&BareJid; N],
        decide: impl Fn([&Roster; N]) -> Result<Vec<Act>, StanzaError>,
    ) -> Result<(), StanzaError> {
        let limit = self.config.items.saturating_add(self.config.requests);
        let turn = self.serial.turns(&users).await;
        for _ in 0..TRIES {
            let mut before = HashMap::with_capacity(N);
            for user in users {
                before.insert(user.clone(), env.stores.rosters.get(user).await?);
            }
            let empty = Roster::default();
            let acts = decide(users.map(|user| before.get(user).map_or(&empty, |r| &**r)))?;
            let after = match env.stores.rosters.change_all(writes(&before, &acts), limit).await {
                Ok(after) => after,
                Err(StoreError::Conflict { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            perform(env, acts, before, after, turn).await;
            return Ok(());
        }
        Err(StanzaError::resource_constraint().with_text("the roster is changed too often"))
    }
}

/// The changes, of the versions that were decided on; none if nothing is changed.
fn writes(before: &HashMap<BareJid, Arc<Roster>>, acts: &[Act]) -> Vec<RosterWrite> {
    let mut vers: HashMap<&BareJid, u64> = before.iter().map(|(u, r)| (u, r.ver)).collect();
    let mut writes = Vec::new();
    for act in acts {
        if let Act::Change { user, change, .. } = act
            && let Some(ver) = vers.get_mut(user)
        {
            writes.push(RosterWrite { user: user.clone(), ver: *ver, change: change.clone() });
            *ver += 1;
        }
    }
    if !writes.is_empty() {
        let kept = before.iter().filter(|(user, r)| vers.get(user) == Some(&r.ver));
        writes.extend(kept.map(|(user, roster)| RosterWrite {
            user: user.clone(),
            ver: roster.ver,
            change: RosterChange::Keep,
        }));
    }
    writes
}

/// What follows from the changes, of rosters that were as in `before` and are as in `after`, one for each change. While
/// the `turn` lasts nobody comes between.
async fn perform<T>(
    env: &Arc<Env>,
    acts: Vec<Act>,
    mut before: HashMap<BareJid, Arc<Roster>>,
    after: Vec<Arc<Roster>>,
    turn: T,
) {
    let mut turn = Some(turn);
    let mut after = after.into_iter();
    for act in acts {
        match act {
            Act::Change { user, change, always } => {
                let Some(after) = after.next() else { continue };
                let before = before.insert(user.clone(), Arc::clone(&after)).unwrap_or_default();
                changed(env, &user, &change, always, [&before, &after]).await;
            }
            Act::Tell { user, audience: Audience::Interested, stanza } => {
                routing::to_marked(env, &user, INTERESTED, false, &stanza).await;
            }
            Act::Tell { user, audience: Audience::Available, stanza } => {
                if let Some(later) = routing::to_available(env, &user, &stanza) {
                    later.await;
                }
            }
            Act::Show { user, to, available } => {
                // somebody who is not here may have changes to make before it is done
                if !before.contains_key(&to.bare()) {
                    turn = None;
                }
                show(env, &user, &to, available).await;
            }
            Act::Send(stanza) => {
                turn = None;
                send(env, stanza).await;
            }
        }
    }
    drop(turn);
}

async fn changed(
    env: &Env,
    user: &BareJid,
    change: &RosterChange,
    always: bool,
    [before, after]: [&Roster; 2],
) {
    let Some(jid) = change.jid() else { return };
    let seen = |r: &Roster| r.item(jid).and_then(visible);
    if always || seen(before) != seen(after) {
        let push = push(after, jid, after.ver, &env.token());
        routing::to_marked(env, user, INTERESTED, true, &push).await;
    }
}
