//! What operators ask and what they are answered: JSON, one line each.

mod cluster;

pub use self::cluster::*;

use serde::{Deserialize, Serialize};
use std::fmt;
use storage::transfer::Walk;
use supervision::{CrashReport, restarts::Supervision};
use xmpp::{
    jid::{BareJid, Jid},
    sasl::ScramKeys,
};

/// The longest line, in bytes, either way.
pub const LONGEST: usize = 4 << 20;

/// The most rows one answer has.
pub const MOST: usize = 10_000;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The supervision tree.
    Tree {},
    /// Processes, by some order, the first `limit` of them.
    Ps {
        /// Which are first.
        by: Order,
        /// How many.
        limit: usize,
        /// How long processes are metered before; with 0 no row has a `cpu`.
        #[serde(default)]
        seconds: f64,
    },
    /// The last crashes, the newest first.
    CrashList {
        /// How many.
        limit: usize,
    },
    /// One crash.
    CrashShow {
        /// Its number.
        id: u64,
    },
    /// Who is logged on.
    Sessions {
        /// Of this host only.
        host: Option<String>,
        /// Of this user only.
        user: Option<BareJid>,
        /// How many.
        limit: usize,
    },
    /// Ends the session of a full JID, or all of a user.
    Kick {
        /// Whose.
        jid: Jid,
    },
    /// Creates accounts; one row for each says what became of it.
    AccountAdd {
        /// Whose, with keys that the asker derived: a password never leaves the asker.
        accounts: Vec<NewAccount>,
    },
    /// Replaces the keys of an account.
    AccountPasswd {
        /// Whose, and the keys.
        account: NewAccount,
    },
    /// Removes an account and all that is kept of it.
    AccountRemove {
        /// Whose.
        jid: BareJid,
    },
    /// Accounts of a host, in the order of their addresses, page by page.
    AccountList {
        /// Which; one that is not served any more too.
        host: String,
        /// Those after this one.
        after: Option<BareJid>,
        /// How many.
        limit: usize,
    },
    /// Messages over which clients ended their streams again and again, in the order of their numbers.
    QuarantineList {
        /// Of this user only.
        user: Option<BareJid>,
        /// Those after this number.
        #[serde(default)]
        after: u64,
        /// How many.
        limit: usize,
    },
    /// One of them, with its content.
    QuarantineShow {
        /// Its number.
        id: u64,
    },
    /// Makes one an offline message of its user again.
    QuarantineRelease {
        /// Its number.
        id: u64,
    },
    /// Forgets one.
    QuarantineDrop {
        /// Its number.
        id: u64,
    },
    /// How the store is.
    StoreStatus {},
    /// Reads what is kept of the next users, and says what of it cannot be read.
    StoreCheck {
        /// How far it was seen; the answer is how far it was seen then, at the end the same.
        walk: Walk,
    },
    /// The nodes of the cluster, as this one sees them.
    Nodes {
        /// This one only.
        #[serde(default)]
        node: Option<String>,
    },
    /// How the registry is.
    RegistryStats {},
    /// What the registry has of a user or one of their sessions, and what the cache has.
    RegistryGet {
        /// Whose.
        jid: Jid,
    },
    /// Compares a part of this node's sessions with the registry.
    RegistryCheck {
        /// Which part.
        #[serde(default)]
        at: Place,
        /// Whether what differs is set right.
        #[serde(default)]
        fix: bool,
    },
    /// Publishes all sessions of this node again.
    RegistryRebuild {},
    /// Where a stanza for an address would go now.
    Route {
        /// Which.
        jid: Jid,
    },
    /// The same of other nodes: one [`AnswerRow`] for each.
    On {
        /// Its name; "all": each one that is alive, this one too.
        node: String,
        /// What: `tree`, `ps`, `sessions`, `crash_list`, `nodes`, `registry_stats` or `kick`.
        request: Box<Request>,
    },
    /// The hosts that are served.
    Hosts {},
    /// The node is to give up its sessions, or not any more; the answer is its [`NodeRow`].
    Drain {
        /// Which of both.
        drains: bool,
    },
    /// Stops the node.
    Stop {},
}

/// An account to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewAccount {
    /// Whose.
    pub jid: BareJid,
    /// Its keys.
    pub keys: Vec<ScramKeys>,
}

/// By what processes are ordered, the greatest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Messages that wait.
    #[default]
    Queue,
    /// How long they have been in their present handler.
    Busy,
    /// Messages handled.
    Handled,
    /// How long they have been alive.
    Uptime,
    /// Their share of the node's CPU, while they were metered.
    Cpu,
}

/// The longest time processes are metered for one answer, in seconds.
pub const METERED: f64 = 60.0;

/// One line of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// A row; more lines follow.
    Row(Row),
    /// That was all.
    Done(Done),
    /// It was not done, or not to the end.
    Error(Refusal),
}

