//! How far a run is, from its log while it grows.
//!
//! Stata has no progress report, but typical output: blocks of dots with a count in their header (`simulate`,
//! `bootstrap`, `_dots`), iteration lines without a total, and what people print in their loops (`12 of 50`, `[12/50]`,
//! `24%`). Blocks nest, one estimation in another: the percent is that of the outermost block that is still open, and a
//! new command closes all. Where the log tells how long commands took (`set rmsg on`), so does the text. Without a count, the text is the command that runs, with its line if the source is known.
//!
//! A slash or a percent sign alone does not make a number progress: tables are full of them. So a loop's line counts
//! only with a word that says so, in brackets, or once the same line came again with a larger number.
//!
//! Progress of a moment ago is of no use, so a reader that is behind skips bytes: of a large batch it reads every
//! command, header and line of dots, so that the stack of blocks stays right, but of the lines that loops print only
//! the first few, the last one before each line of another kind, and those near the end.

mod dots;
mod loops;

use super::echo::{Classifier, Kind, is_output};
use super::lines::{Line, LineReader, Taker, decode::Encoding};
use super::locate::{Locator, LogStart};
use super::view::ViewFinder;
use super::wrapper::Wrapper;
use dots::Dots;
use loops::Loops;
use std::path::Path;

use longhaul_proto::words;

/// Longest text, characters: what an MCP progress message shows.
pub const TEXT: usize = 200;

/// A command that took so long is told with its time, ms.
const LONG: u64 = 1_000;

/// Of a batch, bytes at its end of which every line is read: some dozens of lines, enough to recognise a loop's line.
const NEAR: u64 = 8 * 1024;
/// Of the bytes before these, how many lines of loops are read.
const FAR: u32 = 64;

/// The latest progress.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Progress {
    /// 0 to 100, of the outermost open block with a known total. Falls back when a new block begins.
    pub percent: Option<f64>,
    /// One line for people.
    pub text: String,
    /// Name of that block: `Bootstrap replications`, or the shape of the loop's line.
    pub block: Option<String>,
}

/// One block that counts.
#[derive(Debug, Clone, PartialEq)]
struct Block {
    key: String,
    name: String,
    done: f64,
    total: Option<f64>,
}

/// Deeper nesting than this is misread.
const DEPTH: usize = 8;

/// Reads a log in chunks and gives the latest [`Progress`]; memory is bounded, any bytes will do.
pub struct ProgressReader {
    reader: LineReader,
    encoding: Encoding,
    state: State,
    script: Option<Script>,
    /// Keeps out the banner's and the wrapper's lines.
    gate: Option<ViewFinder>,
}

impl Default for ProgressReader {
    fn default() -> Self {
        Self::new()
    }
}

/// State that a partial line may change on a copy, without committing it.
#[derive(Debug, Clone, Default)]
struct State {
    classifier: Classifier,
    blocks: Vec<Block>,
    dots: Dots,
    loops: Loops,
    text: String,
    /// How long the last command took, ms, where the log tells it (`set rmsg on`).
    took: Option<u64>,
}

impl ProgressReader {
    /// A reader without the do-file's source.
    pub fn new() -> Self {
        let (reader, encoding) = (LineReader::default(), Encoding::default());
        Self { reader, encoding, state: State::default(), script: None, gate: None }
    }

    /// The same, for a log whose words are in this encoding where they are no UTF-8.
    #[must_use]
    pub fn in_encoding(self, encoding: Encoding) -> Self {
        Self { reader: self.reader.in_encoding(encoding), encoding, ..self }
    }

    /// A reader that finds the line in `source`, the bytes of the do-file whose log this is, in the same encoding.
    pub fn with_source(source: &[u8], encoding: Encoding) -> Self {
        Self { script: Some(Script::new(source, encoding)), ..Self::new().in_encoding(encoding) }
    }

    /// A reader for the whole log of a run under `wrapper`, whose lines and banner do not count as progress.
    pub fn for_run(wrapper: &Wrapper, source: &[u8], encoding: Encoding) -> Self {
        Self { gate: Some(ViewFinder::new(wrapper)), ..Self::with_source(source, encoding) }
    }

