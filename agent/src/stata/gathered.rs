//! Reads what [`super::gather`] wrote: r(), e() and s() in full precision.
//!
//! The file is made by a Stata that other people's code has run in, so anything may be in it: what is no record is passed
//! over, a record that stops in its middle is left out, and only an end mark of the same run says that nothing is missing.

use std::collections::BTreeMap;

use longhaul_proto::encoding::Encoding;

use super::gather::{HEAD, LONGEST_MACRO};

/// Stata's missing value `.`: 2^1023; `.a` to `.z` follow.
const MISSING: f64 = 8.988_465_674_311_58e307;

/// A number of Stata's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A number.
    Is(f64),
    /// Missing: `.`, or by a letter.
    Missing(Option<char>),
}

impl Number {
    /// The number; `None` = missing.
    pub fn value(self) -> Option<f64> {
        match self {
            Self::Is(x) => Some(x),
            Self::Missing(_) => None,
        }
    }

    /// `.a` to `.z`; `None` for numbers and for `.`.
    pub fn letter(self) -> Option<String> {
        match self {
            Self::Missing(Some(letter)) => Some(format!(".{letter}")),
            _ => None,
        }
    }

    /// Of a double.
    pub fn of(x: f64) -> Self {
        if x < MISSING {
            return Self::Is(x);
        }
        let letter = ((x / MISSING - 1.0) * 4096.0).round();
        Self::Missing((1..=26_u8).find(|n| f64::from(*n) == letter).map(|n| char::from(b'a' + n - 1)))
    }

    /// As `%21x` writes it: `+1.8000000000000X+001`; or a missing value as Stata shows it.
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(letter) = text.strip_prefix('.') {
            let mut letters = letter.chars();
            return match (letters.next(), letters.next()) {
                (None, _) => Some(Self::Missing(None)),
                (Some(letter @ 'a'..='z'), None) => Some(Self::Missing(Some(letter))),
                _ => None,
            };
        }
        let (sign, rest) = match text.split_at_checked(1)? {
            ("-", rest) => (1_u64 << 63, rest),
            ("+", rest) => (0, rest),
            _ => (0, text),
        };
        let (mantissa, exponent) = rest.split_once(['X', 'x'])?;
        let (first, fraction) = mantissa.split_once('.')?;
        if fraction.len() != 13 {
            return None;
        }
        let fraction = u64::from_str_radix(fraction, 16).ok()?;
        let exponent = i64::from_str_radix(exponent, 16).ok()?;
        let biased = match first {
            "1" => u64::try_from(exponent + 1023).ok().filter(|e| (1..2047).contains(e))?,
            "0" => 0,
            _ => return None,
        };
        Some(Self::of(f64::from_bits(sign | biased << 52 | fraction)))
    }
}

/// A matrix.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// Full names of its rows.
    pub rows: Vec<String>,
    /// Full names of its columns.
    pub columns: Vec<String>,
    /// Row after row.
    pub cells: Vec<Vec<Number>>,
}

/// One of r(), e(), s().
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Class {
    /// Numbers.
    pub scalars: BTreeMap<String, Number>,
    /// Texts.
    pub macros: BTreeMap<String, String>,
    /// Matrices.
    pub matrices: BTreeMap<String, Matrix>,
}

/// What was gathered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gathered {
    /// r().
    pub r: Class,
    /// e().
    pub e: Class,
    /// s().
    pub s: Class,
    /// What of c() was gathered but the level.
    pub c: Class,
    /// `c(level)`.
    pub level: Option<f64>,
    /// The diagonal of an e(V) that was too large as a whole.
    pub variances: Vec<Number>,
    /// What was not copied: its name, as `e(V)`, and why.
    pub left_out: Vec<(String, String)>,
    /// The end mark is there: nothing is missing.
    pub whole: bool,
}

impl Gathered {
    /// Reads a file; `tag` is that of the run.
    pub fn read(bytes: &[u8], tag: &str, encoding: Encoding) -> Self {
        let mut reading = Reading { found: Self::default(), open: None };
        let mut rest = bytes;
        let mut first = true;
        while !rest.is_empty() {
            let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            let mut used = end + 1;
            let line = encoding.lines(&rest[..end]).0;
            match (first, line.split_once(' ')) {
                (true, _) if line != HEAD => return Self::default(),
                (true, _) => first = false,
                (_, Some(("m", _))) => used = reading.text(rest, encoding).unwrap_or(used),
                (_, Some(("end", mark))) => reading.found.whole |= mark == tag,
                (_, Some((kind, words))) => drop(reading.record(kind, words)),
                (_, None) => {}
            }
            rest = rest.get(used..).unwrap_or_default();
        }
        reading.close();
        reading.found
    }

    fn class(&mut self, name: &str) -> Option<&mut Class> {
        match name {
            "r" => Some(&mut self.r),
            "e" => Some(&mut self.e),
            "s" => Some(&mut self.s),
            "c" => Some(&mut self.c),
            _ => None,
        }
    }
}

struct Reading {
    found: Gathered,
    /// The matrix whose lines are being read: class, name, and how many rows and columns it has.
    open: Option<(String, String, usize, usize, Matrix)>,
}

