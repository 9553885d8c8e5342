//! Numbers as clients write them: the lexical forms of XML Schema, no more and no less. Rust's own
//! `parse` takes a `+` where a schema has none, and knows no white space around a number.

/// White space that XML Schema collapses around every number (part 2, section 4.3.6).
fn collapsed(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r'])
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// `xs:unsignedInt`: digits alone (`h` of XEP-0198).
pub fn unsigned_int(text: &str) -> Option<u32> {
    let text = collapsed(text);
    is_digits(text).then(|| text.parse().ok())?
}

/// `xs:positiveInteger`: a `+` may stand before it (`max` of XEP-0198). It has no upper end: what is
/// larger counts as the largest.
pub fn positive_integer(text: &str) -> Option<u64> {
    let text = collapsed(text);
    let digits = text.strip_prefix('+').unwrap_or(text);
    is_digits(digits).then(|| digits.parse().unwrap_or(u64::MAX)).filter(|n| *n > 0)
}

/// `xs:byte`: either sign may stand before it (the priority of a presence).
pub fn byte(text: &str) -> Option<i8> {
    // the one type whose form Rust shares
    collapsed(text).parse().ok()
}

/// `xs:boolean`.
pub fn boolean(text: &str) -> Option<bool> {
    match collapsed(text) {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// Major and minor version of a stream (RFC 6120 section 4.7.5): leading zeros mean nothing, a number
/// that is larger than any version counts as the largest.
pub fn version(text: &str) -> Option<(u32, u32)> {
    let part = |text: &str| is_digits(text).then(|| text.parse().unwrap_or(u32::MAX));
    let (major, minor) = text.split_once('.')?;
    Some((part(major)?, part(minor)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsigned_int_is_digits_and_white_space_around_them() {
        let good = [
            ("0", 0),
            ("007", 7),
            (" \t\r\n4\n", 4),
            ("4294967295", u32::MAX),
            ("000000000000004294967295", u32::MAX),
        ];
        for (text, n) in good {
            assert_eq!(unsigned_int(text), Some(n), "{text:?}");
        }
        for text in [
            "",
            " ",
            "+0",
            "+4",
            "-0",
            "-1",
            "4294967296",
            "99999999999999999999",
            "1.0",
            "1e3",
            "0x1",
            "1_000",
            "4 4",
            "\u{a0}4",
            "\u{2003}4",
            "٤",
            "４",
            "inf",
        ] {
            assert_eq!(unsigned_int(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_positive_integer_has_no_end_and_no_zero() {
        let endless = "9".repeat(1000);
        for (text, n) in [("1", 1), ("+60", 60), (" 0300 ", 300), (endless.as_str(), u64::MAX)] {
            assert_eq!(positive_integer(text), Some(n), "{text:?}");
        }
        for text in ["", "0", "+0", "-1", "++1", "+", "1.5", "\u{a0}1", "＋1"] {
            assert_eq!(positive_integer(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_byte_may_have_a_sign() {
        for (text, n) in
            [("0", 0), ("-0", 0), ("+5", 5), ("\n127 ", 127), ("-128", -128), ("-00128", -128)]
        {
            assert_eq!(byte(text), Some(n), "{text:?}");
        }
        for text in ["", "-", "+", "128", "-129", "1.0", "+-1", "\u{a0}5", "5\u{2028}"] {
            assert_eq!(byte(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_version_is_two_numbers() {
        for (text, is) in [
            ("1.0", (1, 0)),
            ("01.000", (1, 0)),
            ("1.10", (1, 10)),
            ("99999999999.0", (u32::MAX, 0)),
        ] {
            assert_eq!(version(text), Some(is), "{text:?}");
        }
        for text in ["", "1", "1.", ".0", "+1.0", "1.+0", "-1.0", "1.0.0", " 1.0", "1 .0", "١.٠"]
        {
            assert_eq!(version(text), None, "{text:?}");
        }
    }
}
