//! The requirements of each guide for each type: the searches that a server SHALL support, the includes it lists, and the elements of its
//! profiles. Sources: the server CapabilityStatements and the profiles of US Core 3.1.1 and 6.1.0, CARIN Blue Button 2.0 to 2.2 and PDex
//! 2.0 and 2.2.

/// One type in one guide.
#[derive(Clone, Copy, Debug)]
pub struct GuideRow {
    /// The resource type.
    pub rtype: &'static str,
    /// The required searches, separated by spaces; the parameters of a search are joined by `+`.
    pub searches: &'static str,
    /// The listed values of `_include`, separated by spaces.
    pub includes: &'static str,
    /// Whether `_revinclude=Provenance:target` is listed.
    pub provenance: bool,
    /// Elements that are mandatory in every profile of the type; `*` ends the name of a choice element.
    pub required: &'static str,
    /// Elements that are mustSupport in a profile of the type.
    pub must_support: &'static str,
}

/// One guide.
#[derive(Clone, Copy, Debug)]
pub struct Guide {
    /// Id of its suite.
    pub suite: &'static str,
    /// The beginning of the canonical URLs of its profiles.
    pub profiles: &'static str,
    /// Its types.
    pub rows: &'static [GuideRow],
}

/// Whether another version of the guide, with the same canonical URLs, makes `path` of a type optional.
pub(super) fn is_optional_elsewhere(suite: &str, rtype: &str, path: &str) -> bool {
    let profiles = of(suite).map_or("", |guide| guide.profiles);
    GUIDES
        .iter()
        .filter(|guide| guide.suite != suite && guide.profiles == profiles)
        .flat_map(|guide| guide.rows.iter().filter(|row| row.rtype == rtype))
        .any(|row| !row.required.split_whitespace().any(|required| required == path))
}

const fn row(
    rtype: &'static str,
    searches: &'static str,
    includes: &'static str,
    provenance: bool,
    required: &'static str,
    must_support: &'static str,
) -> GuideRow {
    GuideRow {
        rtype,
        searches,
        includes,
        provenance,
        required,
        must_support,
    }
}

/// Types that belong to no patient; all others belong to one.
const SHARED: &[&str] = &[
    "Endpoint",
    "Location",
    "Medication",
    "Organization",
    "Practitioner",
    "PractitionerRole",
];

/// Whether resources of the type are shared between patients.
pub(super) fn is_shared(rtype: &str) -> bool {
    SHARED.contains(&rtype)
}

/// The types that PDex lists for single-member exchange (PDex 2.2, "Data to be exchanged"; pdex-210).
pub(super) const PDEX_TYPES: &[&str] = &[
    "AllergyIntolerance",
    "CarePlan",
    "CareTeam",
    "Condition",
    "Coverage",
    "Device",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "ExplanationOfBenefit",
    "Goal",
    "Immunization",
    "Location",
    "Medication",
    "MedicationDispense",
    "MedicationRequest",
    "Observation",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "Procedure",
    "Provenance",
];

/// Types of patients' resources whose references lead to shared resources.
pub(super) fn members() -> impl Iterator<Item = &'static str> {
    let more = ["ServiceRequest", "QuestionnaireResponse", "RelatedPerson", "Specimen"];
    PDEX_TYPES
        .iter()
        .copied()
        .chain(more)
        .filter(|rtype| !is_shared(rtype) && *rtype != "Provenance")
}

/// Parameters that a search needs in addition to `patient`, for types where a server need not support `patient` alone. The values are fixed
/// by the guides.
pub(super) fn first_searches(rtype: &str) -> Vec<Vec<(&'static str, &'static str)>> {
    match rtype {
        "CarePlan" => vec![vec![("category", "assess-plan")]],
        "CareTeam" => vec![vec![("status", "proposed,active,suspended,inactive,entered-in-error")]],
        "MedicationRequest" => vec![vec![(
            "intent",
            "proposal,plan,order,original-order,reflex-order,filler-order,instance-order,option",
        )]],
        "Observation" => ["laboratory", "vital-signs", "social-history", "survey"]
            .map(|category| vec![("category", category)])
            .to_vec(),
        _ => vec![Vec::new()],
    }
}

/// The guide of a suite, if it has one.
pub(super) fn of(suite: &str) -> Option<&'static Guide> {
    GUIDES.iter().find(|guide| guide.suite == suite)
}

