//! SCRAM, server side (RFC 5802, RFC 7677), with channel binding (RFC 5929, RFC 9266).

use super::{Failure, Hash, Mechanism, lanes, prepare, same};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::{
    digest, hmac,
    rand::{SecureRandom, SystemRandom},
};
use serde::{Deserialize, Serialize};

/// Fewest iterations (RFC 7677 section 4); also what new keys get.
pub const ITERATIONS: u32 = 4096;

/// Bytes of a salt that new keys get.
const SALT: usize = 16;

/// Longest nonce of a client, in bytes. RFC 5802 names no limit; clients use 16 to 64.
const MAX_NONCE: usize = 1024;

/// What is stored instead of a password (RFC 5802 section 3).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScramKeys {
    /// The hash function.
    pub hash: Hash,
    /// The salt.
    pub salt: Vec<u8>,
    /// PBKDF2 iterations.
    pub iterations: u32,
    /// `H(ClientKey)`
    pub stored_key: Vec<u8>,
    /// `HMAC(SaltedPassword, "Server Key")`
    pub server_key: Vec<u8>,
}

impl std::fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScramKeys").field("hash", &self.hash).finish_non_exhaustive()
    }
}

fn sign(hash: Hash, key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hash.hmac(), key), data).as_ref().to_vec()
}

impl ScramKeys {
    /// Derives keys from a password. `None` when SASLprep does not allow the password.
    pub fn derive(hash: Hash, password: &str, salt: &[u8], iterations: u32) -> Option<Self> {
        let password = prepare(password)?;
        if iterations == 0 {
            return None;
        }
        let salted = hash.salted(password.as_bytes(), salt, iterations);
        Some(Self::of(hash, &salted, salt, iterations))
    }

    /// Keys from `Hi(password, salt, iterations)`.
    fn of(hash: Hash, salted: &[u8], salt: &[u8], iterations: u32) -> Self {
        let client_key = sign(hash, salted, b"Client Key");
        Self {
            hash,
            salt: salt.to_vec(),
            iterations,
            stored_key: digest::digest(hash.digest(), &client_key).as_ref().to_vec(),
            server_key: sign(hash, salted, b"Server Key"),
        }
    }

    /// Keys for a new password, one for each hash function, each with a random salt of its own:
    /// what an account gets. `None` when it cannot be a password (see [`super::PASSWORD_RULE`]), or the
    /// system has no randomness.
    pub fn fresh(password: &str) -> Option<Vec<Self>> {
        Self::fresh_all(&[password]).pop()?
    }

    /// Fresh keys for many passwords, in their order; faster than one after the other when there are
    /// at least [`ScramKeys::TOGETHER`].
    pub fn fresh_all(passwords: &[&str]) -> Vec<Option<Vec<Self>>> {
        let prepared: Vec<_> = passwords.iter().map(|p| prepare(p)).collect();
        let allowed: Vec<&[u8]> = prepared.iter().flatten().map(|p| p.as_bytes()).collect();
        let Some(keys) = Self::keys(&allowed) else { return vec![None; passwords.len()] };
        let mut keys = keys.into_iter();
        prepared.iter().map(|p| p.as_ref().and_then(|_| keys.next())).collect()
    }

    /// Passwords whose keys are derived together.
    pub const TOGETHER: usize = lanes::LANES;

    /// Keys of each hash for each password. `None`: the system has no randomness.
    fn keys(passwords: &[&[u8]]) -> Option<Vec<Vec<Self>>> {
        let random = SystemRandom::new();
        let mut keys = vec![Vec::with_capacity(Hash::ALL.len()); passwords.len()];
        for hash in Hash::ALL {
            let mut salts = vec![[0_u8; SALT]; passwords.len()];
            for salt in &mut salts {
                random.fill(salt).ok()?;
            }
            let with = passwords.iter().zip(&salts).map(|(p, salt)| (*p, salt.as_slice()));
            let salted = hash.salted_all(&with.collect::<Vec<_>>(), ITERATIONS);
            for ((keys, salted), salt) in keys.iter_mut().zip(salted).zip(&salts) {
                keys.push(Self::of(hash, &salted, salt, ITERATIONS));
            }
        }
        Some(keys)
    }

    /// Whether the password is the one these keys were derived from.
    pub fn verify(&self, password: &str) -> bool {
        Self::derive(self.hash, password, &self.salt, self.iterations)
            .is_some_and(|k| same(&k.stored_key, &self.stored_key))
    }

