//! No large circle: files of one crate that name one another, directly or around corners, can only be read, and changed,
//! together. More than a few of them are one file in pieces.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::edges::Workspace;
use super::imports::{edges, tree};
use super::source::Source;

/// The most files of one circle.
const MOST: usize = 4;

/// Finds circles of more than [`MOST`] files.
pub fn check(sources: &[Source], workspace: &Workspace) -> Vec<Finding> {
    let files: BTreeMap<&str, &Source> =
        sources.iter().filter(|s| s.is_rust()).map(|s| (s.path.as_str(), s)).collect();
    let circles = workspace.crates.iter().flat_map(|member| &member.roots).flat_map(|root| {
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
        assert_eq!(found("supervision", &files), [what], "it holds for every crate");
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
