//! The queries behind a release: what a partner may read of a member, decided in the WHERE clause.
//!
//! Every query joins the live grant and its consent ([`super::release_rule`]), so authorization is checked at that moment. For an answer of
//! several pages, dates are compared with the time at which it began, and each page checks what was revoked since ([`DisclosureBasis`]).

use super::Db;
use super::begun::{Begun, Unfilled};
use super::connection::on;
use super::release_rule::{live, releasable};
use super::schema::{access_token, attachment, consent, grants, partner, resource};
use super::sql_functions::{coalesce_text, length, length_if_any};
use crate::error::{Failure, Fault};
use diesel::connection::DefaultLoadingMode;
use diesel::dsl::{exists, not};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::query_dsl::methods::LoadQuery;
use std::cmp::Ordering;

/// The grant and consent under which something is released.
#[derive(Clone, Debug, Default, Queryable, PartialEq, Eq)]
pub struct LiveGrant {
    /// Id of the grant.
    pub id: String,
    /// The member's compartment.
    pub compartment: i64,
    /// FHIR id of the member's Patient.
    pub patient_id: String,
    /// Id of the consent under which the grant was made.
    pub consent_id: String,
    /// 1 when the consent's policy covers sensitive data.
    pub sensitive: i64,
    /// When the grant was made (UTC ms).
    pub created_ms: i64,
}

impl LiveGrant {
    /// The order of `best_grant!`.
    fn before(&self, other: &LiveGrant) -> Ordering {
        let covers = other.sensitive.cmp(&self.sensitive);
        covers.then_with(|| self.id.cmp(&other.id))
    }
}

/// Rows of up to so many bytes are few enough in memory to be read for each of several grants.
const SMALL_BYTES: i32 = 256 * 1024;

/// A row that may be released, with its bytes.
#[derive(Clone, Debug, Queryable)]
pub struct Released {
    /// The key of the resource; ascending within a page.
    pub key: i64,
    /// FHIR type.
    pub rtype: String,
    /// FHIR id.
    pub id: String,
    /// This server's version number.
    pub version: i64,
    /// UTC milliseconds of the last change.
    pub last_updated_ms: i64,
    body: Vec<u8>,
    /// The released form, from which a part was cut; none when the stored bytes are released.
    pub released: Option<Vec<u8>>,
}

impl Released {
    /// Length of the bytes that are released.
    pub fn size(&self) -> u64 {
        self.released.as_ref().unwrap_or(&self.body).len() as u64
    }

    /// A resource that is made when it is read. It has one version.
    pub fn made(rtype: &str, id: &str, last_updated_ms: i64, body: Vec<u8>) -> Released {
        Released {
            key: 0,
            rtype: rtype.to_owned(),
            id: id.to_owned(),
            version: 1,
            last_updated_ms,
            body,
            released: None,
        }
    }

    /// Returns the bytes that are released.
    pub fn bytes(&self) -> &[u8] {
        self.released.as_ref().unwrap_or(&self.body)
    }

    /// Returns the bytes that are released: the released form when there is one, otherwise the stored bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.released.unwrap_or(self.body)
    }
}

/// What an answer was begun on, besides its grant. Pages are empty as soon as any of it no longer holds.
#[derive(Clone, Debug)]
pub struct DisclosureBasis {
    /// The partner, which must be active.
    pub partner: String,
    /// The version of the partner's registration: after a change of it, the answer does not go on.
    pub partner_version: i64,
    /// SHA-256 of the token, which must not be revoked.
    pub token_sha256: [u8; 32],
    /// When the answer began (UTC ms). Dates are compared with this time, so a grant that expires while the answer is sent does not end it.
    pub begun_ms: i64,
}

// Both subqueries search by key and depend on no row of the query, so the database runs them once.
macro_rules! stands {
    ($basis:expr) => {
        exists(
            partner::table
                .find(&$basis.partner)
                .filter(partner::version.eq($basis.partner_version))
                .filter(partner::status.eq("active")),
        )
        .and(not(exists(
            access_token::table
                .find(&$basis.token_sha256[..])
                .filter(access_token::revoked_ms.is_not_null()),
        )))
    };
}
pub(super) use stands;

macro_rules! grant_columns {
    () => {
        (
            grants::id,
            grants::compartment,
            grants::patient_id,
            grants::consent_id,
            grants::sensitive,
            grants::created_ms,
        )
    };
}

/// Of several live grants, one that covers sensitive data comes first.
macro_rules! best_grant {
    () => {
        (grants::sensitive.desc(), grants::id.asc())
    };
}

macro_rules! granted {
    ($partner:expr, $which:expr, $now_ms:expr) => {
        grants::table
            .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
            .filter($which)
            .filter(live($partner, $now_ms))
            .order(best_grant!())
            .select(grant_columns!())
    };
}

