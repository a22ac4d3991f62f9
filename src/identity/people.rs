//! Makes a [`Person`] from a FHIR Patient and its identifiers: for a stored record, and for a request. Decides what each identifier means.

use crate::fhir::elements::{CodeableConcept, Coverage, HumanName, Identifier, Patient};
use causeway_identity::{Person, PersonName, WrittenAddress};

const MB_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v2-0203";
const SSN_SYSTEM: &str = "http://hl7.org/fhir/sid/us-ssn";
const BIRTHSEX: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex";
/// How many names, addresses, telephone numbers and identifiers are read of one person, so that the cost of a person is bounded.
const EACH: usize = 8;

/// The identifier systems of this payer.
#[derive(Clone, Copy, Debug)]
pub struct Systems<'a> {
    /// System of the member numbers on the payer's cards.
    pub member: &'a str,
    /// System of this server's UMB identifiers.
    pub umb: &'a str,
}

/// Makes the person of a record. `identifiers` are those of the Patient and its Coverages: resource type, kind, system, value.
pub fn of_record(patient: &Patient, umb: &str, identifiers: &[[String; 4]], systems: Systems<'_>) -> Person {
    let mut person = demographics(patient);
    umb.clone_into(&mut person.umb);
    for [rtype, kind, system, value] in identifiers {
        let (typed, ours) = (kind == "MB", system == systems.member);
        if kind == "SS" || system == SSN_SYSTEM {
            number(&mut person, value);
        } else if kind == "subscriber" {
            push(&mut person.subscriber_ids, value);
        } else if ours || (typed && (rtype == "Coverage" || system.is_empty())) {
            push(&mut person.member_ids, value);
        }
    }
    // A card without a subscriber number counts as its own household, so its digits need not number dependents.
    if person.subscriber_ids.is_empty() {
        person.subscriber_ids.clone_from(&person.member_ids);
    }
    person
}

/// Makes the person of a request. Identifiers in this payer's system, and member numbers without a system, must be this payer's. Whether
/// another member number is, its form shows: many senders do not know this payer's system and use one of their own.
pub fn of_request(patient: &Patient, coverage: &Coverage, systems: Systems<'_>) -> Person {
    let mut person = demographics(patient);
    for identifier in &coverage.identifier {
        let typed = identifier.kind.as_ref().is_some_and(is_member_type);
        let untyped = identifier.kind.as_ref().is_none_or(|kind| kind.coding.is_empty());
        let Some(value) = value(identifier).filter(|_| typed || untyped) else {
            continue;
        };
        push(&mut person.member_ids, value);
        if identifier
            .system
            .as_deref()
            .map_or(typed, |system| system == systems.member)
        {
            push(&mut person.own_numbers, value);
        }
    }
    for identifier in &patient.identifier {
        let Some(value) = value(identifier) else { continue };
        let system = identifier.system.as_deref();
        let social = identifier.kind.as_ref().is_some_and(|kind| kind.has(MB_SYSTEM, "SS"));
        // Identifiers of other systems on the Patient are the sender's own and say nothing about this payer's records.
        if system == Some(systems.member) {
            push(&mut person.member_ids, value);
            push(&mut person.own_numbers, value);
        } else if system == Some(systems.umb) {
            value.clone_into(&mut person.umb);
        } else if social || system == Some(SSN_SYSTEM) {
            number(&mut person, value);
        }
    }
    if let Some(subscriber) = coverage.subscriber_id.as_deref().map(str::trim) {
        push(&mut person.subscriber_ids, subscriber);
    }
    person
}

fn demographics(patient: &Patient) -> Person {
    let birthsex = || {
        let extension = patient.extension.iter().find(|e| e.url.as_deref() == Some(BIRTHSEX))?;
        match extension.value_code.as_deref()? {
            "M" => Some("male".to_owned()),
            "F" => Some("female".to_owned()),
            _ => None,
        }
    };
    let telecom = |system: &str| -> Vec<String> {
        patient
            .telecom
            .iter()
            .filter(|point| point.system.as_deref() == Some(system))
            .filter_map(|point| point.value.clone())
            .take(EACH)
            .collect()
    };
    // The official name first: the roster counts that one.
    let official = |name: &&HumanName| name.use_code.as_deref() == Some("official");
    let (first, rest): (Vec<&HumanName>, Vec<&HumanName>) = patient.name.iter().partition(official);
    Person {
        names: first.into_iter().chain(rest).take(EACH).map(name).collect(),
        birth_date: patient.birth_date.clone().unwrap_or_default(),
        gender: patient.gender.clone().or_else(birthsex).unwrap_or_default(),
        addresses: patient
            .address
            .iter()
            .take(EACH)
            .map(|address| WrittenAddress {
                line: words(&address.line),
                city: address.city.clone().unwrap_or_default(),
                state: address.state.clone().unwrap_or_default(),
                zip: address.postal_code.clone().unwrap_or_default(),
            })
            .collect(),
        phones: telecom("phone"),
        emails: telecom("email"),
        ..Person::default()
    }
}

