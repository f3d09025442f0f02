//! JSON, with comments or without: the text is cut at the one place that changes. A library would write all of it anew,
//! or lay out afresh what is around the place.

use jsonc_parser::{
    CollectOptions, ParseOptions,
    ast::{self, ObjectProp},
    common::Ranged,
    parse_to_ast,
};
use serde_json::{Map, Value};

use super::{At, EditError, Format};

/// See [`super::get`].
pub(super) fn get(format: Format, text: &str, at: At<'_>) -> Result<Option<Value>, EditError> {
    let Some(root) = root(format, text)? else { return Ok(None) };
    let Some(servers) = servers(&root, at.list)? else { return Ok(None) };
    Ok(member(servers, at.name).map(|(_, found)| found.value.clone().into()))
}

/// See [`super::set`].
pub(super) fn set(format: Format, text: &str, at: At<'_>, entry: &Value) -> Result<Option<String>, EditError> {
    let Some(root) = root(format, text)? else {
        // Comments alone stay above what is added.
        let above = Some(text.trim_end()).filter(|above| !above.is_empty()).map(|above| format!("{above}\n"));
        let whole = serde_json::json!({at.list: {at.name: entry}});
        return Ok(Some(format!("{}{whole:#}\n", above.unwrap_or_default())));
    };
    let layout = Layout::of(text);
    let changed = match servers(&root, at.list)? {
        None => {
            let list = Value::Object(Map::from_iter([(at.name.to_owned(), entry.clone())]));
            layout.insert(&root, 1, at.list, &list)
        }
        Some(servers) => match member(servers, at.name) {
            Some((_, present)) if Value::from(present.value.clone()) == *entry => return Ok(None),
            Some((_, present)) => {
                let old = present.value.range();
                let style = if text[old.start..old.end].contains('\n') { Style::Spread } else { layout.style(servers) };
                cut(text, old.start, old.end, &layout.write(entry, 2, style))
            }
            None => layout.insert(servers, 2, at.name, entry),
        },
    };
    let mut expected = Value::from(ast::Value::Object(root.clone()));
    expected[at.list][at.name] = entry.clone();
    checked(format, changed, &expected).map(Some)
}

/// See [`super::remove`].
pub(super) fn remove(format: Format, text: &str, at: At<'_>) -> Result<Option<String>, EditError> {
    let Some(root) = root(format, text)? else { return Ok(None) };
    let Some(servers) = servers(&root, at.list)? else { return Ok(None) };
    let Some((place, _)) = member(servers, at.name) else { return Ok(None) };
    let layout = Layout::of(text);
    let mut expected = Value::from(ast::Value::Object(root.clone()));
    let without = |from: &mut Value, key: &str| from.as_object_mut().is_some_and(|object| object.remove(key).is_some());
    // A comment in the list is the user's, and keeps it.
    let alone = servers.properties.len() == 1 && layout.only_space_around(servers, place);
    let changed = match member(&root, at.list) {
        Some((place, _)) if alone => {
            without(&mut expected, at.list);
            layout.take(&root, place)
        }
        _ => {
            without(&mut expected[at.list], at.name);
            layout.take(servers, place)
        }
    };
    checked(format, changed, &expected).map(Some)
}

/// The changed text, if it says what it should: it is the user's own file.
fn checked(format: Format, changed: String, expected: &Value) -> Result<String, EditError> {
    let got = root(format, &changed).map_err(|_| EditError::Failed)?.map(|root| Value::from(ast::Value::Object(root)));
    if got.as_ref() == Some(expected) { Ok(changed) } else { Err(EditError::Failed) }
}

