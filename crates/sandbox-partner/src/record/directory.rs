//! The person, the cover, and who is referred to; last, who transmits it all.

use super::{RecordPlace, SandboxRecord, code, us_core};
use serde_json::{Value, json};

const V2_0203: &str = "http://terminology.hl7.org/CodeSystem/v2-0203";
const NPI: &str = "http://hl7.org/fhir/sid/us-npi";

/// The profile and the content.
pub(super) fn content(record: &SandboxRecord, place: RecordPlace, index: u64) -> (String, Value) {
    match place {
        RecordPlace::Patient => (us_core("patient"), patient(record)),
        RecordPlace::Coverage => {
            let profile = "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition/hrex-coverage";
            (profile.into(), coverage(record))
        }
        RecordPlace::PayerOrganization => (
            us_core("organization"),
            organization(&record.payer.npi, &record.payer.name, "pay", "Payer"),
        ),
        RecordPlace::ProviderOrganization => {
            let text = organization("1992000046", "Sandbox Clinic", "prov", "Healthcare Provider");
            (us_core("organization"), text)
        }
        RecordPlace::Practitioner => (us_core("practitioner"), practitioner()),
        RecordPlace::Location => (us_core("location"), location(record)),
        _ => (us_core("provenance"), transmission(record, index)),
    }
}

fn patient(record: &SandboxRecord) -> Value {
    let member = &record.member;
    let [line, city, state, zip] = &member.address;
    json!({
        "identifier": [
            { "type": code(V2_0203, "MB"), "system": record.payer.member_system, "value": member.number },
            {
                "type": code("http://hl7.org/fhir/us/davinci-hrex/CodeSystem/hrex-temp", "UMB"),
                "system": record.payer.umb_system, "value": member.umb
            }
        ],
        "active": true,
        "name": [{ "use": "official", "family": member.family, "given": member.given }],
        "gender": member.gender,
        "birthDate": member.birth_date,
        "address": [{ "line": [line], "city": city, "state": state, "postalCode": zip, "country": "US" }]
    })
}

fn coverage(record: &SandboxRecord) -> Value {
    json!({
        "identifier": [{ "type": code(V2_0203, "MB"), "system": record.payer.member_system, "value": record.member.number }],
        "status": "active",
        "subscriberId": record.member.number,
        "beneficiary": record.patient(),
        "relationship": code("http://terminology.hl7.org/CodeSystem/subscriber-relationship", "self"),
        "period": { "start": "2020-01-01" },
        "payor": [record.reference(2)],
        "class": [{
            "type": code("http://terminology.hl7.org/CodeSystem/coverage-class", "plan"), "value": "SB-GOLD", "name": "Sandbox Gold"
        }]
    })
}

fn organization(npi: &str, name: &str, kind: &str, display: &str) -> Value {
    let mut kind = code("http://terminology.hl7.org/CodeSystem/organization-type", kind);
    kind["coding"][0]["display"] = display.into();
    json!({
        "identifier": [{ "system": NPI, "value": npi }],
        "active": true,
        "type": [kind],
        "name": name,
        "telecom": [{ "system": "phone", "value": "555-0100" }],
        "address": [{ "line": ["1 Harbor Street"], "city": "Millbrook", "state": "OH", "postalCode": "43001", "country": "US" }]
    })
}

fn practitioner() -> Value {
    json!({
        "identifier": [{ "system": NPI, "value": "1992000053" }],
        "active": true,
        "name": [{ "family": "Whitcombe", "given": ["Rosalind"], "prefix": ["Dr."] }]
    })
}

fn location(record: &SandboxRecord) -> Value {
    json!({
        "status": "active",
        "name": "Sandbox Clinic, Millbrook",
        "telecom": [{ "system": "phone", "value": "555-0101" }],
        "address": { "line": ["1 Harbor Street"], "city": "Millbrook", "state": "OH", "postalCode": "43001" },
        "managingOrganization": record.reference(3)
    })
}

/// How many resources from the first the record of a transmission looks at for its targets; it names those that `$everything` holds.
const TARGETS_MAX: u64 = 20;

fn transmission(record: &SandboxRecord, index: u64) -> Value {
    let targets: Vec<Value> = (0..index.min(TARGETS_MAX))
        .filter(|&target| record.in_everything(target))
        .map(|target| record.reference(target))
        .collect();
    let transmitter = code(
        "http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type",
        "transmitter",
    );
    json!({
        "target": targets,
        "recorded": record.last_updated(0),
        "agent": [{ "type": transmitter, "who": record.reference(2) }]
    })
}
