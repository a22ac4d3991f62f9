//! What is due to be deleted: rows that are older than their period, that nothing live needs, and that no legal hold keeps.
//!
//! Ids sort by time, so each query is a range of ids first; the stamp then decides. Reads only.

use super::super::Db;
use super::super::dynamic::{HeldValue, Sql};
use super::CoveredLog;
use crate::error::Failure;
use crate::ids::before_all_of;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

/// What evidence can be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum EvidenceKind {
    Checkpoints,
    Consents,
    Decisions,
    Exchanges,
    Ledger,
    Packets,
    Received,
    Reviews,
    Runs,
}

/// Which rows to look for.
#[derive(Clone, Debug)]
pub struct DueAsked<'a> {
    /// Those that began before this, UTC milliseconds.
    pub before_ms: i64,
    /// After this id.
    pub after: &'a str,
    /// Only these.
    pub only: Option<&'a [String]>,
    /// Entries: which ones the tree surely had by then.
    pub covered: Option<CoveredLog>,
    /// At most so many.
    pub limit: i64,
}

/// A row that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueRow {
    /// Its id.
    pub id: String,
    /// The instant from which its time counted, UTC milliseconds.
    pub at_ms: i64,
}

/// Is there no hold in force on this column?
macro_rules! free {
    (member $column:literal) => {
        free!("member", $column)
    };
    (exchange $column:literal) => {
        free!("exchange", $column)
    };
    ($kind:literal, $column:literal) => {
        concat!(
            " AND NOT EXISTS (SELECT 1 FROM retention_hold h WHERE h.kind = '",
            $kind,
            "' AND h.target = ",
            $column,
            " AND h.released_ms IS NULL)"
        )
    };
    // No row of `from` (with its condition) is about a member that is held.
    (member $column:literal in $from:literal) => {
        concat!(
            " AND NOT EXISTS (SELECT 1 FROM retention_hold h, ",
            $from,
            " AND h.kind = 'member' AND h.target = ",
            $column,
            " AND h.released_ms IS NULL)"
        )
    };
}

const CHECKPOINTS: &str = concat!(
    "SELECT t.work_id, t.came_ms FROM partner_checkpoint t WHERE t.work_id > ? AND t.work_id < ? AND t.came_ms < ?",
    free!(exchange "t.work_id"),
    free!(member "x.member_id" in "exchange x WHERE x.id = t.work_id"),
);
const CONSENTS: &str = concat!(
    "SELECT t.id, t.period_to_ms FROM consent t WHERE t.id > ? AND t.id < ? AND t.period_to_ms < ? \
     AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.patient_id = t.patient_id AND g.partner_id = t.partner_id \
     AND g.consent_id = t.id AND g.valid_until_ms >= ?)",
    free!(member "t.patient_id"),
    " AND NOT EXISTS (SELECT 1 FROM retention_hold h, decision d WHERE h.kind = 'exchange' AND h.released_ms IS NULL \
     AND d.id = h.target AND d.consent_id = t.id)",
);
const DECISIONS: &str = concat!(
    "SELECT t.id, t.created_ms FROM decision t WHERE t.id > ? AND t.id < ? AND t.created_ms < ? \
     AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.id = t.grant_id)",
    free!(member "t.patient_id"),
    free!(exchange "t.id"),
    free!(exchange "t.exchange_id"),
    free!(member "c.patient_id" in "decision_candidate c WHERE c.decision_id = t.id"),
);
// What an exchange received, what asked again after it and the bulk run that asked for it keep it.
const EXCHANGES: &str = concat!(
    "SELECT t.id, t.ended_ms FROM exchange t WHERE t.id > ? AND t.id < ? AND t.ended_ms IS NOT NULL AND t.ended_ms < ? \
     AND NOT EXISTS (SELECT 1 FROM ingest i WHERE i.exchange_id = t.id) \
     AND NOT EXISTS (SELECT 1 FROM exchange o WHERE o.run_of = t.id) \
     AND NOT EXISTS (SELECT 1 FROM bulk_run_member m WHERE m.exchange_id = t.id)",
    free!(exchange "t.id"),
    free!(member "t.member_id"),
);
const LEDGER: &str = concat!(
    "SELECT t.id, t.at_us / 1000 FROM ledger_entry t WHERE t.id > ? AND t.id < ? AND t.at_us / 1000 < ? \
     AND t.subject_salt IS NOT NULL \
     AND EXISTS (SELECT 1 FROM ledger_leaf l WHERE l.log = ? AND l.entry_id = t.id AND l.idx < ?)",
    free!(member "t.subject"),
    free!(exchange "t.subject"),
    free!(exchange "t.exchange_id"),
    free!(member "x.member_id" in "exchange x WHERE x.id = t.exchange_id"),
    free!(member "s.subject" in "disclosed_share s WHERE s.file = t.subject"),
    free!(member "c.patient_id" in "consent c WHERE c.id = t.subject"),
    free!(member "g.patient_id" in "grants g WHERE g.id = t.subject"),
    free!(member "r.patient_id" in "review r WHERE r.id = t.subject"),
    free!(member "d.patient_id" in "decision d WHERE d.id = t.subject"),
    // What a partner began has no exchange of ours: its decision says what it is about, and in which request it was made.
    " AND NOT EXISTS (SELECT 1 FROM retention_hold h, decision d WHERE h.kind = 'exchange' AND h.released_ms IS NULL \
     AND d.id = h.target AND (d.patient_id = t.subject OR d.consent_id = t.subject OR d.grant_id = t.subject \
     OR d.request_id = t.request_id OR (t.request_id IS NULL AND d.request_id = t.correlation_id)))",
);
const PACKETS: &str = concat!(
    "SELECT t.id, t.made_ms FROM evidence_packet t WHERE t.id > ? AND t.id < ? AND t.made_ms < ? AND t.state = 'made'",
    free!(exchange "t.subject"),
    free!(member "m.patient_id" in "evidence_member m WHERE m.packet_id = t.id"),
    " AND NOT EXISTS (SELECT 1 FROM retention_hold h, evidence_case_item i WHERE h.kind = 'exchange' AND h.released_ms IS NULL \
     AND t.kind = 'case' AND i.case_id = t.subject AND i.item = h.target)",
);
const RECEIVED: &str = concat!(
    "SELECT t.exchange_id, t.updated_ms FROM ingest t WHERE t.exchange_id > ? AND t.exchange_id < ? AND t.updated_ms < ? \
     AND NOT EXISTS (SELECT 1 FROM exchange x WHERE x.id = t.exchange_id AND x.ended_ms IS NULL)",
    free!(exchange "t.exchange_id"),
    free!(member "t.patient_id"),
);
const REVIEWS: &str = concat!(
    "SELECT t.id, t.decided_ms FROM review t WHERE t.id > ? AND t.id < ? AND t.decided_ms IS NOT NULL AND t.decided_ms < ?",
    free!(member "t.patient_id"),
    free!(exchange "t.decision_id"),
    free!(member "c.patient_id" in "review_candidate c WHERE c.review_id = t.id"),
);
const RUNS: &str = concat!(
    "SELECT t.id, t.ended_ms FROM bulk_run t WHERE t.id > ? AND t.id < ? AND t.ended_ms IS NOT NULL AND t.ended_ms < ?",
    free!(member "x.member_id" in "bulk_run_member m, exchange x WHERE m.run_id = t.id AND x.id = m.exchange_id"),
    " AND NOT EXISTS (SELECT 1 FROM retention_hold h, bulk_run_member m WHERE h.kind = 'exchange' AND h.released_ms IS NULL \
     AND m.run_id = t.id AND m.exchange_id = h.target)",
);

