//! Exchanges with one partner as rows of a reconciliation, page by page: those that we began, our bulk runs, those that the partner began, and
//! its bulk jobs, each in the order of their ids, which is that of time.
//!
//! Reads only. What it shows may be given to the partner, so that it looks at no reviews: an answer must not tell that a person decides
//! (threats C01). For the same reason what we began has no state of ours in its row, only how it stands in the common word, and is shown only
//! once the partner was asked. An exchange that a bulk run or a bulk job worked for is in the row of that run or job, since the partner knows
//! no other correlation id of it.

use super::row::{ReconcileOutcome, ReconcileRow};
use crate::bulk::EXPORT_KIND;
use crate::bulk::asking::{ALONE, ANSWERED, LEFT};
use crate::clock::rfc3339_ms;
use crate::error::Failure;
use crate::exchange::inbound::MATCHED;
use crate::exchange::phase::{ConsentState, DeliveryState, Phase};
use crate::exchange::steps::StepName;
use crate::ids::before_all_of;
use crate::ops::inbound::{InboundBatch, InboundExchange};
use crate::ops::sent_under::SentDepth;
use crate::secret::hex;
use crate::secret::member_keys::MemberKeys;
use crate::store::bulk::{self, BulkJobRow};
use crate::store::bulk_receipts::{self, AcknowledgementRow};
use crate::store::bulk_runs::{self, BulkRunRow};
use crate::store::exchanges::{self, ExchangeFilter, ExchangeRow};
use crate::store::inbound::{InboundFilter, InboundRow};
use crate::store::matching::BULK_MEMBER_MATCH;
use crate::store::reconciliation::{self as stored, FileTotals};
use crate::store::{Db, correlations};
use std::collections::{HashMap, HashSet};

/// Rows that are read at once.
const PAGE: usize = 100;
/// The same for the store.
const LIMIT: i64 = 100;
/// Entries of the ledger that are looked at for a page; then the page ends.
const ENTRIES: usize = 20_000;

/// Which exchanges to show.
#[derive(Clone, Debug)]
pub struct ReconcileAsked {
    /// Of this partner.
    pub partner: String,
    /// That began at this time (UTC milliseconds) or later.
    pub from_ms: Option<i64>,
    /// That began before this time.
    pub until_ms: Option<i64>,
    /// The time now, UTC milliseconds.
    pub now_ms: i64,
    /// What opens correlation ids that stand sealed.
    pub keys: MemberKeys,
}

impl ReconcileAsked {
    /// Whether what began then is asked for.
    fn has(&self, at_ms: i64) -> bool {
        self.from_ms.is_none_or(|from_ms| from_ms <= at_ms) && self.until_ms.is_none_or(|until_ms| at_ms < until_ms)
    }
}

/// A part of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowsPart {
    Ours,
    Runs,
    Theirs,
    Jobs,
}

impl RowsPart {
    const ALL: [RowsPart; 4] = [RowsPart::Ours, RowsPart::Runs, RowsPart::Theirs, RowsPart::Jobs];

    const fn code(self) -> &'static str {
        match self {
            RowsPart::Ours => "a",
            RowsPart::Runs => "b",
            RowsPart::Theirs => "c",
            RowsPart::Jobs => "d",
        }
    }
}

/// How far the rows were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconcileCursor {
    part: RowsPart,
    after: String,
}

impl ReconcileCursor {
    /// The begin of a part.
    fn at(part: RowsPart, asked: &ReconcileAsked) -> ReconcileCursor {
        let first = match part {
            // Their ids are random, and say nothing of time.
            RowsPart::Runs | RowsPart::Jobs => None,
            _ => asked.from_ms.map(before_all_of),
        };
        ReconcileCursor {
            part,
            after: first.unwrap_or_default(),
        }
    }

    /// The cursor as one id.
    pub fn text(&self) -> String {
        format!("{}.{}", self.part.code(), self.after)
    }

    /// Reads a cursor.
    pub fn parse(text: &str) -> Option<ReconcileCursor> {
        let (code, after) = text.split_once('.')?;
        let part = RowsPart::ALL.into_iter().find(|part| part.code() == code)?;
        Some(ReconcileCursor {
            part,
            after: after.to_owned(),
        })
    }
}

