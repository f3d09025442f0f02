//! Amounts, errors and the names of runs in the words that people read, the same in every part.

use std::{error::Error, time::Duration};

use crate::visible;

/// A place: `1st`, `2nd`, `11th`.
pub fn ordinal(n: u32) -> String {
    let ending = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

/// At most `max` characters, the last of them `…` where some were cut off.
pub fn cut(text: &str, max: usize) -> String {
    if text.chars().nth(max).is_none() {
        return text.to_owned();
    }
    text.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

/// The name that was most likely meant by one that is not among them; `None` = all are too different.
pub fn nearest<'a>(name: &str, among: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = name.len().div_ceil(3).max(2);
    let near = among.into_iter().map(|known| (strsim::levenshtein(name, known), known)).min();
    near.filter(|(distance, _)| *distance <= far).map(|(_, known)| known)
}

/// Longest name of a do-file with its arguments in a line, characters.
const NAMED: usize = 60;

/// A length of time: `0.4 s`, `12 s`, `4 min 10 s`, `2 h 05 min`, `3 d 4 h`; `?` for what is none.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "?".into();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let (d, h, min, s) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    match (d, h, min) {
        (0, 0, 0) => format!("{s} s"),
        (0, 0, _) => format!("{min} min {s:02} s"),
        (0, _, _) => format!("{h} h {min:02} min"),
        _ => format!("{d} d {h} h"),
    }
}

/// A length of time that goes on, in whole units: `12 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`.
pub fn whole_duration(time: Duration) -> String {
    let s = time.as_secs();
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// How long a run probably still takes, by how long it took last time: `about 7 min left, as last time`. `None` where there is
/// nothing to say: last time it took some seconds alone.
pub fn time_left(last_time: Duration, elapsed: Duration) -> Option<String> {
    let (last, left) = (last_time.as_secs(), last_time.saturating_sub(elapsed).as_secs());
    if last < 10 {
        return None;
    }
    Some(match left {
        _ if elapsed > last_time.mul_f64(1.2) => {
            format!("longer than last time, when it took {}", duration(last_time.as_secs_f64()))
        }
        0..5 => "about to end, as last time".to_owned(),
        5..90 => format!("about {} s left, as last time", left.div_ceil(10) * 10),
        90..5_400 => format!("about {} min left, as last time", (left + 30) / 60),
        5_400..172_800 => format!("about {} h left, as last time", (left + 1_800) / 3_600),
        _ => format!("about {} d left, as last time", (left + 43_200) / 86_400),
    })
}

/// A number of bytes: `512 B`, `64.0 KiB`, `2.0 GiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut size = n as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// What a run is of: the do-file's name with its arguments, `fit.do 2024 "two words"`. `source` is what was submitted;
/// code that came as `text` is called by the file that it was read from, else by the name that it was given.
pub fn named(source: &str, file_name: Option<&str>, name: Option<&str>, args: &[String]) -> String {
    let file = file_name.or(Some(source).filter(|source| *source != "text"));
    let mut text = match file {
        Some(file) => plain(file.rsplit(['/', '\\']).next().unwrap_or_default()),
        None => plain(name.unwrap_or("text")),
    };
    for arg in args {
        let arg = plain(arg);
        text.push_str(&if arg.contains(' ') { format!(" \"{arg}\"") } else { format!(" {arg}") });
    }
    if text.chars().count() > NAMED {
        text = text.chars().take(NAMED - 1).chain(['…']).collect();
    }
    text
}

/// One line without double blanks, and with every hidden character written out.
fn plain(text: &str) -> String {
    visible::line(&text.split_whitespace().collect::<Vec<_>>().join(" ")).into_owned()
}

/// An error with its causes, in one line. A text that is there already is left out: some libraries repeat their cause.
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_ends_with_a_mark() {
        assert_eq!(cut(&"é".repeat(5), 5), "é".repeat(5));
        assert_eq!(cut(&"é".repeat(6), 5), "éééé…");
        assert_eq!((cut("", 0), cut("a", 0)), (String::new(), "…".to_owned()));
    }

    #[test]
    fn people_read_times_and_sizes() {
        for (seconds, want) in [
            (0.04, "0.0 s"),
            (2.345, "2.3 s"),
            (9.96, "10 s"),
            (59.6, "1 min 00 s"),
            (250.0, "4 min 10 s"),
            (662.9, "11 min 03 s"),
            (7500.0, "2 h 05 min"),
            (273_600.0, "3 d 4 h"),
            (-1.0, "?"),
            (f64::NAN, "?"),
        ] {
            assert_eq!(duration(seconds), want, "{seconds}");
        }
        for (n, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (32 << 20, "32.0 MiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(bytes(n), want, "{n}");
        }
    }

    #[test]
    fn what_was_learnt_is_said_roughly() {
        for (last, elapsed, want) in [
            (9, 1, None),
            (30, 1, Some("about 30 s left, as last time")),
            (100, 1, Some("about 2 min left, as last time")),
            (662, 242, Some("about 7 min left, as last time")),
            (662, 660, Some("about to end, as last time")),
            (662, 700, Some("about to end, as last time")),
            (662, 900, Some("longer than last time, when it took 11 min 02 s")),
            (40_000, 10, Some("about 11 h left, as last time")),
            (400_000, 10, Some("about 5 d left, as last time")),
        ] {
            let said = time_left(Duration::from_secs(last), Duration::from_secs(elapsed));
            assert_eq!(said.as_deref(), want, "{last} {elapsed}");
        }
    }

    #[test]
    fn whole_units_of_time() {
        for (s, want) in [(0, "0 s"), (59, "59 s"), (250, "4 min 10 s"), (7_500, "2 h 5 min"), (273_700, "3 d 4 h")] {
            assert_eq!(whole_duration(Duration::from_secs(s)), want, "{s}");
        }
    }

    #[test]
    fn causes_follow_their_errors() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Outer(&'static str, #[source] std::io::Error);
        let inner = || std::io::Error::other("no room");
        assert_eq!(chain(&Outer("the log was not written", inner())), "the log was not written: no room");
        assert_eq!(chain(&Outer("failed: no room", inner())), "failed: no room");
    }
}
