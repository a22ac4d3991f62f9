//! Tables of queries that are accepted and of queries that are refused.

use super::super::test::{Prefix, ValueTest};
use super::*;

const READING: QueryReading<'static> = QueryReading {
    base_url: "https://p.example/fhir",
    now_ms: 1_700_000_000_000,
    strict: false,
};

fn of(rtype: &str, pairs: &[(&str, &str)]) -> Result<Search, Fault> {
    let pairs: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    read(rtype, &pairs, &READING).map_err(|failure| failure.fault())
}

fn values(rtype: &str, name: &str, value: &str) -> Vec<ValueTest> {
    match of(rtype, &[(name, value)]).expect("reads").filters.remove(0) {
        SearchFilter::Values { any, .. } => any,
        other => panic!("{other:?}"),
    }
}

fn token(system: Option<&str>, code: Option<&str>) -> ValueTest {
    ValueTest::Token {
        code: code.map(str::to_owned),
        system: system.map(str::to_owned),
    }
}

#[test]
fn tokens_take_their_four_forms_and_escapes() {
    for (value, test) in [
        ("1234-5", token(None, Some("1234-5"))),
        (
            "http://loinc.org|1234-5",
            token(Some("http://loinc.org"), Some("1234-5")),
        ),
        ("|X", token(Some(""), Some("x"))),
        ("http://loinc.org|", token(Some("http://loinc.org"), None)),
        (r"a\,b\|c\\d", token(None, Some(r"a,b|c\d"))),
    ] {
        assert_eq!(values("Observation", "code", value), [test], "{value}");
    }
    assert_eq!(values("Observation", "code", "a,b").len(), 2);
    for wrong in ["|", "a||b", "a,,b", ",", "a|b|c"] {
        assert_eq!(
            of("Observation", &[("code", wrong)]).err(),
            Some(Fault::ParameterInvalid),
            "{wrong}"
        );
    }
}

#[test]
fn references_are_local_or_addresses() {
    let local = |rtype: Option<&str>| ValueTest::Reference {
        rtype: rtype.map(str::to_owned),
        id: "e1".into(),
    };
    for (name, value, test) in [
        ("encounter", "e1", local(None)),
        ("encounter", "Encounter/e1", local(Some("Encounter"))),
        (
            "encounter",
            "https://p.example/fhir/Encounter/e1",
            local(Some("Encounter")),
        ),
        ("encounter:Encounter", "e1", local(Some("Encounter"))),
        (
            "encounter",
            "https://else.example/Encounter/e1",
            ValueTest::Url("https://else.example/Encounter/e1".into()),
        ),
    ] {
        assert_eq!(values("Observation", name, value), [test], "{name}={value}");
    }
    for (name, value) in [
        ("encounter", "Encounter/e/1"),
        ("encounter:Encounter", "Patient/e1"),
        ("encounter", "a b"),
    ] {
        assert_eq!(
            of("Observation", &[(name, value)]).err(),
            Some(Fault::ParameterInvalid),
            "{name}={value}"
        );
    }
    let owner = of("Observation", &[("patient", "Patient/a,b,Device/c")]).expect("reads");
    assert!(matches!(&owner.filters[0], SearchFilter::Owner { any, .. } if *any == ["a", "b"]));
}

#[test]
fn dates_take_prefixes_and_precisions() {
    let date = |value: &str| match of("Observation", &[("date", value)]).expect("reads").filters.remove(0) {
        SearchFilter::Dates { any, .. } => any[0],
        other => panic!("{other:?}"),
    };
    let year = date("ge2020");
    assert_eq!(
        (year.prefix, year.to_ms - year.from_ms),
        (Prefix::Ge, 366 * 86_400_000 - 1)
    );
    let minute = date("lt2020-01-01T10:00 02:00");
    assert_eq!((minute.prefix, minute.to_ms - minute.from_ms), (Prefix::Lt, 59_999));
    assert_eq!(
        date("2020-01-01T10:00:00").from_ms,
        date("2020-01-01T10:00:00Z").from_ms
    );
    let near = date("ap2020-01-01");
    let day = date("2020-01-01");
    assert!(near.from_ms < day.from_ms && near.to_ms > day.to_ms);
    for wrong in [
        "2020-13",
        "xx2020",
        "ge",
        "2020-01-01T25:00",
        "ge ",
        "é",
        "2020-01-01Té",
    ] {
        assert_eq!(
            of("Observation", &[("date", wrong)]).err(),
            Some(Fault::ParameterInvalid),
            "{wrong}"
        );
    }
}

