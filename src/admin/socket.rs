//! The Unix socket: bound once, for its owner only, gone with the node.

use crate::files::{self, FileError};
use actors::listener::Source;
use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream, unix::UCred};

/// The longest path of a socket the system takes, in bytes.
const LONGEST: usize = 107;

/// The admin socket cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Its path is too long.
    #[error(
        "the path of the admin socket {} has {} bytes and may have {LONGEST}; set a shorter admin.socket",
        .0.display(), .0.as_os_str().len()
    )]
    TooLong(PathBuf),
    /// A node uses it.
    #[error("a node answers on {} already; stop it with `mangrove stop`, or set another admin.socket", .0.display())]
    InUse(PathBuf),
    /// Something else has its name.
    #[error("{} is no socket; move it away, or set another admin.socket", .0.display())]
    NoSocket(PathBuf),
    /// It cannot be made.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The socket.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: a file that another node has put there since is not ours to remove.
    file: (u64, u64),
}

impl Socket {
    /// Binds it. What a dead node left is replaced.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        if path.as_os_str().len() > LONGEST {
            return Err(SocketError::TooLong(path.to_owned()));
        }
        let make = |e| FileError::new("make", path, e);
        if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            files::make_dir(dir)?;
        }
        if let Ok(meta) = fs::symlink_metadata(path) {
            if !meta.file_type().is_socket() {
                return Err(SocketError::NoSocket(path.to_owned()));
            }
            match std::os::unix::net::UnixStream::connect(path) {
                Ok(_) => return Err(SocketError::InUse(path.to_owned())),
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(make)?;
                }
                Err(e) => return Err(make(e).into()),
            }
        }
        let listener = UnixListener::bind(path).map_err(make)?;
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(make)?;
        let meta = fs::symlink_metadata(path).map_err(make)?;
        Ok(Self { listener, path: path.to_owned(), file: (meta.dev(), meta.ino()) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ours = |m: fs::Metadata| (m.dev(), m.ino()) == self.file;
        if fs::symlink_metadata(&self.path).is_ok_and(ours) {
            drop(fs::remove_file(&self.path));
        }
    }
}

impl Source for Socket {
    type Stream = (UnixStream, UCred);
    /// The program.
    type Peer = Option<i32>;

    async fn accept(&self) -> io::Result<(Self::Stream, Option<i32>)> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let peer = stream.peer_cred()?;
            if peer.uid() == 0 || peer.uid() == rustix::process::geteuid().as_raw() {
                return Ok(((stream, peer), peer.pid()));
            }
            tracing::warn!(uid = peer.uid(), pid = peer.pid(), "an operator was refused");
        }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_live_socket_is_an_error_and_a_dead_one_is_replaced() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("run/admin.sock");
        let first = Socket::bind(&path).unwrap();
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let error = Socket::bind(&path).unwrap_err();
        assert!(matches!(&error, SocketError::InUse(p) if *p == path), "{error}");
        drop(first);
        assert!(!path.exists());
        // a dead node leaves its file behind
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(Socket::bind(&path).unwrap());
        fs::write(&path, "").unwrap();
        assert!(matches!(Socket::bind(&path), Err(SocketError::NoSocket(_))));
        let long = temp.path().join("x".repeat(100));
        assert!(Socket::bind(&long).unwrap_err().to_string().contains("admin.socket"));
    }

    #[tokio::test]
    async fn another_node_s_socket_is_not_removed() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("admin.sock");
        let first = Socket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let second = Socket::bind(&path).unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
    }

    #[tokio::test]
    async fn the_node_s_own_user_is_let_in() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("admin.sock");
        let socket = Socket::bind(&path).unwrap();
        let (client, accepted) = tokio::join!(UnixStream::connect(&path), socket.accept());
        assert_eq!(accepted.unwrap().0.1.uid(), rustix::process::geteuid().as_raw());
        drop(client);
    }
}
