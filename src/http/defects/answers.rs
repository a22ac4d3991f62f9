//! Planted defects of answers: a wrong status, a lost header, a wrong body.

use super::wire::{DefectAnswer, DefectRequest, Spoil};
use serde_json::{Value, json};

/// The name of each defect, and the function that changes the answer.
#[rustfmt::skip]
pub(super) const ROWS: &[(&str, Spoil)] = &[
    // All resources
    ("empty-arrays", |_, answer| answer.each_resource(|one| one["note"] = json!([]))),
    ("elements-lost", |asked, answer| if asked.search().is_some() || asked.read().is_some() { answer.each_resource(|one| if !shared(one) { bare(one) }) }),
    ("elements-of-shared-lost", |_, answer| answer.each_resource(|one| if shared(one) { bare(one) })),
    ("references-dangle", |asked, answer| if asked.search().is_some() { answer.each_resource(dangle) }),
    ("references-of-shared-dangle", |asked, answer| {
        if asked.read().is_some() || asked.search() == Some("PractitionerRole") {
            answer.each_resource(|one| if shared(one) { dangle(one) });
        }
    }),
    // Content
    ("content-type-json", |asked, answer| if asked.fhir().is_some() { answer.set_header("content-type", "application/json") }),
    ("charset-latin", |asked, answer| if asked.fhir().is_some() { answer.set_header("content-type", "application/fhir+json; charset=iso-8859-1") }),
    ("xml-promised", |asked, answer| if asked.fhir() == Some("metadata") && answer.status == 406 {
        answer.replace(200, &json!({"resourceType": "CapabilityStatement"}));
    }),
    ("smart-as-fhir", |asked, answer| if asked.path.ends_with("smart-configuration") { answer.set_header("content-type", "application/fhir+json") }),
    // Errors
    ("outcome-lost", |asked, answer| if answer.is_error() && !asked.token() { answer.body = b"{}".to_vec() }),
    ("outcome-without-code", |asked, answer| if answer.is_error() && !asked.token() {
        answer.edit(|body| { body["issue"][0].as_object_mut().map(|issue| issue.remove("code")); });
    }),
    ("outcome-is-a-warning", |asked, answer| if answer.is_error() && !asked.token() {
        answer.edit(|body| body["issue"][0]["severity"] = json!("warning"));
    }),
    ("not-found-as-400", |_, answer| if answer.status == 404 { answer.status = 400 }),
    ("method-as-400", |_, answer| if answer.status == 405 { answer.status = 400 }),
    ("allow-lost", |_, answer| answer.drop_header("allow")),
    ("bad-request-as-500", |_, answer| if answer.status == 400 { answer.status = 500 }),
    ("media-type-as-500", |_, answer| if answer.status == 415 { answer.status = 500 }),
    ("oauth-refusal-as-200", |asked, answer| if answer.is_error() && asked.token() { answer.status = 200 }),
    ("not-found-as-200", |_, answer| if answer.status == 404 { answer.replace(200, &json!({"resourceType": "Patient", "id": "x"})) }),
    ("unauthorised-as-403", |_, answer| if answer.status == 401 { answer.status = 403 }),
    ("challenge-lost", |_, answer| answer.drop_header("www-authenticate")),
    ("forbidden-as-200", |_, answer| if answer.status == 403 { answer.replace(200, &json!({"resourceType": "Patient", "id": "x"})) }),
    ("unauthorised-as-200", |asked, answer| if answer.status == 401 && asked.fhir().is_some() {
        answer.replace(200, &json!({"resourceType": "Patient", "id": "x"}));
    }),
    ("not-found-tells", |asked, answer| if answer.status == 404 && asked.fhir().is_some() {
        let text = asked.path.clone();
        answer.edit(|body| body["issue"][0]["diagnostics"] = json!(text));
    }),
    // Headers
    ("etag-lost", |asked, answer| if asked.fhir() != Some("metadata") { answer.drop_header("etag") }),
    ("etag-strong", |asked, answer| if asked.read().is_some() && answer.status == 200 { answer.set_header("etag", "\"1\"") }),
    ("last-modified-wrong", |_, answer| answer.set_header("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT")),
    ("conditional-412", |asked, answer| if asked.conditional { answer.status = 412 }),
    ("head-412", |asked, answer| if asked.method == "HEAD" { answer.status = 412 }),
    ("request-id-lost", |_, answer| { answer.drop_header("x-request-id"); answer.drop_header("x-correlation-id"); }),
    // Reads
    ("read-another", |asked, answer| if asked.read().is_some() && answer.status == 200 { answer.edit(|body| body["id"] = json!("another")) }),
    ("reads-lost", |asked, answer| if asked.read().is_some() { answer.status = 404 }),
    // Searches
    ("search-500", |asked, answer| if asked.search().is_some() && asked.method == "GET" { answer.status = 500 }),
    ("post-search-500", |asked, answer| if asked.path.ends_with("/_search") { answer.status = 500 }),
    ("post-search-empty", |asked, answer| if asked.path.ends_with("/_search") { answer.edit(|body| { body["total"] = json!(0); remove(body, "entry"); }) }),
    ("self-link-lost", |_, answer| answer.edit(|body| if body["type"] == "searchset" { body["link"] = json!([{"relation": "first", "url": "https://localhost/"}]) })),
    ("self-link-echoes", |asked, answer| if asked.search().is_some() {
        let query = asked.query.clone();
        answer.edit(|body| body["link"][0]["url"] = json!(format!("https://localhost/fhir?{query}")));
    }),
    ("bundle-type-collection", |_, answer| answer.edit(|body| if body["type"] == "searchset" { body["type"] = json!("collection") })),
    ("full-url-wrong", |_, answer| each_entry(answer, |entry| entry["fullUrl"] = json!("https://localhost/fhir/Patient/1"))),
    ("mode-lost", |_, answer| each_entry(answer, |entry| remove(entry, "search"))),
    ("foreign-entry", |asked, answer| if let Some(rtype) = asked.search() { foreign(answer, rtype) }),
    ("everything-foreign", |asked, answer| if asked.everything() { foreign(answer, "Observation") }),
    ("total-wrong", |asked, answer| if asked.search().is_some() { answer.edit(|body| body["total"] = json!(1_000_000)) }),
    ("entries-in-a-count", |asked, answer| if asked.query.contains("_summary=count") || asked.query.contains("_count=0") {
        answer.edit(|body| body["entry"] = json!([{"fullUrl": "https://localhost/fhir/Goal/1", "resource": {"resourceType": "Goal", "id": "1"}, "search": {"mode": "match"}}]));
    }),
    ("page-repeats", |asked, answer| if asked.query.contains("_page=") { answer.edit(|body| if let Some(entries) = body["entry"].as_array_mut() { entries.extend(entries.first().cloned()) }) }),
    ("paging-loops", |asked, answer| {
        let url = format!("https://{}{}?{}", "localhost", asked.path, asked.query);
        answer.edit(|body| if let Some(link) = next(body) { link["url"] = json!(link["url"].as_str().map_or(url, |next| next.split("/fhir/").next().unwrap_or("").to_owned() + &asked.path + "?" + &asked.query)) });
    }),
    ("next-link-lost", |_, answer| answer.edit(|body| if let Some(links) = body["link"].as_array_mut() { links.retain(|link| link["relation"] != "next") })),
    ("subsetted-lost", |asked, answer| if asked.query.contains("_elements") { answer.each_resource(|one| remove(&mut one["meta"], "tag")) }),
    ("unsorted", |asked, answer| if asked.query.contains("_sort=") { answer.edit(|body| if let Some(entries) = body["entry"].as_array_mut() { entries.reverse() }) }),
    ("reference-type-refused", |asked, answer| if asked.search().is_some() && (asked.query.contains("Patient%2F") || asked.query.contains("=Patient/")) { answer.status = 400 }),
    ("empty-without-entry", |asked, answer| if asked.search().is_some() { answer.edit(|body| if body["type"] == "searchset" && body.get("entry").is_none() { body["entry"] = json!([]) }) }),
    // CapabilityStatement
    ("statement-bare", |asked, answer| if asked.fhir() == Some("metadata") { answer.edit(|body| for resource in body["rest"][0]["resource"].as_array_mut().into_iter().flatten() {
        remove(resource, "interaction");
        remove(resource, "searchParam");
    }) }),
    ("statement-twice", |asked, answer| if asked.fhir() == Some("metadata") { answer.edit(|body| if let Some(all) = body["rest"][0]["resource"].as_array_mut() { all.extend(all.first().cloned()) }) }),
    ("statement-version", |asked, answer| if asked.fhir() == Some("metadata") { answer.edit(|body| body["fhirVersion"] = json!("3.0.2")) }),
    ("statement-closed", |asked, answer| if asked.fhir() == Some("metadata") { answer.status = 401 }),
    ("statement-lost", |asked, answer| if asked.fhir() == Some("metadata") { answer.status = 404 }),
    // Tokens
    ("token-without-expiry", |asked, answer| if asked.token() { answer.edit(|body| remove(body, "expires_in")) }),
    ("token-cached", |asked, answer| if asked.token() { answer.drop_header("cache-control") }),
    ("scope-widened", |asked, answer| if asked.token() { answer.edit(|body| body["scope"] = json!("system/*.cruds")) }),
    ("any-assertion", |asked, answer| if asked.token() && answer.status == 401 { answer.replace(200, &json!({"access_token": "x", "token_type": "bearer", "expires_in": 300, "scope": "system/*.rs"})) }),
    ("oauth-error-renamed", |asked, answer| if asked.token() && answer.is_error() { answer.edit(|body| body["error"] = json!("server_error")) }),
    ("algorithms-weak", |asked, answer| smart(asked, answer, "token_endpoint_auth_signing_alg_values_supported", &json!(["HS256"]))),
    ("grant-types-lost", |asked, answer| smart(asked, answer, "grant_types_supported", &json!([]))),
    ("introspection-inactive", |asked, answer| if asked.path == "/oauth/introspect" { answer.edit(|body| *body = json!({"active": false})) }),
    ("introspection-open", |asked, answer| if asked.path == "/oauth/introspect" { answer.edit(|body| body["active"] = json!(true)) }),
    ("revocation-500", |asked, answer| if asked.path == "/oauth/revoke" { answer.status = 500 }),
    // $member-match
    ("two-identifiers", |asked, answer| if asked.member_match() { answer.edit(|body| if let Some(all) = body["parameter"].as_array_mut() { all.extend(all.first().cloned()) }) }),
    ("identifier-untyped", |asked, answer| if asked.member_match() { answer.edit(|body| remove(&mut body["parameter"][0]["valueIdentifier"], "type")) }),
    ("identifier-lost", |asked, answer| if asked.member_match() && answer.status == 200 { answer.edit(|body| if let Some(all) = body["parameter"].as_array_mut() { all.retain(|one| one["name"] != "MemberIdentifier") }) }),
    ("identifier-of-another", |asked, answer| if asked.member_match() && answer.status == 200 { answer.edit(|body| body["parameter"][0]["valueIdentifier"]["value"] = json!("another")) }),
    ("member-id-dangles", |asked, answer| if asked.member_match() && answer.status == 200 { answer.edit(|body| if let Some(one) = body["parameter"].get_mut(1) { one["valueReference"]["reference"] = json!("Patient/lost") }) }),
    ("match-by-get", |asked, answer| if asked.member_match() && asked.method == "GET" { answer.status = 200 }),
    ("match-201", |asked, answer| if asked.member_match() && answer.status == 200 { answer.status = 201 }),
    ("unprocessable-as-400", |_, answer| if answer.status == 422 { answer.status = 400 }),
    ("unprocessable-as-200", |_, answer| if answer.status == 422 { answer.status = 200 }),
    ("refusal-tells", |asked, answer| if asked.member_match() && answer.is_error() { answer.edit(|body| body["issue"][0]["diagnostics"] = json!("\"Patient/1\" was found")) }),
    // $everything
    ("everything-404", |asked, answer| if asked.everything() { answer.status = 404 }),
    ("everything-post-405", |asked, answer| if asked.everything() && asked.method == "POST" { answer.status = 405 }),
    ("everything-patient-lost", |asked, answer| everything(asked, answer, |one| one["resourceType"] != "Patient")),
    ("everything-claims-lost", |asked, answer| everything(asked, answer, |one| one["resourceType"] != "ExplanationOfBenefit")),
    ("everything-alone", |asked, answer| everything(asked, answer, |one| one["resourceType"] == "Patient")),
    ("everything-dangles", |asked, answer| if asked.everything() { answer.each_resource(dangle) }),
    ("everything-money", |asked, answer| if asked.everything() { answer.each_resource(|one| if one["resourceType"] == "ExplanationOfBenefit" {
        one["payment"] = json!({"amount": {"value": 1, "currency": "USD"}});
    }) }),
    ("authorization-profile-lost", |asked, answer| if asked.everything() { answer.each_resource(|one| if one["use"] == "preauthorization" { remove(one, "meta") }) }),
    ("provenance-about-nothing", |asked, answer| if asked.everything() { answer.each_resource(|one| if one["resourceType"] == "Provenance" { one["target"] = json!([{"reference": "Goal/lost"}]) }) }),
    ("transmitter-lost", |asked, answer| if asked.everything() { answer.each_resource(|one| if one["resourceType"] == "Provenance" { one["agent"][0]["type"] = json!({"text": "author"}) }) }),
    ("narrowing-refused", |asked, answer| if asked.token() { answer.edit(|body| if body.get("patient").is_some() { body["access_token"] = json!("spoiled") }) }),
    ("narrowing-granted", |asked, answer| if asked.token() && answer.status == 400 { answer.replace(200, &json!({"access_token": "x", "token_type": "bearer", "expires_in": 300, "scope": "system/*.rs", "patient": "x"})) }),
];

