//! Goes through a text of SMCL once: blocks here, what stands in lines in [`super::inline`].

use super::{
    blocks::{Block, Short},
    directive::{self, Directive},
    pairs, span,
    span::{Span, Style},
};

/// Deeper directives within directives are text.
const DEPTH: u32 = 32;
/// Most related topics.
const MOST_RELATED: usize = 60;

/// What is being filled.
#[derive(Debug)]
enum Open {
    /// Lines as they are.
    Lines,
    /// A paragraph with the indent of its first line.
    Paragraph(usize),
    /// The second column of a row, whose first is this.
    Row(Vec<Span>),
}

/// All blocks of a text, and the topics to which it refers.
pub(super) fn read(text: &str, name: &str) -> (Vec<Block>, Vec<String>) {
    let mut reader = Reader {
        text,
        name,
        pairs: pairs::find(text),
        blocks: vec![],
        related: vec![],
        open: Open::Lines,
        lines: vec![],
        spans: vec![],
        shorts: vec![],
        width: 0,
        line: 0,
        mode: Style::Plain,
        asis: false,
    };
    reader.range(0, text.len(), None, 0);
    reader.flush();
    (reader.blocks, reader.related)
}

pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    /// The topic of the file: what leads there leads nowhere else.
    pub(super) name: &'a str,
    pairs: Vec<(usize, usize)>,
    blocks: Vec<Block>,
    related: Vec<String>,
    open: Open,
    /// Lines of the open block that are complete.
    lines: Vec<Vec<Span>>,
    /// The line that is being filled.
    pub(super) spans: Vec<Span>,
    pub(super) shorts: Vec<Short>,
    /// Columns of the line that is being filled.
    pub(super) width: usize,
    /// Where the line begins in the text.
    line: usize,
    /// What `{cmd}` and its like without a text said last.
    pub(super) mode: Style,
    asis: bool,
}

