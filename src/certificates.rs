//! The certificates of a node: from files, or made by the node itself for hosts that none names.
//!
//! They are read again when a file changes, or the link or folder it is found by, or when somebody says
//! so (SIGHUP). A file that cannot be used then changes nothing: what was in force stays.

use crate::files;
use config::{Config, schema::Certificate};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};
use ring::digest::{SHA256, digest};
use rustls::{
    client::verify_server_name,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use supervision::{ChildSpec, Cx, InitError, Next, Reply, Server};
use thiserror::Error;
use tls::{Acceptor, Identity};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(60);
/// The name of the process.
pub(crate) const WATCHER: &str = "certificates";

/// A certificate cannot be used.
#[derive(Debug, Error)]
#[error("{}: {message}; {fix}", file.display())]
pub struct CertificateError {
    /// Which file.
    pub file: PathBuf,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub fix: String,
}

impl CertificateError {
    fn new(file: &Path, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { file: file.to_owned(), message: message.into(), fix: fix.into() }
    }
}

/// Where the certificates come from.
#[derive(Clone, Debug)]
pub struct Sources {
    hosts: Vec<String>,
    files: Vec<Certificate>,
    /// For those the node makes.
    dir: PathBuf,
}

/// A file as it was; `None`: it could not be read. What is in it counts and not its time: links are changed
/// to files that are older, or as old and as long.
type Stamp = Option<Vec<u8>>;

impl Sources {
    /// As configured.
    pub fn new(config: &Config) -> Self {
        let dir = config.server.data.join("certificates");
        Self { hosts: config.server.hosts.clone(), files: config.certificate.clone(), dir }
    }

    /// Reads those that come from files, without making any.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn configured(&self) -> Result<Vec<Identity>, CertificateError> {
        self.files.iter().map(|c| read(&c.file, &c.key)).collect()
    }

    /// All of them, that of the first host first. For hosts that none names, one is made and kept.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn load(&self) -> Result<Vec<Identity>, CertificateError> {
        let mut all = self.configured()?;
        for file in self.files.iter().filter_map(|c| files::exposed_key(&c.key)) {
            tracing::warn!("a private key: {file}");
        }
        for host in &self.hosts {
            if !all.iter().any(|identity| names(identity, host)) {
                all.push(self.own(host)?);
            }
        }
        let first = self.hosts.first();
        let first = first.and_then(|host| all.iter().position(|identity| names(identity, host)));
        if let Some(first) = first {
            all.swap(0, first);
        }
        Ok(all)
    }

    /// The certificate the node made for a host, at this or an earlier start.
    fn own(&self, host: &str) -> Result<Identity, CertificateError> {
        let file = self.dir.join(format!("{}.crt", file_name(host)));
        let key = file.with_extension("key");
        let other = |e: &dyn std::fmt::Display| {
            let fix = format!("name a certificate for {host} in a [[certificate]]");
            CertificateError::new(&file, e.to_string(), fix)
        };
        if !file.exists() || !key.exists() {
            let (certificate, private) = make(&ascii(host)).map_err(|e| other(&e))?;
            files::make_dir(&self.dir).map_err(|e| other(&e))?;
            files::write(&key, private.as_bytes()).map_err(|e| other(&e))?;
            files::write(&file, certificate.as_bytes()).map_err(|e| other(&e))?;
            tracing::info!(host, file = %file.display(), "made a self-signed certificate");
        }
        read(&file, &key).map_err(|e| {
            let fix = "delete it and its other half; a new one is made at the next start";
            CertificateError { fix: fix.into(), ..e }
        })
    }

    fn stamps(&self) -> Vec<Stamp> {
        let paths = self.files.iter().flat_map(|c| [&c.file, &c.key]);
        let stamp = |path| Some(digest(&SHA256, &fs::read(path).ok()?).as_ref().to_vec());
        paths.map(stamp).collect()
    }
}

/// How long a certificate of the node's own is good, in years.
const OWN_YEARS: i32 = 10;

/// A self-signed certificate and its private key, in PEM.
fn make(host: &str) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([host.to_owned()])?;
    // clients show it when they ask whether to trust the certificate
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, host);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let year = i32::try_from(1970 + since.as_secs() / 31_556_952).unwrap_or(1970);
    params.not_before = date_time_ymd(year - 1, 1, 1);
    params.not_after = date_time_ymd(year + OWN_YEARS, 1, 1);
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn read(file: &Path, key: &Path) -> Result<Identity, CertificateError> {
    let fail = |path: &Path, what: &str, error: &dyn std::fmt::Display| {
        let fix = "check the path and who may read it; it must be PEM";
        CertificateError::new(path, format!("{what} cannot be read: {error}"), fix)
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let chain = chain.map_err(|e| fail(file, "the certificate", &e))?;
    if chain.is_empty() {
        let fix = "it must begin with -----BEGIN CERTIFICATE-----";
        return Err(CertificateError::new(file, "there is no certificate in it", fix));
    }
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|e| fail(key, "the private key", &e))?;
    CertifiedKey::from_der(chain.clone(), private.clone_key(), &default_provider()).map_err(
        |e| {
            let message = format!("the key does not fit the certificate {}: {e}", file.display());
            CertificateError::new(key, message, "name the key that belongs to the certificate")
        },
    )?;
    Ok(Identity { chain, key: private })
}

