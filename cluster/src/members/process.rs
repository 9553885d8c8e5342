//! The membership of this node: renews its lease, knows the others', and says what becomes of them.
//!
//! A lease is renewed by the authority; when this node does not reach that, by another node that does; when none does, by the promise of
//! all others that are alive not to take this one for dead for so long. Who has none of these stops acting before anybody else may
//! go on with its sessions. So the loss of the authority alone stops nobody, and a node that is cut off from both stops.
//!
//! A start whose lease was over does not act again, whatever the authority says: it may have been declared dead by one that has lost
//! that since (emptied, failed over). It begins anew.
//!
//! Who would have to promise is who is known, so a node that comes introduces itself to all, and has none declared dead that does not know
//! it yet: that one may act by promises of the others alone ([`Terms::promised`]).

use super::{
    Member,
    book::{Book, Change, Terms, start},
};
use crate::{Answering, BoxFuture, Entry, Exchange, Leases, RegistryError, View, relay::Start};
use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{borrow::Cow, collections::VecDeque, fmt, sync::Arc, time::Duration};
use supervision::{ChildSpec, Cx, Exit, InitError, Next, Node, Server};
use tokio::time::Instant;

/// What a node hears of the others, and of itself, in the order in which it happens. None of it may wait: meanwhile no lease is renewed.
pub trait Events: Send + Sync + 'static {
    /// What it says of itself at this moment; start and standing are filled in.
    fn describe(&self, me: &mut Member);

    /// That start of a node is there.
    fn up(&self, member: &Member);

    /// That start of a node is no more: what was handed to it comes back, its sessions leave the registry.
    fn dead(&self, start: Start);

    /// These sessions of a start that is no more have left the registry, and only this node is told of them.
    fn gone(&self, sessions: Vec<Entry>);

    /// That start of a node is no more, and none of its sessions is in the registry any more. What it had stored is to be taken over:
    /// all nodes are told, at about the same time.
    fn swept(&self, start: Start);

    /// The registry was found empty: this node's sessions are to be published again, and [`Member::confirmed`] is to say so.
    fn emptied(&self, epoch: u64);

    /// This node was declared dead and begins anew, with another incarnation: its sessions are to be published again, and those that
    /// others have by now to end; then it is [ready](View::is_ready). A registry that was emptied does not know what others have before it
    /// is complete: only what it says while it answers look-ups counts.
    fn begins_anew(&self);

    /// Another process has this node's name, and was started later: this one is to end.
    fn replaced(&self);
}

/// What a membership is made of.
pub struct Parts {
    /// The others, and until when this node acts.
    pub view: Arc<View>,
    /// The authority.
    pub leases: Arc<dyn Leases>,
    /// Asks the [`Membership`] of other nodes.
    pub exchange: Arc<dyn Exchange>,
    /// Who is told.
    pub events: Arc<dyn Events>,
    /// How long leases are good.
    pub terms: Terms,
    /// The wall clock, in milliseconds of the epoch: for incarnations and for what others see of it.
    pub clock: fn() -> u64,
}

/// What is known of the nodes. Answers those that do not reach the authority.
pub struct Membership {
    parts: Parts,
    book: Mutex<Book>,
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Membership({:?})", self.parts.view.me())
    }
}

#[derive(Debug, Serialize, Deserialize)]
enum Question {
    /// The authority is out of reach: renew this lease for me, or promise not to take me for dead.
    Renew(Member),
    /// I am there too: no promises are good without mine.
    Meet(Member),
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    /// The authority has renewed it.
    Renewed,
    /// It cannot be reached from here either: you are alive to me for the length of a lease.
    Promised,
    /// The authority says that there is a later start of the node.
    Fenced,
    /// The authority says that this start was declared dead.
    Dead,
    /// Not known here.
    Stranger,
    /// You are known to this start of a node.
    Met(u64),
}

/// How long another node may take for its answer.
const DEADLINE: Duration = Duration::from_secs(1);
/// How soon what failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Sessions of a dead node that leave the registry at once.
const PAGE: usize = 200;

