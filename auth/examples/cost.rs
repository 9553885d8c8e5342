//! What a verification of each format costs: `cargo run --release -p auth --example cost`. The estimates of `Stored::cost`
//! come from here.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool that prints")]

use auth::Stored;
use std::time::Instant;

const HASH: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// As the libraries have them by default; of SCRAM as clients and servers do.
fn examples() -> Vec<(&'static str, String)> {
    let (sha1, sha512) = ("A".repeat(27), "A".repeat(86));
    let hex = "00".repeat(64);
    vec![
        (
            "bcrypt, cost 10 (PHP)",
            format!("$2b$10${}{}", "a".repeat(21) + ".", "a".repeat(30) + "."),
        ),
        (
            "bcrypt, cost 12 (Django, Python)",
            format!("$2b$12${}{}", "a".repeat(21) + ".", "a".repeat(30) + "."),
        ),
        ("argon2id, argon2-cffi 25", format!("$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ${HASH}")),
        (
            "argon2id, Django 5.2",
            format!("argon2$argon2id$v=19$m=102400,t=2,p=8$c2FsdHNhbHQ${HASH}"),
        ),
        ("scrypt, Werkzeug 3.1", format!("scrypt:32768:8:1$salt${hex}")),
        ("scrypt, Django 5.2", format!("scrypt$16384$salt$8$5${sha512}")),
        ("PBKDF2-SHA1, Django 5.2", format!("pbkdf2_sha1$1000000$salt${sha1}")),
        ("PBKDF2-SHA256, Django 5.2", format!("pbkdf2_sha256$1000000$salt${HASH}")),
        ("PBKDF2-SHA256, passlib 1.7", format!("$pbkdf2-sha256$29000$c2FsdA${HASH}")),
        ("PBKDF2-SHA512, Werkzeug", format!("pbkdf2:sha512:1000000$salt${hex}")),
        ("SHA-256-crypt, glibc", format!("$5$saltsalt${HASH}")),
        ("SHA-512-crypt, glibc", format!("$6$saltsalt${sha512}")),
        ("SHA-512-crypt, passlib 1.7", format!("$6$rounds=656000$saltsalt${sha512}")),
        ("LDAP {SSHA}", format!("{{SSHA}}{}", "A".repeat(32))),
        ("SCRAM-SHA-1", format!("SCRAM-SHA-1$4096:c2FsdA==${sha1}=:{sha1}=")),
        ("SCRAM-SHA-256", format!("SCRAM-SHA-256$4096:c2FsdA==${HASH}=:{HASH}=")),
        ("SCRAM-SHA-512", format!("SCRAM-SHA-512$4096:c2FsdA==${sha512}==:{sha512}==")),
    ]
}

fn main() {
    println!("{:36} {:>10} {:>10} {:>8}", "format", "ms", "estimate", "MiB");
    for (what, text) in examples() {
        let stored = Stored::parse(&text).unwrap();
        let (begin, mut times) = (Instant::now(), 0_u32);
        while times == 0 || begin.elapsed().as_millis() < 500 {
            assert!(!stored.verify("pencil"));
            times += 1;
        }
        let took = begin.elapsed().as_secs_f64() * 1000.0 / f64::from(times);
        let cost = stored.cost();
        let estimate = cost.micros as f64 / 1000.0;
        println!("{what:36} {took:10.3} {estimate:10.3} {:8.1}", cost.memory as f64 / 1048576.0);
    }
}