    /// Keys that fit no password, for a user who does not exist: they look like those of
    /// [`ScramKeys::fresh`], one salt for each hash function, and are the same every time for the
    /// same user, so that nobody learns who exists (RFC 5802 section 9).
    pub fn fake(hash: Hash, secret: &[u8], user: &str) -> Self {
        Self::fake_as(hash, secret, user, ITERATIONS, SALT)
    }

    /// [`ScramKeys::fake`] where others have so many iterations, and a salt of so many bytes (at most 32).
    pub fn fake_as(
        hash: Hash,
        secret: &[u8],
        user: &str,
        iterations: u32,
        salt_len: usize,
    ) -> Self {
        let of = |what: &str, with| {
            let name = format!("{what} {} {user}", Mechanism::Scram { hash, plus: false }.name());
            sign(with, secret, name.as_bytes())
        };
        let mut salt = of("salt", Hash::Sha256);
        salt.truncate(salt_len);
        let key = of("key", hash);
        Self { hash, salt, iterations, stored_key: key.clone(), server_key: key }
    }
}

/// What the TLS layer can bind to. Empty without TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bindings<'a> {
    /// RFC 9266.
    pub exporter: Option<&'a [u8]>,
    /// RFC 5929 section 4.
    pub end_point: Option<&'a [u8]>,
}

impl Bindings<'_> {
    fn find(&self, name: &str) -> Option<&[u8]> {
        match name {
            "tls-exporter" => self.exporter,
            "tls-server-end-point" => self.end_point,
            _ => None,
        }
    }

    /// The names on offer (XEP-0440).
    pub fn names(&self) -> Vec<&'static str> {
        let all = ["tls-exporter", "tls-server-end-point"];
        all.into_iter().filter(|n| self.find(n).is_some()).collect()
    }
}

/// The client's first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct First {
    /// As whom it wants to act.
    pub authzid: Option<String>,
    /// Who it is, unescaped.
    pub username: String,
    gs2: String,
    binding: Option<String>,
    nonce: String,
    bare: String,
}

/// `=2C` and `=3D` (RFC 5802 section 5.1); any other `=` is an error, and NUL (section 7: `value-safe-char`).
pub(super) fn unescape(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len());
    let mut parts = name.split('=');
    out.push_str(parts.next()?);
    for part in parts {
        let rest = part.strip_prefix("2C").map(|r| (',', r));
        let (c, rest) = rest.or_else(|| part.strip_prefix("3D").map(|r| ('=', r)))?;
        out.push(c);
        out.push_str(rest);
    }
    (!out.is_empty() && !out.contains('\0')).then_some(out)
}

impl First {
    /// Parses `client-first-message`. `plus`: a mechanism with channel binding was chosen;
    /// `offered`: the one with the same hash was on offer.
    ///
    /// # Errors
    /// `malformed-request`; `not-authorized` when the client could bind the channel and says that the
    /// server cannot, though it can with this hash: somebody has changed the offer (RFC 5802 section
    /// 6). Whether the client knows the -PLUS mechanisms of other hashes nobody can tell.
    pub fn parse(message: &[u8], plus: bool, offered: bool) -> Result<Self, Failure> {
        Self::read(message, plus).ok_or(Failure::MalformedRequest).and_then(|(first, flag)| {
            if flag == "y" && offered { Err(Failure::NotAuthorized) } else { Ok(first) }
        })
    }

    fn read(message: &[u8], plus: bool) -> Option<(Self, &str)> {
        let text = std::str::from_utf8(message).ok()?;
        let (flag, rest) = text.split_once(',')?;
        let (authzid, bare) = rest.split_once(',')?;
        let binding = match flag {
            "n" | "y" => None,
            flag => Some(flag.strip_prefix("p=").filter(|n| !n.is_empty())?.to_owned()),
        };
        if binding.is_some() != plus {
            return None;
        }
        let gs2 = text.get(..text.len() - bare.len())?.to_owned();
        let authzid = match authzid {
            "" => None,
            a => Some(unescape(a.strip_prefix("a=")?)?),
        };
        // an extension the server must understand begins with m=: there is none
        let mut parts = bare.split(',');
        let username = unescape(parts.next()?.strip_prefix("n=")?)?;
        // section 7: printable, without a comma
        let printable = |n: &&str| {
            (1..=MAX_NONCE).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_graphic())
        };
        let nonce = parts.next()?.strip_prefix("r=").filter(printable)?.to_owned();
        Some((Self { authzid, username, gs2, binding, nonce, bare: bare.to_owned() }, flag))
    }

    /// The exchange and `server-first-message`.
    ///
    /// # Errors
    /// `malformed-request` when the client binds to something that is not on offer.
    pub fn challenge(
        self,
        keys: ScramKeys,
        nonce: &str,
        bindings: &Bindings<'_>,
    ) -> Result<(Exchange, String), Failure> {
        let mut input = self.gs2.into_bytes();
        if let Some(name) = &self.binding {
            input.extend_from_slice(bindings.find(name).ok_or(Failure::MalformedRequest)?);
        }
        let nonce = format!("{}{nonce}", self.nonce);
        let salt = BASE64.encode(&keys.salt);
        let server_first = format!("r={nonce},s={salt},i={}", keys.iterations);
        let exchange = Exchange {
            binding: BASE64.encode(input),
            nonce,
            so_far: format!("{},{server_first}", self.bare),
            keys,
        };
        Ok((exchange, server_first))
    }
}

