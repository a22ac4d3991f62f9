//! Opt-in and partner are asked again wherever data is about to move, and work that nobody waits for writes nothing any more.

use super::acts::Stubborn;
use super::bed::{Bed, HOUR, NOW, settings, wish};
use super::scripted::{Says, Scripted, failing, partly};
use causeway::error::Fault;
use causeway::exchange::acts::{ActResult, ExchangeAct};
use causeway::exchange::permit::{PermitTerms, permit};
use causeway::exchange::phase::{CoverKind, Phase};
use causeway::exchange::steps::{PartnerSessions, StepEnd, StepName, TransportFailure};
use causeway::exchange::{job_steps, watch};
use causeway::jobs::{Chance, Runner};
use causeway::records::ingest::{IngestPermit, IngestWriter};
use causeway::retention::hold::{self, HeldTarget, HoldActor};
use causeway::store::Db;
use causeway::telemetry::Correlation;
use diesel::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A partner during whose answer to `at` something of ours is changed.
fn meanwhile(bed: &Bed, at: StepName, statement: &'static str) -> Scripted {
    let ctx = bed.ctx.clone();
    Scripted::that(move |_, step, before| {
        if step == at && before == 0 {
            let change = move |db: &mut Db| {
                diesel::sql_query(statement).execute(db)?;
                Ok(())
            };
            // A step is no thread of its own.
            tokio::task::block_in_place(|| ctx.store.write_blocking(change).expect("changed"));
        }
        Says::Well
    })
}

#[test]
fn an_opt_in_that_ends_while_a_token_is_fetched_stops_the_question() {
    for (statement, phase, reason) in [
        ("UPDATE opt_in SET revoked_ms = 1", "refused", Fault::OptInRevoked),
        ("UPDATE opt_in SET to_ms = 1", "refused", Fault::OptInOver),
        (
            "UPDATE partner SET status = 'suspended'",
            "requested",
            Fault::PartnerStopped,
        ),
    ] {
        let bed = Bed::new();
        let id = bed.started();
        let partner = meanwhile(&bed, StepName::Token, statement);
        bed.run(&partner);
        assert_eq!(partner.count(StepName::MemberMatch), 0, "{statement}");
        let row = bed.exchange(&id);
        assert_eq!(
            (row.phase.as_str(), row.reason.as_deref()),
            (phase, Some(reason.code()))
        );
        assert_eq!(row.ended_ms.is_none(), row.parked_at_ms.is_some(), "{statement}");
    }
}

#[test]
fn what_came_from_a_partner_that_was_suspended_is_not_stored() {
    let bed = Bed::new();
    let id = bed.started();
    let partner = meanwhile(&bed, StepName::Check, "UPDATE partner SET status = 'suspended'");
    bed.run(&partner);
    assert_eq!(partner.count(StepName::Store), 0);
    let row = bed.exchange(&id);
    assert_eq!(row.reason.as_deref(), Some(Fault::PartnerStopped.code()));
    assert!(row.parked_at_ms.is_some());
}

#[test]
fn a_writer_writes_nothing_once_it_is_given_up_or_not_permitted() {
    let bed = Bed::new();
    let id = bed.started();
    let runner = bed.runner(&Scripted::well());
    let held = bed.block(runner.claim(1, &[])).expect("claimed").held.remove(0);
    let ask = bed
        .ctx
        .store
        .read_blocking(|db| causeway::store::exchanges::ask_of(db, &id));
    let terms = PermitTerms {
        opt_in_id: ask.expect("read").expect("it asks").opt_in_id,
        member_id: "m1".into(),
        partner_id: "old-payer".into(),
    };
    let (writer, give_up) = IngestWriter::leased(&held, Some(permit(terms, bed.ctx.clock.clone())));
    let write = || {
        writer.write_blocking(|db| {
            diesel::sql_query("INSERT INTO stored_by_test (exchange_id) VALUES ('x')").execute(db)?;
            Ok(())
        })
    };
    let written = || bed.number("SELECT COUNT(*) FROM stored_by_test");
    write().expect("permitted");
    bed.sql("UPDATE opt_in SET to_ms = 1");
    assert_eq!(write().expect_err("over").fault(), Fault::OptInOver);
    bed.sql("UPDATE opt_in SET to_ms = NULL, revoked_ms = 1");
    assert_eq!(write().expect_err("revoked").fault(), Fault::OptInRevoked);
    bed.sql("UPDATE opt_in SET revoked_ms = NULL");
    write().expect("permitted again");
    assert_eq!(written(), 2);
    // The lease is still held, but the step that wrote is over.
    drop(give_up);
    assert_eq!(write().expect_err("given up").fault(), Fault::LeaseLost);
    assert_eq!(writer.go_on().expect_err("given up").fault(), Fault::LeaseLost);
    assert_eq!(written(), 2);
}

