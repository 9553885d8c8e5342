//! Which file of a crate names which: by `crate::`, by `super::`, or as the module that it declares. That a module uses
//! what the one around it declares does not count: it is a part of that.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::str::Chars;

use super::modules::modules;
use super::source::Source;

/// A module of a target: the names that lead to it from the root.
pub type Path = Vec<String>;

/// The modules of a target that are in files of their own, tests left out.
pub fn tree(root: &str, files: &BTreeMap<&str, &Source>) -> BTreeMap<Path, String> {
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
pub fn edges(
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
