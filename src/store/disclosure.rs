//! The queries behind a release: what this partner may see of this member, decided inside the WHERE clause.
//!
//! Every query joins the live grant and its consent, so authorisation is evaluated at that moment and again for each page.
//! A live grant: not revoked, inside its dates, its consent not revoked and inside its period. An answer of many pieces is judged
//! by the dates of its beginning, and anew by what was taken away since ([`Basis`]).

use super::Db;
use super::resources::NOBODY;
use super::schema::{access_token, attachment, consent, grants, partner, resource};
use crate::error::Failure;
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel::sql_types::{Binary, Nullable};

/// No prior authorisation. `records` writes these codes.
pub const PA_NONE: i64 = 0;
/// Approved, or waiting for a decision. `pa_changed_ms` is the end of its period, if it has one: from then on it is over, and no
/// later import has to say so.
pub const PA_ACTIVE: i64 = 1;
/// Cancelled, or its period was over when it was stored; `pa_changed_ms` says since when.
pub const PA_ENDED: i64 = 2;
/// Nothing of it was approved and something was denied; never released. So is every code from here up.
pub const PA_DENIED: i64 = 3;
/// For a drug, or for a drug among other things.
pub const PA_DRUG: i64 = 4;
/// It claims to be a prior authorization, and what was decided of it is not recognized.
pub const PA_UNCLEAR: i64 = 5;
/// Something of what it is for is not recognized, so that it may be a drug.
pub const PA_SERVICE_UNKNOWN: i64 = 6;
/// It refers to a claim or an authorization that is not here, so that nobody knows whether that one may leave.
pub const PA_ABSENT: i64 = 7;
/// Sensitivity bits from here up are withheld under every policy. [`super::withheld`] says what each of them means.
pub const WITHHELD_ALWAYS: i64 = 1 << 40;

/// The grant and consent under which something is released.
#[derive(Clone, Debug, Queryable, PartialEq, Eq)]
pub struct LiveGrant {
    /// Id of the grant.
    pub id: String,
    /// The member's compartment.
    pub compartment: i64,
    /// FHIR id of the member's Patient.
    pub patient_id: String,
    /// The consent it stands on.
    pub consent_id: String,
    /// 1 when the consent's policy covers sensitive data.
    pub sensitive: i64,
}

/// A row that may leave, as bytes.
#[derive(Clone, Debug, Queryable)]
pub struct Released {
    /// Place in the compartment; grows along a page.
    pub key: i64,
    /// FHIR type.
    pub rtype: String,
    /// FHIR id.
    pub id: String,
    /// Our version number.
    pub version: i64,
    /// UTC milliseconds of the last change.
    pub last_updated_ms: i64,
    body: Vec<u8>,
    released: Option<Vec<u8>>,
}

impl Released {
    /// Length of what leaves, in bytes.
    pub fn size(&self) -> u64 {
        self.released.as_ref().unwrap_or(&self.body).len() as u64
    }

    /// The bytes that leave, to be read.
    pub fn bytes(&self) -> &[u8] {
        self.released.as_ref().unwrap_or(&self.body)
    }

    /// The bytes that leave: the released form when there is one, else as stored.
    pub fn into_bytes(self) -> Vec<u8> {
        self.released.unwrap_or(self.body)
    }
}

/// A row of a record on its way out.
#[derive(Clone, Debug, Queryable)]
pub struct Leaving {
    /// Place in the compartment; grows along a page.
    pub key: i64,
    /// FHIR type.
    pub rtype: String,
    /// FHIR id.
    pub id: String,
    /// The bytes that leave: the released form when there is one, else as stored.
    pub bytes: Vec<u8>,
}

diesel::define_sql_function! {
    /// The first that is not null; a stored body that does not leave is then not even read.
    fn coalesce(first: Nullable<Binary>, second: Binary) -> Binary;
}

/// What is asked of a member's record; all bounds are optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// FHIR types wanted; all when empty.
    pub types: Vec<String>,
    /// Only what was changed after this instant (UTC ms).
    pub since_ms: Option<i64>,
    /// Only care on or after this instant (UTC ms); resources without a service date stay in.
    pub care_from_ms: Option<i64>,
    /// Only care before this instant (UTC ms).
    pub care_until_ms: Option<i64>,
}

/// On what an answer was begun, besides its grant. Pages are empty from the moment that any of it is not so any more.
#[derive(Clone, Debug)]
pub struct Basis {
    /// The partner, which has to be active.
    pub partner: String,
    /// Which state of its registration: a change of it has to be looked at before the answer goes on.
    pub partner_version: i64,
    /// SHA-256 of the token, which must not be revoked.
    pub token_sha256: [u8; 32],
    /// When the answer was begun, by which dates are judged (UTC ms): what runs out while it is on its way does not end it.
    pub begun_ms: i64,
}

