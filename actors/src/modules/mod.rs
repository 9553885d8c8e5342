//! The behaviours that come with the server, one a file. A module is on when its section of the
//! configuration does not say otherwise.

pub mod blocking;
pub mod delay;
pub mod disco;
pub mod last;
pub mod offline;
pub mod ping;
pub mod private;
pub mod register;
pub mod roster;
pub mod session;
pub mod stanza_id;
#[cfg(test)]
mod testing;
pub mod time;
pub mod vcard;
pub mod version;

use crate::registrar::Modules;
use config::Sections;

/// Every module of this crate: the one list.
pub fn all(sections: &mut Sections) -> Modules {
    let mut modules = Modules::default();
    modules.add::<blocking::BlockingModule>(sections);
    modules.add::<delay::DelayModule>(sections);
    modules.add::<disco::DiscoModule>(sections);
    modules.add::<last::LastModule>(sections);
    modules.add::<offline::OfflineModule>(sections);
    modules.add::<ping::PingModule>(sections);
    modules.add::<private::PrivateModule>(sections);
    modules.add::<register::RegisterModule>(sections);
    modules.add::<roster::RosterModule>(sections);
    modules.add::<session::SessionModule>(sections);
    modules.add::<stanza_id::StanzaIdModule>(sections);
    modules.add::<time::TimeModule>(sections);
    modules.add::<vcard::VcardModule>(sections);
    modules.add::<version::VersionModule>(sections);
    modules
}
