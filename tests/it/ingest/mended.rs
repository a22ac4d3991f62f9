//! What an operator mends: damage to what is kept, and a partner that forbids one type. Only what is not there is fetched again.

use super::bed::World;
use causeway::exchange::acts::ExchangeAct;
use causeway::exchange::phase::Phase;
use causeway::ops::View;
use causeway::ops::both_ways;
use causeway::ops::inbound::ExchangeView;
use causeway_sandbox_partner::SandboxRoute;

const MEMBERS: &str = "members = { count = 2, resources = 120 }\neverything_page_size = 20\n";

/// How many resources the sandbox holds of the first member.
fn there(world: &World) -> i64 {
    world.sandbox.record(world.member()).count() as i64
}

fn replay(world: &World, id: &str) {
    world.bed.act(id, ExchangeAct::Replay).expect("replayed");
}

#[test]
fn damage_to_what_is_kept_is_told_and_a_replay_fetches_again_what_it_took() {
    let everything = "[[rule]]\nroute = \"everything\"\nrequests = \"3\"\nacts = [{ answer = { status = 503 } }]";
    // What the record names is asked for last, and found in the bodies.
    let searches = "offers = [\"search\"]\n[[rule]]\nroute = \"search\"\nresource = \"Observation\"\nrequests = \"1\"\n\
                    acts = [{ answer = { status = 503 } }]";
    for (script, damage) in [
        (
            everything,
            "UPDATE ingest_part SET sealed_next = substr(sealed_next, 2)",
        ),
        (everything, "UPDATE ingest SET sealed_about = substr(sealed_about, 2)"),
        (
            searches,
            "UPDATE ingest_piece SET sealed = substr(sealed, 2) WHERE page = 4",
        ),
        (searches, "DELETE FROM ingest_piece WHERE page = 4"),
    ] {
        let world = World::new(&match script.split_once("[[rule]]") {
            Some((head, rule)) => format!("{head}{MEMBERS}[[rule]]{rule}"),
            None => unreachable!("a script with a rule"),
        });
        let id = world.start();
        let waits = world.run_for(&id, 0);
        assert!(waits.wake_ms.is_some(), "{damage}: {waits:?}");
        world.bed.sql(damage);
        let row = world.run(&id);
        assert_eq!(
            (row.reason.as_deref(), row.parked_at_ms.is_some(), row.step.as_str()),
            (Some("EX-070"), true, "retrieve"),
            "{damage}: {row:?}"
        );
        assert_eq!(world.received_count(), 0, "{damage}");
        let matches = world.asked(SandboxRoute::MemberMatch);
        replay(&world, &id);
        let row = world.run(&id);
        assert_eq!(row.phase, "completed", "{damage}: {row:?} {:?}", world.missing(&id));
        assert_eq!(world.asked(SandboxRoute::MemberMatch), matches, "{damage}");
        let counts = world.counts(&id);
        let of_type = |rtype: &str| counts.by_type.get(rtype).copied().unwrap_or(0);
        for rtype in [
            "Condition",
            "Observation",
            "Encounter",
            "ExplanationOfBenefit",
            "Location",
            "Organization",
        ] {
            let held = world.sandbox.record(world.member());
            let held = held.filter(|one| one["resourceType"] == rtype).count() as u64;
            assert_eq!(of_type(rtype), held, "{damage}: {rtype} {counts:?}");
        }
    }
}

#[test]
fn a_record_whose_bodies_are_lost_while_it_is_parked_is_never_complete_without_them() {
    let world = World::new(&format!(
        "{MEMBERS}[[rule]]\nroute = \"everything\"\nrequests = \"1\"\nacts = [{{ drift = {{ shape = \"unknown-field\", every = 5 }} }}]"
    ));
    let id = world.start();
    let row = world.run(&id);
    assert_eq!(
        (row.phase.as_str(), row.step.as_str()),
        ("partially_resolved", "store"),
        "{row:?}"
    );
    let quarantined = world.bed.number("SELECT quarantined FROM exchange_result");
    assert!(quarantined > 0 && row.parked_at_ms.is_some());
    // As after many rounds: the retrieval has none left that begin by themselves.
    world.bed.sql("UPDATE exchange SET round = 7");
    world.bed.sql("DELETE FROM ingest_piece");
    replay(&world, &id);
    let row = world.run(&id);
    assert_eq!(
        (row.reason.as_deref(), row.parked_at_ms.is_some(), row.step.as_str()),
        (Some("EX-070"), true, "retrieve"),
        "{row:?}"
    );
    let asked = world.asked(SandboxRoute::Everything);
    replay(&world, &id);
    let row = world.run(&id);
    assert!(world.asked(SandboxRoute::Everything) > asked, "it is fetched again");
    assert_eq!(row.phase, "completed", "{row:?}");
    let counts = world.counts(&id);
    assert_eq!(counts.by_type.values().sum::<u64>() as i64, there(&world), "{counts:?}");
    assert_eq!(counts.quarantined.len(), 0, "{counts:?}");
}

