//! A stored password for another password: in the format, with the parameters and in the notation of the one that is there, so
//! that the application whose it is goes on as before. The salt is fresh.

use super::{Kind, Stored};
use base64::{
    Engine, alphabet,
    engine::{GeneralPurpose, general_purpose},
};
use ring::rand::{SecureRandom, SystemRandom};
use xmpp::sasl::{MAX_PASSWORD_WRITTEN, ScramKeys};

const BCRYPT: GeneralPurpose = GeneralPurpose::new(&alphabet::BCRYPT, general_purpose::NO_PAD);
/// Bytes of a fresh salt.
const SALT: usize = 16;
/// What a salt that is text is made of: 64 characters that every notation has.
const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789Zz";

/// How bytes are written.
#[derive(Clone, Copy)]
enum Writing {
    Text,
    Hex,
    Base64,
    /// Without padding.
    Bare,
    /// That of passlib: `.` for `+`.
    Passlib,
}

/// How a format begins; which of the parts between `$`, counted from the last one, is the salt; how that and the hash, which is
/// the last one, are written.
const PARTS: &[(&str, usize, Writing, Writing)] = &[
    ("pbkdf2_", 1, Writing::Text, Writing::Base64),
    ("pbkdf2:", 1, Writing::Text, Writing::Hex),
    ("$pbkdf2", 1, Writing::Passlib, Writing::Passlib),
    ("{PBKDF2", 1, Writing::Passlib, Writing::Passlib),
    ("argon2$", 1, Writing::Bare, Writing::Bare),
    ("$argon2", 1, Writing::Bare, Writing::Bare),
    ("{ARGON2}", 1, Writing::Bare, Writing::Bare),
    ("$scrypt$", 1, Writing::Bare, Writing::Bare),
    ("scrypt:", 1, Writing::Text, Writing::Hex),
    ("scrypt$", 3, Writing::Text, Writing::Base64),
    ("sha1$", 1, Writing::Text, Writing::Hex),
    ("sha256$", 1, Writing::Text, Writing::Hex),
    ("sha512$", 1, Writing::Text, Writing::Hex),
    ("$5$", 1, Writing::Text, Writing::Text),
    ("$6$", 1, Writing::Text, Writing::Text),
    ("{CRYPT}$5$", 1, Writing::Text, Writing::Text),
    ("{CRYPT}$6$", 1, Writing::Text, Writing::Text),
];

/// What `stored` would be for that password. `None`: it has no format in which a new one could be written, or the password
/// cannot be one in it. Takes the [`Stored::cost`] of `stored`; `plain` as for [`Stored::parse_or_plain`].
pub fn renewed(stored: &str, password: &str, plain: bool) -> Option<String> {
    if password.is_empty() || password.len() > MAX_PASSWORD_WRITTEN || password.contains('\0') {
        return None;
    }
    let parsed = if plain { Stored::parse_or_plain(stored) } else { Stored::parse(stored) }.ok()?;
    let new = match &parsed.kind {
        Kind::Plain(_) => password.to_owned(),
        Kind::Scram(keys) => scram(keys, password)?,
        Kind::OneWay { .. } if is_bcrypt(stored) => bcrypt(stored, password)?,
        Kind::OneWay { .. } if stored.starts_with('{') && !stored.contains('$') => {
            digest(stored, password)?
        }
        Kind::OneWay { .. } => parts(stored, password)?,
        Kind::Unusable => return None,
    };
    // one that does not fit must not get there
    let again = if plain { Stored::parse_or_plain(&new) } else { Stored::parse(&new) }.ok()?;
    again.verify(password).then_some(new)
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}

impl Writing {
    fn salt(self) -> Option<String> {
        let bytes: [u8; SALT] = random()?;
        Some(match self {
            Self::Text => {
                let letter = |b: &u8| LETTERS.get(usize::from(b & 63)).map(|c| char::from(*c));
                bytes.iter().filter_map(letter).collect()
            }
            other => other.write(&bytes),
        })
    }

    fn write(self, bytes: &[u8]) -> String {
        match self {
            Self::Text => String::from_utf8_lossy(bytes).into_owned(),
            Self::Hex => bytes.iter().map(|b| format!("{b:02x}")).collect(),
            Self::Base64 => general_purpose::STANDARD.encode(bytes),
            Self::Bare => general_purpose::STANDARD_NO_PAD.encode(bytes),
            Self::Passlib => general_purpose::STANDARD_NO_PAD.encode(bytes).replace('+', "."),
        }
    }
}

