//! The people whom the sandbox insures: made up from a seed, or described by the script. None of them exists.

use crate::random::SandboxRandom;
use crate::script::{SandboxMemberSpec, SandboxPayer, SandboxScript};
use serde_json::{Value, json};
use std::collections::HashMap;

const FAMILIES: [&str; 24] = [
    "Abernathy",
    "Bellweather",
    "Castellano",
    "Dunmore",
    "Eastwick",
    "Farrow",
    "Galloway",
    "Hollis",
    "Ingram",
    "Jessop",
    "Kowalczyk",
    "Lindqvist",
    "Montague",
    "Nakagawa",
    "Okonkwo",
    "Pemberton",
    "Quintero",
    "Rasmussen",
    "Silvestri",
    "Thackeray",
    "Underhill",
    "Vandermeer",
    "Whitlock",
    "Yamamoto",
];
const WOMEN: [&str; 12] = [
    "Agnes",
    "Beatriz",
    "Celeste",
    "Delphine",
    "Esther",
    "Frida",
    "Greta",
    "Harriet",
    "Imani",
    "Josephine",
    "Keiko",
    "Leonora",
];
const MEN: [&str; 12] = [
    "Alistair",
    "Bartholomew",
    "Cornelius",
    "Desmond",
    "Emilio",
    "Fergus",
    "Gideon",
    "Horatio",
    "Ignacio",
    "Jasper",
    "Kenji",
    "Leopold",
];
const TOWNS: [(&str, &str, &str); 6] = [
    ("Millbrook", "OH", "43001"),
    ("Cedar Falls", "IA", "50613"),
    ("Ashford", "CT", "06278"),
    ("Riverton", "WY", "82501"),
    ("Lakeview", "OR", "97630"),
    ("Brookhaven", "MS", "39601"),
];

/// A member of the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxMember {
    /// Place in the roster, from 0.
    pub index: usize,
    /// Member number on the card.
    pub number: String,
    /// Id of the Patient.
    pub patient_id: String,
    /// The UMB identifier: one for each person at this payer.
    pub umb: String,
    /// Family name.
    pub family: String,
    /// Given names.
    pub given: Vec<String>,
    /// Birth date, YYYY-MM-DD.
    pub birth_date: String,
    /// Administrative gender.
    pub gender: String,
    /// Street, city, state, ZIP code.
    pub address: [String; 4],
    /// Resources of the record.
    pub resources: u64,
}

impl SandboxMember {
    fn made_up(seed: u64, index: usize, resources: u64) -> SandboxMember {
        let mut random = SandboxRandom::of(seed, "member", index as u64);
        let woman = random.below(2) == 0;
        let given = if woman { &WOMEN } else { &MEN };
        let (city, state, zip) = TOWNS[random.below(TOWNS.len() as u64) as usize];
        let id = random.next();
        SandboxMember {
            index,
            number: format!("SB{:04}{:06}", seed % 10_000, index + 1),
            patient_id: format!("{id:016x}"),
            umb: format!("U{:012}", id % 1_000_000_000_000),
            family: FAMILIES[random.below(FAMILIES.len() as u64) as usize].to_owned(),
            given: vec![given[random.below(given.len() as u64) as usize].to_owned()],
            birth_date: format!(
                "{}-{:02}-{:02}",
                1940 + random.below(66),
                1 + random.below(12),
                1 + random.below(28)
            ),
            gender: if woman { "female" } else { "male" }.to_owned(),
            address: [
                format!("{} Orchard Lane", 1 + random.below(900)),
                city.into(),
                state.into(),
                zip.into(),
            ],
            resources,
        }
    }

    /// The Patient as a requester knows the member: `MemberPatient` of HRex, with the id `id` of the requester's own.
    pub fn demographics(&self, id: &str) -> Value {
        let [line, city, state, zip] = &self.address;
        json!({
            "resourceType": "Patient",
            "id": id,
            "identifier": [{
                "type": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB" }] },
                "system": "http://new-payer.example/identifiers/member",
                "value": format!("NP-{id}")
            }],
            "name": [{ "use": "official", "family": self.family, "given": self.given }],
            "gender": self.gender,
            "birthDate": self.birth_date,
            "address": [{ "line": [line], "city": city, "state": state, "postalCode": zip }]
        })
    }

    /// The Coverage of the card that this payer issued: `CoverageToMatch` of HRex.
    pub fn coverage(&self, id: &str, patient: &str, payer: &SandboxPayer) -> Value {
        json!({
            "resourceType": "Coverage",
            "id": id,
            "identifier": [{
                "type": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB" }] },
                "system": payer.member_system,
                "value": self.number
            }],
            "status": "active",
            "subscriberId": self.number,
            "beneficiary": { "reference": format!("Patient/{patient}") },
            "relationship": { "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/subscriber-relationship", "code": "self"
            }] },
            "payor": [{
                "identifier": { "system": "http://hl7.org/fhir/sid/us-npi", "value": payer.npi },
                "display": payer.name
            }]
        })
    }
}

