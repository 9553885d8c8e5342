//! The laws of ARCHITECTURE.md that no compiler and no lint checks, as a test of the workspace's own files.
//!
//! Each rule is a pure function of the files, in a file of its own, with a test that plants a violation.
//! What clippy forbids with full knowledge of types, `bans` searches for once more as text.

mod bans;
mod circles;
mod edges;
mod files;
mod imports;
mod modules;
mod rooms;
mod source;
mod words;

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::run::output;
use source::Source;

/// One violation of one rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    path: String,
    /// Counted from 1; 0 when it is the file as a whole.
    line: usize,
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// What the rules have to say about the workspace.
pub struct Report {
    /// How many files were read.
    pub files: usize,
    /// What must be mended.
    pub findings: Vec<Finding>,
    /// What should be looked at.
    pub notes: Vec<String>,
}

/// Applies all rules to the files of the workspace at `root`: those that git tracks, and new ones it does not ignore.
///
/// # Errors
/// When git or cargo cannot be asked, or ARCHITECTURE.md has no picture.
pub fn check(root: &Path) -> Result<Report> {
    let sources = read(root)?;
    let metadata = output(
        Command::new(crate::cargo())
            .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
            .current_dir(root),
    )?;
    judge(&sources, &edges::Workspace::parse(&metadata, root)?)
}

/// Applies all rules.
fn judge(sources: &[Source], workspace: &edges::Workspace) -> Result<Report> {
    let picture = sources
        .iter()
        .find(|source| source.path == "ARCHITECTURE.md")
        .context("there is no ARCHITECTURE.md")?;
    let mut findings = edges::check_picture(workspace, &picture.text)?;
    findings.extend(edges::check_libraries(workspace));
    findings.extend(files::check_sizes(sources));
    findings.extend(files::check_headers(sources));
    findings.extend(files::check_manifests(sources, workspace));
    findings.extend(bans::check(sources));
    findings.extend(words::check(sources));
    findings.extend(modules::check(sources, workspace));
    findings.extend(circles::check(sources, workspace));
    findings.extend(rooms::check(sources, workspace));
    Ok(Report { files: sources.len(), findings, notes: files::large(sources) })
}

fn read(root: &Path) -> Result<Vec<Source>> {
    let names = output(
        Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root),
    )?;
    let mut sources = Vec::new();
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        // A file that was deleted is still listed; one that is not text has no lines to check.
        if let Ok(text) = std::fs::read_to_string(root.join(name)) {
            sources.push(Source::new(name, &text));
        }
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let report = check(&crate::root().unwrap()).unwrap();
        assert!(report.files > 50, "only {} files were found", report.files);
        let findings: Vec<String> = report.findings.iter().map(Finding::to_string).collect();
        assert!(findings.is_empty(), "\n{}", findings.join("\n"));
    }

    #[test]
    fn every_rule_is_applied() {
        let dead = "//! Text.\n".repeat(1001);
        let home = concat!("// as in /ho", "me/me/notes");
        let ring = ["c1", "c2", "c3", "c4", "c5"];
        let declared: String = ring.map(|name| format!("mod {name};\n")).concat();
        let lib = format!("fn f() {{ tokio::spawn(g()); }}\n{home}\n{declared}");
        let next = ring.iter().cycle().skip(1);
        let ring = ring.iter().zip(next).map(|(name, next)| {
            Source::new(&format!("a/src/{name}.rs"), &format!("//! Text.\nuse super::{next};\n"))
        });
        let mut sources = vec![
            Source::new("ARCHITECTURE.md", "```edges\ngone\n```"),
            Source::new("a/Cargo.toml", "[package]"),
            Source::new("a/src/lib.rs", &lib),
            Source::new("a/src/dead.rs", &dead),
            Source::new("actors/src/routing/a.rs", "//! Text.\nfn f() { env.table.all() }\n"),
        ];
        sources.extend(ring);
        let member = edges::Crate {
            name: "a".to_owned(),
            manifest: "a/Cargo.toml".to_owned(),
            dependencies: ["ractor".to_owned()].into(),
            roots: vec!["a/src/lib.rs".to_owned()],
        };
        let report = judge(&sources, &edges::Workspace { crates: vec![member] }).unwrap();
        let findings: Vec<String> = report.findings.iter().map(Finding::to_string).collect();
        let expected = [
            "a/Cargo.toml:0: the crate a is not drawn",
            "ARCHITECTURE.md:2: there is no crate gone",
            "a/Cargo.toml:0: law 5: ractor",
            "a/src/dead.rs:0: 1001 lines",
            "a/src/lib.rs:1: does not begin",
            "a/Cargo.toml:0: lacks `[lints]`",
            "a/src/lib.rs:1: `tokio::spawn`",
            "a/src/lib.rs:2: names a folder",
            "a/src/dead.rs:0: no `mod` leads here",
            "actors/src/routing/a.rs:0: no `mod` leads here",
            "a/src/c1.rs:0: 5 files import one another",
            "actors/src/routing/a.rs:2: `fn f() { env.table.all() }`: `env.table`",
        ];
        assert_eq!(findings.len(), expected.len(), "{findings:#?}");
        for (finding, expected) in findings.iter().zip(expected) {
            assert!(finding.starts_with(expected), "{finding}, not {expected}");
        }
    }
}