/// What a password is in the format of a stored one that has the salt which is wanted.
fn derived(with_salt: &str, password: &str) -> Option<super::Secret> {
    match Stored::parse(with_salt).ok()?.kind {
        Kind::OneWay { scheme, .. } => scheme.derive(password.as_bytes()),
        _ => None,
    }
}

fn parts(stored: &str, password: &str) -> Option<String> {
    let format = PARTS.iter().find(|(prefix, ..)| super::after(stored, prefix).is_some());
    let &(_, from_last, salt, hash) = format?;
    let mut parts: Vec<String> = stored.split('$').map(str::to_owned).collect();
    let mut place = parts.len().checked_sub(1 + from_last)?;
    // LDAP has no `$` before the iterations
    if let Some(fresh) = parts.get_mut(place) {
        *fresh = salt.salt()?;
    } else {
        return None;
    }
    let new = derived(&parts.join("$"), password)?;
    place = parts.len() - 1;
    *parts.get_mut(place)? = hash.write(&new);
    Some(parts.join("$"))
}

fn is_bcrypt(stored: &str) -> bool {
    ["$2", "bcrypt"].iter().any(|prefix| stored.starts_with(prefix))
}

/// The salt has 22 characters, and the hash follows it at once.
fn bcrypt(stored: &str, password: &str) -> Option<String> {
    let (head, last) = stored.rsplit_once('$')?;
    let (salt, hash) = (BCRYPT.encode(random::<16>()?), last.get(22..)?);
    let new = derived(&format!("{head}${salt}{hash}"), password)?;
    Some(format!("{head}${salt}{}", BCRYPT.encode(&*new)))
}

/// LDAP's: the salt behind the hash. One without a salt has none afterwards.
fn digest(stored: &str, password: &str) -> Option<String> {
    let (scheme, bytes) = stored.split_once('}')?;
    let mut bytes = super::text::base64(bytes)?;
    let length = match scheme.to_ascii_uppercase().as_str() {
        "{SHA" | "{SSHA" => 20,
        "{SHA256" | "{SSHA256" => 32,
        _ => 64,
    };
    if bytes.len() > length {
        bytes.truncate(length);
        bytes.extend(random::<SALT>()?);
    }
    let write = |bytes: &[u8]| format!("{scheme}}}{}", general_purpose::STANDARD.encode(bytes));
    let new = derived(&write(&bytes), password)?;
    let salt = bytes.split_off(length);
    Some(write(&[new.as_slice(), salt.as_slice()].concat()))
}

fn scram(keys: &ScramKeys, password: &str) -> Option<String> {
    let salt: [u8; SALT] = random()?;
    let new = ScramKeys::derive(keys.hash, password, &salt, keys.iterations)?;
    let base64 = |bytes: &[u8]| general_purpose::STANDARD.encode(bytes);
    let mechanism = xmpp::sasl::Mechanism::Scram { hash: keys.hash, plus: false };
    let (iterations, name) = (keys.iterations, mechanism.name());
    let (stored, server) = (base64(&new.stored_key), base64(&new.server_key));
    Some(format!("{name}${iterations}:{}${stored}:{server}", base64(&salt)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_not() {
        for stored in ["!", "", "*", "unknown", "md5$x$y", "$1$abc$def"] {
            assert_eq!(renewed(stored, "pencil", false), None, "{stored}");
        }
        let ssha = "{SSHA}35wiB9gaXlxv/Gv6ARg+n5iwdLyGcA7h";
        for password in ["", "a\0b"] {
            assert_eq!(renewed(ssha, password, false), None);
        }
        // it would be another format's
        assert_eq!(renewed("pencil", "{SSHA}x", true), None);
        assert_eq!(renewed("pencil", "pen", true).as_deref(), Some("pen"));
    }

    #[test]
    fn salts_are_fresh() {
        let ssha = "{SSHA}35wiB9gaXlxv/Gv6ARg+n5iwdLyGcA7h";
        let all: Vec<_> = [(); 3].map(|()| renewed(ssha, "pencil", false).unwrap()).into();
        assert!(all[0] != all[1] && all[1] != all[2] && all.iter().all(|new| new != ssha));
        let sha = renewed("{SHA}y6a/JgVxHq2Y2Hp4A93/UH/KbAE=", "pencil", false);
        assert!(sha.is_some_and(|sha| sha.len() == 33), "it had no salt");
        let werkzeug = format!("sha256$salt${}", "0".repeat(64));
        let werkzeug = renewed(&werkzeug, "pencil", false);
        assert!(werkzeug.is_some_and(|new| new.len() == 7 + SALT + 1 + 64));
    }
}
