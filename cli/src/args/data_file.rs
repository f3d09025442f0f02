//! The command line of data files.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Ask;

/// `data`.
#[derive(Debug, Args)]
pub(crate) struct Data {
    /// The data file, as its host has it: in the current folder, or relative to a folder of its agent.
    pub(crate) file: String,
    /// What to show [default: describe].
    pub(crate) action: Option<DataActionArg>,
    /// The variables: names, patterns such as `rep*`, ranges `a-b` [default: all].
    #[arg(value_name = "VARS")]
    variables: Vec<String>,
    /// The same as a flag.
    #[arg(long, value_name = "VARS", value_delimiter = ',')]
    vars: Vec<String>,
    /// Only observations that fit, as after Stata's `if`: 'price > 5000 & !missing(rep78)'.
    #[arg(long = "if", value_name = "EXP")]
    pub(crate) condition: Option<String>,
    /// Only these observations, as after Stata's `in`: 1/20, 500, -5/l.
    #[arg(long = "in", value_name = "RANGE", allow_hyphen_values = true)]
    pub(crate) range: Option<String>,
    /// Show numbers instead of their value labels.
    #[arg(long)]
    pub(crate) no_labels: bool,
    /// Most observations [default: 50 in a table, all in a file].
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u32>,
    /// The run that wrote the file, which may be named then as `longhaul files RUN` does, also when it is only kept with the
    /// run.
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// The agent, by name [default: the first that has the file].
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// The observations as CSV.
    #[arg(long, conflicts_with_all = ["parquet", "json"])]
    pub(crate) csv: bool,
    /// The observations as Parquet.
    #[arg(long, requires = "output", conflicts_with = "json")]
    pub(crate) parquet: bool,
    /// The file to write CSV or Parquet into [default: standard output, for CSV].
    #[arg(long, short, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file that is there.
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

impl Data {
    /// All variables that are named, with commas or blanks between.
    pub(crate) fn variables(&self) -> String {
        [self.variables.as_slice(), self.vars.as_slice()].concat().join(" ")
    }
}

/// What to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DataActionArg {
    /// The variables, their types and labels.
    Describe,
    /// Mean, standard deviation and range.
    Summarize,
    /// What values they take, and how often.
    Codebook,
    /// How often the values of one or two variables occur.
    Tabulate,
    /// Observations.
    Rows,
}

impl DataActionArg {
    /// The API's word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Describe => "describe",
            Self::Summarize => "summarize",
            Self::Codebook => "codebook",
            Self::Tabulate => "tabulate",
            Self::Rows => "rows",
        }
    }
}