const CORE: &str = "http://hl7.org/fhir/us/core/StructureDefinition/";
const CARIN_PROFILES: &str = "http://hl7.org/fhir/us/carin-bb/StructureDefinition/";
const PDEX_PROFILES: &str = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/";

/// All guides whose types are tested.
pub const GUIDES: &[Guide] = &[
    Guide {
        suite: "us-core-3.1.1",
        profiles: CORE,
        rows: US_CORE_3,
    },
    Guide {
        suite: "us-core-6.1.0",
        profiles: CORE,
        rows: US_CORE_6,
    },
    Guide {
        suite: "carin",
        profiles: CARIN_PROFILES,
        rows: CARIN,
    },
    Guide {
        suite: "pdex-2.0",
        profiles: PDEX_PROFILES,
        rows: PDEX_20,
    },
    Guide {
        suite: "pdex-2.2",
        profiles: PDEX_PROFILES,
        rows: PDEX_22,
    },
];

const PATIENT_MS: &str = "address.city address.line address.postalCode address.state birthDate communication.language gender identifier.system identifier.value name.family name.given telecom.system telecom.use telecom.value";
const EOB_SEARCHES: &str = "_id patient patient+_lastUpdated patient+type identifier patient+service-date";

#[rustfmt::skip]
const US_CORE_3: &[GuideRow] = &[
    row("AllergyIntolerance", "patient", "", true, "code patient", "clinicalStatus code patient reaction.manifestation verificationStatus"),
    row("CarePlan", "patient+category", "", true, "category intent status subject", "category intent status subject text.div"),
    row("CareTeam", "patient+status", "", true, "participant subject", "participant.member participant.role status subject"),
    row("Condition", "patient", "", true, "category code subject", "category clinicalStatus code subject verificationStatus"),
    row("Device", "patient", "", true, "patient type", "distinctIdentifier expirationDate lotNumber manufactureDate patient serialNumber type udiCarrier.carrierHRF udiCarrier.deviceIdentifier"),
    row("DiagnosticReport", "patient patient+category patient+category+date patient+code", "", true, "category code effective* status subject", "category code effective* encounter issued performer presentedForm result status subject"),
    row("DocumentReference", "_id patient patient+category patient+category+date patient+type", "", true, "category content status subject type", "author category content.attachment content.format context.encounter context.period custodian date identifier status subject type"),
    row("Encounter", "_id patient patient+date", "", true, "class status subject type", "class hospitalization.dischargeDisposition identifier.system identifier.value location.location participant.individual participant.period participant.type period reasonCode status subject type"),
    row("Goal", "patient", "", true, "description lifecycleStatus subject", "description lifecycleStatus subject target.due*"),
    row("Immunization", "patient", "", true, "occurrence* patient primarySource status vaccineCode", "occurrence* patient primarySource status statusReason vaccineCode"),
    row("Location", "name address", "", false, "name", "address.city address.line address.postalCode address.state managingOrganization name status telecom"),
    row("Medication", "", "", false, "code", "code"),
    row("MedicationRequest", "patient+intent patient+intent+status", "MedicationRequest:medication", true, "authoredOn intent medication* requester status subject", "authoredOn dosageInstruction.text encounter intent medication* reported* requester status subject"),
    row("Observation", "patient+category patient+category+date patient+code", "", true, "code status subject", "category code.coding component.code component.value* dataAbsentReason effective* status subject value*"),
    row("Organization", "name address", "", false, "active name", "active address.city address.country address.line address.postalCode address.state identifier.system identifier.value name telecom"),
    row("Patient", "_id identifier name birthdate+name gender+name", "", true, "gender identifier name", PATIENT_MS),
    row("Practitioner", "name identifier", "", false, "identifier name", "identifier.system identifier.value name.family"),
    row("PractitionerRole", "specialty practitioner", "PractitionerRole:endpoint PractitionerRole:practitioner", false, "organization practitioner", "code endpoint location organization practitioner specialty telecom.system telecom.value"),
    row("Procedure", "patient patient+date", "", true, "code performed* status subject", "code performed* status subject"),
    row("Provenance", "", "", false, "agent recorded target", "agent.onBehalfOf agent.type agent.who recorded target"),
];