impl SandboxMember {
    /// A whole body of `$member-match` about this member, valid for HRex 1.0 and 1.1: from a requester with this NPI, with a consent that
    /// begins on `day` and lasts 120 days.
    pub fn match_parameters(&self, payer: &SandboxPayer, requester_npi: &str, day: chrono::NaiveDate) -> Value {
        let me = json!({ "reference": "Patient/mp1" });
        let requester = SandboxPayer {
            name: "New Payer".into(),
            npi: requester_npi.to_owned(),
            member_system: "http://new-payer.example/identifiers/member".into(),
            ..payer.clone()
        };
        let linked = SandboxMember {
            number: "NP-88213".into(),
            ..self.clone()
        };
        let coded = |system: &str, code: &str| json!({ "coding": [{ "system": system, "code": code }] });
        let actor = |system: &str, code: &str, npi: &str| {
            json!({
                "role": coded(system, code),
                "reference": { "identifier": { "system": "http://hl7.org/fhir/sid/us-npi", "value": npi } }
            })
        };
        let consent = json!({
            "resourceType": "Consent",
            "id": "c1",
            "status": "active",
            "scope": coded("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
            "category": [coded("http://terminology.hl7.org/CodeSystem/v3-ActCode", "IDSCL")],
            "patient": me,
            "performer": [me],
            "sourceReference": { "reference": "http://new-payer.example/fhir/DocumentReference/optin-1" },
            "policy": [{ "uri": "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#regular" }],
            "provision": {
                "type": "permit",
                "period": {
                    "start": day.to_string(),
                    "end": day.checked_add_days(chrono::Days::new(120)).unwrap_or(day).to_string()
                },
                "actor": [
                    actor("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "performer", &payer.npi),
                    actor("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP", requester_npi)
                ],
                "action": [coded("http://terminology.hl7.org/CodeSystem/consentaction", "disclose")]
            }
        });
        json!({
            "resourceType": "Parameters",
            "parameter": [
                { "name": "MemberPatient", "resource": self.demographics("mp1") },
                { "name": "Consent", "resource": consent },
                { "name": "CoverageToMatch", "resource": self.coverage("old1", "mp1", payer) },
                { "name": "CoverageToLink", "resource": linked.coverage("new1", "mp1", &requester) }
            ]
        })
    }
}

/// All members, found by number and by Patient id.
pub(crate) struct SandboxMembers {
    members: Vec<SandboxMember>,
    by_number: HashMap<String, usize>,
    by_patient: HashMap<String, usize>,
}

impl SandboxMembers {
    /// The members of a script: those that it describes, then those that are made up.
    pub(crate) fn of(script: &SandboxScript) -> SandboxMembers {
        let described = script
            .member
            .iter()
            .enumerate()
            .map(|(index, spec)| described(script, index, spec));
        let first = script.member.len();
        let made_up = (first..first + script.members.count)
            .map(|index| SandboxMember::made_up(script.seed, index, script.members.resources));
        let members: Vec<SandboxMember> = described.chain(made_up).collect();
        let by = |key: fn(&SandboxMember) -> &String| members.iter().map(|m| (key(m).clone(), m.index)).collect();
        SandboxMembers {
            by_number: by(|member| &member.number),
            by_patient: by(|member| &member.patient_id),
            members,
        }
    }

    pub(crate) fn all(&self) -> &[SandboxMember] {
        &self.members
    }

    pub(crate) fn by_number(&self, number: &str) -> Option<&SandboxMember> {
        self.by_number.get(number).map(|&at| &self.members[at])
    }

    pub(crate) fn by_patient(&self, id: &str) -> Option<&SandboxMember> {
        self.by_patient.get(id).map(|&at| &self.members[at])
    }

    /// Somebody else than `member`; one who is not in the roster when it holds nobody else.
    pub(crate) fn other_than(&self, member: &SandboxMember, seed: u64) -> SandboxMember {
        match self.members.len() {
            0 | 1 => SandboxMember::made_up(seed ^ 0x5eed, usize::MAX / 2, member.resources),
            count => self.members[(member.index + 1) % count].clone(),
        }
    }
}

fn described(script: &SandboxScript, index: usize, spec: &SandboxMemberSpec) -> SandboxMember {
    let made_up = SandboxMember::made_up(script.seed, index, script.members.resources);
    SandboxMember {
        number: spec.number.clone().unwrap_or(made_up.number),
        family: spec.family.clone().unwrap_or(made_up.family),
        given: spec.given.clone().unwrap_or(made_up.given),
        birth_date: spec.birth_date.clone().unwrap_or(made_up.birth_date),
        gender: spec.gender.clone().unwrap_or(made_up.gender),
        patient_id: spec.patient_id.clone().unwrap_or(made_up.patient_id),
        resources: spec.resources.unwrap_or(made_up.resources),
        ..made_up
    }
}
