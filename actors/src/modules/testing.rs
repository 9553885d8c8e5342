//! A module for the tests of others: romeo is not to see anybody's presence.

use crate::{
    env::Env,
    future::BoxFuture,
    hooks::{Flow, Order},
    registrar::{Module, Registrar, Xep},
};
use std::sync::Arc;
use xmpp::jid::{BareJid, Jid};

config::section! {
    /// Nothing to configure.
    pub struct SecretiveConfig {}
}

/// The module.
#[derive(Debug)]
pub struct Secretive;

impl Module for Secretive {
    const NAME: &'static str = "secretive";
    const XEPS: &'static [Xep] = &[];
    type Config = SecretiveConfig;

    fn new(_: SecretiveConfig) -> Self {
        Self
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.may_see(Order::Main, Self::may_see);
    }
}

impl Secretive {
    fn may_see(&self, _: &Arc<Env>, _: &BareJid, from: &Jid) -> BoxFuture<Flow> {
        let romeo = from.node() == Some("romeo");
        Box::pin(async move { if romeo { Flow::Stop } else { Flow::Continue } })
    }
}