/// Returns the live grant of `partner` on the member with this Patient id. Of several it prefers one that covers sensitive data.
///
/// # Errors
/// Those of the database.
pub fn live_grant(db: &mut Db, partner: &str, patient_id: &str, now_ms: i64) -> Result<Option<LiveGrant>, Failure> {
    let query = granted!(partner, grants::patient_id.eq(patient_id), now_ms);
    Ok(on!(db, conn => query.first(conn)).optional()?)
}

/// [`live_grant`] together with the *begun* entry of its disclosure, in one PostgreSQL statement that commits by itself.
///
/// # Errors
/// Those of the database; [`Fault::Internal`] on SQLite.
pub fn live_grant_begun(
    db: &mut Db,
    partner: &str,
    patient_id: &str,
    now_ms: i64,
    entry: &Unfilled,
) -> Result<Option<LiveGrant>, Failure> {
    let query = granted!(partner, grants::patient_id.eq(patient_id), now_ms);
    let columns = "grant_id, compartment, patient_id, consent_id, sensitive, created_ms";
    begun(db, Begun { query, columns, entry })
}

/// Returns the grant with this id, if it is a live one of `partner`.
///
/// # Errors
/// Those of the database.
pub fn live_grant_by_id(db: &mut Db, partner: &str, id: &str, now_ms: i64) -> Result<Option<LiveGrant>, Failure> {
    let query = granted!(partner, grants::id.eq(id), now_ms);
    Ok(on!(db, conn => query.first(conn)).optional()?)
}

/// Runs a statement that appends the entry about the row it finds, and returns that row.
fn begun<'e, Q, T>(db: &mut Db, statement: Begun<'e, Q>) -> Result<Option<T>, Failure>
where
    Begun<'e, Q>: LoadQuery<'e, PgConnection, T>,
{
    match db {
        Db::Pg(pg) => Ok(statement.get_result(pg).optional()?),
        Db::Sqlite(_) => Err(Failure::new(Fault::Internal).because("a statement of PostgreSQL's")),
    }
}

/// Whether this grant and everything else that the answer was begun on still hold.
///
/// # Errors
/// Those of the database.
pub fn still_stands(db: &mut Db, basis: &DisclosureBasis, grant_id: &str) -> Result<bool, Failure> {
    let query = grants::table
        .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
        .filter(grants::id.eq(grant_id))
        .filter(live(&basis.partner, basis.begun_ms))
        .filter(stands!(basis))
        .select(grants::id);
    let found: Option<String> = on!(db, conn => query.get_result(conn)).optional()?;
    Ok(found.is_some())
}

/// [`still_stands`] for all of these grants; false when the list is empty.
///
/// # Errors
/// Those of the database.
pub fn all_stand(db: &mut Db, basis: &DisclosureBasis, grant_ids: &[String]) -> Result<bool, Failure> {
    match grant_ids {
        [] => Ok(false),
        [one] => still_stands(db, basis, one),
        several => {
            let found: Vec<String> = grants::table
                .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
                .filter(grants::id.eq_any(several))
                .filter(live(&basis.partner, basis.begun_ms))
                .filter(stands!(basis))
                .select(grants::id)
                .load(db)?;
            Ok(found.len() == several.len())
        }
    }
}

/// Returns the live grants of `partner` on these compartments, one for each; it prefers one that covers sensitive data.
///
/// # Errors
/// Those of the database.
pub fn live_grants(db: &mut Db, partner: &str, compartments: &[i64], now_ms: i64) -> Result<Vec<LiveGrant>, Failure> {
    let mut found: Vec<LiveGrant> = grants::table
        .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
        .filter(grants::compartment.eq_any(compartments))
        .filter(live(partner, now_ms))
        .order((grants::compartment.asc(), grants::sensitive.desc(), grants::id.asc()))
        .select(grant_columns!())
        .load(db)?;
    found.dedup_by_key(|grant| grant.compartment);
    Ok(found)
}

/// The bytes that reading a row of these lengths takes.
pub(super) fn taken((body, released): (i32, Option<i32>)) -> usize {
    let bytes = |count: i32| usize::try_from(count).unwrap_or(0);
    bytes(body).saturating_add(released.map_or(0, bytes))
}

/// The bytes that [`one`] would read.
///
/// # Errors
/// Those of the database.
pub fn one_bytes(db: &mut Db, partner: &str, rtype: &str, id: &str, now_ms: i64) -> Result<Option<usize>, Failure> {
    let query = resource::table
        .inner_join(grants::table.on(grants::compartment.eq(resource::compartment)))
        .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
        .filter(resource::rtype.eq(rtype).and(resource::id.eq(id)))
        .filter(live(partner, now_ms))
        .filter(releasable(now_ms))
        .select((length(resource::body), length_if_any(resource::released)));
    let found: Option<(i32, Option<i32>)> = on!(db, conn => query.first(conn)).optional()?;
    Ok(found.map(taken))
}

