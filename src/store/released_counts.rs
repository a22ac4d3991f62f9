//! How many resources of each type a partner may read, for the explorer's start page.

use super::Db;
use super::release_rule::{live, releasable};
use super::schema::{consent, grants, resource};
use crate::error::Failure;
use diesel::dsl::count;
use diesel::prelude::*;

/// Most members whose resources are counted.
pub const COUNTED_MEMBERS: i64 = 200;

/// How many resources of each type the live grants of `partner` release, in the order of the types; of at most [`COUNTED_MEMBERS`]
/// members, and only of `patient_id` when that is given.
///
/// # Errors
/// Those of the database.
pub fn by_type(
    db: &mut Db,
    partner: &str,
    patient_id: Option<&str>,
    now_ms: i64,
) -> Result<Vec<(String, i64)>, Failure> {
    let mut members = grants::table
        .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
        .filter(live(partner, now_ms))
        .order(grants::id.asc())
        .limit(COUNTED_MEMBERS)
        .select(grants::compartment)
        .into_boxed();
    if let Some(only) = patient_id {
        members = members.filter(grants::patient_id.eq(only));
    }
    let members: Vec<i64> = members.load(db)?;
    let mut counts: Vec<(String, i64)> = resource::table
        .inner_join(grants::table.on(grants::compartment.eq(resource::compartment)))
        .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
        .filter(resource::compartment.eq_any(members))
        .filter(resource::rtype.ne("Binary"))
        .filter(live(partner, now_ms))
        .filter(releasable(now_ms))
        .group_by(resource::rtype)
        .select((resource::rtype, count(resource::key).aggregate_distinct()))
        .load(db)?;
    counts.sort();
    Ok(counts)
}