impl Reader<'_> {
    /// Text with its directives.
    pub(super) fn range(&mut self, start: usize, end: usize, style: Option<Style>, depth: u32) {
        let text = self.text;
        let mut at = start;
        while at < end {
            let Some(next) = memchr::memchr2(b'{', b'\n', &text.as_bytes()[at..end]).map(|n| at + n) else {
                return self.push(&text[at..end], style);
            };
            self.push(&text[at..next], style);
            if text.as_bytes()[next] == b'\n' {
                self.newline(next, style, depth);
                at = next + 1;
                continue;
            }
            at = match self.closing(next).filter(|close| *close < end && depth < DEPTH) {
                Some(close) if self.asis => self.as_it_is(next, close, style),
                Some(close) if begins_directive(&text[next + 1..close]) => self.directive(next, close, style, depth),
                None if depth < DEPTH => self.unclosed(next, end, style),
                _ => {
                    self.push("{", style);
                    next + 1
                }
            };
        }
    }

    /// Text in a style; the mode's, where none is given.
    pub(super) fn push(&mut self, text: &str, style: Option<Style>) {
        let text = text.strip_suffix('\r').unwrap_or(text);
        self.width += text.chars().count();
        span::push(&mut self.spans, text, style.unwrap_or(self.mode));
    }

    /// What a part of the text shows, apart from the line that is being filled.
    pub(super) fn capture(&mut self, (start, end): (usize, usize), style: Option<Style>, depth: u32) -> Vec<Span> {
        let (spans, width) = (std::mem::take(&mut self.spans), self.width);
        self.range(start, end, style, depth + 1);
        self.width = width;
        std::mem::replace(&mut self.spans, spans)
    }

    /// Whether lines stay as they are.
    pub(super) fn in_lines(&self) -> bool {
        matches!(self.open, Open::Lines)
    }

    /// The next line of a paragraph.
    pub(super) fn break_line(&mut self) {
        let line = std::mem::take(&mut self.spans);
        self.lines.push(line);
        self.width = 0;
    }

    fn closing(&self, open: usize) -> Option<usize> {
        let found = self.pairs.binary_search_by_key(&open, |pair| pair.0).ok()?;
        Some(self.pairs[found].1)
    }

    fn as_it_is(&mut self, open: usize, close: usize, style: Option<Style>) -> usize {
        if &self.text[open + 1..close] == "smcl" {
            self.asis = false;
        } else {
            self.push(&self.text[open..=close], style);
        }
        close + 1
    }

    /// A directive that nothing closes: its text, if it has one.
    fn unclosed(&mut self, open: usize, end: usize, style: Option<Style>) -> usize {
        let inside = &self.text[open + 1..end];
        let len = inside.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(inside.len());
        let behind = inside[len..].trim_start_matches(' ');
        if len > 0 && behind.starts_with(':') {
            return end - behind.len() + 1;
        }
        self.push("{", style);
        open + 1
    }

    fn newline(&mut self, at: usize, style: Option<Style>, depth: u32) {
        let this = self.text[self.line..at].trim().is_empty();
        self.line = at + 1;
        if depth > 0 {
            return self.push(" ", style);
        }
        if self.in_lines() {
            self.end_line();
            if this {
                self.flush();
            }
            return;
        }
        let rest = self.text[at + 1..].trim_start_matches([' ', '\t', '\r']);
        if rest.starts_with('\n') || rest.is_empty() {
            self.flush();
        } else {
            self.push(" ", None);
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.spans);
        self.width = 0;
        if !span::is_blank(&line) {
            self.lines.push(line);
        }
    }

    /// Ends the open block.
    fn flush(&mut self) {
        self.end_line();
        let lines = std::mem::take(&mut self.lines);
        let shorts = std::mem::take(&mut self.shorts);
        self.mode = if self.in_lines() { self.mode } else { Style::Plain };
        match std::mem::replace(&mut self.open, Open::Lines) {
            Open::Lines if lines.is_empty() => {}
            Open::Lines => self.blocks.push(Block::Lines(lines)),
            Open::Paragraph(indent) => {
                let lines: Vec<_> = lines.into_iter().map(span::tidy).filter(|line| !line.is_empty()).collect();
                if !lines.is_empty() {
                    self.blocks.push(Block::Paragraph { lines, indent, shorts });
                }
            }
            Open::Row(left) => self.end_row(span::tidy(left), lines, shorts),
        }
    }

    fn end_row(&mut self, left: Vec<Span>, lines: Vec<Vec<Span>>, shorts: Vec<Short>) {
        let blank = || Span { text: " ".to_owned(), ..Span::default() };
        let mut right = vec![];
        for line in lines {
            right.extend(line);
            right.push(blank());
        }
        let right = span::tidy(right);
        if !left.is_empty() {
            let title = right.is_empty() && left.iter().all(|span| span.style != Style::Code);
            return self.blocks.push(if title {
                Block::Group(span::text(&left))
            } else {
                Block::Row { left, right, shorts }
            });
        }
        if right.is_empty() {
            return;
        }
        match self.blocks.last_mut() {
            Some(Block::Row { right: before, shorts: known, .. }) => {
                before.push(blank());
                before.extend(right);
                known.extend(shorts);
            }
            _ => self.blocks.push(Block::Paragraph { lines: vec![right], indent: 0, shorts }),
        }
    }

    /// One directive; returns where the text goes on.
    fn directive(&mut self, open: usize, close: usize, style: Option<Style>, depth: u32) -> usize {
        let text = self.text;
        let inside = &text[open + 1..close];
        if inside == "..." {
            // The line goes on in the next one.
            let next = text[close + 1..].strip_prefix('\r').map_or(close + 1, |_| close + 2);
            return if text[next..].starts_with('\n') { next + 1 } else { close + 1 };
        }
        if inside.starts_with('*') {
            return close + 1;
        }
        let directive = directive::parse(text, open + 1, close);
        if depth > 0 || !self.block(&directive) {
            self.inline(open, &directive, style, depth);
        }
        close + 1
    }

    /// Whether it begins or ends a block, or stands between blocks.
    fn block(&mut self, directive: &Directive<'_>) -> bool {
        let plain = |directive: &Directive<'_>| directive.text.unwrap_or(directive.rest);
        match directive.name {
            "p_end" => self.flush(),
            "p" => {
                let indent = directive.arguments.split_whitespace().next().and_then(|n| n.parse().ok());
                self.begin(Open::Paragraph(indent.unwrap_or(0)));
            }
            "pstd" | "psee" | "phang" | "pmore" | "pin" => self.begin(Open::Paragraph(4)),
            "phang2" | "pmore2" | "pin2" => self.begin(Open::Paragraph(8)),
            "phang3" | "pmore3" | "pin3" => self.begin(Open::Paragraph(12)),
            "title" | "dlgtab" | "syntab" => {
                self.flush();
                self.mode = Style::Plain;
                let title = span::tidy(self.capture(plain(directive), None, 0));
                // A title is shown in one style.
                let (title, level) = (span::text(&title), if directive.name == "title" { 1 } else { 2 });
                if !title.is_empty() {
                    self.blocks.push(match directive.name {
                        "syntab" => Block::Group(title),
                        _ => Block::Heading(level, title),
                    });
                }
            }
            "synopt" | "p2col" | "p2coldent" | "p2coldent1" => {
                self.flush();
                let left = self.capture(plain(directive), None, 0);
                self.open = Open::Row(left);
            }
            "synoptset" | "p2colset" | "p2colreset" | "synopthdr" | "synoptline" | "p2line" => self.flush(),
            "asis" => self.asis = true,
            "smcl" | "marker" | "viewerjumpto" => {}
            "vieweralsosee" | "viewerdialog" => self.relate(directive),
            _ => return false,
        }
        true
    }

    fn begin(&mut self, open: Open) {
        self.flush();
        self.open = open;
    }

    fn relate(&mut self, directive: &Directive<'_>) {
        let text = &self.text[directive.rest.0..directive.rest.1];
        let (label, rest) = directive::quoted(text);
        let (target, _) = directive::quoted(rest);
        let topic = target.strip_prefix("help ").unwrap_or_default().trim();
        let line = match (label.trim(), topic) {
            ("" | "--", "") => return,
            (label, "") if directive.name == "viewerdialog" => format!("dialog {label}"),
            (label, topic) if topic.is_empty() || label.contains(topic) => label.to_owned(),
            ("" | "--", topic) => topic.to_owned(),
            (label, topic) => format!("{label} (help {topic})"),
        };
        if self.related.len() < MOST_RELATED && !self.related.contains(&line) {
            self.related.push(line);
        }
    }
}

/// Whether braces around this are a directive: a brace of code is followed by a blank or a line's end.
fn begins_directive(inside: &str) -> bool {
    inside.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '*' | '.'))
}
