//! Access tokens and seen assertions. Tokens are stored as hashes only; those of operators: `operator_tokens`.

use super::activations::{AS_REGISTERED, TextInForce};
use super::connection::{Db, on};
use super::is_duplicate;
use super::release_rule;
use super::schema::{
    access_token, assertion_seen, compartment, consent, grants, ledger_entry, operator_token, partner,
};
use crate::error::Failure;
use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Array, Nullable, Text};

/// How long rows are kept after they expired, so that a used assertion is not accepted again when the clock is set back.
const KEEP_MS: i64 = 3_600_000;
/// How many rows one call deletes.
const PRUNE: i64 = 500;

/// An access token, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = access_token)]
pub struct TokenRow {
    /// SHA-256 of the token.
    pub hash: Vec<u8>,
    /// The partner that it was issued to.
    pub partner_id: String,
    /// The granted scopes, separated by spaces.
    pub scope: String,
    /// SHA-256 of the certificate to which it is bound.
    pub certificate_sha256: Option<Vec<u8>>,
    /// Patient id of the only member that it may read.
    pub patient_id: Option<String>,
    /// SHA-256 of the assertion's `jti`.
    pub jti_sha256: Vec<u8>,
    /// Thumbprint of the key that signed the assertion.
    pub key_thumbprint: String,
    /// When it was issued, UTC milliseconds.
    pub issued_ms: i64,
    /// When it expires, UTC milliseconds.
    pub expires_ms: i64,
    /// When it was revoked, UTC milliseconds.
    pub revoked_ms: Option<i64>,
}

/// A token and its partner: what an authenticated request needs, in one query.
#[derive(Clone, Debug, Queryable)]
pub struct Holder {
    /// The token.
    pub token: TokenRow,
    /// Its partner's OAuth client id.
    pub client_id: String,
    /// Its partner's NPI.
    pub npi: String,
    /// The dialect that its partner speaks now, JSON.
    pub dialect: String,
    /// What the partner is told besides the remedies of faults: the text of the version in force.
    pub error_texts: Option<String>,
    /// Its partner's status.
    pub status: String,
    /// Its partner's mTLS mode.
    pub mtls: String,
    /// Version of its partner's registration.
    pub version: i64,
}

type HolderValues = (
    TokenRow,
    String,
    String,
    String,
    String,
    String,
    i64,
    Option<String>,
    Option<String>,
);

/// [`HolderValues`], and the owner of a certificate.
type OwnedValues = (
    TokenRow,
    String,
    String,
    String,
    String,
    String,
    i64,
    Option<String>,
    Option<String>,
    Option<String>,
);

impl From<HolderValues> for Holder {
    fn from(values: HolderValues) -> Holder {
        let (token, client_id, npi, registered, status, mtls, version, spoken, error_texts) = values;
        Holder {
            token,
            client_id,
            npi,
            dialect: spoken.filter(|body| body != AS_REGISTERED).unwrap_or(registered),
            error_texts,
            status,
            mtls,
            version,
        }
    }
}

macro_rules! holders {
    ($hash:expr) => {
        access_token::table
            .inner_join(partner::table.on(partner::id.eq(access_token::partner_id)))
            .filter(access_token::hash.eq($hash))
    };
}

/// The columns of [`HolderValues`], and more.
macro_rules! holder_columns {
    ($at_ms:expr $(, $more:expr)?) => {
        (
            TokenRow::as_select(),
            partner::client_id,
            partner::npi,
            partner::dialect,
            partner::status,
            partner::mtls,
            partner::version,
            TextInForce::<true> { at_ms: $at_ms },
            TextInForce::<false> { at_ms: $at_ms },
            $($more,)?
        )
    };
}

/// Returns the token with this hash and its partner, as policies say of it at `now_ms` (UTC milliseconds).
///
/// # Errors
/// Those of the database.
pub fn holder(db: &mut Db, hash: &[u8], now_ms: i64) -> Result<Option<Holder>, Failure> {
    let row = on!(db, conn => holders!(hash)
        .select(holder_columns!(now_ms))
        .get_result::<HolderValues>(conn))
    .optional()?;
    Ok(row.map(Holder::from))
}

