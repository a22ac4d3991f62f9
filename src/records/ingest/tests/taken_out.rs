//! A wrong ingest is taken out again, exactly.

use super::*;
use crate::records::store_for_tests::{denied, document};

fn with(text: &str, version: &str, updated: &str) -> Json {
    let mut one = condition("c1", "Patient/their-p");
    one["code"]["text"] = text.into();
    versioned(one, version, updated)
}

/// A record with all kinds of things that depend on each other.
fn record() -> Vec<Json> {
    let of_them = |mut one: Json| {
        for place in ["subject", "patient"] {
            if one.get(place).is_some() {
                one[place]["reference"] = "Patient/their-p".into();
            }
        }
        one
    };
    let mut linked = of_them(document("d2", "a1"));
    linked["content"][0]["attachment"] = json!({"contentType": "text/plain", "url": "Binary/b1"});
    vec![
        person(),
        json!({"resourceType": "Organization", "id": "org", "name": "Clinic"}),
        condition("c1", "Patient/their-p"),
        of_them(denied("a1")),
        of_them(document("d1", "a1")),
        linked,
        json!({"resourceType": "Binary", "id": "b1", "contentType": "text/plain", "data": "eA=="}),
        json!({"resourceType": "Coverage", "id": "k1", "status": "active", "payor": [{"display": "them"}],
            "beneficiary": {"reference": "Patient/their-p"}, "subscriberId": "S-1"}),
        json!({"resourceType": "Provenance", "id": "t1", "recorded": "2026-01-01T00:00:00Z",
            "target": [{"reference": "Condition/c1"}, {"reference": "ExplanationOfBenefit/a1"}], "agent": [{"who": {"display": "Other"}}]}),
    ]
}

#[test]
fn what_one_exchange_brought_is_taken_out_to_the_byte() {
    let bed = Bed::new();
    bed.store.put(&[
        condition("own", "Patient/p"),
        denied("own-a"),
        document("own-d", "own-a"),
    ]);
    let before = bed.dump();
    let counts = bed.bring(&bed.scope("e1"), &record());
    assert_eq!(counts.quarantined.len(), 0, "{counts:?}");
    assert_ne!(bed.dump(), before);
    let done = retract(bed.ctx(), &bed.vault(), &bed.writer(), "e1").unwrap();
    assert_eq!(
        (done.removed, done.restored, done.kept),
        (counts.stored + counts.made, 0, 0),
        "{counts:?}"
    );
    assert_eq!(bed.dump(), before);
    let again = retract(bed.ctx(), &bed.vault(), &bed.writer(), "e1").unwrap();
    assert_eq!(again, Retracted::default(), "a second time there is nothing to do");
    assert_eq!(
        store(&bed.scope("e1"), &bed.writer()).expect_err("gone").fault(),
        Fault::NothingReceived,
        "what was taken out does not come back by itself"
    );
    assert_eq!(
        retract(bed.ctx(), &bed.vault(), &bed.writer(), "e9")
            .expect_err("none")
            .fault(),
        Fault::NothingReceived
    );
}

#[test]
fn what_another_exchange_brought_as_well_stays_with_its_own_record_of_custody() {
    let bed = Bed::new();
    let both = [
        person(),
        condition("c1", "Patient/their-p"),
        json!({"resourceType": "Organization", "id": "org", "name": "Clinic"}),
    ];
    bed.bring(&bed.scope("e1"), &both);
    bed.bring(
        &bed.scope_of("e2", "other", "their-q", "q"),
        &[json!({"resourceType": "Organization", "id": "org", "name": "Clinic"})],
    );
    let done = retract(bed.ctx(), &bed.vault(), &bed.writer(), "e1").unwrap();
    assert_eq!(
        (done.removed, done.kept),
        (2, 1),
        "the Condition and our record of it; the clinic stays"
    );
    assert_eq!(
        (bed.bodies("Condition").len(), bed.bodies("Organization").len()),
        (0, 1)
    );
    let custody = bed.bodies("Provenance");
    assert_eq!(custody.len(), 1);
    assert_eq!(
        custody[0].1["target"],
        json!([{"reference": format!("Organization/{}", bed.bodies("Organization")[0].0)}])
    );
    let done = retract(bed.ctx(), &bed.vault(), &bed.writer(), "e2").unwrap();
    assert_eq!(
        (
            done.removed,
            bed.bodies("Organization").len(),
            bed.bodies("Provenance").len()
        ),
        (2, 0, 0)
    );
}

