//! Latencies, and message texts that a receiver can check.

use serde_json::{Value, json};

/// latency samples in microseconds
#[derive(Default)]
pub struct Lat {
    v: Vec<u32>,
}

impl Lat {
    pub fn add(&mut self, d: std::time::Duration) {
        self.v.push(d.as_micros().min(u32::MAX as u128) as u32);
    }
    /// milliseconds
    pub fn json(&mut self) -> Value {
        if self.v.is_empty() {
            return Value::Null;
        }
        self.v.sort_unstable();
        let n = self.v.len();
        let q = |p: f64| ms(self.v[((n as f64 * p).ceil() as usize).clamp(1, n) - 1]);
        let mean = self.v.iter().map(|x| *x as f64).sum::<f64>() / n as f64 / 1000.0;
        json!({"n": n, "mean": (mean * 1000.0).round() / 1000.0, "p50": q(0.50), "p95": q(0.95), "p99": q(0.99), "p999": q(0.999), "max": ms(self.v[n - 1])})
    }
}

fn ms(us: u32) -> f64 {
    us as f64 / 1000.0
}

pub fn r2(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}
pub fn r4(x: f64) -> f64 {
    (x * 10000.0).round() / 10000.0
}

/// A text that only (from, seq, size) determine, so that the receiver can rebuild and compare it.
pub struct Pattern {
    pat: Vec<u8>,
}

impl Pattern {
    pub fn new(max: usize) -> Pattern {
        let words =
            "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike ";
        let mut pat = Vec::with_capacity(max + 2048);
        while pat.len() < max + 2048 {
            pat.extend_from_slice(words.as_bytes());
        }
        Pattern { pat }
    }
    /// "from:seq:" then a multi-byte character and two that must be escaped, then filler up to `size` bytes
    pub fn plain(&self, from: usize, seq: u64, size: usize, out: &mut Vec<u8>) {
        let s = out.len();
        out.extend_from_slice(format!("{from}:{seq}:\u{e9}&<").as_bytes());
        let have = out.len() - s;
        if size > have {
            let off = (seq.wrapping_mul(7) % 1024) as usize;
            out.extend_from_slice(&self.pat[off..off + size - have]);
        }
    }
    /// the same, escaped for XML
    pub fn escaped(&self, from: usize, seq: u64, size: usize, out: &mut Vec<u8>) {
        let s = out.len();
        out.extend_from_slice(format!("{from}:{seq}:\u{e9}").as_bytes());
        let have = out.len() - s + 2;
        out.extend_from_slice(b"&amp;&lt;");
        if size > have {
            let off = (seq.wrapping_mul(7) % 1024) as usize;
            out.extend_from_slice(&self.pat[off..off + size - have]);
        }
    }
    /// (from, seq) of a raw (still escaped) received body, if it is exactly what the sender made
    pub fn check(&self, raw: &[u8], size: usize, tmp: &mut Vec<u8>) -> Option<(usize, u64)> {
        let c1 = memchr::memchr(b':', raw)?;
        let c2 = c1 + 1 + memchr::memchr(b':', &raw[c1 + 1..])?;
        let from: usize = std::str::from_utf8(&raw[..c1]).ok()?.parse().ok()?;
        let seq: u64 = std::str::from_utf8(&raw[c1 + 1..c2]).ok()?.parse().ok()?;
        tmp.clear();
        self.escaped(from, seq, size, tmp);
        if tmp.as_slice() == raw {
            return Some((from, seq));
        }
        tmp.clear();
        self.plain(from, seq, size, tmp);
        (crate::xml::unescape(raw) == *tmp).then_some((from, seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn pattern_roundtrip() {
        let p = Pattern::new(4096);
        let mut t = vec![];
        for size in [0usize, 10, 64, 200, 4096] {
            let mut b = vec![];
            p.escaped(12, 345, size, &mut b);
            assert_eq!(p.check(&b, size, &mut t), Some((12, 345)));
            assert_eq!(crate::xml::unescape(&b).len().max(size), crate::xml::unescape(&b).len());
            b[0] = b'9';
            let bad = p.check(&b, size, &mut t);
            assert_ne!(bad, Some((12, 345)));
            let n = b.len();
            if size > 60 {
                b[n - 1] ^= 1;
                assert_eq!(p.check(&b, size, &mut t), None);
            }
        }
    }
}
