//! SMCL, Stata's markup, as Markdown: help files for a reader who has no viewer.
//!
//! [`include`] puts files in that the text asks for, [`pairs`] finds which braces belong together, [`directive`] takes
//! one apart, [`reader`] goes through the text and makes [`blocks`] of [`span`]s, and [`markdown`] writes them.
//! [`caret`] reads the older markup of files that do not begin with `{smcl}`.
//!
//! What Stata underlines in a name, its shortest form, Markdown cannot show: it is named once beside the whole name.
//! A directive that is not known is shown as the text it is. Any text is read, in time proportional to its length.

mod blocks;
mod caret;
mod character;
mod directive;
mod include;
mod inline;
mod markdown;
mod pairs;
mod reader;
mod span;

pub use include::{MOST_TEXT, expand};

/// Longest Markdown of one file, bytes; what is behind it is left out, and the end says so.
pub const MOST_MARKDOWN: usize = 2 << 20;

/// A help file as Markdown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// All of it.
    pub text: String,
    /// Titles of its sections, and where each begins in `text`, bytes.
    pub sections: Vec<(String, usize)>,
    /// One line on what it is about; empty = it has none.
    pub about: String,
}

/// Reads a help file, its includes already put in. `name` is its topic, for the heading.
pub fn read(text: &str, name: &str) -> Document {
    if !is_smcl(text) {
        return markdown::write(name, &caret::read(text), &[]);
    }
    let (blocks, related) = reader::read(text, name);
    markdown::write(name, &blocks, &related)
}

/// Whether a text is SMCL: its first line says so, or is a directive.
fn is_smcl(text: &str) -> bool {
    let start = text.trim_start_matches('\u{feff}').trim_start();
    start.starts_with("{smcl}") || start.starts_with("{*") || start.starts_with("{p") || start.starts_with("{viewer")
}

#[cfg(test)]
mod tests;
