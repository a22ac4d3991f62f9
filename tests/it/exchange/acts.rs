//! What operators do with an exchange, and what is not allowed.

use super::bed::{Bed, HOUR, wish};
use super::scripted::{Says, Scripted, failing};
use causeway::error::Fault;
use causeway::exchange::acts::{ActResult, ExchangeAct};
use causeway::exchange::phase::Phase;
use causeway::exchange::steps::{
    ExchangeFacts, PartnerSession, PartnerSessions, StepEnd, StepName, StepReport, Stepping, TransportFailure,
};
use causeway::jobs::HeldJob;
use causeway::store::Db;
use diesel::prelude::*;

/// Sessions that take nothing out and drop nothing.
pub struct Stubborn(pub Scripted);

impl PartnerSessions for Stubborn {
    fn open(&self, facts: &ExchangeFacts) -> Box<dyn PartnerSession> {
        self.0.open(facts)
    }

    fn retract<'s>(&'s self, _: &'s str, _: &'s HeldJob) -> Stepping<'s> {
        Box::pin(async { trouble() })
    }

    fn drop_unstored<'s>(&'s self, _: &'s str, _: &'s HeldJob) -> Stepping<'s> {
        Box::pin(async { trouble() })
    }
}

fn trouble() -> StepReport {
    StepReport::of(StepEnd::OwnTrouble {
        fault: Fault::StoreUnavailable,
    })
}

/// A partner that has nothing for us at this step, for ever.
fn stuck_at(at: StepName) -> Scripted {
    Scripted::that(move |_, step, _| match step {
        step if step == at => Says::End(StepEnd::NotYet { retry_after_ms: None }),
        _ => Says::Well,
    })
}

fn parked(bed: &Bed) -> String {
    let id = bed.started();
    let dead = Scripted::that(|_, _, _| failing(TransportFailure::NotSent, Some(9_999_999)));
    bed.run(&dead);
    assert_eq!(bed.exchange(&id).reason.as_deref(), Some("EX-011"));
    id
}

#[test]
fn a_parked_exchange_is_replayed_with_the_same_key() {
    let bed = Bed::new();
    let id = bed.started();
    let lost = Scripted::that(|_, step, _| match step {
        StepName::MemberMatch => failing(TransportFailure::Unknown, Some(9_999_999)),
        _ => Says::Well,
    });
    bed.run(&lost);
    assert!(bed.exchange(&id).parked_at_ms.is_some());
    assert_eq!(
        bed.act(&id, ExchangeAct::Replay).expect("replayed"),
        ActResult::Done {
            exchange_id: id.clone()
        }
    );
    let again = bed.act(&id, ExchangeAct::Replay).expect("no harm");
    assert_eq!(
        again,
        ActResult::Done {
            exchange_id: id.clone()
        },
        "it runs already"
    );
    let well = Scripted::well();
    bed.run(&well);
    assert_eq!(bed.phase(&id), Phase::Completed);
    let key = |partner: &Scripted| {
        let seen = partner.seen();
        seen.iter()
            .find(|seen| seen.step == StepName::MemberMatch)
            .expect("asked")
            .key
            .clone()
    };
    assert_eq!(key(&lost), key(&well));
}

#[test]
fn a_question_that_changed_under_its_key_is_asked_anew_with_another_key() {
    let bed = Bed::new();
    let id = bed.started();
    let partner = stuck_at(StepName::MemberMatch);
    bed.run_through(&partner, &id, 30 * 24 * HOUR);
    let row = bed.exchange(&id);
    assert_eq!(
        (row.reason.as_deref(), row.parked_at_ms.is_some()),
        (Some(Fault::IdempotencyKeyReused.code()), true)
    );
    bed.act(&id, ExchangeAct::Replay).expect("replayed");
    let well = Scripted::well();
    bed.run(&well);
    assert_eq!(bed.phase(&id), Phase::Completed);
    let asked = partner.seen().into_iter().chain(well.seen());
    let keys: Vec<String> = asked
        .filter(|seen| seen.step == StepName::MemberMatch)
        .map(|seen| seen.key)
        .collect();
    let others: std::collections::BTreeSet<&String> = keys.iter().collect();
    assert_eq!((keys.len(), others.len()), (4, 4), "{keys:?}");
}

