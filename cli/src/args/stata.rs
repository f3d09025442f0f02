//! The command line of `stata`.

use clap::Args;

use crate::config::Url;

/// `stata`.
#[derive(Debug, Args)]
pub(crate) struct Stata {
    /// Exit with the status that tells the run's end, as `run` does.
    #[arg(long)]
    pub(crate) strict: bool,
    /// A person has agreed to the risky commands, where a host asks for that (`--confirm` of its agent).
    #[arg(long)]
    pub(crate) confirm: bool,
    /// The gateway [default: the daemon that holds the data folder, else one inside this process].
    #[arg(long, value_name = "URL")]
    pub(crate) gateway: Option<Url>,
    /// As for Stata: `-b`, `-e`, `-s`, `-q`, then `do FILE ARGS` or `FILE ARGS`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "-b do FILE ARGS")]
    pub(crate) words: Vec<String>,
}
