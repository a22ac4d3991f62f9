//! Who does the pieces of a run at the same time: jobs of the one queue, and threads of one job.
//!
//! A store that several processes share has several jobs for a run, its hands. Each has a lease of its own, and pieces of its own: those
//! whose position leaves the hand's number when it is divided by the number of hands. So no two hands do the same piece, and a hand whose
//! process died is claimed again as any job is. The first hand also does the last piece, when all others are done. Nothing here knows what
//! a piece is about.

use super::kinds::work_of;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::jobs::{self, NewJob, WorkKind};
use crate::store::bulk::{BulkJobRow, BulkPieceRow};
use crate::store::bulk_pieces::{self, PiecesOf};
use crate::store::{Db, Store};
use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Most hands of one run.
const HANDS: i64 = 3;
/// The hands after the first one.
const MORE: [i64; 2] = [1, 2];
/// Pieces that are read at once.
const AHEAD: i64 = 64;
/// How long the first hand waits for the others before it looks again, milliseconds.
const LOOK_MS: i64 = 200;

/// Threads beside those of the jobs themselves that do pieces in this process: as many as there are processors, however many jobs there are.
/// With the thread of one job that is one more than can run, because a thread waits while its piece is written to the disk.
static HELPERS: AtomicUsize = AtomicUsize::new(0);

/// Ids for the jobs of the hands after the first one.
pub(super) type MoreIds = [String; MORE.len()];

/// New ids for [`call`].
pub(super) fn ids(ctx: &Context) -> MoreIds {
    MORE.map(|_| ctx.ids.new_id(ctx.clock.now_ms()))
}

/// How many hands a run with so many pieces has over this store.
fn hands(store: &Store, pieces: i64) -> i64 {
    match store.is_remote() {
        true => (pieces - 1).clamp(1, HANDS),
        false => 1,
    }
}

fn key_of(run: &str, number: i64) -> String {
    match number {
        0 => run.to_owned(),
        number => format!("{run}/{number}"),
    }
}

/// The run that a job is a hand of, and the number of the hand.
pub(super) fn hand_of(key: &str) -> (&str, i64) {
    let (run, number) = key.split_once('/').unwrap_or((key, "0"));
    (run, number.parse().unwrap_or(0))
}

/// Enqueues the hands of a run after the first one, in the transaction that plans its `pieces`.
///
/// # Errors
/// Those of the database.
pub(super) fn call(
    db: &mut Db,
    work: &'static WorkKind,
    (run, pieces): (&BulkJobRow, i64),
    ids: &MoreIds,
    now_ms: i64,
) -> Result<(), Failure> {
    let is_shared = matches!(db, Db::Pg(_));
    for (number, id) in MORE.iter().zip(ids).filter(|_| is_shared) {
        if *number < pieces - 1 {
            enqueue(db, work, run, (*number, id), now_ms)?;
        }
    }
    Ok(())
}

/// Makes the hands of this piece and of the last one begin again: whoever is at the run has read what was true before.
///
/// # Errors
/// Those of the database.
pub(super) fn call_again(
    db: &mut Db,
    work: &'static WorkKind,
    (run, piece): (&BulkJobRow, i64),
    (first_id, ids): (&str, &MoreIds),
    now_ms: i64,
) -> Result<(), Failure> {
    let count = match db {
        Db::Pg(_) => (run.pieces - 1).clamp(1, HANDS),
        Db::Sqlite(_) => 1,
    };
    let own = piece % count;
    let own_id = usize::try_from(own - 1).ok().and_then(|at| ids.get(at));
    let all = [Some((0, first_id)), own_id.map(|id| (own, id.as_str()))];
    for (number, id) in all.into_iter().flatten() {
        jobs::take_back(db, work, &key_of(&run.id, number))?;
        enqueue(db, work, run, (number, id), now_ms)?;
    }
    Ok(())
}

fn enqueue(
    db: &mut Db,
    work: &'static WorkKind,
    run: &BulkJobRow,
    (number, id): (i64, &str),
    now_ms: i64,
) -> Result<(), Failure> {
    let new = NewJob {
        kind: work,
        partner: Some(&run.partner_id),
        key: &key_of(&run.id, number),
        payload: "",
        due_ms: now_ms,
    };
    jobs::enqueue(db, id, &new, now_ms).map(drop)
}

/// Takes back all hands of a run, so that what they still write is not kept.
///
/// # Errors
/// Those of the database.
pub(super) fn stop(db: &mut Db, run: &BulkJobRow) -> Result<(), Failure> {
    if let Some(work) = work_of(&run.kind) {
        for number in 0..HANDS {
            jobs::take_back(db, work, &key_of(&run.id, number))?;
        }
    }
    Ok(())
}

