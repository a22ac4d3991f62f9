//! Files as they come, seen from outside: attachments and who may read them, and what changed since when.

use crate::support::grants::grant;
use crate::support::matched::Matched;
use causeway::synth::SharingPolicy;
use diesel::prelude::*;
use serde_json::{Value, json};

fn lines(of: &Matched, name: &str, resources: &[Value]) -> Value {
    let text: Vec<String> = resources.iter().map(Value::to_string).collect();
    std::fs::write(of.payer.home().join(name), text.join("\n")).expect("a file");
    let said = of.payer.json_command(&["import", name]);
    assert_eq!(said["rejected"], 0, "{said}");
    said
}

fn document(id: &str, patient: &str, url: &str, labels: Value) -> Value {
    let mut document = json!({"resourceType": "DocumentReference", "id": id, "status": "current",
        "subject": {"reference": format!("Patient/{patient}")}, "content": [{"attachment": {"contentType": "text/plain", "url": url}}]});
    if !labels.is_null() {
        document["meta"] = json!({"security": labels});
    }
    document
}

fn binary(id: &str, kind: &str) -> Value {
    json!({"resourceType": "Binary", "id": id, "contentType": kind, "data": "bm90ZQ=="})
}

const FHIR: (&str, &str) = ("accept", "application/fhir+json");

/// The ids of an answer's resources, without the record of who transmits it.
fn stored(bundle: &Value) -> Vec<String> {
    let entries = bundle["entry"].as_array().into_iter().flatten();
    let ids = entries.filter_map(|one| one["resource"]["id"].as_str());
    ids.filter(|id| !id.starts_with("tx.")).map(str::to_owned).collect()
}

#[tokio::test]
async fn an_attachment_is_read_by_whom_its_document_may_be_as_a_resource_or_as_its_content() {
    let of = Matched::start(2).await;
    let base = format!("{}/fhir", of.payer.origin);
    lines(
        &of,
        "files.ndjson",
        &[
            document("doc-1", &of.id, "Binary/bin-1", Value::Null),
            document("doc-2", &of.id, &format!("{base}/Binary/bin-2"), Value::Null),
            json!({"resourceType": "DiagnosticReport", "id": "rep-3", "status": "final", "code": {"text": "x"},
                "subject": {"reference": format!("Patient/{}", of.id)}, "presentedForm": [{"url": "Binary/bin-3"}]}),
            json!({"resourceType": "Media", "id": "med-4", "status": "completed", "subject": {"reference": format!("Patient/{}", of.id)},
                "content": {"url": "Binary/bin-4"}}),
            binary("bin-1", "text/plain; charset=utf-8"),
            binary("bin-2", "text/html"),
            binary("bin-3", "application/pdf"),
            binary("bin-4", "nonsense x"),
        ],
    );
    for (id, kind) in [
        ("bin-1", "text/plain; charset=utf-8"),
        ("bin-2", "text/html"),
        ("bin-3", "application/pdf"),
        ("bin-4", "application/octet-stream"),
    ] {
        let path = format!("/Binary/{id}");
        let resource = of.get(&path, &[FHIR]).await;
        resource.assert_status(200);
        assert_eq!(
            (resource.json()["id"].as_str(), resource.json()["data"].as_str()),
            (Some(id), Some("bm90ZQ=="))
        );
        for accept in ["*/*", "text/html,application/xhtml+xml,*/*;q=0.8", kind] {
            let content = of.get(&path, &[("accept", accept)]).await;
            content.assert_status(200);
            assert_eq!(
                (content.text().as_str(), content.header("content-type")),
                ("note", kind),
                "{id} {accept}"
            );
            assert_eq!(content.header("x-content-type-options"), "nosniff");
            assert_eq!(
                content.header("content-disposition"),
                format!("attachment; filename=\"{id}\"")
            );
            assert!(content.header("content-security-policy").contains("sandbox"));
            assert_eq!(content.header("etag"), resource.header("etag"));
        }
        let tag = resource.header("etag").to_owned();
        of.get(&path, &[("accept", "*/*"), ("if-none-match", &tag)])
            .await
            .assert_status(304);
        of.get(&path, &[("accept", "image/png")]).await.assert_status(406);
        let head = of.send("HEAD", &path, &[("accept", "*/*")], "").await;
        assert_eq!((head.status, head.body.len()), (200, 0));
    }
    // It is not found by searches, does not come with the record, and is claimed as read only.
    assert_eq!(of.get("/Binary?_id=bin-1", &[FHIR]).await.status, 404);
    let everything = of.get(&format!("/Patient/{}/$everything", of.id), &[FHIR]).await;
    assert!(everything.text().contains("doc-1") && !everything.text().contains("\"resourceType\":\"Binary\""));
    let statement = of.get("/metadata", &[FHIR]).await.json();
    let all = statement["rest"][0]["resource"].as_array().expect("resources");
    let own = all.iter().find(|one| one["type"] == "Binary").expect("Binary");
    assert_eq!(own["interaction"], json!([{"code": "read"}, {"code": "vread"}]));
}

