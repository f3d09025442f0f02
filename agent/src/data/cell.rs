//! One value of an observation.
//!
//! A missing value is the double that Stata has for it: 2 to the 1023 for `.`, and a 4096th more for each letter. So missing
//! values are larger than any number, in the order of their letters, as Stata's comparisons have it.

use std::borrow::Cow;

use longhaul_proto::encoding::Encoding;

use super::head::{Head, Kind, Variable};

const MISSING_BITS: u64 = 0x7fe0_0000_0000_0000;
const STEP: u32 = 40;
const LETTERS: u64 = 26;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Number(f64),
    Text(Cow<'a, str>),
    /// A long string, by its key.
    Long(u32, u64),
}

/// The missing value of a letter: 0 = `.`, 1 = `.a`.
pub(super) fn missing(letter: u8) -> f64 {
    f64::from_bits(MISSING_BITS + (u64::from(letter).min(LETTERS) << STEP))
}

/// The letter of a missing value; `None` = it is a number.
pub(super) fn letter(x: f64) -> Option<u8> {
    if x.is_nan() {
        return Some(0);
    }
    (x.to_bits() >= MISSING_BITS && x > 0.0).then(|| ((x.to_bits() - MISSING_BITS) >> STEP).min(LETTERS) as u8)
}

pub(super) fn is_missing(x: f64) -> bool {
    letter(x).is_some()
}

/// `.` or `.a`.
pub(super) fn missing_word(letter: u8) -> String {
    match letter {
        0 => ".".to_owned(),
        letter => format!(".{}", char::from(b'a' + letter - 1)),
    }
}

fn whole(value: i64, first_missing: i64) -> f64 {
    match value - first_missing {
        over @ 0.. => missing(u8::try_from(over).unwrap_or(u8::MAX)),
        _ => value as f64,
    }
}

/// The value of a variable in the bytes of an observation.
pub(super) fn cell<'a>(head: &Head, variable: &Variable, row: &'a [u8]) -> Cell<'a> {
    let bytes = row.get(variable.at..variable.at + variable.width).unwrap_or_default();
    let big = head.big_endian;
    let four = || <[u8; 4]>::try_from(bytes).unwrap_or_default();
    let eight = || <[u8; 8]>::try_from(bytes).unwrap_or_default();
    Cell::Number(match variable.kind {
        Kind::Byte => whole(i64::from(bytes.first().copied().unwrap_or_default().cast_signed()), 101),
        Kind::Int => {
            let two = <[u8; 2]>::try_from(bytes).unwrap_or_default();
            whole(i64::from(if big { i16::from_be_bytes(two) } else { i16::from_le_bytes(two) }), 32_741)
        }
        Kind::Long => {
            whole(i64::from(if big { i32::from_be_bytes(four()) } else { i32::from_le_bytes(four()) }), 2_147_483_621)
        }
        Kind::Float => float(if big { u32::from_be_bytes(four()) } else { u32::from_le_bytes(four()) }),
        Kind::Double => {
            let x = f64::from_bits(if big { u64::from_be_bytes(eight()) } else { u64::from_le_bytes(eight()) });
            letter(x).map_or(x, missing)
        }
        Kind::Text(_) => {
            let text = &bytes[..memchr::memchr(0, bytes).unwrap_or(bytes.len())];
            return Cell::Text(Encoding::default().decode(text, !head.is_utf8()));
        }
        Kind::LongText => return long(head, eight()),
    })
}

/// What a `float` is, as the double with the same shortest decimal digits is shown; its value stays the `float`'s.
fn float(bits: u32) -> f64 {
    const FIRST: u32 = 0x7f00_0000;
    if (FIRST..0x8000_0000).contains(&bits) {
        return missing(u8::try_from((bits - FIRST) >> 11).unwrap_or(u8::MAX));
    }
    f64::from(f32::from_bits(bits))
}

/// The key of a long string: variable and observation, which the releases pack differently.
fn long(head: &Head, bytes: [u8; 8]) -> Cell<'static> {
    let split = match head.release {
        117 => 4,
        118 | 120 => 2,
        _ => 3,
    };
    let (variable, observation) = bytes.split_at(split);
    let number = |bytes: &[u8]| {
        let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        if head.big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
    };
    Cell::Long(u32::try_from(number(variable)).unwrap_or_default(), number(observation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_values_are_larger_than_numbers_and_keep_their_letters() {
        for n in 0..=26 {
            assert_eq!(letter(missing(n)), Some(n));
        }
        assert!(missing(0) > 8.9e307 && missing(1) > missing(0) && missing(26) > missing(25));
        assert_eq!((letter(0.0), letter(-1e308), letter(f64::NAN)), (None, None, Some(0)));
        assert_eq!((missing_word(0), missing_word(1), missing_word(26)), (".".into(), ".a".into(), ".z".into()));
        let check = |bits: u32, want: f64| assert_eq!(float(bits).to_bits(), want.to_bits(), "{bits:x}");
        check(0x7f00_0000, missing(0));
        check(0x7f00_0800, missing(1));
        check(0x7f00_d000, missing(26));
        check(1.5_f32.to_bits(), 1.5);
        check((-1.5_f32).to_bits(), -1.5);
        assert_eq!(whole(100, 101), 100.0);
        assert_eq!((letter(whole(101, 101)), letter(whole(127, 101))), (Some(0), Some(26)));
    }
}
