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
        // No search by member brings these: they are asked for by id, because the record names them.
        "Organization",
        "Practitioner",
        "Location",
    ] {
        assert_eq!(came.get(rtype), there.get(rtype), "{rtype}: {came:?} {there:?}");
    }
    assert!(world.asked(SandboxRoute::Search) > 10, "in pages");
    let by_id: Vec<String> = world
        .sandbox
        .control()
        .requests_to(SandboxRoute::Search)
        .into_iter()
        .map(|request| request.target)
        .filter(|target| target.contains("_id=") && !target.contains("/Patient?"))
        .collect();
    assert!((1..=12).contains(&by_id.len()), "in groups: {by_id:?}");
    assert!(
        by_id
            .iter()
            .all(|target| ["/Organization?", "/Practitioner?", "/Location?"]
                .iter()
                .any(|rtype| target.contains(rtype))),
        "{by_id:?}"
    );
    assert_eq!(world.asked(SandboxRoute::Everything), 0);
    world.assert_no_strays();
}

#[test]
fn a_partner_that_refuses_several_ids_in_one_search_is_asked_for_each_resource() {
    // What servers say to a search with more ids than one that they do not take.
    for status in [400, 404, 501] {
        let refusals: String = ["Organization", "Practitioner", "Location"]
            .map(|rtype| {
                format!(
                    "[[rule]]\nroute = \"search\"\nresource = \"{rtype}\"\nacts = [{{ answer = {{ status = {status} }} }}]\n"
                )
            })
            .concat();
        let world = World::new(&format!(
            "offers = [\"search\"]\nmembers = {{ count = 2, resources = 80 }}\n{refusals}"
        ));
        let row = world.exchange();
        assert_eq!(row.phase, "completed", "{status}: {row:?}");
        let (there, came) = (there(&world), world.counts(&row.id).by_type);
        let mut named = 0;
        for rtype in ["Organization", "Practitioner", "Location"] {
            assert_eq!(
                came.get(rtype),
                there.get(rtype),
                "{status} {rtype}: {came:?} {there:?}"
            );
            named += there[rtype];
        }
        let control = world.sandbox.control();
        let refused = control.requests_to(SandboxRoute::Search).into_iter();
        let refused =
            refused.filter(|request| request.target.contains("_id=") && !request.target.contains("/Patient?"));
        assert_eq!(
            refused.count(),
            1,
            "{status}: the partner is asked for several only until it has refused"
        );
        assert_eq!(world.asked(SandboxRoute::Read) as u64, named, "{status}: each once");
        let stored = world.received("Location");
        assert!(!stored.is_empty() && stored.iter().all(|one| one["resourceType"] == "Location"));
        assert!(
            control.repeated_effects().is_empty(),
            "{:?}",
            control.repeated_effects()
        );
        world.assert_no_strays();
    }
}

#[test]
fn reads_that_give_nothing_end_soon_and_leave_the_record_whole() {
    let world = World::new(
        "offers = [\"search\"]\nmembers = { count = 2, resources = 400 }\n\
         [[rule]]\nroute = \"search\"\nresource = \"Location\"\nacts = [{ answer = { status = 400 } }]\n\
         [[rule]]\nroute = \"search\"\nresource = \"Organization\"\nacts = [{ answer = { status = 400 } }]\n\
         [[rule]]\nroute = \"search\"\nresource = \"Practitioner\"\nacts = [{ answer = { status = 400 } }]\n\
         [[rule]]\nroute = \"read\"\nacts = [{ answer = { status = 404 } }]",
    );
    let row = world.exchange();
    assert_eq!(
        (row.phase.as_str(), world.missing(&row.id)),
        ("completed", Vec::new()),
        "{row:?}"
    );
    let asked = world.asked(SandboxRoute::Read);
    assert!((1..=40).contains(&asked), "{asked}");
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
    use causeway::records::ingest::{IngestWriter, WorkTurn, retract};
    use causeway::security::vault::{KEYS_FILE, Vault};
    use std::time::Duration;
    let world = World::new("members = { count = 1, resources = 50 }");
    let before = world.bed.number("SELECT COUNT(*) FROM resource");
    let row = world.exchange();
    assert!(world.received_count() > 30);
    let vault = Vault::open(&world.keys.path().join(KEYS_FILE)).expect("keys");
    let writer = IngestWriter::Open(world.bed.ctx.clone());
    let turn = WorkTurn::of(1, Duration::from_secs(600));
    let done = retract(&world.bed.ctx, &vault, &writer, &row.id, &turn).expect("retracted");
    assert!(done.expect("no turn is so long").removed > 30);
    assert_eq!(world.bed.number("SELECT COUNT(*) FROM resource"), before);
    assert_eq!(world.bed.number("SELECT COUNT(*) FROM ingest_piece"), 0);
    assert_eq!(
        world
            .bed
            .number("SELECT COUNT(*) FROM search_value WHERE key NOT IN (SELECT key FROM resource)"),
        0
    );
}

