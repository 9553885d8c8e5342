//! Which certificate a client gets, and what its authentication binds to.

use ring::digest;
use rustls::{
    client::verify_server_name,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::sync::Arc;

/// A certificate chain with its key.
#[derive(Debug)]
pub struct Identity {
    /// The certificate, then those that vouch for it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
}

/// The certificates in force, the default one first.
#[derive(Debug)]
pub(crate) struct Certificates(pub(crate) Vec<Arc<CertifiedKey>>);

impl Certificates {
    /// The first that is good for `name`, else for `host`; the first of all when none is.
    pub(crate) fn find(
        &self,
        name: Option<&str>,
        host: Option<&str>,
    ) -> Option<&Arc<CertifiedKey>> {
        match self.0.as_slice() {
            [only] => Some(only),
            all => [name, host].into_iter().flatten().find_map(|n| self.good(n)).or(all.first()),
        }
    }

    fn good(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = ServerName::try_from(name).ok()?;
        self.0.iter().find(|key| {
            let parsed = key.cert.first().and_then(|c| ParsedCertificate::try_from(c).ok());
            parsed.is_some_and(|c| verify_server_name(&c, &name).is_ok())
        })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name(), None).cloned()
    }
}

/// The certificates for a client that has said which host it wants before TLS began: when it does
/// not say it there again, it gets that host's (RFC 6120 section 13.7.2.1 has it check for that one).
#[derive(Debug)]
pub(crate) struct ForHost(pub(crate) Arc<Certificates>, pub(crate) String);

impl ResolvesServerCert for ForHost {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.find(hello.server_name(), Some(&self.1)).cloned()
    }
}

/// RFC 5929 section 4.1: the certificate's hash, by the hash function of its signature; SHA-256 for
/// MD5 and SHA-1. `None` where the signature has none of its own.
pub(crate) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    let (_, inside, _) = der(certificate)?;
    let (_, _, after_tbs) = der(inside)?;
    let (_, algorithm, _) = der(after_tbs)?;
    let (_, oid, _) = der(algorithm)?;
    let hash = if let Some(kind) = oid.strip_prefix(RSA) {
        match kind {
            [12] => &digest::SHA384,
            [13] => &digest::SHA512,
            _ => &digest::SHA256,
        }
    } else {
        match oid.strip_prefix(ECDSA)? {
            [3, 3] => &digest::SHA384,
            [3, 4] => &digest::SHA512,
            _ => &digest::SHA256,
        }
    };
    Some(digest::digest(hash, certificate).as_ref().to_vec())
}

/// The first DER element: tag, content, and what follows it.
fn der(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (len, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (len.iter().fold(0, |n, b| n << 8 | usize::from(*b)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_point_is_hashed_as_the_certificate_is_signed() {
        let made = rcgen::generate_simple_self_signed(["example.com".to_owned()]).unwrap();
        let der = made.cert.der();
        // rcgen signs with ECDSA and SHA-256
        assert_eq!(end_point(der).unwrap(), digest::digest(&digest::SHA256, der).as_ref());
        assert_eq!(end_point(&[0x30, 0x80]), None);
        assert_eq!(end_point(b""), None);
    }
}
