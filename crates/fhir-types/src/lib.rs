//! The typed FHIR R4 model (fhirbolt) behind non-generic functions; the only crate that names it.
//!
//! It is a second opinion on shape, never the first: it panics on an empty array, so the pre-screen of the server comes
//! before it, and it checks no code, date, id or reference format. Here it runs in strict mode only (the other modes loop
//! for ever on unknown arrays), from slices only, through the `Resource` enum only (the concrete types refuse valid
//! resources), and a panic ends as a refusal. Nothing of an instance gets out: no value, no message of the parser.
//!
//! Each function here costs minutes of release build, because it instantiates the model's deserialisers: keep them few.

mod quiet;

use fhirbolt::model::r4::Resource;
use fhirbolt::serde::{DeserializationConfig, DeserializationMode};
use serde_json::error::Category;

/// What kind of refusal it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not JSON, or cut short.
    Syntax,
    /// The model has no such element here.
    Unknown,
    /// A required element is not there.
    Missing,
    /// An element is there in another JSON shape than the model's.
    Shape,
    /// The model's own code failed on this input.
    Panicked,
}

/// Why a resource is not valid R4 in shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What kind of refusal.
    pub kind: Kind,
    /// The element at fault, by its name in the model or in the input; only for [`Kind::Unknown`] and [`Kind::Missing`].
    pub element: Option<String>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.kind {
            Kind::Syntax => "not well-formed JSON",
            Kind::Unknown => "an element that R4 does not have here",
            Kind::Missing => "a required element is missing",
            Kind::Shape => "an element has the wrong JSON type",
            Kind::Panicked => "the model could not read it",
        })
    }
}

impl std::error::Error for Refused {}

/// Checks that `bytes` are one R4 resource in shape, and returns its type.
///
/// Call the pre-screen first: what this accepts beyond JSON (trailing bytes, duplicate keys) is the pre-screen's to refuse.
///
/// # Errors
/// [`Refused`], which carries no value of the instance.
pub fn check(bytes: &[u8]) -> Result<&'static str, Refused> {
    let parsed = quiet::catch(|| {
        let config = DeserializationConfig {
            mode: DeserializationMode::Strict,
        };
        fhirbolt::json::from_slice::<Resource>(bytes, Some(config)).map(|resource| type_of(&resource))
    });
    match parsed {
        Some(Ok(name)) => Ok(name),
        Some(Err(error)) => Err(refusal(&error)),
        None => Err(Refused {
            kind: Kind::Panicked,
            element: None,
        }),
    }
}

/// Whether R4 has a resource type of this name.
pub fn is_type(name: &str) -> bool {
    TYPES.binary_search(&name).is_ok()
}

/// The name of an R4 resource type as a constant, if there is one of this name.
pub fn type_name(name: &str) -> Option<&'static str> {
    TYPES.binary_search(&name).ok().map(|at| TYPES[at])
}

fn refusal(error: &serde_json::Error) -> Refused {
    let kind = match error.classify() {
        Category::Data => Kind::Shape,
        Category::Io | Category::Syntax | Category::Eof => Kind::Syntax,
    };
    if kind == Kind::Shape {
        let text = error.to_string();
        for (start, kind) in [("unknown field `", Kind::Unknown), ("missing field `", Kind::Missing)] {
            let name = text.strip_prefix(start).and_then(|rest| rest.split('`').next());
            if let Some(name) = name.filter(|name| is_element_name(name)) {
                return Refused {
                    kind,
                    element: Some(name.to_owned()),
                };
            }
        }
    }
    Refused { kind, element: None }
}

fn is_element_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

macro_rules! types {
    ($($name:ident,)+) => {
        /// The resource types of FHIR R4, sorted.
        pub const TYPES: &[&str] = &[$(stringify!($name),)+];

        fn type_of(resource: &Resource) -> &'static str {
            match resource {
                $(Resource::$name(_) => stringify!($name),)+
                _ => "",
            }
        }
    };
}

