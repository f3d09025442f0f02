//! Where text goes: the batch log or standard output, and the logs that a do-file opens itself.
//!
//! Exactly one write per complete line: a reader that tails the log sees a line when its newline is there, and a killed
//! process leaves a log that ends on a line boundary. Long lines wrap at the line size with `> `.

use std::fs::File;
use std::io::Write;

use crate::bytes;

/// Which output is shown: none, errors only, everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Inside `capture`.
    Silent,
    /// Inside `quietly`: error text is shown.
    Quiet,
    /// The default.
    Noisy,
}

/// What a piece of text is: SMCL marks it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// An echoed command.
    Command,
    /// Ordinary output.
    Text,
    /// A result.
    Result,
    /// An error.
    Error,
}

impl Style {
    fn tag(self) -> &'static str {
        match self {
            Self::Command => "{com}",
            Self::Text => "{txt}",
            Self::Result => "{res}",
            Self::Error => "{err}",
        }
    }
}

/// A log opened by `log using`.
pub(crate) struct OwnLog {
    /// `name()`, or `<unnamed>`.
    pub(crate) name: String,
    /// Its path, as the opening block prints it.
    pub(crate) path: String,
    /// When it was opened, as the block says it.
    pub(crate) opened: String,
    /// SMCL, or plain text.
    pub(crate) smcl: bool,
    file: File,
    on: bool,
}

/// `log on` and `log off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogSwitch {
    /// The log is written again.
    On,
    /// It pauses.
    Off,
}

/// The writer.
pub(crate) struct Out {
    main: Box<dyn Write>,
    logs: Vec<OwnLog>,
    line: Vec<u8>,
    /// The same line for logs in SMCL; empty while there are none.
    marked: Vec<u8>,
    /// What the text is that is being put, and what the last mark in SMCL says.
    style: Style,
    shown: Style,
    col: usize,
    /// Width at which lines wrap; 79 in batch mode.
    pub(crate) linesize: usize,
    /// Which output is shown now.
    pub(crate) level: Level,
}

/// Hands on what it was given when it is dropped, as a program does that buffers its output.
pub(crate) struct Late {
    held: Vec<u8>,
    to: Box<dyn Write>,
}

impl Late {
    pub(crate) fn new(to: Box<dyn Write>) -> Self {
        Self { held: Vec::new(), to }
    }
}

impl Write for Late {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.held.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        // As a log that cannot be written: lost.
        let _ = self.to.write_all(&self.held);
        let _ = self.to.flush();
    }
}

impl Out {
    /// A writer to `main`, which should not buffer.
    pub(crate) fn new(main: Box<dyn Write>) -> Self {
        Self {
            main,
            logs: Vec::new(),
            line: Vec::new(),
            marked: Vec::new(),
            style: Style::Text,
            shown: Style::Text,
            col: 0,
            linesize: 79,
            level: Level::Noisy,
        }
    }

    /// Prints ordinary output, if it is to be seen.
    pub(crate) fn print(&mut self, text: &str) {
        if self.level == Level::Noisy {
            self.put(text);
        }
    }

    /// Prints a line of ordinary output.
    pub(crate) fn println(&mut self, text: &str) {
        self.print(text);
        self.print("\n");
    }

    /// Prints error text: seen under `quietly`, not under `capture`.
    pub(crate) fn error(&mut self, text: &str) {
        if self.level != Level::Silent {
            self.put_as(Style::Error, text);
        }
    }

    /// Prints a message that wraps between words with a hanging indent of four, as Stata's own messages do.
    pub(crate) fn error_paragraph(&mut self, text: &str) {
        if self.level != Level::Silent {
            let wrapped = paragraph(text, self.linesize);
            self.put_as(Style::Error, &format!("{wrapped}\n"));
        }
    }

    /// Prints a note in the same manner, if ordinary output is seen.
    pub(crate) fn note(&mut self, text: &str) {
        if self.level == Level::Noisy {
            let wrapped = paragraph(text, self.linesize);
            self.put(&format!("{wrapped}\n"));
        }
    }

