//! A process that a test looks into, beside others or in the place of one.

use super::{PATIENCE, fail};
use crate::{
    cx::Cx,
    event::Event,
    exit::Exit,
    inbox::Ref,
    pid::{Local, Pid},
    policy::Restart,
    process::Process,
    spec::{ChildSpec, Started},
    start_error::InitError,
    supervisor::SupervisorRef,
    system::System,
};
use parking_lot::Mutex;
use std::{marker::PhantomData, sync::Arc};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// A process that a test looks into: it keeps what it is told.
///
/// Example: [`crate::testkit`].
#[derive(Debug)]
pub struct Probe<M> {
    me: Ref<M>,
    told: Receiver<Event<M>>,
}

struct Told<M> {
    to: Sender<Event<M>>,
    message: PhantomData<fn() -> M>,
}

/// Whom it tells, and what it is called.
type Args<M> = (Sender<Event<M>>, Vec<Arc<str>>);

impl<M: Send + 'static> Process for Told<M> {
    type Args = Args<M>;
    type Msg = M;
    const NAME: &'static str = "probe";

    async fn init((to, names): Args<M>, cx: &mut Cx<M>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        for name in &names {
            cx.register(name)?;
        }
        Ok(Self { to, message: PhantomData })
    }

    async fn run(&mut self, cx: &mut Cx<M>) -> Exit {
        loop {
            let event = cx.next().await;
            let stop = match &event {
                Event::Exit { from, reason } if cx.is_parent(from) => Some(reason.clone()),
                _ => None,
            };
            if self.to.send(event).await.is_err() {
                return Exit::Normal;
            }
            if let Some(reason) = stop {
                return reason;
            }
        }
    }
}

impl<M: Send + 'static> Probe<M> {
    /// Starts one, without a supervisor. It traps exits, and ends after it was dropped.
    pub async fn start(system: &System) -> Self {
        let (to, told) = channel(1024);
        match system.spawn::<Told<M>>("/probe", (to, Vec::new())).await {
            Ok(me) => Self { me, told },
            Err(error) => fail(&format!("the probe did not start: {error}")),
        }
    }

    /// Puts one into the place of a child of a running tree: it has the child's id and names, and is told what others send
    /// there. A supervisor starts it anew as little as a temporary child; in the order of start it is the last.
    ///
    /// ```
    /// use supervision::testkit::{self, Probe};
    /// use supervision::{ChildSpec, SupervisorSpec, System};
    /// # use supervision::{Cx, Event, Exit, InitError, Process};
    /// # struct Store;
    /// # impl Process for Store {
    /// #     type Args = ();
    /// #     type Msg = u8;
    /// #     const NAME: &'static str = "store";
    /// #     async fn init((): (), cx: &mut Cx<u8>) -> Result<Self, InitError> {
    /// #         cx.register("store")?;
    /// #         Ok(Self)
    /// #     }
    /// #     async fn run(&mut self, cx: &mut Cx<u8>) -> Exit { cx.next().await; Exit::Normal }
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let system = System::new("demo");
    /// let tree = SupervisorSpec::one_for_one().child(ChildSpec::process::<Store>("store", || ()));
    /// let root = system.start(tree).await.unwrap();
    /// let mut store: Probe<u8> = Probe::replace(&root, "store").await;
    /// assert_eq!(&testkit::child(&root, "store").await, store.pid());
    /// // what a part of the tree does that knows it by its name
    /// system.lookup::<u8>("store").unwrap().cast(7).unwrap();
    /// assert_eq!(store.message().await, 7);
    /// # root.stop().await;
    /// # });
    /// ```
    pub async fn replace(supervisor: &SupervisorRef, id: &str) -> Self {
        let names = super::child(supervisor, id).await.names();
        let (to, told) = channel(1024);
        let stopped = supervisor.terminate_child(id).await;
        // a temporary one is gone already
        drop(supervisor.delete_child(id).await);
        let me: Arc<Mutex<Option<Ref<M>>>> = Arc::default();
        let keep = Arc::clone(&me);
        let probe = ChildSpec::new(id, move |place| {
            let (args, keep) = ((to.clone(), names.clone()), Arc::clone(&keep));
            async move {
                let me = place.process::<Told<M>>(args).await?;
                let pid = me.pid().clone();
                *keep.lock() = Some(me);
                Ok(Started::Up(pid))
            }
        });
        let started = supervisor.start_child(probe.restart(Restart::Temporary)).await;
        match me.lock().take() {
            Some(me) => Self { me, told },
            None => fail(&format!("no probe for {id}: {stopped:?}, {started:?}")),
        }
    }

    /// Its address.
    pub fn me(&self) -> &Ref<M> {
        &self.me
    }

    /// Its process.
    pub fn pid(&self) -> &Local {
        self.me.pid()
    }

    /// The next thing it is told.
    pub async fn event(&mut self) -> Event<M> {
        match tokio::time::timeout(PATIENCE, self.told.recv()).await {
            Ok(Some(event)) => event,
            Ok(None) => fail("the probe has ended"),
            Err(_) => fail("the probe was told nothing"),
        }
    }

    /// The next thing it is told, which must be a message.
    pub async fn message(&mut self) -> M {
        match self.event().await {
            Event::Msg(msg) => msg,
            Event::Exit { from, reason } => fail(&format!("exit signal of {from:?}: {reason}")),
            Event::Down { pid, reason, .. } => fail(&format!("{pid:?} is down: {reason}")),
        }
    }

    /// The next thing it is told, which must be the exit signal or the end of a monitored process.
    pub async fn exit(&mut self) -> (Pid, Exit) {
        match self.event().await {
            Event::Exit { from, reason } => (from, reason),
            Event::Down { pid, reason, .. } => (pid, reason),
            Event::Msg(_) => fail("a message, not an exit"),
        }
    }

    /// What it was told and nobody has looked at yet.
    pub fn pending(&mut self) -> Option<Event<M>> {
        self.told.try_recv().ok()
    }
}
