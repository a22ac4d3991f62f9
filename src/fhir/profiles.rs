//! The profiles that resources of a type may claim, as the CapabilityStatement lists them. Resources are passed on as received:
//! `meta.profile` is the claim of a resource's source.
//!
//! Source: the server CapabilityStatements of US Core 3.1.1 and 6.1.0, CARIN 2.0 to 2.2, PDex 2.0 and 2.2.

/// Canonical URLs by type, sorted.
#[rustfmt::skip]
pub const SUPPORTED: &[(&str, &[&str])] = &[
    ("AllergyIntolerance", &[
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-allergyintolerance",
    ]),
    ("CarePlan", &[
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-careplan",
    ]),
    ("CareTeam", &[
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-careteam",
    ]),
    ("Condition", &[
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-condition",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-condition-encounter-diagnosis",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-condition-problems-health-concerns",
    ]),
    ("Consent", &[
        "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-provider-consent",
    ]),
    ("Coverage", &[
        "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-Coverage",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-coverage",
        "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition/hrex-coverage",
    ]),
    ("Device", &[
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-implantable-device",
        "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-device",
    ]),
    ("DiagnosticReport", &[
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-diagnosticreport-lab",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-diagnosticreport-note",
    ]),
    ("DocumentReference", &[
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-documentreference",
    ]),
    ("Encounter", &[
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-encounter",
    ]),
    ("ExplanationOfBenefit", &[
        "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit",
        "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Inpatient-Institutional",
        "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Oral",
        "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Outpatient-Institutional",
        "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Pharmacy",
        "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Professional-NonClinician",
        "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-priorauthorization",
    ]),
    ("Goal", &[
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-goal",
    ]),
    ("Immunization", &[
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-immunization",
    ]),
    ("Location", &[
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-location",
    ]),
    ("Medication", &[
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-medication",
    ]),
    ("MedicationDispense", &[
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-medicationdispense",
        "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-medicationdispense",
    ]),
    ("MedicationRequest", &[
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-medicationrequest",
    ]),
    ("Observation", &[
        "http://hl7.org/fhir/StructureDefinition/vitalsigns",
        "http://hl7.org/fhir/us/core/StructureDefinition/head-occipital-frontal-circumference-percentile",
        "http://hl7.org/fhir/us/core/StructureDefinition/pediatric-bmi-for-age",
        "http://hl7.org/fhir/us/core/StructureDefinition/pediatric-weight-for-height",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-blood-pressure",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-bmi",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-body-height",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-body-temperature",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-body-weight",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-head-circumference",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-heart-rate",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-clinical-result",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-lab",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-occupation",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-pregnancyintent",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-pregnancystatus",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-screening-assessment",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-sexual-orientation",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-pulse-oximetry",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-respiratory-rate",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-simple-observation",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-smokingstatus",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-vital-signs",
    ]),
    ("Organization", &[
        "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-Organization",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-organization",
    ]),
    ("Patient", &[
        "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-Patient",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient",
    ]),
    ("Practitioner", &[
        "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-Practitioner",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-practitioner",
    ]),
    ("PractitionerRole", &[
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-practitionerrole",
    ]),
    ("Procedure", &[
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-procedure",
    ]),
    ("Provenance", &[
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-provenance",
        "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-provenance",
    ]),
    ("QuestionnaireResponse", &[
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-questionnaireresponse",
    ]),
    ("RelatedPerson", &[
        "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-RelatedPerson",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-relatedperson",
    ]),
    ("ServiceRequest", &[
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-servicerequest",
    ]),
    ("Specimen", &[
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-specimen",
    ]),
];

/// The profiles of `rtype`.
pub fn of(rtype: &str) -> &'static [&'static str] {
    SUPPORTED
        .binary_search_by_key(&rtype, |row| row.0)
        .map_or(&[], |at| SUPPORTED[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(SUPPORTED.is_sorted_by_key(|row| row.0));
        assert!(of("Patient").iter().any(|url| url.ends_with("us-core-patient")));
        assert!(of("Nothing").is_empty());
    }
}
