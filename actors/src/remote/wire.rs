//! What nodes say to one another, as bytes: a version, a kind, and what belongs to it. Kinds are only ever added; a node is told
//! nothing that it does not know, since nodes of two versions next to one another are the rule during an update.

use crate::{resource::Ended, routing::trip::Trip};
use bytes::Bytes;
use xmpp::{
    jid::{BareJid, Jid},
    packed::{Reader, put_bytes, put_number, put_text, put_text_opt},
    stanza::Stanza,
};

/// The version of what is here.
const VERSION: u8 = 1;

/// Why a stanza goes to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    /// The session of its full address is there.
    Full,
    /// It is a message for the account, of whom the best session is there.
    Account,
    /// It tells a client that something failed which it sent.
    Failure,
    /// It is a probe that the node answers for the sessions that it has.
    Probe,
}

const LEGS: [Leg; 4] = [Leg::Full, Leg::Account, Leg::Failure, Leg::Probe];

/// Which sessions of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Those with presence.
    Available,
    /// Those that take messages for the account (RFC 6121 section 8.5.2.1.1).
    NonNegative,
    /// Those with a module's mark.
    Marked(String),
}

/// What one node tells or asks another.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// A stanza goes on; since when it is on its way between nodes, in milliseconds of the epoch.
    Stanza { leg: Leg, trip: Trip, at: u64, stanza: Stanza },
    /// A presence for contacts who have sessions there.
    Contacts { to: Vec<Jid>, stanza: Stanza },
    /// For sessions of one user; `each`: addressed to each of them.
    Sessions { user: BareJid, whom: Whom, each: bool, stanza: Stanza },
    /// Sessions of a user end: that one, or all; why.
    End { user: BareJid, session: Option<(String, u64)>, why: Ended },
    /// A module's data of a user were changed.
    Told { user: BareJid, module: String, what: Bytes },
    /// Offline storage keeps a message of that number, which came before what waits: see [`crate::routing::divert`].
    Divert { user: BareJid, module: String, id: u64 },
    /// Log-ons failed, or one did not: by account and address, and by address.
    Throttle { pair: [u8; 16], address: [u8; 16], failed: bool },
    /// Asks: which sessions the user has there.
    Where { user: BareJid },
    /// Asks: what `by` would see of the sessions that these have there.
    Shown { by: Jid, users: Vec<BareJid> },
    /// Asks: which messages of the offline storage sessions of the user there have.
    Sent { user: BareJid },
    /// Asks: so many sessions of the user that wait to be resumed are to make room.
    Room { user: BareJid, needed: u64 },
    /// Asks: the user's session with that token is to go over to the node that asks.
    Give { user: BareJid, token: String },
    /// Asks: the user's session with that token is to be taken from the node that asks, which gives up its sessions.
    Take { user: BareJid, token: String },
    /// Asks: where clients come to that node.
    Place,
}

const ENDS: [Ended; 8] = [
    Ended::Closed,
    Ended::Conflict,
    Ended::Kicked,
    Ended::Removed,
    Ended::Revoked,
    Ended::NoMemory,
    Ended::Shutdown,
    Ended::Drained,
];

fn place<T: PartialEq>(all: &[T], of: &T) -> u8 {
    all.iter().position(|one| one == of).and_then(|n| u8::try_from(n).ok()).unwrap_or(u8::MAX)
}

fn one<T: Copy>(all: &[T], from: &mut Reader) -> Option<T> {
    all.get(usize::from(from.byte()?)).copied()
}

fn user(from: &mut Reader) -> Option<BareJid> {
    from.text(|text| text.parse().ok())?
}

fn address(from: &mut Reader) -> Option<Jid> {
    from.text(|text| text.parse().ok())?
}

