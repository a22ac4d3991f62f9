//! Seeded randomness of the property test. The seed is printed, and `CAUSEWAY_TEST_SEED` gives it back.

/// SplitMix64; never for secrets.
pub struct Chance(u64);

impl Chance {
    pub fn of(seed: u64) -> Chance {
        Chance(seed)
    }

    /// `CAUSEWAY_TEST_SEED`, or a fresh seed; printed either way.
    pub fn seed() -> u64 {
        let seed = match std::env::var("CAUSEWAY_TEST_SEED") {
            Ok(text) => text.parse().expect("CAUSEWAY_TEST_SEED is a number"),
            Err(_) => u64::from_le_bytes(causeway::secret::random::<8>()) >> 16,
        };
        println!("CAUSEWAY_TEST_SEED={seed}");
        seed
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; `bound` is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True in `percent` of a hundred cases.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }

    /// One of these, or none of nothing.
    pub fn maybe<'t, T>(&mut self, all: &'t [T]) -> Option<&'t T> {
        if all.is_empty() { None } else { Some(self.pick(all)) }
    }
}
