//! Tokens of PyJWT, and what attackers make of them: `tests/interop/tokens.py`, which `cargo xtask test` installs PyJWT for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use auth::jwt::{Algorithm, Key, KeyError, Policy, Verifier};
use serde_json::Value;
use std::{path::Path, process::Command};

const NOW: u64 = 1_800_000_000;

fn policy() -> Policy {
    Policy {
        issuer: Some("https://id.example.org".to_owned()),
        audience: vec!["xmpp".to_owned()],
        ..Policy::new("example.org")
    }
}

fn made() -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = root.join("target/interop/venv/bin/python");
    assert!(python.exists(), "PyJWT is not installed: run the tests by `cargo xtask test`");
    let script = root.join("tests/interop/tokens.py");
    let made = Command::new(python).arg(script).arg(NOW.to_string()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let lines = String::from_utf8(made.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn keys(of: &str, keys: &Value) -> Vec<Key> {
    if of == "jwks" {
        return Key::jwks(keys["jwks"].as_str().unwrap()).unwrap();
    }
    let algorithm = Algorithm::parse(of).unwrap();
    vec![match keys["pem"][of].as_str() {
        Some(pem) => Key::pem(pem, Some(algorithm)).unwrap(),
        None => Key::secret(&(0..64).collect::<Vec<u8>>(), algorithm).unwrap(),
    }]
}

#[test]
fn tokens_are_taken_and_attacks_are_refused() {
    let made = made();
    let (known, tokens) = made.split_first().unwrap();
    let (mut good, mut refused) = (0, 0);
    for line in tokens {
        let text = |key: &str| line[key].as_str();
        let verifier = Verifier::new(keys(text("key").unwrap(), known), policy()).unwrap();
        let checked = verifier.check(text("token").unwrap(), NOW);
        match text("user") {
            Some(user) => {
                let claims = checked.unwrap_or_else(|error| panic!("{line}: {error}"));
                assert_eq!(claims.user.as_str(), user, "{line}");
                assert_eq!(claims.id.as_deref(), Some("one"));
                good += 1;
            }
            None => {
                assert!(checked.is_err(), "{line}: {checked:?}");
                refused += 1;
            }
        }
    }
    assert!(good >= 40 && refused > 500, "{good} are good, {refused} are not");
}

#[test]
fn keys_are_read_as_they_come_and_others_refused() {
    let made = made();
    let known = &made[0];
    let text = |key: &str| known[key].as_str().unwrap();
    assert_eq!(Key::pem(text("pkcs1"), None).unwrap().algorithm(), Algorithm::RS256);
    assert_eq!(Key::pem(text("private"), None).unwrap_err(), KeyError::Private);
    assert_eq!(Key::pem(text("short"), None).unwrap_err(), KeyError::Short);
    let rsa = known["pem"]["RS256"].as_str().unwrap();
    let as_secret = Key::secret(rsa.as_bytes(), Algorithm::HS256);
    assert_eq!(as_secret.unwrap_err(), KeyError::NotASecret);
    for of in Algorithm::ALL {
        for (kind, pem) in known["pem"].as_object().unwrap() {
            let key = Key::pem(pem.as_str().unwrap(), Some(*of));
            let rsa = |name: &str| name.starts_with("RS") || name.starts_with("PS");
            let fits = of.name() == kind || rsa(of.name()) && rsa(kind);
            assert_eq!(key.is_ok(), fits, "{kind} as {of:?}");
        }
        assert_eq!(Key::secret(&[0; 32], *of).is_ok(), of.name().starts_with("HS"));
    }
    let names: Vec<_> = keys("jwks", known).iter().map(|k| k.id().unwrap().to_owned()).collect();
    assert_eq!(names, ["RS256", "ES256", "ES384", "EdDSA"], "others are for something else");
}
