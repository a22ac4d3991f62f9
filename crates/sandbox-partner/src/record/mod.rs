//! Records of members: resource number `i` is a pure function of the seed and `i`, so that a record of any size costs no memory.
//!
//! Order: the Patient, the Coverage, four resources of the directory, then visits of fourteen resources each, and last the Provenance
//! of the transmission (PDex, pdex-127).

mod alter;
mod bundle;
mod claims;
mod clinical;
mod directory;

pub(crate) use alter::Alterations;
pub(crate) use bundle::{BundlePieces, SandboxBundleHead, large, squeezed};

use crate::member::SandboxMember;
use crate::random::SandboxRandom;
use crate::script::{PdexVersion, SandboxPayer, UsCoreVersion};
use chrono::{Days, NaiveDate};
use serde_json::{Value, json};

/// Resources before the first visit.
const VISITS_FROM: u64 = 6;
/// Days of the last five years that visits are spread over.
const DAYS: u64 = 1700;

/// What a resource number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordPlace {
    Patient,
    Coverage,
    PayerOrganization,
    ProviderOrganization,
    Practitioner,
    Location,
    Encounter,
    Condition,
    Weight,
    Glucose,
    Procedure,
    MedicationRequest,
    Immunization,
    DiagnosticReport,
    Claim,
    DocumentReference,
    Allergy,
    PriorAuthorization,
    CarePlan,
    Goal,
    Transmission,
}

const VISIT: [RecordPlace; 14] = [
    RecordPlace::Encounter,
    RecordPlace::Condition,
    RecordPlace::Weight,
    RecordPlace::Glucose,
    RecordPlace::Procedure,
    RecordPlace::MedicationRequest,
    RecordPlace::Immunization,
    RecordPlace::DiagnosticReport,
    RecordPlace::Claim,
    RecordPlace::DocumentReference,
    RecordPlace::Allergy,
    RecordPlace::PriorAuthorization,
    RecordPlace::CarePlan,
    RecordPlace::Goal,
];

impl RecordPlace {
    fn type_name(self) -> &'static str {
        match self {
            RecordPlace::Patient => "Patient",
            RecordPlace::Coverage => "Coverage",
            RecordPlace::PayerOrganization | RecordPlace::ProviderOrganization => "Organization",
            RecordPlace::Practitioner => "Practitioner",
            RecordPlace::Location => "Location",
            RecordPlace::Encounter => "Encounter",
            RecordPlace::Condition => "Condition",
            RecordPlace::Weight | RecordPlace::Glucose => "Observation",
            RecordPlace::Procedure => "Procedure",
            RecordPlace::MedicationRequest => "MedicationRequest",
            RecordPlace::Immunization => "Immunization",
            RecordPlace::DiagnosticReport => "DiagnosticReport",
            RecordPlace::Claim | RecordPlace::PriorAuthorization => "ExplanationOfBenefit",
            RecordPlace::DocumentReference => "DocumentReference",
            RecordPlace::Allergy => "AllergyIntolerance",
            RecordPlace::CarePlan => "CarePlan",
            RecordPlace::Goal => "Goal",
            RecordPlace::Transmission => "Provenance",
        }
    }
}

/// Types that a record can hold, in the order of the CapabilityStatement.
pub(crate) const TYPES: [&str; 18] = [
    "AllergyIntolerance",
    "CarePlan",
    "Condition",
    "Coverage",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "ExplanationOfBenefit",
    "Goal",
    "Immunization",
    "Location",
    "MedicationRequest",
    "Observation",
    "Organization",
    "Patient",
    "Practitioner",
    "Procedure",
    "Provenance",
];

/// The record of one member.
#[derive(Clone, Debug)]
pub(crate) struct SandboxRecord {
    pub(crate) member: SandboxMember,
    pub(super) payer: SandboxPayer,
    pub(super) pdex: PdexVersion,
    pub(super) us_core: UsCoreVersion,
    seed: u64,
    as_of: NaiveDate,
}

impl SandboxRecord {
    pub(crate) fn of(
        member: SandboxMember,
        payer: SandboxPayer,
        versions: (PdexVersion, UsCoreVersion),
        seed: u64,
        as_of: NaiveDate,
    ) -> SandboxRecord {
        SandboxRecord {
            member,
            payer,
            pdex: versions.0,
            us_core: versions.1,
            seed,
            as_of,
        }
    }

    /// Resources of it.
    pub(crate) fn len(&self) -> u64 {
        self.member.resources
    }

