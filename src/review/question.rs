//! What was asked: the words of a request that identity reads, and the keyed hash by which the same question is known again.
//!
//! The hash is over what the request says of the person and of the coverage to match. Resource ids, consent and the coverage
//! to link are no part of it: they may differ when the same is asked again.

use crate::context::Context;
use crate::error::Failure;
use crate::fhir::elements::{Address, ContactPoint, Coverage, HumanName, Patient};
use crate::identity::{Profile, code};
use crate::secret::hmac_sha256;
use crate::store::secrets;
use serde::{Deserialize, Serialize};

/// Name of the store's key for questions.
const KEY: &str = "review-questions";
const BIRTHSEX: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex";
/// Systems of social security numbers; of these only the last four digits are shown.
const SSN: [&str; 2] = ["http://hl7.org/fhir/sid/us-ssn", "urn:oid:2.16.840.1.113883.4.1"];

/// What is said of a person, in words that can be put side by side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Given names, middle names, family name, suffix of each name.
    pub names: Vec<[String; 4]>,
    /// As written.
    pub birth_date: String,
    /// As written, or birth sex when that is all there is.
    pub gender: String,
    /// One line each.
    pub addresses: Vec<String>,
    /// Telephone numbers.
    pub phones: Vec<String>,
    /// E-mail addresses.
    pub emails: Vec<String>,
    /// System and value of the Patient's identifiers, sorted.
    pub identifiers: Vec<(String, String)>,
    /// System and value of the coverage's identifiers, sorted.
    pub coverage: Vec<(String, String)>,
    /// Subscriber numbers.
    pub subscribers: Vec<String>,
}

impl Subject {
    /// What a Patient, and the coverage it comes with, say.
    pub fn of(patient: &Patient, coverage: Option<&Coverage>) -> Subject {
        let sorted = |identifiers: &[crate::fhir::elements::Identifier]| {
            let mut pairs: Vec<(String, String)> = identifiers
                .iter()
                .map(|one| (trimmed(one.system.as_deref()), trimmed(one.value.as_deref())))
                .filter(|(_, value)| !value.is_empty())
                .collect();
            pairs.sort_unstable();
            pairs.dedup();
            pairs
        };
        let birthsex = patient
            .extension
            .iter()
            .find(|one| one.url.as_deref() == Some(BIRTHSEX));
        let gender = patient
            .gender
            .as_deref()
            .or_else(|| birthsex.and_then(|one| one.value_code.as_deref()));
        let reached = |system: &str| {
            let of_system = |point: &&ContactPoint| point.system.as_deref() == Some(system);
            let values = patient.telecom.iter().filter(of_system);
            values
                .map(|point| trimmed(point.value.as_deref()))
                .filter(|value| !value.is_empty())
                .collect()
        };
        Subject {
            names: patient.name.iter().map(name).collect(),
            birth_date: trimmed(patient.birth_date.as_deref()),
            gender: trimmed(gender),
            addresses: patient
                .address
                .iter()
                .map(address)
                .filter(|line| !line.is_empty())
                .collect(),
            phones: reached("phone"),
            emails: reached("email"),
            identifiers: sorted(&patient.identifier),
            coverage: coverage.map(|one| sorted(&one.identifier)).unwrap_or_default(),
            subscribers: coverage
                .and_then(|one| one.subscriber_id.as_deref())
                .map(|value| vec![value.trim().to_owned()])
                .unwrap_or_default(),
        }
    }

    /// The words on one field of a comparison, for somebody who may see them. Of a social security number the last four digits.
    pub fn shown(&self, field: &str) -> String {
        let part = |at: usize| {
            let parts: Vec<&str> = self.names.iter().map(|name| name[at].as_str()).collect();
            distinct(parts)
        };
        let numbers = |of_ssn: bool| {
            self.identifiers
                .iter()
                .filter(move |(system, _)| SSN.contains(&system.as_str()) == of_ssn)
        };
        match field {
            "given" => part(0),
            "middle" => part(1),
            "family" => part(2),
            "suffix" => part(3),
            "birth" | "birth-date" => self.birth_date.clone(),
            "gender" => self.gender.clone(),
            "address" => distinct(self.addresses.iter().map(String::as_str).collect()),
            "phone" => distinct(self.phones.iter().map(String::as_str).collect()),
            "email" => distinct(self.emails.iter().map(String::as_str).collect()),
            "ssn" => {
                let last = |value: &str| {
                    let digits: Vec<char> = value.chars().filter(char::is_ascii_digit).collect();
                    let tail: String = digits[digits.len().saturating_sub(4)..].iter().collect();
                    format!("…{tail}")
                };
                let tails: Vec<String> = numbers(true).map(|(_, value)| last(value)).collect();
                distinct(tails.iter().map(String::as_str).collect())
            }
            "member_id" | "member-id" => {
                let sent = self
                    .coverage
                    .iter()
                    .chain(numbers(false))
                    .map(|(_, value)| value.as_str());
                distinct(sent.chain(self.subscribers.iter().map(String::as_str)).collect())
            }
            _ => String::new(),
        }
    }
}

