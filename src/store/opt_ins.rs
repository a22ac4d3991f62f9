//! Members' consents that we may ask another payer, with who attested them. A revoked one stays revoked.

use super::Db;
use super::schema::opt_in;
use crate::error::Failure;
use diesel::prelude::*;

/// An opt-in, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = opt_in)]
#[allow(missing_docs)]
pub struct OptInRow {
    pub id: String,
    pub member_id: String,
    pub partner_id: String,
    pub policy: String,
    pub from_ms: i64,
    pub to_ms: Option<i64>,
    pub attested_by: String,
    pub attested_ms: i64,
    pub attested_how: String,
    pub recorded_ms: i64,
    pub revoked_ms: Option<i64>,
    pub revoked_by: Option<String>,
    pub revoked_why: Option<String>,
}

/// Adds an opt-in.
///
/// # Errors
/// Those of the database.
pub fn insert(db: &mut Db, row: &OptInRow) -> Result<(), Failure> {
    diesel::insert_into(opt_in::table).values(row).execute(db)?;
    Ok(())
}

/// Returns the opt-in with this id.
///
/// # Errors
/// Those of the database.
pub fn find(db: &mut Db, id: &str) -> Result<Option<OptInRow>, Failure> {
    Ok(opt_in::table
        .find(id)
        .select(OptInRow::as_select())
        .first(db)
        .optional()?)
}

/// Returns the opt-ins of a member, oldest first.
///
/// # Errors
/// Those of the database.
pub fn of_member(db: &mut Db, member_id: &str) -> Result<Vec<OptInRow>, Failure> {
    Ok(opt_in::table
        .filter(opt_in::member_id.eq(member_id))
        .order(opt_in::id)
        .select(OptInRow::as_select())
        .load(db)?)
}

/// Revokes an opt-in. Returns false when it is revoked already, or when there is none.
///
/// # Errors
/// Those of the database.
pub fn revoke(db: &mut Db, id: &str, by: &str, why: &str, now_ms: i64) -> Result<bool, Failure> {
    let changed = diesel::update(opt_in::table.find(id).filter(opt_in::revoked_ms.is_null()))
        .set((
            opt_in::revoked_ms.eq(Some(now_ms)),
            opt_in::revoked_by.eq(Some(by)),
            opt_in::revoked_why.eq(Some(why)),
        ))
        .execute(db)?;
    Ok(changed == 1)
}
