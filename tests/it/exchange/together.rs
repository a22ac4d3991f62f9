//! Several who act on one exchange at once, and a store that is an old backup.

use super::bed::{Bed, HOUR, NOW, by, context};
use super::scripted::{Scripted, failing};
use crate::support::store::{connect, on_postgres};
use causeway::bulk::asking::gather;
use causeway::exchange::acts::{ActResult, ExchangeAct, act};
use causeway::exchange::health;
use causeway::exchange::intake::start_in;
use causeway::exchange::phase::Phase;
use causeway::exchange::steps::{StepName, TransportFailure};
use causeway::store::{Db, Store, StoreOptions, StoreUrl, partner_health};
use diesel::connection::SimpleConnection as _;
use std::collections::BTreeSet;

/// What each of these people is told who act on the exchange at the same time.
fn at_once(bed: &Bed, id: &str, acts: &[ExchangeAct]) -> Vec<ActResult> {
    std::thread::scope(|scope| {
        let begun: Vec<_> = acts
            .iter()
            .map(|what| {
                let (ctx, id, what) = (bed.ctx.clone(), id.to_owned(), *what);
                scope.spawn(move || {
                    let own = ctx.clone();
                    ctx.store
                        .write_blocking(move |db| act(db, &own, &id, what, &by()))
                        .expect("answered")
                })
            })
            .collect();
        begun.into_iter().map(|one| one.join().expect("told")).collect()
    })
}

#[test]
fn people_who_supersede_or_run_again_at_once_get_one_exchange() {
    for (ends, what) in [(false, ExchangeAct::Supersede), (true, ExchangeAct::Replay)] {
        let bed = Bed::new();
        let id = bed.started();
        if ends {
            bed.act(&id, ExchangeAct::Close).expect("closed");
        }
        let told = at_once(&bed, &id, &[what; 4]);
        let next: BTreeSet<&str> = told
            .iter()
            .map(|one| match one {
                ActResult::Done { exchange_id } => exchange_id.as_str(),
                ActResult::NotAllowed => panic!("not allowed"),
            })
            .collect();
        assert_eq!(next.len(), 1, "{what:?}: {told:?}");
        assert_eq!(bed.number("SELECT COUNT(*) FROM exchange"), 2);
        assert_eq!(bed.number("SELECT COUNT(*) FROM job WHERE kind = 'exchange'"), 1);
    }
}

/// As the jobs of a series do that are all due at the begin of a quarter.
#[test]
fn exchanges_that_are_left_to_a_run_at_once_are_all_in_one_run() {
    let bed = Bed::new();
    // So that the others find their opt-in.
    bed.started();
    std::thread::scope(|scope| {
        let begun: Vec<_> = (0..4)
            .map(|number| {
                let ctx = bed.ctx.clone();
                scope.spawn(move || {
                    for other in 0..5 {
                        let mut one = super::bed::wish();
                        one.coverage.member_number = format!("OLD-{number}-{other}");
                        let own = ctx.clone();
                        let gathered = ctx.store.write_blocking(move |db| {
                            let accepted = start_in(db, &own, &one)?;
                            gather(db, &own, (&one.partner, &accepted.exchange_id), "after r1")
                        });
                        gathered.expect("gathered");
                    }
                })
            })
            .collect();
        for one in begun {
            one.join().expect("told");
        }
    });
    assert_eq!(bed.number("SELECT COUNT(*) FROM bulk_run"), 1);
    assert_eq!(bed.number("SELECT COUNT(DISTINCT position) FROM bulk_run_member"), 20);
}

#[test]
fn what_several_take_from_the_budget_of_a_partner_at_once_is_all_taken() {
    let bed = Bed::new();
    let put = |db: &mut Db| partner_health::put(db, &health::well("old-payer", NOW));
    bed.ctx.store.write_blocking(put).expect("written");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let store = bed.ctx.store.clone();
            scope.spawn(move || {
                let taken = store.write_blocking(|db| {
                    let mut row = partner_health::hold(db, "old-payer")?.expect("a row");
                    std::thread::sleep(std::time::Duration::from_millis(50));
                    row.budget_milli -= 1_000;
                    partner_health::put(db, &row)
                });
                taken.expect("taken");
            });
        }
    });
    assert_eq!(bed.number("SELECT budget_milli FROM partner_health"), 16_000);
}

#[test]
fn of_acts_that_exclude_each_other_one_is_done_whoever_comes_first() {
    let bed = Bed::new();
    for number in 0..6 {
        let mut one = super::bed::wish();
        one.coverage.member_number = format!("OLD-{number}");
        let id = bed.start(&one).expect("started").exchange_id;
        let dead = Scripted::that(|_, _, _| failing(TransportFailure::NotSent, Some(9_999_999)));
        bed.run(&dead);
        let acts = [
            ExchangeAct::Replay,
            ExchangeAct::Cancel,
            ExchangeAct::Pause,
            ExchangeAct::Close,
        ];
        at_once(&bed, &id, &acts);
        let well = Scripted::well();
        bed.run(&well);
        let phase = bed.phase(&id);
        assert!(phase == Phase::Cancelled || phase == Phase::Failed, "{phase:?}");
        let ends = bed
            .ledger(&id)
            .into_iter()
            .filter(|action| action == "cancelled" || action == "closed")
            .count();
        assert_eq!(ends, 1, "it ended once");
        let of_it = format!("SELECT COUNT(*) FROM exchange WHERE id = '{id}' AND live_key IS NULL");
        assert_eq!(bed.number(&of_it), 1);
    }
}

#[test]
fn a_store_that_is_an_old_backup_asks_with_the_keys_with_which_it_had_asked() {
    if on_postgres() {
        // The copy of a file is the simplest backup; keys are made in the same way on both.
        return;
    }
    let bed = Bed::new();
    let id = bed.started();
    let copy = bed.store.place.folder.path().join("backup.db");
    let Db::Sqlite(mut sqlite) = connect(&bed.store.place.url) else {
        panic!("another database");
    };
    sqlite
        .batch_execute(&format!("VACUUM INTO '{}'", copy.display()))
        .expect("copied");
    let before = Scripted::well();
    bed.run(&before);
    assert_eq!(bed.phase(&id), Phase::Completed);
    let url = StoreUrl::parse(&format!("sqlite:{}", copy.display())).expect("an address");
    let restored = Store::open(&url, &StoreOptions::default()).expect("it opens");
    let ctx = context(&restored, NOW + 48 * HOUR);
    ctx.clock.advance_ms(-47 * HOUR);
    let after = Scripted::well();
    let runner = bed.runner_with(&ctx, &after, 77);
    bed.block(runner.run_due()).expect("run");
    let keys = |partner: &Scripted| -> Vec<(StepName, String)> {
        partner.seen().into_iter().map(|seen| (seen.step, seen.key)).collect()
    };
    assert!(!keys(&before).is_empty());
    assert_eq!(keys(&before), keys(&after));
}