/// Whether a hand of a run is parked until an operator decides about it; then the run does not come to its end.
///
/// # Errors
/// Those of the database.
pub(super) fn is_parked(db: &mut Db, run: &BulkJobRow) -> Result<bool, Failure> {
    if let Some(work) = work_of(&run.kind) {
        for number in 0..HANDS {
            if jobs::is_parked(db, work, &key_of(&run.id, number))? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// What a hand does next.
pub(super) enum Next {
    /// These pieces of its own.
    Pieces(Vec<BulkPieceRow>),
    /// The last piece of the run.
    Last(BulkPieceRow),
    /// Nothing until then, UTC milliseconds: other hands are at work.
    Wait(i64),
    /// Nothing any more.
    Nothing,
}

/// Returns what hand `number` of a planned run does next, after the piece at position `after`.
///
/// # Errors
/// Those of the store.
pub(super) fn next(ctx: &Context, run: &BulkJobRow, number: i64, after: i64) -> Result<Next, Failure> {
    let of = PiecesOf {
        number,
        hands: hands(&ctx.store, run.pieces),
        after,
    };
    ctx.store.read_blocking(|db| {
        let own = bulk_pieces::waiting(db, &run.id, of, AHEAD)?;
        if !own.is_empty() {
            return Ok(Next::Pieces(own));
        }
        let first = match number {
            0 => bulk_pieces::first_waiting(db, &run.id)?,
            _ => None,
        };
        Ok(match first {
            None => Next::Nothing,
            Some(last) if last.members == 0 => Next::Last(last),
            Some(_) => Next::Wait(ctx.clock.now_ms() + LOOK_MS),
        })
    })
}

/// Does `work` with each of these pieces, on this thread and on others that are free, until all are done or `until` is over. After a failure
/// none is begun any more. Returns whether all are done. Blocks this thread.
///
/// # Errors
/// The first one of `work`.
pub(super) fn side_by_side(
    pieces: Vec<BulkPieceRow>,
    until: Instant,
    work: &(dyn Fn(BulkPieceRow) -> Result<(), Failure> + Sync),
) -> Result<bool, Failure> {
    let helpers = pieces.len().saturating_sub(1);
    let queue = Mutex::new(VecDeque::from(pieces));
    let lock = || queue.lock().unwrap_or_else(PoisonError::into_inner);
    let take = || match Instant::now() < until {
        true => lock().pop_front(),
        false => None,
    };
    let run = || -> Result<(), Failure> {
        while let Some(piece) = take() {
            if let Err(failure) = work(piece) {
                lock().clear();
                return Err(failure);
            }
        }
        Ok(())
    };
    let (runtime, span) = (tokio::runtime::Handle::try_current().ok(), tracing::Span::current());
    std::thread::scope(|scope| {
        let helping: Vec<_> = (0..helpers)
            .map_while(|_| Helper::free())
            .map(|helper| {
                let (runtime, span, run) = (&runtime, &span, &run);
                scope.spawn(move || {
                    let _place = helper;
                    let _entered = runtime.as_ref().map(|runtime| runtime.enter());
                    span.in_scope(run)
                })
            })
            .collect();
        let mut ended = run();
        for helper in helping {
            match helper.join() {
                Ok(done) => ended = ended.and(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        ended
    })?;
    Ok(lock().is_empty())
}

/// The place of a thread in [`HELPERS`].
struct Helper;

impl Helper {
    fn free() -> Option<Helper> {
        let most = std::thread::available_parallelism().map_or(1, NonZero::get);
        let more = |taken: usize| (taken < most).then(|| taken + 1);
        let taken = HELPERS.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        // Made only when a place was taken: to drop it gives that back.
        taken.ok().map(|_| Helper)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        HELPERS.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The failure of a thread that was to do the pieces of a run.
pub(super) fn lost(error: tokio::task::JoinError) -> Failure {
    match error.is_panic() {
        // The panic continues in the task of the step.
        true => std::panic::resume_unwind(error.into_panic()),
        false => Failure::new(Fault::Internal).because(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::time::Duration;

    fn piece(position: i64) -> BulkPieceRow {
        BulkPieceRow {
            job_id: "j".into(),
            position,
            state: "waiting".into(),
            first_key: String::new(),
            last_key: String::new(),
            members: 1,
        }
    }

    #[test]
    fn each_piece_is_done_once_and_none_after_a_failure() {
        let done = Mutex::new(BTreeSet::new());
        let far = Instant::now() + Duration::from_secs(60);
        let work = |one: BulkPieceRow| {
            assert!(done.lock().expect("a lock").insert(one.position), "once");
            Ok(())
        };
        let all = side_by_side((0..100).map(piece).collect(), far, &work).expect("done");
        assert!(all && done.lock().expect("a lock").len() == 100);
        assert!(!side_by_side(vec![piece(1)], Instant::now(), &work).expect("late"));
        assert_eq!(HELPERS.load(Ordering::Acquire), 0, "all places are given back");
        let begun = AtomicUsize::new(0);
        let failing = |_: BulkPieceRow| {
            begun.fetch_add(1, Ordering::AcqRel);
            Err(Fault::LeaseLost.into())
        };
        let failed = side_by_side((0..1000).map(piece).collect(), far, &failing);
        assert_eq!(failed.expect_err("a failure").fault(), Fault::LeaseLost);
        assert!(begun.into_inner() < 100, "those that were begun already");
    }

    #[test]
    fn the_key_of_a_hand_names_its_run() {
        for number in 0..HANDS {
            assert_eq!(hand_of(&key_of("abc", number)), ("abc", number));
        }
    }
}
