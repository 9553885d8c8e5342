//! A file of the workspace as the rules see it: its text, and for Rust the code alone, without comments and strings.

/// A text file.
pub struct Source {
    /// Relative to the workspace, with `/`.
    pub path: String,
    pub text: String,
    /// For Rust: the text with every comment, string and character literal blanked out, line by line as before.
    pub code: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") { code(text) } else { String::new() };
        Self { path: path.to_owned(), text: text.to_owned(), code }
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// From which line on (from 1) the file is a test: all of it in a `tests` folder, else the unit tests at its end.
    pub fn tests_from(&self) -> usize {
        if self.path.split('/').any(|folder| folder == "tests") {
            return 1;
        }
        let unit = self.code.lines().position(|line| line.trim_start().starts_with("#[cfg(test)]"));
        unit.map_or(usize::MAX, |line| line + 1)
    }
}

/// Blanks out comments and literals, keeping the line breaks.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    let mut word_before = false;
    while let Some(first) = rest.chars().next() {
        let skipped = if word_before { 0 } else { raw_string(rest) };
        let skipped = if skipped > 0 { skipped } else { literal_or_comment(rest, first) };
        let (eaten, after) = rest.split_at(skipped.max(first.len_utf8()));
        if skipped == 0 {
            code.push(first);
        } else {
            code.extend(eaten.chars().filter(|&c| c == '\n'));
            code.push(' ');
        }
        word_before = skipped == 0 && (first.is_alphanumeric() || first == '_');
        rest = after;
    }
    code
}

/// The length of the raw string at the start of `text`, 0 if there is none.
fn raw_string(text: &str) -> usize {
    let hashes_on = text.trim_start_matches('b');
    let Some(after_r) = hashes_on.strip_prefix('r') else { return 0 };
    let body = after_r.trim_start_matches('#');
    if !body.starts_with('"') {
        return 0;
    }
    let start = text.len() - body.len() + 1;
    let close = format!("\"{}", "#".repeat(after_r.len() - body.len()));
    let inside = text.get(start..).unwrap_or_default();
    inside.find(&close).map_or(text.len(), |end| start + end + close.len())
}

/// The length of the comment, string or character at the start of `text`, 0 if there is none.
fn literal_or_comment(text: &str, first: char) -> usize {
    match first {
        '/' if text.starts_with("//") => text.find('\n').unwrap_or(text.len()),
        '/' if text.starts_with("/*") => block_comment(text),
        '"' => quoted(text, '"'),
        '\'' => character(text),
        _ => 0,
    }
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A character literal, as against a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => quoted(text, '\''),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left() {
        let text =
            "a(\"b // \\\" b\"); // c\n/* d /* d */\nd */ e('\\'', 'f', r#\"g\"g\"#) <'h> br\"i\";";
        let left: String = code(text).chars().filter(|c| *c != ' ').collect();
        assert_eq!(left, "a();\n\ne(,,)<'h>;");
    }

    #[test]
    fn an_r_that_ends_a_word_starts_no_raw_string() {
        assert_eq!(code("for\"x\" b"), "for  b");
    }

    #[test]
    fn knows_where_tests_begin() {
        let unit =
            Source::new("xmpp/src/jid.rs", "//! Text.\nfn f() {}\n#[cfg(test)]\nmod tests {}");
        assert_eq!(unit.tests_from(), 3);
        assert_eq!(Source::new("xmpp/src/jid.rs", "//! Text.").tests_from(), usize::MAX);
        assert_eq!(Source::new("xmpp/tests/framer.rs", "//! Text.").tests_from(), 1);
    }
}
