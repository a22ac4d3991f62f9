//! The search parameters that the runner can check: the elements that hold their values, and whether a resource matches a value.

use super::when::{self, TimeSpan};
use serde_json::Value;

/// How values of a parameter are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParameterKind {
    Token,
    Text,
    Date,
    Reference,
}

impl ParameterKind {
    /// The code of `http://hl7.org/fhir/search-param-type`.
    pub(super) fn code(self) -> &'static str {
        match self {
            ParameterKind::Token => "token",
            ParameterKind::Text => "string",
            ParameterKind::Date => "date",
            ParameterKind::Reference => "reference",
        }
    }
}

/// A parameter of one type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    pub(super) kind: ParameterKind,
    paths: &'static [&'static str],
}

/// Parameters of all types.
const EVERYWHERE: &[(&str, ParameterKind, &[&str])] = &[
    ("_id", ParameterKind::Token, &["id"]),
    ("_lastUpdated", ParameterKind::Date, &["meta.lastUpdated"]),
];

/// The elements that may refer to the patient, for `patient`.
const PATIENT: &[&str] = &["patient", "subject", "beneficiary"];

#[rustfmt::skip]
const ROWS: &[(&str, &str, ParameterKind, &[&str])] = {
    use ParameterKind::{Date, Reference, Text, Token};
    &[
        ("AllergyIntolerance", "clinical-status", Token, &["clinicalStatus"]),
        ("CarePlan", "category", Token, &["category"]),
        ("CarePlan", "date", Date, &["period"]),
        ("CarePlan", "status", Token, &["status"]),
        ("CareTeam", "role", Token, &["participant.role"]),
        ("CareTeam", "participant", Reference, &["participant.member"]),
        ("CareTeam", "status", Token, &["status"]),
        ("Condition", "abatement-date", Date, &["abatementDateTime", "abatementPeriod"]),
        ("Condition", "category", Token, &["category"]),
        ("Condition", "clinical-status", Token, &["clinicalStatus"]),
        ("Condition", "code", Token, &["code"]),
        ("Condition", "encounter", Reference, &["encounter"]),
        ("Condition", "onset-date", Date, &["onsetDateTime", "onsetPeriod"]),
        ("Condition", "recorded-date", Date, &["recordedDate"]),
        ("Coverage", "payor", Reference, &["payor"]),
        ("Device", "status", Token, &["status"]),
        ("Device", "type", Token, &["type"]),
        ("DiagnosticReport", "category", Token, &["category"]),
        ("DiagnosticReport", "code", Token, &["code"]),
        ("DiagnosticReport", "date", Date, &["effectiveDateTime", "effectivePeriod"]),
        ("DiagnosticReport", "status", Token, &["status"]),
        ("DocumentReference", "category", Token, &["category"]),
        ("DocumentReference", "date", Date, &["date"]),
        ("DocumentReference", "period", Date, &["context.period"]),
        ("DocumentReference", "status", Token, &["status"]),
        ("DocumentReference", "type", Token, &["type"]),
        ("Encounter", "class", Token, &["class"]),
        ("Encounter", "date", Date, &["period"]),
        ("Encounter", "discharge-disposition", Token, &["hospitalization.dischargeDisposition"]),
        ("Encounter", "identifier", Token, &["identifier"]),
        ("Encounter", "location", Reference, &["location.location"]),
        ("Encounter", "status", Token, &["status"]),
        ("Encounter", "type", Token, &["type"]),
        ("ExplanationOfBenefit", "billable-period-start", Date, &["billablePeriod.start"]),
        ("ExplanationOfBenefit", "care-team", Reference, &["careTeam.provider"]),
        ("ExplanationOfBenefit", "coverage", Reference, &["insurance.coverage"]),
        ("ExplanationOfBenefit", "identifier", Token, &["identifier"]),
        ("ExplanationOfBenefit", "insurer", Reference, &["insurer"]),
        ("ExplanationOfBenefit", "payee", Reference, &["payee.party"]),
        ("ExplanationOfBenefit", "provider", Reference, &["provider"]),
        ("ExplanationOfBenefit", "service-date", Date, &["billablePeriod", "item.servicedDate", "item.servicedPeriod"]),
        ("ExplanationOfBenefit", "service-start-date", Date, &["billablePeriod.start", "item.servicedDate", "item.servicedPeriod.start"]),
        ("ExplanationOfBenefit", "type", Token, &["type"]),
        ("Goal", "description", Token, &["description"]),
        ("Goal", "lifecycle-status", Token, &["lifecycleStatus"]),
        ("Goal", "target-date", Date, &["target.dueDate"]),
        ("Immunization", "date", Date, &["occurrenceDateTime"]),
        ("Immunization", "status", Token, &["status"]),
        ("Location", "address", Text, &["address"]),
        ("Location", "address-city", Text, &["address.city"]),
        ("Location", "address-postalcode", Text, &["address.postalCode"]),
        ("Location", "address-state", Text, &["address.state"]),
        ("Location", "name", Text, &["name", "alias"]),
        ("MedicationDispense", "medication", Reference, &["medicationReference"]),
        ("MedicationDispense", "status", Token, &["status"]),
        ("MedicationDispense", "type", Token, &["type"]),
        ("MedicationRequest", "authoredon", Date, &["authoredOn"]),
        ("MedicationRequest", "encounter", Reference, &["encounter"]),
        ("MedicationRequest", "intent", Token, &["intent"]),
        ("MedicationRequest", "medication", Reference, &["medicationReference"]),
        ("MedicationRequest", "status", Token, &["status"]),
        ("Observation", "category", Token, &["category"]),
        ("Observation", "code", Token, &["code"]),
        ("Observation", "date", Date, &["effectiveDateTime", "effectivePeriod", "effectiveInstant"]),
        ("Observation", "status", Token, &["status"]),
        ("Organization", "address", Text, &["address"]),
        ("Organization", "name", Text, &["name", "alias"]),
        ("Patient", "birthdate", Date, &["birthDate"]),
        ("Patient", "death-date", Date, &["deceasedDateTime"]),
        ("Patient", "family", Text, &["name.family"]),
        ("Patient", "gender", Token, &["gender"]),
        ("Patient", "given", Text, &["name.given"]),
        ("Patient", "identifier", Token, &["identifier"]),
        ("Patient", "name", Text, &["name"]),
        ("Practitioner", "identifier", Token, &["identifier"]),
        ("Practitioner", "name", Text, &["name"]),
        ("PractitionerRole", "endpoint", Reference, &["endpoint"]),
        ("PractitionerRole", "practitioner", Reference, &["practitioner"]),
        ("PractitionerRole", "specialty", Token, &["specialty"]),
        ("Procedure", "code", Token, &["code"]),
        ("Procedure", "date", Date, &["performedDateTime", "performedPeriod"]),
        ("Procedure", "status", Token, &["status"]),
        ("Provenance", "target", Reference, &["target"]),
        ("QuestionnaireResponse", "authored", Date, &["authored"]),
        ("QuestionnaireResponse", "status", Token, &["status"]),
        ("RelatedPerson", "name", Text, &["name"]),
        ("ServiceRequest", "authored", Date, &["authoredOn"]),
        ("ServiceRequest", "category", Token, &["category"]),
        ("ServiceRequest", "code", Token, &["code"]),
        ("ServiceRequest", "status", Token, &["status"]),
    ]
};

