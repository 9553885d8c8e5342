//! The rule for examples in the documentation, and that it is kept.
//!
//! - Every public struct, enum, trait and free function has an example that is run, in its own
//!   documentation; or a line `Example: [...]` that names the item, or the module, whose example uses
//!   it. That item exists, has an example of its own, and the example names the thing.
//! - Every public method, and what a trait wants its implementor to write, is called or written in an
//!   example of the crate.
//!
//! And the rule for `README.md`, the dictionary: no cell of its tables is empty, each Rust name in it is one of the public
//! items, or a part of one, and each row names the files where that is.
//!
//! No example is asked for of variants, fields, constants, type aliases, what a `derive` or a foreign trait adds,
//! and what is hidden from the documentation: machinery that shows in signatures and no user names.
//! The source is read as text: all of `src/`, as the crate's style writes it.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

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
                    if !hidden
                        && line.strip_prefix("    ").is_some_and(|l| l == code)
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

/// What a user can name: types, and their methods, variants, fields and constants; modules, and their items. Each with the
/// files that have it.
struct Names {
    types: BTreeMap<String, BTreeSet<String>>,
    parts: BTreeMap<(String, String), BTreeSet<String>>,
}

fn files(dir: &Path, below: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| {
        let name = format!("{below}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            files(&path, &format!("{name}/"))
        } else {
            vec![(name, fs::read_to_string(&path).unwrap())]
        }
    });
    found.collect()
}

impl Names {
    fn read() -> Self {
        let mut names = Self { types: BTreeMap::new(), parts: BTreeMap::new() };
        for (file, text) in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "") {
            let module = file.split(['/', '.']).next().unwrap_or_default().to_owned();
            let (mut inside, mut all_public, mut hidden) = (None, false, false);
            for line in text.lines().take_while(|line| *line != "#[cfg(test)]") {
                let public = line.strip_prefix("pub ");
                let kinds = ["struct ", "enum ", "trait ", "type ", "fn ", "async fn ", "const "];
                let item = kinds.iter().find_map(|kind| Some((*kind, public?.strip_prefix(kind)?)));
                if let Some((kind, rest)) = item.filter(|_| !hidden) {
                    let (item, file) = (first_word(rest), file.clone());
                    names
                        .parts
                        .entry((module.clone(), item.clone()))
                        .or_default()
                        .insert(file.clone());
                    names.types.entry(item.clone()).or_default().insert(file);
                    all_public = matches!(kind, "enum " | "trait ");
                    inside = Some(item);
                } else if let Some(of) = inherent(line) {
                    (inside, all_public) = (Some(of), false);
                } else if line == "}" {
                    inside = None;
                } else if let (Some(of), Some(part)) = (&inside, line.strip_prefix("    ")) {
                    let written = part.strip_prefix("pub ");
                    let part = written.or_else(|| all_public.then_some(part)).unwrap_or_default();
                    let words = ["async fn ", "fn ", "const fn ", "const ", "type "];
                    let part =
                        words.iter().find_map(|word| part.strip_prefix(word)).unwrap_or(part);
                    let key = (of.clone(), first_word(part));
                    names.parts.entry(key).or_default().insert(file.clone());
                }
                hidden = line == "#[doc(hidden)]" || hidden && line.starts_with("#[");
            }
        }
        names
    }

    /// Where that is: `Type`, `Type::part`, `module::item`.
    fn find(&self, path: &str) -> Option<&BTreeSet<String>> {
        match path.split_once("::") {
            Some((of, part)) => self.parts.get(&(of.to_owned(), part.to_owned())),
            None => self.types.get(path),
        }
    }
}

/// `A::{b, c}_d` is `A::b_d` and `A::c_d`; of `A<B>` it is `A` and `B`; what is called with is left out.
fn paths(span: &str) -> Vec<String> {
    let span = span.split('(').next().unwrap_or_default();
    if let Some((before, rest)) = span.split_once('{') {
        let (list, after) = rest.split_once('}').unwrap_or((rest, ""));
        return list.split(',').map(|one| format!("{before}{}{after}", one.trim())).collect();
    }
    let span = span.replace("::<", "<");
    span.split(['<', '>']).filter(|path| path.len() > 1).map(str::to_owned).collect()
}

