//! Changes one entry of a JSON file, and leaves every other byte as it is.
//!
//! The file belongs to the user: order, indentation, numbers and escapes stay as they were written. So the text is cut
//! at the one place that changes; a JSON library would write all of it anew.

use std::ops::Range;

use serde_json::{Map, Value};

/// Why a file was left alone.
#[derive(Debug, thiserror::Error)]
pub(super) enum EditError {
    /// The text is not JSON.
    #[error("it is not valid JSON ({0}). Mend it, or move it away, and do this again")]
    NotJson(serde_json::Error),
    /// A value of another kind than expected.
    #[error("{0} in it is not an object, so this program does not know where the entry belongs")]
    NotAnObject(String),
    /// The edit would have changed something else: a defect of ours.
    #[error("the change could not be made; add the entry that `longhaul mcp print --client claude` prints")]
    Failed,
}

/// The text with `list`.`name` set to what `entry` makes of the present value; `None` when nothing changes.
///
/// # Errors
/// When the text is no JSON, or no object where one is expected.
pub(super) fn set(
    text: &str,
    list: &str,
    name: &str,
    entry: impl FnOnce(Option<&Value>) -> Value,
) -> Result<Option<String>, EditError> {
    if text.trim().is_empty() {
        let whole = serde_json::json!({list: {name: entry(None)}});
        return Ok(Some(format!("{whole:#}\n")));
    }
    let whole: Value = serde_json::from_str(text).map_err(EditError::NotJson)?;
    let object = |value: &Value, what: &str| match value {
        Value::Object(object) => Ok(object.clone()),
        _ => Err(EditError::NotAnObject(what.to_owned())),
    };
    let root = object(&whole, "the whole")?;
    let servers = root.get(list).map(|servers| object(servers, &format!("`{list}`"))).transpose()?;
    let present = servers.as_ref().and_then(|servers| servers.get(name));
    let wanted = entry(present);
    if present == Some(&wanted) {
        return Ok(None);
    }
    let layout = Layout::of(text);
    let top = Object::at(text, skip_space(text, 0)).ok_or(EditError::Failed)?;
    let changed = match top.member(list) {
        None => top.insert(text, &layout, 1, list, &Value::Object(Map::from_iter([(name.to_owned(), wanted.clone())]))),
        Some(servers) => {
            let inner = Object::at(text, servers.start).ok_or(EditError::Failed)?;
            match inner.member(name) {
                None => inner.insert(text, &layout, 2, name, &wanted),
                Some(old) => {
                    let own = layout.write(
                        &wanted,
                        2,
                        if text[old.clone()].contains('\n') { Style::Spread } else { inner.style(text) },
                    );
                    format!("{}{own}{}", &text[..old.start], &text[old.end..])
                }
            }
        }
    };
    // Checked, because this is the user's own file.
    let mut expected = whole;
    expected[list][name] = wanted;
    match serde_json::from_str::<Value>(&changed) {
        Ok(got) if got == expected => Ok(Some(changed)),
        _ => Err(EditError::Failed),
    }
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    OneLine,
    /// A member a line.
    Spread,
}

/// How the file is indented.
struct Layout {
    unit: String,
}

impl Layout {
    fn of(text: &str) -> Self {
        let space = |line: &str| line[..line.len() - line.trim_start_matches([' ', '\t']).len()].to_owned();
        let unit = text.lines().skip(1).map(space).find(|space| !space.is_empty());
        Self { unit: unit.unwrap_or_else(|| "  ".into()) }
    }

    /// A value as it stands `depth` levels deep.
    fn write(&self, value: &Value, depth: usize, style: Style) -> String {
        if style == Style::OneLine {
            return value.to_string();
        }
        let mut out = String::new();
        for (i, line) in format!("{value:#}").lines().enumerate() {
            let inner = line.trim_start_matches(' ');
            if i > 0 {
                out.push('\n');
                out.push_str(&self.unit.repeat(depth + (line.len() - inner.len()) / 2));
            }
            out.push_str(inner);
        }
        out
    }
}

/// An object of a valid JSON text: its position, and its members.
struct Object {
    span: Range<usize>,
    members: Vec<(String, Range<usize>)>,
}

