//! What is in no source has been made by the library that is named.

#![expect(clippy::string_slice, reason = "a test fails by panicking")]

use super::*;
use crate::formats::limits::{
    BCRYPT_COST, BLOCK, CRYPT_PASSWORD, ITERATIONS, LANES, ROUNDS, STORED,
};
use proptest::prelude::*;

fn parsed(text: &str) -> Stored {
    Stored::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// One of each, and whose it is: name, password, stored.
const KNOWN: &[(&str, &str, &str)] = &[
    // jBCrypt's tests; bcrypt 5.0
    ("bcrypt", "a", "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe"),
    ("bcrypt", "pencil", "$2b$04$RmJJmK7jG6XGcaFQYmM85eIMqkU.F4FrDFE5VfYDy7dquQDiDsv1a"),
    ("bcrypt", "pencil", "bcrypt$$2b$04$RmJJmK7jG6XGcaFQYmM85eIMqkU.F4FrDFE5VfYDy7dquQDiDsv1a"),
    // argon2-cffi 25.1
    (
        "argon2id",
        "pencil",
        "$argon2id$v=19$m=16,t=1,p=1$Od57ryVqm22KyCYrsMHA6Q$VQCnPU/mumlcQdKNlLAs5SPMOZCX7YV+a3PsOwOje7I",
    ),
    (
        "argon2id",
        "pencil",
        "{Argon2}$argon2id$v=19$m=16,t=1,p=1$Od57ryVqm22KyCYrsMHA6Q$VQCnPU/mumlcQdKNlLAs5SPMOZCX7YV+a3PsOwOje7I",
    ),
    // RFC 7914 section 12
    (
        "scrypt",
        "pleaseletmein",
        "scrypt:16384:8:1$SodiumChloride$7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887",
    ),
    // passlib 1.7.4
    (
        "PBKDF2 with SHA-256",
        "pencil",
        "$pbkdf2-sha256$1000$FiLE2BuDcK6VMoYw5pzzXg$yCxFWLZjjBT6.L3pZmsRtIHuyhXv7Oye.gXksTJ.q64",
    ),
    (
        "PBKDF2 with SHA-1",
        "pencil",
        "$pbkdf2$1000$qPX.Xyul1LqXcu495xxjTA$EWIlkPHqah8z6Aq9WbU2nCxB35k",
    ),
    (
        "PBKDF2 with SHA-1",
        "password",
        "{PBKDF2}1212$yjmndK5VqtW6d.5dK2Ws9Q$WMaLZTrt3cFiWrEMXxef8KKWcpY",
    ),
    ("salted SHA-1", "pencil", "{SSHA}35wiB9gaXlxv/Gv6ARg+n5iwdLyGcA7h"),
    ("salted SHA-1", "pencil", "{ssha}35wiB9gaXlxv/Gv6ARg+n5iwdLyGcA7h"),
    ("SHA-1", "pencil", "{SHA}0vxRJJChUDZGC1SJQBQ51tpUB/o="),
    ("salted SHA-1", "pencil", "sha1$Qs0XmzyBrCym$603f843f001876f7084c8227e1ccd7bd7e5a3619"),
    // Werkzeug 2.3.8
    (
        "salted SHA-256",
        "pencil",
        "sha256$g7UXBrLBzbXYbRfK$84207e58072c15189f4a54256b8dd45427c6b7f97be180905fd792d40f742b0a",
    ),
    (
        "salted SHA-512",
        "pencil",
        "sha512$Z9z4HuTEzxSpMBpV$fca95351c67bfb0d7086c4258eff2a2fe6e5a32c3d2b7e0ee41be0f41b9fb8fa2b4f8e704ab26f7e73e2289580719a27d9d004d8642de7f4dc966944fb3c303e",
    ),
    ("SHA-256-crypt", "Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
    (
        "SHA-512-crypt",
        "Hello world!",
        "{CRYPT}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
    ),
    // RFC 7677 section 3, RFC 5802 section 5
    (
        "SCRAM",
        "pencil",
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    ),
    (
        "SCRAM",
        "pencil",
        "SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE=",
    ),
];

#[test]
fn each_format_fits_its_password_and_no_other() {
    for (name, password, text) in KNOWN {
        let stored = parsed(text);
        assert_eq!(stored.name(), *name, "{text}");
        assert!(stored.verify(password), "{text}");
        for wrong in ["", "Pencil", &format!("{password} "), "\u{1f511}"] {
            assert!(!stored.verify(wrong), "{text} {wrong}");
        }
        assert!(!stored.is_unusable() && !format!("{stored:?}").contains('$'), "{stored:?}");
        assert_eq!(stored.is_scram_capable(), stored.scram().is_some());
        assert_eq!(stored.is_scram_capable(), *name == "SCRAM");
    }
}

#[test]
fn a_decoy_costs_the_same_and_fits_nothing() {
    for (_, password, text) in KNOWN {
        let (stored, decoy) = (parsed(text), parsed(text).decoy());
        assert_eq!((decoy.cost(), decoy.name()), (stored.cost(), stored.name()));
        assert!(!decoy.verify(password) && !decoy.verify(""), "{text}");
        assert_ne!(decoy.fingerprint(), stored.fingerprint());
        assert_eq!(parsed(text).fingerprint(), stored.fingerprint());
        assert!(stored.cost().micros > 0, "{text}");
    }
}

#[test]
fn what_is_cut_off_or_goes_on_is_no_stored_password() {
    for (name, password, text) in KNOWN {
        for cut in 1..text.len() {
            match Stored::parse(&text[..cut]) {
                Err(_) => {}
                // base64 may do without its padding
                Ok(_) if text[cut..].trim_end_matches('=').is_empty() => {}
                // these have no length of their own; that of argon2's hash, and the salt, are part of the work
                Ok(cut) => {
                    assert!(["argon2id", "scrypt", "salted SHA-1"].contains(name), "{cut:?}");
                    assert!(*name == "scrypt" || !cut.verify(password), "{cut:?}");
                }
            }
        }
        for more in ["$", "x$", ":x", " ", "\n", "\0"] {
            assert!(Stored::parse(&format!("{text}{more}")).is_err(), "{text}{more:?}");
        }
    }
}

#[test]
fn a_password_is_tried_as_it_was_typed_and_as_saslprep_has_it() {
    // `I`, a soft hyphen, `X`, salted with `salt`
    let written = parsed("{SSHA}TEX6ruW5ZWHepPrInP2LQUHxpXBzYWx0");
    let prepared = parsed("{SSHA}Gnx46yPeUNd7Waoduob5fWkW1EpzYWx0");
    assert!(written.verify("I\u{ad}X") && prepared.verify("I\u{ad}X"));
    assert!(prepared.verify("IX") && !written.verify("IX"));
}

#[test]
fn bcrypt_sees_72_bytes() {
    let stored = parsed("$2b$04$5q0T4goVnculep4WCCgiAeeHoNSlm5mkAVV4vFC0N0ABNBD5O0iKi");
    assert!(stored.verify(&"x".repeat(72)) && stored.verify(&"x".repeat(73)));
    assert!(!stored.verify(&"x".repeat(71)));
}

#[test]
fn some_passwords_fit_nothing() {
    for text in ["", "*", "!", "!$2b$04$RmJJmK7jG6XGcaFQYmM85eIMqkU.F4FrDFE5VfYDy7dquQDiDsv1a"] {
        for stored in [Stored::parse(text), Stored::parse_or_plain(text)] {
            let stored = stored.unwrap();
            assert!(stored.is_unusable() && stored.scram().is_none(), "{text}");
            assert!(["", "*", "!", text, "pencil"].iter().all(|p| !stored.verify(p)), "{text}");
        }
    }
    // sha1("") and its like: a password has at least a byte
    assert!(!parsed("{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=").verify(""));
    let plain = Stored::parse_or_plain("pencil").unwrap();
    assert!(!plain.verify("pencil\0") && !plain.verify(&"p".repeat(MAX_PASSWORD_WRITTEN + 1)));
}

#[test]
fn plain_text_is_a_password_only_where_that_is_said() {
    for text in ["pencil", "$9$x", "correct horse", "d41d8cd98f00b204e9800998ecf8427e", "{X}y"] {
        assert_eq!(Stored::parse(text).unwrap_err(), FormatError::Unknown, "{text}");
        let plain = Stored::parse_or_plain(text).unwrap();
        assert!(plain.verify(text) && !plain.verify("Pencil") && !plain.decoy().verify(text));
        assert!(plain.is_scram_capable() && plain.scram().unwrap().iter().all(|k| k.verify(text)));
    }
    // what looks like a format is never taken as it is
    for damaged in ["$2b$04$RmJJmK7jG6XGcaFQ", "md5$salt$00", "pbkdf2_sha256$x", "{SSHA}x"] {
        assert!(Stored::parse_or_plain(damaged).is_err(), "{damaged}");
    }
}

#[test]
fn weak_formats_are_refused_and_named() {
    for (text, what) in [
        ("md5$salt$d9ac5ea7a2a4b4f4a0d0a0b0c0d0e0f0", "MD5"),
        ("{MD5}X03MO1qnZdYdgyfeuILPmQ==", "MD5"),
        ("{smd5}4QWGWZpj9GCmfuqEvm8HtZhZS6E=", "MD5"),
        ("$1$salt$qJH7.N4xYta3aEG/dfqo/0", "MD5-crypt"),
        ("{CRYPT}$1$salt$qJH7.N4xYta3aEG/dfqo/0", "MD5-crypt"),
        ("$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0", "phpass with MD5"),
        (
            "$2x$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e",
            "bcrypt with the sign bug of 2011",
        ),
    ] {
        assert_eq!(Stored::parse(text).unwrap_err(), FormatError::Weak(what), "{text}");
    }
    // DES
    assert_eq!(Stored::parse("{CRYPT}rqXexS6ZhobKA").unwrap_err(), FormatError::Unknown);
}

/// A stored password of each kind, with one parameter left open, the most that it may be, and one that is too much.
#[test]
fn what_asks_for_too_much_is_refused_before_any_work() {
    let (b32, b64) = ("A".repeat(43), "A".repeat(86));
    let hex = "00".repeat(64);
    let salt = "c2FsdHNhbHQ";
    let refused = |what: &str, good: u64, bad: u64, text: &dyn Fn(u64) -> String| {
        parsed(&text(good));
        match Stored::parse(&text(bad)).unwrap_err() {
            FormatError::TooMuch { what: of, .. } => assert!(of.contains(what), "{of}"),
            other => panic!("{what} {bad}: {other}"),
        }
        for bad in [bad * 1000, u64::from(u32::MAX), u64::MAX] {
            let refused = Stored::parse(&text(bad));
            assert!(matches!(refused, Err(FormatError::TooMuch { .. })), "{what} {bad}");
        }
    };
    let most = u64::from(ITERATIONS);
    refused("iterations", most, most + 1, &|n| format!("pbkdf2_sha256${n}$salt${b32}"));
    refused("iterations", most, most + 1, &|n| format!("pbkdf2:sha256:{n}$salt${}", &hex[..64]));
    refused("iterations", most, most + 1, &|n| format!("$pbkdf2-sha256${n}${salt}${b32}"));
    refused("iterations", most, most + 1, &|n| format!("{{PBKDF2-SHA256}}{n}${salt}${b32}"));
    refused("iterations", most, most + 1, &|n| format!("SCRAM-SHA-256${n}:{salt}${b32}:{b32}"));
    let most = u64::from(ROUNDS);
    refused("rounds", most, most + 1, &|n| format!("$5$rounds={n}$salt${b32}"));
    refused("rounds", most, most + 1, &|n| format!("$6$rounds={n}$salt${b64}"));
    let argon2 = |m, t, p| format!("$argon2id$v=19$m={m},t={t},p={p}${salt}${b32}");
    refused("memory", 256 << 10, (256 << 10) + 1, &|m| argon2(m, 1, 1));
    refused("passes", 16, 17, &|t| argon2(64 << 10, t, 1));
    refused("lanes", LANES.into(), u64::from(LANES) + 1, &|p| argon2(64 << 10, 1, p));
    let scrypt = |n, r, p| format!("scrypt:{n}:{r}:{p}$salt${hex}");
    refused("memory", 1 << 18, 1 << 19, &|n| scrypt(n, 8, 1));
    refused("r of", BLOCK.into(), u64::from(BLOCK) + 1, &|r| scrypt(1024, r, 1));
    refused("p of", LANES.into(), u64::from(LANES) + 1, &|p| scrypt(1024, 8, p));
    refused("blocks", 4, 5, &|p| scrypt(1 << 18, 8, p));
    refused("memory", 1 << 18, 1 << 19, &|n| format!("scrypt${n}$salt$8$1${b64}"));
    refused("memory", 18, 19, &|ln| format!("$scrypt$ln={ln},r=8,p=1${salt}${b32}"));
    let bcrypt = |cost| format!("$2b${cost}${}", "a".repeat(53));
    parsed(&bcrypt(BCRYPT_COST));
    let most = u64::from(BCRYPT_COST);
    for cost in [BCRYPT_COST + 1, 31, 99] {
        let refused = FormatError::TooMuch { what: "as bcrypt's cost", found: cost.into(), most };
        assert_eq!(Stored::parse(&bcrypt(cost)).unwrap_err(), refused);
    }
}

#[test]
fn lengths_are_bounded() {
    let too_much = |text: &str| matches!(Stored::parse(text), Err(FormatError::TooMuch { .. }));
    let too_little = |text: &str| matches!(Stored::parse(text), Err(FormatError::TooLittle { .. }));
    let salt = "s".repeat(limits::SALT);
    let pbkdf2 = |salt: &str| format!("pbkdf2_sha256$1${salt}${}", "A".repeat(43));
    parsed(&pbkdf2(&salt));
    assert!(too_much(&pbkdf2(&format!("{salt}s"))));
    assert!(too_much(&format!("$5${}${}", "s".repeat(17), "A".repeat(43))));
    let argon2 = |hash: usize| {
        let hash = "A".repeat(hash * 4 / 3 + 1);
        format!("$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ${hash}")
    };
    // a hash of four bytes would be found by trying
    assert!(too_little(&argon2(4)) && too_little(&argon2(14)) && too_much(&argon2(65)));
    assert!(too_little("$argon2id$v=19$m=64,t=1,p=1$c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
    assert!(too_little("$scrypt$ln=4,r=8,p=1$c2FsdA$AAAA") && too_little("scrypt:16:8:1$salt$"));
    for text in ["pbkdf2_sha256$0$salt$", "pbkdf2_sha256$1$salt$AAAA", "$5$rounds=999$salt$x"] {
        assert!(too_little(text), "{text}");
    }
    assert!(too_little("$2b$03$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    assert!(too_much(&"x".repeat(STORED + 1)));
    let plain = Stored::parse_or_plain(&"x".repeat(STORED + 1));
    assert!(plain.is_err());
    // a truncated hash is none, even of the bytes that are there
    assert!(Stored::parse("pbkdf2_sha256$1$salt$AAAAAAAAAAAAAAAAAAAAAAAAAAA").is_err());
    assert!(Stored::parse("SCRAM-SHA-256$1:c2FsdA==$AAAA:AAAA").is_err());
}

#[test]
fn a_long_password_is_not_hashed_a_million_times() {
    let stored = parsed(&format!("$6$rounds={ROUNDS}$salt${}", "A".repeat(86)));
    let derived = |length: usize| match &stored.kind {
        Kind::OneWay { scheme, .. } => scheme.derive(&vec![b'x'; length]),
        _ => panic!("crypt is one-way"),
    };
    assert!(derived(CRYPT_PASSWORD + 1).is_none());
}

#[test]
fn parameters_that_no_library_writes_are_refused() {
    let hash = "A".repeat(43);
    for text in [
        format!("$argon2id$v=18$m=64,t=1,p=1$c2FsdHNhbHQ${hash}"),
        format!("$argon2x$v=19$m=64,t=1,p=1$c2FsdHNhbHQ${hash}"),
        format!("$argon2id$v=19$m=64,t=1,p=1,keyid=x$c2FsdHNhbHQ${hash}"),
        format!("$argon2id$v=19$m=64,t=0,p=1$c2FsdHNhbHQ${hash}"),
        format!("$argon2id$v=19$m=7,t=1,p=1$c2FsdHNhbHQ${hash}"),
        format!("$argon2id$v=19$m=64,t=1,p=0$c2FsdHNhbHQ${hash}"),
        format!("$argon2id$v=19$m=64,m=64,t=1,p=1$c2FsdHNhbHQ${hash}"),
        format!("$scrypt$ln=0,r=8,p=1$c2FsdA${hash}"),
        format!("$scrypt$ln=4,r=0,p=1$c2FsdA${hash}"),
        format!("$scrypt$ln=4,r=8,p=0$c2FsdA${hash}"),
        format!("scrypt:1000:8:1$salt${}", "00".repeat(32)),
        format!("pbkdf2:sha256$salt${}", "00".repeat(32)),
        format!("pbkdf2:md5:1$salt${}", "00".repeat(16)),
        format!("pbkdf2_sha256$+1$salt${hash}"),
        format!("$5$rounds=1e4$salt${hash}"),
        "$2b$4$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned(),
        "{SSHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=".to_owned(),
    ] {
        assert!(matches!(Stored::parse(&text), Err(FormatError::Malformed(_))), "{text}");
    }
}

proptest! {
    #[test]
    fn parsing_never_panics(text in "\\PC*") {
        drop(Stored::parse(&text));
    }

    #[test]
    fn parsing_what_begins_like_a_format_never_panics(
        (prefix, _, _) in proptest::sample::select(FORMATS),
        rest in "[a-zA-Z0-9$:,=./+{}é-]{0,120}",
    ) {
        drop(Stored::parse(&format!("{prefix}{rest}")));
        drop(Stored::parse_or_plain(&format!("{{crypt}}{prefix}{rest}")));
    }

    #[test]
    fn a_known_one_with_a_few_other_letters_never_panics(
        (_, _, text) in proptest::sample::select(KNOWN),
        at in any::<proptest::sample::Index>(),
        with in "\\PC{0,3}",
    ) {
        let at = at.index(text.len());
        drop(Stored::parse(&format!("{}{with}{}", &text[..at], &text[at + 1..])));
    }
}
