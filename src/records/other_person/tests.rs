//! Generated cases: whatever way another person is written into a resource, the resource is not released; and what may be released is.
//!
//! `CAUSEWAY_TEST_SEED` repeats a run.

mod names;

use super::*;
use crate::error::Failure;
use crate::fhir::prescreen::{ScreenLimits, screen};
use crate::records::gate::{Candidate, draft, judge};
use crate::records::local::NoLinks;
use serde_json::{Value as Json, json};

const BASE: &str = "https://payer.example/fhir";
const NOW: i64 = 1_767_225_600_000; // 2026-01-01T00:00:00Z
/// Occurs only in a name or a number of another person.
const MARK: &str = "Thackeray";

/// SplitMix64, so that a seed determines a run.
struct Random(u64);

impl Random {
    fn of_the_day() -> Random {
        let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let given = std::env::var("CAUSEWAY_TEST_SEED")
            .ok()
            .and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| now().map_or(1, |since| since.as_secs()));
        println!("CAUSEWAY_TEST_SEED={seed}");
        Random(seed)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    fn pick<'t, T>(&mut self, table: &'t [T]) -> &'t T {
        &table[self.below(table.len())]
    }
}

fn gate(resource: &Json) -> Result<Candidate, Failure> {
    let text = resource.to_string();
    draft(text.as_bytes(), &NoLinks, None).and_then(|draft| judge(&draft, 1, NOW, BASE))
}

#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Refused,
    Withheld,
    Leaves(String),
}

fn fate(resource: &Json) -> Fate {
    match gate(resource) {
        Err(_) => Fate::Refused,
        Ok(kept) if kept.sensitivity >= crate::store::release_rule::WITHHELD_ALWAYS => Fate::Withheld,
        Ok(kept) => {
            assert_eq!(kept.sensitivity, 0, "{resource}");
            let bytes = kept.released.as_deref().unwrap_or(&kept.body);
            screen(bytes, &ScreenLimits::record()).expect("what leaves passes too");
            Fate::Leaves(String::from_utf8(bytes.to_vec()).expect("UTF-8"))
        }
    }
}

fn member() -> Json {
    json!({"reference": "Patient/imp"})
}

/// Resources that may be released, of several types: the member's, and shared ones.
fn containers() -> Vec<Json> {
    let code = || json!({"text": "itch"});
    vec![
        json!({"resourceType": "Condition", "id": "r", "code": code(), "subject": member()}),
        json!({"resourceType": "Observation", "id": "r", "status": "final", "code": code(), "subject": member()}),
        json!({"resourceType": "Encounter", "id": "r", "status": "finished", "class": {"code": "AMB"}, "subject": member()}),
        json!({"resourceType": "Coverage", "id": "r", "status": "active", "beneficiary": member(), "payor": [{"display": "plan"}]}),
        json!({"resourceType": "ExplanationOfBenefit", "id": "r", "status": "active", "type": code(), "use": "claim",
            "patient": member(), "created": "2025-01-01", "insurer": {"display": "i"}, "provider": {"display": "d"},
            "outcome": "complete", "insurance": [{"focal": true, "coverage": {"display": "c"}}]}),
        json!({"resourceType": "DocumentReference", "id": "r", "status": "current", "subject": member(),
            "content": [{"attachment": {"contentType": "text/plain"}}]}),
        json!({"resourceType": "MedicationRequest", "id": "r", "status": "active", "intent": "order",
            "medicationCodeableConcept": code(), "subject": member()}),
        json!({"resourceType": "DiagnosticReport", "id": "r", "status": "final", "code": code(), "subject": member()}),
        json!({"resourceType": "Procedure", "id": "r", "status": "completed", "code": code(), "subject": member()}),
        json!({"resourceType": "Immunization", "id": "r", "status": "completed", "vaccineCode": code(), "patient": member(),
            "occurrenceString": "once"}),
        json!({"resourceType": "FamilyMemberHistory", "id": "r", "status": "completed", "patient": member(), "relationship": code()}),
        json!({"resourceType": "Patient", "id": "imp", "gender": "female"}),
        json!({"resourceType": "Provenance", "id": "r", "target": [member()], "recorded": "2025-01-01T00:00:00Z",
            "agent": [{"who": {"display": "clinic"}}]}),
        json!({"resourceType": "Organization", "id": "r", "name": "clinic"}),
        json!({"resourceType": "Practitioner", "id": "r", "active": true}),
        json!({"resourceType": "PractitionerRole", "id": "r", "practitioner": {"display": "Dr. House"}}),
        json!({"resourceType": "Location", "id": "r", "name": "ward"}),
        json!({"resourceType": "Medication", "id": "r", "code": code()}),
        json!({"resourceType": "Device", "id": "r", "type": code()}),
    ]
}

