//! The command line of runs: started, followed, shown, listed, ended.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, Subcommand, ValueEnum};
use jiff::{Timestamp, civil, tz::TimeZone};
use longhaul_proto::{
    api::{CancelMode, Retry},
    state::RunState,
};

use super::{Ask, PriorityArg};
use crate::config::{Engine, Time, pair};

/// `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The do-file; `-` reads code from standard input. After `--` it may begin with a dash.
    file: Option<PathBuf>,
    /// Its arguments; put `--` before those that begin with a dash or end with `.do`.
    pub(crate) args: Vec<String>,
    /// The arguments after `--`.
    #[arg(last = true, value_name = "ARGS", hide = true)]
    dashed: Vec<String>,
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
    /// Do not gather r(), e() and s() when the code has come to its end.
    #[arg(long)]
    pub(crate) no_results: bool,
    /// Most cores that its Stata may use, never more than its host allows; the code itself can still change it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) cores: Option<u32>,
    /// Run it even though an equal run is unfinished or just ended.
    #[arg(long)]
    pub(crate) again: bool,
    /// A person agrees to its risky commands, where a host asks for that.
    #[arg(long)]
    pub(crate) confirm: bool,
    /// When another attempt may be made: `never`, `if_not_started` (the default), or `if_proven_dead`: also when its host or
    /// Stata was killed.
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(crate) retry: Option<RetryArg>,
    /// Sooner or later than your other runs; `high` needs --reason, and a quota or a token that permits it.
    #[arg(long, value_enum, value_name = "PRIORITY")]
    pub(crate) priority: Option<PriorityArg>,
    /// Why it has that priority, in a line of at most 500 characters; `longhaul show` shows it.
    #[arg(long, value_name = "TEXT", requires = "priority")]
    pub(crate) reason: Option<String>,
    /// What to call the run, in a line of at most 80 characters; `longhaul runs` shows it.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// What to note about it, in a line of at most 500 characters; `longhaul show` shows it.
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    /// Tell this receiver of its end, too: `https://HOST/PATH` or `mailto:ADDRESS`; may be repeated.
    #[arg(long, value_name = "URL")]
    pub(crate) notify: Vec<String>,
    /// Print the id and leave; the run goes on.
    #[arg(long)]
    pub(crate) detach: bool,
    /// On a terminal too: the bytes as Stata wrote them, control characters and all.
    #[arg(long)]
    pub(crate) raw: bool,
}

impl Run {
    /// The do-file: the first of all words that are no flags; empty where there is none.
    pub(crate) fn file(&self) -> PathBuf {
        self.file.clone().or_else(|| self.dashed.first().map(PathBuf::from)).unwrap_or_default()
    }

    /// All arguments of the do-file.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let named = usize::from(self.file.is_none()).min(self.dashed.len());
        [self.args.as_slice(), &self.dashed[named..]].concat()
    }
}

/// When another attempt may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RetryArg {
    /// One attempt, even when it never began.
    Never,
    /// When it is proved that the attempt never began.
    #[value(name = "if_not_started", alias = "if-not-started")]
    IfNotStarted,
    /// Also when it died by its host's restart or by a signal that nobody here sent.
    #[value(name = "if_proven_dead", alias = "if-proven-dead")]
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

