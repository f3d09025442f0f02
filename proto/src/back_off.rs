//! The wait between two tries: doubled after each failure up to a limit, and shortened by up to a quarter, so that many
//! that failed at the same moment do not return at the same moment.
//!
//! The shortening is computed from a name, not drawn: a replayed run waits as the first one did.

use std::time::Duration;

/// The waits of one who tries again and again.
#[derive(Clone, Debug)]
pub struct BackOff {
    first: Duration,
    longest: Duration,
    next: Duration,
    state: u64,
}

impl BackOff {
    /// From `first` to `longest`, differently for every `name`.
    pub fn new(first: Duration, longest: Duration, name: &str) -> Self {
        // FNV-1a: any spread will do.
        let state =
            name.bytes().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        Self { first, longest, next: first, state }
    }

    /// The wait before the next try; the one after it is twice as long.
    pub fn wait(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.longest);
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let thousandths = u32::try_from((self.state >> 33) % 250).unwrap_or(0);
        whole * (1000 - thousandths) / 1000
    }

    /// A try succeeded: the next wait is the first again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_differ_by_name() {
        let ms = Duration::from_millis;
        let waits = |name: &str| {
            let mut back_off = BackOff::new(ms(200), ms(2000), name);
            let all: Vec<Duration> = (0..6).map(|_| back_off.wait()).collect();
            for (wait, whole) in all.iter().zip([200, 400, 800, 1600, 2000, 2000]) {
                assert!(*wait <= ms(whole) && *wait > ms(whole * 3 / 4 - 1), "{all:?}");
            }
            back_off.reset();
            assert!(back_off.wait() <= ms(200));
            all
        };
        assert_eq!(waits("s1"), waits("s1"), "a replay waits alike");
        assert_ne!(waits("s1"), waits("s2"));
    }
}
