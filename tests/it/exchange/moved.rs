//! A partner whose registration changes while an exchange lives: it is asked at the address that is registered, or not at all.

use super::bed::{Bed, HOUR};
use super::scripted::{Says, Scripted};
use causeway::error::Fault;
use causeway::exchange::acts::{ActResult, ExchangeAct};
use causeway::exchange::permit::{CallTerms, PermitTerms, demand_at};
use causeway::exchange::phase::Phase;
use causeway::exchange::steps::{StepEnd, StepName};
use causeway::store::{Db, exchanges};
use diesel::prelude::*;
use std::sync::{Arc, Mutex};

const OLD: &str = "https://old-payer.example/fhir";
const NEW: &str = "https://moved.example/fhir";

fn register(address: &str) -> String {
    format!(
        r#"UPDATE partner SET version = version + 1, endpoint = '{{"fhir":"{address}","trust":null}}' WHERE id = 'old-payer'"#
    )
}

/// The steps that were asked, each with the address at which.
type Asked = Arc<Mutex<Vec<(StepName, String)>>>;

/// A partner that answers what `says`, and whose registration is set so when this step is asked for the first time.
fn moving(bed: &Bed, at: StepName, set: String, says: fn(StepName) -> Says) -> (Scripted, Asked) {
    let (ctx, asked) = (bed.ctx.clone(), Asked::default());
    let heard = Arc::clone(&asked);
    let partner = Scripted::that(move |facts, step, before| {
        if let Some(address) = &facts.asked_at {
            heard.lock().expect("whole").push((step, address.clone()));
        }
        if step == at && before == 0 {
            let set = set.clone();
            let change = move |db: &mut Db| {
                diesel::sql_query(&set).execute(db)?;
                Ok(())
            };
            tokio::task::block_in_place(|| ctx.store.write_blocking(change).expect("changed"));
        }
        says(step)
    });
    (partner, asked)
}

#[test]
fn a_question_about_the_member_follows_the_registration() {
    let bed = Bed::new();
    let id = bed.started();
    let (partner, asked) = moving(&bed, StepName::Token, register(NEW), |_| Says::Well);
    bed.run_through(&partner, &id, HOUR);
    assert_eq!(bed.phase(&id), Phase::Completed);
    let asked = asked.lock().expect("whole").clone();
    let of_members: Vec<&str> = asked
        .iter()
        .filter(|(step, _)| step.moves_data())
        .map(|(_, address)| address.as_str())
        .collect();
    assert_eq!(of_members[0], NEW, "{asked:?}");
    assert!(of_members.iter().all(|address| *address == NEW), "{asked:?}");
    assert_eq!(bed.exchange(&id).asked_at.as_deref(), Some(NEW));
}

#[test]
fn a_record_is_not_asked_for_at_another_address_than_that_of_the_match() {
    let bed = Bed::new();
    let id = bed.started();
    let (partner, asked) = moving(
        &bed,
        StepName::Retrieve,
        "UPDATE partner SET id = id".into(),
        |step| match step {
            StepName::Retrieve => Says::End(StepEnd::NotYet { retry_after_ms: None }),
            _ => Says::Well,
        },
    );
    bed.run(&partner);
    let before = asked.lock().expect("whole").len();
    bed.sql(&register(NEW));
    bed.run_through(&partner, &id, 24 * HOUR);
    let row = bed.exchange(&id);
    assert_eq!(
        (row.reason.as_deref(), row.parked_at_ms.is_some()),
        (Some(Fault::PartnerMoved.code()), true)
    );
    assert_eq!(asked.lock().expect("whole").len(), before, "nobody was asked");
    bed.act(&id, ExchangeAct::Replay).expect("replayed");
    bed.run(&partner);
    assert_eq!(bed.exchange(&id).reason.as_deref(), Some(Fault::PartnerMoved.code()));
    assert_eq!(asked.lock().expect("whole").len(), before);
    let ActResult::Done { exchange_id: next } = bed.act(&id, ExchangeAct::Supersede).expect("superseded") else {
        panic!("not allowed");
    };
    let well = Scripted::well();
    bed.run(&well);
    assert_eq!(bed.phase(&next), Phase::Completed);
    assert_eq!(bed.exchange(&next).asked_at.as_deref(), Some(NEW));
}

#[test]
fn an_address_that_is_put_back_lets_a_replay_go_on() {
    let bed = Bed::new();
    let id = bed.started();
    let (partner, _) = moving(&bed, StepName::MemberMatch, register(NEW), |_| Says::Well);
    bed.run(&partner);
    assert_eq!(partner.count(StepName::Retrieve), 0);
    assert_eq!(bed.exchange(&id).reason.as_deref(), Some(Fault::PartnerMoved.code()));
    bed.sql(&register(OLD));
    bed.act(&id, ExchangeAct::Replay).expect("replayed");
    bed.run(&partner);
    assert_eq!(bed.phase(&id), Phase::Completed);
}

#[test]
fn keys_and_tokens_are_those_of_the_registration_as_it_is() {
    let bed = Bed::new();
    let id = bed.started();
    let same = "UPDATE partner SET version = version + 1".to_owned();
    let (partner, _) = moving(&bed, StepName::MemberMatch, same, |_| Says::Well);
    bed.run(&partner);
    assert_eq!(bed.phase(&id), Phase::Completed);
    assert_eq!(
        partner.count(StepName::FindPartner),
        2,
        "another registration is another session"
    );
}

#[test]
fn each_page_and_each_transaction_of_a_record_asks_for_the_address() {
    let bed = Bed::new();
    let id = bed.started();
    let ask = bed.ctx.store.read_blocking(|db| exchanges::ask_of(db, &id));
    let call = CallTerms {
        terms: PermitTerms {
            opt_in_id: ask.expect("read").expect("it asks").opt_in_id,
            member_id: "m1".into(),
            partner_id: "old-payer".into(),
        },
        asked_at: Some(OLD.into()),
    };
    let now_ms = bed.ctx.clock.now_ms();
    let judged = |call: &CallTerms| bed.ctx.store.read_blocking(|db| demand_at(db, call, now_ms));
    judged(&call).expect("permitted");
    bed.sql(&register(NEW));
    assert_eq!(judged(&call).expect_err("moved").fault(), Fault::PartnerMoved);
    judged(&CallTerms::from(call.terms)).expect("a step that calls nobody goes on");
}
