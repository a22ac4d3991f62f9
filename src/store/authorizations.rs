//! Marks prior authorizations as ended when their period is over, in the columns of `resource`.
//!
//! The release rule compares the times itself and does not depend on this; the stored state informs people who look at the record.

use super::Db;
use super::release_rule::{PA_ENDED, PA_WITH_PERIOD, is_over};
use super::schema::resource;
use crate::error::Failure;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;

/// Most keys in one statement; both databases limit the number of parameters.
const KEYS: usize = 400;

/// Ends the prior authorizations whose period is over at `now_ms`, and the resources that depend on
/// them, about `limit` at most. Returns how many rows were changed.
///
/// # Errors
/// Those of the database.
pub fn end(db: &mut Db, now_ms: i64, limit: i64) -> Result<usize, Failure> {
    let over: Vec<i64> = resource::table
        .filter(sql::<Bool>(PA_WITH_PERIOD))
        .filter(is_over(now_ms))
        .order(resource::pa_changed_ms.asc())
        .limit(limit)
        .select(resource::key)
        .load(db)?;
    let mut ended = 0;
    // The row may have been written again since it was read, so the condition is repeated.
    for keys in over.chunks(KEYS) {
        ended += diesel::update(
            resource::table
                .filter(resource::key.eq_any(keys))
                .filter(is_over(now_ms)),
        )
        .set(resource::pa_state.eq(PA_ENDED))
        .execute(db)?;
    }
    Ok(ended)
}
