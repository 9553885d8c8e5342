//! The rule for examples in the documentation, and that it is kept.
//!
//! - Every public struct, enum, trait and free function has an example that is run, in its own
//!   documentation; or a line `Example: [...]` that names the item, or the module, whose example uses
//!   it. That item exists, has an example of its own, and the example names the thing.
//! - Every public method, and what a trait wants its implementor to write, is called or written in an
//!   example of the crate.
//!
//! Not asked for: variants, fields, constants, type aliases, what a `derive` or a foreign trait adds,
//! and what is hidden from the documentation: machinery that shows in signatures and no user names.
//! The source is read as text: all of `src/`, as the crate's style writes it.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::{collections::BTreeMap, fs, path::Path};

#[derive(Debug)]
struct Item {
    file: String,
    name: String,
    /// `impl`'s or `trait`'s name for a method.
    of: Option<String>,
    docs: String,
}

/// The code of the examples that are run.
fn examples(docs: &str) -> String {
    let (mut code, mut fence) = (String::new(), None);
    for line in docs.lines() {
        match (line.strip_prefix("```"), fence) {
            (Some(info), None) => fence = Some(info.is_empty()),
            (Some(_), Some(_)) => fence = None,
            (None, Some(true)) => code += &format!("{}\n", line.strip_prefix("# ").unwrap_or(line)),
            (None, _) => {}
        }
    }
    code
}

/// Whether the word is in the code.
fn names(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The type an `impl` is for; `None` for that of a trait.
fn inherent(line: &str) -> Option<String> {
    let rest = line.strip_prefix("impl")?;
    if rest.contains(" for ") {
        return None;
    }
    let mut depth = 0;
    let begin = rest.find(|c: char| {
        depth += i32::from(c == '<') - i32::from(c == '>');
        depth == 0 && c.is_alphabetic()
    })?;
    rest.get(begin..).map(first_word)
}

/// The names of the modules, and their texts.
fn sources(dir: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
            continue;
        }
        let named = if path.ends_with("mod.rs") { dir } else { &path };
        let name = named.file_stem().unwrap().to_str().unwrap().to_owned();
        found.push((name, fs::read_to_string(&path).unwrap()));
    }
    found
}

/// The modules' documentation, and the public items.
fn read() -> (BTreeMap<String, String>, Vec<Item>) {
    let (mut modules, mut items) = (BTreeMap::new(), Vec::new());
    for (file, text) in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let (mut module, mut docs) = (String::new(), String::new());
        // the `impl` or `trait` the lines are in, and whether all of it is public
        let mut inside: Option<(String, bool)> = None;
        let mut hidden = false;
        for line in text.lines() {
            if line == "#[cfg(test)]" {
                break;
            }
            let (code, indented) = (line.trim_start(), line.starts_with("    "));
            if let Some(doc) = line.strip_prefix("//!") {
                module += &format!("{}\n", doc.strip_prefix(' ').unwrap_or(doc));
            } else if let Some(doc) = code.strip_prefix("///") {
                docs += &format!("{}\n", doc.strip_prefix(' ').unwrap_or(doc));
            } else if code.starts_with("#[") || code.is_empty() {
                hidden |= code == "#[doc(hidden)]";
                // between the documentation and what it is about
            } else {
                let item = |name, of| Item { file: file.clone(), name, of, docs: docs.clone() };
                let written = code.strip_prefix("pub ").unwrap_or(code);
                let function =
                    written.strip_prefix("async ").unwrap_or(written).strip_prefix("fn ");
                if indented && let Some(function) = function {
                    let public = |(_, all): &&(String, bool)| *all || code.starts_with("pub ");
                    if line.strip_prefix("    ").is_some_and(|l| l == code)
                        && let Some((of, _)) = inside.as_ref().filter(public)
                    {
                        items.push(item(first_word(function), Some(of.clone())));
                    }
                } else if !indented {
                    let kinds = ["struct ", "enum ", "trait ", "fn ", "async fn "];
                    let public = code.strip_prefix("pub ");
                    let found = kinds.iter().find_map(|kind| public?.strip_prefix(kind));
                    let found = found.filter(|_| !hidden);
                    items.extend(found.map(|found| item(first_word(found), None)));
                    let public_trait =
                        code.strip_prefix("pub trait ").map(|t| (first_word(t), true));
                    if code != "where" {
                        inside = public_trait.or_else(|| inherent(code).map(|of| (of, false)));
                    }
                }
                docs.clear();
                hidden = false;
            }
        }
        modules.insert(file, module);
    }
    (modules, items)
}

#[test]
fn every_public_item_has_an_example_that_is_run() {
    let (modules, items) = read();
    assert!(items.len() > 150 && modules.len() > 20, "{} {}", items.len(), modules.len());
    let mut without = Vec::new();
    for item in items.iter().filter(|item| item.of.is_none()) {
        let own = examples(&item.docs);
        let link = item.docs.lines().find_map(|l| l.strip_prefix("Example: [")?.split(']').next());
        let linked = link.and_then(|link| {
            let last = link.trim_matches('`').rsplit("::").next()?.to_owned();
            let of = items.iter().filter(|i| i.name == last).map(|i| examples(&i.docs));
            of.chain(modules.get(&last).map(|m| examples(m))).find(|code| !code.is_empty())
        });
        let shown = !own.is_empty() || linked.is_some_and(|code| names(&code, &item.name));
        if !shown {
            without.push(format!("{}.rs: {}", item.file, item.name));
        }
    }
    assert!(without.is_empty(), "without an example:\n{}", without.join("\n"));
}

#[test]
fn every_public_method_is_in_an_example() {
    let (modules, items) = read();
    let mut all: String = modules.values().map(|docs| examples(docs)).collect();
    items.iter().for_each(|item| all += &examples(&item.docs));
    let without: Vec<String> = items
        .iter()
        .filter_map(|item| Some((item, item.of.as_ref()?)))
        .filter(|(item, _)| !names(&all, &item.name))
        .map(|(item, of)| format!("{}.rs: {of}::{}", item.file, item.name))
        .collect();
    assert!(without.is_empty(), "in no example:\n{}", without.join("\n"));
}