    /// Prints an echoed command at any level.
    pub(crate) fn echo(&mut self, text: &str) {
        self.put_as(Style::Command, text);
    }

    /// Prints a line of a return code at any level.
    pub(crate) fn code(&mut self, rc: i32, rest: &str) {
        let plain = format!("r({rc});");
        let marked = format!("{{search r({rc}), local:{plain}}}");
        self.put("");
        let before = self.marked.len();
        self.put(&plain);
        if self.marks() {
            self.mark(before, &plain, &marked);
        }
        self.put(&format!("{rest}\n"));
    }

    /// Puts a rule over the whole width.
    pub(crate) fn rule(&mut self) {
        let plain = "-".repeat(self.linesize);
        let before = self.marked.len();
        self.put(&plain);
        if self.marks() {
            self.mark(before, &plain, "{.-}");
        }
        self.put("\n");
    }

    /// Replaces what was put since `before` by its form in SMCL.
    fn mark(&mut self, before: usize, plain: &str, marked: &str) {
        let put = String::from_utf8_lossy(&self.marked[before..]).replace(plain, marked);
        self.marked.truncate(before);
        self.marked.extend_from_slice(put.as_bytes());
    }

    fn marks(&self) -> bool {
        self.logs.iter().any(|l| l.smcl)
    }

    /// Prints ordinary text at any level; wraps at the line size.
    pub(crate) fn put(&mut self, text: &str) {
        self.put_as(Style::Text, text);
    }

    /// Prints at any level; wraps at the line size.
    pub(crate) fn put_as(&mut self, style: Style, text: &str) {
        self.style = style;
        let marks = self.marks();
        let mut buf = [0; 4];
        for c in text.chars() {
            if c == '\n' {
                self.restyle(marks);
                self.end_line();
                continue;
            }
            if self.col >= self.linesize {
                self.end_line();
                self.line.extend_from_slice(b"> ");
                if marks {
                    self.marked.extend_from_slice(b"> ");
                }
                self.col = 2;
            }
            if marks {
                // Blanks before the first word carry the mark of what was before, as in Stata's own logs.
                if c != ' ' {
                    self.restyle(marks);
                }
                match c {
                    '{' => self.marked.extend_from_slice(b"{c -(}"),
                    '}' => self.marked.extend_from_slice(b"{c )-}"),
                    _ => self.marked.extend_from_slice(c.encode_utf8(&mut buf).as_bytes()),
                }
            }
            match bytes::byte(c) {
                Some(byte) => self.line.push(byte),
                None => self.line.extend_from_slice(c.encode_utf8(&mut buf).as_bytes()),
            }
            self.col += 1;
        }
    }

    fn restyle(&mut self, marks: bool) {
        if marks && self.shown != self.style {
            self.marked.extend_from_slice(self.style.tag().as_bytes());
            self.shown = self.style;
        }
    }

    /// Adds bytes as they are, without wrapping; for output that is not valid text on purpose.
    pub(crate) fn put_bytes(&mut self, bytes: &[u8]) {
        self.line.extend_from_slice(bytes);
        if self.marks() {
            self.marked.extend_from_slice(bytes);
        }
    }

    /// Ends the line and hands it to the system in one write.
    pub(crate) fn end_line(&mut self) {
        self.line.push(b'\n');
        self.marked.push(b'\n');
        // A log that cannot be written (disk full) loses text, but does not stop the user's program.
        let _ = self.main.write_all(&self.line);
        let _ = self.main.flush();
        for log in self.logs.iter_mut().filter(|l| l.on) {
            let _ = log.file.write_all(if log.smcl { &self.marked } else { &self.line });
        }
        self.line.clear();
        self.marked.clear();
        self.col = 0;
    }

    /// Shows an unfinished line now: a prompt on a terminal, or the last prompt at the end of input.
    pub(crate) fn flush_partial(&mut self) {
        let _ = self.main.write_all(&self.line);
        let _ = self.main.flush();
        self.line.clear();
    }

