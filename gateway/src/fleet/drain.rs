//! Draining: the runs on a drained host finish and no new ones start there, until an operator resumes it.
//!
//! People name hosts by patterns; the ledger keeps, before the drain takes effect, the names that the patterns meant at
//! that moment. A name stays drained over restarts of the gateway and of the agent, and also when another agent takes
//! it over: a drain applies to the host, not to the agent.

use std::collections::BTreeSet;

use longhaul_proto::{
    api::{DrainView, HostView},
    clock::rfc3339,
};

use super::{Fleet, scheduler::Command};
use crate::ledger::DrainRecord;

/// Why a draining host takes no run, in words that begin with its name.
pub(super) fn words(drain: &DrainRecord) -> String {
    let reason = if drain.reason.is_empty() { String::new() } else { format!(": {}", drain.reason) };
    let since = rfc3339(drain.at_ms).unwrap_or_default();
    let (host, by) = (&drain.host, &drain.by);
    format!(
        "agent {host} is draining (by {by} since {since}){reason}; it takes runs again after `longhaul resume {host}`"
    )
}

pub(super) fn view(drain: &DrainRecord) -> DrainView {
    DrainView {
        by: drain.by.clone(),
        at: rfc3339(drain.at_ms).unwrap_or_default(),
        reason: (!drain.reason.is_empty()).then(|| drain.reason.clone()),
    }
}

/// Whether the name matches the pattern of `*` (any characters) and `?` (one character).
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last star stands, and how much of the name it has matched so far.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, took)) => {
                    star = Some((at, took + 1));
                    (p, n) = (at + 1, took + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

impl Fleet {
    /// The hosts that these patterns mean, in the order of names.
    ///
    /// # Errors
    /// The first pattern that means none, with the known names.
    pub(crate) fn meant(&self, patterns: &[String]) -> Result<Vec<String>, (String, Vec<String>)> {
        let names = self.snapshot().names();
        let mut meant = BTreeSet::new();
        for pattern in patterns {
            let fitting: Vec<&String> = names.iter().filter(|name| fits(pattern, name)).collect();
            if fitting.is_empty() {
                return Err((pattern.clone(), names.iter().cloned().collect()));
            }
            meant.extend(fitting.into_iter().cloned());
        }
        Ok(meant.into_iter().collect())
    }

    /// From now on no new run starts on these hosts.
    pub(crate) async fn drain(&self, drains: Vec<DrainRecord>) {
        self.ask(|done| Command::Drain { drains, done }).await;
    }

    /// From now on these hosts take runs again.
    pub(crate) async fn resume(&self, hosts: &[String]) {
        self.ask(|done| Command::Resume { hosts: hosts.to_vec(), done }).await;
    }

    /// Whether a host takes no new runs.
    pub(crate) fn drains(&self, host: &str) -> bool {
        self.snapshot().drains.contains_key(host)
    }

    /// These hosts as they are now.
    pub(crate) async fn hosts_named(&self, names: &[String]) -> Vec<HostView> {
        let (mut hosts, _) = self.views().await;
        hosts.retain(|host| names.contains(&host.name));
        hosts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_names() {
        fn check(pattern: &str, name: &str, want: bool) {
            assert_eq!(fits(pattern, name), want, "{pattern} {name}");
        }
        check("stata1", "stata1", true);
        check("stata1", "stata12", false);
        check("stata1", "stata", false);
        check("stata*", "stata", true);
        check("stata*", "stata12", true);
        check("*1", "stata11", true);
        check("*1", "stata12", false);
        check("s?ata?", "stata9", true);
        check("s?ata?", "stata", false);
        check("*a*b*", "xaxxbx", true);
        check("*a*b*", "xbxa", false);
        check("*", "", true);
        check("?", "", false);
        check("[a-z]", "a", false);
    }

    #[test]
    fn the_words_name_who_and_why() {
        let drain = DrainRecord { host: "s1".into(), by: "ops".into(), reason: "kernel update".into(), at_ms: 1_000 };
        let want = "agent s1 is draining (by ops since 1970-01-01T00:00:01.000Z): kernel update; it takes runs again \
                    after `longhaul resume s1`";
        assert_eq!(words(&drain), want);
        assert!(words(&DrainRecord { reason: String::new(), ..drain }).contains("01.000Z); it takes"));
    }
}