/// [`holder`] and [`super::partners::id_by_certificate`] in one statement, on PostgreSQL.
/// Returns `None` on SQLite and when there is no such token.
///
/// # Errors
/// Those of the database.
pub fn holder_and_owner(
    db: &mut Db,
    hash: &[u8],
    uris: &[String],
    now_ms: i64,
) -> Result<Option<(Holder, Option<String>)>, Failure> {
    let Db::Pg(pg) = db else { return Ok(None) };
    let row = holders!(hash)
        .select(holder_columns!(now_ms, Owner(uris)))
        .get_result::<OwnedValues>(pg)
        .optional()?;
    Ok(row.map(|(token, a, b, c, d, e, version, f, g, owner)| {
        (Holder::from((token, a, b, c, d, e, version, f, g)), owner)
    }))
}

/// SQL expression: the id of the only partner to which one of these certificate names belongs.
struct Owner<'u>(&'u [String]);

impl Expression for Owner<'_> {
    type SqlType = Nullable<Text>;
}

impl<Tables: ?Sized> AppearsOnTable<Tables> for Owner<'_> {}
impl<Tables: ?Sized> SelectableExpression<Tables> for Owner<'_> {}

impl ValidGrouping<()> for Owner<'_> {
    type IsAggregate = is_aggregate::No;
}

impl QueryId for Owner<'_> {
    type QueryId = Owner<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Pg> for Owner<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(SELECT min(o.id) FROM partner o WHERE o.certificate_uri = ANY(");
        out.push_bind_param::<Array<Text>, [String]>(self.0)?;
        out.push_sql(") HAVING count(*) = 1)");
        Ok(())
    }
}

/// The state of a partner and of one of its tokens, which may have expired.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub struct Registered {
    /// The partner's status.
    pub status: String,
    /// Its mTLS mode.
    pub mtls: String,
    /// Version of its registration.
    pub version: i64,
    /// When the token was revoked. `None` also for a token that was deleted long after it expired.
    pub revoked_ms: Option<i64>,
}

/// Returns the state of the partner and of its token with this hash; `None` when there is no such partner.
///
/// # Errors
/// Those of the database.
pub fn registered(db: &mut Db, partner_id: &str, hash: &[u8]) -> Result<Option<Registered>, Failure> {
    Ok(partner::table
        .left_join(
            access_token::table.on(access_token::partner_id
                .eq(partner::id)
                .and(access_token::hash.eq(hash))),
        )
        .filter(partner::id.eq(partner_id))
        .select((
            partner::status,
            partner::mtls,
            partner::version,
            access_token::revoked_ms.nullable(),
        ))
        .first(db)
        .optional()?)
}

/// Adds a token.
///
/// # Errors
/// Those of the database.
pub fn insert(db: &mut Db, row: &TokenRow) -> Result<(), Failure> {
    on!(db, conn => diesel::insert_into(access_token::table).values(row).execute(conn))?;
    Ok(())
}

/// Revokes a token of `partner_id`. Returns false when the partner has no such token, or when it is already revoked.
///
/// # Errors
/// Those of the database.
pub fn revoke(db: &mut Db, hash: &[u8], partner_id: &str, now_ms: i64) -> Result<bool, Failure> {
    let mine = access_token::table
        .find(hash)
        .filter(access_token::partner_id.eq(partner_id))
        .filter(access_token::revoked_ms.is_null());
    Ok(diesel::update(mine)
        .set(access_token::revoked_ms.eq(now_ms))
        .execute(db)?
        == 1)
}

/// Revokes the tokens of a partner that were obtained with a key not in `kept`. Returns how many.
///
/// # Errors
/// Those of the database.
pub fn revoke_other_keys(db: &mut Db, partner_id: &str, kept: &[String], now_ms: i64) -> Result<usize, Failure> {
    let others = access_token::table
        .filter(access_token::partner_id.eq(partner_id))
        .filter(access_token::revoked_ms.is_null())
        .filter(access_token::key_thumbprint.ne_all(kept));
    Ok(diesel::update(others)
        .set(access_token::revoked_ms.eq(now_ms))
        .execute(db)?)
}

