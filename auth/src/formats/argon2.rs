//! Argon2 (RFC 9106), as PHC strings.

use super::{Cost, FormatError, Scheme, Secret, Stored, limits, text};
use ::argon2::{Algorithm, Argon2, Block, MIN_SALT_LEN, Params, Version};
use zeroize::Zeroizing;

const NAME: &str = "argon2";

struct Hashed {
    algorithm: Algorithm,
    version: Version,
    params: Params,
    salt: Vec<u8>,
}

struct Parts<'a> {
    algorithm: Algorithm,
    version: Version,
    params: &'a str,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

/// Django's `argon2$`, without that: it has `$` between where a PHC string begins with one.
pub(super) fn django(text: &str) -> Result<Stored, FormatError> {
    phc(&format!("${text}"))
}

/// `$argon2id$v=19$m=65536,t=3,p=4$salt$hash`; without `v` it is version 16.
pub(super) fn phc(text: &str) -> Result<Stored, FormatError> {
    let malformed = FormatError::Malformed(NAME);
    let Parts { algorithm, version, params, salt, hash } = parts(text).ok_or(malformed)?;
    let value = |name| text::parameter(params, name, &["m", "t", "p"]).and_then(text::number);
    let m = value("m").ok_or(malformed)?;
    let t = value("t").ok_or(malformed)?;
    let p = value("p").ok_or(malformed)?;
    let memory = u64::from(m) * Block::SIZE as u64;
    limits::at_most("lanes of argon2", p.into(), limits::LANES.into())?;
    limits::at_most("bytes of memory", memory, limits::MEMORY)?;
    limits::at_most(
        "bytes of memory, all passes together,",
        memory.saturating_mul(t.into()),
        limits::FILLED,
    )?;
    limits::lengths(&salt, &hash)?;
    limits::at_least("bytes of salt", salt.len() as u64, MIN_SALT_LEN as u64)?;
    let params = Params::new(m, t, p, Some(hash.len())).map_err(|_| malformed)?;
    Ok(Stored::one_way(Hashed { algorithm, version, params, salt }, hash))
}

fn parts(text: &str) -> Option<Parts<'_>> {
    let mut parts = text.split('$');
    if !parts.next()?.is_empty() {
        return None;
    }
    let algorithm = match parts.next()? {
        "argon2i" => Algorithm::Argon2i,
        "argon2d" => Algorithm::Argon2d,
        "argon2id" => Algorithm::Argon2id,
        _ => return None,
    };
    let next = parts.next()?;
    let (version, params) = match next.strip_prefix("v=") {
        None => (Version::V0x10, next),
        Some("16") => (Version::V0x10, parts.next()?),
        Some("19") => (Version::V0x13, parts.next()?),
        Some(_) => return None,
    };
    let (salt, hash) = (text::base64(parts.next()?)?, text::base64(parts.next()?)?);
    parts.next().is_none().then_some(Parts { algorithm, version, params, salt, hash })
}

impl Scheme for Hashed {
    fn name(&self) -> &'static str {
        self.algorithm.as_str()
    }

    fn cost(&self) -> Cost {
        let kib = u64::from(self.params.m_cost());
        let filled = kib * u64::from(self.params.t_cost());
        Cost { micros: filled * 6 / 5, memory: self.params.block_count() * Block::SIZE }
    }

    fn derive(&self, password: &[u8]) -> Option<Secret> {
        let mut out = Zeroizing::new(vec![0; self.params.output_len()?]);
        let argon2 = Argon2::new(self.algorithm, self.version, self.params.clone());
        argon2.hash_password_into(password, &self.salt, &mut out).ok()?;
        Some(out)
    }
}
