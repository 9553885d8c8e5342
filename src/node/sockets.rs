//! The sockets a node listens on, bound before the tree starts: an address that is taken is an
//! error that names address and option, not a process that crashes.

use serde::{Deserialize, Serialize};
use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 4096;

/// An address cannot be listened on.
#[derive(Debug, Error)]
#[error("{option}: cannot listen on {address}: {error}; {fix}")]
pub struct BindError {
    /// The option that names it.
    pub option: &'static str,
    /// The address.
    pub address: SocketAddr,
    /// Why not.
    pub error: io::Error,
    /// What helps.
    pub fix: &'static str,
}

/// Listens on every address of an option.
pub(super) fn bind(
    option: &'static str,
    addresses: &[SocketAddr],
) -> Result<Vec<Arc<TcpListener>>, BindError> {
    addresses.iter().map(|address| listen(option, *address).map(Arc::new)).collect()
}

fn listen(option: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    let fail = |error: io::Error| {
        let fix = match error.kind() {
            io::ErrorKind::AddrInUse => "stop what listens there, or set another port",
            io::ErrorKind::AddrNotAvailable => "set an address of this machine",
            io::ErrorKind::PermissionDenied => "ports below 1024 need the right to use them",
            _ => "set another address",
        };
        BindError { option, address, error, fix }
    };
    match open(address) {
        // every address of a machine without IPv6
        Err(e) if address.is_ipv6() && address.ip().is_unspecified() && !in_use(&e) => {
            open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()))).map_err(|_| fail(e))
        }
        result => result.map_err(fail),
    }
}

fn in_use(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Where a node answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// Clients that begin in clear.
    pub starttls: Vec<SocketAddr>,
    /// Clients with TLS from the first byte.
    pub direct_tls: Vec<SocketAddr>,
    /// Metrics and health.
    pub http: Vec<SocketAddr>,
    /// The command line tools.
    pub admin: Option<PathBuf>,
}

/// The local addresses of sockets.
pub(super) fn local(sockets: &[Arc<TcpListener>]) -> Vec<SocketAddr> {
    sockets.iter().filter_map(|s| s.local_addr().ok()).collect()
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [(&self.starttls, "starttls"), (&self.direct_tls, "tls")];
        let c2s =
            kinds.iter().flat_map(|(all, kind)| all.iter().map(move |a| format!("{a} ({kind})")));
        let c2s: Vec<String> = c2s.collect();
        let http: Vec<String> = self.http.iter().map(ToString::to_string).collect();
        let admin: Vec<String> = self.admin.iter().map(|p| p.display().to_string()).collect();
        let groups = [("c2s", c2s), ("http", http), ("admin", admin)];
        let groups = groups.iter().filter(|(_, all)| !all.is_empty());
        let groups: Vec<_> =
            groups.map(|(name, all)| format!("{name} {}", all.join(", "))).collect();
        f.write_str(&groups.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_is_taken_is_named_with_its_option() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let first = bind("c2s.starttls", &[any]).unwrap();
        let [taken] = local(&first)[..] else { panic!("one address") };
        let error = bind("http.listen", &[taken]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("http.listen: cannot listen on {taken}: ")), "{error}");
        assert!(error.ends_with("stop what listens there, or set another port"), "{error}");
    }

    #[test]
    fn addresses_are_one_line() {
        let at = |port| vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))];
        let all = Addresses {
            starttls: at(5222),
            direct_tls: at(5223),
            http: at(5280),
            admin: Some("data/admin.sock".into()),
        };
        let line = "c2s 127.0.0.1:5222 (starttls), 127.0.0.1:5223 (tls), http 127.0.0.1:5280, \
                    admin data/admin.sock";
        assert_eq!(all.to_string(), line);
        assert_eq!(
            Addresses { starttls: vec![], direct_tls: vec![], ..all }.to_string(),
            "http 127.0.0.1:5280, admin data/admin.sock"
        );
    }
}