fn is_of_member(container: &Json) -> bool {
    container["patient"] == member()
        || container["subject"] == member()
        || container["beneficiary"] == member()
        || container["resourceType"] == "Patient"
        || container["target"] == json!([member()])
}

/// References to another person in correct and incorrect forms.
const LITERALS: &[&str] = &[
    "Patient/other",
    "Patient/other/_history/1",
    "https://payer.example/fhir/Patient/other",
    "https://payer.example/fhir/Patient/other/_history/2",
    "https://ehr.source.example/r4/tenant-7/Patient/other",
    "https://ehr.source.example/r4/tenant-7/Patient/imp",
    "http://ehr.source.example/Patient/other/",
    "https://ehr.source.example/Patient/other/Practitioner/1",
    "https://ehr.source.example/Patien\u{200b}t/other/Practitioner/1",
    "https://ehr.source.example/patient/other",
    "https://ehr.source.example/Patient?identifier=a|1",
    "https://payer.example/fhirx/Patient/imp",
    "https://payer.example/fhir//Patient/imp",
    "https://payer.example/fhir/Patient/imp/",
    "https://payer.example/fhir/Patient/imp/_history/",
    "https://payer.example/fhir/Patient/imp#other",
    "https://ehr.source.example/Practitioner/1#Patient/other",
    "https://ehr.source.example/Practitioner/..%2FPatient%2Fother",
    "urn:uuid:7b1e0000-0000-4000-8000-0000000000ee",
    "URN:UUID:7B1E0000-0000-4000-8000-0000000000EE",
    "urn:oid:2.16.840.1.113883.1",
    "Patient?identifier=http://old.example|M1",
    "RelatedPerson/mother",
    "https://ehr.source.example/RelatedPerson/mother",
    "RelatedPerson?identifier=a|1",
    "Person/p",
    "Group/family",
    "Patient/imp2",
    "Patient/IMP",
    "patient/imp",
    "Patient/imp/_history/1/x",
    "Patient/imp ",
    "mailto:someone@example.com",
];

/// Other forms in which a Reference may name another person.
fn spellings() -> Vec<Json> {
    let number = json!({"system": "http://old.example/member", "value": format!("M1-{MARK}")});
    let mut all: Vec<Json> = LITERALS.iter().map(|text| json!({"reference": text})).collect();
    all.extend([
        json!({"identifier": number}),
        json!({"type": "Patient", "identifier": number}),
        json!({"display": MARK}),
        json!({"type": "Patient", "display": MARK}),
        json!({"type": "http://hl7.org/fhir/StructureDefinition/RelatedPerson", "display": MARK}),
        json!({"reference": "Practitioner/1", "type": "Patient", "display": MARK}),
        json!({"reference": "Patient/other", "type": "Organization", "display": MARK}),
        json!({"reference": {"reference": "Patient/other"}}),
        json!({"reference": {"reference": "Patient/imp"}}),
        json!({"reference": ["Patient/other"]}),
        json!({"reference": 7}),
        json!("Patient/other"),
        json!(MARK),
        json!({"extension": [{"url": "http://x.example", "valueReference": {"reference": "Patient/other"}}]}),
        json!({"reference": "Patient/imp", "extension": [{"url": "http://x.example", "valueReference": {"display": MARK}}]}),
        json!({"resourceType": "Patient", "name": [{"family": MARK}]}),
    ]);
    all
}

fn coverage(beneficiary: Json) -> Json {
    json!({"resourceType": "Coverage", "id": "c", "status": "active", "beneficiary": beneficiary, "payor": [{"display": "plan"}]})
}

