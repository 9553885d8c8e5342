//! What needs no library to make tokens; those of others are in `tests/tokens.rs`.

use super::*;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use proptest::prelude::*;
use ring::hmac;
use xmpp::jid::BareJid;

const SECRET: [u8; 32] = [7; 32];

fn verifier(policy: Policy) -> Verifier {
    Verifier::new(vec![Key::secret(&SECRET, Algorithm::HS256).unwrap()], policy).unwrap()
}

fn token(header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", B64.encode(header), B64.encode(claims));
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), signed.as_bytes());
    format!("{signed}.{}", B64.encode(mac))
}

fn hs256(claims: &str) -> String {
    token(r#"{"alg":"HS256"}"#, claims)
}

#[test]
fn a_good_token_says_who_until_when_and_its_name() {
    let claims = verifier(Policy::new("example.org"))
        .check(&hs256(r#"{"sub":"Romeo","exp":100,"jti":"x"}"#), 50)
        .unwrap();
    let user = BareJid::new("romeo", "example.org").unwrap();
    assert_eq!(claims, Claims { user, expires: 100, id: Some("x".to_owned()) });
}

#[test]
fn each_refusal_has_its_reason() {
    let policy = Policy { issuer: Some("me".to_owned()), ..Policy::new("example.org") };
    let verifier = verifier(policy);
    let check = |claims: &str| verifier.check(&hs256(claims), 1000).unwrap_err();
    assert_eq!(check(r#"{"sub":"a","iss":"me"}"#), TokenError::Expired);
    assert_eq!(check(r#"{"sub":"a","iss":"me","exp":940}"#), TokenError::Expired);
    assert_eq!(check(r#"{"sub":"a","iss":"me","exp":2000,"nbf":1061}"#), TokenError::NotYet);
    assert_eq!(check(r#"{"sub":"a","iss":"you","exp":2000}"#), TokenError::Other("iss"));
    assert_eq!(check(r#"{"sub":"a","exp":2000}"#), TokenError::Other("iss"));
    // RFC 7519 section 4.1.3: it is for somebody, and that is not us
    assert_eq!(check(r#"{"sub":"a","iss":"me","exp":2000,"aud":"x"}"#), TokenError::Other("aud"));
    assert_eq!(check(r#"{"iss":"me","exp":2000}"#), TokenError::User);
    assert_eq!(check(r#"{"sub":"a@b","iss":"me","exp":2000}"#), TokenError::User);
    // CVE-2026-25537: another type is not a claim that is missing
    assert_eq!(
        check(r#"{"sub":"a","iss":"me","exp":2000,"nbf":"9"}"#),
        TokenError::Malformed("a date")
    );
    let long = verifier.check(&"x".repeat(TOKEN + 1), 0).unwrap_err();
    assert_eq!(long, TokenError::TooLong);
    let other = hs256("{}") + "A";
    assert!(matches!(
        verifier.check(&other, 0),
        Err(TokenError::Signature | TokenError::Malformed(_))
    ));
}

#[test]
fn a_type_is_compared_when_it_is_configured() {
    let policy = Policy { typ: Some("at+jwt".to_owned()), ..Policy::new("example.org") };
    let verifier = verifier(policy);
    let check = |typ: &str| {
        let header = format!(r#"{{"alg":"HS256"{typ}}}"#);
        verifier.check(&token(&header, r#"{"sub":"a","exp":9}"#), 1)
    };
    assert!(check(r#","typ":"at+jwt""#).is_ok() && check(r#","typ":"application/AT+JWT""#).is_ok());
    for other in ["", r#","typ":"JWT""#, r#","typ":"logout+jwt""#] {
        assert_eq!(check(other).unwrap_err(), TokenError::Other("typ"), "{other}");
    }
}

#[test]
fn a_claim_of_another_name_has_the_user() {
    let policy = Policy { user: "preferred_username".to_owned(), ..Policy::new("example.org") };
    let claims = r#"{"sub":"e1b5","preferred_username":"romeo","exp":9}"#;
    let user = verifier(policy).check(&hs256(claims), 1).unwrap().user;
    assert_eq!(user.as_str(), "romeo@example.org");
}

#[test]
fn keys_are_bounded_in_number_and_secrets_in_length() {
    let key = || Key::secret(&SECRET, Algorithm::HS256).unwrap();
    let of = |n: usize| Verifier::new((0..n).map(|_| key()).collect(), Policy::new("a"));
    assert_eq!(of(0).unwrap_err(), SetupError::NoKeys);
    assert!(of(KEYS).is_ok());
    assert_eq!(of(KEYS + 1).unwrap_err(), SetupError::TooMany);
    assert_eq!(Key::secret(&[0; 31], Algorithm::HS256).unwrap_err(), KeyError::Short);
    let jwk = r#"{"kty":"oct","k":"AAAA"},"#.repeat(KEYS + 1);
    assert!(Key::jwks(&format!(r#"{{"keys":[{}]}}"#, jwk.trim_end_matches(','))).is_err());
    assert!(!format!("{:?}", key()).contains('7'));
}

/// Whoever has a public key could make tokens.
#[test]
fn what_everybody_may_have_is_no_secret() {
    let spki = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==";
    let der = base64::engine::general_purpose::STANDARD.decode(spki).unwrap();
    let (first, rest) = spki.split_at(64);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{first}\n{rest}\n-----END PUBLIC KEY-----\n");
    let set = r#"{"keys":[{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}"#;
    assert_eq!(Key::any(pem.as_bytes(), None).map(|keys| keys.len()), Ok(1));
    assert_eq!(Key::any(set.as_bytes(), None).map(|keys| keys.len()), Ok(1));
    let wide = |text: &str| -> Vec<u8> {
        let units = [0xfeff].into_iter().chain(text.encode_utf16());
        units.flat_map(u16::to_le_bytes).collect()
    };
    for public in [
        der.clone(),
        [der.as_slice(), b"\n"].concat(),
        format!("Subject: x\n{pem}").into_bytes(),
        wide(&pem),
        wide(set),
        format!("[{set}]").into_bytes(),
        format!("ssh-rsa {spki}").into_bytes(),
        format!("ecdsa-sha2-nistp256 {spki} me@x").into_bytes(),
        spki.as_bytes().to_vec(),
    ] {
        let refused = Key::any(&public, Some(Algorithm::HS256)).unwrap_err();
        assert_eq!(refused, KeyError::NotASecret, "{}", String::from_utf8_lossy(&public));
    }
    // as editors write them
    for good in [pem.as_str(), set] {
        assert!(Key::any(format!("\u{feff}{good}").as_bytes(), None).is_ok(), "{good}");
    }
    for secret in [&[0x30; 32][..], &[0xff; 64], "0123456789abcdef0123456789abcdef".as_bytes()] {
        assert!(Key::any(secret, None).is_ok());
    }
}

#[test]
fn nobody_else_is_named_by_a_strange_address() {
    let verifier = verifier(Policy::new("example.org"));
    for sub in [
        "",
        "@",
        "@example.org",
        "romeo@",
        "romeo@example.org/r",
        "romeo@@example.org",
        "ro\\u0000meo",
        "a b",
        "romeo@example.org@example.org",
    ] {
        let found = verifier.check(&hs256(&format!(r#"{{"sub":"{sub}","exp":9}}"#)), 1);
        assert!(matches!(found, Err(TokenError::User)), "{sub}: {found:?}");
    }
    for exp in ["1e400", "-1", "9e999", "null", "\"9\"", "[9]", "{}", "NaN", "18446744073709551616"]
    {
        let found = verifier.check(&hs256(&format!(r#"{{"sub":"a","exp":{exp}}}"#)), 1);
        assert!(matches!(found, Err(TokenError::Malformed(_))), "{exp}: {found:?}");
    }
    let deep = format!(r#"{{"sub":"a","exp":9,"x":{}{}}}"#, "[".repeat(1500), "]".repeat(1500));
    assert!(matches!(verifier.check(&hs256(&deep), 1), Err(TokenError::Malformed(_))));
}

#[test]
fn a_set_with_a_damaged_key_is_refused() {
    for jwk in [
        r#"{"kty":"oct","k":"AAAA"}"#,
        r#"{"kty":"oct"}"#,
        r#"{"kty":"oct","alg":"RS256","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
        r#"{"kty":"RSA","alg":"HS256","n":"AAAA","e":"AQAB"}"#,
        r#"{"kty":"RSA","n":"AAAA","e":"AQAB"}"#,
        r#"{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}"#,
        r#"{"kty":"EC","crv":"P-256","alg":"ES384","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
        r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#,
        r#"{"kid":"x"}"#,
        "1",
    ] {
        assert!(Key::jwks(&format!(r#"{{"keys":[{jwk}]}}"#)).is_err(), "{jwk}");
    }
    assert!(Key::jwks("[]").is_err() && Key::jwks(r#"{"keys":{}}"#).is_err());
    assert!(Key::jwks(r#"{"keys":[]}"#).unwrap().is_empty());
}

#[test]
fn no_single_letter_of_a_token_can_be_another() {
    let verifier = verifier(Policy::new("example.org"));
    let good = hs256(r#"{"sub":"romeo","exp":9}"#);
    assert!(verifier.check(&good, 1).is_ok());
    for at in 0..good.len() {
        for other in [b'A', b'B', b'-', b'.', b'=', b' '] {
            let mut bytes = good.clone().into_bytes();
            if bytes[at] != other {
                bytes[at] = other;
                let changed = String::from_utf8(bytes).unwrap();
                assert!(verifier.check(&changed, 1).is_err(), "{changed}");
            }
        }
    }
}

proptest! {
    #[test]
    fn nothing_panics(text in "\\PC*", header in "[\\x20-\\x7e]{0,40}", claims in "[\\x20-\\x7e]{0,40}") {
        let verifier = verifier(Policy::new("example.org"));
        drop(verifier.check(&text, 1));
        drop(verifier.check(&token(&header, &claims), 1));
        drop(verifier.check(&hs256(&claims), 1));
        drop(Key::jwks(&text));
        drop(Key::pem(&text, None));
        drop(Key::pem(&format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", B64.encode(text.as_bytes())), None));
    }
}
