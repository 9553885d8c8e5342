//! The least and the most that an option takes, and what is said of what is beyond.

use crate::{file, rows};

const MONGODB: &str = "[[mongodb_accounts]]\nhost = 'localhost'\ndatabase = 'd'\ncollection = 'c'";
const HTTP: &str = "[[http_accounts]]\nhost = 'localhost'\nurl = 'https://x'";
const JWT: &str = "[[jwt_accounts]]\nhost = 'localhost'\nkey = 'k.pem'";

type Values = &'static [&'static str];

/// Section, option, what it takes, what it does not, and what is allowed.
const EDGES: &[(&str, &str, Values, Values, &str)] = &[
    ("[storage]", "journal", &["'1MiB'", "'8192GiB'"], &["0", "'1023KiB'"], "at least 1MiB"),
    ("[mongodb]", "deadline", &["'100ms'", "'1m'"], &["'0s'", "'99ms'", "'61s'"], "100ms to 1m"),
    (MONGODB, "refuse_after", &["'0s'", "'20s'"], &["'21s'"], "0s to 20s"),
    (MONGODB, "poll", &["'100ms'", "'1h'"], &["'0s'", "'99ms'", "'61m'"], "100ms to 1h"),
    (HTTP, "deadline", &["'100ms'", "'20s'"], &["'0s'", "'99ms'", "'21s'"], "100ms to 20s"),
    (HTTP, "parallel", &["1", "1000"], &["0", "1001"], "1 to 1000"),
    (HTTP, "refuse_after", &["'0s'", "'20s'"], &["'21s'"], "0s to 20s"),
    (JWT, "refuse_after", &["'0s'", "'20s'"], &["'21s'"], "0s to 20s"),
];

#[test]
fn what_is_beyond_is_refused_with_place_and_fix() {
    for (section, option, good, bad, allowed) in EDGES {
        let of = |value: &str| rows(file(&format!("{section}\n{option} = {value}\n")));
        for value in *good {
            assert_eq!(of(value), [""; 0], "{section} {option} = {value}");
        }
        let (line, column) = (section.lines().count() + 1, option.len() + 4);
        let name = section.lines().next().unwrap().trim_matches(['[', ']']);
        for value in *bad {
            let shown = value.replace('\'', "\"");
            let expected = format!(
                "mangrove.toml:{line}:{column}: {name}.{option}: {shown} is out of range; allowed is {allowed} (default: "
            );
            let found = of(value);
            assert!(found.len() == 1 && found[0].starts_with(&expected), "{expected}\n{found:#?}");
        }
    }
}

#[test]
fn what_has_to_be_there_is_named() {
    for (section, options) in [
        ("mongodb_accounts", &["host", "database", "collection"][..]),
        ("http_accounts", &["host", "url"]),
        ("jwt_accounts", &["host", "key"]),
    ] {
        let found = rows(file(&format!("[[{section}]]\n")));
        assert_eq!(found.len(), options.len(), "{found:#?}");
        for option in options {
            let expected = format!("mangrove.toml:1:1: {section}.{option}: it is missing; add ");
            assert!(found.iter().any(|row| row.starts_with(&expected)), "{expected}\n{found:#?}");
        }
        let empty: String = options.iter().map(|option| format!("{option} = ''\n")).collect();
        let found = rows(file(&format!("[[{section}]]\n{empty}")));
        assert_eq!(found.len(), options.len(), "{found:#?}");
        let is_told =
            |row: &String| row.contains(": it is empty; ") || row.contains("\"\" is no path; ");
        assert!(found.iter().all(is_told), "{found:#?}");
    }
}
