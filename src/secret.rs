//! The node's secret: 32 random bytes made at the first start. From it come the salts of users who
//! do not exist; who has it learns neither passwords nor messages.

use crate::files::{self, FileError};
use ring::rand::{SecureRandom, SystemRandom};
use std::{
    io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// There is no secret.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Its file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its file is not one of this program.
    #[error(
        "{} has {len} bytes instead of 32; delete it, and a new secret is made at the next start",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Its length.
        len: usize,
    },
}

/// The secret kept in `data`; made when there is none.
///
/// # Errors
/// When its file cannot be used.
pub fn load(data: &Path) -> Result<[u8; 32], SecretError> {
    let path = data.join("secret");
    if let Some(bytes) = files::read(&path)? {
        let len = bytes.len();
        return bytes.try_into().map_err(|_| SecretError::Damaged { path, len });
    }
    let mut secret = [0; 32];
    SystemRandom::new()
        .fill(&mut secret)
        .map_err(|_| FileError::new("make", &path, io::Error::other("no random numbers")))?;
    files::write(&path, &secret)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_read_ever_after() {
        let temp = tempfile::tempdir().unwrap();
        let secret = load(temp.path()).unwrap();
        assert_ne!(secret, [0; 32]);
        assert_eq!(load(temp.path()).unwrap(), secret);
        std::fs::write(temp.path().join("secret"), b"short").unwrap();
        let error = load(temp.path()).unwrap_err().to_string();
        assert!(error.contains("5 bytes") && error.contains("delete it"), "{error}");
    }
}
