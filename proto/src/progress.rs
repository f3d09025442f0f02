//! The numbers of MCP's progress notifications, which always rise: the gateway counts them, and the bridge for clients
//! without HTTP goes on counting while the gateway is away.

/// The number at which a call's progress is complete.
pub const WHOLE: f64 = 100.0;

/// The number after `last` where no percent is known: a thousandth more, so that it is not read as a percent; above 90
/// ever less, so that even weeks of waiting do not reach [`WHOLE`].
pub fn crept(last: f64) -> f64 {
    last + ((WHOLE - last) / 1e4).clamp(0.0, 0.001)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_for_weeks_and_never_comes_to_the_end() {
        let mut last = 0.0;
        // One each 10 s, for three weeks.
        for _ in 0..200_000 {
            let next = crept(last);
            assert!(next > last && next < WHOLE, "{last} -> {next}");
            last = next;
        }
        assert_eq!(crept(WHOLE), WHOLE);
    }
}