fn name(name: &HumanName) -> PersonName {
    PersonName {
        given: name.given.iter().flatten().take(EACH).cloned().collect(),
        family: name.family.clone().unwrap_or_default(),
        suffix: words(&name.suffix),
    }
}

fn words(parts: &[Option<String>]) -> String {
    let parts: Vec<&str> = parts.iter().flatten().take(EACH).map(String::as_str).collect();
    parts.join(" ")
}

fn push(list: &mut Vec<String>, value: &str) {
    if list.len() < EACH && !list.iter().any(|known| known == value) {
        list.push(value.to_owned());
    }
}

/// Sets the social security number, whole or its last four digits.
fn number(person: &mut Person, value: &str) {
    let digits = value.chars().filter(char::is_ascii_digit).count();
    if digits == 4 && person.ssn_last4.is_empty() {
        value.clone_into(&mut person.ssn_last4);
    } else if digits > 4 && person.ssn.is_empty() {
        value.clone_into(&mut person.ssn);
    }
}

fn value(identifier: &Identifier) -> Option<&str> {
    identifier
        .value
        .as_deref()
        .map(str::trim)
        .filter(|value| !value.is_empty())
}

fn is_member_type(kind: &CodeableConcept) -> bool {
    kind.has(MB_SYSTEM, "MB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const OURS: Systems<'static> = Systems {
        member: "http://old/member",
        umb: "http://old/umb",
    };

    fn request(patient: serde_json::Value, coverage: serde_json::Value) -> Person {
        let patient: Patient = serde_json::from_value(patient).expect("a patient");
        let coverage: Coverage = serde_json::from_value(coverage).expect("a coverage");
        of_request(&patient, &coverage, OURS)
    }

    #[test]
    fn a_number_of_a_request_is_ours_theirs_or_judged_by_its_form() {
        let mb = json!({"coding": [{"system": MB_SYSTEM, "code": "MB"}]});
        let person = request(
            json!({"identifier": [
                {"system": "http://new/member", "type": mb, "value": "N1"},
                {"system": "http://old/umb", "value": "U1"},
                {"system": SSN_SYSTEM, "value": "977-02-5319"},
            ]}),
            json!({"identifier": [
                {"system": "http://old/member", "type": mb, "value": " M1 "},
                {"type": mb, "value": "M2"},
                {"system": "http://elsewhere", "type": mb, "value": "M3"},
                {"value": "M4"},
                {"type": {"coding": [{"code": "XX"}]}, "value": "M5"},
            ], "subscriberId": "S1"}),
        );
        assert_eq!(person.member_ids, ["M1", "M2", "M3", "M4"]);
        assert_eq!(person.own_numbers, ["M1", "M2"]);
        assert_eq!((person.umb.as_str(), person.ssn.as_str()), ("U1", "977-02-5319"));
        assert_eq!(person.subscriber_ids, ["S1"]);
    }

    #[test]
    fn a_record_has_the_numbers_of_its_coverages_and_its_official_name_first() {
        let patient: Patient = serde_json::from_value(json!({
            "name": [{"family": "Smith", "use": "maiden"}, {"family": "Lane", "use": "official", "given": ["Ana", null]}],
            "extension": [{"url": BIRTHSEX, "valueCode": "F"}],
            "telecom": [{"system": "phone", "value": "1"}, {"system": "fax", "value": "2"}],
            "address": [{"line": ["12 Elm St", "Apt 3"], "postalCode": "33601"}],
        }))
        .expect("a patient");
        let row = |parts: [&str; 4]| parts.map(str::to_owned);
        let identifiers = [
            row(["Coverage", "MB", "http://old/member", "M1"]),
            row(["Coverage", "subscriber", "", "S1"]),
            row(["Patient", "MB", "http://former/member", "F1"]),
            row(["Patient", "SS", "", "977025319"]),
        ];
        let person = of_record(&patient, "U1", &identifiers, OURS);
        assert_eq!(person.names[0].family, "Lane");
        assert_eq!((person.gender.as_str(), person.phones.len()), ("female", 1));
        assert_eq!(person.addresses[0].line, "12 Elm St Apt 3");
        assert_eq!(
            (person.member_ids, person.subscriber_ids),
            (vec!["M1".into()], vec!["S1".into()])
        );
        assert_eq!((person.ssn.as_str(), person.umb.as_str()), ("977025319", "U1"));
        let card = of_record(&patient, "U1", &identifiers[..1], OURS);
        assert_eq!(card.subscriber_ids, ["M1"], "a card alone is its own household");
    }
}
