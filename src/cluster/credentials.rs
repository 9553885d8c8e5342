//! What a node has to show other nodes, and knows them by: files that `mangrove cluster init` makes.

use super::secret::{ClusterSecret, ClusterSecretError};
use crate::files::{self, FileError};
use config::{Config, is_node_name};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use ring::rand::{SecureRandom, SystemRandom};
use std::{
    fmt::Display,
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use thiserror::Error;

/// For how many days a node's certificate is good.
const NODE_DAYS: u64 = 365;
/// And the authority's.
const CA_DAYS: u64 = 20 * 365;
/// Clocks of nodes may differ.
const BEFORE: Duration = Duration::from_hours(24);

/// The credentials of a node are missing or wrong, or cannot be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The secret.
    #[error(transparent)]
    Secret(#[from] ClusterSecretError),
    /// A file is missing.
    #[error("{} is missing: `mangrove cluster init` makes it", .0.display())]
    Missing(PathBuf),
    /// A certificate cannot be made.
    #[error("{}: {message}", path.display())]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// No certificate can name this node.
    #[error(
        "a node of a cluster is called by letters, digits, - and ., beginning with a letter or digit, not {0:?}"
    )]
    Name(String),
}

/// The files of a node's credentials.
#[derive(Clone, Debug)]
pub struct Credentials {
    dir: PathBuf,
}

impl Credentials {
    /// As configured: `cluster` under data, if nothing else is said.
    pub fn of(config: &Config) -> Self {
        let default = || config.server.data.join("cluster");
        Self { dir: config.cluster.credentials.clone().unwrap_or_else(default) }
    }

    /// Those in that directory.
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The certificate of the authority that vouches for nodes, in PEM.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// The node's certificate, in PEM.
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("node.crt")
    }

    /// Its private key, in PEM.
    pub fn key(&self) -> PathBuf {
        self.dir.join("node.key")
    }

    /// The cookie that nodes say besides.
    pub fn cookie(&self) -> Result<String, CredentialsError> {
        let path = self.dir.join("cookie");
        let bytes = files::read(&path)?.ok_or_else(|| CredentialsError::Missing(path.clone()))?;
        let text = String::from_utf8(bytes).map_err(|_| wrong(&path, &"it is not text"))?;
        match text.trim() {
            "" => Err(wrong(&path, &"it is empty")),
            cookie => Ok(cookie.to_owned()),
        }
    }

    /// The secret that all nodes share.
    pub fn secret(&self) -> Result<ClusterSecret, CredentialsError> {
        let path = self.dir.join("secret");
        ClusterSecret::read(&path)?.ok_or(CredentialsError::Missing(path))
    }
}

fn wrong(path: &Path, message: &dyn Display) -> CredentialsError {
    CredentialsError::Wrong { path: path.to_owned(), message: message.to_string() }
}

fn write(path: &Path, text: &str) -> Result<(), CredentialsError> {
    Ok(files::write(path, text.as_bytes())?)
}

fn read(path: &Path) -> Result<String, CredentialsError> {
    let bytes = files::read(path)?.ok_or_else(|| CredentialsError::Missing(path.to_owned()))?;
    String::from_utf8(bytes).map_err(|_| wrong(path, &"it is not text"))
}

/// What was made.
#[derive(Debug, PartialEq, Eq)]
pub struct Made {
    /// The authority, the secret and the cookie are new: else they were there.
    pub cluster: bool,
    /// The directories of the nodes, each of which is to be copied to its node.
    pub nodes: Vec<PathBuf>,
}

/// Makes what the nodes of a cluster need, in `dir`: there an authority, the secret and the cookie, if they are not there, and a
/// directory for each of these nodes with all that it needs. Of a node that has one it is renewed.
///
/// # Errors
/// When a file cannot be written, or what is there is damaged.
pub fn init(dir: &Path, nodes: &[String]) -> Result<Made, CredentialsError> {
    if let Some(name) = nodes.iter().find(|name| !is_node_name(name)) {
        return Err(CredentialsError::Name(name.clone()));
    }
    files::make_dir(dir)?;
    let (ca, ca_key) = (dir.join("ca.crt"), dir.join("ca.key"));
    let (secret, cookie) = (dir.join("secret"), dir.join("cookie"));
    let cluster = files::read(&ca_key)?.is_none();
    if cluster {
        let (certificate, key) = authority().map_err(|e| wrong(&ca, &e))?;
        write(&ca, &certificate)?;
        write(&cookie, &random(&cookie)?)?;
        ClusterSecret::make(&secret)?;
        // last: what is begun without it is made anew
        write(&ca_key, &key)?;
    }
    let key = KeyPair::from_pem(&read(&ca_key)?).map_err(|e| wrong(&ca_key, &e))?;
    let issuer = Issuer::from_ca_cert_pem(&read(&ca)?, key).map_err(|e| wrong(&ca, &e))?;
    let mut made = Vec::new();
    for node in nodes {
        let of_node = dir.join(node);
        files::make_dir(&of_node)?;
        let place = Credentials::at(&of_node);
        let path = place.certificate();
        let (certificate, key) = signed(node, &issuer).map_err(|e| wrong(&path, &e))?;
        write(&place.key(), &key)?;
        write(&path, &certificate)?;
        write(&place.ca(), &read(&ca)?)?;
        write(&of_node.join("cookie"), &read(&cookie)?)?;
        write(&of_node.join("secret"), &read(&secret)?)?;
        made.push(of_node);
    }
    Ok(Made { cluster, nodes: made })
}

