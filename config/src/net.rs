//! Addresses to listen on, and networks.

use crate::{
    raw::{Raw, quoted},
    value::{Unlimited, Value, Wrong},
};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// A value that is written as a text.
fn parsed<T: Value + FromStr>(raw: &Raw, wrong: &mut Vec<Wrong>) -> Option<T> {
    let read = raw.text().and_then(|text| text.trim().parse().ok());
    if read.is_none() {
        wrong.push(Wrong::kind::<T>(raw));
    }
    read
}

/// `":5222"` is every address of the machine, as `"[::]:5222"`; port 0 lets the system choose one.
impl Value for SocketAddr {
    type Measure = Unlimited;
    fn kind() -> String {
        "address with a port".into()
    }
    fn example() -> String {
        "\"0.0.0.0:5222\"".into()
    }
    fn read(raw: &Raw, wrong: &mut Vec<Wrong>) -> Option<Self> {
        let text = raw.text().unwrap_or_default().trim();
        let any = || text.strip_prefix(':')?.parse::<u16>().ok();
        let any = any().map(|port| Self::from((Ipv6Addr::UNSPECIFIED, port)));
        let read = any.or_else(|| text.parse().ok());
        if read.is_none() {
            let fix = "write an IP address and a port, like \"0.0.0.0:5222\", \"[::]:5222\" or, \
                       for every address, \":5222\"";
            wrong.push(Wrong::new(raw, format!("{} is no address with a port", raw.shown()), fix));
        }
        read
    }
    fn toml(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl Value for IpAddr {
    type Measure = Unlimited;
    fn kind() -> String {
        "IP address".into()
    }
    fn example() -> String {
        "\"192.0.2.1\"".into()
    }
    fn read(raw: &Raw, wrong: &mut Vec<Wrong>) -> Option<Self> {
        parsed(raw, wrong)
    }
    fn toml(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

/// A network of addresses: "10.0.0.0/8", "2001:db8::/32", or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether an address is in the network. An IPv4 address that came in over an IPv6 socket
    /// (::ffff:192.0.2.1) counts as the IPv4 address it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(a)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                u32::from(net) & mask == u32::from(a) & mask
            }
            (IpAddr::V6(net), IpAddr::V6(a)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                u128::from(net) & mask == u128::from(a) & mask
            }
            _ => false,
        }
    }
}

/// The text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANetwork;

impl fmt::Display for NotANetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no network")
    }
}

impl std::error::Error for NotANetwork {}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(p) if p.bytes().all(|b| b.is_ascii_digit()) => {
                p.parse().map_err(|_| NotANetwork)?
            }
            Some(_) => return Err(NotANetwork),
            None => bits,
        };
        if prefix > bits { Err(NotANetwork) } else { Ok(Self { address, prefix }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Value for Network {
    type Measure = Unlimited;
    fn kind() -> String {
        "network".into()
    }
    fn example() -> String {
        "\"10.0.0.0/8\"".into()
    }
    fn read(raw: &Raw, wrong: &mut Vec<Wrong>) -> Option<Self> {
        parsed(raw, wrong)
    }
    fn toml(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let cases = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("0.0.0.0/0", "255.1.1.1", true),
            ("0.0.0.0/0", "::1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("::/0", "2001:db9::", true),
        ];
        for (net, address, expected) in cases {
            let net: Network = net.parse().unwrap();
            assert_eq!(net.contains(address.parse().unwrap()), expected, "{net} {address}");
        }
    }

    #[test]
    fn no_networks() {
        for text in ["", "/8", "10.0.0.0/33", "::/129", "10/8", "10.0.0.0/+8", "10.0.0.0/", "a/8"] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork), "{text}");
        }
    }
}
