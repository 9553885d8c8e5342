//! Every mistake of a configuration at once: where it is, what is wrong, how to mend it.

use serde::Serialize;
use std::{fmt, ops::Range, sync::Arc};

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the file: a range of bytes.
    File(Range<usize>),
    /// In the environment (name of the variable) or on the command line (name of the flag).
    Outside(Arc<str>),
}

impl Place {
    pub(crate) fn is_outside(&self) -> bool {
        matches!(self, Self::Outside(_))
    }
}

/// A mistake before its line is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub place: Place,
    pub option: String,
    pub message: String,
    pub fix: String,
}

/// The text that was loaded, and its name for messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    pub name: String,
    pub text: String,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The file; or the environment variable or flag, if the value came from there.
    pub file: String,
    /// Line in the file, from 1.
    pub line: Option<usize>,
    /// Column in the line in characters, from 1.
    pub column: Option<usize>,
    /// The option, dotted; empty for mistakes of syntax.
    pub option: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub fix: String,
    /// The line itself and a second one with a caret under the place.
    #[serde(skip)]
    pub excerpt: Option<String>,
}

/// All mistakes of a configuration: those of the file in its order, then those from outside it.
///
/// Its display is what the operator gets to see; serialised it is a list of rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(source: &Source, mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort_by(|a, b| key(a).cmp(&key(b)));
        mistakes.dedup();
        Self { rows: mistakes.into_iter().map(|m| row(source, m)).collect() }
    }

    /// A report of one mistake that has no place, such as a file that cannot be read.
    pub(crate) fn single(file: &str, message: String, fix: &str) -> Self {
        let row = Row {
            file: file.into(),
            line: None,
            column: None,
            option: String::new(),
            message,
            fix: fix.into(),
            excerpt: None,
        };
        Self { rows: vec![row] }
    }

    /// The mistakes.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

fn key(m: &Mistake) -> (bool, usize, &str, &str) {
    match &m.place {
        Place::File(span) => (false, span.start, "", &m.option),
        Place::Outside(name) => (true, 0, name, &m.option),
    }
}

fn row(source: &Source, m: Mistake) -> Row {
    let Mistake { place, option, message, fix } = m;
    let (file, at) = match place {
        Place::File(span) => (source.name.clone(), Some(source.locate(&span))),
        Place::Outside(name) => (name.to_string(), None),
    };
    let (line, column) = (at.as_ref().map(|a| a.line), at.as_ref().map(|a| a.column));
    Row { file, line, column, option, message, fix, excerpt: at.map(|a| a.excerpt()) }
}

/// A place in the text, for people.
struct Located<'a> {
    line: usize,
    column: usize,
    /// Characters from the column to the end of what is meant, within the line.
    width: usize,
    text: &'a str,
}

impl Source {
    /// The line a byte is in, from 1.
    pub(crate) fn line(&self, byte: usize) -> usize {
        1 + self.text.bytes().take(byte).filter(|b| *b == b'\n').count()
    }

    fn locate(&self, span: &Range<usize>) -> Located<'_> {
        let mut start = span.start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let (before, after) = self.text.split_at(start);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let rest = after.split('\n').next().unwrap_or_default();
        let text = self.text.get(line_start..start + rest.len()).unwrap_or_default();
        let head = before.get(line_start..).unwrap_or_default();
        let meant = span.end.saturating_sub(start).min(rest.len());
        let width = rest.char_indices().take_while(|(i, _)| *i < meant).count();
        Located {
            line: self.line(start),
            column: head.chars().count() + 1,
            width: width.max(1),
            text: text.trim_end(),
        }
    }
}

/// Lines longer than this (in characters) are shown in part.
const WIDTH: usize = 100;

impl Located<'_> {
    fn excerpt(&self) -> String {
        let skip = if self.column > WIDTH { self.column - 41 } else { 0 };
        let shown: Vec<char> = self.text.chars().skip(skip).take(WIDTH).collect();
        let indent = self.column - 1 - skip;
        let width = self.width.min(WIDTH.saturating_sub(indent)).max(1);
        // Tabs stay tabs in both lines, so the caret is under what it points to.
        let blank = |i| if shown.get(i) == Some(&'\t') { '\t' } else { ' ' };
        let blanks: String = (0..indent).map(blank).collect();
        let text: String = shown
            .iter()
            .map(|c| if c.is_control() && *c != '\t' { '\u{fffd}' } else { *c })
            .collect();
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        format!("  {number} | {text}\n  {gutter} | {blanks}{}", "^".repeat(width))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        if !self.option.is_empty() {
            write!(f, ": {}", self.option)?;
        }
        write!(f, ": {}", self.message)?;
        if !self.fix.is_empty() {
            write!(f, "; {}", self.fix)?;
        }
        match &self.excerpt {
            Some(excerpt) => write!(f, "\n{excerpt}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, row) in self.rows.iter().enumerate() {
            let gap = if i == 0 { "" } else { "\n" };
            write!(f, "{gap}{row}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}
