//! Which connections of a listener are open, and which of them have not proved who they are.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv6Addr},
};

use tokio_util::sync::CancellationToken;

#[derive(Debug, Default)]
pub(super) struct Register {
    pub(super) all: usize,
    pub(super) next: u64,
    /// The unproven ones, oldest first.
    pub(super) unproven: BTreeMap<u64, Unproven>,
    pub(super) by_address: HashMap<IpAddr, BTreeSet<u64>>,
    pub(super) by_principal: HashMap<String, usize>,
}

#[derive(Debug)]
pub(super) struct Unproven {
    pub(super) address: Option<IpAddr>,
    /// It has sent a request head already.
    pub(super) sent_head: bool,
    pub(super) displace: CancellationToken,
}

impl Register {
    /// The oldest of these that has not even sent a request head, else the oldest.
    pub(super) fn oldest(&self, of: impl Iterator<Item = u64> + Clone) -> Option<u64> {
        let mut all = of.clone();
        let silent = of.into_iter().find(|id| self.unproven.get(id).is_some_and(|c| !c.sent_head));
        silent.or_else(|| all.next())
    }

    /// Takes one out of the unproven ones.
    pub(super) fn proved(&mut self, id: u64) -> Option<Unproven> {
        let gone = self.unproven.remove(&id)?;
        if let Some(address) = gone.address
            && let Some(of) = self.by_address.get_mut(&address)
        {
            of.remove(&id);
            if of.is_empty() {
                self.by_address.remove(&address);
            }
        }
        Some(gone)
    }
}

/// The subscriber behind an address: an IPv6 subscriber has a whole /64.
pub(super) fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}
