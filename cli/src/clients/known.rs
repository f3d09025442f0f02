//! What is known of each client: its file, the form of its entries, and how a token gets into them.
//!
//! Sources, as of November 2026: Claude Code 2.1.330 was measured (docs/clients.md); the others' are their makers' pages:
//! code.visualstudio.com/docs/copilot/reference/mcp-configuration, cursor.com/docs/mcp, docs.windsurf.com (Cascade, MCP),
//! developers.openai.com/codex/mcp, google-gemini/gemini-cli docs/tools/mcp-server.md, zed.dev/docs/ai/mcp, and
//! modelcontextprotocol.io/quickstart/user for Claude Desktop.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::edit::Format;
use crate::{args::ClientKind, config::Env};

/// All whose file can be written, in the order in which they are listed.
pub(super) fn all() -> impl Iterator<Item = ClientKind> {
    ClientKind::value_variants().iter().copied().filter(|client| *client != ClientKind::Json)
}

/// Whose configuration a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The user's, for every project.
    User,
    /// The project's in the current folder.
    Project,
}

impl ClientKind {
    /// What people call it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Claude => "Claude Code",
            Self::ClaudeDesktop => "Claude Desktop",
            Self::Vscode => "VS Code",
            Self::Cursor => "Cursor",
            Self::Windsurf => "Windsurf",
            Self::Codex => "Codex",
            Self::Gemini => "Gemini CLI",
            Self::Zed => "Zed",
            Self::Json => "any client",
        }
    }

    /// How its file is written. Of JSON files only those that are known to be read strictly are: comments in the others'
    /// stay.
    pub(super) fn format(self) -> Format {
        match self {
            Self::Claude | Self::ClaudeDesktop | Self::Json => Format::Json,
            Self::Vscode | Self::Cursor | Self::Windsurf | Self::Gemini | Self::Zed => Format::Jsonc,
            Self::Codex => Format::Toml,
        }
    }

    /// The key of its list of servers.
    pub(super) fn list(self) -> &'static str {
        match self {
            Self::Vscode => "servers",
            Self::Codex => "mcp_servers",
            Self::Zed => "context_servers",
            _ => "mcpServers",
        }
    }

    /// The member of an entry that holds a URL of streamable HTTP; `None` = it only starts programs.
    pub(super) fn url_key(self) -> Option<&'static str> {
        match self {
            Self::ClaudeDesktop => None,
            Self::Windsurf => Some("serverUrl"),
            // Its `url` is of the older transport.
            Self::Gemini => Some("httpUrl"),
            _ => Some("url"),
        }
    }

    /// The member that holds headers.
    pub(super) fn headers_key(self) -> &'static str {
        if self == Self::Codex { "http_headers" } else { "headers" }
    }

    /// Whether it wants to be told the kind of a server.
    pub(super) fn says_type(self) -> bool {
        matches!(self, Self::Claude | Self::Vscode | Self::Json)
    }

    /// How a header names a variable of the client's environment; `None` = it reads none there.
    pub(super) fn variable(self, name: &str) -> Option<String> {
        match self {
            Self::Claude | Self::Gemini => Some(format!("${{{name}}}")),
            Self::Vscode | Self::Cursor | Self::Windsurf => Some(format!("${{env:{name}}}")),
            // It has a member of its own for the name.
            Self::Codex => Some(name.to_owned()),
            Self::ClaudeDesktop | Self::Zed | Self::Json => None,
        }
    }

    /// Whether it runs on Node.js, which learns of further roots by a variable of its environment. The others trust what
    /// the system trusts.
    pub(super) fn is_on_node(self) -> bool {
        !matches!(self, Self::Codex | Self::Zed | Self::ClaudeDesktop)
    }

    /// Its file; `None` = no such file is known, or there is no home folder.
    pub(super) fn file(self, env: &Env, scope: Scope) -> Option<PathBuf> {
        if scope == Scope::Project {
            return self.project_file().map(PathBuf::from);
        }
        let home = || env.path("HOME");
        let config = || env.path("XDG_CONFIG_HOME").or_else(|| Some(home()?.join(".config")));
        // Where programs of their kind keep what is the user's.
        let application = || {
            if cfg!(target_os = "macos") { Some(home()?.join("Library/Application Support")) } else { config() }
        };
        match self {
            Self::Claude => Some(env.path("CLAUDE_CONFIG_DIR").or_else(home)?.join(".claude.json")),
            Self::ClaudeDesktop => Some(application()?.join("Claude/claude_desktop_config.json")),
            Self::Vscode => Some(application()?.join("Code/User/mcp.json")),
            Self::Cursor => Some(home()?.join(".cursor/mcp.json")),
            Self::Windsurf => Some(home()?.join(".codeium/windsurf/mcp_config.json")),
            Self::Codex => Some(env.path("CODEX_HOME").or_else(|| Some(home()?.join(".codex")))?.join("config.toml")),
            Self::Gemini => Some(home()?.join(".gemini/settings.json")),
            Self::Zed if cfg!(target_os = "macos") => Some(home()?.join(".config/zed/settings.json")),
            Self::Zed => Some(config()?.join("zed/settings.json")),
            Self::Json => None,
        }
    }

    fn project_file(self) -> Option<&'static str> {
        match self {
            Self::Claude => Some(".mcp.json"),
            Self::Vscode => Some(".vscode/mcp.json"),
            Self::Cursor => Some(".cursor/mcp.json"),
            Self::Codex => Some(".codex/config.toml"),
            Self::Gemini => Some(".gemini/settings.json"),
            Self::ClaudeDesktop | Self::Windsurf | Self::Zed | Self::Json => None,
        }
    }

    /// Whether this user has it: it leaves a folder, which Claude Code has beside its file.
    pub(super) fn is_found(self, env: &Env) -> bool {
        let Some(file) = self.file(env, Scope::User) else { return false };
        let claude = || env.path("HOME").is_some_and(|home| home.join(".claude").is_dir());
        match self {
            Self::Claude => file.exists() || claude(),
            _ => file.parent().is_some_and(Path::is_dir),
        }
    }

    /// What makes it read its file again.
    pub(super) fn next(self) -> &'static str {
        match self {
            Self::Claude => "`/mcp` in Claude Code shows whether it connects",
            Self::ClaudeDesktop => "start Claude Desktop again",
            Self::Vscode => "`MCP: List Servers` in VS Code starts it",
            Self::Cursor => "Customize, MCPs in Cursor shows it",
            Self::Windsurf => "refresh the MCP servers of Cascade",
            Self::Codex => "start Codex again; `/mcp` shows it",
            Self::Gemini => "start Gemini CLI again; `/mcp` shows it",
            Self::Zed => "the settings of Zed's agent panel show it",
            Self::Json => "",
        }
    }

    /// Where a printed text belongs.
    pub(super) fn place(self) -> &'static str {
        match self {
            Self::Claude => "Claude Code: .mcp.json of a project, or \"mcpServers\" in ~/.claude.json",
            Self::ClaudeDesktop => {
                "Claude Desktop: claude_desktop_config.json (Settings, Developer, Edit Config); start it again afterwards"
            }
            Self::Cursor => "Cursor: .cursor/mcp.json of a project, or ~/.cursor/mcp.json",
            Self::Vscode => "VS Code: .vscode/mcp.json of a project, or the command `MCP: Open User Configuration`",
            Self::Windsurf => "Windsurf: ~/.codeium/windsurf/mcp_config.json",
            Self::Codex => "Codex: ~/.codex/config.toml, or .codex/config.toml of a project that it trusts",
            Self::Gemini => "Gemini CLI: ~/.gemini/settings.json, or .gemini/settings.json of a project",
            Self::Zed => "Zed: its settings.json (the command `zed: open settings file`)",
            Self::Json => "streamable HTTP, in whatever form the client wants it",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_file() {
        let env = Env::from_pairs([("HOME", "/h")]);
        let files: Vec<String> =
            all().map(|client| client.file(&env, Scope::User).unwrap().display().to_string()).collect();
        if cfg!(target_os = "linux") {
            assert_eq!(
                files,
                [
                    "/h/.claude.json",
                    "/h/.config/Claude/claude_desktop_config.json",
                    "/h/.config/Code/User/mcp.json",
                    "/h/.cursor/mcp.json",
                    "/h/.codeium/windsurf/mcp_config.json",
                    "/h/.codex/config.toml",
                    "/h/.gemini/settings.json",
                    "/h/.config/zed/settings.json",
                ]
            );
        }
        let env = Env::from_pairs([("HOME", "/h"), ("CODEX_HOME", "/c"), ("CLAUDE_CONFIG_DIR", "/d")]);
        assert_eq!(ClientKind::Codex.file(&env, Scope::User), Some("/c/config.toml".into()));
        assert_eq!(ClientKind::Claude.file(&env, Scope::User), Some("/d/.claude.json".into()));
        assert_eq!(ClientKind::Codex.file(&Env::from_pairs([]), Scope::User), None);
    }
}