/// The object that the text is; `None` when it has no value.
fn root(format: Format, text: &str) -> Result<Option<ast::Object<'_>>, EditError> {
    let lenient = format == Format::Jsonc;
    let options = ParseOptions {
        allow_comments: lenient,
        allow_trailing_commas: lenient,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let bad = |line, column, what: String| EditError::NotValid { format: "JSON", line, column, what };
    if text.starts_with('\u{feff}') {
        return Err(bad(1, 1, "a byte order mark".to_owned()));
    }
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options)
        .map_err(|error| bad(error.line_display(), error.column_display(), error.kind().to_string().to_lowercase()))?;
    match parsed.value {
        None => Ok(None),
        Some(ast::Value::Object(root)) => Ok(Some(root)),
        Some(_) => Err(EditError::NotAnObject("the whole".to_owned(), "an object")),
    }
}

/// The list of servers; `None` when there is none.
fn servers<'a, 'b>(root: &'b ast::Object<'a>, list: &str) -> Result<Option<&'b ast::Object<'a>>, EditError> {
    match member(root, list).map(|(_, found)| &found.value) {
        None => Ok(None),
        Some(ast::Value::Object(servers)) => Ok(Some(servers)),
        Some(_) => Err(EditError::NotAnObject(format!("`{list}`"), "an object")),
    }
}

/// A member and its place; of two with one name the last counts, as for every reader of JSON that we know.
fn member<'a, 'b>(object: &'b ast::Object<'a>, name: &str) -> Option<(usize, &'b ObjectProp<'a>)> {
    object.properties.iter().enumerate().rev().find(|(_, property)| property.name.as_str() == name)
}

/// The text with `new` in place of what is from `start` to `end`.
fn cut(text: &str, start: usize, end: usize, new: &str) -> String {
    format!("{}{new}{}", &text[..start], &text[end..])
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    OneLine,
    /// A member a line.
    Spread,
}

/// How a text is laid out.
struct Layout<'t> {
    text: &'t str,
    unit: String,
    newline: &'static str,
}

impl<'t> Layout<'t> {
    fn of(text: &'t str) -> Self {
        let space = |line: &str| line[..line.len() - line.trim_start_matches([' ', '\t']).len()].to_owned();
        let unit = text.lines().skip(1).map(space).find(|space| !space.is_empty());
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        Self { text, unit: unit.unwrap_or_else(|| "  ".into()), newline }
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
                out.push_str(self.newline);
                out.push_str(&self.unit.repeat(depth + (line.len() - inner.len()) / 2));
            }
            out.push_str(inner);
        }
        out
    }

    /// How an object is written; an empty one follows its file.
    fn style(&self, object: &ast::Object<'_>) -> Style {
        let whole = self.text.trim();
        let own = if object.properties.is_empty() { whole } else { &self.text[object.range.start..object.range.end] };
        if own.contains('\n') || whole == "{}" { Style::Spread } else { Style::OneLine }
    }

    /// The text with one more member at the end of the object, `depth` levels deep.
    fn insert(&self, object: &ast::Object<'_>, depth: usize, name: &str, value: &Value) -> String {
        let (text, style) = (self.text, self.style(object));
        let spread = style == Style::Spread;
        let colon = if spread { ": " } else { ":" };
        let member = format!("{}{colon}{}", Value::String(name.to_owned()), self.write(value, depth, style));
        let own = if spread { format!("{}{}{member}", self.newline, self.unit.repeat(depth)) } else { member };
        let close = object.range.end - 1;
        let Some(last) = object.properties.last() else {
            let end = if spread { format!("{}{}", self.newline, self.unit.repeat(depth - 1)) } else { String::new() };
            // After comments in it; space before the end is made anew.
            let kept = text[..close].trim_end().len();
            return cut(text, kept, close, &format!("{own}{end}"));
        };
        // A comment at the end of the last member's line is about that member.
        match self.comma_after(last.range.end) {
            Some(comma) => {
                let after = self.line_of(comma + 1, close);
                cut(text, after, after, &format!("{own},"))
            }
            None => {
                let after = self.line_of(last.range.end, close);
                format!("{},{}{own}{}", &text[..last.range.end], &text[last.range.end..after], &text[after..])
            }
        }
    }

    /// The text without the member at this place of an object: what [`Self::insert`] added, or as much of another's.
    fn take(&self, object: &ast::Object<'_>, place: usize) -> String {
        let (text, own) = (self.text, object.properties[place].range);
        let start = text[..own.start].trim_end().len();
        if let Some(comma) = self.comma_after(own.end) {
            return cut(text, start, comma + 1, "");
        }
        if let Some(before) = place.checked_sub(1).map(|before| object.properties[before].range.end) {
            let comma = self.comma_after(before).unwrap_or(before);
            return format!("{}{}{}", &text[..comma], &text[(comma + 1).min(start)..start], &text[own.end..]);
        }
        // An object that has nothing left in it, no comment either, is written as one.
        let close = object.range.end - 1;
        let empty = start == object.range.start + 1 && text[own.end..close].trim().is_empty();
        cut(text, start, if empty { close } else { own.end }, "")
    }

    /// Whether nothing but space and a comma is in the object beside its member at this place.
    fn only_space_around(&self, object: &ast::Object<'_>, place: usize) -> bool {
        let own = object.properties[place].range;
        let around = [&self.text[object.range.start + 1..own.start], &self.text[own.end..object.range.end - 1]];
        around.iter().all(|part| part.trim_matches(|c: char| c.is_whitespace() || c == ',').is_empty())
    }

    /// Where the comma is that follows, after space and comments.
    fn comma_after(&self, from: usize) -> Option<usize> {
        let at = skip(self.text, from);
        (self.text.as_bytes().get(at) == Some(&b',')).then_some(at)
    }

    /// The end of a comment that begins on the line of `from`, else `from`; never behind `limit`.
    fn line_of(&self, from: usize, limit: usize) -> usize {
        let rest = &self.text[from..limit];
        let line = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let comment = line.trim_start();
        let whole = comment.starts_with("//") || comment.starts_with("/*") && comment.trim_end().ends_with("*/");
        if whole { from + line.trim_end().len() } else { from }
    }
}

