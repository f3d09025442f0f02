//! The command line of `stata-help`.

use clap::Args;

use super::Ask;

/// `stata-help`.
#[derive(Debug, Args)]
pub(crate) struct StataHelp {
    /// The topic, as after Stata's help command; with --search words of its name or first line.
    #[arg(required = true, value_name = "TOPIC")]
    pub(crate) words: Vec<String>,
    /// Find topics by words.
    #[arg(long)]
    pub(crate) search: bool,
    /// The host whose help files are read [default: any, one with Stata first].
    #[arg(long)]
    pub(crate) host: Option<String>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}
