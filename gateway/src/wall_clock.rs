//! The wall clock, and when it may be trusted to remove things by their age.
//!
//! With a wrong clock nothing is removed early.
//!
//! Ages are wall-clock time, and a wall clock can be wrong by months: a dead battery, a host that starts before its clock is
//! set. So the clock is compared with the newest time in the ledger, written by other starts of the gateway and carried
//! on by the monotonic clock. Far from it, the clock is *in doubt*, and nothing is removed by its age. The doubt ends
//!
//! - when the clock is near again, because it was corrected;
//! - when it kept step with the monotonic clock for a day and runs were recorded by it: the gateway was away for long,
//!   and people work with it again;
//! - when an operator confirms the clock.
//!
//! What is recorded while the clock is far *behind* gets the expected time, so that it does not look old when the clock
//! is corrected.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use longhaul_proto::{
    clock::{Clock, rfc3339},
    faults,
};

const DAY: i64 = 24 * 3600 * 1000;
/// When it is ahead of the expected time by this much, it is in doubt: a gateway may be away for a week. Milliseconds.
const FAR: i64 = 7 * DAY;
/// When it is behind the newest time in the ledger by this much, it is in doubt. Milliseconds.
const BEHIND: i64 = DAY;
/// How long it must keep step before new runs confirm it.
const STEADY: Duration = Duration::from_secs(24 * 3600);
/// Out of step with the monotonic clock, between two checks. Milliseconds.
const STEP: i64 = 3600 * 1000;

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    wall_ms: i64,
    mono: Duration,
}

/// The wall clock, as far as it is trusted.
#[derive(Debug)]
pub(crate) struct WallClock {
    clock: Clock,
    started: Duration,
    // Locked for a short time, never over an await.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// A trusted time, and the monotonic clock at that moment.
    anchor: Reading,
    last: Reading,
    /// Since when it is in doubt and in step.
    doubt: Option<Reading>,
}

impl WallClock {
    /// `newest_ms` is the newest time in the ledger; 0 = it is empty, and nothing in it can be removed too early.
    pub(crate) fn new(clock: Clock, newest_ms: i64) -> Self {
        let now = Reading { wall_ms: clock.unix_ms(), mono: clock.monotonic() };
        let wall_ms = if newest_ms == 0 { now.wall_ms } else { newest_ms };
        let state = State { anchor: Reading { wall_ms, ..now }, last: now, doubt: None };
        Self { clock, started: now.mono, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> Reading {
        Reading { wall_ms: self.clock.unix_ms(), mono: self.clock.monotonic() }
    }

    /// How long the gateway has been up, by the monotonic clock.
    pub(crate) fn up(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.started)
    }

    /// The time for what is recorded now, Unix ms: the clock's own, unless that is far behind the ledger's newest time.
    pub(crate) fn now_ms(&self) -> i64 {
        let (now, state) = (self.read(), self.state());
        if state.off(now) < -BEHIND && now.wall_ms < state.anchor.wall_ms { state.expected(now) } else { now.wall_ms }
    }

    /// Checks the clock; `newest_run_ms` is when the newest run was recorded. `Some` = it is in doubt, with why and
    /// what to do, and nothing may be removed by its age.
    pub(crate) fn doubt(&self, newest_run_ms: i64) -> Option<String> {
        if faults::bug("sweep_trusts_the_clock") {
            return None;
        }
        let now = self.read();
        self.state().look(now, newest_run_ms)
    }

    /// Likewise, as of the last check.
    pub(crate) fn in_doubt(&self) -> Option<String> {
        let (now, state) = (self.read(), self.state());
        state.doubt.map(|_| state.words(now))
    }

    /// An operator confirms the clock.
    pub(crate) fn trust(&self) {
        let now = self.read();
        let mut state = self.state();
        *state = State { anchor: now, last: now, doubt: None };
    }
}

impl State {
    fn expected(&self, now: Reading) -> i64 {
        let passed = now.mono.saturating_sub(self.anchor.mono).as_millis();
        self.anchor.wall_ms.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
    }

    /// How far the clock is ahead of the expected time, milliseconds.
    fn off(&self, now: Reading) -> i64 {
        now.wall_ms.saturating_sub(self.expected(now))
    }

    fn look(&mut self, now: Reading, newest_run_ms: i64) -> Option<String> {
        let stepped = {
            let passed = i64::try_from(now.mono.saturating_sub(self.last.mono).as_millis()).unwrap_or(i64::MAX);
            now.wall_ms.saturating_sub(self.last.wall_ms).saturating_sub(passed).abs() > STEP
        };
        self.last = now;
        let off = self.off(now);
        if off <= FAR && !(off < -BEHIND && now.wall_ms < self.anchor.wall_ms - BEHIND) {
            self.doubt = None;
            return None;
        }
        let since = match self.doubt {
            Some(since) if !stepped => since,
            _ => now,
        };
        self.doubt = Some(since);
        let steady = now.mono.saturating_sub(since.mono) >= STEADY;
        if steady && off > 0 && newest_run_ms >= since.wall_ms {
            *self = Self { anchor: now, last: now, doubt: None };
            return None;
        }
        Some(self.words(now))
    }

