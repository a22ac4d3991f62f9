//! FHIR search as values: the table of parameters, what is indexed of a resource, and a query as tests to be made.
//!
//! Pure. It knows nothing of who may see what: that is in the query of the store, and nothing here can widen it.

pub mod extract;
mod fold;
pub mod params;
pub mod query;
pub mod subset;
mod test;
mod value;

pub use extract::{Indexed, extract};
pub use params::{Kind, Param};
pub use query::{Include, PassedOver, Search, Sort, Summary};
pub use test::{DateTest, Filter, Prefix, ValueTest};
