//! The conditions of errors are those that RFC 6120 lists, and each goes with a type that the RFC has for it.
//!
//! The lists are the RFC's: names in the order of its sections, types as "the associated error type SHOULD be".

use xmpp::{
    error::{ErrorType, StanzaError, StanzaErrorCondition, StreamErrorCondition},
    sasl::Failure,
};

/// Sections 8.3.3.1 to 8.3.3.22. An undefined condition (21) may have any type.
const STANZA: [(&str, &[&str]); 22] = [
    ("bad-request", &["modify"]),
    ("conflict", &["cancel"]),
    ("feature-not-implemented", &["cancel", "modify"]),
    ("forbidden", &["auth"]),
    ("gone", &["cancel"]),
    ("internal-server-error", &["cancel"]),
    ("item-not-found", &["cancel"]),
    ("jid-malformed", &["modify"]),
    ("not-acceptable", &["modify"]),
    ("not-allowed", &["cancel"]),
    ("not-authorized", &["auth"]),
    ("policy-violation", &["modify", "wait"]),
    ("recipient-unavailable", &["wait"]),
    ("redirect", &["modify"]),
    ("registration-required", &["auth"]),
    ("remote-server-not-found", &["cancel"]),
    ("remote-server-timeout", &["wait"]),
    ("resource-constraint", &["wait"]),
    ("service-unavailable", &["cancel"]),
    ("subscription-required", &["auth"]),
    ("undefined-condition", &["auth", "cancel", "continue", "modify", "wait"]),
    ("unexpected-request", &["wait", "modify"]),
];

/// Sections 4.9.3.1 to 4.9.3.25.
const STREAM: [&str; 25] = [
    "bad-format",
    "bad-namespace-prefix",
    "conflict",
    "connection-timeout",
    "host-gone",
    "host-unknown",
    "improper-addressing",
    "internal-server-error",
    "invalid-from",
    "invalid-namespace",
    "invalid-xml",
    "not-authorized",
    "not-well-formed",
    "policy-violation",
    "remote-connection-failed",
    "reset",
    "resource-constraint",
    "restricted-xml",
    "see-other-host",
    "system-shutdown",
    "undefined-condition",
    "unsupported-encoding",
    "unsupported-feature",
    "unsupported-stanza-type",
    "unsupported-version",
];

/// Sections 6.5.1 to 6.5.11.
const SASL: [&str; 11] = [
    "aborted",
    "account-disabled",
    "credentials-expired",
    "encryption-required",
    "incorrect-encoding",
    "invalid-authzid",
    "invalid-mechanism",
    "malformed-request",
    "mechanism-too-weak",
    "not-authorized",
    "temporary-auth-failure",
];

#[test]
fn the_names_are_those_of_the_rfc() {
    assert_eq!(
        StanzaErrorCondition::ALL.iter().map(|c| c.as_str()).collect::<Vec<_>>(),
        STANZA.map(|(name, _)| name)
    );
    assert_eq!(StreamErrorCondition::ALL.iter().map(|c| c.as_str()).collect::<Vec<_>>(), STREAM);
    assert_eq!(StanzaErrorCondition::parse("Bad-Request"), None);
    // one of the other kind
    assert_eq!(StanzaErrorCondition::parse("host-unknown"), None);
    assert_eq!(StreamErrorCondition::parse("bad-request"), None);
}

#[test]
fn every_error_has_a_type_that_goes_with_its_condition() {
    for error in [
        StanzaError::bad_request(),
        StanzaError::conflict(),
        StanzaError::feature_not_implemented(),
        StanzaError::forbidden(),
        StanzaError::internal_server_error(),
        StanzaError::item_not_found(),
        StanzaError::jid_malformed(),
        StanzaError::not_acceptable(),
        StanzaError::not_allowed(),
        StanzaError::not_authorized(),
        StanzaError::policy_violation(),
        StanzaError::remote_server_not_found(),
        StanzaError::resource_constraint(),
        StanzaError::service_unavailable(),
        StanzaError::unexpected_request(),
    ] {
        let name = error.condition.as_str();
        let (_, types) = STANZA.iter().find(|(of, _)| *of == name).unwrap();
        assert!(types.contains(&error.ty.as_str()), "{name}: {}", error.ty.as_str());
    }
    // section 8.3.2
    let types = [
        ErrorType::Auth,
        ErrorType::Cancel,
        ErrorType::Continue,
        ErrorType::Modify,
        ErrorType::Wait,
    ];
    assert_eq!(types.map(ErrorType::as_str), ["auth", "cancel", "continue", "modify", "wait"]);
}

#[test]
fn failures_of_sasl_are_those_of_the_rfc() {
    let failures = [
        Failure::Aborted,
        Failure::AccountDisabled,
        Failure::CredentialsExpired,
        Failure::EncryptionRequired,
        Failure::IncorrectEncoding,
        Failure::InvalidAuthzid,
        Failure::InvalidMechanism,
        Failure::MalformedRequest,
        Failure::MechanismTooWeak,
        Failure::NotAuthorized,
        Failure::TemporaryAuthFailure,
    ];
    assert_eq!(failures.map(Failure::as_str), SASL);
    for failure in failures {
        let xml = format!(
            "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><{}/></failure>",
            failure.as_str()
        );
        assert_eq!(failure.to_xml(), xml);
    }
}