fn flag(from: &mut Reader) -> Option<bool> {
    match from.byte()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn key(from: &mut Reader) -> Option<[u8; 16]> {
    from.bytes()?.as_ref().try_into().ok()
}

impl Order {
    fn kind(&self) -> u8 {
        match self {
            Self::Stanza { .. } => 1,
            Self::Contacts { .. } => 2,
            Self::Sessions { .. } => 3,
            Self::End { .. } => 4,
            Self::Told { .. } => 5,
            Self::Divert { .. } => 6,
            Self::Throttle { .. } => 7,
            Self::Where { .. } => 32,
            Self::Shown { .. } => 33,
            Self::Room { .. } => 34,
            Self::Sent { .. } => 35,
            Self::Give { .. } => 36,
            Self::Take { .. } => 37,
            Self::Place => 38,
        }
    }

    /// As another node reads it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.kind()];
        match self {
            Self::Stanza { leg, trip, at, stanza } => {
                let flags = u8::from(trip.now) | u8::from(trip.copy) << 1;
                out.extend([place(&LEGS, leg), trip.hops, flags]);
                put_number(&mut out, *at);
                stanza.pack(&mut out);
            }
            Self::Contacts { to, stanza } => {
                put_number(&mut out, to.len() as u64);
                to.iter().for_each(|to| put_text(&mut out, to.as_str()));
                stanza.pack(&mut out);
            }
            Self::Sessions { user, whom, each, stanza } => {
                put_text(&mut out, user.as_str());
                let mark = match whom {
                    Whom::Marked(mark) => mark.as_str(),
                    _ => "",
                };
                out.push(match whom {
                    Whom::Available => 0,
                    Whom::NonNegative => 1,
                    Whom::Marked(_) => 2,
                });
                put_text(&mut out, mark);
                out.push(u8::from(*each));
                stanza.pack(&mut out);
            }
            Self::End { user, session, why } => {
                put_text(&mut out, user.as_str());
                put_text_opt(&mut out, session.as_ref().map(|(resource, _)| resource.as_str()));
                put_number(&mut out, session.as_ref().map_or(0, |(_, id)| *id));
                out.push(place(&ENDS, why));
            }
            Self::Told { user, module, what } => {
                put_text(&mut out, user.as_str());
                put_text(&mut out, module);
                put_bytes(&mut out, what);
            }
            Self::Divert { user, module, id } => {
                put_text(&mut out, user.as_str());
                put_text(&mut out, module);
                put_number(&mut out, *id);
            }
            Self::Throttle { pair, address, failed } => {
                put_bytes(&mut out, pair);
                put_bytes(&mut out, address);
                out.push(u8::from(*failed));
            }
            Self::Where { user } | Self::Sent { user } => put_text(&mut out, user.as_str()),
            Self::Shown { by, users } => {
                put_text(&mut out, by.as_str());
                put_number(&mut out, users.len() as u64);
                users.iter().for_each(|user| put_text(&mut out, user.as_str()));
            }
            Self::Room { user, needed } => {
                put_text(&mut out, user.as_str());
                put_number(&mut out, *needed);
            }
            Self::Place => {}
            Self::Give { user, token } | Self::Take { user, token } => {
                put_text(&mut out, user.as_str());
                put_text(&mut out, token);
            }
        }
        out
    }

    /// What another node said; `None`: this one does not know it.
    pub fn read(bytes: Bytes) -> Option<Self> {
        let mut from = Reader::new(bytes);
        if from.byte()? != VERSION {
            return None;
        }
        let order = Self::read_kind(from.byte()?, &mut from)?;
        from.is_over().then_some(order)
    }

    fn read_kind(kind: u8, from: &mut Reader) -> Option<Self> {
        Some(match kind {
            1 => {
                let leg = one(&LEGS, from)?;
                let (hops, flags) = (from.byte()?, from.byte()?);
                let (now, copy) = (flags & 1 != 0, flags & 2 != 0);
                let trip = Trip { hops, now, copy, waited: false };
                Self::Stanza { leg, trip, at: from.number()?, stanza: Stanza::unpack(from)? }
            }
            2 => Self::Contacts { to: from.list(address)?, stanza: Stanza::unpack(from)? },
            3 => {
                let user = user(from)?;
                let (whom, mark) = (from.byte()?, from.text(str::to_owned)?);
                let whom = match whom {
                    0 => Whom::Available,
                    1 => Whom::NonNegative,
                    2 => Whom::Marked(mark),
                    _ => return None,
                };
                Self::Sessions { user, whom, each: flag(from)?, stanza: Stanza::unpack(from)? }
            }
            4 => {
                let (user, resource) = (user(from)?, from.text_opt(str::to_owned)?);
                let id = from.number()?;
                let session = resource.map(|resource| (resource, id));
                Self::End { user, session, why: one(&ENDS, from)? }
            }
            5 => Self::Told {
                user: user(from)?,
                module: from.text(str::to_owned)?,
                what: from.bytes()?,
            },
            6 => Self::Divert {
                user: user(from)?,
                module: from.text(str::to_owned)?,
                id: from.number()?,
            },
            7 => Self::Throttle { pair: key(from)?, address: key(from)?, failed: flag(from)? },
            32 => Self::Where { user: user(from)? },
            33 => Self::Shown { by: address(from)?, users: from.list(user)? },
            35 => Self::Sent { user: user(from)? },
            34 => Self::Room { user: user(from)?, needed: from.number()? },
            36 => Self::Give { user: user(from)?, token: from.text(str::to_owned)? },
            37 => Self::Take { user: user(from)?, token: from.text(str::to_owned)? },
            38 => Self::Place,
            _ => return None,
        })
    }
}

