//! Stores without a node: opened for a command, closed after it.

use crate::{
    files::{self, FileError},
    settings,
};
use config::{Config, schema};
use serde::{Deserialize, Serialize};
use std::{
    fmt, io,
    path::{Path, PathBuf},
};
use storage::{Backend, BackendError, Stores, transfer::Walk};
use supervision::{StartError, SupervisorRef, SupervisorSpec, System};
use thiserror::Error;

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A SQLite file in a directory.
    Sqlite(PathBuf),
    /// The MongoDB of `[mongodb]`.
    Mongodb,
}

impl Place {
    /// `sqlite` (in server.data), `sqlite:DIR` or `mongodb`.
    pub fn parse(text: &str, config: &Config) -> Option<Self> {
        match text.split_once(':') {
            None if text == "sqlite" => Some(Self::Sqlite(config.server.data.clone())),
            None if text == "mongodb" => Some(Self::Mongodb),
            Some(("sqlite", dir)) if !dir.is_empty() => Some(Self::Sqlite(PathBuf::from(dir))),
            _ => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(dir) => write!(f, "sqlite:{}", dir.display()),
            Self::Mongodb => f.write_str("mongodb"),
        }
    }
}

/// Why a store cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoresError {
    /// There is none.
    #[error("there is no store in {}", .0.display())]
    None(PathBuf),
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] BackendError),
    /// Its processes do not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It does not answer.
    #[error("{place}: {why}")]
    Answer {
        /// Which.
        place: String,
        /// What it says.
        why: String,
    },
}

/// A store that is open.
#[derive(Debug)]
pub struct Opened {
    backend: Backend,
    root: SupervisorRef,
}

impl Opened {
    /// Opens one; `make`: also if there is none.
    ///
    /// # Errors
    /// When it is not there, in use, or does not answer.
    pub async fn open(place: &Place, config: &Config, make: bool) -> Result<Self, StoresError> {
        let mut config = config.clone();
        match place {
            Place::Sqlite(dir) if !make && !Backend::sqlite_is_in(dir) => {
                return Err(StoresError::None(dir.clone()));
            }
            Place::Sqlite(dir) => {
                config.storage.backend = schema::Backend::Sqlite;
                config.server.data.clone_from(dir);
            }
            Place::Mongodb => config.storage.backend = schema::Backend::Mongodb,
        }
        let backend = settings::backend(&config).await?;
        let group = SupervisorSpec::one_for_one();
        let spec = backend.children().into_iter().fold(group, SupervisorSpec::child);
        let root = System::new("store").start(spec).await?;
        let opened = Self { backend, root };
        match opened.backend.ready().await {
            Ok(()) => Ok(opened),
            Err(why) => {
                opened.close().await;
                Err(StoresError::Answer { place: place.to_string(), why })
            }
        }
    }

    /// The stores.
    pub fn stores(&self) -> &Stores {
        self.backend.stores()
    }

    /// Finishes what is queued, and gives it back.
    pub async fn close(self) {
        self.root.stop().await;
    }
}

/// A migration that is under way, as kept in a file: what was interrupted can be gone on with.
#[derive(Debug, Serialize, Deserialize)]
pub struct Migration {
    from: String,
    to: String,
    walk: Walk,
}

impl Migration {
    /// Where it is kept.
    pub fn path(config: &Config) -> PathBuf {
        config.server.data.join("migration.json")
    }

    /// How far one between these two was, if it was interrupted.
    pub fn load(path: &Path, from: &Place, to: &Place) -> Option<Walk> {
        let kept: Self = serde_json::from_slice(&files::read(path).ok()??).ok()?;
        let same = kept.from == from.to_string() && kept.to == to.to_string();
        same.then_some(kept.walk)
    }

    /// Keeps how far it is.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(path: &Path, from: &Place, to: &Place, walk: &Walk) -> Result<(), FileError> {
        let kept = Self { from: from.to_string(), to: to.to_string(), walk: walk.clone() };
        let json = serde_json::to_vec(&kept);
        let json = json.map_err(|e| FileError::new("write", path, io::Error::other(e)))?;
        if let Some(dir) = path.parent() {
            files::make_dir(dir)?;
        }
        files::write(path, &json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_interrupted_is_gone_on_with_if_it_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/migration.json");
        let (from, to) = (Place::Sqlite("a".into()), Place::Mongodb);
        let walk = Walk { after: Some("a@x".to_owned()), ..Walk::default() };
        assert_eq!(Migration::load(&path, &from, &to), None);
        Migration::save(&path, &from, &to, &walk).unwrap();
        assert_eq!(Migration::load(&path, &from, &to), Some(walk));
        assert_eq!(Migration::load(&path, &to, &from), None);
        assert_eq!(Migration::load(&path, &Place::Sqlite("b".into()), &to), None);
    }

    #[test]
    fn places_have_names() {
        let config = Config::default();
        let parse = |text| Place::parse(text, &config).map(|place| place.to_string());
        assert_eq!(parse("sqlite").as_deref(), Some("sqlite:data"));
        assert_eq!(parse("sqlite:/var/x:y").as_deref(), Some("sqlite:/var/x:y"));
        assert_eq!(parse("mongodb").as_deref(), Some("mongodb"));
        for bad in ["", "sqlite:", "memory", "mongodb://x", "redis"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