types! {
        Account, ActivityDefinition, AdverseEvent, AllergyIntolerance, Appointment, AppointmentResponse, AuditEvent,
        Basic, Binary, BiologicallyDerivedProduct, BodyStructure, Bundle, CapabilityStatement, CarePlan, CareTeam,
        CatalogEntry, ChargeItem, ChargeItemDefinition, Claim, ClaimResponse, ClinicalImpression, CodeSystem,
        Communication, CommunicationRequest, CompartmentDefinition, Composition, ConceptMap, Condition, Consent,
        Contract, Coverage, CoverageEligibilityRequest, CoverageEligibilityResponse, DetectedIssue, Device,
        DeviceDefinition, DeviceMetric, DeviceRequest, DeviceUseStatement, DiagnosticReport, DocumentManifest,
        DocumentReference, EffectEvidenceSynthesis, Encounter, Endpoint, EnrollmentRequest, EnrollmentResponse,
        EpisodeOfCare, EventDefinition, Evidence, EvidenceVariable, ExampleScenario, ExplanationOfBenefit,
        FamilyMemberHistory, Flag, Goal, GraphDefinition, Group, GuidanceResponse, HealthcareService, ImagingStudy,
        Immunization, ImmunizationEvaluation, ImmunizationRecommendation, ImplementationGuide, InsurancePlan, Invoice,
        Library, Linkage, List, Location, Measure, MeasureReport, Media, Medication, MedicationAdministration,
        MedicationDispense, MedicationKnowledge, MedicationRequest, MedicationStatement, MedicinalProduct,
        MedicinalProductAuthorization, MedicinalProductContraindication, MedicinalProductIndication,
        MedicinalProductIngredient, MedicinalProductInteraction, MedicinalProductManufactured,
        MedicinalProductPackaged, MedicinalProductPharmaceutical, MedicinalProductUndesirableEffect,
        MessageDefinition, MessageHeader, MolecularSequence, NamingSystem, NutritionOrder, Observation,
        ObservationDefinition, OperationDefinition, OperationOutcome, Organization, OrganizationAffiliation,
        Parameters, Patient, PaymentNotice, PaymentReconciliation, Person, PlanDefinition, Practitioner,
        PractitionerRole, Procedure, Provenance, Questionnaire, QuestionnaireResponse, RelatedPerson, RequestGroup,
        ResearchDefinition, ResearchElementDefinition, ResearchStudy, ResearchSubject, RiskAssessment,
        RiskEvidenceSynthesis, Schedule, SearchParameter, ServiceRequest, Slot, Specimen, SpecimenDefinition,
        StructureDefinition, StructureMap, Subscription, Substance, SubstanceNucleicAcid, SubstancePolymer,
        SubstanceProtein, SubstanceReferenceInformation, SubstanceSourceMaterial, SubstanceSpecification,
        SupplyDelivery, SupplyRequest, Task, TerminologyCapabilities, TestReport, TestScript, ValueSet,
        VerificationResult, VisionPrescription,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_resource_is_told() {
        assert_eq!(
            check(br#"{"resourceType":"Patient","id":"a","active":true}"#),
            Ok("Patient")
        );
        assert!(TYPES.is_sorted() && is_type("Observation") && !is_type("Human"));
    }

    #[test]
    fn a_contained_resource_and_a_bundle_are_taken() {
        let contained =
            br#"{"resourceType":"Patient","contained":[{"resourceType":"Organization","name":"x"}],"active":true}"#;
        assert_eq!(check(contained), Ok("Patient"));
        let bundle = br#"{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient"}},
            {"resource":{"resourceType":"Patient","active":true},"search":{"mode":"match"}}]}"#;
        assert_eq!(check(bundle), Ok("Bundle"));
    }

    #[test]
    fn refusals_name_the_element_and_nothing_else() {
        let unknown = check(br#"{"resourceType":"Patient","colour":"Secret"}"#);
        assert_eq!(
            unknown,
            Err(Refused {
                kind: Kind::Unknown,
                element: Some("colour".into())
            })
        );
        let missing = check(br#"{"resourceType":"Observation","status":"final"}"#);
        assert_eq!(
            missing,
            Err(Refused {
                kind: Kind::Missing,
                element: Some("code".into())
            })
        );
        let shape = check(br#"{"resourceType":"Patient","active":"Secret"}"#).expect_err("refused");
        assert_eq!(
            shape,
            Refused {
                kind: Kind::Shape,
                element: None
            }
        );
        assert_eq!(check(b"{").expect_err("refused").kind, Kind::Syntax);
        assert!(check(br#"{"resourceType":"Human"}"#).is_err() && check(b"{}").is_err());
    }

    #[test]
    fn a_panic_of_the_model_is_a_refusal() {
        let refused = check(br#"{"resourceType":"Patient","name":[]}"#).expect_err("refused");
        assert_eq!(refused.kind, Kind::Panicked);
    }
}
