//! One process for each key in the whole cluster (OTP's `global`, and what is built on it): started on first use on the node that owns the
//! key, ended when nobody has asked it for long, and handed over when nodes come and go.
//!
//! - **Who owns a key** each node computes from its [`View`]: rendezvous hashing over the nodes that are alive and do not drain ([`rank`]).
//! - **One owner at a time**: a process acts only while its node's lease is good, less a margin; a node starts a key only when
//!   all that may have it have yielded, or are dead, which is after their leases (`claims`). Two views that differ need not agree for this.
//! - **Whatever else goes wrong** (a clock that is wrong, an authority that has forgotten who is there, two programs with the name of one node,
//!   a write that arrives late) the store refuses: each start has an epoch from it ([`Epochs`]), and an older one writes nothing. What
//!   is acknowledged after it was stored is not lost.
//! - **A request** goes from its caller straight to the process; where that is, is asked once and remembered. Where nothing was done it is
//!   sent again until its deadline; where something may have been done, the caller is told ([`PlaceError`]).
//!
//! When a node dies, requests for its keys wait until its lease is over. A node that is cut off stops before. While a node that may have a
//! key is alive and cannot be asked, the key is nobody's.
//!
//! In reading order: `placed` (what a program says) · [`rank`] · `claims` · `epochs` · `message` · `seat` (the process of a key) ·
//! `host` (starts them) · `caller`. `cluster/examples/moving_counter.rs` is all of it in use.

mod caller;
mod claims;
mod epochs;
mod host;
mod message;
mod placed;
pub mod rank;
mod seat;
mod shared;

pub use caller::{KEY, PlaceError};
pub use epochs::{EpochError, Epochs, MemoryStore, OldEpoch};
pub use message::Refused;
pub use placed::{Begun, Failed, Info, Leaving, NoAuthority, Placed, Spec};

use crate::View;
use host::Host;
use message::{HostMsg, SeatMsg};
use quick_cache::sync::Cache;
use seat::Seat;
use shared::Shared;
use std::{fmt, sync::Arc, time::Duration};
use supervision::{ChildSpec, PoolSpec, Shutdown, SupervisorSpec, System};

/// The processes of one kind, as a node of the cluster sees them.
pub struct Placement<P: Placed>(Arc<Shared<P>>);

impl<P: Placed> Clone for Placement<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Placed> fmt::Debug for Placement<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Placement({}, {:?})", P::KIND, self.0.info())
    }
}

impl<P: Placed> Placement<P> {
    /// On the node of that system; every node of the cluster has to have this kind, since each owns its share. `view`: what its [membership](crate::members::Membership) knows; `None`: it has none.
    ///
    /// # Errors
    /// Without a membership.
    pub fn new(
        system: &System,
        view: Option<&Arc<View>>,
        epochs: Arc<dyn Epochs>,
        args: P::Args,
        spec: Spec,
    ) -> Result<Self, NoAuthority> {
        let view = Arc::clone(view.ok_or(NoAuthority)?);
        system.accept::<HostMsg>();
        system.accept::<SeatMsg<P>>();
        Ok(Self(Arc::new(Shared {
            system: system.clone(),
            view,
            epochs,
            args,
            spec,
            addresses: Cache::new(spec.addresses),
            keys: Default::default(),
            waiting: Default::default(),
            starts: Default::default(),
            moved: Default::default(),
            states: Default::default(),
            refused: Default::default(),
        })))
    }

    /// Its processes. After the membership, whose lease is given back when these have ended; before what makes connections.
    pub fn child(&self) -> ChildSpec {
        let (shared, spec) = (Arc::clone(&self.0), self.0.spec);
        let shutdown = Shutdown::Timeout(spec.leave);
        let pool = PoolSpec { max: spec.keys, shutdown };
        // a host that is started anew knows of no processes: there are none
        let tree = SupervisorSpec::one_for_all()
            .child(ChildSpec::pool::<Seat<P>>("keys", &Shared::<P>::seats(), pool))
            .child(ChildSpec::server::<Host<P>>("host", move || Arc::clone(&shared)));
        ChildSpec::supervisor(&Shared::<P>::host(), tree)
    }

    /// Asks the process of that key, wherever it is, and waits for its answer. It is started if there is none.
    ///
    /// # Errors
    /// [`PlaceError`], which says whether something may have been done.
    pub async fn call(
        &self,
        key: &str,
        ask: P::Ask,
        deadline: Duration,
    ) -> Result<P::Answer, PlaceError> {
        self.0.call(key, ask, deadline).await
    }

    /// Sends the process of that key a request without an answer. It waits, at most `deadline`, until there is a process; what becomes of
    /// the request then nobody hears.
    ///
    /// # Errors
    /// As [`Placement::call`]. What was not sent was not done.
    pub async fn cast(&self, key: &str, ask: P::Ask, deadline: Duration) -> Result<(), PlaceError> {
        self.0.cast(key, ask, deadline).await
    }

    /// What there is on this node, and was.
    pub fn info(&self) -> Info {
        self.0.info()
    }
}
