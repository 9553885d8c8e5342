//! Software version (XEP-0092) of the server.

use crate::{
    cx::{Answer, IqCx, Target},
    registrar::{Module, Registrar, Xep},
};
use xmpp::{
    error::StanzaError,
    ns,
    payload::simple::{self, VersionQuery},
};

config::section! {
    /// Says which software the server is (XEP-0092).
    pub struct VersionConfig {
        /// Say the version too, not only the name.
        pub show_version: bool = true,
        /// Say on which operating system it runs.
        pub show_os: bool = false,
    }
}

/// The module.
#[derive(Debug)]
pub struct VersionModule {
    config: VersionConfig,
}

impl Module for VersionModule {
    const NAME: &'static str = "version";
    const XEPS: &'static [Xep] = &[Xep(92, "1.1")];
    type Config = VersionConfig;

    fn new(config: VersionConfig) -> Self {
        Self { config }
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.server_feature(ns::VERSION).iq_get::<VersionQuery>(Self::version);
    }
}

impl VersionModule {
    fn version(&self, cx: &mut IqCx<'_, '_>, _: VersionQuery) -> Answer {
        // an account runs no software
        if !matches!(cx.target, Target::Server(_)) {
            return StanzaError::service_unavailable().into();
        }
        let version = if self.config.show_version { env!("CARGO_PKG_VERSION") } else { "hidden" };
        let os = self.config.show_os.then_some(std::env::consts::OS);
        Answer::Result(simple::version("Mangrove", version, os).to_xml().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::World;

    #[test]
    fn the_system_is_said_only_when_asked_to() {
        let ask = "account juliet@localhost pencil
             J = juliet@localhost/balcony
             J C: <iq type='get' id='1' to='localhost'><query xmlns='jabber:iq:version'/></iq>
             J S: <iq type='result' id='1' from='localhost'><query xmlns='jabber:iq:version'>";
        let os = format!("<os>{}</os>", std::env::consts::OS);
        World::check(
            &format!("{ask}<name>Mangrove</name><version>hidden</version>{os}</query></iq>"),
            |modules| {
                let config = VersionConfig { show_os: true, show_version: false };
                modules.add_with::<VersionModule>(config);
            },
        );
    }

    #[test]
    fn the_server_answers_and_an_account_does_not() {
        World::check(include_str!("../../../tests/scripts/version.xmpp"), |modules| {
            modules.add_with::<VersionModule>(VersionConfig::default());
        });
    }
}
