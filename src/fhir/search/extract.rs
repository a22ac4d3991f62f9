//! Extracts the values of a resource that are indexed for searches, in the form in which they are compared.

use super::fold::{cut, exact, fold, fold_code};
use super::params::{self, COMMON, NOT_OWNER, Param, ParamKind};
use crate::fhir::prescreen::{JsonKind as Json, Screened, Value};
use crate::fhir::when::range_ms;

/// A time before every date, for a Period without a start.
pub const OPEN_START_MS: i64 = i64::MIN / 4;
/// A time after every date, for a Period without an end.
pub const OPEN_END_MS: i64 = i64::MAX / 4;

/// Elements of type instant, which are points in time however they are written (FHIR R4 search, "date").
const INSTANTS: &[&str] = &["effectiveInstant", "recorded"];

/// The indexed values of one resource, without duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexedValues {
    /// Parameter number, value, and a second text: the system, the referenced type, or the original text.
    pub values: Vec<(i64, String, String)>,
    /// Parameter number, first and last UTC millisecond.
    pub dates: Vec<(i64, i64, i64)>,
}

/// Extracts the indexed values. `owner_id` is the member to whose compartment the resource belongs. `local` returns type and id when a
/// literal reference points to a resource of this server.
pub fn extract(
    resource: &Screened<'_>,
    owner_id: Option<&str>,
    local: impl Fn(&str) -> Option<(String, String)>,
) -> IndexedValues {
    let rtype = resource.resource_type();
    let mut found = IndexedValues::default();
    for param in COMMON.iter().chain(params::of(&rtype)) {
        let values = param.paths.iter().flat_map(|path| at(resource.root(), path));
        match param.kind {
            ParamKind::Owner => {
                let named = |value: Value<'_>| value.get("reference").and_then(|one| local(&one.text()?));
                let names_owner = |(rtype, id): (String, String)| rtype == "Patient" && Some(id.as_str()) == owner_id;
                if !values.filter_map(named).any(names_owner) {
                    found.values.push((NOT_OWNER, param.name.to_owned(), String::new()));
                }
            }
            ParamKind::Date => {
                for path in param.paths {
                    let instant = path.last().is_some_and(|name| INSTANTS.contains(name));
                    for value in at(resource.root(), path) {
                        found
                            .dates
                            .extend(span(value).map(|(from, to)| (param.no, from, if instant { from } else { to })));
                    }
                }
            }
            ParamKind::Text => values.for_each(|value| texts(param.no, value, &mut found)),
            ParamKind::Uri | ParamKind::Canonical => values.for_each(|value| uri(param.no, value, &mut found)),
            ParamKind::Token | ParamKind::Code(_) => values.for_each(|value| token(param, value, &mut found)),
            ParamKind::Reference(_) => {
                for text in values.filter_map(|value| value.get("reference")?.text()) {
                    let named = reference(&text, &local).filter(|(_, rtype)| rtype.is_empty() || param.leads_to(rtype));
                    found
                        .values
                        .extend(named.map(|(value, rtype)| (param.no, value, rtype)));
                }
            }
        }
    }
    found.values.sort_unstable();
    found.values.dedup();
    found.dates.sort_unstable();
    found.dates.dedup();
    found
}

/// The values at a path. A segment `=url` selects the extensions with that URL.
pub fn at<'s>(root: Value<'s>, path: &[&str]) -> Vec<Value<'s>> {
    let Some(filter) = path.iter().position(|segment| segment.starts_with('=')) else {
        return root.all(path);
    };
    let url = &path[filter][1..];
    root.all(&path[..filter])
        .into_iter()
        .filter(|value| value.get("url").is_some_and(|own| own.is(url)))
        .flat_map(|value| at(value, &path[filter + 1..]))
        .collect()
}

/// The indexed form of a literal reference: id and type for a resource of this server, otherwise the whole URL without a type. A reference
/// to a contained resource is not indexed.
fn reference(text: &str, local: &impl Fn(&str) -> Option<(String, String)>) -> Option<(String, String)> {
    match local(text) {
        Some((rtype, id)) => Some((id, rtype)),
        None if text.starts_with('#') => None,
        None => Some((cut(text.to_owned()), String::new())),
    }
}