/// Another version of the secret, in `dir` and in those of its nodes.
///
/// # Errors
/// As [`init`].
pub fn rotate(dir: &Path) -> Result<u32, CredentialsError> {
    let path = dir.join("secret");
    let missing = || CredentialsError::Missing(path.clone());
    let mut secret = ClusterSecret::read(&path)?.ok_or_else(missing)?;
    secret.rotate(&path)?;
    let entries = std::fs::read_dir(dir).map_err(|e| FileError::new("read", dir, e))?;
    for entry in entries.flatten().filter(|entry| entry.path().join("node.crt").exists()) {
        secret.write(&entry.path().join("secret"))?;
    }
    Ok(secret.version())
}

fn random(path: &Path) -> Result<String, CredentialsError> {
    let mut bytes = [0_u8; 24];
    let none = |_| FileError::new("make", path, io::Error::other("no random numbers"));
    SystemRandom::new().fill(&mut bytes).map_err(none)?;
    Ok(base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes))
}

fn params(name: &str, days: u64) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = SystemTime::now();
    params.not_before = (now - BEFORE).into();
    params.not_after = (now + Duration::from_hours(24 * days)).into();
    Ok(params)
}

/// An authority: its certificate and key, in PEM.
fn authority() -> Result<(String, String), rcgen::Error> {
    let mut params = params("mangrove cluster", CA_DAYS)?;
    params.subject_alt_names.clear();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// A node's certificate and key, in PEM.
fn signed(node: &str, issuer: &Issuer<'_, KeyPair>) -> Result<(String, String), rcgen::Error> {
    let mut params = params(node, NODE_DAYS)?;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, issuer)?.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt, process::Command};

    fn names(nodes: &[&str]) -> Vec<String> {
        nodes.iter().map(|&node| node.to_owned()).collect()
    }

    #[test]
    fn an_authority_vouches_for_its_nodes_and_openssl_agrees() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("cluster");
        let made = init(&dir, &names(&["n1", "n2.example.org"])).unwrap();
        assert!(made.cluster);
        assert_eq!(made.nodes, [dir.join("n1"), dir.join("n2.example.org")]);
        for node in &made.nodes {
            let name = node.file_name().unwrap().to_str().unwrap();
            for purpose in ["sslserver", "sslclient"] {
                let mut openssl = Command::new("openssl");
                openssl.args(["verify", "-purpose", purpose, "-verify_hostname", name, "-CAfile"]);
                let judged = openssl.arg(dir.join("ca.crt")).arg(node.join("node.crt")).output();
                let judged = judged.unwrap();
                assert!(judged.status.success(), "{judged:?}");
            }
            let place = Credentials::at(node);
            assert!(place.cookie().unwrap().len() >= 32);
            assert_eq!(place.secret().unwrap().version(), 1);
            for file in ["node.key", "secret", "cookie"] {
                let mode = fs::metadata(node.join(file)).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "{file}");
            }
        }
        // once more: the authority stays, and one of the nodes has another certificate
        let before = |node: &str| fs::read(dir.join(node).join("node.crt")).unwrap();
        let (one, two) = (before("n1"), before("n2.example.org"));
        let again = init(&dir, &names(&["n1", "n3"])).unwrap();
        assert!(!again.cluster && before("n1") != one && before("n2.example.org") == two);
        let same = |file: &str| {
            let of = |node: &str| fs::read(dir.join(node).join(file)).unwrap();
            of("n3") == of("n1") && of("n3") == of("n2.example.org")
        };
        assert!(same("ca.crt") && same("cookie") && same("secret"));
        assert_eq!(rotate(&dir).unwrap(), 2);
        assert!(same("secret"));
        assert_eq!(Credentials::at(&dir.join("n3")).secret().unwrap().version(), 2);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["", "a/b", "..", ".a", "n1@host", "a b", "n_1"] {
            let error = init(temp.path(), &names(&[name])).unwrap_err().to_string();
            assert!(error.contains("letters"), "{error}");
        }
        let none = Credentials::at(temp.path());
        for error in [none.cookie().unwrap_err(), none.secret().unwrap_err()] {
            assert!(error.to_string().contains("mangrove cluster init"), "{error}");
        }
        init(temp.path(), &[]).unwrap();
        fs::write(temp.path().join("ca.key"), "no key").unwrap();
        let error = init(temp.path(), &names(&["n1"])).unwrap_err().to_string();
        assert!(error.contains("ca.key"), "{error}");
    }
}
