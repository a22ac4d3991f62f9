//! Leases, fencing, retries, parking, fairness, drain: the rules of the queue, in time that stands.

use super::bed::{Act, Bed, DEED, Deed, LEASE_MS, context};
use crate::support::store::on_postgres;
use causeway::error::{Failure, Fault};
use causeway::jobs::{
    AttemptOutcome, Chance, Doing, HeldJob, JobStep, NewJob, Priority, Recorded, Runner, WorkKind, enqueue, take_back,
};
use causeway::store::jobs as rows;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn partners(claimed: &causeway::jobs::Claimed) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for held in &claimed.held {
        *count.entry(held.job().partner.clone().unwrap_or_default()).or_default() += 1;
    }
    count
}

#[test]
fn work_is_handed_in_with_the_transaction_that_makes_it_necessary() {
    let bed = Bed::new();
    let id = bed.ctx.ids.new_id(0);
    let undone = bed.ctx.store.write_blocking(move |db| {
        let new = NewJob {
            kind: &DEED,
            partner: None,
            key: "x",
            payload: "",
            due_ms: 0,
        };
        assert!(enqueue(db, &id, &new, 0)?);
        Err::<(), Failure>(Fault::Internal.into())
    });
    assert!(undone.is_err() && bed.job("deed", "x").is_none());
}

#[test]
fn the_same_work_is_there_once_while_it_lives() {
    let bed = Bed::new();
    assert!(bed.hand_in("x", None) && !bed.hand_in("x", None) && bed.hand_in("y", None));
    assert_eq!(bed.block(bed.runner(vec![Deed::that(&[])]).run_due()).expect("runs"), 2);
    assert!(bed.hand_in("x", None), "what is done may be asked again");
}

#[test]
fn work_that_is_taken_back_ends_and_whoever_is_at_it_writes_nothing() {
    let bed = Bed::new();
    bed.hand_in("x", None);
    let runner = bed.runner(vec![Deed::that(&[])]);
    bed.block(async {
        let held = runner.claim(1, &[]).await.expect("claimed").held.remove(0);
        let outcome = runner.attempt(&held).await;
        let gone = bed.ctx.store.write(|db| take_back(db, &DEED, "x"));
        assert!(gone.await.expect("written"));
        assert_eq!(runner.record(&held, outcome).await.expect("runs"), Recorded::Dropped);
        let again = bed.ctx.store.write(|db| take_back(db, &DEED, "x"));
        assert!(!again.await.expect("written"));
    });
    assert_eq!(bed.number("SELECT done FROM deed"), 0);
}

#[test]
fn a_payload_that_is_too_long_is_refused() {
    let bed = Bed::new();
    let long = "x".repeat(causeway::jobs::PAYLOAD_BYTES + 1);
    let refused = bed.ctx.store.write_blocking(move |db| {
        let new = NewJob {
            kind: &DEED,
            partner: None,
            key: "x",
            payload: &long,
            due_ms: 0,
        };
        enqueue(db, "j", &new, 0)
    });
    assert!(refused.is_err());
}

#[test]
fn a_result_and_its_business_rows_are_one_transaction() {
    let bed = Bed::new();
    bed.hand_in("x", None);
    let runner = bed.runner(vec![Deed::that(&[Act::RowsRefused])]);
    assert_eq!(bed.block(runner.run_due()).expect("runs"), 1);
    let row = bed.job("deed", "x").expect("not done");
    assert_eq!(bed.number("SELECT done FROM deed"), 0, "nothing of the rows is kept");
    assert_eq!((row.attempts, row.last_class.as_deref()), (1, Some("failed")));
    assert!(row.due_ms > bed.ctx.clock.now_ms() && row.lease_until_ms.is_none());
    bed.ctx.clock.advance_ms(1_001);
    bed.block(runner.run_due()).expect("runs");
    assert_eq!(bed.number("SELECT done FROM deed"), 1);
}

#[test]
fn whoever_lost_its_lease_writes_nothing() {
    let bed = Bed::new();
    bed.hand_in("x", None);
    let runner = bed.runner(vec![Deed::that(&[])]);
    bed.block(async {
        let late = runner.claim(1, &[]).await.expect("claimed").held.remove(0);
        let outcome = runner.attempt(&late).await;
        bed.ctx.clock.advance_ms(LEASE_MS + 1);
        let other = runner.claim(1, &[]).await.expect("claimed").held.remove(0);
        assert_eq!(other.lease().epoch, late.lease().epoch + 1);
        let refused = late.write(|_| Ok(())).await.expect_err("lost");
        assert_eq!(refused.fault(), Fault::LeaseLost);
        assert_eq!(runner.record(&late, outcome).await.expect("runs"), Recorded::Dropped);
        assert!(late.is_lost());
        let outcome = runner.attempt(&other).await;
        assert_eq!(runner.record(&other, outcome).await.expect("runs"), Recorded::Kept);
    });
    assert_eq!(bed.number("SELECT done FROM deed"), 1);
}