impl EvidenceKind {
    const fn select(self) -> &'static str {
        match self {
            EvidenceKind::Checkpoints => CHECKPOINTS,
            EvidenceKind::Consents => CONSENTS,
            EvidenceKind::Decisions => DECISIONS,
            EvidenceKind::Exchanges => EXCHANGES,
            EvidenceKind::Ledger => LEDGER,
            EvidenceKind::Packets => PACKETS,
            EvidenceKind::Received => RECEIVED,
            EvidenceKind::Reviews => REVIEWS,
            EvidenceKind::Runs => RUNS,
        }
    }

    /// The column of the id, as the query names it.
    const fn id(self) -> &'static str {
        match self {
            EvidenceKind::Checkpoints => "t.work_id",
            EvidenceKind::Received => "t.exchange_id",
            _ => "t.id",
        }
    }
}

/// Returns rows of a kind that are due, in the order of their ids.
///
/// # Errors
/// Those of the database.
pub fn due(db: &mut Db, kind: EvidenceKind, asked: &DueAsked<'_>) -> Result<Vec<DueRow>, Failure> {
    let upto = before_all_of(asked.before_ms);
    let mut values: Vec<HeldValue> = vec![asked.after.into(), upto.as_str().into(), asked.before_ms.into()];
    match kind {
        EvidenceKind::Consents => values.push(asked.before_ms.into()),
        EvidenceKind::Ledger => {
            // Without a mark nothing is known to be old enough.
            let Some(covered) = asked.covered else {
                return Ok(Vec::new());
            };
            values.extend([HeldValue::from(covered.log), covered.below.into()]);
        }
        _ => {}
    }
    let mut sql = Sql::default();
    sql.all(kind.select(), values);
    if let Some(only) = asked.only {
        sql.add(" AND ").add(kind.id()).add(" IN ");
        sql.list(only.iter().map(|id| HeldValue::from(id.as_str())));
    }
    sql.add(" ORDER BY ").add(kind.id());
    sql.with(" LIMIT ?", [asked.limit.into()]);
    let rows: Vec<(String, i64)> = match db {
        Db::Pg(pg) => sql.rows::<(Text, BigInt)>().load(pg)?,
        Db::Sqlite(sqlite) => sql.rows::<(Text, BigInt)>().load(sqlite)?,
    };
    Ok(rows.into_iter().map(|(id, at_ms)| DueRow { id, at_ms }).collect())
}
