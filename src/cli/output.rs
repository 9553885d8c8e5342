//! What a command says: to standard output, and errors to standard error. A reader that went away
//! (`mangrove ps | head`) is no error.

use mangrove::admin::protocol::Row;
use serde::Serialize;
use serde_json::Value;
use std::{
    io::{self, Write},
    time::Duration,
};

/// Where a command's answer goes.
#[derive(Debug)]
pub struct Output {
    /// One JSON document instead of text.
    pub json: bool,
}

impl Output {
    /// The output of this program.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Lines of text.
    pub fn text(&mut self, text: &str) {
        let mut out = io::stdout().lock();
        drop(out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")));
        drop(out.flush());
    }

    /// One JSON document.
    pub fn json(&mut self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(text) => self.text(&text),
            Err(error) => self.failure(&error.to_string()),
        }
    }

    /// Something beside the answer.
    pub fn note(&mut self, text: &str) {
        drop(writeln!(io::stderr().lock(), "{text}"));
    }

    /// Why it was not done.
    pub fn failure(&mut self, text: &str) {
        if self.json {
            self.note(&serde_json::json!({ "error": text }).to_string());
        } else {
            self.note(&format!("mangrove: {text}"));
        }
    }
}

/// What a row holds, without the name of its kind.
pub fn value(row: &Row) -> Value {
    match serde_json::to_value(row) {
        Ok(Value::Object(fields)) => fields.into_iter().next().map_or(Value::Null, |(_, v)| v),
        _ => Value::Null,
    }
}

/// A table under construction: columns as wide as what is in them, numbers on the right.
#[derive(Debug)]
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns; those that end with `>` are set right.
    pub fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.into_iter().map(|c| shown(&c)).collect());
    }

    /// The table; nothing when it has no rows.
    pub fn lines(&self) -> Vec<String> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let names = self.head.iter().map(|h| h.trim_end_matches('>').to_owned());
        let all: Vec<Vec<String>> =
            std::iter::once(names.collect()).chain(self.rows.iter().cloned()).collect();
        let width = |n: usize| {
            all.iter().filter_map(|r| r.get(n)).map(|c| c.chars().count()).max().unwrap_or(0)
        };
        let columns: Vec<(usize, bool)> =
            self.head.iter().enumerate().map(|(n, h)| (width(n), h.ends_with('>'))).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&columns).map(|(cell, (width, right))| {
                if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        all.iter().map(line).collect()
    }
}

/// What is known of one thing, a line each.
pub fn facts(all: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let mut table = Table::new(&["", ""]);
    all.into_iter().for_each(|(what, is)| table.row(vec![what, is]));
    table.lines().into_iter().skip(1).collect()
}

/// Text on one line that does nothing to a terminal.
pub fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// "3 sessions", "1 session".
pub fn count(n: usize, one: &str) -> String {
    match n {
        1 => format!("1 {one}"),
        n if one.ends_with(['s', 'h']) => format!("{n} {one}es"),
        n => format!("{n} {one}s"),
    }
}

/// "3 sessions", or "3 of 8 sessions".
pub fn count_of(n: usize, of: Option<usize>, one: &str) -> String {
    match of.filter(|of| *of > n) {
        Some(of) => format!("{n} of {}", count(of, one)),
        None => count(n, one),
    }
}

/// A length of time in two units at most: "3d 4h", "5m 7s", "0.2s".
pub fn time(seconds: f64) -> String {
    let whole = Duration::from_secs_f64(seconds.clamp(0.0, 1e15)).as_secs();
    match whole {
        0..10 => format!("{seconds:.1}s"),
        10..60 => format!("{whole}s"),
        60..3600 => format!("{}m {}s", whole / 60, whole % 60),
        3600..86400 => format!("{}h {}m", whole / 3600, whole % 3600 / 60),
        _ => format!("{}d {}h", whole / 86400, whole % 86400 / 3600),
    }
}

/// A point in time in UTC, from milliseconds of the epoch: "2026-01-01 00:00:00".
pub fn date(millis: u64) -> String {
    let (days, seconds) = (millis / 86_400_000, millis / 1000 % 86_400);
    // Howard Hinnant's civil_from_days, for days since 1970
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_what_is_in_it() {
        let mut table = Table::new(&["name", "count>"]);
        assert!(table.lines().is_empty());
        table.row(vec!["é".into(), "5".into()]);
        table.row(vec!["a\nlonger".into(), "1000000".into()]);
        let lines = ["name        count", "é               5", "a\u{fffd}longer  1000000"];
        assert_eq!(table.lines(), lines);
    }

    #[test]
    fn counts_and_times_read_well() {
        assert_eq!(count(1, "process"), "1 process");
        assert_eq!(count_of(2, Some(30), "process"), "2 of 30 processes");
        assert_eq!(count_of(0, Some(0), "session"), "0 sessions");
        assert_eq!(count(0, "crash"), "0 crashes");
        let times = [(0.04, "0.0s"), (42.9, "42s"), (61.0, "1m 1s"), (7260.0, "2h 1m")];
        for (seconds, text) in times {
            assert_eq!(time(seconds), text);
        }
        assert_eq!(time(200_000.0), "2d 7h");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (millis, text) in [
            (0, "1970-01-01 00:00:00"),
            (1_767_225_600_000, "2026-01-01 00:00:00"),
            (1_709_210_096_000, "2024-02-29 12:34:56"),
            (4_102_444_799_000, "2099-12-31 23:59:59"),
        ] {
            assert_eq!(date(millis), text);
        }
    }
}