/// The fields that a side-by-side view shows, in its order.
pub const SHOWN: [&str; 11] = [
    "given",
    "middle",
    "family",
    "suffix",
    "birth",
    "gender",
    "ssn",
    "address",
    "phone",
    "email",
    "member_id",
];

fn distinct(mut values: Vec<&str>) -> String {
    let mut seen = std::collections::HashSet::new();
    values.retain(|value| !value.is_empty() && seen.insert(*value));
    values.join(" / ")
}

fn trimmed(text: Option<&str>) -> String {
    text.unwrap_or_default().trim().to_owned()
}

fn joined(parts: &[Option<String>]) -> String {
    let parts: Vec<&str> = parts
        .iter()
        .flatten()
        .map(|part| part.trim())
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(" ")
}

fn name(name: &HumanName) -> [String; 4] {
    let (first, middle) = name.given.split_at(name.given.len().min(1));
    [
        joined(first),
        joined(middle),
        trimmed(name.family.as_deref()),
        joined(&name.suffix),
    ]
}

fn address(address: &Address) -> String {
    let parts = [
        joined(&address.line),
        trimmed(address.city.as_deref()),
        trimmed(address.state.as_deref()),
        trimmed(address.postal_code.as_deref()),
    ];
    let parts: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(", ")
}

/// The keyed hash of what `partner_id` asked: what the matcher reads of it, so that a case or an apostrophe makes no other question,
/// and the numbers that it does not read, which tell two newborns without a name apart.
pub fn asked(key: &[u8; 32], partner_id: &str, profile: &Profile, subject: &Subject) -> [u8; 32] {
    let mut numbers: Vec<(&str, String)> = subject
        .identifiers
        .iter()
        .chain(&subject.coverage)
        .map(|(system, value)| (system.as_str(), code(value)))
        .collect();
    numbers.sort_unstable();
    let mut text = format!("review-question-2\n{partner_id}\n{numbers:?}\n").into_bytes();
    text.extend(profile.pack());
    hmac_sha256(key, &text)
}

/// The store's key for questions; read once by each process.
///
/// # Errors
/// Those of the store.
pub async fn key(ctx: &Context) -> Result<[u8; 32], Failure> {
    if let Some(key) = ctx.review.known_key() {
        return Ok(key);
    }
    let key = ctx.store.reserved().write(|db| secrets::get_or_make(db, KEY)).await?;
    ctx.review.keep_key(key);
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Systems, of_request};
    use serde_json::json;

    fn subject(patient: serde_json::Value) -> Subject {
        question(patient).1
    }

    fn question(patient: serde_json::Value) -> (Profile, Subject) {
        let patient: Patient = serde_json::from_value(patient).expect("a patient");
        let coverage: Coverage =
            serde_json::from_value(json!({"id": "c9", "identifier": [{"value": "M1"}], "subscriberId": "S1"}))
                .expect("a coverage");
        let systems = Systems {
            member: "http://old/member",
            umb: "http://old/umb",
        };
        let profile = Profile::from(&of_request(&patient, &coverage, systems));
        (profile, Subject::of(&patient, Some(&coverage)))
    }

    fn ana(id: &str, birth: &str) -> serde_json::Value {
        json!({"id": id, "name": [{"family": " Lima ", "given": ["Ana", "R"]}], "birthDate": birth, "gender": "female",
            "address": [{"line": ["1 Old Road"], "city": "Salem", "state": "OR", "postalCode": "97301"}],
            "telecom": [{"system": "phone", "value": "555-0100"}],
            "identifier": [{"system": "http://hl7.org/fhir/sid/us-ssn", "value": "900-12-3456"}]})
    }

    #[test]
    fn the_same_question_is_known_again_and_another_is_not() {
        let one = question(ana("a", "1984-07-09"));
        let key = [7; 32];
        let hash = |key: &[u8; 32], partner: &str, (profile, subject): &(Profile, Subject)| {
            asked(key, partner, profile, subject)
        };
        let same = |other: serde_json::Value| hash(&key, "p", &one) == hash(&key, "p", &question(other));
        assert!(same(ana("b", "1984-07-09")), "resource ids are no part of it");
        let mut written = ana("a", "1984-07-09");
        written["name"][0]["family"] = json!("LIMA'");
        assert!(same(written), "nor is the way a name is written");
        assert!(!same(ana("a", "1984-07-10")));
        let mut numbered = ana("a", "1984-07-09");
        numbered["identifier"][0] = json!({"system": "http://new/member", "value": "N2"});
        assert!(!same(numbered), "the partner's own numbers are");
        assert_ne!(
            hash(&key, "p", &one),
            hash(&key, "q", &one),
            "each partner's question is its own"
        );
        assert_ne!(hash(&key, "p", &one), hash(&[8; 32], "p", &one), "keyed");
    }

    #[test]
    fn words_are_shown_by_field_and_a_social_security_number_by_its_end() {
        let ana = subject(ana("a", "1984-07-09"));
        assert_eq!(
            SHOWN.map(|field| ana.shown(field)),
            [
                "Ana",
                "R",
                "Lima",
                "",
                "1984-07-09",
                "female",
                "…3456",
                "1 Old Road, Salem, OR, 97301",
                "555-0100",
                "",
                "M1 / S1"
            ]
        );
    }
}
