//! The only place in this crate that reads a clock or sleeps.
//!
//! The stand-in is a process of its own and shares no code with the rest of Longhaul, so it cannot use the other
//! crates' clock; everything about time goes through here instead.

#![allow(clippy::disallowed_methods)] // this crate's one place for time: it cannot depend on the others' clock

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::signals::Signals;

/// Longest single wait, so that a signal that arrives between the check and the wait is noticed soon.
const SLICE: Duration = Duration::from_millis(25);

/// A reading of the monotonic clock.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970 in UTC.
pub(crate) fn unix_seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs().cast_signed())
}

/// Sleeps for `total`; returns `false` as soon as a break is requested.
pub(crate) fn sleep(total: Duration, signals: &Signals) -> bool {
    let start = Instant::now();
    loop {
        if signals.break_pending() {
            return false;
        }
        let Some(left) = total.checked_sub(start.elapsed()).filter(|d| !d.is_zero()) else { return true };
        std::thread::sleep(left.min(SLICE));
    }
}

/// Stops for good; only a signal ends this. Breaks are ignored.
pub(crate) fn hang() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Year, month (1-12), day, hour, minute, second of a UTC time.
pub(crate) fn civil(unix: i64) -> (i64, usize, u32, u32, u32, u32) {
    let (days, secs) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
    let (y, m, d) = civil_from_days(days);
    let s = u32::try_from(secs).unwrap_or(0);
    (y, m, d, s / 3600, s / 60 % 60, s % 60)
}

/// Gregorian date of a day number counted from 1970-01-01 (era arithmetic on 400-year cycles).
pub(crate) fn civil_from_days(days: i64) -> (i64, usize, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = u32::try_from(doy - (153 * mp + 2) / 5 + 1).unwrap_or(1);
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    (year, usize::try_from(month).unwrap_or(1), day)
}

/// Stata's month names, in order.
pub(crate) const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `22 Nov 2026`, as in `c(current_date)`.
pub(crate) fn date_text(unix: i64) -> String {
    let (y, m, d, ..) = civil(unix);
    format!("{d:>2} {} {y}", MONTHS[m - 1])
}

/// `15:21:07`, as in `c(current_time)`.
pub(crate) fn time_text(unix: i64) -> String {
    let (_, _, _, h, mi, s) = civil(unix);
    format!("{h:02}:{mi:02}:{s:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_gregorian() {
        let check = |unix, want: &str| assert_eq!(format!("{}, {}", date_text(unix), time_text(unix)), want);
        check(0, " 1 Jan 1970, 00:00:00");
        check(951_782_399, "28 Feb 2000, 23:59:59");
        check(951_782_400, "29 Feb 2000, 00:00:00");
        check(-86_400, "31 Dec 1969, 00:00:00");
    }
}
