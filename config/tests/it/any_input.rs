//! Whatever is in the file or the environment: an answer, never a panic.

use crate::{node, reference::generated};
use proptest::{collection::vec, prelude::*};

/// What files are made of, and a few things they are not.
const PIECES: &[&str] = &[
    "[c2s]\n",
    "[server]",
    "[[certificate]]\n",
    "[modules.ping]\n",
    "idle",
    "hosts",
    "enabled",
    " = ",
    "=",
    "\n",
    "\r\n",
    "\r",
    "\"",
    "'",
    "\"\"\"",
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
    "#",
    "5",
    "-1",
    "true",
    "\"5m\"",
    "5m",
    "99999999999999999999",
    "0x",
    "1e400",
    "nan",
    "1979-05-27",
    "\\u",
    "\u{0}",
    "\t",
    "ä",
    "😀",
    "\u{feff}",
    ":0",
];

/// A report says where: every place is one of the text.
fn look(text: &str, env: &[(&str, &str)]) -> Result<(), TestCaseError> {
    let Err(report) = node(text, env, &[]) else { return Ok(()) };
    prop_assert!(!report.rows().is_empty());
    let lines = text.split('\n').count();
    let mut last = 0;
    for row in report.rows() {
        prop_assert!(!row.message.is_empty() && !row.fix.is_empty(), "{row}");
        if let (Some(line), Some(column)) = (row.line, row.column) {
            prop_assert!(line >= last && line <= lines && column >= 1, "{row}");
            last = line;
        }
    }
    prop_assert!(report.to_string().contains(&report.rows()[0].message));
    Ok(())
}

proptest! {
    #[test]
    fn pieces(pieces in vec(prop::sample::select(PIECES), 0..60)) {
        look(&pieces.concat(), &[])?;
    }

    #[test]
    fn a_good_file_with_a_piece_at_the_wrong_place(
        at in 0.0..1.0f64,
        piece in prop::sample::select(PIECES),
        removed in 0usize..40,
    ) {
        let text = generated();
        let chars: Vec<char> = text.chars().collect();
        let at = (at * chars.len() as f64) as usize;
        let rest = chars.iter().skip(at + removed);
        let text: String = chars.iter().take(at).copied().chain(piece.chars()).chain(rest.copied()).collect();
        look(&text, &[])?;
    }

    #[test]
    fn any_text(text in any::<String>(), value in any::<String>()) {
        let env = [("MANGROVE__C2S__IDLE", &*value), ("MANGROVE__C2S__STARTTLS", &*value)];
        look(&text, &env)?;
        look("", &[(&format!("MANGROVE__{value}"), &*text)])?;
    }
}

#[test]
fn many_mistakes() {
    for line in ["x = 1", "idle = word", "idle ="] {
        let lines = (0..10_000).map(|n| format!("[modules.m{n}]\n{line}\n"));
        let report = node(&lines.collect::<String>(), &[], &[]).unwrap_err();
        assert_eq!(report.rows().len(), if line == "x = 1" { 10_000 } else { 10_001 });
    }
}

#[test]
fn deep_nesting() {
    let n = 100_000;
    let key = vec!["a"; n].join(".");
    let header = format!("[{key}]\nb = 1\n");
    for text in [
        format!("a = {}", "[".repeat(n)),
        format!("a = {}", "{a=".repeat(n)),
        format!("{key} = 1"),
        header,
    ] {
        assert!(node(&text, &[], &[]).is_err());
        assert!(node("", &[("MANGROVE__C2S__IDLE", &text)], &[]).is_err());
    }
    let variable = format!("MANGROVE__{}", vec!["A"; n].join("__"));
    assert!(node("", &[(&variable, "1")], &[]).is_err());
}
