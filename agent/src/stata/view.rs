//! Which bytes of a batch log are the user's: without the banner and without the wrapper's own echo and level.
//!
//! The view reads as if the do-file had been started directly: it starts after the echo of the wrapper's `do` line,
//! whatever was echoed before it (Stata runs a `profile.do` first), and ends after the do-file's own `end of do-file`
//! (and its `r(N);`). Bytes are never altered, only left out at both ends, and the log itself keeps them. While the run
//! is live there is no view before that line, and the end can only be guessed, so lines that may turn out to be the
//! wrapper's are held back: [`View::safe_end`] never exceeds what the finished view will show, and never decreases.

use super::banner;
use super::echo::{Classifier, Kind, is_output};
use super::lines::{Dialect, Line, LineReader, MAX_LINE, Taker};
use super::wrapper::Wrapper;

/// The user's part of the log, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Offset of the first byte of the user's part.
    pub start: u64,
    /// Up to here it is the user's, whatever follows; the same as `end` once that is known.
    pub safe_end: u64,
    /// Offset after its last byte; none while more may come.
    pub end: Option<u64>,
}

/// Finds the view of a log that is pushed in chunks, in bounded memory.
#[derive(Debug, Clone)]
pub struct ViewFinder {
    reader: LineReader,
    classifier: Classifier,
    cd: String,
    run: String,
    next: String,
    sentinel: String,
    start: ViewStart,
    end: Option<u64>,
    reached: bool,
    blank: Option<u64>,
    trailer: Option<Trailer>,
    behind: u64,
    /// The current bytes contain one of the wrapper's lines, or something like one.
    suspect: bool,
}

/// How the start was found so far.
#[derive(Debug, Clone)]
enum ViewStart {
    /// Among Stata's and the wrapper's own lines.
    Seeking(Box<Preamble>),
    /// The `do` line was echoed; the empty line after it, if there is one, goes too.
    After(u64),
    Known(u64),
}

/// What was found before the echo of the `do` line. Only when that never comes does more than `echo` matter.
#[derive(Debug, Clone, Default)]
struct Preamble {
    /// A part of Stata's banner.
    banner: bool,
    /// Where the very first echo starts.
    first: Option<u64>,
    /// Where the echo ends of the command that Stata was started with.
    launcher: Option<u64>,
    /// Some command was echoed after that.
    more: bool,
    /// Where the echo of the wrapper's `cd` ends.
    cd: Option<u64>,
    /// The latest echo.
    echo: Option<Echo>,
}

#[derive(Debug, Clone)]
struct Echo {
    key: String,
    to: u64,
}

/// Lines at the end that are the wrapper's if nothing follows.
#[derive(Debug, Clone, Copy)]
struct Trailer {
    from: u64,
    failed: bool,
}

/// Characters of a wrapper line that identify it: its name ends within them, and they fit Stata's narrowest line.
const TELLING: usize = 36;

/// Most of one echo that is compared with the wrapper's lines, bytes.
const LONGEST: usize = 64 * 1024;

const BREAK: &str = "--Break--";
const END: &str = "end of do-file";
/// An empty command at a prompt that Stata repeated on its line.
const EMPTY: [&str; 2] = [". .", ": ."];
/// Stata's prompt and Mata's.
const PROMPTS: [&str; 2] = [". ", ": "];

