//! By which requests a record is asked for: everything at once where the partner offers that, else type by type. Pure.

use crate::partner::peer::PeerOffer;

/// The part that stands for the whole record.
pub(super) const EVERYTHING: &str = "$everything";
/// The part that asks for the member's Patient alone, beside what changed.
pub(super) const PERSON: &str = "$person";
/// The part that stands for all that the export of a bulk run brought. Only the run fetches it.
pub const EXPORT: &str = "$export";
/// What the names of those parts begin with that ask by id for what a record names.
const SUPPORTING: char = '+';
/// What stands before the number of a read in the name of its part.
const READ: char = '/';
/// Resources of a page of a search.
const PAGE: u32 = 200;

/// The types of a record, each with the search parameter that names the member. Source: PDex STU 2.2, data in scope (pdex-210), and what
/// this server keeps.
#[rustfmt::skip]
const TYPES: &[(&str, &str)] = &[
    ("Patient", "_id"),
    ("Coverage", "patient"),
    ("AllergyIntolerance", "patient"), ("CarePlan", "patient"), ("CareTeam", "patient"), ("Condition", "patient"),
    ("Device", "patient"), ("DiagnosticReport", "patient"), ("DocumentReference", "patient"), ("Encounter", "patient"),
    ("ExplanationOfBenefit", "patient"), ("Goal", "patient"), ("Immunization", "patient"), ("Media", "patient"),
    ("MedicationDispense", "patient"), ("MedicationRequest", "patient"), ("Observation", "patient"), ("Procedure", "patient"),
    ("QuestionnaireResponse", "patient"), ("RelatedPerson", "patient"), ("ServiceRequest", "patient"), ("Specimen", "patient"),
];

/// How a record is got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RetrievalPlan {
    /// `everything` or `search`.
    pub method: &'static str,
    /// The parts.
    pub parts: Vec<String>,
}

/// The best way that is offered to a partner that speaks this version of PDex; `None` when none is.
///
/// Before PDex 2.2, `$everything` may leave out ordinary claims (pdex-214), so they are searched for as well where that is offered.
pub(super) fn best(offer: &PeerOffer, pdex: &str) -> Option<RetrievalPlan> {
    const CLAIMS: &str = "ExplanationOfBenefit";
    if !offer.everything {
        return by_type(offer);
    }
    let searched = offer
        .searches
        .get(CLAIMS)
        .is_some_and(|params| params.contains("patient"));
    let beside = (matches!(pdex, "2.0" | "2.1") && searched).then(|| CLAIMS.to_owned());
    Some(RetrievalPlan {
        method: "everything",
        parts: std::iter::once(EVERYTHING.to_owned()).chain(beside).collect(),
    })
}

/// With only what changed since then, the Patient comes only when it changed too: it is asked for, unless it is known already.
pub(super) fn with_person(mut plan: RetrievalPlan) -> RetrievalPlan {
    if !is_by_type(plan.parts.iter().map(String::as_str)) {
        plan.parts.push(PERSON.to_owned());
    }
    plan
}

/// Whether searches have taken the place of `$everything` in these parts: only they ask for the Patient.
pub(super) fn is_by_type<'p>(mut parts: impl Iterator<Item = &'p str>) -> bool {
    parts.any(|part| part == "Patient")
}

/// What the names of the parts begin with that ask for what a record names, in this round and at this depth.
pub(super) fn supporting_part(round: u32, depth: u32) -> String {
    format!("{SUPPORTING}{round}.{depth}.")
}

/// Whether a part asks for what a record names, and not for a part of the record.
pub(super) fn is_supporting(part: &str) -> bool {
    part.starts_with(SUPPORTING)
}

/// Whether a part belongs to the record, and a request for it can be made.
pub(super) fn is_asked_for(part: &str) -> bool {
    !(is_supporting(part) || part == EXPORT)
}

/// Whether a part is the search for one type of the record.
pub(super) fn is_type(part: &str) -> bool {
    TYPES.iter().any(|row| row.0 == part)
}

/// What the names of the parts begin with that each read one resource of those that the search `group` asks for.
pub(super) fn read_part(group: &str) -> String {
    format!("{group}{READ}")
}

