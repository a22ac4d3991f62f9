//! Our reading of the R4 and guide SearchParameters: what a parameter looks at, in the words of the standard's expressions.
//!
//! Written from the definitions alone. Never derived from the server's own table: the test is that both agree.
//!
//! A path is names from the resource's root with a space between them; `name[x]` is an element of several types,
//! `extension(url)` the extensions of that URL, and ` | ` stands between alternatives.

use Kind::{Date, Reference, Text, Token, Uri};

/// Type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Token,
    Text,
    Date,
    Reference,
    Uri,
}

impl Kind {
    /// The code of `SearchParameter.type`.
    pub fn code(self) -> &'static str {
        match self {
            Token => "token",
            Text => "string",
            Date => "date",
            Reference => "reference",
            Uri => "uri",
        }
    }
}

/// What a parameter means.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub name: &'static str,
    pub kind: Kind,
    pub path: &'static str,
    /// System of an element of type `code`, from its required binding.
    pub system: Option<&'static str>,
    /// Types that a reference may name, where the expression narrows them; all when empty.
    pub targets: &'static [&'static str],
}

const fn any(name: &'static str, kind: Kind, path: &'static str) -> Reading {
    Reading {
        name,
        kind,
        path,
        system: None,
        targets: &[],
    }
}

/// Parameters of every resource.
const ALL: &[Reading] = &[
    any("_id", Token, "id"),
    any("_lastUpdated", Date, "meta lastUpdated"),
    any("_profile", Uri, "meta profile"),
    any("_tag", Token, "meta tag"),
    any("_security", Token, "meta security"),
];

/// `patient` by the element that the type's own definition names: these, and `subject` of all others.
const PATIENT: &[(&str, &str)] = &[
    ("AllergyIntolerance", "patient"),
    ("Appointment", "participant actor"),
    ("AppointmentResponse", "actor"),
    ("BodyStructure", "patient"),
    ("Claim", "patient"),
    ("ClaimResponse", "patient"),
    ("Consent", "patient"),
    ("Coverage", "beneficiary"),
    ("CoverageEligibilityRequest", "patient"),
    ("CoverageEligibilityResponse", "patient"),
    ("DetectedIssue", "patient"),
    ("Device", "patient"),
    ("EnrollmentRequest", "candidate"),
    ("EpisodeOfCare", "patient"),
    ("ExplanationOfBenefit", "patient"),
    ("FamilyMemberHistory", "patient"),
    ("Immunization", "patient"),
    ("ImmunizationEvaluation", "patient"),
    ("ImmunizationRecommendation", "patient"),
    ("MolecularSequence", "patient"),
    ("NutritionOrder", "patient"),
    ("Provenance", "target"),
    ("RelatedPerson", "patient"),
    ("ResearchSubject", "individual"),
    ("SupplyDelivery", "patient"),
    ("VisionPrescription", "patient"),
];

const FHIR: &str = "http://hl7.org/fhir/";
const CODES: &[(&str, &str, &str)] = &[
    ("CarePlan", "status", "request-status"),
    ("CareTeam", "status", "care-team-status"),
    ("Consent", "status", "consent-state-codes"),
    ("Coverage", "status", "fm-status"),
    ("Device", "status", "device-status"),
    ("DiagnosticReport", "status", "diagnostic-report-status"),
    ("DocumentReference", "status", "document-reference-status"),
    ("Encounter", "status", "encounter-status"),
    ("Endpoint", "status", "endpoint-status"),
    ("ExplanationOfBenefit", "status", "explanationofbenefit-status"),
    ("Goal", "lifecycle-status", "goal-status"),
    ("Immunization", "status", "event-status"),
    ("Medication", "status", "CodeSystem/medication-status"),
    (
        "MedicationDispense",
        "status",
        "http://terminology.hl7.org/CodeSystem/medicationdispense-status",
    ),
    ("MedicationRequest", "intent", "CodeSystem/medicationrequest-intent"),
    ("MedicationRequest", "status", "CodeSystem/medicationrequest-status"),
    ("Observation", "status", "observation-status"),
    ("Patient", "gender", "administrative-gender"),
    ("Procedure", "status", "event-status"),
    ("QuestionnaireResponse", "status", "questionnaire-answers-status"),
    ("ServiceRequest", "status", "request-status"),
];

