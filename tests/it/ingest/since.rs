//! Only what changed is asked for, more than is taken comes, permission ends in the middle, and what came is shown.

use super::bed::{World, patient_limits};
use crate::exchange::bed::{NOW, wish};
use causeway::bulk::files::BulkFiles;
use causeway::cli::asker::CommandAsker;
use causeway::cli::exchange_received;
use causeway::config::Config;
use causeway::error::Fault;
use causeway::partner::peer::PeerLimits;
use causeway::records::ingest::{IngestScope, received, withdraw};
use causeway::security::vault::{KEYS_FILE, Vault};
use causeway::store::Db;
use causeway::store::exchanges::ExchangeRow;
use causeway::terminal::Out;
use causeway_sandbox_partner::SandboxRoute;
use diesel::prelude::*;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PAGED: &str = "members = { count = 2, resources = 60 }\neverything_page_size = 10\n";

/// Asks for what changed since now, and runs the exchange.
fn what_changed(world: &World) -> ExchangeRow {
    let mut wish = wish();
    wish.coverage.member_number = world.member().number.clone();
    wish.coverage.number_system = Some("http://sandbox-payer.example/identifiers/member".into());
    wish.since_ms = Some(NOW);
    let id = world.bed.start(&wish).expect("started").exchange_id;
    world.run(&id)
}

#[test]
fn a_patient_who_has_not_changed_is_not_missing() {
    let world = World::new("offers = [\"everything\"]\nmembers = { count = 2, resources = 20 }");
    assert_eq!(world.exchange().phase, "completed");
    let again = what_changed(&world);
    assert_eq!(again.phase, "completed", "{again:?} {:?}", world.missing(&again.id));
    assert_eq!(world.counts(&again.id).stored, 0);
}

#[test]
fn t_e06_without_the_patient_nothing_is_stored() {
    // Nobody has seen the Patient yet, so it is asked for alone.
    let world = World::new("members = { count = 2, resources = 20 }");
    let first = what_changed(&world);
    assert_eq!(first.phase, "completed", "{first:?} {:?}", world.missing(&first.id));
    assert_eq!(world.counts(&first.id).by_type.get("Patient"), Some(&1));
    // A partner that does not give it is believed nothing.
    let silent = World::new(
        "members = { count = 2, resources = 20 }\n[[rule]]\nroute = \"search\"\nacts = [{ answer = { status = 404 } }]",
    );
    let row = what_changed(&silent);
    assert_eq!(
        (row.phase.as_str(), row.reason.as_deref()),
        ("manual_review", Some("EX-072"))
    );
    assert_eq!(silent.received_count(), 0);
}

#[test]
fn t_e05_pages_and_entries_without_end_are_given_up() {
    for limits in [
        PeerLimits {
            exchange_pages: 2,
            ..patient_limits()
        },
        PeerLimits {
            exchange_entries: 25,
            ..patient_limits()
        },
    ] {
        let world = World::with(&format!("offers = [\"everything\"]\n{PAGED}"), limits);
        let id = world.start();
        let row = world.run_for(&id, 0);
        assert_eq!(row.phase, "partially_resolved", "{row:?}");
        assert!(world.asked(SandboxRoute::Everything) <= 3);
        let row = world.run_for(&id, 14 * 86_400_000);
        assert!(row.parked_at_ms.is_some(), "{row:?}");
        assert!(
            world.asked(SandboxRoute::Everything) <= 12,
            "no round begins from nothing"
        );
    }
}

#[test]
fn t_e05_a_type_without_end_leaves_room_for_the_others() {
    for limits in [
        PeerLimits {
            exchange_pages: 60,
            ..patient_limits()
        },
        PeerLimits {
            exchange_entries: 600,
            ..patient_limits()
        },
    ] {
        let world = World::with(
            "offers = [\"search\"]\npage_size = 10\nmembers = { count = 2, resources = 80 }\n\
             [[rule]]\nroute = \"search\"\nresource = \"Condition\"\nacts = [\"endless-pages\"]",
            limits,
        );
        let id = world.start();
        let row = world.run_for(&id, 0);
        assert_eq!(row.phase, "partially_resolved", "{row:?}");
        assert_eq!(world.missing(&id), ["Condition"]);
        let reason = "SELECT COUNT(*) FROM exchange_missing WHERE reason = 'EX-056'";
        assert_eq!(world.bed.number(reason), 1);
        for rtype in ["Observation", "Encounter", "ServiceRequest", "Practitioner"] {
            let there = world.sandbox.record(world.member());
            let there = there.filter(|one| one["resourceType"] == rtype).count();
            assert_eq!(world.received(rtype).len(), there, "{rtype}: {:?}", world.counts(&id));
        }
        let asked = || {
            let all = world.sandbox.control().requests_to(SandboxRoute::Search);
            all.iter()
                .filter(|one| one.resource.as_deref() == Some("Condition"))
                .count()
        };
        assert!((10..=60).contains(&asked()), "{}", asked());
        let row = world.run_for(&id, 14 * 86_400_000);
        assert!(row.parked_at_ms.is_some(), "{row:?}");
        assert_eq!(world.missing(&id), ["Condition"]);
        assert!(asked() <= 120, "no round has more than what is left: {}", asked());
    }
}

