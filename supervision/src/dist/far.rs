//! Typed addresses of processes on other nodes: cast, call, monitor, and a call to many nodes.

use super::{
    message::{self, Awaited, Remote},
    node::Dist,
    wire::To,
};
use crate::{
    exit::Exit,
    id::Node,
    inbox::{By, CallError, CastError, Ref, RefError, Reply},
    pid::{Local, Monitor, Pid},
    system::System,
};
use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

/// The typed address of a process on any node, this one included: by its [`Pid`], or by a name, as whoever has it there when a message
/// comes (`{Name, Node}`).
///
/// What is sent arrives in the order of sending, and all of it as long as the connection lasts. Who has sent does not hear that a cast found
/// nobody there, as in OTP, or, which OTP does not know, a full inbox: that is counted there ([`System::refused`]). A call hears of both.
///
/// Example: [`crate::dist`].
pub struct Far<M> {
    system: System,
    whom: Whom,
    messages: PhantomData<fn(M)>,
}

#[derive(Clone)]
enum Whom {
    Pid(Pid),
    Name(Arc<str>, Node),
}

impl<M> Clone for Far<M> {
    fn clone(&self) -> Self {
        Self { system: self.system.clone(), whom: self.whom.clone(), messages: PhantomData }
    }
}

impl<M> fmt::Debug for Far<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.whom {
            Whom::Pid(pid) => write!(f, "Far({pid:?})"),
            Whom::Name(name, node) => write!(f, "Far({{{name}, {node}}})"),
        }
    }
}

/// A request that was sent.
struct Asked<R> {
    answer: oneshot::Receiver<Result<R, CallError>>,
    /// To another node: nobody waits for the answer after this.
    _awaited: Option<Awaited>,
}

impl<R> Asked<R> {
    async fn by(self, deadline: Instant) -> Result<R, CallError> {
        match timeout_at(deadline, self.answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(CallError::Gone(None)),
            Err(_) => Err(CallError::Timeout),
        }
    }
}

impl<M: Remote> Far<M> {
    /// The node.
    pub fn node(&self) -> Node {
        match &self.whom {
            Whom::Pid(pid) => pid.id().node,
            Whom::Name(_, node) => *node,
        }
    }

    /// Its process, unless it is an address by a name.
    pub fn pid(&self) -> Option<&Pid> {
        match &self.whom {
            Whom::Pid(pid) => Some(pid),
            Whom::Name(..) => None,
        }
    }

    /// On this node.
    fn here(&self) -> Result<Ref<M>, RefError> {
        match &self.whom {
            Whom::Pid(pid) => Ref::of(pid),
            Whom::Name(name, _) => self.system.named(name).get(),
        }
    }

    fn is_here(&self) -> bool {
        self.node() == self.system.node()
    }

    /// Sends it to another node.
    fn send(&self, msg: M) -> Result<Awaited, CastError<M>> {
        let Some(peer) = Dist::of(&self.system).peer(self.node()) else {
            return Err(CastError::Gone(msg, Some(Exit::NoConnection)));
        };
        match &self.whom {
            Whom::Name(name, _) => message::send(&peer, To::Name(name), msg),
            Whom::Pid(pid) if pid.id().creation != peer.creation => {
                Err(CastError::Gone(msg, Some(Exit::NoProc)))
            }
            Whom::Pid(pid) => message::send(&peer, To::Process(pid.id().number), msg),
        }
    }

    /// Sends a message and goes on.
    ///
    /// # Errors
    /// The message comes back: [`CastError::Full`] when the connection has no credit for more at the moment, [`CastError::Gone`] with
    /// [`Exit::NoConnection`], [`CastError::Unsendable`]. On this node as [`Ref::cast`].
    pub fn cast(&self, msg: M) -> Result<(), CastError<M>> {
        if !self.is_here() {
            return self.send(msg).map(Awaited::leave);
        }
        match self.here() {
            Ok(process) => process.cast(msg),
            Err(RefError::Gone(why)) => Err(CastError::Gone(msg, why)),
            Err(RefError::WrongType) => Err(CastError::WrongType(msg)),
        }
    }