#[test]
fn a_permit_is_judged_again_after_the_work_of_a_transaction() {
    let bed = Bed::new();
    bed.started();
    let runner = bed.runner(&Scripted::well());
    let held = bed.block(runner.claim(1, &[])).expect("claimed").held.remove(0);
    // As on PostgreSQL, where the work may wait for its turn behind whoever revokes.
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let may: IngestPermit = Arc::new(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
        0 => Ok(()),
        _ => Err(Fault::OptInRevoked.into()),
    });
    let (writer, _give_up) = IngestWriter::leased(&held, Some(may));
    let refused = writer.write_blocking(|db| {
        diesel::sql_query("INSERT INTO stored_by_test (exchange_id) VALUES ('x')").execute(db)?;
        Ok(())
    });
    assert_eq!(refused.expect_err("revoked meanwhile").fault(), Fault::OptInRevoked);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(bed.number("SELECT COUNT(*) FROM stored_by_test"), 0);
}

/// Stores nothing, and leaves a row of a resource as a step of storing does that is broken off.
fn half_stored(bed: &Bed, id: &str) {
    bed.sql(&format!(
        "INSERT INTO ingest_resource (exchange_id, page, entry, start, length, type, id, outcome, source_sha256, gate_version) \
         VALUES ('{id}', 1, 0, 0, 1, 'Goal', 'px.1', 'stored', '', 1)"
    ));
}

fn stuck_at(at: StepName) -> Scripted {
    Scripted::that(move |_, step, _| match step {
        step if step == at => failing(TransportFailure::Unknown, None),
        _ => Says::Well,
    })
}

#[test]
fn what_was_stored_in_part_is_taken_out_however_the_exchange_ends() {
    for act in [ExchangeAct::Cancel, ExchangeAct::Supersede, ExchangeAct::Close] {
        let bed = Bed::new();
        let id = bed.started();
        bed.run(&stuck_at(StepName::Store));
        assert_eq!(bed.exchange(&id).step, "store");
        half_stored(&bed, &id);
        bed.act(&id, act).expect("done");
        bed.run(&Scripted::well());
        assert_eq!(bed.ledger(&id).last().map(String::as_str), Some("retracted"), "{act:?}");
    }
}

#[test]
fn a_whole_record_is_taken_out_by_cancel_and_supersede_and_stays_when_it_is_closed() {
    for (act, last) in [
        (ExchangeAct::Cancel, "retracted"),
        (ExchangeAct::Supersede, "retracted"),
        (ExchangeAct::Close, "taken-back"),
    ] {
        let bed = Bed::new();
        let id = bed.started();
        bed.run(&stuck_at(StepName::Acknowledge));
        bed.act(&id, act).expect("done");
        bed.run(&Scripted::well());
        assert_eq!(bed.ledger(&id).last().map(String::as_str), Some(last), "{act:?}");
    }
}

#[test]
fn a_retraction_that_is_asked_for_before_the_exchange_is_taken_back_is_not_lost() {
    let bed = Bed::new();
    let id = bed.started();
    bed.run(&stuck_at(StepName::Acknowledge));
    bed.act(&id, ExchangeAct::Close).expect("closed");
    assert_eq!(
        bed.number("SELECT COUNT(*) FROM job WHERE kind = 'exchange-take-back'"),
        1
    );
    let asked = bed.act(&id, ExchangeAct::Retract).expect("asked");
    assert!(matches!(asked, ActResult::Done { .. }));
    bed.run(&Scripted::well());
    assert_eq!(bed.ledger(&id).last().map(String::as_str), Some("retracted"));
}

#[test]
fn what_is_under_a_legal_hold_is_not_taken_out_until_it_is_released() {
    let bed = Bed::new();
    let id = bed.started();
    bed.run(&Scripted::well());
    let by =
        || HoldActor::new("uid-1".into(), "host", "a subpoena", Correlation::internal("r".into())).expect("a reason");
    let place = hold::place(&bed.ctx, HeldTarget::Exchange(id.clone()), None, by());
    let hold_id = bed.ctx.store.write_blocking(place).expect("placed");
    let before = bed.ledger(&id);
    let refused = bed.act(&id, ExchangeAct::Retract).expect_err("held");
    assert_eq!(
        (refused.fault(), refused.expressions()),
        (Fault::HoldInForce, [hold_id.clone()].as_slice())
    );
    assert_eq!(bed.ledger(&id), before);
    let release = hold::release(&bed.ctx, hold_id, by());
    bed.ctx.store.write_blocking(release).expect("released");
    assert!(matches!(bed.act(&id, ExchangeAct::Retract), Ok(ActResult::Done { .. })));
    bed.run(&Scripted::well());
    assert_eq!(bed.ledger(&id).last().map(String::as_str), Some("retracted"));
}

