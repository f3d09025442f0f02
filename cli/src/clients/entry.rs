//! The form of entry that each client reads: an HTTP server, or the bridge as a program.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::edit::{self, At, EditError};
use crate::args::ClientKind;

/// The variable that holds a token.
pub(super) const VARIABLE: &str = "LONGHAUL_TOKEN";

/// What an entry says.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The server's name in the client.
    pub(super) name: String,
    /// The gateway's URL.
    pub(super) url: String,
    /// The token.
    pub(super) token: Token,
    /// How the client connects.
    pub(super) by: By,
}

/// The token of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// None is known, or none is needed.
    None,
    /// Itself.
    Text(String),
    /// [`VARIABLE`] of the client's environment.
    Variable,
}

/// How a client connects.
#[derive(Clone, Debug)]
pub(super) enum By {
    /// By streamable HTTP.
    Http,
    /// By `longhaul stdio`, which it starts.
    Bridge {
        /// The path of this program.
        program: PathBuf,
        /// The user named the gateway; else the bridge finds the daemon and its token by itself, also after a change.
        named: bool,
        /// The data folder, where it is not the default.
        data: Option<PathBuf>,
    },
}

impl Entry {
    /// The entry itself.
    pub(super) fn value(&self, client: ClientKind) -> Value {
        match (&self.by, client.url_key()) {
            (By::Http, Some(key)) => self.http(client, key),
            (By::Http, None) => json!({}),
            (By::Bridge { program, named, data }, _) => {
                let mut args = vec!["stdio".to_owned()];
                let mut value = json!({"command": program.display().to_string()});
                if client == ClientKind::Vscode {
                    value["type"] = json!("stdio");
                }
                if *named {
                    args.extend(["--gateway".to_owned(), self.url.clone()]);
                    if let Token::Text(token) = &self.token {
                        value["env"] = json!({VARIABLE: token});
                    }
                }
                if let Some(data) = data {
                    args.extend(["--data".to_owned(), data.display().to_string()]);
                }
                value["args"] = json!(args);
                value
            }
        }
    }

    fn http(&self, client: ClientKind, key: &str) -> Value {
        let mut value = json!({key: format!("{}/mcp", self.url.trim_end_matches('/'))});
        if client.says_type() {
            value["type"] = json!("http");
        }
        let header = |token: &str| json!({"Authorization": format!("Bearer {token}")});
        match (&self.token, client.variable(VARIABLE)) {
            (Token::Text(token), _) => value[client.headers_key()] = header(token),
            (Token::Variable, Some(name)) if client == ClientKind::Codex => value["bearer_token_env_var"] = json!(name),
            (Token::Variable, Some(name)) => value[client.headers_key()] = header(&name),
            (Token::Variable, None) | (Token::None, _) => {}
        }
        value
    }

    /// The whole text for the client's file.
    ///
    /// # Errors
    /// None that is known.
    pub(super) fn text(&self, client: ClientKind) -> Result<String, EditError> {
        let value = self.value(client);
        if client == ClientKind::Json {
            return Ok(format!("{value:#}\n"));
        }
        let at = At { list: client.list(), name: &self.name };
        edit::set(client.format(), "", at, &value)?.ok_or(EditError::Failed)
    }

    /// Whether a token stands in it.
    pub(super) fn holds_token(&self) -> bool {
        matches!(self.token, Token::Text(_))
    }
}

