//! Tests the HTML of the pages: escaping, links, and what people and assistive technology need.

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
    pages.extend(of_every_reader());
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

fn newcomer() -> PageSite {
    site().read_by(PageReader::Newcomer {
        form_token: "f-token".into(),
        may_act_as: Some("new-payer".into()),
    })
}

fn visitor() -> PageSite {
    site().read_by(PageReader::Visitor {
        partner: "new-payer".into(),
        ends: "2027-01-01T00:00:00.000Z".into(),
        form_token: "s-token".into(),
    })
}

fn record() -> Value {
    json!({"resourceType": "Bundle", "type": "searchset",
    "link": [{"relation": "next", "url": format!("{BASE}/Patient/p1/$everything?_count=200&_page=x")}],
    "entry": [
        {"resource": {"resourceType": "Patient", "id": "p1", "name": [{"given": ["Ana"], "family": "Lima"}], "birthDate": "1980-02-03",
            "address": [{"line": ["1 Main St"], "city": "Salem", "state": "OR"}], "identifier": [{"system": "urn:x", "value": "M-1"}]}},
        {"resource": {"resourceType": "Coverage", "id": "c1", "status": "active", "subscriberId": "S-1", "payor": [{"display": "Old Payer"}],
            "period": {"start": "2024-01-01"}}},
        {"resource": {"resourceType": "Observation", "id": "o1", "status": "final", "code": {"text": "Pulse"}, "effectiveDateTime": "2023-05-01"}},
        {"resource": {"resourceType": "Observation", "id": "o2", "status": "final", "code": {"text": "Weight"}, "effectiveDateTime": "2024-06-01T10:00:00Z"}},
        {"resource": {"resourceType": "Observation", "id": "o3", "status": "final", "code": {"text": "Height"}}},
        {"resource": {"resourceType": "Practitioner", "id": "d1", "name": [{"text": "Dr. Ito"}]}},
    ]})
}

/// A page of a POST with what was typed, as this reader sees it.
fn posted(site: &PageSite, status: u16, resource: &Value, fields: &[(String, String)]) -> String {
    let answer = PageSubject {
        status,
        path: "/fhir/Patient/_search",
        is_posted: true,
        fields,
        json_href: None,
        request_id: "r-1",
        filled: &FilledTypes::default(),
        resource,
    };
    page(site, &answer)
}

fn refusal() -> Value {
    json!({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "login", "diagnostics": "Get a token."}]})
}

fn of_every_reader() -> Vec<String> {
    let wanted = crate::http::request_notes::WantedRequest {
        is_posted: true,
        path: "/fhir/Patient/_search".into(),
        fields: vec![("name".into(), "Lima".into())],
    };
    vec![
        access::home(&newcomer()),
        access::home(&visitor()),
        access::ended(&newcomer()),
        access::entered(&visitor(), &wanted),
        access::of_type(&visitor(), "Patient"),
        posted(&newcomer(), 401, &refusal(), &wanted.fields),
        shown("/fhir/Patient/p1", 200, &record()),
    ]
}

