//! Namespace names.

/// RFC 6120 section 4.8.2: the content namespace of client streams.
pub const CLIENT: &str = "jabber:client";
/// RFC 6120 section 4.8.1.
pub const STREAM: &str = "http://etherx.jabber.org/streams";
/// RFC 7395 section 3.3.2: what opens and closes a stream of documents.
pub const FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";
/// RFC 6120 section 4.9.
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// RFC 6120 section 8.3.
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// RFC 6120 section 5.
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// RFC 6120 section 6.
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// XEP-0440.
pub const SASL_CB: &str = "urn:xmpp:sasl-cb:0";
/// RFC 6120 section 7.
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// RFC 3921 section 3.
pub const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
/// RFC 6121 section 2.
pub const ROSTER: &str = "jabber:iq:roster";
/// RFC 6121 section 2.6.
pub const ROSTER_VER: &str = "urn:xmpp:features:rosterver";
/// RFC 6121 section 3.4.
pub const PRE_APPROVAL: &str = "urn:xmpp:features:pre-approval";
/// XEP-0012.
pub const LAST: &str = "jabber:iq:last";
/// XEP-0030.
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// XEP-0030.
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// XEP-0004.
pub const DATA_FORM: &str = "jabber:x:data";
/// XEP-0157: the type of the form with contact addresses.
pub const SERVER_INFO: &str = "http://jabber.org/network/serverinfo";
/// XEP-0049.
pub const PRIVATE: &str = "jabber:iq:private";
/// XEP-0054.
pub const VCARD: &str = "vcard-temp";
/// XEP-0153.
pub const VCARD_UPDATE: &str = "vcard-temp:x:update";
/// XEP-0077.
pub const REGISTER: &str = "jabber:iq:register";
/// XEP-0077 stream feature.
pub const REGISTER_FEATURE: &str = "http://jabber.org/features/iq-register";
/// XEP-0092.
pub const VERSION: &str = "jabber:iq:version";
/// XEP-0115.
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// XEP-0160.
pub const OFFLINE: &str = "msgoffline";
/// XEP-0191.
pub const BLOCKING: &str = "urn:xmpp:blocking";
/// XEP-0191 section 3.5.
pub const BLOCKING_ERRORS: &str = "urn:xmpp:blocking:errors";
/// XEP-0198.
pub const SM: &str = "urn:xmpp:sm:3";
/// XEP-0199.
pub const PING: &str = "urn:xmpp:ping";
/// XEP-0202.
pub const TIME: &str = "urn:xmpp:time";
/// XEP-0203.
pub const DELAY: &str = "urn:xmpp:delay";
/// XEP-0091, which it replaced and some clients still believe.
pub const DELAY_LEGACY: &str = "jabber:x:delay";
/// XEP-0334.
pub const HINTS: &str = "urn:xmpp:hints";
/// XEP-0359.
pub const STANZA_ID: &str = "urn:xmpp:sid:0";
/// XEP-0478.
pub const STREAM_LIMITS: &str = "urn:xmpp:stream-limits:0";
/// XEP-0085.
pub const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
/// The `xml:` prefix.
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// Those that children of stanzas are usually in.
pub(crate) const USUAL: &[&str] = &[
    CLIENT,
    PING,
    DISCO_INFO,
    DISCO_ITEMS,
    ROSTER,
    CHAT_STATES,
    CAPS,
    VCARD_UPDATE,
    DELAY,
    STANZA_ID,
    HINTS,
    BIND,
    SESSION,
    VCARD,
    PRIVATE,
    VERSION,
    TIME,
    LAST,
    BLOCKING,
    REGISTER,
];