#[test]
fn what_is_not_understood_is_refused_or_told() {
    for (name, fault) in [
        ("subject.name", Fault::ParameterUnknown),
        ("subject:Patient.name", Fault::ParameterUnknown),
        ("_has:Provenance:target:agent", Fault::ParameterUnknown),
        ("code:in", Fault::ParameterUnknown),
        ("code:text", Fault::ParameterUnknown),
        ("date:not", Fault::ParameterUnknown),
        ("encounter:not", Fault::ParameterUnknown),
        ("patient:identifier", Fault::ParameterUnknown),
        ("nonsense:exact", Fault::ParameterUnknown),
        ("_filter", Fault::ParameterUnknown),
        ("_sort", Fault::ParameterInvalid),
        ("_count", Fault::ParameterInvalid),
        ("_include", Fault::ParameterInvalid),
        ("_include:iterate", Fault::ParameterUnknown),
        ("_summary", Fault::ParameterInvalid),
        ("code:missing", Fault::ParameterInvalid),
    ] {
        assert_eq!(of("Observation", &[(name, "x-y")]).err(), Some(fault), "{name}");
    }
    let lenient = of(
        "Observation",
        &[("nonsense", "x"), ("code", "a"), ("birthdate", "2000")],
    )
    .expect("lenient");
    let passed_over: Vec<_> = lenient.passed_over.iter().map(|one| (one.at, one.name)).collect();
    assert_eq!(passed_over, [(1, None), (3, Some("birthdate"))]);
    let pairs = [("nonsense".to_owned(), "x".to_owned())];
    let strict = QueryReading {
        strict: true,
        ..READING
    };
    assert_eq!(
        read("Observation", &pairs, &strict).err().map(|f| f.fault()),
        Some(Fault::ParameterUnknown)
    );
    assert_eq!(of("Observation", &[("code", "")]).err(), Some(Fault::ParameterInvalid));
    let many = vec![("code", "a"); PARAMETERS_MAX + 1];
    assert_eq!(of("Observation", &many).err(), Some(Fault::ParameterInvalid));
    let long = vec!["a"; VALUES_MAX + 1].join(",");
    assert_eq!(
        of("Observation", &[("code", long.as_str())]).err(),
        Some(Fault::ParameterInvalid)
    );
}

#[test]
fn includes_orders_and_shapes_are_read() {
    let search = of(
        "MedicationRequest",
        &[
            ("_include", "MedicationRequest:medication"),
            ("_include", "MedicationRequest:requester:Practitioner"),
            ("_revinclude", "Provenance:target"),
            ("_sort", "-authoredon,_id"),
            ("_count", "1000"),
            ("_total", "accurate"),
            ("_elements", "status,subject"),
        ],
    )
    .expect("reads");
    assert_eq!(
        (search.includes.len(), search.revincludes.len(), search.sort.len()),
        (2, 1, 2)
    );
    assert_eq!((search.count, search.total), (COUNT_MAX, Some(true)));
    assert_eq!(
        search.summary,
        Summary::Elements(vec!["status".into(), "subject".into()])
    );
    assert!(
        of("ExplanationOfBenefit", &[("_include", "ExplanationOfBenefit:*")])
            .expect("all")
            .includes
            .len()
            >= 6
    );
    for (name, unknown) in [
        ("_include", "Observation:encounter"),
        ("_include", "MedicationRequest:status"),
        ("_revinclude", "Provenance:target:Observation"),
        ("_revinclude", "Provenance:*"),
    ] {
        let search = of("MedicationRequest", &[(name, unknown)]).expect("lenient");
        assert_eq!((search.includes.len(), search.passed_over.len()), (0, 1), "{unknown}");
    }
    for wrong in [
        "MedicationRequest",
        "Nothing:x",
        "MedicationRequest:medication:Nothing",
        "a:b:c:d",
    ] {
        assert_eq!(
            of("MedicationRequest", &[("_include", wrong)]).err(),
            Some(Fault::ParameterInvalid),
            "{wrong}"
        );
    }
    assert_eq!(
        of("Patient", &[("_count", "0")]).expect("counts").summary,
        Summary::Count
    );
}

