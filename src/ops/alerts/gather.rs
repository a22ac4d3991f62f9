//! Reads the figures by which alerts are judged: from rows, in windows that end now, and from what this process has counted.
//!
//! Reads only, with a fixed number of statements, each of which is bounded (`store::alert_figures`).

use super::judge::{
    AlertFigures, BASELINE_MS, EXPIRY_MS, LEDGER_LATE_MS, PROCESS_MINUTES, PartnerAnswers, ProcessFigures, WINDOW_MS,
};
use crate::error::Failure;
use crate::ops::slo::read as slo;
use crate::store::alert_figures::{self as rows, AnswerTime};
use crate::store::{Db, jobs};
use crate::telemetry::signs;
use std::collections::BTreeMap;

/// Returns the figures at `now_ms` (UTC milliseconds).
///
/// # Errors
/// Those of the database.
pub fn gather(db: &mut Db, now_ms: i64) -> Result<AlertFigures, Failure> {
    let (from_ms, before_ms) = (now_ms - WINDOW_MS, now_ms - WINDOW_MS - BASELINE_MS);
    Ok(AlertFigures {
        circuits: rows::open_circuits(db)?,
        answers: by_partner(rows::answer_times(db, before_ms)?, from_ms),
        matches: rows::matches(db, from_ms, now_ms + 1)?,
        matches_before: rows::matches(db, before_ms, from_ms)?,
        ended: rows::grants_ended(db, from_ms, now_ms + 1)?,
        ended_before: rows::grants_ended(db, before_ms, from_ms)?,
        expiring: rows::grants_ending(db, now_ms, now_ms + EXPIRY_MS)?,
        expired: rows::grants_ending(db, now_ms - EXPIRY_MS, now_ms)?,
        late_reviews: rows::late_reviews(db, now_ms)?,
        due_jobs: rows::due_jobs(db, now_ms)?,
        late_ms: jobs::standing(db, now_ms)?.late_ms,
        parked: rows::parked_since(db, from_ms)?,
        clocks: rows::clocks(db)?,
        burning: slo::burning(db, now_ms)?,
        unsequenced_ms: rows::unsequenced_since(db, now_ms - LEDGER_LATE_MS)?,
        process: of_process(now_ms),
    })
}

/// The answers of each partner, in the window that begins at `from_ms` (UTC milliseconds) and before it.
fn by_partner(times: Vec<AnswerTime>, from_ms: i64) -> Vec<PartnerAnswers> {
    let mut found: BTreeMap<String, PartnerAnswers> = BTreeMap::new();
    for time in times {
        let answers = found.entry(time.partner.clone()).or_insert_with(|| PartnerAnswers {
            partner: time.partner,
            ..PartnerAnswers::default()
        });
        let of_then = if time.ended_ms >= from_ms {
            &mut answers.recent_ms
        } else {
            &mut answers.before_ms
        };
        of_then.push(time.took_ms);
    }
    found.into_values().collect()
}

/// What this process has counted; `None` when it serves nobody, and so counts nothing.
fn of_process(now_ms: i64) -> Option<ProcessFigures> {
    signs::tls_ends().map(|tls_ends| ProcessFigures {
        tls_ends,
        log_lost: signs::LOG_LOST.within(now_ms, PROCESS_MINUTES),
        spans_lost: signs::SPANS_LOST.within(now_ms, PROCESS_MINUTES),
        answered: signs::ANSWERED.within(now_ms, PROCESS_MINUTES),
        repeated: signs::REPEATED.within(now_ms, PROCESS_MINUTES),
        last_scrape: signs::last_scrape(),
    })
}
