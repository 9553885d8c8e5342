//! Keys of tokens. Each has one algorithm (RFC 8725 section 3.1).

use base64::{Engine, engine::general_purpose::STANDARD};
use pkcs1::RsaPublicKey;
use ring::{
    hmac,
    signature::{
        self as sig, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
        VerificationAlgorithm,
    },
};
use spki::{
    ObjectIdentifier, SubjectPublicKeyInfoRef,
    der::{Decode, Document},
};
use std::fmt;
use thiserror::Error;

/// Fewest bytes of a secret: what nobody tries all of (RFC 8725 section 3.5).
pub const SECRET: usize = 32;

/// Fewest bytes of an RSA modulus.
const MODULUS: usize = 256;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

macro_rules! algorithms {
    ($($name:ident $text:literal $kind:ident,)+) => {
        /// How a token is signed (RFC 7518 section 3.1, RFC 8037).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Algorithm { $(#[doc = concat!("`", $text, "`")] $name,)+ }

        impl Algorithm {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The registered name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            fn kind(self) -> Kind {
                match self { $(Self::$name => Kind::$kind,)+ }
            }
        }
    };
}

algorithms! {
    HS256 "HS256" Secret,
    HS384 "HS384" Secret,
    HS512 "HS512" Secret,
    RS256 "RS256" Rsa,
    RS384 "RS384" Rsa,
    RS512 "RS512" Rsa,
    PS256 "PS256" Rsa,
    PS384 "PS384" Rsa,
    PS512 "PS512" Rsa,
    ES256 "ES256" Point,
    ES384 "ES384" Point,
    EdDSA "EdDSA" Point,
}

#[derive(PartialEq, Eq)]
enum Kind {
    Secret,
    Rsa,
    Point,
}

impl Algorithm {
    /// The one of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|algorithm| algorithm.name() == name)
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::HS512 => hmac::HMAC_SHA512,
            Self::HS384 => hmac::HMAC_SHA384,
            _ => hmac::HMAC_SHA256,
        }
    }

    fn rsa(self) -> &'static RsaParameters {
        match self {
            Self::RS384 => &sig::RSA_PKCS1_2048_8192_SHA384,
            Self::RS512 => &sig::RSA_PKCS1_2048_8192_SHA512,
            Self::PS256 => &sig::RSA_PSS_2048_8192_SHA256,
            Self::PS384 => &sig::RSA_PSS_2048_8192_SHA384,
            Self::PS512 => &sig::RSA_PSS_2048_8192_SHA512,
            _ => &sig::RSA_PKCS1_2048_8192_SHA256,
        }
    }

    /// And how long a key is, in bytes.
    fn point(self) -> (&'static dyn VerificationAlgorithm, usize) {
        match self {
            Self::ES384 => (&sig::ECDSA_P384_SHA384_FIXED, 97),
            Self::EdDSA => (&sig::ED25519, 32),
            _ => (&sig::ECDSA_P256_SHA256_FIXED, 65),
        }
    }
}

/// Why something is no key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// It is not what it should be.
    #[error("this is no {0}")]
    Malformed(&'static str),
    /// A private key, which does not belong here.
    #[error("this is a private key: only the public one is needed, and should be here")]
    Private,
    /// A public key where a secret is expected.
    #[error("this is a file of a key, not a secret")]
    NotASecret,
    /// Too few bits.
    #[error("the key is too short: a secret has at least {SECRET} bytes, an RSA key 2048 bits")]
    Short,
    /// Another algorithm than the key's kind has, or one that is unknown.
    #[error("the key is not of that algorithm, or of none that is known")]
    Algorithm,
}

/// Whether it is a key or a certificate in some notation, or a set of keys, though none that can be read here: whoever has the
/// public key could make tokens if that were a secret.
fn is_known_to_all(bytes: &[u8]) -> bool {
    // also in UTF-16
    let plain: Vec<u8> = bytes.iter().copied().filter(|b| !b"\0\r\n".contains(b)).collect();
    let has = |part: &[u8]| plain.windows(part.len()).any(|at| at == part);
    has(b"-----BEGIN ")
        || has(b"\"kty\"")
        || [&b"ssh-"[..], b"ecdsa-sha2-"].iter().any(|name| plain.starts_with(name))
        || is_der(bytes)
        || STANDARD.decode(&plain).is_ok_and(|der| is_der(&der))
}

/// A key or a certificate as bytes: a sequence as long as all of it, which begins with a number or another sequence.
fn is_der(bytes: &[u8]) -> bool {
    let (length, content) = match bytes {
        [0x30, 0x82, high, low, content @ ..] => {
            (usize::from(*high) << 8 | usize::from(*low), content)
        }
        [0x30, 0x81, length, content @ ..] => (usize::from(*length), content),
        [0x30, length, content @ ..] if *length < 0x80 => (usize::from(*length), content),
        _ => return false,
    };
    // white space at the end was cut off
    (content.len()..content.len() + 3).contains(&length)
        && matches!(content.first(), Some(0x02 | 0x30))
}

enum Material {
    Secret(hmac::Key),
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Point(Vec<u8>),
}

/// A key that verifies.
pub struct Key {
    algorithm: Algorithm,
    id: Option<String>,
    material: Material,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (algorithm, id) = (self.algorithm, &self.id);
        f.debug_struct("Key").field("algorithm", &algorithm).field("id", id).finish_non_exhaustive()
    }
}

