//! Deletes rows that are due, with everything that belongs to them, in the caller's transaction. What is due was decided before.

use super::super::Db;
use super::super::dynamic::{HeldValue, Sql};
use super::super::evidence;
use super::due::EvidenceKind;
use super::holds;
use crate::error::{Failure, Fault};
use diesel::prelude::*;

/// Tables of a kind with the column that holds its id; the last is the table of the kind itself.
const fn tables(kind: EvidenceKind) -> &'static [(&'static str, &'static str)] {
    match kind {
        EvidenceKind::Checkpoints => &[("partner_checkpoint", "work_id")],
        EvidenceKind::Consents => &[("grants", "consent_id"), ("consent", "id")],
        EvidenceKind::Decisions => &[("decision_candidate", "decision_id"), ("decision", "id")],
        EvidenceKind::Exchanges => &[
            ("exchange_step", "exchange_id"),
            ("exchange_missing", "exchange_id"),
            ("exchange_result", "exchange_id"),
            ("exchange_question", "exchange_id"),
            ("exchange_ask", "exchange_id"),
            ("enrolment", "exchange_id"),
            ("exchange", "id"),
        ],
        // Entries stay: only what opens their commitments goes.
        EvidenceKind::Ledger => &[("operator_note", "entry_id")],
        // What was asked for stays: only the bytes go, and whom they tell of.
        EvidenceKind::Packets => &[],
        EvidenceKind::Received => &[
            ("ingest_piece", "exchange_id"),
            ("ingest_resource", "exchange_id"),
            ("ingest_page", "exchange_id"),
            ("ingest_part", "exchange_id"),
            ("ingest_progress", "exchange_id"),
            ("ingest", "exchange_id"),
        ],
        EvidenceKind::Reviews => &[
            ("review_candidate", "review_id"),
            ("review_act", "review_id"),
            ("review", "id"),
        ],
        EvidenceKind::Runs => &[
            ("bulk_run_member", "run_id"),
            ("bulk_run_file", "run_id"),
            ("bulk_run_receipt", "run_id"),
            ("bulk_run", "id"),
        ],
    }
}

/// Deletes the rows of a kind with these ids. Opt-ins that only deleted exchanges asked under go too, when they ended before `before_ms`.
///
/// # Errors
/// [`Fault::StoreBusy`] when one of them is gone already: then the caller's transaction must fail; those of the database.
pub fn delete(db: &mut Db, kind: EvidenceKind, ids: &[String], before_ms: i64) -> Result<(), Failure> {
    if kind == EvidenceKind::Exchanges {
        delete_opt_ins(db, ids, before_ms)?;
    }
    if kind == EvidenceKind::Ledger {
        let held = holds::packets(db)?;
        evidence::erase_told(db, ids, &held)?;
        delete_shares(db, ids)?;
        delete_index(db, ids)?;
    }
    match kind {
        EvidenceKind::Ledger => loosen(db, "ledger_entry", ids)?,
        EvidenceKind::Decisions => loosen(db, "decision", ids)?,
        _ => {}
    }
    let mut last = 0;
    for (table, column) in tables(kind) {
        let mut sql = Sql::new("DELETE FROM ");
        sql.add(table).add(" WHERE ").add(column).add(" IN ");
        last = run(db, sql.list(values(ids)))?;
    }
    match kind {
        EvidenceKind::Ledger => last = open_no_more(db, ids)?,
        EvidenceKind::Packets => last = evidence::expire(db, ids)?,
        _ => {}
    }
    if last == ids.len() {
        Ok(())
    } else {
        Err(Failure::new(Fault::StoreBusy).because("rows to be deleted are gone already"))
    }
}

fn values(ids: &[String]) -> impl Iterator<Item = HeldValue> {
    ids.iter().map(|id| HeldValue::from(id.as_str()))
}

fn run(db: &mut Db, sql: &Sql) -> Result<usize, Failure> {
    Ok(match db {
        Db::Pg(pg) => sql.rows::<()>().execute(pg)?,
        Db::Sqlite(sqlite) => sql.rows::<()>().execute(sqlite)?,
    })
}

fn open_no_more(db: &mut Db, ids: &[String]) -> Result<usize, Failure> {
    let mut sql = Sql::new(
        "UPDATE ledger_entry SET subject = NULL, subject_salt = NULL, correlation_id = COALESCE(request_id, correlation_id), \
         request_id = NULL WHERE subject_salt IS NOT NULL AND id IN ",
    );
    run(db, sql.list(values(ids)))
}

/// Notes that rows of this table are cut in which a handle stands in place of a correlation id: the text goes with the last row that has it.
fn loosen(db: &mut Db, table: &'static str, ids: &[String]) -> Result<(), Failure> {
    let mut sql = Sql::new(
        "UPDATE correlation_text SET state = 1 WHERE state IS NULL AND handle IN (SELECT correlation_id FROM ",
    );
    sql.add(table).add(" WHERE id IN ");
    sql.list(values(ids)).add(")");
    run(db, &sql).map(drop)
}

/// Deletes the rows by which the entries were found by their subject.
fn delete_index(db: &mut Db, ids: &[String]) -> Result<(), Failure> {
    let mut sql = Sql::new(
        "DELETE FROM ledger_subject WHERE (subject, entry_id) IN \
         (SELECT e.subject, e.id FROM ledger_entry e WHERE e.subject IS NOT NULL AND e.id IN ",
    );
    sql.list(values(ids)).add(")");
    run(db, &sql).map(drop)
}

/// Deletes members' shares of files whose every entry of a download is among these.
fn delete_shares(db: &mut Db, ids: &[String]) -> Result<(), Failure> {
    let mut sql = Sql::new(
        "DELETE FROM disclosed_share WHERE file IN (SELECT e.subject FROM ledger_entry e \
         WHERE e.action = 'disclosure.begun' AND e.subject IS NOT NULL AND e.id IN ",
    );
    sql.list(values(ids));
    sql.add(") AND NOT EXISTS (SELECT 1 FROM ledger_subject o WHERE o.subject = disclosed_share.file AND o.entry_id NOT IN ");
    sql.list(values(ids)).add(")");
    run(db, &sql).map(drop)
}

fn delete_opt_ins(db: &mut Db, ids: &[String], before_ms: i64) -> Result<(), Failure> {
    let mut sql =
        Sql::new("DELETE FROM opt_in WHERE id IN (SELECT a.opt_in_id FROM exchange_ask a WHERE a.exchange_id IN ");
    sql.list(values(ids));
    sql.with(
        ") AND ((revoked_ms IS NOT NULL AND revoked_ms < ?) OR (to_ms IS NOT NULL AND to_ms < ?)) ",
        [before_ms.into(), before_ms.into()],
    );
    sql.add("AND NOT EXISTS (SELECT 1 FROM exchange_ask o WHERE o.opt_in_id = opt_in.id AND o.exchange_id NOT IN ");
    sql.list(values(ids)).add(")");
    run(db, &sql).map(drop)
}
