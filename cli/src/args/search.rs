//! The command lines of what is asked about many lines or many runs: a search in an output, and the stream of events.

use clap::Args;

use super::{Ask, runs::run_name};

/// `search`.
#[derive(Debug, Args)]
pub(crate) struct Search {
    /// The run.
    #[arg(value_parser = run_name)]
    pub(crate) run: String,
    /// A regular expression; `(?i)` before it ignores case. After `--` it may begin with a dash.
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) pattern: String,
    /// Small letters match capital ones, and the other way round.
    #[arg(long, short)]
    pub(crate) ignore_case: bool,
    /// Lines to show before and behind each match, at most 50.
    #[arg(long, short = 'C', value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=50))]
    pub(crate) context: u64,
    /// Most matches to show.
    #[arg(long, short = 'm', value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: u64,
    /// Only in what Stata printed: commands that it echoed do not count.
    #[arg(long, conflicts_with = "console")]
    pub(crate) no_echo: bool,
    /// In what was printed outside the log: licence errors, shell output.
    #[arg(long)]
    pub(crate) console: bool,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `events`.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Begin behind the event with this id (`id` of an earlier `--json`): all that came since is told first.
    #[arg(long, value_name = "ID")]
    pub(crate) after: Option<String>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}
