//! Tests the HTML of the pages: escaping, links, and what people and assistive technology need.

mod readers;

use super::*;
use crate::http::request_notes::FilledTypes;
use serde_json::{Value, json};

const BASE: &str = "https://p.example/fhir";

fn site() -> PageSite {
    PageSite::new(
        BASE,
        json!({
            "resourceType": "CapabilityStatement", "title": "A payer", "description": "What it does.", "fhirVersion": "4.0.1",
            "implementation": {"description": "Old Payer", "url": BASE},
            "rest": [{"mode": "server", "documentation": "Open.", "resource": [
                {"type": "Patient", "interaction": [{"code": "read"}, {"code": "search-type"}],
                 "searchParam": [{"name": "identifier", "type": "token", "documentation": "A <b>card</b>."}, {"name": "_id", "type": "token"}],
                 "searchRevInclude": ["Provenance:target"],
                 "operation": [{"name": "everything", "definition": "http://hl7.org/fhir/OperationDefinition/Patient-everything"},
                               {"name": "member-match", "definition": "http://x"}]},
                {"type": "Observation", "interaction": [{"code": "read"}, {"code": "search-type"}],
                 "searchParam": [{"name": "patient", "type": "reference"}, {"name": "date", "type": "date"}]},
                {"type": "CodeSystem", "interaction": [{"code": "read"}]},
            ]}],
        }),
    )
}

fn shown(path: &str, status: u16, resource: &Value) -> String {
    let answer = PageSubject {
        status,
        path,
        is_posted: false,
        fields: &[],
        filled: &FilledTypes::default(),
        json_href: Some(format!("{path}?_format=json")),
        request_id: "r-1",
        resource,
    };
    page(&site(), &answer)
}

/// Every opening tag of a page.
fn tags(html: &str) -> Vec<&str> {
    html.split('<')
        .skip(1)
        .filter_map(|rest| rest.split('>').next())
        .filter(|tag| !tag.starts_with('/'))
        .collect()
}

/// The value of an attribute of a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    tag[start..].split('"').next()
}

fn everywhere() -> Vec<String> {
    let nasty = "\"><script>alert('canary')</script><img src=x onerror=alert(1)>";
    let patient = json!({
        "resourceType": "Patient", "id": "p1", "meta": {"profile": [nasty, "javascript:alert(1)"], "versionId": nasty, "lastUpdated": nasty},
        "text": {"status": "generated", "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{nasty}</div>")},
        "name": [{"family": nasty, "given": [nasty]}], nasty: nasty, "link": [{"other": {"reference": format!("Patient/{nasty}")}}],
        "photo": [{"url": format!("{BASE}/{nasty}")}], "url": "javascript:alert(1)", "title": nasty, "description": nasty,
    });
    let issue = json!({"severity": nasty, "code": nasty, "diagnostics": nasty, "expression": [nasty],
        "details": {"text": nasty, "coding": [{"system": format!("{BASE}/CodeSystem/causeway-fault"), "code": nasty}]}});
    let outcome = json!({"resourceType": "OperationOutcome", "issue": [issue]});
    let bundle = json!({
        "resourceType": "Bundle", "type": "searchset", "total": 1,
        "link": [{"relation": "self", "url": format!("{BASE}/Patient?name={nasty}")}, {"relation": "next", "url": "javascript:alert(1)"}, {"relation": nasty, "url": nasty}],
        "entry": [{"fullUrl": "javascript:alert(1)", "resource": patient, "search": {"mode": nasty}}, {"resource": outcome, "search": {"mode": "outcome"}}],
    });
    let batch = json!({"resourceType": "Bundle", "type": "batch-response", "entry": [{"resource": patient, "response": {"status": nasty, "outcome": outcome}}]});
    let system = json!({"resourceType": "CodeSystem", "id": "c", "property": [{"code": "p", "type": "string"}],
        "concept": [{"code": nasty, "display": nasty, "definition": nasty, "property": [{"code": "p", "valueString": nasty}]}]});
    let operation = json!({"resourceType": "OperationDefinition", "parameter": [{"name": nasty, "use": nasty, "min": 0, "max": nasty, "type": nasty}]});
    let statement = json!({"resourceType": "CapabilityStatement", "title": nasty, "instantiates": [nasty], "rest": [{"documentation": nasty, "resource": [
        {"type": nasty, "interaction": [{"code": nasty}], "searchParam": [{"name": nasty, "documentation": nasty}], "operation": [{"name": nasty, "definition": nasty}]}]}]});
    [patient, outcome, bundle, batch, system, operation, statement]
        .iter()
        .map(|resource| shown("/fhir/Patient", 400, resource))
        .collect()
}