macro_rules! one_of_a_member {
    ($partner:expr, $rtype:expr, $id:expr, $now_ms:expr) => {
        resource::table
            .inner_join(grants::table.on(grants::compartment.eq(resource::compartment)))
            .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
            .filter(resource::rtype.eq($rtype).and(resource::id.eq($id)))
            .filter(live($partner, $now_ms))
            .filter(releasable($now_ms))
            .select((
                (
                    resource::key,
                    resource::rtype,
                    resource::id,
                    resource::version,
                    resource::last_updated_ms,
                    resource::body,
                    resource::released,
                ),
                grant_columns!(),
            ))
    };
}

/// Returns one resource of a member on whom `partner` has a live grant, if it may be released now and its stored form has at
/// most `most_bytes`, with that grant.
///
/// # Errors
/// Those of the database.
pub fn one(
    db: &mut Db,
    partner: &str,
    (rtype, id): (&str, &str),
    now_ms: i64,
    most_bytes: i32,
) -> Result<Option<(Released, LiveGrant)>, Failure> {
    let query = one_of_a_member!(partner, rtype, id, now_ms).filter(length(resource::body).le(most_bytes));
    if let Db::Sqlite(sqlite) = db
        && most_bytes <= SMALL_BYTES
    {
        // SQLite would sort even a single row, in a table that it makes for that. A partner can have many grants on one member, so only the best
        // row is kept.
        let mut best: Option<(Released, LiveGrant)> = None;
        for found in query.load_iter::<(Released, LiveGrant), DefaultLoadingMode>(sqlite)? {
            let found = found?;
            if best.as_ref().is_none_or(|(_, best)| found.1.before(best).is_lt()) {
                best = Some(found);
            }
        }
        return Ok(best);
    }
    let query = query.order(best_grant!());
    Ok(on!(db, conn => query.first(conn)).optional()?)
}

/// A read of one resource of a member.
#[derive(Clone, Debug)]
pub struct ResourceRead {
    /// Who reads.
    pub partner: String,
    /// FHIR type.
    pub rtype: String,
    /// FHIR id.
    pub id: String,
    /// The version that the resource must have; any when `None`.
    pub version: Option<i64>,
    /// The Patient id of the only member to whom it may belong; any when `None`.
    pub patient_id: Option<String>,
    /// When it is read (UTC ms).
    pub now_ms: i64,
    /// Most bytes that its stored form may have; a larger one is not found.
    pub most_bytes: i32,
}

/// [`one`] together with the *begun* entry of its disclosure, in one PostgreSQL statement that commits by itself.
///
/// # Errors
/// Those of the database; [`Fault::Internal`] on SQLite.
pub fn one_begun(
    db: &mut Db,
    asked: &ResourceRead,
    entry: &Unfilled,
) -> Result<Option<(Released, LiveGrant)>, Failure> {
    let versions = asked.version.map_or((i64::MIN, i64::MAX), |version| (version, version));
    let query = one_of_a_member!(&asked.partner, &asked.rtype, &asked.id, asked.now_ms)
        .filter(resource::version.between(versions.0, versions.1))
        .filter(length(resource::body).le(asked.most_bytes))
        .filter(grants::patient_id.eq(coalesce_text(asked.patient_id.as_deref(), grants::patient_id)))
        .order(best_grant!());
    let columns = "key, rtype, id, version, last_updated_ms, body, released, \
                   grant_id, compartment, patient_id, consent_id, sensitive, created_ms";
    begun(db, Begun { query, columns, entry })
}

/// Whether the Binary that was found under `grant` may be released: at least one resource references it, and all
/// that do belong to the grant's member and may be released now.
///
/// # Errors
/// Those of the database.
pub fn is_attached(
    db: &mut Db,
    partner: &str,
    grant: &LiveGrant,
    binary_id: &str,
    now_ms: i64,
) -> Result<bool, Failure> {
    let naming: i64 = attachment::table
        .filter(attachment::binary_id.eq(binary_id))
        .count()
        .get_result(db)?;
    let leaving: i64 = attachment::table
        .inner_join(resource::table.on(resource::key.eq(attachment::key)))
        .inner_join(grants::table.on(grants::compartment.eq(resource::compartment)))
        .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
        .filter(attachment::binary_id.eq(binary_id))
        .filter(grants::id.eq(&grant.id))
        .filter(live(partner, now_ms))
        .filter(releasable(now_ms))
        .count()
        .get_result(db)?;
    Ok(naming > 0 && naming == leaving)
}