impl Membership {
    /// Without a lease yet.
    pub fn new(parts: Parts) -> Arc<Self> {
        let book = Mutex::new(Book::new(parts.terms));
        Arc::new(Self { parts, book })
    }

    /// The process that keeps it. Its start has taken the lease, or failed.
    pub fn child(self: &Arc<Self>) -> ChildSpec {
        let membership = Arc::clone(self);
        ChildSpec::server::<Keeper>("members", move || Arc::clone(&membership))
    }

    fn now(&self) -> (Instant, u64) {
        (Instant::now(), (self.parts.clock)())
    }

    fn me(&self) -> Member {
        let start = self.parts.view.me();
        let mut me = Member {
            node: start.node,
            incarnation: start.incarnation,
            address: String::new(),
            version: String::new(),
            digest: 0,
            clock: 0,
            standing: self.parts.view.standing(),
            sessions: 0,
            confirmed: 0,
        };
        self.parts.events.describe(&mut me);
        me.clock = (self.parts.clock)();
        me
    }

    /// Renews the lease by whoever can.
    async fn renew(&self) -> Result<(), RegistryError> {
        let (me, asked) = (self.me(), Instant::now());
        match self.parts.leases.renew(&me, self.parts.terms.lease).await {
            Ok(roll) => {
                let mut book = self.book.lock();
                if book.is_over(Instant::now()) {
                    return Err(RegistryError::Dead);
                }
                let before = book.epoch();
                let changes = book.renewed(me.node, asked, self.now(), &roll);
                self.shows(&book);
                let emptied = before != book.epoch();
                drop(book);
                if emptied {
                    self.parts.events.emptied(roll.epoch);
                }
                self.tells(changes);
                Ok(())
            }
            Err(error @ (RegistryError::Fenced | RegistryError::Dead)) => Err(error),
            Err(error) => {
                self.book.lock().loses_touch();
                self.renew_by_others(me, asked).await.ok_or(error)?
            }
        }
    }

    fn tells(&self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Over(start) => self.parts.events.dead(start),
                Change::Up(member) => self.parts.events.up(&member),
            }
        }
    }

    /// Introduces this node to those that do not know it.
    async fn meets(&self) {
        let strangers = self.book.lock().strangers();
        if strangers.is_empty() {
            return;
        }
        let Ok(question) = serde_json::to_vec(&Question::Meet(self.me())) else { return };
        let question = Bytes::from(question);
        let ask = |start: Start| {
            let question = question.clone();
            async move { self.parts.exchange.ask(start.node, question, DEADLINE).await.ok() }
        };
        let me = self.parts.view.me();
        let answers = join_all(strangers.iter().copied().map(ask)).await;
        for (Start { node, .. }, answer) in strangers.into_iter().zip(answers) {
            let answer = answer.and_then(|answer| serde_json::from_slice(&answer).ok());
            if let Some(Answer::Met(incarnation)) = answer
                && me == self.parts.view.me()
            {
                let start = Start { node, incarnation };
                self.book.lock().is_known_to(start, Instant::now());
            }
        }
    }

    /// `None`: nobody can.
    async fn renew_by_others(
        &self,
        me: Member,
        asked: Instant,
    ) -> Option<Result<(), RegistryError>> {
        let others: Vec<Node> = {
            let book = self.book.lock();
            book.others().map(|(other, ..)| other.node).collect()
        };
        let question: Bytes = serde_json::to_vec(&Question::Renew(me)).ok()?.into();
        let ask = |node| self.parts.exchange.ask(node, question.clone(), DEADLINE);
        let answers = join_all(others.into_iter().map(ask)).await;
        let read = |answer: &Bytes| serde_json::from_slice::<Answer>(answer).ok();
        let answers: Vec<_> = answers.iter().map(|a| a.as_ref().ok().and_then(read)).collect();
        let says = |answer: fn(&Answer) -> bool| answers.iter().flatten().any(answer);
        if says(|answer| matches!(answer, Answer::Fenced)) {
            return Some(Err(RegistryError::Fenced));
        }
        if says(|answer| matches!(answer, Answer::Dead)) {
            return Some(Err(RegistryError::Dead));
        }
        let promised = |answer: &Option<Answer>| matches!(answer, Some(Answer::Promised));
        let renewed = says(|answer| matches!(answer, Answer::Renewed));
        let mut book = self.book.lock();
        // one that has never seen the roll does not know who would have to promise
        if renewed || book.mine().is_some() && answers.iter().all(promised) {
            if book.is_over(Instant::now()) {
                return renewed.then_some(Err(RegistryError::Dead));
            }
            if renewed {
                book.by_authority(asked);
            } else {
                book.all_promised(asked);
            }
            self.shows(&book);
            return Some(Ok(()));
        }
        None
    }

    fn shows(&self, book: &Book) {
        let view = &self.parts.view;
        view.are(book.others().map(|(member, until, skew)| (member.clone(), until, skew)));
        if book.mine().is_some() {
            view.may_act_until(book.mine());
        }
    }

    /// That start of a node is no more.
    fn buries(&self, dead: Start) {
        let mut book = self.book.lock();
        book.buries(dead);
        self.shows(&book);
    }
}

