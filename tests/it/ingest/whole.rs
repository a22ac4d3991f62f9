//! A record comes, in each way and each dialect.

use super::bed::World;
use causeway_sandbox_partner::SandboxRoute;
use std::collections::BTreeMap;

/// What the sandbox holds of the first member, by type.
fn there(world: &World) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for resource in world.sandbox.record(world.member()) {
        let rtype = resource["resourceType"].as_str().expect("a type").to_owned();
        *counts.entry(rtype).or_default() += 1;
    }
    counts
}

#[test]
fn a_record_comes_whole_and_is_stored_as_the_members() {
    let world = World::new("members = { count = 3, resources = 60 }");
    let row = world.exchange();
    assert_eq!(row.phase, "completed", "{row:?}");
    assert_eq!(
        [&row.identity_state, &row.delivery_state, &row.transport_state],
        ["matched", "acknowledged", "idle"]
    );
    let counts = world.counts(&row.id);
    assert_eq!(counts.by_type, there(&world));
    assert_eq!(counts.quarantined.len(), 0, "{counts:?}");
    let all: u64 = counts.by_type.values().sum();
    assert_eq!(
        (counts.stored, counts.unchanged),
        (all - 1, 1),
        "all but the Patient, which is ours already"
    );
    for condition in world.received("Condition") {
        assert_eq!(condition["subject"]["reference"], "Patient/m1");
    }
    let control = world.sandbox.control();
    assert!(control.complaints().is_empty(), "{:?}", control.complaints());
    assert!(control.repeated_effects().is_empty());
    let asked = control.requests_to(SandboxRoute::MemberMatch);
    assert_eq!(asked.len(), 1);
    assert!(
        asked[0]
            .idempotency_key
            .as_deref()
            .is_some_and(|key| key.contains("px-")),
        "{:?}",
        asked[0].idempotency_key
    );
    assert!(
        control
            .requests()
            .iter()
            .all(|one| one.correlation_id.as_deref() == Some("corr-1"))
    );
    world.assert_no_strays();
    // Once more: nothing is new.
    let again = world.exchange();
    assert_eq!((again.phase.as_str(), world.counts(&again.id).stored), ("completed", 0));
}

#[test]
fn a_partner_that_offers_only_searches_is_asked_type_by_type() {
    let world = World::new("offers = [\"search\"]\npage_size = 7\nmembers = { count = 2, resources = 80 }");
    let row = world.exchange();
    assert_eq!(row.phase, "completed", "{row:?} {:?}", world.missing(&row.id));
    let counts = world.counts(&row.id);
    let (there, came) = (there(&world), counts.by_type);
    for rtype in [
        "Patient",
        "Condition",
        "Observation",
        "Encounter",
        "ExplanationOfBenefit",
    ] {
        assert_eq!(came.get(rtype), there.get(rtype), "{rtype}: {came:?} {there:?}");
    }
    assert!(world.asked(SandboxRoute::Search) > 10, "in pages");
    assert_eq!(world.asked(SandboxRoute::Everything), 0);
    world.assert_no_strays();
}

#[test]
fn every_dialect_is_spoken() {
    for (script, method) in [
        ("hrex = \"1.0\"\npdex = \"2.0\"", SandboxRoute::Everything),
        (
            "hrex = \"1.2\"\npdex = \"2.1\"\nus_core = \"3.1.1\"\nsecond_token = true",
            SandboxRoute::Everything,
        ),
        (
            "mtls = \"required\"\neverything_page_size = 9",
            SandboxRoute::Everything,
        ),
        ("mtls = \"off\"\noffers = [\"search\"]", SandboxRoute::Search),
    ] {
        let world = World::new(&format!("{script}\nmembers = {{ count = 2, resources = 30 }}"));
        let row = world.exchange();
        assert_eq!(
            row.phase,
            "completed",
            "{script}: {row:?} {:?}",
            world.sandbox.control().complaints()
        );
        assert!(world.asked(method) > 0 && world.received_count() > 10, "{script}");
        world.assert_no_strays();
    }
}

#[test]
fn a_partner_that_tells_an_identifier_alone_is_asked_for_the_patient() {
    let world = World::new(
        "members = { count = 2, resources = 20 }\n[[rule]]\nroute = \"member-match\"\nacts = [{ match = \"identifier-only\" }]",
    );
    let row = world.exchange();
    assert_eq!(row.phase, "completed", "{row:?}");
    for request in world.sandbox.control().requests() {
        assert!(
            !request.target.contains(&world.member().umb),
            "no member identifier in a URL: {}",
            request.target
        );
        assert!(!request.target.contains(&world.member().number));
    }
}

#[test]
fn what_an_operator_retracts_is_gone() {
    use causeway::records::ingest::{IngestWriter, retract};
    use causeway::security::vault::{KEYS_FILE, Vault};
    let world = World::new("members = { count = 1, resources = 50 }");
    let before = world.bed.number("SELECT COUNT(*) FROM resource");
    let row = world.exchange();
    assert!(world.received_count() > 30);
    let vault = Vault::open(&world.keys.path().join(KEYS_FILE)).expect("keys");
    let writer = IngestWriter::Open(world.bed.ctx.clone());
    let done = retract(&world.bed.ctx, &vault, &writer, &row.id).expect("retracted");
    assert!(done.removed > 30);
    assert_eq!(world.bed.number("SELECT COUNT(*) FROM resource"), before);
    assert_eq!(world.bed.number("SELECT COUNT(*) FROM ingest_piece"), 0);
    assert_eq!(
        world
            .bed
            .number("SELECT COUNT(*) FROM search_value WHERE key NOT IN (SELECT key FROM resource)"),
        0
    );
}
