//! The command line of quotas, and the priority of a run.

use clap::{Args, ValueEnum};
use longhaul_proto::api::Priority;

use super::Ask;

/// `quotas`.
#[derive(Debug, Args)]
pub(crate) struct Quotas {
    /// Those of everybody, and of all groups (operators).
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// How much sooner or later than others a run is to have a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PriorityArg {
    /// After your others.
    Low,
    /// In its turn.
    Normal,
    /// Before your others.
    High,
}

impl From<PriorityArg> for Priority {
    fn from(priority: PriorityArg) -> Self {
        match priority {
            PriorityArg::Low => Self::Low,
            PriorityArg::Normal => Self::Normal,
            PriorityArg::High => Self::High,
        }
    }
}
