//! Replies and addresses in messages: they are serialised only on the way to another node, where a reply is a number, and read only
//! where they come from one. In between serde knows nothing of either, so which node it is stands in a variable of the thread.

use super::{
    peer::{Peer, Resolve},
    wire::{Why, Word},
};
use crate::{
    id::Id,
    inbox::{By, CallError, Reply},
    pid::{Local, Pid},
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _},
    ser::Error as _,
};
use std::{any::Any, cell::RefCell, ptr, sync::Arc};

/// What becomes of an answer, once what the reply led to is known.
type Resolver = fn(Box<dyn Any + Send>) -> Resolve;

/// A reply in a message that goes out.
pub(super) struct Sent {
    /// Where it lies.
    pub(super) place: usize,
    pub(super) number: u64,
    pub(super) resolver: Resolver,
}

enum Context {
    /// To that node.
    Out(Arc<Peer>, Vec<Sent>),
    /// From that node, to that process.
    In(Arc<Peer>, Local),
}

thread_local! {
    static CONTEXT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

/// Ends with what was called, even if that panics.
struct Within;

impl Within {
    fn enter(context: Context) -> Self {
        CONTEXT.set(Some(context));
        Self
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        CONTEXT.take();
    }
}

/// The message as bytes, and the replies in it.
pub(super) fn write<M: Serialize>(
    peer: &Arc<Peer>,
    msg: &M,
) -> Result<(Vec<u8>, Vec<Sent>), postcard::Error> {
    let _within = Within::enter(Context::Out(Arc::clone(peer), Vec::new()));
    let bytes = postcard::to_allocvec(msg)?;
    match CONTEXT.take() {
        Some(Context::Out(_, sent)) => Ok((bytes, sent)),
        _ => Ok((bytes, Vec::new())),
    }
}

/// The message that came for that process.
pub(super) fn read<M: DeserializeOwned>(
    peer: &Arc<Peer>,
    local: &Local,
    read: impl FnOnce() -> Option<M>,
) -> Option<M> {
    let _within = Within::enter(Context::In(Arc::clone(peer), local.clone()));
    read()
}

/// The number 0 is of a reply that nobody waits for.
impl<R: Serialize + DeserializeOwned + Send + 'static> Serialize for Reply<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = CONTEXT.with_borrow_mut(|context| {
            let Some(Context::Out(peer, sent)) = context else {
                return Err(S::Error::custom("a reply goes only to another node"));
            };
            if !self.is_awaited() {
                return Ok(0);
            }
            let number = peer.next_reply();
            sent.push(Sent { place: ptr::from_ref(self).addr(), number, resolver: resolver::<R> });
            Ok(number)
        })?;
        serializer.serialize_u64(number)
    }
}

impl<'de, R: Serialize + DeserializeOwned + Send + 'static> Deserialize<'de> for Reply<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        CONTEXT.with_borrow(|context| match context {
            Some(Context::In(..)) if number == 0 => Ok(Self::to_nobody()),
            Some(Context::In(peer, local)) => Ok(answers(peer, local, number)),
            _ => Err(D::Error::custom("a reply comes only from another node")),
        })
    }
}

fn resolver<R: DeserializeOwned + Send + 'static>(kept: Box<dyn Any + Send>) -> Resolve {
    Box::new(move |result| {
        let Some(reply) = Reply::<R>::of_kept(kept) else { return };
        match result.map(postcard::from_bytes) {
            Ok(Ok(answer)) => reply.send(answer),
            Ok(Err(_)) => reply.fail(CallError::Unknown),
            Err(why) => reply.fail(why),
        }
    })
}

/// A reply whose answer goes back to the node that the request came from.
fn answers<R: Serialize + Send + 'static>(
    peer: &Arc<Peer>,
    local: &Local,
    number: u64,
) -> Reply<R> {
    let (there, to) = (Arc::clone(peer), Arc::clone(peer));
    let by = By::Whoever(Box::new(move || !there.is_lost()));
    let deliver = move |result: Result<R, CallError>| {
        let result = result.and_then(|answer| {
            let bytes = postcard::to_allocvec(&answer);
            bytes.map_err(|error| CallError::Unsendable(error.to_string().into()))
        });
        to.answer(number, result);
    };
    Reply::deferred(Some(local.clone()), by, deliver).0
}

impl Peer {
    /// The answer goes there, or why there is none. It takes no credit: there are as many as requests.
    fn answer(&self, reply: u64, result: Result<Vec<u8>, CallError>) {
        // what the word before it takes
        let fits = |bytes: &Vec<u8>| bytes.len().saturating_add(16) <= self.limit();
        match result {
            Ok(bytes) if fits(&bytes) => self.signal(&Word::Answer { reply }, &bytes),
            Ok(_) => {
                let why = Why::Unsendable("the answer is longer than a frame may be".to_owned());
                self.signal(&Word::NoAnswer { reply, why }, &[]);
            }
            Err(error) => self.signal(&Word::NoAnswer { reply, why: (&error).into() }, &[]),
        }
    }
}

/// As its [`Id`].
impl Serialize for Pid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.id().serialize(serializer)
    }
}

/// Only in a message from another node: elsewhere it is an [`Id`], and [`crate::System::pid`].
impl<'de> Deserialize<'de> for Pid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = Id::deserialize(deserializer)?;
        let system = CONTEXT.with_borrow(|context| match context {
            Some(Context::In(_, local)) => Some(local.system().clone()),
            _ => None,
        });
        system
            .map(|system| system.pid(id))
            .ok_or_else(|| D::Error::custom("an address comes only from another node"))
    }
}