fn key(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

impl ViewFinder {
    /// A finder for logs of this wrapper.
    pub fn new(wrapper: &Wrapper) -> Self {
        let telling = |line: &str| line.chars().take(TELLING).collect::<String>();
        Self {
            reader: LineReader::at(0, Dialect::PLAIN),
            classifier: Classifier::default(),
            cd: key(wrapper.cd_line()),
            run: key(wrapper.do_line()),
            next: telling(wrapper.next_line()),
            sentinel: telling(wrapper.sentinel_line()),
            start: ViewStart::Seeking(Box::default()),
            end: None,
            reached: false,
            blank: None,
            trailer: None,
            behind: 0,
            suspect: false,
        }
    }

    /// Takes the next bytes of the log.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut reader = std::mem::take(&mut self.reader);
        self.expect(bytes);
        reader.push_to(bytes, self);
        self.reader = reader;
    }

    /// Looks for the wrapper's lines in all of the bytes whose lines are to come.
    pub(super) fn expect(&mut self, bytes: &[u8]) {
        let has = |line: &str| !line.is_empty() && memchr::memmem::find(bytes, line.as_bytes()).is_some();
        self.suspect = has(&self.next) || has(&self.sentinel);
    }

    /// Whether [`ViewFinder::output`] suffices for a line that [`is_output`] and lies wholly in the expected bytes.
    pub(super) fn is_idle(&self) -> bool {
        !self.suspect && self.classifier.is_idle() && !matches!(self.start, ViewStart::After(_))
    }

    /// Takes such a line: nothing in it can be the wrapper's.
    pub(super) fn output(&mut self, end: u64) {
        if self.end.is_none() {
            (self.blank, self.trailer) = (None, None);
        }
        self.behind = end;
    }

    /// The view as far as it is known; none before its start is known.
    pub fn view(&self) -> Option<View> {
        let start = self.start()?;
        let safe_end = self.end.unwrap_or_else(|| self.open_end()).max(start);
        Some(View { start, safe_end, end: self.end })
    }

    fn start(&self) -> Option<u64> {
        match self.start {
            ViewStart::Known(start) => Some(start),
            _ => None,
        }
    }

    /// Whether the line that makes the sentinel was echoed at a prompt: the user's code returned without error.
    pub fn reached_sentinel(&self) -> bool {
        self.reached
    }

    /// Whether a line that starts at `offset`, the last one taken or the next, is in the view as far as known.
    pub(super) fn shows(&self, offset: u64) -> bool {
        self.end.is_none() && self.start().is_some_and(|start| start <= offset)
    }

    /// The view of the whole log, whatever was found. Where the wrapper's `do` line was never echoed, no user code ran,
    /// or the echo cannot be recognised: then the view starts after the last recognisable wrapper line; what a profile
    /// or the banner printed is never in it. Without a trailer it ends with the log.
    pub fn finish(mut self) -> View {
        match self.reader.partial() {
            // Cut off inside the wrapper's line: none of it is the user's.
            Some(last) if self.trailer.is_some() && self.end.is_none() && self.begins_next(&last) => {
                self.end = Some(self.blank.unwrap_or(last.start));
            }
            Some(last) => self.line(&last),
            None => {}
        }
        let len = self.reader.position();
        let start = match self.start {
            ViewStart::Known(at) | ViewStart::After(at) => at,
            ViewStart::Seeking(ref preamble) => {
                preamble.start(len, if self.run.is_empty() { LogOf::Others } else { LogOf::Run })
            }
        };
        let trailer = self.trailer.filter(|t| t.failed).map(|t| t.from);
        let end = self.end.or(trailer).unwrap_or(len).max(start);
        View { start, safe_end: end, end: Some(end) }
    }

    pub(super) fn line(&mut self, line: &Line) {
        let text = line.text.as_str();
        let kind = self.classifier.next(text);
        if let ViewStart::After(at) = self.start {
            self.start = ViewStart::Known(if kind == Kind::Blank { line.end } else { at });
            if kind == Kind::Blank {
                self.behind = line.end;
                return;
            }
        }
        if matches!(self.start, ViewStart::Seeking(_)) {
            self.seek(line, kind);
        }
        if !matches!(self.start, ViewStart::After(_)) {
            self.inside(line, kind);
        }
        self.behind = line.end;
    }

    fn seek(&mut self, line: &Line, kind: Kind<'_>) {
        let ViewStart::Seeking(preamble) = &mut self.start else { return };
        preamble.banner |= banner::is_art(&line.text);
        match (kind, &mut preamble.echo) {
            (Kind::More(rest), Some(echo)) if echo.key.len() < LONGEST => {
                echo.key.push_str(&key(rest));
                echo.to = line.end;
            }
            (Kind::Command(command), _) => {
                preamble.first.get_or_insert(line.start);
                preamble.more |= preamble.launcher.is_some();
                preamble.echo = Some(Echo { key: key(command), to: line.end });
            }
            (Kind::Blank, Some(echo)) if echo.to == line.start && preamble.launcher == Some(echo.to) => {
                preamble.launcher = Some(line.end);
            }
            _ => {}
        }
        let Some(echo) = &preamble.echo else { return };
        if !self.run.is_empty() && echo.key == self.run {
            self.start = ViewStart::After(echo.to);
        } else if !self.cd.is_empty() && echo.key == self.cd {
            preamble.cd = Some(echo.to);
        } else if echo.to == line.end && launches(&echo.key) {
            preamble.launcher = Some(echo.to);
            preamble.more = false;
        }
    }

    fn inside(&mut self, line: &Line, kind: Kind<'_>) {
        self.reached |= prompted(&line.raw, &self.sentinel).is_some();
        if self.end.is_some() {
            return;
        }
        if let Some(at) = prompted(&line.raw, &self.next) {
            // Only output without a line end can be before the prompt on its line.
            self.end = Some(self.blank.filter(|_| at == 0).unwrap_or(line.start + at as u64));
            return;
        }
        let blank = self.blank.take();
        match kind {
            Kind::Blank => self.blank = Some(line.start),
            Kind::End => self.trailer = Some(Trailer { from: blank.unwrap_or(line.start), failed: false }),
            Kind::Code(_) => {
                if let Some(trailer) = &mut self.trailer {
                    trailer.failed = true;
                }
            }
            Kind::Command("") | Kind::Rmsg(_) => {}
            // At the end of a line of dots the user's command was interrupted, not the wrapper.
            Kind::Break if line.text.trim_end() == BREAK => {}
            _ => self.trailer = None,
        }
    }

    /// Where the bytes that may still turn out to be the wrapper's begin.
    fn open_end(&self) -> u64 {
        let held = self.trailer.map(|t| t.from).or(self.blank);
        let Some(partial) = self.reader.partial() else {
            return held.unwrap_or(self.behind);
        };
        if let Some(at) = prompted(&partial.raw, &self.next).filter(|&at| at > 0) {
            return partial.start + at as u64;
        }
        if self.may_be_ours(&partial) {
            return held.unwrap_or(partial.start);
        }
        if partial.raw.len() == MAX_LINE {
            return partial.end;
        }
        // The line is output: only the start of the wrapper's prompt at its end is not certain yet.
        let starts = |prompt: &[u8]| (1..=prompt.len()).rev().find(|&n| partial.raw.ends_with(&prompt[..n]));
        let open = PROMPTS.iter().filter_map(|p| starts(format!("{p}{}", self.next).as_bytes())).max();
        partial.start + (partial.raw.len() - open.unwrap_or(0)) as u64
    }

    /// Whether an incomplete line is the start of the wrapper's next one.
    fn begins_next(&self, line: &Line) -> bool {
        PROMPTS.iter().any(|p| line.text.len() > p.len() && format!("{p}{}", self.next).starts_with(&line.text))
    }

    /// Whether a line with this start may become one that is held back.
    pub(super) fn may_be_ours(&self, line: &Line) -> bool {
        let text = line.text.as_str();
        let whole = text.trim_end();
        whole.is_empty()
            || EMPTY.iter().any(|p| *p == whole || p.starts_with(text))
            || text.starts_with("r(")
            || text.starts_with("r; t=")
            || ["r(", "r; t=", END, BREAK].iter().any(|o| o.starts_with(text) || *o == whole)
            || PROMPTS.iter().any(|p| format!("{p}{}", self.next).starts_with(text))
            || prompted(&line.raw, &self.next).is_some()
    }
}

