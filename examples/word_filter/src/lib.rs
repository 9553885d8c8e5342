//! A module that is not the server's own: it keeps certain words out of messages.
//!
//! It uses nothing but what every module can use, see `docs/modules.md`. A node that is built with
//! it reads its options from `[modules.word_filter]`. It looks at subjects and bodies as they are
//! written in the message; it cannot look into encrypted ones.

use actors::{
    cx::SessionCx,
    hooks::{Flow, Order},
    registrar::{Module, Registrar, Xep},
};
use xmpp::{
    Element,
    error::{ErrorType, StanzaError, StanzaErrorCondition},
    ns,
    stanza::{Kind, Stanza, Type},
};

config::choice! {
    /// What happens to a message with such a word.
    pub enum Action {
        /// Its sender is told that it was not delivered.
        Refuse = "refuse",
        /// It is delivered with asterisks instead.
        Mask = "mask",
    }
}

config::section! {
    /// Keeps words out of messages.
    pub struct WordFilterConfig {
        /// The words, in any case. A word inside a longer one does not count.
        pub words: Vec<String> = Vec::new(),
        /// What happens to a message with such a word.
        pub action: Action = Action::Refuse,
    }
}

/// The module.
#[derive(Debug)]
pub struct WordFilter {
    words: Vec<String>,
    action: Action,
}

impl Module for WordFilter {
    const NAME: &'static str = "word_filter";
    const XEPS: &'static [Xep] = &[];
    type Config = WordFilterConfig;

    fn new(config: WordFilterConfig) -> Self {
        let words = config.words.iter().map(|w| w.to_lowercase()).collect();
        Self { words, action: config.action }
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.inbound(Order::Main, Self::inbound);
    }
}

/// The children of a message that people read.
const TEXTS: [&str; 2] = ["subject", "body"];

impl WordFilter {
    fn inbound(&self, cx: &mut SessionCx<'_>, stanza: &Stanza) -> Flow {
        if stanza.head.kind != Kind::Message || stanza.head.ty == Type::Error {
            return Flow::Continue;
        }
        let Some(masked) = self.masked(stanza) else { return Flow::Continue };
        match self.action {
            Action::Mask => {
                cx.replace(masked);
                Flow::Continue
            }
            Action::Refuse => {
                let condition = StanzaErrorCondition::PolicyViolation;
                let error = StanzaError::new(ErrorType::Modify, condition);
                cx.refuse(
                    stanza,
                    &error.with_text("the message has a word that is not wanted here"),
                );
                Flow::Stop
            }
        }
    }

    /// The message with its words masked; `None` when it has none.
    fn masked(&self, message: &Stanza) -> Option<Stanza> {
        let text = |ns: &str, name: &str| ns == ns::CLIENT && TEXTS.contains(&name);
        let mut found = false;
        let mut texts = Vec::new();
        for child in message.head.children.iter().filter(|c| text(c.ns(), c.name())) {
            let mut element = Element::parse(message.raw(child), ns::CLIENT)?;
            if let Some(masked) = self.mask(&element.text()) {
                found = true;
                let plain = Element::new(ns::CLIENT, child.name()).with_text(&masked);
                element = match element.attr_ns(ns::XML, "lang") {
                    Some(lang) => plain.with_lang(lang),
                    None => plain,
                };
            }
            texts.push(element.to_xml());
        }
        let rest = message.without(|child, _| text(child.ns(), child.name()));
        found.then(|| rest.append(&texts.concat()))
    }

    /// The text with its words masked; `None` when it has none.
    fn mask(&self, text: &str) -> Option<String> {
        let mut found = false;
        let mut out = String::with_capacity(text.len());
        for piece in text.split_inclusive(|c: char| !c.is_alphanumeric()) {
            let word = piece.trim_end_matches(|c: char| !c.is_alphanumeric());
            if self.words.contains(&word.to_lowercase()) {
                found = true;
                out.extend(word.chars().map(|_| '*'));
                out.extend(piece.chars().skip(word.chars().count()));
            } else {
                out.push_str(piece);
            }
        }
        found.then_some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actors::testkit::World;

    fn check(action: Action, script: &str) {
        let script = format!(
            "account juliet@localhost pencil
             account romeo@localhost pencil
             J = juliet@localhost/balcony
             R = romeo@localhost/orchard
             {script}"
        );
        World::check(&script, |modules| {
            let words = vec!["Montague".to_owned()];
            modules.add_with::<WordFilter>(WordFilterConfig { words, action });
        });
    }

    #[test]
    fn a_message_with_a_word_is_refused() {
        check(
            Action::Refuse,
            "J C: <message to='romeo@localhost/orchard' id='1'><body>O montague!</body></message>
             J S: <message type='error' id='1' from='romeo@localhost/orchard'><error type='modify'>
               <policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>
             J C: <message to='romeo@localhost/orchard' id='2'><body>Montagues are many</body></message>
             R S: <message id='2'><body>Montagues are many</body></message>
             R S: nothing",
        );
    }

    #[test]
    fn a_message_is_delivered_with_its_words_masked_and_everything_else_in_it() {
        check(
            Action::Mask,
            "J C: <message to='romeo@localhost/orchard' id='1' type='chat'>
               <body xml:lang='en'>MONTAGUE, Montague &amp; sons</body><subject>none</subject>
               <request xmlns='urn:xmpp:receipts'/></message>
             R S: <message id='1' type='chat' from='juliet@localhost/balcony'>
               <request xmlns='urn:xmpp:receipts'/>
               <body>********, ******** &amp; sons</body><subject>none</subject></message>",
        );
    }
}
