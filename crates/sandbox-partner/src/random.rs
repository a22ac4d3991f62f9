//! Numbers from a seed, for members, records and chances. Never for secrets.

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct SandboxRandom(u64);

impl SandboxRandom {
    /// The stream of this purpose and number.
    pub(crate) fn of(seed: u64, purpose: &str, number: u64) -> SandboxRandom {
        let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let purpose = purpose.bytes().fold(0xcbf2_9ce4_8422_2325, fold);
        let mut random = SandboxRandom(seed ^ purpose);
        random.0 = random.next() ^ number.wrapping_mul(0x9fb2_1c65_1e98_df25);
        random
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        ((self.next() >> 11) as f64 / (1u64 << 53) as f64) < probability
    }
}