#[test]
fn a_partner_that_is_suspended_midway_is_asked_for_no_further_page() {
    // On a machine that stands still the third page may be there before the partner is suspended, which shows nothing: then once more, with a
    // partner that takes longer.
    let in_time = [1_000, 6_000, 45_000].into_iter().any(suspended_midway);
    assert!(in_time, "the third page always came first");
}

/// Suspends a partner while it takes this time to answer with its third page. Returns whether it was suspended by then.
fn suspended_midway(delay_ms: u64) -> bool {
    let world = World::new(&format!(
        "offers = [\"everything\"]\n{PAGED}[[rule]]\nroute = \"everything\"\nrequests = \"3\"\nacts = [{{ delay = {{ ms = {delay_ms} }} }}]"
    ));
    let id = world.start();
    let (control, ctx) = (world.sandbox.control().clone(), world.bed.ctx.clone());
    let suspending = std::thread::spawn(move || {
        for _ in 0..6_000 {
            if control.requests_to(SandboxRoute::Everything).len() >= 3 {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let suspend = |db: &mut Db| {
            diesel::sql_query("UPDATE partner SET status = 'suspended'").execute(db)?;
            Ok(())
        };
        ctx.store.write_blocking(suspend).expect("suspended");
        let asked = control.requests_to(SandboxRoute::Everything);
        asked.len() == 3 && asked[2].status.is_none()
    });
    let row = world.run_for(&id, 0);
    if !suspending.join().expect("no panic") {
        return false;
    }
    assert_eq!(row.reason.as_deref(), Some("EX-016"), "{row:?}");
    assert!(row.parked_at_ms.is_some());
    assert_eq!(world.asked(SandboxRoute::Everything), 3);
    assert_eq!(world.received_count(), 0, "nothing of it is stored");
    true
}

/// What a command prints, shared with the test.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("whole").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_came_is_shown_as_it_came_and_who_looked_is_noted() {
    let world = World::new(&format!(
        "{PAGED}[[rule]]\nroute = \"everything\"\nacts = [{{ wrong-member = {{ every = 5 }} }}]"
    ));
    let row = world.exchange();
    let vault = Vault::open(&world.keys.path().join(KEYS_FILE)).expect("keys");
    let scope = IngestScope::reopen(&world.bed.ctx, &vault, &row.id).expect("it brought something");
    let (all, _) = received(&scope, (0, -1), 1_000).expect("read");
    let apart: u64 = world.counts(&row.id).quarantined.values().sum();
    assert!(apart > 0 && all.len() > 50);
    let asker = CommandAsker {
        uid: 7,
        input: None,
        on_loopback: true,
        console: String::new(),
        data_folder: world.keys.path().to_path_buf(),
        files: BulkFiles::new(&Config::load(None, []).expect("a configuration")),
    };
    for (is_apart, lines) in [(false, all.len() as u64), (true, apart)] {
        let printed = Printed::default();
        let mut out = Out::new(true, false, false, Box::new(printed.clone()), Box::new(std::io::sink()));
        let by = asker.note("a test");
        exchange_received::run(&world.bed.ctx, &row.id, is_apart, (&asker, by), &mut out).expect("shown");
        let text = String::from_utf8(printed.0.lock().expect("whole").clone()).expect("text");
        let shown: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(shown.len() as u64, lines);
        let first = shown[0]["body"].as_str().expect("text");
        assert!(all.iter().any(|one| one.bytes == first.as_bytes()));
        assert!(!is_apart || shown.iter().all(|one| one["reason"] == "EX-066"));
    }
    let viewed = "SELECT COUNT(*) FROM ledger_entry WHERE action = 'operator.viewed'";
    assert_eq!(world.bed.number(viewed), 2);
    // Once it is taken out there is nothing to show, also when the keys are lost.
    let (id, now_ms) = (row.id.clone(), world.bed.ctx.clock.now_ms());
    world.bed.write(move |db| withdraw(db, &id, now_ms));
    std::fs::remove_file(world.keys.path().join(KEYS_FILE)).expect("removed");
    let mut out = Out::new(true, false, false, Box::new(std::io::sink()), Box::new(std::io::sink()));
    let gone = exchange_received::run(&world.bed.ctx, &row.id, false, (&asker, asker.note("a test")), &mut out)
        .expect_err("gone");
    assert_eq!(gone.fault(), Fault::NothingReceived);
}