#[test]
fn a_type_that_is_forbidden_is_named_with_its_reason_and_alone_is_asked_for_after_a_replay() {
    let world = World::new(
        "offers = [\"search\"]\nmembers = { count = 2, resources = 120 }\n[[rule]]\nroute = \"search\"\n\
         resource = \"Observation\"\nacts = [{ answer = { status = 403 } }]",
    );
    let id = world.start();
    let shown = || {
        let view = ExchangeView {
            view: View::WithoutPatients,
            now_ms: world.bed.ctx.clock.now_ms(),
            zone: world.bed.ctx.payer.time_zone,
            keys: world.bed.ctx.member_keys.clone(),
        };
        let store = &world.bed.ctx.store;
        let detail = store.read_blocking(|db| both_ways::one(db, &id, view)).expect("shown");
        serde_json::to_value(&detail).expect("JSON")
    };
    // It is asked for again every twelve hours, six times, and then somebody has to ask the partner.
    let row = world.run_for(&id, 14 * 86_400_000);
    assert_eq!(world.bed.phase(&id), Phase::PartiallyResolved);
    assert_eq!(
        (row.reason.as_deref(), row.parked_at_ms.is_some()),
        (Some("EX-014"), true),
        "{row:?}"
    );
    let missing = &shown()["missing"];
    assert_eq!(missing.as_array().map(Vec::len), Some(1), "{missing}");
    assert_eq!(
        (&missing[0]["resource_type"], &missing[0]["reason"]),
        (&"Observation".into(), &"EX-058".into()),
        "{missing}"
    );
    assert!(world.received_count() > 20, "what came is stored");
    let control = world.sandbox.control();
    control.set_rules(Vec::new()).expect("taken");
    let asked = control.requests_to(SandboxRoute::Search).len();
    replay(&world, &id);
    let row = world.run(&id);
    assert_eq!(row.phase, "completed", "{row:?}");
    assert_eq!(shown()["missing"], serde_json::json!([]));
    let after = control.requests_to(SandboxRoute::Search).split_off(asked);
    let by_member: Vec<_> = after.iter().filter(|one| !one.target.contains("_id=")).collect();
    assert!(
        !by_member.is_empty()
            && by_member
                .iter()
                .all(|one| one.resource.as_deref() == Some("Observation")),
        "{by_member:?}"
    );
}

#[test]
fn a_link_that_led_elsewhere_is_not_met_again_by_whoever_has_looked() {
    // The first page of a type of the record, and that of what the record only names.
    for (resource, completes) in [("Observation", false), ("Organization", true)] {
        let world = World::new(&format!(
            "offers = [\"search\"]\n{MEMBERS}[[rule]]\nroute = \"search\"\nresource = \"{resource}\"\nacts = [\"next-elsewhere\"]"
        ));
        let id = world.start();
        let row = world.run(&id);
        assert_eq!(
            (row.phase.as_str(), row.reason.as_deref()),
            ("manual_review", Some("EX-050")),
            "{resource}"
        );
        // What it names may name something again.
        for _ in 0..3 {
            if world.bed.phase(&id) == Phase::ManualReview {
                replay(&world, &id);
                world.run(&id);
            }
        }
        let is_done = world.bed.phase(&id) == Phase::Completed;
        assert_eq!(is_done, completes, "{resource}: the partner has mended nothing");
        if !is_done {
            world.sandbox.control().set_rules(Vec::new()).expect("taken");
            replay(&world, &id);
            let row = world.run(&id);
            assert_eq!(row.phase, "completed", "{resource}: {row:?} {:?}", world.missing(&id));
            let held = world.sandbox.record(world.member());
            let held = held.filter(|one| one["resourceType"] == resource).count() as u64;
            assert_eq!(world.counts(&id).by_type.get(resource).copied(), Some(held));
        }
        world.assert_no_strays();
    }
}
