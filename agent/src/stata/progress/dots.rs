//! Blocks of dots. Up to Stata 17 a header, a ruler and lines of 50 symbols with the count at their end:
//!
//! ```text
//! Simulations (1000)
//! ----+--- 1 ---+--- 2 ---+--- 3 ---+--- 4 ---+--- 5
//! ..................................................    50
//! ```
//!
//! from 18 one logical line in which every tenth symbol is the count: `Bootstrap replications (50): .........10…`.
//! In both a number is the count so far and a symbol is one more, so one counter reads both. A line may break inside
//! a number (`> ` at the margin), and with `dots(#)` a symbol stands for # repetitions, which the first count tells.

/// How the line above the rows of 50 begins.
pub(super) const RULER: &str = "----+---";

/// Counts the symbols of the block that is open.
#[derive(Debug, Clone, Default)]
pub(super) struct Dots {
    open: bool,
    total: Option<u64>,
    done: u64,
    symbols: u64,
    digits: u64,
    in_digits: bool,
}

impl Dots {
    pub(super) fn open(&mut self, total: Option<u64>) {
        *self = Self { open: true, total, ..Self::default() };
    }

    pub(super) fn close(&mut self) {
        self.open = false;
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Repetitions so far, a number that is still being written left out unless it fits.
    pub(super) fn done(&self) -> u64 {
        let pending = if self.in_digits && self.fits(self.digits) { self.digits } else { 0 };
        self.done.max(pending)
    }

    /// Whether a line can belong to a block; cheap, and right whenever it answers no.
    pub(super) fn may_take(line: &[u8]) -> bool {
        let first = line.trim_ascii_start().first();
        first.is_none_or(|b| {
            matches!(b, b'.' | b'x' | b's' | b'e' | b'n' | b'?' | b',' | b'>' | b'-' | b'd') || b.is_ascii_digit()
        })
    }

    /// Reads a line of the block; false if it is not one.
    pub(super) fn take(&mut self, line: &str) -> bool {
        let (line, goes_on) = match line.strip_prefix("> ") {
            Some(rest) => (rest, true),
            None => (line, false),
        };
        let words = line.trim();
        if words.is_empty() || words.starts_with(RULER) {
            return true;
        }
        let finished = words == "done" || words.strip_suffix("done").is_some_and(is_symbols);
        let counted = if finished { words.trim_end_matches("done") } else { words };
        if !is_symbols(counted) || (self.symbols == 0 && !finished && counted.bytes().all(|b| b.is_ascii_digit())) {
            return false;
        }
        if !goes_on {
            self.number();
        }
        for c in counted.chars() {
            match c {
                '0'..='9' => {
                    self.in_digits = true;
                    self.digits = self.digits.saturating_mul(10).saturating_add(u64::from(c as u32 - '0' as u32));
                }
                // Counts have separators: `1,050`.
                ',' if self.in_digits => {}
                ' ' | ',' => self.number(),
                _ => {
                    self.number();
                    self.symbols += 1;
                    self.done = self.done.saturating_add(self.each());
                }
            }
        }
        if finished || self.total.is_some_and(|t| self.done() >= t) {
            if finished {
                self.number();
            }
            self.open = false;
        }
        true
    }

    fn number(&mut self) {
        if std::mem::take(&mut self.in_digits) && self.fits(self.digits) {
            self.done = self.done.max(self.digits);
        }
        self.digits = 0;
    }

    fn fits(&self, number: u64) -> bool {
        self.total.is_none_or(|t| number <= t) && number >= self.symbols
    }

    /// Repetitions per symbol, as far as counts show. Without a header they may begin at any number.
    fn each(&self) -> u64 {
        if self.total.is_none() {
            return 1;
        }
        let before = self.symbols.saturating_sub(1);
        if before > 0 && self.done > before && self.done.is_multiple_of(before) { self.done / before } else { 1 }
    }
}

/// Symbols and counts. `x` failed, `s` skipped, `e`, `n` and `?` are rarer outcomes; of letters alone one makes words.
fn is_symbols(text: &str) -> bool {
    let mut dots = false;
    let mut letters = false;
    for b in text.bytes() {
        match b {
            b'.' | b'x' | b'0'..=b'9' => dots = true,
            b's' | b'e' | b'n' | b'?' => letters = true,
            b' ' | b',' => {}
            _ => return false,
        }
    }
    dots || (letters && text.bytes().all(|b| b == b's'))
}

/// Whether a block has reached its total.
pub(super) fn is_over(done: f64, total: Option<f64>) -> bool {
    total.is_some_and(|t| done >= t)
}

/// Headers that count without saying so in their words are those followed by a colon and dots.
const WORDS: [&str; 9] = [
    "replication",
    "simulation",
    "permutation",
    "imputation",
    "repetition",
    "statsby",
    "draws",
    "jackknife",
    "bootstrap",
];

/// Whether a line can be a header; cheap, and right whenever it answers no.
pub(super) fn may_be_header(line: &[u8]) -> bool {
    let first = line.trim_ascii_start().first();
    first.is_some_and(|b| b.is_ascii_alphabetic() || !b.is_ascii())
        && (memchr::memchr(b'(', line).is_some() || line.trim_ascii_start().starts_with(b"Statsby groups"))
}

/// `Bootstrap replications (1,000): ....` into name, total and what follows; also `Simulations (10)`.
pub(super) fn header(text: &str) -> Option<(&str, Option<u64>, &str)> {
    let words = text.trim();
    if words.len() > 200 || !words.starts_with(char::is_alphabetic) {
        return None;
    }
    let Some((name, rest)) = words.split_once(" (") else {
        return (words == "Statsby groups").then_some((words, None, ""));
    };
    let (number, rest) = rest.split_once(')')?;
    let total: u64 = number.replace(',', "").parse().ok().filter(|&t| t > 0)?;
    let lower = name.to_lowercase();
    let known = WORDS.iter().any(|w| lower.contains(w));
    let rest = match rest.strip_prefix(':') {
        Some(rest) => rest.trim_start(),
        None if rest.trim().is_empty() => "",
        None => return None,
    };
    let dotted =
        !rest.is_empty() && rest.starts_with(['.', 'x', 's']) && is_symbols(rest.trim_end_matches("done").trim());
    ((known && (rest.is_empty() || is_symbols(rest.trim_end_matches("done").trim()) || rest == "done")) || dotted)
        .then_some((name, Some(total), rest))
}
