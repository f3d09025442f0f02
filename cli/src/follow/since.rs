//! How long a run has been running, or waiting: by the gateway's clock, whenever this program began to look.

use std::time::Duration;

use jiff::Timestamp;
use longhaul_proto::api::RunView;

/// Two readings of the gateway's clock, which tells whole seconds, differ by less.
const COARSE_MS: i64 = 2000;

/// Since when the run is what it is.
#[derive(Debug)]
pub(super) struct Since {
    /// The gateway's words for it.
    at: Option<String>,
    /// The same moment by this process's clock, ms; often long before the process began.
    here_ms: i64,
}

impl Since {
    /// Nothing is known of the run; now it is `now` here.
    pub(super) fn new(now: Duration) -> Self {
        Self { at: None, here_ms: ms(now) }
    }

    /// How long the run has been running, or waiting, where it is `gateway_now` at the gateway and `now` here. A gateway
    /// that does not tell its time is one that was asked when the run began.
    pub(super) fn elapsed(&mut self, run: &RunView, gateway_now: Option<Timestamp>, now: Duration) -> Duration {
        let at = run.started_at.as_ref().or(run.created_at.as_ref());
        let since = at.and_then(|at| at.parse::<Timestamp>().ok());
        let here = gateway_now.zip(since).map(|(there, since)| {
            let elapsed = there.as_millisecond().saturating_sub(since.as_millisecond()).max(0);
            ms(now).saturating_sub(elapsed)
        });
        if self.at.as_ref() != at {
            *self = Self { at: at.cloned(), here_ms: here.unwrap_or(ms(now)) };
        } else if let Some(here) = here {
            // Its seconds are cut off, so the earliest moment is the nearest, unless one of the clocks was set.
            let set = self.here_ms.abs_diff(here) >= COARSE_MS.unsigned_abs();
            self.here_ms = if set { here } else { self.here_ms.min(here) };
        }
        Duration::from_millis(u64::try_from(ms(now).saturating_sub(self.here_ms)).unwrap_or(0))
    }
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use longhaul_proto::state::RunState;

    use super::*;

    #[test]
    fn elapsed_is_by_the_gateways_clock() {
        let mut run: RunView = serde_json::from_value(serde_json::json!({
            "run_id": "019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c21", "state": "running", "cause": "first_output", "rc": null,
            "message": null, "host": "stata1", "attempt": 1, "created_at": "2026-11-22T15:00:00.000Z",
            "started_at": "2026-11-22T15:01:00.500Z", "finished_at": null, "output_bytes": 0, "trace_id": null,
            "principal": "ana", "source": "x.do",
        }))
        .unwrap();
        let mut since = Since::new(Duration::from_secs(2));
        let mut check = |run: &RunView, at: &str, here_ms: u64, want_ms: u64| {
            let at = (!at.is_empty()).then(|| format!("2026-11-22T{at}Z").parse().unwrap());
            let elapsed = since.elapsed(run, at, Duration::from_millis(2_000 + here_ms));
            assert_eq!(elapsed.as_millis(), u128::from(want_ms), "{at:?}");
        };
        // It was attached to 14.9 s after the start; the header has whole seconds.
        check(&run, "15:01:15", 0, 14_500);
        check(&run, "15:01:16", 600, 15_500);
        check(&run, "15:01:16", 1_400, 16_300);
        // The gateway's clock is set.
        check(&run, "16:01:17", 2_000, 3_616_500);
        // Another attempt.
        run.started_at = Some("2026-11-22T16:01:18.000Z".into());
        check(&run, "16:01:20", 5_000, 2_000);
        // A gateway without a clock.
        run.started_at = Some("2026-11-22T16:02:00.000Z".into());
        check(&run, "", 9_000, 0);
        check(&run, "", 10_000, 1_000);
        // It waits.
        (run.state, run.started_at) = (RunState::Queued, None);
        check(&run, "15:00:30", 11_000, 30_000);
    }
}
