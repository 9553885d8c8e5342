//! Calls: a message with a [`Reply`] in it, and the answer.

use super::{CastError, Ref, handed};
use crate::{
    exit::Exit,
    pid::{Local, drop_unanswered},
};
use parking_lot::Mutex;
use std::{fmt, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::sync::oneshot;

/// Why a call has no answer.
///
/// Example: [`Ref`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CallError {
    /// The inbox is at its limit.
    #[error("the inbox is full")]
    Full,
    /// The process had ended, or ended before it answered: why. Or it dropped the [`Reply`], and lives: `None`.
    #[error("there is no answer: {}", .0.as_ref().map_or("it was dropped".to_owned(), |why| format!("the process has ended: {why}")))]
    Gone(Option<Exit>),
    /// No answer within the deadline; the request may still be carried out.
    #[error("no answer in time")]
    Timeout,
    /// The process called itself: it could never answer (`calling_self`).
    #[error("the process called itself")]
    Itself,
    /// The name is that of a process whose messages are others.
    #[error("the process takes other messages")]
    WrongType,
    /// The other node does not know this message ([`crate::System::accept`]), or not in this version.
    #[error("the other node does not know this message")]
    Unknown,
    /// The request, or its answer, cannot be sent to another node: it is longer than a frame may be, or does not serialise.
    #[error("it cannot be sent to another node: {0}")]
    Unsendable(Arc<str>),
}

/// Where the answer to a call goes: to whoever waits for it, or as a message to who has sent the request. Dropped without an answer, that
/// one gets [`CallError::Gone`], with the reason if the process ends.
///
/// Example: [`Ref`].
pub struct Reply<R: Send + 'static>(Option<Answer<R>>);

enum Answer<R> {
    Awaited(oneshot::Sender<R>),
    Message(Message<R>),
}

/// An answer that becomes a message of who has asked. Dropped without one it becomes that there is none.
struct Message<R>(Arc<Alias<R>>);

struct Alias<R> {
    /// Whose end says why there is no answer.
    asked: Option<Local>,
    by: By,
    /// Until there is an answer, or it is sure that there will be none.
    deliver: Mutex<Option<Deliver<R>>>,
}

type Deliver<R> = Box<dyn FnOnce(Result<R, CallError>) + Send>;

/// Who has asked.
pub(crate) enum By {
    Process(Local),
    /// Somebody else, for as long as this says so.
    Whoever(Box<dyn Fn() -> bool + Send + Sync>),
}

/// A request that is on its way.
pub(crate) struct Pending<R>(Arc<Alias<R>>);

impl<R> Pending<R> {
    /// It did not arrive: that is the answer.
    pub(crate) fn fail(self, why: CallError) {
        self.0.deliver(|| Err(why));
    }
}

impl<R> Alias<R> {
    fn deliver(&self, answer: impl FnOnce() -> Result<R, CallError>) {
        let deliver = self.deliver.lock().take();
        if let Some(deliver) = deliver {
            deliver(answer());
        }
    }
}

impl<R> Drop for Message<R> {
    fn drop(&mut self) {
        self.0.deliver(|| Err(CallError::Gone(self.0.asked.as_ref().and_then(Local::why))));
    }
}

impl<R: Send + 'static> Reply<R> {
    /// Answers. Nothing happens when the caller does not wait any more.
    pub fn send(mut self, answer: R) {
        match self.0.take() {
            Some(Answer::Awaited(waits)) => drop(waits.send(answer)),
            Some(Answer::Message(message)) => message.0.deliver(|| Ok(answer)),
            None => {}
        }
    }

    /// Of a call that nobody has made: for a [`crate::replay`] of one, and for tests.
    ///
    /// ```
    /// let reply = supervision::Reply::to_nobody();
    /// assert!(!reply.is_awaited());
    /// reply.send("is not heard");
    /// ```
    pub fn to_nobody() -> Self {
        Self(None)
    }

    /// Whether the caller still waits.
    pub fn is_awaited(&self) -> bool {
        match &self.0 {
            Some(Answer::Awaited(waits)) => !waits.is_closed(),
            Some(Answer::Message(message)) => match &message.0.by {
                By::Process(by) => by.is_alive(),
                By::Whoever(waits) => waits(),
            },
            None => false,
        }
    }

    /// One whose answer, or why there is none, is handed to `deliver`.
    pub(crate) fn deferred(
        asked: Option<Local>,
        by: By,
        deliver: impl FnOnce(Result<R, CallError>) + Send + 'static,
    ) -> (Self, Pending<R>) {
        let alias = Arc::new(Alias { asked, by, deliver: Mutex::new(Some(Box::new(deliver))) });
        (Self(Some(Answer::Message(Message(Arc::clone(&alias))))), Pending(alias))
    }

    /// Of what [`super::handed_on`] has kept of one.
    pub(crate) fn of_kept(kept: handed::Kept) -> Option<Self> {
        kept.downcast::<Answer<R>>().ok().map(|answer| Self(Some(*answer)))
    }

    /// There is no answer, and why.
    pub(crate) fn fail(mut self, why: CallError) {
        if let Some(Answer::Message(message)) = self.0.take() {
            message.0.deliver(|| Err(why));
        }
    }
}