impl Membership {
    /// For another node.
    async fn renews(&self, other: &Member) -> Answer {
        let renewed = self.parts.leases.renew(other, self.parts.terms.lease).await;
        // who asks this node knows it
        self.book.lock().is_known_to(start(other), Instant::now());
        match renewed {
            Ok(_) => Answer::Renewed,
            Err(RegistryError::Fenced) => Answer::Fenced,
            Err(RegistryError::Dead) => Answer::Dead,
            Err(_) => {
                let mut book = self.book.lock();
                book.loses_touch();
                let known = book.promises(start(other), Instant::now());
                self.shows(&book);
                if known { Answer::Promised } else { Answer::Stranger }
            }
        }
    }

    fn is_met_by(&self, other: &Member) -> Answer {
        let mut book = self.book.lock();
        if book.is_dead(start(other)) {
            return Answer::Dead;
        }
        let changes = book.hears_of(other, self.now());
        // who introduces itself knows this node
        book.is_known_to(start(other), Instant::now());
        self.shows(&book);
        drop(book);
        self.tells(changes);
        Answer::Met(self.parts.view.me().incarnation)
    }
}

impl Answering for Arc<Membership> {
    fn answer(&self, _: Node, question: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        let membership = Arc::clone(self);
        Box::pin(async move {
            let answer = match serde_json::from_slice(&question).ok()? {
                Question::Renew(other) => membership.renews(&other).await,
                Question::Meet(other) => membership.is_met_by(&other),
            };
            serde_json::to_vec(&answer).ok().map(Bytes::from)
        })
    }
}

/// The name of the process.
pub const NAME: &str = "members";

/// What the process is told.
#[derive(Clone, Copy, Debug)]
pub enum Msg {
    /// It is time.
    Tick,
    /// Others are to know at once what this node says of itself.
    Now,
    /// There is a connection to another.
    Meet,
    /// The next page of what a dead node had.
    Sweep,
}

/// The process.
pub struct Keeper {
    membership: Arc<Membership>,
    /// Starts whose sessions are being removed from the registry.
    dead: VecDeque<Start>,
    /// The lease was not renewed, and that was said.
    failing: bool,
}

impl Server for Keeper {
    type Args = Arc<Membership>;
    type Msg = Msg;
    const NAME: &'static str = "members";

    async fn init(membership: Self::Args, cx: &mut Cx<Msg>) -> Result<Self, InitError> {
        cx.register(NAME)?;
        let mut keeper = Self { membership, dead: VecDeque::new(), failing: false };
        let me = keeper.membership.parts.view.me();
        match keeper.membership.renew().await {
            Ok(()) => {}
            // declared dead while the process was started again by its supervisor
            Err(RegistryError::Dead) => keeper.begin_anew().await,
            // a later start of it, by its clock
            Err(RegistryError::Fenced) => keeper.membership.parts.events.replaced(),
            // of a start after a crash the lease may still be good; of a node that starts nobody has seen anything yet
            Err(error) => tracing::warn!(%error, "this node has no lease yet"),
        }
        // what it had before this start
        keeper.dead.push_back(Start { incarnation: me.incarnation.saturating_sub(1), ..me });
        cx.continue_with(Msg::Sweep);
        cx.send_after(keeper.membership.parts.terms.renew, Msg::Tick);
        Ok(keeper)
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Cx<Msg>) -> Next {
        match msg {
            Msg::Tick => {
                let good = self.renew().await;
                self.membership.meets().await;
                self.reap().await;
                let next = if good { self.membership.parts.terms.renew } else { AGAIN };
                cx.send_after(next, Msg::Tick);
                if !self.dead.is_empty() {
                    cx.continue_with(Msg::Sweep);
                }
            }
            Msg::Now => drop(self.renew().await),
            Msg::Meet => self.membership.meets().await,
            Msg::Sweep => {
                if self.sweep().await {
                    cx.continue_with(Msg::Sweep);
                }
            }
        }
        Next::Continue
    }