fn stubborn(bed: &Bed) -> Runner {
    let sessions: Arc<dyn PartnerSessions> = Arc::new(Stubborn(Scripted::well()));
    let mut steps = job_steps(&sessions, &Chance::seeded(1), |_, _, _, _| Ok(()));
    steps.push(watch::step());
    Runner::new(&bed.ctx, settings(), steps, Chance::seeded(1)).expect("fits")
}

#[test]
fn what_could_not_be_taken_out_or_dropped_is_not_told_as_done() {
    for (at, act) in [
        (StepName::Retrieve, ExchangeAct::Cancel),
        (StepName::Acknowledge, ExchangeAct::Cancel),
    ] {
        let bed = Bed::new();
        let id = bed.started();
        bed.run(&stuck_at(at));
        bed.act(&id, act).expect("done");
        bed.block(stubborn(&bed).run_due()).expect("run");
        assert_eq!(bed.ledger(&id).last().map(String::as_str), Some("cancelled"), "{at:?}");
        let waiting = "SELECT COUNT(*) FROM job WHERE kind = 'exchange-take-back' AND attempts = 1";
        assert_eq!(bed.number(waiting), 1, "{at:?}: it is tried again");
        bed.ctx.clock.advance_ms(HOUR);
        bed.run(&Scripted::well());
        assert_ne!(bed.ledger(&id).last().map(String::as_str), Some("cancelled"), "{at:?}");
    }
}

#[test]
fn a_step_that_is_run_again_doubles_no_count() {
    let bed = Bed::new();
    let partner = Scripted::that(|_, step, before| match (step, before) {
        (StepName::Retrieve, 0) => partly(),
        _ => Says::Well,
    });
    let id = bed.started();
    bed.run_through(&partner, &id, 48 * HOUR);
    assert_eq!((bed.phase(&id), partner.count(StepName::Store)), (Phase::Completed, 2));
    for (column, count) in [("received", 5), ("bytes", 4_000), ("stored", 5)] {
        assert_eq!(
            bed.number(&format!("SELECT {column} FROM exchange_result")),
            count,
            "{column}"
        );
    }
}

#[test]
fn trouble_of_our_own_is_on_record_and_leaves_the_partner_alone() {
    let bed = Bed::new();
    let partner = Scripted::that(|_, step, before| match (step, before) {
        (StepName::Retrieve, 0..=5) => Says::End(StepEnd::OwnTrouble { fault: Fault::NoRoom }),
        _ => Says::Well,
    });
    let id = bed.started();
    bed.run(&partner);
    let row = bed.exchange(&id);
    assert_eq!((row.transport_state.as_str(), row.attempts), ("backing_off", 1));
    assert_eq!(row.reason.as_deref(), Some(Fault::NoRoom.code()));
    assert_eq!(bed.ledger(&id).last().map(String::as_str), Some("attempt-failed"));
    assert_eq!(bed.number("SELECT COUNT(*) FROM partner_health WHERE failures > 0"), 0);
    bed.run_through(&partner, &id, 23 * HOUR);
    assert_eq!(bed.phase(&id), Phase::Completed);
}

#[test]
fn a_quarterly_series_outlives_a_suspension_and_forgets_what_was_taken_out() {
    let bed = Bed::new();
    let mut concurrent = wish();
    concurrent.cover = CoverKind::Concurrent;
    let first = bed.start(&concurrent).expect("started").exchange_id;
    let partner = Scripted::well();
    bed.run(&partner);
    bed.sql(&format!(
        "INSERT INTO ingest (exchange_id, partner_id, patient_id, key_id, sealed_about, method, state, created_ms, updated_ms) \
         VALUES ('{first}', 'old-payer', 'm1', 'k', '', 'everything', 'stored', {NOW}, {NOW})"
    ));
    bed.act(&first, ExchangeAct::Retract).expect("asked");
    bed.sql("UPDATE partner SET status = 'suspended'");
    bed.ctx.clock.advance_ms(91 * 24 * HOUR);
    bed.run(&partner);
    assert_eq!(bed.number("SELECT COUNT(*) FROM exchange"), 1);
    bed.sql("UPDATE partner SET status = 'active'");
    bed.ctx.clock.advance_ms(25 * HOUR);
    bed.run(&partner);
    assert_eq!(bed.number("SELECT COUNT(*) FROM exchange"), 2);
    let whole = "SELECT COUNT(*) FROM exchange_ask WHERE asked_for = 'quarter' AND since_ms IS NULL";
    assert_eq!(bed.number(whole), 1, "all of it is asked for again");
}