/// The parameter with this name, if the runner can check it.
pub(super) fn find(rtype: &str, name: &str) -> Option<Parameter> {
    // A Provenance has no element for its patient; it belongs to the patient of its targets.
    if name == "patient" && rtype == "Provenance" {
        return None;
    }
    if name == "patient" {
        return Some(Parameter {
            kind: ParameterKind::Reference,
            paths: PATIENT,
        });
    }
    let own = ROWS.iter().find(|row| row.0 == rtype && row.1 == name);
    let everywhere = || EVERYWHERE.iter().find(|row| row.0 == name).map(|row| (row.1, row.2));
    let (kind, paths) = own.map(|row| (row.2, row.3)).or_else(everywhere)?;
    Some(Parameter { kind, paths })
}

/// Collects the elements at `path`, including those in arrays.
fn elements<'a>(value: &'a Value, path: &str, found: &mut Vec<&'a Value>) {
    if let Value::Array(items) = value {
        items.iter().for_each(|item| elements(item, path, found));
        return;
    }
    if path.is_empty() {
        found.push(value);
        return;
    }
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    if let Some(inner) = value.get(name) {
        elements(inner, rest, found);
    }
}

/// A coded value: its system, if it has one, and its code.
type Code<'a> = (Option<&'a str>, &'a str);

