//! An exchange whose rows are damaged is told, and holds up nobody else.

use super::bed::{Bed, HOUR, wish};
use super::scripted::Scripted;
use causeway::error::Fault;
use causeway::exchange::acts::ExchangeAct;
use causeway::exchange::intake::{ExchangeWish, WishedOptIn};
use causeway::exchange::phase::Phase;
use causeway::store::exchanges;

/// Two exchanges under one opt-in, of which the first is damaged by this statement.
fn two(bed: &Bed, damage: &str) -> (String, String) {
    let damaged = bed.started();
    let ask = bed.ctx.store.read_blocking(|db| exchanges::ask_of(db, &damaged));
    let mut other = ExchangeWish {
        opt_in: WishedOptIn::OnRecord(ask.expect("read").expect("it asks").opt_in_id),
        ..wish()
    };
    other.coverage.member_number = "OLD-78".into();
    let whole = bed.start(&other).expect("started").exchange_id;
    bed.sql(&damage.replace("ID", &format!("'{damaged}'")));
    (damaged, whole)
}

const NO_PHASE: &str = "UPDATE exchange SET phase = 'nowhere' WHERE id = ID";
const NO_ASK: &str = "DELETE FROM exchange_ask WHERE exchange_id = ID";

/// Runs what is due, and the watch with it.
fn watched(bed: &Bed) {
    let partner = Scripted::well();
    bed.block(bed.runner(&partner).prepare()).expect("the watch has a row");
    bed.ctx.clock.advance_ms(120_000);
    bed.run(&partner);
}

#[test]
fn an_exchange_whose_job_fell_is_parked_though_another_one_is_damaged() {
    for damage in [NO_PHASE, NO_ASK] {
        let bed = Bed::new();
        let (damaged, whole) = two(&bed, damage);
        bed.sql("UPDATE job SET state = 'parked', parked_at_ms = 1 WHERE kind = 'exchange'");
        watched(&bed);
        let row = bed.exchange(&whole);
        assert_eq!(
            (row.reason.as_deref(), row.parked_at_ms.is_some()),
            (Some(Fault::ExchangeFell.code()), true),
            "{damage}"
        );
        let left = bed.number(&format!(
            "SELECT COUNT(*) FROM job WHERE kind = 'exchange' AND live_key = '{damaged}'"
        ));
        assert_eq!(left, 1, "what is damaged stays where an operator sees it");
    }
}

#[test]
fn an_exchange_without_a_job_gets_one_though_another_one_is_damaged() {
    let bed = Bed::new();
    let (_, whole) = two(&bed, NO_ASK);
    bed.sql("DELETE FROM job WHERE kind = 'exchange'");
    watched(&bed);
    bed.run(&Scripted::well());
    assert_eq!(bed.phase(&whole), Phase::Completed);
}

#[test]
fn an_opt_in_that_is_over_ends_an_exchange_though_another_one_is_damaged() {
    let bed = Bed::new();
    let (damaged, whole) = two(&bed, "UPDATE exchange SET id = id");
    for id in [&damaged, &whole] {
        bed.act(id, ExchangeAct::Pause).expect("paused");
    }
    bed.sql(&NO_PHASE.replace("ID", &format!("'{damaged}'")));
    bed.ctx.clock.advance_ms(401 * 24 * HOUR);
    watched(&bed);
    assert_eq!(bed.phase(&whole), Phase::Refused);
}

#[test]
fn an_opt_in_is_revoked_though_an_exchange_under_it_is_damaged() {
    let bed = Bed::new();
    let (_, whole) = two(&bed, NO_PHASE);
    assert_eq!(bed.revoke(&whole), 1);
    assert_eq!(bed.phase(&whole), Phase::Refused);
    assert_eq!(bed.number("SELECT COUNT(*) FROM opt_in WHERE revoked_ms IS NULL"), 0);
}