/// The end of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Of how many the rows are the first, where that is known.
    pub of: Option<usize>,
}

/// Why a command was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong, and what helps.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string() }
    }
}

/// A row of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Row {
    /// A tree.
    Tree(TreeRow),
    /// What processes have done that are not there any more.
    Figures(FiguresRow),
    /// A process.
    Process(ProcessRow),
    /// A crash in short.
    Crash(CrashRow),
    /// A crash.
    Report(Box<CrashReport>),
    /// A session.
    Session(SessionRow),
    /// An account.
    Account(AccountRow),
    /// A message in quarantine.
    Quarantined(QuarantineRow),
    /// Something of the store.
    Store(StoreRow),
    /// How far the store was seen.
    Walk(Box<Walk>),
    /// A host.
    Host(String),
    /// A node.
    Node(Box<NodeRow>),
    /// The registry.
    Registry(Box<RegistryRow>),
    /// What the registry has of a session.
    Record(RecordRow),
    /// Where it differs from a node's sessions.
    Difference(DifferenceRow),
    /// How far that was looked at.
    Checked(CheckedRow),
    /// Where a stanza would go.
    Route(RouteRow),
    /// What a node has answered.
    Answer(AnswerRow),
}

/// A process and those below it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TreeRow {
    /// The last part of its path.
    pub name: String,
    /// What it is.
    pub kind: String,
    /// Its number.
    pub id: u64,
    /// How long it has been alive, in seconds.
    pub uptime: f64,
    /// What it says of itself.
    pub status: Option<String>,
    /// Of a supervisor: what it knows of restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervision: Option<Supervision>,
    /// Children of a pool; they are counted, not listed.
    pub pooled: usize,
    /// Those below it, in start order.
    pub children: Vec<TreeRow>,
}

/// What processes have done that are not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiguresRow {
    /// Crashes.
    pub crashes: u64,
    /// Restarts by supervisors.
    pub restarts: u64,
    /// Messages that were in the inboxes of processes when these ended.
    pub unhandled: u64,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessRow {
    /// Its number.
    pub id: u64,
    /// Its place in the tree.
    pub path: String,
    /// What it is.
    pub kind: String,
    /// How long it has been alive, in seconds.
    pub uptime: f64,
    /// Messages that wait.
    pub queued: usize,
    /// Messages handled.
    pub handled: u64,
    /// How long it has been in its present handler, in seconds.
    pub busy: Option<f64>,
    /// Its share of the CPU the node used while it was metered: 0.05 is a twentieth.
    #[serde(default)]
    pub cpu: Option<f64>,
    /// What it says of itself.
    pub status: Option<String>,
}

/// A crash in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashRow {
    /// Its number.
    pub id: u64,
    /// When, in milliseconds of the epoch.
    pub at: u64,
    /// Where in the tree.
    pub path: String,
    /// Where in the program.
    pub location: String,
    /// The panic's message.
    pub reason: String,
    /// How many like it before were counted and not kept.
    pub suppressed: u64,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionRow {
    /// Whose, with resource.
    pub jid: String,
    /// Whether it is connected, or waits to be resumed.
    pub connected: bool,
    /// Whether the store has it, so that another process can resume it.
    pub stored: bool,
    /// Its priority, once it sent presence.
    pub priority: Option<i8>,
    /// Stanzas that wait for its connection.
    pub queued: usize,
    /// Stanzas it has not acknowledged (XEP-0198).
    pub unacked: usize,
}

/// A message over which clients ended their streams again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineRow {
    /// Its number.
    pub id: u64,
    /// For whom it is.
    pub user: String,
    /// The account that sent it.
    pub from: Option<String>,
    /// When it arrived, in milliseconds of the epoch.
    pub at: u64,
    /// When it was put into quarantine, in milliseconds of the epoch.
    pub since: u64,
    /// Its size.
    pub bytes: usize,
    /// What it is, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stanza: Option<String>,
}

/// Something of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreRow {
    /// What.
    pub name: String,
    /// How it is, for people.
    pub value: String,
}

