//! Refused requests, and answers of one kind that clients ask for again and again: bounded, as a flood of them must not fill
//! the disk, nor hide the rest of the log.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use longhaul_proto::ids::RunId;

use super::{Event, Kind};

/// How long refusals of one caller are counted together, ms.
const TOGETHER_MS: i64 = 60_000;

/// Callers told apart within that time; those beyond are counted as one.
const CALLERS: usize = 512;

/// What is counted together: the same status of one address and principal, agents apart from clients; of answers those about
/// one run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Caller {
    status: Option<u64>,
    address: Option<IpAddr>,
    principal: Option<String>,
    agent: bool,
    kind: Kind,
    run: Option<RunId>,
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
        let status = event.detail.get("status").and_then(serde_json::Value::as_u64);
        let agent = event.detail.contains_key("agent");
        let (kind, run) = (event.kind, event.run);
        let (address, principal) = (event.origin.address(), event.principal.clone());
        let mut caller = Caller { status, address, principal, agent, kind, run };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(&caller) && all.len() >= CALLERS {
            caller = Caller { status, address: None, principal: None, agent, kind, run: None };
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
        all.retain(|_, counted| {
            // A clock that was set back ends the wait, too.
            let waits = (0..TOGETHER_MS).contains(&now_ms.saturating_sub(counted.since_ms));
            if waits && !everything {
                return true;
            }
            if counted.more > 0 {
                let latest = counted.latest.clone();
                let seconds = now_ms.saturating_sub(counted.since_ms).max(0) / 1000;
                due.push(latest.with("times", counted.more).with("within_seconds", seconds));
            }
            false
        });
        let next = all.values().map(|counted| counted.since_ms.saturating_add(TOGETHER_MS)).min();
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
        assert_eq!(refusals.due(60_000, true).0.len(), 1);
    }
}