/// Parameters of one type that look at the element of their own name (`-` left out, the next letter large).
const PLAIN: &[(&str, Kind, &[&str])] = &[
    ("AllergyIntolerance", Token, &["clinical-status"]),
    ("CarePlan", Token, &["category", "status"]),
    ("CareTeam", Token, &["status"]),
    (
        "Condition",
        Token,
        &["category", "clinical-status", "code", "verification-status"],
    ),
    ("Condition", Date, &["recorded-date"]),
    ("Condition", Reference, &["encounter"]),
    ("Consent", Token, &["status", "category"]),
    ("Coverage", Token, &["identifier", "status", "type"]),
    ("Coverage", Reference, &["beneficiary", "payor", "subscriber"]),
    ("Device", Token, &["status", "type"]),
    ("DiagnosticReport", Token, &["category", "code", "status"]),
    ("DiagnosticReport", Reference, &["encounter", "result", "performer"]),
    ("DocumentReference", Token, &["category", "status", "type"]),
    ("DocumentReference", Date, &["date"]),
    ("DocumentReference", Reference, &["author"]),
    ("Encounter", Token, &["class", "identifier", "status", "type"]),
    ("Encounter", Reference, &["service-provider"]),
    ("Endpoint", Token, &["identifier", "status", "connection-type"]),
    ("Endpoint", Text, &["name"]),
    ("ExplanationOfBenefit", Token, &["identifier", "type", "status"]),
    ("ExplanationOfBenefit", Reference, &["insurer", "provider", "facility"]),
    ("ExplanationOfBenefit", Date, &["created"]),
    ("Goal", Token, &["description", "lifecycle-status"]),
    ("HealthcareService", Text, &["name"]),
    ("HealthcareService", Reference, &["location"]),
    ("Immunization", Token, &["status", "vaccine-code"]),
    ("Immunization", Reference, &["location"]),
    ("InsurancePlan", Token, &["identifier"]),
    ("InsurancePlan", Reference, &["owned-by"]),
    ("Location", Text, &["address"]),
    ("Location", Token, &["identifier"]),
    ("Medication", Token, &["code", "status"]),
    ("MedicationDispense", Token, &["status", "type"]),
    ("MedicationRequest", Token, &["intent", "status"]),
    ("MedicationRequest", Reference, &["encounter", "requester"]),
    ("Observation", Token, &["category", "code", "status"]),
    ("Observation", Reference, &["encounter", "has-member"]),
    ("Organization", Text, &["address"]),
    ("Organization", Token, &["identifier", "type"]),
    ("OrganizationAffiliation", Reference, &["participating-organization"]),
    ("Patient", Token, &["gender", "identifier"]),
    ("Patient", Text, &["name"]),
    ("Practitioner", Token, &["identifier"]),
    ("Practitioner", Text, &["name"]),
    ("PractitionerRole", Token, &["specialty", "identifier"]),
    (
        "PractitionerRole",
        Reference,
        &["practitioner", "organization", "location", "endpoint"],
    ),
    ("Procedure", Token, &["code", "status"]),
    ("Procedure", Reference, &["encounter"]),
    ("Provenance", Reference, &["target"]),
    ("Provenance", Date, &["recorded"]),
    ("QuestionnaireResponse", Date, &["authored"]),
    ("QuestionnaireResponse", Reference, &["questionnaire"]),
    ("QuestionnaireResponse", Token, &["status"]),
    ("RelatedPerson", Text, &["name"]),
    ("ServiceRequest", Token, &["category", "code", "status"]),
    ("ServiceRequest", Reference, &["encounter", "requester"]),
];

