//! Files that are nobody else's business: directories 0700, files 0600, written as a whole.

use std::{
    fmt,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
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

/// A file or directory that others than its owner may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exposed {
    path: PathBuf,
    mode: u32,
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, mode } = self;
        let path = path.display();
        write!(f, "others may use {path} (mode {mode:04o}); chmod go-rwx '{path}'")
    }
}

impl Exposed {
    /// Whether that one is. Of a link what it leads to counts.
    pub(crate) fn look(path: &Path) -> Option<Self> {
        let mode = fs::metadata(path).ok()?.permissions().mode() & 0o7777;
        (mode & 0o077 != 0).then(|| Self { path: path.to_owned(), mode })
    }

    /// A directory and all that is in it and in those below, the outermost first.
    pub(crate) fn in_dir(dir: &Path) -> Vec<Self> {
        let mut exposed: Vec<Self> = Self::look(dir).into_iter().collect();
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => exposed.extend(Self::in_dir(&entry.path())),
                Ok(kind) if kind.is_file() => exposed.extend(Self::look(&entry.path())),
                _ => {}
            }
        }
        exposed
    }
}

/// Says so of a data directory at the start of a node: in one line, however much is in it.
pub(crate) fn warn_of_exposed(data: &Path) {
    let exposed = Exposed::in_dir(data);
    let Some(first) = exposed.first() else { return };
    let fix = format!("chmod -R go-rwx '{}'", data.display());
    tracing::warn!(
        count = exposed.len(),
        fix,
        "the data directory is not its owner's alone: {first}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn what_others_may_use_is_found_with_what_helps() {
        let temp = tempfile::tempdir().unwrap();
        let data = temp.path().join("data");
        make_dir(&data.join("certificates")).unwrap();
        for file in ["secret", "certificates/a.key"] {
            write(&data.join(file), b"x").unwrap();
        }
        assert_eq!(Exposed::in_dir(&data), [], "new ones are closed");
        let open = |name: &str, mode| {
            fs::set_permissions(data.join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        let found = || -> Vec<_> {
            let mut all: Vec<_> = Exposed::in_dir(&data).iter().map(|e| e.path.clone()).collect();
            all.sort();
            all
        };
        for (name, mode) in [("", 0o750), ("secret", 0o640), ("certificates/a.key", 0o604)] {
            open(name, mode);
            assert_eq!(found(), [data.join(name)], "{name}");
            open(name, if name.is_empty() { 0o700 } else { 0o400 });
        }
        for (name, mode) in
            [("certificates", 0o711), ("secret", 0o644), ("certificates/a.key", 0o660)]
        {
            open(name, mode);
        }
        assert_eq!(found().len(), 3);
        let key = data.join("certificates/a.key");
        let link = data.join("link");
        std::os::unix::fs::symlink(&key, &link).unwrap();
        let said = Exposed::look(&link).unwrap().to_string();
        let link = link.display();
        assert_eq!(said, format!("others may use {link} (mode 0660); chmod go-rwx '{link}'"));
        assert_eq!(Exposed::look(&data.join("none")), None);
    }
}
