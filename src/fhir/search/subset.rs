//! Reduces a resource to a part, as `_elements` and `_summary` ask, and marks it as a part (FHIR R4 search, "Summary").
//!
//! This is the only place where a resource is parsed and written again before it is sent; decimals keep their digits.

use super::query::Summary;
use serde_json::{Map, Value, json};

/// Mandatory root elements in R4, by type; `[x]` matches every type of a choice. Source: R4 4.0.1 definitions.
#[rustfmt::skip]
const MANDATORY: &[(&str, &[&str])] = &[
    ("Account", &["status"]),
    ("AdverseEvent", &["actuality", "subject"]),
    ("AllergyIntolerance", &["patient"]),
    ("Appointment", &["status", "participant"]),
    ("AppointmentResponse", &["appointment", "participantStatus"]),
    ("Basic", &["code"]),
    ("BodyStructure", &["patient"]),
    ("CarePlan", &["status", "intent", "subject"]),
    ("ChargeItem", &["status", "code", "subject"]),
    ("Claim", &["status", "type", "use", "patient", "created", "provider", "priority", "insurance"]),
    ("ClaimResponse", &["status", "type", "use", "patient", "created", "insurer", "outcome"]),
    ("ClinicalImpression", &["status", "subject"]),
    ("Communication", &["status"]),
    ("CommunicationRequest", &["status"]),
    ("Composition", &["status", "type", "date", "author", "title"]),
    ("Condition", &["subject"]),
    ("Consent", &["status", "scope", "category"]),
    ("Coverage", &["status", "beneficiary", "payor"]),
    ("CoverageEligibilityRequest", &["status", "purpose", "patient", "created", "insurer"]),
    ("CoverageEligibilityResponse", &["status", "purpose", "patient", "created", "request", "outcome", "insurer"]),
    ("DetectedIssue", &["status"]),
    ("DeviceRequest", &["intent", "code[x]", "subject"]),
    ("DeviceUseStatement", &["status", "subject", "device"]),
    ("DiagnosticReport", &["status", "code"]),
    ("DocumentManifest", &["status", "content"]),
    ("DocumentReference", &["status", "content"]),
    ("Encounter", &["status", "class"]),
    ("Endpoint", &["status", "connectionType", "payloadType", "address"]),
    ("EpisodeOfCare", &["status", "patient"]),
    ("ExplanationOfBenefit", &["status", "type", "use", "patient", "created", "insurer", "provider", "outcome", "insurance"]),
    ("FamilyMemberHistory", &["status", "patient", "relationship"]),
    ("Flag", &["status", "code", "subject"]),
    ("Goal", &["lifecycleStatus", "description", "subject"]),
    ("ImagingStudy", &["status", "subject"]),
    ("Immunization", &["status", "vaccineCode", "patient", "occurrence[x]"]),
    ("ImmunizationEvaluation", &["status", "patient", "targetDisease", "immunizationEvent", "doseStatus"]),
    ("ImmunizationRecommendation", &["patient", "date", "recommendation"]),
    ("Invoice", &["status"]),
    ("List", &["status", "mode"]),
    ("MeasureReport", &["status", "type", "measure", "period"]),
    ("Media", &["status", "content"]),
    ("MedicationAdministration", &["status", "medication[x]", "subject", "effective[x]"]),
    ("MedicationDispense", &["status", "medication[x]"]),
    ("MedicationRequest", &["status", "intent", "medication[x]", "subject"]),
    ("MedicationStatement", &["status", "medication[x]", "subject"]),
    ("MolecularSequence", &["coordinateSystem"]),
    ("NutritionOrder", &["status", "intent", "patient", "dateTime"]),
    ("Observation", &["status", "code"]),
    ("Procedure", &["status", "subject"]),
    ("Provenance", &["target", "recorded", "agent"]),
    ("QuestionnaireResponse", &["status"]),
    ("RelatedPerson", &["patient"]),
    ("RequestGroup", &["status", "intent"]),
    ("ResearchSubject", &["status", "study", "individual"]),
    ("RiskAssessment", &["status", "subject"]),
    ("Schedule", &["actor"]),
    ("ServiceRequest", &["status", "intent", "subject"]),
    ("Substance", &["code"]),
    ("SupplyRequest", &["item[x]", "quantity"]),
    ("VisionPrescription", &["status", "created", "patient", "dateWritten", "prescriber", "lensSpecification"]),
];

