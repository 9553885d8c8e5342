//! Who gets in at a [`listener`](crate::listener): what is refused, who makes room when all places are taken, and
//! whether connections wait for memory.
//!
//! [`Clients`] are admitted by address, and who has not logged on makes room for them. [`Guests`] (HTTP, operators) are
//! few: there is always room, since whoever waits for a request makes some.

use crate::{
    accept::{Progress, Stage, evict},
    connection::{Port, shaping::Admission},
    env::Env,
};
use parking_lot::Mutex;
use std::{fmt, net::IpAddr, sync::Arc};
use supervision::Local;
use thiserror::Error;

/// Why a connection does not get in.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// A proxy was to come from elsewhere.
    #[error("no PROXY header is believed from this address")]
    Proxy,
    /// Its address has as many as it may have.
    #[error("too many connections from this address")]
    Address,
    /// Nobody can make room.
    #[error("too many connections")]
    Full,
    /// Those who made room have not gone yet.
    #[error("too many connections are about to leave")]
    Leaving,
}

/// What decides who gets in.
pub trait Gate: Send + Sync + 'static {
    /// Whose a connection is.
    type Peer: Copy + fmt::Debug + Send + Sync + 'static;
    /// What one that was let in holds as long as it lasts.
    type Pass: Send + 'static;
    /// Whether nobody is accepted while queues have to be moved for want of memory.
    const WAITS_FOR_MEMORY: bool;

    /// The node.
    fn env(&self) -> &Arc<Env>;

    /// Lets one in, or says why not.
    ///
    /// # Errors
    /// Why not.
    fn admit(&self, peer: Self::Peer) -> Result<Self::Pass, Refusal>;

    /// Sees that there is a place for one more beside those that `alive` counts; who has to make room is waited for.
    ///
    /// # Errors
    /// When nobody makes room.
    fn make_room(
        &self,
        alive: &(dyn Fn() -> usize + Send + Sync),
    ) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// One has got its place.
    fn entered(&self, pid: &Local, peer: Self::Peer, progress: Progress);

    /// Says that one did not get in.
    fn log(&self, peer: Self::Peer, why: Refusal);
}

/// The gate of those who log on. One for each port; they share the newcomers and the addresses of the node.
#[derive(Debug)]
pub struct Clients {
    /// How its connections begin.
    pub port: Arc<Port>,
    /// The most connections of all such ports together.
    pub max: usize,
}

impl Gate for Clients {
    type Peer = IpAddr;
    /// Its place among those of its address; `None`: a PROXY header says whose it is.
    type Pass = Option<Admission>;
    const WAITS_FOR_MEMORY: bool = true;

    fn env(&self) -> &Arc<Env> {
        &self.port.env
    }

    fn admit(&self, peer: IpAddr) -> Result<Option<Admission>, Refusal> {
        let Port { env, proxy, proxy_from, .. } = &*self.port;
        if *proxy {
            let believed = proxy_from.is_empty() || proxy_from.iter().any(|n| n.contains(peer));
            return if believed { Ok(None) } else { Err(Refusal::Proxy) };
        }
        let settings = env.settings();
        let rate = settings.address_rate;
        let admission = env.addresses.admit(peer, settings.max_per_address, rate);
        admission.map(Some).ok_or(Refusal::Address)
    }

    async fn make_room(&self, alive: &(dyn Fn() -> usize + Send + Sync)) -> Result<(), Refusal> {
        let env = self.env();
        // until one has made room: who logs on meanwhile keeps its place
        while alive() >= self.max {
            let (oldest, progress) = env.newcomers.take().ok_or(Refusal::Full)?;
            if evict(&oldest, &progress, &env.metrics).await {
                break;
            }
        }
        Ok(())
    }

    fn entered(&self, pid: &Local, _: IpAddr, progress: Progress) {
        self.env().newcomers.add(pid.clone(), progress);
    }

    fn log(&self, peer: IpAddr, why: Refusal) {
        match why {
            Refusal::Proxy => tracing::warn!(%peer, "{why}"),
            _ => tracing::debug!(%peer, "{why}"),
        }
    }
}

/// A connection, and whose it is.
#[derive(Debug)]
struct Guest<F> {
    pid: Local,
    from: F,
    progress: Progress,
}