#[rustfmt::skip]
const US_CORE_6: &[GuideRow] = &[
    row("AllergyIntolerance", "patient", "", true, "code patient", "clinicalStatus code patient reaction.manifestation verificationStatus"),
    row("CarePlan", "patient+category", "", true, "category intent status subject", "category intent status subject"),
    row("CareTeam", "patient+status", "CareTeam:participant", true, "participant subject", "participant.member participant.role status subject"),
    row("Condition", "patient patient+category", "", true, "category code subject", "abatement* category clinicalStatus code encounter onset* recordedDate subject verificationStatus"),
    row("Coverage", "patient", "", true, "beneficiary payor relationship status", "beneficiary class identifier payor period relationship status subscriberId type"),
    row("Device", "patient", "", true, "patient type", "distinctIdentifier expirationDate lotNumber manufactureDate patient serialNumber type udiCarrier.carrierHRF udiCarrier.deviceIdentifier"),
    row("DiagnosticReport", "patient patient+category patient+category+date patient+code", "", true, "category code status subject", "category code effective* encounter issued media.link performer presentedForm result status subject"),
    row("DocumentReference", "_id patient patient+category patient+category+date patient+type", "", true, "category content status subject type", "author category content.attachment content.format context.encounter context.period date identifier status subject type"),
    row("Encounter", "_id patient patient+date", "", true, "class status subject type", "class hospitalization.dischargeDisposition identifier.system identifier.value location.location participant.individual participant.period participant.type period reasonCode reasonReference serviceProvider status subject type"),
    row("Goal", "patient", "", true, "description lifecycleStatus subject", "description lifecycleStatus start* subject target.due*"),
    row("Immunization", "patient", "", true, "occurrence* patient status vaccineCode", "occurrence* patient primarySource status statusReason vaccineCode"),
    row("Location", "name address", "", false, "name", "address.city address.line address.postalCode address.state managingOrganization name status telecom"),
    row("Medication", "", "", false, "code", "code"),
    row("MedicationDispense", "patient", "MedicationDispense:medication", true, "medication* status subject", "authorizingPrescription dosageInstruction.doseAndRate dosageInstruction.text dosageInstruction.timing medication* performer.actor quantity status subject type whenHandedOver"),
    row("MedicationRequest", "patient+intent patient+intent+status", "MedicationRequest:medication", true, "intent medication* status subject", "authoredOn category dispenseRequest.numberOfRepeatsAllowed dispenseRequest.quantity dosageInstruction.doseAndRate dosageInstruction.text dosageInstruction.timing encounter intent medication* reported* requester status subject"),
    row("Observation", "patient+category patient+category+date patient+code", "", true, "code status subject", "category code.coding component.code component.value* dataAbsentReason derivedFrom effective* hasMember performer specimen status subject value*"),
    row("Organization", "name address", "", false, "active name", "active address.city address.country address.line address.postalCode address.state identifier.system identifier.value name telecom.system telecom.value"),
    row("Patient", "_id identifier name birthdate+name gender+name", "", true, "gender identifier name", PATIENT_MS),
    row("Practitioner", "name identifier", "", false, "identifier name", "address.city address.country address.line address.postalCode address.state identifier.system identifier.value name.family telecom.system telecom.value"),
    row("PractitionerRole", "specialty practitioner", "PractitionerRole:endpoint PractitionerRole:practitioner", false, "", "code endpoint location organization practitioner specialty telecom.system telecom.value"),
    row("Procedure", "patient patient+date", "", true, "code status subject", "code performed* status subject"),
    row("Provenance", "", "", false, "agent recorded target", "agent.onBehalfOf agent.type agent.who recorded target.reference"),
    row("QuestionnaireResponse", "_id patient", "", true, "authored questionnaire status subject", "author authored identifier item.answer item.item item.linkId item.text questionnaire status subject"),
    row("RelatedPerson", "_id", "", true, "active patient", "active address name patient relationship telecom"),
    row("ServiceRequest", "_id patient patient+category patient+category+authored patient+code", "", true, "code intent status subject", "authoredOn category code intent occurrence* requester status subject"),
    row("Specimen", "_id", "", false, "type", "subject type"),
];