fn names(identity: &Identity, host: &str) -> bool {
    let parsed = identity.chain.first().and_then(|c| ParsedCertificate::try_from(c).ok());
    let name = ServerName::try_from(ascii(host)).ok();
    parsed.zip(name).is_some_and(|(c, n)| verify_server_name(&c, &n).is_ok())
}

/// A domainpart as certificates name it.
fn ascii(host: &str) -> String {
    let literal = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    match literal {
        Some(address) => address.to_owned(),
        None => idna::domain_to_ascii(host).unwrap_or_else(|_| host.to_owned()),
    }
}

fn file_name(host: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '_' };
    ascii(host).chars().map(safe).collect()
}

/// What the watcher is asked.
#[derive(Debug)]
pub(crate) enum Msg {
    /// Read everything again, from these sources. How many there are, or why not.
    Reload(Sources, Reply<Result<usize, String>>),
    /// See whether the files have changed.
    Look,
}

/// The process that looks at the files.
#[derive(Debug)]
pub(crate) struct Watcher {
    sources: Sources,
    tls: Arc<Acceptor>,
    seen: Vec<Stamp>,
}

impl Watcher {
    pub(crate) fn child(sources: &Sources, tls: &Arc<Acceptor>) -> ChildSpec {
        let (sources, tls) = (sources.clone(), Arc::clone(tls));
        ChildSpec::server::<Self>(WATCHER, move || (sources.clone(), Arc::clone(&tls)))
    }

    fn reload(&mut self) -> Result<usize, String> {
        self.seen = self.sources.stamps();
        let all = self.sources.load().map_err(|e| e.to_string())?;
        let count = all.len();
        self.tls.replace(all).map_err(|e| e.to_string())?;
        Ok(count)
    }

    fn look(&mut self) {
        if self.sources.stamps() == self.seen {
            return;
        }
        match self.reload() {
            Ok(count) => tracing::info!(count, "certificates have changed and were read again"),
            Err(error) => tracing::error!(%error, "certificates have changed but cannot be used"),
        }
    }
}

impl Server for Watcher {
    type Args = (Sources, Arc<Acceptor>);
    type Msg = Msg;
    const NAME: &'static str = "certificates";
    const INBOX: usize = 4;

    async fn init((sources, tls): Self::Args, cx: &mut Cx<Msg>) -> Result<Self, InitError> {
        cx.register(WATCHER)?;
        cx.trap_exit(true);
        cx.send_every(EVERY, || Msg::Look);
        let seen = sources.stamps();
        Ok(Self { sources, tls, seen })
    }