/// The gate of a few who come and go: all are let in, and of whoever has the most places, the oldest connection that
/// waits for a request makes room.
#[derive(Debug)]
pub struct Guests<F> {
    env: Arc<Env>,
    max: usize,
    /// Who counts as one.
    whose: fn(F) -> F,
    /// Who is there, in the order in which they came.
    all: Mutex<Vec<Guest<F>>>,
}

impl<F: Copy + PartialEq> Guests<F> {
    /// At most `max` at a time; `whose` says who counts as one.
    pub fn new(env: &Arc<Env>, max: usize, whose: fn(F) -> F) -> Self {
        Self { env: Arc::clone(env), max, whose, all: Mutex::default() }
    }

    /// The most at a time.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Who has to make room for one more; it is none of them any more. `None`: there is room.
    fn chosen(&self) -> Result<Option<Guest<F>>, Refusal> {
        let mut all = self.all.lock();
        all.retain(|guest| guest.pid.is_alive());
        if all.len() < self.max {
            return Ok(None);
        }
        let of = |from: F| all.iter().filter(|guest| guest.from == from).count();
        let idle = all.iter().enumerate().filter(|(_, g)| g.progress.get() != Stage::Settled);
        // the first of those who have as many
        let most = idle.rev().max_by_key(|(_, guest)| of(guest.from)).map(|(n, _)| n);
        Ok(Some(all.remove(most.ok_or(Refusal::Full)?)))
    }
}

impl<F: Copy + PartialEq + fmt::Debug + Send + Sync + 'static> Gate for Guests<F> {
    type Peer = F;
    type Pass = ();
    const WAITS_FOR_MEMORY: bool = false;

    fn env(&self) -> &Arc<Env> {
        &self.env
    }

    fn admit(&self, _: F) -> Result<(), Refusal> {
        Ok(())
    }

    async fn make_room(&self, _: &(dyn Fn() -> usize + Send + Sync)) -> Result<(), Refusal> {
        while let Some(oldest) = self.chosen()? {
            if evict(&oldest.pid, &oldest.progress, &self.env.metrics).await {
                break;
            }
            // a request has come since
            self.all.lock().push(oldest);
        }
        Ok(())
    }

    fn entered(&self, pid: &Local, peer: F, progress: Progress) {
        let from = (self.whose)(peer);
        self.all.lock().push(Guest { pid: pid.clone(), from, progress });
    }

    fn log(&self, peer: F, why: Refusal) {
        tracing::warn!(?peer, "{why}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        accept::tests::Sitting,
        registrar::Modules,
        testkit::{World, WorldOptions},
    };
    use supervision::System;

    #[tokio::test(start_paused = true)]
    async fn of_whoever_has_the_most_places_the_oldest_that_waits_makes_room() {
        let world = World::new(Modules::default(), WorldOptions::default()).await;
        let system = System::new("test");
        // 10 and 11 are one and the same, as the addresses of one network are
        let gate = Guests::new(&world.env, 6, |from: u8| from / 10);
        let mut all = Vec::new();
        for from in [30, 10, 20, 11, 31, 10] {
            assert_eq!(gate.make_room(&|| 0).await, Ok(()));
            let progress = Progress::default();
            let sitting = system.spawn::<Sitting>("/sitting", progress.clone()).await.unwrap();
            gate.entered(sitting.pid(), from, progress.clone());
            all.push((sitting.pid().clone(), progress));
        }
        assert!(all.iter().all(|(pid, _)| pid.is_alive()), "there was room for them");
        // the second is of 1, who has three; then 1 and 3 have two, and the first of all is 3's
        let mut left = Vec::new();
        let work = |n: usize| all[n].1.set(Stage::Settled);
        work(3);
        for _ in 0..3 {
            assert_eq!(gate.make_room(&|| 0).await, Ok(()));
            left.push(all.iter().map(|(pid, _)| pid.is_alive()).collect::<Vec<_>>());
            // a new one comes, and is at work at once
            let progress = Progress::default();
            progress.set(Stage::Settled);
            let pid = system.spawn::<Sitting>("/sitting", progress.clone()).await.unwrap();
            gate.entered(pid.pid(), 40, progress);
        }
        let gone = |alive: &Vec<bool>| alive.iter().filter(|alive| !**alive).count();
        assert_eq!(left.iter().map(gone).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(!left[0][1] && !left[1][0] && !left[2][5], "{left:?}");
        work(2);
        work(4);
        assert_eq!(gate.make_room(&|| 0).await, Err(Refusal::Full), "all are at work");
        world.stop().await;
    }
}
