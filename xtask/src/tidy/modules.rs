//! No dead files: every Rust file is a target of its package, or a module that some file declares.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::edges::Workspace;
use super::source::Source;

/// Finds Rust files that no target reaches through `mod`.
///
/// Packages outside the workspace (fuzz targets, the load generator) are known by their manifests; their targets
/// are taken to be where cargo looks for them.
pub fn check(sources: &[Source], workspace: &Workspace) -> Vec<Finding> {
    let files: BTreeMap<&str, &Source> =
        sources.iter().filter(|s| s.is_rust()).map(|s| (s.path.as_str(), s)).collect();
    let mut open: Vec<String> =
        workspace.crates.iter().flat_map(|member| member.roots.iter().cloned()).collect();
    let foreign = sources.iter().filter_map(|source| {
        let folder = source.path.strip_suffix("Cargo.toml")?;
        (!workspace.crates.iter().any(|member| member.manifest == source.path)).then_some(folder)
    });
    for folder in foreign {
        open.extend(files.keys().filter(|path| is_target(path, folder)).map(|p| (*p).to_owned()));
    }
    let roots: BTreeSet<String> = open.iter().cloned().collect();
    let mut reached = BTreeSet::new();
    while let Some(path) = open.pop() {
        let Some(source) = files.get(path.as_str()) else { continue };
        if reached.insert(path.clone()) {
            let declared = modules(source, roots.contains(&path));
            open.extend(declared.into_iter().map(|(_, file)| file));
        }
    }
    let dead = files.keys().filter(|path| !reached.contains(**path));
    dead.map(|path| Finding::new(path, 0, "no `mod` leads here: a dead file")).collect()
}

/// Whether cargo would take the file for a target of the package in `folder` by its place.
fn is_target(path: &str, folder: &str) -> bool {
    let Some(inside) = path.strip_prefix(folder) else { return false };
    match inside.rsplit_once('/') {
        None => inside == "build.rs",
        Some(("src", name)) => name == "main.rs" || name == "lib.rs",
        Some((place, _)) => {
            ["src/bin", "tests", "examples", "benches", "fuzz_targets"].contains(&place)
        }
    }
}

/// The modules that `source` declares, and where each may be.
pub fn modules(source: &Source, is_root: bool) -> Vec<(String, String)> {
    let (folder, name) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let stem = name.trim_end_matches(".rs");
    let base = match (folder, is_root || stem == "mod") {
        ("", true) => String::new(),
        ("", false) => format!("{stem}/"),
        (_, true) => format!("{folder}/"),
        (_, false) => format!("{folder}/{stem}/"),
    };
    let mut found = Vec::new();
    let mut path_attribute = None;
    for (code, text) in source.code.lines().zip(source.text.lines()) {
        if code.trim_start().starts_with("#[path") {
            path_attribute = text.split('"').nth(1);
        } else if let Some(name) = declared(code) {
            match path_attribute.take() {
                Some(path) => found.push((name.to_owned(), joined(folder, path))),
                None => {
                    found.push((name.to_owned(), format!("{base}{name}.rs")));
                    found.push((name.to_owned(), format!("{base}{name}/mod.rs")));
                }
            }
        }
    }
    found
}

/// The name in `mod name;`, whatever its visibility.
fn declared(code: &str) -> Option<&str> {
    let (before, name) = code.trim().strip_suffix(';')?.split_once("mod ")?;
    let visible = before.is_empty() || before.starts_with("pub");
    (visible && name.chars().all(|c| c.is_alphanumeric() || c == '_')).then_some(name)
}

/// `path` seen from `folder`, without `..`.
fn joined(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::super::edges::Crate;
    use super::*;

    fn dead(files: &[(&str, &str)], roots: &[&str]) -> Vec<String> {
        let sources: Vec<Source> =
            files.iter().map(|(path, text)| Source::new(path, text)).collect();
        let member = Crate {
            name: "a".to_owned(),
            manifest: "a/Cargo.toml".to_owned(),
            dependencies: BTreeSet::new(),
            roots: roots.iter().map(|root| (*root).to_owned()).collect(),
        };
        let findings = check(&sources, &Workspace { crates: vec![member] });
        findings.into_iter().map(|finding| finding.path).collect()
    }

    #[test]
    fn modules_are_followed_into_folders() {
        let files = [
            ("a/src/lib.rs", "pub mod b;\nmod c;\npub(crate) mod d;"),
            ("a/src/b.rs", "mod deep;"),
            ("a/src/b/deep.rs", ""),
            ("a/src/c/mod.rs", "mod deep;"),
            ("a/src/c/deep.rs", ""),
            ("a/src/d.rs", ""),
            ("a/tests/t.rs", "#[path = \"../support/x.rs\"]\nmod x;"),
            ("a/support/x.rs", ""),
        ];
        assert!(dead(&files, &["a/src/lib.rs", "a/tests/t.rs"]).is_empty());
    }

    #[test]
    fn a_file_that_nothing_declares_is_found() {
        let files = [
            ("a/src/lib.rs", "mod b; // and: mod gone;\nconst C: &str = \"mod c;\";"),
            ("a/src/b.rs", ""),
            ("a/src/c.rs", "mod d;"),
            ("a/src/c/d.rs", ""),
            ("a/src/b/lib.rs", ""),
        ];
        assert_eq!(
            dead(&files, &["a/src/lib.rs"]),
            ["a/src/b/lib.rs", "a/src/c.rs", "a/src/c/d.rs"]
        );
    }

    #[test]
    fn packages_outside_the_workspace_have_targets_too() {
        let files = [
            ("fuzz/Cargo.toml", "[package]"),
            ("fuzz/fuzz_targets/framer.rs", ""),
            ("bench/xload/Cargo.toml", "[package]"),
            ("bench/xload/src/main.rs", "mod client;"),
            ("bench/xload/src/client.rs", ""),
            ("bench/xload/src/old.rs", ""),
        ];
        assert_eq!(dead(&files, &[]), ["bench/xload/src/old.rs"]);
    }
}