/// A session as another node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its resource.
    pub resource: String,
    /// Its number on that node.
    pub session: u64,
    /// Its priority, if it is available.
    pub priority: Option<i8>,
    /// How long ago it was bound, in seconds.
    pub age: u64,
}

/// The answer to [`Order::Where`].
pub fn put_found(all: &[Found]) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, all.len() as u64);
    for Found { resource, session, priority, age } in all {
        put_text(&mut out, resource);
        put_number(&mut out, *session);
        put_number(&mut out, *age);
        out.extend(priority.map_or([0, 0], |priority| [1, priority.to_be_bytes()[0]]));
    }
    out
}

/// Reads it.
pub fn read_found(bytes: Bytes) -> Option<Vec<Found>> {
    Reader::new(bytes).list(|from| {
        let (resource, session) = (from.text(str::to_owned)?, from.number()?);
        let age = from.number()?;
        let (has, priority) = (flag(from)?, i8::from_be_bytes([from.byte()?]));
        Some(Found { resource, session, priority: has.then_some(priority), age })
    })
}

/// What became of a session that was asked for ([`Order::Give`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// It is in the store for whoever adopts it.
    Parked,
    /// It cannot move now.
    Busy,
    /// There is none (any more). Of one that nobody resumed in time: how many of its client's stanzas were handled.
    Unknown(Option<u32>),
}

/// The answer to [`Order::Give`].
pub fn put_given(given: Given) -> Vec<u8> {
    match given {
        Given::Parked => vec![0],
        Given::Busy => vec![1],
        Given::Unknown(None) => vec![2],
        Given::Unknown(Some(handled)) => {
            let mut out = vec![3];
            put_number(&mut out, handled.into());
            out
        }
    }
}

/// Reads it.
pub fn read_given(bytes: Bytes) -> Option<Given> {
    let mut from = Reader::new(bytes);
    match from.byte()? {
        0 => Some(Given::Parked),
        1 => Some(Given::Busy),
        2 => Some(Given::Unknown(None)),
        3 => Some(Given::Unknown(Some(u32::try_from(from.number()?).ok()?))),
        _ => None,
    }
}

/// What somebody sees of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Its address.
    pub jid: Jid,
    /// Its presence, if it is available.
    pub presence: Option<Stanza>,
    /// It has sent them directed presence.
    pub directs: bool,
    /// Its user blocks them.
    pub blocks: bool,
}

/// The answer to [`Order::Shown`].
pub fn put_shown(all: &[Shown]) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, all.len() as u64);
    for Shown { jid, presence, directs, blocks } in all {
        put_text(&mut out, jid.as_str());
        out.extend([u8::from(*directs), u8::from(*blocks), u8::from(presence.is_some())]);
        presence.iter().for_each(|presence| presence.pack(&mut out));
    }
    out
}

