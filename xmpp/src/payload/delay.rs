//! Delayed delivery (XEP-0203) and its timestamps (XEP-0082).

use crate::{
    Element,
    jid::Jid,
    ns,
    stanza::{Child, Stanza},
};

/// `CCYY-MM-DDThh:mm:ss.sssZ` for milliseconds since the epoch.
pub fn timestamp(millis: u64) -> String {
    let (days, ms) = (millis / 86_400_000, millis % 86_400_000);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    // the civil calendar, in eras of 400 years that begin on 1 March
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
}

/// The element that says who kept the stanza, since when.
pub fn delay(from: &str, millis: u64, why: &str) -> Element {
    Element::new(ns::DELAY, "delay")
        .with_attr("from", from)
        .with_attr("stamp", timestamp(millis))
        .with_text(why)
}

/// Whether `from` has said that it kept the stanza.
pub fn was_delayed_by(stanza: &Stanza, from: &str) -> bool {
    let mut notes =
        stanza.head.children.iter().filter(|c| c.ns() == ns::DELAY && c.name() == "delay");
    let parsed = |c| Element::parse(stanza.raw(c), ns::CLIENT);
    notes.any(|c| parsed(c).is_some_and(|d| d.attr("from") == Some(from)))
}

/// The stanza with that element, unless `from` has said it already.
pub fn delayed(stanza: &Stanza, from: &str, millis: u64, why: &str) -> Stanza {
    if was_delayed_by(stanza, from) {
        return stanza.clone();
    }
    stanza.append(&delay(from, millis, why).to_xml())
}

/// Whether that is a note of delayed delivery, in today's form or that of XEP-0091.
pub fn is_note(child: &Child) -> bool {
    matches!((child.ns(), child.name()), (ns::DELAY, "delay") | (ns::DELAY_LEGACY, "x"))
}

/// Removes the notes whose `from` is an address that `claimed` picks (section 5), however it is
/// written, and those whose `from` is none.
pub fn without_claims_of(stanza: &Stanza, claimed: impl Fn(&Jid) -> bool) -> Stanza {
    stanza.without(|child, xml| {
        is_note(child)
            && Element::parse(xml, ns::CLIENT).is_none_or(|note| {
                note.attr("from")
                    .is_some_and(|from| from.parse().map_or(true, |by: Jid| claimed(&by)))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_kept_it_says_so_once_whatever_others_say() {
        let xml =
            "<message><delay xmlns='urn:xmpp:delay' from='rooms.example' stamp='x'/></message>";
        let once = delayed(&Stanza::parse(xml.as_bytes()).unwrap(), "localhost", 0, "why");
        assert_eq!(once.head.children.len(), 2);
        assert_eq!(delayed(&once, "localhost", 1, "again"), once);
    }

    #[test]
    fn timestamps_follow_the_calendar() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_031_687_315_123, "2002-09-10T19:48:35.123Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(timestamp(millis), text);
        }
    }
}
