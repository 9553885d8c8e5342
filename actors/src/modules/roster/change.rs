//! Changes of a roster: read, decide, compare and set, again if somebody else was faster; then what
//! the user's clients are told, in the order of the changes.

use super::RosterConfig;
use crate::{env::Env, modules::serial::Serial, routing};
use std::sync::Arc;
use storage::{Roster, RosterChange, RosterItem, StoreError};
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

/// What is to be done to a roster.
#[derive(Debug)]
pub(super) struct Decision<T> {
    /// The change, if any.
    pub change: Option<RosterChange>,
    /// Pushed even if the client sees no difference.
    pub always: bool,
    /// A stanza for the user's clients, before the push (sections 3.1.6, 3.2.3 and 3.3.3).
    pub first: Option<(Audience, Stanza)>,
    /// For the caller.
    pub value: T,
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

    /// Changes one item of the user's roster as `decide` says of the roster it is shown. It is
    /// asked again when somebody else has changed the roster in the meantime.
    ///
    /// # Errors
    /// What `decide` says, or the store.
    pub async fn change<T>(
        &self,
        env: &Arc<Env>,
        user: &BareJid,
        decide: impl Fn(&Roster) -> Result<Decision<T>, StanzaError>,
    ) -> Result<T, StanzaError> {
        let limit = self.config.items.saturating_add(self.config.requests);
        let _turn = self.serial.turn(user).await;
        for _ in 0..TRIES {
            let roster = env.stores.rosters.get(user).await?;
            let Decision { change, always, first, value } = decide(&roster)?;
            let Some(change) = change else {
                tell(env, user, first);
                return Ok(value);
            };
            let (RosterChange::Put(RosterItem { jid, .. }) | RosterChange::Remove(jid)) = &change;
            let jid = jid.clone();
            match env.stores.rosters.change(user, roster.ver, change, limit).await {
                Ok(after) => {
                    tell(env, user, first);
                    let seen = |r: &Roster| r.item(&jid).and_then(visible);
                    if always || seen(&roster) != seen(&after) {
                        let push = push(&after, &jid, after.ver, &env.token());
                        routing::to_marked(env, user, INTERESTED, |r| {
                            push.with_to(Some(r.jid().clone().into()))
                        });
                    }
                    return Ok(value);
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StanzaError::resource_constraint().with_text("the roster is changed too often"))
    }
}

fn tell(env: &Env, user: &BareJid, first: Option<(Audience, Stanza)>) {
    let Some((audience, stanza)) = first else { return };
    match audience {
        Audience::Interested => routing::to_marked(env, user, INTERESTED, |_| stanza.clone()),
        Audience::Available => {
            routing::to_available(env, user, &stanza);
        }
    }
}
