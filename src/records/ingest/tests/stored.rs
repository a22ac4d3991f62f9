//! What is stored, and under which names.

use super::*;
use crate::store::release_rule::is_received;

#[test]
fn a_record_is_stored_beside_ours_with_ids_of_its_own_and_our_member() {
    let bed = Bed::new();
    bed.store
        .put(&[json!({"resourceType": "Practitioner", "id": "dr", "name": [{"family": "Ours"}]})]);
    let scope = bed.scope("e1");
    let observation = json!({"resourceType": "Observation", "id": "o1", "status": "final", "code": {"text": "weight"},
        "subject": {"reference": format!("{THEIRS}/Patient/their-p")}, "performer": [{"reference": "Practitioner/dr"}],
        "hasMember": [{"reference": "Observation/o1/_history/3"}], "focus": [{"reference": "https://else.example/fhir/Patient/x"}],
        "valueQuantity": {"value": serde_json::from_str::<Json>("70.10").unwrap(), "unit": "kg"}});
    let transmitter = json!({"resourceType": "Provenance", "id": "t1", "recorded": "2026-01-01T00:00:00Z",
        "target": [{"reference": "Patient/their-p"}, {"reference": "Condition/c1"}, {"reference": "Condition/never-came"}],
        "agent": [{"type": {"coding": [{"system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type",
            "code": "transmitter"}]}, "who": {"display": "Other Payer"}}]});
    let counts = bed.bring(
        &scope,
        &[
            transmitter,
            observation,
            person(),
            condition("c1", "Patient/their-p"),
            json!({"resourceType": "Practitioner", "id": "dr", "name": [{"family": "Theirs"}]}),
        ],
    );
    assert_eq!((counts.stored, counts.unchanged, counts.made), (4, 1, 1), "{counts:?}");
    assert!(counts.quarantined.is_empty(), "{counts:?}");

    assert_eq!(
        bed.bodies("Patient").len(),
        2,
        "the partner's Patient is no member of ours"
    );
    let (id, observation) = bed.bodies("Observation").remove(0);
    assert!(is_received(&id) && observation["id"] == id.as_str(), "{observation}");
    assert_eq!(observation["subject"]["reference"], "Patient/p");
    assert_eq!(observation["hasMember"][0]["reference"], format!("Observation/{id}"));
    assert_eq!(
        observation["focus"][0]["reference"], "https://else.example/fhir/Patient/x",
        "others' references stay"
    );
    assert_eq!(
        observation["valueQuantity"]["value"].to_string(),
        "70.10",
        "decimals stay as they came"
    );
    let doctors = bed.bodies("Practitioner");
    assert_eq!((doctors.len(), doctors[0].0.as_str()), (2, "dr"));
    assert_eq!(doctors[0].1["name"][0]["family"], "Ours", "ours is not changed");
    assert_eq!(
        observation["performer"][0]["reference"],
        format!("Practitioner/{}", doctors[1].0)
    );

    let provenances = bed.bodies("Provenance");
    let is_custodian = |one: &&(String, Json)| one.1["agent"][0]["type"]["coding"][0]["code"] == "custodian";
    let custodian = &provenances.iter().find(is_custodian).expect("our own record").1;
    assert_eq!(custodian["target"].as_array().map(Vec::len), Some(3), "{custodian}");
    assert_eq!(custodian["entity"][0]["what"]["display"], "Other Payer");
    let theirs = &provenances.iter().find(|one| !is_custodian(one)).expect("theirs").1;
    let condition = &bed.bodies("Condition")[0].0;
    assert_eq!(
        theirs["target"],
        json!([{"reference": "Patient/p"}, {"reference": format!("Condition/{condition}")}]),
        "what never came is no target"
    );
}

#[test]
fn the_same_record_twice_changes_nothing() {
    let bed = Bed::new();
    let record = [
        person(),
        versioned(condition("c1", "Patient/their-p"), "1", "2025-01-01T00:00:00Z"),
        condition("c2", "Patient/their-p"),
    ];
    let first = bed.bring(&bed.scope("e1"), &record);
    assert_eq!((first.stored, first.unchanged), (2, 1));
    let before = bed.dump();
    let again = store(&bed.scope("e1"), &bed.writer()).unwrap();
    assert_eq!(again, first, "the same exchange, run again");
    let second = bed.bring(&bed.scope("e2"), &record);
    assert_eq!((second.stored, second.unchanged, second.made), (0, 3, 0));
    assert_eq!(bed.dump(), before);
}

