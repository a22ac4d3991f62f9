//! A partner in trouble: what is tried again, what goes on where it stopped, and what is told.

use super::bed::{World, short_limits};
use causeway::error::Fault;
use causeway::exchange::steps::permit_to_judge_again;
use causeway::jobs::Runner;
use causeway::records::ingest::{IngestScope, IngestWriter, judge_again, withdraw};
use causeway::security::vault::{KEYS_FILE, Vault};
use causeway_sandbox_partner::SandboxRoute;
use std::collections::BTreeSet;

const MEMBERS: &str = "members = { count = 2, resources = 120 }\neverything_page_size = 20\n";

fn rule(route: &str, requests: &str, acts: &str) -> String {
    format!("{MEMBERS}[[rule]]\nroute = \"{route}\"\nrequests = \"{requests}\"\nacts = [{acts}]")
}

#[test]
fn a_partner_that_stumbles_is_asked_again_and_gives_all() {
    for (route, requests, acts) in [
        (
            "member-match",
            "1-2",
            "{ answer = { status = 429, retry_after = \"1\" } }",
        ),
        ("member-match", "1", "{ answer = { status = 503 } }"),
        ("member-match", "1", "{ answer = { status = 500 } }"),
        ("member-match", "1", "\"lost-reply\""),
        ("member-match", "1", "\"reset-before\""),
        ("token", "1", "\"reset-after\""),
        ("metadata", "1", "{ garbage = \"html\" }"),
        ("smart", "1", "{ answer = { status = 502 } }"),
        ("smart", "1", "{ answer = { status = 404 } }"),
        ("metadata", "1", "{ answer = { status = 404 } }"),
        ("connection", "1", "\"refuse\""),
        ("everything", "1", "{ truncate = { after_bytes = 5000 } }"),
        (
            "everything",
            "2",
            "{ truncate = { after_bytes = 5000, framing = \"intact\" } }",
        ),
        ("everything", "3", "{ reset-during = { after_bytes = 3000 } }"),
        ("everything", "2", "\"bad-chunk\""),
        ("everything", "2", "{ garbage = \"not-json\" }"),
        ("everything", "2", "{ answer = { status = 401 } }"),
    ] {
        let world = World::new(&rule(route, requests, acts));
        let row = world.exchange();
        assert_eq!(row.phase, "completed", "{route} {acts}: {row:?}");
        let all = world.sandbox.record(world.member()).count() as i64;
        assert_eq!(world.received_count(), all - 1, "{route} {acts}");
        world.assert_no_strays();
    }
}

#[test]
fn a_retrieval_goes_on_at_the_page_where_it_stopped() {
    let world = World::new(&rule("everything", "4", "{ truncate = { after_bytes = 2000 } }"));
    let row = world.exchange();
    assert_eq!(row.phase, "completed", "{row:?}");
    let pages: Vec<u64> = world
        .sandbox
        .control()
        .requests_to(SandboxRoute::Everything)
        .iter()
        .map(|request| request.page.unwrap_or(1))
        .collect();
    let once = |page: u64| pages.iter().filter(|one| **one == page).count();
    assert_eq!((once(1), once(2), once(3), once(4)), (1, 1, 1, 2), "{pages:?}");
}

#[test]
fn a_record_that_takes_longer_than_many_tokens_comes_whole() {
    // The second one also needs new sessions, because a new token is refused at once.
    for requests in ["3, 5, 7", "2, 3, 5, 6"] {
        let world = World::new(&rule("everything", requests, "{ answer = { status = 401 } }"));
        let row = world.exchange();
        assert_eq!(row.phase, "completed", "{requests}: {row:?}");
        let all = world.sandbox.record(world.member()).count() as i64;
        assert_eq!(world.received_count(), all - 1, "{requests}");
        let landed = world.bed.number("SELECT COUNT(*) FROM ingest_page");
        let refused = requests.split(',').count() as i64;
        let asked = world.asked(SandboxRoute::Everything) as i64;
        assert_eq!(asked, landed + refused, "{requests}: no page is fetched twice");
    }
}

#[test]
fn tokens_that_bring_nothing_are_replaced_twice_and_then_it_is_told() {
    let world = World::new(&rule("everything", "2+", "{ answer = { status = 401 } }"));
    let row = world.exchange();
    assert_eq!(
        (row.reason.as_deref(), row.parked_at_ms.is_some()),
        (Some("EX-053"), true),
        "{row:?}"
    );
    assert_eq!(world.asked(SandboxRoute::Everything), 4, "one page, and three tokens");
}