fn spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// What is wrong with a row.
fn wrong(names: &Names, otp: &str, here: &str, file: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if [otp, here, file].iter().any(|cell| cell.is_empty()) {
        wrong.push("an empty cell".to_owned());
    }
    let listed: BTreeSet<&str> =
        file.split(", ").filter(|file| !matches!(*file, "" | "-")).collect();
    let said: BTreeSet<&str> = spans(otp)
        .flat_map(|span| span.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .collect();
    let (mut found, mut of) = (BTreeSet::new(), BTreeSet::new());
    for path in spans(here).flat_map(paths) {
        if let Some(files) = names.find(&path) {
            found.extend(files.iter().map(String::as_str));
            of.insert(path.split("::").next().unwrap_or_default().to_owned());
            continue;
        }
        // a part of what the row has named, a word of OTP's, or another crate's
        let part = of.iter().find_map(|of| names.find(&format!("{of}::{path}")));
        let otps = [
            "noproc",
            "noconnection",
            "trap_exit",
            "init",
            "false",
            "handle_event_function",
            "DOWN",
            "which_groups",
            "registered/0",
        ];
        let others = ["tracing", "perf", "Arc"];
        if let Some(files) = part {
            found.extend(files.iter().map(String::as_str));
        } else if !said.contains(&*path) && !otps.contains(&&*path) && !others.contains(&&*path) {
            wrong.push(format!("there is no `{path}`"));
        }
    }
    if let Some(of) = here.strip_prefix("the same on `").and_then(|rest| rest.split('`').next()) {
        let missing = spans(otp)
            .filter(|word| is_word(word) && names.find(&format!("{of}::{word}")).is_none());
        wrong.extend(missing.map(|word| format!("`{of}` has no `{word}`")));
    }
    let known = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "");
    let gone = listed.iter().filter(|file| !known.iter().any(|(known, _)| known == *file));
    wrong.extend(gone.map(|file| format!("there is no file {file}")));
    if !here.starts_with("left out") && !found.is_empty() && found.is_disjoint(&listed) {
        wrong.push(format!("it is in {found:?}"));
    }
    wrong
}

#[test]
fn the_dictionary_says_what_is_so() {
    let names = Names::read();
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (mut rows, mut found) = (0, Vec::new());
    for line in readme.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        match cells[..] {
            ["OTP", "here", "file"] | ["---", "---", "---"] => {}
            [otp, here, file] => {
                rows += 1;
                found.extend(
                    wrong(&names, otp, here, file).iter().map(|what| format!("{otp}: {what}")),
                );
            }
            _ => found.push(format!("three cells: {line}")),
        }
    }
    assert!(rows > 90, "{rows}");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_row_that_is_not_so_is_found() {
    let names = Names::read();
    let wrong = |otp, here, file| wrong(&names, otp, here, file);
    assert!(wrong("`link`", "`Local::link`, `unlink`", "pid/links.rs").is_empty());
    assert!(
        wrong("`link`", "`Event::{Exit, Down}`, `Pool<S>`", "event.rs")
            .contains(&"there is no `Pool`".to_owned())
    );
    assert_eq!(
        wrong("`link`", "`Local::links_to`", "pid/links.rs"),
        ["there is no `Local::links_to`"]
    );
    assert_eq!(
        wrong("`link`, `bind`", "the same on `Local`", "pid/mod.rs"),
        ["`Local` has no `bind`"]
    );
    assert_eq!(wrong("`link`", "`Local::link`", "pid/bonds.rs").len(), 2);
    assert_eq!(wrong("`link`", "`Local::link`", "server.rs"), ["it is in {\"pid/links.rs\"}"]);
    assert_eq!(wrong("`link`", "left out", ""), ["an empty cell"]);
}