/// Reads it.
pub fn read_shown(bytes: Bytes) -> Option<Vec<Shown>> {
    Reader::new(bytes).list(|from| {
        let (jid, directs, blocks) = (address(from)?, flag(from)?, flag(from)?);
        let presence = match flag(from)? {
            true => Some(Stanza::unpack(from)?),
            false => None,
        };
        Some(Shown { jid, presence, directs, blocks })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    fn orders() -> Vec<(&'static str, Order)> {
        let user: BareJid = "juliet@localhost".parse().unwrap();
        let xml = "<message from='romeo@localhost/orchard' to='juliet@localhost' type='chat' id='1' xml:lang='en'>\
             <body>what light</body><x xmlns='urn:x'/></message>";
        let message = Stanza::parse(xml.as_bytes()).unwrap();
        let presence = Stanza::parse(
            b"<presence from='romeo@localhost/orchard'><priority>1</priority></presence>",
        )
        .unwrap();
        let trip = Trip { now: true, hops: 2, ..Trip::IN_ORDER };
        let stanza =
            |leg| Order::Stanza { leg, trip, at: 1_767_225_600_000, stanza: message.clone() };
        let sessions = |whom| Order::Sessions {
            user: user.clone(),
            whom,
            each: true,
            stanza: presence.clone(),
        };
        let romeo: Jid = "romeo@localhost/orchard".parse().unwrap();
        let session = Some(("balcony".to_owned(), 300));
        vec![
            ("full", stanza(Leg::Full)),
            ("account", stanza(Leg::Account)),
            ("failure", stanza(Leg::Failure)),
            ("probe", stanza(Leg::Probe)),
            (
                "contacts",
                Order::Contacts { to: vec![user.clone().into()], stanza: presence.clone() },
            ),
            ("available", sessions(Whom::Available)),
            ("non_negative", sessions(Whom::NonNegative)),
            ("marked", sessions(Whom::Marked("roster".to_owned()))),
            ("end_one", Order::End { user: user.clone(), session, why: Ended::Conflict }),
            ("end_all", Order::End { user: user.clone(), session: None, why: Ended::Removed }),
            (
                "told",
                Order::Told {
                    user: user.clone(),
                    module: "blocking".to_owned(),
                    what: Bytes::from_static(b"{}"),
                },
            ),
            ("divert", Order::Divert { user: user.clone(), module: "offline".to_owned(), id: 7 }),
            ("throttle", Order::Throttle { pair: [1; 16], address: [2; 16], failed: true }),
            ("where", Order::Where { user: user.clone() }),
            ("shown", Order::Shown { by: romeo, users: vec![user.clone()] }),
            ("room", Order::Room { user: user.clone(), needed: 1 }),
            ("sent", Order::Sent { user: user.clone() }),
            ("give", Order::Give { user: user.clone(), token: "t".to_owned() }),
            ("take", Order::Take { user, token: "t".to_owned() }),
            ("place", Order::Place),
        ]
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    #[test]
    fn what_nodes_of_version_1_say_is_said_and_read() {
        let mut said = String::new();
        for (name, order) in orders() {
            let bytes = order.to_bytes();
            let _ = writeln!(said, "{name} {}", hex(&bytes));
            assert_eq!(Order::read(bytes.clone().into()), Some(order));
            for end in 0..bytes.len() {
                assert_eq!(Order::read(Bytes::copy_from_slice(&bytes[..end])), None, "{name}");
            }
        }
        assert_eq!(said, include_str!("v1.txt"));
    }

    #[test]
    fn another_version_and_another_kind_are_not_known() {
        let bytes = orders().remove(0).1.to_bytes();
        for (place, value) in [(0, 2), (1, 99)] {
            let mut other = bytes.clone();
            other[place] = value;
            assert_eq!(Order::read(other.into()), None);
        }
    }

    #[test]
    fn answers_are_read_as_they_were_written() {
        let found = |resource: &str, priority| Found {
            resource: resource.to_owned(),
            session: 5,
            priority,
            age: 300,
        };
        let all = vec![found("a", None), found("b", Some(-128)), found("c", Some(127))];
        assert_eq!(read_found(put_found(&all).into()), Some(all));
        let presence = Stanza::parse(b"<presence><show>away</show></presence>");
        let shown = |jid: &str, presence| Shown {
            jid: jid.parse().unwrap(),
            presence,
            directs: true,
            blocks: false,
        };
        let all = vec![shown("juliet@localhost/a", presence), shown("juliet@localhost/b", None)];
        assert_eq!(read_shown(put_shown(&all).into()), Some(all));
    }
}