#[test]
fn a_partner_that_drips_or_falls_silent_does_not_hold_an_exchange() {
    for acts in [
        "{ stall = { after_bytes = 3000 } }",
        "{ drip = { bytes = 10, every_ms = 60 } }",
    ] {
        let world = World::with(&rule("everything", "2", acts), short_limits());
        let row = world.exchange();
        assert_eq!(row.phase, "completed", "{acts}: {row:?}");
        // The page that did not come was given up, and asked for again.
        let asked = world.sandbox.control().requests_to(SandboxRoute::Everything);
        let pages: BTreeSet<&str> = asked.iter().map(|one| one.target.as_str()).collect();
        assert!(asked.len() > pages.len(), "{acts}: {asked:?}");
    }
}

#[test]
fn what_is_left_out_is_named_and_comes_later() {
    let world = World::new(
        "offers = [\"search\"]\nmembers = { count = 2, resources = 120 }\n[[rule]]\nroute = \"search\"\nresource = \"Observation\"\n\
         requests = \"1\"\nacts = [{ answer = { status = 404 } }]",
    );
    let id = world.start();
    let row = world.run_for(&id, 0);
    assert_eq!(
        (row.phase.as_str(), world.missing(&id)),
        ("partially_resolved", vec!["Observation".to_owned()]),
        "{row:?}"
    );
    assert_eq!(world.received("Observation").len(), 0);
    let stored = world.received_count();
    assert!(stored > 20, "what came is stored: {stored}");
    let searches = world.asked(SandboxRoute::Search);
    let row = world.run_for(&id, 14 * 86_400_000);
    assert_eq!(row.phase, "completed", "{row:?} {:?}", world.counts(&id));
    assert!(!world.received("Observation").is_empty());
    let others = world.sandbox.control().requests_to(SandboxRoute::Search);
    let again: Vec<_> = others[searches..]
        .iter()
        // What the rest names besides may be asked for by id.
        .filter(|one| !one.target.contains("_id="))
        .filter_map(|one| one.resource.clone())
        .collect();
    assert!(
        again.iter().all(|rtype| rtype == "Observation"),
        "only what was missing is asked for: {again:?}"
    );
}

#[test]
fn a_part_whose_page_is_gone_begins_anew() {
    for status in [404, 410] {
        let acts = format!("{{ answer = {{ status = {status} }} }}");
        let world = World::new(&rule("everything", "3", &acts));
        let row = world.exchange();
        assert_eq!(row.phase, "completed", "{status}: {row:?}");
        assert_eq!(world.asked(SandboxRoute::Search), 0, "{status}: searches bring less");
        let all = world.sandbox.record(world.member()).count() as i64;
        assert_eq!(world.received_count(), all - 1, "{status}");
        let result = |column: &str| world.bed.number(&format!("SELECT {column} FROM exchange_result"));
        assert_eq!(
            (result("received"), result("stored"), result("unchanged")),
            (all, all - 1, 1),
            "{status}: what came twice counts once"
        );
        let counts = world.counts(&row.id);
        assert_eq!(counts.by_type.values().sum::<u64>() as i64, all, "{status}: {counts:?}");
    }
}

#[test]
fn pages_that_lead_back_and_totals_that_are_not_reached_are_told() {
    for acts in ["{ page-loop = { to_page = 2 } }", "{ wrong-total = { by = 5 } }"] {
        let world = World::new(&format!(
            "offers = [\"everything\"]\n{}",
            rule("everything", "1+", acts)
        ));
        let id = world.start();
        let row = world.run_for(&id, 0);
        assert_eq!(row.phase, "partially_resolved", "{acts}: {row:?}");
        assert_eq!(world.missing(&id), ["*"], "{acts}");
        assert!(world.received_count() > 10, "{acts}: what came is stored");
        assert!(world.asked(SandboxRoute::Everything) < 30, "{acts}");
    }
}