#[test]
fn a_lease_that_is_renewed_is_kept_and_one_that_was_taken_is_told_so() {
    let bed = Bed::new();
    bed.hand_in("x", None);
    let runner = bed.runner(vec![Deed::that(&[])]);
    bed.block(async {
        let held = runner.claim(1, &[]).await.expect("claimed").held;
        for _ in 0..5 {
            bed.ctx.clock.advance_ms(LEASE_MS / 3);
            runner.renew(&held).await.expect("renewed");
            assert!(runner.claim(1, &[]).await.expect("looks").held.is_empty());
        }
        bed.ctx.clock.advance_ms(LEASE_MS + 1);
        assert_eq!(runner.claim(1, &[]).await.expect("claimed").held.len(), 1);
        assert!(!held[0].is_lost());
        runner.renew(&held).await.expect("asked");
        assert!(held[0].is_lost());
    });
}

#[test]
fn a_step_whose_lease_is_lost_or_whose_time_is_over_is_ended() {
    let bed = Bed::new();
    bed.hand_in("x", None);
    let runner = bed.runner(vec![Deed::that(&[Act::Hang])]);
    bed.block(async {
        let held = runner.claim(1, &[]).await.expect("claimed").held;
        bed.ctx.clock.advance_ms(LEASE_MS + 1);
        let other = runner.claim(1, &[]).await.expect("claimed").held;
        let (outcome, renewed) = tokio::join!(runner.attempt(&held[0]), runner.renew(&held));
        renewed.expect("asked");
        assert!(matches!(outcome, AttemptOutcome::Lost));
        runner.hand_back(&other).await.expect("handed back");
    });
    let brief = bed.runner(vec![Arc::new(Brief)]);
    bed.sql("UPDATE job SET kind = 'brief'");
    assert_eq!(bed.block(brief.run_due()).expect("runs"), 1);
    let row = bed.job("brief", "x").expect("kept");
    assert_eq!((row.attempts, row.last_class.as_deref()), (1, Some("timeout")));
}

/// Never ends, and has twenty milliseconds.
struct Brief;
static BRIEF: WorkKind = WorkKind {
    name: "brief",
    priority: Priority::Ordinary,
    every: None,
    timeout: Duration::from_millis(20),
    renews: false,
    safe_because: "it does nothing",
};

impl JobStep for Brief {
    fn kind(&self) -> &'static WorkKind {
        &BRIEF
    }

    fn run(&self, _: HeldJob) -> Doing<'_> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn a_worker_does_not_take_what_it_is_at_when_the_clock_was_set() {
    let bed = Bed::new();
    bed.hand_in("x", None);
    let runner = bed.runner(vec![Deed::that(&[])]);
    bed.block(async {
        let held = runner.claim(1, &[]).await.expect("claimed").held;
        bed.ctx.clock.set_ms(3_600_000);
        assert!(runner.claim(1, &held).await.expect("looks").held.is_empty());
    });
}

#[test]
fn what_crashes_again_and_again_is_parked_until_an_operator_replays_it() {
    let bed = Bed::new();
    bed.hand_in("x", None);
    let runner = bed.runner(vec![Deed::that(&[])]);
    for crash in 1..=5 {
        let claimed = bed.block(runner.claim(1, &[])).expect("claimed").held;
        assert_eq!(claimed.len(), 1, "crash {crash}");
        bed.ctx.clock.advance_ms(LEASE_MS + 1);
    }
    assert_eq!(bed.block(runner.run_due()).expect("runs"), 0);
    let row = bed.job("deed", "x").expect("kept");
    assert_eq!(
        (row.state.as_str(), row.last_class.as_deref(), row.claims, row.attempts),
        ("parked", Some("crash_loop"), 5, 0)
    );
    assert!(!bed.hand_in("x", None), "what is parked lives");
    let standing = bed.block(runner.standing()).expect("read");
    assert_eq!(standing.parked, 1);
    let id = bed
        .ctx
        .store
        .read_blocking(|db| rows::list(db, true, "", 9))
        .expect("read");
    let (id, now_ms) = (id[0].id.clone(), bed.ctx.clock.now_ms());
    let again = id.clone();
    assert!(
        bed.ctx
            .store
            .write_blocking(move |db| rows::replay(db, &id, now_ms))
            .expect("written")
    );
    assert!(
        !bed.ctx
            .store
            .write_blocking(move |db| rows::replay(db, &again, now_ms))
            .expect("written"),
        "a replay is done once"
    );
    assert_eq!(bed.block(runner.run_due()).expect("runs"), 1);
    assert_eq!(bed.number("SELECT done FROM deed"), 1);
}

