//! The client's address of a request, where proxies stand before the gateway.
//!
//! Any client can write such a header. It is read only on connections from a configured proxy, and there from the
//! right: each proxy appends the address that it saw, so the first address that is none of our proxies' is the
//! client's, and everything left of it is the client's own claim.

use std::{fmt, net::IpAddr, str::FromStr};

use http::{HeaderMap, header::FORWARDED};

/// The other header, which more proxies write.
const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// An address, or a network of them: `10.0.0.7`, `10.0.0.0/8`, `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// The text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address: give one such as 10.0.0.7, or a network such as 10.0.0.0/8")]
pub struct NotANetwork(String);

impl FromStr for Network {
    type Err = NotANetwork;
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let wrong = || NotANetwork(text.to_owned());
        let (address, bits) = match text.trim().split_once('/') {
            None => (text.trim(), None),
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(whole);
        if bits > whole { Err(wrong()) } else { Ok(Self { address, bits }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Network {
    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |a: u128, b: u128, width: u8| (a ^ b).checked_shr((width - self.bits).into()).unwrap_or(0) == 0;
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

/// Whether the address is one of these proxies.
pub fn trusts(proxies: &[Network], address: IpAddr) -> bool {
    proxies.iter().any(|p| p.contains(address))
}

/// The client of a request that came through these proxies: the rightmost address that is none of theirs. `None` when
/// the header names no such address.
pub fn client(proxies: &[Network], headers: &HeaderMap) -> Option<IpAddr> {
    let lines = |name: &str| headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect::<Vec<_>>().join(",");
    let forwarded = lines(FORWARDED.as_str());
    let hops: Vec<Option<IpAddr>> = if forwarded.trim().is_empty() {
        lines(X_FORWARDED_FOR).split(',').map(address).collect()
    } else {
        forwarded.split(',').map(of_element).collect()
    };
    // Our proxies write only what can be read, so trust ends here.
    hops.into_iter().rev().find(|hop| hop.is_none_or(|a| !trusts(proxies, a))).flatten()
}

/// `for=192.0.2.1;proto=http`.
fn of_element(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for")).and_then(|(_, value)| address(value))
}

/// An address as proxies write it: also quoted, bracketed, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']')?.0.parse().ok();
    }
    text.parse().ok().or_else(|| text.rsplit_once(':')?.0.parse::<std::net::Ipv4Addr>().ok().map(IpAddr::V4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let check = |network: &str, address: &str, want: bool| {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), want, "{network} {address}");
        };
        check("10.0.0.7", "10.0.0.7", true);
        check("10.0.0.7", "10.0.0.8", false);
        check("10.0.0.0/8", "10.200.3.4", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("10.0.0.0/8", "::ffff:10.1.2.3", true);
        check("0.0.0.0/0", "192.0.2.1", true);
        check("fd00::/8", "fd12::1", true);
        check("fd00::/8", "10.0.0.1", false);
        for bad in ["", "localhost", "10.0.0.0/33", "10.0.0.0/x", "10.0.0/8"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy() {
        let proxies: Vec<Network> = ["10.0.0.0/8", "fd00::/8"].iter().map(|n| n.parse().unwrap()).collect();
        let check = |headers: &[(&'static str, &str)], want: Option<&str>| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, value.parse().unwrap());
            }
            assert_eq!(client(&proxies, &map), want.map(|a| a.parse().unwrap()), "{headers:?}");
        };
        check(&[("x-forwarded-for", "192.0.2.1")], Some("192.0.2.1"));
        check(&[("x-forwarded-for", "6.6.6.6, 192.0.2.1, 10.0.0.2")], Some("192.0.2.1"));
        check(&[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "192.0.2.1:4711")], Some("192.0.2.1"));
        check(&[("x-forwarded-for", "6.6.6.6, nonsense, 10.0.0.2")], None);
        check(&[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], None);
        check(&[("forwarded", "for=6.6.6.6, for=\"[2001:db8::1]:47\";proto=http, for=10.0.0.2")], Some("2001:db8::1"));
        check(&[("forwarded", "proto=http;For=192.0.2.1"), ("x-forwarded-for", "6.6.6.6")], Some("192.0.2.1"));
        check(&[], None);
    }
}