/// A page of rows, and where the next one begins. A page may be short or empty while more follow.
///
/// # Errors
/// Those of the database.
pub fn page(
    db: &mut Db,
    asked: &ReconcileAsked,
    cursor: Option<&ReconcileCursor>,
) -> Result<(Vec<ReconcileRow>, Option<ReconcileCursor>), Failure> {
    let first = ReconcileCursor::at(RowsPart::Ours, asked);
    let at = cursor.unwrap_or(&first);
    let (mut rows, last) = match at.part {
        RowsPart::Ours => ours(db, asked, &at.after)?,
        RowsPart::Runs => runs(db, asked, &at.after)?,
        RowsPart::Theirs => theirs(db, asked, &at.after)?,
        RowsPart::Jobs => jobs(db, asked, &at.after)?,
    };
    // The partner knows nothing of what it was not asked, and is not to learn it here.
    rows.retain(|row| row.outcome != ReconcileOutcome::Unasked);
    let next = match last {
        Some(after) => Some(ReconcileCursor { part: at.part, after }),
        None => {
            let mut parts = RowsPart::ALL.into_iter().skip_while(|part| *part != at.part);
            parts.nth(1).map(|part| ReconcileCursor::at(part, asked))
        }
    };
    Ok((rows, next))
}

/// Rows of a part, and the id after which the part goes on, if it does.
type Part = (Vec<ReconcileRow>, Option<String>);

/// Cuts what was read down to a page. Returns the id after which the part goes on.
fn cut<R>(rows: &mut Vec<R>, id: fn(&R) -> &str) -> Option<String> {
    let has_more = rows.len() > PAGE;
    rows.truncate(PAGE);
    rows.last().map(|row| id(row).to_owned()).filter(|_| has_more)
}

/// The rows of a page that began in the period, and the id after which the part goes on.
fn within<R>(mut rows: Vec<R>, asked: &ReconcileAsked, id: fn(&R) -> &str) -> (Vec<R>, Option<String>) {
    let next = cut(&mut rows, id);
    let read = rows.len();
    if let Some(before) = asked.until_ms.map(before_all_of) {
        rows.retain(|row| id(row) < before.as_str());
    }
    let is_over = rows.len() < read;
    (rows, next.filter(|_| !is_over))
}

fn count(number: i64) -> Option<u64> {
    u64::try_from(number).ok()
}

/// Exchanges that we began.
fn ours(db: &mut Db, asked: &ReconcileAsked, after: &str) -> Result<Part, Failure> {
    let filter = ExchangeFilter {
        partner: Some(asked.partner.clone()),
        cursor: Some(after.to_owned()),
        limit: LIMIT,
        ..ExchangeFilter::default()
    };
    let (found, next) = within(exchanges::page(db, &filter)?, asked, |row| row.id.as_str());
    let ids: Vec<&str> = found.iter().map(|row| row.id.as_str()).collect();
    let in_runs = in_runs(db, &ids)?;
    let results = stored::results_of(db, &ids)?;
    let rows = found
        .iter()
        .filter(|row| row.direction == "outbound" && !in_runs.contains(&row.id))
        .map(|row| {
            let result = results.get(&row.id);
            ReconcileRow {
                resources: result.and_then(|result| count(result.received)),
                bytes: result.and_then(|result| count(result.bytes)),
                ..of_ours(row)
            }
        })
        .collect();
    Ok((rows, next))
}

fn of_ours(row: &ExchangeRow) -> ReconcileRow {
    let is_acknowledged = row.delivery_state == DeliveryState::Acknowledged.code();
    let (phase, consent) = (Phase::parse(&row.phase), ConsentState::parse(&row.consent_state));
    let outcome = ReconcileOutcome::of_ours(phase, consent, row.answer_due_ms.is_some());
    ReconcileRow {
        correlation_id: row.correlation_id.clone(),
        exchange_id: row.id.clone(),
        direction: "outbound".to_owned(),
        kind: "single".to_owned(),
        state: outcome.code().to_owned(),
        outcome,
        started_at: rfc3339_ms(row.created_ms),
        ended_at: row.ended_ms.map(rfc3339_ms),
        receipt: None,
        acknowledged_at: row.ended_ms.filter(|_| is_acknowledged).map(rfc3339_ms),
        resources: None,
        bytes: None,
    }
}

/// Those of these exchanges of which a bulk run told everything that the partner knows: not those that the run left to themselves, nor those
/// about which the partner was asked again alone.
fn in_runs(db: &mut Db, ids: &[&str]) -> Result<HashSet<String>, Failure> {
    let again = stored::tried_again(db, ids, StepName::MemberMatch.code())?;
    let mut told: HashSet<String> = HashSet::new();
    let mut alone: HashSet<String> = HashSet::new();
    for (id, state) in stored::states_in_runs(db, ids)? {
        let set = match state.as_str() {
            ALONE | LEFT => &mut alone,
            ANSWERED if again.contains(&id) => &mut alone,
            _ => &mut told,
        };
        set.insert(id);
    }
    told.retain(|id| !alone.contains(id));
    Ok(told)
}

