//! Messages to processes of other nodes: what they are called there, who takes them from outside, and how they are sent.

use super::{
    Class, SendError,
    context::{self, Sent},
    node::Dist,
    peer::Peer,
    wire::{self, To, Why, Word},
};
use crate::{
    exit::Exit,
    inbox::{CastError, Ref, RefError, handed_on},
    pid::Local,
    system::System,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{iter, sync::Arc};

/// Messages that go from one node to another. What serde makes of them is their form there, so that it changes only with [`Remote::VERSION`].
/// A [`crate::Reply`] in them leads back to who waits for it, a [`crate::Pid`] to the same process.
///
/// Example: [`crate::dist`].
pub trait Remote: Serialize + DeserializeOwned + Send + 'static {
    /// What these messages are called on every node, whatever the type is called.
    const TAG: &'static str;
    /// The version of their form.
    const VERSION: u16 = 1;

    /// Reads one of another version; `None`: it is not known, and who has sent a request gets [`crate::CallError::Unknown`].
    fn decode_old(version: u16, bytes: &[u8]) -> Option<Self> {
        let _ = (version, bytes);
        None
    }
}

/// Hands a message in its form of that version to a process, if that takes such.
pub(super) type Accept = fn(&Arc<Peer>, &Local, u16, &[u8]) -> Result<(), Why>;

fn accept<M: Remote>(
    peer: &Arc<Peer>,
    local: &Local,
    version: u16,
    bytes: &[u8],
) -> Result<(), Why> {
    let to = Ref::of::<M>(local).map_err(|error| match error {
        RefError::WrongType => Why::WrongType,
        RefError::Gone(_) => Why::gone(local),
    })?;
    let read = || match version {
        _ if version == M::VERSION => postcard::from_bytes(bytes).ok(),
        _ => M::decode_old(version, bytes),
    };
    let msg = context::read(peer, local, read).ok_or(Why::Unknown)?;
    to.cast(msg).map_err(|error| (&error.into_parts().0).into())
}

impl System {
    /// Messages of this type may come from other nodes, for processes that take them. Of two types with the same tag it is the first.
    ///
    /// Example: [`crate::dist`].
    pub fn accept<M: Remote>(&self) {
        Dist::of(self).types.write().entry(M::TAG).or_insert(accept::<M>);
    }
}

/// The replies in a message that was sent: nobody waits for them any more when it is dropped.
pub(super) struct Awaited {
    peer: Arc<Peer>,
    replies: Vec<u64>,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if !self.replies.is_empty() {
            self.peer.forget(self.replies.iter().copied());
        }
    }
}

impl Awaited {
    /// Whatever becomes of who has sent it: the answers go on to whom they are for.
    pub(super) fn leave(mut self) {
        self.replies.clear();
    }
}

/// Why a message was not sent.
enum Unsent {
    Full,
    NoConnection,
    Unsendable(Arc<str>),
}

/// Sends a message; it comes back when it was not.
pub(super) fn send<M: Remote>(
    peer: &Arc<Peer>,
    to: To<'_>,
    msg: M,
) -> Result<Awaited, CastError<M>> {
    // from here to where it is dropped it lies in one place
    let mut msg = Some(msg);
    let sent = match msg.as_ref().map(|msg| post(peer, to, msg)) {
        Some(Err(why)) => {
            return Err(match (msg, why) {
                (Some(msg), Unsent::Full) => CastError::Full(msg),
                (Some(msg), Unsent::NoConnection) => CastError::Gone(msg, Some(Exit::NoConnection)),
                (Some(msg), Unsent::Unsendable(why)) => CastError::Unsendable(msg, why),
                (None, _) => return Ok(Awaited { peer: Arc::clone(peer), replies: Vec::new() }),
            });
        }
        Some(Ok(sent)) => sent,
        None => Vec::new(),
    };
    let kept = handed_on(&mut msg, sent.iter().map(|sent| sent.place));
    let replies = sent.iter().map(|sent| sent.number).collect();
    for (sent, kept) in sent.into_iter().zip(kept) {
        match kept {
            Some(kept) => peer.awaits(sent.number, (sent.resolver)(kept)),
            None => peer.forget(iter::once(sent.number)),
        }
    }
    Ok(Awaited { peer: Arc::clone(peer), replies })
}

fn post<M: Remote>(peer: &Arc<Peer>, to: To<'_>, msg: &M) -> Result<Vec<Sent>, Unsent> {
    let unsendable = |error: postcard::Error| Unsent::Unsendable(error.to_string().into());
    let (bytes, sent) = context::write(peer, msg).map_err(unsendable)?;
    let replies: Vec<u64> = sent.iter().map(|sent| sent.number).collect();
    let word = Word::Message { to, tag: M::TAG, version: M::VERSION, replies };
    let Some(frame) = wire::write(&word, &bytes, peer.limit()) else {
        return Err(Unsent::Unsendable("it is longer than a frame may be".into()));
    };
    let numbers = || sent.iter().map(|sent| sent.number);
    if !sent.is_empty() && !peer.expect(numbers()) {
        return Err(Unsent::NoConnection);
    }
    if let Err(error) = peer.transport().send(frame, Class::Message) {
        peer.forget(numbers());
        return Err(match error {
            SendError::Full => Unsent::Full,
            SendError::Closed => Unsent::NoConnection,
        });
    }
    Ok(sent)
}
