//! FHIR search as values: the table of parameters, the indexed values of a resource, and the tests that a query consists of.
//!
//! Pure. It does not know who may see what: the query of the store contains the authorization, and nothing here can widen it.

pub mod bounds;
pub mod extract;
mod fold;
#[cfg(test)]
mod fuzz_tests;
mod names;
pub mod params;
pub mod query;
mod reading;
pub mod subset;
mod test;
mod value;

pub use extract::{IndexedValues, extract};
pub use params::{Param, ParamKind};
pub use query::{Include, PassedOver, Search, Sort, Summary};
pub use test::{DateTest, Prefix, SearchFilter, ValueTest};
