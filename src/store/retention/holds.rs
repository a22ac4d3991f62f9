//! The rows of legal holds. A hold is placed and released, never deleted; an erasure takes out of a released one whom it was on and why.

use super::super::Db;
use super::super::many::ROWS;
use super::super::ops_queries::fetched;
use super::super::schema::{
    compartment, decision, decision_candidate, evidence_case_item, evidence_member, evidence_packet, exchange, opt_in,
    retention_clock, retention_hold,
};
use crate::error::Failure;
use diesel::prelude::*;

/// The kind of a hold on a member; its target is the id of a Patient.
pub const MEMBER: &str = "member";
/// The kind of a hold on an exchange.
pub const EXCHANGE: &str = "exchange";

/// A hold, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = retention_hold)]
#[allow(missing_docs)]
pub struct HoldRow {
    pub id: String,
    pub kind: String,
    pub target: String,
    pub case_id: Option<String>,
    pub reason: String,
    pub placed_by: String,
    pub placed_ms: i64,
    pub released_ms: Option<i64>,
    pub released_by: Option<String>,
    pub released_why: Option<String>,
}

/// Places a hold.
///
/// # Errors
/// Those of the database.
pub fn insert(db: &mut Db, row: &HoldRow) -> Result<(), Failure> {
    diesel::insert_into(retention_hold::table).values(row).execute(db)?;
    Ok(())
}

/// Returns the hold with this id.
///
/// # Errors
/// Those of the database.
pub fn find(db: &mut Db, id: &str) -> Result<Option<HoldRow>, Failure> {
    Ok(retention_hold::table
        .find(id)
        .select(HoldRow::as_select())
        .first(db)
        .optional()?)
}

/// Returns a page of holds after this id, oldest first, plus one more row when there is a next page; released ones only with `all`.
///
/// # Errors
/// Those of the database.
pub fn page(db: &mut Db, all: bool, after: &str, limit: i64) -> Result<Vec<HoldRow>, Failure> {
    let query = retention_hold::table
        .filter(retention_hold::id.gt(after))
        .order(retention_hold::id)
        .limit(fetched(limit))
        .select(HoldRow::as_select())
        .into_boxed();
    let query = match all {
        true => query,
        false => query.filter(retention_hold::released_ms.is_null()),
    };
    Ok(query.load(db)?)
}

/// Returns how many holds are in force.
///
/// # Errors
/// Those of the database.
pub fn in_force(db: &mut Db) -> Result<i64, Failure> {
    Ok(retention_hold::table
        .filter(retention_hold::released_ms.is_null())
        .count()
        .get_result(db)?)
}

/// Returns what the holds of a kind that are in force keep.
///
/// # Errors
/// Those of the database.
pub fn targets(db: &mut Db, kind: &str) -> Result<Vec<String>, Failure> {
    Ok(retention_hold::table
        .filter(retention_hold::kind.eq(kind))
        .filter(retention_hold::released_ms.is_null())
        .select(retention_hold::target)
        .distinct()
        .load(db)?)
}

/// Returns the evidence packets that holds in force keep: those that tell of a held member, those of a held exchange, and those of a case
/// that has it.
///
/// # Errors
/// Those of the database.
pub fn packets(db: &mut Db) -> Result<Vec<String>, Failure> {
    let (members, exchanges) = (targets(db, MEMBER)?, targets(db, EXCHANGE)?);
    let (mut held, mut of_cases) = (Vec::new(), Vec::new());
    for some in members.chunks(ROWS) {
        let telling: Vec<String> = evidence_member::table
            .filter(evidence_member::patient_id.eq_any(some))
            .select(evidence_member::packet_id)
            .load(db)?;
        held.extend(telling);
    }
    for some in exchanges.chunks(ROWS) {
        let cases: Vec<String> = evidence_case_item::table
            .filter(evidence_case_item::item.eq_any(some))
            .select(evidence_case_item::case_id)
            .load(db)?;
        of_cases.extend(cases);
    }
    // What a packet of an exchange, and of a case, is about.
    let subjects: Vec<String> = exchanges.into_iter().chain(of_cases).collect();
    for some in subjects.chunks(ROWS) {
        let about: Vec<String> = evidence_packet::table
            .filter(evidence_packet::subject.eq_any(some))
            .select(evidence_packet::id)
            .load(db)?;
        held.extend(about);
    }
    Ok(held)
}

/// Returns the oldest hold in force on this target.
///
/// # Errors
/// Those of the database.
pub fn on(db: &mut Db, kind: &str, target: &str) -> Result<Option<HoldRow>, Failure> {
    Ok(retention_hold::table
        .filter(retention_hold::kind.eq(kind))
        .filter(retention_hold::target.eq(target))
        .filter(retention_hold::released_ms.is_null())
        .order(retention_hold::id)
        .select(HoldRow::as_select())
        .first(db)
        .optional()?)
}

