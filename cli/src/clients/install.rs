//! Writes the entry into Claude Code's own configuration file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use longhaul_proto::durable;
use serde_json::Value;

use super::{edit, entry::Entry};
use crate::{
    args::ClientKind,
    context::{Context, Failure},
    output::{Out, say},
};

/// Key of Claude Code's list of servers, in both of its files.
const LIST: &str = "mcpServers";

/// Whose configuration is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The user's, for every project.
    User,
    /// The project's in the current folder.
    Project,
}

/// What happens to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It is written.
    Write,
    /// The change is shown.
    Show,
}

/// The file to change.
///
/// # Errors
/// When there is no home folder.
pub(super) fn path(context: &Context, scope: Scope, file: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = match file {
        Some(file) => file.to_owned(),
        None if scope == Scope::User => user_file(context)?,
        None => PathBuf::from(".mcp.json"),
    };
    // A link stays a link: people keep such files elsewhere.
    Ok(fs::canonicalize(&path).unwrap_or(path))
}

fn left(path: &Path, why: &str) -> Failure {
    Failure::usage(format!("{} was left as it is: {why}", path.display()))
}

fn read(path: &Path) -> Result<String, Failure> {
    match fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| left(path, "it is not valid UTF-8, so it is not JSON")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(left(path, &format!("it cannot be read ({error})"))),
    }
}

/// The token of the present entry.
///
/// # Errors
/// When the file cannot be read or understood.
pub(super) fn present(path: &Path, name: &str) -> Result<Option<String>, Failure> {
    let text = read(path)?;
    // The same check as for writing, so that a file that cannot be written is reported before a token is made.
    edit::set(&text, LIST, name, |present| present.cloned().unwrap_or_default())
        .map_err(|error| left(path, &error.to_string()))?;
    let whole: Value = serde_json::from_str(&text).unwrap_or_default();
    let headers = whole[LIST][name]["headers"].as_object();
    let header = headers.and_then(|all| all.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization")));
    let token = header.and_then(|(_, value)| value.as_str()?.strip_prefix("Bearer "));
    Ok(token.filter(|token| !token.starts_with("${")).map(str::to_owned))
}

/// Writes the entry, or shows what would be written.
///
/// # Errors
/// When the file cannot be read, understood or written; it is then unchanged.
pub(super) fn claude(entry: &Entry, path: &Path, scope: Scope, action: Action) -> Result<(), Failure> {
    let shown = path.display();
    let text = read(path)?;
    let changed = edit::set(&text, LIST, &entry.name, |present| merged(present, entry.value(ClientKind::Claude)));
    let Some(changed) = changed.map_err(|error| left(path, &error.to_string()))? else {
        say(&format!("{shown} has this entry already"));
        return Ok(());
    };
    if action == Action::Show {
        say(&format!("{shown} would change so:"));
        return Ok(Out::default().bytes(difference(&text, &changed).as_bytes())?);
    }
    durable::replace(path, changed.as_bytes())
        .map_err(|error| Failure::system(format!("{shown} was left as it is: it cannot be written ({error})")))?;
    say(&format!("{shown} has the entry `{}` now; `/mcp` in Claude Code shows whether it connects", entry.name));
    if scope == Scope::Project && entry.token.as_ref().is_some_and(|token| !token.starts_with("${")) {
        say("it holds your token: keep it out of version control, or use --user or --token-from-env");
    }
    Ok(())
}

/// Claude Code's file of the user.
fn user_file(context: &Context) -> Result<PathBuf, Failure> {
    let folder = context.env.path("CLAUDE_CONFIG_DIR").or_else(|| context.env.path("HOME"));
    let folder = folder.ok_or_else(|| Failure::usage("HOME is not set: name the file with --file"))?;
    Ok(folder.join(".claude.json"))
}

/// Members that the user added to an HTTP entry of ours (a time limit, further headers) stay.
fn merged(present: Option<&Value>, mut entry: Value) -> Value {
    let Some(Value::Object(old)) = present.filter(|old| old.get("url").is_some()) else { return entry };
    if let (Some(headers), Some(more)) =
        (entry["headers"].as_object_mut(), old.get("headers").and_then(Value::as_object))
    {
        for (name, value) in more {
            if !name.eq_ignore_ascii_case("authorization") {
                headers.insert(name.clone(), value.clone());
            }
        }
    }
    if let Some(new) = entry.as_object_mut() {
        for (key, value) in old {
            // If we know no token, the one in the entry stays.
            new.entry(key.as_str()).or_insert_with(|| value.clone());
        }
    }
    entry
}

/// The lines that change, as `diff` marks them.
fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let before = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - before;
    let after = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let lines = |sign: char, lines: &[&str]| lines.iter().map(|line| format!("{sign}{line}\n")).collect::<String>();
    lines('-', &old[before..old.len() - after]) + &lines('+', &new[before..new.len() - after])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_user_added_stays() {
        let ours = json!({"type": "http", "url": "new", "headers": {"Authorization": "Bearer t"}});
        let check = |present: Value, want: Value| assert_eq!(merged(Some(&present), ours.clone()), want, "{present}");
        check(json!({"command": "x", "args": []}), ours.clone());
        check(
            json!({"url": "old", "timeout": 7, "headers": {"authorization": "Bearer s", "X-Site": "a"}}),
            json!({"type": "http", "url": "new", "timeout": 7, "headers": {"Authorization": "Bearer t", "X-Site": "a"}}),
        );
        assert_eq!(merged(None, ours.clone()), ours);
    }

    #[test]
    fn only_lines_that_change_are_shown() {
        assert_eq!(difference("a\nb\nc\n", "a\nB\nc\n"), "-b\n+B\n");
        assert_eq!(difference("", "a\n"), "+a\n");
        assert_eq!(difference("{\n}\n", "{\n}\n}\n"), "+}\n");
    }
}