/// The search whose place a part has taken that reads one resource; `None` for every other part.
pub(super) fn group_of_read(part: &str) -> Option<&str> {
    let (group, _) = part.rsplit_once(READ)?;
    is_supporting(part).then_some(group)
}

/// The way by searches; `None` when the partner offers none that names a member.
pub(super) fn by_type(offer: &PeerOffer) -> Option<RetrievalPlan> {
    let offered = |(rtype, param): &&(&str, &str)| {
        let searches = offer.searches.get(*rtype);
        // Not every server lists `_id`, which every server must know.
        searches.is_some_and(|params| *param == "_id" || params.contains(*param))
    };
    let parts: Vec<String> = TYPES
        .iter()
        .filter(offered)
        .map(|(rtype, _)| (*rtype).to_owned())
        .collect();
    let any_record = parts.iter().any(|part| part != "Patient");
    any_record.then_some(RetrievalPlan {
        method: "search",
        parts,
    })
}

/// Path and query of the first request for a part. `since` is a FHIR instant.
pub(super) fn first_request(part: &str, patient_id: &str, since: Option<&str>, offer: &PeerOffer) -> String {
    if part == EVERYTHING {
        let since = since
            .map(|since| format!("?_since={}", encoded(since)))
            .unwrap_or_default();
        return format!("Patient/{patient_id}/$everything{since}");
    }
    if part == PERSON {
        return format!("Patient?_id={patient_id}");
    }
    let param = TYPES.iter().find(|row| row.0 == part).map_or("patient", |row| row.1);
    let mut query = format!("{part}?{param}={patient_id}&_count={PAGE}");
    if let Some(since) = since.filter(|_| part != "Patient") {
        query.push_str(&format!("&_lastUpdated=gt{}", encoded(since)));
    }
    if offer.with_provenance.contains(part) {
        query.push_str("&_revinclude=Provenance:target");
    }
    query
}

/// A FHIR instant in a query: only its plus sign has a meaning there.
fn encoded(instant: &str) -> String {
    instant.replace('+', "%2B")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(everything: bool, types: &[&str]) -> PeerOffer {
        PeerOffer {
            everything,
            searches: types
                .iter()
                .map(|rtype| ((*rtype).to_owned(), ["patient".to_owned()].into()))
                .collect(),
            with_provenance: ["Condition".to_owned()].into(),
            ..PeerOffer::default()
        }
    }

    #[test]
    fn the_best_way_that_is_offered_is_taken() {
        let everything = |pdex: &str, types: &[&str]| best(&offer(true, types), pdex).map(|plan| plan.parts.join(" "));
        assert_eq!(
            everything("2.2", &["ExplanationOfBenefit"]).as_deref(),
            Some(EVERYTHING)
        );
        assert_eq!(everything("2.1", &["Condition"]).as_deref(), Some(EVERYTHING));
        let both = Some("$everything ExplanationOfBenefit");
        assert_eq!(everything("2.1", &["ExplanationOfBenefit"]).as_deref(), both);
        let plan = best(&offer(false, &["Patient", "Condition", "Basic"]), "2.2").expect("searches");
        assert_eq!(
            (plan.method, plan.parts),
            ("search", vec!["Patient".to_owned(), "Condition".to_owned()])
        );
        assert_eq!(
            best(&offer(false, &["Patient"]), "2.2"),
            None,
            "a Patient alone is no record"
        );
        assert_eq!(best(&offer(false, &[]), "2.2"), None);
    }

    #[test]
    fn a_request_names_the_member_by_id_alone() {
        let offer = offer(false, &["Condition"]);
        let since = Some("2026-01-01T00:00:00+01:00");
        for (part, since, wanted) in [
            (EVERYTHING, None, "Patient/p1/$everything"),
            (
                EVERYTHING,
                since,
                "Patient/p1/$everything?_since=2026-01-01T00:00:00%2B01:00",
            ),
            ("Patient", since, "Patient?_id=p1&_count=200"),
            (PERSON, since, "Patient?_id=p1"),
            (
                "Condition",
                None,
                "Condition?patient=p1&_count=200&_revinclude=Provenance:target",
            ),
            (
                "Goal",
                since,
                "Goal?patient=p1&_count=200&_lastUpdated=gt2026-01-01T00:00:00%2B01:00",
            ),
        ] {
            assert_eq!(first_request(part, "p1", since, &offer), wanted);
        }
    }
}
