//! Names that are no localparts, written as such (XEP-0106): for accounts of other systems.

/// What is escaped, and how; the backslash only where it would look like an escape (section 4).
const ESCAPES: [(char, &str); 10] = [
    (' ', "\\20"),
    ('"', "\\22"),
    ('&', "\\26"),
    ('\'', "\\27"),
    ('/', "\\2f"),
    (':', "\\3a"),
    ('<', "\\3c"),
    ('>', "\\3e"),
    ('@', "\\40"),
    ('\\', "\\5c"),
];

fn escape_at(rest: &str) -> Option<(char, &'static str)> {
    ESCAPES.into_iter().find(|(_, escape)| rest.starts_with(escape))
}

/// A name as a localpart. It need not be one: a space at either end is not allowed there.
///
/// ```
/// assert_eq!(xmpp::escaping::escape("o'hara@mail.example"), "o\\27hara\\40mail.example");
/// ```
pub fn escape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for (at, c) in name.char_indices() {
        let plain = c == '\\' && escape_at(name.get(at..).unwrap_or_default()).is_none();
        match ESCAPES.iter().find(|(of, _)| *of == c).filter(|_| !plain) {
            Some((_, escape)) => out.push_str(escape),
            None => out.push(c),
        }
    }
    out
}

/// The name that a localpart stands for.
pub fn unescape(local: &str) -> String {
    let mut out = String::with_capacity(local.len());
    let mut rest = local;
    while let Some(c) = rest.chars().next() {
        let (plain, length) = match escape_at(rest) {
            Some((plain, escape)) => (plain, escape.len()),
            None => (c, c.len_utf8()),
        };
        out.push(plain);
        rest = rest.get(length..).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Section 6.1, and the text of section 5.
    #[test]
    fn the_examples_of_the_specification() {
        for (name, local) in [
            ("space cadet", r"space\20cadet"),
            (r#"call me "ishmael""#, r"call\20me\20\22ishmael\22"),
            ("at&t guy", r"at\26t\20guy"),
            ("d'artagnan", r"d\27artagnan"),
            ("/.fanboy", r"\2f.fanboy"),
            ("::foo::", r"\3a\3afoo\3a\3a"),
            ("<foo>", r"\3cfoo\3e"),
            ("user@host", r"user\40host"),
            (r"c:\net", r"c\3a\net"),
            (r"c:\\net", r"c\3a\\net"),
            (r"c:\cool stuff", r"c\3a\cool\20stuff"),
            (r"c:\5commas", r"c\3a\5c5commas"),
            (r"\3and\2is\5cool", r"\5c3and\2is\5c5cool"),
            (r"\2plus\2is\4", r"\2plus\2is\4"),
            (r"foo\bar", r"foo\bar"),
            (r"foob\41r", r"foob\41r"),
        ] {
            assert_eq!((&*escape(name), &*unescape(local)), (local, name));
        }
    }

    proptest! {
        #[test]
        fn what_was_escaped_is_what_it_was(name in r#"[ \\"&'/:<>@0-9a-fx中]{0,20}"#) {
            let local = escape(&name);
            prop_assert_eq!(unescape(&local), name);
            prop_assert!(!local.contains([' ', '"', '&', '\'', '/', ':', '<', '>', '@']));
        }
    }
}
