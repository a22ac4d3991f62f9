//! The seeded random generator. All random values of a synthetic member come from it, so that a seed determines every byte.

/// The purpose of a stream of random numbers. Each member and household has one stream for each purpose, independent of all others.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    /// What the people of one household share.
    Household = 1,
    /// One person's demographics.
    Person = 2,
    /// One person's record.
    Record = 3,
    /// Organizations, practitioners and locations.
    Directory = 4,
    /// The second record of a person with two records.
    Twin = 5,
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, and good enough for synthetic data. It must never be used for secrets.
pub(super) struct Random(u64);

impl Random {
    /// The stream for this purpose and this number under `seed`.
    pub(super) fn of(seed: u64, stream: Stream, index: u64) -> Self {
        let mut random = Random(seed ^ (stream as u64).wrapping_mul(0xA24B_AED4_963E_E407));
        let mixed = random.next();
        Random(mixed ^ index.wrapping_mul(0x9FB2_1C65_1E98_DF25))
    }

    /// The next 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound.max(1))) >> 64) as u64
    }

    /// A number in `from..=to`.
    pub(super) fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.below((to - from + 1).max(1) as u64) as i64
    }

    /// True with a probability of `percent`.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A random element of a table, which must not be empty.
    pub(super) fn pick<'t, T>(&mut self, table: &'t [T]) -> &'t T {
        &table[self.below(table.len() as u64) as usize]
    }

    /// A FHIR id in the shape of a random UUID.
    pub(super) fn uuid(&mut self) -> String {
        let bits = (u128::from(self.next()) << 64) | u128::from(self.next());
        uuid::Builder::from_random_bytes(bits.to_be_bytes())
            .into_uuid()
            .hyphenated()
            .to_string()
    }
}

/// Nine digits that no other `index` below 10^9 gets under this seed, and from which the index cannot be seen.
pub(super) fn nine_digits(seed: u64, salt: u64, index: u64) -> String {
    const RANGE: u64 = 1_000_000_000;
    let offset = Random::of(seed, Stream::Directory, salt).next() % RANGE;
    // The factor is neither even nor a multiple of five, so this is a permutation of the range.
    format!("{:09}", (index % RANGE * 736_338_717 % RANGE + offset) % RANGE)
}

/// A National Provider Identifier with a correct check digit (Luhn over `80840` and the number).
pub(super) fn npi(number: u64) -> String {
    let body = format!("1{:08}", number % 100_000_000);
    let doubled: u32 = body
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0');
            if place % 2 == 0 {
                digit * 2 / 10 + digit * 2 % 10
            } else {
                digit
            }
        })
        .sum();
    format!("{body}{}", (10 - (doubled + 24) % 10) % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_digit_is_that_of_the_standard() {
        // The example of the NPI standard: 123456789 has check digit 3.
        assert_eq!(npi(23_456_789), "1234567893");
    }

    #[test]
    fn nine_digits_never_repeat() {
        let all: std::collections::HashSet<_> = (0..50_000).map(|index| nine_digits(7, 1, index)).collect();
        assert_eq!(all.len(), 50_000);
    }
}