    /// Forgets the unfinished line's width: the terminal has moved to a new line by itself.
    pub(crate) fn typed_line(&mut self) {
        self.col = 0;
    }

    /// Column of the next character, from 0.
    pub(crate) fn column(&self) -> usize {
        self.col
    }

    /// Starts a log of the do-file's own.
    pub(crate) fn open_log(&mut self, name: String, path: String, opened: String, smcl: bool, mut file: File) {
        if smcl {
            let _ = file.write_all(b"{smcl}\n{com}{sf}{ul off}");
            self.shown = Style::Command;
        }
        self.logs.push(OwnLog { name, path, opened, smcl, file, on: true });
    }

    /// The logs that are open.
    pub(crate) fn logs(&self) -> &[OwnLog] {
        &self.logs
    }

    /// Suspends or resumes a log; `false` if there is none of that name.
    pub(crate) fn switch_log(&mut self, name: &str, switch: LogSwitch) -> bool {
        let Some(log) = self.logs.iter_mut().find(|l| l.name == name) else { return false };
        log.on = switch == LogSwitch::On;
        true
    }

    /// Ends a log.
    pub(crate) fn close_log(&mut self, name: &str) {
        for log in self.logs.iter_mut().filter(|l| l.name == name && l.smcl) {
            let _ = log.file.write_all(b"{smcl}\n{txt}{sf}{ul off}");
        }
        self.logs.retain(|l| l.name != name);
    }
}

/// Breaks `text` between words so that no line is longer than `width`; following lines are indented by four, and a
/// word that is too long by itself continues after `> `.
pub(crate) fn paragraph(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let own = text.len() - text.trim_start_matches(' ').len();
    if own > 0 {
        return format!("{}{}", &text[..own], paragraph(&text[own..], width.saturating_sub(own).max(20)));
    }
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let len = word.chars().count();
        let last = lines.last().map_or(0, |l| l.chars().count());
        if last > 0 && lines.last().is_some_and(|l| !l.trim().is_empty()) && last + 1 + len <= width {
            if let Some(l) = lines.last_mut() {
                l.push(' ');
                l.push_str(word);
            }
            continue;
        }
        let mut chars: Vec<char> = word.chars().collect();
        let mut lead = if lines.len() == 1 && last == 0 { String::new() } else { "    ".to_owned() };
        loop {
            // Measured: a word that has to be broken leaves two columns of the line free.
            let room = if lead.chars().count() + chars.len() <= width { chars.len() } else { width - 2 - lead.len() };
            let rest = chars.split_off(room.min(chars.len()));
            let piece = format!("{lead}{}", chars.iter().collect::<String>());
            if lines.len() == 1 && lines[0].is_empty() {
                lines[0] = piece;
            } else {
                lines.push(piece);
            }
            if rest.is_empty() {
                break;
            }
            chars = rest;
            "    > ".clone_into(&mut lead);
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_wrap_between_words() {
        let check = |text: &str, want: &str| assert_eq!(paragraph(text, 79), want);
        check("file main.do not found", "file main.do not found");
        check(
            r"file C:\Users\Zong\gslab_make\test\raw\run_program\stata_script_abc.do not found",
            "file C:\\Users\\Zong\\gslab_make\\test\\raw\\run_program\\stata_script_abc.do not\n    found",
        );
        check(
            "(file /tmp/claude-1000/-home-tpcopeland-Stata-Dev/94c42f6b-b973-4f8d-af0d-4e2fbd74b85a/scratchpad/pilot_300/iivw/qa/_cr_blocks/cr_300_00001_01000.dta not found)",
            "(file\n    /tmp/claude-1000/-home-tpcopeland-Stata-Dev/94c42f6b-b973-4f8d-af0d-4e2fb\n    > d74b85a/scratchpad/pilot_300/iivw/qa/_cr_blocks/cr_300_00001_01000.dta\n    not found)",
        );
    }
}
