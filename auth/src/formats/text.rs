//! Numbers and bytes as formats write them.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// With padding or without, and whatever the bits after the last byte are: libraries differ.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BCRYPT: GeneralPurpose = GeneralPurpose::new(&alphabet::BCRYPT, LENIENT);

/// Base64 (RFC 4648 section 4).
pub fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Base64 as passlib writes it: `.` for `+`.
pub fn ab64(text: &str) -> Option<Vec<u8>> {
    base64(&text.replace('.', "+"))
}

/// Base64 with bcrypt's alphabet.
pub fn bcrypt64(text: &str) -> Option<Vec<u8>> {
    BCRYPT.decode(text).ok()
}

/// Hexadecimal, in either case.
pub fn hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let digit = |c: u8| char::from(c).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    pairs.iter().map(byte).collect()
}

/// A number in decimal digits and nothing else. One that is too large for its type is the largest, so that a limit refuses it.
pub fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX))
}

/// The parts of a text, when there are exactly so many.
pub fn fields<const N: usize>(text: &str, between: char) -> Option<[&str; N]> {
    let parts: Vec<&str> = text.split(between).collect();
    parts.try_into().ok()
}

/// The value of `name=value` among parameters with commas between them, each of which must be in `all` and there at most once.
pub fn parameter<'a>(text: &'a str, name: &str, all: &[&str]) -> Option<&'a str> {
    let mut found = None;
    let mut seen = Vec::with_capacity(all.len());
    for part in text.split(',') {
        let (key, value) = part.split_once('=')?;
        if !all.contains(&key) || seen.contains(&key) {
            return None;
        }
        seen.push(key);
        if key == name {
            found = Some(value);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits() {
        assert_eq!((number("0"), number("12")), (Some(0), Some(12)));
        assert_eq!(number("99999999999999999999"), Some(u32::MAX));
        for bad in ["", "+1", "-1", "1 ", "0x1", "\u{661}"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }

    #[test]
    fn bytes_are_read_in_each_writing() {
        assert_eq!(hex("00fF").as_deref(), Some(&[0, 255][..]));
        assert_eq!((hex("0"), hex("0g"), hex("+1")), (None, None, None));
        assert_eq!((base64("+/8="), base64("+/8")), (Some(vec![251, 255]), Some(vec![251, 255])));
        assert_eq!(ab64("./8"), Some(vec![251, 255]));
        assert_eq!((base64("a b="), base64("-_8")), (None, None));
    }

    #[test]
    fn parameters_are_there_once_and_known() {
        let all = &["m", "t"];
        assert_eq!(parameter("m=1,t=2", "t", all), Some("2"));
        for bad in ["m=1,t=2,t=3", "m=1,x=2", "m", "", "m=1,,t=2"] {
            assert_eq!(parameter(bad, "t", all), None, "{bad}");
        }
    }
}
