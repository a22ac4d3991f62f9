//! What is kept apart: other people's, forged and broken resources.

use super::*;
use crate::store::{Db, identity, shared_resources};

#[test]
fn t_e06_every_stranger_is_kept_apart_and_none_is_merged() {
    let bed = Bed::new();
    let mut record = vec![person()];
    let mut strangers = 0;
    for n in 0..120 {
        // A stranger in every third place: another Patient of theirs, one of ours by its bare id, by our own address, and on another server.
        let patient = match n % 12 {
            0 => "Patient/other".to_owned(),
            3 => "Patient/p".to_owned(),
            6 => "https://old.example/fhir/Patient/q".to_owned(),
            9 => "https://else.example/fhir/Patient/their-p".to_owned(),
            _ => "Patient/their-p".to_owned(),
        };
        strangers += u64::from(n % 3 == 0);
        record.push(condition(&format!("c{n}"), &patient));
    }
    record.push(json!({"resourceType": "Patient", "id": "other", "name": [{"family": "Stranger"}]}));
    let before: Vec<String> = bed.bodies("Patient").into_iter().map(|one| one.0).collect();
    let counts = bed.bring(&bed.scope("e1"), &record);
    assert_eq!(counts.quarantined.values().sum::<u64>(), strangers + 1, "{counts:?}");
    assert_eq!(counts.stored, 120 - strangers);
    for (_, body) in bed.bodies("Condition") {
        assert_eq!(body["subject"]["reference"], "Patient/p");
    }
    let after: Vec<String> = bed.bodies("Patient").into_iter().map(|one| one.0).collect();
    assert_eq!(after, before);
    let checked = check(&bed.scope("e1"), &bed.writer()).unwrap();
    assert_eq!(
        checked.quarantined.values().sum::<u64>(),
        strangers + 1,
        "the check before says the same"
    );
}

#[test]
fn a_record_of_another_person_is_refused_before_anything_is_stored() {
    let bed = Bed::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let before = bed.dump();
    for (exchange, name, born) in [("e1", "Lima", "1981-01-01"), ("e2", "Okafor", "1980-01-01")] {
        let mut other = person();
        other["name"] = json!([{"family": name}]);
        other["birthDate"] = born.into();
        let scope = bed.scope(exchange);
        let body = bundle(&[other, condition("c1", "Patient/their-p")]);
        runtime.block_on(bed.spool(&scope, body.as_bytes())).unwrap();
        assert_eq!(
            check(&scope, &bed.writer()).expect_err("another person").fault(),
            Fault::OtherMember
        );
    }
    assert_eq!(bed.dump(), before);
    let scope = bed.scope("e3");
    runtime
        .block_on(bed.spool(&scope, bundle(&[condition("c1", "Patient/their-p")]).as_bytes()))
        .unwrap();
    let unknown = check(&scope, &bed.writer()).expect_err("without a Patient nobody knows whose it is");
    assert_eq!(unknown.fault(), Fault::PatientMissing);
    // Another exchange brought the Patient, and it was found to be the member.
    bed.bring(&bed.scope("e4"), &[person()]);
    assert_eq!(check(&scope, &bed.writer()).unwrap().good, 1);
    retract(bed.ctx(), &bed.vault(), &bed.writer(), "e4").unwrap();
    assert!(
        check(&scope, &bed.writer()).is_err(),
        "what was taken out tells nothing"
    );
}

#[test]
fn t_e07_a_provenance_names_nothing_of_ours_beside_its_targets() {
    let bed = Bed::new();
    bed.store.put(&[condition("c1", "Patient/p")]);
    let provenance = |id: &str, source: &str| {
        json!({"resourceType": "Provenance", "id": id, "recorded": "2026-01-01T00:00:00Z",
            "target": [{"reference": "Condition/c9"}], "agent": [{"who": {"display": "Other Payer"}}],
            "entity": [{"role": "source", "what": {"reference": source}}]})
    };
    let counts = bed.bring(
        &bed.scope("e1"),
        &[
            person(),
            condition("c9", "Patient/their-p"),
            provenance("t1", "https://old.example/fhir/Condition/c1"),
            provenance("t2", "Condition/c9"),
        ],
    );
    assert_eq!(
        counts.quarantined.get(Fault::StrangersResource.code()),
        Some(&1),
        "{counts:?}"
    );
    let bodies = bed.bodies("Provenance");
    let of_ours = bodies
        .iter()
        .filter(|(_, body)| body.to_string().contains("Condition/c1\""));
    assert_eq!(of_ours.count(), 0, "{bodies:?}");
}

