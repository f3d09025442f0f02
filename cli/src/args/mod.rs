//! The command line. What a flag and a setting share goes into [`Settings`], so that both have one meaning.

mod after;
mod audit;
mod backup;
mod daemons;
mod data_file;
mod kept;
mod limits;
mod login;
mod mcp;
mod notify;
mod operate;
mod own;
mod packages;
mod quotas;
mod runs;
mod search;
mod stata;
mod stata_help;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{Settings, Url};
use after::AFTER;
pub(crate) use audit::{Audit, AuditAction};
pub(crate) use backup::{Backup, BackupAction, Restore};
pub(crate) use daemons::{Agent, Gateway, Up};
pub(crate) use data_file::{Data, DataActionArg};
pub(crate) use kept::{DoFiles, Files, Get, Results};
pub(crate) use login::{Login, Logout};
pub(crate) use mcp::{ClientKind, EntryArgs, Mcp, McpAction, McpInstall, McpList, McpRemove, PlaceArgs, Stdio};
pub(crate) use notify::{Notify, NotifyAction};
pub(crate) use operate::{
    Agents, AgentsAction, DeclareDead, Doctor, Drain, Expiry, Hosts, HostsAction, Judge, Release, Resume, Token,
    TokenAction, TrustClock,
};
pub(crate) use own::{ConfigAction, Rest};
pub(crate) use packages::{Install, Packages, PackagesAction};
pub(crate) use quotas::{PriorityArg, Quotas};
pub(crate) use runs::{Cancel, Log, Rerun, Run, Runs, RunsAction, Show, Since, Wait};
pub(crate) use search::{Events, Search};
pub(crate) use stata::Stata;
pub(crate) use stata_help::StataHelp;

/// The version, with the commit that it was built from.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("BUILT_FROM_COMMIT"), ")");