    async fn handle(&mut self, msg: Msg, _: &mut Cx<Msg>) -> Next {
        match msg {
            Msg::Look => self.look(),
            Msg::Reload(sources, reply) => {
                let before = std::mem::replace(&mut self.sources, sources);
                let result = self.reload();
                if result.is_err() {
                    self.sources = before;
                }
                reply.send(result);
            }
        }
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tls::TicketKeys;

    fn sources(dir: &Path, hosts: &[&str], files: &[&str]) -> Sources {
        let cert = |n: &&str| Certificate {
            file: dir.join(format!("{n}.pem")),
            key: dir.join(format!("{n}-key.pem")),
        };
        Sources {
            hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
            files: files.iter().map(cert).collect(),
            dir: dir.join("certificates"),
        }
    }

    fn tickets() -> TicketKeys {
        TicketKeys::new(Duration::ZERO).unwrap()
    }

    fn write(dir: &Path, name: &str, host: &str) {
        let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
        fs::write(dir.join(format!("{name}.pem")), made.cert.pem()).unwrap();
        fs::write(dir.join(format!("{name}-key.pem")), made.signing_key.serialize_pem()).unwrap();
    }

    #[test]
    fn a_host_without_a_certificate_gets_one_that_stays() {
        let temp = tempfile::tempdir().unwrap();
        write(temp.path(), "given", "b.example");
        let hosts = ["bücher.example", "b.example", "[::1]"];
        let sources = sources(temp.path(), &hosts, &["given"]);
        let all = sources.load().unwrap();
        assert_eq!(all.len(), 3);
        assert!(names(&all[0], "bücher.example"), "the first host's is first");
        assert!(hosts.iter().all(|h| all.iter().any(|i| names(i, h))));
        let again = sources.load().unwrap();
        assert_eq!(all[0].chain, again[0].chain);
        assert!(temp.path().join("certificates/xn--bcher-kva.example.key").exists());
    }

    #[test]
    fn errors_name_the_file_and_the_fix() {
        let temp = tempfile::tempdir().unwrap();
        let error = |s: &Sources| s.load().unwrap_err().to_string();
        let missing = sources(temp.path(), &["a"], &["none"]);
        assert!(error(&missing).contains("none.pem: the certificate cannot be read"));
        write(temp.path(), "one", "a");
        write(temp.path(), "two", "a");
        fs::copy(temp.path().join("two-key.pem"), temp.path().join("one-key.pem")).unwrap();
        let mixed = error(&sources(temp.path(), &["a"], &["one"]));
        assert!(mixed.contains("one-key.pem: the key does not fit"), "{mixed}");
        fs::write(temp.path().join("one.pem"), "words").unwrap();
        let empty = error(&sources(temp.path(), &["a"], &["one"]));
        assert!(empty.contains("there is no certificate in it"), "{empty}");
        let own = sources(temp.path(), &["c"], &[]);
        own.load().unwrap();
        fs::write(temp.path().join("certificates/c.key"), "words").unwrap();
        assert!(error(&own).contains("a new one is made at the next start"));
    }

    /// What is in force, by a name in it.
    fn serves(watcher: &Watcher, host: &str) -> bool {
        let all = watcher.sources.configured().unwrap();
        watcher.seen == watcher.sources.stamps() && names(&all[0], host)
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_changes_is_a_change_however_old_and_long_the_files_are() {
        use std::os::unix::fs::symlink;
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        // as Kubernetes does it: a link to a folder is replaced, the files' own links stay
        for (dir, host) in [("one", "a.example"), ("two", "b.example")] {
            fs::create_dir(at(dir)).unwrap();
            write(&at(dir), "tls", host);
        }
        symlink("one", at("data")).unwrap();
        symlink("data/tls.pem", at("link.pem")).unwrap();
        symlink("data/tls-key.pem", at("link-key.pem")).unwrap();
        let same = SystemTime::UNIX_EPOCH;
        let sources = sources(temp.path(), &[], &["link"]);
        let tls = Acceptor::new(sources.load().unwrap(), &tickets()).unwrap();
        let mut watcher = Watcher { seen: sources.stamps(), sources, tls };
        assert!(serves(&watcher, "a.example"));
        let replace = |link: &str, to: &str| {
            symlink(to, at("new")).unwrap();
            fs::rename(at("new"), at(link)).unwrap();
        };
        let mut lens = Vec::new();
        for dir in ["one", "two"] {
            for name in ["tls.pem", "tls-key.pem"] {
                let file = fs::File::options().append(true).open(at(dir).join(name)).unwrap();
                // PEM takes what comes after it
                let padding = 2_000 - file.metadata().unwrap().len();
                std::io::Write::write_all(&mut &file, &vec![b'\n'; padding as usize]).unwrap();
                file.set_modified(same).unwrap();
                lens.push(file.metadata().unwrap().len());
            }
        }
        assert_eq!(lens, [2_000; 4]);
        watcher.look();
        for (dir, host) in [("two", "b.example"), ("one", "a.example")] {
            replace("data", dir);
            assert!(!serves(&watcher, host), "not looked yet");
            watcher.look();
            assert!(serves(&watcher, host), "a folder that changes");
        }
        // as certbot does it: the link to the file itself
        for name in ["", "-key"] {
            replace(&format!("link{name}.pem"), &format!("two/tls{name}.pem"));
        }
        watcher.look();
        assert!(serves(&watcher, "b.example"), "a link that changes");
        // in between only one of two has changed: what fits is taken when it is there
        replace("link.pem", "one/tls.pem");
        watcher.look();
        replace("link-key.pem", "one/tls-key.pem");
        watcher.look();
        assert!(serves(&watcher, "a.example"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_file_is_read_again_and_a_bad_one_is_not() {
        let temp = tempfile::tempdir().unwrap();
        write(temp.path(), "a", "a");
        let sources = sources(temp.path(), &["a"], &["a"]);
        let tls = Acceptor::new(sources.load().unwrap(), &tickets()).unwrap();
        let mut watcher = Watcher { seen: sources.stamps(), sources, tls };
        let before = watcher.seen.clone();
        fs::write(temp.path().join("a.pem"), "a broken certificate").unwrap();
        assert!(watcher.reload().is_err());
        watcher.look();
        assert_ne!(watcher.seen, before, "a bad file is told of once");
        write(temp.path(), "a", "longer-name.example");
        watcher.look();
        assert_eq!(watcher.seen, watcher.sources.stamps());
        assert_eq!(watcher.reload(), Ok(2), "the host has lost its certificate and gets another");
    }
}