/// D08: what is attached never leaves on another way than what it is attached to.
#[tokio::test]
async fn t_d08_an_attachment_leaves_only_with_all_that_names_it() {
    let of = Matched::start(2).await;
    let other: String = {
        use causeway::store::schema::compartment;
        compartment::table
            .filter(compartment::patient_id.ne(&of.id))
            .select(compartment::patient_id)
            .first(&mut of.payer.db())
            .expect("another member")
    };
    let secret = json!([{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}]);
    let context = |id: &str, context: &str| {
        let mut one = binary(id, "text/plain");
        one["securityContext"] = json!({"reference": context});
        one
    };
    let own = format!("Patient/{}", of.id);
    lines(
        &of,
        "files.ndjson",
        &[
            document("d-open", &of.id, "Binary/b-open", Value::Null),
            document("d-secret", &of.id, "Binary/b-secret", secret.clone()),
            document("d-both-1", &of.id, "Binary/b-both", Value::Null),
            document("d-both-2", &of.id, "Binary/b-both", secret),
            document("d-other", &other, "Binary/b-other", Value::Null),
            document("d-own-context", &of.id, "Binary/b-own-context", Value::Null),
            document("d-secret-context", &of.id, "Binary/b-secret-context", Value::Null),
            document("d-unknown-context", &of.id, "Binary/b-unknown-context", Value::Null),
            binary("b-open", "text/plain"),
            binary("b-secret", "text/plain"),
            binary("b-both", "text/plain"),
            binary("b-other", "text/plain"),
            binary("b-unnamed", "text/plain"),
            context("b-only-context", &own),
            context("b-own-context", &own),
            context("b-secret-context", "DocumentReference/d-secret"),
            context("b-unknown-context", "DocumentReference/none"),
        ],
    );
    // Another member's document names it later.
    lines(
        &of,
        "shared.ndjson",
        &[
            document("d-shared-1", &of.id, "Binary/b-shared", Value::Null),
            binary("b-shared", "text/plain"),
        ],
    );
    of.get("/Binary/b-shared", &[FHIR]).await.assert_status(200);
    lines(
        &of,
        "later.ndjson",
        &[document("d-shared-2", &other, "Binary/b-shared", Value::Null)],
    );
    let cases = [
        ("b-open", 200),
        ("b-own-context", 200),
        ("b-secret", 404),
        ("b-both", 404),
        ("b-other", 404),
        ("b-unnamed", 404),
        ("b-only-context", 404),
        ("b-secret-context", 404),
        ("b-unknown-context", 404),
        ("b-shared", 404),
        ("b-none", 404),
    ];
    for (id, status) in cases {
        for accept in ["application/fhir+json", "*/*"] {
            let reply = of.get(&format!("/Binary/{id}"), &[("accept", accept)]).await;
            assert_eq!(reply.status, status, "{id} {accept}: {}", reply.text());
            assert!(
                status == 200 || !reply.text().contains("note") && !reply.text().contains("bm90ZQ"),
                "{id}"
            );
        }
        let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": format!("Binary/{id}")}}]});
        let reply = of
            .send(
                "POST",
                "",
                &[("content-type", "application/fhir+json"), FHIR],
                batch.to_string(),
            )
            .await;
        assert_eq!(
            reply.text().contains("bm90ZQ=="),
            status == 200,
            "{id}: {}",
            reply.text()
        );
    }
    // A grant on sensitive data opens what the label closed, and nothing else.
    diesel::sql_query("UPDATE grants SET sensitive = 1")
        .execute(&mut of.payer.db())
        .expect("an update");
    for (id, status) in [
        ("b-secret", 200),
        ("b-both", 200),
        ("b-secret-context", 200),
        ("b-shared", 404),
        ("b-other", 404),
    ] {
        assert_eq!(of.get(&format!("/Binary/{id}"), &[FHIR]).await.status, status, "{id}");
    }
    // A grant on the other member opens the other's, and not what both name.
    grant(&of.payer, "new-payer", &other, SharingPolicy::Regular);
    assert_eq!(of.get("/Binary/b-other", &[FHIR]).await.status, 200);
    assert_eq!(of.get("/Binary/b-shared", &[FHIR]).await.status, 404);
    // Without a live grant nothing is there.
    diesel::sql_query("UPDATE grants SET revoked_ms = created_ms")
        .execute(&mut of.payer.db())
        .expect("an update");
    for (id, _) in cases {
        assert_eq!(
            of.get(&format!("/Binary/{id}"), &[("accept", "*/*")]).await.status,
            404,
            "{id}"
        );
    }
}

