//! Moments of the wall clock.

use std::time::Duration;

use longhaul_proto::clock::rfc3339;

/// A moment, as milliseconds since 1970 in UTC. There is none for "not yet" or "not known": that is `None` of an
/// [`Option`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMs(i64);

impl UnixMs {
    /// The moment that is stored as this number, where 0 means "not yet".
    pub fn stored(ms: i64) -> Option<Self> {
        (ms > 0).then_some(Self(ms))
    }

    /// Milliseconds since 1970.
    pub fn get(self) -> i64 {
        self.0
    }

    /// How long ago it was at `now_ms`; zero when it lies ahead.
    pub fn ago(self, now_ms: i64) -> Duration {
        Duration::from_millis(u64::try_from(now_ms.saturating_sub(self.0)).unwrap_or_default())
    }

    /// RFC 3339 in UTC with milliseconds, as the API writes times.
    pub fn rfc3339(self) -> String {
        rfc3339(self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_typed() {
        assert_eq!(UnixMs::stored(0), None);
        let at = UnixMs::stored(1_000).unwrap();
        assert_eq!(at.rfc3339(), "1970-01-01T00:00:01.000Z");
        assert_eq!(at.ago(2_500), Duration::from_millis(1_500));
        assert_eq!(at.ago(500), Duration::ZERO, "the clock was set back");
    }
}
