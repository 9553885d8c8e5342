//! Files that are nobody else's business: directories 0700, files 0600, written as a whole.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use thiserror::Error;

/// A file or directory of the node cannot be used.
#[derive(Debug, Error)]
#[error("cannot {what} {}: {error}; {fix}", path.display())]
pub struct FileError {
    /// What was tried: "read", "write", "make".
    pub what: &'static str,
    /// With which.
    pub path: PathBuf,
    /// Why it failed.
    pub error: io::Error,
    /// What helps.
    pub fix: &'static str,
}

impl FileError {
    pub(crate) fn new(what: &'static str, path: &Path, error: io::Error) -> Self {
        let fix = match error.kind() {
            io::ErrorKind::PermissionDenied => "the user that runs the server must be allowed to",
            io::ErrorKind::StorageFull => "make room on the disk",
            _ => "check the path",
        };
        Self { what, path: path.to_owned(), error, fix }
    }
}

/// Makes a directory (0700) and those above it, if it is not there.
pub(crate) fn make_dir(path: &Path) -> Result<(), FileError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| FileError::new("make", path, e))
}

/// Reads a file; `None` when there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(FileError::new("read", path, e)),
    }
}

/// Writes a file (0600) so that after a crash it is there as a whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let write = || -> io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(|e| FileError::new("write", path, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_written_is_private_and_whole() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("a/b");
        make_dir(&dir).unwrap();
        make_dir(&dir).unwrap();
        let file = dir.join("secret");
        assert_eq!(read(&file).unwrap(), None);
        write(&file, b"one").unwrap();
        write(&file, b"two").unwrap();
        assert_eq!(read(&file).unwrap().unwrap(), b"two");
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&dir)), (0o600, 0o700));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing is left behind");
        let error = write(&file.join("x"), b"").unwrap_err();
        assert!(error.to_string().starts_with("cannot write"), "{error}");
    }
}
