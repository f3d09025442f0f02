//! Changes one entry of a client's configuration file, and leaves every other byte as it is.
//!
//! The file belongs to the user: comments, order, indentation, numbers and escapes stay as they were written, and a text
//! that is not understood is not changed. Each change is read again and compared before it counts.

mod json;
mod toml;

use serde_json::Value;

/// How a client's file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// JSON as its standard has it: the client reads no comment.
    Json,
    /// JSON with comments and trailing commas.
    Jsonc,
    /// TOML.
    Toml,
}

/// Where an entry is in a file: the key of the list of servers, and the server's name in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    /// The key of the list.
    pub(super) list: &'a str,
    /// The name in it.
    pub(super) name: &'a str,
}

/// Why a file was left alone.
#[derive(Debug, thiserror::Error)]
pub(super) enum EditError {
    /// The text is not of the format.
    #[error(
        "it is not valid {format}: line {line}, column {column}: {what}. Mend that line, or move the file away, and do this again"
    )]
    NotValid {
        /// The format.
        format: &'static str,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What is wrong there.
        what: String,
    },
    /// A value of another kind than expected.
    #[error("{0} in it is not {1}, so this program does not know where the entry belongs")]
    NotAnObject(String, &'static str),
    /// The edit would have changed something else: a defect of ours.
    #[error("the change could not be made; change the entry by hand (`longhaul mcp print` shows it)")]
    Failed,
}

/// The present entry.
///
/// # Errors
/// When the text is not of the format, or no object where one is expected.
pub(super) fn get(format: Format, text: &str, at: At<'_>) -> Result<Option<Value>, EditError> {
    match format {
        Format::Json | Format::Jsonc => json::get(format, text, at),
        Format::Toml => toml::get(text, at),
    }
}

/// The text with that entry; `None` when it is there already.
///
/// # Errors
/// As [`get`].
pub(super) fn set(format: Format, text: &str, at: At<'_>, entry: &Value) -> Result<Option<String>, EditError> {
    match format {
        Format::Json | Format::Jsonc => json::set(format, text, at, entry),
        Format::Toml => toml::set(text, at, entry),
    }
}

/// The text without that entry, and without the list where nothing else is in it; `None` when there is none.
///
/// # Errors
/// As [`get`].
pub(super) fn remove(format: Format, text: &str, at: At<'_>) -> Result<Option<String>, EditError> {
    match format {
        Format::Json | Format::Jsonc => json::remove(format, text, at),
        Format::Toml => toml::remove(text, at),
    }
}

/// Whether nothing is in a text: for every client the same as no file.
pub(super) fn is_empty(text: &str) -> bool {
    text.chars().filter(|c| !c.is_whitespace()).collect::<String>().trim_matches(['{', '}']).is_empty()
}