#[test]
fn a_replay_after_the_consent_has_ended_refuses_the_exchange() {
    let bed = Bed::new();
    let id = parked(&bed);
    bed.ctx.clock.advance_ms(500 * 24 * HOUR);
    bed.act(&id, ExchangeAct::Replay).expect("looked at");
    let row = bed.exchange(&id);
    assert_eq!((row.phase.as_str(), row.consent_state.as_str()), ("refused", "expired"));
    assert_eq!(row.reason.as_deref(), Some(Fault::OptInOver.code()));
}

#[test]
fn a_replay_for_a_partner_that_is_suspended_is_refused_and_changes_nothing() {
    let bed = Bed::new();
    let id = parked(&bed);
    bed.sql("UPDATE partner SET status = 'suspended'");
    let refused = bed.act(&id, ExchangeAct::Replay).expect_err("refused");
    assert_eq!(refused.fault(), Fault::PartnerStopped);
    assert!(bed.exchange(&id).parked_at_ms.is_some());
}

#[test]
fn an_exchange_of_a_newer_version_of_the_program_is_left_alone() {
    let bed = Bed::new();
    let id = parked(&bed);
    bed.sql("UPDATE exchange SET workflow = 99");
    let before = bed.exchange(&id);
    let refused = bed.act(&id, ExchangeAct::Replay).expect_err("refused");
    assert_eq!(refused.fault(), Fault::WorkflowUnknown);
    assert_eq!(bed.exchange(&id), before);
    // One that waits is parked before anything is sent.
    let mut other = wish();
    other.coverage.member_number = "OLD-78".into();
    let id = bed.start(&other).expect("started").exchange_id;
    bed.sql("UPDATE exchange SET workflow = 99");
    let partner = Scripted::well();
    bed.run(&partner);
    let row = bed.exchange(&id);
    assert_eq!(
        (row.reason.as_deref(), row.parked_at_ms.is_some()),
        (Some("EX-019"), true),
        "{row:?}"
    );
    assert_eq!(partner.seen().len(), 0);
}

#[test]
fn an_exchange_with_a_partner_that_is_suspended_midway_is_parked_and_asks_nothing_more() {
    let bed = Bed::new();
    let id = bed.started();
    let partner = stuck_at(StepName::Retrieve);
    bed.run(&partner);
    let asked = partner.seen().len();
    bed.sql("UPDATE partner SET status = 'suspended'");
    bed.run_through(&partner, &id, 24 * HOUR);
    let row = bed.exchange(&id);
    assert_eq!(
        (row.reason.as_deref(), row.parked_at_ms.is_some()),
        (Some("EX-016"), true)
    );
    assert_eq!(partner.seen().len(), asked);
}

#[test]
fn a_pause_stops_an_exchange_and_a_replay_lets_it_go_on() {
    let bed = Bed::new();
    let id = bed.started();
    bed.act(&id, ExchangeAct::Pause).expect("paused");
    bed.act(&id, ExchangeAct::Pause).expect("paused already");
    let partner = Scripted::well();
    bed.run(&partner);
    assert!(partner.seen().is_empty());
    let row = bed.exchange(&id);
    assert_eq!(
        (row.phase.as_str(), row.reason.as_deref()),
        ("requested", Some("EX-017"))
    );
    bed.act(&id, ExchangeAct::Replay).expect("replayed");
    bed.run(&partner);
    assert_eq!(bed.phase(&id), Phase::Completed);
    assert_eq!(&bed.ledger(&id)[1..4], ["started", "paused", "replayed"]);
}

