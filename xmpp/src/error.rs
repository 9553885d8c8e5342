//! Stream errors (RFC 6120 section 4.9) and stanza errors (section 8.3).

use crate::{
    ns,
    stream::{attr, escape},
};
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! conditions {
    ($(#[doc = $doc:literal])+ $t:ident { $($name:ident = $text:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $t {
            $(#[doc = concat!("`<", $text, "/>`")] $name,)+
        }
        impl $t {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];
            /// The element's name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
            /// The condition of that name.
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

conditions! {
    /// The conditions of RFC 6120 section 4.9.3.
    StreamErrorCondition {
        BadFormat = "bad-format",
        BadNamespacePrefix = "bad-namespace-prefix",
        Conflict = "conflict",
        ConnectionTimeout = "connection-timeout",
        HostGone = "host-gone",
        HostUnknown = "host-unknown",
        ImproperAddressing = "improper-addressing",
        InternalServerError = "internal-server-error",
        InvalidFrom = "invalid-from",
        InvalidNamespace = "invalid-namespace",
        InvalidXml = "invalid-xml",
        NotAuthorized = "not-authorized",
        NotWellFormed = "not-well-formed",
        PolicyViolation = "policy-violation",
        RemoteConnectionFailed = "remote-connection-failed",
        Reset = "reset",
        ResourceConstraint = "resource-constraint",
        RestrictedXml = "restricted-xml",
        SeeOtherHost = "see-other-host",
        SystemShutdown = "system-shutdown",
        UndefinedCondition = "undefined-condition",
        UnsupportedEncoding = "unsupported-encoding",
        UnsupportedFeature = "unsupported-feature",
        UnsupportedStanzaType = "unsupported-stanza-type",
        UnsupportedVersion = "unsupported-version",
    }
}

conditions! {
    /// The conditions of RFC 6120 section 8.3.3.
    StanzaErrorCondition {
        BadRequest = "bad-request",
        Conflict = "conflict",
        FeatureNotImplemented = "feature-not-implemented",
        Forbidden = "forbidden",
        Gone = "gone",
        InternalServerError = "internal-server-error",
        ItemNotFound = "item-not-found",
        JidMalformed = "jid-malformed",
        NotAcceptable = "not-acceptable",
        NotAllowed = "not-allowed",
        NotAuthorized = "not-authorized",
        PolicyViolation = "policy-violation",
        RecipientUnavailable = "recipient-unavailable",
        Redirect = "redirect",
        RegistrationRequired = "registration-required",
        RemoteServerNotFound = "remote-server-not-found",
        RemoteServerTimeout = "remote-server-timeout",
        ResourceConstraint = "resource-constraint",
        ServiceUnavailable = "service-unavailable",
        SubscriptionRequired = "subscription-required",
        UndefinedCondition = "undefined-condition",
        UnexpectedRequest = "unexpected-request",
    }
}

/// Why a stream ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    /// The defined condition.
    pub condition: StreamErrorCondition,
    /// A text for people.
    pub text: Option<String>,
    /// An application-specific condition, rendered.
    pub app: Option<String>,
    /// Where the client is to go (HOST[:PORT]).
    pub host: Option<String>,
}

impl StreamError {
    /// An error without a text.
    pub fn new(condition: StreamErrorCondition) -> Self {
        Self { condition, text: None, app: None, host: None }
    }

    /// Adds a text.
    #[must_use]
    pub fn with_text(mut self, text: &str) -> Self {
        self.text = Some(text.to_owned());
        self
    }

    /// RFC 6120 section 4.9.3.19: the client is to go there (HOST[:PORT]).
    pub fn see_other_host(host: &str) -> Self {
        Self { host: Some(host.to_owned()), ..Self::new(StreamErrorCondition::SeeOtherHost) }
    }

    /// XEP-0198 section 4: the client acknowledged more than was sent.
    pub fn handled_count_too_high(h: u32, sent: u32) -> Self {
        let text = format!("{h} stanzas were acknowledged, but only {sent} were sent");
        let mut error = Self::new(StreamErrorCondition::UndefinedCondition).with_text(&text);
        error.app = Some(format!(
            "<handled-count-too-high xmlns='{}' h='{h}' send-count='{sent}'/>",
            ns::SM
        ));
        error
    }

    /// XEP-0205 section 4.5: an element is larger than this server takes.
    pub fn stanza_too_big() -> Self {
        let mut error = Self::new(StreamErrorCondition::PolicyViolation);
        error.app = Some("<stanza-too-big xmlns='urn:xmpp:errors'/>".to_owned());
        error
    }

    /// Appends the content of the error element.
    pub fn render_content(&self, out: &mut Vec<u8>) {
        match &self.host {
            Some(host) => {
                let (name, ns) = (self.condition.as_str(), ns::STREAM_ERRORS);
                let host = escape(host);
                out.extend_from_slice(format!("<{name} xmlns='{ns}'>{host}</{name}>").as_bytes());
            }
            None => {
                condition(out, self.condition.as_str(), self.text.as_deref(), ns::STREAM_ERRORS);
            }
        }
        if let Some(app) = &self.app {
            out.extend_from_slice(app.as_bytes());
        }
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.condition.as_str())?;
        self.text.as_ref().map_or(Ok(()), |t| write!(f, ": {t}"))
    }
}

impl std::error::Error for StreamError {}

fn condition(out: &mut Vec<u8>, name: &str, text: Option<&str>, ns: &str) {
    out.extend_from_slice(format!("<{name} xmlns='{ns}'/>").as_bytes());
    if let Some(text) = text {
        out.extend_from_slice(
            format!("<text xmlns='{ns}' xml:lang='en'>{}</text>", escape(text)).as_bytes(),
        );
    }
}

/// What the sender is to do about a stanza error (RFC 6120 section 8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorType {
    /// Retry after providing credentials.
    Auth,
    /// Do not retry.
    Cancel,
    /// Proceed; a warning.
    Continue,
    /// Retry after changing the data sent.
    Modify,
    /// Retry after waiting.
    Wait,
}

