//! The command line of operators, and of what needs no run: hosts, tokens, keys, `judge` and `doctor`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use longhaul_proto::encoding::Encoding;

use super::Ask;
use crate::config::Time;

/// `hosts`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Hosts {
    /// What to do with hosts; without it they are shown.
    #[command(subcommand)]
    pub(crate) action: Option<HostsAction>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// What to do with hosts.
#[derive(Debug, Subcommand)]
pub(crate) enum HostsAction {
    /// Show a host no more that never comes back, and end its drain (operators).
    ///
    /// Refused while it is connected or holds unfinished runs. Its key stays known: an agent that comes back after all is
    /// let in as before (`longhaul agents revoke` refuses it).
    Forget {
        /// Names of agents; `*` stands for any characters and `?` for one.
        #[arg(required = true, value_name = "HOST")]
        hosts: Vec<String>,
        #[command(flatten)]
        ask: Ask,
    },
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
    /// Folder with the do-files, to find the line; a file is looked for there by as much of its path as there is.
    #[arg(long, value_name = "DIR")]
    pub(crate) source: Option<PathBuf>,
    /// Encoding of words that are no UTF-8.
    #[arg(long, value_name = "NAME", default_value = "windows-1252")]
    pub(crate) encoding: Encoding,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Start the Stata of this host some fifteen times and report how it behaves, for Longhaul's developers.
    ///
    /// To be run once by a user with a licence. The report has no data, path, serial number or name of yours. Where an answer
    /// has a switch, it is set in the configuration file, and the report says so.
    #[arg(long)]
    pub(crate) probe: bool,
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

/// When a token ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expiry {
    /// Never.
    Never,
    /// After this time.
    After(Time),
}

impl std::str::FromStr for Expiry {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self::Never);
        }
        text.parse().map(Self::After).map_err(|expected: String| format!("{expected}, 90d, or `never`"))
    }
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
        /// Whom it stands for [default: the name]: a principal of the gateway's own.
        #[arg(long)]
        principal: Option<String>,
        /// What it permits, with commas between: submit, read_own, read_all, cancel_own, cancel_all, audit; `use` is submit,
        /// read_own and cancel_own, `operate` everything.
        #[arg(long, default_value = "use", value_name = "SCOPES")]
        scope: String,
        /// Only on this agent; may be repeated.
        #[arg(long, value_name = "NAME")]
        host: Vec<String>,
        /// Only with seats of this licence pool; may be repeated.
        #[arg(long, value_name = "NAME")]
        pool: Vec<String>,
        /// Only do-files that stand below this folder of the host, and no code that is sent; may be repeated.
        #[arg(long, value_name = "FOLDER")]
        root: Vec<String>,
        /// When it ends, or `never`.
        #[arg(long, value_name = "D", default_value = "90d")]
        expires: Expiry,
        #[command(flatten)]
        ask: Ask,
    },
    /// Give one another secret and print it, once. It lives as long again as it was made for.
    ///
    /// What this user keeps of the rotated secret (`credentials.json` of the gateway's own user, `logins.json`) gets the new one.
    Rotate {
        /// Its name; your own token may be rotated by you, others by operators.
        name: String,
        /// How long the secret before is accepted too.
        #[arg(long, value_name = "D", default_value = "1d")]
        overlap: Time,
        #[command(flatten)]
        ask: Ask,
    },
    /// Make one worthless.
    Revoke {
        /// Its name.
        name: String,
        /// The last one that may operate, too.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        ask: Ask,
    },
}

impl TokenAction {
    /// Whom it asks. Every one of them is named, so that a new one cannot be forgotten.
    pub(super) fn ask(&self) -> &Ask {
        let (Self::List { ask } | Self::Add { ask, .. } | Self::Rotate { ask, .. } | Self::Revoke { ask, .. }) = self;
        ask
    }
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
    /// Invite an agent to join, once, and print the command to run on its host.
    ///
    /// The command has a token in it that is good for one agent and for a time. Who has it can join in its place: pass it on as
    /// you would a password.
    Invite {
        /// The name that it joins under.
        name: String,
        /// The principal whose runs it takes unless its --serve says otherwise [default: you].
        #[arg(long = "for", value_name = "PRINCIPAL")]
        principal: Option<String>,
        /// How long the invitation can be used, 30 days at most.
        #[arg(long, value_name = "D", default_value = "1h")]
        expires: Time,
        #[command(flatten)]
        ask: Ask,
    },
    /// List invitations: open, used, expired, withdrawn.
    Invitations {
        #[command(flatten)]
        ask: Ask,
    },
    /// Withdraw an invitation that was not used yet.
    Withdraw {
        /// The agent's name, or the invitation's id.
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

impl AgentsAction {
    /// Whom it asks.
    pub(super) fn ask(&self) -> &Ask {
        let (Self::List { ask }
        | Self::Approve { ask, .. }
        | Self::Invite { ask, .. }
        | Self::Invitations { ask }
        | Self::Withdraw { ask, .. }
        | Self::Revoke { ask, .. }) = self;
        ask
    }
}

/// `declare-dead`.
#[derive(Debug, Args)]
pub(crate) struct DeclareDead {
    /// The run.
    #[arg(value_parser = super::runs::run_name)]
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `release`.
#[derive(Debug, Args)]
pub(crate) struct Release {
    /// The run.
    #[arg(value_parser = super::runs::run_name)]
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
