//! Refusals of agents in the log for people: each once, as who is refused tries again and again, and not more of one address
//! than leave room for others. The audit log counts all of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use crate::audit::network;

/// Addresses that are told apart in [`AGAIN`]; of those beyond nothing is logged.
const ADDRESSES: usize = 256;
/// Refusals of one address.
const WORDS: usize = 16;
/// After this time a refusal is logged again.
const AGAIN: Duration = Duration::from_secs(3600);

/// The refusals that were logged.
#[derive(Debug, Default)]
pub(super) struct Noted {
    words: BTreeMap<Option<IpAddr>, BTreeSet<String>>,
    /// Refusals that there was no room for.
    silent: u64,
    /// From when on, by the monotonic clock.
    since: Duration,
}

/// What to log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ToLog {
    /// The refusal.
    pub(super) it: bool,
    /// So many of the time before were not logged.
    pub(super) silent: u64,
}

impl Noted {
    /// Takes a refusal in, at this moment of the monotonic clock.
    pub(super) fn note(&mut self, address: Option<IpAddr>, words: &str, now: Duration) -> ToLog {
        let mut silent = 0;
        if now.saturating_sub(self.since) >= AGAIN {
            silent = std::mem::replace(self, Self { since: now, ..Self::default() }).silent;
        }
        let address = address.map(network);
        let room = self.words.contains_key(&address) || self.words.len() < ADDRESSES;
        let known = room.then(|| self.words.entry(address).or_default());
        let it = match known {
            Some(known) if known.contains(words) => return ToLog { it: false, silent },
            Some(known) if known.len() < WORDS => known.insert(words.to_owned()),
            _ => false,
        };
        self.silent += u64::from(!it);
        ToLog { it, silent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_takes_no_room_of_another_and_what_is_left_out_is_counted() {
        let (mut noted, at) = (Noted::default(), Duration::from_secs);
        let [a, b] = [1, 2].map(|last| Some(IpAddr::from([10, 0, 0, last])));
        let logged = (0..1000).filter(|n| noted.note(a, &n.to_string(), at(1)).it).count();
        assert_eq!(logged, WORDS);
        assert!(noted.note(b, "x", at(2)).it && !noted.note(b, "x", at(3)).it);
        let silent = 1000 - WORDS as u64;
        assert_eq!(noted.note(a, "0", at(3600)), ToLog { it: true, silent });
        // One host with a whole network of its own is one address.
        let of_network = |n: u16| Some(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]));
        let logged = (0..1000).filter(|n| noted.note(of_network(*n), &n.to_string(), at(3600)).it).count();
        assert_eq!(logged, WORDS);
        for n in 0..1000_u32 {
            noted.note(Some(IpAddr::from(n.to_be_bytes())), "x", at(3601));
        }
        assert_eq!(noted.words.len(), ADDRESSES);
    }
}
