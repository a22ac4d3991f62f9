//! Controls over exchanges: each course of one is rebuilt from the ledger alone, and what was changed in its rows or entries is named. And
//! shares of files that were changed are found.

use super::bed::{Bed, HOUR};
use super::scripted::{Says, Scripted};
use causeway::audit::{Action, Actor, LedgerEvent, MembersNote, Object, ledger, member_leaf, members_root};
use causeway::controls::register::control;
use causeway::controls::report::{ControlFinding, ControlResult};
use causeway::controls::{self, ControlsAsked, HowMany};
use causeway::error::Fault;
use causeway::exchange::acts::ExchangeAct;
use causeway::exchange::phase::Phase;
use causeway::exchange::steps::{StepEnd, StepName, TransportFailure};
use causeway::store::disclosed::{self, DisclosedFileRow, DisclosedShareRow};
use causeway::telemetry::Correlation;

/// What one control finds over all of the store.
fn finding(bed: &Bed, id: &str) -> ControlFinding {
    let asked = ControlsAsked {
        seed: 7,
        many: HowMany::All,
        only: vec![control(id).expect("a control")],
        outside: Vec::new(),
    };
    let mut report = controls::run(&bed.ctx, &asked, &mut |_| {}).expect("run");
    report.controls.pop().expect("a finding")
}

/// Exchanges of every course: complete, after failures, parked and replayed, refused, in review and reopened, cancelled, waiting.
fn courses(bed: &Bed) -> Vec<(String, Phase)> {
    let mut all = Vec::new();
    let mut course = |script: fn(StepName, usize) -> Says, after: &dyn Fn(&Bed, &str, &Scripted)| {
        let partner = Scripted::that(move |_, step, before| script(step, before));
        let id = bed.started();
        bed.run_through(&partner, &id, 48 * HOUR);
        after(bed, &id, &partner);
        let phase = bed.phase(&id);
        if !phase.is_terminal() {
            // Free for the next one: a live exchange has the intent for itself.
            bed.sql(&format!("UPDATE exchange SET live_key = NULL WHERE id = '{id}'"));
        }
        all.push((id, phase));
    };
    let nothing = |_: &Bed, _: &str, _: &Scripted| {};
    course(|_, _| Says::Well, &nothing);
    course(
        |step, before| match step == StepName::Retrieve && before < 3 {
            true => Says::End(StepEnd::Transport {
                failure: TransportFailure::NotSent,
                retry_after_ms: None,
                resume: None,
            }),
            false => Says::Well,
        },
        &nothing,
    );
    course(
        |step, before| match step == StepName::Retrieve && before < 8 {
            true => Says::End(StepEnd::Transport {
                failure: TransportFailure::ServerFault,
                retry_after_ms: None,
                resume: None,
            }),
            false => Says::Well,
        },
        &|bed, id, partner| {
            assert!(bed.exchange(id).parked_at_ms.is_some());
            let mut replays = 0;
            while bed.exchange(id).parked_at_ms.is_some() && replays < 5 {
                bed.act(id, ExchangeAct::Replay).expect("replayed");
                bed.run_through(partner, id, 48 * HOUR);
                replays += 1;
            }
        },
    );
    course(|_, _| Says::End(StepEnd::refused(Fault::PartnerRefuses)), &nothing);
    course(
        |step, before| match step == StepName::MemberMatch && before == 0 {
            true => Says::End(StepEnd::NeedsPerson {
                fault: Fault::PartnerRefuses,
            }),
            false => Says::Well,
        },
        &|bed, id, partner| {
            bed.act(id, ExchangeAct::Replay).expect("reopened");
            bed.run_through(partner, id, 48 * HOUR);
        },
    );
    course(
        |_, _| {
            Says::End(StepEnd::NeedsPerson {
                fault: Fault::PartnerRefuses,
            })
        },
        &|bed, id, _| {
            bed.act(id, ExchangeAct::Cancel).expect("cancelled");
        },
    );
    course(
        |_, _| {
            Says::End(StepEnd::NeedsPerson {
                fault: Fault::PartnerRefuses,
            })
        },
        &nothing,
    );
    all
}

