//! The table of search parameters: what is indexed when a resource is stored, what a search may ask, and what the CapabilityStatement and
//! the SearchParameter resources say.
//!
//! The elements are those of the R4 SearchParameter definitions, and of US Core 3.1.1 and 6.1.0, CARIN 2.0 to 2.2 and PDex 2.0 and 2.2
//! where these define parameters of their own. Each indexed value is stored with its parameter's number: a row may be added, but a number
//! must never be reused, and every change to what is indexed must raise [`VERSION`].

/// Version of the index; a store with another version is indexed again.
pub const VERSION: i64 = 3;

/// How values of a parameter are read, stored and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Coding, CodeableConcept, Identifier or boolean.
    Token,
    /// An element of type `code`, in this code system.
    Code(&'static str),
    /// A string, or all parts of a HumanName or an Address.
    Text,
    /// date, dateTime, instant, Period or Timing.
    Date,
    /// A reference to one of these types; to any when the list is empty.
    Reference(&'static [&'static str]),
    /// A uri or canonical.
    Uri,
    /// A canonical that the standard calls a reference.
    Canonical,
    /// The member to whose compartment the resource belongs. This is not indexed, because the compartment holds it.
    Owner,
}

impl ParamKind {
    /// The FHIR search parameter type.
    pub const fn code(self) -> &'static str {
        match self {
            ParamKind::Token | ParamKind::Code(_) => "token",
            ParamKind::Text => "string",
            ParamKind::Date => "date",
            ParamKind::Uri => "uri",
            ParamKind::Reference(_) | ParamKind::Canonical | ParamKind::Owner => "reference",
        }
    }
}

/// A search parameter of one type.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its number in the store; 0 when it is not indexed.
    pub no: i64,
    /// The resource type; empty for a parameter of all types.
    pub rtype: &'static str,
    /// Its name in a query.
    pub name: &'static str,
    /// How it compares.
    pub kind: ParamKind,
    /// Element paths from the resource. A segment that begins with `=` selects the extensions with that URL.
    pub paths: &'static [&'static [&'static str]],
}

impl Param {
    /// Whether its values identify a person, so that this server must not put them into a URL.
    pub fn is_personal(&self) -> bool {
        matches!(self.rtype, "Patient" | "RelatedPerson") && self.kind != ParamKind::Owner
            || self.name == "identifier" && matches!(self.rtype, "Coverage" | "ExplanationOfBenefit" | "Encounter")
    }

    /// Whether the parameter can refer to resources of this type.
    pub fn leads_to(&self, rtype: &str) -> bool {
        match self.kind {
            ParamKind::Owner => rtype == "Patient",
            ParamKind::Reference(targets) => targets.is_empty() || targets.contains(&rtype),
            _ => false,
        }
    }

    /// The element paths as a FHIRPath expression.
    pub fn expression(&self) -> String {
        let root = if self.rtype.is_empty() { "Resource" } else { self.rtype };
        let one = |path: &&[&str]| {
            path.iter()
                .fold(root.to_owned(), |text, segment| match segment.strip_prefix('=') {
                    Some(url) => format!("{text}.where(url = '{url}')"),
                    None => match choice(segment) {
                        Some((name, of)) => format!("{text}.{name}.ofType({of})"),
                        None => format!("{text}.{segment}"),
                    },
                })
        };
        self.paths.iter().map(one).collect::<Vec<_>>().join(" | ")
    }
}

/// Choice elements in the table; their JSON name ends with the name of the type.
const CHOICES: &[&str] = &[
    "abatement",
    "deceased",
    "due",
    "effective",
    "medication",
    "occurrence",
    "onset",
    "performed",
    "serviced",
    "value",
];
const PRIMITIVES: &[(&str, &str)] = &[
    ("Date", "date"),
    ("DateTime", "dateTime"),
    ("Instant", "instant"),
    ("String", "string"),
];

