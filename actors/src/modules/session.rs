//! The session request of RFC 3921 section 3, which old clients still send after binding: granted,
//! and it means nothing (RFC 6121 leaves it out).

use crate::registrar::{Module, Registrar, Xep};
use xmpp::payload::simple::SessionRequest;

config::section! {
    /// Grants the session that old clients ask for (RFC 3921).
    pub struct SessionConfig {}
}

/// The module.
#[derive(Debug)]
pub struct SessionModule;

impl Module for SessionModule {
    const NAME: &'static str = "session";
    const XEPS: &'static [Xep] = &[];
    type Config = SessionConfig;

    fn new(_: SessionConfig) -> Self {
        Self
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.iq_set::<SessionRequest>(|_, cx, _| cx.session().map(|_| Vec::new()).into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::World;

    #[test]
    fn a_session_is_granted() {
        World::check(
            "account juliet@localhost pencil
             J = juliet@localhost/balcony
             J C: <iq type='set' id='1'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>
             J S: <iq type='result' id='1'/>
             J C: <iq type='set' id='2' to='localhost'>
               <session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>
             J S: <iq type='result' id='2' from='localhost'/>",
            |modules| {
                modules.add_with::<SessionModule>(SessionConfig {});
            },
        );
    }
}
