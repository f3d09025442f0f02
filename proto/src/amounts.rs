//! Amounts as people write them: lengths of time, and numbers of bytes.

use std::time::Duration;

/// A length of time: `45`, `45 s`, `1h 30min`; a number alone is seconds, and may have a fraction. `None` = it is none.
pub fn time(text: &str) -> Option<Duration> {
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => humantime::parse_duration(text).ok(),
    }
}

/// A number of bytes: `1048576`, `2GiB`, `512 MiB`. `None` = it is none, or more than 64 bits hold.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}