/// Splits the JSON name of a choice element into the element and its FHIRPath type.
fn choice(segment: &str) -> Option<(&str, &str)> {
    let name = CHOICES.iter().find(|name| segment.starts_with(**name))?;
    let of = &segment[name.len()..];
    let of = PRIMITIVES
        .iter()
        .find(|(json, _)| *json == of)
        .map_or(of, |(_, path)| path);
    (!of.is_empty()).then_some((*name, of))
}

const fn p(
    no: i64,
    rtype: &'static str,
    name: &'static str,
    kind: ParamKind,
    paths: &'static [&'static [&'static str]],
) -> Param {
    Param {
        no,
        rtype,
        name,
        kind,
        paths,
    }
}

/// Number of `_profile`.
pub const PROFILE: i64 = 1;
/// Number of `Patient.identifier`, by which members are found across compartments.
pub const PATIENT_IDENTIFIER: i64 = 137;
/// Number under which a resource is listed when the element of a [`ParamKind::Owner`] parameter does not name its member.
pub const NOT_OWNER: i64 = 4;

/// Parameters of all types, except `_id` and `_lastUpdated`, which are columns.
#[rustfmt::skip]
pub const COMMON: &[Param] = {
    use ParamKind::{Token, Uri};
    &[
        p(PROFILE, "", "_profile", Uri, &[&["meta", "profile"]]),
        p(2, "", "_security", Token, &[&["meta", "security"]]),
        p(3, "", "_tag", Token, &[&["meta", "tag"]]),
    ]
};

/// All other parameters, sorted by type and name.
#[rustfmt::skip]
pub const PARAMS: &[Param] = {
    use ParamKind::{Canonical, Code, Date, Owner, Reference, Text, Token};
    &[
        p(0, "Account", "patient", Owner, &[&["subject"]]),
        p(0, "Account", "subject", Owner, &[&["subject"]]),
        p(10, "AllergyIntolerance", "clinical-status", Token, &[&["clinicalStatus"]]),
        p(11, "AllergyIntolerance", "code", Token, &[&["code"], &["reaction", "substance"]]),
        p(12, "AllergyIntolerance", "date", Date, &[&["recordedDate"]]),
        p(0, "AllergyIntolerance", "patient", Owner, &[&["patient"]]),
        p(0, "Appointment", "patient", Owner, &[&["participant", "actor"]]),
        p(0, "AppointmentResponse", "patient", Owner, &[&["actor"]]),
        p(0, "Basic", "patient", Owner, &[&["subject"]]),
        p(0, "BodyStructure", "patient", Owner, &[&["patient"]]),
        p(13, "CarePlan", "category", Token, &[&["category"]]),
        p(14, "CarePlan", "date", Date, &[&["period"]]),
        p(0, "CarePlan", "patient", Owner, &[&["subject"]]),
        p(15, "CarePlan", "status", Code("http://hl7.org/fhir/request-status"), &[&["status"]]),
        p(0, "CarePlan", "subject", Owner, &[&["subject"]]),
        p(19, "CareTeam", "date", Date, &[&["period"]]),
        p(18, "CareTeam", "participant", Reference(&["Practitioner", "Organization", "Patient", "RelatedPerson", "PractitionerRole", "CareTeam"]), &[&["participant", "member"]]),
        p(0, "CareTeam", "patient", Owner, &[&["subject"]]),
        p(17, "CareTeam", "role", Token, &[&["participant", "role"]]),
        p(16, "CareTeam", "status", Code("http://hl7.org/fhir/care-team-status"), &[&["status"]]),
        p(0, "CareTeam", "subject", Owner, &[&["subject"]]),
        p(0, "ChargeItem", "patient", Owner, &[&["subject"]]),
        p(0, "Claim", "patient", Owner, &[&["patient"]]),
        p(0, "ClaimResponse", "patient", Owner, &[&["patient"]]),
        p(0, "ClinicalImpression", "patient", Owner, &[&["subject"]]),
        p(0, "ClinicalImpression", "subject", Owner, &[&["subject"]]),
        p(0, "Communication", "patient", Owner, &[&["subject"]]),
        p(0, "Communication", "subject", Owner, &[&["subject"]]),
        p(0, "CommunicationRequest", "patient", Owner, &[&["subject"]]),
        p(0, "Composition", "patient", Owner, &[&["subject"]]),
        p(0, "Composition", "subject", Owner, &[&["subject"]]),
        p(20, "Condition", "abatement-date", Date, &[&["abatementDateTime"], &["abatementPeriod"]]),
        p(21, "Condition", "asserted-date", Date, &[&["extension", "=http://hl7.org/fhir/StructureDefinition/condition-assertedDate", "valueDateTime"]]),
        p(22, "Condition", "category", Token, &[&["category"]]),
        p(23, "Condition", "clinical-status", Token, &[&["clinicalStatus"]]),
        p(24, "Condition", "code", Token, &[&["code"]]),
        p(25, "Condition", "encounter", Reference(&["Encounter"]), &[&["encounter"]]),
        p(26, "Condition", "onset-date", Date, &[&["onsetDateTime"], &["onsetPeriod"]]),
        p(0, "Condition", "patient", Owner, &[&["subject"]]),
        p(27, "Condition", "recorded-date", Date, &[&["recordedDate"]]),
        p(0, "Condition", "subject", Owner, &[&["subject"]]),
        p(28, "Condition", "verification-status", Token, &[&["verificationStatus"]]),
        p(30, "Consent", "category", Token, &[&["category"]]),
        p(31, "Consent", "date", Date, &[&["dateTime"]]),
        p(0, "Consent", "patient", Owner, &[&["patient"]]),
        p(32, "Consent", "period", Date, &[&["provision", "period"]]),
        p(29, "Consent", "status", Code("http://hl7.org/fhir/consent-state-codes"), &[&["status"]]),
        p(0, "Coverage", "beneficiary", Owner, &[&["beneficiary"]]),
        p(33, "Coverage", "identifier", Token, &[&["identifier"]]),
        p(0, "Coverage", "patient", Owner, &[&["beneficiary"]]),
        p(36, "Coverage", "payor", Reference(&["Organization", "Patient", "RelatedPerson"]), &[&["payor"]]),
        p(34, "Coverage", "status", Code("http://hl7.org/fhir/fm-status"), &[&["status"]]),
        p(37, "Coverage", "subscriber", Reference(&["Patient", "RelatedPerson"]), &[&["subscriber"]]),
        p(35, "Coverage", "type", Token, &[&["type"]]),
        p(0, "CoverageEligibilityRequest", "patient", Owner, &[&["patient"]]),
        p(0, "CoverageEligibilityResponse", "patient", Owner, &[&["patient"]]),
        p(0, "DetectedIssue", "patient", Owner, &[&["patient"]]),
        p(0, "Device", "patient", Owner, &[&["patient"]]),
        p(38, "Device", "status", Code("http://hl7.org/fhir/device-status"), &[&["status"]]),
        p(39, "Device", "type", Token, &[&["type"]]),
        p(0, "DeviceRequest", "patient", Owner, &[&["subject"]]),
        p(0, "DeviceUseStatement", "patient", Owner, &[&["subject"]]),
        p(40, "DiagnosticReport", "category", Token, &[&["category"]]),
        p(41, "DiagnosticReport", "code", Token, &[&["code"]]),
        p(42, "DiagnosticReport", "date", Date, &[&["effectiveDateTime"], &["effectivePeriod"]]),
        p(44, "DiagnosticReport", "encounter", Reference(&["Encounter"]), &[&["encounter"]]),
        p(0, "DiagnosticReport", "patient", Owner, &[&["subject"]]),
        p(46, "DiagnosticReport", "performer", Reference(&["Practitioner", "Organization", "CareTeam", "PractitionerRole"]), &[&["performer"]]),
        p(45, "DiagnosticReport", "result", Reference(&["Observation"]), &[&["result"]]),
        p(43, "DiagnosticReport", "status", Code("http://hl7.org/fhir/diagnostic-report-status"), &[&["status"]]),
        p(0, "DiagnosticReport", "subject", Owner, &[&["subject"]]),
        p(0, "DocumentManifest", "patient", Owner, &[&["subject"]]),
        p(54, "DocumentReference", "author", Reference(&["Practitioner", "Organization", "Device", "Patient", "PractitionerRole", "RelatedPerson"]), &[&["author"]]),
        p(47, "DocumentReference", "category", Token, &[&["category"]]),
        p(48, "DocumentReference", "date", Date, &[&["date"]]),
        p(53, "DocumentReference", "encounter", Reference(&["Encounter"]), &[&["context", "encounter"]]),
        p(52, "DocumentReference", "identifier", Token, &[&["masterIdentifier"], &["identifier"]]),
        p(0, "DocumentReference", "patient", Owner, &[&["subject"]]),
        p(49, "DocumentReference", "period", Date, &[&["context", "period"]]),
        p(50, "DocumentReference", "status", Code("http://hl7.org/fhir/document-reference-status"), &[&["status"]]),
        p(0, "DocumentReference", "subject", Owner, &[&["subject"]]),
        p(51, "DocumentReference", "type", Token, &[&["type"]]),
        p(55, "Encounter", "class", Token, &[&["class"]]),
        p(56, "Encounter", "date", Date, &[&["period"]]),
        p(57, "Encounter", "discharge-disposition", Token, &[&["hospitalization", "dischargeDisposition"]]),
        p(58, "Encounter", "identifier", Token, &[&["identifier"]]),
        p(59, "Encounter", "location", Reference(&["Location"]), &[&["location", "location"]]),
        p(62, "Encounter", "participant", Reference(&["Practitioner", "PractitionerRole", "RelatedPerson"]), &[&["participant", "individual"]]),
        p(0, "Encounter", "patient", Owner, &[&["subject"]]),
        p(63, "Encounter", "service-provider", Reference(&["Organization"]), &[&["serviceProvider"]]),
        p(60, "Encounter", "status", Code("http://hl7.org/fhir/encounter-status"), &[&["status"]]),
        p(0, "Encounter", "subject", Owner, &[&["subject"]]),
        p(61, "Encounter", "type", Token, &[&["type"]]),
        p(68, "Endpoint", "connection-type", Token, &[&["connectionType"]]),
        p(64, "Endpoint", "identifier", Token, &[&["identifier"]]),
        p(65, "Endpoint", "name", Text, &[&["name"]]),
        p(66, "Endpoint", "organization", Reference(&["Organization"]), &[&["managingOrganization"]]),
        p(67, "Endpoint", "status", Code("http://hl7.org/fhir/endpoint-status"), &[&["status"]]),
        p(0, "EnrollmentRequest", "patient", Owner, &[&["candidate"]]),
        p(0, "EpisodeOfCare", "patient", Owner, &[&["patient"]]),
        p(69, "ExplanationOfBenefit", "billable-period-start", Date, &[&["billablePeriod", "start"]]),
        p(74, "ExplanationOfBenefit", "care-team", Reference(&["Practitioner", "Organization", "PractitionerRole"]), &[&["careTeam", "provider"]]),
        p(75, "ExplanationOfBenefit", "coverage", Reference(&["Coverage"]), &[&["insurance", "coverage"]]),
        p(81, "ExplanationOfBenefit", "created", Date, &[&["created"]]),
        p(79, "ExplanationOfBenefit", "facility", Reference(&["Location"]), &[&["facility"]]),
        p(70, "ExplanationOfBenefit", "identifier", Token, &[&["identifier"]]),
        p(76, "ExplanationOfBenefit", "insurer", Reference(&["Organization"]), &[&["insurer"]]),
        p(0, "ExplanationOfBenefit", "patient", Owner, &[&["patient"]]),
        p(78, "ExplanationOfBenefit", "payee", Reference(&["Practitioner", "Organization", "Patient", "PractitionerRole", "RelatedPerson"]), &[&["payee", "party"]]),
        p(77, "ExplanationOfBenefit", "provider", Reference(&["Practitioner", "Organization", "PractitionerRole"]), &[&["provider"]]),
        p(71, "ExplanationOfBenefit", "service-date", Date, &[&["billablePeriod"], &["item", "servicedDate"], &["item", "servicedPeriod"]]),
        p(72, "ExplanationOfBenefit", "service-start-date", Date, &[&["billablePeriod", "start"], &["item", "servicedDate"], &["item", "servicedPeriod", "start"]]),
        p(80, "ExplanationOfBenefit", "status", Code("http://hl7.org/fhir/explanationofbenefit-status"), &[&["status"]]),
        p(73, "ExplanationOfBenefit", "type", Token, &[&["type"]]),
        p(0, "FamilyMemberHistory", "patient", Owner, &[&["patient"]]),
        p(0, "Flag", "patient", Owner, &[&["subject"]]),
        p(0, "Flag", "subject", Owner, &[&["subject"]]),
        p(82, "Goal", "description", Token, &[&["description"]]),
        p(83, "Goal", "lifecycle-status", Code("http://hl7.org/fhir/goal-status"), &[&["lifecycleStatus"]]),
        p(0, "Goal", "patient", Owner, &[&["subject"]]),
        p(0, "Goal", "subject", Owner, &[&["subject"]]),
        p(84, "Goal", "target-date", Date, &[&["target", "dueDate"]]),
        p(87, "HealthcareService", "location", Reference(&["Location"]), &[&["location"]]),
        p(85, "HealthcareService", "name", Text, &[&["name"]]),
        p(86, "HealthcareService", "organization", Reference(&["Organization"]), &[&["providedBy"]]),
        p(0, "ImagingStudy", "patient", Owner, &[&["subject"]]),
        p(0, "ImagingStudy", "subject", Owner, &[&["subject"]]),
        p(88, "Immunization", "date", Date, &[&["occurrenceDateTime"]]),
        p(91, "Immunization", "location", Reference(&["Location"]), &[&["location"]]),
        p(0, "Immunization", "patient", Owner, &[&["patient"]]),
        p(89, "Immunization", "status", Code("http://hl7.org/fhir/event-status"), &[&["status"]]),
        p(90, "Immunization", "vaccine-code", Token, &[&["vaccineCode"]]),
        p(0, "ImmunizationEvaluation", "patient", Owner, &[&["patient"]]),
        p(0, "ImmunizationRecommendation", "patient", Owner, &[&["patient"]]),
        p(93, "InsurancePlan", "identifier", Token, &[&["identifier"]]),
        p(92, "InsurancePlan", "name", Text, &[&["name"], &["alias"]]),
        p(94, "InsurancePlan", "owned-by", Reference(&["Organization"]), &[&["ownedBy"]]),
        p(0, "Invoice", "patient", Owner, &[&["subject"]]),
        p(0, "List", "patient", Owner, &[&["subject"]]),
        p(0, "List", "subject", Owner, &[&["subject"]]),
        p(95, "Location", "address", Text, &[&["address"]]),
        p(96, "Location", "address-city", Text, &[&["address", "city"]]),
        p(97, "Location", "address-postalcode", Text, &[&["address", "postalCode"]]),
        p(98, "Location", "address-state", Text, &[&["address", "state"]]),
        p(100, "Location", "identifier", Token, &[&["identifier"]]),
        p(99, "Location", "name", Text, &[&["name"], &["alias"]]),
        p(101, "Location", "organization", Reference(&["Organization"]), &[&["managingOrganization"]]),
        p(0, "MeasureReport", "patient", Owner, &[&["subject"]]),
        p(0, "Media", "patient", Owner, &[&["subject"]]),
        p(0, "Media", "subject", Owner, &[&["subject"]]),
        p(102, "Medication", "code", Token, &[&["code"]]),
        p(103, "Medication", "status", Code("http://hl7.org/fhir/CodeSystem/medication-status"), &[&["status"]]),
        p(0, "MedicationAdministration", "patient", Owner, &[&["subject"]]),
        p(0, "MedicationAdministration", "subject", Owner, &[&["subject"]]),
        p(107, "MedicationDispense", "code", Token, &[&["medicationCodeableConcept"]]),
        p(106, "MedicationDispense", "medication", Reference(&["Medication"]), &[&["medicationReference"]]),
        p(0, "MedicationDispense", "patient", Owner, &[&["subject"]]),
        p(108, "MedicationDispense", "prescription", Reference(&["MedicationRequest"]), &[&["authorizingPrescription"]]),
        p(104, "MedicationDispense", "status", Code("http://terminology.hl7.org/CodeSystem/medicationdispense-status"), &[&["status"]]),
        p(0, "MedicationDispense", "subject", Owner, &[&["subject"]]),
        p(105, "MedicationDispense", "type", Token, &[&["type"]]),
        p(109, "MedicationDispense", "whenhandedover", Date, &[&["whenHandedOver"]]),
        p(110, "MedicationRequest", "authoredon", Date, &[&["authoredOn"]]),
        p(115, "MedicationRequest", "code", Token, &[&["medicationCodeableConcept"]]),
        p(111, "MedicationRequest", "encounter", Reference(&["Encounter"]), &[&["encounter"]]),
        p(112, "MedicationRequest", "intent", Code("http://hl7.org/fhir/CodeSystem/medicationrequest-intent"), &[&["intent"]]),
        p(114, "MedicationRequest", "medication", Reference(&["Medication"]), &[&["medicationReference"]]),
        p(0, "MedicationRequest", "patient", Owner, &[&["subject"]]),
        p(116, "MedicationRequest", "requester", Reference(&["Practitioner", "Organization", "Patient", "PractitionerRole", "RelatedPerson", "Device"]), &[&["requester"]]),
        p(113, "MedicationRequest", "status", Code("http://hl7.org/fhir/CodeSystem/medicationrequest-status"), &[&["status"]]),
        p(0, "MedicationRequest", "subject", Owner, &[&["subject"]]),
        p(0, "MedicationStatement", "patient", Owner, &[&["subject"]]),
        p(0, "MedicationStatement", "subject", Owner, &[&["subject"]]),
        p(0, "MolecularSequence", "patient", Owner, &[&["patient"]]),
        p(0, "NutritionOrder", "patient", Owner, &[&["patient"]]),
        p(117, "Observation", "category", Token, &[&["category"]]),
        p(118, "Observation", "code", Token, &[&["code"]]),
        p(119, "Observation", "date", Date, &[&["effectiveDateTime"], &["effectivePeriod"], &["effectiveTiming"], &["effectiveInstant"]]),
        p(121, "Observation", "encounter", Reference(&["Encounter"]), &[&["encounter"]]),
        p(122, "Observation", "has-member", Reference(&["Observation", "QuestionnaireResponse", "MolecularSequence"]), &[&["hasMember"]]),
        p(0, "Observation", "patient", Owner, &[&["subject"]]),
        p(120, "Observation", "status", Code("http://hl7.org/fhir/observation-status"), &[&["status"]]),
        p(0, "Observation", "subject", Owner, &[&["subject"]]),
        p(123, "Organization", "address", Text, &[&["address"]]),
        p(127, "Organization", "address-city", Text, &[&["address", "city"]]),
        p(129, "Organization", "address-postalcode", Text, &[&["address", "postalCode"]]),
        p(128, "Organization", "address-state", Text, &[&["address", "state"]]),
        p(125, "Organization", "identifier", Token, &[&["identifier"]]),
        p(124, "Organization", "name", Text, &[&["name"], &["alias"]]),
        p(126, "Organization", "type", Token, &[&["type"]]),
        p(131, "OrganizationAffiliation", "participating-organization", Reference(&["Organization"]), &[&["participatingOrganization"]]),
        p(130, "OrganizationAffiliation", "primary-organization", Reference(&["Organization"]), &[&["organization"]]),
        p(132, "Patient", "birthdate", Date, &[&["birthDate"]]),
        p(133, "Patient", "death-date", Date, &[&["deceasedDateTime"]]),
        p(134, "Patient", "family", Text, &[&["name", "family"]]),
        p(135, "Patient", "gender", Code("http://hl7.org/fhir/administrative-gender"), &[&["gender"]]),
        p(136, "Patient", "given", Text, &[&["name", "given"]]),
        p(137, "Patient", "identifier", Token, &[&["identifier"]]),
        p(138, "Patient", "name", Text, &[&["name"]]),
        p(141, "Practitioner", "family", Text, &[&["name", "family"]]),
        p(142, "Practitioner", "given", Text, &[&["name", "given"]]),
        p(139, "Practitioner", "identifier", Token, &[&["identifier"]]),
        p(140, "Practitioner", "name", Text, &[&["name"]]),
        p(147, "PractitionerRole", "endpoint", Reference(&["Endpoint"]), &[&["endpoint"]]),
        p(148, "PractitionerRole", "identifier", Token, &[&["identifier"]]),
        p(146, "PractitionerRole", "location", Reference(&["Location"]), &[&["location"]]),
        p(145, "PractitionerRole", "organization", Reference(&["Organization"]), &[&["organization"]]),
        p(143, "PractitionerRole", "practitioner", Reference(&["Practitioner"]), &[&["practitioner"]]),
        p(149, "PractitionerRole", "role", Token, &[&["code"]]),
        p(144, "PractitionerRole", "specialty", Token, &[&["specialty"]]),
        p(150, "Procedure", "code", Token, &[&["code"]]),
        p(151, "Procedure", "date", Date, &[&["performedDateTime"], &["performedPeriod"]]),
        p(153, "Procedure", "encounter", Reference(&["Encounter"]), &[&["encounter"]]),
        p(0, "Procedure", "patient", Owner, &[&["subject"]]),
        p(152, "Procedure", "status", Code("http://hl7.org/fhir/event-status"), &[&["status"]]),
        p(0, "Procedure", "subject", Owner, &[&["subject"]]),
        p(156, "Provenance", "agent", Reference(&["Practitioner", "Organization", "Patient", "PractitionerRole", "RelatedPerson", "Device"]), &[&["agent", "who"]]),
        p(0, "Provenance", "patient", Owner, &[&["target"]]),
        p(155, "Provenance", "recorded", Date, &[&["recorded"]]),
        p(154, "Provenance", "target", Reference(&[]), &[&["target"]]),
        p(157, "QuestionnaireResponse", "authored", Date, &[&["authored"]]),
        p(0, "QuestionnaireResponse", "patient", Owner, &[&["subject"]]),
        p(158, "QuestionnaireResponse", "questionnaire", Canonical, &[&["questionnaire"]]),
        p(159, "QuestionnaireResponse", "status", Code("http://hl7.org/fhir/questionnaire-answers-status"), &[&["status"]]),
        p(0, "QuestionnaireResponse", "subject", Owner, &[&["subject"]]),
        p(160, "RelatedPerson", "name", Text, &[&["name"]]),
        p(0, "RelatedPerson", "patient", Owner, &[&["patient"]]),
        p(0, "RequestGroup", "patient", Owner, &[&["subject"]]),
        p(0, "ResearchSubject", "patient", Owner, &[&["individual"]]),
        p(0, "RiskAssessment", "patient", Owner, &[&["subject"]]),
        p(0, "RiskAssessment", "subject", Owner, &[&["subject"]]),
        p(161, "ServiceRequest", "authored", Date, &[&["authoredOn"]]),
        p(162, "ServiceRequest", "category", Token, &[&["category"]]),
        p(163, "ServiceRequest", "code", Token, &[&["code"]]),
        p(165, "ServiceRequest", "encounter", Reference(&["Encounter"]), &[&["encounter"]]),
        p(0, "ServiceRequest", "patient", Owner, &[&["subject"]]),
        p(166, "ServiceRequest", "requester", Reference(&["Practitioner", "Organization", "Patient", "PractitionerRole", "RelatedPerson", "Device"]), &[&["requester"]]),
        p(164, "ServiceRequest", "status", Code("http://hl7.org/fhir/request-status"), &[&["status"]]),
        p(0, "ServiceRequest", "subject", Owner, &[&["subject"]]),
        p(0, "Specimen", "patient", Owner, &[&["subject"]]),
        p(0, "Specimen", "subject", Owner, &[&["subject"]]),
        p(0, "SupplyDelivery", "patient", Owner, &[&["patient"]]),
        p(0, "VisionPrescription", "patient", Owner, &[&["patient"]]),    ]
};

/// The parameters of `rtype` without the common ones.
pub fn of(rtype: &str) -> &'static [Param] {
    let from = PARAMS.partition_point(|param| param.rtype < rtype);
    let to = from + PARAMS[from..].partition_point(|param| param.rtype == rtype);
    &PARAMS[from..to]
}

