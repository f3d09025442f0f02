//! `INCLUDE help NAME`, a line of its own, or in braces: the text of another file stands in its place.

/// Longest text with everything that it includes, bytes.
pub const MOST_TEXT: usize = 8 << 20;
/// Deepest include within an include.
const DEPTH: u32 = 8;
/// Most files put in.
const MOST: u32 = 500;

/// The text with its includes put in. `find` has the text of the file of a name. What cannot be had is named.
pub fn expand(text: &str, find: &mut dyn FnMut(&str) -> Option<String>) -> String {
    let mut all = Expansion { out: String::with_capacity(text.len().min(MOST_TEXT)), left: MOST, find };
    all.add(text, 0);
    all.out
}

struct Expansion<'a> {
    out: String,
    left: u32,
    find: &'a mut dyn FnMut(&str) -> Option<String>,
}

impl Expansion<'_> {
    fn add(&mut self, text: &str, depth: u32) {
        for line in text.split_inclusive('\n') {
            let Some(name) = asked(line) else {
                self.push(line);
                continue;
            };
            if depth >= DEPTH || self.left == 0 {
                self.push(&format!("(not included: {name}, files include each other too often)\n"));
                continue;
            }
            self.left -= 1;
            match (self.find)(name) {
                Some(text) => {
                    let text = text.strip_prefix("{smcl}").map_or(&*text, |rest| rest.trim_start_matches(['\r', '\n']));
                    self.add(text, depth + 1);
                    if !text.ends_with('\n') {
                        self.push("\n");
                    }
                }
                None => self.push(&format!("(not included: {name}, which is not on the ado-path)\n")),
            }
        }
    }

    fn push(&mut self, text: &str) {
        let mut room = MOST_TEXT.saturating_sub(self.out.len()).min(text.len());
        while !text.is_char_boundary(room) {
            room -= 1;
        }
        self.out.push_str(&text[..room]);
    }
}

/// The name in a line that includes a file.
fn asked(line: &str) -> Option<&str> {
    let line = line.trim_end().trim_end_matches("{...}");
    let line = line.strip_prefix('{').and_then(|inside| inside.strip_suffix('}')).unwrap_or(line);
    let name = line.strip_prefix("INCLUDE help ")?.trim();
    (!name.is_empty() && !name.contains(char::is_whitespace)).then_some(name)
}