#[tokio::test]
async fn an_old_resource_that_comes_late_is_in_what_changed_since() {
    let of = Matched::start(1).await;
    let before = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let said = lines(
        &of,
        "late.ndjson",
        &[
            json!({"resourceType": "Observation", "id": "late", "meta": {"lastUpdated": "2001-01-01T00:00:00Z"}, "status": "final",
            "code": {"text": "late"}, "subject": {"reference": format!("Patient/{}", of.id)}}),
        ],
    );
    assert_eq!(said["stored"], 1);
    let names = |bundle: &Value| -> Vec<String> {
        let entries = bundle["entry"].as_array().into_iter().flatten();
        entries
            .filter_map(|one| one["resource"]["id"].as_str().map(str::to_owned))
            .collect()
    };
    let everything = of
        .get(&format!("/Patient/{}/$everything?_since={before}", of.id), &[FHIR])
        .await;
    everything.assert_status(200);
    assert_eq!(stored(&everything.json()), ["late"]);
    let found = of
        .get(&format!("/Observation?_lastUpdated=gt{before}"), &[FHIR])
        .await
        .json();
    assert_eq!(names(&found), ["late"]);
    let read = of.get("/Observation/late", &[FHIR]).await;
    let updated = read.json()["meta"]["lastUpdated"].as_str().expect("a time").to_owned();
    assert!(updated > before, "{updated}");
    let of_2001 = [FHIR, ("if-modified-since", "Tue, 02 Jan 2001 00:00:00 GMT")];
    of.get("/Observation/late", &of_2001).await.assert_status(200);
    let own = [FHIR, ("if-modified-since", read.header("last-modified"))];
    of.get("/Observation/late", &own).await.assert_status(304);
    // A later run is later, however fast it follows.
    lines(
        &of,
        "later.ndjson",
        &[
            json!({"resourceType": "Observation", "id": "later", "meta": {"lastUpdated": "1999-01-01T00:00:00Z"}, "status": "final",
            "code": {"text": "later"}, "subject": {"reference": format!("Patient/{}", of.id)}}),
        ],
    );
    let everything = of
        .get(&format!("/Patient/{}/$everything?_since={updated}", of.id), &[FHIR])
        .await;
    assert_eq!(stored(&everything.json()), ["later"]);
}

