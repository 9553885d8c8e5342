//! Files that are nobody else's business: directories 0700, files 0600, written as a whole.

use rustix::process::{Gid, getegid, geteuid, getgroups};
use std::{
    fmt,
    fs::{self, DirBuilder, Metadata, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
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
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => "make room on the disk",
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

/// A file or directory that others than its owner, or than the group that the node reads it by, may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exposed {
    path: PathBuf,
    mode: u32,
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "others may use {} (mode {:04o})", self.path.display(), self.mode)
    }
}

impl Exposed {
    fn look(path: &Path, strangers: Strangers) -> Option<Self> {
        let mode = fs::metadata(path).ok()?.permissions().mode() & 0o7777;
        (mode & strangers.bits() != 0).then(|| Self { path: path.to_owned(), mode })
    }

    /// A directory and all that is in it and in those below, the outermost first.
    fn in_dir(dir: &Path, strangers: Strangers) -> Vec<Self> {
        let mut exposed: Vec<Self> = Self::look(dir, strangers).into_iter().collect();
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => exposed.extend(Self::in_dir(&path, strangers)),
                Ok(kind) if kind.is_file() => exposed.extend(Self::look(&path, strangers)),
                _ => {}
            }
        }
        exposed
    }
}

/// Who has no business with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strangers {
    /// Everybody but its owner.
    NotOwner,
    /// Everybody but its owner and its group: the node is not its owner and uses it by the group, as Debian's
    /// `ssl-cert` is meant.
    NotGroup,
    /// Everybody but its owner and its group, and the node itself is a stranger so far: it has to get into the group,
    /// which is this.
    All(u32),
}

impl Strangers {
    /// Of that file, for a process of these. Of a link what it leads to counts.
    fn of(file: &Metadata, user: u32, groups: &[u32]) -> Self {
        match (file.uid(), groups) {
            // root may use everything, whatever the mode
            (owner, _) if owner == user || user == 0 => Self::NotOwner,
            (_, groups) if groups.contains(&file.gid()) => Self::NotGroup,
            (_, groups) => Self::All(groups.first().copied().unwrap_or_default()),
        }
    }

    /// Of that file, for this process.
    fn here(path: &Path) -> Option<Self> {
        let mut groups = vec![getegid().as_raw()];
        groups.extend(getgroups().into_iter().flatten().map(Gid::as_raw));
        Some(Self::of(&fs::metadata(path).ok()?, geteuid().as_raw(), &groups))
    }

    fn bits(self) -> u32 {
        if self == Self::NotOwner { 0o077 } else { 0o007 }
    }

    /// What keeps them out, and nobody else.
    fn fix(self, path: &Path, chmod: &str) -> String {
        let path = path.display();
        match self {
            Self::NotOwner => format!("{chmod} go-rwx '{path}'"),
            Self::NotGroup => format!("{chmod} o-rwx '{path}'"),
            Self::All(group) => {
                let chgrp = chmod.replace("chmod", "chgrp");
                format!("{chgrp} {group} '{path}' && {chmod} g=u,o-rwx '{path}'")
            }
        }
    }
}

/// Whether a private key is open to strangers: what to say of it.
pub(crate) fn exposed_key(key: &Path) -> Option<String> {
    let strangers = Strangers::here(key)?;
    let exposed = Exposed::look(key, strangers)?;
    Some(format!("{exposed}; {}", strangers.fix(key, "chmod")))
}

/// Whether a data directory is open to strangers: what to say of it in one line, however much is in it.
fn exposed_data(data: &Path) -> Option<(usize, String)> {
    let strangers = Strangers::here(data)?;
    let exposed = Exposed::in_dir(data, strangers);
    let said = format!("{}; {}", exposed.first()?, strangers.fix(data, "chmod -R"));
    Some((exposed.len(), said))
}

/// Says so at the start of a node.
pub(crate) fn warn_of_exposed(data: &Path) {
    if let Some((count, said)) = exposed_data(data) {
        tracing::warn!(count, "the data directory is not its owner's alone: {said}");
    }
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
        assert_eq!(exposed_data(&data), None, "new ones are closed");
        let open = |name: &str, mode| {
            fs::set_permissions(data.join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        let found = || -> Vec<_> {
            let exposed = Exposed::in_dir(&data, Strangers::NotOwner);
            let mut all: Vec<_> = exposed.iter().map(|e| e.path.clone()).collect();
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
        let said = exposed_key(&link).unwrap();
        let shown = link.display();
        assert_eq!(said, format!("others may use {shown} (mode 0660); chmod go-rwx '{shown}'"));
        assert_eq!(exposed_key(&data.join("none")), None);
        open("", 0o750);
        let (count, said) = exposed_data(&data).unwrap();
        let shown = data.display();
        let line = format!("others may use {shown} (mode 0750); chmod -R go-rwx '{shown}'");
        assert_eq!((count, said), (4, line), "one fix, for all that is in it");
    }

    #[test]
    fn what_helps_does_not_keep_the_node_out() {
        let temp = tempfile::tempdir().unwrap();
        let key = temp.path().join("a.key");
        write(&key, b"x").unwrap();
        let file = fs::metadata(&key).unwrap();
        let (owner, group) = (file.uid(), file.gid());
        let other = owner + 4711;
        let of = |user, groups: &[u32]| Strangers::of(&file, user, groups);
        assert_eq!(of(owner, &[group]), Strangers::NotOwner);
        assert_eq!(of(0, &[]), Strangers::NotOwner, "root reads it in any case");
        assert_eq!(of(other, &[other, group]), Strangers::NotGroup, "as with ssl-cert");
        assert_eq!(of(other, &[group + 1]), Strangers::All(group + 1));
        let look = |mode, strangers| {
            fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
            Exposed::look(&key, strangers).is_some()
        };
        for (mode, owners, by_group) in
            [(0o400, false, false), (0o640, true, false), (0o660, true, false), (0o644, true, true)]
        {
            assert_eq!(look(mode, Strangers::NotOwner), owners, "{mode:o}");
            assert_eq!(look(mode, Strangers::NotGroup), by_group, "{mode:o}");
        }
        let fix = |strangers: Strangers| strangers.fix(Path::new("k"), "chmod");
        assert_eq!(fix(Strangers::NotGroup), "chmod o-rwx 'k'");
        assert_eq!(fix(Strangers::All(7)), "chgrp 7 'k' && chmod g=u,o-rwx 'k'");
    }
}
