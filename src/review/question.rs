//! The question of a request: the values that the matcher reads, and the keyed hash by which the same question is recognized.
//!
//! The hash covers what the request says about the person and the coverage to match. It does not cover resource ids, the consent, and the
//! coverage to link: these may differ when the same question is asked again.

use crate::context::Context;
use crate::error::Failure;
use crate::fhir::elements::{Address, ContactPoint, Coverage, HumanName, Identifier, Patient};
use crate::identity::{Profile, code};
use crate::secret::hmac_sha256;
use crate::store::secrets;
use serde::{Deserialize, Serialize};

/// Name of the store's secret for the hashes of questions.
const KEY: &str = "review-questions";
const BIRTHSEX: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex";
/// Systems of social security numbers; only their last four digits are shown.
const SSN: [&str; 2] = ["http://hl7.org/fhir/sid/us-ssn", "urn:oid:2.16.840.1.113883.4.1"];

/// What a request or record says about a person, as texts that can be shown next to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownPerson {
    /// Given names, middle names, family name, suffix of each name.
    pub names: Vec<[String; 4]>,
    /// The birth date as written.
    pub birth_date: String,
    /// The gender as written, or the birth sex when there is no gender.
    pub gender: String,
    /// The addresses, one line each.
    pub addresses: Vec<String>,
    /// Telephone numbers.
    pub phones: Vec<String>,
    /// E-mail addresses.
    pub emails: Vec<String>,
    /// System and value of the Patient's identifiers, sorted.
    pub identifiers: Vec<(String, String)>,
    /// What each of these identifiers is, in their order: a code of [`OTHER_NUMBERS`], `ssn`, `member_id`, or nothing where the record does
    /// not say. Requests that were kept by an earlier version lack it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identifier_kinds: Vec<String>,
    /// System and value of the coverage's identifiers, sorted.
    pub coverage: Vec<(String, String)>,
    /// Subscriber numbers.
    pub subscribers: Vec<String>,
}

impl ShownPerson {
    /// Reads this from a Patient and the Coverage that came with it.
    pub fn of(patient: &Patient, coverage: Option<&Coverage>) -> ShownPerson {
        let (identifiers, identifier_kinds) = sorted(&patient.identifier).into_iter().unzip();
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
        ShownPerson {
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
            identifiers,
            identifier_kinds,
            coverage: coverage
                .map(|one| sorted(&one.identifier).into_iter().map(|(pair, _)| pair).collect())
                .unwrap_or_default(),
            subscribers: coverage
                .and_then(|one| one.subscriber_id.as_deref())
                .map(|value| vec![value.trim().to_owned()])
                .unwrap_or_default(),
        }
    }

    /// Returns the text for one field of a comparison, for somebody who may see it. A
    /// social security number is cut to its last four digits.
    pub fn shown(&self, field: &str) -> String {
        let part = |at: usize| {
            let parts: Vec<&str> = self.names.iter().map(|name| name[at].as_str()).collect();
            distinct(parts)
        };
        let numbers = |kind: &str| -> Vec<&str> {
            let of_kind = self
                .identifiers
                .iter()
                .enumerate()
                .filter(|(at, _)| self.kind_of(*at) == kind);
            of_kind.map(|(_, (_, value))| value.as_str()).collect()
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
                let tails: Vec<String> = numbers("ssn").into_iter().map(last).collect();
                distinct(tails.iter().map(String::as_str).collect())
            }
            "member_id" | "member-id" => {
                let is_shown = |(system, _): &&(String, String)| !SSN.contains(&system.as_str());
                let cards = self.coverage.iter().filter(is_shown).map(|(_, value)| value.as_str());
                let sent = cards.chain(numbers("member_id"));
                distinct(sent.chain(self.subscribers.iter().map(String::as_str)).collect())
            }
            other if OTHER_NUMBERS.iter().any(|(code, _)| *code == other) => distinct(numbers(other)),
            _ => String::new(),
        }
    }

    /// What the identifier at this place is: what the resource says, or what its system says. An identifier of which neither says it is a
    /// member number only where a card bears the same system or value.
    fn kind_of(&self, at: usize) -> &str {
        let Some((system, value)) = self.identifiers.get(at) else {
            return "";
        };
        // Whatever type it has, a social security number is never shown whole.
        if SSN.contains(&system.as_str()) {
            return "ssn";
        }
        match self.identifier_kinds.get(at).map_or("", String::as_str) {
            "" => {}
            said => return said,
        }
        if let Some(known) = kind_of_system(system) {
            return known;
        }
        let on_card = |(of, number): &(String, String)| number == value || (!of.is_empty() && of == system);
        match self.coverage.iter().any(on_card) || self.subscribers.contains(value) {
            true => "member_id",
            false => "other_number",
        }
    }
}

/// Numbers that a view shows and the matcher does not compare, with their names for people.
pub const OTHER_NUMBERS: [(&str, &str); 7] = [
    ("umb", "unique member id"),
    ("passport", "passport number"),
    ("drivers_license", "driver's license"),
    ("medicare", "Medicare number"),
    ("medical_record", "medical record no."),
    ("tax", "tax number"),
    ("other_number", "another number"),
];

/// Types of identifiers (HL7 v2 table 0203, and HRex's UMB), each with the kind of number it is.
const TYPES: [(&str, &str); 12] = [
    ("MB", "member_id"),
    ("SN", "member_id"),
    ("SS", "ssn"),
    ("UMB", "umb"),
    ("PPN", "passport"),
    ("DL", "drivers_license"),
    ("MC", "medicare"),
    ("MA", "other_number"),
    ("MR", "medical_record"),
    ("PI", "medical_record"),
    ("TAX", "tax"),
    ("NI", "other_number"),
];