#[test]
fn a_panic_is_the_jobs_own_and_counts_as_a_crash() {
    let bed = Bed::new();
    bed.hand_in("x", None);
    bed.hand_in("y", None);
    let runner = bed.runner(vec![Deed::that(&[
        Act::Panic,
        Act::Well,
        Act::Panic,
        Act::Panic,
        Act::Panic,
        Act::Panic,
    ])]);
    assert_eq!(bed.block(runner.run_due()).expect("runs"), 2, "the other one goes on");
    let row = bed.job("deed", "x").expect("kept");
    assert_eq!(
        (row.claims, row.attempts, row.last_class.as_deref()),
        (1, 0, Some("panic"))
    );
    for _ in 0..4 {
        bed.ctx.clock.advance_ms(300_000);
        assert_eq!(bed.block(runner.run_due()).expect("runs"), 1);
    }
    assert_eq!(bed.job("deed", "x").expect("kept").state, "parked");
}

#[test]
fn what_fails_is_tried_again_with_growing_waits_and_then_parked() {
    let bed = Bed::new();
    bed.hand_in("x", None);
    let runner = bed.runner(vec![Deed::that(&[
        Act::RetryAfter(90_000),
        Act::Fail,
        Act::Fail,
        Act::Fail,
        Act::Fail,
    ])]);
    assert_eq!(bed.block(runner.run_due()).expect("runs"), 1);
    let wait_ms = bed.job("deed", "x").expect("kept").due_ms - bed.ctx.clock.now_ms();
    assert!(
        (90_000..=99_000).contains(&wait_ms),
        "Retry-After is a lower bound: {wait_ms}"
    );
    for attempt in 2..=5 {
        bed.ctx.clock.advance_ms(99_001);
        assert_eq!(bed.block(runner.run_due()).expect("runs"), 1, "attempt {attempt}");
    }
    let row = bed.job("deed", "x").expect("kept");
    assert_eq!((row.state.as_str(), row.attempts), ("parked", 5));
    bed.ctx.clock.advance_ms(86_400_000);
    assert_eq!(bed.block(runner.run_due()).expect("runs"), 0);
}

#[test]
fn while_others_wait_a_partner_has_its_share_and_alone_it_leaves_one_share_free() {
    let bed = Bed::new();
    // Sixteen places: a share is two.
    for n in 0..40 {
        bed.hand_in(&format!("slow-{n}"), Some("slow"));
    }
    let runner = bed.runner(vec![Deed::that(&[])]);
    bed.block(async {
        let alone = runner.claim(16, &[]).await.expect("claimed");
        assert_eq!(partners(&alone), BTreeMap::from([("slow".into(), 14)]));
        runner.hand_back(&alone.held).await.expect("handed back");
    });
    for partner in ["a", "b"] {
        for n in 0..4 {
            bed.hand_in(&format!("{partner}-{n}"), Some(partner));
        }
    }
    bed.hand_in("ours", None);
    bed.block(async {
        let claimed = runner.claim(16, &[]).await.expect("claimed");
        let shares = [("", 1), ("a", 2), ("b", 2), ("slow", 2)].map(|(name, count)| (name.to_owned(), count));
        assert_eq!(
            partners(&claimed),
            BTreeMap::from(shares),
            "though slow has waited longest"
        );
        let more = runner.claim(9, &claimed.held).await.expect("claimed");
        assert!(more.held.is_empty(), "{:?}", partners(&more));
        let after: Vec<_> = claimed
            .held
            .iter()
            .filter(|held| held.job().partner.as_deref() != Some("a"))
            .cloned()
            .collect();
        let more = runner.claim(9, &after).await.expect("claimed");
        assert_eq!(partners(&more), BTreeMap::from([("a".into(), 2)]));
    });
}

#[test]
fn what_nobody_here_can_do_is_left_to_those_who_can() {
    let bed = Bed::new();
    bed.hand_in("x", None);
    bed.sql("UPDATE job SET kind = 'of a newer version'");
    let runner = bed.runner(vec![Deed::that(&[])]);
    assert_eq!(bed.block(runner.run_due()).expect("runs"), 0);
    let row = bed.job("of a newer version", "x").expect("kept");
    assert_eq!(
        (row.state.as_str(), row.claims, row.payload.as_str()),
        ("waiting", 0, "{}")
    );
}

