//! `docs/limits.md`: everything that grows, with its limit as the code has it. The test fails when a field that holds
//! many things is in no row, when a limit is another than the page says, or when nothing tries it.

mod rows;

use crate::documents::{must_be, read, sections};
use rows::{CLUSTER, CONNECTION, NODE, PROCESSES, Row, SERVICES, SESSION, STILL, STORED};
use std::{collections::BTreeSet, fs, path::Path};

const FILE: &str = "docs/limits.md";
const BEGIN: &str = "<!-- limits: made by tests/it/limit_table -->\n";
const END: &str = "<!-- end of limits -->";

/// Crates whose types live as long as a node.
const CRATES: &[&str] = &[
    "supervision/src",
    "xmpp/src",
    "storage/src",
    "cluster/src",
    "tls/src",
    "auth/src",
    "actors/src",
    "src",
];
/// What only tools and tests use.
const TOOLS: &[&str] =
    &["/testkit", "/schedule", "/tests", "conformance", "src/cli/", "simulation"];
/// Types that hold many things.
const MANY: &[&str] = &[
    "Vec<",
    "VecDeque<",
    "HashMap<",
    "BTreeMap<",
    "HashSet<",
    "BTreeSet<",
    "BytesMut",
    "RwLock<Arc<[",
];

/// A limit as the code has it.
fn value(from: &str) -> String {
    let Some((file, name)) = from.split_once(": ") else { return option(from) };
    let source = read(file);
    let (constant, default) = (format!("const {name}: "), format!("{name}: "));
    let line = source.lines().map(str::trim).find_map(|line| {
        let rest = line.split_once(&constant).map(|(_, rest)| rest.split_once("= ").unwrap().1);
        let text = rest.or_else(|| {
            line.split_once(&default)
                .map(|(_, rest)| rest)
                .filter(|rest| rest.starts_with(char::is_numeric))
        })?;
        Some(text.split([';', ',']).next().unwrap().trim_end_matches(" }").to_owned())
    });
    size(&line.unwrap_or_else(|| panic!("{file} has no {name}")))
}

/// A number; sizes are written as `64 << 10`.
fn size(text: &str) -> String {
    let number = |text: &str| {
        let number = text.trim().replace('_', "").parse::<usize>();
        number.unwrap_or_else(|_| panic!("{text} is no number"))
    };
    let Some((left, right)) = text.split_once("<<") else { return number(text).to_string() };
    match number(left) << number(right) {
        n if n % (1 << 20) == 0 => format!("{}MiB", n >> 20),
        n => format!("{}KiB", n >> 10),
    }
}

/// The default of an option. A section that may be there several times is in the reference as a comment.
fn option(path: &str) -> String {
    let sections = sections();
    let (section, name) = path.rsplit_once('.').unwrap();
    let declared = sections.declared().iter().find(|d| d.path == section);
    let declared = declared.unwrap_or_else(|| panic!("there is no section {section}"));
    assert!(declared.options.iter().any(|o| o.name == name), "there is no option {path}");
    let reference = read("config/reference.toml");
    let (own, mark) = match reference.split_once(&format!("\n[{section}]\n")) {
        Some((_, own)) => (own, ""),
        None => (reference.split_once(&format!("\n# [[{section}]]\n")).unwrap().1, "# "),
    };
    let own = own.split(&format!("\n{mark}[")).next().unwrap();
    let line = own.lines().find_map(|l| l.strip_prefix(&format!("{mark}{name} = ")));
    line.map_or_else(
        || "not set".to_owned(),
        |v| v.trim_matches('"').replace("iB", " iB").replace(" iB", "iB"),
    )
}

fn table(rows: &[Row]) -> String {
    let mut text =
        "| what | limits | at most | at the limit | tried by |\n|---|---|---|---|---|\n".to_owned();
    for row in rows {
        let limit = |from: &&str| {
            let name = from.split_once(": ").map_or(*from, |(_, name)| name);
            format!("`{name}` {}", value(from))
        };
        let limits: Vec<String> = row.from.iter().map(limit).collect();
        let tried: Vec<String> = row.tried.iter().map(|t| format!("`{t}`")).collect();
        let cells = [row.what, &limits.join(", "), row.most, row.at, &tried.join(", ")];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

const PARTS: [(&str, &[Row]); 7] = [
    ("A connection", CONNECTION),
    ("A session", SESSION),
    ("A user, in the store", STORED),
    ("The node", NODE),
    ("A node of a cluster", CLUSTER),
    ("Processes", PROCESSES),
    ("Stores, accounts and pages", SERVICES),
];

fn all() -> impl Iterator<Item = &'static Row> {
    PARTS.into_iter().flat_map(|(_, rows)| rows)
}

#[test]
fn the_page_has_every_limit_as_the_code_has_it() {
    let tables: Vec<String> =
        PARTS.iter().map(|(title, rows)| format!("## {title}\n\n{}", table(rows))).collect();
    let page = read(FILE);
    let (before, rest) = page.split_once(BEGIN).expect("the first mark");
    let (_, after) = rest.split_once(END).expect("the second mark");
    must_be(FILE, &format!("{before}{BEGIN}\n{}\n{END}{after}", tables.join("\n")));
}

fn files(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            files(&entry, found);
        } else if entry.extension().is_some_and(|e| e == "rs") {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            found.push(entry.strip_prefix(root).unwrap().display().to_string());
        }
    }
}

