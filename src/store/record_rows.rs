//! Reads the rows of a member's record for release, page by page, and the shared resources that they reference.
//!
//! Each page checks again the grant and everything else that the answer was begun on ([`DisclosureBasis`]).
//! [`super::release_rule`] defines what a live grant and a releasable row are.

use super::Db;
use super::connection::on;
use super::disclosure::{DisclosureBasis, LiveGrant, stands};
use super::measured::{MeasuredRow, measured};
use super::named::Named;
use super::release_rule::{live, releasable, shared as shared_row};
use super::resources::{NOBODY, keys_of};
use super::schema::{access_token, consent, grants, partner, resource};
use crate::error::Failure;
use diesel::dsl::{exists, not};
use diesel::prelude::*;

/// How many keys of a record one statement with a window walks: what the window leaves out takes time as well.
pub const WALKED: i64 = 1_024;

/// Which part of a member's record is requested; all bounds are optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// FHIR types wanted; all when empty.
    pub types: Vec<String>,
    /// Only resources changed after this instant (UTC ms).
    pub since_ms: Option<i64>,
    /// Only resources changed at this instant or before (UTC ms).
    pub until_ms: Option<i64>,
    /// Only care on or after this instant (UTC ms); resources without a service date are included.
    pub care_from_ms: Option<i64>,
    /// Only care before this instant (UTC ms); resources without a service date are included.
    pub care_until_ms: Option<i64>,
}

/// How much of a record one statement reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowsAsked {
    /// The key of the last row before.
    pub after_key: i64,
    /// Most rows.
    pub rows: i64,
    /// The largest size whose bytes come with their row.
    pub most: i32,
}

/// What one read of a record found.
#[derive(Debug)]
pub struct RecordPage {
    /// The rows.
    pub rows: Vec<MeasuredRow>,
    /// The key up to which the record was walked, when it may have more rows of the window after that although fewer were found than asked.
    pub walked_to: Option<i64>,
}

/// Returns the next rows of a member's record; none when the grant or anything else that the answer was begun on no longer holds. With a
/// window, it walks [`WALKED`] keys.
///
/// # Errors
/// Those of the database.
pub fn page(
    db: &mut Db,
    basis: &DisclosureBasis,
    grant: &LiveGrant,
    window: &Window,
    asked: RowsAsked,
) -> Result<RecordPage, Failure> {
    // The range of keys is that of the grant's own compartment. If the tables were joined by compartment number instead, SQLite would use
    // the index by compartment and type, and sort the whole record for each page.
    let query = resource::table
        .inner_join(grants::table.on(grants::id.eq(grant.id.clone())))
        .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
        .filter(grants::compartment.eq(grant.compartment))
        .filter(live(&basis.partner, basis.begun_ms))
        .filter(stands!(basis))
        .filter(
            resource::key
                .gt(asked.after_key)
                .and(resource::key.lt(keys_of(grant.compartment).end)),
        )
        .filter(releasable(basis.begun_ms))
        // A Binary is read by its own address, under the rule of the resources that reference it (`disclosure::is_attached`).
        .filter(resource::rtype.ne("Binary"))
        .order(resource::key.asc())
        .limit(asked.rows)
        .select(measured!(asked.most));
    // A query with a fixed text is cached by diesel, which then does not build the text again.
    if *window == Window::default() {
        return Ok(RecordPage {
            rows: on!(db, conn => query.load(conn))?,
            walked_to: None,
        });
    }
    let until = asked.after_key.saturating_add(WALKED);
    let mut query = query.filter(resource::key.le(until)).into_boxed();
    if !window.types.is_empty() {
        query = query.filter(resource::rtype.eq_any(&window.types));
    }
    if let Some(since) = window.since_ms {
        query = query.filter(resource::last_updated_ms.gt(since));
    }
    if let Some(until) = window.until_ms {
        query = query.filter(resource::last_updated_ms.le(until));
    }
    if let Some(from) = window.care_from_ms {
        query = query.filter(resource::service_to_ms.is_null().or(resource::service_to_ms.ge(from)));
    }
    if let Some(until) = window.care_until_ms {
        query = query.filter(
            resource::service_from_ms
                .is_null()
                .or(resource::service_from_ms.lt(until)),
        );
    }
    let rows: Vec<MeasuredRow> = query.load(db)?;
    let is_short = i64::try_from(rows.len()).is_ok_and(|count| count < asked.rows);
    let walked_to = match is_short {
        true => key_after(db, until, grant.compartment)?.map(|key| key - 1),
        false => None,
    };
    Ok(RecordPage { rows, walked_to })
}

/// The first key of the compartment after this one; keys have gaps.
fn key_after(db: &mut Db, key: i64, compartment: i64) -> Result<Option<i64>, Failure> {
    Ok(resource::table
        .filter(resource::key.gt(key).and(resource::key.lt(keys_of(compartment).end)))
        .order(resource::key.asc())
        .select(resource::key)
        .first(db)
        .optional()?)
}

/// Returns the shared resources with these names that match the window's types and time of change, ordered by type and id; those of up to
/// `most` bytes with their bytes.
///
/// # Errors
/// Those of the database.
pub fn shared_rows(
    db: &mut Db,
    names: &[(String, String)],
    window: &Window,
    most: i32,
) -> Result<Vec<MeasuredRow>, Failure> {
    let is_wanted = |(rtype, _): &&(String, String)| window.types.is_empty() || window.types.contains(rtype);
    let query = resource::table
        .filter(Named::of(names.iter().filter(is_wanted)))
        .filter(resource::compartment.eq(NOBODY))
        .filter(shared_row())
        .filter(resource::last_updated_ms.gt(window.since_ms.unwrap_or(i64::MIN)))
        .filter(resource::last_updated_ms.le(window.until_ms.unwrap_or(i64::MAX)))
        .order((resource::rtype.asc(), resource::id.asc()))
        .select(measured!(most));
    Ok(on!(db, conn => query.load(conn))?)
}

/// Returns the key just before a compartment's first possible key.
pub fn start_of(compartment: i64) -> i64 {
    keys_of(compartment).start - 1
}
