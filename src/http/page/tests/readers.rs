//! Pages as each reader sees them: a visitor, a newcomer and a partner, with forms and what was typed into them.

use super::*;

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

pub(super) fn of_every_reader() -> Vec<String> {
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