fn with(mut resource: Json, name: &str, value: Json) -> Json {
    resource[name] = value;
    resource
}

/// Contained resources that have the person `who` in each place where one can be.
fn positions(who: &Json) -> Vec<Json> {
    let code = json!({"text": "itch"});
    let patient = || json!({"resourceType": "Patient", "id": "p", "name": [{"family": MARK}]});
    let observation = json!({"resourceType": "Observation", "id": "c", "status": "final", "code": code});
    let order = json!({"resourceType": "ServiceRequest", "id": "c", "status": "active", "intent": "order"});
    let refers = json!([{"url": "http://x.example", "valueReference": who}]);
    let deep = json!([{"url": "http://x.example", "extension": [{"url": "b", "extension": refers}]}]);
    let provider = || json!({"resourceType": "Practitioner", "id": "d", "active": true});
    vec![
        json!([coverage(who.clone())]),
        json!([with(observation.clone(), "subject", who.clone())]),
        json!([with(order.clone(), "subject", who.clone())]),
        json!([json!({"resourceType": "Condition", "id": "c", "code": code, "subject": who})]),
        json!([
            json!({"resourceType": "Encounter", "id": "c", "status": "planned", "class": {"code": "AMB"}, "subject": who})
        ]),
        json!([json!({"resourceType": "Device", "id": "c", "patient": who})]),
        json!([
            json!({"resourceType": "FamilyMemberHistory", "id": "c", "status": "completed", "relationship": code, "patient": who})
        ]),
        json!([with(coverage(member()), "subscriber", who.clone())]),
        json!([with(coverage(member()), "policyHolder", who.clone())]),
        json!([with(
            with(observation.clone(), "subject", member()),
            "focus",
            json!([who])
        )]),
        json!([with(with(order, "subject", member()), "extension", refers.clone())]),
        json!([with(provider(), "extension", refers.clone())]),
        json!([{"resourceType": "Organization", "id": "c", "name": "clinic", "extension": deep}]),
        json!([{"resourceType": "Medication", "id": "c", "code": with(code.clone(), "extension", refers.clone())}]),
        json!([{"resourceType": "Location", "id": "c", "name": "home", "managingOrganization": {"display": "x", "extension": refers}}]),
        json!([{"resourceType": "Person", "id": "c", "name": [{"family": MARK}], "link": [{"target": who}]}]),
        json!([{"resourceType": "RelatedPerson", "id": "c", "patient": member(), "name": [{"family": MARK}]}]),
        json!([{"resourceType": "RelatedPerson", "id": "c", "patient": who}]),
        json!([{"resourceType": "Group", "id": "c", "type": "person", "actual": true, "member": [{"entity": who}]}]),
        json!([patient()]),
        json!([{"resourceType": "Patient", "id": "imp"}]),
        json!([{"resourceType": "Bundle", "id": "c", "type": "collection", "entry": [{"resource": coverage(who.clone())}]}]),
        json!([{"resourceType": "Parameters", "id": "c", "parameter": [{"name": "a", "resource": patient()}]}]),
        json!([{"resourceType": "Parameters", "id": "c", "parameter": [{"name": "a", "part": [{"name": "b", "valueReference": who}]}]}]),
        json!([{"resourceType": "Parameters", "id": "c", "parameter": [{"name": "a", "resource":
            {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient()}]}}]}]),
        coverage(who.clone()),
        patient(),
        json!([{"id": "c", "status": "active", "beneficiary": who, "payor": [{"display": "plan"}]}]),
        json!([with(patient(), "resourceType", json!(7))]),
        json!([with(patient(), "resourceType", json!(["Patient"]))]),
        json!([with(patient(), "resourceType", json!("patient"))]),
        json!([with(patient(), "resourceType", json!("Practitioner "))]),
        json!([[coverage(who.clone())]]),
        json!([{"resourceType": "Organization", "id": "c", "name": "clinic", "contained": [patient()]}]),
        json!([{"resourceType": "Organization", "id": "c", "name": "clinic", "extension": [{"url": "http://x.example", "valueReference": patient()}]}]),
        json!([{"resourceType": "Provenance", "id": "c", "target": [who], "recorded": "2025-01-01T00:00:00Z", "agent": [{"who": {"display": "x"}}]}]),
        json!([{"resourceType": "Provenance", "id": "c", "target": [member(), who], "recorded": "2025-01-01T00:00:00Z", "agent": [{"who": {"display": "x"}}]}]),
        json!([{"resourceType": "Appointment", "id": "c", "status": "booked", "participant": [{"actor": member(), "status": "accepted"}, {"actor": who, "status": "accepted"}]}]),
        json!([observation]),
        json!([{"resourceType": "QuestionnaireResponse", "id": "c", "status": "completed", "source": member()}]),
        json!([{"resourceType": "Questionnaire", "id": "c", "status": "active", "item": [{"linkId": "1", "type": "string", "text": MARK}]}]),
        json!([coverage(json!({"reference": "#p"})), patient()]),
        json!([provider(), coverage(who.clone()), provider()]),
        json!(MARK),
    ]
}