macro_rules! live {
    ($partner:expr, $now:expr) => {
        grants::partner_id
            .eq($partner)
            .and(grants::revoked_ms.is_null())
            .and(grants::valid_from_ms.le($now))
            .and(grants::valid_until_ms.gt($now))
            .and(consent::revoked_ms.is_null())
            .and(consent::period_from_ms.le($now))
            .and(consent::period_to_ms.gt($now))
    };
}

// Both are found by their keys and depend on no row of the query, so that the databases look once for each statement.
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

// No list of values in here: a statement with one is prepared anew at each call.
macro_rules! releasable {
    ($changed_since:expr) => {
        resource::sensitivity
            .eq(0)
            .or(grants::sensitive.eq(1).and(resource::sensitivity.lt(WITHHELD_ALWAYS)))
            .and(resource::financial.eq(0).or(resource::released.is_not_null()))
            .and(
                resource::pa_state
                    .eq(PA_NONE)
                    .or(resource::pa_state.eq(PA_ACTIVE).and(resource::pa_changed_ms.is_null()))
                    .or(resource::pa_state
                        .eq(PA_ACTIVE)
                        .or(resource::pa_state.eq(PA_ENDED))
                        .and(resource::pa_changed_ms.ge($changed_since))),
            )
    };
}

/// Prior authorisations stay releasable for a year after they ended (42 CFR 422.119(b)(1)(iv)).
pub const PA_KEPT_MS: i64 = 365 * 86_400_000;

/// The live grant of `partner` on the member whose Patient has this id; the widest when there are several.
///
/// # Errors
/// Those of the database.
pub fn live_grant(db: &mut Db, partner: &str, patient_id: &str, now_ms: i64) -> Result<Option<LiveGrant>, Failure> {
    Ok(grants::table
        .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
        .filter(grants::patient_id.eq(patient_id).and(live!(partner, now_ms)))
        .order((grants::sensitive.desc(), grants::id.asc()))
        .select((
            grants::id,
            grants::compartment,
            grants::patient_id,
            grants::consent_id,
            grants::sensitive,
        ))
        .first(db)
        .optional()?)
}

/// Whether this very grant and all else that an answer was begun on still stand.
///
/// # Errors
/// Those of the database.
pub fn still_stands(db: &mut Db, basis: &Basis, grant_id: &str) -> Result<bool, Failure> {
    let found: Option<String> = grants::table
        .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
        .filter(grants::id.eq(grant_id).and(live!(&basis.partner, basis.begun_ms)))
        .filter(stands!(basis))
        .select(grants::id)
        .first(db)
        .optional()?;
    Ok(found.is_some())
}

/// The live grants of `partner` on these compartments, the widest of each.
///
/// # Errors
/// Those of the database.
pub fn live_grants(db: &mut Db, partner: &str, compartments: &[i64], now_ms: i64) -> Result<Vec<LiveGrant>, Failure> {
    let mut found: Vec<LiveGrant> = grants::table
        .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
        .filter(grants::compartment.eq_any(compartments).and(live!(partner, now_ms)))
        .order((grants::compartment.asc(), grants::sensitive.desc(), grants::id.asc()))
        .select((
            grants::id,
            grants::compartment,
            grants::patient_id,
            grants::consent_id,
            grants::sensitive,
        ))
        .load(db)?;
    found.dedup_by_key(|grant| grant.compartment);
    Ok(found)
}

/// One resource that belongs to nobody, if it may leave.
///
/// # Errors
/// Those of the database.
pub fn shared(db: &mut Db, rtype: &str, id: &str) -> Result<Option<Released>, Failure> {
    Ok(resource::table
        .filter(resource::rtype.eq(rtype).and(resource::id.eq(id)))
        .filter(resource::compartment.eq(NOBODY).and(resource::sensitivity.eq(0)))
        .filter(resource::financial.eq(0).or(resource::released.is_not_null()))
        .select((
            resource::key,
            resource::rtype,
            resource::id,
            resource::version,
            resource::last_updated_ms,
            resource::body,
            resource::released,
        ))
        .first(db)
        .optional()?)
}

