//! The demographics that the matcher compares, read from a stored Patient; and the identifiers for exact look-up.

use crate::fhir::prescreen::{Screened, Value};
use crate::identity::fold;

/// The row of `member` for a Patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demographics {
    /// Folded family name of the official name, otherwise of the first name that has one.
    pub family: String,
    /// `birthDate` unchanged; empty when there is none.
    pub birth_date: String,
    /// JSON of `name`, `gender`, `birthDate`, `address`, `telecom`, `identifier`, as they are in the Patient.
    pub json: String,
}

/// An identifier of a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KnownIdentifier {
    /// Its value.
    pub value: String,
    /// Its system; empty when it has none.
    pub system: String,
    /// Code of its type (`MB`, `UMB`, `SS`), or `subscriber` for `Coverage.subscriberId`; else empty.
    pub kind: String,
}

/// Longest value or system that is indexed, in bytes.
const INDEXED_BYTES_MAX: usize = 512;
/// How many letters of a family name are kept for look-up, so that the index entry fits on either database.
const FAMILY_MAX: usize = 200;
/// Types whose identifiers are indexed: those that are looked up when the member is not known.
const INDEXED: &[&str] = &[
    "Coverage",
    "Device",
    "HealthcareService",
    "InsurancePlan",
    "Location",
    "Medication",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "RelatedPerson",
];
const COPIED: &[&str] = &["name", "gender", "birthDate", "address", "telecom", "identifier"];

/// Reads the demographics of a Patient.
pub fn read(patient: &Screened<'_>) -> Demographics {
    let root = patient.root();
    let names = root.all(&["name"]);
    let has_family = |name: &&Value<'_>| name.get("family").is_some();
    let official = names
        .iter()
        .find(|name| has_family(name) && name.get("use").is_some_and(|code| code.is("official")));
    let family = official
        .or_else(|| names.iter().find(has_family))
        .and_then(|name| name.get("family")?.text());
    let mut json = String::from("{");
    for name in COPIED {
        if let Some(raw) = root.get(name).and_then(|value| std::str::from_utf8(value.raw()).ok()) {
            let comma = if json.len() > 1 { "," } else { "" };
            json.push_str(&format!("{comma}\"{name}\":{raw}"));
        }
    }
    json.push('}');
    Demographics {
        family: fold(&family.unwrap_or_default())
            .chars()
            .filter(|c| c.is_alphabetic())
            .take(FAMILY_MAX)
            .collect(),
        birth_date: root
            .get("birthDate")
            .and_then(|value| value.text())
            .unwrap_or_default()
            .into_owned(),
        json,
    }
}

/// Returns the identifiers that are indexed, sorted and without duplicates.
pub fn identifiers(resource: &Screened<'_>) -> Vec<KnownIdentifier> {
    if INDEXED.binary_search(&resource.resource_type().as_ref()).is_err() {
        return Vec::new();
    }
    let root = resource.root();
    let text = |value: Option<Value<'_>>| value.and_then(|v| v.text()).unwrap_or_default().into_owned();
    let mut found = Vec::new();
    for identifier in root.all(&["identifier"]) {
        let kind = identifier.all(&["type", "coding", "code"]).first().copied();
        found.push(KnownIdentifier {
            value: text(identifier.get("value")),
            system: text(identifier.get("system")),
            kind: text(kind),
        });
    }
    if let Some(subscriber) = root.get("subscriberId") {
        found.push(KnownIdentifier {
            value: text(Some(subscriber)),
            system: String::new(),
            kind: "subscriber".into(),
        });
    }
    found.retain(|one| {
        !one.value.is_empty() && one.value.len().max(one.system.len()).max(one.kind.len()) <= INDEXED_BYTES_MAX
    });
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::elements::Patient;
    use crate::fhir::prescreen::{ScreenLimits, screen};

    #[test]
    fn a_patient_becomes_what_identity_compares() {
        let text = r#"{"resourceType":"Patient","id":"a","name":[{"family":"Smith","use":"maiden"},
            {"use":"official","family":"O'Núñez-Łuk","given":["Zoë"]}],"birthDate":"2001-02-03","gender":"female",
            "identifier":[{"type":{"coding":[{"code":"MB"}]},"system":"http://x","value":"M1"},{"value":"M1","system":"http://x"}]}"#;
        let screened = screen(text.as_bytes(), &ScreenLimits::record()).expect("passes");
        let read = read(&screened);
        assert_eq!(
            (read.family.as_str(), read.birth_date.as_str()),
            ("onunezluk", "2001-02-03")
        );
        let patient: Patient = serde_json::from_str(&read.json).expect("identity can read it");
        assert_eq!(
            (patient.name.len(), patient.gender.as_deref(), patient.identifier.len()),
            (2, Some("female"), 2)
        );
        let found = identifiers(&screened);
        assert_eq!(
            found.iter().map(|one| one.kind.as_str()).collect::<Vec<_>>(),
            ["", "MB"]
        );
    }

    #[test]
    fn a_subscriber_number_is_an_identifier() {
        let text = r#"{"resourceType":"Coverage","subscriberId":"S9"}"#;
        let found = identifiers(&screen(text.as_bytes(), &ScreenLimits::record()).expect("passes"));
        assert_eq!(
            found,
            [KnownIdentifier {
                value: "S9".into(),
                system: String::new(),
                kind: "subscriber".into()
            }]
        );
    }
}