/// Changes a text as a careless or a malicious writer might.
fn mutated(random: &mut Random, text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for _ in 0..=random.below(2) {
        let at = random.below(letters.len());
        match random.below(6) {
            0 => {
                let letter = letters[at];
                letters[at] = if letter.is_lowercase() {
                    letter.to_ascii_uppercase()
                } else {
                    letter.to_ascii_lowercase()
                };
            }
            1 => letters.insert(at, *random.pick(&[' ', '\t', '\u{a0}', '\u{200b}'])),
            2 => letters.insert(at, '/'),
            3 => letters.push(*random.pick(&['/', ' ', '#', '|', '.'])),
            4 => letters.extend(random.pick(&["/_history/1", "?_format=json", "#x", "/."]).chars()),
            _ => {
                let code = format!("%{:02x}", letters[at] as u32 & 0xff);
                letters.splice(at..=at, code.chars());
            }
        }
    }
    letters.into_iter().collect()
}

#[test]
fn another_person_in_what_is_contained_never_leaves() {
    let mut random = Random::of_the_day();
    let containers = containers();
    for container in &containers {
        assert!(matches!(fate(container), Fate::Leaves(_)), "{container}");
    }
    let spellings = spellings();
    let (mut withheld, mut refused) = (0, 0);
    let mut try_one = |resource: Json| match fate(&resource) {
        Fate::Withheld => withheld += 1,
        Fate::Refused => refused += 1,
        Fate::Leaves(_) => panic!("left: {resource}"),
    };
    // Every form in every place once, and then random combinations with random changes.
    for who in &spellings {
        for contained in positions(who) {
            try_one(with(random.pick(&containers).clone(), "contained", contained));
        }
    }
    for _ in 0..2_000 {
        let mut who = random.pick(&spellings).clone();
        // A random change may correct a form, or turn a person's type in a base URL into another word.
        let text = who["reference"]
            .as_str()
            .filter(|text| !text.ends_with("/other/Practitioner/1"));
        let slipped = text.map(|text| mutated(&mut random, text));
        if let Some(text) = slipped.filter(|text| !text.contains("Patient/imp")) {
            who["reference"] = text.into();
        }
        let places = positions(&who);
        let contained = random.pick(&places).clone();
        try_one(with(random.pick(&containers).clone(), "contained", contained));
    }
    println!("{withheld} withheld, {refused} refused");
    assert!(
        withheld > 2 * refused / 3 && refused > 0,
        "{withheld} withheld, {refused} refused"
    );
}

/// References to this member in the forms that are recognized.
const OWN: &[&str] = &[
    "Patient/imp",
    "Patient/imp/_history/3",
    "https://payer.example/fhir/Patient/imp",
    "https://payer.example/fhir/Patient/imp/_history/1",
];

