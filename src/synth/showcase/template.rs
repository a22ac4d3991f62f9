//! Fills the templates of the showcase. A template is FHIR JSON in which a whole string may stand for an element:
//!
//! | begins with | stands for | example |
//! |---|---|---|
//! | `@` | a Reference to a resource of the showcase, to `@Patient` or to `@Payer` | `@Encounter/surgery` |
//! | `=` | a CodeableConcept: system, code, display | `=loinc 8867-4 Heart rate` |
//! | `:` | a Coding | `:snomed 73761001 Colonoscopy` |
//! | `#` | a Quantity: number and UCUM unit | `#71 /min` |
//! | `$` and a digit | US dollars | `$20.00` |
//!
//! Inside other strings, `${-30}` is the day thirty days before the date of the data, `${base64 text}` is the text in base64, and
//! `${family}` and others are values of the member and the payer. `id` is a short name; `meta` lists the profiles.

use super::super::codes::{ACT_CODE, CVX, HCPCS, ICD10, LOINC, NDC, RXNORM, SNOMED, refer};
use super::super::member::Member;
use super::super::options::SynthOptions;
use base64::Engine as _;
use chrono::Duration;
use serde_json::{Map, Number, Value, json};
use std::io;

/// The code systems, with the names that templates use for them.
const SYSTEMS: &[(&str, &str)] = &[
    ("act", ACT_CODE),
    (
        "ambulance",
        "https://x12.org/codesystem.x12.org/ambulance-transport-reason-codes",
    ),
    ("bcp47", "urn:ietf:bcp:47"),
    ("carc", "https://x12.org/codes/claim-adjustment-reason-codes"),
    ("cdt", "http://www.ada.org/cdt"),
    ("cvx", CVX),
    (
        "drg",
        "https://www.cms.gov/Medicare/Medicare-Fee-for-Service-Payment/AcuteInpatientPPS/MS-DRG-Classifications-and-Software",
    ),
    (
        "format",
        "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode",
    ),
    ("hcpcs", HCPCS),
    // The URL of this code system in PAS.
    ("hcpcs-pas", "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"),
    ("icd10", ICD10),
    ("loinc", LOINC),
    ("ndc", NDC),
    ("nubc-discharge", "http://www.nubc.org/patient-discharge"),
    ("nucc", "http://nucc.org/provider-taxonomy"),
    ("omb", "urn:oid:2.16.840.1.113883.6.238"),
    ("pcs", "http://www.cms.gov/Medicare/Coding/ICD10"),
    (
        "poa",
        "https://www.cms.gov/Medicare/Medicare-Fee-for-Service-Payment/HospitalAcqCond/Coding",
    ),
    (
        "pos",
        "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set",
    ),
    ("rxnorm", RXNORM),
    ("service", "https://x12.org/codes/service-type-codes"),
    ("snomed", SNOMED),
];

/// Publishers of code systems; the name of the code system follows (`term:v3-ActReason`).
const PUBLISHERS: &[(&str, &str)] = &[
    ("carin", "http://hl7.org/fhir/us/carin-bb/CodeSystem/"),
    ("core", "http://hl7.org/fhir/us/core/CodeSystem/"),
    ("nubc", "https://www.nubc.org/CodeSystem/"),
    ("pdex", "http://hl7.org/fhir/us/davinci-pdex/CodeSystem/"),
    ("term", "http://terminology.hl7.org/CodeSystem/"),
    ("x12", "https://codesystem.x12.org/005010/"),
];

/// Implementation guides; the name of the profile follows (`core:us-core-patient`).
const GUIDES: &[(&str, &str)] = &[
    ("carin", "http://hl7.org/fhir/us/carin-bb/StructureDefinition/"),
    ("core", "http://hl7.org/fhir/us/core/StructureDefinition/"),
    ("hrex", "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition/"),
    ("pdex", "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/"),
];

