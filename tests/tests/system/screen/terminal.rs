//! A small terminal emulator around a real pseudo terminal, with a program of ours on both of its streams.

use std::{
    fs::File,
    num::NonZeroU16,
    os::fd::AsFd,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use longhaul_tests::{
    lab::Lab,
    pty::{read_all, terminal},
    wait,
};
use rustix::{
    process::Signal,
    termios::{Winsize, tcsetwinsize},
};
use vt100::Parser;

/// What a terminal does with its rows when its window gets narrower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Narrowed {
    /// They are cut.
    Cut,
    /// They are wrapped anew.
    Wrapped,
}

/// A program on a terminal.
pub(super) struct Terminal {
    master: File,
    screen: Arc<Mutex<Parser>>,
    child: tokio::process::Child,
}

fn size(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).unwrap()
}

fn parser(rows: u16, columns: u16) -> Parser {
    Parser::new(size(rows), size(columns), 0)
}

impl Terminal {
    /// Starts the program on a terminal of this size.
    pub(super) fn start(lab: &Lab, args: &[&str], env: &[(&str, &str)], (rows, columns): (u16, u16)) -> Self {
        let (master, slave) = terminal();
        resize_pty(&master, rows, columns);
        let mut command = lab.command(args);
        command.envs(env.iter().copied()).stdout(Stdio::from(slave.try_clone().unwrap())).stderr(Stdio::from(slave));
        let child = command.spawn().expect("the program starts");
        drop(command);
        let screen = Arc::new(Mutex::new(parser(rows, columns)));
        let (fed, reading) = (screen.clone(), master.try_clone().unwrap());
        longhaul_proto::tasks::in_background(move || {
            read_all(reading, |piece| fed.lock().unwrap().process(piece));
        });
        Self { master, screen, child }
    }

    /// The window gets another width.
    pub(super) fn resize(&self, columns: u16, how: Narrowed) {
        let mut screen = self.screen.lock().unwrap();
        let (rows, _) = screen.screen().size();
        match how {
            Narrowed::Cut => screen.set_size(rows, size(columns)),
            Narrowed::Wrapped => *screen = wrapped(screen.screen(), columns),
        }
        resize_pty(&self.master, rows.get(), columns);
        // A shell would have made this its terminal, and the kernel would send it.
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::WINCH).unwrap();
    }

    /// The rows, without empty ones at the end.
    pub(super) fn rows(&self) -> Vec<String> {
        rows(self.screen.lock().unwrap().screen())
    }

    /// Waits until the rows are like this; `None` goes on waiting.
    pub(super) async fn until<T>(&self, what: &str, like: impl Fn(&[String]) -> Option<T>) -> T {
        let mut last = vec![];
        let found = tokio::time::timeout(wait::SOON, async {
            loop {
                last = self.rows();
                if let Some(found) = like(&last) {
                    return found;
                }
                tokio::time::sleep(wait::POLL).await;
            }
        });
        let found = found.await.ok();
        found.unwrap_or_else(|| panic!("{what}:\n{}", last.join("\n")))
    }

    /// The exit status and the last screen.
    pub(super) async fn end(mut self) -> (i32, Vec<String>) {
        let status = tokio::time::timeout(Duration::from_secs(120), self.child.wait()).await.unwrap().unwrap();
        drop(self.master);
        // The reader ends with the terminal, and holds the screen until then.
        wait::until_now(wait::SOON, "all was read", || (Arc::strong_count(&self.screen) == 1).then_some(())).await;
        let rows = rows(self.screen.lock().unwrap().screen());
        (status.code().unwrap_or(-1), rows)
    }
}

fn resize_pty(master: impl AsFd, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).unwrap();
}

fn rows(screen: &vt100::Screen) -> Vec<String> {
    let (_, columns) = screen.size();
    let mut rows: Vec<String> = screen.rows(0, columns.get()).map(|row| row.trim_end().to_owned()).collect();
    while rows.last().is_some_and(String::is_empty) {
        rows.pop();
    }
    rows
}

/// What a plain text looks like on a terminal of this width.
pub(super) fn plain(text: &str, columns: u16) -> Vec<String> {
    let mut screen = parser(500, columns);
    screen.process(text.replace('\n', "\r\n").as_bytes());
    rows(screen.screen())
}

/// A screen whose rows were wrapped anew, as most terminals do it: lines stay lines, and the cursor stays where it was in
/// its line.
fn wrapped(old: &vt100::Screen, columns: u16) -> Parser {
    let (height, width) = old.size();
    let (row, column) = old.cursor_position();
    let mut text = [String::new(), String::new()];
    let mut blank = String::new();
    for at in 0..height.get() {
        let cells = |from: u16, to: u16| old.rows(from, to - from).nth(usize::from(at)).unwrap_or_default();
        let (before, after) = match at.cmp(&row) {
            std::cmp::Ordering::Less => (cells(0, width.get()), String::new()),
            std::cmp::Ordering::Equal => (cells(0, column), cells(column, width.get())),
            std::cmp::Ordering::Greater => (String::new(), cells(0, width.get())),
        };
        // Only what is not blank is drawn after the cursor.
        if !before.is_empty() || at <= row {
            text[0].push_str(&before);
        }
        text[1].push_str(&blank);
        blank.clear();
        text[1].push_str(after.trim_end());
        if !old.row_wrapped(at) {
            if at < row { text[0].push_str("\r\n") } else { blank.push_str("\r\n") }
        }
    }
    let mut tall = parser(500, columns);
    tall.process(text[0].as_bytes());
    let (row, column) = tall.screen().cursor_position();
    tall.process(text[1].trim_end().as_bytes());
    let used = u16::try_from(rows(tall.screen()).len()).unwrap().max(row + 1);
    let gone = used.saturating_sub(height.get());
    let mut new = parser(height.get(), columns);
    let lines: Vec<String> =
        tall.screen().rows(0, columns).skip(usize::from(gone)).take(usize::from(used - gone)).collect();
    new.process(lines.join("\r\n").as_bytes());
    new.process(format!("\x1b[{};{}H", row - gone + 1, column + 1).as_bytes());
    new
}
