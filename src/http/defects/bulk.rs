//! Planted defects of bulk runs: their starts, status addresses, manifests, files and Groups.

use super::wire::{DefectAnswer, DefectRequest, Rewrite, Spoil};
use serde_json::{Value, json};

/// Defects of requests, as in [`super::requests`].
pub(super) const QUERIES: &[(&str, Rewrite)] = &[
    ("bulk-type-ignored", |asked, mut pairs| {
        pairs.retain(|(name, _)| !starts(asked) || name != "_type");
        pairs
    }),
    ("bulk-since-ignored", |asked, mut pairs| {
        pairs.retain(|(name, _)| !starts(asked) || name != "_since");
        pairs
    }),
    ("bulk-format-ignored", |asked, mut pairs| {
        pairs.retain(|(name, _)| !starts(asked) || name != "_outputFormat");
        pairs
    }),
    ("bulk-formats-refused", |asked, mut pairs| {
        for (name, value) in &mut pairs {
            if starts(asked) && name == "_outputFormat" {
                "text/csv".clone_into(value);
            }
        }
        pairs
    }),
    ("bulk-unknown-dropped", |asked, mut pairs| {
        pairs.retain(|(name, _)| !starts(asked) || name != "noSuchParameter");
        pairs
    }),
];

/// Defects of answers, as in [`super::answers`].
#[rustfmt::skip]
pub(super) const ANSWERS: &[(&str, Spoil)] = &[
    ("bulk-location-lost", |asked, answer| if starts(asked) { answer.drop_header("content-location") }),
    ("bulk-start-200", |asked, answer| if starts(asked) && answer.status == 202 { answer.status = 200 }),
    ("bulk-refusal-500", |asked, answer| if starts(asked) && answer.status == 400 { answer.status = 500 }),
    ("bulk-refusal-bare", |asked, answer| if starts(asked) && answer.is_error() { answer.body = b"{}".to_vec() }),
    ("bulk-lenient-refused", |asked, answer| if starts(asked) && asked.query.contains("noSuchParameter") { answer.status = 400 }),
    ("bulk-post-405", |asked, answer| if starts(asked) && asked.method == "POST" { answer.status = 405 }),
    ("bulk-open", |asked, answer| if answer.status == 401 && !asked.token() { answer.status = 200 }),
    ("bulk-scope-unneeded", |asked, answer| if starts(asked) && answer.status == 403 { answer.status = 202 }),
    ("manifest-as-fhir", |_, answer| if is_manifest(answer) { answer.set_header("content-type", "application/fhir+json") }),
    ("manifest-bare", |_, answer| if is_manifest(answer) { answer.edit(|body| *body = json!({"transactionTime": "soon"})) }),
    ("manifest-request-wrong", |_, answer| if is_manifest(answer) { answer.edit(|body| body["request"] = json!("https://localhost/")) }),
    ("manifest-count-wrong", |_, answer| if is_manifest(answer) { answer.edit(|body| for file in body["output"].as_array_mut().into_iter().flatten() { file["count"] = json!(1_000_000) }) }),
    ("manifest-envelope-lost", |_, answer| if is_manifest(answer) { answer.edit(|body| if let Some(files) = body["output"].as_array_mut() { files.retain(|file| file["type"] != "Parameters") }) }),
    ("file-as-json", |_, answer| if is_file(answer) { answer.set_header("content-type", "application/json") }),
    ("file-cut", |_, answer| if is_file(answer) { let half = answer.body.len() / 2; answer.body.truncate(half); }),
    ("file-foreign", |_, answer| if is_file(answer) {
        answer.body.extend_from_slice(b"{\"resourceType\":\"Patient\",\"id\":\"foreign\"}\n");
        answer.body.extend_from_slice(b"{\"resourceType\":\"Goal\",\"id\":\"foreign\",\"subject\":{\"reference\":\"Patient/lost\"}}\n");
    }),
    ("file-line-lost", |_, answer| if is_file(answer) {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        answer.body = text.split_inclusive('\n').skip(1).collect::<String>().into_bytes();
    }),
    ("bulk-delete-200", |asked, answer| if asked.method == "DELETE" { answer.status = 200 }),
    ("bulk-status-stays", |asked, answer| if asked.path.contains("/jobs/") && answer.status == 404 { answer.replace(200, &json!({"transactionTime": "2026-01-01T00:00:00Z"})) }),
    ("groups-of-nobody", |_, answer| if is_file(answer) {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        answer.body = lines.map(|mut group| { group["member"] = json!([]); format!("{group}\n") }).collect::<String>().into_bytes();
    }),
    ("group-another", |asked, answer| if asked.read().is_some_and(|(rtype, _)| rtype == "Group") { answer.edit(|body| body["id"] = json!("another")) }),
    ("group-unfound", |asked, answer| if asked.search() == Some("Group") { answer.edit(|body| body["entry"] = json!([])) }),
    ("group-unknown-200", |asked, answer| if asked.path.contains("/Group/") && answer.status == 404 { answer.replace(200, &json!({"resourceType": "Group", "id": "x"})) }),
];

/// Whether the request would begin a run.
fn starts(asked: &DefectRequest) -> bool {
    ["/$export", "/$davinci-data-export", "/$bulk-member-match"]
        .iter()
        .any(|end| asked.path.ends_with(end))
}

fn is_manifest(answer: &DefectAnswer) -> bool {
    answer.status == 200 && answer.json().is_some_and(|body| body.get("transactionTime").is_some())
}

fn is_file(answer: &DefectAnswer) -> bool {
    let mut types = answer
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    types.any(|(_, value)| value.contains("ndjson"))
}
