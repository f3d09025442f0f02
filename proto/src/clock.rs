//! The clock, passed in so that tests can set the time.
//!
//! Wall-clock time is for people and records; every limit and lease runs on monotonic time, which a change of the wall
//! clock does not move.

use std::{fmt, sync::Arc, time::Duration};

/// Where a component reads the time. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Source>);

/// What a clock provides; tests implement it by hand.
pub trait Source: Send + Sync {
    /// Wall-clock time, Unix milliseconds.
    fn unix_ms(&self) -> i64;
    /// Time since some fixed moment of this process; never goes back.
    fn monotonic(&self) -> Duration;
    /// Wall-clock time since the Unix epoch, as finely as it is known.
    fn unix_time(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.unix_ms()).unwrap_or_default())
    }
}

struct System {
    start: std::time::Instant,
}

#[allow(clippy::disallowed_methods)] // the one place that reads the system clock
impl Source for System {
    fn unix_ms(&self) -> i64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(now.as_millis()).unwrap_or(i64::MAX).saturating_add(crate::faults::clock_offset_ms())
    }
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
    fn unix_time(&self) -> Duration {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let off = crate::faults::clock_offset_ms();
        let by = Duration::from_millis(off.unsigned_abs());
        if off < 0 { now.saturating_sub(by) } else { now + by }
    }
}

impl Clock {
    /// The machine's own clock.
    #[allow(clippy::disallowed_methods)] // the one place that reads the system clock
    pub fn system() -> Self {
        Self(Arc::new(System { start: std::time::Instant::now() }))
    }

    /// A clock that the caller provides.
    pub fn from_source(source: impl Source + 'static) -> Self {
        Self(Arc::new(source))
    }

    /// Wall-clock time, Unix milliseconds.
    pub fn unix_ms(&self) -> i64 {
        self.0.unix_ms()
    }

    /// Wall-clock time since the Unix epoch, as finely as it is known, for what is shorter than a millisecond.
    pub fn unix_time(&self) -> Duration {
        self.0.unix_time()
    }

    /// Monotonic time since some fixed moment of this process.
    pub fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// RFC 3339 in UTC with milliseconds, as the HTTP API writes times. `None` for 0, which means "not yet".
pub fn rfc3339(unix_ms: i64) -> Option<String> {
    (unix_ms > 0).then(|| jiff::Timestamp::from_millisecond(unix_ms).map(|t| format!("{t:.3}")).unwrap_or_default())
}
