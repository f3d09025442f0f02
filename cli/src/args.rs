//! The command line. What a flag and a setting share goes into [`Settings`], so that both have one meaning.

mod mcp;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use longhaul_proto::{
    api::{CancelMode, Retry},
    state::RunState,
};

use crate::config::{Bytes, Engine, Settings, Time, Url, pair};
pub(crate) use mcp::{Client, EntryArgs, Installable, Mcp, McpAction, Stdio};

const AFTER: &str = "\
Exit status of run and wait: 0 succeeded, 1 the do-file failed, 2 usage, 3 cancelled, 4 system error (errored, lost,
rejected, unreachable), 5 timed out, 6 the run goes on (wait's own limit, or left by Ctrl-C).

RUN is a run's id or its last 8 or more characters.

Settings come from one TOML file (--config, LONGHAUL_CONFIG, $XDG_CONFIG_HOME/longhaul/config.toml or
/etc/longhaul/config.toml), then LONGHAUL_* variables, then flags, each stronger than the one before: flag --seats,
variable LONGHAUL_SEATS and key `seats` are one setting. `longhaul doctor` lists them all with where each came from.
LONGHAUL_LOG sets what is told on stderr (warn, info, debug), OTEL_EXPORTER_OTLP_ENDPOINT where traces go.";

/// Runs Stata do-files on licensed hosts and always brings the result back.
#[derive(Debug, Parser)]
#[command(name = "longhaul", version, after_help = AFTER, max_term_width = 120)]
pub(crate) struct Cli {
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Data folder [default: $XDG_STATE_HOME/longhaul].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a gateway and one agent in one process; prints the MCP URL and the line for Claude Code.
    Up(Up),
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
    /// Wait for a run's end.
    Wait(Wait),
    /// Print a run's output, live or finished.
    Log(Log),
    /// Ask for a run's end; its output is kept.
    Cancel(Cancel),
    /// Show all that is recorded of a run, and the files that it left.
    Show(Show),
    /// List your runs, newest first.
    Runs(Runs),
    /// Show agents, licence seats, and why something waits.
    Hosts(Hosts),
    /// Stata's verdict on any log: state, rc, message, failing command. Exit status 0, 1, or 4 when it has no end.
    Judge(Judge),
    /// Say what was found, tried and missing, each with what to do.
    Doctor(Doctor),
    /// Make, list and revoke tokens (operators).
    Token(Token),
    /// Connect AI clients: print a client's configuration, or write it.
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
    /// The stand-in for Stata: its manners, no statistics.
    #[command(disable_help_flag = true)]
    Standin(Rest),
    /// One run's supervisor; agents start it.
    #[command(hide = true, disable_help_flag = true)]
    Supervise(Rest),
}

/// Words for another program's own parser.
#[derive(Debug, Args)]
pub(crate) struct Rest {
    /// All of them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<std::ffi::OsString>,
}

/// `up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Address to listen on [default: 127.0.0.1:7447].
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    /// Seats of this host's licence [default: 1].
    #[arg(long, value_name = "N")]
    pub(crate) seats: Option<u32>,
    /// Folder under which do-files may be run; may be repeated [default: the home of this user].
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Vec<PathBuf>,
    /// What one run's files in the spool may take before it is ended, such as 8GiB; 0 = no limit [default: 8GiB].
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_run_spool: Option<Bytes>,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    /// Answer without a token; on loopback addresses only.
    #[arg(long)]
    pub(crate) no_auth: bool,
    /// The ledger was restored from a backup: what waits in it may have been executed since, and is held back.
    #[arg(long)]
    pub(crate) restored: bool,
    /// Let do-files run in a real Stata as root.
    #[arg(long)]
    pub(crate) as_root: bool,
}

/// `gateway`.
#[derive(Debug, Args)]
pub(crate) struct Gateway {
    /// Address to listen on [default: 127.0.0.1:7447].
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// URL under which clients and agents reach it.
    #[arg(long, value_name = "URL")]
    pub(crate) advertise: Option<Url>,
    /// Connections in all [default: 16384, less where descriptors are fewer].
    #[arg(long, value_name = "N")]
    pub(crate) max_connections: Option<usize>,
    /// A proxy that is trusted to name its clients' addresses, such as 10.0.0.7 or 10.0.0.0/8; may be repeated.
    #[arg(long, value_name = "ADDR")]
    pub(crate) trusted_proxy: Vec<String>,
    /// Answer without a token; on loopback addresses only.
    #[arg(long)]
    pub(crate) no_auth: bool,
    /// Let agents with a new key wait until `longhaul agents approve NAME`, although they hold the join secret.
    #[arg(long)]
    pub(crate) approve_agents: bool,
    /// The ledger was restored from a backup: what waits in it may have been executed since, and is held back.
    #[arg(long)]
    pub(crate) restored: bool,
}