/// Fields in a source that hold many things; tuple structs and statics by their own names.
fn fields(source: &str) -> BTreeSet<String> {
    let (mut found, mut inside, mut tuple) = (BTreeSet::new(), false, None);
    let many = |ty: &str| MANY.iter().any(|many| ty.contains(many));
    let word = |text: &str| {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        text[..end].to_owned()
    };
    // a test module in another file hides nothing
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    for line in code.lines() {
        let text = line.trim_start();
        if text.starts_with("//") {
            continue;
        }
        let item = ["pub ", "pub(super) ", "pub(crate) "].iter().find_map(|p| text.strip_prefix(p));
        let item = item.unwrap_or(text);
        if let Some(rest) = item.strip_prefix("struct ") {
            inside = text.ends_with('{');
            tuple = (!inside).then(|| word(rest));
        } else if text == "}" {
            inside = false;
        } else if let Some((name, ty)) =
            item.strip_prefix("static ").and_then(|s| s.split_once(": "))
            && many(ty.split(" = ").next().unwrap())
        {
            found.insert(name.to_owned());
        } else if inside
            && let Some((name, ty)) = item.split_once(": ")
            && many(ty)
        {
            found.insert(word(name));
        }
        if let Some(name) = &tuple {
            if many(text) {
                found.insert(name.clone());
            }
            if text.ends_with(';') {
                tuple = None;
            }
        }
    }
    found
}

#[test]
fn fields_statics_and_tuple_structs_are_found() {
    let source = "pub struct A {\n    pub(super) a: Vec<u8>,\n    // b: Vec<u8>\n    c: u8,\n}\n\
        pub(crate) struct B<'a>(HashMap<u8, &'a u8>);\nstruct C(u8);\nstruct D(\n    u8,\n    \
        Arc<Mutex<VecDeque<u8>>>,\n);\nstatic E: Mutex<BTreeSet<u8>> = new();\nstatic F: u8 = 1;\n\
        fn g(h: Vec<u8>) {}\n#[cfg(test)]\nmod tests {\n    struct I(Vec<u8>);\n}\n";
    assert_eq!(Vec::from_iter(fields(source)), ["B", "D", "E", "a"]);
}

#[test]
fn whatever_holds_many_things_is_in_a_row() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    CRATES.iter().for_each(|part| files(&root.join(part), &mut sources));
    sources.retain(|file| !TOOLS.iter().any(|tool| file.contains(tool)));
    let known: BTreeSet<(&str, &str)> = all()
        .flat_map(|row| row.fields)
        .chain(STILL)
        .flat_map(|(file, names)| names.split(' ').map(move |name| (*file, name)))
        .collect();
    let found: BTreeSet<(String, String)> = sources
        .into_iter()
        .flat_map(|file| fields(&read(&file)).into_iter().map(move |name| (file.clone(), name)))
        .collect();
    let listed = |(file, name): &&(String, String)| known.contains(&(&**file, &**name));
    let missing: Vec<_> = found.iter().filter(|f| !listed(f)).collect();
    assert!(
        missing.is_empty(),
        "these hold many things: put them into tests/it/limit_table/rows: {missing:#?}"
    );
    let gone = |(file, name): &&(&str, &str)| !found.contains(&((*file).into(), (*name).into()));
    let gone: Vec<_> = known.iter().filter(gone).collect();
    assert!(gone.is_empty(), "tests/it/limit_table/rows lists what there is not: {gone:#?}");
    assert!(found.len() > 60, "only {} were found", found.len());
}

#[test]
fn every_limit_is_tried() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    CRATES
        .iter()
        .chain(&[
            "tests/it",
            "actors/tests",
            "supervision/tests",
            "cluster/tests",
            "xmpp/tests",
            "tls/tests",
            "auth/tests",
        ])
        .for_each(|part| files(&root.join(part), &mut sources));
    let text: String = sources.iter().map(|file| read(file)).collect();
    for row in all() {
        assert!(!row.tried.is_empty(), "{} is not tried", row.what);
        for test in row.tried {
            assert!(text.contains(&format!("fn {test}(")), "there is no test {test}");
        }
    }
}
