//! Help files from before SMCL: lines as they are laid out, `^text^` stressed, `@topic!text@` a link.

use super::{
    blocks::Block,
    span::{Span, Style},
};

/// All of it, a block for each group of lines.
pub(super) fn read(text: &str) -> Vec<Block> {
    let mut blocks = vec![];
    let mut lines: Vec<Vec<Span>> = vec![];
    for line in text.lines() {
        let line = line.trim_end();
        if line.trim().is_empty() || line.trim() == ".-" {
            if !lines.is_empty() {
                blocks.push(Block::Lines(std::mem::take(&mut lines)));
            }
            continue;
        }
        let shown = match line.strip_prefix(".-") {
            Some(rest) => rest.to_owned(),
            None => unmarked(line),
        };
        lines.push(vec![Span { text: shown, style: Style::Plain, link: String::new() }]);
    }
    if !lines.is_empty() {
        blocks.push(Block::Lines(lines));
    }
    blocks
}

/// Without its marks, where they come in pairs.
fn unmarked(line: &str) -> String {
    let mut out = line.to_owned();
    if line.matches('^').count().is_multiple_of(2) {
        out = out.replace('^', "");
    }
    let parts: Vec<&str> = out.split('@').collect();
    if parts.len().is_multiple_of(2) {
        return out;
    }
    let shown = |(n, part): (usize, &&str)| match part.split_once('!') {
        Some((_, text)) if n % 2 == 1 && !text.is_empty() => text.to_owned(),
        _ => (*part).to_owned(),
    };
    parts.iter().enumerate().map(shown).collect()
}