/// `agent`.
#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// The gateway to serve.
    #[arg(long, value_name = "URL")]
    pub(crate) gateway: Option<Url>,
    /// Address to listen on [default: 127.0.0.1:7448].
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// URL under which the gateway reaches this agent.
    #[arg(long, value_name = "URL")]
    pub(crate) advertise: Option<Url>,
    /// Unique name [default: the host's].
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A label; may be repeated.
    #[arg(long, value_name = "K=V", value_parser = pair)]
    pub(crate) label: Vec<(String, String)>,
    /// Licence whose seats are counted over all hosts that name it [default: the agent's name].
    #[arg(long, value_name = "POOL")]
    pub(crate) licence: Option<String>,
    /// Folder under which do-files may be run; may be repeated [default: the home of this user].
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    /// Seats of the licence [default: 1].
    #[arg(long, value_name = "N")]
    pub(crate) seats: Option<u32>,
    /// What one run's files in the spool may take before it is ended, such as 8GiB; 0 = no limit [default: 8GiB].
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_run_spool: Option<Bytes>,
    /// File with the gateway's join secret [default: join-secret in the data folder].
    #[arg(long, value_name = "FILE")]
    pub(crate) join_secret_file: Option<PathBuf>,
    /// Let do-files run in a real Stata as root.
    #[arg(long)]
    pub(crate) as_root: bool,
}

/// Whose runs an agent takes.
#[derive(Debug, Default, Args)]
pub(crate) struct ServeArgs {
    /// Take the runs of these principals only [default: everybody's while the gateway has one principal, then its first
    /// operator's].
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub(crate) serve: Vec<String>,
    /// Take everybody's runs: all of them run as this user.
    #[arg(long, conflicts_with = "serve")]
    pub(crate) serve_all: bool,
}

impl ServeArgs {
    fn put(&self, settings: &mut Settings) {
        settings.serve = (!self.serve.is_empty()).then(|| self.serve.clone());
        settings.serve_all = self.serve_all.then_some(true);
    }
}

/// What executes.
#[derive(Debug, Default, Args)]
pub(crate) struct EngineArgs {
    /// What executes do-files [default: stata].
    #[arg(long, value_name = "ENGINE")]
    pub(crate) engine: Option<Engine>,
    /// Stata's program [default: looked for].
    #[arg(long, value_name = "PATH")]
    pub(crate) stata: Option<PathBuf>,
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
    /// Send this folder along (at most 32 MiB); FILE lies in it.
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
    pub(crate) retry: Option<Again>,
    /// Print the id and leave; the run goes on.
    #[arg(long)]
    pub(crate) detach: bool,
    /// On a terminal too: the bytes as Stata wrote them, control characters and all.
    #[arg(long)]
    pub(crate) raw: bool,
}

/// When another attempt may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Again {
    /// One attempt, even when it never began.
    Never,
    /// When it is proved that the attempt never began.
    IfNotStarted,
    /// Also when it died by its host's restart or by a signal that nobody here sent.
    IfProvenDead,
}