/// What may be contained: resources of no member, and the member's own when `own` gives the reference to the member.
fn harmless(own: Option<&str>) -> Vec<Json> {
    let code = || json!({"text": "itch"});
    let npi = || json!({"identifier": {"system": "http://hl7.org/fhir/sid/us-npi", "value": "1992000012"}});
    let mut all = vec![
        json!({"resourceType": "Practitioner", "id": "h", "name": [{"family": "House"}], "qualification": [{"code": code(), "issuer": {"display": "board"}}]}),
        json!({"resourceType": "PractitionerRole", "id": "h", "practitioner": {"display": "Dr. House"}, "organization": npi(), "location": [{"reference": "Location/l"}]}),
        json!({"resourceType": "PractitionerRole", "id": "h", "practitioner": {"reference": "https://ehr.source.example/r4/Practitioner/1"},
            "organization": {"identifier": {"system": "http://ehr.source.example", "value": "7"}}}),
        json!({"resourceType": "Organization", "id": "h", "name": "clinic", "partOf": {"reference": "Organization?identifier=a|1"}, "contact": [{"name": {"family": "Desk"}}]}),
        json!({"resourceType": "Organization", "id": "h", "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1", "assigner": {"display": "CMS"}}],
            "extension": [{"url": "http://x.example", "valueReference": {"reference": "Endpoint/e"}}]}),
        json!({"resourceType": "Location", "id": "h", "name": "ward", "managingOrganization": {"reference": "#h2"}}),
        json!({"resourceType": "Device", "id": "h", "owner": {"display": "clinic"}}),
        json!({"resourceType": "Medication", "id": "h", "code": code(), "manufacturer": {"reference": "Organization/o"}, "ingredient": [{"itemReference": {"reference": "Substance/s"}}]}),
        json!({"resourceType": "Substance", "id": "h", "code": code()}),
        json!({"resourceType": "Endpoint", "id": "h", "status": "active", "connectionType": {"code": "x"}, "payloadType": [code()], "address": "https://e.example"}),
        json!({"resourceType": "HealthcareService", "id": "h", "providedBy": npi()}),
        json!({"resourceType": "InsurancePlan", "id": "h", "ownedBy": {"display": "plan"}}),
    ];
    let Some(own) = own else { return all };
    let me = || json!({"reference": own, "display": "Marigold Thornbury"});
    all.extend([
        coverage(me()),
        with(with(coverage(me()), "subscriber", me()), "policyHolder", json!({"type": "Organization", "display": "employer"})),
        with(coverage(me()), "payor", json!([{"identifier": {"system": "http://bins.example", "value": "123456"}}])),
        json!({"resourceType": "ServiceRequest", "id": "h", "status": "active", "intent": "order", "subject": me(),
            "requester": {"display": "Unknown"}, "performer": [{"reference": "Practitioner/1"}, npi()], "encounter": {"reference": "Encounter/e"}}),
        json!({"resourceType": "Observation", "id": "h", "status": "final", "code": code(), "subject": me(), "performer": [npi()],
            "specimen": {"reference": "#h2"}, "hasMember": [{"reference": "Observation/o"}]}),
        json!({"resourceType": "Specimen", "id": "h", "subject": me(), "type": code()}),
        json!({"resourceType": "Device", "id": "h", "patient": me()}),
        json!({"resourceType": "Provenance", "id": "h", "target": [me()], "recorded": "2025-01-01T00:00:00Z", "agent": [{"who": npi()}]}),
        json!({"resourceType": "Appointment", "id": "h", "status": "booked", "participant": [{"actor": me(), "status": "accepted"},
            {"actor": {"reference": "Practitioner/1"}, "status": "accepted"}]}),
    ]);
    all
}

#[test]
fn what_contains_only_the_member_and_nobody_leaves() {
    let mut random = Random::of_the_day();
    let mut left = 0;
    for container in containers() {
        for own in OWN {
            let all = harmless(Some(own).filter(|_| is_of_member(&container)).copied());
            for one in &all {
                let second = json!({"resourceType": "Organization", "id": "h2", "name": "lab"});
                let mut contained = vec![one.clone(), second];
                contained.rotate_left(random.below(2));
                let resource = with(container.clone(), "contained", contained.into());
                assert!(
                    matches!(fate(&resource), Fate::Leaves(_)),
                    "{resource}: {:?}",
                    gate(&resource).map(|kept| kept.sensitivity)
                );
                left += 1;
            }
        }
    }
    println!("{left} left");
    assert!(left > 1_000);
}
