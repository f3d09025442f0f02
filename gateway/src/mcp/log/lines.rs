//! Reads an output line by line, forward from an offset or back from its end, within a limit; with or without the
//! commands that Stata echoed.

use std::collections::VecDeque;

use longhaul_proto::{
    stata_log::{
        OutputOnly,
        lines::{Dialect, Line, LineReader},
    },
    visible,
};

use crate::{
    frontend::{part::Part, reading::Output},
    mcp::{tokens::tokens, words},
    runs::{MAX_READ, ReadError},
};

/// Bytes read before an offset, so that the echo of a loop that began there is known for what it is.
const LEAD: u64 = 16 * 1024;

/// Most bytes that one answer looks at: a log may be gigabytes of echo.
const LOOK: u64 = 4 << 20;

/// First bytes looked at from the end; four times as many each time that they are too few.
const WINDOW: u64 = 32 * 1024;

/// Longest line shown whole, characters.
const SHOWN: usize = 2_000;

/// Characters of a line that is cut to a number of tokens, for each of them.
const CHARACTERS: usize = 3;

/// How much text fits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// Bytes of text.
    pub(super) bytes: usize,
    /// Tokens, by estimate.
    pub(super) tokens: usize,
}

impl Limit {
    pub(super) fn bytes(bytes: usize) -> Self {
        Self { bytes, tokens: usize::MAX }
    }

    /// The beginning of a line that does not fit as a whole, where tokens are counted.
    fn begins(self, line: &str) -> Option<String> {
        let short = self.tokens < usize::MAX && line.len() <= self.bytes;
        let most = if short { self.tokens * CHARACTERS } else { 0 };
        let line = line.trim_end();
        let cut = line.char_indices().nth(most).map(|(end, _)| end);
        short.then(|| format!("{}{}\n", &line[..cut.unwrap_or(line.len())], if cut.is_some() { "…" } else { "" }))
    }

    /// Whether a line fits too.
    fn takes(&mut self, line: &str) -> bool {
        let needs = if self.tokens == usize::MAX { 0 } else { tokens(line) };
        if line.len() > self.bytes || needs > self.tokens {
            return false;
        }
        self.bytes -= line.len();
        self.tokens -= needs;
        true
    }
}

/// Some lines.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) text: String,
    /// Offset of the first line looked at that is part of the answer.
    pub(super) from: u64,
    /// Offset from which to go on.
    pub(super) next: u64,
}

/// An output that is read by lines.
pub(super) struct Lines<'a> {
    pub(super) output: &'a Output,
    pub(super) part: &'a Part,
    /// Commands that Stata echoed are shown.
    pub(super) echo: bool,
    /// More may come, also of the last line.
    pub(super) live: bool,
}

impl Lines<'_> {
    /// The lines from an offset on that fit.
    pub(super) async fn forward(&self, from: u64, mut limit: Limit) -> Result<Piece, ReadError> {
        let part = self.part;
        let (from, end) = part.piece(from).unwrap_or((from, from));
        let first = part.pieces(0, u64::MAX).find(|(start, end)| (*start..*end).contains(&from)).map_or(from, |p| p.0);
        let lead = if self.echo { from } else { first.max(from.saturating_sub(LEAD)) };
        let mut reader = self.reader(lead);
        let mut taken = Piece { from, next: from, ..Piece::default() };
        let mut only = (!self.echo).then(OutputOnly::default);
        let (mut at, mut full) = (lead, false);
        while at < end && !full && at < from + LOOK {
            let bytes = self.output.chunk(at, end, MAX_READ).await?;
            if bytes.is_empty() {
                break;
            }
            at += bytes.len() as u64;
            reader.push(&bytes, |line| self.take(&line, &mut only, &mut limit, &mut taken, &mut full));
        }
        // A line without an end grows, unless a gap follows it or the run has ended. One that is longer than what is looked
        // at is shown by its beginning, and what comes next is behind it.
        let over = at >= end && (!self.live || end < part.end());
        let endless = at < end && taken.next == from;
        if let Some(last) = reader.partial().filter(|_| !full && (over || endless)) {
            self.take(&last, &mut only, &mut limit, &mut taken, &mut full);
        }
        if !full
            && taken.next >= end
            && let Some((start, _)) = part.piece(taken.next)
        {
            taken.next = start;
        }
        Ok(taken)
    }

    fn take(&self, line: &Line, only: &mut Option<OutputOnly>, limit: &mut Limit, taken: &mut Piece, full: &mut bool) {
        let shows = only.as_mut().is_none_or(|only| only.shows(&line.text));
        if *full || line.end <= taken.from {
            return;
        }
        if shows {
            let text = shown(line);
            if !limit.takes(&text) {
                *full = true;
                // In few tokens there is room for a part of the first line at least.
                if let Some(part) = taken.text.is_empty().then(|| limit.begins(&text)).flatten() {
                    taken.text.push_str(&part);
                    taken.next = line.end;
                    return;
                }
                taken.next = line.start;
                return;
            }
            taken.text.push_str(&text);
        }
        taken.next = line.end;
    }

    /// The last lines, at most `most` and as many as fit, none of which begins before an offset.
    pub(super) async fn back(&self, most: u64, limit: Limit, not_before: u64) -> Result<Piece, ReadError> {
        let part = self.part;
        let mut window = WINDOW;
        loop {
            let from = part.last(window).max(not_before);
            let whole = from <= not_before;
            let bytes = self.output.range(part, from, part.end()).await?;
            let mut reader = self.reader(from);
            let (mut only, mut lines) = ((!self.echo).then(OutputOnly::default), VecDeque::new());
            let mut bytes_kept = 0;
            // What the window's first line was cut from is not known.
            let mut first = !whole;
            let mut each = |line: Line| {
                let shows = only.as_mut().is_none_or(|only| only.shows(&line.text));
                if !std::mem::take(&mut first) && shows {
                    let text = shown(&line);
                    bytes_kept += text.len();
                    lines.push_back((line.start, text));
                }
                // No more is kept than the answer may hold, and one line that shows that there is more.
                let too_many = |lines: &VecDeque<(u64, String)>, bytes: usize| {
                    let first = lines.front().map_or(0, |(_, line)| line.len());
                    lines.len() as u64 > most || (bytes - first > limit.bytes && lines.len() > 1)
                };
                while too_many(&lines, bytes_kept) {
                    bytes_kept -= lines.pop_front().map_or(0, |(_, line)| line.len());
                }
            };
            reader.push(&bytes, &mut each);
            if let Some(last) = reader.partial() {
                each(last);
            }
            let (mut left, mut count, mut full) = (limit, 0, false);
            let mut taken = Piece { next: part.end(), from: part.end(), ..Piece::default() };
            for (start, line) in lines.iter().rev() {
                full = count == most || !left.takes(line);
                if full {
                    break;
                }
                count += 1;
                // Offsets are right up to a gap between two attempts, behind which a part begins anew.
                taken.from = part.advance(from, start - from);
            }
            let kept = usize::try_from(count).unwrap_or(usize::MAX).min(lines.len());
            lines.iter().skip(lines.len() - kept).for_each(|(_, line)| taken.text.push_str(line));
            if full || count == most || whole || window >= LOOK {
                return Ok(taken);
            }
            window *= 4;
        }
    }

    fn reader(&self, at: u64) -> LineReader {
        LineReader::at(at, Dialect::PLAIN).in_encoding(self.output.encoding())
    }
}

fn shown(line: &Line) -> String {
    let mut text = words::cut(&visible::text(&line.text), SHOWN);
    text.push('\n');
    text
}