impl<R: Send + 'static> Drop for Reply<R> {
    fn drop(&mut self) {
        let Some(answer) = self.0.take() else { return };
        if let Some(answer) = handed::keep(handed::place(self), answer) {
            drop_unanswered(answer);
        }
    }
}

impl<R: Send + 'static> fmt::Debug for Reply<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_awaited() { "Reply" } else { "Reply (not awaited)" })
    }
}

impl<M> CastError<M> {
    /// What it is for a call, and the message.
    pub(crate) fn into_parts(self) -> (CallError, M) {
        match self {
            Self::Full(msg) => (CallError::Full, msg),
            Self::Gone(msg, why) => (CallError::Gone(why), msg),
            Self::WrongType(msg) => (CallError::WrongType, msg),
            Self::Unsendable(msg, why) => (CallError::Unsendable(why), msg),
        }
    }
}

impl<M: Send + 'static> Ref<M> {
    /// Sends a request and waits for its answer, at most `deadline`.
    ///
    /// # Errors
    /// At once when the process is gone, its inbox full, or it calls itself; [`CallError::Gone`] also when it ends
    /// while the call waits.
    pub async fn call<R: Send + 'static>(
        &self,
        request: impl FnOnce(Reply<R>) -> M,
        deadline: Duration,
    ) -> Result<R, CallError> {
        let answer = self.request(request)?;
        match tokio::time::timeout(deadline, answer).await {
            Ok(answer) => answer.map_err(|_| self.gone()),
            Err(_) => Err(CallError::Timeout),
        }
    }

    /// [`Ref::call`] without a deadline (`infinity`), which waits for room too.
    ///
    /// # Errors
    /// When the process is gone, ends before it answers, or calls itself.
    pub async fn ask<R: Send + 'static>(
        &self,
        request: impl FnOnce(Reply<R>) -> M,
    ) -> Result<R, CallError> {
        if self.pid.is_inside() {
            return Err(CallError::Itself);
        }
        let (sender, receiver) = oneshot::channel();
        let reply = Reply(Some(Answer::Awaited(sender)));
        self.send(request(reply)).await.map_err(|_| self.gone())?;
        receiver.await.map_err(|_| self.gone())
    }

    /// Sends a request and goes on (`gen_server:send_request/2`): `me` gets exactly one message of its own for it, which `answer` makes of the
    /// answer or of why there is none. It comes whether `me` has room or not: there are as many as it has asked for.
    ///
    /// ```
    /// use supervision::{CallError, Cx, Ref, Reply};
    /// # enum Ask { Count(Reply<u64>) }
    /// enum Msg { Look, Counted(Result<u64, CallError>) }
    ///
    /// /// As a server's `handle` might.
    /// async fn handle(counter: &Ref<Ask>, msg: Msg, cx: &mut Cx<Msg>) {
    ///     match msg {
    ///         Msg::Look => counter.send_request(cx.me(), Ask::Count, Msg::Counted),
    ///         Msg::Counted(Ok(n)) => println!("{n}"),
    ///         Msg::Counted(Err(why)) => println!("{why}"),
    ///     }
    /// }
    /// ```
    pub fn send_request<R: Send + 'static, N: Send + 'static>(
        &self,
        me: &Ref<N>,
        request: impl FnOnce(Reply<R>) -> M,
        answer: impl FnOnce(Result<R, CallError>) -> N + Send + 'static,
    ) {
        let (by, to) = (By::Process(me.pid.clone()), me.clone());
        // called where the answer is given or dropped
        let deliver = move |result| to.hears(result, answer);
        let (reply, pending) = Reply::deferred(Some(self.pid.clone()), by, deliver);
        if let Err(error) = self.cast(request(reply)) {
            let (why, refused) = error.into_parts();
            pending.fail(why);
            drop(refused);
        }
    }

    /// The answer to a request of its own. A panic in what makes a message of it is no business of who gives the answer.
    pub(crate) fn hears<A>(&self, result: A, answer: impl FnOnce(A) -> M) {
        if let Err(panic) = self.pid.catch(|| self.answered(answer(result))) {
            self.pid.report_beside(panic, Some("the message of an answer: it is lost"));
            // of what it dropped, who waits is told
            self.pid.wake();
        }
    }

    fn request<R: Send + 'static>(
        &self,
        request: impl FnOnce(Reply<R>) -> M,
    ) -> Result<oneshot::Receiver<R>, CallError> {
        if self.pid.is_inside() {
            return Err(CallError::Itself);
        }
        let (sender, receiver) = oneshot::channel();
        let message = request(Reply(Some(Answer::Awaited(sender))));
        self.cast(message).map_err(|error| error.into_parts().0)?;
        Ok(receiver)
    }

    /// The answer was dropped.
    fn gone(&self) -> CallError {
        CallError::Gone(self.pid.why())
    }
}
