//! Rules about whole files: how long they are, how they begin, and that every crate takes the workspace's lints.

use super::Finding;
use super::edges::Workspace;
use super::source::Source;

/// Lines above which a Rust file is listed, to be thought about.
const LARGE: usize = 600;
/// Lines above which it fails.
const TOO_LARGE: usize = 1000;

/// Finds Rust files that are too long.
pub fn check_sizes(sources: &[Source]) -> Vec<Finding> {
    let too_large = rust(sources).filter(|source| lines(source) > TOO_LARGE);
    too_large
        .map(|source| {
            let what = format!("{} lines; at most {TOO_LARGE}, better below 400", lines(source));
            Finding::new(&source.path, 0, what)
        })
        .collect()
}

/// Lists Rust files that are long, but not too long.
pub fn large(sources: &[Source]) -> Vec<String> {
    let large = rust(sources).filter(|source| (LARGE + 1..=TOO_LARGE).contains(&lines(source)));
    large.map(|source| format!("{}: {} lines", source.path, lines(source))).collect()
}

/// Finds Rust files that do not begin by saying what they are.
pub fn check_headers(sources: &[Source]) -> Vec<Finding> {
    let silent = rust(sources).filter(|source| !source.text.starts_with("//! "));
    silent
        .map(|source| Finding::new(&source.path, 1, "does not begin with `//!` and what it is"))
        .collect()
}

/// Finds crates that do not take the lints of the workspace, and so none of the bans.
pub fn check_manifests(sources: &[Source], workspace: &Workspace) -> Vec<Finding> {
    let lax = workspace.crates.iter().filter(|member| {
        let manifest = sources.iter().find(|source| source.path == member.manifest);
        !manifest.is_some_and(|manifest| inherits_lints(&manifest.text))
    });
    lax.map(|member| Finding::new(&member.manifest, 0, "lacks `[lints]` with `workspace = true`"))
        .collect()
}

fn inherits_lints(manifest: &str) -> bool {
    let mut section = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    section.find(|line| !line.is_empty()) == Some("workspace = true")
}

fn rust(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources.iter().filter(|source| source.is_rust())
}

fn lines(source: &Source) -> usize {
    source.text.lines().count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::edges::Crate;
    use super::*;

    fn of_lines(path: &str, lines: usize) -> Source {
        Source::new(path, &"//! Text.\n".repeat(lines))
    }

    #[test]
    fn a_file_that_is_too_long_is_found() {
        let sources = [of_lines("a.rs", 1000), of_lines("b.rs", 1001), of_lines("c.md", 9999)];
        let found = check_sizes(&sources);
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().starts_with("b.rs:0: 1001 lines"), "{}", found[0]);
    }

    #[test]
    fn a_long_file_is_listed() {
        let sources = [of_lines("a.rs", 600), of_lines("b.rs", 601), of_lines("c.rs", 1001)];
        assert_eq!(large(&sources), ["b.rs: 601 lines"]);
    }

    #[test]
    fn a_file_without_a_header_is_found() {
        let sources = [
            Source::new("a.rs", "//! Text.\n"),
            Source::new("b.rs", "use std::fmt;\n//! Late.\n"),
            Source::new("c.rs", ""),
            Source::new("d.toml", "[package]"),
        ];
        let paths: Vec<String> = check_headers(&sources).into_iter().map(|f| f.path).collect();
        assert_eq!(paths, ["b.rs", "c.rs"]);
    }

    #[test]
    fn a_crate_without_the_lints_is_found() {
        let manifests = [
            ("a/Cargo.toml", "[lints]\nworkspace = true\n"),
            ("b/Cargo.toml", "[lints]\n# workspace = true\n[dependencies]\nworkspace = true\n"),
            ("c/Cargo.toml", "[package]\n"),
        ];
        let sources: Vec<Source> =
            manifests.iter().map(|(path, text)| Source::new(path, text)).collect();
        let crates = manifests.iter().map(|(path, _)| Crate {
            name: (*path).to_owned(),
            manifest: (*path).to_owned(),
            dependencies: BTreeSet::new(),
            roots: Vec::new(),
        });
        let workspace = Workspace { crates: crates.collect() };
        let paths: Vec<String> =
            check_manifests(&sources, &workspace).into_iter().map(|f| f.path).collect();
        assert_eq!(paths, ["b/Cargo.toml", "c/Cargo.toml"]);
    }
}
