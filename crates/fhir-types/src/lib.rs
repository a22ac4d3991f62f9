//! The typed FHIR R4 model (fhirbolt) behind non-generic functions. This is the only crate that uses it.
//!
//! It is a second check of a resource's shape, never the first: it panics on an empty array, so the server's pre-screen must come before
//! it, and it does not check codes, dates, ids or references. It is used only in strict mode (the other modes loop forever on unknown
//! arrays), only on slices, and only through the `Resource` enum (the concrete types refuse valid resources); a panic becomes a refusal. No
//! value of an instance and no message of the parser is returned.
//!
//! Each function here adds minutes to a release build, because it instantiates the model's deserializers: keep them few.

mod quiet;

use fhirbolt::model::r4::Resource;
use fhirbolt::serde::{DeserializationConfig, DeserializationMode};
use serde_json::error::Category;

/// The kind of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// Not JSON, or incomplete.
    Syntax,
    /// An element that the model does not have at this place.
    Unknown,
    /// A required element is missing.
    Missing,
    /// An element has another JSON type than in the model.
    Shape,
    /// The model panicked on this input.
    Panicked,
}

/// Why the shape of a resource is not valid R4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The kind of the refusal.
    pub kind: RefusalKind,
    /// The name of the element, from the model or from the input; only for [`RefusalKind::Unknown`] and [`RefusalKind::Missing`].
    pub element: Option<String>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.kind {
            RefusalKind::Syntax => "not well-formed JSON",
            RefusalKind::Unknown => "an element that R4 does not have here",
            RefusalKind::Missing => "a required element is missing",
            RefusalKind::Shape => "an element has the wrong JSON type",
            RefusalKind::Panicked => "the model could not read it",
        })
    }
}

impl std::error::Error for Refused {}

/// Checks that `bytes` have the shape of one R4 resource, and returns its type.
///
/// Call the pre-screen first, because this function also accepts trailing bytes and duplicate keys, which the pre-screen refuses.
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
            kind: RefusalKind::Panicked,
            element: None,
        }),
    }
}

/// Whether R4 has a resource type with this name.
pub fn is_type(name: &str) -> bool {
    TYPES.binary_search(&name).is_ok()
}

/// The name of this R4 resource type as a constant; `None` if there is no such type.
pub fn type_name(name: &str) -> Option<&'static str> {
    TYPES.binary_search(&name).ok().map(|at| TYPES[at])
}

fn refusal(error: &serde_json::Error) -> Refused {
    let kind = match error.classify() {
        Category::Data => RefusalKind::Shape,
        Category::Io | Category::Syntax | Category::Eof => RefusalKind::Syntax,
    };
    if kind == RefusalKind::Shape {
        let text = error.to_string();
        for (start, kind) in [
            ("unknown field `", RefusalKind::Unknown),
            ("missing field `", RefusalKind::Missing),
        ] {
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
                kind: RefusalKind::Unknown,
                element: Some("colour".into())
            })
        );
        let missing = check(br#"{"resourceType":"Observation","status":"final"}"#);
        assert_eq!(
            missing,
            Err(Refused {
                kind: RefusalKind::Missing,
                element: Some("code".into())
            })
        );
        let shape = check(br#"{"resourceType":"Patient","active":"Secret"}"#).expect_err("refused");
        assert_eq!(
            shape,
            Refused {
                kind: RefusalKind::Shape,
                element: None
            }
        );
        assert_eq!(check(b"{").expect_err("refused").kind, RefusalKind::Syntax);
        assert!(check(br#"{"resourceType":"Human"}"#).is_err() && check(b"{}").is_err());
    }

    #[test]
    fn a_panic_of_the_model_is_a_refusal() {
        let refused = check(br#"{"resourceType":"Patient","name":[]}"#).expect_err("refused");
        assert_eq!(refused.kind, RefusalKind::Panicked);
    }
}
