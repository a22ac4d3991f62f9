//! A store of an earlier version is checked by today's rules, in pieces, and dependencies
//! are resolved in whatever order the resources came.

use super::*;
use crate::records::store_for_tests::{TestStore, denied, document, provenance, request};
use crate::store::release_rule::PA_NONE;
use crate::store::schema::{authorization_dependency, gate_state as state_table, resource};
use diesel::prelude::*;

/// Sets the columns as a version wrote them that had none of the rules.
fn forget_everything(store: &TestStore) {
    store
        .ctx
        .store
        .write_blocking(|db| {
            diesel::update(resource::table)
                .set((
                    resource::sensitivity.eq(0i64),
                    resource::pa_state.eq(PA_NONE),
                    resource::financial.eq(0i64),
                    resource::released.eq(None::<Vec<u8>>),
                ))
                .execute(db)?;
            diesel::delete(authorization_dependency::table).execute(db)?;
            diesel::delete(state_table::table).execute(db)?;
            Ok(())
        })
        .expect("written");
}

#[test]
fn a_store_of_before_lets_nothing_leave_that_must_not() {
    let store = TestStore::new();
    store.put(&[
        denied("no"),
        request("yes", "A1"),
        document("doc-no", "no"),
        document("doc-yes", "yes"),
    ]);
    store.put(&[provenance(
        "prov",
        &["ExplanationOfBenefit/no", "ExplanationOfBenefit/yes"],
    )]);
    let before = store.withheld();
    let form = store.leaves("Provenance", "prov");
    forget_everything(&store);
    assert!(store.withheld().is_empty(), "all would leave");
    bring_up_to(&store.ctx, GATE_VERSION, 2, &mut |_| ()).expect("judged in pieces");
    assert_eq!(store.withheld(), before);
    assert_eq!(store.leaves("Provenance", "prov"), form);
    let mut told = 0;
    bring_up(&store.ctx, &mut |done| told = done).expect("nothing to do");
    assert_eq!(told, 0, "once is enough");
    bring_up_to(&store.ctx, GATE_VERSION + 1, STEP, &mut |done| told = done).expect("judged");
    assert_eq!(told, 7, "another version judges all anew");
    assert_eq!(store.withheld(), before);
}

#[test]
fn what_leaves_by_the_rules_of_now_bears_the_time_of_the_judging() {
    let store = TestStore::new();
    store.put(&[request("yes", "A1"), denied("no"), document("doc", "yes")]);
    let times = || {
        let read = store.ctx.store.read_blocking(|db| {
            Ok(resource::table
                .filter(resource::compartment.gt(0i64))
                .select((resource::id, (resource::version, resource::last_updated_ms)))
                .load::<(String, (i64, i64))>(db)?)
        });
        read.expect("read")
            .into_iter()
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let before = times();
    store
        .ctx
        .store
        .write_blocking(|db| {
            diesel::update(resource::table.filter(resource::id.eq_any(["yes", "no"])))
                .set(resource::sensitivity.eq(NOT_FHIR))
                .execute(db)?;
            Ok(())
        })
        .expect("written");
    store.ctx.clock.advance_ms(60_000);
    bring_up_to(&store.ctx, GATE_VERSION + 1, STEP, &mut |_| ()).expect("judged");
    let after = times();
    assert!(after["yes"].1 >= before["yes"].1 + 59_000 && after["yes"].0 == before["yes"].0 + 1);
    assert_eq!(after["doc"], before["doc"], "it left all the time");
    assert_eq!(after["p"], before["p"]);
    let text = store.leaves("ExplanationOfBenefit", "yes");
    assert!(text.contains(&crate::clock::rfc3339_ms(after["yes"].1)), "{text}");
}

#[test]
fn a_run_that_was_broken_off_goes_on_where_it_stopped() {
    let store = TestStore::new();
    store.put(&[request("yes", "A1"), denied("no")]);
    let before = store.withheld();
    forget_everything(&store);
    let keys = store
        .ctx
        .store
        .read_blocking(|db| gate_state::stored(db, -1, 10))
        .expect("read");
    // The denied one is the last of its member, and the only one left to check.
    let denied = keys.iter().position(|row| row.id == "no").expect("stored");
    let after_key = keys[denied].key - 1;
    let left = keys.iter().filter(|row| row.key > after_key).count() as u64;
    let state = GateState {
        version: GATE_VERSION,
        after_key,
        done: 0,
    };
    store
        .ctx
        .store
        .write_blocking(move |db| gate_state::set(db, state))
        .expect("written");
    let mut told = 0;
    bring_up(&store.ctx, &mut |done| told = done).expect("judged");
    assert_eq!(told, left);
    assert_eq!(store.withheld(), before);
}

#[test]
fn what_the_gate_refuses_today_stays_stored_and_is_withheld() {
    let store = TestStore::new();
    store.put(&[document("fine", "absent")]);
    store
        .ctx
        .store
        .write_blocking(|db| {
            let row = resource::table.filter(resource::id.eq("fine"));
            let broken = br#"{"resourceType":"DocumentReference","id":"fine","status":7}"#.to_vec();
            diesel::update(row).set(resource::body.eq(broken)).execute(db)?;
            Ok(())
        })
        .expect("written");
    forget_everything(&store);
    bring_up(&store.ctx, &mut |_| ()).expect("judged");
    assert_eq!(store.reasons("DocumentReference", "fine"), ["not-fhir"]);
}
