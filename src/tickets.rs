//! The keys of TLS tickets: made by the node, kept in a file, so that clients resume after a restart too; or derived from what the nodes
//! of a cluster share, so that clients resume on any. Replaced every few hours by a process.

use crate::{
    cluster::{
        credentials::{Credentials, CredentialsError},
        secret::Purpose,
    },
    files::{self, FileError},
};
use config::Config;
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use supervision::{ChildSpec, Cx, InitError, Next, Server};
use thiserror::Error;
use tls::{Acceptor, TicketError, TicketKeys};
use zeroize::Zeroizing;

/// Where the keys come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// They are kept in that directory.
    Kept(PathBuf),
    /// From the cluster's secret, which is read again when it was changed.
    Shared(Credentials),
}

/// There are no keys.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NoTickets {
    /// They cannot be made.
    #[error(transparent)]
    Tickets(#[from] TicketError),
    /// The cluster's secret cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

impl Source {
    /// As configured.
    pub fn of(config: &Config) -> Self {
        match config.cluster.name {
            Some(_) => Self::Shared(Credentials::of(config)),
            None => Self::Kept(config.server.data.clone()),
        }
    }

    /// The keys of this moment.
    ///
    /// # Errors
    /// When there is no randomness, or no secret of a cluster.
    pub fn load(&self) -> Result<TicketKeys, NoTickets> {
        match self {
            Self::Kept(data) => Ok(load(data)?),
            Self::Shared(credentials) => Ok(derived(credentials)?),
        }
    }
}

fn derived(credentials: &Credentials) -> Result<TicketKeys, CredentialsError> {
    let secrets = credentials.secret()?.derive(Purpose::Tickets);
    let secrets: Zeroizing<Vec<_>> = Zeroizing::new(secrets.iter().map(|s| **s).collect());
    Ok(TicketKeys::derived(&secrets, now()))
}

/// How often it is looked whether a new key is due.
const EVERY: Duration = Duration::from_secs(60);

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn file(data: &Path) -> PathBuf {
    data.join("tickets.json")
}

/// The keys kept in `data`, with a new one if that is due. Where there are none that can be used they are made anew: then
/// clients make a whole handshake, and that is all. So it is no error when they cannot be kept either; it is said.
///
/// # Errors
/// When there is no randomness.
fn load(data: &Path) -> Result<TicketKeys, TicketError> {
    let path = file(data);
    let kept = kept(&path);
    let fresh = kept.is_none();
    let mut keys = kept.map_or_else(|| TicketKeys::new(now()), Ok)?;
    if keys.rotate(now())? || fresh {
        keep(&path, &keys);
    }
    Ok(keys)
}

fn kept(path: &Path) -> Option<TicketKeys> {
    let bytes = files::read(path).unwrap_or_else(|error| {
        tracing::error!(%error, "the keys of TLS tickets are made anew");
        None
    });
    let parsed: Option<TicketKeys> = serde_json::from_slice(&Zeroizing::new(bytes?)).ok();
    let keys = parsed.filter(|keys| keys.check().is_ok());
    if keys.is_none() {
        tracing::warn!(file = %path.display(), "keys of TLS tickets are damaged: made anew");
    }
    keys
}

/// What cannot be kept is lost with the process.
fn keep(path: &Path, keys: &TicketKeys) {
    if let Err(error) = write(path, keys) {
        tracing::error!(%error, "the new key of TLS tickets is not kept");
    }
}

fn write(path: &Path, keys: &TicketKeys) -> Result<(), FileError> {
    let bytes = serde_json::to_vec(keys);
    let bytes =
        Zeroizing::new(bytes.map_err(|e| FileError::new("write", path, io::Error::other(e)))?);
    files::write(path, &bytes)
}

/// Replaces keys in time.
#[derive(Debug)]
pub(crate) struct Keeper {
    source: Source,
    keys: TicketKeys,
    tls: Arc<Acceptor>,
}

/// See whether a new key is due.
#[derive(Debug)]
pub(crate) struct Look;

impl Keeper {
    pub(crate) fn child(source: &Source, tls: &Arc<Acceptor>) -> ChildSpec {
        let (source, tls) = (source.clone(), Arc::clone(tls));
        ChildSpec::server::<Self>("tickets", move || (source.clone(), Arc::clone(&tls)))
    }

    /// Those in memory go on when there are no others.
    fn look(&mut self, now: Duration) {
        match &self.source {
            Source::Kept(_) => match self.keys.rotate(now) {
                Ok(false) => return,
                Ok(true) => {}
                Err(error) => return tracing::error!(%error, "no new key for TLS tickets"),
            },
            Source::Shared(credentials) => match derived(credentials) {
                Ok(keys) => self.keys = keys,
                Err(error) => return tracing::error!(%error, "no new key for TLS tickets"),
            },
        }
        if let Err(error) = self.tls.replace_tickets(&self.keys) {
            tracing::error!(%error, "the new key for TLS tickets is not used");
        }
        // when the file cannot be written, what they seal is lost with the process
        if let Source::Kept(data) = &self.source {
            keep(&file(data), &self.keys);
        }
    }
}

impl Server for Keeper {
    type Args = (Source, Arc<Acceptor>);
    type Msg = Look;
    const NAME: &'static str = "tickets";
    const INBOX: usize = 4;

    async fn init((source, tls): Self::Args, cx: &mut Cx<Look>) -> Result<Self, InitError> {
        let keys = source.load().map_err(|e| InitError::failed(e.to_string()))?;
        tls.replace_tickets(&keys).map_err(|e| InitError::failed(e.to_string()))?;
        cx.send_every(EVERY, || Look);
        Ok(Self { source, keys, tls })
    }

    async fn handle(&mut self, Look: Look, _: &mut Cx<Look>) -> Next {
        self.look(now());
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tls::{Identity, ROTATION};

    fn acceptor(keys: &TicketKeys) -> Arc<Acceptor> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
        let identity = Identity { chain: vec![made.cert.der().clone()], key: key.unwrap() };
        Acceptor::new(vec![identity], keys).unwrap()
    }

    #[test]
    fn keys_are_made_once_and_kept() {
        let temp = tempfile::tempdir().unwrap();
        let text = |keys: &TicketKeys| serde_json::to_string(keys).unwrap();
        let first = load(temp.path()).unwrap();
        assert_eq!(text(&first), text(&load(temp.path()).unwrap()));
        for damaged in ["", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"key":"AA","since":0}]}"#] {
            fs::write(file(temp.path()), damaged).unwrap();
            let next = load(temp.path()).unwrap();
            assert_ne!(text(&first), text(&next), "{damaged}");
            assert_eq!(text(&next), text(&load(temp.path()).unwrap()));
        }
        // what can be neither read nor written is no reason not to start
        fs::remove_file(file(temp.path())).unwrap();
        fs::create_dir(file(temp.path())).unwrap();
        assert!(load(temp.path()).is_ok());
    }

    #[test]
    fn a_new_key_is_used_and_kept() {
        let temp = tempfile::tempdir().unwrap();
        let keys = load(temp.path()).unwrap();
        let tls = acceptor(&keys);
        let mut keeper = Keeper { source: Source::Kept(temp.path().to_owned()), keys, tls };
        let kept = || fs::read_to_string(file(temp.path())).unwrap();
        let first = kept();
        keeper.look(now());
        assert_eq!(kept(), first, "not due");
        keeper.look(now() + ROTATION);
        let both = kept();
        let key = first.trim_start_matches("{\"keys\":[").trim_end_matches("]}");
        assert!(both.len() > first.len() && both.contains(key), "the old one takes its tickets");
        assert_eq!(both, serde_json::to_string(&keeper.keys).unwrap());
        // a disk that is full does not keep the node from using it
        keeper.source = Source::Kept(temp.path().join("gone"));
        keeper.look(now() + 2 * ROTATION);
        assert!(serde_json::to_string(&keeper.keys).unwrap().len() > both.len());
    }
}