impl From<Again> for Retry {
    fn from(again: Again) -> Self {
        match again {
            Again::Never => Self::Never,
            Again::IfNotStarted => Self::IfNotStarted,
            Again::IfProvenDead => Self::IfProvenDead,
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

/// `hosts`.
#[derive(Debug, Args)]
pub(crate) struct Hosts {
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `drain`.
#[derive(Debug, Args)]
pub(crate) struct Drain {
    /// Names of agents; `*` stands for any characters and `?` for one.
    #[arg(required = true, value_name = "HOST")]
    pub(crate) hosts: Vec<String>,
    /// Why, for those whose runs wait.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `resume`.
#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// Names of agents; `*` stands for any characters and `?` for one.
    #[arg(required = true, value_name = "HOST")]
    pub(crate) hosts: Vec<String>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `judge`.
#[derive(Debug, Args)]
pub(crate) struct Judge {
    /// The log, `.log` or `.smcl`; `-` reads stdin.
    pub(crate) log: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `token`.
#[derive(Debug, Args)]
pub(crate) struct Token {
    /// What to do with tokens.
    #[command(subcommand)]
    pub(crate) action: TokenAction,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenAction {
    /// List them; the tokens themselves are kept nowhere.
    List {
        #[command(flatten)]
        ask: Ask,
    },
    /// Make one and print it, once.
    Add {
        /// What to call it.
        name: String,
        /// Whom it stands for [default: the name].
        #[arg(long)]
        principal: Option<String>,
        /// `use` (own runs) or `operate` (everybody's runs, tokens).
        #[arg(long, default_value = "use", value_parser = ["use", "operate"])]
        scope: String,
        /// When it ends [default: never].
        #[arg(long, value_name = "D")]
        expires: Option<Time>,
        #[command(flatten)]
        ask: Ask,
    },
    /// Make one worthless.
    Revoke {
        /// Its name.
        name: String,
        #[command(flatten)]
        ask: Ask,
    },
}

/// `agents`.
#[derive(Debug, Args)]
pub(crate) struct Agents {
    /// What to do with agents' keys.
    #[command(subcommand)]
    pub(crate) action: AgentsAction,
}

/// What to do with agents' keys.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentsAction {
    /// List them, with who let them in and since when.
    List {
        #[command(flatten)]
        ask: Ask,
    },
    /// Let an agent in that waits, or that was revoked.
    Approve {
        /// Its name, or the beginning of its key.
        name: String,
        #[command(flatten)]
        ask: Ask,
    },
    /// Refuse an agent's key from now on and end its connections; another key may then have its name.
    ///
    /// Runs under way go on on its host. It stays refused until `longhaul agents approve`.
    Revoke {
        /// Its name, or the beginning of its key.
        name: String,
        #[command(flatten)]
        ask: Ask,
    },
}

/// `declare-dead`.
#[derive(Debug, Args)]
pub(crate) struct DeclareDead {
    /// The run.
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `release`.
#[derive(Debug, Args)]
pub(crate) struct Release {
    /// The run.
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `trust-clock`.
#[derive(Debug, Args)]
pub(crate) struct TrustClock {
    #[command(flatten)]
    pub(crate) ask: Ask,
}

impl Cli {
    /// The settings that this command line gives.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings { data: self.data.clone(), ..Settings::default() };
        let s = &mut settings;
        match &self.command {
            Command::Up(up) => {
                s.listen = up.listen.clone();
                s.seats = up.seats;
                s.max_run_spool = up.max_run_spool;
                s.roots = (!up.root.is_empty()).then(|| up.root.clone());
                s.no_auth = up.no_auth.then_some(true);
                s.restored = up.restored.then_some(true);
                s.as_root = up.as_root.then_some(true);
                up.engine.put(s);
                up.serve.put(s);
            }
            Command::Gateway(gateway) => {
                s.listen = gateway.listen.clone();
                s.advertise = gateway.advertise.clone();
                s.no_auth = gateway.no_auth.then_some(true);
                s.approve_agents = gateway.approve_agents.then_some(true);
                s.restored = gateway.restored.then_some(true);
                s.max_connections = gateway.max_connections;
                s.trusted_proxies = (!gateway.trusted_proxy.is_empty()).then(|| gateway.trusted_proxy.clone());
            }
            Command::Agent(agent) => {
                s.gateway = agent.gateway.clone();
                s.listen = agent.listen.clone();
                s.advertise = agent.advertise.clone();
                s.name = agent.name.clone();
                s.labels = (!agent.label.is_empty()).then(|| agent.label.iter().cloned().collect());
                s.licence = agent.licence.clone();
                s.roots = (!agent.root.is_empty()).then(|| agent.root.clone());
                s.seats = agent.seats;
                s.max_run_spool = agent.max_run_spool;
                s.join_secret_file = agent.join_secret_file.clone();
                s.as_root = agent.as_root.then_some(true);
                agent.engine.put(s);
                agent.serve.put(s);
            }
            Command::Run(run) => {
                s.engine = run.engine;
                s.gateway = run.ask.gateway.clone();
            }
            Command::Stdio(stdio) => s.gateway = stdio.gateway.clone(),
            Command::Mcp(Mcp { action: McpAction::Print { entry, .. } | McpAction::Install { entry, .. } }) => {
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
            | Self::Wait(Wait { ask, .. })
            | Self::Log(Log { ask, .. })
            | Self::Cancel(Cancel { ask, .. })
            | Self::Show(Show { ask, .. })
            | Self::Runs(Runs { action: Some(RunsAction::Adopt { ask, .. }), .. } | Runs { ask, .. })
            | Self::Hosts(Hosts { ask })
            | Self::Doctor(Doctor { ask })
            | Self::Drain(Drain { ask, .. })
            | Self::Resume(Resume { ask, .. })
            | Self::DeclareDead(DeclareDead { ask, .. })
            | Self::Release(Release { ask, .. })
            | Self::TrustClock(TrustClock { ask }) => Some(ask),
            Self::Token(Token {
                action: TokenAction::List { ask } | TokenAction::Add { ask, .. } | TokenAction::Revoke { ask, .. },
            }) => Some(ask),
            Self::Agents(Agents {
                action:
                    AgentsAction::List { ask } | AgentsAction::Approve { ask, .. } | AgentsAction::Revoke { ask, .. },
            }) => Some(ask),
            _ => None,
        }
    }
}

impl EngineArgs {
    fn put(&self, settings: &mut Settings) {
        settings.engine = self.engine;
        settings.stata = self.stata.clone();
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_parser_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_documented_lines_parse() {
        for line in [
            "up --listen 127.0.0.1:0 --data /d --engine standin --stata /s --seats 2 --root /srv --no-auth --as-root",
            "gateway --listen 0.0.0.0:7447 --advertise http://gw:7447 --data /d --no-auth --approve-agents",
            "gateway --max-connections 100 --trusted-proxy 10.0.0.7 --trusted-proxy fd00::/8",
            "agent --gateway http://gw:7447 --listen 0.0.0.0:7448 --advertise http://s1:7448 --name s1 --label a=b \
             --label c=d --licence lab --root /srv --root /home --data /d --engine stata --stata /s --seats 1 \
             --join-secret-file f --as-root",
            "run x.do 1 two --gateway http://gw --engine standin --working-dir /w --with . --timeout 20min --detach --json",
            "run x.do --again -- -a --json",
            "wait 7f3a9c21 --timeout 40s --gateway http://gw --json",
            "log 7f3a9c21 --follow --tail 20 --json",
            "cancel 7f3a9c21 --mode kill",
            "runs --json --state failed",
            "runs adopt 7f3a9c21",
            "runs adopt --all-from stata1 --json",
            "agent --gateway http://gw:7447 --serve ana,bob",
            "up --serve-all",
            "hosts --json",
            "judge x.log --json",
            "doctor --json",
            "token add ana --scope operate --expires 30d",
            "token list",
            "token revoke ana --json",
            "agents list --json",
            "agents approve stata1",
            "agents revoke stata1 --gateway http://gw",
            "declare-dead 7f3a9c21",
            "mcp print --client claude-desktop --gateway http://gw:7447 --name stata",
            "mcp install --client claude --user --dry-run --token-from-env",
            "mcp install --client claude --file x.json",
            "stdio --gateway http://gw:7447 --patience 10min",
            "standin -b do x.do",
        ] {
            let words = std::iter::once("longhaul").chain(line.split_whitespace());
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
        let dashed = Cli::try_parse_from(["longhaul", "run", "x.do", "--", "-a", "--json"]).unwrap();
        let Command::Run(run) = dashed.command else { panic!() };
        assert_eq!((run.args, run.ask.json), (vec!["-a".to_owned(), "--json".to_owned()], false));
    }

    #[test]
    fn flags_are_settings() {
        let cli = Cli::try_parse_from(["longhaul", "agent", "--label", "a=b", "--data", "/d", "--seats", "3"]).unwrap();
        let settings = cli.settings();
        assert_eq!(settings.labels.unwrap()["a"], "b");
        assert_eq!((settings.data, settings.seats, settings.roots), (Some("/d".into()), Some(3), None));
        for bad in ["--gateway https://x", "--label a", "--seats -1", "--engine r"] {
            let words = ["longhaul", "agent"].into_iter().chain(bad.split(' '));
            assert!(Cli::try_parse_from(words).is_err(), "{bad}");
        }
        for bad in ["runs adopt", "runs adopt 7f3a9c21 --all-from s1", "up --serve ana --serve-all"] {
            assert!(Cli::try_parse_from(std::iter::once("longhaul").chain(bad.split(' '))).is_err(), "{bad}");
        }
    }
}