/// The FHIR id of a showcase resource: readable, and different for another seed.
pub(super) fn id(options: &SynthOptions, name: &str) -> String {
    format!("showcase-{}-{name}", options.seed)
}

fn unknown<T>(what: &str) -> io::Result<T> {
    Err(io::Error::other(format!(
        "a template of the showcase says {what}, which means nothing"
    )))
}

fn url(table: &[(&str, &'static str)], name: &str) -> io::Result<&'static str> {
    match table.iter().find(|row| row.0 == name) {
        Some(row) => Ok(row.1),
        None => unknown(name),
    }
}

fn number(text: &str) -> io::Result<Number> {
    text.parse().or_else(|_| unknown(text))
}

/// The values for the templates.
pub(super) struct Template<'a> {
    pub(super) options: &'a SynthOptions,
    pub(super) member: &'a Member,
    /// FHIR id of the payer's Organization.
    pub(super) payer: &'a str,
}

impl Template<'_> {
    /// Fills in the template of one resource.
    ///
    /// # Errors
    /// When the template uses an unknown name; the tests fill in all templates.
    pub(super) fn resource(&self, template: &Map<String, Value>) -> io::Result<Value> {
        let mut resource = Map::new();
        for (name, value) in template {
            let filled = match (name.as_str(), value) {
                ("id", Value::String(text)) => Value::from(id(self.options, text)),
                ("meta", Value::String(_)) => continue,
                _ => self.element(value)?,
            };
            resource.insert(name.clone(), filled);
        }
        let mut meta = json!({"lastUpdated": format!("{}T04:00:00Z", self.options.as_of)});
        if let Some(profiles) = template.get("meta").and_then(Value::as_str) {
            let profiles: io::Result<Vec<String>> = profiles.split(' ').map(profile).collect();
            meta["profile"] = json!(profiles?);
        }
        resource.insert("meta".to_owned(), meta);
        Ok(Value::Object(resource))
    }

    fn element(&self, value: &Value) -> io::Result<Value> {
        Ok(match value {
            Value::Object(map) => {
                let filled: io::Result<Map<String, Value>> = map
                    .iter()
                    .map(|(name, inner)| Ok((name.clone(), self.element(inner)?)))
                    .collect();
                Value::Object(filled?)
            }
            Value::Array(items) => {
                let filled: io::Result<Vec<Value>> = items.iter().map(|item| self.element(item)).collect();
                Value::Array(filled?)
            }
            Value::String(text) => self.string(text)?,
            other => other.clone(),
        })
    }

    fn string(&self, text: &str) -> io::Result<Value> {
        if text == "@Payer" {
            return Ok(refer("Organization", self.payer));
        }
        if text == "@Patient" {
            return Ok(refer("Patient", &self.member.patient_id));
        }
        if let Some(name) = text.strip_prefix('@') {
            let Some((kind, name)) = name.split_once('/') else {
                return unknown(text);
            };
            return Ok(refer(kind, &id(self.options, name)));
        }
        if let Some(code) = text.strip_prefix('=') {
            let coding = coding(code)?;
            let display = coding.get("display").cloned();
            let mut concept = json!({"coding": [coding]});
            if let Some(display) = display {
                concept["text"] = display;
            }
            return Ok(concept);
        }
        if let Some(code) = text.strip_prefix(':') {
            return coding(code);
        }
        if let Some((value, unit)) = text.strip_prefix('#').and_then(|rest| rest.split_once(' ')) {
            return Ok(
                json!({"value": number(value)?, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}),
            );
        }
        if let Some(amount) = text.strip_prefix('$').filter(|rest| !rest.starts_with('{')) {
            return Ok(json!({"value": number(amount)?, "currency": "USD"}));
        }
        self.text(text).map(Value::from)
    }

    fn text(&self, text: &str) -> io::Result<String> {
        let mut pieces = text.split("${");
        let mut filled = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let Some((name, rest)) = piece.split_once('}') else {
                return unknown(text);
            };
            filled.push_str(&self.named(name)?);
            filled.push_str(rest);
        }
        Ok(filled)
    }

    fn named(&self, name: &str) -> io::Result<String> {
        if let Some(text) = name.strip_prefix("base64 ") {
            return Ok(base64::engine::general_purpose::STANDARD.encode(text));
        }
        if name.starts_with(['-', '+']) {
            return match name.parse() {
                Ok(days) => Ok((self.options.as_of + Duration::days(days)).to_string()),
                Err(_) => unknown(name),
            };
        }
        let (member, options) = (self.member, self.options);
        let given = |at: usize| member.given.get(at).map_or("", String::as_str);
        Ok(match name {
            "member_system" => &options.member_system,
            "member_number" => &member.member_number,
            "subscriber_id" => &member.subscriber_id,
            "payer" => self.payer,
            "payer_npi" => &options.payer_npi,
            "payer_name" => &options.payer_name,
            "family" => &member.family,
            "former" => member.former_family.as_deref().unwrap_or_default(),
            "given" => given(0),
            "middle" => given(1),
            "phone" => &member.phone,
            "email" => member.email.as_deref().unwrap_or_default(),
            "birth" => return Ok(member.birth_date.to_string()),
            "street" => &member.street,
            "city" => member.city,
            "state" => member.state,
            "postal" => member.postal_code,
            other => return unknown(other),
        }
        .to_owned())
    }
}

