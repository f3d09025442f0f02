//! The command line of the audit log.

use clap::{Args, Subcommand};

use super::{Ask, runs::Since};

/// `audit`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Audit {
    /// What to do; without it lines are shown.
    #[command(subcommand)]
    pub(crate) action: Option<AuditAction>,
    /// Only lines written since: a time ago such as 90min or 7d, or a date such as 2026-11-22.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<Since>,
    /// Only what this principal did.
    #[arg(long, value_name = "NAME")]
    pub(crate) principal: Option<String>,
    /// Only lines about this run: its id, or the last 8 or more characters of it.
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// Only events of this kind, such as submit, cancel, answer or refused.
    #[arg(long, value_name = "EVENT")]
    pub(crate) event: Option<String>,
    /// The newest so many lines; of a folder on this machine all by default, of a gateway elsewhere 1000.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditAction {
    /// Check that no line was changed or removed, and name the first that was. Exit status 4 if there is one.
    ///
    /// It reads the data folder (--data DIR, or this user's own), also while its gateway runs.
    Verify {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}