    fn request<R: Send + 'static>(
        &self,
        request: impl FnOnce(Reply<R>) -> M,
    ) -> Result<Asked<R>, CallError> {
        let here = if self.is_here() { Some(self.here()?) } else { None };
        if here.as_ref().is_some_and(|process| process.pid().is_inside()) {
            return Err(CallError::Itself);
        }
        let (give, answer) = oneshot::channel();
        let give = Arc::new(parking_lot::Mutex::new(Some(give)));
        let waits = Arc::clone(&give);
        let waits = move || waits.lock().as_ref().is_some_and(|give| !give.is_closed());
        let deliver = move |result| {
            let give: Option<oneshot::Sender<_>> = give.lock().take();
            drop(give.map(|give| give.send(result)));
        };
        let asked = here.as_ref().map(|process| process.pid().clone());
        let (reply, _) = Reply::deferred(asked, By::Whoever(Box::new(waits)), deliver);
        let msg = request(reply);
        let sent = match here {
            Some(process) => process.cast(msg).map(|()| None),
            None => self.send(msg).map(Some),
        };
        let awaited = sent.map_err(|error| error.into_parts().0)?;
        Ok(Asked { answer, _awaited: awaited })
    }

    /// Sends a request and waits for its answer, at most `deadline` (`gen_server:call/3`, `erpc:call`).
    ///
    /// # Errors
    /// [`CallError::Gone`] with [`Exit::NoConnection`] at once when there is no connection, and as soon as it is lost; with
    /// [`Exit::NoProc`] when nobody is there; with why it ended when it ends before it answers. [`CallError::Full`] when there is no
    /// credit, or its inbox is full. [`CallError::Unknown`] when that node does not know such messages.
    pub async fn call<R: Send + 'static>(
        &self,
        request: impl FnOnce(Reply<R>) -> M,
        deadline: Duration,
    ) -> Result<R, CallError> {
        let deadline = Instant::now() + deadline;
        self.request(request)?.by(deadline).await
    }

    /// [`Ref::send_request`]: `me` gets exactly one message of its own, of the answer or of why there is none.
    pub fn send_request<R: Send + 'static, N: Send + 'static>(
        &self,
        me: &Ref<N>,
        request: impl FnOnce(Reply<R>) -> M,
        answer: impl FnOnce(Result<R, CallError>) -> N + Send + 'static,
    ) {
        if self.is_here() {
            return match self.here() {
                Ok(process) => process.send_request(me, request, answer),
                Err(error) => me.hears(Err(error.into()), answer),
            };
        }
        let (by, to) = (By::Process(me.pid().clone()), me.clone());
        let (reply, pending) = Reply::deferred(None, by, move |result| to.hears(result, answer));
        match self.send(request(reply)) {
            Ok(sent) => sent.leave(),
            Err(error) => {
                let (why, refused) = error.into_parts();
                pending.fail(why);
                drop(refused);
            }
        }
    }

    /// `watcher` gets a [`crate::Event::Down`] when it ends, or the connection is lost. Of a name: when who has it now ends; its address
    /// there says the name ([`Pid::name`]).
    pub fn monitor(&self, watcher: &Local) -> Monitor {
        match &self.whom {
            Whom::Pid(pid) => pid.monitor(watcher),
            Whom::Name(name, _) if self.is_here() => self.system.monitor_name(name, watcher),
            Whom::Name(name, node) => {
                Pid::named_away(watcher.system(), name, *node).monitor(watcher)
            }
        }
    }
}

impl System {
    /// The typed address of a process of any node. Whether it takes such messages is only known there.
    ///
    /// Example: [`crate::dist`].
    pub fn far<M: Remote>(&self, pid: impl Into<Pid>) -> Far<M> {
        Far { system: self.clone(), whom: Whom::Pid(pid.into()), messages: PhantomData }
    }

    /// The typed address of whoever has that name on that node whenever it is used.
    ///
    /// Example: [`crate::dist`].
    pub fn far_named<M: Remote>(&self, node: Node, name: &str) -> Far<M> {
        Far { system: self.clone(), whom: Whom::Name(name.into(), node), messages: PhantomData }
    }

    /// The typed addresses of the members of a group on all nodes to which there is a connection (`pg:get_members/1`). Whether those of
    /// others take such messages is only known there.
    ///
    /// Example: [`crate::dist`].
    pub fn far_members<M: Remote>(&self, group: &str) -> Vec<Far<M>> {
        self.group(group).into_iter().map(|pid| self.far(pid)).collect()
    }

    /// Asks who has that name on each of these nodes, at the same time, and waits for the answers until `deadline`: what each answered, or
    /// why it did not, in the order of `nodes` (`erpc:multicall`, `gen_server:multi_call`).
    ///
    /// Example: [`crate::dist`].
    pub async fn multicall<M: Remote, R: Send + 'static>(
        &self,
        nodes: &[Node],
        name: &str,
        request: impl Fn(Reply<R>) -> M,
        deadline: Duration,
    ) -> Vec<(Node, Result<R, CallError>)> {
        let deadline = Instant::now() + deadline;
        let ask = |node: &Node| (*node, self.far_named(*node, name).request(&request));
        let asked: Vec<_> = nodes.iter().map(ask).collect();
        let mut answers = Vec::with_capacity(asked.len());
        for (node, asked) in asked {
            let answer = match asked {
                Ok(asked) => asked.by(deadline).await,
                Err(why) => Err(why),
            };
            answers.push((node, answer));
        }
        answers
    }
}
