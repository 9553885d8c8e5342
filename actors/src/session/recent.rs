//! What a crash report shows of a client's last inputs. It is kept while the client is there, so it is small
//! whatever the client sent.

use std::{
    fmt::{self, Write},
    sync::Arc,
};
use supervision::Recorded;
use xmpp::{Element, framer::Event, ns, stanza::Stanza};

/// The largest stanza that is kept as it is, in bytes: it is shared with where it goes.
const WHOLE: usize = 16 << 10;
/// What is kept of a larger one, and of whatever is not a stanza.
const CUT: usize = 4 << 10;

/// An input as a crash report shows it: credentials are left out.
pub(super) fn record(event: &Event) -> Recorded {
    match event {
        Event::Stanza(stanza) if weight(stanza) <= WHOLE => Arc::new(stanza.clone()).into(),
        Event::Stanza(stanza) => cut(format_args!("{stanza:?}")),
        Event::Nonza(nonza) if nonza.ns() == ns::SASL => {
            cut(format_args!("<{} xmlns='{}'>(masked)", nonza.name(), nonza.ns()))
        }
        // what a client sends all the time (XEP-0198) is not written out
        Event::Nonza(nonza) if is_small(nonza.element()) => Arc::new(nonza.clone()).into(),
        Event::Nonza(nonza) => cut(format_args!("{nonza:?}")),
        Event::Open(_) => "<stream:stream>".into(),
        Event::Whitespace => " ".into(),
        Event::Close => "</stream:stream>".into(),
    }
}

/// Children weigh more than the bytes they came as: they are looked at only when there are few.
fn weight(stanza: &Stanza) -> usize {
    let least = stanza.body.len() + stanza.head.children.len() * size_of::<usize>();
    if least > WHOLE { least } else { stanza.weight() }
}

fn is_small(element: &Element) -> bool {
    let attrs: usize = element.attrs().map(|(name, value)| name.len() + value.len()).sum();
    element.children().next().is_none()
        && attrs + element.ns().len() + element.name().len() + element.text().len() <= CUT
}

fn cut(what: fmt::Arguments<'_>) -> Recorded {
    let mut text = Beginning(String::new());
    if write!(text, "{what}").is_err() {
        text.0.push_str(" ...");
    }
    text.0.as_str().into()
}

/// Takes the first [`CUT`] bytes, and refuses what comes then.
struct Beginning(String);

impl Write for Beginning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = CUT.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(text.get(..text.floor_char_boundary(room)).unwrap_or_default());
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xmpp::nonza::Nonza;

    fn stanza(content: &str) -> Event {
        Event::Stanza(Stanza::parse(format!("<message>{content}</message>").as_bytes()).unwrap())
    }

    fn nonza(element: Element) -> Event {
        Event::Nonza(Nonza::new(element))
    }

    #[test]
    fn what_is_kept_of_any_input_is_small() {
        let (many, long) = ("<a/>".repeat(60_000), "\u{e4}".repeat(100_000));
        let child = || Element::new("urn:x", "a");
        let wide = Element::new("urn:x", "r").with_children((0..60_000).map(|_| child()));
        let large = [
            stanza(&many),
            stanza(&"<a/>".repeat(2_000)),
            stanza(&format!("<body>{long}</body>")),
            nonza(wide),
            nonza(Element::new("urn:x", &long)),
            nonza(Element::new(&long, "r")),
            nonza(Element::new("urn:x", "r").with_attr("a", &*long)),
            nonza(Element::new("urn:x", "r").with_text(&long)),
            nonza(Element::new(ns::SASL, &long)),
        ];
        for event in large {
            let Recorded::Text(text) = record(&event) else { panic!("{event:?} is kept whole") };
            assert!((CUT - 1..=CUT + " ...".len()).contains(&text.len()), "{}", text.len());
        }
    }

    #[test]
    fn a_usual_stanza_is_not_copied_and_credentials_are_left_out() {
        let message = stanza("<body>hello</body>");
        let recorded = record(&message);
        assert!(matches!(recorded, Recorded::Shared(_)));
        assert!(format!("{recorded:?}").contains("<body>hello</body>"));
        let auth = nonza(Element::new(ns::SASL, "auth").with_text("AGEAcHc="));
        let shown = format!("{:?}", record(&auth));
        assert!(shown.contains("auth") && !shown.contains("AGEAcHc="), "{shown}");
    }
}
