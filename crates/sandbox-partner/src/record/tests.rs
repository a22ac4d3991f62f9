//! A record is the same each time, whole, and its references stay inside.

use super::*;
use crate::member::SandboxMembers;
use crate::script::{DriftShape, LargeShape, SandboxAct, SandboxScript};
use std::collections::HashSet;

fn record(resources: u64, pdex: PdexVersion) -> SandboxRecord {
    let mut script = SandboxScript::default();
    script.members.resources = resources;
    let member = SandboxMembers::of(&script).all()[0].clone();
    let day = NaiveDate::from_ymd_opt(2026, 11, 1).expect("a day");
    SandboxRecord::of(member, script.payer, (pdex, script.us_core), 7, day)
}

fn parsed(pieces: impl Iterator<Item = Vec<u8>>) -> Value {
    let bytes: Vec<u8> = pieces.flatten().collect();
    serde_json::from_slice(&bytes).expect("JSON")
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(text) if name == "reference" => found.push(text.to_owned()),
                    _ => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_of_a_record_leads_to_a_resource_of_it() {
    for count in [8, 21, 40, 333] {
        let record = record(count, PdexVersion::V2_2);
        let all: Vec<Value> = (0..count).map(|index| record.resource(index)).collect();
        let there: HashSet<String> = all
            .iter()
            .map(|resource| {
                format!(
                    "{}/{}",
                    resource["resourceType"].as_str().expect("a type"),
                    resource["id"].as_str().expect("an id")
                )
            })
            .collect();
        assert_eq!(there.len() as u64, count);
        let mut found = Vec::new();
        all.iter().for_each(|resource| references(resource, &mut found));
        assert!(found.len() as u64 > count);
        for reference in found {
            assert!(there.contains(&reference), "{reference} of {count}");
        }
    }
}

#[test]
fn a_resource_is_found_by_its_id_and_is_the_same_each_time() {
    let record = record(100, PdexVersion::V2_2);
    for index in 0..100 {
        assert_eq!(record.index_of(&record.id(index)), Some(index));
        assert_eq!(record.resource(index), record.resource(index));
        assert_eq!(record.resource(index)["resourceType"], record.type_of(index));
        assert!(TYPES.contains(&record.type_of(index)));
    }
    let id = record.id(0);
    for wrong in [
        format!("{id}-0"),
        format!("{id}-100"),
        format!("{id}-07"),
        format!("{id}x"),
        "x".into(),
    ] {
        assert_eq!(record.index_of(&wrong), None, "{wrong}");
    }
}

#[test]
fn visits_lie_within_the_last_five_years() {
    let record = record(5_000, PdexVersion::V2_2);
    let days = (0..5_000).map(|index| record.day(index));
    let (oldest, newest) = days.fold((record.as_of, NaiveDate::MIN), |(old, new), day| {
        (old.min(day), new.max(day))
    });
    assert!(
        newest < record.as_of && oldest > record.as_of - Days::new(5 * 365),
        "{oldest} {newest}"
    );
    assert!(oldest < record.as_of - Days::new(4 * 365), "{oldest}");
}

#[test]
fn claims_are_in_everything_from_pdex_2_2_on() {
    let claims = |pdex| {
        let record = record(60, pdex);
        let kept = (0..60).filter(|&index| record.in_everything(index));
        kept.filter(|&index| record.resource(index)["use"] == "claim").count()
    };
    assert_eq!((claims(PdexVersion::V2_0), claims(PdexVersion::V2_1)), (0, 0));
    assert!(claims(PdexVersion::V2_2) > 2);
}

#[test]
fn a_streamed_bundle_is_json_of_any_size() {
    let record = record(900, PdexVersion::V2_2);
    let head = SandboxBundleHead {
        total: Some(900),
        links: vec![("self", "https://x.example/a".into())],
        base: "https://x.example".into(),
    };
    let pieces = BundlePieces::of(head.clone(), record.clone(), 0..900, Alterations::default());
    let bundle = parsed(pieces.ending_with("outcome", json!({ "resourceType": "OperationOutcome" })));
    assert_eq!(bundle["entry"].as_array().map(Vec::len), Some(901));
    assert_eq!(
        (&bundle["total"], &bundle["entry"][0]["resource"]),
        (&json!(900), &record.resource(0))
    );
    assert_eq!(
        bundle["entry"][3]["fullUrl"],
        format!("https://x.example/Organization/{}", record.id(3))
    );
    let empty = parsed(BundlePieces::of(head, record.clone(), 0..0, Alterations::default()));
    assert_eq!(empty.get("entry"), None);
    for shape in [LargeShape::Entries, LargeShape::OneString, LargeShape::Spaces] {
        let sizes: Vec<usize> = large(record.clone(), "https://x.example", Some(1_000_000), shape)
            .map(|piece| piece.len())
            .collect();
        assert!(sizes.iter().all(|&size| size < 64 * 1024), "{shape:?}");
        let total: usize = sizes.iter().sum();
        assert!((1_000_000..1_050_000).contains(&total), "{shape:?}: {total}");
        parsed(large(record.clone(), "https://x.example", Some(1_000_000), shape));
    }
    assert_eq!(
        large(record, "https://x.example", None, LargeShape::Entries)
            .take(200)
            .count(),
        200
    );
}

#[test]
fn every_alteration_changes_what_it_says() {
    let record = record(40, PdexVersion::V2_2);
    let mut other = record.clone();
    other.member.patient_id = "stranger".into();
    let altered = |act: SandboxAct| Alterations::of(&[act], other.clone(), "https://elsewhere.example/fhir");
    let every = 1;
    for index in 0..40 {
        let plain = record.resource(index);
        let wrong = altered(SandboxAct::WrongMember { every }).apply(&record, index);
        assert!(
            wrong[0]["id"].as_str().is_some_and(|id| id.starts_with("stranger")),
            "{index}"
        );
        let twice = altered(SandboxAct::Duplicates { every, changed: false }).apply(&record, index);
        assert_eq!(twice, [plain.clone(), plain.clone()]);
        let twice = altered(SandboxAct::Duplicates { every, changed: true }).apply(&record, index);
        assert_eq!((twice[0] == twice[1], &twice[0]["id"]), (false, &twice[1]["id"]));
        let stale = altered(SandboxAct::Stale { every, days: 100 }).apply(&record, index);
        assert!(stale[0]["meta"]["lastUpdated"].as_str() < plain["meta"]["lastUpdated"].as_str());
        assert_eq!(
            (stale[0]["meta"]["versionId"] == "2", &stale[0]["id"]),
            (true, &plain["id"])
        );
        assert!(
            altered(SandboxAct::LeaveOut {
                types: Vec::new(),
                every,
                told: false
            })
            .apply(&record, index)
            .is_empty()
        );
        for shape in [
            DriftShape::UnknownField,
            DriftShape::NewCode,
            DriftShape::R5Shape,
            DriftShape::UnknownType,
        ] {
            let drifted = altered(SandboxAct::Drift { shape, every }).apply(&record, index);
            assert_ne!(drifted[0], plain, "{shape:?} {index}");
        }
        for absolute in [false, true] {
            let loose = altered(SandboxAct::DanglingReferences { every, absolute }).apply(&record, index);
            let mut found = Vec::new();
            references(&loose[0], &mut found);
            assert!(
                found
                    .iter()
                    .any(|r| r.contains("gone-") || r.starts_with("https://elsewhere")),
                "{index}"
            );
        }
    }
    let tenth = altered(SandboxAct::WrongMember { every: 10 });
    let strange = (0..40)
        .filter(|&index| tenth.apply(&record, index)[0] != record.resource(index))
        .count();
    assert_eq!(strange, 4);
}
