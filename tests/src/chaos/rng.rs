//! Numbers from a seed: SplitMix64 (Steele, Lea, Flood 2014), which needs no crate and no state but one word.

/// See the module.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next word.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.word() % n.max(1)
    }

    /// One of two.
    pub fn coin(&mut self) -> bool {
        self.word() & 1 == 1
    }

    /// Milliseconds up to `most`.
    pub fn ms(&mut self, most: u64) -> std::time::Duration {
        std::time::Duration::from_millis(self.below(most + 1))
    }
}

/// The seed of trial `number` of a run of the kit: each trial can be run again without those before it.
pub fn of_trial(seed: u64, number: u64) -> u64 {
    Rng::new(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95)).word()
}