/// Stores an assertion until `expires_ms`. Returns false when it was used before; the caller's transaction must then fail.
///
/// # Errors
/// Those of the database.
pub fn remember(
    db: &mut Db,
    client_id: &str,
    jti_sha256: &[u8],
    expires_ms: i64,
    now_ms: i64,
) -> Result<bool, Failure> {
    // An id may be used again after it expired (UDAP); rows are kept longer only because a clock may be set back.
    let stale = assertion_seen::table
        .find((client_id, jti_sha256))
        .filter(assertion_seen::expires_ms.lt(now_ms));
    let update = diesel::update(stale).set(assertion_seen::expires_ms.eq(expires_ms));
    if on!(db, conn => update.execute(conn))? == 1 {
        return Ok(true);
    }
    let insert = diesel::insert_into(assertion_seen::table).values((
        assertion_seen::client_id.eq(client_id),
        assertion_seen::jti_sha256.eq(jti_sha256),
        assertion_seen::expires_ms.eq(expires_ms),
    ));
    match on!(db, conn => insert.execute(conn)) {
        Ok(_) => Ok(true),
        Err(error) if is_duplicate(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Returns the newest time that the store contains, UTC milliseconds: that of a token or of a ledger entry.
///
/// # Errors
/// Those of the database.
pub fn newest_ms(db: &mut Db) -> Result<Option<i64>, Failure> {
    let token: Option<i64> = access_token::table
        .order(access_token::expires_ms.desc())
        .select(access_token::issued_ms)
        .first(db)
        .optional()?;
    let operator: Option<i64> = operator_token::table
        .select(diesel::dsl::max(operator_token::created_ms))
        .first(db)?;
    let entry: Option<i64> = ledger_entry::table
        .order(ledger_entry::id.desc())
        .select(ledger_entry::at_us)
        .first(db)
        .optional()?;
    Ok(token.max(operator).max(entry.map(|at_us| at_us / 1000)))
}

/// Deletes some rows that expired more than an hour ago. Returns how many. Tokens are deleted by `lasting_ms`, which never goes back; ids
/// of assertions by `surely_ms`, which does not follow a clock that was just set forward, so that they cannot be used again.
///
/// # Errors
/// Those of the database.
pub fn prune(db: &mut Db, lasting_ms: i64, surely_ms: i64) -> Result<usize, Failure> {
    let before = surely_ms - KEEP_MS;
    let seen: Vec<(String, Vec<u8>)> = assertion_seen::table
        .filter(assertion_seen::expires_ms.lt(before))
        .select((assertion_seen::client_id, assertion_seen::jti_sha256))
        .limit(PRUNE)
        .load(db)?;
    for (client_id, jti) in &seen {
        diesel::delete(
            assertion_seen::table
                .find((client_id, jti))
                .filter(assertion_seen::expires_ms.lt(before)),
        )
        .execute(db)?;
    }
    let before = lasting_ms - KEEP_MS;
    let old: Vec<Vec<u8>> = access_token::table
        .filter(access_token::expires_ms.lt(before))
        .select(access_token::hash)
        .limit(PRUNE)
        .load(db)?;
    diesel::delete(access_token::table.filter(access_token::hash.eq_any(&old))).execute(db)?;
    diesel::delete(operator_token::table.filter(operator_token::expires_ms.lt(before))).execute(db)?;
    Ok(seen.len() + old.len())
}

/// Returns the Patient id to which a token may be restricted: `wanted` is this id or the
/// member's UMB, and the partner must have a live grant on the member.
///
/// # Errors
/// Those of the database.
pub fn granted_patient(
    db: &mut Db,
    partner_id: &str,
    wanted: &WantedPatient,
    now_ms: i64,
) -> Result<Option<String>, Failure> {
    let mut query = grants::table
        .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
        .inner_join(compartment::table.on(compartment::no.eq(grants::compartment)))
        .filter(release_rule::live(partner_id, now_ms))
        .select(grants::patient_id)
        .into_boxed();
    query = match wanted {
        WantedPatient::Patient(id) => query.filter(grants::patient_id.eq(id.clone())),
        WantedPatient::Umb(value) => query.filter(compartment::umb.eq(value.clone())),
    };
    Ok(query.first(db).optional()?)
}

/// How a token request names a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedPatient {
    /// By the id of `Patient/<id>`.
    Patient(String),
    /// By the value of the member identifier that `$member-match` returned.
    Umb(String),
}
