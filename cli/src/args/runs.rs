//! The command line of runs: started, followed, shown, listed, ended.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use longhaul_proto::{
    api::{CancelMode, Retry},
    state::RunState,
};

use super::Ask;
use crate::config::{Engine, Time, pair};

/// `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The do-file.
    pub(crate) file: PathBuf,
    /// Its arguments; put `--` before those that begin with a dash.
    pub(crate) args: Vec<String>,
    #[command(flatten)]
    pub(crate) ask: Ask,
    /// Insist on an engine.
    #[arg(long, value_name = "ENGINE")]
    pub(crate) engine: Option<Engine>,
    /// Folder where the code runs [default: the do-file's].
    #[arg(long, value_name = "DIR")]
    pub(crate) working_dir: Option<PathBuf>,
    /// Send this folder along (at most 2 GiB); FILE lies in it.
    #[arg(long, value_name = "DIR")]
    pub(crate) with: Option<PathBuf>,
    /// Limit on running, such as 90, 15min, 2h [default: none].
    #[arg(long, value_name = "D")]
    pub(crate) timeout: Option<Time>,
    /// Limit on waiting for its turn [default: none].
    #[arg(long, value_name = "D")]
    pub(crate) queue_timeout: Option<Time>,
    /// The agent to run on, by name.
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// A label that the agent must carry; may be repeated.
    #[arg(long, value_name = "K=V", value_parser = pair)]
    pub(crate) label: Vec<(String, String)>,
    /// Let a profile.do in the working directory run.
    #[arg(long)]
    pub(crate) project_profile: bool,
    /// Run it even though an equal run is unfinished or just ended.
    #[arg(long)]
    pub(crate) again: bool,
    /// When another attempt may be made: never, when it never began, or also when its host or Stata was killed.
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(crate) retry: Option<RetryArg>,
    /// Print the id and leave; the run goes on.
    #[arg(long)]
    pub(crate) detach: bool,
    /// On a terminal too: the bytes as Stata wrote them, control characters and all.
    #[arg(long)]
    pub(crate) raw: bool,
}

/// When another attempt may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RetryArg {
    /// One attempt, even when it never began.
    Never,
    /// When it is proved that the attempt never began.
    IfNotStarted,
    /// Also when it died by its host's restart or by a signal that nobody here sent.
    IfProvenDead,
}

impl From<RetryArg> for Retry {
    fn from(retry: RetryArg) -> Self {
        match retry {
            RetryArg::Never => Self::Never,
            RetryArg::IfNotStarted => Self::IfNotStarted,
            RetryArg::IfProvenDead => Self::IfProvenDead,
        }
    }
}

/// `wait`.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// The run.
    pub(crate) run: String,
    /// Stop waiting after this time, with status 6 [default: never].
    #[arg(long, value_name = "D")]
    pub(crate) timeout: Option<Time>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `log`.
#[derive(Debug, Args)]
pub(crate) struct Log {
    /// The run.
    pub(crate) run: String,
    /// Go on to the run's end.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only the last N lines.
    #[arg(long, value_name = "N")]
    pub(crate) tail: Option<usize>,
    /// What was printed outside the log: licence errors, shell output.
    #[arg(long)]
    pub(crate) console: bool,
    /// On a terminal too: the bytes as Stata wrote them, control characters and all.
    #[arg(long)]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The run.
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `do-files`.
#[derive(Debug, Args)]
pub(crate) struct DoFiles {
    /// The run.
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

/// `cancel`.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// The run.
    pub(crate) run: String,
    /// How hard: break (then terminate after 10 s, kill after 5 s more), terminate, kill.
    #[arg(long, value_enum, default_value = "break")]
    pub(crate) mode: Mode,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// How hard to end a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// As Ctrl-C does it.
    #[default]
    Break,
    /// From SIGTERM on.
    Terminate,
    /// SIGKILL at once.
    Kill,
}

impl From<Mode> for CancelMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Break => Self::Break,
            Mode::Terminate => Self::Terminate,
            Mode::Kill => Self::Kill,
        }
    }
}

/// `runs`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Runs {
    /// What else to do with them.
    #[command(subcommand)]
    pub(crate) action: Option<RunsAction>,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
    /// Only those in this state.
    #[arg(long, value_parser = |word: &str| word.parse::<RunState>().map_err(|_| states()))]
    pub(crate) state: Option<RunState>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// What else to do with runs.
#[derive(Debug, Subcommand)]
pub(crate) enum RunsAction {
    /// Make unverified runs their principals' (operators).
    ///
    /// An unverified run was brought by an agent without this gateway's seal: from before an upgrade or a lost data folder, or
    /// invented. Operators alone see it, until one of them adopts it; look at what it is first.
    Adopt {
        /// The run.
        #[arg(required_unless_present = "all_from")]
        run: Option<String>,
        /// All unverified runs that came from this host.
        #[arg(long, value_name = "HOST", conflicts_with = "run")]
        all_from: Option<String>,
        #[command(flatten)]
        ask: Ask,
    },
}

fn states() -> String {
    format!("the states are {}", RunState::ALL.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(", "))
}