#[test]
fn the_same_resource_several_times_in_one_record_is_stored_once() {
    let bed = Bed::new();
    let one = versioned(condition("c1", "Patient/their-p"), "1", "2025-01-01T00:00:00Z");
    let newer = versioned(condition("c1", "Patient/their-p"), "2", "2025-02-01T00:00:00Z");
    let counts = bed.bring(&bed.scope("e1"), &[person(), one.clone(), newer, one]);
    assert_eq!((counts.stored, counts.unchanged), (1, 3), "{counts:?}");
    assert_eq!(bed.bodies("Condition").len(), 1);
}

#[test]
fn a_version_older_than_what_is_held_is_not_taken_and_an_altered_one_is_kept_apart() {
    let bed = Bed::new();
    let with = |text: &str, version: &str, updated: &str| {
        let mut one = condition("c1", "Patient/their-p");
        one["code"]["text"] = text.into();
        versioned(one, version, updated)
    };
    bed.bring(
        &bed.scope("e1"),
        &[person(), with("second", "2", "2025-02-01T00:00:00Z")],
    );
    let before = bed.dump();
    bed.bring(
        &bed.scope("e2"),
        &[person(), with("first", "1", "2025-01-01T00:00:00Z")],
    );
    assert_eq!(bed.outcomes("e2")[1], ("older".into(), None));
    bed.bring(
        &bed.scope("e3"),
        &[person(), with("forged", "2", "2025-02-01T00:00:00Z")],
    );
    assert_eq!(bed.outcomes("e3")[1], reason(Fault::VersionAltered));
    assert_eq!(bed.dump(), before, "nothing of both is stored");
    bed.bring(
        &bed.scope("e4"),
        &[person(), with("third", "3", "2025-03-01T00:00:00Z")],
    );
    assert_eq!(bed.bodies("Condition")[0].1["code"]["text"], "third");
}

#[test]
fn one_id_at_two_partners_is_two_resources() {
    let bed = Bed::new();
    let record = [person(), condition("c1", "Patient/their-p")];
    bed.bring(&bed.scope_of("e1", "one", "their-p", "p"), &record);
    bed.bring(&bed.scope_of("e2", "two", "their-p", "p"), &record);
    assert_eq!(bed.bodies("Condition").len(), 2);
}

#[test]
fn originals_are_shown_byte_for_byte() {
    let bed = Bed::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let scope = bed.scope("e1");
    let original = "{ \"resourceType\" : \"Condition\",\n \"id\":\"c1\", \"subject\":{\"reference\":\"Patient\\/their-p\"},\r\n \"x\":1}"
        .replace(", \"subject\"", ",\"code\":{\"text\":\"caf\u{e9}\"}, \"subject\"")
        .replace(",\r\n \"x\":1", "");
    let body =
        format!("{{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"entry\":[{{\"resource\":{original}}}]}}");
    runtime.block_on(bed.spool(&scope, body.as_bytes())).unwrap();
    store(&scope, &bed.writer()).unwrap();
    let (id, _) = bed.bodies("Condition").remove(0);
    let found = originals(bed.ctx(), &bed.vault(), "Condition", &id).unwrap();
    assert_eq!((found.len(), found[0].exchange_id.as_str()), (1, "e1"));
    assert_eq!(String::from_utf8(found[0].bytes.clone()).unwrap(), original);
}

#[test]
fn a_scope_that_is_opened_again_costs_no_transaction() {
    let bed = Bed::new();
    bed.scope("e1");
    let before = bed.ctx().store.commits();
    bed.scope("e1");
    assert_eq!(bed.ctx().store.commits(), before);
}

