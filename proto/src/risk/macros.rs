//! Macros whose text the code gives: what a command may be that is made of them.

use std::collections::HashMap;

use super::prefixes::{first_word, is};

/// Most texts that are remembered of one macro, and most macros.
const TEXTS: usize = 8;
const MACROS: usize = 2000;
/// Most commands that one may stand for.
const MADE: usize = 16;

/// What macros may be, by name; those of `local` and `global` are not told apart.
#[derive(Default)]
pub(super) struct Macros(HashMap<String, Vec<String>>);

impl Macros {
    /// Notes what a command without prefixes says of a macro.
    pub(super) fn note(&mut self, command: &str) {
        let (word, rest) = first_word(command);
        if is(word, "local", 3) || is(word, "global", 2) {
            let (name, text) = first_word(rest.trim_start());
            let text = text.trim_start();
            // `local x : …` asks for something, and is not followed.
            if !text.starts_with(':') {
                self.add(name, unquoted(text.strip_prefix('=').unwrap_or(text).trim()));
            }
        } else if is(word, "foreach", 4) {
            let (name, list) = first_word(rest.trim_start());
            let list = list.trim_start().trim_end_matches('{').trim_end();
            if let Some(items) = list.strip_prefix("in ") {
                items.split_whitespace().for_each(|item| self.add(name, unquoted(item)));
            }
        }
    }

    fn add(&mut self, name: &str, text: &str) {
        if name.is_empty() || text.is_empty() || (self.0.len() >= MACROS && !self.0.contains_key(name)) {
            return;
        }
        let texts = self.0.entry(name.to_owned()).or_default();
        if texts.len() < TEXTS && !texts.iter().any(|known| known == text) {
            texts.push(text.chars().take(500).collect());
        }
    }

    /// What a command may be whose first word is made of macros; nothing where it is not, or where none of them is known.
    pub(super) fn made(&self, command: &str) -> Vec<String> {
        let head = command.split([' ', '\t']).next().unwrap_or_default();
        if !head.contains(['`', '$']) {
            return Vec::new();
        }
        let mut done = Vec::new();
        let mut open = vec![(command.to_owned(), 0)];
        while let Some((text, depth)) = open.pop() {
            let Some((from, to, name)) = reference(&text) else {
                // What stands there itself has been looked at.
                done.extend(Some(text).filter(|text| text != command));
                continue;
            };
            // A macro may name itself.
            let Some(texts) = self.0.get(&name).filter(|_| depth < 4) else { continue };
            if done.len() + open.len() > MADE {
                break;
            }
            open.extend(texts.iter().map(|its| (format!("{}{its}{}", &text[..from], &text[to..]), depth + 1)));
        }
        done
    }
}

/// The first macro in the first word of a text: from where to where, and its name.
fn reference(text: &str) -> Option<(usize, usize, String)> {
    let head = text.split([' ', '\t']).next().unwrap_or_default();
    let at = head.find(['`', '$'])?;
    let (mark, rest) = head[at..].split_at(1);
    if mark == "`" {
        let name = rest.split('\'').next().filter(|name| rest.len() > name.len())?;
        return Some((at, at + 1 + name.len() + 1, name.to_owned()));
    }
    if let Some(braced) = rest.strip_prefix('{') {
        let name = braced.split('}').next().filter(|name| braced.len() > name.len())?;
        return Some((at, at + 2 + name.len() + 1, name.to_owned()));
    }
    let name = first_word(rest).0;
    (!name.is_empty()).then(|| (at, at + 1 + name.len(), name.to_owned()))
}

fn unquoted(text: &str) -> &str {
    let compound = text.strip_prefix("`\"").and_then(|text| text.strip_suffix("\"'"));
    compound.or_else(|| text.strip_prefix('"').and_then(|text| text.strip_suffix('"'))).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_macros_are_said_to_be_is_put_in() {
        let mut macros = Macros::default();
        for command in
            ["local a shell", "global b \"era\"", "loc c = `\"rm x\"'", "foreach d in use erase {", "local e `e'"]
        {
            macros.note(command);
        }
        let check = |command: &str, want: &[&str]| {
            let mut made = macros.made(command);
            made.sort();
            assert_eq!(made, want, "{command}");
        };
        check("`a' ls", &["shell ls"]);
        check("${b}se x", &["erase x"]);
        check("$b x", &["era x"]);
        check("`c'", &["rm x"]);
        check("`d' x", &["erase x", "use x"]);
        check("`e' x", &[]);
        check("`unknown' x", &[]);
        check("display `a'", &[]);
        check("`", &[]);
    }
}