/// Returns a hold in force on this target for this case, or for none.
///
/// # Errors
/// Those of the database.
pub fn same(db: &mut Db, kind: &str, target: &str, case_id: Option<&str>) -> Result<Option<HoldRow>, Failure> {
    let on_it: Vec<HoldRow> = retention_hold::table
        .filter(retention_hold::kind.eq(kind))
        .filter(retention_hold::target.eq(target))
        .filter(retention_hold::released_ms.is_null())
        .order(retention_hold::id)
        .select(HoldRow::as_select())
        .load(db)?;
    Ok(on_it.into_iter().find(|hold| hold.case_id.as_deref() == case_id))
}

/// Returns the oldest hold in force on an exchange of this member: one that we began, or one that another payer began with
/// a match that found the member or asked about the member.
///
/// # Errors
/// Those of the database.
pub fn on_exchanges_of(db: &mut Db, member: &str) -> Result<Option<HoldRow>, Failure> {
    let holds = retention_hold::table
        .filter(retention_hold::kind.eq(EXCHANGE))
        .filter(retention_hold::released_ms.is_null())
        .order(retention_hold::id)
        .select(HoldRow::as_select())
        .load(db)?;
    for hold in holds {
        if concerns(db, &hold.target, member)? {
            return Ok(Some(hold));
        }
    }
    Ok(None)
}

/// Whether an exchange is about this member, or a member that it asks about.
fn concerns(db: &mut Db, exchange_id: &str, member: &str) -> Result<bool, Failure> {
    if member_of_exchange(db, exchange_id)?.as_deref() == Some(member) {
        return Ok(true);
    }
    let places: i64 = decision_candidate::table
        .filter(decision_candidate::decision_id.eq(exchange_id))
        .filter(decision_candidate::patient_id.eq(member))
        .count()
        .get_result(db)?;
    Ok(places > 0)
}

/// Takes out of the released holds on a member whom they were on and why, and out of those on exchanges of the member why.
///
/// # Errors
/// Those of the database.
pub fn forget(db: &mut Db, member: &str) -> Result<(), Failure> {
    let released: Vec<(String, String, String)> = retention_hold::table
        .filter(retention_hold::released_ms.is_not_null())
        .filter(retention_hold::target.ne(""))
        .select((retention_hold::id, retention_hold::kind, retention_hold::target))
        .load(db)?;
    for (id, kind, target) in released {
        let is_on_member = kind == MEMBER && target == member;
        let is_about_member = is_on_member || (kind == EXCHANGE && concerns(db, &target, member)?);
        if !is_about_member {
            continue;
        }
        diesel::update(retention_hold::table.find(&id))
            .set((
                retention_hold::target.eq(if is_on_member { "" } else { target.as_str() }),
                retention_hold::reason.eq(""),
                retention_hold::released_why.eq(Some("")),
            ))
            .execute(db)?;
    }
    Ok(())
}

/// Returns the member of an exchange, ours or another payer's. `None` when there is no such exchange, or nobody was found.
///
/// # Errors
/// Those of the database.
pub fn member_of_exchange(db: &mut Db, id: &str) -> Result<Option<String>, Failure> {
    let ours: Option<Option<String>> = exchange::table
        .find(id)
        .select(exchange::member_id)
        .first(db)
        .optional()?;
    if let Some(member) = ours.flatten() {
        return Ok(Some(member));
    }
    let theirs: Option<Option<String>> = decision::table
        .find(id)
        .select(decision::patient_id)
        .first(db)
        .optional()?;
    Ok(theirs.flatten())
}

/// Whether there is an exchange with this id, ours or another payer's.
///
/// # Errors
/// Those of the database.
pub fn is_exchange(db: &mut Db, id: &str) -> Result<bool, Failure> {
    let ours: i64 = exchange::table.filter(exchange::id.eq(id)).count().get_result(db)?;
    let theirs: i64 = decision::table.filter(decision::id.eq(id)).count().get_result(db)?;
    Ok(ours + theirs > 0)
}

/// Whether something is on record of this Patient: a record, or an opt-in.
///
/// # Errors
/// Those of the database.
pub fn is_member(db: &mut Db, patient_id: &str) -> Result<bool, Failure> {
    let records: i64 = compartment::table
        .filter(compartment::patient_id.eq(patient_id))
        .count()
        .get_result(db)?;
    let opt_ins: i64 = opt_in::table
        .filter(opt_in::member_id.eq(patient_id))
        .count()
        .get_result(db)?;
    Ok(records + opt_ins > 0)
}

/// Releases a hold that is in force, and lets the next run look at all entries again. Returns whether it was in force.
///
/// # Errors
/// Those of the database.
pub fn release(db: &mut Db, id: &str, by: &str, why: &str, now_ms: i64) -> Result<bool, Failure> {
    let in_force = retention_hold::table
        .find(id)
        .filter(retention_hold::released_ms.is_null());
    let released = diesel::update(in_force)
        .set((
            retention_hold::released_ms.eq(now_ms),
            retention_hold::released_by.eq(by),
            retention_hold::released_why.eq(why),
        ))
        .execute(db)?;
    if released == 1 {
        diesel::update(retention_clock::table.find(1))
            .set(retention_clock::from_id.eq(""))
            .execute(db)?;
    }
    Ok(released == 1)
}