/// An account, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    /// Whose.
    pub jid: String,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What became of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It is there.
    Listed,
    /// It was made.
    Created,
    /// It was there before, and was left as it is.
    Existed,
    /// Its password was changed.
    Changed,
    /// It was removed.
    Removed,
    /// Its host is not served here.
    NoSuchHost,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn asked(line: Value) -> Result<Request, String> {
        serde_json::from_value(line).map_err(|e| e.to_string())
    }

    /// Tools of an older version ask a newer node, and scripts read what `--json` prints.
    #[test]
    fn requests_are_read_as_they_were_always_written() {
        let jid = |jid: &str| jid.parse().unwrap();
        for (line, request) in [
            (json!({ "command": "tree" }), Request::Tree {}),
            (json!({ "command": "hosts" }), Request::Hosts {}),
            (json!({ "command": "stop" }), Request::Stop {}),
            (json!({ "command": "drain", "drains": true }), Request::Drain { drains: true }),
            // before there was metering
            (
                json!({ "command": "ps", "by": "busy", "limit": 3 }),
                Request::Ps { by: Order::Busy, limit: 3, seconds: 0.0 },
            ),
            (
                json!({ "command": "ps", "by": "cpu", "limit": 3, "seconds": 1.5 }),
                Request::Ps { by: Order::Cpu, limit: 3, seconds: 1.5 },
            ),
            (json!({ "command": "crash_list", "limit": 7 }), Request::CrashList { limit: 7 }),
            (json!({ "command": "crash_show", "id": 7 }), Request::CrashShow { id: 7 }),
            (
                json!({ "command": "sessions", "host": null, "user": "a@x", "limit": 1 }),
                Request::Sessions { host: None, user: Some("a@x".parse().unwrap()), limit: 1 },
            ),
            (json!({ "command": "kick", "jid": "a@x/r" }), Request::Kick { jid: jid("a@x/r") }),
            (
                json!({ "command": "account_remove", "jid": "A@x" }),
                Request::AccountRemove { jid: "a@x".parse().unwrap() },
            ),
            (
                json!({ "command": "account_list", "host": "x", "after": "a@x", "limit": 9 }),
                Request::AccountList {
                    host: "x".to_owned(),
                    after: Some("a@x".parse().unwrap()),
                    limit: 9,
                },
            ),
            (
                json!({ "command": "quarantine_list", "user": null, "limit": 9 }),
                Request::QuarantineList { user: None, after: 0, limit: 9 },
            ),
            (json!({ "command": "quarantine_drop", "id": 7 }), Request::QuarantineDrop { id: 7 }),
            (
                json!({ "command": "registry_check" }),
                Request::RegistryCheck { at: Place::Sessions(0), fix: false },
            ),
            (
                json!({ "command": "on", "node": "n2", "request": { "command": "tree" } }),
                Request::On { node: "n2".to_owned(), request: Box::new(Request::Tree {}) },
            ),
        ] {
            assert_eq!(asked(line.clone()), Ok(request), "{line}");
        }
    }

    #[test]
    fn what_is_no_request_is_not_taken_for_one() {
        for line in [
            json!({}),
            json!("tree"),
            json!({ "command": "reboot" }),
            json!({ "command": "Tree" }),
            // a word that is misspelled could mean all sessions
            json!({ "command": "sessions", "host": null, "usr": "a@x", "limit": 1 }),
            json!({ "command": "stop", "when": "later" }),
            json!({ "command": "kick", "jid": "@x" }),
            json!({ "command": "account_remove", "jid": "a@x/r" }),
            json!({ "command": "ps", "by": "name", "limit": 3 }),
            json!({ "command": "crash_list", "limit": -1 }),
        ] {
            assert!(asked(line.clone()).is_err(), "{line}");
        }
    }

    #[test]
    fn answers_are_written_as_scripts_read_them() {
        let session = SessionRow {
            jid: "a@x/r".to_owned(),
            connected: false,
            stored: true,
            priority: Some(-1),
            queued: 2,
            unacked: 3,
        };
        let account = |outcome| Row::Account(AccountRow { jid: "a@x".to_owned(), outcome });
        for (reply, line) in [
            (
                Reply::Row(Row::Session(session)),
                json!({ "row": { "session": { "jid": "a@x/r", "connected": false, "stored": true,
                    "priority": -1, "queued": 2, "unacked": 3 } } }),
            ),
            (
                Reply::Row(account(Outcome::NoSuchHost)),
                json!({ "row": { "account": { "jid": "a@x", "outcome": "no_such_host" } } }),
            ),
            (
                Reply::Row(account(Outcome::Created)),
                json!({ "row": { "account": { "jid": "a@x", "outcome": "created" } } }),
            ),
            (Reply::Row(Row::Host("x".to_owned())), json!({ "row": { "host": "x" } })),
            (Reply::Done(Done { of: Some(8) }), json!({ "done": { "of": 8 } })),
            (Reply::Done(Done::default()), json!({ "done": { "of": null } })),
            (Reply::Error(Refusal::new("no")), json!({ "error": { "message": "no" } })),
        ] {
            assert_eq!(serde_json::to_value(&reply).unwrap(), line);
        }
        // of an older node
        let row = json!({ "id": 1, "path": "/", "kind": "k", "uptime": 1.0, "queued": 0, "handled": 0,
            "busy": null, "status": null });
        assert_eq!(serde_json::from_value::<ProcessRow>(row).unwrap().cpu, None);
    }
}