fn codes(element: &Value) -> Vec<Code<'_>> {
    if let Some(text) = element.as_str() {
        return vec![(None, text)];
    }
    let codings: Vec<&Value> = match element.get("coding") {
        Some(codings) => codings.as_array().into_iter().flatten().collect(),
        None => vec![element],
    };
    codings
        .into_iter()
        .filter_map(|coding| {
            let code = coding.get("code").or_else(|| coding.get("value"))?.as_str()?;
            Some((coding.get("system").and_then(Value::as_str), code))
        })
        .collect()
}

/// The texts in a string, a HumanName or an Address that a search compares.
fn texts(element: &Value) -> Vec<&str> {
    const PARTS: [&str; 12] = [
        "family",
        "given",
        "prefix",
        "suffix",
        "text",
        "line",
        "city",
        "district",
        "state",
        "postalCode",
        "country",
        "name",
    ];
    if let Some(text) = element.as_str() {
        return vec![text];
    }
    let mut found = Vec::new();
    for part in PARTS {
        let mut inner = Vec::new();
        elements(element, part, &mut inner);
        found.extend(inner.into_iter().filter_map(Value::as_str));
    }
    found
}

/// Escapes commas and the other special characters in a search value.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if matches!(c, ',' | '|' | '$' | '\\') {
            out.push('\\');
        }
        out.push(c);
        out
    })
}

/// A token in the form of a search value.
fn token((system, code): Code<'_>) -> String {
    system.map_or_else(
        || escaped(code),
        |system| format!("{}|{}", escaped(system), escaped(code)),
    )
}

impl Parameter {
    fn elements<'a>(&self, resource: &'a Value) -> Vec<&'a Value> {
        let mut found = Vec::new();
        for path in self.paths {
            elements(resource, path, &mut found);
        }
        found
    }

    /// A value by which a search must find `resource`.
    pub(super) fn value_of(&self, resource: &Value) -> Option<String> {
        let found = self.elements(resource);
        match self.kind {
            ParameterKind::Token => found.iter().flat_map(|element| codes(element)).map(token).next(),
            ParameterKind::Text => found.iter().flat_map(|element| texts(element)).map(escaped).next(),
            ParameterKind::Reference => found
                .iter()
                .find_map(|element| element["reference"].as_str())
                .map(str::to_owned),
            ParameterKind::Date => {
                let span = self.span(resource)?;
                let (first, last) = (when::day(span.from, 0), when::day(span.to - 1, 0));
                Some(if span.is_bounded() && first == last {
                    first
                } else {
                    format!("ge{first}")
                })
            }
        }
    }

    /// The time span of the first date, if it has a start.
    pub(super) fn span(&self, resource: &Value) -> Option<TimeSpan> {
        let found = self.elements(resource);
        let span = found.iter().find_map(|element| TimeSpan::of_element(element));
        span.filter(|span| span.from > i64::MIN / 8)
    }

    /// The system and code of the first coded value that has a system.
    pub(super) fn system_and_code(&self, resource: &Value) -> Option<(String, String)> {
        let found = self.elements(resource);
        let mut all = found.iter().flat_map(|element| codes(element));
        all.find_map(|(system, code)| Some((escaped(system?), escaped(code))))
    }

    /// Whether `resource` clearly must not be in the answer for the values `wanted`, which are separated by commas.
    pub(super) fn contradicts(&self, resource: &Value, wanted: &str) -> bool {
        let found = self.elements(resource);
        !split(wanted).iter().any(|value| match self.kind {
            ParameterKind::Token => found
                .iter()
                .flat_map(|element| codes(element))
                .any(|code| token_fits(code, value)),
            ParameterKind::Text => {
                let value = fold(value);
                let mut all = found.iter().flat_map(|element| texts(element));
                all.any(|text| fold(text).contains(&value))
            }
            ParameterKind::Reference => {
                found
                    .iter()
                    .filter_map(|element| element["reference"].as_str())
                    .any(|reference| {
                        let reference = reference.split("/_history/").next().unwrap_or(reference);
                        reference == value
                            || reference.ends_with(&format!("/{}", value.rsplit('/').next().unwrap_or(value)))
                    })
            }
            ParameterKind::Date => {
                let spans: Vec<TimeSpan> = found
                    .iter()
                    .filter_map(|element| TimeSpan::of_element(element))
                    .collect();
                found.len() > spans.len() || spans.iter().any(|span| !when::contradicts(*span, value))
            }
        })
    }
}