#[tokio::test]
async fn what_comes_free_later_is_in_what_changed_since() {
    let of = Matched::start(1).await;
    let patient = json!({"reference": format!("Patient/{}", of.id)});
    let mut document = document("hung", &of.id, "Binary/hung", Value::Null);
    document["context"] = json!({"related": [{"reference": "ExplanationOfBenefit/comes-late"}]});
    lines(&of, "hung.ndjson", &[document, binary("hung", "text/plain")]);
    of.get("/DocumentReference/hung", &[FHIR]).await.assert_status(404);
    of.get("/Binary/hung", &[FHIR]).await.assert_status(404);
    let before = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let claim = json!({"resourceType": "ExplanationOfBenefit", "id": "comes-late", "status": "active", "use": "claim",
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/claim-type", "code": "professional"}]},
        "patient": patient, "created": "2025-12-01", "insurer": {"display": "plan"}, "provider": {"display": "clinic"},
        "outcome": "complete", "insurance": [{"focal": true, "coverage": {"display": "plan"}}]});
    lines(&of, "comes.ndjson", &[claim]);
    let everything = of
        .get(&format!("/Patient/{}/$everything?_since={before}", of.id), &[FHIR])
        .await
        .json();
    let mut found = stored(&everything);
    found.sort_unstable();
    assert_eq!(found, ["comes-late", "hung"]);
    let search = of
        .get(&format!("/DocumentReference?_lastUpdated=gt{before}"), &[FHIR])
        .await
        .json();
    assert_eq!(search["entry"][0]["resource"]["id"], "hung");
    let read = of.get("/DocumentReference/hung", &[FHIR]).await;
    assert_eq!(read.header("etag"), "W/\"2\"");
    of.get("/Binary/hung", &[FHIR]).await.assert_status(200);
}

#[test]
fn a_dry_run_says_so_and_leaves_the_store_as_it_was() {
    let (payer, _) = crate::support::payer::TestPayer::prepare(1);
    let count = || payer.count("resource");
    let before = count();
    let text = [
        json!({"resourceType": "Patient", "id": "dry", "name": [{"family": "Dry"}]}),
        json!({"resourceType": "Condition", "id": "dry", "subject": {"reference": "Patient/dry"}}),
        json!({"resourceType": "Condition", "id": "wet", "subject": {"reference": "Patient/none"}}),
    ]
    .map(|one| one.to_string());
    std::fs::write(payer.home().join("dry.ndjson"), text.join("\n")).expect("a file");
    let said = payer.json_command(&["import", "dry.ndjson", "--dry-run"]);
    let counts = |said: &Value| ["read", "stored", "rejected"].map(|name| said[name].as_u64().expect("a count"));
    assert_eq!((counts(&said), &said["dry_run"]), ([3, 2, 1], &json!(true)));
    assert_eq!(count(), before);
    let output = payer.command(&["import", "dry.ndjson", "--dry-run"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("dry run, nothing is stored"), "{told}");
    let said = payer.json_command(&["import", "dry.ndjson"]);
    assert_eq!((counts(&said), &said["dry_run"]), ([3, 2, 1], &json!(false)));
    assert!(count() > before);
}

#[tokio::test]
async fn t_b07_resources_that_come_along_end_at_the_bytes_of_a_page() {
    let of = Matched::start(1).await;
    let data = "QUFB".repeat(350_000);
    let scans: Vec<Value> = (0..12)
        .map(|n| {
            let mut scan = document(&format!("scan-{n:02}"), &of.id, "", Value::Null);
            scan["content"] = json!([{"attachment": {"contentType": "application/pdf", "data": data}}]);
            scan
        })
        .collect();
    lines(&of, "scans.ndjson", &scans);
    let path = format!("/Patient?_id={}&_revinclude=DocumentReference:patient", of.id);
    let reply = of.get(&path, &[FHIR]).await;
    reply.assert_status(200);
    assert!(reply.body.len() < 9 << 20, "{} bytes", reply.body.len());
    let page = reply.json();
    let modes: Vec<&str> = page["entry"]
        .as_array()
        .expect("entries")
        .iter()
        .filter_map(|entry| entry["search"]["mode"].as_str())
        .collect();
    let count = |mode: &str| modes.iter().filter(|one| **one == mode).count();
    // Those of the synthetic record are small; that something was left out is told.
    assert!((5..12).contains(&count("include")), "{modes:?}");
    assert_eq!((count("match"), count("outcome")), (1, 1), "{modes:?}");
}
