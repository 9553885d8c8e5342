//! The PROXY protocol, versions 1 and 2 (haproxy's `proxy-protocol.txt`): who really connects.

use std::net::IpAddr;
use thiserror::Error;

/// Longest header of version 2 that is read: extensions are skipped, up to this much.
const MAX: usize = 1024;
/// Longest line of version 1, its end included (section 2.1).
const LINE: usize = 107;
/// The whole line of a proxy that cannot say who it is for.
const UNKNOWN: &[u8] = b"PROXY UNKNOWN";
/// Version 2, the proxy speaks for itself: whatever family it names has to be ignored.
const LOCAL: u8 = 0x20;
/// Version 2, on behalf of a client.
const PROXY: u8 = 0x21;
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

/// Section 2.1: a line of at most [`LINE`] bytes.
fn version_1(bytes: &[u8]) -> Result<Header, NoHeader> {
    let start = bytes.len().min(6);
    if bytes.get(..start) != b"PROXY ".get(..start) {
        return Err(NoHeader);
    }
    let unknown = |line: &[u8]| line == UNKNOWN || line.starts_with(b"PROXY UNKNOWN ");
    let Some(end) = bytes.windows(2).take(LINE - 1).position(|w| w == b"\r\n") else {
        let broken = bytes.contains(&b'\n') && !unknown(bytes);
        return if broken || bytes.len() >= LINE { Err(NoHeader) } else { Ok(Header::More) };
    };
    let line = bytes.get(..end).unwrap_or_default();
    // whatever such a line says has to be ignored
    let source = if unknown(line) { None } else { Some(client(line)?) };
    Ok(Header::Done { source, len: end + 2 })
}

/// The source of a line that names both ends; each part is as the text demands or the whole is none.
fn client(line: &[u8]) -> Result<IpAddr, NoHeader> {
    let line = std::str::from_utf8(line).map_err(|_| NoHeader)?;
    let parts: Vec<&str> = line.split(' ').collect();
    let ["PROXY", family, source, destination, from, to] = *parts.as_slice() else {
        return Err(NoHeader);
    };
    let [source, destination] = [source, destination].map(str::parse::<IpAddr>);
    let (source, destination) = (source.map_err(|_| NoHeader)?, destination.map_err(|_| NoHeader)?);
    let right = match family {
        "TCP4" => source.is_ipv4() && destination.is_ipv4(),
        "TCP6" => source.is_ipv6() && destination.is_ipv6(),
        _ => false,
    };
    if right && is_port(from) && is_port(to) { Ok(source) } else { Err(NoHeader) }
}

/// A decimal number of 0 to 65535 without heading zeroes.
fn is_port(text: &str) -> bool {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits && (text == "0" || !text.starts_with('0')) && text.parse::<u16>().is_ok()
}

