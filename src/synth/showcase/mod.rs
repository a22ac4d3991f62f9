//! The showcase: one member whose record has every element that US Core, PDex and CARIN's Basis profiles mark as mustSupport.
//!
//! Templates (the JSON files in this folder, by theme) define the contents, and [`template`] fills them in. Nothing here is random: the
//! seed only gives ids and numbers, so that two runs differ. The persons do not exist, and do not resemble any member of
//! [`super::Member::of`].

mod template;

use super::codes::refer;
use super::directory::Directory;
use super::member::Member;
use super::options::{SynthOptions, day};
use super::output::{Sink, put};
use super::random::nine_digits;
use chrono::{Days, NaiveDate};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io;
use template::{Template, id};

/// When the showcase member was born.
const BORN: NaiveDate = day(1984, 3, 29);

/// The templates. A template refers only to earlier ones, except a visit to its reason.
const THEMES: [&str; 6] = [
    include_str!("people.json"),
    include_str!("care.json"),
    include_str!("observations.json"),
    include_str!("documents.json"),
    include_str!("claims.json"),
    include_str!("authorizations.json"),
];

/// The types of the showcase, without Provenance.
const KINDS: &[&str] = &[
    "AllergyIntolerance",
    "CarePlan",
    "CareTeam",
    "Condition",
    "Consent",
    "Coverage",
    "Device",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "Endpoint",
    "ExplanationOfBenefit",
    "Goal",
    "Immunization",
    "Location",
    "Media",
    "Medication",
    "MedicationDispense",
    "MedicationRequest",
    "Observation",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "Procedure",
    "QuestionnaireResponse",
    "RelatedPerson",
    "ServiceRequest",
    "Specimen",
];

/// The types among these that belong to no member. A Provenance of such a resource would belong to no member either.
const SHARED: &[&str] = &[
    "Endpoint",
    "Location",
    "Medication",
    "Organization",
    "Practitioner",
    "PractitionerRole",
];

/// The showcase member's number, which is above every member of a run, so that its card number is unique.
const INDEX: u64 = 900_000_000;
/// How many days before [`SynthOptions::as_of`] the coverage began.
const COVERED_DAYS: u64 = 900;

/// The showcase member of the run that `options` describes, as the card and the enrollment file describe her.
pub fn member(options: &SynthOptions) -> Member {
    let text = str::to_owned;
    let patient_id = id(options, "patient");
    Member {
        index: INDEX,
        patient_id: patient_id.clone(),
        coverage_id: id(options, "coverage"),
        member_number: format!("M{}", nine_digits(options.seed, 11, INDEX)),
        subscriber_id: format!("S{}", nine_digits(options.seed, 12, INDEX)),
        subscriber_patient_id: patient_id,
        relationship: "self",
        dependent: None,
        family: text("Quillfeather"),
        former_family: Some(text("Zabriskie-Plume")),
        given: vec![text("Philippa"), text("Amaryllis")],
        nickname: None,
        suffix: Some("RN"),
        gender: "female",
        birth_date: BORN,
        street: text("17 Exhibit Row"),
        city: "Lower Exhibit",
        state: "VT",
        postal_code: "05199",
        phone: text("(802) 555-0142"),
        email: Some(text("showcase.member@mail.example")),
        covered_from: options.as_of - Days::new(COVERED_DAYS),
    }
}

/// Writes the showcase member's record.
pub(super) fn write(options: &SynthOptions, directory: &Directory, sink: Sink<'_>) -> io::Result<()> {
    let member = member(options);
    let template = Template {
        options,
        member: &member,
        payer: &directory.payer,
    };
    let mut targets: BTreeMap<&'static str, Vec<Value>> = BTreeMap::new();
    for theme in THEMES {
        let resources: Vec<Map<String, Value>> = serde_json::from_str(theme)?;
        for one in &resources {
            let resource = template.resource(one)?;
            let (kind, name) = (kind(&resource)?, resource["id"].as_str().unwrap_or_default());
            if !SHARED.contains(&kind) && !name.contains("-denied-") {
                targets.entry(kind).or_default().push(refer(kind, name));
            }
            put(sink, kind, &resource)?;
        }
    }
    for (kind, targets) in targets {
        put(sink, "Provenance", &provenance(&template, kind, targets)?)?;
    }
    Ok(())
}

