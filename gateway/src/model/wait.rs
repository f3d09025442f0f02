//! Why an unfinished run does not go on at this moment.

use std::borrow::Cow;

use super::{Contact, QueueReason};

/// Why an unfinished run does not go on at this moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Wait {
    /// It waits in the queue.
    Queued(QueueReason),
    /// It is unverified, and is given to no agent until an operator adopts it.
    Unverified,
    /// The restore guard holds it back.
    Restored,
    /// A step of it cannot be recorded.
    LedgerFails,
    /// Its agent has it, and waits to begin: for what, in words.
    AtAgent(String),
    /// Its agent cannot be asked whether the attempt began.
    Unclear(Contact),
}

impl Wait {
    /// The same for those who may see all runs.
    pub fn told_to_all_seeing(&self) -> Cow<'_, str> {
        match self {
            Self::Queued(reason) => reason.told(true).into(),
            other => other.words(),
        }
    }

    /// In words, for the run's owner.
    pub fn words(&self) -> Cow<'_, str> {
        match self {
            Self::Queued(reason) => reason.told(false).into(),
            Self::Unverified => UNVERIFIED.into(),
            Self::Restored => RESTORED.into(),
            Self::LedgerFails => "the gateway cannot write its ledger; see its log".into(),
            Self::AtAgent(words) => words.as_str().into(),
            Self::Unclear(contact) => format!("{}; whether the run began there is not known yet", contact.words).into(),
        }
    }
}

const UNVERIFIED: &str = "not verified: an agent brought it, and this gateway's seal is not on it. It goes on when an operator \
                          adopts it (`longhaul runs adopt`)";

const RESTORED: &str = "held back: the ledger is an older copy, and this run may have been executed since. It goes on by itself \
                        when the agent that has it returns; if you know that it was not executed, cancel it and submit it again";
