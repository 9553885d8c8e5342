//! No large circle: files of one crate that name one another, directly or around corners, can only be read, and changed,
//! together. More than a few of them are one file in pieces.
//!
//! A file names another by `crate::`, by `super::`, or as the module that it declares. That a module uses what the one
//! around it declares is no step of a circle: it is a part of that.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::str::Chars;

use super::Finding;
use super::edges::Workspace;
use super::modules::modules;
use super::source::Source;

/// The most files of one circle.
const MOST: usize = 4;

/// Crates with larger ones.
const EXCEPT: &[&str] = &[
    // processes, their inboxes and their system know one another: allowed until its second edition
    "supervision",
    // clock, settings, hosts and one `BoxFuture` are to leave the machinery: then this line goes
    "actors",
];

/// A module of a target: the names that lead to it from the root.
type Path = Vec<String>;

/// Finds circles of more than [`MOST`] files.
pub fn check(sources: &[Source], workspace: &Workspace) -> Vec<Finding> {
    let files: BTreeMap<&str, &Source> =
        sources.iter().filter(|s| s.is_rust()).map(|s| (s.path.as_str(), s)).collect();
    let crates = workspace.crates.iter().filter(|c| !EXCEPT.contains(&c.name.as_str()));
    let circles = crates.flat_map(|member| &member.roots).flat_map(|root| {
        let tree = tree(root, &files);
        circles(&edges(&tree, &files))
    });
    let large: BTreeSet<Vec<String>> = circles.filter(|circle| circle.len() > MOST).collect();
    large
        .into_iter()
        .map(|circle| {
            let first = circle.first().cloned().unwrap_or_default();
            let what = format!(
                "{} files import one another in a circle; at most {MOST}: {}",
                circle.len(),
                circle.join(", ")
            );
            Finding::new(&first, 0, what)
        })
        .collect()
}

/// The modules of a target that are in files of their own, tests left out.
fn tree(root: &str, files: &BTreeMap<&str, &Source>) -> BTreeMap<Path, String> {
    let mut tree = BTreeMap::new();
    let mut open = vec![(Path::new(), root.to_owned())];
    while let Some((path, file)) = open.pop() {
        let Some(source) = files.get(file.as_str()) else { continue };
        let product = Source { code: product(&source.code), ..Source::new(&file, &source.text) };
        for (name, at) in modules(&product, file == root) {
            open.push((path.iter().cloned().chain([name]).collect(), at));
        }
        tree.insert(path, file);
    }
    tree
}

/// Which file names which.
fn edges(
    tree: &BTreeMap<Path, String>,
    files: &BTreeMap<&str, &Source>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, file) in tree {
        let Some(source) = files.get(file.as_str()) else { continue };
        let below = tree.keys().filter(|below| below.len() == path.len() + 1);
        let below = below.filter(|below| below.starts_with(path));
        let children: Vec<&str> =
            below.filter_map(|below| below.last()).map(String::as_str).collect();
        let to = names(&product(&source.code), path, &children).into_iter().filter_map(|name| {
            // the module it is in: what is left of the name is in that file
            let (within, to) =
                (0..=name.len()).rev().find_map(|n| tree.get_key_value(name.get(..n)?))?;
            // whoever it is a part of
            (!path.starts_with(within)).then(|| to.clone())
        });
        edges.entry(file.clone()).or_default().extend(to);
    }
    edges
}

/// Code without what is there for tests only, as far as that has an end in the file.
fn product(code: &str) -> String {
    let mut left = String::with_capacity(code.len());
    let mut rest = code;
    while let Some((before, after)) = rest.split_once("#[cfg(test)]") {
        left.push_str(before);
        // an item ends with its block, or has none
        let mut depth = 0_usize;
        let end = after.find(|c| {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && matches!(c, '}' | ';')
        });
        rest = end.and_then(|end| after.get(end + 1..)).unwrap_or_default();
    }
    left.push_str(rest);
    left
}

/// What the code of the module `at` names of its crate, seen from the root: by `crate::`, by `super::`, and by the names
/// of its own `children`.
fn names(code: &str, at: &[String], children: &[&str]) -> Vec<Path> {
    let mut found = Vec::new();
    let starts = code.match_indices("::").filter_map(|(n, _)| {
        let before = code.get(..n)?;
        let word = before.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |n| n + 1);
        // a part of another path, or a macro's own crate
        let first = !before.get(..word)?.ends_with("::") && !before.get(..word)?.ends_with('$');
        first.then_some((before.get(word..)?, word, n + 2))
    });
    for (word, from, after) in starts {
        let (above, from) = match word {
            "crate" => (0, after),
            "super" => (at.len().saturating_sub(1), after),
            "self" => (at.len(), after),
            _ if children.contains(&word) => (at.len(), from),
            _ => continue,
        };
        let mut chars = code.get(from..).unwrap_or_default().chars().peekable();
        spread(&mut chars, at.get(..above).unwrap_or_default(), &mut found);
    }
    found
}