#[test]
fn work_that_recurs_is_one_row_however_many_workers_there_are() {
    let bed = Bed::new();
    let steps = || causeway::app::background::steps();
    bed.block(async {
        for _ in 0..3 {
            bed.runner(steps()).prepare().await.expect("prepared");
        }
        let kinds = steps().len();
        assert_eq!(bed.runner(steps()).run_due().await.expect("runs"), kinds);
        assert_eq!(
            bed.runner(steps()).run_due().await.expect("runs"),
            0,
            "not due again yet"
        );
    });
}

#[test]
fn workers_that_claim_at_once_get_different_jobs() {
    let bed = Bed::new();
    for n in 0..120 {
        bed.hand_in(&format!("x-{n}"), None);
    }
    let second = match on_postgres() {
        true => context(&bed.store.place.open()),
        false => bed.ctx.clone(),
    };
    let ids = bed.block(async {
        let mut workers = Vec::new();
        for (n, ctx) in [bed.ctx.clone(), second].into_iter().enumerate() {
            let chance = Chance::seeded(n as u64);
            let runner = Runner::new(&ctx, Bed::settings(), vec![Deed::that(&[])], chance).expect("fits");
            workers.push(tokio::spawn(async move {
                let mut ids = Vec::new();
                loop {
                    let claimed = runner.claim(7, &[]).await.expect("claimed").held;
                    if claimed.is_empty() {
                        return ids;
                    }
                    ids.extend(claimed.iter().map(|held| held.job().id.clone()));
                }
            }));
        }
        let mut ids = Vec::new();
        for worker in workers {
            ids.extend(worker.await.expect("ends"));
        }
        ids
    });
    let different: BTreeSet<&String> = ids.iter().collect();
    assert_eq!((ids.len(), different.len()), (120, 120));
}

/// Waits for something, a minute at most.
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_worker_that_stops_hands_back_what_does_not_end() {
    let bed = Bed::new();
    bed.hand_in("x", None);
    let running = bed.block(async { bed.runner(vec![Deed::that(&[Act::Hang])]).start() });
    running.wake();
    eventually("the attempt", || bed.number("SELECT started FROM deed") == 1);
    bed.block(running.drain(Duration::ZERO));
    let row = bed.job("deed", "x").expect("kept");
    assert_eq!(
        (row.claims, row.lease_until_ms),
        (0, Some(bed.ctx.clock.now_ms())),
        "{row:?}"
    );
    let next = bed.runner(vec![Deed::that(&[])]);
    assert_eq!(bed.block(next.run_due()).expect("runs"), 1, "at once");
    assert_eq!((bed.number("SELECT done FROM deed"), row.lease_epoch), (1, 1));
}

#[test]
fn a_worker_that_stops_lets_end_what_does() {
    let bed = Bed::new();
    let running = bed.block(async { bed.runner(vec![Deed::that(&[])]).start() });
    bed.hand_in("x", None);
    running.wake();
    eventually("the deed", || bed.number("SELECT done FROM deed") == 1);
    running.stop_claiming();
    bed.hand_in("y", None);
    running.wake();
    bed.block(running.drain(Duration::from_secs(5)));
    let row = bed.job("deed", "y").expect("nobody began with it");
    // A claim that was under way when the worker was told to stop may have found it, and was handed back.
    assert_eq!((row.claims, bed.number("SELECT started FROM deed")), (0, 1), "{row:?}");
}

/// A step that panics once before its attempt begins, where only the task of the job is left to catch it.
struct Falls {
    deed: Arc<Deed>,
    falls: AtomicBool,
}

impl JobStep for Falls {
    fn kind(&self) -> &'static WorkKind {
        assert!(!self.falls.swap(false, Ordering::SeqCst), "so it is written");
        &DEED
    }

    fn run(&self, held: HeldJob) -> Doing<'_> {
        self.deed.run(held)
    }
}

#[test]
fn a_job_whose_task_falls_is_done_again_when_its_lease_ends() {
    let bed = Bed::new();
    let step = Arc::new(Falls {
        deed: Deed::that(&[]),
        falls: AtomicBool::new(false),
    });
    let running = bed.block(async { bed.runner(vec![Arc::clone(&step) as Arc<dyn JobStep>]).start() });
    let done = |count: i64| {
        running.wake();
        bed.number("SELECT done FROM deed") == count
    };
    bed.hand_in("x", None);
    eventually("the first deed", || done(1));
    step.falls.store(true, Ordering::SeqCst);
    bed.hand_in("y", None);
    eventually("the fall", || {
        running.wake();
        !step.falls.load(Ordering::SeqCst)
    });
    bed.ctx.clock.advance_ms(LEASE_MS + 1);
    eventually("the second deed", || done(2));
    bed.block(running.drain(Duration::ZERO));
}