#[test]
fn data_of_others_and_of_no_known_form_is_kept_apart() {
    for (acts, reason) in [
        ("{ wrong-member = { every = 5 } }", "EX-066"),
        ("{ drift = { shape = \"unknown-field\", every = 5 } }", "IM-010"),
        ("{ drift = { shape = \"r5-shape\", every = 5 } }", ""),
        ("{ drift = { shape = \"unknown-type\", every = 5 } }", ""),
        ("{ drift = { shape = \"new-code\", every = 5 } }", "IM-012"),
    ] {
        let world = World::new(&rule("everything", "1+", acts));
        let row = world.exchange();
        let counts = world.counts(&row.id);
        assert!(!counts.quarantined.is_empty(), "{acts}: {counts:?}");
        assert!(
            reason.is_empty() || counts.quarantined.contains_key(reason),
            "{acts}: {counts:?}"
        );
        assert!(counts.stored > 20, "{acts}: {counts:?}");
        assert_ne!(row.phase, "completed", "{acts}: {row:?}");
        let strangers = world.bed.number("SELECT COUNT(*) FROM compartment");
        assert_eq!(strangers, 1, "{acts}: nobody became a member");
    }
}

#[test]
fn references_that_leave_what_came_lead_nowhere() {
    for absolute in [false, true] {
        let world = World::new(&rule(
            "everything",
            "1+",
            &format!("{{ dangling-references = {{ every = 4, absolute = {absolute} }} }}"),
        ));
        let row = world.exchange();
        assert!(
            matches!(row.phase.as_str(), "completed" | "partially_resolved"),
            "{absolute}: {row:?}"
        );
        assert!(world.received_count() > 50, "{absolute}");
        assert_eq!(world.bed.number("SELECT COUNT(*) FROM compartment"), 1, "{absolute}");
        let mut led = 0;
        for one in ["Condition", "Observation"]
            .iter()
            .flat_map(|rtype| world.received(rtype))
        {
            assert_eq!(one["subject"]["reference"], "Patient/m1", "{absolute}");
            if let Some(encounter) = one["encounter"]["reference"].as_str() {
                led += 1;
                assert!(
                    encounter.starts_with("Encounter/px.") || encounter.starts_with("https://"),
                    "{absolute}: never a name of ours: {encounter}"
                );
            }
        }
        assert!(led > 0, "{absolute}");
        // It is never followed, neither to another origin nor by a read.
        world.assert_no_strays();
        assert_eq!(world.asked(SandboxRoute::Read), 0, "{absolute}");
    }
}

#[test]
fn duplicates_and_stale_versions_change_nothing() {
    let world = World::new(&format!(
        "{MEMBERS}[[rule]]\nroute = \"everything\"\nrequests = \"1+\"\nacts = [{{ duplicates = {{ every = 3, changed = false }} }}]"
    ));
    let row = world.exchange();
    assert_eq!(row.phase, "completed", "{row:?}");
    let all = world.sandbox.record(world.member()).count() as i64;
    assert_eq!(world.received_count(), all - 1);
    let before = world.bed.number("SELECT CAST(SUM(version) AS BIGINT) FROM resource");
    world
        .sandbox
        .control()
        .set_rules(vec![
            causeway_sandbox_partner::SandboxRule::from_toml(
                "route = \"everything\"\nacts = [{ stale = { every = 2, days = 30 } }]",
            )
            .expect("a rule"),
        ])
        .expect("taken");
    let again = world.exchange();
    assert_eq!(
        world.counts(&again.id).stored,
        0,
        "an older version is not taken over what we hold"
    );
    assert_eq!(
        world.bed.number("SELECT CAST(SUM(version) AS BIGINT) FROM resource"),
        before
    );
}

#[test]
fn what_everything_does_not_give_is_had_type_by_type() {
    for acts in [
        "{ page-loop = { to_page = 2 } }",
        "{ answer = { status = 404 } }",
        "{ answer = { status = 422 } }",
    ] {
        let world = World::new(&rule("everything", "1+", acts));
        let row = world.exchange();
        assert_eq!(row.phase, "completed", "{acts}: {row:?}");
        assert!(
            world.asked(SandboxRoute::Search) > 10 && world.received_count() > 50,
            "{acts}"
        );
    }
}