/// Parameters of one type that look elsewhere.
#[rustfmt::skip]
const ELSEWHERE: &[(&str, Reading)] = &[
    ("AllergyIntolerance", any("code", Token, "code | reaction substance")),
    ("AllergyIntolerance", any("date", Date, "recordedDate")),
    ("CarePlan", any("date", Date, "period")),
    ("CareTeam", any("date", Date, "period")),
    ("CareTeam", any("participant", Reference, "participant member")),
    ("CareTeam", any("role", Token, "participant role")),
    ("Condition", any("abatement-date", Date, "abatement[x]")),
    ("Condition", any("asserted-date", Date, "extension(http://hl7.org/fhir/StructureDefinition/condition-assertedDate) valueDateTime")),
    ("Condition", any("onset-date", Date, "onset[x]")),
    ("Consent", any("date", Date, "dateTime")),
    ("Consent", any("period", Date, "provision period")),
    ("DiagnosticReport", any("date", Date, "effective[x]")),
    ("DocumentReference", any("identifier", Token, "masterIdentifier | identifier")),
    ("DocumentReference", any("period", Date, "context period")),
    ("Encounter", any("date", Date, "period")),
    ("Encounter", any("discharge-disposition", Token, "hospitalization dischargeDisposition")),
    ("Encounter", any("location", Reference, "location location")),
    ("Encounter", any("participant", Reference, "participant individual")),
    ("Endpoint", any("organization", Reference, "managingOrganization")),
    ("ExplanationOfBenefit", any("billable-period-start", Date, "billablePeriod start")),
    ("ExplanationOfBenefit", any("care-team", Reference, "careTeam provider")),
    ("ExplanationOfBenefit", any("coverage", Reference, "insurance coverage")),
    ("ExplanationOfBenefit", any("payee", Reference, "payee party")),
    ("ExplanationOfBenefit", any("service-date", Date, "billablePeriod | item serviced[x]")),
    ("ExplanationOfBenefit", any("service-start-date", Date, "billablePeriod start | item servicedDate | item servicedPeriod start")),
    ("Goal", any("target-date", Date, "target dueDate")),
    ("HealthcareService", any("organization", Reference, "providedBy")),
    ("Immunization", any("date", Date, "occurrence[x]")),
    ("InsurancePlan", any("name", Text, "name | alias")),
    ("Location", any("address-city", Text, "address city")),
    ("Location", any("address-postalcode", Text, "address postalCode")),
    ("Location", any("address-state", Text, "address state")),
    ("Location", any("name", Text, "name | alias")),
    ("Location", any("organization", Reference, "managingOrganization")),
    ("MedicationDispense", any("code", Token, "medicationCodeableConcept")),
    ("MedicationDispense", any("medication", Reference, "medicationReference")),
    ("MedicationDispense", any("prescription", Reference, "authorizingPrescription")),
    ("MedicationDispense", any("whenhandedover", Date, "whenHandedOver")),
    ("MedicationRequest", any("code", Token, "medicationCodeableConcept")),
    ("MedicationRequest", any("authoredon", Date, "authoredOn")),
    ("MedicationRequest", any("medication", Reference, "medicationReference")),
    ("Observation", any("date", Date, "effective[x]")),
    ("Organization", any("address-city", Text, "address city")),
    ("Organization", any("address-postalcode", Text, "address postalCode")),
    ("Organization", any("address-state", Text, "address state")),
    ("Organization", any("name", Text, "name | alias")),
    ("OrganizationAffiliation", any("primary-organization", Reference, "organization")),
    ("Patient", any("birthdate", Date, "birthDate")),
    ("Patient", any("death-date", Date, "deceasedDateTime")),
    ("Patient", any("family", Text, "name family")),
    ("Patient", any("given", Text, "name given")),
    ("Practitioner", any("family", Text, "name family")),
    ("Practitioner", any("given", Text, "name given")),
    ("PractitionerRole", any("role", Token, "code")),
    ("Procedure", any("date", Date, "performed[x]")),
    ("Provenance", any("agent", Reference, "agent who")),
    ("ServiceRequest", any("authored", Date, "authoredOn")),
];

/// References that name one type only, by their expression's `where(resolve() is …)`.
const NARROWED: &[(&str, Reading)] = &[(
    "DocumentReference",
    Reading {
        targets: &["Encounter"],
        ..any("encounter", Reference, "context encounter")
    },
)];