fn remove(value: &mut Value, name: &str) {
    if let Some(map) = value.as_object_mut() {
        map.remove(name);
    }
}

/// Keeps only what identifies a resource and its patient.
fn bare(one: &mut Value) {
    if let Some(map) = one.as_object_mut()
        && !matches!(
            map["resourceType"].as_str(),
            Some("Bundle" | "CapabilityStatement" | "OperationOutcome")
        )
    {
        map.retain(|name, _| {
            matches!(
                name.as_str(),
                "resourceType" | "id" | "meta" | "subject" | "beneficiary"
            )
        });
    }
}

fn shared(one: &Value) -> bool {
    matches!(
        one["resourceType"].as_str(),
        Some("Location" | "Organization" | "Practitioner" | "PractitionerRole" | "Medication" | "Endpoint")
    )
}

/// Makes references point to resources that do not exist, except references to Patients.
fn dangle(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                match inner.as_str().and_then(|text| text.split_once('/')) {
                    Some((rtype, _)) if name == "reference" => {
                        if rtype != "Patient" {
                            *inner = json!(format!("{rtype}/lost"));
                        }
                    }
                    _ => dangle(inner),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(dangle),
        _ => {}
    }
}

fn each_entry(answer: &mut DefectAnswer, change: impl Fn(&mut Value)) {
    answer.edit(|body| {
        if body["type"] == "searchset" {
            body["entry"].as_array_mut().into_iter().flatten().for_each(change);
        }
    });
}

