//! What can be set, and why the database cannot be used.

use std::{fmt, path::PathBuf, time::Duration};
use thiserror::Error;

/// The wire version of MongoDB 5.0.
pub(super) const WIRE_5_0: i32 = 13;

/// Who has a write when it is acknowledged: always in their journals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteConcern {
    /// More than half of the members that vote: it outlives the loss of any of the others.
    #[default]
    Majority,
    /// So many members. Less than a majority may lose what was acknowledged.
    Members(u32),
}

/// What can be set.
#[derive(Clone)]
pub struct Options {
    /// `mongodb://host:port,host:port/?replicaSet=name`, with further options of the driver's.
    pub uri: String,
    /// The database, in place of that in the URI.
    pub database: Option<String>,
    /// Who logs on, in place of who is in the URI.
    pub user: Option<String>,
    /// Their password, by SCRAM.
    pub password: Option<String>,
    /// A file of certificates in PEM that vouch for the servers: TLS, whatever the URI says.
    pub ca: Option<PathBuf>,
    /// Who has a write when it is acknowledged.
    pub write_concern: WriteConcern,
    /// How long a call takes at most.
    pub deadline: Duration,
    /// The name of this node: no other has it at the same time.
    pub node: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            uri: "mongodb://127.0.0.1:27017".to_owned(),
            database: None,
            user: None,
            password: None,
            ca: None,
            write_concern: WriteConcern::default(),
            deadline: Duration::from_secs(3),
            node: "node".to_owned(),
        }
    }
}

impl Options {
    /// Where it is, for people: who logs on may stand in the URI, with the password.
    pub(super) fn place(&self) -> String {
        let (scheme, rest) = self.uri.split_once("://").unwrap_or(("", &self.uri));
        let hosts = rest.rsplit_once('@').map_or(rest, |(_, hosts)| hosts);
        format!("{scheme}://{hosts}")
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("uri", &format_args!("{}", self.place()))
            .field("database", &self.database)
            .field("user", &self.user)
            .field("ca", &self.ca)
            .field("write_concern", &self.write_concern)
            .field("deadline", &self.deadline)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// Why the database cannot be used, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The options make no sense.
    #[error("the options of the database cannot be used: {why}")]
    Options {
        /// Why.
        why: String,
    },
    /// It does not let this user in, or lets it do too little.
    #[error(
        "the database refuses: {why}; check user and password, and that the user has the role readWrite in this database"
    )]
    Refused {
        /// What it says.
        why: String,
    },
    /// It has no transactions.
    #[error(
        "{host} is a MongoDB server by itself, and transactions need a replica set: start it with `--replSet rs0` and \
         run `rs.initiate()` once (a set of one member will do)"
    )]
    NoReplicaSet {
        /// The server.
        host: String,
    },
    /// It cannot do what is needed.
    #[error(
        "the database speaks wire version {found}, MongoDB 5.0 or later is needed ({WIRE_5_0}): upgrade it"
    )]
    TooOld {
        /// Its version of the protocol.
        found: i32,
    },
    /// A newer version of the program wrote it.
    #[error(
        "the database {database} has schema version {found}, this program knows versions up to {known}: run the version \
         that wrote it, or restore a backup made before the upgrade"
    )]
    Newer {
        /// The database.
        database: String,
        /// Its version.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// It cannot be reached.
    #[error("the database cannot be reached: {why}")]
    Away {
        /// Why.
        why: String,
    },
    /// Anything else.
    #[error("the database cannot be used: {why}")]
    Failed {
        /// Why.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let options = Options {
            uri: "mongodb://me:secret@one,two/db?replicaSet=rs0".to_owned(),
            password: Some("secret".to_owned()),
            ..Options::default()
        };
        let shown = format!("{options:?}");
        assert!(shown.contains("mongodb://one,two/db") && !shown.contains("secret"), "{shown}");
    }
}