/// Section 2.2.
fn version_2(bytes: &[u8]) -> Result<Header, NoHeader> {
    let [command, family, high, low] =
        *bytes.get(12..16).and_then(|b| b.first_chunk()).ok_or(NoHeader)?;
    let len = 16 + usize::from(u16::from_be_bytes([high, low]));
    // the lengths of both addresses and ports; what comes after them are extensions
    let (local, addresses) = match (command, family) {
        (LOCAL, _) => (true, 0),
        (PROXY, 0x00) => (true, 0),
        (PROXY, 0x11 | 0x12) => (false, 2 * 4 + 2 * 2),
        (PROXY, 0x21 | 0x22) => (false, 2 * 16 + 2 * 2),
        (PROXY, 0x31 | 0x32) => (false, 2 * 108),
        _ => return Err(NoHeader),
    };
    if len > MAX || len < 16 + addresses {
        return Err(NoHeader);
    }
    let Some(rest) = bytes.get(16..len) else { return Ok(Header::More) };
    let source = match family {
        _ if local => None,
        0x11 => rest.first_chunk().map(|octets: &[u8; 4]| IpAddr::from(*octets)),
        0x21 => rest.first_chunk().map(|octets: &[u8; 16]| IpAddr::from(*octets)),
        // combinations that exist but are not ours (UDP, Unix sockets) are as if unspecified
        _ => None,
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
        assert_eq!(parse(b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n"), done(Some("2001:db8::1"), 36));
    }

    #[test]
    fn a_line_that_says_unknown_is_ignored_up_to_its_end() {
        for rest in [&b""[..], b" ", b" TCP4 70000", b" \xff\n\r", b" ffff::1 ffff::2 1 2"] {
            let line = [UNKNOWN, rest, b"\r\n"].concat();
            assert_eq!(parse(&[&line, &b"<"[..]].concat()), done(None, line.len()), "{rest:?}");
        }
        let line = |len: usize| [UNKNOWN, &b" ".repeat(len - UNKNOWN.len() - 2), b"\r\n"].concat();
        assert_eq!(parse(&line(LINE)), done(None, LINE));
        assert_eq!(parse(&line(LINE + 1)), Err(NoHeader));
        assert_eq!(parse(&line(LINE)[..LINE - 1]), Ok(Header::More));
    }

    #[test]
    fn a_line_that_is_not_exactly_as_the_text_demands_is_none() {
        let long = [&b"PROXY TCP4 "[..], &[b'1'; 120]].concat();
        for bad in [
            &b"<?xml"[..],
            b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
            b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
            b"PROXY UNKNOWNS\r\n",
            b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            &long,
        ] {
            assert_eq!(parse(bad), Err(NoHeader), "{}", String::from_utf8_lossy(bad));
        }
        let line = |parts: [&str; 5]| format!("PROXY {}\r\n", parts.join(" "));
        let addresses = [
            ("TCP4", "x"),
            ("TCP4", ""),
            ("TCP4", "01.2.3.4"),
            ("TCP4", "1.2.3"),
            ("TCP4", "1.2.3.256"),
            ("TCP4", "::1"),
            ("TCP4", "+1.2.3.4"),
            ("TCP4", "1.2.3.4 "),
            ("TCP4", "0x1.2.3.4"),
            ("TCP6", "1.2.3.4"),
            ("TCP6", "1::2::3"),
            ("TCP6", "::g"),
            ("TCP6", "fe80::1%1"),
            ("TCP6", "[::1]"),
            ("TCP6", "::00001"),
        ];
        for (family, bad) in addresses {
            let good = if family == "TCP4" { "192.0.2.1" } else { "2001:db8::1" };
            assert!(parse(line([family, good, good, "1", "2"]).as_bytes()).is_ok());
            for both in [[bad, good], [good, bad]] {
                let line = line([family, both[0], both[1], "1", "2"]);
                assert_eq!(parse(line.as_bytes()), Err(NoHeader), "{line}");
            }
        }
        let ports = [
            "70000",
            "65536",
            "-1",
            "+1",
            "01",
            "00",
            "",
            "1.0",
            "0x1",
            "1\t",
            "\u{661}",
            "99999999999",
        ];
        for bad in ports {
            for both in [[bad, "2"], ["1", bad]] {
                let line = line(["TCP4", "1.2.3.4", "1.2.3.4", both[0], both[1]]);
                assert_eq!(parse(line.as_bytes()), Err(NoHeader), "{line}");
            }
        }
    }

    fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let len = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &len, body].concat()
    }

    #[test]
    fn version_2_names_the_client() {
        let v4 = header(0x21, 0x11, &[192, 0, 2, 7, 192, 0, 2, 1, 0, 1, 0, 2]);
        assert_eq!(parse(&v4), done(Some("192.0.2.7"), 28));
        for cut in 0..v4.len() {
            assert_eq!(parse(&v4[..cut]), Ok(Header::More), "{cut}");
        }
        let mut six = [0_u8; 36];
        six[15] = 1;
        assert_eq!(parse(&header(0x21, 0x21, &six)), done(Some("::1"), 52));
        let extended = [&six[..], &[0xe0, 0, 1, 7]].concat();
        assert_eq!(parse(&header(0x21, 0x21, &extended)), done(Some("::1"), 56));
    }

    #[test]
    fn the_proxy_s_own_connections_and_other_families_name_nobody() {
        for family in 0..=0xff {
            // LOCAL: the family and the block are ignored, whatever they are
            for body in [&[][..], &[1; 3], &[1; 300]] {
                assert_eq!(parse(&header(0x20, family, body)), done(None, 16 + body.len()));
            }
            let whole = match family {
                0x00 => 0,
                0x11 | 0x12 => 12,
                0x21 | 0x22 => 36,
                0x31 | 0x32 => 216,
                _ => {
                    assert_eq!(parse(&header(0x21, family, &[1; 300])), Err(NoHeader), "{family}");
                    continue;
                }
            };
            let named = matches!(family, 0x11 | 0x21);
            let Ok(Header::Done { source, len }) = parse(&header(0x21, family, &vec![1; whole]))
            else {
                panic!("{family}")
            };
            assert_eq!((source.is_some(), len), (named, 16 + whole), "{family}");
            // refused before the rest of it has come
            for short in 0..whole {
                let mut start = header(0x21, family, &vec![1; short]);
                assert_eq!(parse(&start), Err(NoHeader), "{family} {short}");
                start.truncate(16);
                assert_eq!(parse(&start), Err(NoHeader), "{family} {short}");
            }
        }
        for command in (0..=0xff).filter(|c| ![LOCAL, PROXY].contains(c)) {
            assert_eq!(parse(&header(command, 0x11, &[1; 12])), Err(NoHeader), "{command}");
        }
        assert_eq!(parse(&header(0x21, 0x11, &[0; MAX])), Err(NoHeader));
        assert!(parse(&header(0x21, 0x11, &[0; MAX - 16])).is_ok());
    }
}
