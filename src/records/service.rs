//! The date of service of a resource, by its type, for the columns.
//!
//! Both ends are `None` when the type has no such date. Only `to` is `None` when the service has begun and not ended.

use crate::error::Failure;
use crate::fhir::prescreen::Screened;
use crate::fhir::when::{ServiceSpan, span};

/// How the elements of a type make a date of service.
enum Rule {
    /// The first element that is present.
    First(&'static [&'static [&'static str]]),
    /// A start and an end element; without the end, the service is still going on.
    Begins(&'static [&'static [&'static str]], &'static [&'static [&'static str]]),
    /// From the earliest to the latest of all the first elements; when none is present, the first of the others that is.
    All(&'static [&'static [&'static str]], &'static [&'static [&'static str]]),
}

const CLAIM_DATES: &[&[&str]] = &[
    &["billablePeriod"],
    &["item", "servicedPeriod"],
    &["item", "servicedDate"],
    &["addItem", "servicedPeriod"],
    &["addItem", "servicedDate"],
    &["preAuthRefPeriod"],
];

#[rustfmt::skip]
fn rule(rtype: &str) -> Option<Rule> {
    use Rule::{All, Begins, First};
    Some(match rtype {
        "AllergyIntolerance" => Begins(&[&["onsetDateTime"], &["onsetPeriod"], &["recordedDate"]], &[]),
        "Condition" => Begins(
            &[&["onsetDateTime"], &["onsetPeriod"], &["recordedDate"]],
            &[&["abatementDateTime"], &["abatementPeriod"]],
        ),
        "Goal" => Begins(&[&["startDate"], &["statusDate"]], &[]),
        "Claim" | "ExplanationOfBenefit" | "ClaimResponse" => All(CLAIM_DATES, &[&["created"]]),
        "AdverseEvent" => First(&[&["date"], &["detected"], &["recordedDate"]]),
        "Appointment" => Begins(&[&["start"]], &[&["end"]]),
        "CarePlan" => First(&[&["period"], &["created"]]),
        "CareTeam" | "Coverage" | "Encounter" | "EpisodeOfCare" | "Flag" | "RelatedPerson" => First(&[&["period"]]),
        "ClinicalImpression" => First(&[&["effectiveDateTime"], &["effectivePeriod"], &["date"]]),
        "Communication" => First(&[&["sent"], &["received"]]),
        "Composition" | "FamilyMemberHistory" | "List" => First(&[&["date"]]),
        "Consent" => First(&[&["dateTime"]]),
        "DeviceRequest" | "ServiceRequest" =>
            First(&[&["occurrenceDateTime"], &["occurrencePeriod"], &["authoredOn"]]),
        "DeviceUseStatement" => First(&[&["timingDateTime"], &["timingPeriod"], &["recordedOn"]]),
        "DiagnosticReport" | "Observation" =>
            First(&[&["effectiveDateTime"], &["effectivePeriod"], &["effectiveInstant"], &["issued"]]),
        "DocumentReference" => First(&[&["context", "period"], &["date"]]),
        "ImagingStudy" => First(&[&["started"]]),
        "Immunization" => First(&[&["occurrenceDateTime"], &["recorded"]]),
        "Media" => First(&[&["createdDateTime"], &["createdPeriod"], &["issued"]]),
        "MedicationAdministration" => First(&[&["effectiveDateTime"], &["effectivePeriod"]]),
        "MedicationDispense" => First(&[&["whenHandedOver"], &["whenPrepared"]]),
        "MedicationRequest" => First(&[&["authoredOn"]]),
        "MedicationStatement" => First(&[&["effectiveDateTime"], &["effectivePeriod"], &["dateAsserted"]]),
        "NutritionOrder" => First(&[&["dateTime"]]),
        "Procedure" => First(&[&["performedDateTime"], &["performedPeriod"]]),
        "Provenance" => First(&[&["occurredPeriod"], &["occurredDateTime"], &["recorded"]]),
        "QuestionnaireResponse" => First(&[&["authored"]]),
        "RiskAssessment" => First(&[&["occurrenceDateTime"], &["occurrencePeriod"]]),
        "Specimen" => First(&[&["collection", "collectedDateTime"], &["collection", "collectedPeriod"], &["receivedTime"]]),
        "SupplyDelivery" | "SupplyRequest" => First(&[&["occurrenceDateTime"], &["occurrencePeriod"], &["authoredOn"]]),
        "VisionPrescription" => First(&[&["dateWritten"], &["created"]]),
        _ => return None,
    })
}

/// Returns the date of service of `resource`.
///
/// # Errors
/// [`Fault::ValueInvalid`](crate::error::Fault::ValueInvalid) with the place of a date that breaks its format.
pub fn dates(resource: &Screened<'_>) -> Result<ServiceSpan, Failure> {
    match rule(&resource.resource_type()) {
        None => Ok(ServiceSpan::default()),
        Some(Rule::First(paths)) => Ok(first(resource, paths)?.unwrap_or_default()),
        Some(Rule::Begins(starts, ends)) => {
            let begun = first(resource, starts)?.unwrap_or_default();
            let ended = first(resource, ends)?.unwrap_or_default();
            Ok(ServiceSpan {
                from_ms: begun.from_ms,
                to_ms: ended.to_ms.or(ended.from_ms),
            })
        }
        Some(Rule::All(paths, others)) => {
            let mut all: Option<ServiceSpan> = None;
            for value in paths.iter().flat_map(|path| resource.root().all(path)) {
                let one = span(&value)?;
                all = Some(match all {
                    None => one,
                    Some(sum) => ServiceSpan {
                        from_ms: [sum.from_ms, one.from_ms].into_iter().flatten().min(),
                        // If one part has no end, the whole has none.
                        to_ms: sum.to_ms.zip(one.to_ms).map(|(a, b)| a.max(b)),
                    },
                });
            }
            match all {
                Some(sum) => Ok(sum),
                None => Ok(first(resource, others)?.unwrap_or_default()),
            }
        }
    }
}

fn first(resource: &Screened<'_>, paths: &[&[&str]]) -> Result<Option<ServiceSpan>, Failure> {
    paths
        .iter()
        .find_map(|path| resource.root().first(path))
        .map(|value| span(&value))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::prescreen::{ScreenLimits, screen};
    use crate::fhir::when::range_ms;

    fn of(text: &str) -> ServiceSpan {
        dates(&screen(text.as_bytes(), &ScreenLimits::record()).expect("passes")).expect("dates")
    }

    fn day(from: &str, to: Option<&str>) -> ServiceSpan {
        ServiceSpan {
            from_ms: range_ms(from).map(|r| r.0),
            to_ms: to.map(|to| range_ms(to).expect("date").1),
        }
    }

    #[test]
    fn each_type_has_its_dates() {
        let one = |fields: &str| of(&format!("{{\"resourceType\":{fields}}}"));
        assert_eq!(
            one(r#""Observation","issued":"2020-01-02T00:00:00Z","effectiveDateTime":"2020-01""#),
            day("2020-01", Some("2020-01"))
        );
        assert_eq!(one(r#""Condition","onsetDateTime":"2019""#), day("2019", None));
        assert_eq!(
            one(r#""Condition","onsetDateTime":"2019","abatementDateTime":"2020-05-01""#),
            day("2019", Some("2020-05-01"))
        );
        assert_eq!(
            one(r#""Encounter","period":{"start":"2020-01-01"}"#),
            day("2020-01-01", None)
        );
        assert_eq!(one(r#""Patient","birthDate":"2000""#), ServiceSpan::default());
        let eob = r#""ExplanationOfBenefit","created":"2030","billablePeriod":{"start":"2020-02-01","end":"2020-03-01"},
            "item":[{"servicedDate":"2020-01-15"},{"servicedPeriod":{"start":"2020-02-01","end":"2020-04-01"}}]"#;
        assert_eq!(one(eob), day("2020-01-15", Some("2020-04-01")));
        assert_eq!(
            one(r#""Claim","created":"2020-01-01""#),
            day("2020-01-01", Some("2020-01-01"))
        );
    }
}
