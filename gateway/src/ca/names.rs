//! The names and addresses that this gateway's own certificate is for.

use std::{
    fs,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use rcgen::SanType;

/// Where Linux lists its IPv4 addresses, and its IPv6 addresses.
const LISTS: [&str; 2] = ["/proc/net/fib_trie", "/proc/net/if_inet6"];

/// See the module.
#[derive(Debug)]
pub(super) struct Names {
    own: Vec<String>,
    any_address: bool,
}

impl Names {
    /// Those under which the gateway answers; where it listens on all addresses, those of this machine too.
    pub(super) fn new(listen: SocketAddr, own: &[String]) -> Self {
        Self { own: own.to_vec(), any_address: listen.ip().is_unspecified() }
    }

    /// As they are now: a machine gets addresses and loses them. Sorted.
    pub(super) fn now(&self) -> Vec<String> {
        let mut names = self.own.clone();
        if self.any_address {
            let [v4, v6] = LISTS.map(|list| fs::read_to_string(list).unwrap_or_default());
            names.extend(v4_addresses(&v4).chain(v6_addresses(&v6)).map(|address| address.to_string()));
        }
        names.sort();
        names.dedup();
        names
    }
}

/// In the form of a certificate; what is neither a name nor an address is left out.
pub(super) fn alternative(names: &[String]) -> Vec<SanType> {
    let form = |name: &String| match name.parse::<IpAddr>() {
        Ok(address) => Some(SanType::IpAddress(address)),
        Err(_) => name.as_str().try_into().ok().map(SanType::DnsName),
    };
    names.iter().filter_map(form).collect()
}

/// The addresses before each `/32 host LOCAL`.
fn v4_addresses(fib_trie: &str) -> impl Iterator<Item = IpAddr> + '_ {
    let mut last = None;
    fib_trie.lines().filter_map(move |line| {
        if let Some((_, address)) = line.split_once("|-- ") {
            last = address.trim().parse::<IpAddr>().ok();
            return None;
        }
        last.filter(|_| line.trim() == "/32 host LOCAL")
    })
}

/// The address is 32 hexadecimal digits at the start of each line. Those of one link need a zone, which no URL has.
fn v6_addresses(if_inet6: &str) -> impl Iterator<Item = IpAddr> + '_ {
    let address = |line: &str| u128::from_str_radix(line.split_whitespace().next()?, 16).ok().map(Ipv6Addr::from);
    if_inet6.lines().filter_map(address).filter(|address| !address.is_unicast_link_local()).map(IpAddr::V6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_lists_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 192.0.2.2\n        \
                    /32 host LOCAL\nLocal:\n     |-- 192.0.2.2\n        /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link \
                    BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        let found: Vec<String> = v4_addresses(trie).map(|a| a.to_string()).collect();
        assert_eq!(found, ["192.0.2.2", "192.0.2.2", "127.0.0.1"]);
        let list = "fd000000000000000000000000000002 02 40 00 82     eth0\nfe8000000000000000fc00fffe000001 02 40 20 80     eth0\n";
        let found: Vec<String> = v6_addresses(list).map(|a| a.to_string()).collect();
        assert_eq!(found, ["fd00::2"]);
    }

    #[test]
    fn only_names_and_addresses_are_certified() {
        let names = ["gw.lab", "192.0.2.2", "fd00::2", "größe.lab"].map(str::to_owned);
        let found = alternative(&names);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(matches!(&found[0], SanType::DnsName(name) if name.as_str() == "gw.lab"));
        assert!(matches!(found[2], SanType::IpAddress(IpAddr::V6(_))));
    }

    #[test]
    fn addresses_of_the_machine_count_where_all_are_listened_on() {
        let own = ["localhost".to_owned()];
        assert_eq!(Names::new("10.0.0.5:1".parse().unwrap(), &own).now(), ["localhost"]);
        let all = Names::new("0.0.0.0:1".parse().unwrap(), &own).now();
        assert!(all.contains(&"localhost".to_owned()));
        assert!(cfg!(not(target_os = "linux")) || all.contains(&"127.0.0.1".to_owned()), "{all:?}");
    }
}
