//! Offline storage that is as slow as a test wants it.

use crate::{
    env::Env,
    future::BoxFuture,
    hooks::{Offline, Order},
    registrar::{Module, Registrar, Xep},
};
use std::sync::Arc;
use tokio::sync::Semaphore;
use xmpp::{jid::BareJid, stanza::Stanza};

thread_local! {
    static GATE: Arc<Semaphore> = Arc::new(Semaphore::new(0));
}

/// Lets so many messages through, of all worlds of this thread.
pub fn open(messages: usize) {
    GATE.with(|gate| gate.add_permits(messages));
}

config::section! {
    /// Nothing to configure.
    pub struct SlowConfig {}
}

/// Each message waits until the test lets it through.
#[derive(Debug)]
pub struct Slow;

impl Module for Slow {
    const NAME: &'static str = "slow";
    const XEPS: &'static [Xep] = &[];
    type Config = SlowConfig;

    fn new(_: SlowConfig) -> Self {
        Self
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.offline(Order::First, Self::wait);
    }
}

impl Slow {
    fn wait(&self, _: &Arc<Env>, _: &BareJid, message: Stanza) -> BoxFuture<Offline> {
        let gate = GATE.with(Arc::clone);
        Box::pin(async move {
            // it is never closed
            drop(gate.acquire().await.map(tokio::sync::SemaphorePermit::forget));
            Offline::Pass(message)
        })
    }
}
