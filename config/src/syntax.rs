//! Mistakes of syntax in the words of somebody who writes a configuration.
//!
//! The parser goes on after a mistake, so several are found at once; but of the mistakes in one
//! line only the first counts, and what follows a list that never ends is not worth reading.

use crate::{raw::quoted, report::Source};
use std::ops::Range;

/// A mistake of syntax.
#[derive(Clone, Debug)]
pub(crate) struct Syntax {
    pub span: Range<usize>,
    /// The line it is in, from 1.
    pub line: usize,
    pub message: String,
    pub fix: String,
    /// It is only a string without its quotes: what the string says can still be judged.
    pub unquoted: bool,
    /// It is a list without an end: the rest of the file is part of it.
    pub endless: bool,
}

/// The mistakes that the parser found, in their order.
pub(crate) fn mistakes(source: &Source, errors: &[toml::de::Error]) -> Vec<Syntax> {
    let mut found: Vec<Syntax> = errors.iter().map(|e| translate(source, e)).collect();
    found.sort_by_key(|s| s.span.start);
    let endless = found.iter().any(|s| s.message == UNCLOSED);
    let mut all: Vec<Syntax> = Vec::new();
    for one in &found {
        if all.last().is_some_and(|last| last.line == one.line || last.endless) {
            continue;
        }
        let mut one = one.clone();
        if is_in_a_list(source, &one, &found) {
            one.message = "the list above does not end".into();
            one.fix = "write its ] before this line".into();
            one.unquoted = false;
            one.endless = endless;
        }
        all.push(one);
    }
    all
}

const UNCLOSED: &str = "unclosed array";

/// Whether the line is an option or a header, but the parser took it for entries of a list: no
/// option has lists in a list.
fn is_in_a_list(source: &Source, one: &Syntax, found: &[Syntax]) -> bool {
    let before = source.before(one.span.start).trim();
    let header = one.unquoted && matches!(before, "[" | "[[");
    let rest = found.get(found.partition_point(|s| s.line < one.line)..).unwrap_or_default();
    let mut same_line = rest.iter().take_while(|s| s.line == one.line);
    header || before.is_empty() && same_line.any(|s| s.message == "unexpected `=` in array")
}

fn translate(source: &Source, error: &toml::de::Error) -> Syntax {
    let span = error.span().unwrap_or(0..0);
    let (what, expected) = match error.message().split_once(", expected ") {
        Some((what, expected)) => (what, Some(expected)),
        None => (error.message(), None),
    };
    let text = source.text.get(span.clone()).unwrap_or_default();
    let mut unquoted = false;
    let (message, fix) = match what {
        "string values must be quoted" if text.is_empty() => {
            ("the value is missing".into(), "write it after the =, or remove the line".into())
        }
        "string values must be quoted" => {
            unquoted = true;
            (format!("{text} has no quotes"), format!("put it into quotes: {}", quoted(text)))
        }
        "duplicate key" => (format!("{text} is there twice"), "keep one of them".into()),
        "key with no value" => {
            ("there is no = after the name".into(), "write NAME = VALUE, or [SECTION]".into())
        }
        "unexpected leading zero" => (what.into(), "write the number without it".into()),
        "recursion limit" | "cannot recurse further; max recursion depth met" => {
            ("it is nested too deeply".into(), "no option needs more than a list".into())
        }
        "unexpected key or value" => ("the line should end here".into(), {
            "begin a new line, or remove what follows".into()
        }),
        _ => match expected {
            Some(expected) => (what.into(), format!("expected {expected}")),
            None => (what.into(), "remove it, or write it as in the reference".into()),
        },
    };
    Syntax { line: source.line(span.start), span, message, fix, unquoted, endless: false }
}