    /// Takes the next bytes of the log.
    pub fn push(&mut self, bytes: &[u8]) {
        let Self { reader, encoding, state, script, gate } = self;
        if let Some(gate) = gate {
            gate.expect(bytes);
        }
        let near = (reader.position() + bytes.len() as u64).saturating_sub(NEAR);
        let mut batch = Batch { state, encoding: *encoding, script, gate, near, far: FAR, skipped: vec![] };
        reader.push_to(bytes, &mut batch);
        batch.catch_up();
    }

    /// The progress after all bytes so far, a line that is not complete included.
    pub fn current(&self) -> Progress {
        let open = |line: &Line| self.gate.as_ref().is_none_or(|g| g.shows(line.start) && !g.may_be_ours(line));
        let partial = self.reader.partial().filter(open).map(|line| {
            let mut tried = self.state.clone();
            tried.line(&line);
            tried
        });
        let state = partial.as_ref().unwrap_or(&self.state);
        let outer = state.blocks.iter().find(|b| b.total.is_some());
        let percent = outer.and_then(|b| b.total.map(|t| (100.0 * b.done / t).clamp(0.0, 100.0)));
        let mut text = state.text.clone();
        if let Some(position) = self.script.as_ref().and_then(Script::position)
            && !text.is_empty()
        {
            text = format!("{position}: {text}");
        }
        if let Some(took) = state.took.filter(|took| *took >= LONG && !text.is_empty()) {
            text = format!(
                "{} · the command before took {}",
                shortened(&text, TEXT - 50),
                words::duration(took as f64 / 1000.0)
            );
        }
        Progress { percent, text: shortened(&text, TEXT), block: outer.map(|b| b.name.clone()) }
    }
}

/// The lines of one push.
struct Batch<'a> {
    state: &'a mut State,
    encoding: Encoding,
    script: &'a mut Option<Script>,
    gate: &'a mut Option<ViewFinder>,
    /// From this offset on every line is read.
    near: u64,
    /// Lines of loops that may still be read before it.
    far: u32,
    /// The latest of those that were not; empty = none since the last line that was read.
    skipped: Vec<u8>,
}

impl Batch<'_> {
    fn catch_up(&mut self) {
        if !self.skipped.is_empty() {
            self.state.output(&self.encoding.decode(&self.skipped, false));
            self.skipped.clear();
        }
    }
}

impl Taker for Batch<'_> {
    fn line(&mut self, line: Line) {
        self.catch_up();
        if let Some(gate) = self.gate {
            gate.line(&line);
            if !gate.shows(line.start) {
                return;
            }
        }
        if let Some(script) = self.script {
            script.locator.line(&line);
        }
        self.state.line(&line);
    }

    fn plain(&mut self, raw: &[u8], start: u64, end: u64) -> bool {
        if !is_output(raw) || self.gate.as_ref().is_some_and(|g| !g.is_idle()) {
            return false;
        }
        let shown = self.gate.as_ref().is_none_or(|g| g.shows(start));
        if shown {
            let idle = self.script.as_ref().is_none_or(|s| s.locator.is_idle()) && self.state.classifier.is_idle();
            if !idle || self.state.wants(raw) {
                return false;
            }
            if loops::may_count(raw) {
                if start >= self.near || self.far > 0 {
                    self.far = self.far.saturating_sub(1);
                    return false;
                }
                self.skipped.clear();
                self.skipped.extend_from_slice(raw);
            }
            if let Some(script) = self.script {
                script.locator.output();
            }
        }
        if let Some(gate) = self.gate {
            gate.output(end);
        }
        true
    }
}

impl State {
    /// Whether an output line can say anything, a loop's count aside; cheap, and right whenever it answers no.
    fn wants(&self, raw: &[u8]) -> bool {
        (self.dots.is_open() && Dots::may_take(raw)) || dots::may_be_header(raw) || {
            let words = raw.trim_ascii_start();
            if words.starts_with(dots::RULER.as_bytes()) {
                return true;
            }
            STATUS.iter().any(|s| words.starts_with(s.as_bytes()))
        }
    }

    fn line(&mut self, line: &Line) {
        let text = line.text.as_str();
        match self.classifier.next(text) {
            Kind::Command(command) => {
                let words = command.trim();
                if !words.is_empty() {
                    self.blocks.clear();
                    self.dots.close();
                    self.loops.clear();
                }
                if !words.is_empty() && !words.starts_with(['*', '}']) && !words.starts_with("//") {
                    self.text = words.strip_suffix("///").unwrap_or(words).trim_end().to_owned();
                }
            }
            Kind::Output => self.output(text),
            Kind::Rmsg(ms) => self.took = Some(ms),
            // The dots before it count.
            Kind::Break if self.dots.is_open() => {
                self.count(text.trim_end().trim_end_matches("--Break--"));
            }
            _ => {}
        }
    }