fn token(param: &Param, value: Value<'_>, found: &mut IndexedValues) {
    let text = |value: Option<Value<'_>>| value.and_then(|v| v.text()).unwrap_or_default().into_owned();
    let mut put = |code: &str, system: String| {
        if !code.is_empty() {
            found.values.push((param.no, fold_code(code), cut(system)));
        }
    };
    match value.kind() {
        Json::True => put("true", String::new()),
        Json::False => put("false", String::new()),
        Json::String => {
            let system = if let ParamKind::Code(system) = param.kind {
                system
            } else {
                ""
            };
            put(&text(Some(value)), system.to_owned());
        }
        Json::Object if value.get("coding").is_some() => {
            for coding in value.all(&["coding"]) {
                put(&text(coding.get("code")), text(coding.get("system")));
            }
        }
        Json::Object => {
            let code = value.get("code").filter(|code| code.kind() == Json::String);
            put(&text(code.or_else(|| value.get("value"))), text(value.get("system")));
        }
        Json::Array | Json::Number | Json::Null => {}
    }
}

/// Parts of HumanName and Address that a string search compares (FHIR R4 search, "string").
const PARTS: &[&str] = &[
    "family",
    "given",
    "prefix",
    "suffix",
    "text",
    "line",
    "city",
    "district",
    "state",
    "postalCode",
    "country",
];

fn texts(no: i64, value: Value<'_>, found: &mut IndexedValues) {
    if let Some(text) = value.text() {
        let folded = fold(&text);
        if !folded.is_empty() {
            found.values.push((no, folded, exact(text.into_owned())));
        }
        return;
    }
    for part in PARTS {
        for text in value.all(&[part]) {
            if text.kind() == Json::String {
                texts(no, text, found);
            }
        }
    }
}

fn uri(no: i64, value: Value<'_>, found: &mut IndexedValues) {
    let Some(text) = value.text() else { return };
    if let Some((bare, _version)) = text.split_once('|') {
        found.values.push((no, cut(bare.to_owned()), String::new()));
    }
    found.values.push((no, cut(text.into_owned()), String::new()));
}

