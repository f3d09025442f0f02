//! Dates and times as Stata stores them, and as they are shown: `2024-03-05`, `2024-03-05 14:30:00`, `2024w10`, `2024m3`.

use super::cell::is_missing;

/// What a display format says of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A number.
    Plain,
    /// Days since 1960.
    Day,
    /// Milliseconds since 1960.
    Clock,
    /// Likewise, with leap seconds.
    LeapClock,
    Week,
    Month,
    Quarter,
    Half,
    Year,
}

const DAY_MS: f64 = 86_400_000.0;
/// Days from 1960-01-01 to 1970-01-01.
const TO_UNIX: i64 = 3_653;
/// The days before which a leap second was put in, as days since 1960.
const LEAPS: [i64; 27] = [
    4_565, 4_749, 5_114, 5_479, 5_844, 6_210, 6_575, 6_940, 7_305, 7_852, 8_217, 8_582, 9_313, 10_227, 10_958, 11_323,
    11_870, 12_235, 12_600, 13_149, 13_696, 14_245, 16_802, 17_898, 19_175, 20_270, 20_820,
];

impl Shape {
    /// Of a display format such as `%tdCCYY-NN-DD`.
    pub(super) fn of(format: &str) -> Self {
        let rest = format.trim_start_matches('%').trim_start_matches('-');
        match rest.strip_prefix('t') {
            None if rest.starts_with('d') => Self::Day,
            None => Self::Plain,
            Some(rest) => match rest.chars().next() {
                Some('d') => Self::Day,
                Some('c') => Self::Clock,
                Some('C') => Self::LeapClock,
                Some('w') => Self::Week,
                Some('m') => Self::Month,
                Some('q') => Self::Quarter,
                Some('h') => Self::Half,
                Some('y') => Self::Year,
                _ => Self::Plain,
            },
        }
    }

    /// A number as a date or time; `None` = it is shown as a number.
    pub(super) fn shown(self, x: f64) -> Option<String> {
        if is_missing(x) || self == Self::Plain {
            return None;
        }
        let n = x.floor();
        if n.abs() > 1e15 {
            return None;
        }
        let n = n as i64;
        let part = |parts: i64| (1960 + n.div_euclid(parts), n.rem_euclid(parts) + 1);
        Some(match self {
            Self::Plain => return None,
            Self::Day => day(n)?,
            Self::Clock => clock(n)?,
            Self::LeapClock => clock(n - leap_seconds(n) * 1000)?,
            Self::Week => in_year(part(52), 'w')?,
            Self::Month => in_year(part(12), 'm')?,
            Self::Quarter => in_year(part(4), 'q')?,
            Self::Half => in_year(part(2), 'h')?,
            Self::Year => known(n).map(|year| year.to_string())?,
        })
    }
}

fn known(year: i64) -> Option<i64> {
    (0..=9999).contains(&year).then_some(year)
}

fn in_year((year, part): (i64, i64), letter: char) -> Option<String> {
    Some(format!("{}{letter}{part}", known(year)?))
}

fn day(days: i64) -> Option<String> {
    let (year, month, day) = civil(days);
    Some(format!("{:04}-{month:02}-{day:02}", known(year)?))
}

fn clock(ms: i64) -> Option<String> {
    let in_day = ms.rem_euclid(86_400_000);
    let (s, ms_left) = (in_day / 1000, in_day % 1000);
    let after = if ms_left == 0 { String::new() } else { format!(".{ms_left:03}") };
    let day = day(ms.div_euclid(86_400_000))?;
    Some(format!("{day} {:02}:{:02}:{:02}{after}", s / 3600, s / 60 % 60, s % 60))
}

/// Leap seconds before a time that counts them.
pub(super) fn leap_seconds(ms: i64) -> i64 {
    let before = |(n, day): (usize, &i64)| ms >= day * 86_400_000 + i64::try_from(n).unwrap_or(0) * 1000 + 1000;
    i64::try_from(LEAPS.iter().enumerate().take_while(|leap| before(*leap)).count()).unwrap_or(0)
}

/// Year, month and day of a day since 1960, in the Gregorian calendar.
pub(super) fn civil(days: i64) -> (i64, i64, i64) {
    let z = days - TO_UNIX + 719_468;
    let era = z.div_euclid(146_097);
    let in_era = z.rem_euclid(146_097);
    let year = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * in_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, in_year - (153 * shifted + 2) / 5 + 1)
}

