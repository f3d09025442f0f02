//! TOML: the library keeps comments and order. It writes `\n` alone, so texts with other ends of lines are turned before
//! and after.

use serde_json::{Map, Value};
use toml_edit::{DocumentMut, Item, Table, TableLike};

use super::{At, EditError};

/// See [`super::get`].
pub(super) fn get(text: &str, at: At<'_>) -> Result<Option<Value>, EditError> {
    parse(text)?;
    let whole: toml::Table = toml::from_str(text).map_err(|_| EditError::Failed)?;
    let found = whole.get(at.list).and_then(|servers| servers.get(at.name));
    found.map(|found| serde_json::to_value(found).map_err(|_| EditError::Failed)).transpose()
}

/// See [`super::set`].
pub(super) fn set(text: &str, at: At<'_>, entry: &Value) -> Result<Option<String>, EditError> {
    let present = get(text, at)?;
    if present.as_ref() == Some(entry) {
        return Ok(None);
    }
    let mut file = parse(text)?;
    let mut added = Table::new();
    added.set_implicit(true);
    let servers = file.entry(at.list).or_insert(Item::Table(added)).as_table_like_mut();
    let servers = servers.ok_or_else(|| not_a_table(format!("`{}`", at.list)))?;
    let Some(entry) = entry.as_object() else { return Err(EditError::Failed) };
    match servers.get_mut(at.name).and_then(Item::as_table_like_mut) {
        Some(old) => update(old, entry),
        None => {
            let mut table = Table::new();
            entry.iter().for_each(|(key, value)| {
                table.insert(key, item(value));
            });
            // A line between it and what is above; a file's first line needs none.
            table.decor_mut().set_prefix(if text.trim().is_empty() { "" } else { "\n" });
            servers.insert(at.name, Item::Table(table));
        }
    }
    written(text, file, at, Some(entry)).map(Some)
}

/// See [`super::remove`].
pub(super) fn remove(text: &str, at: At<'_>) -> Result<Option<String>, EditError> {
    if get(text, at)?.is_none() {
        return Ok(None);
    }
    let mut file = parse(text)?;
    let servers = file.get_mut(at.list).and_then(Item::as_table_like_mut).ok_or(EditError::Failed)?;
    servers.remove(at.name);
    let implicit = file.get(at.list).and_then(Item::as_table).is_some_and(|list| list.is_empty() && list.is_implicit());
    if implicit {
        file.remove(at.list);
    }
    written(text, file, at, None).map(Some)
}

fn not_a_table(what: String) -> EditError {
    EditError::NotAnObject(what, "a table")
}

fn parse(text: &str) -> Result<DocumentMut, EditError> {
    let text = text.replace("\r\n", "\n");
    text.parse::<DocumentMut>().map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or_default();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let what = error.message().lines().collect::<Vec<_>>().join("; ");
        EditError::NotValid { format: "TOML", line: before.matches('\n').count() + 1, column, what }
    })
}

/// Sets what differs, and takes what the entry has no longer: the rest of the table keeps its comments.
fn update(table: &mut dyn TableLike, entry: &Map<String, Value>) {
    let gone: Vec<String> =
        table.iter().map(|(key, _)| key.to_owned()).filter(|key| !entry.contains_key(key)).collect();
    for key in gone {
        table.remove(&key);
    }
    for (key, value) in entry {
        match (table.get_mut(key), value) {
            (Some(Item::Table(old)), Value::Object(new)) => update(old, new),
            (Some(old), value) if old.is_value() => {
                let (new, decor) = (item(value), old.as_value().map(|value| value.decor().clone()));
                *old = new;
                if let (Some(new), Some(decor)) = (old.as_value_mut(), decor) {
                    *new.decor_mut() = decor;
                }
            }
            _ => {
                table.insert(key, item(value));
            }
        }
    }
}

fn item(value: &Value) -> Item {
    Item::Value(plain(value))
}