/// The time span of a date, dateTime, Period or Timing. Of a Timing only its outer limits count (FHIR R4 search, "date").
fn span(value: Value<'_>) -> Option<(i64, i64)> {
    let range = |value: Value<'_>| value.text().and_then(|text| range_ms(&text));
    if value.kind() == Json::String {
        return range(value);
    }
    let period = |period: Value<'_>| {
        let (start, end) = (period.get("start"), period.get("end"));
        if start.is_none() && end.is_none() {
            return None;
        }
        let from = start.map_or(Some(OPEN_START_MS), |start| Some(range(start)?.0))?;
        let to = end.map_or(Some(OPEN_END_MS), |end| Some(range(end)?.1))?;
        Some((from, to))
    };
    let events = value.all(&["event"]).into_iter().filter_map(range);
    let bounds = value.first(&["repeat", "boundsPeriod"]).and_then(period);
    let limits = events.chain(bounds).chain(period(value));
    limits.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::prescreen::{ScreenLimits, screen};

    fn of(text: &str, owner: Option<&str>) -> IndexedValues {
        let screened = screen(text.as_bytes(), &ScreenLimits::record()).expect("passes");
        extract(&screened, owner, |reference| {
            let (rtype, id) = reference.split_once('/')?;
            (!id.contains('/')).then(|| (rtype.to_owned(), id.to_owned()))
        })
    }

    fn no(rtype: &str, name: &str) -> i64 {
        params::find(rtype, name).expect("a parameter").no
    }

    #[test]
    fn an_observation_is_indexed_by_all_its_parameters() {
        let found = of(
            r#"{"resourceType":"Observation","meta":{"profile":["http://p|2"],"tag":[{"code":"T"}]},"status":"final",
            "category":[{"coding":[{"system":"http://c","code":"Laboratory"}]}],"code":{"coding":[{"code":"1-8","system":"http://loinc.org"},{"code":"1-8","system":"http://loinc.org"}]},
            "subject":{"reference":"Patient/a"},"encounter":{"reference":"Encounter/e"},"hasMember":[{"reference":"https://else.example/Observation/1"},{"reference":"x"}],
            "effectivePeriod":{"start":"2020-01-01"}}"#,
            Some("a"),
        );
        let value =
            |name: &str, value: &str, system: &str| (no("Observation", name), value.to_owned(), system.to_owned());
        let mut expected = vec![
            value("_profile", "http://p", ""),
            value("_profile", "http://p|2", ""),
            value("_tag", "t", ""),
            value("status", "final", "http://hl7.org/fhir/observation-status"),
            value("category", "laboratory", "http://c"),
            value("code", "1-8", "http://loinc.org"),
            value("encounter", "e", "Encounter"),
            value("has-member", "https://else.example/Observation/1", ""),
            value("has-member", "x", ""),
        ];
        expected.sort();
        assert_eq!(found.values, expected);
        let from = range_ms("2020-01-01").expect("a date").0;
        assert_eq!(found.dates, [(no("Observation", "date"), from, OPEN_END_MS)]);
    }

    #[test]
    fn a_resource_that_does_not_name_its_owner_there_is_noted() {
        let found = of(
            r#"{"resourceType":"Observation","subject":{"reference":"Device/d"},"performer":[{"reference":"Patient/a"}]}"#,
            Some("a"),
        );
        let noted: Vec<&str> = found
            .values
            .iter()
            .filter(|v| v.0 == NOT_OWNER)
            .map(|v| v.1.as_str())
            .collect();
        assert_eq!(noted, ["patient", "subject"]);
    }

    #[test]
    fn names_addresses_extensions_and_timings_are_taken_apart() {
        let patient = of(
            r#"{"resourceType":"Patient","name":[{"family":"Núñez","given":["Ana","Lu"],"text":"Ana Lu Núñez"}],"birthDate":"1990-02"}"#,
            Some("p"),
        );
        let texts: Vec<&str> = patient
            .values
            .iter()
            .filter(|v| v.0 == no("Patient", "name"))
            .map(|v| v.1.as_str())
            .collect();
        assert_eq!(texts, ["ana", "ana lu nunez", "lu", "nunez"]);
        let condition = of(
            r#"{"resourceType":"Condition","subject":{"reference":"Patient/p"},"extension":[{"url":"http://x","valueDateTime":"2001"},
            {"url":"http://hl7.org/fhir/StructureDefinition/condition-assertedDate","valueDateTime":"2002"}]}"#,
            Some("p"),
        );
        let (from, to) = range_ms("2002").expect("a year");
        assert_eq!(condition.dates, [(no("Condition", "asserted-date"), from, to)]);
        let timing = of(
            r#"{"resourceType":"Observation","subject":{"reference":"Patient/p"},"effectiveTiming":{"event":["2003"],"repeat":{"boundsPeriod":{"end":"2004"}}}}"#,
            Some("p"),
        );
        let to = range_ms("2004").expect("a year").1;
        assert_eq!(timing.dates, [(no("Observation", "date"), OPEN_START_MS, to)]);
        let events = of(
            r#"{"resourceType":"Observation","subject":{"reference":"Patient/p"},"effectiveTiming":{"event":["2003-05","2003-02-01","2003-03"]}}"#,
            Some("p"),
        );
        let limits = (
            range_ms("2003-02-01").expect("a day").0,
            range_ms("2003-05").expect("a month").1,
        );
        assert_eq!(events.dates, [(no("Observation", "date"), limits.0, limits.1)]);
    }

    #[test]
    fn an_instant_is_a_point_and_a_date_time_a_second() {
        let from = range_ms("2024-01-01T00:00:00Z").expect("an instant").0;
        for (element, to) in [("effectiveInstant", from), ("effectiveDateTime", from + 999)] {
            let text = format!(
                r#"{{"resourceType":"Observation","subject":{{"reference":"Patient/p"}},"{element}":"2024-01-01T00:00:00Z"}}"#
            );
            assert_eq!(of(&text, Some("p")).dates, [(no("Observation", "date"), from, to)]);
        }
    }

    #[test]
    fn a_reference_counts_where_the_definition_lets_it_and_a_substance_is_a_code() {
        let note = of(
            r#"{"resourceType":"DocumentReference","subject":{"reference":"Patient/p"},"context":{"encounter":[{"reference":"EpisodeOfCare/c"},{"reference":"Encounter/e"}]}}"#,
            Some("p"),
        );
        let encounter = no("DocumentReference", "encounter");
        let found: Vec<&str> = note
            .values
            .iter()
            .filter(|v| v.0 == encounter)
            .map(|v| v.1.as_str())
            .collect();
        assert_eq!(found, ["e"]);
        let allergy = of(
            r#"{"resourceType":"AllergyIntolerance","patient":{"reference":"Patient/p"},"reaction":[{"substance":{"coding":[{"code":"S"}]}}]}"#,
            Some("p"),
        );
        assert_eq!(
            allergy.values,
            [(no("AllergyIntolerance", "code"), "s".to_owned(), String::new())]
        );
    }
}
