//! What is accepted as the wish for an exchange, and what is refused.

use super::bed::{Bed, HOUR, NOW, wish};
use super::scripted::Scripted;
use causeway::error::Fault;
use causeway::exchange::intake::{ExchangeWish, WishedOptIn};

fn refused(bed: &Bed, wish: &ExchangeWish) -> Fault {
    let fault = bed.start(wish).expect_err("refused").fault();
    assert_eq!(bed.number("SELECT COUNT(*) FROM exchange"), 0);
    assert_eq!(bed.number("SELECT COUNT(*) FROM opt_in"), 0, "nothing half stored");
    assert_eq!(bed.number("SELECT COUNT(*) FROM job WHERE kind = 'exchange'"), 0);
    fault
}

fn with_opt_in(change: impl FnOnce(&mut i64, &mut i64, &mut Option<i64>, &mut String)) -> ExchangeWish {
    let mut one = wish();
    if let WishedOptIn::New {
        attested_ms,
        from_ms,
        to_ms,
        attested_by,
        ..
    } = &mut one.opt_in
    {
        change(attested_ms, from_ms, to_ms, attested_by);
    }
    one
}

#[test]
fn bad_wishes_are_refused_each_with_its_fault() {
    let bed = Bed::new();
    let over = with_opt_in(|_, _, to_ms, _| *to_ms = Some(NOW - 1));
    assert_eq!(refused(&bed, &over), Fault::OptInOver);
    let not_yet = with_opt_in(|_, from_ms, _, _| *from_ms = NOW + HOUR);
    assert_eq!(refused(&bed, &not_yet), Fault::OptInOver);
    let nobody = with_opt_in(|_, _, _, by| by.clear());
    assert_eq!(refused(&bed, &nobody), Fault::OptInMissing);
    let future = with_opt_in(|attested_ms, _, _, _| *attested_ms = NOW + HOUR);
    assert_eq!(refused(&bed, &future), Fault::OptInMissing);
    let mut stranger = wish();
    stranger.member_id = "m2".into();
    assert_eq!(refused(&bed, &stranger), Fault::MemberUnknown);
    let mut nowhere = wish();
    nowhere.partner = "nobody".into();
    assert_eq!(refused(&bed, &nowhere), Fault::PartnerUnknown);
    let mut numberless = wish();
    numberless.coverage.member_number = " ".into();
    assert_eq!(refused(&bed, &numberless), Fault::EnrolmentInvalid);
    let mut dateless = wish();
    dateless.coverage.begins = Some("2026-13-01".into());
    assert_eq!(refused(&bed, &dateless), Fault::EnrolmentInvalid);
    bed.sql("UPDATE partner SET endpoint = NULL");
    assert_eq!(refused(&bed, &wish()), Fault::PartnerHasNoEndpoint);
    bed.sql("UPDATE partner SET status = 'suspended'");
    assert_eq!(refused(&bed, &wish()), Fault::PartnerStopped);
}

#[test]
fn the_same_intent_has_one_exchange_while_it_lives() {
    let bed = Bed::new();
    let first = bed.start(&wish()).expect("started");
    assert!(first.is_new && !first.is_replayed);
    let second = bed.start(&wish()).expect("accepted");
    assert_eq!(
        (second.exchange_id.as_str(), second.is_new),
        (first.exchange_id.as_str(), false)
    );
    let mut other = wish();
    other.coverage.member_number = "OLD-78".into();
    assert_ne!(
        bed.start(&other).expect("another coverage").exchange_id,
        first.exchange_id
    );
    assert_eq!(bed.number("SELECT COUNT(*) FROM opt_in"), 2);
    bed.run(&Scripted::well());
    let later = bed.start(&wish()).expect("again");
    assert!(later.is_new, "it lives no longer");
}

#[test]
fn a_request_key_answers_the_same_request_and_refuses_another_one() {
    let bed = Bed::new();
    let mut one = wish();
    one.request = Some(("key-1".into(), "digest-1".into()));
    let first = bed.start(&one).expect("started");
    bed.run(&Scripted::well());
    let again = bed.start(&one).expect("replayed");
    assert_eq!(
        (again.exchange_id, again.is_replayed),
        (first.exchange_id, true),
        "also after it has ended"
    );
    one.request = Some(("key-1".into(), "digest-2".into()));
    assert_eq!(
        bed.start(&one).expect_err("refused").fault(),
        Fault::IdempotencyKeyReused
    );
}

#[test]
fn the_queue_of_a_partner_is_bounded() {
    let bed = Bed::new();
    bed.sql(
        "INSERT INTO exchange (id, direction, kind, partner_id, correlation_id, workflow, policy_version, phase, identity_state, \
         consent_state, transport_state, delivery_state, audit_state, owner, step, round, attempts, deadline_ms, due_ms, version, \
         created_ms, updated_ms) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) \
         SELECT 'x' || i, 'outbound', 'single', 'old-payer', 'c', 1, 'p', 'requested', 'unresolved', 'unchecked', 'idle', 'none', 'open', \
         'us', 'member_match', 1, 0, 0, 0, 1, 0, 0 FROM n",
    );
    assert_eq!(bed.start(&wish()).expect_err("refused").fault(), Fault::QueueFull);
    bed.sql("UPDATE exchange SET ended_ms = 1 WHERE id = 'x1'");
    bed.start(&wish()).expect("there is room");
}
