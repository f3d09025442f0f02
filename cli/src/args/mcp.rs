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
    /// Write the entry into clients' own configuration; everything else in the files stays as it is, comments too.
    ///
    /// Without --client into the user's files of all clients that are found here: Claude Code, Claude Desktop, VS Code,
    /// Cursor, Windsurf, Codex, Gemini CLI, Zed. A second time changes nothing.
    Install(McpInstall),
    /// Take the entry out of clients' configuration again.
    Remove(McpRemove),
    /// Show which clients have the entry, where, and what it leads to.
    List(McpList),
}

/// `mcp install`.
#[derive(Debug, Args)]
pub(crate) struct McpInstall {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Show the change and make none.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) entry: EntryArgs,
}

/// `mcp remove`.
#[derive(Debug, Args)]
pub(crate) struct McpRemove {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Show the change and make none.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// What the client calls it.
    #[arg(long, value_name = "NAME", default_value = "longhaul")]
    pub(crate) name: String,
}

/// `mcp list`.
#[derive(Debug, Args)]
pub(crate) struct McpList {
    /// What the client calls it.
    #[arg(long, value_name = "NAME", default_value = "longhaul")]
    pub(crate) name: String,
    /// Print one object for each file, one a line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which files.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// The clients [default: those that are found].
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) client: Vec<ClientKind>,
    /// The user's own file, for every project: the default, but for `--client claude` [default there: --project].
    #[arg(long, conflicts_with_all = ["file", "project"])]
    pub(crate) user: bool,
    /// The file of the project in the current folder, where the client has one.
    #[arg(long, conflicts_with = "file")]
    pub(crate) project: bool,
    /// Another file.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
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
    /// Write the variable LONGHAUL_TOKEN in place of the token, for a file that others can read; the client's environment
    /// must then hold it. Not for claude-desktop and zed.
    #[arg(long)]
    pub(crate) token_from_env: bool,
    /// Connect through `longhaul stdio`, which the client starts, also where it speaks HTTP.
    #[arg(long)]
    pub(crate) stdio: bool,
}

/// Clients whose configuration is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClientKind {
    /// Claude Code.
    Claude,
    /// Claude Desktop, over `longhaul stdio`.
    ClaudeDesktop,
    /// Visual Studio Code.
    Vscode,
    /// Cursor.
    Cursor,
    /// Windsurf.
    Windsurf,
    /// Codex.
    Codex,
    /// Gemini CLI.
    Gemini,
    /// Zed.
    Zed,
    /// Any other: URL and headers, to print.
    Json,
}

impl ClientKind {
    /// Its word on the command line.
    pub(crate) fn word(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}
