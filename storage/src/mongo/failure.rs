//! What the driver's errors mean: whether to begin again, whether anything was changed, what the caller is told.

use crate::{StoreError, error::LATER};
use mongodb::{
    bson,
    error::{
        Error, ErrorKind, RETRYABLE_WRITE_ERROR, SYSTEM_OVERLOADED_ERROR,
        TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT, WriteFailure,
    },
};

/// Codes of the server: a key that is there already.
const DUPLICATE_KEY: i32 = 11_000;
/// A disk that is full.
const OUT_OF_DISK_SPACE: i32 = 14_031;
/// `BSONObjectTooLarge`, and what a server says of a document that has grown to be.
const TOO_LARGE: [i32; 3] = [10_334, 17_419, 17_420];
/// What a document may have, in bytes.
const DOCUMENT: usize = 16 << 20;
/// Nobody leads the replica set, or who did stops: `PrimarySteppedDown`, `ShutdownInProgress`, `NotWritablePrimary`,
/// `InterruptedAtShutdown`, `InterruptedDueToReplStateChange`, `NotPrimaryNoSecondaryOk`, `NotPrimaryOrSecondary`,
/// `SnapshotUnavailable`, `LegacyNotPrimary`.
const NOBODY_LEADS: [i32; 9] = [189, 91, 10_107, 11_600, 11_602, 13_435, 13_436, 246, 10_058];
/// A router does not get to a server: `HostUnreachable`, `HostNotFound`, `NetworkTimeout`, `SocketException`,
/// `FailedToSatisfyReadPreference`; or the one that had begun an answer was started anew: `CursorNotFound`. And
/// `ReadConcernMajorityNotAvailableYet`.
const NOT_REACHED: [i32; 7] = [6, 7, 89, 9001, 133, 43, 134];
/// `MaxTimeMSExpired`, `WriteConcernFailed`, `ExceededTimeLimit`.
const TOO_LATE: [i32; 3] = [50, 64, 262];
/// `Interrupted`: somebody took the transaction for that of a dead node. And `NoSuchTransaction`: it is gone.
const INTERRUPTED: i32 = 11_601;
const NO_TRANSACTION: i32 = 251;
/// `Unauthorized`, `AuthenticationFailed`.
const REFUSED: [i32; 2] = [13, 18];

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// It is not to be done.
    Store(StoreError),
    /// The driver says so.
    Driver(Box<Error>),
    /// Somebody else has the key: it is to be tried again, messages with numbers greater than this one.
    Taken(u64),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Driver(Box::new(error))
    }
}

impl From<bson::error::Error> for Failure {
    fn from(error: bson::error::Error) -> Self {
        Self::Store(StoreError::Corrupt(error.to_string()))
    }
}

fn code(error: &Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(command) => Some(command.code),
        ErrorKind::Write(WriteFailure::WriteError(write)) => Some(write.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => Some(concern.code),
        ErrorKind::InsertMany(many) => {
            let first = many.write_errors.iter().flatten().next().map(|write| write.code);
            first.or_else(|| many.write_concern_error.as_ref().map(|concern| concern.code))
        }
        _ => None,
    }
}

fn is_one_of(error: &Error, codes: &[i32]) -> bool {
    code(error).is_some_and(|code| codes.contains(&code))
}

/// A key is there already.
pub(super) fn is_duplicate(error: &Error) -> bool {
    code(error) == Some(DUPLICATE_KEY)
}

/// What it says, without the server's reply as bytes, or the command that it was about; where no server was found, what is
/// wrong with each.
pub(super) fn why(error: &Error) -> String {
    match &*error.kind {
        ErrorKind::ServerSelection { message, .. } => no_server(message),
        kind => {
            let said = kind.to_string();
            let command = said.split_once(" to execute command {").map(|(before, _)| before);
            command.map(str::to_owned).unwrap_or(said)
        }
    }
}

/// What the driver says of a server that cannot be used, and what is to be done.
const HINTS: [(&str, &str); 4] = [
    ("UnknownIssuer", "`ca` does not vouch for its certificate"),
    ("NotValidForName", "its certificate is not for this name"),
    ("tls handshake eof", "it may not speak TLS: leave `ca` out"),
    ("unexpected end of file", "it may want TLS: set `ca`"),
];

/// The driver leaves out servers that are not in the set which the URI names.
const OTHER_SET: &str = "no server is in the replica set that `replicaSet` in the uri names; `rs.conf()` says its name, and a \
                         server by itself has none";

/// The driver writes down all that it knows of the servers, for its developers.
fn no_server(message: &str) -> String {
    let before = |text: &str, end: &[&str]| -> String {
        let end = end.iter().filter_map(|end| text.split_once(end)).map(|(before, _)| before);
        end.min_by_key(|before| before.len()).unwrap_or(text).to_owned()
    };
    let servers = message.split("{ Address: ").skip(1).map(|server| {
        let address = before(server, &[", ", " }"]);
        match (server.split_once("Error: Kind: "), server.split_once("Type: ")) {
            (Some((_, error)), _) => format!("{address}: {}", before(error, &[", labels", " }"])),
            (None, Some((_, kind))) => format!("{address}: {}", before(kind, &[", ", " }"])),
            (None, None) => address,
        }
    });
    let servers: Vec<String> = servers.collect();
    let mut said = match servers.is_empty() {
        true if message.contains("Type: ReplicaSetNoPrimary") => return OTHER_SET.to_owned(),
        true => message.to_owned(),
        false => format!("no server can be used: {}", servers.join("; ")),
    };
    for (_, hint) in HINTS.iter().filter(|(error, _)| message.contains(error)) {
        said += &format!(" ({hint})");
    }
    said
}