#[test]
fn a_cancelled_exchange_is_taken_back_and_nothing_moves_it_any_more() {
    let bed = Bed::new();
    let id = bed.started();
    let partner = stuck_at(StepName::Retrieve);
    bed.run(&partner);
    bed.act(&id, ExchangeAct::Cancel).expect("cancelled");
    bed.act(&id, ExchangeAct::Cancel).expect("cancelled already");
    bed.run(&partner);
    assert!(
        bed.ledger(&id)
            .ends_with(&["cancelled".to_owned(), "taken-back".to_owned()])
    );
    for act in [
        ExchangeAct::Pause,
        ExchangeAct::Close,
        ExchangeAct::Supersede,
        ExchangeAct::Retract,
    ] {
        assert_eq!(bed.act(&id, act).expect("answered"), ActResult::NotAllowed, "{act:?}");
    }
    assert_eq!(bed.phase(&id), Phase::Cancelled);
    let refused = bed
        .ledger(&id)
        .iter()
        .filter(|action| *action == "move-refused")
        .count();
    assert_eq!(refused, 4, "what is refused is on record");
}

#[test]
fn a_result_that_comes_after_the_exchange_was_cancelled_is_dropped() {
    let bed = Bed::new();
    let id = bed.started();
    let runner = bed.runner(&Scripted::well());
    let held = bed.block(runner.claim(1, &[])).expect("claimed").held.remove(0);
    bed.act(&id, ExchangeAct::Cancel).expect("cancelled");
    let outcome = bed.block(runner.attempt(&held));
    bed.block(runner.record(&held, outcome)).expect("recorded");
    assert_eq!(bed.phase(&id), Phase::Cancelled);
    assert_eq!(bed.number("SELECT COUNT(*) FROM stored_by_test"), 0);
}

#[test]
fn a_superseded_exchange_names_the_one_that_took_its_place() {
    let bed = Bed::new();
    let id = bed.started();
    let ActResult::Done { exchange_id: next } = bed.act(&id, ExchangeAct::Supersede).expect("superseded") else {
        panic!("not allowed");
    };
    assert_ne!(next, id);
    let again = bed.act(&id, ExchangeAct::Supersede).expect("no harm");
    assert_eq!(
        again,
        ActResult::Done {
            exchange_id: next.clone()
        }
    );
    let (old, new) = (bed.exchange(&id), bed.exchange(&next));
    assert_eq!(
        (old.phase.as_str(), old.superseded_by.as_deref()),
        ("superseded", Some(next.as_str()))
    );
    assert_eq!(new.run_of.as_deref(), Some(id.as_str()));
    bed.run(&Scripted::well());
    assert_eq!(bed.phase(&next), Phase::Completed);
}

#[test]
fn an_exchange_that_has_ended_is_run_again_as_a_new_one() {
    let bed = Bed::new();
    let id = bed.started();
    bed.act(&id, ExchangeAct::Close).expect("closed");
    assert_eq!(bed.phase(&id), Phase::Failed);
    let ActResult::Done { exchange_id: next } = bed.act(&id, ExchangeAct::Replay).expect("run again") else {
        panic!("not allowed");
    };
    let once_more = bed.act(&id, ExchangeAct::Replay).expect("no harm");
    assert_eq!(
        once_more,
        ActResult::Done {
            exchange_id: next.clone()
        },
        "the one that runs"
    );
    assert_eq!(bed.phase(&id), Phase::Failed, "what has ended stays so");
    assert_eq!(bed.exchange(&next).run_of, Some(id));
}