/// `rerun`.
#[derive(Debug, Args)]
pub(crate) struct Rerun {
    /// The run to repeat.
    #[arg(value_parser = run_name)]
    pub(crate) run: String,
    /// A person agrees to its risky commands, where a host asks for that.
    #[arg(long)]
    pub(crate) confirm: bool,
    /// Print the id and leave; the run goes on.
    #[arg(long)]
    pub(crate) detach: bool,
    /// On a terminal too: the bytes as Stata wrote them, control characters and all.
    #[arg(long)]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `wait`.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// The run; of several the exit status is the worst: the run goes on, system error, timed out, failed, cancelled.
    #[arg(required = true, value_name = "RUN", value_parser = run_name)]
    pub(crate) runs: Vec<String>,
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
    #[arg(value_parser = run_name)]
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
    /// Only what Stata printed, without the commands that it echoed.
    #[arg(long, conflicts_with_all = ["raw", "console", "tail", "json"])]
    pub(crate) no_echo: bool,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The run.
    #[arg(value_parser = run_name)]
    pub(crate) run: String,
    /// Show with what it was made: Stata, seeds, data files and installed packages, with digests.
    #[arg(long)]
    pub(crate) record: bool,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `cancel`.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// The run.
    #[arg(value_parser = run_name)]
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
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = one_or_more)]
    pub(crate) limit: usize,
    /// Only those in this state; several with commas between, or repeated.
    #[arg(long, value_delimiter = ',', value_parser = |word: &str| word.parse::<RunState>().map_err(|_| states()))]
    pub(crate) state: Vec<RunState>,
    /// Only those of exactly this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Only those of this principal (operators; others see their own).
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Only those on this host.
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Only those that took a seat of this pool.
    #[arg(long, value_name = "NAME")]
    pub(crate) pool: Option<String>,
    /// Only those recorded since: a time ago such as 90min or 7d, or a date such as 2026-11-22 or "2026-11-22 15:00" (with
    /// --utc in UTC).
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<Since>,
    /// Only those recorded before: likewise.
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<Since>,
    /// Only those with this text in name, note, do-file, arguments or message, in any case, among the newest 100,000 that the
    /// other filters leave.
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// Only those older than this run: the next page.
    #[arg(long, value_name = "RUN", value_parser = run_name)]
    pub(crate) before: Option<String>,
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
        #[arg(required_unless_present = "all_from", value_parser = run_name)]
        run: Option<String>,
        /// All unverified runs that came from this host.
        #[arg(long, value_name = "HOST", conflicts_with = "run")]
        all_from: Option<String>,
        #[command(flatten)]
        ask: Ask,
    },
}

/// Since or until when, as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Since {
    /// As it was given.
    pub(crate) given: String,
    at: At,
}

/// What that means.
#[derive(Clone, Debug, PartialEq, Eq)]
enum At {
    /// A moment, or seconds before now, as the API takes it.
    Known(String),
    /// A time on a clock; the clock's zone is not part of it.
    Clock(civil::DateTime),
}

impl Since {
    /// As the API takes it: a time, or seconds before now; a time on a clock is one of this zone.
    ///
    /// # Errors
    /// When the clocks there skip it.
    pub(crate) fn value(&self, zone: TimeZone) -> Result<String, String> {
        match &self.at {
            At::Known(value) => Ok(value.clone()),
            At::Clock(time) => match time.to_zoned_datetime(zone) {
                Ok(there) => Ok(there.timestamp().to_string()),
                Err(error) => Err(format!("{}: no such time here: {error}", self.given)),
            },
        }
    }
}

impl FromStr for Since {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let at = if let Ok(time) = trimmed.parse::<Timestamp>() {
            At::Known(time.to_string())
        } else if let Ok(time) = trimmed.parse::<civil::DateTime>() {
            // A date alone is its first moment.
            At::Clock(time)
        } else if let Ok(Time(ago)) = trimmed.parse::<Time>() {
            At::Known(ago.as_secs_f64().to_string())
        } else {
            return Err(
                "expected a time ago such as 90min, 2h or 7d, or a date such as 2026-11-22 or \"2026-11-22 15:00\""
                    .to_owned(),
            );
        };
        Ok(Self { given: text.to_owned(), at })
    }
}

/// What names a run; which one it is the gateway says.
pub(super) fn run_name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("expected a run: its id, its last 8 or more characters, the first 4 or more of either where they fit one run \
                    only, or `last`; `longhaul runs` lists yours"
            .to_owned());
    }
    Ok(text.to_owned())
}

fn one_or_more(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "expected a number of 1 or more".to_owned())
}

fn states() -> String {
    format!("the states are {}", RunState::ALL.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_when() {
        let value = |text: &str| text.parse::<Since>().and_then(|since| since.value(TimeZone::system()));
        let utc = "2026-11-22 15:00".parse::<Since>().unwrap().value(TimeZone::UTC).unwrap();
        assert_eq!(utc, "2026-11-22T15:00:00Z");
        assert_eq!(value("2h").unwrap(), "7200");
        assert_eq!(value("90").unwrap(), "90");
        assert_eq!(value("2026-11-22T15:00:00+01:00").unwrap(), "2026-11-22T14:00:00Z");
        for date in ["2026-11-22", "2026-11-22 15:00", "2026-11-22T15:00:01"] {
            let at: Timestamp = value(date).unwrap().parse().unwrap();
            let here = at.to_zoned_datetime(TimeZone::system()).datetime().to_string();
            assert!(here.starts_with(&date.replace(' ', "T")), "{date}: {here}");
        }
        for bad in ["", "yesterdays", "2026-13-01", "-2h"] {
            assert!(value(bad).unwrap_err().contains("7d"), "{bad}");
        }
        assert!(one_or_more("0").is_err() && one_or_more("-1").is_err() && one_or_more("1").is_ok());
    }
}