/// Bulk runs in which we asked.
fn runs(db: &mut Db, asked: &ReconcileAsked, after: &str) -> Result<Part, Failure> {
    let mut found = stored::runs_after(db, &asked.partner, after, LIMIT + 1)?;
    let next = cut(&mut found, |row| row.id.as_str());
    found.retain(|row| asked.has(row.created_ms));
    let ids: Vec<&str> = found.iter().map(|row| row.id.as_str()).collect();
    let receipts = stored::receipts_of_runs(db, &ids)?;
    let totals = stored::totals_of_runs(db, &ids)?;
    let rows = found
        .iter()
        .map(|row| {
            let receipt = receipts.get(&row.id);
            let total = totals.get(&row.id).copied().unwrap_or_default();
            let outcome = of_run(row, total);
            ReconcileRow {
                correlation_id: row.id.clone(),
                exchange_id: row.id.clone(),
                direction: "outbound".to_owned(),
                kind: "bulk".to_owned(),
                state: outcome.code().to_owned(),
                outcome,
                started_at: rfc3339_ms(row.created_ms),
                ended_at: row.ended_ms.map(rfc3339_ms),
                receipt: receipt.and_then(|row| row.sha256.as_deref()).map(hex),
                acknowledged_at: receipt.and_then(|row| row.at_ms).map(rfc3339_ms),
                resources: count(total.resources),
                bytes: count(total.bytes),
            }
        })
        .collect();
    Ok((rows, next))
}

/// How a run of ours stands. One that is done without an export matched nobody.
fn of_run(row: &BulkRunRow, came: FileTotals) -> ReconcileOutcome {
    let is_asked = row.status_url.is_some() || row.group_id.is_some() || row.transaction_ms.is_some();
    match row.state.as_str() {
        bulk_runs::GATHERING => ReconcileOutcome::Unasked,
        bulk_runs::DONE if row.transaction_ms.is_some() || came.resources > 0 => ReconcileOutcome::Delivered,
        bulk_runs::DONE => ReconcileOutcome::Refused,
        bulk_runs::FAILED | bulk_runs::CANCELLED if !is_asked => ReconcileOutcome::Unasked,
        bulk_runs::FAILED | bulk_runs::CANCELLED => ReconcileOutcome::Ended,
        _ => ReconcileOutcome::Open,
    }
}

/// Exchanges that the partner began.
fn theirs(db: &mut Db, asked: &ReconcileAsked, after: &str) -> Result<Part, Failure> {
    let filter = InboundFilter {
        partner: Some(asked.partner.clone()),
        after: after.to_owned(),
        limit: LIMIT,
        without_reviews: true,
        ..InboundFilter::default()
    };
    let mut batch = InboundBatch::read(db, &filter, SentDepth::Each, asked.now_ms)?;
    correlations::open(db, &asked.keys, &mut batch.rows)?;
    let before = asked.until_ms.map(before_all_of);
    let in_bulk = in_bulk(&batch.rows);
    let (mut rows, mut last, mut left) = (Vec::with_capacity(batch.rows.len()), None, ENTRIES);
    for row in &batch.rows {
        let decision = &row.decision;
        if before.as_deref().is_some_and(|before| decision.id.as_str() >= before) {
            return Ok((rows, None));
        }
        if left == 0 {
            return Ok((rows, last));
        }
        last = Some(decision.id.clone());
        if in_bulk.contains(decision.id.as_str()) || is_cut_off(row) {
            continue;
        }
        let exchange = batch.exchange(db, row, &mut left)?;
        // Where entries were left unread, it may have been sent as a whole.
        if !exchange.sent.is_cut || exchange.sent.whole > 0 {
            rows.push(of_theirs(&exchange));
        }
    }
    Ok((rows, last.filter(|_| !batch.is_last)))
}

/// Those of these matches that a bulk match asked for. Those of earlier versions do not say so, but have the id of a request in common.
fn in_bulk(rows: &[InboundRow]) -> HashSet<&str> {
    let mut of_request: HashMap<&str, usize> = HashMap::new();
    for row in rows {
        *of_request.entry(row.decision.request_id.as_str()).or_default() += 1;
    }
    let is_in_bulk = |row: &&InboundRow| {
        let decision = &row.decision;
        decision.kind == BULK_MEMBER_MATCH || of_request.get(decision.request_id.as_str()) > Some(&1)
    };
    rows.iter()
        .filter(is_in_bulk)
        .map(|row| row.decision.id.as_str())
        .collect()
}

/// Whether the grant or the member of a match is not on record any more, by an erasure or its period, so that nobody can say how it stands.
fn is_cut_off(row: &InboundRow) -> bool {
    let decision = &row.decision;
    let is_without_grant = row.grant.is_none() && (decision.grant_id.is_some() || decision.outcome == MATCHED);
    is_without_grant || (row.grant.is_some() && decision.patient_id.is_none())
}

