//! Laws 5 and 6: dependencies between the crates go as ARCHITECTURE.md draws them, and a foreign library that the
//! design confines is named by its crate alone. Dependencies of tests count like the others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Finding;

/// The confined libraries, each with the crates that may name it.
const CONFINED: &[(&str, &[&str])] = &[
    ("ractor", &["supervision", "cluster"]),
    ("rxml", &["xmpp"]),
    ("rusqlite", &["storage"]),
    ("mongodb", &["storage"]),
    ("fred", &["cluster"]),
    ("ractor_cluster", &["cluster"]),
    // the load generator shares no code with what it measures
    ("rustls", &["tls", "auth", "cluster", "mangrove", "xload"]),
    ("tokio-rustls", &["cluster", "xload"]),
    ("prometheus-client", &["actors"]),
    ("procfs", &["mangrove"]),
    // law 4: what the others do is not I/O
    ("tokio", &["supervision", "cluster", "storage", "auth", "actors", "mangrove", "xload"]),
];

/// The members of the workspace, as cargo knows them.
pub struct Workspace {
    pub crates: Vec<Crate>,
}

/// One member.
pub struct Crate {
    pub name: String,
    /// Its manifest, relative to the workspace.
    pub manifest: String,
    /// What it depends on, by package name, tests included.
    pub dependencies: BTreeSet<String>,
    /// The files its targets start from, relative to the workspace.
    pub roots: Vec<String>,
}

impl Workspace {
    /// Reads the answer of `cargo metadata --no-deps`.
    ///
    /// # Errors
    /// When it has another form than cargo documents.
    pub fn parse(metadata: &str, root: &Path) -> Result<Self> {
        let metadata: Value = serde_json::from_str(metadata)?;
        let crates = array(&metadata, "packages")?.iter().map(|package| {
            let targets = array(package, "targets")?.iter();
            Ok(Crate {
                name: text(package, "name")?.to_owned(),
                manifest: relative(text(package, "manifest_path")?, root),
                dependencies: array(package, "dependencies")?
                    .iter()
                    .map(|dependency| Ok(text(dependency, "name")?.to_owned()))
                    .collect::<Result<_>>()?,
                roots: targets
                    .map(|target| Ok(relative(text(target, "src_path")?, root)))
                    .collect::<Result<_>>()?,
            })
        });
        Ok(Self { crates: crates.collect::<Result<_>>()? })
    }
}

fn array<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value.get(key).and_then(Value::as_array).with_context(|| format!("metadata has no {key}"))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value.get(key).and_then(Value::as_str).with_context(|| format!("metadata has no {key}"))
}

