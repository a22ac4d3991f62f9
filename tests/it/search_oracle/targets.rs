//! The types that a reference parameter may lead to: `SearchParameter.target` of FHIR R4, CARIN and Plan-Net. A reference to a resource of
//! another type is no value of the parameter, as `insurer` of somebody who pays for himself names a Patient.

/// Who may ask for or do something, in the standard's definitions of most types.
const ACTORS: &[&str] = &[
    "Practitioner",
    "PractitionerRole",
    "Organization",
    "Patient",
    "RelatedPerson",
    "Device",
];

/// Whether a reference to a resource of `named` is a value of this parameter.
pub fn may_name(rtype: &str, parameter: &str, named: &str) -> bool {
    let allowed: &[&str] = match (rtype, parameter) {
        (_, "encounter") => &["Encounter"],
        (_, "location" | "facility") => &["Location"],
        (_, "medication") => &["Medication"],
        (_, "endpoint") => &["Endpoint"],
        (_, "organization" | "insurer" | "service-provider" | "owned-by") => &["Organization"],
        ("OrganizationAffiliation", "primary-organization" | "participating-organization") => &["Organization"],
        ("CareTeam", "participant") => &[
            "CareTeam",
            "Organization",
            "Patient",
            "Practitioner",
            "PractitionerRole",
            "RelatedPerson",
        ],
        ("Coverage", "payor") => &["Organization", "Patient", "RelatedPerson"],
        ("Coverage", "subscriber") => &["Patient", "RelatedPerson"],
        ("DiagnosticReport", "performer") => &["CareTeam", "Organization", "Practitioner", "PractitionerRole"],
        ("DiagnosticReport", "result") => &["Observation"],
        ("DocumentReference", "author") | (_, "requester") | ("Provenance", "agent") => ACTORS,
        ("Encounter", "participant") => &["Practitioner", "PractitionerRole", "RelatedPerson"],
        ("ExplanationOfBenefit", "care-team" | "provider") => &["Organization", "Practitioner", "PractitionerRole"],
        ("ExplanationOfBenefit", "coverage") => &["Coverage"],
        ("ExplanationOfBenefit", "payee") => &[
            "Organization",
            "Patient",
            "Practitioner",
            "PractitionerRole",
            "RelatedPerson",
        ],
        ("MedicationDispense", "prescription") => &["MedicationRequest"],
        ("Observation", "has-member") => &["MolecularSequence", "Observation", "QuestionnaireResponse"],
        ("PractitionerRole", "practitioner") => &["Practitioner"],
        _ => return true,
    };
    allowed.contains(&named)
}

#[test]
fn a_patient_is_no_insurer_and_may_be_the_payee() {
    assert!(!may_name("ExplanationOfBenefit", "insurer", "Patient"));
    assert!(may_name("ExplanationOfBenefit", "insurer", "Organization"));
    assert!(may_name("ExplanationOfBenefit", "payee", "Patient"));
    assert!(may_name("Provenance", "target", "Observation"));
}
