//! Which messages are kept.

use xmpp::{
    ns,
    stanza::{Stanza, Type},
};

/// Whether a message is kept (XEP-0160 section 3, XEP-0334).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// Kept.
    Kept,
    /// Chat states and nothing else, which say nothing that matters later, and nobody wants to hear that
    /// they did not arrive.
    Nothing,
    /// The sender does not want it to be stored.
    NotStored,
    /// Of a type that is not kept.
    Other,
}

pub(super) fn worth(message: &Stanza) -> Worth {
    if !matches!(message.head.ty, Type::Normal | Type::Chat) {
        return Worth::Other;
    }
    let fleeting = message.head.ty == Type::Chat && only_chat_states(message);
    if message.has(ns::HINTS, "no-store") {
        if fleeting { Worth::Nothing } else { Worth::NotStored }
    } else if fleeting && !message.has(ns::HINTS, "store") {
        Worth::Nothing
    } else {
        // be it empty: RFC 6121 section 8.5.2.2.1 wants it stored or answered
        Worth::Kept
    }
}

/// XEP-0160 section 3 excepts these from what is stored, in chats only.
fn only_chat_states(message: &Stanza) -> bool {
    let children = &message.head.children;
    children.iter().any(|child| child.ns() == ns::CHAT_STATES)
        && children.iter().all(|child| match child.ns() {
            ns::CHAT_STATES | ns::HINTS | ns::STANZA_ID => true,
            ns::CLIENT => child.name() == "thread",
            _ => false,
        })
}