#[test]
fn a_review_is_reopened_by_a_replay() {
    let bed = Bed::new();
    let id = bed.started();
    let unsure = Scripted::that(|_, step, before| match (step, before) {
        (StepName::Check, 0) => Says::End(StepEnd::NeedsPerson {
            fault: Fault::PartnerAnswer,
        }),
        _ => Says::Well,
    });
    bed.run(&unsure);
    let row = bed.exchange(&id);
    assert_eq!(
        (row.phase.as_str(), row.identity_state.as_str()),
        ("manual_review", "disputed")
    );
    bed.act(&id, ExchangeAct::Replay).expect("reopened");
    bed.run(&unsure);
    assert_eq!(bed.phase(&id), Phase::Completed);
    assert!(bed.ledger(&id).contains(&"reopened".to_owned()));
}

#[test]
fn a_paused_review_stays_with_its_person() {
    let bed = Bed::new();
    let id = bed.started();
    let unsure = Scripted::that(|_, step, _| match step {
        StepName::MemberMatch => Says::End(StepEnd::NoMatch { several: true }),
        _ => Says::Well,
    });
    bed.run(&unsure);
    bed.act(&id, ExchangeAct::Pause).expect("paused");
    assert_eq!(bed.phase(&id), Phase::ManualReview);
    bed.act(&id, ExchangeAct::Replay).expect("reopened");
    assert_eq!(bed.phase(&id), Phase::Requested);
}

#[test]
fn a_revoked_opt_in_ends_every_live_exchange_under_it_and_takes_out_what_was_stored() {
    let bed = Bed::new();
    let id = bed.started();
    let partner = stuck_at(StepName::Acknowledge);
    bed.run(&partner);
    assert_eq!(bed.exchange(&id).delivery_state, "stored");
    assert_eq!(bed.revoke(&id), 1);
    assert_eq!(bed.revoke(&id), 0, "once is enough");
    let row = bed.exchange(&id);
    assert_eq!((row.phase.as_str(), row.consent_state.as_str()), ("refused", "revoked"));
    let asked = partner.seen().len();
    bed.run_through(&partner, &id, 48 * HOUR);
    assert_eq!(partner.seen().len(), asked);
    assert!(
        bed.ledger(&id)
            .ends_with(&["consent-revoked".to_owned(), "retracted".to_owned()])
    );
    let refused = bed.start(&wish_under(&bed, &id)).expect_err("refused");
    assert_eq!(refused.fault(), Fault::OptInRevoked);
}

#[test]
fn what_a_complete_exchange_stored_can_be_taken_out_again() {
    let bed = Bed::new();
    let id = bed.started();
    assert_eq!(
        bed.act(&id, ExchangeAct::Retract).expect("answered"),
        ActResult::NotAllowed
    );
    let partner = Scripted::well();
    bed.run(&partner);
    bed.act(&id, ExchangeAct::Retract).expect("asked");
    bed.run(&partner);
    assert!(
        bed.ledger(&id)
            .ends_with(&["retract-asked".to_owned(), "retracted".to_owned()])
    );
    assert_eq!(bed.phase(&id), Phase::Completed, "what has ended stays so");
}

#[test]
fn an_opt_in_that_merely_ends_is_noticed_while_an_exchange_waits_for_a_person() {
    let unsure = Scripted::that(|_, step, _| match step {
        StepName::MemberMatch => Says::End(StepEnd::NoMatch { several: true }),
        _ => Says::Well,
    });
    for in_review in [false, true] {
        let bed = Bed::new();
        let id = match in_review {
            true => {
                let id = bed.started();
                bed.run(&unsure);
                id
            }
            false => parked(&bed),
        };
        let well = Scripted::well();
        bed.block(bed.runner(&well).prepare()).expect("the watch has a row");
        bed.run(&well);
        assert!(bed.exchange(&id).ended_ms.is_none(), "the opt-in is in force");
        bed.ctx.clock.advance_ms(401 * 24 * HOUR);
        bed.run(&well);
        let row = bed.exchange(&id);
        assert_eq!(
            (row.phase.as_str(), row.consent_state.as_str(), row.reason.as_deref()),
            ("refused", "expired", Some(Fault::OptInOver.code())),
            "{in_review}"
        );
        assert!(row.parked_at_ms.is_none() && row.owner == "us");
        assert_eq!(bed.ledger(&id).last().map(String::as_str), Some("consent-expired"));
        let refused = bed.act(&id, ExchangeAct::Replay).expect_err("refused");
        assert_eq!(refused.fault(), Fault::OptInOver);
        assert!(well.seen().is_empty(), "nobody was asked");
    }
}