impl ErrorType {
    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Cancel => "cancel",
            Self::Continue => "continue",
            Self::Modify => "modify",
            Self::Wait => "wait",
        }
    }
}

/// Why a stanza failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaError {
    /// What to do about it.
    pub ty: ErrorType,
    /// The defined condition.
    pub condition: StanzaErrorCondition,
    /// A text for people.
    pub text: Option<String>,
    /// An application-specific condition, rendered.
    pub app: Option<String>,
}

macro_rules! errors {
    ($($name:ident = $ty:ident $condition:ident,)+) => {
        impl StanzaError {
            $(
                #[doc = concat!("[`StanzaErrorCondition::", stringify!($condition), "`] with its usual type.")]
                pub fn $name() -> Self {
                    Self::new(ErrorType::$ty, StanzaErrorCondition::$condition)
                }
            )+
        }
    };
}

errors! {
    bad_request = Modify BadRequest,
    conflict = Cancel Conflict,
    feature_not_implemented = Cancel FeatureNotImplemented,
    forbidden = Auth Forbidden,
    internal_server_error = Cancel InternalServerError,
    item_not_found = Cancel ItemNotFound,
    jid_malformed = Modify JidMalformed,
    not_acceptable = Modify NotAcceptable,
    not_allowed = Cancel NotAllowed,
    not_authorized = Auth NotAuthorized,
    policy_violation = Wait PolicyViolation,
    remote_server_not_found = Cancel RemoteServerNotFound,
    resource_constraint = Wait ResourceConstraint,
    service_unavailable = Cancel ServiceUnavailable,
    unexpected_request = Wait UnexpectedRequest,
}

impl StanzaError {
    /// An error without a text.
    pub fn new(ty: ErrorType, condition: StanzaErrorCondition) -> Self {
        Self { ty, condition, text: None, app: None }
    }

    /// Adds a text.
    #[must_use]
    pub fn with_text(mut self, text: &str) -> Self {
        self.text = Some(text.to_owned());
        self
    }

    /// Adds an application-specific condition.
    #[must_use]
    pub fn with_app(mut self, xml: &str) -> Self {
        self.app = Some(xml.to_owned());
        self
    }

    /// Appends the error element.
    pub fn render(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<error");
        attr(out, "type", self.ty.as_str());
        out.push(b'>');
        condition(out, self.condition.as_str(), self.text.as_deref(), ns::STANZA_ERRORS);
        if let Some(app) = &self.app {
            out.extend_from_slice(app.as_bytes());
        }
        out.extend_from_slice(b"</error>");
    }
}

impl fmt::Display for StanzaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.condition.as_str())?;
        self.text.as_ref().map_or(Ok(()), |t| write!(f, ": {t}"))
    }
}

impl std::error::Error for StanzaError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_has_one_name() {
        assert_eq!((StreamErrorCondition::ALL.len(), StanzaErrorCondition::ALL.len()), (25, 22));
        for c in StreamErrorCondition::ALL {
            assert_eq!(StreamErrorCondition::parse(c.as_str()), Some(*c));
        }
        for c in StanzaErrorCondition::ALL {
            assert_eq!(StanzaErrorCondition::parse(c.as_str()), Some(*c));
        }
    }

    #[test]
    fn errors_render_condition_then_text_then_application_condition() {
        let mut out = Vec::new();
        StanzaError::bad_request().with_text("a < b").with_app("<x xmlns='y'/>").render(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "<error type='modify'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>a &lt; b</text>\
             <x xmlns='y'/></error>"
        );
    }
}
