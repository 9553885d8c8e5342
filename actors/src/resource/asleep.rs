//! A session that waits to be resumed, in the form in which the store has it: without the messages that it keeps anyway.

use super::{
    FrozenResource, FrozenWaiting,
    frozen::{FrozenItem, FrozenQueued},
    kept::AWAY,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use storage::OfflineMessage;
use thiserror::Error;
use xmpp::stanza::{Kind, Stanza, Type};

/// Which form this is. One that a process does not know is not resumed by it.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Asleep {
    version: u32,
    session: FrozenWaiting,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Why a stored session cannot go on.
#[derive(Debug, Error)]
pub enum WakeError {
    /// Another version of the program wrote it.
    #[error("it has form {0}, and this program knows {VERSION}")]
    Version(u32),
    /// It is not whole.
    #[error("it cannot be read: {0}")]
    Damaged(#[from] serde_json::Error),
}

/// What stands in place of a message that the store keeps.
fn elsewhere() -> Stanza {
    Stanza::new(Kind::Message, Type::Normal)
}

/// The session as bytes.
///
/// # Errors
/// None that is known: all of it has a form.
pub(crate) fn to_store(mut session: FrozenWaiting) -> Result<Vec<u8>, serde_json::Error> {
    let FrozenResource { queue, sm, shares, .. } = &mut session.resource;
    // who else has a message is known to the store
    shares.clear();
    for queued in queue {
        queued.share = None;
        if queued.kept != 0 {
            queued.item = FrozenItem::Stanza(elsewhere());
        }
    }
    let unacked = sm.iter_mut().flat_map(|sm| &mut sm.unacked);
    for arrived in unacked.filter(|arrived| arrived.kept != 0) {
        arrived.stanza = elsewhere();
    }
    serde_json::to_vec(&Asleep { version: VERSION, session })
}

/// The session from its bytes, without the messages that the store keeps.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn from_store(bytes: &[u8]) -> Result<FrozenWaiting, WakeError> {
    let Version { version } = serde_json::from_slice(bytes)?;
    if version != VERSION {
        return Err(WakeError::Version(version));
    }
    let Asleep { session, .. } = serde_json::from_slice::<Asleep>(bytes)?;
    Ok(session)
}

/// What was sent to its client, who has not said that it has it, and the store keeps: some of it perhaps for whoever comes.
pub(crate) fn sent_from_store(session: &FrozenWaiting) -> Vec<u64> {
    let unacked = session.resource.sm.iter().flat_map(|sm| &sm.unacked);
    let received: Vec<u64> = session.resource.kept.received().collect();
    let ids = unacked.map(|arrived| arrived.kept).filter(|id| *id != 0 && *id & AWAY == 0);
    ids.filter(|id| !received.contains(id)).collect()
}

/// The session, from how much of its client's was handled, and from the messages that it holds: those that came after it was put there are the last in its
/// queue, and one that is not there any more has been delivered elsewhere.
pub(crate) fn woken(
    mut session: FrozenWaiting,
    handled: u32,
    messages: Vec<OfflineMessage>,
) -> FrozenWaiting {
    let mut held: BTreeMap<_, _> = messages.into_iter().map(|m| (m.id, m)).collect();
    let FrozenResource { queue, sm, kept, .. } = &mut session.resource;
    // the client has said so, and the store had not been told
    for id in kept.received() {
        held.remove(&id);
    }
    sm.iter_mut().for_each(|sm| sm.handled = handled);
    for arrived in sm.iter_mut().flat_map(|sm| &mut sm.unacked) {
        if arrived.kept != 0 {
            match held.remove(&arrived.kept) {
                Some(message) => arrived.stanza = message.stanza,
                None => arrived.kept |= AWAY,
            }
        }
    }
    queue.retain_mut(|queued| {
        let message = (queued.kept != 0).then(|| held.remove(&queued.kept));
        match message {
            None => true,
            Some(None) => false,
            Some(Some(message)) => {
                queued.item = FrozenItem::Stanza(message.stanza);
                true
            }
        }
    });
    queue.extend(held.into_values().map(|OfflineMessage { id, at, stanza, .. }| FrozenQueued {
        item: FrozenItem::Stanza(stanza),
        at,
        kept: id,
        share: None,
    }));
    session
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Resource, StreamManagement};
    use serde_json::Value;

    /// Of a program that did not know whom a client sees.
    #[test]
    fn what_an_older_program_stored_is_read() {
        let jid = "juliet@localhost/balcony".parse().unwrap();
        let resource = Resource::new(jid, 1, Default::default(), Default::default());
        let sm = StreamManagement { token: Some("t".to_owned()), handled: 7, ..Default::default() };
        resource.with_sm(|own| *own = Some(sm));
        let presence = Stanza::presence(Type::Available);
        resource.deliver(presence.with_from("romeo@localhost/a".parse().ok())).unwrap();
        let stored = to_store(resource.freeze_attached()).unwrap();
        let seen = |session: &FrozenWaiting| Vec::from(session.resource.sm.clone().unwrap().seen);
        assert_eq!(seen(&from_store(&stored).unwrap()).len(), 1);
        let mut older: Value = serde_json::from_slice(&stored).unwrap();
        let sm = older.pointer_mut("/session/resource/sm").unwrap().as_object_mut().unwrap();
        assert!(sm.remove("seen").is_some());
        let session = from_store(older.to_string().as_bytes()).unwrap();
        assert_eq!((session.handled(), seen(&session).len()), (7, 0));
    }
}