/// The kind of number that a system holds, where the system alone says it.
fn kind_of_system(system: &str) -> Option<&'static str> {
    if SSN.contains(&system) {
        return Some("ssn");
    }
    let folded = system.to_ascii_lowercase();
    let known = [
        ("passport", "passport"),
        ("2.16.840.1.113883.4.3.", "drivers_license"),
        ("us-mbi", "medicare"),
        ("us-medicare", "medicare"),
    ];
    known
        .into_iter()
        .find(|(part, _)| folded.contains(part))
        .map(|(_, kind)| kind)
}

/// Identifiers as system and value, sorted and each once, with the kind of number where the type of the identifier says it.
fn sorted(identifiers: &[Identifier]) -> Vec<((String, String), String)> {
    let mut found: Vec<((String, String), String)> = identifiers
        .iter()
        .map(|one| {
            let codes = || {
                one.kind
                    .iter()
                    .flat_map(|kind| &kind.coding)
                    .filter_map(|coding| coding.code.as_deref())
            };
            let said = TYPES.iter().find(|(code, _)| codes().any(|said| said == *code));
            let pair = (trimmed(one.system.as_deref()), trimmed(one.value.as_deref()));
            (pair, said.map_or(String::new(), |(_, kind)| (*kind).to_owned()))
        })
        .filter(|((_, value), _)| !value.is_empty())
        .collect();
    // Of one number with several types the one that says something stays.
    found.sort_unstable_by(|(a, x), (b, y)| a.cmp(b).then((y == "ssn").cmp(&(x == "ssn"))).then(y.cmp(x)));
    found.dedup_by(|(later, _), (first, _)| later == first);
    found
}

/// The fields of a side-by-side view, in its order.
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

/// Returns the keyed hash of the question of `partner_id`. It covers what the matcher reads, so that case or an apostrophe makes no other
/// question, and also the identifiers that the matcher does not read, which distinguish two newborns without names.
pub fn asked(key: &[u8; 32], partner_id: &str, profile: &Profile, subject: &ShownPerson) -> [u8; 32] {
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

/// Returns the store's secret for questions; each process reads it only once.
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

    fn subject(patient: serde_json::Value) -> ShownPerson {
        question(patient).1
    }

    fn question(patient: serde_json::Value) -> (Profile, ShownPerson) {
        let patient: Patient = serde_json::from_value(patient).expect("a patient");
        let coverage: Coverage =
            serde_json::from_value(json!({"id": "c9", "identifier": [{"value": "M1"}], "subscriberId": "S1"}))
                .expect("a coverage");
        let systems = Systems {
            member: "http://old/member",
            umb: "http://old/umb",
        };
        let profile = Profile::from(&of_request(&patient, &coverage, systems));
        (profile, ShownPerson::of(&patient, Some(&coverage)))
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
        let hash = |key: &[u8; 32], partner: &str, (profile, subject): &(Profile, ShownPerson)| {
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
    fn a_number_is_named_as_what_it_is() {
        let typed = |code: &str, system: &str, value: &str| {
            json!({"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": code}]},
                "system": system, "value": value})
        };
        let person = subject(json!({"identifier": [
            typed("PPN", "http://passports.example", "X90210"),
            {"system": "http://hl7.org/fhir/sid/passport-USA", "value": "Z1"},
            typed("DL", "urn:oid:2.16.840.1.113883.4.3.25", "S999"),
            typed("MR", "http://hospital.example", "MR7"),
            {"system": "http://hl7.org/fhir/sid/us-mbi", "value": "1EG4"},
            {"system": "http://sender.example/ids", "value": "own-1"},
            typed("MB", "http://other/member", "M2"),
            {"system": "http://cards.example", "value": "M1"},
        ]}));
        for (field, shown) in [
            ("passport", "Z1 / X90210"),
            ("drivers_license", "S999"),
            ("medical_record", "MR7"),
            ("medicare", "1EG4"),
            ("other_number", "own-1"),
            ("member_id", "M1 / M2 / S1"),
            ("umb", ""),
        ] {
            assert_eq!(person.shown(field), shown, "{field}");
        }
    }

    #[test]
    fn a_social_security_number_is_cut_whatever_type_it_has() {
        for (code, _) in TYPES {
            let number = |code: &str| {
                json!({"type": {"coding": [{"code": code}]},
                    "system": "http://hl7.org/fhir/sid/us-ssn", "value": "900-12-3456"})
            };
            let person = subject(json!({"identifier": [number(code), number("TAX")]}));
            assert_eq!(person.shown("ssn"), "…3456", "{code}");
            for field in SHOWN.into_iter().chain(OTHER_NUMBERS.map(|(field, _)| field)) {
                assert!(!person.shown(field).contains("900-12"), "{code}: {field}");
            }
        }
    }

    #[test]
    fn a_request_that_an_earlier_version_kept_still_reads() {
        let mut kept = serde_json::to_value(subject(ana("a", "1984-07-09"))).expect("JSON");
        kept.as_object_mut().expect("an object").remove("identifier_kinds");
        let read: ShownPerson = serde_json::from_value(kept).expect("a person");
        assert_eq!(
            (read.shown("ssn"), read.shown("member_id")),
            ("…3456".to_owned(), "M1 / S1".to_owned())
        );
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