/// Reduces a resource to the part that `summary` asks for. Bytes that are not a JSON object are returned unchanged.
pub fn subset(bytes: Vec<u8>, summary: &Summary) -> Vec<u8> {
    if matches!(summary, Summary::Whole | Summary::Count) {
        return bytes;
    }
    let Ok(Value::Object(resource)) = serde_json::from_slice(&bytes) else {
        return bytes;
    };
    let rtype = resource.get("resourceType").and_then(Value::as_str).unwrap_or_default();
    let mandatory = MANDATORY
        .binary_search_by_key(&rtype, |row| row.0)
        .map_or(&[][..], |at| MANDATORY[at].1);
    let keep = |name: &str| {
        let name = name.strip_prefix('_').unwrap_or(name);
        let always = matches!(name, "resourceType" | "id" | "meta" | "implicitRules");
        let demanded = mandatory.iter().any(|wanted| is_element(name, wanted));
        match summary {
            Summary::Data => name != "text",
            Summary::Text => always || demanded || name == "text",
            Summary::Elements(names) => always || demanded || names.iter().any(|wanted| is_element(name, wanted)),
            Summary::Whole | Summary::Count => true,
        }
    };
    let mut part: Map<String, Value> = resource.into_iter().filter(|(name, _)| keep(name)).collect();
    mark(&mut part);
    Value::Object(part).to_string().into_bytes()
}

/// Whether `name` is the element, or one of the choices of `element[x]`; a choice may also be named without its type.
fn is_element(name: &str, element: &str) -> bool {
    let base = element.strip_suffix("[x]").unwrap_or(element);
    let typed = |rest: &str| rest.starts_with(|letter: char| letter.is_ascii_uppercase());
    match name.strip_prefix(base) {
        Some("") => true,
        Some(rest) if typed(rest) => element.ends_with("[x]") || CHOICES.contains(&base),
        _ => false,
    }
}

/// Choice elements, which callers name without the type.
const CHOICES: &[&str] = &[
    "abatement",
    "deceased",
    "due",
    "effective",
    "medication",
    "multipleBirth",
    "occurrence",
    "onset",
    "performed",
    "value",
];

/// Adds the tag SUBSETTED.
fn mark(part: &mut Map<String, Value>) {
    let tag = json!({"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"});
    let at = part.keys().position(|name| name == "id").map_or(1, |at| at + 1);
    if !part.contains_key("meta") {
        part.shift_insert(at.min(part.len()), "meta".to_owned(), json!({}));
    }
    if let Some(Value::Object(meta)) = part.get_mut("meta")
        && let Value::Array(tags) = meta.entry("tag").or_insert_with(|| json!([]))
    {
        tags.push(tag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBSERVATION: &str = r#"{"resourceType":"Observation","id":"a","meta":{"versionId":"1","tag":[{"code":"x"}]},"text":{"status":"generated","div":"<div/>"},
        "status":"final","code":{"text":"c"},"valueQuantity":{"value":1.10},"note":[{"text":"n"}],"_status":{"id":"s"}}"#;

    fn names(summary: &Summary) -> Vec<String> {
        let part: Value = serde_json::from_slice(&subset(OBSERVATION.into(), summary)).expect("JSON");
        assert_eq!(part["meta"]["tag"][1]["code"], "SUBSETTED");
        part.as_object().expect("an object").keys().cloned().collect()
    }

    #[test]
    fn a_part_keeps_what_is_asked_and_what_is_demanded() {
        assert!(MANDATORY.is_sorted_by_key(|row| row.0));
        let elements = Summary::Elements(vec!["value".into(), "nothing".into()]);
        assert_eq!(
            names(&elements),
            [
                "resourceType",
                "id",
                "meta",
                "status",
                "code",
                "valueQuantity",
                "_status"
            ]
        );
        assert_eq!(
            names(&Summary::Text),
            ["resourceType", "id", "meta", "text", "status", "code", "_status"]
        );
        assert!(!names(&Summary::Data).contains(&"text".to_owned()));
        let text = String::from_utf8(subset(OBSERVATION.into(), &elements)).expect("UTF-8");
        assert!(text.contains("1.10"), "decimals keep their digits: {text}");
    }

    #[test]
    fn the_whole_is_left_alone() {
        assert_eq!(subset(OBSERVATION.into(), &Summary::Whole), OBSERVATION.as_bytes());
    }
}