#[test]
fn a_patients_page_reads_as_a_record() {
    let html = shown("/fhir/Patient/p1", 200, &record());
    for part in [
        "<h1>Ana Lima <span class=\"id\">Patient/p1</span></h1>",
        "<dt>Born</dt><dd>1980-02-03</dd>",
        "<dd>1 Main St, Salem OR</dd>",
        "<dd>urn:x M-1</dd>",
        "<td>Old Payer</td><td>S-1</td><td class=\"when\">from 2024-01-01</td><td>active</td>",
        "<td class=\"when\">2024-06-01</td><td>Weight</td><td>final</td>",
        "href=\"/fhir/Observation/o1\"",
        "href=\"/fhir/Patient/p1/$everything?_count=200&amp;_page=x\" rel=\"next\"",
        "Dr. Ito",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    let at = |text: &str| html.find(text).expect(text);
    assert!(
        at("Weight") < at("Pulse") && at("Pulse") < at("Height"),
        "the newest first, the undated last"
    );
    assert!(html.contains("<title>Patient/p1 "), "a title names nobody");
}

#[test]
fn t_a30_every_posted_form_has_the_token_of_its_reader() {
    for (html, token) in of_every_reader()
        .iter()
        .zip(["f-token", "s-token", "f-token", "s-token", "s-token", "f-token"])
    {
        let forms: Vec<&str> = html.split("<form ").skip(1).collect();
        for form in &forms {
            let form = form.split("</form>").next().unwrap_or("");
            let is_posted = form
                .split('>')
                .next()
                .is_some_and(|tag| tag.contains("method=\"post\""));
            let field = format!("name=\"_csrf\" value=\"{token}\"");
            // The search on the page of a refusal is sent without a session.
            let is_open = form.starts_with("action=\"/fhir/Patient/_search\"") && token == "f-token";
            assert_eq!(form.contains(&field), is_posted && !is_open, "{form}");
        }
        assert!(!forms.is_empty());
    }
}

#[test]
fn a_refused_form_keeps_what_was_typed_and_its_command_is_whole() {
    let typed = [
        ("name".to_owned(), "O'Hara; rm -rf ~".to_owned()),
        ("identifier".to_owned(), "urn:x|1".to_owned()),
    ];
    let html = posted(&newcomer(), 401, &refusal(), &typed);
    assert!(html.contains("name=\"identifier\" type=\"text\""), "{html}");
    assert!(html.contains("value=\"urn:x|1\""), "the field keeps it");
    assert!(
        html.contains("name=\"fields\" value=\"name=O%27Hara%3B%20rm%20-rf%20~&amp;identifier=urn:x%7C1\""),
        "the session's form carries it"
    );
    let command = token::command(&newcomer(), "/fhir/Patient/_search", true, &typed);
    assert_eq!(
        command,
        "curl --cacert ca.pem --cert partner.pem --key partner.key \\\n  --request POST \\\n  \
         -H \"Authorization: Bearer $TOKEN\" -H 'Accept: application/fhir+json' \\\n  \
         -H 'Content-Type: application/x-www-form-urlencoded' \\\n  --data 'name=O%27Hara%3B%20rm%20-rf%20~' \\\n  \
         --data 'identifier=urn:x%7C1' \\\n  'https://p.example/fhir/Patient/_search'"
    );
    let command = token::command(&site(), "/fhir/Observation", false, &typed[1..]);
    assert!(
        command.contains("--request GET")
            && command.contains("--get")
            && command.contains("--data 'identifier=urn:x%7C1'"),
        "{command}"
    );
}

#[test]
fn the_start_page_shows_a_visitor_what_there_is_and_is_small() {
    let statement =
        crate::http::fhir::statement::capability_statement(BASE, "Old Payer", &crate::keeping::Periods::default());
    let site = PageSite::new(BASE, statement.clone());
    let PageReader::Visitor {
        partner,
        ends,
        form_token,
    } = visitor().reader().clone()
    else {
        panic!("a visitor");
    };
    let filled = FilledTypes::Counted(vec![("Condition".to_owned(), 3), ("Observation".to_owned(), 4_141)]);
    for site in [
        site.clone(),
        site.read_by(PageReader::Visitor {
            partner,
            ends,
            form_token,
        }),
    ] {
        let is_visitor = matches!(site.reader(), PageReader::Visitor { .. });
        let html = page(
            &site,
            &PageSubject {
                status: 200,
                path: "/fhir/metadata",
                is_posted: false,
                fields: &[],
                json_href: None,
                request_id: "",
                filled: &filled,
                resource: &statement,
            },
        );
        assert!(html.len() < 100_000, "{} bytes", html.len());
        assert!(html.contains("href=\"/fhir/explorer/Observation\""));
        assert_eq!(
            html.contains("<td>4141</td>"),
            is_visitor,
            "counts are for who may read"
        );
    }
}

#[test]
fn the_start_page_has_its_types_also_when_they_could_not_be_counted() {
    let site = visitor();
    let types = vec!["Observation".to_owned(), "Patient".to_owned()];
    let html = page(
        &site,
        &PageSubject {
            status: 200,
            path: "/fhir/metadata",
            is_posted: false,
            fields: &[],
            json_href: None,
            request_id: "",
            filled: &FilledTypes::Uncounted(types),
            resource: site.statement(),
        },
    );
    assert!(html.contains("could not be counted just now"), "{html}");
    assert!(
        html.contains("<a href=\"/fhir/Observation\">All Observation</a>"),
        "{html}"
    );
    assert!(!html.contains("Counted over"), "{html}");
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