/// Types that describe the server, not members, and what is the caller's own: exchanges (`tests/it/tasks.rs`) and groups
/// (`tests/it/bulk_match.rs`). Their searches are none of ours.
pub const CONFORMANCE: &[&str] = &[
    "CapabilityStatement",
    "CodeSystem",
    "Group",
    "OperationDefinition",
    "SearchParameter",
    "StructureDefinition",
    "Task",
];

/// What `name` of `rtype` means; `None` when we have no reading of it.
pub fn reading(rtype: &str, name: &str) -> Option<Reading> {
    if let Some(one) = ALL.iter().find(|one| one.name == name) {
        return Some(*one);
    }
    if name == "patient" {
        let path = PATIENT.iter().find(|row| row.0 == rtype).map_or("subject", |row| row.1);
        return Some(Reading {
            targets: &["Patient"],
            ..any("patient", Reference, path)
        });
    }
    if name == "subject" {
        return Some(any("subject", Reference, "subject"));
    }
    let special = ELSEWHERE.iter().chain(NARROWED);
    if let Some((_, one)) = special.clone().find(|(of, one)| *of == rtype && one.name == name) {
        return Some(*one);
    }
    let row = PLAIN
        .iter()
        .find(|(of, _, names)| *of == rtype && names.contains(&name))?;
    let own = row.2.iter().find(|one| **one == name)?;
    let system = CODES.iter().find(|code| code.0 == rtype && code.1 == name);
    Some(Reading {
        system: system.map(|code| code.2),
        ..any(own, row.1, own)
    })
}

/// The element that a plain parameter of this name looks at.
pub fn element(name: &str) -> String {
    let mut out = String::new();
    let mut large = false;
    for letter in name.chars() {
        if letter == '-' {
            large = true;
        } else if std::mem::take(&mut large) {
            out.extend(letter.to_uppercase());
        } else {
            out.push(letter);
        }
    }
    out
}

/// The whole URI of a `code` element's system.
pub fn system_uri(short: &str) -> String {
    if short.starts_with("http") {
        short.to_owned()
    } else {
        format!("{FHIR}{short}")
    }
}