/// Runs Stata do-files on licensed hosts and always brings the result back.
#[derive(Debug, Parser)]
#[command(name = "longhaul", version = VERSION, after_help = AFTER, max_term_width = 120)]
pub(crate) struct Cli {
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Data folder [default: $XDG_STATE_HOME/longhaul].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Show times in UTC instead of this machine's zone.
    #[arg(long, global = true)]
    pub(crate) utc: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a gateway and one agent in one process; prints the MCP URL and the line for Claude Code.
    Up(Up),
    /// Show in half a minute what Longhaul is for, on the stand-in: a run outlives its client and its gateway.
    ///
    /// Everything is in a temporary folder, which is deleted at the end; no daemon or setting of yours is touched.
    Demo,
    /// Stop the gateway that holds the data folder, as SIGTERM does; its runs go on.
    Down,
    /// Start a gateway; prints the MCP URL and the line for Claude Code.
    Gateway(Gateway),
    /// Start an agent on a Stata host.
    Agent(Agent),
    /// Run a do-file and follow it to its end.
    ///
    /// Its output goes to stdout as Stata wrote it, everything about it to stderr. Without --gateway, LONGHAUL_GATEWAY
    /// or configuration the daemon that holds the data folder is used, else a gateway and an agent inside this process
    /// that end with it. Ctrl-C: with a daemon or a remote gateway the run goes on and its id is printed (status 6);
    /// inside this process the first asks Stata to break, the second leaves at once.
    Run(Run),
    /// Install Stata packages on a host.
    Packages(Packages),
    /// Run again what a run was: the same code, arguments, folder, host and labels. It may be under way or ended.
    ///
    /// Of a do-file that has been edited since, the bytes that ran then run again where they are kept.
    Rerun(Rerun),
    /// Wait for the end of one or several runs.
    Wait(Wait),
    /// Print a run's output, live or finished.
    Log(Log),
    /// Find the lines of a run's output that match a regular expression, with their numbers. Status 1: there is none.
    ///
    /// The gateway looks; the output is not fetched for it. `longhaul search last 'r\([0-9]+\)' -C 3`
    Search(Search),
    /// Print what happens to all of your runs as it happens, a line each, until Ctrl-C.
    ///
    /// Steps of a run (queued, started, ended, and why); with `--json` progress, too, and the id of each step for `--after`. Over
    /// restarts of the gateway nothing is left out and nothing comes twice.
    Events(Events),
    /// Ask for a run's end; its output is kept.
    Cancel(Cancel),
    /// Show all that is recorded of a run, and the files that it left.
    Show(Show),
    /// List, write or print the do-files that a run entered, as they were then.
    ///
    /// The bytes of the do-file itself and of every one that it called, also when they have been edited since or the host
    /// is gone. They come when the run has ended, and stay as long as its record.
    DoFiles(DoFiles),
    /// List the files that a run created or changed.
    Files(Files),
    /// Fetch files that a run created or changed.
    ///
    /// Each keeps its place below the run's folder; one from elsewhere gets its name alone. Bytes are compared with their
    /// SHA-256 where it is known. A file that is there with other content is not replaced without --force.
    Get(Get),
    /// Show what is in a Stata data file (.dta) on a host: its variables, their values, or observations. No seat is taken.
    ///
    /// `longhaul data auto.dta`, `longhaul data auto.dta tabulate rep78 foreign --if 'price > 5000'`,
    /// `longhaul data auto.dta rows make price --in 1/20`, `longhaul data auto.dta --csv -o auto.csv`.
    Data(Data),
    /// Show what a run left in r(), e() and s(): the coefficients as a table, numbers, matrices.
    ///
    /// They are gathered when the code has come to its end, in full precision, and stay as long as the run's record.
    /// `--json` prints all of it. A run that failed left none.
    Results(Results),
    /// List your runs, newest first.
    Runs(Runs),
    /// Print Stata's help on a command, from the help files of a Stata host, as Markdown; or find topics by words.
    StataHelp(StataHelp),
    /// Show agents, licence seats, and why something waits.
    Hosts(Hosts),
    /// Stata's verdict on any log: state, rc, message, failing command. Exit status 0, 1, or 4 when it has no end.
    Judge(Judge),
    /// Show the audit log: who did what. `audit verify` checks that it is as it was written.
    Audit(Audit),
    /// Copy all that a gateway must have to be the same one again, while it works.
    ///
    /// On its own machine, as its user. Each backup is a folder in TO, which is there only when all of it is. What has not
    /// changed since the last one in TO takes no room again.
    Backup(Backup),
    /// Put a backup into an empty data folder; the gateway that starts there is the one that it was made of.
    Restore(Restore),
    /// Show how much of the gateway you may use, and what you use: seats, runs, kept bytes, streams, submissions.
    Quotas(Quotas),
    /// Choose who is told of the ends of your runs: by a webhook or by mail.
    Notify(Notify),
    /// Say what was found, tried and missing, each with what to do.
    Doctor(Doctor),
    /// Make, list and revoke tokens (operators).
    Token(Token),
    /// Keep a token for a gateway elsewhere, and pin the root of its certificate.
    ///
    /// `longhaul login https://gateway.lab:7447 --ca-fingerprint SHA256`, with the fingerprint that the gateway's operator
    /// tells. The token is asked for, or comes from LONGHAUL_TOKEN or --token-file.
    Login(Login),
    /// Forget the token and the root that `login` kept for a gateway.
    Logout(Logout),
    /// Connect AI clients: print or write their configuration, take it out again, list it.
    Mcp(Mcp),
    /// Be an MCP server on stdin and stdout, for clients without HTTP.
    ///
    /// Passes messages on to the gateway, reconnects, and joins a call whose connection broke to its run again. Leaving
    /// it ends no run.
    Stdio(Stdio),
    /// List, approve and revoke the keys by which agents are known (operators).
    Agents(Agents),
    /// Let a host's runs finish and start nothing new there (operators).
    ///
    /// Remembered until `longhaul resume`, also over restarts. Runs that wait for the host say so.
    Drain(Drain),
    /// Let a drained host take runs again (operators).
    Resume(Resume),
    /// Say that a run's agent never comes back: the run is then lost and may be run again (operators).
    DeclareDead(DeclareDead),
    /// Have an agent let the spool of an ended run go, whatever only it has of the output (operators).
    Release(Release),
    /// Say that the gateway's clock is right, so that old records are removed again.
    TrustClock(TrustClock),
    /// Run a do-file as `stata -b` does: for Makefiles and scripts that are to queue for seats unchanged.
    ///
    /// The log is FILE.log in this folder (FILE.smcl with -s), written as it grows; the exit status is 0 whatever the do-file
    /// does, as Stata's is, and with --strict that of `run`. Ctrl-C ends the run. Needs no daemon.
    Stata(Stata),
    /// Print what completes commands and flags in a shell: `longhaul completions bash > FILE`.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write manual pages, one for each command.
    Man {
        /// The folder, made where it is missing.
        folder: PathBuf,
    },
    /// The configuration file.
    Config {
        /// What to do with it.
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// The stand-in for Stata: its manners, and of estimators `regress` alone.
    #[command(disable_help_flag = true)]
    Standin(Rest),
    /// One run's supervisor; agents start it.
    #[command(hide = true, disable_help_flag = true)]
    Supervise(Rest),
}

/// Which gateway, and for whom the answer is.
#[derive(Debug, Default, Args)]
pub(crate) struct Ask {
    /// The gateway [default: the daemon that holds the data folder].
    #[arg(long, value_name = "URL")]
    pub(crate) gateway: Option<Url>,
    /// Print the API's objects, one a line.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Cli {
    /// The settings that this command line gives.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings { data: self.data.clone(), ..Settings::default() };
        let s = &mut settings;
        match &self.command {
            Command::Up(up) => up.put(s),
            Command::Gateway(gateway) => gateway.put(s),
            Command::Agent(agent) => agent.put(s),
            Command::Run(run) => {
                s.engine = run.engine;
                s.gateway = run.ask.gateway.clone();
            }
            Command::Login(login) => s.token_file = login.token_file.clone(),
            Command::Stata(stata) => s.gateway = stata.gateway.clone(),
            Command::Stdio(stdio) => s.gateway = stdio.gateway.clone(),
            Command::Mcp(Mcp {
                action: McpAction::Print { entry, .. } | McpAction::Install(McpInstall { entry, .. }),
            }) => {
                s.gateway = entry.gateway.clone();
            }
            command => s.gateway = command.ask().and_then(|ask| ask.gateway.clone()),
        }
        settings
    }
}

