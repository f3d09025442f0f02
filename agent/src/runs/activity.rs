//! What a run does while its log does not grow: is it computing, or is it waiting for something?
//!
//! Asked of the executor some seconds apart, and only for runs with a quiet log: a run that prints is alive.

use std::time::Duration;

use longhaul_proto::wire;

use super::run_task::RunTask;
use crate::executor::Usage;

/// A log that did not grow for so long counts as quiet.
const QUIET: Duration = Duration::from_secs(1);
/// Time between two samples of a quiet run's processes. Long enough that a hundredth of a second, the kernel's unit,
/// does not matter; short enough that the answer describes the present.
const SAMPLE: Duration = Duration::from_secs(5);

/// The samples of one run.
#[derive(Debug)]
pub(super) struct Sampler {
    read: u64,
    grew_at: Duration,
    /// When processor time was sampled last, and how much there was, ms.
    last: Option<(Duration, u64)>,
}

impl Sampler {
    pub(super) fn new(now: Duration) -> Self {
        Self { read: 0, grew_at: now, last: None }
    }

    /// How long the log has been quiet; `None` = it grows.
    fn quiet(&mut self, read: u64, now: Duration) -> Option<Duration> {
        if read != self.read {
            (self.read, self.grew_at, self.last) = (read, now, None);
        }
        Some(now.saturating_sub(self.grew_at)).filter(|quiet| *quiet >= QUIET)
    }

    fn due(&self, now: Duration) -> bool {
        self.last.is_none_or(|(at, _)| now.saturating_sub(at) >= SAMPLE)
    }

    /// When the next sample is due if the log stays as it is, from now.
    fn due_in(&self, now: Duration) -> Duration {
        self.last.map_or(self.grew_at + QUIET, |(at, _)| at + SAMPLE).saturating_sub(now)
    }

    /// The activity that the sample of now shows; the first sample of a quiet time is only the base of the next.
    fn sampled(&mut self, now: Duration, quiet: Duration, cpu_ms: u64) -> Option<wire::Activity> {
        let before = self.last.replace((now, cpu_ms));
        let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        before.map(|(at, had)| wire::Activity {
            quiet_ms: ms(quiet),
            // Less than before: a process that ended took its share with it.
            cpu_ms: cpu_ms.saturating_sub(had),
            sample_ms: ms(now.saturating_sub(at)),
        })
    }
}

impl RunTask {
    /// When [`RunTask::sample`] has something to do, from now; `None` = not before the run's first output.
    pub(super) fn sample_in(&self, now: Duration) -> Option<Duration> {
        // Not at once again where there was nothing to sample.
        (self.status.borrow().running_at_ms > 0).then(|| self.sampler.due_in(now).max(QUIET))
    }

    /// Samples the processes of a run whose log is quiet, when it is due.
    pub(super) async fn sample(&mut self) {
        if self.status.borrow().running_at_ms == 0 {
            return;
        }
        let now = self.context.clock.monotonic();
        let read = self.live.as_ref().map_or(0, crate::follow::LiveReader::read_so_far);
        let Some(quiet) = self.sampler.quiet(read, now) else {
            self.status.send_if_modified(|status| status.activity.take().is_some());
            return;
        };
        if !self.sampler.due(now) {
            return;
        }
        let Some(Usage { cpu_ms }) = self.usage().await else { return };
        if let Some(activity) = self.sampler.sampled(now, quiet, cpu_ms) {
            self.status.send_modify(|status| status.activity = Some(activity));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_is_measured_from_its_first_look() {
        let s = Duration::from_secs;
        let mut sampler = Sampler::new(s(0));
        assert_eq!(sampler.quiet(10, s(100)), None, "it grew");
        assert_eq!(sampler.quiet(10, s(102)), Some(s(2)));
        assert!(sampler.due(s(102)));
        assert_eq!(sampler.sampled(s(102), s(2), 500), None, "nothing to compare with");
        assert!(!sampler.due(s(105)));
        assert!(sampler.due(s(107)));
        let want = wire::Activity { quiet_ms: 7_000, cpu_ms: 4_900, sample_ms: 5_000 };
        assert_eq!(sampler.sampled(s(107), s(7), 5_400), Some(want));
        assert_eq!(sampler.sampled(s(112), s(12), 5_000).unwrap().cpu_ms, 0);
        assert_eq!(sampler.quiet(11, s(113)), None, "it grows again");
        assert!(sampler.due(s(113)), "and the next silence begins anew");
    }
}