#[test]
fn what_it_replaced_comes_back_from_its_original() {
    let bed = Bed::new();
    bed.bring(
        &bed.scope("e1"),
        &[person(), with("first", "1", "2025-01-01T00:00:00Z")],
    );
    let strip = |mut body: Json| {
        body["meta"] = Json::Null;
        body
    };
    let before = strip(bed.bodies("Condition").remove(0).1);
    bed.bring(
        &bed.scope("e2"),
        &[person(), with("wrong", "2", "2025-02-01T00:00:00Z")],
    );
    bed.bring(&bed.scope("e3"), &[person(), with("late", "1", "2024-01-01T00:00:00Z")]);
    assert_eq!(bed.outcomes("e3")[1].0, "older");
    let done = retract(bed.ctx(), &bed.vault(), &bed.writer(), "e2").unwrap();
    assert_eq!(
        (done.restored, done.removed),
        (1, 1),
        "our record of the wrong one goes with it"
    );
    let (_, now) = bed.bodies("Condition").remove(0);
    assert_eq!(now["meta"]["versionId"], "3", "readers of changes see it");
    assert_eq!(strip(now), before);
    // Without the first exchange, the older version is the one that is there.
    let done = retract(bed.ctx(), &bed.vault(), &bed.writer(), "e1").unwrap();
    assert_eq!(done.restored, 1);
    assert_eq!(bed.bodies("Condition")[0].1["code"]["text"], "late");
    retract(bed.ctx(), &bed.vault(), &bed.writer(), "e3").unwrap();
    assert_eq!((bed.bodies("Condition").len(), bed.bodies("Provenance").len()), (0, 0));
}

#[test]
fn two_that_are_taken_out_at_the_same_time_leave_nothing_behind() {
    let bed = Bed::new();
    let before = bed.dump();
    bed.bring(&bed.scope("e1"), &record());
    bed.bring(&bed.scope("e2"), &record());
    // Both were decided before either was carried out.
    let now_ms = bed.ctx().clock.now_ms();
    let decide = move |db: &mut crate::store::Db| {
        withdraw(db, "e1", now_ms)?;
        withdraw(db, "e2", now_ms)
    };
    bed.ctx().store.write_blocking(decide).unwrap();
    assert_eq!(
        store(&bed.scope("e2"), &bed.writer()).expect_err("withdrawn").fault(),
        Fault::NothingReceived
    );
    for exchange in ["e1", "e2"] {
        retract(bed.ctx(), &bed.vault(), &bed.writer(), exchange).unwrap();
    }
    assert_eq!(bed.dump(), before);
}

#[test]
fn originals_of_what_stays_stay_and_only_what_was_not_stored_is_dropped() {
    let bed = Bed::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let scope = bed.scope("e1");
    bed.bring(&scope, &[person(), condition("c1", "Patient/their-p")]);
    // A second round has begun, and nothing of it is stored.
    let later = bundle(&[condition("c2", "Patient/their-p")]);
    runtime.block_on(async {
        mark_part(&scope, &bed.writer(), "$everything", PartState::Open, None, true)
            .await
            .unwrap();
        bed.spool(&scope, later.as_bytes()).await.unwrap();
        forget_unstored(&bed.writer(), "e1").await.unwrap();
    });
    let (id, _) = bed.bodies("Condition").remove(0);
    let found = originals(bed.ctx(), &bed.vault(), "Condition", &id).unwrap();
    assert_eq!(found.len(), 1, "its original can still be shown");
    assert_eq!(received(&scope, (0, -1), 9).unwrap().0.len(), 2);
    assert_eq!(
        store(&scope, &bed.writer()).expect_err("dropped").fault(),
        Fault::SealBroken
    );
}