impl Command {
    fn ask(&self) -> Option<&Ask> {
        match self {
            Self::Run(Run { ask, .. })
            | Self::Rerun(Rerun { ask, .. })
            | Self::Wait(Wait { ask, .. })
            | Self::Log(Log { ask, .. })
            | Self::Search(Search { ask, .. })
            | Self::Events(Events { ask, .. })
            | Self::Cancel(Cancel { ask, .. })
            | Self::Show(Show { ask, .. })
            | Self::DoFiles(DoFiles { ask, .. })
            | Self::Files(Files { ask, .. })
            | Self::Get(Get { ask, .. })
            | Self::StataHelp(StataHelp { ask, .. })
            | Self::Data(Data { ask, .. })
            | Self::Results(Results { ask, .. })
            | Self::Runs(Runs { action: Some(RunsAction::Adopt { ask, .. }), .. } | Runs { ask, .. })
            | Self::Hosts(Hosts { action: Some(HostsAction::Forget { ask, .. }), .. } | Hosts { ask, .. })
            | Self::Audit(Audit { ask, .. })
            | Self::Quotas(Quotas { ask, .. })
            | Self::Doctor(Doctor { ask, .. })
            | Self::Drain(Drain { ask, .. })
            | Self::Resume(Resume { ask, .. })
            | Self::DeclareDead(DeclareDead { ask, .. })
            | Self::Release(Release { ask, .. })
            | Self::TrustClock(TrustClock { ask }) => Some(ask),
            Self::Packages(Packages { action: PackagesAction::Install(Install { ask, .. }) }) => Some(ask),
            Self::Notify(Notify { action }) => Some(action.ask()),
            Self::Token(Token { action }) => Some(action.ask()),
            Self::Agents(Agents { action }) => Some(action.ask()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