/// The token that an entry of a file has now.
pub(super) fn token_of(client: ClientKind, present: &Value) -> Option<String> {
    let headers = present[client.headers_key()].as_object();
    let header = headers.and_then(|all| all.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization")));
    let token = header.and_then(|(_, value)| value.as_str()?.strip_prefix("Bearer "));
    let token = token.filter(|token| !token.starts_with('$')).or_else(|| present["env"][VARIABLE].as_str());
    token.map(str::to_owned)
}

/// Where an entry of a file leads: its URL, or the words of its program.
pub(super) fn leads_to(client: ClientKind, present: &Value) -> String {
    if let Some(url) = client.url_key().and_then(|key| present[key].as_str()) {
        return url.to_owned();
    }
    let words = present["args"].as_array().into_iter().flatten().filter_map(Value::as_str);
    present["command"].as_str().into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

/// The new entry with what the user added to the present one (a time limit, further headers), if both connect in the same
/// way.
pub(super) fn merged(client: ClientKind, present: Option<&Value>, mut entry: Value) -> Value {
    let same = |old: &&Value| {
        let is_http = |value: &Value| client.url_key().is_some_and(|key| value.get(key).is_some());
        is_http(old) == is_http(&entry) && (is_http(old) || old.get("command").is_some())
    };
    let Some(Value::Object(old)) = present.filter(same) else { return entry };
    let by_variable = entry.get("bearer_token_env_var").is_some();
    let ours = |key: &str, name: &str| match key {
        "env" => name == VARIABLE,
        _ => name.eq_ignore_ascii_case("authorization"),
    };
    for key in [client.headers_key(), "env"] {
        let Some(Value::Object(more)) = old.get(key) else { continue };
        // If no token is known, the one in the entry stays.
        let replaced = entry.get(key).is_some() || by_variable || key == "env";
        let kept: serde_json::Map<String, Value> = more
            .iter()
            .filter(|(name, _)| !(replaced && ours(key, name)))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if kept.is_empty() && entry.get(key).is_none() {
            continue;
        }
        let mut new = entry[key].as_object().cloned().unwrap_or_default();
        kept.into_iter().for_each(|(name, value)| {
            new.entry(name).or_insert(value);
        });
        entry[key] = Value::Object(new);
    }
    let has_token = entry
        .get(client.headers_key())
        .and_then(Value::as_object)
        .is_some_and(|headers| headers.keys().any(|name| name.eq_ignore_ascii_case("authorization")));
    if let Some(new) = entry.as_object_mut() {
        let others = old.iter().filter(|(key, _)| ![client.headers_key(), "env"].contains(&key.as_str()));
        for (key, value) in others.filter(|(key, _)| !(has_token && *key == "bearer_token_env_var")) {
            new.entry(key.as_str()).or_insert_with(|| value.clone());
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_added_stays() {
        let ours = json!({"type": "http", "url": "new", "headers": {"Authorization": "Bearer t"}});
        let check = |present: Value, want: Value| {
            assert_eq!(merged(ClientKind::Claude, Some(&present), ours.clone()), want, "{present}");
        };
        check(json!({"command": "x", "args": []}), ours.clone());
        check(
            json!({"url": "old", "timeout": 7, "headers": {"authorization": "Bearer s", "X-Site": "a"}}),
            json!({"type": "http", "url": "new", "timeout": 7, "headers": {"Authorization": "Bearer t", "X-Site": "a"}}),
        );
        assert_eq!(merged(ClientKind::Claude, None, ours.clone()), ours);
        let bare = json!({"url": "new"});
        let kept = json!({"url": "old", "http_headers": {"Authorization": "Bearer s"}, "tool_timeout_sec": 9});
        assert_eq!(
            merged(ClientKind::Codex, Some(&kept), bare.clone()),
            json!({"url": "new", "http_headers": {"Authorization": "Bearer s"}, "tool_timeout_sec": 9})
        );
        let variable = json!({"url": "new", "bearer_token_env_var": "LONGHAUL_TOKEN"});
        assert_eq!(
            merged(ClientKind::Codex, Some(&kept), variable.clone()),
            json!({"url": "new", "bearer_token_env_var": "LONGHAUL_TOKEN", "tool_timeout_sec": 9})
        );
        let text = json!({"url": "new", "http_headers": {"Authorization": "Bearer t"}});
        assert_eq!(merged(ClientKind::Codex, Some(&variable), text.clone()), text);
        let bridge = json!({"command": "longhaul", "args": ["stdio"]});
        let old = json!({"command": "old", "args": ["x"], "env": {"LONGHAUL_TOKEN": "t", "LONGHAUL_LOG": "info"}, "cwd": "/"});
        assert_eq!(
            merged(ClientKind::Zed, Some(&old), bridge),
            json!({"command": "longhaul", "args": ["stdio"], "env": {"LONGHAUL_LOG": "info"}, "cwd": "/"})
        );
    }

    #[test]
    fn the_present_token_is_found() {
        let of = |client, present: Value| token_of(client, &present);
        assert_eq!(of(ClientKind::Cursor, json!({"headers": {"authorization": "Bearer t"}})), Some("t".into()));
        assert_eq!(of(ClientKind::Codex, json!({"http_headers": {"Authorization": "Bearer t"}})), Some("t".into()));
        assert_eq!(of(ClientKind::Cursor, json!({"headers": {"Authorization": "Bearer ${env:T}"}})), None);
        assert_eq!(of(ClientKind::ClaudeDesktop, json!({"env": {"LONGHAUL_TOKEN": "t"}})), Some("t".into()));
    }
}