#[test]
fn every_course_of_an_exchange_is_rebuilt_from_the_ledger_alone() {
    let bed = Bed::new();
    let courses = courses(&bed);
    let phases: std::collections::BTreeSet<Phase> = courses.iter().map(|(_, phase)| *phase).collect();
    assert!(phases.len() >= 4, "{courses:?}");
    let found = finding(&bed, "rebuild");
    assert_eq!(found.result, ControlResult::Holds, "{:#?}", found.found);
    assert!(found.rebuilt.len() >= courses.len());
    for (id, phase) in &courses {
        let timeline = found.rebuilt.iter().find(|one| one.id == *id).expect("a timeline");
        let last = timeline.states.last().expect("a state");
        assert!(last.state.starts_with(phase.code()), "{id}: {last:?}");
    }
    let found = finding(&bed, "idempotency");
    assert_eq!(found.result, ControlResult::Holds, "{:#?}", found.found);
    let found = finding(&bed, "completeness");
    // The bed puts its partner into the store without an entry.
    let others: Vec<_> = found.found.iter().filter(|one| one.what != "partner").collect();
    assert!(others.is_empty(), "{others:#?}");
}

#[test]
fn what_was_changed_of_an_exchange_is_named() {
    let bed = Bed::new();
    let id = bed.started();
    bed.run_through(&Scripted::well(), &id, 48 * HOUR);
    assert_eq!(bed.phase(&id), Phase::Completed);
    for (change, back, control, why) in [
        (
            "UPDATE exchange SET phase = 'failed'",
            "UPDATE exchange SET phase = 'completed'",
            "rebuild",
            "phase",
        ),
        (
            "UPDATE exchange SET identity_state = 'no_match'",
            "UPDATE exchange SET identity_state = 'matched'",
            "rebuild",
            "identity state",
        ),
        (
            "UPDATE exchange SET consent_state = 'refused'",
            "UPDATE exchange SET consent_state = 'permitted'",
            "rebuild",
            "consent state",
        ),
        (
            "UPDATE exchange SET partner_id = 'x'",
            "UPDATE exchange SET partner_id = 'old-payer'",
            "rebuild",
            "its partner",
        ),
        (
            "UPDATE exchange SET member_id = 'x'",
            "UPDATE exchange SET member_id = 'm1'",
            "rebuild",
            "its member",
        ),
        (
            "UPDATE exchange_result SET bytes = bytes + 1",
            "UPDATE exchange_result SET bytes = bytes - 1",
            "rebuild",
            "bytes",
        ),
        (
            "UPDATE exchange SET ended_ms = NULL",
            "UPDATE exchange SET ended_ms = 7",
            "rebuild",
            "whether it has ended",
        ),
        (
            "UPDATE exchange SET parked_at_ms = 7",
            "UPDATE exchange SET parked_at_ms = NULL",
            "rebuild",
            "whether it is parked",
        ),
        (
            "UPDATE exchange_ask SET opt_in_id = 'x' || opt_in_id",
            "UPDATE exchange_ask SET opt_in_id = substr(opt_in_id, 2)",
            "rebuild",
            "its opt-in",
        ),
        (
            "UPDATE exchange_ask SET opt_in_id = 'x' || opt_in_id",
            "UPDATE exchange_ask SET opt_in_id = substr(opt_in_id, 2)",
            "completeness",
            "its opt-in is gone",
        ),
        (
            "UPDATE opt_in SET revoked_ms = 7",
            "UPDATE opt_in SET revoked_ms = NULL",
            "completeness",
            "it is revoked, and the ledger has no entry of that",
        ),
        (
            "UPDATE ledger_entry SET exchange_id = 'x' WHERE action = 'exchange.stored'",
            "UPDATE ledger_entry SET exchange_id = (SELECT id FROM exchange) WHERE exchange_id = 'x'",
            "rebuild",
            "lacks an entry before",
        ),
        (
            "UPDATE ledger_entry SET exchange_id = 'x' WHERE action = 'exchange.stored'",
            "UPDATE ledger_entry SET exchange_id = (SELECT id FROM exchange) WHERE exchange_id = 'x'",
            "completeness",
            "its column for the exchange",
        ),
        (
            "UPDATE ledger_entry SET exchange_id = NULL WHERE action = 'exchange.started'",
            "UPDATE ledger_entry SET exchange_id = (SELECT id FROM exchange) WHERE action = 'exchange.started'",
            "completeness",
            "no entry that it was started",
        ),
    ] {
        bed.sql(change);
        let found = finding(&bed, control);
        assert_eq!(found.result, ControlResult::Failed, "{change}");
        assert!(
            found.found.iter().any(|one| one.why.contains(why)),
            "{change}: {why} is not in {:#?}",
            found.found
        );
        bed.sql(back);
    }
    assert_eq!(finding(&bed, "rebuild").result, ControlResult::Holds);
}