fn fold(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn token_fits((system, code): Code<'_>, wanted: &str) -> bool {
    match wanted.split_once('|') {
        None => code.eq_ignore_ascii_case(wanted),
        Some(("", wanted)) => system.is_none() && code.eq_ignore_ascii_case(wanted),
        Some((other, "")) => system == Some(other),
        // An element of type code has the system of its binding, which this table does not know.
        Some((other, wanted)) => system.is_none_or(|system| system == other) && code.eq_ignore_ascii_case(wanted),
    }
}

/// Splits at commas and removes the escapes.
fn split(wanted: &str) -> Vec<String> {
    let (mut values, mut characters) = (vec![String::new()], wanted.chars());
    while let Some(c) = characters.next() {
        let last = values.len() - 1;
        match c {
            ',' => values.push(String::new()),
            '\\' => values[last].extend(characters.next()),
            c => values[last].push(c),
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_taken_and_judged() {
        let report = json!({"resourceType": "DiagnosticReport", "id": "r", "status": "final", "subject": {"reference": "Patient/p"},
            "category": [{"coding": [{"system": "http://loinc.org", "code": "LP29684-5"}]}], "effectiveDateTime": "2024-05-10T12:00:00Z"});
        for (name, value, others) in [
            ("category", "http://loinc.org|LP29684-5", "http://loinc.org|X"),
            ("status", "final", "amended"),
            ("date", "2024-05-10", "gt2024-06-01"),
            ("patient", "Patient/p", "Patient/q"),
            ("_id", "r", "s"),
        ] {
            let parameter = find("DiagnosticReport", name).expect(name);
            assert_eq!(parameter.value_of(&report).as_deref(), Some(value), "{name}");
            assert!(!parameter.contradicts(&report, value), "{name}");
            assert!(parameter.contradicts(&report, others), "{name}");
            assert!(!parameter.contradicts(&report, &format!("{others},{value}")), "{name}");
        }
        assert!(find("DiagnosticReport", "specimen").is_none());
    }

    #[test]
    fn tokens_and_texts_are_compared_as_fhir_says() {
        let person = json!({"identifier": [{"system": "urn:x", "value": "A|1"}], "name": [{"family": "Okafor", "given": ["Ines"]}]});
        let identifier = find("Patient", "identifier").expect("a row");
        assert_eq!(identifier.value_of(&person).as_deref(), Some("urn:x|A\\|1"));
        let coded = json!({"category": [{"coding": [{"system": "s", "code": "c"}, {"code": "d"}]}]});
        let category = find("CarePlan", "category").expect("a row");
        for (wanted, fits) in [
            ("c", true),
            ("C", true),
            ("s|c", true),
            ("t|c", false),
            ("s|", true),
            ("|c", false),
            ("|d", true),
        ] {
            assert_eq!(!category.contradicts(&coded, wanted), fits, "{wanted}");
        }
        let name = find("Patient", "name").expect("a row");
        assert!(
            !name.contradicts(&person, "oka")
                && !name.contradicts(&person, "INES")
                && name.contradicts(&person, "Lima")
        );
    }
}