#[test]
fn what_came_is_taken_out_although_the_file_of_keys_is_lost() {
    let bed = Bed::new();
    let before = bed.dump();
    bed.bring(&bed.scope("e1"), &record());
    std::fs::remove_file(bed.keys.path().join(KEYS_FILE)).unwrap();
    let other = bed.vault();
    assert!(
        IngestScope::reopen(bed.ctx(), &other, "e1").is_err(),
        "nobody can open it"
    );
    let done = retract(bed.ctx(), &other, &bed.writer(), "e1").unwrap();
    assert!(done.removed > 5 && done.lost == 0, "{done:?}");
    assert_eq!(bed.dump(), before);
}

#[test]
fn what_cannot_come_back_without_its_key_leaves_its_place_empty() {
    let bed = Bed::new();
    let clinic = json!({"resourceType": "Organization", "id": "org", "name": "Clinic"});
    let first = with("first", "1", "2025-01-01T00:00:00Z");
    bed.bring(&bed.scope("e1"), &[person(), first, clinic.clone()]);
    let wrong = with("wrong", "2", "2025-02-01T00:00:00Z");
    bed.bring(&bed.scope("e2"), &[person(), wrong, clinic]);
    std::fs::remove_file(bed.keys.path().join(KEYS_FILE)).unwrap();
    let done = retract(bed.ctx(), &bed.vault(), &bed.writer(), "e2").unwrap();
    assert_eq!((done.restored, done.lost), (0, 1), "{done:?}");
    assert_eq!(bed.bodies("Condition").len(), 0, "the wrong one is gone all the same");
    assert_eq!(bed.bodies("Organization").len(), 1, "both brought it");
    let outcomes: Vec<String> = bed.outcomes("e1").into_iter().map(|one| one.0).collect();
    assert_eq!(outcomes, ["held", "lost", "stored"]);
}

#[test]
fn keys_that_the_file_lacks_are_named() {
    let bed = Bed::new();
    bed.bring(&bed.scope("e1"), &[person()]);
    let own = bed.vault().current().to_owned();
    assert!(missing_keys(bed.ctx(), &bed.vault()).unwrap().is_empty());
    std::fs::remove_file(bed.keys.path().join(KEYS_FILE)).unwrap();
    let other = bed.vault();
    assert_eq!(missing_keys(bed.ctx(), &other).unwrap(), [own]);
    retract(bed.ctx(), &other, &bed.writer(), "e1").unwrap();
    assert!(
        missing_keys(bed.ctx(), &other).unwrap().is_empty(),
        "nothing is left that they open"
    );
}

#[test]
fn nothing_is_shown_of_what_was_taken_out() {
    let bed = Bed::new();
    let stranger = condition("c2", "Patient/other");
    let scope = bed.scope("e1");
    bed.bring(&scope, &[person(), condition("c1", "Patient/their-p"), stranger]);
    assert_eq!(received(&scope, (0, -1), 9).unwrap().0.len(), 3);
    retract(bed.ctx(), &bed.vault(), &bed.writer(), "e1").unwrap();
    for shown in [received(&scope, (0, -1), 9), quarantined(&scope, (0, -1), 9)] {
        assert_eq!(shown.map(|_| ()).expect_err("gone").fault(), Fault::NothingReceived);
    }
}

