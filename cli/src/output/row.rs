//! One row of a terminal, below what was printed so far, that is written again and again.
//!
//! The cursor never stays at the row's end. Where the output's last line is complete it goes back to the row's first
//! cell, else to where that line ends. So a terminal that wraps its rows anew when its window gets narrower keeps the
//! cursor before all that the old row left, and erasing from there to the screen's end leaves nothing of it, also where
//! a terminal cuts its rows instead.

use std::io::{self, Write};

use super::terminal::{self, LineEnd};

/// What was printed is below its own end: a line feed that keeps the column makes sure that there is a row, and the
/// cursor goes back up.
const ROW_BELOW: &str = "\x0b\x1b[A";
const SAVE: &str = "\x1b7";
const RESTORE: &str = "\x1b8";
/// From the cursor to the end of the screen.
const ERASE: &str = "\x1b[J";

/// Where the row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drawn {
    /// The cursor is in its first cell.
    Here,
    /// Below the cursor, which stands at this cell of an open line in a terminal so wide.
    Below { width: usize, column: usize },
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Row {
    drawn: Option<Drawn>,
    end: LineEnd,
    /// The open line fills its row, and the cursor was moved to the next.
    moved_on: bool,
}

impl Row {
    /// The bytes that show this text as the row, in a terminal so wide.
    fn draw(&mut self, text: &str, width: usize) -> String {
        let mut out = self.erase(width);
        // The last cell stays empty: what a terminal does after it differs.
        let text = terminal::cut(text, width.saturating_sub(1));
        match self.end {
            LineEnd::Unknown => return out,
            LineEnd::Open(cells) if !self.moved_on => {
                let column = cells % width;
                if column > 0 {
                    out.push_str(&format!("{ROW_BELOW}{SAVE}\x1b[B\r{text}{RESTORE}"));
                    self.drawn = Some(Drawn::Below { width, column });
                    return out;
                }
                // The cursor waits behind the last cell, from where it cannot be moved and come back.
                out.push('\n');
                self.moved_on = true;
            }
            LineEnd::Closed | LineEnd::Open(_) => {}
        }
        out.push_str(&text);
        out.push('\r');
        self.drawn = Some(Drawn::Here);
        out
    }

    /// The bytes that erase the row, in a terminal that is so wide now.
    fn erase(&mut self, width: usize) -> String {
        match self.drawn.take() {
            None => String::new(),
            Some(Drawn::Here) => format!("\r{ERASE}"),
            // The window is narrower, and the cursor may stand on the line's last character.
            Some(Drawn::Below { width: before, column }) if width < before && column >= width => {
                format!("{SAVE}\x1b[B\r{ERASE}{RESTORE}")
            }
            Some(Drawn::Below { .. }) => ERASE.to_owned(),
        }
    }

    /// Shows this text, on stderr.
    pub(crate) fn show(&mut self, text: &str) {
        if let Some(width) = terminal::width(io::stderr()) {
            put(&self.draw(text, width.max(1)));
        }
    }

    /// Erases it, before anything else is written.
    pub(crate) fn clear(&mut self) {
        let width = terminal::width(io::stderr()).unwrap_or_default();
        put(&self.erase(width));
    }

    /// Before output that begins with this byte.
    pub(crate) fn before_output(&mut self, first: Option<&u8>) {
        self.clear();
        if std::mem::take(&mut self.moved_on) && matches!(first, Some(b'\n' | b'\r')) {
            // Its line ends where it filled its row.
            put("\x1b[A");
        }
    }

    /// Where the output that was just written ended.
    pub(crate) fn after_output(&mut self, end: LineEnd) {
        self.end = end;
    }

    /// Erases it, and completes an open line of the output.
    pub(crate) fn finish(&mut self) {
        self.clear();
        if self.end != LineEnd::Closed && !std::mem::take(&mut self.moved_on) {
            put("\n");
        }
        (self.end, self.moved_on) = (LineEnd::Closed, false);
    }
}

/// Writes to stderr; if it is closed, that is no reason to stop.
fn put(bytes: &str) {
    if !bytes.is_empty() {
        let _ = io::stderr().lock().write_all(bytes.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_goes_back_to_where_output_goes_on() {
        let mut row = Row::default();
        assert_eq!(row.draw("running", 10), "running\r");
        assert_eq!(row.draw("running 2 s", 10), "\r\x1b[Jrunning …\r");
        row.after_output(LineEnd::Open(3));
        assert_eq!(row.draw("x", 10), "\r\x1b[J\x0b\x1b[A\x1b7\x1b[B\rx\x1b8");
        assert_eq!(row.erase(10), "\x1b[J");
        row.after_output(LineEnd::Open(20));
        assert_eq!(row.draw("x", 10), "\nx\r");
        assert_eq!(row.draw("y", 10), "\r\x1b[Jy\r", "it does not go on moving");
        row.after_output(LineEnd::Unknown);
        assert_eq!(row.draw("z", 10), "\r\x1b[J");
    }
}
