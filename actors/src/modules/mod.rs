//! The behaviours that come with the server, one a file. A module is on when its section of the
//! configuration does not say otherwise.

pub mod blocking;
pub mod offline;
pub mod ping;
pub mod roster;
mod serial;

use crate::registrar::Modules;
use config::Sections;

/// Every module of this crate: the one list.
pub fn all(sections: &mut Sections) -> Modules {
    let mut modules = Modules::default();
    modules.add::<blocking::BlockingModule>(sections);
    modules.add::<offline::OfflineModule>(sections);
    modules.add::<ping::PingModule>(sections);
    modules.add::<roster::RosterModule>(sections);
    modules
}
