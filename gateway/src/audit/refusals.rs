//! Refused requests, and answers of one kind that clients ask for again and again: bounded, as a flood of them must not fill
//! the disk, nor hide the rest of the log. What has no line of its own is counted, by the address that it came from, and the
//! number has a line when the time is over.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use longhaul_proto::{faults, ids::RunId};
use serde_json::Value;

use super::{Event, Kind};

/// How long refusals of one caller are counted together, ms.
const TOGETHER_MS: i64 = 60_000;

/// The same for an agent that cannot join: it tries again and again.
const JOINS_TOGETHER_MS: i64 = 3_600_000;

/// Callers told apart within that time, and as many agents that cannot join; those beyond are counted as one.
const CALLERS: usize = 512;

/// Agents that cannot join, or reasons for it, that are told apart for one address.
const JOINS: usize = 16;

/// What is counted together: the same status of one address and principal, agents apart from clients; of answers those about
/// one run; of agents that cannot join the same agent and reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Caller {
    status: Option<u64>,
    address: Option<IpAddr>,
    principal: Option<String>,
    agent: bool,
    kind: Kind,
    run: Option<RunId>,
    join: Option<(String, String)>,
    /// It stands for several that are not told apart.
    several: bool,
}

impl Caller {
    fn of(event: &Event) -> Self {
        let text = |name: &str| event.detail.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let kind = event.kind;
        Self {
            status: event.detail.get("status").and_then(Value::as_u64),
            address: event.origin.address().map(network).filter(|_| !faults::bug("addresses_share_room")),
            principal: event.principal.clone(),
            agent: event.detail.contains_key("agent"),
            kind,
            run: event.run,
            join: (kind == Kind::AgentRefused).then(|| (text("agent"), text("why"))),
            several: false,
        }
    }

    fn joins(&self) -> bool {
        self.kind == Kind::AgentRefused
    }

    fn together_ms(&self) -> i64 {
        if self.joins() { JOINS_TOGETHER_MS } else { TOGETHER_MS }
    }

    /// The others from its address, or all others.
    fn with_others(self, of_address: bool) -> Self {
        let address = self.address.filter(|_| of_address);
        Self { address, principal: None, run: None, join: None, several: true, ..self }
    }
}

/// What one host may have many of counts as one address: a network of 64 bits in IPv6 (RFC 4291, section 2.5.4).
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

struct Counted {
    since_ms: i64,
    /// Beyond the first.
    more: u64,
    latest: Event,
}

/// The refusals that have no line yet. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Refusals(Arc<Mutex<HashMap<Caller, Counted>>>);

impl Refusals {
    /// The event, if it is the first of its caller; others are counted.
    pub(super) fn first(&self, event: Event, now_ms: i64) -> Option<Event> {
        let mut caller = Caller::of(&event);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(&caller) && caller.joins() {
            let same = |known: &&Caller| known.joins() && known.address == caller.address && !known.several;
            if all.keys().filter(same).count() >= JOINS {
                caller = caller.with_others(true);
            }
        }
        let alike = |known: &&Caller| known.joins() == caller.joins();
        if !all.contains_key(&caller) && all.keys().filter(alike).count() >= CALLERS {
            caller = caller.with_others(false);
        }
        if let Some(counted) = all.get_mut(&caller) {
            counted.more += 1;
            counted.latest = event;
            return None;
        }
        all.insert(caller, Counted { since_ms: now_ms, more: 0, latest: event.clone() });
        Some(event)
    }

    /// One event for each caller whose time is over (of all with `all`), and when the next one's is, Unix ms.
    pub(super) fn due(&self, now_ms: i64, everything: bool) -> (Vec<Event>, Option<i64>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        all.retain(|caller, counted| {
            // A clock that was set back ends the wait, too.
            let waits = (0..caller.together_ms()).contains(&now_ms.saturating_sub(counted.since_ms));
            if waits && !everything {
                return true;
            }
            if counted.more > 0 {
                let latest = counted.latest.clone();
                let seconds = now_ms.saturating_sub(counted.since_ms).max(0) / 1000;
                // Of several only the latest is in the line.
                let name = if caller.several { "suppressed" } else { "times" };
                due.push(latest.with(name, counted.more).with("within_seconds", seconds));
            }
            false
        });
        let next = all.iter().map(|(caller, counted)| counted.since_ms.saturating_add(caller.together_ms())).min();
        (due, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RequestOrigin;

    fn refused(last: u32) -> Event {
        let address = IpAddr::from((0x0a00_0000 + last).to_be_bytes());
        Event::from(Kind::Refused, RequestOrigin::new(Some(address), "r".into(), None)).with("status", 401)
    }

    #[test]
    fn a_flood_is_two_lines_a_minute() {
        let refusals = Refusals::default();
        assert!(refusals.first(refused(1), 0).is_some());
        for at in 1..1000 {
            assert!(refusals.first(refused(1), at).is_none());
        }
        assert!(refusals.first(refused(2), 1000).is_some(), "another address");
        let (due, next) = refusals.due(2_000, false);
        assert!(due.is_empty() && next == Some(60_000));
        let (due, next) = refusals.due(60_000, false);
        assert_eq!((due.len(), due[0].detail["times"].as_u64(), next), (1, Some(999), Some(61_000)));
        assert_eq!(refusals.due(70_000, false).0.len(), 0, "one alone has its line already");
    }

    #[test]
    fn many_addresses_are_bounded() {
        let refusals = Refusals::default();
        let lines = (0..10_000).filter(|n| refusals.first(refused(*n), 0).is_some()).count();
        assert_eq!(lines, CALLERS + 1);
        let due = refusals.due(60_000, true).0;
        assert_eq!((due.len(), due[0].detail["suppressed"].as_u64()), (1, Some(10_000 - CALLERS as u64 - 1)));
    }

    fn joins(address: &str, agent: usize) -> Event {
        let event = Event::from(Kind::AgentRefused, RequestOrigin::new(address.parse().ok(), String::new(), None));
        event.with("agent", format!("a{agent}")).with("why", "it was not invited")
    }

    #[test]
    fn who_has_many_agents_refused_takes_no_room_of_others_and_nothing_is_silent() {
        let refusals = Refusals::default();
        // One host with a whole network of its own.
        let host = |n: usize| format!("2001:db8::{n:x}");
        let lines = (0..5000).filter(|n| refusals.first(joins(&host(*n), *n), 0).is_some()).count();
        assert_eq!(lines, JOINS + 1);
        assert!(refusals.first(joins("10.0.0.9", 0), 1).is_some(), "another address");
        assert!(refusals.first(joins("10.0.0.9", 0), 2).is_none() && refusals.first(refused(9), 2).is_some());
        let (due, _) = refusals.due(JOINS_TOGETHER_MS, false);
        let suppressed: Vec<_> = due.iter().filter_map(|event| event.detail.get("suppressed")?.as_u64()).collect();
        assert_eq!(suppressed, [5000 - JOINS as u64 - 1]);
        let (due, _) = refusals.due(JOINS_TOGETHER_MS + 1, false);
        assert_eq!((due.len(), due[0].detail["times"].as_u64()), (1, Some(1)));

        let _bug = faults::enter("bug=addresses_share_room");
        let refusals = Refusals::default();
        (0..5000).for_each(|n| drop(refusals.first(joins(&host(n), n), 0)));
        assert!(refusals.first(joins("10.0.0.9", 0), 1).is_none(), "the control");
    }
}