impl Object {
    /// Reads the object that starts at `at`; `None` when none does.
    fn at(text: &str, at: usize) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.get(at) != Some(&b'{') {
            return None;
        }
        let mut members = vec![];
        let mut next = skip_space(text, at + 1);
        while bytes.get(next) == Some(&b'"') {
            let key_end = value_end(bytes, next)?;
            let key = serde_json::from_str(text.get(next..key_end)?).ok()?;
            let colon = skip_space(text, key_end);
            let start = skip_space(text, colon + 1);
            let end = value_end(bytes, start)?;
            members.push((key, start..end));
            next = skip_space(text, end);
            if bytes.get(next) == Some(&b',') {
                next = skip_space(text, next + 1);
            }
        }
        (bytes.get(next) == Some(&b'}')).then(|| Self { span: at..next + 1, members })
    }

    /// The value of that name; the last one counts, as for every reader of JSON that we know.
    fn member(&self, name: &str) -> Option<Range<usize>> {
        self.members.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    /// How it is written; an empty one follows its file.
    fn style(&self, text: &str) -> Style {
        let own = if self.members.is_empty() { text.trim() } else { &text[self.span.clone()] };
        if own.contains('\n') || text.trim() == "{}" { Style::Spread } else { Style::OneLine }
    }

    /// The text with one more member at the end, `depth` levels deep.
    fn insert(&self, text: &str, layout: &Layout, depth: usize, name: &str, value: &Value) -> String {
        let style = self.style(text);
        let spread = style == Style::Spread;
        let key = Value::String(name.to_owned());
        let colon = if spread { ": " } else { ":" };
        let member = format!("{key}{colon}{}", layout.write(value, depth, style));
        let own = if spread { format!("\n{}{member}", layout.unit.repeat(depth)) } else { member };
        match self.members.last() {
            Some((_, last)) => format!("{},{own}{}", &text[..last.end], &text[last.end..]),
            None => {
                let close = if spread { format!("\n{}", layout.unit.repeat(depth - 1)) } else { String::new() };
                format!("{}{{{own}{close}}}{}", &text[..self.span.start], &text[self.span.end..])
            }
        }
    }
}

fn skip_space(text: &str, from: usize) -> usize {
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    from + rest.iter().take_while(|b| b.is_ascii_whitespace()).count()
}

/// Where the value that starts at `at` ends, in a text that is valid JSON.
fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    let (mut depth, mut i, mut in_text) = (0_usize, at, false);
    loop {
        let byte = *bytes.get(i)?;
        i += 1;
        match byte {
            b'\\' if in_text => i += 1,
            b'"' => {
                in_text = !in_text;
                if !in_text && depth == 0 {
                    return Some(i);
                }
            }
            _ if in_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(i);
                }
            }
            _ if depth == 0 => {
                // A number or a word: up to what cannot be part of it.
                let more = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
                return Some(i + bytes.get(i..)?.iter().take_while(|b| more(b)).count());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn to(text: &str) -> Option<String> {
        set(text, "mcpServers", "longhaul", |_| json!({"type": "http", "url": "u"})).unwrap()
    }

    #[test]
    fn the_rest_stays_as_it_was_written() {
        fn check(text: &str, want: &str) {
            let got = to(text).unwrap();
            assert_eq!(got, want, "from {text}");
            assert_eq!(to(&got), None, "a second time changes nothing");
        }
        let fresh = "{\n  \"mcpServers\": {\n    \"longhaul\": {\n      \"type\": \"http\",\n      \"url\": \"u\"\n    }\n  }\n}\n";
        check("", fresh);
        check("{}\n", fresh);
        check("{\"mcpServers\":{}}", "{\"mcpServers\":{\"longhaul\":{\"type\":\"http\",\"url\":\"u\"}}}");
        check(
            "{\"z\":1.50,\"mcpServers\":{\"b\":{\"x\":\"\\u00e9, }\"}},\"a\":[{}]}",
            "{\"z\":1.50,\"mcpServers\":{\"b\":{\"x\":\"\\u00e9, }\"},\"longhaul\":{\"type\":\"http\",\"url\":\"u\"}},\"a\":[{}]}",
        );
        check(
            "{\n\t\"z\": 1e3,\n\t\"mcpServers\": {\n\t\t\"b\": {\"x\": \"a\\\"b\\\\\"}\n\t},\n\t\"a\": null\n}",
            "{\n\t\"z\": 1e3,\n\t\"mcpServers\": {\n\t\t\"b\": {\"x\": \"a\\\"b\\\\\"},\n\t\t\"longhaul\": {\n\t\t\t\"type\": \"http\",\n\t\t\t\"url\": \"u\"\n\t\t}\n\t},\n\t\"a\": null\n}",
        );
        check(
            "{\n    \"z\": true\n}\n",
            "{\n    \"z\": true,\n    \"mcpServers\": {\n        \"longhaul\": {\n            \"type\": \"http\",\n            \"url\": \"u\"\n        }\n    }\n}\n",
        );
        check(
            "{\n  \"mcpServers\": {\n    \"longhaul\": {\n      \"url\": \"old\"\n    },\n    \"a\": {}\n  }\n}\n",
            "{\n  \"mcpServers\": {\n    \"longhaul\": {\n      \"type\": \"http\",\n      \"url\": \"u\"\n    },\n    \"a\": {}\n  }\n}\n",
        );
        check(
            "{\n  \"mcpServers\": {},\n  \"a\": 1\n}\n",
            "{\n  \"mcpServers\": {\n    \"longhaul\": {\n      \"type\": \"http\",\n      \"url\": \"u\"\n    }\n  },\n  \"a\": 1\n}\n",
        );
    }

    #[test]
    fn what_is_not_understood_is_left_alone() {
        for bad in
            ["{", "{\"a\": 1,}", "// no\n{}", "[]", "\u{feff}{}", "{\"mcpServers\": []}", "{\"mcpServers\": null}"]
        {
            assert!(set(bad, "mcpServers", "longhaul", |_| json!({})).is_err(), "{bad}");
        }
    }
}
