//! The command line of who is told of the ends of runs.

use clap::{Args, Subcommand};

use super::Ask;

/// `notify`.
#[derive(Debug, Args)]
pub(crate) struct Notify {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: NotifyAction,
}

/// What to do with receivers.
#[derive(Debug, Subcommand)]
pub(crate) enum NotifyAction {
    /// List yours, and what became of the latest messages.
    List {
        #[command(flatten)]
        ask: Ask,
    },
    /// Let one be told of the ends of all your runs, those of AI clients too.
    Add {
        /// `https://HOST/PATH` or `mailto:ADDRESS`, as the gateway's operator allows.
        #[arg(value_name = "URL")]
        address: String,
        #[command(flatten)]
        ask: Ask,
    },
    /// Tell one no more.
    Remove {
        /// Its address, as the list has it.
        #[arg(value_name = "URL")]
        address: String,
        #[command(flatten)]
        ask: Ask,
    },
    /// Print the secret by which your webhooks are signed, once.
    Secret {
        /// Make another and print that; for a day both sign.
        #[arg(long)]
        rotate: bool,
        #[command(flatten)]
        ask: Ask,
    },
    /// Send a test now and say what happened; status 1 when one did not take it.
    Test {
        /// To this one alone.
        #[arg(value_name = "URL")]
        address: Option<String>,
        #[command(flatten)]
        ask: Ask,
    },
}

impl NotifyAction {
    /// Which gateway, and for whom the answer is.
    pub(crate) fn ask(&self) -> &Ask {
        match self {
            Self::List { ask }
            | Self::Add { ask, .. }
            | Self::Remove { ask, .. }
            | Self::Secret { ask, .. }
            | Self::Test { ask, .. } => ask,
        }
    }
}