#[test]
fn t_e07_nothing_that_comes_changes_what_is_ours() {
    let bed = Bed::new();
    bed.store.put(&[
        condition("c1", "Patient/p"),
        json!({"resourceType": "Coverage", "id": "own", "status": "active",
        "beneficiary": {"reference": "Patient/q"}, "payor": [{"display": "us"}],
        "identifier": [{"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]},
            "system": "http://old/member", "value": "OURS-Q"}]}),
    ]);
    let ours: Vec<String> = bed.dump();
    let forged = json!({"resourceType": "Provenance", "id": "f1", "recorded": "2026-01-01T00:00:00Z",
        "target": [{"reference": "https://old.example/fhir/Condition/c1"}], "agent": [{"who": {"display": "Forger"}}]});
    let coverage = json!({"resourceType": "Coverage", "id": "k1", "status": "active", "payor": [{"display": "them"}],
        "beneficiary": {"reference": "Patient/their-p"}, "subscriberId": "OURS-Q",
        "identifier": [{"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]},
            "system": "http://old/member", "value": "OURS-Q"}]});
    let counts = bed.bring(
        &bed.scope("e1"),
        &[
            versioned(condition("c1", "Patient/their-p"), "99", "2099-01-01T00:00:00Z"),
            versioned(
                json!({"resourceType": "Patient", "id": "p", "birthDate": "1999-01-01"}),
                "99",
                "2099-01-01T00:00:00Z",
            ),
            person(),
            forged,
            coverage,
        ],
    );
    assert_eq!(
        (counts.stored, counts.quarantined.get(Fault::StrangersResource.code())),
        (2, Some(&2)),
        "{counts:?}"
    );
    let now = bed.dump();
    for line in &ours {
        assert!(now.contains(line), "changed: {line}");
    }
    let source = bed
        .ctx()
        .store
        .read_blocking(|db| identity::source(db, 1))
        .unwrap()
        .unwrap();
    assert!(
        source.identifiers.is_empty(),
        "nobody is recognized by a number that a partner sends: {source:?}"
    );
}

#[test]
fn t_e06_what_comes_for_one_member_neither_enters_nor_leaves_the_record_of_another() {
    let bed = Bed::new();
    let of_q = bed.scope_of("eq", "other", "their-q", "q");
    let mut theirs = person();
    theirs["id"] = "their-q".into();
    let binary = |data: &str| json!({"resourceType": "Binary", "id": "b1", "contentType": "text/plain", "data": data});
    let document = |patient: &str| {
        json!({"resourceType": "DocumentReference", "id": "d1", "status": "current", "subject": {"reference": patient},
            "content": [{"attachment": {"url": "Binary/b1"}}]})
    };
    let condition_of_q = condition("same", "Patient/their-q");
    bed.bring(
        &of_q,
        &[theirs, condition_of_q, binary("cQ=="), document("Patient/their-q")],
    );
    let of_q_alone = bed.dump();
    let known = bed.bodies("Condition")[0].0.clone();
    let about = |id: &str, target: &str| {
        json!({"resourceType": "Provenance", "id": id, "recorded": "2026-01-01T00:00:00Z",
            "target": [{"reference": target}], "agent": [{"who": {"display": "Forger"}}]})
    };
    // The same names again, and the name here of what came for the other one, as a partner can read it from us.
    let own = format!("https://old.example/fhir/Condition/{known}");
    bed.bring(
        &bed.scope("ep"),
        &[
            person(),
            condition("same", "Patient/their-p"),
            binary("cA=="),
            document("Patient/their-p"),
            about("f1", "Condition/only-of-q"),
            about("f2", &own),
        ],
    );
    let now = bed.dump();
    for line in &of_q_alone {
        assert!(now.contains(line), "changed: {line}");
    }
    assert_eq!(bed.bodies("Condition").len(), 2);
    assert_eq!(bed.bodies("Binary").len(), 2);
    assert_eq!(bed.outcomes("ep")[5], reason(Fault::StrangersResource));
    retract(bed.ctx(), &bed.vault(), &bed.writer(), "ep").unwrap();
    let left = bed.dump();
    for line in &of_q_alone {
        assert!(left.contains(line), "changed by taking out: {line}");
    }
}

