//! What a server needs that lets in those who have a password, by TLS alone.

use super::KitError;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::{ffi::OsString, fs, os::unix::fs::PermissionsExt, path::PathBuf};
use tempfile::TempDir;

/// A certificate authority with a certificate for the servers of this machine, a key that members of a set know one
/// another by, and a user.
#[derive(Debug)]
pub struct Secrets {
    dir: TempDir,
    /// The user's name.
    pub user: String,
    /// The user's password.
    pub password: String,
}

impl Secrets {
    /// Makes all of it.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn make() -> Result<Self, KitError> {
        let dir = TempDir::with_prefix("mongod-secrets-")?;
        let authority = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&authority)?;
        let issuer = Issuer::from_params(&params, &authority);
        let key = KeyPair::generate()?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
        fs::write(dir.path().join("ca.pem"), ca.pem())?;
        fs::write(dir.path().join("server.pem"), server.pem() + &key.serialize_pem())?;
        let members = dir.path().join("members");
        fs::write(&members, "ThisIsKnownToTheMembersOfTheSet")?;
        fs::set_permissions(&members, fs::Permissions::from_mode(0o600))?;
        Ok(Self { dir, user: "mangrove".to_owned(), password: "p@ss:w/rd".to_owned() })
    }

    /// The certificates to trust, in PEM.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    pub(super) fn arguments(&self) -> Vec<OsString> {
        let mut arguments = vec![
            OsString::from("--tlsMode=requireTLS"),
            OsString::from("--tlsAllowConnectionsWithoutCertificates"),
        ];
        for (name, file) in [
            ("--tlsCertificateKeyFile", "server.pem"),
            ("--tlsCAFile", "ca.pem"),
            ("--keyFile", "members"),
        ] {
            arguments.extend([name.into(), self.dir.path().join(file).into()]);
        }
        arguments
    }
}
