//! How much one search may ask for (threats B07 and B09): each value of a filter is compared with each resource of the searched members.
//!
//! Pure. It counts what a search asks for, and nothing that a search finds.

use super::query::Search;
use super::test::SearchFilter;
use crate::error::{Failure, Fault};

/// Most values of all filters together, in a search of one member or of what belongs to none.
pub const COMPARED_MAX: usize = 200;
/// Most values of all filters together, in a search of all members whom a partner may read.
pub const COMPARED_ACROSS_MAX: usize = 20;

/// Refuses a search that asks for too much. `across`: it is about all members whom the partner may read.
///
/// # Errors
/// [`Fault::SearchTooCostly`].
pub fn check(search: &Search, across: bool) -> Result<(), Failure> {
    let most = if across { COMPARED_ACROSS_MAX } else { COMPARED_MAX };
    let compared: usize = search.filters.iter().map(compared).sum();
    if compared <= most {
        return Ok(());
    }
    let instead = if across { ", or name one patient" } else { "" };
    Err(Failure::new(Fault::SearchTooCostly)
        .at(search.rtype.clone())
        .remedy(format!(
            "Send at most {most} values in all parameters together{instead}."
        )))
}

/// How many values a resource is compared with. Ids and members are looked up at once, however many there are.
fn compared(filter: &SearchFilter) -> usize {
    match filter {
        SearchFilter::Values { any, .. } => any.len(),
        SearchFilter::Dates { any, .. } | SearchFilter::Updated(any) => any.len(),
        SearchFilter::Ids { .. }
        | SearchFilter::Owner { .. }
        | SearchFilter::OwnerMissing { .. }
        | SearchFilter::Missing { .. } => 1,
    }
}
