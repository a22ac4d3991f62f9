//! The parts of R4 resources and data types that this server reads. Every field is optional and unknown fields are ignored, because the
//! gate has checked the shape before.
//!
//! No floats and no `flatten` are used (decimals are only copied as text). Source: FHIR R4 data types; HRex 1.0 to 1.2 profiles.

use serde::Deserialize;

/// A `Coding`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Coding {
    pub system: Option<String>,
    pub code: Option<String>,
}

/// A `CodeableConcept`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct CodeableConcept {
    pub coding: Vec<Coding>,
    pub text: Option<String>,
}

impl CodeableConcept {
    /// Whether one of the codings has this system and code.
    pub fn has(&self, system: &str, code: &str) -> bool {
        self.coding
            .iter()
            .any(|c| c.system.as_deref() == Some(system) && c.code.as_deref() == Some(code))
    }
}

/// An `Identifier`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Identifier {
    #[serde(rename = "use")]
    pub use_code: Option<String>,
    #[serde(rename = "type")]
    pub kind: Option<CodeableConcept>,
    pub system: Option<String>,
    pub value: Option<String>,
}

/// A `Reference`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Reference {
    pub reference: Option<String>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub identifier: Option<Identifier>,
    pub display: Option<String>,
}

/// A `Period`; both ends are FHIR dateTimes of any precision.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Period {
    pub start: Option<String>,
    pub end: Option<String>,
}

/// A `HumanName`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct HumanName {
    #[serde(rename = "use")]
    pub use_code: Option<String>,
    pub family: Option<String>,
    pub given: Vec<Option<String>>,
    pub suffix: Vec<Option<String>>,
}

/// An `Address`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Address {
    pub line: Vec<Option<String>>,
    pub city: Option<String>,
    pub state: Option<String>,
    #[serde(rename = "postalCode")]
    pub postal_code: Option<String>,
}

/// A `ContactPoint`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ContactPoint {
    pub system: Option<String>,
    pub value: Option<String>,
}

/// An `Extension`, with the values that US Core demographics use.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Extension {
    pub url: Option<String>,
    #[serde(rename = "valueCode")]
    pub value_code: Option<String>,
}

/// The parts of `Meta` that the release rule needs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Meta {
    #[serde(rename = "versionId")]
    pub version_id: Option<String>,
    #[serde(rename = "lastUpdated")]
    pub last_updated: Option<String>,
    pub profile: Vec<Option<String>>,
    pub security: Vec<Coding>,
    pub tag: Vec<Coding>,
}

/// The parts of a `Patient` that identity needs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Patient {
    pub id: Option<String>,
    pub meta: Meta,
    pub extension: Vec<Extension>,
    pub identifier: Vec<Identifier>,
    pub name: Vec<HumanName>,
    pub telecom: Vec<ContactPoint>,
    pub gender: Option<String>,
    #[serde(rename = "birthDate")]
    pub birth_date: Option<String>,
    pub address: Vec<Address>,
}

/// The parts of a `Coverage` that matching needs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Coverage {
    pub id: Option<String>,
    pub identifier: Vec<Identifier>,
    pub status: Option<String>,
    #[serde(rename = "subscriberId")]
    pub subscriber_id: Option<String>,
    pub subscriber: Option<Reference>,
    pub beneficiary: Option<Reference>,
    pub dependent: Option<String>,
    pub relationship: Option<CodeableConcept>,
    pub period: Option<Period>,
    pub payor: Vec<Reference>,
}

/// A `Consent` of the HRex profile.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Consent {
    pub id: Option<String>,
    pub status: Option<String>,
    pub scope: Option<CodeableConcept>,
    pub category: Vec<CodeableConcept>,
    pub patient: Option<Reference>,
    pub performer: Vec<Reference>,
    #[serde(rename = "sourceReference")]
    pub source_reference: Option<Reference>,
    pub policy: Vec<ConsentPolicy>,
    pub verification: Vec<ConsentVerification>,
    pub provision: Option<Provision>,
}

/// `Consent.verification`: whether somebody made sure of it with the member.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ConsentVerification {
    pub verified: Option<bool>,
}

/// `Consent.policy`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ConsentPolicy {
    pub authority: Option<String>,
    pub uri: Option<String>,
}

/// `Consent.provision`. The profile forbids filters; here it matters only whether one is present.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Provision {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub period: Option<Period>,
    pub actor: Vec<ConsentActor>,
    pub action: Vec<CodeableConcept>,
    #[serde(rename = "securityLabel")]
    pub security_label: Vec<Coding>,
    pub purpose: Vec<Coding>,
    pub class: Vec<Coding>,
    pub code: Vec<CodeableConcept>,
    #[serde(rename = "dataPeriod")]
    pub data_period: Option<Period>,
    pub data: Vec<serde::de::IgnoredAny>,
    pub provision: Vec<serde::de::IgnoredAny>,
}

impl Eq for Provision {}

/// `Consent.provision.actor`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ConsentActor {
    pub role: Option<CodeableConcept>,
    pub reference: Option<Reference>,
}