    fn words(&self, now: Reading) -> String {
        let time = |ms: i64| rfc3339(ms).unwrap_or_else(|| "1970".to_owned());
        let days = self.off(now).abs() / DAY;
        let side = if self.off(now) > 0 { "beyond" } else { "before" };
        format!(
            "the clock says {}, {days} days {side} what the ledger leads one to expect ({}), so nothing is removed by its age. \
             If the clock is wrong, set it: this goes on by itself. If it is right, it goes on when runs were recorded for a \
             day, or at once by `longhaul trust-clock`",
            time(now.wall_ms),
            time(self.expected(now)),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    };

    use longhaul_proto::clock::Source;

    use super::*;

    const NOW: i64 = 1_790_000_000_000;
    const MONTH: i64 = 30 * DAY;

    #[derive(Clone, Default)]
    struct Hands(Arc<(AtomicI64, AtomicI64)>);

    impl Source for Hands {
        fn unix_ms(&self) -> i64 {
            self.0.0.load(Ordering::SeqCst)
        }
        fn monotonic(&self) -> Duration {
            Duration::from_millis(u64::try_from(self.0.1.load(Ordering::SeqCst)).unwrap())
        }
    }

    impl Hands {
        /// The wall clock is set; no time passes.
        fn jump(&self, by: i64) {
            self.0.0.fetch_add(by, Ordering::SeqCst);
        }
        fn pass(&self, ms: i64) {
            self.0.0.fetch_add(ms, Ordering::SeqCst);
            self.0.1.fetch_add(ms, Ordering::SeqCst);
        }
    }

    /// A start at `NOW + off` on a ledger whose newest time is `NOW`.
    fn start(off: i64) -> (Hands, WallClock) {
        let hands = Hands::default();
        hands.jump(NOW + off);
        (hands.clone(), WallClock::new(Clock::from_source(hands), NOW))
    }

    #[test]
    fn a_start_after_a_night_or_a_week_is_no_reason_for_doubt() {
        for off in [0, DAY / 2, 6 * DAY, -DAY / 2] {
            assert_eq!(start(off).1.doubt(NOW), None, "{off}");
        }
        let empty = Hands::default();
        empty.jump(NOW);
        assert_eq!(WallClock::new(Clock::from_source(empty), 0).doubt(0), None);
    }

    #[test]
    fn a_start_with_a_clock_that_is_months_ahead_is_doubted_until_it_is_set_right() {
        let (hands, wall_clock) = start(3 * MONTH);
        let words = wall_clock.doubt(NOW).unwrap();
        assert!(words.contains("90 days beyond") && words.contains("longhaul trust-clock"), "{words}");
        assert_eq!(wall_clock.in_doubt(), Some(words));
        hands.pass(2 * 3600 * 1000);
        assert!(wall_clock.doubt(NOW).is_some(), "an hour changes nothing");
        hands.jump(-3 * MONTH);
        assert_eq!(wall_clock.doubt(NOW), None);
        assert_eq!(wall_clock.in_doubt(), None);
    }

    #[test]
    fn a_start_with_a_clock_that_is_months_behind_records_no_old_times() {
        let (hands, wall_clock) = start(-3 * MONTH);
        assert!(wall_clock.doubt(NOW).unwrap().contains("90 days before"));
        hands.pass(1000);
        assert_eq!(wall_clock.now_ms(), NOW + 1000, "or a run that ends now would be old when the clock is set");
        hands.jump(3 * MONTH);
        assert_eq!(wall_clock.doubt(NOW), None);
        assert_eq!(wall_clock.now_ms(), NOW + 1000);
    }

    #[test]
    fn a_clock_that_jumps_under_way_is_doubted_in_both_directions() {
        let (hands, wall_clock) = start(0);
        for _ in 0..100 {
            hands.pass(DAY);
            assert_eq!(wall_clock.doubt(NOW), None, "idle for long, and running all the time");
        }
        hands.jump(2 * MONTH);
        assert!(wall_clock.doubt(NOW).unwrap().contains("60 days beyond"));
        hands.jump(-2 * MONTH);
        assert_eq!(wall_clock.doubt(NOW), None);
        hands.jump(-12 * MONTH);
        assert!(wall_clock.doubt(NOW).unwrap().contains("before"));
    }

    #[test]
    fn a_long_absence_is_confirmed_by_a_day_of_new_runs_or_a_word() {
        let (hands, wall_clock) = start(2 * MONTH);
        assert!(wall_clock.doubt(NOW).is_some());
        hands.pass(25 * 3600 * 1000);
        assert!(wall_clock.doubt(NOW).is_some(), "nobody has worked with it");
        let recorded = wall_clock.now_ms();
        assert_eq!(wall_clock.doubt(recorded), None);
        assert_eq!(wall_clock.doubt(recorded), None, "and so it stays");

        let (hands, wall_clock) = start(2 * MONTH);
        assert!(wall_clock.doubt(NOW).is_some());
        hands.pass(23 * 3600 * 1000);
        hands.jump(MONTH);
        assert!(wall_clock.doubt(wall_clock.now_ms()).is_some());
        hands.pass(2 * 3600 * 1000);
        assert!(wall_clock.doubt(wall_clock.now_ms()).is_some(), "a day in step, counted from the last jump");
        wall_clock.trust();
        assert_eq!(wall_clock.doubt(NOW), None);
    }
}
