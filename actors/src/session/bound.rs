//! What a session is once it is bound, as data: it moves with one that is resumed.

use super::slots::Slots;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, time::Duration};
use xmpp::jid::{BareJid, FullJid};

/// The state of a bound session. It moves with a resumed one.
#[derive(Debug, Serialize, Deserialize)]
pub struct Bound {
    pub(crate) jid: FullJid,
    pub(crate) user: BareJid,
    pub(crate) slots: Slots,
    /// The client wants acknowledgements (XEP-0198 is enabled).
    pub(crate) acks: bool,
    /// The connection that serves it is under TLS.
    pub(crate) secure: bool,
    /// Modules that want nothing of the queue to be written yet: see [`SessionCx::hold`](crate::cx::SessionCx::hold).
    pub(crate) held: Vec<Cow<'static, str>>,
    /// Timers of modules that run, each with its whole length: a connection that takes the session
    /// over starts them anew.
    #[serde(default)]
    pub(crate) timers: Vec<(Cow<'static, str>, Duration)>,
}

impl Bound {
    pub(crate) fn new(jid: FullJid) -> Box<Self> {
        Box::new(Self {
            user: jid.bare(),
            jid,
            slots: Slots::default(),
            acks: false,
            secure: false,
            held: Vec::new(),
            timers: Vec::new(),
        })
    }

    /// In a process that goes on with the session: it does not wait for modules that are not there.
    pub(crate) fn thawed(&mut self, known: impl Fn(&str) -> bool) {
        self.held.retain(|module| known(module));
        self.timers.retain(|(module, _)| known(module));
    }
}