#[test]
fn t_b11_no_text_of_an_answer_becomes_markup_or_a_script() {
    for html in everywhere() {
        assert!(html.contains("canary"), "the texts are shown");
        for tag in tags(&html) {
            let name = tag.split([' ', '\n']).next().unwrap_or("").to_ascii_lowercase();
            assert!(
                !["script", "img", "iframe", "object", "svg", "link", "base", "embed"].contains(&name.as_str()),
                "<{tag}>"
            );
            let unquoted: String = tag.split('"').step_by(2).collect();
            assert!(!unquoted.contains("onerror") && !unquoted.contains("alert"), "<{tag}>");
            for name in ["href", "action", "src"] {
                let target = attribute(tag, name).unwrap_or("/");
                assert!(
                    target.starts_with('#') || target.starts_with('/') && !target.starts_with("//"),
                    "{name} leads away: <{tag}>"
                );
            }
        }
    }
}

#[test]
fn every_page_has_its_landmarks_its_language_and_headings_in_order() {
    let mut pages = everywhere();
    pages.push(shown("/fhir/metadata", 200, site().statement()));
    pages.extend(readers::of_every_reader());
    for html in pages {
        assert!(html.starts_with("<!DOCTYPE html><html lang=\"en\">"), "{}", &html[..80]);
        for one in ["<main", "<header", "<footer", "<h1", "<title", "class=\"skip\""] {
            assert_eq!(
                html.matches(one).count() - html.matches(&format!("{one}er")).count(),
                1,
                "{one}"
            );
        }
        let levels: Vec<u32> = tags(&html)
            .iter()
            .filter_map(|tag| tag.strip_prefix('h')?.chars().next()?.to_digit(10))
            .collect();
        assert_eq!(levels.first(), Some(&1));
        assert!(levels.windows(2).all(|two| two[1] <= two[0] + 1), "{levels:?}");
        for tag in tags(&html) {
            if tag == "th" || tag.starts_with("th ") {
                assert!(attribute(tag, "scope").is_some(), "<{tag}>");
            }
            if tag.starts_with("input") && attribute(tag, "type") != Some("hidden") {
                let id = attribute(tag, "id").expect("an id");
                assert!(html.contains(&format!("<label for=\"{id}\"")), "no label: <{tag}>");
            }
            if let Some(id) = attribute(tag, "aria-labelledby").or(attribute(tag, "aria-describedby")) {
                assert!(html.contains(&format!(" id=\"{id}\"")), "points nowhere: <{tag}>");
            }
        }
    }
}

#[test]
fn references_links_and_canonicals_of_ours_lead_on() {
    let resource = json!({
        "resourceType": "Observation", "id": "o1", "meta": {"profile": [format!("{BASE}/StructureDefinition/x|1.0")]},
        "subject": {"reference": "Patient/p1"}, "focus": [{"reference": format!("{BASE}/Patient/p2/_history/3")}],
        "device": {"reference": "Device/d1"}, "performer": [{"reference": "#in"}, {"reference": "Patient/../x"}, {"reference": "Patient/"}],
        "valueString": "Patient/p3", "code": {"coding": [{"system": "http://loinc.org", "code": "1-8"}]},
    });
    let html = shown("/fhir/Observation/o1", 200, &resource);
    for href in ["/fhir/Patient/p1", "/fhir/Patient/p2", "/fhir/StructureDefinition/x"] {
        assert!(html.contains(&format!("href=\"{href}\"")), "{href}");
    }
    for text in ["Device/d1", "#in", "Patient/../x", "Patient/p3", "http://loinc.org"] {
        assert!(
            !html.contains(&format!("href=\"/fhir/{text}\"")) && !html.contains(&format!("href=\"{text}\"")),
            "{text}"
        );
    }
}

#[test]
fn a_search_has_a_table_its_page_links_and_its_notes() {
    let bundle = json!({
        "resourceType": "Bundle", "type": "searchset", "total": 3,
        "link": [{"relation": "self", "url": format!("{BASE}/Observation?patient=p1")}, {"relation": "next", "url": format!("{BASE}/Observation?_page=aB_-9")}],
        "entry": [
            {"fullUrl": format!("{BASE}/Observation/o1"), "search": {"mode": "match"},
             "resource": {"resourceType": "Observation", "id": "o1", "status": "final", "code": {"coding": [{"display": "Pulse"}]}, "effectiveDateTime": "2024-05-01"}},
            {"search": {"mode": "include"}, "resource": {"resourceType": "Patient", "id": "p1", "name": [{"given": ["Ana"], "family": "Lima"}]}},
            {"search": {"mode": "outcome"}, "resource": {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "not-supported", "details": {"text": "Ignored: colour."}}]}},
        ],
    });
    let html = shown("/fhir/Observation", 200, &bundle);
    for part in [
        "<h1>Observation search</h1>",
        "3 matches, 1 of them on this page, and 1 included with them.",
        "<a href=\"/fhir/Observation?_page=aB_-9\" rel=\"next\">Next page</a>",
        "<a href=\"/fhir/Observation?patient=p1\" rel=\"self\">This search</a>",
        "<th scope=\"row\"><a href=\"/fhir/Observation/o1\">Observation/o1</a></th><td>Pulse</td><td>final</td><td class=\"when\">2024-05-01</td>",
        "<td>Ana Lima</td>",
        "Ignored: colour.",
        "<form action=\"/fhir/Observation\" method=\"get\"",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("<title>Ana"), "a title names nobody");
}