/// Searches that the guides demand (SHALL) or wish (SHOULD), as parameters together.
/// Source: CapabilityStatements of US Core 3.1.1 and 6.1.0, CARIN 2.0-2.2, PDex 2.0-2.2.
#[rustfmt::skip]
pub const COMBINATIONS: &[(&str, &[&str])] = &[
    ("Patient", &["_id"]), ("Patient", &["identifier"]), ("Patient", &["name"]), ("Patient", &["birthdate", "name"]),
    ("Patient", &["gender", "name"]), ("Patient", &["birthdate", "family"]), ("Patient", &["family", "gender"]),
    ("AllergyIntolerance", &["patient"]), ("AllergyIntolerance", &["patient", "clinical-status"]),
    ("CarePlan", &["patient", "category"]), ("CarePlan", &["patient", "category", "status"]),
    ("CarePlan", &["patient", "category", "status", "date"]), ("CarePlan", &["patient", "category", "date"]),
    ("CareTeam", &["patient", "status"]), ("CareTeam", &["patient", "role"]),
    ("Condition", &["patient"]), ("Condition", &["patient", "category"]), ("Condition", &["patient", "category", "clinical-status"]),
    ("Condition", &["patient", "category", "encounter"]), ("Condition", &["patient", "clinical-status"]),
    ("Condition", &["patient", "code"]), ("Condition", &["patient", "onset-date"]), ("Condition", &["patient", "recorded-date"]),
    ("Condition", &["patient", "asserted-date"]), ("Condition", &["patient", "abatement-date"]), ("Condition", &["patient", "_lastUpdated"]),
    ("Consent", &["patient"]),
    ("Coverage", &["patient"]), ("Coverage", &["_id"]),
    ("Device", &["patient"]), ("Device", &["patient", "type"]), ("Device", &["patient", "status"]),
    ("DiagnosticReport", &["patient"]), ("DiagnosticReport", &["patient", "category"]),
    ("DiagnosticReport", &["patient", "category", "date"]), ("DiagnosticReport", &["patient", "code"]),
    ("DiagnosticReport", &["patient", "status"]), ("DiagnosticReport", &["patient", "code", "date"]),
    ("DiagnosticReport", &["patient", "category", "_lastUpdated"]),
    ("DocumentReference", &["_id"]), ("DocumentReference", &["patient"]), ("DocumentReference", &["patient", "category"]),
    ("DocumentReference", &["patient", "category", "date"]), ("DocumentReference", &["patient", "type"]),
    ("DocumentReference", &["patient", "status"]), ("DocumentReference", &["patient", "type", "period"]),
    ("Encounter", &["_id"]), ("Encounter", &["patient"]), ("Encounter", &["date", "patient"]), ("Encounter", &["identifier"]),
    ("Encounter", &["class", "patient"]), ("Encounter", &["patient", "type"]), ("Encounter", &["patient", "status"]),
    ("Encounter", &["patient", "location"]), ("Encounter", &["patient", "discharge-disposition"]),
    ("ExplanationOfBenefit", &["_id"]), ("ExplanationOfBenefit", &["patient"]), ("ExplanationOfBenefit", &["patient", "_lastUpdated"]),
    ("ExplanationOfBenefit", &["patient", "type"]), ("ExplanationOfBenefit", &["identifier"]),
    ("ExplanationOfBenefit", &["patient", "service-date"]), ("ExplanationOfBenefit", &["patient", "service-start-date"]),
    ("ExplanationOfBenefit", &["patient", "billable-period-start"]),
    ("Goal", &["patient"]), ("Goal", &["patient", "lifecycle-status"]), ("Goal", &["patient", "target-date"]), ("Goal", &["patient", "description"]),
    ("Immunization", &["patient"]), ("Immunization", &["patient", "date"]), ("Immunization", &["patient", "status"]),
    ("Location", &["name"]), ("Location", &["address"]), ("Location", &["address-city"]), ("Location", &["address-state"]),
    ("Location", &["address-postalcode"]),
    ("MedicationDispense", &["patient"]), ("MedicationDispense", &["patient", "status"]), ("MedicationDispense", &["patient", "status", "type"]),
    ("MedicationRequest", &["patient", "intent"]), ("MedicationRequest", &["patient", "intent", "status"]),
    ("MedicationRequest", &["patient", "intent", "encounter"]), ("MedicationRequest", &["patient", "intent", "authoredon"]),
    ("Observation", &["patient"]), ("Observation", &["patient", "category"]), ("Observation", &["patient", "category", "date"]),
    ("Observation", &["patient", "code"]), ("Observation", &["patient", "category", "status"]), ("Observation", &["patient", "code", "date"]),
    ("Observation", &["patient", "category", "_lastUpdated"]),
    ("Organization", &["name"]), ("Organization", &["address"]),
    ("Practitioner", &["_id"]), ("Practitioner", &["name"]), ("Practitioner", &["identifier"]),
    ("PractitionerRole", &["specialty"]), ("PractitionerRole", &["practitioner"]),
    ("Procedure", &["patient"]), ("Procedure", &["patient", "date"]), ("Procedure", &["patient", "status"]), ("Procedure", &["patient", "code", "date"]),
    ("QuestionnaireResponse", &["_id"]), ("QuestionnaireResponse", &["patient"]), ("QuestionnaireResponse", &["patient", "status"]),
    ("QuestionnaireResponse", &["patient", "authored"]), ("QuestionnaireResponse", &["patient", "questionnaire"]),
    ("RelatedPerson", &["_id"]), ("RelatedPerson", &["patient"]), ("RelatedPerson", &["patient", "name"]),
    ("ServiceRequest", &["_id"]), ("ServiceRequest", &["patient"]), ("ServiceRequest", &["patient", "status"]),
    ("ServiceRequest", &["patient", "category"]), ("ServiceRequest", &["patient", "category", "authored"]),
    ("ServiceRequest", &["patient", "code"]), ("ServiceRequest", &["patient", "code", "authored"]),
    ("Specimen", &["_id"]), ("Specimen", &["patient"]),
];