#[test]
fn what_came_before_a_part_began_anew_counts_as_received() {
    // The searches that take the place of everything leave out what its first page has.
    let types = ["Condition", "Encounter", "Observation", "Procedure"];
    let world = World::new(&format!(
        "{}\n[[rule]]\nroute = \"search\"\nacts = [{{ leave-out = {{ types = {types:?} }} }}]",
        rule("everything", "2+", "{ answer = { status = 422 } }")
    ));
    let row = world.exchange();
    let counts = world.counts(&row.id);
    let before: u64 = types.iter().filter_map(|rtype| counts.by_type.get(*rtype)).sum();
    assert!(before >= 2, "{counts:?}");
    let result = |column: &str| world.bed.number(&format!("SELECT {column} FROM exchange_result"));
    assert_eq!(result("stored"), counts.stored as i64);
    assert_eq!(
        result("received"),
        result("stored") + result("unchanged") + result("quarantined"),
        "{counts:?}"
    );
    assert_eq!(result("received"), counts.by_type.values().sum::<u64>() as i64);
}

#[test]
fn after_an_upgrade_what_was_kept_apart_is_judged_again() {
    let world = World::new(&rule(
        "everything",
        "1+",
        "{ drift = { shape = \"unknown-field\", every = 5 } }",
    ));
    let row = world.exchange();
    let apart = world.counts(&row.id).quarantined;
    assert!(!apart.is_empty());
    // As if an earlier version had judged it.
    world.bed.sql("UPDATE ingest_resource SET gate_version = 0");
    let runner = recurring(&world);
    world.bed.block(runner.run_due()).expect("run");
    assert_eq!(
        world.counts(&row.id).quarantined,
        apart,
        "this version does not take it either"
    );
    let old = "SELECT COUNT(*) FROM ingest_resource WHERE outcome = 'quarantined' AND gate_version = 0";
    assert_eq!(world.bed.number(old), 0, "and says so");
}

/// A worker that also does what recurs.
fn recurring(world: &World) -> Runner {
    let runner = world.runner();
    world
        .bed
        .block(runner.prepare())
        .expect("the recurring work has its row");
    runner
}

/// A complete exchange of which some resources look as if an earlier version of the gate had refused them.
fn refused_before(world: &World) -> String {
    let row = world.exchange();
    assert_eq!(row.phase, "completed", "{row:?}");
    world.bed.sql("UPDATE ingest_resource SET outcome = 'quarantined', reason = 'RQ-001', gate_version = 0 WHERE type = 'Observation'");
    world.bed.sql("UPDATE exchange_result SET quarantined = 5");
    row.id
}

#[test]
fn what_is_judged_again_is_told_once() {
    let world = World::new(MEMBERS);
    let id = refused_before(&world);
    let runner = recurring(&world);
    world.bed.block(runner.run_due()).expect("run");
    assert!(world.counts(&id).quarantined.is_empty());
    assert_eq!(world.bed.number("SELECT quarantined FROM exchange_result"), 0);
    assert_eq!(world.bed.ledger(&id).last().map(String::as_str), Some("judged-again"));
    world.bed.ctx.clock.advance_ms(2 * 86_400_000);
    world.bed.block(runner.run_due()).expect("run");
    let told = world.bed.ledger(&id);
    assert_eq!(told.iter().filter(|one| *one == "judged-again").count(), 1, "{told:?}");
}

#[test]
fn judging_again_brings_nothing_back_that_is_being_taken_out() {
    let world = World::new(MEMBERS);
    let id = refused_before(&world);
    let (ctx, vault) = (
        &world.bed.ctx,
        Vault::open(&world.keys.path().join(KEYS_FILE)).expect("keys"),
    );
    let scope = IngestScope::reopen(ctx, &vault, &id).expect("opened");
    let runner = recurring(&world);
    let held = world.bed.block(runner.claim(9, &[])).expect("claimed").held.remove(0);
    let (writer, _own) = IngestWriter::leased(&held, Some(permit_to_judge_again(ctx, &id)));
    let (all, _all) = IngestWriter::leased(&held, None);
    // The work has begun; now somebody takes the exchange out, and the Observations are gone already.
    let (own, now_ms) = (id.clone(), ctx.clock.now_ms());
    world.bed.write(move |db| withdraw(db, &own, now_ms));
    world
        .bed
        .sql("DELETE FROM resource WHERE type = 'Observation' AND id LIKE 'px.%'");
    let refused = judge_again(&scope, &writer, &all).expect_err("withdrawn");
    assert_eq!(refused.fault(), Fault::NothingReceived);
    assert!(world.received("Observation").is_empty(), "nothing is brought back");
}
