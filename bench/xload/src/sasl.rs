//! PLAIN and SCRAM (RFC 5802) for the client side. The salted password is cached by (mechanism, salt, iterations), as
//! a phone does, so that the generator does not pay PBKDF2 for every login.
use base64::{Engine, engine::general_purpose::STANDARD as B64};
use ring::{digest, hmac, pbkdf2};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::rc::Rc;

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Mech {
    Plain,
    Sha1,
    Sha256,
}

impl Mech {
    pub fn parse(s: &str) -> Result<Mech, String> {
        match s.to_ascii_lowercase().as_str() {
            "plain" => Ok(Mech::Plain),
            "scram-sha-1" | "sha1" => Ok(Mech::Sha1),
            "scram-sha-256" | "sha256" => Ok(Mech::Sha256),
            _ => Err(format!("unknown mechanism {s}")),
        }
    }
    pub fn name(self) -> &'static str {
        match self {
            Mech::Plain => "PLAIN",
            Mech::Sha1 => "SCRAM-SHA-1",
            Mech::Sha256 => "SCRAM-SHA-256",
        }
    }
    fn h(self) -> hmac::Algorithm {
        if self == Mech::Sha256 { hmac::HMAC_SHA256 } else { hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY }
    }
    fn d(self) -> &'static digest::Algorithm {
        if self == Mech::Sha256 { &digest::SHA256 } else { &digest::SHA1_FOR_LEGACY_USE_ONLY }
    }
    fn p(self) -> pbkdf2::Algorithm {
        if self == Mech::Sha256 { pbkdf2::PBKDF2_HMAC_SHA256 } else { pbkdf2::PBKDF2_HMAC_SHA1 }
    }
}

type Salted = Rc<Vec<u8>>;

#[derive(Default)]
pub struct Cache {
    m: RefCell<HashMap<String, Salted>>,
    pub misses: Cell<u64>,
    dirty: Cell<bool>,
}

impl Cache {
    pub fn load(path: &str) -> Cache {
        let c = Cache::default();
        if let Ok(s) = std::fs::read_to_string(path) {
            for l in s.lines() {
                if let Some((k, v)) = l.split_once('\t')
                    && let Ok(v) = B64.decode(v)
                {
                    c.m.borrow_mut().insert(k.to_string(), Rc::new(v));
                }
            }
        }
        c
    }
    pub fn save(&self, path: &str) {
        if !self.dirty.get() {
            return;
        }
        let mut s = String::new();
        for (k, v) in self.m.borrow().iter() {
            s.push_str(&format!("{k}\t{}\n", B64.encode(v.as_slice())));
        }
        let _ = std::fs::write(path, s);
    }
    fn get(&self, mech: Mech, pass: &str, salt: &[u8], iter: u32) -> Result<Salted, String> {
        let key = format!("{} {} {} {}", mech.name(), iter, B64.encode(salt), pass);
        if let Some(v) = self.m.borrow().get(&key) {
            return Ok(Rc::clone(v));
        }
        self.misses.set(self.misses.get() + 1);
        self.dirty.set(true);
        let mut out = vec![0u8; mech.d().output_len()];
        let n = NonZeroU32::new(iter).ok_or("zero iterations")?;
        pbkdf2::derive(mech.p(), n, salt, pass.as_bytes(), &mut out);
        let v = Rc::new(out);
        self.m.borrow_mut().insert(key, Rc::clone(&v));
        Ok(v)
    }
}

pub fn b64(x: &[u8]) -> String {
    B64.encode(x)
}
pub fn unb64(x: &[u8]) -> Result<Vec<u8>, String> {
    let t: Vec<u8> = x.iter().copied().filter(|c| !c.is_ascii_whitespace()).collect();
    B64.decode(t).map_err(|e| format!("base64: {e}"))
}

pub fn plain(user: &str, pass: &str) -> String {
    b64(format!("\0{user}\0{pass}").as_bytes())
}

pub struct Scram {
    mech: Mech,
    first_bare: String,
    nonce: String,
    server_sig: Vec<u8>,
}

impl Scram {
    pub fn new(mech: Mech, user: &str, rnd: u64) -> (Scram, String) {
        let nonce = format!("xl{rnd:016x}{:08x}", std::process::id());
        let first_bare = format!("n={user},r={nonce}");
        let msg = b64(format!("n,,{first_bare}").as_bytes());
        (Scram { mech, first_bare, nonce, server_sig: vec![] }, msg)
    }
    pub fn challenge(&mut self, data: &[u8], pass: &str, cache: &Cache) -> Result<String, String> {
        let sf = String::from_utf8(unb64(data)?).map_err(|e| e.to_string())?;
        let (mut r, mut s, mut i) = ("", "", 0u32);
        for p in sf.split(',') {
            if let Some(v) = p.strip_prefix("r=") {
                r = v;
            } else if let Some(v) = p.strip_prefix("s=") {
                s = v;
            } else if let Some(v) = p.strip_prefix("i=") {
                i = v.parse().map_err(|_| "bad i=")?;
            }
        }
        if !r.starts_with(&self.nonce) {
            return Err(format!("server nonce does not extend ours: {sf}"));
        }
        let salted = cache.get(self.mech, pass, &unb64(s.as_bytes())?, i)?;
        let k = hmac::Key::new(self.mech.h(), &salted);
        let client_key = hmac::sign(&k, b"Client Key");
        let server_key = hmac::sign(&k, b"Server Key");
        let stored = digest::digest(self.mech.d(), client_key.as_ref());
        let wo = format!("c=biws,r={r}");
        let am = format!("{},{},{}", self.first_bare, sf, wo);
        let sig = hmac::sign(&hmac::Key::new(self.mech.h(), stored.as_ref()), am.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(sig.as_ref()).map(|(a, b)| a ^ b).collect();
        self.server_sig =
            hmac::sign(&hmac::Key::new(self.mech.h(), server_key.as_ref()), am.as_bytes())
                .as_ref()
                .to_vec();
        Ok(b64(format!("{wo},p={}", b64(&proof)).as_bytes()))
    }
    pub fn verify(&self, data: &[u8]) -> Result<(), String> {
        let v = unb64(data)?;
        let v = v.strip_prefix(b"v=").ok_or("no v= in the server's final message")?;
        let v = v.split(|c| *c == b',').next().unwrap_or(b"");
        if unb64(v)? == self.server_sig {
            Ok(())
        } else {
            Err("server signature does not match".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    /// the example of RFC 5802, section 5
    #[test]
    fn rfc5802() {
        let c = Cache::default();
        let mut s = Scram {
            mech: Mech::Sha1,
            first_bare: "n=user,r=fyko+d2lbbFgONRv9qkxdawL".into(),
            nonce: "fyko+d2lbbFgONRv9qkxdawL".into(),
            server_sig: vec![],
        };
        let ch = b64(b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096");
        let r = s.challenge(ch.as_bytes(), "pencil", &c).unwrap();
        assert_eq!(
            unb64(r.as_bytes()).unwrap(),
            b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
        );
        s.verify(b64(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=").as_bytes()).unwrap();
        assert!(s.verify(b64(b"v=AAAA").as_bytes()).is_err());
    }
}
