//! Randomness as a parameter: lease tokens and jitter.

use std::sync::{Arc, Mutex, PoisonError};

/// A source of randomness. Clones share it.
#[derive(Clone)]
pub enum Chance {
    /// The operating system.
    System,
    /// A reproducible sequence from a seed; for tests.
    Seeded(Arc<Mutex<u64>>),
}

impl Chance {
    /// The sequence of this seed.
    pub fn seeded(seed: u64) -> Chance {
        Chance::Seeded(Arc::new(Mutex::new(seed)))
    }

    /// A token of 128 bits.
    pub fn token(&self) -> [u8; 16] {
        match self {
            Chance::System => crate::secret::random(),
            Chance::Seeded(_) => (u128::from(self.next()) << 64 | u128::from(self.next())).to_be_bytes(),
        }
    }

    /// A number in `0.0..1.0`.
    #[allow(clippy::cast_precision_loss)] // 53 bits are what the number holds
    pub fn unit(&self) -> f64 {
        let bits = match self {
            Chance::System => u64::from_be_bytes(crate::secret::random()),
            Chance::Seeded(_) => self.next(),
        };
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The next number of SplitMix64 (Steele, Lea and Flood, 2014).
    fn next(&self) -> u64 {
        let Chance::Seeded(state) = self else { return 0 };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = *state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_sequence_and_units_stay_below_one() {
        let (one, same) = (Chance::seeded(7), Chance::seeded(7));
        for _ in 0..1_000 {
            let unit = one.unit();
            assert!((0.0..1.0).contains(&unit) && unit.to_bits() == same.unit().to_bits());
        }
        assert_ne!(one.token(), one.token());
        assert!((0.0..1.0).contains(&Chance::System.unit()));
    }
}