    fn output(&mut self, text: &str) {
        if let Some((name, total, rest)) = dots::header(text) {
            self.open(name, total);
            self.dots.open(total);
            if !rest.is_empty() {
                self.count(rest);
            }
            return;
        }
        if self.dots.is_open() && self.count(text) {
            return;
        }
        if text.trim_start().starts_with(dots::RULER) {
            // Without a header, as `_dots 0` alone prints it: what counts and how far it goes is not said.
            self.open("dots", None);
            self.dots.open(None);
            return;
        }
        if let Some(status) = status(text) {
            self.text = status;
            return;
        }
        if let Some(count) = self.loops.count(text) {
            self.text = text.trim().to_owned();
            let at = self.blocks.iter().position(|b| b.key == count.key);
            if let Some(at) = at {
                self.blocks.truncate(at + 1);
                self.blocks[at].done = count.done;
                self.blocks[at].total = Some(count.total);
            } else if self.blocks.len() < DEPTH {
                let name = count.key.clone();
                self.blocks.push(Block { key: count.key, name, done: count.done, total: Some(count.total) });
            }
            self.dots.close();
        }
    }

    /// A header met again is the same block from its start; what was nested in it is over.
    fn open(&mut self, name: &str, total: Option<u64>) {
        let total = total.filter(|&t| t > 0).map(|t| t as f64);
        let key = format!("{name} ({})", total.unwrap_or(0.0));
        self.blocks.retain(|b| !dots::is_over(b.done, b.total));
        if let Some(at) = self.blocks.iter().position(|b| b.key == key) {
            self.blocks.truncate(at);
        }
        if self.blocks.len() < DEPTH {
            self.blocks.push(Block { key, name: name.to_owned(), done: 0.0, total });
        }
        self.text = total.map_or_else(|| name.to_owned(), |t| format!("{name} 0 of {t}"));
    }

    fn count(&mut self, text: &str) -> bool {
        if !self.dots.take(text) {
            return false;
        }
        let done = self.dots.done() as f64;
        if let Some(block) = self.blocks.last_mut() {
            block.done = block.total.map_or(done, |t| done.min(t));
            let of = block.total.map_or_else(String::new, |t| format!(" of {t}"));
            self.text = format!("{} {}{of}", block.name, block.done);
        }
        if !self.dots.is_open() && self.blocks.len() > 1 {
            self.blocks.pop();
        }
        true
    }
}

/// How such lines begin.
const STATUS: [&str; 8] =
    ["Iteration ", "EM iteration", "Fitting ", "Refining ", "Performing ", "Getting ", "Rescale", "Computing "];

/// Lines of an estimation that say where it is without saying how far.
fn status(text: &str) -> Option<String> {
    let words = text.trim();
    let is = STATUS.iter().any(|s| words.starts_with(s)) && !words.contains('|');
    is.then(|| words.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn shortened(text: &str, most: usize) -> String {
    let line = text.replace(|c: char| c.is_control(), " ");
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most - 1).chain(['…']).collect()
}

type Read = Box<dyn Fn(&Path) -> Option<Vec<u8>> + Send>;

/// The do-file's lines, to tell a position in them.
struct Script {
    lines: usize,
    locator: Locator<Read>,
}

impl Script {
    fn new(source: &[u8], encoding: Encoding) -> Self {
        let lines = source.split(|&b| b == b'\n').filter(|l| !l.trim_ascii().is_empty()).count().max(1);
        let last = String::from_utf8_lossy(source).lines().count().max(lines);
        let bytes = source.to_vec();
        let name = Path::new("main.do");
        let read: Read = Box::new(move |path| (path == Path::new("main.do")).then(|| bytes.clone()));
        let start = LogStart { working_dir: Path::new(""), do_file: Some(name), args: &[], encoding };
        Self { lines: last, locator: Locator::new(start, read) }
    }

    fn position(&self) -> Option<String> {
        let line = self.locator.outermost_line()?;
        Some(format!("line {line} of {}", self.lines))
    }
}

#[cfg(test)]
mod tests;
