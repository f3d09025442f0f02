//! What is kept of a run besides its record and output.

use std::path::PathBuf;

use clap::Args;

use super::{Ask, runs::run_name};

/// `do-files`.
#[derive(Debug, Args)]
pub(crate) struct DoFiles {
    /// The run.
    #[arg(value_parser = run_name)]
    pub(crate) run: String,
    /// Write them into this folder, which is made, under their order and name, such as `02-clean.do`.
    #[arg(long, value_name = "DIR", conflicts_with = "print")]
    pub(crate) to: Option<PathBuf>,
    /// Print the bytes of one: its number in the list, its name, its path or the beginning of its SHA-256.
    #[arg(long, value_name = "WHICH")]
    pub(crate) print: Option<String>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `files`.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// The run.
    #[arg(value_parser = run_name)]
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `get`.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The run.
    #[arg(value_parser = run_name)]
    pub(crate) run: String,
    /// The files, as `longhaul files` names them; all by default.
    pub(crate) names: Vec<String>,
    /// Write them into this folder, which is made; the current one by default.
    #[arg(short, long = "output", value_name = "DIR", default_value = ".")]
    pub(crate) output: PathBuf,
    /// Replace files that are there with other content, and fetch files as they are now that were written to after the run's
    /// end.
    #[arg(long)]
    pub(crate) force: bool,
    /// Write SMCL as the text that Stata shows, x.smcl to x.smcl.txt; other files as they are.
    #[arg(long)]
    pub(crate) text: bool,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `results`.
#[derive(Debug, Args)]
pub(crate) struct Results {
    /// The run.
    #[arg(value_parser = run_name)]
    pub(crate) run: String,
    /// One of them in full, such as `e(V)`, `r(mean)` or `coefficients`; without this all, matrices by name.
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}