#[test]
fn t_e07_no_partner_withholds_or_moves_what_is_ours() {
    let bed = Bed::new();
    bed.store.put(&[
        json!({"resourceType": "Binary", "id": "own", "contentType": "text/plain", "data": "b3Vycw=="}),
        json!({"resourceType": "DocumentReference", "id": "own", "status": "current", "subject": {"reference": "Patient/q"},
            "content": [{"attachment": {"url": "Binary/own"}}]}),
    ]);
    let ours = bed.dump();
    let document = |id: &str, url: &str| {
        json!({"resourceType": "DocumentReference", "id": id, "status": "current", "subject": {"reference": "Patient/their-p"},
            "content": [{"attachment": {"url": url}}]})
    };
    bed.bring(
        &bed.scope("e1"),
        &[
            person(),
            document("d1", "https://old.example/fhir/Binary/own"),
            document("d2", "Binary/own"),
            document("d3", "DocumentReference/own"),
        ],
    );
    let now = bed.dump();
    for line in &ours {
        assert!(now.contains(line), "changed: {line}");
    }
    assert_eq!(bed.outcomes("e1")[1], reason(Fault::StrangersResource));
}

#[test]
fn t_d02_directories_that_came_are_found_along_a_record_alone() {
    let bed = Bed::new();
    let clinic = |id: &str| json!({"resourceType": "Organization", "id": id, "name": "Clinic"});
    bed.store.put(&[clinic("own")]);
    bed.bring(&bed.scope("e1"), &[person(), clinic("theirs")]);
    let found = |id: String| {
        let read = |db: &mut Db| shared_resources::shared(db, "Organization", &id, i32::MAX);
        bed.ctx().store.read_blocking(read).unwrap().is_some()
    };
    let all = bed.bodies("Organization");
    assert_eq!(all.len(), 2);
    let seen: Vec<bool> = all.into_iter().map(|(id, _)| found(id)).collect();
    assert_eq!(seen, [true, false]);
}