impl Reading {
    fn record(&mut self, kind: &str, words: &str) -> Option<()> {
        match kind {
            "i" | "j" | "v" => {
                let (.., matrix) = self.open.as_mut()?;
                match kind {
                    "i" => matrix.rows.push(words.to_owned()),
                    "j" => matrix.columns.push(words.to_owned()),
                    _ => matrix.cells.push(words.split_whitespace().map(Number::read).collect::<Option<_>>()?),
                }
                return Some(());
            }
            _ => self.close(),
        }
        let (class, words) = words.split_once(' ')?;
        let (name, words) = words.split_once(' ')?;
        match kind {
            "n" if class == "c" && name == "level" => self.found.level = Number::read(words)?.value(),
            "n" => {
                let number = Number::read(words)?;
                self.found.class(class)?.scalars.insert(name.to_owned(), number);
            }
            "x" => {
                let (rows, columns) = words.split_once(' ')?;
                let (rows, columns) = (rows.parse().ok()?, columns.parse().ok()?);
                self.open = Some((class.to_owned(), name.to_owned(), rows, columns, Matrix::default()));
            }
            "y" => {
                let size = words.replace(' ', " x ");
                self.left_out(
                    class,
                    name,
                    format!("a matrix of {size}: too large to be copied (1 MiB for all matrices)"),
                );
            }
            "d" => self.found.variances = words.split_whitespace().map(Number::read).collect::<Option<_>>()?,
            "f" => self.left_out(class, name, format!("a matrix that could not be read: r({words})")),
            _ => return None,
        }
        Some(())
    }

    fn left_out(&mut self, class: &str, name: &str, why: String) {
        self.found.left_out.push((format!("{class}({name})"), why));
    }

    /// A macro: its length, then so many bytes, whatever they are. Returns how many bytes the record has.
    fn text(&mut self, bytes: &[u8], encoding: Encoding) -> Option<usize> {
        self.close();
        // `m r name`, and a number of 12 columns.
        let head = bytes.iter().enumerate().filter(|(_, b)| **b == b' ').nth(2)?.0;
        let words = std::str::from_utf8(&bytes[..head]).ok()?;
        let (class, name) = words.strip_prefix("m ")?.split_once(' ')?;
        let number = std::str::from_utf8(bytes.get(head + 1..)?.get(..12)?).ok()?;
        let length: usize = number.trim().parse().ok()?;
        let from = head + 14;
        let kept = length.min(LONGEST_MACRO);
        // Of a text that was cut off nothing is a record, whatever it looks like.
        let Some(content) = bytes.get(from..from.checked_add(kept)?) else { return Some(bytes.len()) };
        let text = encoding.lines(content).0.into_owned();
        if kept < length {
            self.left_out(class, name, format!("a text of {length} bytes, of which the first {kept} are here"));
        }
        self.found.class(class)?.macros.insert(name.to_owned(), text);
        Some(from + kept)
    }

    fn close(&mut self) {
        let Some((class, name, rows, columns, mut matrix)) = self.open.take() else { return };
        if matrix.cells.len() != rows || matrix.cells.iter().any(|row| row.len() != columns) {
            return self.left_out(&class, &name, "a matrix that was not written whole".to_owned());
        }
        // Names that cannot be told apart are numbers.
        for (names, wanted, letter) in [(&mut matrix.rows, rows, 'r'), (&mut matrix.columns, columns, 'c')] {
            if names.len() != wanted {
                *names = (1..=wanted).map(|n| format!("{letter}{n}")).collect();
            }
        }
        if let Some(class) = self.found.class(&class) {
            class.matrices.insert(name, matrix);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact() {
        let check = |text: &str, want: f64| assert_eq!(Number::read(text), Some(Number::Is(want)), "{text}");
        check("+1.8000000000000X+001", 3.0);
        check("-1.999999999999aX-004", -0.1);
        check("+0.0000000000000X-3ff", 0.0);
        check("+1.fffffffffffffX+3fe", 8.988_465_674_311_579e307);
        assert_eq!(Number::read("+1.0000000000000X+3ff"), Some(Number::Missing(None)));
        assert_eq!(Number::read("+1.01a0000000000X+3ff"), Some(Number::Missing(Some('z'))));
        assert_eq!(Number::read(" .c").unwrap().letter().as_deref(), Some(".c"));
        for text in ["", "1", "+1.8X+001", "+2.8000000000000X+001", "..", "+1.8000000000000X+7ff"] {
            assert_eq!(Number::read(text), None, "{text}");
        }
    }

    #[test]
    fn any_value_of_a_macro_is_read_back() {
        let value = "a\nend t_1\n\"'`x' $y\n";
        let file = format!(
            "{HEAD}\nn c level +1.7c00000000000X+006\nn c processors +1.8000000000000X+001\nm c born_date            6 22 May\nm r a {:>12} {value}\nn r N +1.2800000000000X+006\n\
             x e b 1 2\ni y1\nj x 1\nj _cons\nv +1.0000000000000X+000 .\nx e V 1 1\nv\ny e W 500 500\n\nend t_1\n",
            value.len()
        );
        let found = Gathered::read(file.as_bytes(), "t_1", Encoding::default());
        assert!(found.whole);
        assert_eq!((found.c.macros["born_date"].as_str(), found.c.scalars["processors"]), ("22 May", Number::Is(3.0)));
        assert_eq!((found.level, found.r.macros["a"].as_str()), (Some(95.0), value));
        assert_eq!(found.r.scalars["N"], Number::Is(74.0));
        assert_eq!(found.e.matrices["b"].columns, ["x 1", "_cons"]);
        assert_eq!(found.e.matrices["b"].cells, [[Number::Is(1.0), Number::Missing(None)]]);
        assert_eq!(found.left_out.len(), 2, "{:?}", found.left_out);
        assert!(!Gathered::read(file.as_bytes(), "t_2", Encoding::default()).whole);
        // However it is cut off, it is not whole, and nothing else breaks.
        for to in 0..file.len() - 1 {
            let cut = Gathered::read(&file.as_bytes()[..to], "t_1", Encoding::default());
            assert!(!cut.whole || to + 1 >= file.len(), "{to}");
        }
    }
}
