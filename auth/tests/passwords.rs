//! Stored passwords as their own libraries make them: `tests/interop/passwords.py`, which `cargo xtask test` installs
//! Django, Werkzeug, bcrypt, argon2-cffi and passlib for.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

use auth::{Stored, formats};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path, process::Command};

#[test]
fn what_libraries_store_is_verified() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = root.join("target/interop/venv/bin/python");
    assert!(python.exists(), "Django is not installed: run the tests by `cargo xtask test`");
    let script = root.join("tests/interop/passwords.py");
    let made = Command::new(python).arg(script).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (mut by_library, mut renewed) = (BTreeMap::new(), Vec::new());
    for line in String::from_utf8(made.stdout).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| line[key].as_str().unwrap();
        let (password, stored) = (text("password"), text("stored"));
        let parsed = Stored::parse(stored).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert!(parsed.verify(password), "{line}");
        for wrong in [format!("x{password}"), password.to_uppercase() + "!", String::new()] {
            // bcrypt sees 72 bytes
            let cut = parsed.name() == "bcrypt" && password.len() >= 72;
            assert!(cut && wrong.starts_with(password) || !parsed.verify(&wrong), "{line} {wrong}");
        }
        assert!(!parsed.decoy().verify(password), "{line}");
        renew(stored, password, &line, &mut renewed);
        let what = format!("{} {}", text("library"), text("version"));
        *by_library.entry((what, parsed.name())).or_insert(0) += 1;
    }
    judge(&renewed, &root.join("target/interop/venv/bin/python"), root);
    let libraries = by_library.keys().map(|(library, _)| library.split(' ').next().unwrap());
    let mut libraries: Vec<&str> = libraries.collect();
    libraries.dedup();
    assert_eq!(libraries, ["Django", "Werkzeug", "argon2-cffi", "bcrypt", "hashlib", "passlib"]);
    for ((library, format), count) in by_library {
        println!("{count:3} {library}: {format}");
    }
}

/// The same format for another password.
fn renew(stored: &str, password: &str, line: &Value, into: &mut Vec<Value>) {
    let new = format!("{password}2");
    if let Some(text) = formats::renewed(stored, &new, false) {
        assert!(Stored::parse(&text).unwrap().verify(&new), "{line}: {text}");
        assert!(text != stored && text.len().abs_diff(stored.len()) < 30, "{line}: {text}");
        let mut told = line.clone();
        told["stored"] = text.into();
        told["password"] = new.into();
        into.push(told);
    } else {
        // what bcrypt sees of it is the same, and SASLprep does not have every letter
        let name = Stored::parse(stored).unwrap().name();
        assert!(matches!(name, "bcrypt" | "SCRAM" | "SHA-512-crypt" | "SHA-256-crypt"), "{line}");
    }
}

/// What was written here is read by the library whose format it is.
fn judge(renewed: &[Value], python: &Path, root: &Path) {
    use std::{io::Write, process::Stdio};
    let script = root.join("tests/interop/passwords.py");
    let mut judge = Command::new(python);
    let judge = judge.arg(script).arg("judge").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut judge = judge.spawn().unwrap();
    let mut input = judge.stdin.take().unwrap();
    for line in renewed {
        writeln!(input, "{line}").unwrap();
    }
    drop(input);
    let said = judge.wait_with_output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.trim(), format!("{} good", renewed.len()), "{said}");
}
