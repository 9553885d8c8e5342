//! The client's side of SCRAM (RFC 5802), for scripts.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;
use xmpp::sasl::Hash;

/// A client that logs on once.
#[derive(Debug)]
pub struct Client {
    hash: Hash,
    password: String,
    bare: String,
    /// The header that says what is bound to, and what that is.
    binding: Vec<u8>,
    gs2: String,
}

const NONCE: &str = "fyko+d2lbbFgONRv9qkxdawL";

impl Client {
    /// A client with these credentials.
    pub fn new(hash: Hash, user: &str, password: &str) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={user},r={NONCE}");
        Self { hash, password: password.to_owned(), bare, binding: Vec::new(), gs2: "n,,".into() }
    }

    /// Binds the client to the channel (RFC 5802 section 6).
    #[must_use]
    pub fn bound(mut self, name: &str, data: &[u8]) -> Self {
        self.gs2 = format!("p={name},,");
        self.binding = data.to_vec();
        self
    }

    /// Makes it one that could bind the channel, and saw no mechanism for it.
    #[must_use]
    pub fn able(mut self) -> Self {
        self.gs2 = "y,,".into();
        self
    }

    /// The first message, in base64.
    pub fn first(&self) -> String {
        BASE64.encode(format!("{}{}", self.gs2, self.bare))
    }

    /// The last message, in base64; `None` when the challenge makes no sense.
    pub fn last(&mut self, challenge: &str) -> Option<String> {
        let challenge = String::from_utf8(BASE64.decode(challenge.trim()).ok()?).ok()?;
        let part = |name: &str| challenge.split(',').find_map(|p| p.strip_prefix(name));
        let (nonce, salt) = (part("r=")?, BASE64.decode(part("s=")?).ok()?);
        let rounds = NonZeroU32::new(part("i=")?.parse().ok()?)?;
        let (kdf, mac, hash) = match self.hash {
            Hash::Sha1 => (
                pbkdf2::PBKDF2_HMAC_SHA1,
                hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                &digest::SHA1_FOR_LEGACY_USE_ONLY,
            ),
            Hash::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, hmac::HMAC_SHA256, &digest::SHA256),
            Hash::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, hmac::HMAC_SHA512, &digest::SHA512),
        };
        let mut salted = vec![0; hash.output_len()];
        pbkdf2::derive(kdf, rounds, &salt, self.password.as_bytes(), &mut salted);
        let sign = |key: &[u8], data: &[u8]| hmac::sign(&hmac::Key::new(mac, key), data);
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(hash, client_key.as_ref());
        let bound = BASE64.encode([self.gs2.as_bytes(), &self.binding].concat());
        let without_proof = format!("c={bound},r={nonce}");
        let message = format!("{},{challenge},{without_proof}", self.bare);
        let signature = sign(stored_key.as_ref(), message.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        Some(BASE64.encode(format!("{without_proof},p={}", BASE64.encode(proof))))
    }
}