/// One resource of a granted member, if it may leave now.
///
/// # Errors
/// Those of the database.
pub fn one(
    db: &mut Db,
    partner: &str,
    rtype: &str,
    id: &str,
    now_ms: i64,
) -> Result<Option<(Released, LiveGrant)>, Failure> {
    Ok(resource::table
        .inner_join(grants::table.on(grants::compartment.eq(resource::compartment)))
        .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
        .filter(resource::rtype.eq(rtype).and(resource::id.eq(id)))
        .filter(live!(partner, now_ms))
        .filter(releasable!(now_ms - PA_KEPT_MS))
        .order((grants::sensitive.desc(), grants::id.asc()))
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
            (
                grants::id,
                grants::compartment,
                grants::patient_id,
                grants::consent_id,
                grants::sensitive,
            ),
        ))
        .first(db)
        .optional()?)
}

/// Whether the Binary that was found under `grant` may leave: something names it, and all that names it is of the same member
/// and may itself leave now.
///
/// # Errors
/// Those of the database.
pub fn is_attached(db: &mut Db, grant: &LiveGrant, binary_id: &str, now_ms: i64) -> Result<bool, Failure> {
    let naming: i64 = attachment::table
        .filter(attachment::binary_id.eq(binary_id))
        .count()
        .get_result(db)?;
    let leaving: i64 = attachment::table
        .inner_join(resource::table.on(resource::key.eq(attachment::key)))
        .inner_join(grants::table.on(grants::compartment.eq(resource::compartment)))
        .filter(attachment::binary_id.eq(binary_id))
        .filter(grants::id.eq(&grant.id).and(grants::revoked_ms.is_null()))
        .filter(releasable!(now_ms - PA_KEPT_MS))
        .count()
        .get_result(db)?;
    Ok(naming > 0 && naming == leaving)
}

/// The next rows of a member's record after `after_key`, at most `limit`, if the grant and all else that the answer was begun on
/// still stand.
///
/// # Errors
/// Those of the database.
pub fn page(
    db: &mut Db,
    basis: &Basis,
    grant: &LiveGrant,
    window: &Window,
    after_key: i64,
    limit: i64,
) -> Result<Vec<Leaving>, Failure> {
    // The keys are those of the grant's own compartment. Were the two joined by its number, SQLite would go by the index of
    // compartments and types and order the whole record for each page.
    let query = resource::table
        .inner_join(grants::table.on(grants::id.eq(grant.id.clone())))
        .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
        .filter(grants::compartment.eq(grant.compartment))
        .filter(live!(&basis.partner, basis.begun_ms))
        .filter(stands!(basis))
        .filter(
            resource::key
                .gt(after_key)
                .and(resource::key.lt(end_of(grant.compartment))),
        )
        .filter(releasable!(basis.begun_ms - PA_KEPT_MS))
        // What is attached is read by its address, each by the rule of what names it ([`binary`]).
        .filter(resource::rtype.ne("Binary"))
        .order(resource::key.asc())
        .limit(limit)
        .select((
            resource::key,
            resource::rtype,
            resource::id,
            coalesce(resource::released, resource::body),
        ));
    // A text that is always the same is found prepared without being written again.
    if *window == Window::default() {
        return Ok(query.load(db)?);
    }
    let mut query = query.into_boxed();
    if !window.types.is_empty() {
        query = query.filter(resource::rtype.eq_any(&window.types));
    }
    if let Some(since) = window.since_ms {
        query = query.filter(resource::last_updated_ms.gt(since));
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
    Ok(query.load(db)?)
}

/// Shared resources of these names inside the window's types and time of change, in the order of type and id.
///
/// # Errors
/// Those of the database.
pub fn shared_rows(db: &mut Db, names: &[(String, String)], window: &Window) -> Result<Vec<Leaving>, Failure> {
    let mut found: Vec<Leaving> = Vec::new();
    let mut types: Vec<&str> = names.iter().map(|(rtype, _)| rtype.as_str()).collect();
    types.dedup();
    types.retain(|rtype| window.types.is_empty() || window.types.iter().any(|wanted| wanted == rtype));
    for rtype in types {
        let ids = names.iter().filter(|(own, _)| own == rtype).map(|(_, id)| id);
        let rows = resource::table
            .filter(resource::rtype.eq(rtype).and(resource::id.eq_any(ids)))
            .filter(resource::compartment.eq(NOBODY).and(resource::sensitivity.eq(0)))
            .filter(resource::financial.eq(0).or(resource::released.is_not_null()))
            .filter(resource::last_updated_ms.gt(window.since_ms.unwrap_or(i64::MIN)))
            .order(resource::id.asc())
            .select((
                resource::key,
                resource::rtype,
                resource::id,
                coalesce(resource::released, resource::body),
            ))
            .load::<Leaving>(db)?;
        found.extend(rows);
    }
    Ok(found)
}

/// The key before a compartment's first row.
pub fn start_of(compartment: i64) -> i64 {
    (compartment << 24) - 1
}

fn end_of(compartment: i64) -> i64 {
    (compartment + 1) << 24
}