#[test]
fn what_is_broken_is_kept_apart_by_reason_and_the_rest_is_stored() {
    let bed = Bed::new();
    let counts = bed.bring(
        &bed.scope("e1"),
        &[
            person(),
            condition("good", "Patient/their-p"),
            json!({"resourceType": "Condition", "subject": {"reference": "Patient/their-p"}}),
            json!({"resourceType": "Condition", "id": "no/id", "subject": {"reference": "Patient/their-p"}}),
            json!({"resourceType": "SubscriptionTopic", "id": "r5", "status": "draft"}),
            json!({"resourceType": "Condition", "id": "drift", "subject": {"reference": "Patient/their-p"}, "severityScore": 3}),
            json!({"resourceType": "Condition", "id": "nobody"}),
            json!({"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "informational"}]}),
            json!({"id": "typeless"}),
        ],
    );
    assert_eq!(counts.stored, 1);
    let outcomes = bed.outcomes("e1");
    assert_eq!(outcomes[2], reason(Fault::IdMissing));
    assert_eq!(outcomes[3], reason(Fault::ValueInvalid));
    assert_eq!(outcomes[4], reason(Fault::ResourceInvalid));
    assert_eq!(outcomes[5], reason(Fault::ElementUnknown));
    assert_eq!(outcomes[6], reason(Fault::ReferenceUnresolved));
    assert_eq!(outcomes[7].0, "notice");
    assert_eq!(outcomes[8], reason(Fault::ResourceInvalid));
    let (shown, last) = quarantined(&bed.scope("e1"), (0, -1), 2).unwrap();
    assert_eq!(
        (shown.len(), shown[1].reason.as_deref()),
        (2, Some(Fault::ValueInvalid.code()))
    );
    assert!(
        String::from_utf8(shown[1].bytes.clone()).unwrap().contains("no/id"),
        "it is kept as it came"
    );
    let (rest, _) = quarantined(&bed.scope("e1"), last.unwrap(), 100).unwrap();
    assert_eq!(rest.len(), 4);
}

#[test]
fn what_was_kept_apart_is_judged_again_by_a_later_version() {
    let bed = Bed::new();
    // A Provenance comes without its target; the target comes with a later exchange.
    let provenance = json!({"resourceType": "Provenance", "id": "t1", "recorded": "2026-01-01T00:00:00Z",
        "target": [{"reference": "Condition/late"}], "agent": [{"who": {"display": "Other"}}]});
    let first = bed.bring(
        &bed.scope("e1"),
        &[
            person(),
            provenance,
            json!({"resourceType": "Condition", "id": "nobody"}),
        ],
    );
    assert_eq!(first.quarantined.values().sum::<u64>(), 2, "{first:?}");
    bed.bring(&bed.scope("e2"), &[person(), condition("late", "Patient/their-p")]);
    let same = judge_again(&bed.scope("e1"), &bed.writer(), &bed.writer()).unwrap();
    assert_eq!(same, first, "this version has judged it");
    let again =
        super::super::store::judge_again_for(&bed.scope("e1"), (&bed.writer(), &bed.writer()), i64::MAX).unwrap();
    assert_eq!(
        (again.stored, again.quarantined.values().sum::<u64>()),
        (1, 1),
        "{again:?}"
    );
    assert_eq!(
        bed.bodies("Provenance").len(),
        2,
        "theirs, and our custodian's record of the Condition"
    );
}

#[test]
fn what_was_kept_apart_is_judged_again_many_at_a_time() {
    let bed = Bed::new();
    let mut record = vec![person()];
    record.extend((0..450).map(|n| condition(&format!("s{n}"), "Patient/somebody-else")));
    let first = bed.bring(&bed.scope("e1"), &record);
    assert_eq!(first.quarantined.values().sum::<u64>(), 450, "{first:?}");
    let before = bed.ctx().store.commits();
    let again =
        super::super::store::judge_again_for(&bed.scope("e1"), (&bed.writer(), &bed.writer()), i64::MAX).unwrap();
    assert_eq!(again, first);
    let commits = bed.ctx().store.commits() - before;
    assert!(commits <= 6, "{commits} transactions");
}

#[test]
fn what_a_record_names_beside_itself_and_did_not_come_is_found_in_order() {
    let bed = Bed::new();
    let scope = bed.scope("e1");
    let names = |id: &str, practitioner: &str| {
        let mut named = condition(id, "Patient/their-p");
        named["asserter"] = json!({"reference": format!("Practitioner/{practitioner}")});
        named
    };
    let came = json!({"resourceType": "Practitioner", "id": "pr2", "name": [{"family": "Doe"}]});
    bed.bring(
        &scope,
        &[
            person(),
            names("c1", "pr3"),
            came,
            names("c2", "pr2"),
            names("c3", "pr1"),
            names("c4", "pr3"),
        ],
    );
    let offered = ["Practitioner".to_owned()];
    let beside = |most| named_beside(&scope, &|_| true, &offered, most).unwrap();
    assert_eq!(beside(10)["Practitioner"], ["pr1", "pr3"]);
    assert_eq!(beside(1)["Practitioner"], ["pr1"]);
    assert!(named_beside(&scope, &|_| false, &offered, 10).unwrap().is_empty());
    assert!(
        named_beside(&scope, &|_| true, &["Location".to_owned()], 10)
            .unwrap()
            .is_empty()
    );
}
