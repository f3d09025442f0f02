//! A file of SMCL as the text that Stata's viewer shows.

use super::lines::{Dialect, Line, LineReader, Paragraph};
use crate::encoding::Encoding;

/// Columns that a paragraph is filled to, as Stata's viewer does by default.
const WIDTH: usize = 79;

/// Whether bytes from the beginning of a file are SMCL.
pub fn is_smcl(first: &[u8]) -> bool {
    first.trim_ascii_start().starts_with(b"{smcl}")
}

/// Shows SMCL that is pushed in chunks: tags become what they display, and paragraphs (`{p}` to `{p_end}`) are filled.
#[derive(Debug, Default)]
pub struct DisplayedSmcl {
    reader: LineReader,
    filled: Filled,
}

/// Lines that are put together.
#[derive(Debug, Default)]
struct Filled {
    paragraph: String,
}

impl DisplayedSmcl {
    /// For bytes from the middle of a file, of which the first is at this offset.
    pub fn at(offset: u64) -> Self {
        let dialect = Dialect { smcl: true, ..Dialect::PLAIN };
        Self { reader: LineReader::at(offset, dialect), filled: Filled::default() }
    }

    /// The same, for a file whose words are in this encoding where they are no UTF-8.
    #[must_use]
    pub fn in_encoding(self, encoding: Encoding) -> Self {
        Self { reader: self.reader.in_encoding(encoding), ..self }
    }

    /// Appends to `text` what the next bytes complete.
    pub fn push(&mut self, bytes: &[u8], text: &mut String) {
        self.reader.push(bytes, |line| self.filled.line(&line, text));
    }

    /// Appends the rest.
    pub fn finish(mut self, text: &mut String) {
        if let Some(last) = self.reader.partial() {
            self.filled.line(&last, text);
        }
        self.filled.fill(text);
    }
}

impl Filled {
    fn line(&mut self, line: &Line, text: &mut String) {
        if line.paragraph != Paragraph::None {
            if line.paragraph == Paragraph::Begins {
                self.fill(text);
            }
            self.paragraph.push_str(&line.text);
            self.paragraph.push(' ');
            return;
        }
        self.fill(text);
        // A line of tags alone says only how the next ones look.
        if !line.text.is_empty() || line.raw.trim_ascii().is_empty() {
            text.push_str(line.text.trim_end());
            text.push('\n');
        }
    }

    /// Ends a paragraph.
    fn fill(&mut self, text: &mut String) {
        let mut width = 0;
        for word in std::mem::take(&mut self.paragraph).split_whitespace() {
            let chars = word.chars().count();
            if width > 0 && width + 1 + chars > WIDTH {
                text.push('\n');
                width = 0;
            }
            if width > 0 {
                text.push(' ');
                width += 1;
            }
            text.push_str(word);
            width += chars;
        }
        if width > 0 {
            text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smcl_is_shown_as_a_viewer_shows_it() {
        fn check(smcl: &str, want: &str) {
            assert!(is_smcl(smcl.as_bytes()));
            for size in [1, 7, 1_000] {
                let (mut shown, mut text) = (DisplayedSmcl::default(), String::new());
                smcl.as_bytes().chunks(size).for_each(|bytes| shown.push(bytes, &mut text));
                shown.finish(&mut text);
                assert_eq!(text, want, "{smcl}");
            }
        }
        check("{smcl}\n{com}. di 6*7\n{res}42\n\n{txt}end of do-file\n", ". di 6*7\n42\n\nend of do-file\n");
        check(
            "{smcl}\n{err}{p 0 4 2}\nfile {bf:x.dta}\nnot found\n{p_end}\n{txt}{search r(601), local:r(601);}\n",
            "file x.dta not found\nr(601);\n",
        );
        check("{smcl}\n{txt}{hline 3}{c |}{hline 3}\n{col 5}{cmd:b}", "---|---\n    b\n");
        check("{smcl}\n{pstd}\none\ntwo\n\n{bf:three}\nfour\n", "one two\n\nthree\nfour\n");
        let words = "word ".repeat(20);
        let filled = format!("{}\n{}\n", "word ".repeat(16).trim_end(), "word ".repeat(4).trim_end());
        check(&format!("{{smcl}}\n{{p}}{words}\n{{p_end}}\n"), &filled);
    }

    #[test]
    fn other_text_is_no_smcl() {
        assert!(!is_smcl(b"a,b\n1,2\n") && !is_smcl(b"{txt}x") && !is_smcl(b""));
    }
}
