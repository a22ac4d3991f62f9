//! Deletes the record of a member and everything that was made of it or about it. Each function is a part that may be done again; those that
//! delete much do at most so much at once. Who is erased, and in which order, is decided by `erasure`.

use super::Db;
use super::keys::keys_of;
use super::schema::{
    access_token, bulk_job, bulk_run, bulk_run_member, compartment, decision, enrolment, exchange, exchange_ask,
    exchange_missing, exchange_question, exchange_result, exchange_step, grants, identity_link, identity_roster,
    ingest, ingest_page, ingest_part, ingest_piece, ingest_progress, ingest_resource, job, member, resource,
    resource_identifier,
};
use super::{bulk_runs, identity};
use crate::error::Failure;
use diesel::prelude::*;
use std::collections::BTreeSet;

/// Names that one statement takes.
const NAMES: usize = 500;
/// Sealed pieces that are deleted at once.
const PIECES: i64 = 64;

/// Returns the number of the compartment of a member, and the member's UMB.
///
/// # Errors
/// Those of the database.
pub fn compartment(db: &mut Db, patient_id: &str) -> Result<Option<(i64, String)>, Failure> {
    Ok(compartment::table
        .filter(compartment::patient_id.eq(patient_id))
        .select((compartment::no, compartment::umb))
        .first(db)
        .optional()?)
}

/// Returns by what the member is known: ids and numbers, each once. They are what somebody may have put into a correlation id.
///
/// # Errors
/// Those of the database.
pub fn values_of(db: &mut Db, patient_id: &str) -> Result<Vec<String>, Failure> {
    let mut values: BTreeSet<String> = BTreeSet::from([patient_id.to_owned()]);
    if let Some((no, umb)) = compartment(db, patient_id)? {
        values.insert(umb);
        let keys = keys_of(no);
        let own: Vec<String> = resource_identifier::table
            .filter(
                resource_identifier::key
                    .ge(keys.start)
                    .and(resource_identifier::key.lt(keys.end)),
            )
            .filter(resource_identifier::rtype.eq_any(["Patient", "Coverage"]))
            .select(resource_identifier::value)
            .load(db)?;
        values.extend(own);
    }
    let links: Vec<String> = identity_link::table
        .filter(identity_link::patient_id.eq(patient_id))
        .select(identity_link::value)
        .load(db)?;
    let asked: Vec<(String, Option<String>)> = exchange_ask::table
        .inner_join(exchange::table.on(exchange::id.eq(exchange_ask::exchange_id)))
        .filter(exchange::member_id.eq(patient_id))
        .select((exchange_ask::member_number, exchange_ask::subscriber_number))
        .load(db)?;
    values.extend(links);
    for (number, subscriber) in asked {
        values.extend([Some(number), subscriber].into_iter().flatten());
    }
    values.retain(|value| !value.is_empty());
    Ok(values.into_iter().collect())
}

/// Ends every right to the member's record and keeps the member from being matched: nothing more is begun, and answers on their way end.
///
/// # Errors
/// Those of the database.
pub fn shut(db: &mut Db, patient_id: &str, now_ms: i64) -> Result<(), Failure> {
    let live = grants::table
        .filter(grants::patient_id.eq(patient_id))
        .filter(grants::revoked_ms.is_null());
    diesel::update(live)
        .set((
            grants::revoked_ms.eq(now_ms),
            grants::revoked_by.eq(Some("system")),
            grants::revoked_why.eq(Some("erasure")),
        ))
        .execute(db)?;
    diesel::delete(access_token::table.filter(access_token::patient_id.eq(patient_id))).execute(db)?;
    if let Some((no, _)) = compartment(db, patient_id)? {
        identity::remove(db, &[no])?;
        diesel::delete(member::table.find(no)).execute(db)?;
    }
    Ok(())
}

/// Returns key, type and id of the next resources of a compartment, at most `limit`. Binaries come first: one whose document is gone would
/// belong to nobody, and stay.
///
/// # Errors
/// Those of the database.
pub fn next(db: &mut Db, no: i64, limit: i64) -> Result<Vec<(i64, String, String)>, Failure> {
    let columns = (resource::key, resource::rtype, resource::id);
    let binaries: Vec<(i64, String, String)> = resource::table
        .filter(resource::compartment.eq(no).and(resource::rtype.eq("Binary")))
        .order(resource::key)
        .limit(limit)
        .select(columns)
        .load(db)?;
    if !binaries.is_empty() {
        return Ok(binaries);
    }
    Ok(resource::table
        .filter(resource::compartment.eq(no))
        .order(resource::key)
        .limit(limit)
        .select(columns)
        .load(db)?)
}

/// How many resources a compartment has.
///
/// # Errors
/// Those of the database.
pub fn count(db: &mut Db, no: i64) -> Result<i64, Failure> {
    Ok(resource::table
        .filter(resource::compartment.eq(no))
        .count()
        .get_result(db)?)
}

