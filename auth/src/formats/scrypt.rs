//! scrypt (RFC 7914), as PHC and passlib, Werkzeug, and Django write it.

use super::{Cost, FormatError, Scheme, Secret, Stored, limits, text};
use ::scrypt::Params;
use zeroize::Zeroizing;

const MALFORMED: FormatError = FormatError::Malformed("scrypt");

struct Hashed {
    params: Params,
    salt: Vec<u8>,
    len: usize,
}

/// N, r and p.
struct Asked {
    n: u64,
    r: u32,
    p: u32,
}

impl Asked {
    fn stored(&self, salt: Vec<u8>, hash: Vec<u8>) -> Result<Stored, FormatError> {
        let Self { n, r, p } = *self;
        limits::at_most("as p of scrypt", p.into(), limits::LANES.into())?;
        limits::at_most("as r of scrypt", r.into(), limits::BLOCK.into())?;
        let memory = n.saturating_mul(128 * u64::from(r));
        limits::at_most("bytes of memory", memory, limits::MEMORY)?;
        let filled = memory.saturating_mul(p.into());
        limits::at_most("bytes of memory, all blocks together,", filled, limits::FILLED)?;
        limits::lengths(&salt, &hash)?;
        if n < 2 || !n.is_power_of_two() {
            return Err(MALFORMED);
        }
        let log_n = u8::try_from(n.ilog2()).map_err(|_| MALFORMED)?;
        let params = Params::new(log_n, r, p, hash.len()).map_err(|_| MALFORMED)?;
        Ok(Stored::one_way(Hashed { params, salt, len: hash.len() }, hash))
    }
}

/// `ln=16,r=8,p=1$salt$hash`
pub(super) fn phc(text: &str) -> Result<Stored, FormatError> {
    let parts = || {
        let [params, salt, hash] = text::fields(text, '$')?;
        let value = |name| text::parameter(params, name, &["ln", "r", "p"]).and_then(text::number);
        let n = 1_u64.checked_shl(value("ln")?).unwrap_or(u64::MAX);
        Some((Asked { n, r: value("r")?, p: value("p")? }, text::ab64(salt)?, text::ab64(hash)?))
    };
    let (asked, salt, hash) = parts().ok_or(MALFORMED)?;
    asked.stored(salt, hash)
}

/// `N:r:p$salt$hash` in hexadecimal; the salt is text.
pub(super) fn werkzeug(text: &str) -> Result<Stored, FormatError> {
    let parts = || {
        let [params, salt, hash] = text::fields(text, '$')?;
        let [n, r, p] = text::fields(params, ':')?;
        Some((asked(n, r, p)?, salt.into(), text::hex(hash)?))
    };
    let (asked, salt, hash) = parts().ok_or(MALFORMED)?;
    asked.stored(salt, hash)
}

/// `N$salt$r$p$hash`; the salt is text.
pub(super) fn django(text: &str) -> Result<Stored, FormatError> {
    let parts = || {
        let [n, salt, r, p, hash] = text::fields(text, '$')?;
        Some((asked(n, r, p)?, salt.into(), text::base64(hash)?))
    };
    let (asked, salt, hash) = parts().ok_or(MALFORMED)?;
    asked.stored(salt, hash)
}

fn asked(n: &str, r: &str, p: &str) -> Option<Asked> {
    Some(Asked { n: text::number(n)?.into(), r: text::number(r)?, p: text::number(p)? })
}

impl Scheme for Hashed {
    fn name(&self) -> &'static str {
        "scrypt"
    }

    fn cost(&self) -> Cost {
        let memory = (128_usize << self.params.log_n()) * self.params.r() as usize;
        let filled = memory as u64 * u64::from(self.params.p());
        Cost { micros: filled / 400, memory }
    }

    fn derive(&self, password: &[u8]) -> Option<Secret> {
        let mut out = Zeroizing::new(vec![0; self.len]);
        ::scrypt::scrypt(password, &self.salt, &self.params, &mut out).ok()?;
        Some(out)
    }
}
