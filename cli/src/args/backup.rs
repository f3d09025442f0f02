//! The command lines of backups.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `backup`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Backup {
    /// What to do; without it a backup is made.
    #[command(subcommand)]
    pub(crate) action: Option<BackupAction>,
    /// The folder that is to hold the backups, made if missing; best on another disk.
    #[arg(required = true, value_name = "TO")]
    pub(crate) to: Option<PathBuf>,
    /// Keep so many backups of this gateway there, this one among them, and remove older ones [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep: Option<u32>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to do with backups.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupAction {
    /// Read all of a backup, and name what is damaged or missing. Exit status 4 if anything is.
    Verify {
        /// One backup: a folder `longhaul-…Z`.
        path: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// `restore`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// One backup: a folder `longhaul-…Z`.
    pub(crate) from: PathBuf,
    /// The data folder of the gateway, empty or not there yet.
    #[arg(long, value_name = "DATA")]
    pub(crate) into: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}
