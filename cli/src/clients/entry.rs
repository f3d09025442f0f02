//! The form of entry that each client reads.
//!
//! Claude Code and VS Code recognise HTTP by `type`, Cursor by `url`, Windsurf by `serverUrl`; Claude Desktop's file
//! can only name programs. Of these, only Claude Code has been tried with this program.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::args::ClientKind;

/// What an entry says.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The server's name in the client.
    pub(super) name: String,
    /// The gateway's URL.
    pub(super) url: String,
    /// The token, or the variable that holds it.
    pub(super) token: Option<String>,
    /// The path of this program.
    pub(super) program: PathBuf,
    /// The user named the gateway; else the bridge finds the daemon and its token by itself, also after a change.
    pub(super) named: bool,
    /// The data folder, where it is not the default.
    pub(super) data: Option<PathBuf>,
}

impl Entry {
    /// The entry itself.
    pub(super) fn value(&self, client: ClientKind) -> Value {
        let url = format!("{}/mcp", self.url.trim_end_matches('/'));
        let mut value = match client {
            ClientKind::ClaudeDesktop => return self.program(),
            ClientKind::Claude | ClientKind::Vscode | ClientKind::Json => json!({"type": "http", "url": url}),
            ClientKind::Cursor => json!({"url": url}),
            ClientKind::Windsurf => json!({"serverUrl": url}),
        };
        if let Some(token) = &self.token {
            value["headers"] = json!({"Authorization": format!("Bearer {token}")});
        }
        value
    }

    fn program(&self) -> Value {
        let mut args = vec!["stdio".to_owned()];
        let mut value = json!({"command": self.program.display().to_string()});
        if self.named {
            args.extend(["--gateway".to_owned(), self.url.clone()]);
            if let Some(token) = &self.token {
                value["env"] = json!({"LONGHAUL_TOKEN": token});
            }
        }
        if let Some(data) = &self.data {
            args.extend(["--data".to_owned(), data.display().to_string()]);
        }
        value["args"] = json!(args);
        value
    }

    /// The whole text for the client's file.
    pub(super) fn text(&self, client: ClientKind) -> String {
        let value = self.value(client);
        let whole = match client {
            ClientKind::Json => value,
            ClientKind::Vscode => json!({"servers": {&self.name: value}}),
            _ => json!({"mcpServers": {&self.name: value}}),
        };
        format!("{whole:#}\n")
    }
}

/// Where the text belongs.
pub(super) fn place(client: ClientKind) -> &'static str {
    match client {
        ClientKind::Claude => {
            "Claude Code: .mcp.json of a project, or \"mcpServers\" in ~/.claude.json; `longhaul mcp install --client \
             claude` writes it"
        }
        ClientKind::ClaudeDesktop => {
            "Claude Desktop: claude_desktop_config.json (Settings, Developer, Edit Config); start it again afterwards"
        }
        ClientKind::Cursor => "Cursor: .cursor/mcp.json of a project, or ~/.cursor/mcp.json",
        ClientKind::Vscode => "VS Code: .vscode/mcp.json of a project, or the command `MCP: Open User Configuration`",
        ClientKind::Windsurf => "Windsurf: ~/.codeium/windsurf/mcp_config.json",
        ClientKind::Json => "streamable HTTP, in whatever form the client wants it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(named: bool) -> Entry {
        Entry {
            name: "stata".into(),
            url: "http://gw:7447".into(),
            token: Some("t".into()),
            program: "/bin/longhaul".into(),
            named,
            data: None,
        }
    }

    #[test]
    fn each_client_gets_its_form() {
        let check = |client: ClientKind, named: bool, want: Value| {
            let got: Value = serde_json::from_str(&entry(named).text(client)).unwrap();
            assert_eq!(got, want, "{client:?}");
        };
        let headers = json!({"Authorization": "Bearer t"});
        let http = json!({"type": "http", "url": "http://gw:7447/mcp", "headers": headers});
        check(ClientKind::Claude, true, json!({"mcpServers": {"stata": http}}));
        check(ClientKind::Vscode, true, json!({"servers": {"stata": http}}));
        check(ClientKind::Json, true, http);
        let cursor = json!({"url": "http://gw:7447/mcp", "headers": headers});
        check(ClientKind::Cursor, true, json!({"mcpServers": {"stata": cursor}}));
        let windsurf = json!({"serverUrl": "http://gw:7447/mcp", "headers": headers});
        check(ClientKind::Windsurf, true, json!({"mcpServers": {"stata": windsurf}}));
        let args = json!(["stdio", "--gateway", "http://gw:7447"]);
        let desktop = json!({"command": "/bin/longhaul", "args": args, "env": {"LONGHAUL_TOKEN": "t"}});
        check(ClientKind::ClaudeDesktop, true, json!({"mcpServers": {"stata": desktop}}));
        // A daemon of the same user is looked up each time: its address and token may change.
        let found = json!({"command": "/bin/longhaul", "args": ["stdio"]});
        check(ClientKind::ClaudeDesktop, false, json!({"mcpServers": {"stata": found}}));
    }
}
