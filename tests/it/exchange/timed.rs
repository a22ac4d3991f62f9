//! A step that takes longer than it may: what it kept counts, and only an attempt that brought nothing has failed.

use super::bed::{Bed, HOUR, settings};
use super::scripted::{Says, Scripted};
use causeway::error::Fault;
use causeway::exchange::phase::Phase;
use causeway::exchange::steps::{StepEnd, StepName};
use causeway::exchange::work::ExchangeWork;
use causeway::jobs::{Chance, Runner};
use std::time::Duration;

/// The time that each step has here.
const TIME: Duration = Duration::from_millis(60);

/// Runs the exchange with steps that have [`TIME`], until nothing of it is due within an hour.
fn run(bed: &Bed, partner: &Scripted, id: &str) {
    let step = ExchangeWork::step_within(partner.sessions(), Chance::seeded(1), TIME);
    let runner = Runner::new(&bed.ctx, settings(), vec![step], Chance::seeded(1)).expect("fits");
    let end_ms = bed.ctx.clock.now_ms() + HOUR;
    loop {
        bed.block(runner.run_due()).expect("run");
        let row = bed.exchange(id);
        match row.wake_ms {
            Some(wake_ms) if row.parked_at_ms.is_none() && wake_ms <= end_ms => {
                bed.ctx.clock.advance_ms((wake_ms - bed.ctx.clock.now_ms()).max(1));
            }
            _ => return,
        }
    }
}

#[test]
fn a_step_that_ends_by_its_time_and_has_kept_something_goes_on_and_nobody_is_blamed() {
    for slow in [StepName::Retrieve, StepName::Store] {
        let bed = Bed::new();
        let id = bed.started();
        // More often than a step may fail.
        let partner = Scripted::that(move |_, step, before| match step == slow && before < 12 {
            true => Says::Drips,
            false => Says::Well,
        });
        run(&bed, &partner, &id);
        assert_eq!(bed.phase(&id), Phase::Completed, "{slow:?}: {:?}", bed.exchange(&id));
        let attempts = bed.attempts(&id);
        let own: Vec<_> = attempts.iter().filter(|one| one.step == slow.code()).collect();
        assert_eq!(own.len(), 13, "{slow:?}");
        assert!(
            own.iter()
                .all(|one| one.class.as_deref() == Some("ok") && one.fault.is_none()),
            "{own:?}"
        );
        let key = &own[0].idempotency_key;
        assert!(own.iter().all(|one| one.idempotency_key == *key), "one round, one key");
        assert_eq!(bed.number("SELECT COUNT(*) FROM partner_health"), 0, "{slow:?}");
    }
}

#[test]
fn a_step_that_ends_by_its_time_and_brought_nothing_has_failed_and_only_a_call_blames_the_partner() {
    for (slow, class, blamed) in [(StepName::Retrieve, "timeout", 1), (StepName::Store, "own-trouble", 0)] {
        let bed = Bed::new();
        let id = bed.started();
        let partner = Scripted::that(move |_, step, before| match step == slow && before == 0 {
            true => Says::Dies,
            false => Says::Well,
        });
        let step = ExchangeWork::step_within(partner.sessions(), Chance::seeded(1), TIME);
        let runner = Runner::new(&bed.ctx, settings(), vec![step], Chance::seeded(1)).expect("fits");
        bed.block(runner.run_due()).expect("run");
        let failed = bed.number("SELECT COUNT(*) FROM partner_health WHERE failures = 1");
        assert_eq!(failed, blamed, "{slow:?}");
        assert_eq!(bed.exchange(&id).attempts, 1, "{slow:?}");
        run(&bed, &partner, &id);
        assert_eq!(bed.phase(&id), Phase::Completed, "{slow:?}: {:?}", bed.exchange(&id));
        let attempts = bed.attempts(&id);
        let classes: Vec<_> = attempts
            .iter()
            .filter(|one| one.step == slow.code())
            .map(|one| one.class.as_deref().unwrap_or_default())
            .collect();
        assert_eq!(classes, [class, "ok"], "{slow:?}");
    }
}

#[test]
fn turns_that_bring_something_for_ever_end_with_the_time_for_the_automatic_part() {
    for endless in [StepName::Retrieve, StepName::Check, StepName::Store] {
        let bed = Bed::new();
        let id = bed.started();
        let clock = bed.ctx.clock.clone();
        // Five minutes instead of a day; each turn takes less than a lease.
        bed.sql(&format!(
            "UPDATE exchange SET deadline_ms = {}",
            clock.now_ms() + 300_000
        ));
        let partner = Scripted::that(move |_, step, _| match step == endless {
            true => {
                clock.advance_ms(50_000);
                Says::End(StepEnd::More)
            }
            false => Says::Well,
        });
        bed.run_through(&partner, &id, HOUR);
        let row = bed.exchange(&id);
        assert_eq!(
            (row.reason.as_deref(), row.parked_at_ms.is_some(), row.step.as_str()),
            (Some(Fault::DeadlineOver.code()), true, endless.code()),
            "{row:?}"
        );
        assert!(partner.count(endless) < 15, "{endless:?}");
    }
}