    fn place(&self, index: u64) -> RecordPlace {
        match index {
            0 => RecordPlace::Patient,
            1 => RecordPlace::Coverage,
            2 => RecordPlace::PayerOrganization,
            3 => RecordPlace::ProviderOrganization,
            4 => RecordPlace::Practitioner,
            5 => RecordPlace::Location,
            _ if index + 1 == self.len() => RecordPlace::Transmission,
            _ => VISIT[((index - VISITS_FROM) % VISIT.len() as u64) as usize],
        }
    }

    /// The type of resource `index`. Beyond the record come further visits, for Bundles that never end.
    pub(crate) fn type_of(&self, index: u64) -> &'static str {
        self.place(index).type_name()
    }

    /// Whether `$everything` holds it: before PDex 2.2 it has prior authorizations and no claims.
    pub(crate) fn in_everything(&self, index: u64) -> bool {
        self.pdex >= PdexVersion::V2_2 || self.place(index) != RecordPlace::Claim
    }

    /// The FHIR id of resource `index`.
    pub(crate) fn id(&self, index: u64) -> String {
        match index {
            0 => self.member.patient_id.clone(),
            _ => format!("{}-{index}", self.member.patient_id),
        }
    }

    /// The number of the resource with this id.
    pub(crate) fn index_of(&self, id: &str) -> Option<u64> {
        let rest = id.strip_prefix(&self.member.patient_id)?;
        let index = match rest {
            "" => 0,
            _ => rest.strip_prefix('-')?.parse().ok().filter(|&index| index > 0)?,
        };
        (index < self.len() && self.id(index) == id).then_some(index)
    }

    pub(super) fn reference(&self, index: u64) -> Value {
        json!({ "reference": format!("{}/{}", self.type_of(index), self.id(index)) })
    }

    pub(super) fn patient(&self) -> Value {
        self.reference(0)
    }

    /// The Encounter of the visit to which resource `index` belongs.
    pub(super) fn visit(&self, index: u64) -> u64 {
        index - (index - VISITS_FROM) % VISIT.len() as u64
    }

    pub(super) fn random(&self, index: u64) -> SandboxRandom {
        SandboxRandom::of(self.seed, &self.member.patient_id, index)
    }

    /// The day of resource `index`: newest first, none older than five years.
    pub(super) fn day(&self, index: u64) -> NaiveDate {
        let back = match index {
            0..VISITS_FROM => 20,
            _ => {
                30 + (index.saturating_sub(VISITS_FROM) / VISIT.len() as u64 * VISIT.len() as u64) * DAYS
                    / self.len().max(1)
            }
        };
        self.as_of
            .checked_sub_days(Days::new(back.min(DAYS + 30)))
            .unwrap_or(self.as_of)
    }

    /// `meta.lastUpdated` of resource `index`.
    pub(crate) fn last_updated(&self, index: u64) -> String {
        let day = self.day(index);
        format!("{}T12:00:00.000Z", day.checked_add_days(Days::new(2)).unwrap_or(day))
    }

    /// Resource `index`.
    pub(crate) fn resource(&self, index: u64) -> Value {
        let place = self.place(index);
        let mut resource = json!({
            "resourceType": place.type_name(),
            "id": self.id(index),
            "meta": { "versionId": "3", "lastUpdated": self.last_updated(index) }
        });
        let (profile, content) = match place {
            RecordPlace::Patient
            | RecordPlace::Coverage
            | RecordPlace::PayerOrganization
            | RecordPlace::ProviderOrganization
            | RecordPlace::Practitioner
            | RecordPlace::Location
            | RecordPlace::Transmission => directory::content(self, place, index),
            RecordPlace::Claim | RecordPlace::PriorAuthorization => claims::content(self, place, index),
            _ => clinical::content(self, place, index),
        };
        resource["meta"]["profile"] = json!([profile]);
        if let (Value::Object(resource), Value::Object(content)) = (&mut resource, content) {
            resource.extend(content);
        }
        resource
    }
}

pub(super) fn us_core(name: &str) -> String {
    format!("http://hl7.org/fhir/us/core/StructureDefinition/us-core-{name}")
}

pub(super) fn concept(system: &str, code: &str, display: &str) -> Value {
    json!({ "coding": [{ "system": system, "code": code, "display": display }] })
}

pub(super) fn code(system: &str, code: &str) -> Value {
    json!({ "coding": [{ "system": system, "code": code }] })
}

#[cfg(test)]
mod tests;