fn of_theirs(exchange: &InboundExchange) -> ReconcileRow {
    let (decision, states, sent) = (&exchange.row.decision, &exchange.states, &exchange.sent);
    let is_known = !sent.is_cut;
    ReconcileRow {
        correlation_id: decision.correlation_id.clone(),
        exchange_id: decision.id.clone(),
        direction: "inbound".to_owned(),
        kind: "single".to_owned(),
        state: states.phase.code().to_owned(),
        outcome: ReconcileOutcome::of_theirs(states.phase, states.delivery),
        started_at: rfc3339_ms(decision.created_ms),
        ended_at: states.ended_ms.map(rfc3339_ms),
        receipt: None,
        acknowledged_at: None,
        resources: is_known.then(|| {
            sent.resources
                .values()
                .fold(0, |sum: u64, count| sum.saturating_add(*count))
        }),
        bytes: is_known.then_some(sent.bytes),
    }
}

/// Bulk jobs that the partner began.
fn jobs(db: &mut Db, asked: &ReconcileAsked, after: &str) -> Result<Part, Failure> {
    let mut found = stored::jobs_after(db, &asked.partner, after, LIMIT + 1)?;
    let next = cut(&mut found, |row| row.id.as_str());
    found.retain(|row| asked.has(row.created_ms));
    let ids: Vec<&str> = found.iter().map(|row| row.id.as_str()).collect();
    let receipts = stored::receipts_of_jobs(db, &ids)?;
    let totals = stored::totals_of_jobs(db, &ids)?;
    // Of several answers the last one counts.
    let answers = bulk_receipts::of_jobs(db, &ids)?.into_iter();
    let answers: HashMap<String, AcknowledgementRow> = answers.map(|row| (row.job_id.clone(), row)).collect();
    let rows = found
        .iter()
        .map(|row| {
            let answer = answers.get(&row.id);
            let receipt = answer
                .map(|answer| &answer.receipt_sha256)
                .or_else(|| receipts.get(&row.id));
            let total: Option<FileTotals> = totals.get(&row.id).copied();
            let is_over = !matches!(row.state.as_str(), bulk::WAITING | bulk::RUNNING);
            ReconcileRow {
                correlation_id: row.correlation_id.clone(),
                exchange_id: row.id.clone(),
                direction: "inbound".to_owned(),
                kind: "bulk".to_owned(),
                state: row.state.clone(),
                outcome: of_job(row),
                started_at: rfc3339_ms(row.created_ms),
                ended_at: is_over.then(|| rfc3339_ms(row.updated_ms)),
                receipt: receipt.map(|digest| hex(digest)),
                acknowledged_at: answer.map(|answer| rfc3339_ms(answer.at_ms)),
                resources: total.and_then(|total| count(total.resources)),
                bytes: total.and_then(|total| count(total.bytes)),
            }
        })
        .collect();
    Ok((rows, next))
}

/// How a job of the partner stands. The partner deletes a job once it has the files, so that one may be done and cancelled.
fn of_job(row: &BulkJobRow) -> ReconcileOutcome {
    let has_all = row.pieces > 0 && row.pieces_done >= row.pieces;
    match row.state.as_str() {
        bulk::DONE | bulk::CANCELLED if row.kind == EXPORT_KIND && has_all => ReconcileOutcome::Delivered,
        bulk::DONE if row.kind == EXPORT_KIND => ReconcileOutcome::Delivered,
        bulk::WAITING | bulk::RUNNING | bulk::DONE => ReconcileOutcome::Open,
        _ => ReconcileOutcome::Ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        for part in RowsPart::ALL {
            let cursor = ReconcileCursor {
                part,
                after: "0199f0a2-7c1e-7b3a-9d4e-2f6a8b1c3d5e".into(),
            };
            assert!(crate::ids::is_fhir_id(&cursor.text()));
            assert_eq!(ReconcileCursor::parse(&cursor.text()), Some(cursor));
        }
        for wrong in ["", "a", "z.1", "1"] {
            assert_eq!(ReconcileCursor::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_page_ends_with_the_period() {
        let asked = |until_ms| ReconcileAsked {
            partner: "p".into(),
            from_ms: None,
            until_ms,
            now_ms: 0,
            keys: MemberKeys::default(),
        };
        let ids: Vec<String> = (0..=PAGE as i64)
            .map(|ms| before_all_of(ms * 1_000) + "-7000")
            .collect();
        let id: fn(&String) -> &str = |id| id.as_str();
        let (rows, next) = within(ids.clone(), &asked(None), id);
        assert_eq!((rows.len(), next.as_ref()), (PAGE, ids.get(PAGE - 1)));
        let (rows, next) = within(ids, &asked(Some(5_000)), id);
        assert_eq!((rows.len(), next), (5, None));
    }
}
