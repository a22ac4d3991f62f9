//! The oracle itself, on cases worked out by hand from the standard's text.

use super::judge::{Condition, Modifier, Prefix, Wanted, compare};
use super::readings::reading;
use super::values::{Pointer, Span, at, folded, moment, pointer, pointers, spans, texts, tokens};
use serde_json::{Value, json};

const BASE: &str = "https://payer.example/fhir";

fn ms(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text)
        .expect("an instant")
        .timestamp_millis()
}

#[test]
fn a_moment_is_as_wide_as_it_is_precise() {
    for (text, from, to) in [
        ("2020", "2020-01-01T00:00:00Z", "2020-12-31T23:59:59.999Z"),
        ("2020-02", "2020-02-01T00:00:00Z", "2020-02-29T23:59:59.999Z"),
        ("2020-02-29", "2020-02-29T00:00:00Z", "2020-02-29T23:59:59.999Z"),
        ("2020-02-29T10:11Z", "2020-02-29T10:11:00Z", "2020-02-29T10:11:59.999Z"),
        (
            "2020-02-29T10:11:12+05:30",
            "2020-02-29T04:41:12Z",
            "2020-02-29T04:41:12.999Z",
        ),
        (
            "2020-02-29T23:59:59-14:00",
            "2020-03-01T13:59:59Z",
            "2020-03-01T13:59:59.999Z",
        ),
        (
            "2020-02-29T10:11:12.5Z",
            "2020-02-29T10:11:12.500Z",
            "2020-02-29T10:11:12.500Z",
        ),
        (
            "2020-02-29T10:11:12.123987Z",
            "2020-02-29T10:11:12.123Z",
            "2020-02-29T10:11:12.123Z",
        ),
    ] {
        assert_eq!(moment(text), Some((ms(from), ms(to))), "{text}");
    }
    assert_eq!(moment("2019-02-29"), None);
}

/// The rows of the standard's table of prefixes, with a stored day inside, across, before and after what is searched.
#[test]
fn prefixes_compare_ranges() {
    use Prefix::{Eb, Eq, Ge, Gt, Le, Lt, Ne, Sa};
    let span = |from: Option<&str>, to: Option<&str>| Span {
        from: from.map(|text| moment(text).expect("a date").0),
        to: to.map(|text| moment(text).expect("a date").1),
    };
    for (value, searched, right) in [
        (span(Some("2020-05-05"), Some("2020-05-05")), "2020", &[Eq, Ge, Le][..]),
        (span(Some("2020"), Some("2020")), "2020", &[Eq, Ge, Le]),
        (span(Some("2020"), Some("2020")), "2020-05-05", &[Ne, Gt, Lt, Ge, Le]),
        (span(Some("2019"), Some("2019")), "2020", &[Ne, Lt, Le, Eb]),
        (span(Some("2021"), Some("2021")), "2020", &[Ne, Gt, Ge, Sa]),
        (span(Some("2020-12-31"), None), "2020", &[Ne, Gt, Ge]),
        (span(None, Some("2020-01-01")), "2020", &[Ne, Lt, Le]),
        (span(Some("2021"), None), "2020", &[Ne, Gt, Ge, Sa]),
    ] {
        for prefix in [Eq, Ne, Gt, Lt, Ge, Le, Sa, Eb] {
            assert_eq!(
                compare(prefix, value, searched, 0),
                right.contains(&prefix),
                "{prefix:?} {value:?} {searched}"
            );
        }
    }
}

#[test]
fn paths_go_through_arrays_choices_and_extensions() {
    let body = json!({
        "item": [{"servicedDate": "2020"}, {"servicedPeriod": {"start": "2021"}}, {"sequence": 3}], "serviced": "no",
        "extension": [{"url": "http://a-b.example", "valueDateTime": "2022"}, {"url": "http://c.example", "valueDateTime": "2023"}],
    });
    let kinds: Vec<String> = at(&body, "item serviced[x]")
        .into_iter()
        .map(|(kind, _)| kind)
        .collect();
    assert_eq!(kinds, ["Date", "Period"]);
    let found: Vec<&Value> = at(&body, "extension(http://a-b.example) valueDateTime")
        .into_iter()
        .map(|(_, v)| v)
        .collect();
    assert_eq!(found, [&json!("2022")]);
}

