//! How the key of a resource is formed: the number of its compartment, and a sequence number within it.

/// The compartment of resources that belong to no member.
pub const NOBODY: i64 = 0;

/// How many low bits of a key hold the sequence number.
pub const SEQUENCE_BITS: u32 = 24;

/// Returns the range of keys that a compartment can have.
pub const fn keys_of(compartment: i64) -> std::ops::Range<i64> {
    compartment << SEQUENCE_BITS..(compartment + 1) << SEQUENCE_BITS
}

/// Returns the compartment of a key.
pub const fn compartment_of(key: i64) -> i64 {
    key >> SEQUENCE_BITS
}
