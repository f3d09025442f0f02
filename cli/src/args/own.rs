//! The command line of `config`, and those that other parsers read.

use clap::{Args, Subcommand};

/// What to do with the configuration file.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Print one with every setting, its meaning and its default, all of it commented out.
    Template,
    /// Read the configuration as a daemon does: name what cannot be used, or list what is set, and where.
    ///
    /// The file is that of --config or the one that would be found; variables count too. Starts nothing.
    Check,
}

/// Words for another program's own parser.
#[derive(Debug, Args)]
pub(crate) struct Rest {
    /// All of them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) words: Vec<std::ffi::OsString>,
}