#[test]
fn values_are_read_by_their_type() {
    let read = |rtype: &str, name: &str| reading(rtype, name).expect("a reading");
    let observation = json!({
        "status": "final", "subject": {"reference": "Patient/p/_history/2"},
        "code": {"coding": [{"system": "s", "code": "c"}, {"code": "n"}, {"system": "s", "display": "d"}], "text": "t"},
        "effectiveTiming": {"event": ["2020-03-31", "2020-03-01"], "repeat": {"boundsPeriod": {"start": "2020-02"}}},
        "hasMember": [{"reference": "#x"}, {"display": "y"}, {"reference": format!("{BASE}/Observation/o")}, {"reference": "http://e.example/Observation/o"}],
    });
    let pairs = |name: &str| -> Vec<(Option<String>, Option<String>)> {
        let all = tokens(&observation, &read("Observation", name)).into_iter();
        all.map(|token| (token.system, token.code)).collect()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        pairs("status"),
        [(some("http://hl7.org/fhir/observation-status"), some("final"))]
    );
    assert_eq!(pairs("code"), [(some("s"), some("c")), (None, some("n"))]);
    let february = moment("2020-02").expect("a month").0;
    assert_eq!(
        spans(&observation, &read("Observation", "date")),
        [Span {
            from: Some(february),
            to: None
        }]
    );
    let ours = |rtype: &str, id: &str| Pointer::Ours(rtype.to_owned(), id.to_owned());
    assert_eq!(
        pointers(&observation, &read("Observation", "patient"), BASE),
        [ours("Patient", "p")]
    );
    let elsewhere = Pointer::Elsewhere("http://e.example/Observation/o".to_owned());
    assert_eq!(
        pointers(&observation, &read("Observation", "has-member"), BASE),
        [ours("Observation", "o"), elsewhere]
    );
    assert_eq!(pointer("urn:uuid:1", BASE), Pointer::Elsewhere("urn:uuid:1".to_owned()));
    let patient = json!({"name": [{"family": "Ñandú", "given": ["José", "I."], "suffix": ["Jr."]}, {"text": "Pepe"}]});
    assert_eq!(
        texts(&patient, &read("Patient", "name")),
        ["Ñandú", "José", "I.", "Jr.", "Pepe"]
    );
    assert_eq!(texts(&patient, &read("Patient", "given")), ["José", "I."]);
    assert_eq!(folded(" ﬁne  \u{212B}NGSTRÖM\t"), "fine angstrom");
}

#[test]
fn conditions_are_met_as_the_standard_says() {
    let body = json!({
        "id": "A", "gender": "female", "identifier": [{"system": "s", "value": "V1"}, {"value": "v2"}],
        "name": [{"family": "Núñez"}], "birthDate": "1980-02", "meta": {"profile": ["http://p.example/x|1.0"]},
    });
    let met = |name: &str, modifier: Modifier, wanted: Vec<Wanted>| {
        let reading = reading("Patient", name).expect("a reading");
        Condition {
            reading,
            modifier,
            wanted,
        }
        .met(&body, BASE, 0)
    };
    let token = |system: Option<&str>, code: Option<&str>| Wanted::Token {
        system: system.map(str::to_owned),
        code: code.map(str::to_owned),
    };
    for (system, code, right) in [
        (None, Some("v1"), true),
        (None, Some("v3"), false),
        (Some("s"), Some("V1"), true),
        (Some("S"), Some("V1"), false),
        (Some(""), Some("V1"), false),
        (Some(""), Some("V2"), true),
        (Some("s"), None, true),
        (Some("t"), None, false),
    ] {
        assert_eq!(
            met("identifier", Modifier::None, vec![token(system, code)]),
            right,
            "{system:?} {code:?}"
        );
        assert_eq!(
            met("identifier", Modifier::Not, vec![token(system, code)]),
            !right,
            "{system:?} {code:?}"
        );
    }
    assert!(met(
        "identifier",
        Modifier::None,
        vec![token(None, Some("x")), token(None, Some("v2"))]
    ));
    assert!(!met("_id", Modifier::None, vec![token(None, Some("a"))]));
    for (modifier, text, right) in [
        (Modifier::None, "NUN", true),
        (Modifier::None, "unez", false),
        (Modifier::Contains, "UÑE", true),
        (Modifier::Exact, "Núñez", true),
        (Modifier::Exact, "núñez", false),
        (Modifier::Exact, "Núñe", false),
    ] {
        assert_eq!(
            met("name", modifier.clone(), vec![Wanted::Text(text.to_owned())]),
            right,
            "{modifier:?} {text}"
        );
    }
    let uri = |text: &str| vec![Wanted::Uri(text.to_owned())];
    assert!(met("_profile", Modifier::None, uri("http://p.example/x")));
    assert!(met("_profile", Modifier::None, uri("http://p.example/x|1.0")));
    assert!(!met("_profile", Modifier::None, uri("http://p.example/x|2.0")));
    assert!(met("death-date", Modifier::Missing, vec![Wanted::Missing(true)]));
    assert!(!met("birthdate", Modifier::Missing, vec![Wanted::Missing(true)]));
}
