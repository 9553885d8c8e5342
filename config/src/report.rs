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
    pub about: About,
    pub place: Place,
    pub option: String,
    pub message: String,
    pub fix: String,
}

/// What a mistake is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The syntax of the file.
    Syntax,
    /// What is written for an option.
    Value,
    /// A name that nobody knows.
    Name,
    /// An option that has to be there and is not.
    Absence,
}

/// The text that was loaded, and its name for messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    pub name: String,
    pub text: String,
    /// Where lines begin, from the second on.
    lines: Vec<usize>,
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
    let Mistake { place, option, message, fix, about: _ } = m;
    let (file, at) = match place {
        Place::File(span) => (source.name.clone(), Some(source.locate(&span))),
        Place::Outside(name) => (name.to_string(), None),
    };
    let (line, column) = (at.as_ref().map(|a| a.line), at.as_ref().map(|a| a.column));
    Row { file, line, column, option, message, fix, excerpt: at.map(|a| a.excerpt()) }
}

/// A place in the text, for people.
struct Located {
    line: usize,
    column: usize,
    /// Characters from the column to the end of what is meant, within the line.
    width: usize,
    text: String,
}

impl Source {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let lines = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        Self { name: name.into(), text: text.into(), lines: lines.collect() }
    }

    /// The line a byte is in, from 1.
    pub(crate) fn line(&self, byte: usize) -> usize {
        1 + self.lines.partition_point(|start| *start <= byte)
    }

    /// The line a byte is in: its number, its text before the byte and after it.
    fn around(&self, byte: usize) -> (usize, &str, &str) {
        let mut byte = byte.min(self.text.len());
        while !self.text.is_char_boundary(byte) {
            byte -= 1;
        }
        let line = self.line(byte);
        let start = line.checked_sub(2).and_then(|i| self.lines.get(i)).copied().unwrap_or(0);
        let before = self.text.get(start..byte).unwrap_or_default();
        let after = self.text.get(byte..).unwrap_or_default();
        (line, before, after.split('\n').next().unwrap_or_default())
    }

    /// The text before a byte in its line.
    pub(crate) fn before(&self, byte: usize) -> &str {
        self.around(byte).1
    }

    fn locate(&self, span: &Range<usize>) -> Located {
        let (line, before, after) = self.around(span.start);
        let meant = span.end.saturating_sub(span.start).min(after.trim_end().len());
        let width = after.char_indices().take_while(|(i, _)| *i < meant).count();
        Located {
            line,
            column: before.chars().count() + 1,
            width: width.max(1),
            text: format!("{before}{after}"),
        }
    }
}

/// Lines longer than this (in characters) are shown in part.
const WIDTH: usize = 100;

impl Located {
    fn excerpt(&self) -> String {
        let skip = if self.column > WIDTH { self.column - 41 } else { 0 };
        let shown: Vec<char> = self.text.trim_end().chars().skip(skip).take(WIDTH).collect();
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