/// The day since 1960 of a date; `None` = there is no such date.
pub(super) fn from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(0..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let in_era = y.rem_euclid(400);
    let in_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719_468 + TO_UNIX;
    (civil(days) == (year, month, day)).then_some(days)
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// A literal such as `td(5mar2024)`, `tc(5mar2024 14:30)`, `tm(2024m3)`; also `2024-03-05` for a day.
pub(super) fn literal(function: &str, text: &str) -> Option<f64> {
    let text = text.trim();
    let part = |letter: char, parts: i64| {
        let (year, part) = text.split_once(letter)?;
        let (year, part) = (year.trim().parse::<i64>().ok()?, part.trim().parse::<i64>().ok()?);
        ((1..=parts).contains(&part) && known(year).is_some()).then_some((year - 1960) * parts + part - 1)
    };
    let n = match function {
        "td" => days_of(text)?,
        "tc" => {
            let (date, time) = text.split_once(' ').unwrap_or((text, "0:0:0"));
            let mut fields = time.trim().split(':');
            let mut next = |most: f64| {
                let field = fields.next().map_or(Some(0.0), |field| field.trim().parse::<f64>().ok())?;
                (0.0..most).contains(&field).then_some(field)
            };
            let (hours, minutes, seconds) = (next(24.0)?, next(60.0)?, next(60.0)?);
            let ms = ((hours * 60.0 + minutes) * 60.0 + seconds) * 1000.0;
            return Some(days_of(date)? as f64 * DAY_MS + ms.round());
        }
        "tw" => part('w', 52)?,
        "tm" => part('m', 12)?,
        "tq" => part('q', 4)?,
        "th" => part('h', 2)?,
        "ty" => text.parse().ok()?,
        _ => return None,
    };
    Some(n as f64)
}

fn days_of(text: &str) -> Option<i64> {
    if let [year, month, day] = text.split('-').collect::<Vec<_>>().as_slice() {
        return from_civil(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    }
    let text = text.to_lowercase().replace([' ', '-'], "");
    let letters = text.find(|c: char| c.is_ascii_alphabetic())?;
    let year = letters + text[letters..].find(|c: char| c.is_ascii_digit())?;
    let month = &text[letters..year];
    let month = MONTHS.iter().position(|name| month.starts_with(name))?;
    from_civil(text[year..].parse().ok()?, i64::try_from(month).ok()? + 1, text[..letters].parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_shown_and_read() {
        let check = |format: &str, x: f64, want: &str| {
            assert_eq!(Shape::of(format).shown(x).unwrap_or_default(), want, "{format} {x}");
        };
        check("%td", 0.0, "1960-01-01");
        check("%tdCCYY-NN-DD", 23_440.0, "2024-03-05");
        check("%d", -1.0, "1959-12-31");
        check("%-td", 60.0 - 1.0, "1960-02-29");
        check("%tc", 2_025_268_200_000.0, "2024-03-05 14:30:00");
        check("%tc", -1.0, "1959-12-31 23:59:59.999");
        check("%tC", 2_025_268_227_000.0, "2024-03-05 14:30:00");
        check("%tm", 770.0, "2024m3");
        check("%tq", 256.0, "2024q1");
        check("%tq", -1.0, "1959q4");
        check("%tw", 3_337.0, "2024w10");
        check("%th", 128.0, "2024h1");
        check("%ty", 2024.0, "2024");
        check("%9.0g", 5.0, "");
        check("%td", f64::NAN, "");
        check("%td", 1e300, "");
        let read = |function: &str, text: &str, want: Option<f64>| assert_eq!(literal(function, text), want, "{text}");
        read("td", "05mar2024", Some(23_440.0));
        read("td", "5 March 2024", Some(23_440.0));
        read("td", "2024-03-05", Some(23_440.0));
        read("td", "31feb2024", None);
        read("tc", "5mar2024 14:30", Some(2_025_268_200_000.0));
        read("tc", "5mar2024 24:30", None);
        read("tm", "2024m3", Some(770.0));
        read("tq", "2024q5", None);
        read("tw", "2024w10", Some(3_337.0));
        read("ty", "2024", Some(2024.0));
    }
}
