//! The pre-screen of untrusted JSON: one pass over the bytes, before anything else reads them.
//!
//! It refuses what FHIR forbids and what parsers read differently (duplicate keys, nulls, trailing bytes), with the place
//! as a FHIRPath expression, and leaves a flat [tape](Screened) of byte spans, so that what follows needs no second tree.
//! It never builds values, never recurses, and no value of the input gets into a failure.

mod scan;
mod tape;
mod text;

pub use tape::{Kind, Reference, Screened, Value};

use crate::error::Failure;

/// How much an input may hold. Every count is checked while reading, so that memory stays within a small factor of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole document.
    pub bytes: usize,
    /// Objects and arrays inside each other.
    pub depth: usize,
    /// Values in the whole document.
    pub values: usize,
    /// Members of one object; no FHIR type has half of this.
    pub members: usize,
}

impl Limits {
    /// For the body of a request.
    pub const fn request() -> Self {
        Limits {
            bytes: 16 << 20,
            depth: 50,
            values: 1 << 20,
            members: 256,
        }
    }

    /// For one resource of an import.
    pub const fn record() -> Self {
        Limits {
            bytes: 32 << 20,
            depth: 50,
            values: 2 << 20,
            members: 256,
        }
    }

    /// For a whole Bundle of an import, whose entries are then screened as records.
    pub const fn bundle() -> Self {
        Limits {
            bytes: 256 << 20,
            depth: 50,
            values: 16 << 20,
            members: 256,
        }
    }
}

/// Reads `bytes` as one FHIR JSON document within `limits`.
///
/// # Errors
/// [`TooLarge`](crate::error::Fault::TooLarge), [`NotUtf8`](crate::error::Fault::NotUtf8),
/// [`NotJson`](crate::error::Fault::NotJson), [`DuplicateKey`](crate::error::Fault::DuplicateKey),
/// [`TooDeep`](crate::error::Fault::TooDeep), [`EmptyValue`](crate::error::Fault::EmptyValue) and
/// [`ResourceInvalid`](crate::error::Fault::ResourceInvalid) (JSON that cannot be FHIR), with the expression of the place.
pub fn screen<'b>(bytes: &'b [u8], limits: &Limits) -> Result<Screened<'b>, Failure> {
    scan::scan(bytes, limits)
}

#[cfg(test)]
mod tests;