/// A write of a worker that has touched one of the two rows, and touches the other one while a person acts.
fn busy(bed: &Bed, statements: [&'static str; 2]) -> std::thread::JoinHandle<()> {
    let (ctx, (told, begun)) = (bed.ctx.clone(), std::sync::mpsc::channel());
    let write = move |db: &mut Db| {
        diesel::sql_query(statements[0]).execute(db)?;
        let _ = told.send(());
        std::thread::sleep(std::time::Duration::from_millis(300));
        diesel::sql_query(statements[1]).execute(db)?;
        Ok(())
    };
    let worker = std::thread::spawn(move || ctx.store.write_blocking(write).expect("written"));
    begun.recv().expect("it has begun");
    worker
}

#[test]
fn what_a_person_does_never_fails_because_a_worker_is_writing() {
    const JOB: &str = "UPDATE job SET updated_ms = updated_ms + 1 WHERE kind = 'exchange'";
    const EXCHANGE: &str = "UPDATE exchange SET version = version + 1";
    for statements in [[JOB, EXCHANGE], [EXCHANGE, JOB]] {
        for revokes in [true, false] {
            let bed = Bed::new();
            let id = bed.started();
            let worker = busy(&bed, statements);
            if revokes {
                assert_eq!(bed.revoke(&id), 1, "{statements:?}");
            } else {
                bed.act(&id, ExchangeAct::Cancel).expect("cancelled");
            }
            worker.join().expect("the worker ends");
            assert!(bed.exchange(&id).ended_ms.is_some(), "{statements:?}");
            assert_eq!(bed.number("SELECT COUNT(*) FROM job WHERE kind = 'exchange'"), 0);
        }
    }
}

#[test]
fn the_entry_of_a_retraction_comes_with_the_end_of_its_job() {
    let bed = Bed::new();
    let id = bed.started();
    let well = Scripted::well();
    bed.run(&well);
    bed.act(&id, ExchangeAct::Retract).expect("asked");
    let runner = bed.runner(&well);
    let held = bed.block(runner.claim(1, &[])).expect("claimed").held.remove(0);
    assert_eq!(held.job().kind, "exchange-take-back");
    let outcome = bed.block(runner.attempt(&held));
    let last = || bed.ledger(&id).pop();
    assert_eq!(
        last().as_deref(),
        Some("retract-asked"),
        "nothing is told before the end"
    );
    // Another worker took the job over meanwhile.
    bed.sql("UPDATE job SET lease_epoch = lease_epoch + 1 WHERE kind = 'exchange-take-back'");
    bed.block(runner.record(&held, outcome)).expect("dropped");
    assert_eq!(
        last().as_deref(),
        Some("retract-asked"),
        "the entry went with the result"
    );
    bed.ctx.clock.advance_ms(HOUR);
    bed.run(&well);
    assert_eq!(last().as_deref(), Some("retracted"));
    assert_eq!(bed.ledger(&id).iter().filter(|one| *one == "retracted").count(), 1);
}

fn wish_under(bed: &Bed, id: &str) -> causeway::exchange::intake::ExchangeWish {
    let ask = bed
        .ctx
        .store
        .read_blocking(|db| causeway::store::exchanges::ask_of(db, id))
        .expect("read")
        .expect("asks");
    let mut one = wish();
    one.opt_in = causeway::exchange::intake::WishedOptIn::OnRecord(ask.opt_in_id);
    one
}