#[test]
fn what_describes_a_person_is_sent_by_post() {
    let patient = access::of_type(&site(), "Patient");
    assert!(patient.contains("<form action=\"/fhir/Patient/_search\" method=\"post\""));
    let observation = access::of_type(&site(), "Observation");
    assert!(observation.contains("<form action=\"/fhir/Observation\" method=\"get\""));
    for html in [&patient, &observation] {
        assert_eq!(html.matches("This form needs a token.").count(), 1, "below the form");
    }
    assert!(patient.contains("A &lt;b&gt;card&lt;/b&gt;."));
    assert!(patient.contains("value=\"Provenance:target\""));
    let system = access::of_type(&site(), "CodeSystem");
    assert!(!system.contains("<form action"), "what cannot be searched has no form");
}

#[test]
fn an_error_says_what_to_do_and_a_missing_token_how_to_get_one() {
    use crate::error::{Failure, Fault};
    for (fault, status) in [(Fault::TokenMissing, 401), (Fault::NotFound, 404)] {
        let failure = Failure::new(fault).at("Patient.id");
        let outcome: Value = serde_json::from_slice(&crate::fhir::outcome::bytes(&failure, BASE)).expect("json");
        let html = shown("/fhir/Patient/p1", status, &outcome);
        let row = fault.row();
        for part in [row.text, row.remedy, "Patient.id", "r-1"] {
            assert!(html.contains(part), "{part}");
        }
        assert!(html.contains(&format!("href=\"/fhir/CodeSystem/causeway-fault#{}\"", row.code)));
        assert_eq!(html.contains("https://p.example/oauth/token"), status == 401);
    }
}

#[test]
fn a_patient_leads_to_its_record_and_its_operations() {
    let html = shown("/fhir/Patient/p1", 200, &json!({"resourceType": "Patient", "id": "p1"}));
    assert!(html.contains("href=\"/fhir/Observation?patient=p1\""));
    assert!(html.contains("<form action=\"/fhir/Patient/p1/$everything\" method=\"get\""));
    for name in ["start", "end", "_since", "_type", "_count"] {
        assert!(html.contains(&format!("name=\"{name}\"")), "{name}");
    }
    assert!(
        !html.contains("name=\"MemberPatient\""),
        "what changes state is not a form"
    );
}

#[test]
fn a_huge_answer_is_cut_and_says_so() {
    let entries: Vec<Value> = (0..20_000)
        .map(|at| json!({"resource": {"resourceType": "Patient", "id": format!("p{at}")}}))
        .collect();
    let html = shown(
        "/fhir/Patient",
        200,
        &json!({"resourceType": "Bundle", "type": "searchset", "entry": entries}),
    );
    assert!(html.len() < 700_000, "{} bytes", html.len());
    assert!(html.contains("The first 500 are shown; 19500 more are left out."));
    assert!(html.contains("The first 2000 lines are shown;"));
    let page = too_large(&site(), "/fhir/Patient/p1/$everything", &[]);
    assert!(page.contains("more than 4 MiB") && page.contains("/fhir/Patient/p1/$everything'"));
    let long = shown(
        "/fhir/Binary/b",
        200,
        &json!({"resourceType": "Binary", "data": "x".repeat(1_000_000)}),
    );
    assert!(
        long.len() < 60_000 && long.contains("1000000 characters in all"),
        "{} bytes",
        long.len()
    );
}

#[test]
fn texts_that_turn_the_direction_of_reading_are_shown_as_codes() {
    assert_eq!(tree::escape("a\u{202e}b\u{2066}'<"), "a\\u202eb\\u2066&#39;&lt;");
}

#[test]
fn t_b15_a_path_that_leads_away_or_ends_a_command_is_not_repeated() {
    let site = site();
    for good in ["/fhir/Patient/p-1.x", "/fhir/Patient/p1/$everything", "/fhir/nothing"] {
        assert_eq!(site.plain_path(good), good);
    }
    for bad in [
        "//evil.example/x",
        "/fhir/';rm -rf ~;'",
        "/fhir/\"x",
        "/fhir/a b",
        "/fhir/%27",
        "/fhir/`x`",
        "/fhir/<x>",
        "",
        "fhir",
        "/\\evil",
    ] {
        assert_eq!(site.plain_path(bad), "/fhir/metadata", "{bad}");
    }
}

#[test]
fn the_table_of_faults_has_no_faults_of_operators() {
    use crate::error::Fault;
    let html = shown(
        "/fhir/CodeSystem/causeway-fault",
        200,
        &crate::http::fhir::code_system::fault_code_system(BASE),
    );
    for fault in Fault::ALL {
        assert_eq!(
            html.contains(&format!("id=\"{}\"", fault.code())),
            fault.is_for_partners(),
            "{}",
            fault.code()
        );
    }
    assert!(
        !html.contains(Fault::SchemaBehind.row().text),
        "not in the JSON below either"
    );
}
