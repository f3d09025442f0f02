//! Numbers as Stata prints them: `%w.dg`, `%w.df`, `%w.de`, commas, strings, dates.

use super::{MISSING, is_missing};
use crate::clock::{MONTHS, civil_from_days};

/// Days from Stata's epoch, 1960-01-01, to 1970-01-01.
const STATA_EPOCH: i64 = 3653;

/// A display format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    left: bool,
    zero: bool,
    width: usize,
    decimals: usize,
    kind: char,
    commas: bool,
}

impl Format {
    /// `%w.0g`.
    pub(crate) fn general(width: usize) -> Self {
        Self { left: false, zero: false, width, decimals: 0, kind: 'g', commas: false }
    }

    /// Reads a format such as `%9.2f`, `%-10s`, `%12.0gc`, `%td`; `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.strip_prefix('%')?;
        let mut f = Self::general(0);
        if let Some(r) = rest.strip_prefix('-') {
            (f.left, rest) = (true, r);
        }
        if rest.starts_with('~') {
            rest = &rest[1..];
        }
        if let Some(r) = rest.strip_prefix('t').or_else(|| rest.strip_prefix('d').filter(|r| r.is_empty())) {
            f.kind = if r.is_empty() || r.starts_with('d') { 't' } else { return None };
            return Some(f);
        }
        f.zero = rest.len() > 1 && rest.starts_with('0');
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        f.width = rest[..digits].parse().ok().or_else(|| (digits == 0).then_some(0))?;
        rest = &rest[digits..];
        if let Some(r) = rest.strip_prefix('.') {
            let digits = r.find(|c: char| !c.is_ascii_digit())?;
            f.decimals = r[..digits].parse().ok()?;
            rest = &r[digits..];
        }
        let mut chars = rest.chars();
        f.kind = chars.next().filter(|c| matches!(c, 'g' | 'f' | 'e' | 's' | 'x'))?;
        match chars.as_str() {
            "" => {}
            "c" => f.commas = true,
            _ => return None,
        }
        Some(f)
    }

    /// Whether the format is for strings.
    pub(crate) fn is_string(&self) -> bool {
        self.kind == 's'
    }

    /// The number in this format, padded to its width.
    pub(crate) fn number(&self, x: f64) -> String {
        self.pad(&self.bare(x))
    }

    /// The string in this format, padded to its width.
    pub(crate) fn string(&self, s: &str) -> String {
        self.pad(s)
    }

    fn pad(&self, s: &str) -> String {
        let fill = self.width.saturating_sub(s.chars().count());
        if self.left { format!("{s}{}", " ".repeat(fill)) } else { format!("{}{s}", " ".repeat(fill)) }
    }

    fn bare(&self, x: f64) -> String {
        if self.kind == 'x' {
            return hexadecimal(x);
        }
        if is_missing(x) {
            return missing_text(x);
        }
        let text = match self.kind {
            't' => return date(x),
            'f' => {
                let fixed = format!("{x:.*}", self.decimals);
                if self.width > 0 && fixed.len() > self.width { general(x, self.width.max(2), 0) } else { fixed }
            }
            'e' => exponential(x, self.decimals),
            _ => general(x, if self.width == 0 { 10 } else { self.width }, self.decimals),
        };
        let text = if self.commas && !text.contains('e') { with_commas(&text) } else { text };
        if self.zero && self.kind == 'f' && text.len() < self.width {
            let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |d| ("-", d));
            return format!("{sign}{}{digits}", "0".repeat(self.width - text.len()));
        }
        text
    }
}

/// All bits of a number: `+1.8000000000000X+001` is 3. Missing values are numbers here.
fn hexadecimal(x: f64) -> String {
    let bits = x.to_bits();
    let sign = if x.is_sign_negative() { '-' } else { '+' };
    let (fraction, exponent) = (bits & ((1 << 52) - 1), (bits >> 52) & 0x7ff);
    let exponent = i64::try_from(exponent).unwrap_or_default() - 1023;
    if x == 0.0 {
        return format!("{sign}0.0000000000000X-3ff");
    }
    let (first, exponent) = if exponent == -1023 { (0, -1022) } else { (1, exponent) };
    let direction = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{first}.{fraction:013x}X{direction}{:03x}", exponent.abs())
}

/// `.`, `.a`, ….
fn missing_text(x: f64) -> String {
    let letter = ((x / MISSING - 1.0) * 4096.0).round();
    (1..=26u8)
        .find(|n| (f64::from(*n) - letter).abs() < 0.5)
        .map_or_else(|| ".".to_owned(), |n| format!(".{}", char::from(b'a' + n - 1)))
}

/// As `display` shows a bare number: `%10.0g` without padding.
pub(crate) fn display_number(x: f64) -> String {
    Format::general(10).bare(x)
}

/// As a macro holds a number: `%18.0g` without padding.
pub(crate) fn macro_number(x: f64) -> String {
    Format::general(18).bare(x)
}

