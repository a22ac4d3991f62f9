//! To whom a resource belongs: to one member or to no member. Otherwise it is refused.
//!
//! Only the elements of FHIR's Patient CompartmentDefinition make a resource a member's, the primary element first. A resource of a type
//! that belongs to a member is refused when the member cannot be determined; it is never stored as shared.

use super::bases;
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::Screened;
use crate::ids::is_fhir_id;

/// How the owner of a resource of a type is determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerRule {
    /// The Patient itself.
    Patient,
    /// By the first of these elements that references a Patient.
    Member(&'static [&'static [&'static str]]),
    /// As `Member`; belongs to no member when none of the elements is present.
    MemberOrNobody(&'static [&'static [&'static str]]),
    /// By its targets.
    Provenance,
    /// By the resources that reference it as an attachment, and by its security context when that is a Patient.
    Binary,
    /// Belongs to no member: directories, plans, products.
    Shared,
}

/// Every type that is stored. Source: FHIR R4 CompartmentDefinition/patient. `Device.patient` was added (US Core Implantable Device),
/// because a member's device must not be shared. Group, Person and AuditEvent concern several people and are not stored.
#[rustfmt::skip]
pub const TYPES: &[(&str, OwnerRule)] = {
    use OwnerRule::{Binary, Member, MemberOrNobody, Patient, Provenance, Shared};
    &[
        ("Account", Member(&[&["subject"]])),
        ("AdverseEvent", Member(&[&["subject"]])),
        ("AllergyIntolerance", Member(&[&["patient"], &["recorder"], &["asserter"]])),
        ("Appointment", Member(&[&["participant", "actor"]])),
        ("AppointmentResponse", Member(&[&["actor"]])),
        ("Basic", Member(&[&["subject"], &["author"]])),
        ("Binary", Binary),
        ("BodyStructure", Member(&[&["patient"]])),
        ("CarePlan", Member(&[&["subject"], &["activity", "detail", "performer"]])),
        ("CareTeam", Member(&[&["subject"], &["participant", "member"]])),
        ("ChargeItem", Member(&[&["subject"]])),
        ("Claim", Member(&[&["patient"], &["payee", "party"]])),
        ("ClaimResponse", Member(&[&["patient"]])),
        ("ClinicalImpression", Member(&[&["subject"]])),
        ("Communication", Member(&[&["subject"], &["sender"], &["recipient"]])),
        ("CommunicationRequest", Member(&[&["subject"], &["sender"], &["recipient"], &["requester"]])),
        ("Composition", Member(&[&["subject"], &["author"], &["attester", "party"]])),
        ("Condition", Member(&[&["subject"], &["asserter"]])),
        ("Consent", Member(&[&["patient"]])),
        ("Coverage", Member(&[&["beneficiary"], &["subscriber"], &["policyHolder"], &["payor"]])),
        ("CoverageEligibilityRequest", Member(&[&["patient"]])),
        ("CoverageEligibilityResponse", Member(&[&["patient"]])),
        ("DetectedIssue", Member(&[&["patient"]])),
        ("Device", MemberOrNobody(&[&["patient"]])),
        ("DeviceDefinition", Shared),
        ("DeviceRequest", Member(&[&["subject"], &["performer"]])),
        ("DeviceUseStatement", Member(&[&["subject"]])),
        ("DiagnosticReport", Member(&[&["subject"]])),
        ("DocumentManifest", Member(&[&["subject"], &["author"], &["recipient"]])),
        ("DocumentReference", Member(&[&["subject"], &["author"]])),
        ("Encounter", Member(&[&["subject"]])),
        ("Endpoint", Shared),
        ("EnrollmentRequest", Member(&[&["candidate"]])),
        ("EpisodeOfCare", Member(&[&["patient"]])),
        ("ExplanationOfBenefit", Member(&[&["patient"], &["payee", "party"]])),
        ("FamilyMemberHistory", Member(&[&["patient"]])),
        ("Flag", Member(&[&["subject"]])),
        ("Goal", Member(&[&["subject"]])),
        ("HealthcareService", Shared),
        ("ImagingStudy", Member(&[&["subject"]])),
        ("Immunization", Member(&[&["patient"]])),
        ("ImmunizationEvaluation", Member(&[&["patient"]])),
        ("ImmunizationRecommendation", Member(&[&["patient"]])),
        ("InsurancePlan", Shared),
        ("Invoice", Member(&[&["subject"], &["recipient"]])),
        ("List", Member(&[&["subject"], &["source"]])),
        ("Location", Shared),
        ("MeasureReport", Member(&[&["subject"]])),
        ("Media", Member(&[&["subject"]])),
        ("Medication", Shared),
        ("MedicationAdministration", Member(&[&["subject"], &["performer", "actor"]])),
        ("MedicationDispense", Member(&[&["subject"], &["receiver"]])),
        ("MedicationRequest", Member(&[&["subject"]])),
        ("MedicationStatement", Member(&[&["subject"]])),
        ("MolecularSequence", Member(&[&["patient"]])),
        ("NutritionOrder", Member(&[&["patient"]])),
        ("Observation", Member(&[&["subject"], &["performer"]])),
        ("Organization", Shared),
        ("OrganizationAffiliation", Shared),
        ("Patient", Patient),
        ("Practitioner", Shared),
        ("PractitionerRole", Shared),
        ("Procedure", Member(&[&["subject"], &["performer", "actor"]])),
        ("Provenance", Provenance),
        ("QuestionnaireResponse", Member(&[&["subject"], &["author"]])),
        ("RelatedPerson", Member(&[&["patient"]])),
        ("RequestGroup", Member(&[&["subject"], &["action", "participant"]])),
        ("ResearchSubject", Member(&[&["individual"]])),
        ("RiskAssessment", Member(&[&["subject"]])),
        ("Schedule", Member(&[&["actor"]])),
        ("ServiceRequest", Member(&[&["subject"], &["performer"]])),
        ("Specimen", Member(&[&["subject"]])),
        ("Substance", Shared),
        ("SupplyDelivery", Member(&[&["patient"]])),
        ("SupplyRequest", Member(&[&["deliverTo"]])),
        ("VisionPrescription", Member(&[&["patient"]])),
    ]
};

/// Returns how the owner of `rtype` is determined; `None` for a type that is not stored.
pub fn kind(rtype: &str) -> Option<OwnerRule> {
    TYPES
        .binary_search_by_key(&rtype, |row| row.0)
        .ok()
        .map(|at| TYPES[at].1)
}

/// The owner that a resource names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The resource is a Patient, and its own owner.
    Patient,
    /// The Patient with this id, referenced by the element at this place.
    Member {
        /// The Patient's id.
        id: String,
        /// The path of the element that says so.
        at: String,
    },
    /// The owner of these resources (type, id, path of the reference).
    Targets(Vec<(String, String, String)>),
    /// The member whose resources reference it; this Patient (id, path), when its security context is one.
    Named(Option<(String, String)>),
    /// No member.
    Nobody,
}

/// Reads the owner that `resource` names. It does not check that this Patient is stored.
///
/// # Errors
/// [`Fault::TypeUnsupported`] for a type that is not stored; [`Fault::ReferenceUnresolved`] when it names no
/// member, several members, or no reference that can be resolved.
pub fn owner(resource: &Screened<'_>, base_url: &str) -> Result<Owner, Failure> {
    let rtype = resource.resource_type();
    let Some(kind) = kind(&rtype) else {
        return Err(Failure::new(Fault::TypeUnsupported).at("Resource"));
    };
    match kind {
        OwnerRule::Patient => Ok(Owner::Patient),
        OwnerRule::Shared => nobody(resource, base_url),
        OwnerRule::Member(paths) => member(resource, paths, base_url),
        OwnerRule::MemberOrNobody(paths) if paths.iter().all(|path| resource.root().first(path).is_none()) => {
            nobody(resource, base_url)
        }
        OwnerRule::MemberOrNobody(paths) => member(resource, paths, base_url),
        OwnerRule::Provenance => targets(resource, base_url),
        OwnerRule::Binary => Ok(Owner::Named(security_context(resource, base_url))),
    }
}

fn security_context(resource: &Screened<'_>, base_url: &str) -> Option<(String, String)> {
    let reference = resource.root().first(&["securityContext", "reference"])?;
    let text = reference.text()?;
    match local(&text, base_url) {
        Some(("Patient", id)) => Some((id.to_owned(), reference.path())),
        _ => None,
    }
}

/// A shared resource that references a Patient anywhere would be about a member, so it is refused.
fn nobody(resource: &Screened<'_>, base_url: &str) -> Result<Owner, Failure> {
    match resource
        .references()
        .find(|reference| local(&reference.text(), base_url).is_some_and(|(t, _)| t == "Patient"))
    {
        Some(reference) => Err(Failure::new(Fault::ReferenceUnresolved)
            .at(reference.path())
            .remedy("A resource that all members share may not refer to a Patient.")),
        None => Ok(Owner::Nobody),
    }
}

fn member(resource: &Screened<'_>, paths: &[&[&str]], base_url: &str) -> Result<Owner, Failure> {
    // A Patient on another server: base URL and path of the reference.
    let mut elsewhere: Option<(String, String)> = None;
    for path in paths {
        let mut found: Option<(String, String)> = None;
        for value in resource.root().all(path) {
            let Some(reference) = value.get("reference") else {
                continue;
            };
            let text = reference.text().unwrap_or_default();
            let Some((rtype, id)) = local(&text, base_url) else {
                if let Some((base, "Patient", _)) = bases::split(&text) {
                    elsewhere.get_or_insert_with(|| (base.to_owned(), reference.path()));
                }
                continue;
            };
            if rtype != "Patient" {
                continue;
            }
            if found.as_ref().is_some_and(|(first, _)| first != id) {
                return Err(Failure::new(Fault::ReferenceUnresolved)
                    .at(value.path())
                    .remedy("Name one member: a resource about several members cannot be stored."));
            }
            found = Some((id.to_owned(), reference.path()));
        }
        if let Some((id, at)) = found {
            return Ok(Owner::Member { id, at });
        }
    }
    if let Some((base, place)) = elsewhere {
        return Err(Failure::new(Fault::ReferenceUnresolved).at(place).remedy(format!(
            "The Patient is on {base}. If this resource comes from there, give --source-base {base}"
        )));
    }
    let rtype = resource.resource_type();
    let place = paths
        .first()
        .map(|path| format!("{rtype}.{}", path.join(".")))
        .unwrap_or_default();
    Err(Failure::new(Fault::ReferenceUnresolved)
        .at(place)
        .remedy("Refer to the member as Patient/<id>."))
}

fn targets(resource: &Screened<'_>, base_url: &str) -> Result<Owner, Failure> {
    let mut targets = Vec::new();
    for target in resource.root().all(&["target"]) {
        let text = target
            .get("reference")
            .and_then(|reference| reference.text())
            .unwrap_or_default();
        match local(&text, base_url) {
            Some((rtype, id)) => targets.push((rtype.to_owned(), id.to_owned(), target.path())),
            None => return Err(Failure::new(Fault::ReferenceUnresolved).at(target.path())),
        }
    }
    if targets.is_empty() {
        return Err(Failure::new(Fault::ReferenceUnresolved).at("Provenance.target"));
    }
    Ok(Owner::Targets(targets))
}

/// Returns type and id of a literal reference to a resource of this server; a version at its end is ignored.
pub fn local<'t>(text: &'t str, base_url: &str) -> Option<(&'t str, &'t str)> {
    let relative = match text.strip_prefix(base_url) {
        Some(rest) if !base_url.is_empty() => rest.strip_prefix('/')?,
        _ => text,
    };
    let relative = relative.split_once("/_history/").map_or(relative, |(before, _)| before);
    let (rtype, id) = relative.split_once('/')?;
    (causeway_fhir_types::is_type(rtype) && is_fhir_id(id)).then_some((rtype, id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::prescreen::{ScreenLimits, screen};

    fn of(text: &str) -> Result<Owner, (Fault, Vec<String>)> {
        let screened = screen(text.as_bytes(), &ScreenLimits::record()).expect("passes");
        owner(&screened, "https://payer.example/fhir").map_err(|f| (f.fault(), f.expressions().to_vec()))
    }

    fn of_member(id: &str, at: &str) -> Result<Owner, (Fault, Vec<String>)> {
        Ok(Owner::Member {
            id: id.into(),
            at: at.into(),
        })
    }

    #[test]
    fn the_table_is_sorted_and_of_real_types() {
        assert!(TYPES.is_sorted_by_key(|row| row.0));
        assert!(TYPES.iter().all(|row| causeway_fhir_types::is_type(row.0)));
    }

    #[test]
    fn the_primary_element_decides() {
        let coverage = r#"{"resourceType":"Coverage","subscriber":{"reference":"Patient/parent"},
            "beneficiary":{"reference":"Patient/child"},"payor":[{"reference":"Organization/o"}]}"#;
        assert_eq!(of(coverage), of_member("child", "Coverage.beneficiary.reference"));
        let absolute =
            r#"{"resourceType":"Condition","subject":{"reference":"https://payer.example/fhir/Patient/a/_history/3"}}"#;
        assert_eq!(of(absolute), of_member("a", "Condition.subject.reference"));
    }

    #[test]
    fn elements_outside_the_definition_confer_nothing() {
        for text in [
            r#"{"resourceType":"Observation","focus":[{"reference":"Patient/a"}]}"#,
            r#"{"resourceType":"Observation","subject":{"reference":"https://other.example/fhir/Patient/a"}}"#,
            r##"{"resourceType":"Condition","subject":{"reference":"#p"}}"##,
            r#"{"resourceType":"Condition","subject":{"reference":"Group/g"}}"#,
            r#"{"resourceType":"List","entry":[{"item":{"reference":"Patient/a"}}]}"#,
            r#"{"resourceType":"Account","subject":[{"reference":"Patient/a"},{"reference":"Patient/b"}]}"#,
            r#"{"resourceType":"Organization","partOf":{"reference":"Patient/a"}}"#,
        ] {
            assert_eq!(of(text).expect_err("refused").0, Fault::ReferenceUnresolved, "{text}");
        }
        let group = r#"{"resourceType":"Group","member":[{"entity":{"reference":"Patient/a"}}]}"#;
        assert_eq!(of(group).expect_err("refused").0, Fault::TypeUnsupported);
    }

    #[test]
    fn a_device_of_a_member_is_never_shared() {
        assert_eq!(of(r#"{"resourceType":"Device","id":"d"}"#), Ok(Owner::Nobody));
        let owned = of(r#"{"resourceType":"Device","patient":{"reference":"Patient/a"}}"#);
        assert_eq!(owned, of_member("a", "Device.patient.reference"));
        assert!(of(r#"{"resourceType":"Device","patient":{"display":"someone"}}"#).is_err());
    }
}
