//! Whether a resource is FHIR R4 in shape: its elements, arrays and single values, JSON kinds, the grammar of primitives, what is
//! required, required codes, and one type for each choice.
//!
//! One walk over the tape of the pre-screen, by a table that is generated from R4's own definitions
//! (`fhir-profiles/r4-elements.txt`). It never builds values, and no value of the input gets into a failure. It does not judge
//! FHIRPath invariants, profiles, target types of references, or value sets that the core package does not list
//! (`docs/adr/0008-shape-by-a-table.md`).

mod primitive;
#[cfg(test)]
pub(crate) mod samples;
mod table;
mod told;
mod walk;

use super::prescreen::Screened;
use crate::error::Failure;

/// Judges a resource and what it contains.
///
/// # Errors
/// With the FHIRPath of the place and what was expected there:
/// [`ElementUnknown`](crate::error::Fault::ElementUnknown), [`ElementShape`](crate::error::Fault::ElementShape),
/// [`ElementMissing`](crate::error::Fault::ElementMissing), [`CodeUnknown`](crate::error::Fault::CodeUnknown),
/// [`ChoiceConflict`](crate::error::Fault::ChoiceConflict), and [`ValueInvalid`](crate::error::Fault::ValueInvalid) for a value
/// that breaks the grammar of its type.
pub fn judge(resource: &Screened<'_>) -> Result<(), Failure> {
    walk::resource(resource.root())
}

#[cfg(test)]
mod tests;