#[test]
fn who_may_have_received_it_since_is_listed_when_it_is_taken_out() {
    use causeway::audit::{Action, Actor, LedgerEvent, Object, ledger};
    use causeway::exchange::acts::ExchangeAct;
    use causeway::ops::View;
    use causeway::ops::both_ways;
    use causeway::ops::inbound::ExchangeView;
    use causeway::telemetry::Correlation;
    let world = World::new("members = { count = 1, resources = 50 }");
    let ctx = world.bed.ctx.clone();
    let disclosed = |patient: &str, counts: Option<&[(&str, u64)]>| -> String {
        ctx.clock.advance_ms(1_000);
        let (begun_id, end_id) = (ctx.ids.new_id(ctx.clock.now_ms()), ctx.ids.new_id(ctx.clock.now_ms()));
        let actor = Actor {
            kind: "partner",
            id: Some("third-payer".into()),
            ..Actor::default()
        };
        let mut begun = LedgerEvent::new(Action::DisclosureBegun, actor, Correlation::internal("r".into()));
        begun.object = Some(Object {
            kind: "Patient",
            id: patient.into(),
        });
        let mut end = begun.clone();
        end.action = Action::DisclosureCompleted;
        end.begun = Some(begun_id.clone());
        let is_ended = counts.is_some();
        end.counts = counts
            .unwrap_or_default()
            .iter()
            .map(|(rtype, count)| ((*rtype).to_owned(), *count))
            .collect();
        let (at_us, first, last) = (ctx.clock.now_us(), begun_id.clone(), end_id);
        world.bed.write(move |db| {
            ledger::append(db, &begun, &first, at_us)?;
            if is_ended {
                ledger::append(db, &end, &last, at_us)?;
            }
            Ok(())
        });
        begun_id
    };
    disclosed("m1", Some(&[("Condition", 1)]));
    ctx.clock.advance_ms(1_000);
    let row = world.exchange();
    assert_eq!(row.phase, "completed");
    let show = || {
        let shown = ExchangeView {
            view: View::WithoutPatients,
            now_ms: ctx.clock.now_ms(),
            zone: ctx.payer.time_zone,
            keys: ctx.member_keys.clone(),
        };
        let id = row.id.clone();
        ctx.store
            .read_blocking(|db| both_ways::one(db, &id, shown))
            .expect("shown")
    };
    let carried = disclosed("m1", Some(&[("Condition", 2), ("Coverage", 1)]));
    let unknown = disclosed("m1", None);
    disclosed("m1", Some(&[("InsurancePlan", 1)]));
    disclosed("m2", Some(&[("Condition", 1)]));
    assert_eq!(show().received_since, None, "nobody asked to take it out");
    assert_eq!(show().retraction, None);
    world.bed.act(&row.id, ExchangeAct::Retract).expect("asked");
    assert_eq!(show().retraction, Some("pending"));
    let found = show().received_since.expect("asked");
    let ids: Vec<&str> = found.iter().map(|one| one.disclosure_id.as_str()).collect();
    assert_eq!(ids, [carried.as_str(), unknown.as_str()]);
    assert_eq!(found[0].partner.as_deref(), Some("third-payer"));
    assert_eq!(
        (found[0].resources.get("Condition"), found[1].outcome),
        (Some(&2), "begun")
    );
    world.run(&row.id);
    assert_eq!(
        world.bed.number("SELECT COUNT(*) FROM resource WHERE id LIKE 'px.%'"),
        0
    );
    assert_eq!(show().retraction, Some("done"));
    ctx.clock.advance_ms(60_000);
    disclosed("m1", Some(&[("Condition", 2)]));
    assert_eq!(show().received_since.map(|found| found.len()), Some(2), "it is gone");
}