/// Name, password or rights are wrong: nobody mends that by waiting.
pub(super) fn is_refused(error: &Error) -> bool {
    matches!(&*error.kind, ErrorKind::Authentication { .. }) || is_one_of(error, &REFUSED)
}

/// The server does not take this command, from this user or at all; it would not later.
pub(super) fn is_command(error: &Error) -> bool {
    matches!(&*error.kind, ErrorKind::Command(_)) && !is_away(error)
}

/// It was not reached, or did not answer.
pub(super) fn is_away(error: &Error) -> bool {
    let kind = matches!(
        &*error.kind,
        ErrorKind::ServerSelection { .. }
            | ErrorKind::ConnectionPoolCleared { .. }
            | ErrorKind::Io(_)
            | ErrorKind::DnsResolve { .. }
    );
    let codes = [NOBODY_LEADS.as_slice(), &NOT_REACHED, &TOO_LATE];
    // what servers say so of, whatever its code
    let labels = [RETRYABLE_WRITE_ERROR, SYSTEM_OVERLOADED_ERROR];
    kind || codes.iter().any(|codes| is_one_of(error, codes))
        || labels.iter().any(|label| error.contains_label(label))
}

fn is_bson(error: &Error) -> bool {
    matches!(&*error.kind, ErrorKind::Bson(_) | ErrorKind::InvalidResponse { .. })
}

/// A document cannot be that large: the driver sees it first, and gives it no code.
fn is_too_large(error: &Error) -> bool {
    let unsent = matches!(&*error.kind, ErrorKind::InvalidArgument { message, .. }
        if message.contains("must be within"));
    unsent || is_one_of(error, &TOO_LARGE)
}

fn found_none(error: &Error) -> bool {
    matches!(&*error.kind, ErrorKind::ServerSelection { .. })
}

impl Failure {
    /// The transaction is gone, and may be tried again.
    pub(super) fn is_transient(&self) -> bool {
        // that nobody can be asked has been tried for long enough
        match self {
            Self::Driver(error) => {
                let gone = is_one_of(error, &[INTERRUPTED, NO_TRANSACTION]);
                (gone || error.contains_label(TRANSIENT_TRANSACTION_ERROR)) && !found_none(error)
            }
            Self::Taken(_) => true,
            Self::Store(_) => false,
        }
    }

    /// Nobody knows whether it was committed.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Driver(error) if is_one_of(error, &[INTERRUPTED])
            || error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT))
    }

    /// Why the database was not reached, if that is it.
    pub(super) fn away(&self) -> Option<String> {
        match self {
            Self::Driver(error) if is_away(error) || is_refused(error) => Some(why(error)),
            _ => None,
        }
    }

    /// What the caller is told; `sent`: the database may have done it.
    pub(super) fn tell(self, sent: bool) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Taken(_) => LATER,
            Self::Driver(error) if is_bson(&error) => StoreError::Corrupt(why(&error)),
            Self::Driver(error) if is_one_of(&error, &[OUT_OF_DISK_SPACE]) => {
                StoreError::NoRoom(why(&error))
            }
            Self::Driver(error) if is_refused(&error) => LATER,
            Self::Driver(error) if is_one_of(&error, &[INTERRUPTED]) && sent => StoreError::Timeout,
            // whoever tries it again gets nothing else
            Self::Driver(error) if is_too_large(&error) => StoreError::Full { limit: DOCUMENT },
            Self::Driver(error) => {
                let transient = error.contains_label(TRANSIENT_TRANSACTION_ERROR);
                match is_away(&error) {
                    _ if transient => LATER,
                    true if sent && !found_none(&error) => StoreError::Timeout,
                    true => LATER,
                    false => StoreError::Failed(why(&error)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::no_server;

    #[test]
    fn what_is_wrong_with_each_server_is_said_in_a_line() {
        let message = "Server selection timeout: No available servers. Topology: { Type: ReplicaSetNoPrimary, Set Name: \
                       rs0, Servers: [ { Address: a:1, Type: Unknown, Error: Kind: I/O error: Connection refused (os error \
                       111), labels: {\"RetryableError\"}, source: None, server response: None }, { Address: b:2, Type: \
                       RSSecondary, Average RTT: 1ms } ] }";
        let said = "no server can be used: a:1: I/O error: Connection refused (os error 111); b:2: RSSecondary";
        assert_eq!(no_server(message), said);
        assert_eq!(no_server("something else"), "something else");
        let of = |error: &str| {
            format!(
                "Servers: [ {{ Address: a:1, Type: Unknown, Error: Kind: I/O error: {error}, labels: {{}} }} ]"
            )
        };
        let said = no_server(&of("invalid peer certificate: UnknownIssuer"));
        assert!(
            said.ends_with("UnknownIssuer (`ca` does not vouch for its certificate)"),
            "{said}"
        );
        let other = "No available servers. Topology: { Type: ReplicaSetNoPrimary, Set Name: rs9 }";
        assert!(no_server(other).contains("`replicaSet` in the uri"));
    }
}
