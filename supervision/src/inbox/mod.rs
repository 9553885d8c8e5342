//! Typed addresses and bounded inboxes: [`Ref::cast`] and [`Ref::call`] fail at once when the
//! receiver is gone or full (law 2); who wants to wait for room says so ([`Ref::send`], [`Ref::ask`]).

mod call;
mod handed;
mod look;
mod named;

pub(crate) use call::By;
pub use call::{CallError, Reply};
pub(crate) use handed::handed_on;
pub use named::{NameRef, RefError};

use crate::{
    exit::Exit,
    pid::{At, Local, Turn},
    system::{Erased, System},
};
use parking_lot::Mutex;
use std::{collections::VecDeque, fmt, pin::pin, sync::Arc};
use thiserror::Error;
use tokio::{sync::Notify, time::Instant};

/// Why a message was not taken; it comes back.
///
/// Example: [`Ref`].
#[derive(Error, PartialEq, Eq)]
pub enum CastError<M> {
    /// The inbox is at its limit.
    #[error("the inbox is full")]
    Full(M),
    /// The process has ended, and why, where that is known.
    #[error("the process has ended")]
    Gone(M, Option<Exit>),
    /// The name is that of a process whose messages are others.
    #[error("the process takes other messages")]
    WrongType(M),
    /// It cannot be sent to another node: it is longer than a frame may be, or does not serialise.
    #[error("it cannot be sent to another node: {1}")]
    Unsendable(M, Arc<str>),
}

impl<M> fmt::Debug for CastError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full",
            Self::Gone(_, why) => return write!(f, "Gone({why:?})"),
            Self::WrongType(_) => "WrongType",
            Self::Unsendable(_, why) => return write!(f, "Unsendable({why:?})"),
        })
    }
}

/// What happens to a message that finds the inbox full.
///
/// Example: [`Ref`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// It comes back to the sender as [`CastError::Full`].
    #[default]
    Reject,
    /// It is taken, and the oldest that is not urgent is dropped; if that was a call, its caller gets
    /// [`CallError::Gone`]. When all are urgent, it comes back.
    DropOldest,
    /// The process ends (`inbox overflow`), and the message comes back.
    Close,
}

struct Queue<M> {
    items: VecDeque<M>,
    /// How many at the front are urgent.
    urgent: u32,
    closed: bool,
    /// Of a process that has timers.
    timed: Option<Box<Timed>>,
    /// When somebody has waited for room.
    room: Option<Arc<Notify>>,
}

/// What came since a timer was due, before the process had time to look.
struct Timed {
    deadline: Instant,
    /// When the first of them came, and which turn what was due by then has.
    late: Vec<(Instant, Turn)>,
}

/// The most of those; to the process all that was due after the last of them was due when it looked.
const LATE: usize = 32;

impl Timed {
    /// A message comes, which is to have that turn.
    fn comes(&mut self, turn: Turn) {
        let now = Instant::now();
        if now >= self.deadline && self.late.len() < LATE {
            self.late.push((now, turn));
        }
    }
}

/// How a message goes into an inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Last,
    /// The same; it comes back when there is no room.
    Patient,
    Urgent,
    /// The answer to a request of its own, whether there is room or not.
    Answer,
}

/// What waits for a process; the same for both engines.
pub(crate) struct Inbox<M> {
    queue: Mutex<Queue<M>>,
    limit: u32,
    overflow: Overflow,
}