/// Entries hold texts, lists and tables of texts, and what the user added.
fn plain(value: &Value) -> toml_edit::Value {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::Number(value) => match value.as_i64() {
            Some(value) => value.into(),
            None => value.as_f64().unwrap_or_default().into(),
        },
        Value::Array(values) => values.iter().map(plain).collect::<toml_edit::Array>().into(),
        Value::Object(values) => {
            values.iter().map(|(key, value)| (key, plain(value))).collect::<toml_edit::InlineTable>().into()
        }
        Value::String(value) => value.as_str().into(),
        Value::Null => "".into(),
    }
}

/// The changed text, if it says what it should: it is the user's own file.
fn written(text: &str, file: DocumentMut, at: At<'_>, entry: Option<&Map<String, Value>>) -> Result<String, EditError> {
    let changed = file.to_string();
    let changed = if text.contains("\r\n") { changed.replace('\n', "\r\n") } else { changed };
    let read = |text: &str| -> Option<Value> { serde_json::to_value(toml::from_str::<toml::Table>(text).ok()?).ok() };
    let (mut expected, mut got) = (read(text).ok_or(EditError::Failed)?, read(&changed).ok_or(EditError::Failed)?);
    let take = |whole: &mut Value| {
        let list = whole.get_mut(at.list).and_then(Value::as_object_mut);
        let found = list.and_then(|list| list.remove(at.name));
        if whole.get(at.list).and_then(Value::as_object).is_some_and(Map::is_empty)
            && let Some(whole) = whole.as_object_mut()
        {
            whole.remove(at.list);
        }
        found
    };
    take(&mut expected);
    let new = take(&mut got);
    if got == expected && new.as_ref().and_then(Value::as_object) == entry {
        Ok(changed)
    } else {
        Err(EditError::Failed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const AT: At<'_> = At { list: "mcp_servers", name: "longhaul" };

    fn to(text: &str) -> Option<String> {
        set(text, AT, &json!({"url": "u", "http_headers": {"Authorization": "Bearer t"}})).unwrap()
    }

    #[test]
    fn the_rest_stays_as_it_was_written() {
        let table = "[mcp_servers.longhaul]\nhttp_headers = { Authorization = \"Bearer t\" }\nurl = \"u\"\n";
        for text in [
            "",
            "model = \"x\" # mine\n",
            "model = 'x'\n\n# servers\n[mcp_servers.b]\ncommand = \"b\" # b's\nargs = [\n  \"1\", # one\n]\n\n[tui]\na = 1_000\n# end\n",
            "[mcp_servers]\n# none yet\n",
            "a = 1\r\n[mcp_servers.b]\r\nurl = \"v\"\r\n",
        ] {
            let got = to(text).unwrap();
            let lines = got.replace("\r\n", "\n");
            assert!(lines.contains(table), "{text}\n{got}");
            assert_eq!(got.contains("\r\n"), text.contains("\r\n"));
            assert_eq!(to(&got), None, "a second time changes nothing");
            assert_eq!(remove(&got, AT).unwrap().unwrap(), text, "what is taken is what was added: {got}");
        }
        let inline = "mcp_servers = { b = { url = \"v\" } }\n";
        let got = to(inline).unwrap();
        assert!(got.starts_with("mcp_servers = { b = { url = \"v\" }") && got.lines().count() == 1, "{got}");
    }

    #[test]
    fn one_that_the_user_has_changed_keeps_its_comments() {
        let text = "[mcp_servers.longhaul]\n# ours\nurl = \"old\" # where\ntool_timeout_sec = 600\n";
        let entry = json!({"url": "u", "tool_timeout_sec": 600});
        let got = set(text, AT, &entry).unwrap().unwrap();
        assert_eq!(got, "[mcp_servers.longhaul]\n# ours\nurl = \"u\" # where\ntool_timeout_sec = 600\n");
    }

    #[test]
    fn what_is_not_understood_is_left_alone() {
        for bad in ["a = ", "mcp_servers = 1\n", "[mcp_servers\n"] {
            assert!(set(bad, AT, &json!({})).is_err(), "{bad}");
        }
        let why = set("a = 1\nb = =\n", AT, &json!({})).unwrap_err().to_string();
        assert!(why.contains("TOML: line 2, column 5"), "{why}");
        assert_eq!(remove("a = 1\n", AT).unwrap(), None);
    }
}
