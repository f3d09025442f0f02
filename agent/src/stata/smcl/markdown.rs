//! Blocks as Markdown.

mod text;

use std::{collections::HashSet, fmt::Write};

use self::text::{inline, is_code, laid_out, one_line};
use super::{
    Document, MOST_MARKDOWN,
    blocks::{Block, Short},
    span,
    span::{Span, Style},
};

/// Longest line on what a file is about, characters.
const ABOUT: usize = 160;
/// Blocks among which the row with what a file is about is.
const FIRST: usize = 6;
/// Indent from which a paragraph under the title "Syntax" is a diagram.
const DIAGRAM: usize = 8;

/// The whole file.
pub(super) fn write(name: &str, blocks: &[Block], related: &[String]) -> Document {
    let mut writer = Writer { out: format!("# help {name}\n"), ..Writer::default() };
    for block in blocks {
        if writer.out.len() > MOST_MARKDOWN {
            break;
        }
        writer.block(block);
    }
    writer.end_code();
    if writer.out.len() > MOST_MARKDOWN {
        let mut end = MOST_MARKDOWN;
        while !writer.out.is_char_boundary(end) {
            end -= 1;
        }
        writer.out.truncate(end);
        writer.out.push_str("\n\n(the rest of this help file is left out: it is too long)\n");
        writer.sections.retain(|(_, at)| *at < end);
    }
    if !related.is_empty() {
        writer.heading(1, "Related topics");
        writer.out.push('\n');
        writer.out.push_str(&related.join("; "));
        writer.out.push('\n');
    }
    Document { text: writer.out, sections: writer.sections, about: about(blocks) }
}

/// What its first row says, as official files begin; else the first words that are no title.
fn about(blocks: &[Block]) -> String {
    let row = blocks.iter().take(FIRST).find_map(|block| match block {
        Block::Row { left, right, .. } if !right.is_empty() => {
            Some(format!("{} {}", span::text(left), span::text(right)))
        }
        _ => None,
    });
    let line = row.or_else(|| {
        blocks.iter().find_map(|block| match block {
            Block::Paragraph { lines, .. } | Block::Lines(lines) => {
                lines.iter().map(|line| span::text(line)).find(|line| !is_rule(line))
            }
            _ => None,
        })
    });
    one_line(&line.unwrap_or_default()).chars().take(ABOUT).collect()
}

#[derive(Default)]
struct Writer {
    out: String,
    sections: Vec<(String, usize)>,
    /// Lines of code that are one block so far, and the short forms in them.
    code: Vec<String>,
    code_shorts: Vec<Short>,
    /// Names whose short form was told.
    told: HashSet<String>,
    in_syntax: bool,
    in_rows: bool,
}

impl Writer {
    fn block(&mut self, block: &Block) {
        let code = match block {
            Block::Paragraph { lines, indent, .. } => {
                lines.iter().all(|line| is_code(line)) || (self.in_syntax && *indent >= DIAGRAM && is_diagram(lines))
            }
            Block::Lines(lines) => lines.iter().all(|line| is_code(line)) || laid_out(without_rules(lines)),
            _ => false,
        };
        if matches!(block, Block::Lines(lines) if without_rules(lines).is_empty()) {
            return self.end_code();
        }
        if !code {
            self.end_code();
        }
        let rows = matches!(block, Block::Row { .. });
        if !(code || rows && self.in_rows) {
            self.out.push('\n');
        }
        self.in_rows = rows;
        match block {
            Block::Heading(level, title) => {
                self.in_syntax = *level == 1 && is_syntax(title) || (*level > 1 && self.in_syntax);
                self.out.pop();
                self.heading(*level, title);
            }
            Block::Group(title) => {
                let _ = writeln!(self.out, "**{}**", title.trim());
            }
            Block::Row { left, right, shorts } => self.row(left, right, shorts),
            Block::Paragraph { lines, shorts, .. } if code => {
                self.code.extend(lines.iter().map(|line| {
                    let line = one_line(&span::text(line));
                    line.strip_prefix(". ").map_or(line.clone(), str::to_owned)
                }));
                self.code_shorts.extend(shorts.iter().cloned());
            }
            Block::Paragraph { lines, shorts, .. } => self.paragraph(lines, shorts),
            Block::Lines(lines) if code => {
                if !self.code.is_empty() {
                    self.code.push(String::new());
                }
                let lines: Vec<String> = lines.iter().map(|line| span::text(line).trim_end().to_owned()).collect();
                let indent = lines.iter().map(|line| line.len() - line.trim_start_matches(' ').len()).min();
                self.code.extend(lines.iter().map(|line| line[indent.unwrap_or(0)..].to_owned()));
            }
            Block::Lines(lines) => {
                for line in without_rules(lines) {
                    let line = span::tidy(line.clone());
                    self.out.push_str(&inline(&line, true));
                    self.out.push('\n');
                }
            }
        }
    }

