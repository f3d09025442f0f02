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

/// A log opened by `log using`.
pub(crate) struct OwnLog {
    /// `name()`, or `<unnamed>`.
    pub(crate) name: String,
    /// Its path, as the opening block prints it.
    pub(crate) path: String,
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
        Self { main, logs: Vec::new(), line: Vec::new(), col: 0, linesize: 79, level: Level::Noisy }
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
            self.put(text);
        }
    }

    /// Prints a message that wraps between words with a hanging indent of four, as Stata's own messages do.
    pub(crate) fn error_paragraph(&mut self, text: &str) {
        if self.level != Level::Silent {
            let wrapped = paragraph(text, self.linesize);
            self.put(&wrapped);
            self.put("\n");
        }
    }

    /// Prints a note in the same manner, if ordinary output is seen.
    pub(crate) fn note(&mut self, text: &str) {
        if self.level == Level::Noisy {
            self.error_paragraph(text);
        }
    }

    /// Prints at any level; wraps at the line size.
    pub(crate) fn put(&mut self, text: &str) {
        let mut buf = [0; 4];
        for c in text.chars() {
            if c == '\n' {
                self.end_line();
                continue;
            }
            if self.col >= self.linesize {
                self.end_line();
                self.line.extend_from_slice(b"> ");
                self.col = 2;
            }
            match bytes::byte(c) {
                Some(byte) => self.line.push(byte),
                None => self.line.extend_from_slice(c.encode_utf8(&mut buf).as_bytes()),
            }
            self.col += 1;
        }
    }

    /// Adds bytes as they are, without wrapping; for output that is not valid text on purpose.
    pub(crate) fn put_bytes(&mut self, bytes: &[u8]) {
        self.line.extend_from_slice(bytes);
    }

    /// Ends the line and hands it to the system in one write.
    pub(crate) fn end_line(&mut self) {
        self.line.push(b'\n');
        // A log that cannot be written (disk full) loses text, but does not stop the user's program.
        let _ = self.main.write_all(&self.line);
        let _ = self.main.flush();
        for log in self.logs.iter_mut().filter(|l| l.on) {
            let _ = log.file.write_all(&self.line);
        }
        self.line.clear();
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
    pub(crate) fn open_log(&mut self, name: String, path: String, file: File) {
        self.logs.push(OwnLog { name, path, file, on: true });
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

    /// Forgets a log.
    pub(crate) fn close_log(&mut self, name: &str) {
        self.logs.retain(|l| l.name != name);
    }
}

/// Breaks `text` between words so that no line is longer than `width`; following lines are indented by four, and a
/// word that is too long by itself continues after `> `.
pub(crate) fn paragraph(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
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