#[test]
fn what_stays_has_its_record_of_custody_although_the_file_of_keys_is_lost() {
    let bed = Bed::new();
    let clinic = json!({"resourceType": "Organization", "id": "org", "name": "Clinic"});
    bed.bring(&bed.scope("e1"), &[person(), clinic.clone()]);
    bed.bring(&bed.scope_of("e2", "other", "their-q", "q"), &[clinic]);
    std::fs::remove_file(bed.keys.path().join(KEYS_FILE)).unwrap();
    let done = retract(bed.ctx(), &bed.vault(), &bed.writer(), "e1").unwrap();
    assert_eq!((done.kept, done.lost), (1, 0), "{done:?}");
    let custody = bed.bodies("Provenance");
    assert_eq!(custody.len(), 1);
    assert_eq!(
        custody[0].1["entity"][0]["what"]["display"], "other",
        "the name is that of the registration, and without one its id"
    );
}

#[test]
fn what_is_taken_out_in_turns_is_counted_as_a_whole() {
    let bed = Bed::new();
    let before = bed.dump();
    let mut record = vec![person()];
    record.extend((0..450).map(|n| condition(&format!("c{n}"), "Patient/their-p")));
    let counts = bed.bring(&bed.scope("e1"), &record);
    let turn = WorkTurn::of(0, std::time::Duration::ZERO);
    let mut turns = 0;
    let done = loop {
        turns += 1;
        let went = super::super::retract(bed.ctx(), &bed.vault(), &bed.writer(), "e1", &turn).unwrap();
        if let Some(done) = went {
            break done;
        }
    };
    assert!(turns >= 4, "{turns}");
    assert_eq!((done.removed, done.lost), (counts.stored + counts.made, 0));
    assert_eq!(bed.dump(), before);
    let again = super::super::retract(bed.ctx(), &bed.vault(), &bed.writer(), "e1", &turn).unwrap();
    assert_eq!(again, Some(done), "it is told until it was told");
}

#[test]
fn what_came_with_very_many_records_is_taken_out_with_few_rows_and_stays_where_one_of_long_ago_brought_it() {
    let bed = Bed::new();
    let clinic = |name: &str, version: &str, updated: &str| {
        let one = json!({"resourceType": "Organization", "id": "org", "name": name});
        versioned(one, version, updated)
    };
    let of = |exchange: &str| bed.scope_of(exchange, "other", "their-q", "q");
    bed.bring(&of("e1"), &[clinic("New", "2", "2026-01-02T00:00:00Z")]);
    bed.bring(&of("e2"), &[clinic("Old", "1", "2026-01-01T00:00:00Z")]);
    // As e2, for 250 other members.
    let copies = |table: &str, columns: &str| {
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250) INSERT INTO {table} (exchange_id, {columns}) \
             SELECT 'x' || i, {columns} FROM {table}, n WHERE exchange_id = 'e2'"
        )
    };
    let make = [
        copies(
            "ingest",
            "partner_id, patient_id, key_id, sealed_about, method, state, created_ms, updated_ms",
        ),
        copies(
            "ingest_page",
            "page, part, bytes, sha256, link_sha256, entries, types, date_ms, received_ms",
        ),
        copies(
            "ingest_resource",
            "page, entry, start, length, type, id, outcome, reason, source_sha256, gate_version",
        ),
    ];
    let write = move |db: &mut crate::store::Db| {
        for statement in &make {
            diesel::sql_query(statement.as_str()).execute(db)?;
        }
        Ok(())
    };
    bed.ctx().store.write_blocking(write).unwrap();
    bed.bring(&of("e3"), &[clinic("New", "2", "2026-01-02T00:00:00Z")]);
    let stored = bed.bodies("Organization");
    let id = stored[0].0.clone();
    let read = |db: &mut crate::store::Db| {
        crate::store::ingest::brought_by_others(db, "e3", ("Organization", &id), &["stored", "older"], "retracted")
    };
    assert_eq!(bed.ctx().store.read_blocking(read).unwrap().len(), 200);
    let done = retract(bed.ctx(), &bed.vault(), &bed.writer(), "e3").unwrap();
    assert_eq!((done.removed, done.kept, done.lost), (0, 1, 0));
    assert_eq!(bed.bodies("Organization"), stored);
}
