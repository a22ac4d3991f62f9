//! The pre-screen of untrusted JSON: one pass over the bytes, before anything else reads them.
//!
//! It refuses what FHIR forbids and what parsers read differently (duplicate keys, nulls, trailing bytes), with the place as a FHIRPath
//! expression. It builds a flat [tape](Screened) of byte spans, so that later code needs no tree of its own. It allocates no values, never
//! recurses, and puts no value of the input into a failure.

mod limits;
mod nulls;
mod scan;
mod steps;
mod tape;
mod text;

pub use limits::ScreenLimits;
pub use tape::{JsonKind, ReferenceText, Screened, Value};

use crate::error::Failure;

/// Reads `bytes` as one FHIR JSON document within `limits`.
///
/// # Errors
/// [`TooLarge`](crate::error::Fault::TooLarge), [`NotUtf8`](crate::error::Fault::NotUtf8), [`NotJson`](crate::error::Fault::NotJson),
/// [`DuplicateKey`](crate::error::Fault::DuplicateKey), [`TooDeep`](crate::error::Fault::TooDeep),
/// [`EmptyValue`](crate::error::Fault::EmptyValue) and [`ResourceInvalid`](crate::error::Fault::ResourceInvalid) (JSON that cannot be
/// FHIR), with the place as an expression.
pub fn screen<'b>(bytes: &'b [u8], limits: &ScreenLimits) -> Result<Screened<'b>, Failure> {
    scan::scan(bytes, limits)
}

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod tests;
