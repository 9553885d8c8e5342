//! File descriptors: clients get what the system allows less a reserve, so that operators, health checks,
//! the store, certificates and crash reports always have theirs.

use crate::{admin, telemetry::http};
use actors::listener::SPARE;
use rustix::process::{Resource, getrlimit};

/// Standard streams, the runtime's own, sockets that listen, the store's files, certificates, crash reports,
/// what the metrics read: about 50 are open all the time.
const OTHERS: usize = 128;
/// What clients don't get.
const RESERVE: usize = http::CONNECTIONS + admin::OPERATORS + SPARE + OTHERS;

/// The limit of this process.
fn limit() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// How many HTTP connections there may be.
pub(super) fn http() -> usize {
    http::CONNECTIONS.min(limit() / 16).max(1)
}

/// How many clients there may be, of those that are wanted.
pub(super) fn clients(wanted: usize) -> usize {
    let limit = limit();
    let clients = of(limit, wanted);
    if clients < wanted {
        tracing::info!(
            limit,
            clients,
            wanted,
            "the limit of open files allows fewer clients than c2s.max_connections"
        );
    }
    clients
}

/// A limit that is nearly all reserve still serves some.
fn of(limit: usize, wanted: usize) -> usize {
    wanted.min(limit.saturating_sub(RESERVE).max(limit / 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_the_reserve_leaves() {
        assert_eq!(RESERVE, 256);
        assert_eq!(of(usize::MAX, 100_000), 100_000);
        assert_eq!(of(100_256, 100_000), 100_000);
        assert_eq!(of(1_024, 100_000), 768);
        assert_eq!(of(1_024, 10), 10);
        assert_eq!(of(256, 100_000), 64);
    }
}