#[test]
fn a_repeated_request_leads_to_its_exchange_and_leaves_nothing_behind() {
    let bed = Bed::new();
    let mut wish = super::bed::wish();
    wish.request = Some(("key-1".into(), "digest-1".into()));
    let id = bed.start(&wish).expect("started").exchange_id;
    let rows = || {
        ["exchange", "opt_in", "ledger_entry", "job"].map(|table| bed.number(&format!("SELECT COUNT(*) FROM {table}")))
    };
    let before = rows();
    let found = finding(&bed, "idempotency");
    assert_eq!(
        (found.result, found.checked),
        (ControlResult::Holds, 1),
        "{:#?}",
        found.found
    );
    assert_eq!(rows(), before);
    bed.sql("UPDATE exchange_ask SET request_key = NULL");
    assert_eq!(
        finding(&bed, "idempotency").result,
        ControlResult::Holds,
        "its intent has one exchange"
    );
    bed.sql("UPDATE exchange SET live_key = 'another'");
    let found = finding(&bed, "idempotency");
    assert_eq!(found.result, ControlResult::Failed);
    assert_eq!(
        (found.found[0].id.as_str(), found.found[0].why.as_str()),
        (id.as_str(), "a repetition of its request leads to another exchange")
    );
    assert_eq!(rows(), before, "what a repetition would write is not written");
}

#[test]
fn a_share_that_was_changed_and_a_file_with_another_root_are_found() {
    let bed = Bed::new();
    assert_eq!(finding(&bed, "disclosed-shares").result, ControlResult::NotRun);
    let shares: Vec<DisclosedShareRow> = (0..6)
        .map(|place: i64| DisclosedShareRow {
            subject: format!("m{place}"),
            file: "f-1".into(),
            place,
            consent_id: format!("c{place}"),
            sensitive: 0,
            begins: place * 10,
            bytes: 10,
            resources: 1,
            salt: vec![u8::try_from(place).expect("small"); 32],
        })
        .collect();
    let leaf = |share: &DisclosedShareRow| {
        let salt: [u8; 32] = share.salt.as_slice().try_into().expect("a salt");
        member_leaf(share.place, &salt, &share.line())
    };
    let leaves: Vec<[u8; 32]> = shares.iter().map(leaf).collect();
    let root = members_root(&leaves);
    let file = DisclosedFileRow {
        name: "f-1".into(),
        members: 6,
        root: root.to_vec(),
        leaves: leaves.concat(),
    };
    let mut begun = LedgerEvent::new(
        Action::DisclosureBegun,
        Actor::default(),
        Correlation::internal("r".into()),
    );
    begun.partner = Some("old-payer".into());
    begun.object = Some(Object {
        kind: "file",
        id: "f-1".into(),
    });
    begun.members = Some(MembersNote { count: 6, root });
    let (at_us, entry_id) = (bed.ctx.clock.now_us(), bed.ctx.ids.new_id(bed.ctx.clock.now_ms()));
    bed.write(move |db| {
        disclosed::put(db, &file, &shares)?;
        ledger::append(db, &begun, &entry_id, at_us)
    });
    let found = finding(&bed, "disclosed-shares");
    assert_eq!(found.result, ControlResult::Holds, "{:#?}", found.found);
    assert_eq!(
        (
            found.facts["shares looked at"].as_str(),
            found.facts["entries about these files"].as_str()
        ),
        ("6", "1")
    );
    for (change, back, what, why) in [
        (
            "UPDATE disclosed_share SET bytes = 11 WHERE place = 3",
            "UPDATE disclosed_share SET bytes = 10",
            "share",
            "not what the file committed to",
        ),
        (
            "UPDATE disclosed_share SET consent_id = 'other' WHERE place = 2",
            "UPDATE disclosed_share SET consent_id = 'c2' WHERE place = 2",
            "share",
            "not what the file committed to",
        ),
        (
            "UPDATE disclosed_file SET members = 5",
            "UPDATE disclosed_file SET members = 6",
            "disclosed file",
            "not one leaf for each member",
        ),
    ] {
        bed.sql(change);
        let found = finding(&bed, "disclosed-shares");
        assert_eq!(found.result, ControlResult::Failed, "{change}");
        assert!(
            found.found.iter().any(|one| one.what == what && one.why.contains(why)),
            "{change}: {:#?}",
            found.found
        );
        bed.sql(back);
    }
    // A share that was erased leaves its leaf: the others are still those that were committed to.
    bed.sql("DELETE FROM disclosed_share WHERE place = 4");
    let found = finding(&bed, "disclosed-shares");
    assert_eq!(found.result, ControlResult::Holds, "{:#?}", found.found);
    assert_eq!(found.facts["shares that are not there any more"], "1");
}
