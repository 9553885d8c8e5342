//! The PROXY protocol, versions 1 and 2 (haproxy's `proxy-protocol.txt`): who really connects.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use thiserror::Error;

/// Longest header that is read: version 1 has at most 107 bytes; version 2 may carry more in
/// extensions, of which this much is accepted.
const MAX: usize = 1024;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What the bytes so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// Not complete.
    More,
    /// Complete, `len` bytes long. `source`: the client's address; `None` when the proxy speaks for
    /// itself (a health check).
    Done {
        /// The client.
        source: Option<IpAddr>,
        /// Length of the header.
        len: usize,
    },
}

/// It is no such header.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not a PROXY header")]
pub struct NoHeader;

/// Reads the header at the start of a connection.
///
/// # Errors
/// When the bytes cannot be the start of one.
pub fn parse(bytes: &[u8]) -> Result<Header, NoHeader> {
    let common = bytes.len().min(SIGNATURE.len());
    if bytes.get(..common) == SIGNATURE.get(..common) {
        return if bytes.len() < 16 { Ok(Header::More) } else { version_2(bytes) };
    }
    version_1(bytes)
}

fn version_1(bytes: &[u8]) -> Result<Header, NoHeader> {
    let start = bytes.len().min(6);
    if bytes.get(..start) != b"PROXY ".get(..start) {
        return Err(NoHeader);
    }
    let Some(end) = bytes.iter().take(107).position(|b| *b == b'\n') else {
        return if bytes.len() < 107 { Ok(Header::More) } else { Err(NoHeader) };
    };
    let line = bytes.get(..end).and_then(|l| std::str::from_utf8(l).ok()).ok_or(NoHeader)?;
    let line = line.strip_suffix('\r').ok_or(NoHeader)?;
    let parts: Vec<&str> = line.split(' ').collect();
    let source = match parts.as_slice() {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", "TCP4", source, _, _, _] => {
            Some(IpAddr::V4(source.parse().map_err(|_| NoHeader)?))
        }
        ["PROXY", "TCP6", source, _, _, _] => {
            Some(IpAddr::V6(source.parse().map_err(|_| NoHeader)?))
        }
        _ => return Err(NoHeader),
    };
    Ok(Header::Done { source, len: end + 1 })
}

fn version_2(bytes: &[u8]) -> Result<Header, NoHeader> {
    let [command, family, high, low] =
        *bytes.get(12..16).and_then(|b| b.first_chunk()).ok_or(NoHeader)?;
    let len = 16 + usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 || len > MAX {
        return Err(NoHeader);
    }
    let Some(rest) = bytes.get(16..len) else { return Ok(Header::More) };
    let source = match (command & 0xf, family >> 4) {
        (0, _) => None,
        (1, 1) => {
            let octets: [u8; 4] = *rest.first_chunk().ok_or(NoHeader)?;
            Some(IpAddr::V4(Ipv4Addr::from(octets)))
        }
        (1, 2) => {
            let octets: [u8; 16] = *rest.first_chunk().ok_or(NoHeader)?;
            Some(IpAddr::V6(Ipv6Addr::from(octets)))
        }
        (1, _) => None,
        _ => return Err(NoHeader),
    };
    Ok(Header::Done { source, len })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(ip: Option<&str>, len: usize) -> Result<Header, NoHeader> {
        Ok(Header::Done { source: ip.map(|i| i.parse().unwrap()), len })
    }

    #[test]
    fn version_1_names_the_client() {
        let line = b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 5222\r\n";
        assert_eq!(parse(&[line, &b"<?xml"[..]].concat()), done(Some("192.0.2.7"), line.len()));
        for cut in 0..line.len() {
            assert_eq!(parse(&line[..cut]), Ok(Header::More), "{cut}");
        }
        assert_eq!(parse(b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n"), done(Some("2001:db8::1"), 32));
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), done(None, 15));
        let long = [&b"PROXY "[..], &[b'x'; 120]].concat();
        for bad in
            [&b"<?xml"[..], b"PROXY TCP4 x y 1 2\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", &long]
        {
            assert_eq!(parse(bad), Err(NoHeader));
        }
    }

    #[test]
    fn version_2_names_the_client() {
        let header = |command: u8, family: u8, body: &[u8]| {
            let len = u16::try_from(body.len()).unwrap().to_be_bytes();
            [SIGNATURE, &[command, family], &len, body].concat()
        };
        let v4 = header(0x21, 0x11, &[192, 0, 2, 7, 192, 0, 2, 1, 0, 1, 0, 2]);
        assert_eq!(parse(&v4), done(Some("192.0.2.7"), 28));
        for cut in 0..v4.len() {
            assert_eq!(parse(&v4[..cut]), Ok(Header::More), "{cut}");
        }
        let mut six = [0_u8; 36];
        six[15] = 1;
        assert_eq!(parse(&header(0x21, 0x21, &six)), done(Some("::1"), 52));
        assert_eq!(parse(&header(0x20, 0, &[])), done(None, 16));
        assert_eq!(parse(&header(0x11, 0x11, &[0; 12])), Err(NoHeader));
        assert_eq!(parse(&header(0x21, 0x11, &[0; 3])), Err(NoHeader));
        assert_eq!(parse(&header(0x21, 0x11, &[0; 2000])), Err(NoHeader));
    }
}
