//! Durations ("30s", "1h30m") and sizes ("64KiB").

use crate::{
    raw::Raw,
    value::{Value, Wrong},
};
use std::{fmt, time::Duration};

/// That many milliseconds.
pub const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// That many seconds.
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// That many minutes.
pub const fn mins(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(60))
}

/// That many hours.
pub const fn hours(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(3600))
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub usize);

/// That many bytes.
pub const fn bytes(n: usize) -> ByteSize {
    ByteSize(n)
}

/// That many KiB (1024 bytes).
pub const fn kib(n: usize) -> ByteSize {
    ByteSize(n.saturating_mul(1 << 10))
}

/// That many MiB (1024 KiB).
pub const fn mib(n: usize) -> ByteSize {
    ByteSize(n.saturating_mul(1 << 20))
}

const DURATIONS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const SIZES: [(&str, usize); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Splits "90m" into number and unit.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

/// Numbers with units, from the greatest unit to the least, each at most once.
fn duration(text: &str) -> Option<Duration> {
    let mut units = DURATIONS.iter();
    let mut rest = text;
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let (n, after) = number(rest)?;
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(end)?;
        let (_, factor) = units.find(|u| u.0 == unit.trim())?;
        millis = millis.checked_add(n.checked_mul(*factor)?)?;
        rest = next;
    }
    (!text.is_empty()).then_some(Duration::from_millis(millis))
}

/// A duration as it is written in the configuration.
pub(crate) fn duration_text(d: Duration) -> String {
    let mut millis = u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    let mut out = String::new();
    for (unit, factor) in DURATIONS {
        let n = millis / factor;
        if n > 0 {
            out.push_str(&format!("{n}{unit}"));
        }
        millis %= factor;
    }
    if out.is_empty() { "0s".into() } else { out }
}

impl Value for Duration {
    type Measure = Self;
    fn kind() -> String {
        "duration".into()
    }
    fn example() -> String {
        "\"30s\"".into()
    }
    fn read(raw: &Raw, wrong: &mut Vec<Wrong>) -> Option<Self> {
        let read = raw.text().and_then(|text| duration(text.trim()));
        if read.is_none() {
            let example = guess(raw).unwrap_or("30s".into());
            let fix = format!("write it like \"{example}\"");
            wrong.push(Wrong::new(raw, format!("{} is no duration", raw.shown()), fix));
        }
        read
    }
    fn toml(&self) -> Option<String> {
        Some(format!("\"{}\"", duration_text(*self)))
    }
    fn measure(&self) -> Option<Self> {
        Some(*self)
    }
    fn limit(measure: &Self) -> String {
        duration_text(*measure)
    }
}

/// What was probably meant by "5 minutes", `30` or "1 hour".
fn guess(raw: &Raw) -> Option<String> {
    let text = raw.text().unwrap_or(&raw.written).trim();
    let (n, rest) = number(text)?;
    let word = rest.trim().to_lowercase();
    let unit = match word.as_str() {
        "" => "s",
        w if w.starts_with("ms") || w.starts_with("milli") => "ms",
        w if w.starts_with('s') => "s",
        w if w.starts_with('m') && !w.starts_with("mo") => "m",
        w if w.starts_with('h') => "h",
        w if w.starts_with('d') => "d",
        _ => return None,
    };
    let text = format!("{n}{unit}");
    duration(&text).map(|_| text)
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = SIZES.iter().take(3).find(|(_, n)| self.0 >= *n && self.0.is_multiple_of(*n));
        match whole {
            Some((unit, n)) => write!(f, "{}{unit}", self.0 / n),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Value for ByteSize {
    type Measure = Self;
    fn kind() -> String {
        "size in bytes".into()
    }
    fn example() -> String {
        "\"64MiB\"".into()
    }
    fn read(raw: &Raw, wrong: &mut Vec<Wrong>) -> Option<Self> {
        let read = match raw.integer() {
            Some(n) => usize::try_from(n).ok(),
            None => raw.text().and_then(|text| size(text.trim())),
        };
        if read.is_none() {
            wrong.push(Wrong { beyond: raw.is_integer(), ..Wrong::kind::<Self>(raw) });
        }
        read.map(Self)
    }
    fn toml(&self) -> Option<String> {
        let text = self.to_string();
        let plain = text.ends_with(|c: char| c.is_ascii_digit());
        Some(if plain { text } else { format!("\"{text}\"") })
    }
    fn measure(&self) -> Option<Self> {
        Some(*self)
    }
    fn limit(measure: &Self) -> String {
        match measure.to_string() {
            text if text.ends_with(|c: char| c.is_ascii_digit()) => format!("{text} bytes"),
            text => text,
        }
    }
}

fn size(text: &str) -> Option<usize> {
    let (n, unit) = number(text)?;
    let unit = unit.trim();
    let n = usize::try_from(n).ok()?;
    if unit.is_empty() {
        return Some(n);
    }
    let (_, factor) = SIZES.iter().find(|u| u.0.eq_ignore_ascii_case(unit))?;
    n.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let good = [
            ("30s", 30_000),
            ("0s", 0),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("250ms", 250),
            ("1s500ms", 1_500),
            ("2d", 172_800_000),
        ];
        for (text, millis) in good {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        let bad = ["", "5", "s", "5 minutes", "-5s", "5.5s", "30m1h", "5s5s", "1m60", "５s", "5µs"];
        for text in bad.into_iter().chain(["18446744073709551615d", "99999999999999999999s"]) {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for d in [secs(0), secs(59), mins(90), hours(49), Duration::from_millis(61_001)] {
            assert_eq!(duration(&duration_text(d)), Some(d));
        }
        assert_eq!(duration_text(mins(90)), "1h30m");
    }

    #[test]
    fn sizes() {
        let good = [
            ("0", 0),
            ("10000", 10_000),
            ("64KiB", 65_536),
            ("64 kib", 65_536),
            ("2MiB", 2 << 20),
            ("1GiB", 1 << 30),
            ("1kB", 1_000),
            ("5B", 5),
        ];
        for (text, n) in good {
            assert_eq!(size(text), Some(n), "{text}");
        }
        for text in ["", "KiB", "-1", "1.5MiB", "64K", "1 2", "99999999999GiB"] {
            assert_eq!(size(text), None, "{text}");
        }
        for n in [bytes(0), bytes(10_000), kib(64), mib(2), bytes(1025), kib(1 << 20)] {
            assert_eq!(size(&n.to_string()), Some(n.0));
        }
    }
}