    fn heading(&mut self, level: u8, title: &str) {
        let title = one_line(title);
        if level == 1 {
            // The first heading says it already.
            if title == "Title" {
                return;
            }
            self.sections.push((title.clone(), self.out.len() + 1));
        }
        let marks = if level == 1 { "##" } else { "###" };
        let _ = write!(self.out, "\n{marks} {title}\n");
    }

    fn row(&mut self, left: &[Span], right: &[Span], shorts: &[Short]) {
        let left = inline(left, false);
        let left = left.trim_end().trim_end_matches('-').trim_end();
        let shorts = self.shorts(shorts, left, (" (short: ", ")"));
        let right = inline(right, true);
        let between = if right.is_empty() || left.is_empty() { "" } else { " -- " };
        let _ = writeln!(self.out, "- {left}{shorts}{between}{right}");
    }

    fn paragraph(&mut self, lines: &[Vec<Span>], shorts: &[Short]) {
        for line in lines {
            let line = inline(line, true);
            if line.starts_with(['#', '>', '+']) || line.starts_with("- ") {
                self.out.push('\\');
            }
            self.out.push_str(&line);
            self.out.push('\n');
        }
        let shorts = self.shorts(shorts, "", (" (short: ", ")"));
        if !shorts.is_empty() {
            self.out.pop();
            self.out.push_str(&shorts);
            self.out.push('\n');
        }
    }

    /// Short forms that were not told yet, beside what they stand.
    fn shorts(&mut self, shorts: &[Short], beside: &str, (before, after): (&str, &str)) -> String {
        let mut new: Vec<String> = vec![];
        for Short { whole, short } in shorts {
            if self.told.insert(whole.clone()) {
                let alone = shorts.len() == 1 && beside.trim_start_matches('`').starts_with(whole);
                new.push(if alone { format!("`{short}`") } else { format!("`{short}` = `{whole}`") });
            }
        }
        if new.is_empty() { String::new() } else { format!("{before}{}{after}", new.join(", ")) }
    }

    fn end_code(&mut self) {
        let code = std::mem::take(&mut self.code);
        if code.is_empty() {
            return;
        }
        let mut fence = "```".to_owned();
        while code.iter().any(|line| line.contains(&fence)) {
            fence.push('`');
        }
        let _ = write!(self.out, "\n{fence}\n");
        for line in &code {
            self.out.push_str(line);
            self.out.push('\n');
        }
        let _ = writeln!(self.out, "{fence}");
        let shorts = std::mem::take(&mut self.code_shorts);
        let told = self.shorts(&shorts, "", ("Short: ", "\n"));
        self.out.push_str(&told);
    }
}

/// Without the rules around text, which is no table then.
fn without_rules(lines: &[Vec<Span>]) -> &[Vec<Span>] {
    let rule = |line: &Vec<Span>| is_rule(&span::text(line));
    let start = lines.iter().position(|line| !rule(line)).unwrap_or(lines.len());
    let end = lines.iter().rposition(|line| !rule(line)).map_or(start, |at| at + 1);
    &lines[start..end]
}

fn is_rule(line: &str) -> bool {
    let line = line.trim();
    line.len() > 20 && line.bytes().all(|b| b == b'-' || b == b'=')
}

fn is_syntax(title: &str) -> bool {
    title.to_lowercase().contains("syntax") || title.contains("语法")
}

/// Whether a paragraph is what is to be typed: it begins with a word of code.
fn is_diagram(lines: &[Vec<Span>]) -> bool {
    let first = lines.first().and_then(|line| line.iter().find(|span| !span.text.trim().is_empty()));
    first.is_some_and(|span| {
        matches!(span.style, Style::Code | Style::Bold) || span.text.trim_start().starts_with(['[', '{'])
    })
}