/// A typed address.
///
/// ```
/// use std::time::Duration;
/// use supervision::{CallError, CastError, Overflow, Reply, System};
/// # use supervision::{Cx, Event, Exit, InitError, Process};
/// # struct Echo;
/// # impl Process for Echo {
/// #     type Args = ();
/// #     type Msg = Reply<u8>;
/// #     const NAME: &'static str = "echo";
/// #     const INBOX: usize = 2;
/// #     const OVERFLOW: Overflow = Overflow::Reject;
/// #     async fn init((): (), _: &mut Cx<Reply<u8>>) -> Result<Self, InitError> { Ok(Self) }
/// #     async fn run(&mut self, cx: &mut Cx<Reply<u8>>) -> Exit {
/// #         loop {
/// #             match cx.next().await {
/// #                 Event::Msg(reply) => reply.send(7),
/// #                 Event::Exit { reason, .. } => return reason,
/// #                 Event::Down { .. } => {}
/// #             }
/// #         }
/// #     }
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let system = System::new("demo");
/// let echo = system.spawn::<Echo>("/echo", ()).await.unwrap();
/// assert_eq!(echo.call(|reply| reply, Duration::from_secs(1)).await, Ok(7));
/// // with `INBOX` 2 and `OVERFLOW` `Overflow::Reject`; it has not run in between
/// let (one, two, three) = (Reply::to_nobody(), Reply::to_nobody(), Reply::to_nobody());
/// echo.cast(one).unwrap();
/// echo.cast_urgent(two).unwrap();
/// assert_eq!(echo.depth(), 2);
/// assert!(matches!(echo.cast(three), Err(CastError::Full(_))));
/// assert_eq!(echo.call(|reply| reply, Duration::from_secs(60)).await, Err(CallError::Full));
/// echo.pid().kill();
/// echo.pid().wait().await;
/// assert_eq!(echo.ask(|reply| reply).await, Err(CallError::Gone(Some(Exit::Killed))));
/// assert!(matches!(echo.send(Reply::to_nobody()).await, Err(CastError::Gone(_, Some(Exit::Killed)))));
/// // no waiting for the deadline
/// let late = echo.call(|reply| reply, Duration::from_secs(60)).await;
/// assert_eq!(late, Err(CallError::Gone(Some(Exit::Killed))));
/// # });
/// ```
pub struct Ref<M> {
    pub(crate) pid: Local,
    pub(crate) inbox: Arc<Inbox<M>>,
}

impl<M> Clone for Ref<M> {
    fn clone(&self) -> Self {
        Self { pid: self.pid.clone(), inbox: Arc::clone(&self.inbox) }
    }
}

impl<M> fmt::Debug for Ref<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.pid)
    }
}