fn kind(resource: &Value) -> io::Result<&'static str> {
    let named = resource["resourceType"].as_str().unwrap_or_default();
    let found = KINDS.iter().find(|kind| **kind == named);
    found
        .copied()
        .ok_or_else(|| io::Error::other(format!("the showcase has no type {named}")))
}

/// The Provenance of all resources of one type. A resource that is withheld on release (the denied authorization) is not among its targets,
/// because the Provenance would then be withheld too.
fn provenance(template: &Template<'_>, kind: &str, targets: Vec<Value>) -> io::Result<Value> {
    let entity = json!([{
        "extension": [{
            "url": "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/ProvenanceSourceFrom",
            "valueCodeableConcept": "=pdex:ProvenancePayerDataSource hl7fhirr4",
        }],
        "role": "source", "what": {"display": "The showcase's sources"},
    }]);
    let one = json!({
        "resourceType": "Provenance", "id": format!("provenance-{}", kind.to_lowercase()),
        "meta": "core:us-core-provenance pdex:pdex-provenance", "target": targets, "recorded": "${-0}T05:00:00Z",
        "agent": [
            {"type": "=term:provenance-participant-type author Author", "who": "@Practitioner/physician", "onBehalfOf": "@Organization/clinic"},
            {"type": "=core:us-core-provenance-participant-type transmitter Transmitter", "who": "@Payer", "onBehalfOf": "@Payer"},
        ],
        "entity": entity,
    });
    template.resource(one.as_object().unwrap_or(&Map::new()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::{member::Member, write};
    use std::collections::HashSet;

    fn collect(options: &SynthOptions) -> Vec<(&'static str, Value)> {
        let mut all = Vec::new();
        write(options, &mut |kind, line| {
            all.push((kind, serde_json::from_slice(line)?));
            Ok(())
        })
        .expect("an in-memory sink");
        all
    }

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("reference").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|inner| references(inner, found));
            }
            Value::Array(items) => items.iter().for_each(|inner| references(inner, found)),
            _ => {}
        }
    }

    #[test]
    fn the_showcase_comes_on_top_and_changes_nobody_else() {
        let without = SynthOptions {
            members: 3,
            ..SynthOptions::default()
        };
        let with = SynthOptions {
            showcase: true,
            ..without.clone()
        };
        let (without, with) = (collect(&without), collect(&with));
        assert_eq!(with[..without.len()], without);
        let types: HashSet<&str> = with[without.len()..].iter().map(|(kind, _)| *kind).collect();
        assert_eq!(types.len(), KINDS.len() + 1, "{types:?}");
    }

    #[test]
    fn every_type_occurs_twice_and_every_reference_resolves() {
        let all = collect(&SynthOptions {
            members: 0,
            showcase: true,
            ..SynthOptions::default()
        });
        let mut names = HashSet::new();
        for (kind, one) in &all {
            assert!(
                names.insert(format!("{kind}/{}", one["id"].as_str().expect("an id"))),
                "id twice"
            );
        }
        let mut named = Vec::new();
        all.iter().for_each(|(_, one)| references(one, &mut named));
        for reference in named {
            assert!(names.contains(&reference), "{reference} is not there");
        }
        for wanted in KINDS.iter().filter(|kind| **kind != "Patient") {
            let count = all.iter().filter(|(kind, _)| kind == wanted).count();
            assert!(count >= 2, "{count} {wanted}");
        }
    }

    #[test]
    fn the_showcase_member_is_like_nobody_of_the_run() {
        for seed in 1..4 {
            let options = SynthOptions {
                seed,
                ..SynthOptions::default()
            };
            let own = member(&options);
            for index in 0..5_000 {
                let other = Member::of(&options, index);
                assert!(
                    other.family != own.family
                        && other.phone != own.phone
                        && other.postal_code != own.postal_code
                        && other.member_number != own.member_number
                        && other.subscriber_id != own.subscriber_id,
                    "seed {seed}, member {index}"
                );
            }
        }
    }
}
