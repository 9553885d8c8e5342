//! Bans, searched for as text: the second line of defence behind clippy.toml, which sees types but can be allowed away.

use super::Finding;
use super::source::Source;

/// Something that no code may contain.
struct Ban {
    texts: &'static [&'static str],
    why: &'static str,
    /// Folders that are exempt.
    except: &'static [&'static str],
}

const BANS: &[Ban] = &[
    Ban {
        texts: &["tokio::spawn", "tokio::task::spawn(", "spawn_local", "JoinSet"],
        why: "law 1: every task is a process in a supervision tree",
        // A load generator is not a node: it has no tree.
        except: &["supervision/", "bench/"],
    },
    Ban {
        texts: &[
            "unbounded_channel",
            "UnboundedSender",
            "::unbounded(",
            "std::sync::mpsc::channel",
        ],
        why: "law 2: every queue has a limit",
        except: &[],
    },
    Ban {
        texts: &["todo!", "unimplemented!", "dbg!"],
        why: "nothing is left unfinished",
        except: &[],
    },
    Ban { texts: &["#[ignore"], why: "a test that does not run tests nothing", except: &[] },
    Ban {
        texts: &["thread::sleep"],
        why: "wait for the event itself: sleeping is slow and fails under load",
        except: &[],
    },
];

/// Finds banned code, and lints that are allowed without a reason.
pub fn check(sources: &[Source]) -> Vec<Finding> {
    let rust = sources.iter().filter(|source| source.is_rust());
    rust.flat_map(|source| banned(source).chain(unreasoned(source))).collect()
}

fn banned(source: &Source) -> impl Iterator<Item = Finding> {
    source.code.lines().enumerate().flat_map(move |(at, line)| {
        BANS.iter().filter_map(move |ban| {
            if ban.except.iter().any(|folder| source.path.starts_with(folder)) {
                return None;
            }
            let text = ban.texts.iter().find(|text| line.contains(*text))?;
            Some(Finding::new(&source.path, at + 1, format!("`{text}`: {}", ban.why)))
        })
    })
}

/// Attributes `allow` and `expect` must say why; they may span lines.
fn unreasoned(source: &Source) -> impl Iterator<Item = Finding> {
    ["allow(", "expect("].into_iter().flat_map(move |kind| {
        source.code.match_indices(kind).filter_map(move |(at, _)| {
            let (before, after) = source.code.split_at(at);
            let attribute = before.ends_with("#[") || before.ends_with("#![");
            let inside = after.split_once(']').map_or(after, |(inside, _)| inside);
            let line = before.lines().count().max(1);
            (attribute && !inside.contains("reason ="))
                .then(|| Finding::new(&source.path, line, format!("`{kind}...)` without a reason")))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&[Source::new(path, text)]).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn every_banned_text_is_found() {
        for ban in BANS {
            for text in ban.texts {
                let found =
                    found("actors/src/lib.rs", &format!("//! Text.\nfn f() {{ {text}(); }}"));
                let expected = format!("actors/src/lib.rs:2: `{text}`: {}", ban.why);
                assert!(found.contains(&expected), "{text}: {found:?}");
            }
        }
    }

    #[test]
    fn only_supervision_and_the_load_generator_spawn() {
        let text = "fn f() { tokio::spawn(g()); }";
        assert!(found("supervision/src/process.rs", text).is_empty());
        assert!(found("bench/xload/src/main.rs", text).is_empty());
        assert_eq!(found("src/main.rs", text).len(), 1);
        assert_eq!(found("supervision/src/process.rs", "fn f() { todo!() }").len(), 1);
    }

    #[test]
    fn words_about_it_are_no_code() {
        assert!(found("src/a.rs", "// not tokio::spawn\nconst A: &str = \"todo!\";").is_empty());
    }

    #[test]
    fn a_lint_allowed_without_a_reason_is_found() {
        let bare = "//! Text.\n\n#[allow(dead_code)]\nfn f() {}\n#![expect(\n    unused,\n)]\n";
        assert_eq!(
            found("src/a.rs", bare),
            [
                "src/a.rs:3: `allow(...)` without a reason",
                "src/a.rs:5: `expect(...)` without a reason"
            ]
        );
        let reasoned =
            "#[allow(\n    dead_code,\n    reason = \"called by C\"\n)]\nfn f() { g().expect(1) }";
        assert!(found("src/a.rs", reasoned).is_empty());
    }
}
