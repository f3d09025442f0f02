//! The command line of what connects MCP clients.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::config::{Time, Url};

/// `stdio`.
#[derive(Debug, Args)]
pub(crate) struct Stdio {
    /// The gateway [default: the daemon that holds the data folder].
    #[arg(long, value_name = "URL")]
    pub(crate) gateway: Option<Url>,
    /// How long a call that was under way waits for a gateway that is away [default: 5min].
    #[arg(long, value_name = "D")]
    pub(crate) patience: Option<Time>,
}

/// `mcp`.
#[derive(Debug, Args)]
pub(crate) struct Mcp {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: McpAction,
}

/// What to do for a client.
#[derive(Debug, Subcommand)]
pub(crate) enum McpAction {
    /// Print the configuration for a client on stdout, and on stderr where it belongs.
    Print {
        /// The client.
        #[arg(long, value_enum)]
        client: ClientKind,
        #[command(flatten)]
        entry: EntryArgs,
    },
    /// Write the entry into the client's own configuration; everything else in the file stays as it is.
    Install {
        /// The client.
        #[arg(long, value_enum)]
        client: Installable,
        /// For this user in every project (~/.claude.json) [default: .mcp.json in the current folder].
        #[arg(long, conflicts_with = "file")]
        user: bool,
        /// Another configuration file.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Show the change and make none.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        entry: EntryArgs,
    },
}

/// What the entry says.
#[derive(Debug, Args)]
pub(crate) struct EntryArgs {
    /// The gateway [default: the daemon that holds the data folder].
    #[arg(long, value_name = "URL")]
    pub(crate) gateway: Option<Url>,
    /// What the client calls it.
    #[arg(long, value_name = "NAME", default_value = "longhaul")]
    pub(crate) name: String,
    /// Write ${LONGHAUL_TOKEN} in place of the token, for a file that others can read; the client's environment must
    /// then hold it. For claude only.
    #[arg(long)]
    pub(crate) token_from_env: bool,
}

/// Clients whose configuration is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClientKind {
    /// Claude Code.
    Claude,
    /// Claude Desktop, over `longhaul stdio`.
    ClaudeDesktop,
    /// Cursor.
    Cursor,
    /// Visual Studio Code.
    Vscode,
    /// Windsurf.
    Windsurf,
    /// Any other: URL and headers.
    Json,
}

/// Clients whose configuration file can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Installable {
    /// Claude Code.
    Claude,
}