/// The general format: as many digits as fit, one column being the sign's.
fn general(x: f64, width: usize, digits: usize) -> String {
    let sign = if x < 0.0 { "-" } else { "" };
    let a = x.abs();
    let room = width.saturating_sub(1).max(1);
    if a == 0.0 {
        return "0".to_owned();
    }
    let fixed = fixed_within(a, room, digits);
    let text = match fixed {
        Some(text) => {
            let sci = scientific_within(a, room);
            let error = |t: &str| t.parse::<f64>().map_or(f64::INFINITY, |v| (v - a).abs());
            if error(&text) <= error(&sci) || text.parse::<f64>() == Ok(a) { text } else { sci }
        }
        None => scientific_within(a, room),
    };
    format!("{sign}{text}")
}

fn fixed_within(a: f64, room: usize, digits: usize) -> Option<String> {
    // Below 1e-5 Stata turns to exponents even where the digits would fit.
    if !(1e-5..1e17).contains(&a) {
        return None;
    }
    // At most 16 significant digits: beyond them a double has nothing to say.
    let whole = format!("{:.0}", a.trunc()).len();
    let limit = if digits > 0 { digits } else { 16 };
    let decimals = if a >= 1.0 {
        if whole > room {
            return None;
        }
        room.saturating_sub(whole + 1).min(limit.saturating_sub(whole))
    } else {
        let zeros = usize::try_from((-a.log10()).floor() as i64).unwrap_or(0);
        room.saturating_sub(1).min(limit + zeros)
    };
    let text = format!("{a:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
    let text = match text.strip_prefix("0.") {
        Some(r) => format!(".{r}"),
        None => text,
    };
    (text.len() <= room && text != "0").then_some(text)
}

fn scientific_within(a: f64, room: usize) -> String {
    let tail = if (1e-99..1e100).contains(&a) { 4 } else { 5 };
    let decimals = room.saturating_sub(tail + 2).min(15);
    exponential(a, decimals)
}

/// `1.235e+09`.
fn exponential(x: f64, decimals: usize) -> String {
    let text = format!("{x:.decimals$e}");
    let Some((mantissa, exp)) = text.split_once('e') else { return text };
    let exp: i32 = exp.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if exp < 0 { '-' } else { '+' }, exp.abs())
}

/// Groups the whole part by thousands.
pub(crate) fn with_commas(text: &str) -> String {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |r| ("-", r));
    let (whole, frac) = rest.find('.').map_or((rest, ""), |i| rest.split_at(i));
    let mut out = String::new();
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(c);
    }
    format!("{sign}{out}{frac}")
}

/// `22nov2026` from days since 1960.
fn date(x: f64) -> String {
    #[allow(clippy::cast_possible_truncation)] // a day number far outside the calendar prints as some date
    let (y, m, d) = civil_from_days(x.floor() as i64 - STATA_EPOCH);
    format!("{d:02}{}{y:04}", MONTHS[m - 1].to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_stata_prints_them() {
        let check = |x: f64, want: &str| assert_eq!(display_number(x), want, "{x}");
        check(1.0 / 3.0, ".33333333");
        check(-1.0 / 3.0, "-.33333333");
        check(0.0, "0");
        check(0.834, ".834");
        check(2.0, "2");
        check(1_234_567.891, "1234567.9");
        check(123_456_789.0, "123456789");
        check(1_234_567_890.0, "1.235e+09");
        check(1.5e-7, "1.500e-07");
        check(0.000_012_5, ".0000125");
        check(MISSING, ".");
        check(super::super::missing(3), ".c");
    }

    #[test]
    fn macros_hold_sixteen_digits() {
        let check = |x: f64, want: &str| assert_eq!(macro_number(x), want);
        // Two that stand in a real log.
        for text in [".9399999999999999", "8.949999999999999"] {
            check(format!("0{text}").parse().unwrap(), text);
        }
        check(1.0 / 3.0, ".3333333333333333");
        check(20_260_715.0, "20260715");
        check(0.1 + 0.2, ".3");
    }

    #[test]
    fn formats_set_width_and_decimals() {
        let check = |f: &str, x: f64, want: &str| assert_eq!(Format::parse(f).unwrap().number(x), want, "{f}");
        check("%9.2f", 2.71428, "     2.71");
        check("%12.6f", 0.938_483, "    0.938483");
        check("%-9.2f", 2.71428, "2.71     ");
        check("%9.0fc", 1_234_567.0, "1,234,567");
        check("%10.0gc", 5000.0, "     5,000");
        check("%8.0g", MISSING, "       .");
        check("%9.3e", 12345.678, "1.235e+04");
        check("%03.0f", 7.0, "007");
        check("%td", 0.0, "01jan1960");
        check("%21x", 3.0, "+1.8000000000000X+001");
        check("%21x", -0.1, "-1.999999999999aX-004");
        check("%21x", MISSING, "+1.0000000000000X+3ff");
        assert_eq!(Format::parse("%10s").unwrap().string("ab"), "        ab");
        assert_eq!(Format::parse("%-5s").unwrap().string("ab"), "ab   ");
        assert_eq!(Format::parse("9.2f"), None);
    }
}