impl Key {
    /// A secret that is shared with who makes tokens.
    ///
    /// # Errors
    /// When it is too short, the text of a public key (with which anybody could make tokens), or the algorithm has no secrets.
    pub fn secret(secret: &[u8], algorithm: Algorithm) -> Result<Self, KeyError> {
        if algorithm.kind() != Kind::Secret {
            return Err(KeyError::Algorithm);
        }
        if is_known_to_all(secret) {
            return Err(KeyError::NotASecret);
        }
        if secret.len() < SECRET {
            return Err(KeyError::Short);
        }
        let material = Material::Secret(hmac::Key::new(algorithm.hmac(), secret));
        Ok(Self { algorithm, id: None, material })
    }

    /// The keys of a file: a JSON Web Key Set, a public key in PEM, or else the bytes of a secret, without a line end.
    ///
    /// # Errors
    /// When it is none of them; those of each.
    pub fn any(bytes: &[u8], algorithm: Option<Algorithm>) -> Result<Vec<Self>, KeyError> {
        let bytes = bytes.trim_ascii_end();
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        // some editors write a mark of the byte order
        let text = text.trim_start_matches('\u{feff}').trim_start();
        if text.starts_with('{') {
            return Self::jwks(text);
        }
        if text.starts_with("-----BEGIN") {
            return Ok(vec![Self::pem(text, algorithm)?]);
        }
        Ok(vec![Self::secret(bytes, algorithm.unwrap_or(Algorithm::HS256))?])
    }

    /// A public key as OpenSSL writes it: `PUBLIC KEY` or `RSA PUBLIC KEY`. Of what kind it is, it says itself; which of the
    /// algorithms of RSA, `algorithm` does (RS256 if nothing does).
    ///
    /// # Errors
    /// When it is no such text, is too short, or of another kind.
    pub fn pem(text: &str, algorithm: Option<Algorithm>) -> Result<Self, KeyError> {
        let malformed = KeyError::Malformed("public key in PEM");
        let (label, der) = Document::from_pem(text.trim()).map_err(|_| malformed.clone())?;
        match label {
            "PUBLIC KEY" => Self::spki(der.as_bytes(), algorithm),
            "RSA PUBLIC KEY" => Self::pkcs1(der.as_bytes(), algorithm),
            label if label.ends_with("PRIVATE KEY") => Err(KeyError::Private),
            _ => Err(malformed),
        }
    }

    fn spki(der: &[u8], algorithm: Option<Algorithm>) -> Result<Self, KeyError> {
        let malformed = KeyError::Malformed("public key in PEM");
        let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| malformed.clone())?;
        let bytes = info.subject_public_key.as_bytes().ok_or(malformed)?;
        let curve = || info.algorithm.parameters_oid().ok();
        let own = match info.algorithm.oid {
            RSA => return Self::pkcs1(bytes, algorithm),
            EC if curve() == Some(P256) => Algorithm::ES256,
            EC if curve() == Some(P384) => Algorithm::ES384,
            ED25519 => Algorithm::EdDSA,
            _ => return Err(KeyError::Algorithm),
        };
        match algorithm {
            Some(algorithm) if algorithm != own => Err(KeyError::Algorithm),
            _ => Self::point(own, bytes.to_vec()),
        }
    }

    fn pkcs1(der: &[u8], algorithm: Option<Algorithm>) -> Result<Self, KeyError> {
        let key = RsaPublicKey::from_der(der);
        let key = key.map_err(|_| KeyError::Malformed("RSA public key"))?;
        let (n, e) = (key.modulus.as_bytes(), key.public_exponent.as_bytes());
        Self::rsa(algorithm.unwrap_or(Algorithm::RS256), n.to_vec(), e.to_vec())
    }

    /// Modulus and exponent, big-endian.
    pub(super) fn rsa(algorithm: Algorithm, n: Vec<u8>, e: Vec<u8>) -> Result<Self, KeyError> {
        if algorithm.kind() != Kind::Rsa {
            return Err(KeyError::Algorithm);
        }
        if n.len() < MODULUS {
            return Err(KeyError::Short);
        }
        Ok(Self { algorithm, id: None, material: Material::Rsa { n, e } })
    }

    /// A point of a curve: with a leading 4 of the NIST curves, bare of Ed25519.
    pub(super) fn point(algorithm: Algorithm, point: Vec<u8>) -> Result<Self, KeyError> {
        if algorithm.kind() != Kind::Point {
            return Err(KeyError::Algorithm);
        }
        if point.len() != algorithm.point().1 {
            return Err(KeyError::Malformed("public key of its curve"));
        }
        Ok(Self { algorithm, id: None, material: Material::Point(point) })
    }

    /// The same with a name, by which tokens ask for it (`kid`).
    pub fn named(self, id: Option<String>) -> Self {
        Self { id, ..self }
    }

    /// The one algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its name.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether it made the signature.
    pub(super) fn verify(&self, signed: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Secret(key) => hmac::verify(key, signed, signature).is_ok(),
            Material::Rsa { n, e } => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(self.algorithm.rsa(), signed, signature).is_ok()
            }
            Material::Point(point) => {
                let (algorithm, _) = self.algorithm.point();
                UnparsedPublicKey::new(algorithm, point).verify(signed, signature).is_ok()
            }
        }
    }
}