/// Returns the ids of the exchanges of ours about a member, and of those that brought something about the member.
///
/// # Errors
/// Those of the database.
pub fn exchanges(db: &mut Db, patient_id: &str) -> Result<Vec<String>, Failure> {
    let mut ids: BTreeSet<String> = BTreeSet::new();
    let asked: Vec<String> = exchange::table
        .filter(exchange::member_id.eq(patient_id))
        .select(exchange::id)
        .load(db)?;
    let brought: Vec<String> = ingest::table
        .filter(ingest::patient_id.eq(patient_id))
        .select(ingest::exchange_id)
        .load(db)?;
    ids.extend(asked.into_iter().chain(brought));
    Ok(ids.into_iter().collect())
}

/// Whether a bulk run of ours works for one of these exchanges.
///
/// # Errors
/// Those of the database.
pub fn are_in_runs(db: &mut Db, exchanges: &[String]) -> Result<bool, Failure> {
    for some in exchanges.chunks(NAMES) {
        let at_work: i64 = bulk_run_member::table
            .inner_join(bulk_run::table.on(bulk_run::id.eq(bulk_run_member::run_id)))
            .filter(bulk_run_member::exchange_id.eq_any(some))
            .filter(bulk_run::state.eq_any([bulk_runs::GATHERING, bulk_runs::RUNNING]))
            .count()
            .get_result(db)?;
        if at_work > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Deletes some of the sealed bodies that an exchange brought. Returns whether more may be left.
///
/// # Errors
/// Those of the database.
pub fn drop_bodies(db: &mut Db, exchange_id: &str) -> Result<bool, Failure> {
    let some: Vec<(i64, i64)> = ingest_piece::table
        .filter(ingest_piece::exchange_id.eq(exchange_id))
        .order((ingest_piece::page, ingest_piece::piece))
        .limit(PIECES)
        .select((ingest_piece::page, ingest_piece::piece))
        .load(db)?;
    for (page, piece) in &some {
        diesel::delete(ingest_piece::table.find((exchange_id, page, piece))).execute(db)?;
    }
    Ok(!some.is_empty())
}

/// Deletes an exchange with everything that it asked, did and brought, and its jobs. What it stored is a part of the record.
///
/// # Errors
/// Those of the database.
pub fn drop_exchange(db: &mut Db, id: &str) -> Result<(), Failure> {
    macro_rules! of_it {
        ($($table:ident),+) => {
            $(diesel::delete($table::table.filter($table::exchange_id.eq(id))).execute(db)?;)+
        };
    }
    let at_end = format!("% {id}");
    let jobs = job::table.filter(job::live_key.eq(id).or(job::payload.like(at_end)));
    diesel::delete(jobs).execute(db)?;
    of_it!(
        ingest_piece,
        ingest_resource,
        ingest_page,
        ingest_part,
        ingest_progress,
        ingest,
        exchange_ask,
        exchange_result,
        exchange_step,
        exchange_missing,
        exchange_question,
        enrolment,
        bulk_run_member
    );
    diesel::delete(exchange::table.find(id)).execute(db)?;
    Ok(())
}

/// Returns the runs of partners whose files may have something about a member: those of each partner that has, or had, a grant on the member
/// or a decision about the member.
///
/// # Errors
/// Those of the database.
pub fn bulk_jobs(db: &mut Db, patient_id: &str) -> Result<Vec<String>, Failure> {
    let mut partners: Vec<String> = grants::table
        .filter(grants::patient_id.eq(patient_id))
        .select(grants::partner_id)
        .distinct()
        .load(db)?;
    let decided: Vec<String> = decision::table
        .filter(decision::patient_id.eq(patient_id))
        .select(decision::partner_id)
        .distinct()
        .load(db)?;
    partners.extend(decided);
    Ok(bulk_job::table
        .filter(bulk_job::partner_id.eq_any(partners))
        .select(bulk_job::id)
        .load(db)?)
}

/// Deletes the compartment of a member, unless it has resources. Returns whether it is gone.
///
/// # Errors
/// Those of the database.
pub fn drop_compartment(db: &mut Db, no: i64) -> Result<bool, Failure> {
    if !next(db, no, 1)?.is_empty() {
        return Ok(false);
    }
    identity::remove(db, &[no])?;
    diesel::delete(member::table.find(no)).execute(db)?;
    diesel::delete(compartment::table.find(no)).execute(db)?;
    Ok(true)
}

/// Deletes the counts of names that were made while the member was there: all states of the roster but the last one.
///
/// # Errors
/// Those of the database.
pub fn drop_older_rosters(db: &mut Db) -> Result<(), Failure> {
    let last: Option<i64> = identity_roster::table
        .select(diesel::dsl::max(identity_roster::no))
        .first(db)?;
    if let Some(last) = last {
        diesel::delete(identity_roster::table.filter(identity_roster::no.lt(last))).execute(db)?;
    }
    Ok(())
}