/// Where space and comments end.
fn skip(text: &str, mut from: usize) -> usize {
    loop {
        let rest = &text[from..];
        let spaced = rest.trim_start();
        from += rest.len() - spaced.len();
        let length = if spaced.starts_with("//") {
            spaced.find(['\n', '\r'])
        } else if spaced.starts_with("/*") {
            spaced.find("*/").map(|at| at + 2)
        } else {
            return from;
        };
        from += length.unwrap_or(spaced.len());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const AT: At<'_> = At { list: "mcpServers", name: "longhaul" };

    fn to(text: &str) -> Option<String> {
        set(Format::Jsonc, text, AT, &json!({"type": "http", "url": "u"})).unwrap()
    }

    fn check(text: &str, want: &str) -> String {
        let got = to(text).unwrap();
        assert_eq!(got, want, "from {text}");
        assert_eq!(to(&got), None, "a second time changes nothing");
        remove(Format::Jsonc, &got, AT).unwrap().unwrap()
    }

    #[test]
    fn the_rest_stays_as_it_was_written() {
        fn back(text: &str, want: &str) {
            assert_eq!(check(text, want), text, "what is taken is what was added");
        }
        let fresh = "{\n  \"mcpServers\": {\n    \"longhaul\": {\n      \"type\": \"http\",\n      \"url\": \"u\"\n    }\n  }\n}\n";
        assert!(super::super::is_empty(&check("", fresh)));
        back("{}\n", fresh);
        assert_eq!(
            check("{\"mcpServers\":{}}", "{\"mcpServers\":{\"longhaul\":{\"type\":\"http\",\"url\":\"u\"}}}"),
            "{}"
        );
        back(
            "{\"z\":1.50,\"mcpServers\":{\"b\":{\"x\":\"\\u00e9, }\"}},\"a\":[{}]}",
            "{\"z\":1.50,\"mcpServers\":{\"b\":{\"x\":\"\\u00e9, }\"},\"longhaul\":{\"type\":\"http\",\"url\":\"u\"}},\"a\":[{}]}",
        );
        back(
            "{\n\t\"z\": 1e3,\n\t\"mcpServers\": {\n\t\t\"b\": {\"x\": \"a\\\"b\\\\\"}\n\t},\n\t\"a\": null\n}",
            "{\n\t\"z\": 1e3,\n\t\"mcpServers\": {\n\t\t\"b\": {\"x\": \"a\\\"b\\\\\"},\n\t\t\"longhaul\": {\n\t\t\t\"type\": \"http\",\n\t\t\t\"url\": \"u\"\n\t\t}\n\t},\n\t\"a\": null\n}",
        );
        back(
            "{\n    \"z\": true\n}\n",
            "{\n    \"z\": true,\n    \"mcpServers\": {\n        \"longhaul\": {\n            \"type\": \"http\",\n            \"url\": \"u\"\n        }\n    }\n}\n",
        );
        // One that the user has changed, in the middle.
        assert_eq!(
            check(
                "{\n  \"mcpServers\": {\n    \"longhaul\": {\n      \"url\": \"old\"\n    },\n    \"a\": {}\n  }\n}\n",
                "{\n  \"mcpServers\": {\n    \"longhaul\": {\n      \"type\": \"http\",\n      \"url\": \"u\"\n    },\n    \"a\": {}\n  }\n}\n",
            ),
            "{\n  \"mcpServers\": {\n    \"a\": {}\n  }\n}\n"
        );
        let twice = "{\"mcpServers\":{\"longhaul\":{\"url\":\"a\"},\"longhaul\":{\"url\":\"b\"}}}";
        assert_eq!(get(Format::Json, twice, AT).unwrap(), Some(json!({"url": "b"})));
    }

    #[test]
    fn comments_commas_and_ends_of_lines_stay() {
        for (text, at) in [
            ("{\n  // mine\n  \"a\": 1 // about a\n}\n", "\"a\": 1, // about a\n  \"mcpServers\""),
            ("{\n  \"a\": 1, // about a\n  /* end */\n}\n", "// about a\n  \"mcpServers\""),
            (
                "{\n  \"mcpServers\": {\n    \"b\": {}, /* b */\n  },\n}\n",
                "\"b\": {}, /* b */\n    \"longhaul\": {\n      \"type\": \"http\",\n      \"url\": \"u\"\n    },\n  },\n}",
            ),
            ("{\n  \"mcpServers\": {\n    // none yet\n  }\n}\n", "// none yet\n    \"longhaul\""),
            ("{\r\n  \"a\": 1\r\n}\r\n", "\"a\": 1,\r\n  \"mcpServers\": {\r\n    \"longhaul\": {\r\n"),
            ("// alone\n{\n  \"a\": \"//, }\"\n}\n// after\n", "\"a\": \"//, }\",\n  \"mcpServers\""),
        ] {
            let got = to(text).unwrap();
            assert!(got.contains(at), "{text}\n{got}");
            assert_eq!(to(&got), None, "{got}");
            assert_eq!(remove(Format::Jsonc, &got, AT).unwrap().unwrap(), text, "{got}");
        }
        assert!(to("// only words\n").unwrap().starts_with("// only words\n{\n"));
    }

    #[test]
    fn what_is_not_understood_is_left_alone() {
        for bad in
            ["{", "{\"a\": 1,}", "// no\n{}", "[]", "\u{feff}{}", "{\"mcpServers\": []}", "{\"mcpServers\": null}"]
        {
            assert!(set(Format::Json, bad, AT, &json!({})).is_err(), "{bad}");
            assert!(remove(Format::Json, bad, AT).is_err(), "{bad}");
        }
        let why = set(Format::Json, "{\n  \"a\": 1,\n  b\n}", AT, &json!({})).unwrap_err().to_string();
        assert!(why.contains("line 3, column 3") && why.contains("Mend that line"), "{why}");
        assert_eq!(remove(Format::Json, "{\"mcpServers\": {\"a\": {}}}", AT).unwrap(), None);
    }
}