#[rustfmt::skip]
const CARIN: &[GuideRow] = &[
    row("Coverage", "_id", "Coverage:payor", false, "beneficiary payor relationship status subscriberId", "beneficiary class identifier payor period relationship status subscriberId type"),
    row("ExplanationOfBenefit", "_id patient patient+_lastUpdated patient+type identifier patient+service-date patient+service-start-date patient+billable-period-start",
        "ExplanationOfBenefit:patient ExplanationOfBenefit:provider ExplanationOfBenefit:care-team ExplanationOfBenefit:coverage ExplanationOfBenefit:insurer ExplanationOfBenefit:payee ExplanationOfBenefit:*", false,
        "billablePeriod created identifier insurance insurer item outcome patient provider status type use",
        "billablePeriod.start careTeam.provider careTeam.role created diagnosis.diagnosis* diagnosis.type identifier insurance.coverage insurance.focal insurer item.productOrService item.sequence item.serviced* outcome patient payee.type procedure.procedure* provider status supportingInfo type use"),
    row("Organization", "_id", "", false, "active name", "active address.city address.country address.line address.postalCode address.state identifier.system identifier.value name telecom.system telecom.value"),
    row("Patient", "_id", "", false, "gender identifier name", PATIENT_MS),
    row("Practitioner", "_id", "", false, "identifier name", "identifier.system identifier.value name.family"),
    row("RelatedPerson", "_id", "", false, "active patient", "active name patient relationship"),
];

#[rustfmt::skip]
const PDEX_20: &[GuideRow] = &[
    row("Device", "patient", "", true, "patient type", "lotNumber patient serialNumber status type udiCarrier.deviceIdentifier"),
    row("ExplanationOfBenefit", EOB_SEARCHES, "ExplanationOfBenefit:patient ExplanationOfBenefit:provider ExplanationOfBenefit:insurer", false,
        "created insurance insurer outcome patient provider status type use", "insurer item.category patient preAuthRefPeriod provider status total.category type use"),
    row("MedicationDispense", "", "", false, "medication* status subject", "status subject"),
    row("Provenance", "", "", false, "agent recorded target", "agent.onBehalfOf agent.type agent.who recorded target"),
];

#[rustfmt::skip]
const PDEX_22: &[GuideRow] = &[
    row("Consent", "patient", "", true, "category patient performer scope status", "category dateTime organization patient provision.period provision.type scope source* status"),
    row("Coverage", "patient", "", true, "", ""),
    row("Device", "patient", "", true, "patient type", "lotNumber patient serialNumber status type udiCarrier.deviceIdentifier"),
    row("ExplanationOfBenefit", EOB_SEARCHES, "ExplanationOfBenefit:patient ExplanationOfBenefit:provider ExplanationOfBenefit:care-team ExplanationOfBenefit:coverage ExplanationOfBenefit:insurer ExplanationOfBenefit:*", false,
        "created insurance insurer outcome patient provider status type use", "insurer item.category patient preAuthRefPeriod provider status total.category type use"),
    row("MedicationDispense", "patient", "MedicationDispense:medication", true, "medication* status subject", "quantity status subject type whenHandedOver"),
    row("Provenance", "", "", false, "agent recorded target", "agent.onBehalfOf agent.type agent.who recorded target.reference"),
];

#[cfg(test)]
mod tests {
    use super::super::parameters;
    use super::*;

    #[test]
    fn what_one_version_demands_and_another_leaves_open_is_known() {
        for (suite, rtype, path, optional) in [
            ("us-core-3.1.1", "MedicationRequest", "requester", true),
            ("us-core-3.1.1", "PractitionerRole", "practitioner", true),
            ("us-core-3.1.1", "MedicationRequest", "status", false),
            ("us-core-6.1.0", "Patient", "name", false),
            ("carin", "Patient", "name", false),
        ] {
            assert_eq!(
                is_optional_elsewhere(suite, rtype, path),
                optional,
                "{suite} {rtype}.{path}"
            );
        }
    }

    #[test]
    fn every_search_can_be_judged() {
        for guide in GUIDES {
            for row in guide.rows {
                for name in row.searches.split([' ', '+']).filter(|name| !name.is_empty()) {
                    assert!(
                        parameters::find(row.rtype, name).is_some(),
                        "{} {} {name}",
                        guide.suite,
                        row.rtype
                    );
                }
                for include in row.includes.split_whitespace() {
                    let name = include.strip_prefix(row.rtype).and_then(|rest| rest.strip_prefix(':'));
                    let name = name.unwrap_or_else(|| panic!("{include}"));
                    assert!(name == "*" || parameters::find(row.rtype, name).is_some(), "{include}");
                }
            }
        }
    }
}