impl<M: Send + 'static> Ref<M> {
    /// Of a new process: where it is, what it is, and its parent.
    pub(crate) fn new(
        (system, kind, at, parent): (&System, &'static str, At, Option<Local>),
        limit: usize,
        overflow: Overflow,
    ) -> Self {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let queue =
            Queue { items: VecDeque::new(), urgent: 0, closed: false, timed: None, room: None };
        let queue = Mutex::new(queue);
        let inbox = Arc::new(Inbox { queue, limit, overflow });
        let erased: Erased = Arc::<Inbox<M>>::clone(&inbox);
        Self { pid: Local::new(system, kind, at, parent, erased), inbox }
    }

    /// The process behind the address.
    pub fn pid(&self) -> &Local {
        &self.pid
    }

    /// How many messages wait.
    pub fn depth(&self) -> usize {
        self.pid.depth()
    }

    /// Sends a message and goes on.
    ///
    /// # Errors
    /// The message comes back when the inbox is full or the process has ended.
    pub fn cast(&self, msg: M) -> Result<(), CastError<M>> {
        self.push(msg, How::Last)
    }

    /// Sends a message that is taken before all that are not urgent: for control messages. The
    /// inbox's limit holds for it too.
    ///
    /// # Errors
    /// As [`Ref::cast`].
    pub fn cast_urgent(&self, msg: M) -> Result<(), CastError<M>> {
        self.push(msg, How::Urgent)
    }

    /// Sends a message, and waits for room in the inbox, whatever its overflow is: who sends faster than it is handled is
    /// held back. Can be cancelled: then it is not sent.
    ///
    /// # Errors
    /// The message comes back when the process has ended, or when it is full and the one that sends.
    pub async fn send(&self, msg: M) -> Result<(), CastError<M>> {
        let mut msg = match self.push(msg, How::Patient) {
            Err(CastError::Full(msg)) if !self.pid.is_inside() => msg,
            sent => return sent,
        };
        let room = Arc::clone(self.inbox.queue.lock().room.get_or_insert_default());
        loop {
            let mut waits = pin!(room.notified());
            // listens before it looks
            waits.as_mut().enable();
            match self.push(msg, How::Patient) {
                Err(CastError::Full(back)) => msg = back,
                sent => return sent,
            }
            waits.await;
        }
    }

    /// It has asked for this: it has room, or makes some. If it has ended nobody wants to know.
    fn answered(&self, msg: M) {
        drop(self.push(msg, How::Answer));
    }

    fn push(&self, msg: M, how: How) -> Result<(), CastError<M>> {
        let mut queue = self.inbox.queue.lock();
        if queue.closed {
            drop(queue);
            return Err(CastError::Gone(msg, self.pid.why()));
        }
        let mut dropped = None;
        if queue.items.len() >= self.inbox.limit as usize && how != How::Answer {
            match self.inbox.overflow {
                _ if how == How::Patient => return Err(CastError::Full(msg)),
                Overflow::Reject => return Err(CastError::Full(msg)),
                Overflow::Close => {
                    drop(queue);
                    self.pid.overflow();
                    return Err(CastError::Full(msg));
                }
                Overflow::DropOldest => {
                    let oldest = queue.urgent as usize;
                    dropped = queue.items.remove(oldest);
                    if dropped.is_none() {
                        return Err(CastError::Full(msg));
                    }
                    self.pid.took();
                }
            }
        }
        let first = queue.items.is_empty();
        if how == How::Urgent {
            let at = queue.urgent as usize;
            queue.items.insert(at, msg);
            queue.urgent += 1;
        } else {
            if let Some(timed) = &mut queue.timed {
                timed.comes(self.pid.last_turn());
            }
            queue.items.push_back(msg);
            self.pid.came();
        }
        self.pid.set_depth(queue.items.len());
        drop(queue);
        if first {
            self.pid.wake();
        }
        // not under the lock: what is dropped may send
        if let Some(dropped) = dropped {
            self.pid.discard_elsewhere(dropped, "a message that was dropped for others");
        }
        Ok(())
    }

    /// The next timer of the process is due then.
    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) {
        let timed = &mut self.inbox.queue.lock().timed;
        match (timed, deadline) {
            (Some(timed), Some(deadline)) => {
                timed.deadline = deadline;
                timed.late.clear();
            }
            (timed, deadline) => {
                *timed = deadline.map(|deadline| Box::new(Timed { deadline, late: Vec::new() }));
            }
        }
    }

    /// The turn of a timer that was due at that time.
    pub(crate) fn turn_at(&self, due: Instant) -> Turn {
        let queue = self.inbox.queue.lock();
        let late = queue.timed.iter().flat_map(|timed| &timed.late);
        let after = late.filter(|(at, _)| *at >= due).map(|(_, turn)| *turn).next();
        after.unwrap_or_else(|| self.pid.last_turn())
    }

    /// The next message; `urgent`: if it is urgent. Always inlined, as [`crate::Cx`]'s `take`: a message that is handed on by copies of
    /// other widths waits for its own stores, a third of what it costs (`bench/otp`, `cast_full`).
    #[inline(always)]
    pub(crate) fn pop(&self, urgent: bool) -> Option<M> {
        let mut queue = self.inbox.queue.lock();
        if urgent && queue.urgent == 0 {
            return None;
        }
        let msg = queue.items.pop_front();
        match queue.urgent.checked_sub(1) {
            Some(left) => queue.urgent = left,
            None if msg.is_some() => self.pid.took(),
            None => {}
        }
        self.pid.set_depth(queue.items.len());
        if queue.items.is_empty() && queue.items.capacity() > KEPT {
            queue.items = VecDeque::new();
        }
        let room = queue.room.as_ref().filter(|_| msg.is_some()).map(Arc::clone);
        drop(queue);
        if let Some(room) = room {
            room.notify_one();
        }
        msg
    }

    /// Takes no more. What waited is to be dropped: callers learn at once that nobody answers.
    pub(crate) fn close(&self) -> VecDeque<M> {
        let mut queue = self.inbox.queue.lock();
        queue.closed = true;
        let waiting = std::mem::take(&mut queue.items);
        self.pid.set_depth(0);
        let room = queue.room.take();
        drop(queue);
        if let Some(room) = room {
            room.notify_waiters();
        }
        waiting
    }
}

/// The room for messages an empty inbox keeps.
const KEPT: usize = 64;