/// The server waits for `client-final-message`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exchange {
    binding: String,
    nonce: String,
    so_far: String,
    keys: ScramKeys,
}

impl Exchange {
    /// Checks the client's proof; returns `server-final-message`.
    ///
    /// # Errors
    /// `malformed-request`, or `not-authorized` for a wrong proof, nonce or channel binding.
    pub fn finish(&self, message: &[u8]) -> Result<String, Failure> {
        let malformed = Failure::MalformedRequest;
        let text = std::str::from_utf8(message).map_err(|_| malformed)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(malformed)?;
        let proof = BASE64.decode(proof).map_err(|_| malformed)?;
        let mut parts = without_proof.split(',');
        let binding = parts.next().and_then(|c| c.strip_prefix("c=")).ok_or(malformed)?;
        let nonce = parts.next().and_then(|r| r.strip_prefix("r=")).ok_or(malformed)?;
        if !same(binding.as_bytes(), self.binding.as_bytes())
            || !same(nonce.as_bytes(), self.nonce.as_bytes())
            || proof.len() != self.keys.stored_key.len()
        {
            return Err(Failure::NotAuthorized);
        }
        let hash = self.keys.hash;
        let auth_message = format!("{},{without_proof}", self.so_far);
        let signature = sign(hash, &self.keys.stored_key, auth_message.as_bytes());
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(p, s)| p ^ s).collect();
        let stored = digest::digest(hash.digest(), &client_key);
        if !same(stored.as_ref(), &self.keys.stored_key) {
            return Err(Failure::NotAuthorized);
        }
        let server = sign(hash, &self.keys.server_key, auth_message.as_bytes());
        Ok(format!("v={}", BASE64.encode(server)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(hash: Hash, salt: &str, first: &str, nonce: &str) -> (Exchange, String) {
        let salt = BASE64.decode(salt).unwrap();
        let keys = ScramKeys::derive(hash, "pencil", &salt, 4096).unwrap();
        let first = First::parse(first.as_bytes(), false, false).unwrap();
        assert_eq!(first.username, "user");
        first.challenge(keys, nonce, &Bindings::default()).unwrap()
    }

    #[test]
    fn the_example_of_rfc_5802_section_5() {
        let (x, server_first) = exchange(
            Hash::Sha1,
            "QSXCR+Q6sek8bf92",
            "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            "3rfcNHYJY1ZVvWVs7j",
        );
        assert_eq!(
            server_first,
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
        );
        let last =
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
        assert_eq!(x.finish(last.as_bytes()).unwrap(), "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
        let wrong = last.replace("v0X8", "w0X8");
        assert_eq!(x.finish(wrong.as_bytes()), Err(Failure::NotAuthorized));
        let nonce = last.replace("7j,p", "7k,p");
        assert_eq!(x.finish(nonce.as_bytes()), Err(Failure::NotAuthorized));
        assert_eq!(x.finish(b"c=biws"), Err(Failure::MalformedRequest));
    }

    #[test]
    fn the_example_of_rfc_7677_section_3() {
        let (x, _) = exchange(
            Hash::Sha256,
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        );
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(
            x.finish(last.as_bytes()).unwrap(),
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
    }

    #[test]
    fn a_changed_offer_is_noticed() {
        let first = b"y,,n=user,r=abc";
        assert!(First::parse(first, false, false).is_ok());
        assert_eq!(First::parse(first, false, true), Err(Failure::NotAuthorized));
    }

    #[test]
    fn channel_binding_data_is_part_of_the_proof() {
        let keys = ScramKeys::derive(Hash::Sha256, "pencil", b"salt", 4096).unwrap();
        let first = First::parse(b"p=tls-exporter,,n=user,r=abc", true, true).unwrap();
        let none = first.clone().challenge(keys.clone(), "x", &Bindings::default());
        assert_eq!(none.unwrap_err(), Failure::MalformedRequest);
        let bindings = Bindings { exporter: Some(b"EKM"), end_point: None };
        let (x, _) = first.challenge(keys, "x", &bindings).unwrap();
        assert_eq!(x.binding, BASE64.encode("p=tls-exporter,,EKM"));
        let unbound =
            format!("c={},r=abcx,p={}", BASE64.encode("p=tls-exporter,,"), BASE64.encode([0; 32]));
        assert_eq!(x.finish(unbound.as_bytes()), Err(Failure::NotAuthorized));
    }

    #[test]
    fn names_are_unescaped_and_bad_ones_refused() {
        let f = First::parse(b"n,a=b=2Cc,n=a=3Db,r=x", false, false).unwrap();
        assert_eq!((f.authzid.as_deref(), f.username.as_str()), (Some("b,c"), "a=b"));
        for bad in [
            "n,,n=a=41,r=x",
            "n,,n=,r=x",
            "n,,r=x",
            "n,,n=a",
            "n,,m=1,n=a,r=x",
            "p=x,,n=a,r=x",
            "x",
            "n,b,n=a,r=x",
            "n,,n=a\0b,r=x",
            "n,a=\0,n=a,r=x",
            "n,,n=a,r=",
            "n,,n=a,r=b c",
            "n,,n=a,r=\u{e9}",
            &format!("n,,n=a,r={}", "x".repeat(MAX_NONCE + 1)),
        ] {
            assert_eq!(
                First::parse(bad.as_bytes(), false, false),
                Err(Failure::MalformedRequest),
                "{bad}"
            );
        }
    }

    #[test]
    fn an_unknown_user_has_keys_that_stay_and_look_like_anybodys() {
        let fake = |user| Hash::ALL.map(|hash| ScramKeys::fake(hash, b"secret", user));
        assert_eq!(fake("a"), fake("a"));
        let mut salts: Vec<_> = ["a", "b"].iter().flat_map(|u| fake(u).map(|k| k.salt)).collect();
        salts.sort();
        salts.dedup();
        assert_eq!(salts.len(), 6, "one for each user and hash");
        for (fake, real) in fake("a").iter().zip(ScramKeys::fresh("pencil").unwrap()) {
            let shape = |k: &ScramKeys| {
                (k.hash, k.salt.len(), k.iterations, k.stored_key.len(), k.server_key.len())
            };
            assert_eq!(shape(fake), shape(&real));
        }
    }

    #[test]
    fn fresh_keys_are_one_a_hash_with_salts_of_their_own() {
        let keys = ScramKeys::fresh("pencil").unwrap();
        assert_eq!(keys.iter().map(|k| k.hash).collect::<Vec<_>>(), Hash::ALL);
        assert!(keys.iter().all(|k| k.verify("pencil") && k.iterations == ITERATIONS));
        assert!(keys[0].salt != keys[1].salt && keys[1].salt != keys[2].salt);
        let longest = "x".repeat(crate::sasl::MAX_PASSWORD);
        assert!(ScramKeys::fresh(&longest).unwrap().iter().all(|k| k.verify(&longest)));
        assert_eq!(ScramKeys::fresh(&format!("{longest}x")), None);
        assert_eq!(ScramKeys::fresh(""), None);
        assert_eq!(ScramKeys::fresh("bell\u{7}"), None);
    }

    #[test]
    fn keys_of_many_are_those_of_each() {
        let passwords = ["one", "two", "", "three", "four", "bell\u{7}", "five", "six"];
        let all = ScramKeys::fresh_all(&passwords);
        assert_eq!(all.len(), passwords.len());
        for (password, keys) in passwords.iter().zip(&all) {
            let allowed = !matches!(*password, "" | "bell\u{7}");
            assert_eq!(keys.is_some(), allowed, "{password}");
            for keys in keys.iter().flatten() {
                assert!(keys.verify(password) && !keys.verify("seven"), "{password}");
            }
        }
        assert_eq!(ScramKeys::fresh_all(&[]), []);
    }

    #[test]
    fn keys_verify_their_password_and_print_nothing() {
        let keys = ScramKeys::derive(Hash::Sha512, "I\u{ad}X", b"salt", 4096).unwrap();
        assert!(keys.verify("IX"), "SASLprep maps the soft hyphen to nothing");
        assert!(!keys.verify("Ix") && !keys.verify(""));
        assert_eq!(format!("{keys:?}"), "ScramKeys { hash: Sha512, .. }");
    }
}