/// The paths of `a::{b, c::d as e}`, each after `before`.
fn spread(chars: &mut Peekable<Chars<'_>>, before: &[String], found: &mut Vec<Path>) {
    let mut path = before.to_vec();
    let mut word = String::new();
    while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || "_:{*".contains(*c)) {
        match c {
            ':' if chars.next_if_eq(&':').is_some() => match std::mem::take(&mut word).as_str() {
                "super" => drop(path.pop()),
                name => path.push(name.to_owned()),
            },
            // the type of something
            ':' => break,
            '{' => {
                while chars.peek().is_some_and(|c| *c != '}') {
                    while chars.next_if(|c| c.is_whitespace()).is_some() {}
                    spread(chars, &path, found);
                    // what it is called here
                    while chars.next_if(|c| !",}".contains(*c)).is_some() {}
                    chars.next_if_eq(&',');
                    while chars.next_if(|c| c.is_whitespace()).is_some() {}
                }
                chars.next();
                return;
            }
            c => word.push(c),
        }
    }
    path.push(word);
    found.push(path);
}

/// Files that reach one another.
fn circles(edges: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<Vec<String>> {
    let reach = |from: &String| {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(file) = open.pop() {
            for to in edges.get(file).into_iter().flatten() {
                if reached.insert(to.clone()) {
                    open.push(to);
                }
            }
        }
        reached
    };
    let reached: BTreeMap<&String, BTreeSet<String>> =
        edges.keys().map(|file| (file, reach(file))).collect();
    let back = |from: &String, to: &String| reached.get(to).is_some_and(|r| r.contains(from));
    let circles = reached
        .iter()
        .filter(|(file, to)| to.contains(**file))
        .map(|(file, to)| to.iter().filter(|other| back(file, other)).cloned().collect::<Vec<_>>());
    circles.collect()
}

#[cfg(test)]
mod tests {
    use super::super::edges::Crate;
    use super::*;

    fn found(name: &str, files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> =
            files.iter().map(|(path, text)| Source::new(path, text)).collect();
        let member = Crate {
            name: name.to_owned(),
            manifest: "a/Cargo.toml".to_owned(),
            dependencies: BTreeSet::new(),
            roots: vec!["a/src/lib.rs".to_owned()],
        };
        let findings = check(&sources, &Workspace { crates: vec![member] });
        findings.into_iter().map(|finding| finding.what).collect()
    }

    /// Files each of which names the next; `last` is what the last of them says.
    fn ring(last: &'static str) -> [(&'static str, &'static str); 6] {
        [
            ("a/src/lib.rs", "mod b;\nmod c;\npub(crate) mod d;"),
            ("a/src/b.rs", "use crate::c::C;"),
            ("a/src/c.rs", "use std::fmt;\nuse crate::{\n    d::{D, e::{self as other, E}},\n};"),
            ("a/src/d/mod.rs", "mod e;\nmod f;"),
            ("a/src/d/e.rs", "use super::f;"),
            ("a/src/d/f.rs", last),
        ]
    }

    #[test]
    fn a_circle_of_five_is_found_and_one_of_four_is_not() {
        let mut files = ring("use super::super::b::B;");
        // d/mod.rs names nobody
        assert_eq!(found("a", &files), [""; 0]);
        files[3].1 = "mod e;\nmod f;\nuse crate::c;";
        let what = "5 files import one another in a circle; at most 4: \
                    a/src/b.rs, a/src/c.rs, a/src/d/e.rs, a/src/d/f.rs, a/src/d/mod.rs";
        assert_eq!(found("a", &files), [what]);
        assert_eq!(found("supervision", &files), [""; 0], "for now");
        files[5].1 = "";
        assert_eq!(found("a", &files), [""; 0], "it was one because of that file");
    }

    #[test]
    fn a_name_is_as_good_as_an_import_and_a_test_or_a_comment_is_none() {
        let five = |last| {
            let mut five = ring(last);
            five[3].1 = "mod e;\nmod f;\nfn f() { crate::c::c() }";
            found("a", &five).len()
        };
        assert_eq!(five("fn f() -> crate::b::B { crate::b::new() }"), 1);
        assert_eq!(five("pub(in crate::b) fn f() {}"), 1);
        assert_eq!(five("// use crate::b::B;\nconst A: &str = \"crate::b::B\";"), 0);
        assert_eq!(five("macro_rules! m { () => { $crate::b::B } }"), 0);
        assert_eq!(five("#[cfg(test)]\nmod tests {\n    fn f() {}\n    use crate::b::B;\n}"), 0);
        assert_eq!(five("#[cfg(test)]\nmod tests;\nuse crate::b::B;"), 1);
        assert_eq!(five("use super::super::b as c;"), 1);
        assert_eq!(five("use super::{f, super::b::*};"), 1);
    }
}
