//! What a help file is made of.

use super::span::Span;

/// A name that may be shortened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Short {
    pub(super) whole: String,
    pub(super) short: String,
}

/// One piece of a help file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// Title of a section (1), or of a part of one (2).
    Heading(u8, String),
    /// Lines of a paragraph, filled; `indent` of its first line, columns.
    Paragraph { lines: Vec<Vec<Span>>, indent: usize, shorts: Vec<Short> },
    /// A row of two columns.
    Row { left: Vec<Span>, right: Vec<Span>, shorts: Vec<Short> },
    /// The title of the rows that follow.
    Group(String),
    /// Lines as they are laid out.
    Lines(Vec<Vec<Span>>),
}
