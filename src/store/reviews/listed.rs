//! Reads pages of reviews for operators.

use super::{ReviewRow, WAITING};
use crate::error::Failure;
use crate::store::Db;
use crate::store::ops_queries::fetched;
use crate::store::schema::review;
use diesel::prelude::*;

/// Which reviews to list.
#[derive(Clone, Debug, Default)]
pub struct ReviewFilter {
    /// Id of a partner.
    pub partner: Option<String>,
    /// Only this state; when `None`, the states that wait for a reviewer.
    pub state: Option<String>,
    /// When no state is given: reviews in every state.
    pub all: bool,
    /// Id of the last review of the previous page.
    pub cursor: Option<String>,
    /// Rows of a page.
    pub limit: i64,
}

/// Returns a page of reviews, plus one more row when there is a next page.
///
/// # Errors
/// Those of the database.
pub fn page(db: &mut Db, filter: &ReviewFilter) -> Result<Vec<ReviewRow>, Failure> {
    let mut query = review::table
        .order(review::id)
        .limit(fetched(filter.limit))
        .into_boxed();
    match &filter.state {
        Some(state) => query = query.filter(review::state.eq(state)),
        None if filter.all => {}
        None => query = query.filter(review::state.eq_any(WAITING)),
    }
    if let Some(partner) = &filter.partner {
        query = query.filter(review::partner_id.eq(partner));
    }
    if let Some(cursor) = &filter.cursor {
        query = query.filter(review::id.gt(cursor));
    }
    Ok(query.load(db)?)
}