#[test]
fn what_identifies_a_person_stays_out_of_the_self_link() {
    let search = of("Patient", &[("family", "Lima"), ("_id", "a")]).expect("reads");
    assert_eq!(
        search.understood,
        [("family".to_owned(), None), ("_id".to_owned(), Some("a".to_owned()))]
    );
}

#[test]
fn a_wrong_name_is_told_with_the_nearest_that_is_served_and_never_repeated() {
    let strict = QueryReading {
        strict: true,
        ..READING
    };
    for (rtype, wrong, meant) in [
        ("Patient", "brithdate", Some("birthdate")),
        ("Patient", "birthDate", Some("birthdate")),
        ("Patient", "famly", Some("family")),
        ("Observation", "catgory", Some("category")),
        ("Observation", "_lastupdated", Some("_lastUpdated")),
        ("ExplanationOfBenefit", "service_date", Some("service-date")),
        ("Observation", "birthdate", None),
        ("Observation", "SECRETSECRET", None),
        ("Patient", "x", None),
        ("Patient", &"birthdate".repeat(100), None),
    ] {
        let pairs = [
            ("_count".to_owned(), "1".to_owned()),
            (wrong.to_owned(), "VALUE".to_owned()),
        ];
        let failure = read(rtype, &pairs, &strict).expect_err(wrong);
        let told = failure.remedy_text();
        let hint = meant.map_or(String::new(), |meant| format!(" Did you mean {meant}?"));
        assert_eq!(
            told,
            format!("Searches of {rtype} do not support parameter 2 of the query.{hint}")
        );
        let all = format!("{failure} {told} {:?}", failure.expressions());
        assert!(
            !all.contains("VALUE") && !all.contains("SECRET") && !all.contains("brith"),
            "{all}"
        );
        let lenient = of(rtype, &[("_count", "1"), (wrong, "VALUE")]).expect("passed over");
        assert_eq!((lenient.passed_over[0].at, lenient.passed_over[0].nearest), (2, meant));
    }
    let sorted = [("_sort".to_owned(), "brithdate".to_owned())];
    let failure = read("Patient", &sorted, &READING).expect_err("no such key");
    assert!(
        failure.remedy_text().ends_with("Did you mean birthdate?"),
        "{}",
        failure.remedy_text()
    );
}

#[test]
fn a_modifier_that_is_not_served_is_answered_with_those_that_are() {
    for (name, told) in [
        ("code:above", ":not and :missing"),
        ("date:exact", "takes :missing"),
        ("encounter:identifier", "the type of the target"),
        ("_lastUpdated:not", "_lastUpdated takes none"),
    ] {
        let pairs = [(name.to_owned(), "2020".to_owned())];
        let failure = read("Observation", &pairs, &READING).expect_err(name);
        assert_eq!(failure.fault(), Fault::ParameterUnknown);
        assert!(
            failure.remedy_text().contains(told),
            "{name}: {}",
            failure.remedy_text()
        );
    }
}

#[test]
fn a_version_in_a_reference_is_left_out_in_either_form() {
    for value in [
        "Encounter/e1/_history/2",
        "https://p.example/fhir/Encounter/e1/_history/2",
        "Encounter/e1",
    ] {
        assert_eq!(
            values("Observation", "encounter", value),
            [ValueTest::Reference {
                rtype: Some("Encounter".into()),
                id: "e1".into()
            }],
            "{value}"
        );
    }
    for value in ["Patient/a/_history/2", "https://p.example/fhir/Patient/a/_history/2"] {
        let owner = of("Observation", &[("subject", value)]).expect("reads");
        assert!(
            matches!(&owner.filters[0], SearchFilter::Owner { any, .. } if *any == ["a"]),
            "{value}"
        );
    }
    for wrong in [
        "Encounter/e1/_history/",
        "Encounter/e1/_history/2/3",
        "Encounter/_history/2",
    ] {
        assert_eq!(
            of("Observation", &[("encounter", wrong)]).err(),
            Some(Fault::ParameterInvalid),
            "{wrong}"
        );
    }
    // The URL of another server is compared literally, including its version.
    let elsewhere = "https://else.example/Encounter/e1/_history/2";
    assert_eq!(
        values("Observation", "encounter", elsewhere),
        [ValueTest::Url(elsewhere.into())]
    );
}
