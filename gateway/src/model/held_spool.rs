//! What agents keep of ended runs.

use longhaul_proto::state::RunState;
use serde::{Deserialize, Serialize};

use super::{OutputLengths, Record};

/// What an agent recorded of an ended attempt whose spool it keeps: when it is repeated to the agent, the agent deletes
/// the spool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeldSpool {
    /// The agent.
    pub agent_id: String,
    /// The attempt.
    pub attempt: u32,
    /// Bytes of the log.
    pub log_len: u64,
    /// Their SHA-256, hex.
    pub log_sha256: String,
    /// Bytes of the console.
    pub console_len: u64,
    /// Their SHA-256, hex.
    pub console_sha256: String,
}

/// What is remembered of a run whose record was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Removed {
    /// What agents may still keep of it.
    pub kept: Vec<HeldSpool>,
    /// The agents that were given an attempt; empty in what earlier versions noted.
    pub agents: Vec<String>,
}

impl Record {
    /// What an agent recorded of the last attempt that may have left anything; `None` if that is not known.
    pub fn kept(&self) -> Option<HeldSpool> {
        let end = &self.detail.end;
        let (last, before) = self.detail.attempts.split_last()?;
        if last.death.is_some() {
            return Some(last.kept());
        }
        // A lost attempt may have printed anything: nothing is known of it.
        let never_started = self.state != RunState::Lost && last.recorded.is_none() && last.log_sha256.is_empty();
        if let Some(dead) = before.last().filter(|_| never_started) {
            return Some(dead.kept());
        }
        let of_mirror = OutputLengths {
            log: end.output.log.saturating_sub(last.base.log),
            console: end.output.console.saturating_sub(last.base.console),
        };
        let lengths = last.recorded.or_else(|| end.complete.then_some(of_mirror))?;
        Some(last.held_spool(lengths))
    }

    /// What is to be remembered when this record is removed; `None` = the run was never given to an agent.
    pub fn removed(&self) -> Option<Removed> {
        let dead = || self.detail.dead();
        let last = self.kept().filter(|last| dead().all(|dead| dead.number.number() != last.attempt));
        let kept = dead().map(super::AttemptRecord::kept).chain(last).collect();
        let agents = dead().map(|dead| dead.at.agent_id.clone()).chain([self.agent_id().to_owned()]).collect();
        self.attempt().map(|_| Removed { kept, agents })
    }
}
