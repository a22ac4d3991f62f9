//! Gathers exchanges of one file of enrolments into runs, each with one partner; so it does with the further exchanges of a series whose members
//! were in one run. It asks nobody.

use super::kind::{ASK, MEMBERS_MOST, RunStep, TIME_MS};
use super::late::watch;
use crate::bulk::files::new_name;
use crate::context::Context;
use crate::error::Failure;
use crate::exchange::carried::carry;
use crate::jobs::{self, NewJob};
use crate::store::Db;
use crate::store::bulk_runs::{self as rows, BulkRunRow, GATHERING, RunMemberRow};
use crate::store::exchanges;

/// When a run begins whose file was not read to its end, or has none, milliseconds.
const LATEST_MS: i64 = 600_000;

/// Adds an exchange with `partner_id`, which was accepted in this transaction, to a run of its file: one for all members about whom the same
/// is asked.
///
/// # Errors
/// Those of the database.
pub fn gather(
    db: &mut Db,
    ctx: &Context,
    (partner_id, exchange_id): (&str, &str),
    file_digest: &str,
) -> Result<(), Failure> {
    let since_ms = exchanges::ask_of(db, exchange_id)?.and_then(|ask| ask.since_ms);
    // Jobs of a series add to the same run at once, and the run may begin meanwhile.
    rows::lock(db)?;
    let mut place = None;
    let mut newest_ms = None;
    // A run is begun when all that fit are full, so only the newest, or one of the same millisecond, may have room.
    for run in rows::gathering(db, file_digest)?.into_iter().rev() {
        if run.partner_id != partner_id || run.since_ms != since_ms {
            continue;
        }
        if *newest_ms.get_or_insert(run.created_ms) != run.created_ms {
            break;
        }
        let count = rows::count(db, &run.id)?;
        if count < MEMBERS_MOST {
            place = Some((run.id, count));
            break;
        }
    }
    let (run_id, position) = match place {
        Some(place) => place,
        None => (begin(db, ctx, (partner_id, since_ms), file_digest)?, 0),
    };
    carry(db, exchange_id)?;
    let member = RunMemberRow {
        run_id,
        position,
        exchange_id: exchange_id.to_owned(),
        carried: 1,
        attempt: 0,
        state: super::members::WAITING.to_owned(),
        came: None,
        receipt: None,
    };
    rows::put_members(db, &[member])
}

fn begin(
    db: &mut Db,
    ctx: &Context,
    (partner_id, since_ms): (&str, Option<i64>),
    file_digest: &str,
) -> Result<String, Failure> {
    let now_ms = ctx.clock.now_ms();
    let run = BulkRunRow {
        id: new_name(),
        partner_id: partner_id.to_owned(),
        file_digest: file_digest.to_owned(),
        state: GATHERING.to_owned(),
        step: RunStep::AskMatch.code().to_owned(),
        failed: 0,
        status_url: None,
        group_id: None,
        progress: None,
        transaction_ms: None,
        left_out: 0,
        fault: None,
        created_ms: now_ms,
        updated_ms: now_ms,
        deadline_ms: now_ms + TIME_MS,
        ended_ms: None,
        question: None,
        question_bytes: None,
        since_ms,
    };
    rows::put(db, &run)?;
    jobs::enqueue(db, &ctx.ids.new_id(now_ms), &work(&run, now_ms + LATEST_MS), now_ms)?;
    jobs::enqueue(db, &ctx.ids.new_id(now_ms), &watch(&run), now_ms)?;
    Ok(run.id)
}

fn work(run: &BulkRunRow, due_ms: i64) -> NewJob<'_> {
    NewJob {
        kind: &ASK,
        partner: Some(&run.partner_id),
        key: &run.id,
        payload: "",
        due_ms,
    }
}

/// Lets the runs of a file begin: it was read to its end. Returns how many there are.
///
/// # Errors
/// Those of the database.
pub fn close(db: &mut Db, ctx: &Context, file_digest: &str) -> Result<usize, Failure> {
    let now_ms = ctx.clock.now_ms();
    let runs = rows::gathering(db, file_digest)?;
    for run in &runs {
        jobs::enqueue_or_point(db, &ctx.ids.new_id(now_ms), &work(run, now_ms), now_ms)?;
    }
    Ok(runs.len())
}
