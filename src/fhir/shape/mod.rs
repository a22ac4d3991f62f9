//! Checks that a resource has the shape that FHIR R4 defines: its elements, arrays and single values, JSON types, the grammar of
//! primitives, required elements, required codes, and one type for each choice.
//!
//! It walks once over the tape of the pre-screen, guided by a table that is generated from R4's own definitions
//! (`fhir-profiles/r4-elements.txt`). It allocates no values and puts no value of the input into a failure. It does not check FHIRPath
//! invariants, profiles, target types of references, or value sets that the core package does not list
//! (`docs/adr/0008-shape-by-a-table.md`).

mod primitive;
#[cfg(test)]
pub(crate) mod samples_for_tests;
mod table;
mod told;
mod walk;

use super::prescreen::Screened;
use crate::error::Failure;

/// Checks a resource and the resources that it contains.
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
