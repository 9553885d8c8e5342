//! Words that belong to one machine: absolute paths of a developer's or builder's, and package registries of a network.
//! They may be in no file, whatever its kind; paths of temporary files may be in tests.

use super::Finding;
use super::source::Source;

/// Folders of machines. Spelled in two parts, so that this file does not contain them.
const PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
const TEMPORARY: &str = concat!("/t", "mp/");
/// Settings that name a registry, as cargo, pip and npm write them.
const REGISTRIES: &[&str] = &[
    concat!("\"reso", "lved\": \""),
    concat!("index", "-url"),
    concat!("trusted", "-host"),
    concat!("find", "-links"),
    concat!("registry", "=http"),
    concat!("sparse", "+http"),
    concat!("replace", "-with"),
];
/// How Cargo.lock names crates.io; any other registry is a network's own.
const REGISTRY: &str = concat!("registry", "+http");
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Finds machine paths and registries.
pub fn check(sources: &[Source]) -> Vec<Finding> {
    sources.iter().flat_map(check_file).collect()
}

fn check_file(source: &Source) -> Vec<Finding> {
    let tests_from = source.tests_from();
    let mut findings = Vec::new();
    for (at, line) in source.text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
        let mut found = |what: &str| findings.push(Finding::new(&source.path, at, what));
        if PATHS.iter().any(|path| holds_path(line, path)) {
            found("names a folder of one machine");
        }
        if at < tests_from && holds_path(line, TEMPORARY) {
            found("names a temporary file: ask for the folder (std::env::temp_dir, mktemp)");
        }
        let registry = REGISTRIES.iter().any(|word| line.contains(word));
        if registry || line.replace(CRATES_IO, "").contains(REGISTRY) {
            found("names a package registry");
        }
    }
    findings
}

/// Whether the line has the absolute path; `target/work/x` has not.
fn holds_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || "_-.$}*".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&[Source::new(path, text)]).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn a_path_of_a_machine_is_found_in_any_file() {
        for folder in PATHS {
            for path in ["README.md", "tests/a.py", "src/a.rs"] {
                let text = format!("first\nsee {folder}notes\n");
                assert_eq!(
                    found(path, &text),
                    [format!("{path}:2: names a folder of one machine")]
                );
            }
            assert!(found("a.md", &format!("target{folder}notes")).is_empty());
        }
    }

    #[test]
    fn a_temporary_path_is_found_outside_tests() {
        let line = format!("let path = \"{TEMPORARY}x\";\n");
        assert_eq!(found("src/a.rs", &line).len(), 1);
        assert_eq!(found("docs/a.md", &line).len(), 1);
        assert!(found("tests/a.rs", &line).is_empty());
        assert!(found("src/a.rs", &format!("//! Text.\n#[cfg(test)]\n{line}")).is_empty());
    }

    #[test]
    fn a_registry_is_found() {
        for word in REGISTRIES {
            let text = format!("  {word}\n");
            assert_eq!(found("any.file", &text), ["any.file:1: names a package registry"]);
        }
        let own = format!("source = \"{REGISTRY}://127.0.0.1:1/index\"");
        assert_eq!(found("Cargo.lock", &own), ["Cargo.lock:1: names a package registry"]);
        assert!(found("Cargo.lock", &format!("source = \"{CRATES_IO}\"")).is_empty());
    }
}