/// The parameter `name` of `rtype`.
pub fn find(rtype: &str, name: &str) -> Option<&'static Param> {
    let named = |param: &&Param| param.name == name;
    COMMON.iter().find(named).or_else(|| of(rtype).iter().find(named))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_table_is_sorted_and_its_numbers_are_unique() {
        assert!(PARAMS.is_sorted_by_key(|param| (param.rtype, param.name)));
        let mut seen = HashSet::from([0, NOT_OWNER]);
        for param in COMMON.iter().chain(PARAMS) {
            assert!(
                (param.kind == ParamKind::Owner) == (param.no == 0) && (param.no == 0 || seen.insert(param.no)),
                "{}.{}",
                param.rtype,
                param.name
            );
            assert!(param.rtype.is_empty() || causeway_fhir_types::is_type(param.rtype));
            assert!(!param.paths.is_empty());
        }
    }

    #[test]
    fn parameters_are_found_by_type_and_name() {
        assert_eq!(
            find("Observation", "code").map(|param| param.rtype),
            Some("Observation")
        );
        assert_eq!(
            find("Patient", "identifier").map(|param| param.no),
            Some(PATIENT_IDENTIFIER)
        );
        assert_eq!(find("Observation", "_tag").map(|param| param.no), Some(3));
        assert!(find("Observation", "intent").is_none() && of("Nothing").is_empty());
        let asserted = find("Condition", "asserted-date").expect("there").expression();
        assert_eq!(
            asserted,
            "Condition.extension.where(url = 'http://hl7.org/fhir/StructureDefinition/condition-assertedDate').value.ofType(dateTime)"
        );
        let serviced = find("ExplanationOfBenefit", "service-start-date").expect("there");
        assert!(
            serviced.expression().contains(".item.serviced.ofType(Period).start"),
            "{}",
            serviced.expression()
        );
    }

    #[test]
    fn expressions_name_elements_as_fhirpath_does() {
        for param in COMMON.iter().chain(PARAMS) {
            let expression = param.expression();
            let names = expression.split(['.', '|', ' ', '(', ')', '\'']);
            let json = names.filter(|name| choice(name).is_some()).collect::<Vec<_>>();
            assert!(
                json.is_empty(),
                "{}.{}: {json:?} in {expression}",
                param.rtype,
                param.name
            );
        }
    }
}
