//! The secret that all nodes of a cluster share: a file of a few versions, from the newest of which everything is derived that two
//! nodes must have alike. It is on the nodes' disks only.

use crate::files::{self, FileError};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    hkdf::{HKDF_SHA256, KeyType, Salt},
    rand::{SecureRandom, SystemRandom},
};
use serde::{Deserialize, Serialize};
use std::{fmt, io, path::Path};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The most versions that are kept besides the first.
const MOST: usize = 4;

/// There is no cluster secret.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClusterSecretError {
    /// Its file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its file is not one of this program.
    #[error("{0} is no cluster secret; copy it from another node of the cluster")]
    Damaged(String),
}

#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Version {
    version: u32,
    /// 32 bytes in base64.
    secret: String,
}

/// The secret: the newest version first, the first that there was last.
#[derive(Clone, Serialize, Deserialize)]
pub struct ClusterSecret {
    versions: Vec<Version>,
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterSecret(version {})", self.version())
    }
}

/// What is derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The salts of users who do not exist: two nodes must answer alike, and always as before, so it comes of the first version.
    Salts,
    /// The keys of TLS tickets.
    Tickets,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Salts => b"mangrove scram salts",
            Self::Tickets => b"mangrove tls tickets",
        }
    }
}

struct Bytes32;

impl KeyType for Bytes32 {
    fn len(&self) -> usize {
        32
    }
}

fn fresh(version: u32, path: &Path) -> Result<Version, FileError> {
    let mut secret = Zeroizing::new([0_u8; 32]);
    SystemRandom::new()
        .fill(&mut *secret)
        .map_err(|_| FileError::new("make", path, io::Error::other("no random numbers")))?;
    Ok(Version { version, secret: STANDARD.encode(*secret) })
}

impl ClusterSecret {
    /// Reads it; `None` when there is no such file.
    ///
    /// # Errors
    /// When the file cannot be read, or is no secret.
    pub fn read(path: &Path) -> Result<Option<Self>, ClusterSecretError> {
        let Some(bytes) = files::read(path)?.map(Zeroizing::new) else { return Ok(None) };
        let damaged = || ClusterSecretError::Damaged(path.display().to_string());
        let secret: Self = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        let good =
            |version: &Version| STANDARD.decode(&version.secret).is_ok_and(|s| s.len() == 32);
        match secret.versions.is_empty() || !secret.versions.iter().all(good) {
            true => Err(damaged()),
            false => Ok(Some(secret)),
        }
    }

    /// A first version, in a file that is not there yet.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn make(path: &Path) -> Result<Self, ClusterSecretError> {
        let secret = Self { versions: vec![fresh(1, path)?] };
        secret.write(path)?;
        Ok(secret)
    }

    /// Puts another version before those that there are.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn rotate(&mut self, path: &Path) -> Result<(), ClusterSecretError> {
        self.versions.insert(0, fresh(self.version() + 1, path)?);
        // the first stays: what is derived from it must never change
        while self.versions.len() > MOST + 1 {
            self.versions.remove(MOST);
        }
        self.write(path)
    }

    /// Writes it as a file (0600).
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ClusterSecretError> {
        let bytes = serde_json::to_vec_pretty(self).map_err(io::Error::other);
        let bytes = bytes.map_err(|error| FileError::new("write", path, error))?;
        files::write(path, &Zeroizing::new(bytes))?;
        Ok(())
    }

    /// The newest version.
    pub fn version(&self) -> u32 {
        self.versions.first().map_or(0, |newest| newest.version)
    }

    /// What is derived for a purpose from each version that may still be in use, the newest first (RFC 5869).
    pub fn derive(&self, purpose: Purpose) -> Vec<Zeroizing<[u8; 32]>> {
        let versions: Vec<&Version> = match purpose {
            Purpose::Salts => self.versions.last().into_iter().collect(),
            Purpose::Tickets => self.versions.iter().collect(),
        };
        versions.into_iter().filter_map(|version| derived(version, purpose)).collect()
    }
}

fn derived(version: &Version, purpose: Purpose) -> Option<Zeroizing<[u8; 32]>> {
    let secret = Zeroizing::new(STANDARD.decode(&version.secret).ok()?);
    let key = Salt::new(HKDF_SHA256, b"mangrove cluster").extract(&secret);
    let mut out = Zeroizing::new([0; 32]);
    key.expand(&[purpose.label()], Bytes32).ok()?.fill(&mut *out).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_rotated_and_what_must_not_change_does_not() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("secret");
        assert!(ClusterSecret::read(&path).unwrap().is_none());
        let mut secret = ClusterSecret::make(&path).unwrap();
        let first = (secret.derive(Purpose::Salts), secret.derive(Purpose::Tickets));
        assert_ne!(first.0, first.1);
        for n in 2..=9 {
            secret.rotate(&path).unwrap();
            let read = ClusterSecret::read(&path).unwrap().unwrap();
            assert_eq!((read.version(), read.derive(Purpose::Salts)), (n, first.0.clone()));
            let tickets = read.derive(Purpose::Tickets);
            assert_eq!(tickets.len(), (n as usize).min(MOST + 1));
            assert_eq!(tickets.last(), first.1.first());
        }
        std::fs::write(&path, "{\"versions\":[]}").unwrap();
        let error = ClusterSecret::read(&path).unwrap_err().to_string();
        assert!(error.contains("copy it from another node"), "{error}");
    }
}