/// Whose log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LogOf {
    /// A run's, under a wrapper.
    Run,
    /// Any other.
    Others,
}

impl Preamble {
    /// Where the user's part starts in a log of `len` bytes that never reached the wrapper's `do` line.
    fn start(&self, len: u64, log: LogOf) -> u64 {
        match self {
            Self { cd: Some(at), .. } => *at,
            Self { launcher: Some(at), more: true, .. } => *at,
            Self { launcher: Some(_), .. } => len,
            Self { first: Some(at), banner, .. } if log == LogOf::Others || !banner => *at,
            Self { banner: true, .. } => len,
            Self { first, .. } => first.unwrap_or(0),
        }
    }
}

/// Whether this is the echo of the command that Stata is started with: `do lh-7f3a9c21.do`.
fn launches(key: &str) -> bool {
    let name = key.strip_prefix("dolh").and_then(|rest| rest.strip_suffix(".do"));
    name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')))
}

/// Where a wrapper line is in `raw` after a prompt.
fn prompted(raw: &[u8], line: &str) -> Option<usize> {
    let line = line.as_bytes();
    if line.is_empty() {
        return None;
    }
    let ends = |before: &[u8]| PROMPTS.iter().any(|p| before.ends_with(p.as_bytes()));
    memchr::memmem::find_iter(raw, line).find(|&at| ends(&raw[..at])).map(|at| at - 2)
}

impl Taker for ViewFinder {
    fn line(&mut self, line: Line) {
        Self::line(self, &line);
    }

    fn plain(&mut self, raw: &[u8], _: u64, end: u64) -> bool {
        let done = self.is_idle() && is_output(raw);
        if done {
            self.output(end);
        }
        done
    }
}

#[cfg(test)]
mod tests;