#[test]
fn content_without_a_version_does_not_replace_what_was_fetched_after_it() {
    let bed = Bed::new();
    let told = |text: &str| {
        let mut one = condition("c1", "Patient/their-p");
        one["code"]["text"] = text.into();
        one
    };
    let stored = || bed.bodies("Condition")[0].1["code"]["text"].clone();
    bed.bring(&bed.scope("e1"), &[person(), told("old")]);
    bed.ctx().clock.advance_ms(1_000);
    bed.bring(&bed.scope("e2"), &[person(), told("new")]);
    assert_eq!(stored(), "new", "what is fetched later replaces what was there");
    let before = bed.dump();
    // The first exchange is replayed: its step of storing runs once more.
    store(&bed.scope("e1"), &bed.writer()).unwrap();
    assert_eq!(stored(), "new");
    assert_eq!(bed.outcomes("e1")[1], ("older".into(), None), "and it is told");
    assert_eq!(bed.dump(), before);
    // One that was fetched first, and is stored only now.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let late = bed.scope("e3");
    runtime
        .block_on(bed.spool(&late, bundle(&[person(), told("between")]).as_bytes()))
        .unwrap();
    bed.ctx().clock.advance_ms(1_000);
    bed.bring(&bed.scope("e4"), &[person(), told("last")]);
    store(&late, &bed.writer()).unwrap();
    assert_eq!(stored(), "last");
    // What stays after a retraction is what was fetched last of the others.
    retract(bed.ctx(), &bed.vault(), &bed.writer(), "e4").unwrap();
    assert_eq!(stored(), "between");
}

#[test]
fn two_contents_without_a_version_in_one_answer_end_alike_however_often_they_are_stored() {
    let bed = Bed::new();
    let told = |text: &str| {
        let mut one = condition("c1", "Patient/their-p");
        one["code"]["text"] = text.into();
        one
    };
    let scope = bed.scope("e1");
    bed.bring(&scope, &[person(), told("one"), told("two")]);
    let before = bed.dump();
    store(&scope, &bed.writer()).unwrap();
    assert_eq!(bed.dump(), before, "nothing changes for readers");
    assert_eq!(bed.bodies("Condition")[0].1["code"]["text"], "two");
}

#[test]
fn what_an_earlier_run_brought_stays_brought_when_it_is_refused_later() {
    let bed = Bed::new();
    let scope = bed.scope("e1");
    let first = [
        person(),
        condition("c1", "Patient/their-p"),
        condition("c2", "Patient/their-p"),
    ];
    bed.bring(&scope, &first);
    bed.bring(
        &bed.scope("e2"),
        &[
            person(),
            versioned(condition("c2", "Patient/their-p"), "2", "2025-02-01T00:00:00Z"),
        ],
    );
    let before = bed.outcomes("e1");
    assert_eq!(before[1].0, "stored");
    // A later version of the gate refuses both.
    let refused = {
        let arrived: Vec<super::super::batch::Arrived> = (1..3)
            .map(|entry| super::super::batch::Arrived {
                page: 1,
                entry,
                start: 0,
                length: 2,
                bytes: Some(b"{}".to_vec()),
            })
            .collect();
        super::super::batch::prepare(&scope, &arrived, super::super::batch::Pass::Records).unwrap()
    };
    assert!(refused.iter().all(|one| one.row.outcome == "quarantined"));
    super::super::batch::write(&scope, &bed.writer(), refused).unwrap();
    assert_eq!(
        bed.outcomes("e1"),
        before,
        "only its row says who brought what is stored"
    );
    let done = retract(bed.ctx(), &bed.vault(), &bed.writer(), "e1").unwrap();
    assert!(done.removed >= 1, "{done:?}");
    assert_eq!(bed.bodies("Condition").len(), 1, "that of the other exchange");
}

#[test]
fn t_e10_a_clock_of_the_partner_that_lies_moves_nothing_out_of_what_is_asked_for_next() {
    const CAME: i64 = 1_767_225_600_000;
    const YEARS: i64 = 20 * 366 * 86_400_000;
    let bed = Bed::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for (exchange, dates, wanted) in [
        ("behind", [Some(CAME - 60_000), Some(CAME)], Some(CAME - 60_000)),
        ("ahead", [Some(CAME + YEARS), Some(CAME)], Some(CAME)),
        ("silent", [None, Some(CAME)], None),
    ] {
        let scope = bed.scope(exchange);
        runtime.block_on(async {
            for (page, date_ms) in dates.into_iter().enumerate() {
                let parts = open(&scope, &bed.writer(), "everything", &["$everything".to_owned()]).await;
                let part = parts.unwrap().remove(0);
                let link = format!("{THEIRS}/{page}");
                let mut body = PageWriter::begin(&scope, &bed.writer(), part, &link).await.unwrap();
                body.dated(date_ms);
                let one = condition(&format!("c{page}"), "Patient/their-p");
                body.write(bundle(&[one]).as_bytes()).await.unwrap();
                body.finish(CAME).await.unwrap();
            }
        });
        assert_eq!(arrivals(&scope).unwrap().as_of_ms, wanted, "{exchange}");
    }
}