/// The canonical URL of the profile `guide:name`.
fn profile(short: &str) -> io::Result<String> {
    match short.split_once(':') {
        Some((guide, name)) => Ok(format!("{}{name}", url(GUIDES, guide)?)),
        None => unknown(short),
    }
}

/// The Coding in `system code display`.
fn coding(text: &str) -> io::Result<Value> {
    let mut parts = text.splitn(3, ' ');
    let (system, code) = (parts.next().unwrap_or_default(), parts.next());
    let system = match system.split_once(':') {
        Some((publisher, name)) => format!("{}{name}", url(PUBLISHERS, publisher)?),
        None => url(SYSTEMS, system)?.to_owned(),
    };
    let Some(code) = code else { return unknown(text) };
    let mut coding = json!({"system": system, "code": code});
    if let Some(display) = parts.next() {
        coding["display"] = json!(display);
    }
    Ok(coding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorthands_become_elements_and_what_means_nothing_is_refused() {
        let options = SynthOptions::default();
        let member = super::super::member(&options);
        let template = Template {
            options: &options,
            member: &member,
            payer: "payer-1",
        };
        for (text, element) in [
            ("@Goal/walk", json!({"reference": "Goal/showcase-1-walk"})),
            ("@Payer", json!({"reference": "Organization/payer-1"})),
            (":loinc 8867-4", json!({"system": LOINC, "code": "8867-4"})),
            (
                "=term:v2-0203 MB Member Number",
                json!({"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB", "display": "Member Number"}], "text": "Member Number"}),
            ),
            (
                "#36.7 Cel",
                json!({"value": number("36.7").expect("a number"), "unit": "Cel", "system": "http://unitsofmeasure.org", "code": "Cel"}),
            ),
            (
                "$20.00",
                json!({"value": number("20.00").expect("a number"), "currency": "USD"}),
            ),
            ("on ${-1}, not ${+1}T05", json!("on 2026-09-30, not 2026-10-02T05")),
            ("${base64 a}", json!("YQ==")),
            ("plain", json!("plain")),
        ] {
            assert_eq!(template.string(text).expect(text), element, "{text}");
        }
        for text in [
            "@Goal",
            "=nobody 1",
            ":term 1",
            "=loinc",
            "#x Cel",
            "$x",
            "${nobody}",
            "${-x}",
            "${",
        ] {
            assert!(template.string(text).is_err(), "{text}");
        }
    }
}
