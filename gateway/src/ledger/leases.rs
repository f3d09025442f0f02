//! Leases as rows: which seats are taken. A gateway that starts counts them before any agent connects.
//!
//! The steps of a run change its lease in their own transaction ([`super::Transition::lease`]). What is here is for the
//! changes that are no step: Stata has ended and the rest of the output is still being fetched; a run that is recorded
//! as lost came back alive.

use longhaul_proto::ids::RunId;

use super::Answer;
use crate::model::{Attempt, Owner, Placement};

/// The seats that are taken, for those who start and end what occupies them.
pub trait LeaseStore: Send + Sync + 'static {
    /// Records a lease; one that its holder has already is replaced. That of a run is recorded only for its owner;
    /// otherwise it fails ([`super::LedgerError::Lost`]).
    fn take_lease(&self, lease: LeaseRecord, owner: Owner) -> Answer<'_, ()>;
    /// Removes the lease that a run has for this attempt; `false` when it has none, or another owner.
    fn free_lease(&self, run: RunId, attempt: Option<Attempt>, owner: Owner) -> Answer<'_, bool>;
    /// All leases, in the order of their holders. Seats are counted by it, so it is never stale.
    fn leases(&self) -> Answer<'_, Vec<LeaseRecord>>;
}

/// What a step of a run does to its lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeaseChange {
    /// It takes the seat of the attempt that the run has from now on.
    Take,
    /// Nothing.
    #[default]
    Keep,
    /// It gives the seat back, if it still has it.
    Free,
}

/// What can occupy a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HolderKind {
    /// A run, by its id.
    Run,
    /// A console Stata that is kept alive between calls.
    Session,
    /// A place at a batch system that executes run after run.
    Pilot,
}

impl HolderKind {
    const ALL: [Self; 3] = [Self::Run, Self::Session, Self::Pilot];

    /// Its name in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Session => "session",
            Self::Pilot => "pilot",
        }
    }

    /// The kind of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Who has a lease. A holder has one at most.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaseHolder {
    /// Its kind.
    pub kind: HolderKind,
    /// Its name within its kind.
    pub id: String,
}

impl LeaseHolder {
    /// A run.
    pub fn run(run: RunId) -> Self {
        Self { kind: HolderKind::Run, id: run.to_string() }
    }

    /// The run that it is.
    pub fn as_run(&self) -> Option<RunId> {
        self.id.parse().ok().filter(|_| self.kind == HolderKind::Run)
    }
}

/// A lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Who has it.
    pub holder: LeaseHolder,
    /// The attempt of a run for which it was taken.
    pub attempt: Option<Attempt>,
    /// Where the seat is taken.
    pub at: Placement,
    /// Since when, Unix ms.
    pub since_ms: i64,
}