/// Adds a match of another patient.
fn foreign(answer: &mut DefectAnswer, rtype: &str) {
    answer.edit(|body| {
        if body["type"] != "searchset" {
            return;
        }
        let reference = json!({"reference": "Patient/foreign"});
        let entry = json!({"fullUrl": format!("https://localhost/fhir/{rtype}/foreign"), "search": {"mode": "match"},
            "resource": {"resourceType": rtype, "id": "foreign", "subject": reference, "patient": reference}});
        if let Some(total) = body["total"].as_u64() {
            body["total"] = json!(total + 1);
        }
        match body.get_mut("entry").and_then(Value::as_array_mut) {
            Some(entries) => entries.push(entry),
            None => body["entry"] = json!([entry]),
        }
    });
}

fn next(body: &mut Value) -> Option<&mut Value> {
    let links = body.get_mut("link")?.as_array_mut()?;
    links.iter_mut().find(|link| link["relation"] == "next")
}

fn smart(asked: &DefectRequest, answer: &mut DefectAnswer, field: &str, value: &Value) {
    if asked.path.ends_with("smart-configuration") {
        answer.edit(|body| body[field] = value.clone());
    }
}

fn everything(asked: &DefectRequest, answer: &mut DefectAnswer, keep: fn(&Value) -> bool) {
    if asked.everything() {
        answer.edit(|body| {
            if let Some(entries) = body.get_mut("entry").and_then(Value::as_array_mut) {
                entries.retain(|entry| keep(&entry["resource"]));
            }
        });
    }
}