    fn describe(msg: &Msg) -> Cow<'static, str> {
        match msg {
            Msg::Tick => "tick".into(),
            Msg::Now => "now".into(),
            Msg::Meet => "meet".into(),
            Msg::Sweep => "sweep".into(),
        }
    }

    fn state(&self) -> Option<Value> {
        let book = self.membership.book.lock();
        Some(json!({ "others": book.others().count(), "sweeping": self.dead.len() }))
    }

    /// The node stops, and has no sessions any more: what it has stored is the others' from now on.
    async fn terminate(&mut self, why: &Exit, _: &mut Cx<Msg>) {
        if matches!(why, Exit::Shutdown | Exit::ShutdownWith(_)) {
            let me = self.membership.me();
            // others go on with what it had
            self.membership.parts.view.may_act_until(Some(Instant::now()));
            if let Err(error) = self.membership.parts.leases.leave(&me).await {
                tracing::warn!(%error, "the lease of this node was not given back: others wait for its end");
            }
        }
    }
}

impl Keeper {
    async fn renew(&mut self) -> bool {
        let renewed = self.membership.renew().await;
        match renewed {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the lease of this node is renewed again");
                }
            }
            Err(RegistryError::Dead) => self.begin_anew().await,
            Err(RegistryError::Fenced) => self.membership.parts.events.replaced(),
            Err(ref error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    let left = self.membership.parts.view.left();
                    tracing::warn!(%error, ?left, "the lease of this node is not renewed");
                }
            }
        }
        renewed.is_ok()
    }

    /// It was declared dead.
    async fn begin_anew(&mut self) {
        let parts = &self.membership.parts;
        parts.view.is_ready(false);
        let before = parts.view.me();
        let incarnation = (parts.clock)().max(before.incarnation + 1);
        tracing::warn!(incarnation, "this node was declared dead: it begins anew");
        self.membership.book.lock().begins_anew();
        parts.view.begins_anew(incarnation);
        parts.events.begins_anew();
        // what fails is tried again at the next tick
        if let Err(error) = self.membership.renew().await {
            tracing::warn!(%error, "this node has no lease");
        }
    }

    /// Has those declared dead whose leases are over.
    async fn reap(&mut self) {
        let overdue = self.membership.book.lock().overdue(Instant::now());
        for start in overdue {
            match self.membership.parts.leases.reap(start.node, start.incarnation).await {
                Ok(true) => {
                    tracing::warn!(node = %start.node, "a node is dead: its lease is over");
                    self.membership.buries(start);
                    self.membership.parts.events.dead(start);
                    self.dead.push_back(start);
                }
                // it was renewed by somebody: the roll will say so
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(%error, "nobody can be declared dead");
                    return;
                }
            }
        }
    }

    /// Removes a page of what dead nodes have in the registry. Whether there is more to do now.
    async fn sweep(&mut self) -> bool {
        let Some(start) = self.dead.front().copied() else { return false };
        let parts = &self.membership.parts;
        match parts.leases.sweep(start.node, start.incarnation, PAGE).await {
            Ok(gone) if gone.is_empty() => {
                self.dead.pop_front();
                parts.events.swept(start);
                !self.dead.is_empty()
            }
            Ok(gone) => {
                parts.events.gone(gone);
                true
            }
            // at the next tick
            Err(_) => false,
        }
    }
}
