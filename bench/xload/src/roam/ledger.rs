//! What became of each message.

use std::time::Instant;

use serde_json::{Value, json};

use super::now;

/// One that was written at least once.
struct Message {
    from: usize,
    to: usize,
    sent: f64,
    /// When its sender knew that the server has it: counted by an `<a/>` or `<resumed/>`. And where its sender and recipient were then.
    accepted: Option<(f64, Option<usize>, Option<usize>)>,
    /// How often it was sent in a further session, since the one before was gone and had not counted it.
    anew: u32,
    /// Its first coming: when, in which session of its recipient, and at which address.
    came: Option<(f64, u64, Option<usize>)>,
    bounced: Option<String>,
}

impl Message {
    /// Accepted, and nothing came of it yet.
    fn is_missing(&self) -> bool {
        self.accepted.is_some() && self.came.is_none() && self.bounced.is_none()
    }
}

/// A message that came more than once.
struct Again {
    id: usize,
    at: f64,
    place: Option<usize>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Its sender had sent it in two sessions.
    SentAnew,
    /// To another session than the first time.
    ToAnother,
    /// To the session that had it.
    ToTheSame,
}

/// All messages, by their number.
pub struct Ledger {
    messages: Vec<Message>,
    again: Vec<Again>,
    stored: u64,
    unknown: u64,
    /// When the last one came.
    pub last: Instant,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { messages: vec![], again: vec![], stored: 0, unknown: 0, last: Instant::now() }
    }
}

impl Ledger {
    /// The number of a new one.
    pub fn sent(&mut self, from: usize, to: usize) -> usize {
        let sent = now();
        self.messages.push(Message {
            from,
            to,
            sent,
            accepted: None,
            anew: 0,
            came: None,
            bounced: None,
        });
        self.messages.len() - 1
    }

    pub fn sent_anew(&mut self, id: usize) {
        if let Some(message) = self.messages.get_mut(id) {
            message.anew += 1;
        }
    }

    /// Whom it is for.
    pub fn to(&self, id: usize) -> usize {
        self.messages.get(id).map_or(0, |m| m.to)
    }

    pub fn accepted(&mut self, id: usize, from: Option<usize>, to: Option<usize>) {
        if let Some(message) = self.messages.get_mut(id) {
            message.accepted.get_or_insert((now(), from, to));
        }
    }

    pub fn bounced(&mut self, id: usize, error: &str) {
        if let Some(message) = self.messages.get_mut(id) {
            message.bounced = Some(error.to_owned());
        }
    }

    /// It came to `to`, in that session, with a stamp of XEP-0203 or without.
    pub fn came(
        &mut self,
        id: usize,
        to: usize,
        session: u64,
        place: Option<usize>,
        delayed: bool,
    ) {
        self.last = Instant::now();
        let Some(message) = self.messages.get_mut(id).filter(|m| m.to == to) else {
            self.unknown += 1;
            return;
        };
        let Some((_, first, _)) = message.came else {
            message.came = Some((now(), session, place));
            self.stored += u64::from(delayed);
            return;
        };
        let kind = match message.anew {
            0 if first == session => Kind::ToTheSame,
            0 => Kind::ToAnother,
            _ => Kind::SentAnew,
        };
        self.again.push(Again { id, at: now(), place, kind });
    }

    pub fn missing(&self) -> usize {
        self.messages.iter().filter(|m| m.is_missing()).count()
    }

    pub fn json(&self) -> Value {
        let count = |is: &dyn Fn(&Message) -> bool| self.messages.iter().filter(|m| is(m)).count();
        let doubled = |kind| self.again.iter().filter(|a| a.kind == kind).count();
        let lost: Vec<Value> =
            self.messages.iter().enumerate().filter(|(_, m)| m.is_missing()).map(shown).collect();
        let same: Vec<Value> = self
            .again
            .iter()
            .filter(|a| a.kind == Kind::ToTheSame)
            .filter_map(|a| {
                let mut v = shown((a.id, self.messages.get(a.id)?));
                crate::report::merge(&mut v, json!({"again": a.at, "again_at": a.place}));
                Some(v)
            })
            .collect();
        json!({
            "sent": self.messages.len(),
            "accepted": count(&|m| m.accepted.is_some()),
            "delivered": count(&|m| m.came.is_some()),
            "stored": self.stored,
            "bounced": count(&|m| m.bounced.is_some()),
            "bounced_and_delivered": count(&|m| m.bounced.is_some() && m.came.is_some()),
            "bounced_with": self.bounces(),
            "never_accepted": count(&|m| m.accepted.is_none()),
            "doubled_sent_anew": doubled(Kind::SentAnew),
            "doubled_to_another_session": doubled(Kind::ToAnother),
            "doubled_to_the_same": same,
            "unknown": self.unknown,
            "lost": lost,
        })
    }

    fn bounces(&self) -> Vec<&str> {
        let mut errors: Vec<&str> =
            self.messages.iter().filter_map(|m| m.bounced.as_deref()).collect();
        errors.sort_unstable();
        errors.dedup();
        errors.truncate(10);
        errors
    }
}

fn shown((id, m): (usize, &Message)) -> Value {
    let (accepted, from_at, to_at) = m.accepted.unwrap_or_default();
    json!({
        "id": id, "from": m.from, "to": m.to, "sent": m.sent, "accepted": accepted, "from_at": from_at, "to_at": to_at,
        "came": m.came.map(|c| c.0), "came_at": m.came.and_then(|c| c.2), "anew": m.anew,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_in_one_place() {
        let mut ledger = Ledger::default();
        let [lost, came, twice, anew, bounced, open] = std::array::from_fn(|n| ledger.sent(n, 9));
        for id in [lost, came, twice, anew, bounced] {
            ledger.accepted(id, Some(0), None);
        }
        ledger.sent_anew(anew);
        ledger.bounced(bounced, "item-not-found");
        for id in [came, twice, twice, anew, anew] {
            ledger.came(id, 9, 1, Some(2), id == came);
        }
        ledger.came(twice, 9, 2, Some(2), true);
        ledger.came(came, 8, 1, None, false);
        let v = ledger.json();
        let lost_ids: Vec<_> =
            v["lost"].as_array().unwrap().iter().map(|m| m["id"].clone()).collect();
        assert_eq!(lost_ids, [json!(lost)]);
        assert_eq!(v["doubled_to_the_same"].as_array().unwrap().len(), 1);
        let counts = ["sent", "accepted", "delivered", "stored", "bounced", "never_accepted"];
        assert_eq!(counts.map(|k| v[k].as_u64().unwrap()), [6, 5, 3, 1, 1, 1]);
        assert_eq!(
            (&v["doubled_sent_anew"], &v["doubled_to_another_session"]),
            (&json!(1), &json!(1))
        );
        assert_eq!(v["unknown"], 1);
        assert_eq!(ledger.to(open), 9);
    }
}
