//! Stored consents and the grants under them: reading pages of them, and ending them.
//!
//! An ended consent or grant stays ended: nothing here makes one live again.

use super::Db;
use super::ops_queries::{GRANT, StoredGrant, fetched};
use super::release_rule::unrevoked;
use super::schema::{consent, grants};
use crate::error::Failure;
use diesel::prelude::*;

/// Which consents to list.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct ConsentFilter {
    pub partner: Option<String>,
    /// Id of the Patient.
    pub member: Option<String>,
    /// Id of the last consent of the previous page.
    pub cursor: Option<String>,
    pub limit: i64,
}

/// A row of `consent`, without its body.
#[derive(Clone, Debug, Queryable, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ConsentRow {
    pub id: String,
    pub partner_id: String,
    pub patient_id: String,
    pub policy: String,
    pub period_from_ms: i64,
    pub period_to_ms: i64,
    pub recorded_ms: i64,
    pub revoked_ms: Option<i64>,
    pub revoked_by: Option<String>,
    pub revoked_why: Option<String>,
}

/// The columns of [`ConsentRow`].
pub(super) const CONSENT: (
    consent::id,
    consent::partner_id,
    consent::patient_id,
    consent::policy,
    consent::period_from_ms,
    consent::period_to_ms,
    consent::recorded_ms,
    consent::revoked_ms,
    consent::revoked_by,
    consent::revoked_why,
) = (
    consent::id,
    consent::partner_id,
    consent::patient_id,
    consent::policy,
    consent::period_from_ms,
    consent::period_to_ms,
    consent::recorded_ms,
    consent::revoked_ms,
    consent::revoked_by,
    consent::revoked_why,
);

/// Who ends a consent or a grant, why and when.
#[derive(Clone, Debug)]
pub struct ConsentEnding {
    /// Name of the operator.
    pub by: String,
    /// The operator's words.
    pub why: String,
    /// UTC milliseconds.
    pub now_ms: i64,
}

/// Returns the body of a consent as it is kept; its references are those of the request.
///
/// # Errors
/// Those of the database.
pub fn body_of(db: &mut Db, id: &str) -> Result<Option<Vec<u8>>, Failure> {
    Ok(consent::table.find(id).select(consent::body).first(db).optional()?)
}

/// Returns a page of consents, plus one more row when there is a next page.
///
/// # Errors
/// Those of the database.
pub fn page(db: &mut Db, filter: &ConsentFilter) -> Result<Vec<ConsentRow>, Failure> {
    let mut query = consent::table
        .select(CONSENT)
        .order(consent::id)
        .limit(fetched(filter.limit))
        .into_boxed();
    if let Some(partner) = &filter.partner {
        query = query.filter(consent::partner_id.eq(partner));
    }
    if let Some(member) = &filter.member {
        // Search through the grants, which are indexed by member; every stored consent has at least one grant.
        let under = grants::table
            .filter(grants::patient_id.eq(member))
            .select(grants::consent_id);
        query = query.filter(consent::id.eq_any(under));
    }
    if let Some(cursor) = &filter.cursor {
        query = query.filter(consent::id.gt(cursor));
    }
    Ok(query.load(db)?)
}

/// Returns the consent with this id.
///
/// # Errors
/// Those of the database.
pub fn find(db: &mut Db, id: &str) -> Result<Option<ConsentRow>, Failure> {
    Ok(consent::table.find(id).select(CONSENT).first(db).optional()?)
}

/// Returns all consents about a member.
///
/// # Errors
/// Those of the database.
pub fn of_member(db: &mut Db, patient_id: &str) -> Result<Vec<ConsentRow>, Failure> {
    let under = grants::table
        .filter(grants::patient_id.eq(patient_id))
        .select(grants::consent_id);
    Ok(consent::table
        .filter(consent::id.eq_any(under))
        .select(CONSENT)
        .order(consent::id)
        .load(db)?)
}

/// Returns the grants under these consents, oldest first.
///
/// # Errors
/// Those of the database.
pub fn grants_under(db: &mut Db, consents: &[ConsentRow]) -> Result<Vec<StoredGrant>, Failure> {
    let members: Vec<&str> = consents.iter().map(|row| row.patient_id.as_str()).collect();
    let ids: Vec<&str> = consents.iter().map(|row| row.id.as_str()).collect();
    Ok(grants::table
        .filter(grants::patient_id.eq_any(members))
        .filter(grants::consent_id.eq_any(ids))
        .select(GRANT)
        .order(grants::id)
        .load(db)?)
}

/// Returns the grant with this id.
///
/// # Errors
/// Those of the database.
pub fn grant(db: &mut Db, id: &str) -> Result<Option<StoredGrant>, Failure> {
    Ok(grants::table.find(id).select(GRANT).first(db).optional()?)
}

/// Withdraws a consent and ends the grants under it. Returns false when it was already withdrawn.
///
/// # Errors
/// Those of the database.
pub fn withdraw(db: &mut Db, row: &ConsentRow, ending: &ConsentEnding) -> Result<bool, Failure> {
    let live = consent::table.find(&row.id).filter(consent::revoked_ms.is_null());
    let withdrawn = diesel::update(live)
        .set((
            consent::revoked_ms.eq(ending.now_ms),
            consent::revoked_by.eq(&ending.by),
            consent::revoked_why.eq(&ending.why),
        ))
        .execute(db)?;
    if withdrawn == 0 {
        return Ok(false);
    }
    let under = grants::table
        .filter(grants::patient_id.eq(&row.patient_id))
        .filter(grants::consent_id.eq(&row.id))
        .filter(unrevoked());
    diesel::update(under).set(ended(ending)).execute(db)?;
    Ok(true)
}

/// Ends a grant. Returns false when there is no such grant or an operator ended it before. A grant that a link step revoked keeps its time
/// of revocation, but undoing that step no longer restores it.
///
/// # Errors
/// Those of the database.
pub fn end_grant(db: &mut Db, id: &str, ending: &ConsentEnding) -> Result<bool, Failure> {
    let live = grants::table.find(id).filter(unrevoked());
    if diesel::update(live).set(ended(ending)).execute(db)? == 1 {
        return Ok(true);
    }
    let by_a_step = grants::table.find(id).filter(grants::revoked_by.is_null());
    let mine = (grants::revoked_by.eq(&ending.by), grants::revoked_why.eq(&ending.why));
    Ok(diesel::update(by_a_step).set(mine).execute(db)? == 1)
}

type Ended<'a> = (
    diesel::dsl::Eq<grants::revoked_ms, i64>,
    diesel::dsl::Eq<grants::revoked_by, &'a String>,
    diesel::dsl::Eq<grants::revoked_why, &'a String>,
);

fn ended(ending: &ConsentEnding) -> Ended<'_> {
    (
        grants::revoked_ms.eq(ending.now_ms),
        grants::revoked_by.eq(&ending.by),
        grants::revoked_why.eq(&ending.why),
    )
}