fn relative(path: &str, root: &Path) -> String {
    let path = Path::new(path);
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

/// Compares the crates with the block ```` ```edges ```` of ARCHITECTURE.md: lines `crate -> crate, crate`, or the
/// name alone for a crate that uses no other.
///
/// # Errors
/// When there is no such block, or it cannot be read.
pub fn check_picture(workspace: &Workspace, architecture: &str) -> Result<Vec<Finding>> {
    let mut drawn = picture(architecture)?;
    let names: BTreeSet<&str> = workspace.crates.iter().map(|c| c.name.as_str()).collect();
    let mut findings = Vec::new();
    for member in &workspace.crates {
        let Some((line, drawn)) = drawn.remove(member.name.as_str()) else {
            let what = format!("the crate {} is not drawn in ARCHITECTURE.md", member.name);
            findings.push(Finding::new(&member.manifest, 0, what));
            continue;
        };
        let used: BTreeSet<&str> =
            member.dependencies.iter().map(String::as_str).filter(|d| names.contains(d)).collect();
        for edge in used.difference(&drawn) {
            let what = format!("law 6: {} -> {edge} is not drawn in ARCHITECTURE.md", member.name);
            findings.push(Finding::new(&member.manifest, 0, what));
        }
        for edge in drawn.difference(&used) {
            let what = format!("{} -> {edge} is drawn, but not there", member.name);
            findings.push(Finding::new("ARCHITECTURE.md", line, what));
        }
    }
    findings.extend(drawn.into_iter().map(|(name, (line, _))| {
        Finding::new("ARCHITECTURE.md", line, format!("there is no crate {name}"))
    }));
    Ok(findings)
}

type Picture<'a> = BTreeMap<&'a str, (usize, BTreeSet<&'a str>)>;

fn picture(architecture: &str) -> Result<Picture<'_>> {
    let mut lines = architecture.lines().enumerate().skip_while(|(_, line)| *line != "```edges");
    lines.next().context("ARCHITECTURE.md has no block ```edges")?;
    let mut drawn = Picture::new();
    for (at, line) in lines.take_while(|(_, line)| *line != "```") {
        if line.trim().is_empty() {
            continue;
        }
        let (name, uses) = line.split_once("->").unwrap_or((line, ""));
        let uses = uses.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        if drawn.insert(name.trim(), (at + 1, uses)).is_some() {
            bail!("ARCHITECTURE.md:{}: {} is drawn twice", at + 1, name.trim());
        }
    }
    Ok(drawn)
}

/// Finds confined libraries outside their crates.
pub fn check_libraries(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in &workspace.crates {
        for (library, homes) in CONFINED {
            if member.dependencies.contains(*library) && !homes.contains(&member.name.as_str()) {
                let what = format!("law 5: {library} is named by {} alone", homes.join(" and "));
                findings.push(Finding::new(&member.manifest, 0, what));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(crates: &[(&str, &[&str])]) -> Workspace {
        let package = |(name, uses): &(&str, &[&str])| {
            serde_json::json!({
                "name": name,
                "manifest_path": format!("/w/{name}/Cargo.toml"),
                "dependencies": uses.iter().map(|d| serde_json::json!({"name": d})).collect::<Vec<_>>(),
                "targets": [{"src_path": format!("/w/{name}/src/lib.rs")}],
            })
        };
        let packages: Vec<Value> = crates.iter().map(package).collect();
        let metadata = serde_json::json!({ "packages": packages }).to_string();
        Workspace::parse(&metadata, Path::new("/w")).unwrap()
    }

    fn picture_findings(crates: &[(&str, &[&str])], edges: &str) -> Vec<String> {
        let text = format!("# Title\n\n```edges\n{edges}\n```\n");
        let findings = check_picture(&workspace(crates), &text).unwrap();
        findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn the_drawn_edges_are_fine() {
        let crates: &[(&str, &[&str])] = &[("xmpp", &["serde"]), ("actors", &["xmpp", "serde"])];
        assert!(picture_findings(crates, "xmpp\nactors -> xmpp").is_empty());
    }

    #[test]
    fn an_edge_that_is_not_drawn_is_found() {
        let crates: &[(&str, &[&str])] = &[("xmpp", &["actors"]), ("actors", &[])];
        let found = picture_findings(crates, "xmpp\nactors");
        assert_eq!(
            found,
            ["xmpp/Cargo.toml:0: law 6: xmpp -> actors is not drawn in ARCHITECTURE.md"]
        );
    }

    #[test]
    fn a_picture_of_something_else_is_found() {
        let found = picture_findings(&[("xmpp", &[]), ("new", &[])], "xmpp -> new\ngone");
        assert_eq!(
            found,
            [
                "ARCHITECTURE.md:4: xmpp -> new is drawn, but not there",
                "new/Cargo.toml:0: the crate new is not drawn in ARCHITECTURE.md",
                "ARCHITECTURE.md:5: there is no crate gone",
            ]
        );
    }

    #[test]
    fn without_a_picture_the_rule_fails() {
        assert!(check_picture(&workspace(&[]), "# Title\n").is_err());
        assert!(check_picture(&workspace(&[]), "```edges\na\na -> b\n```").is_err());
    }

    #[test]
    fn a_confined_library_elsewhere_is_found() {
        let crates: &[(&str, &[&str])] =
            &[("supervision", &["ractor"]), ("mangrove", &["ractor", "rustls"])];
        let found: Vec<String> =
            check_libraries(&workspace(crates)).iter().map(Finding::to_string).collect();
        let wanted =
            "mangrove/Cargo.toml:0: law 5: ractor is named by supervision and cluster alone";
        assert_eq!(found, [wanted]);
    }
}
