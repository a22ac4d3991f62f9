//! The receipt of an export: what it says, who may have it, and what the partner says of it; and the ids of a run at its addresses.

use crate::bulk::{ASYNC, Bulk, THIRD_NPI, send};
use crate::support::client::{ALL_SCOPES, Reply};
use causeway::error::Fault;
use causeway::secret::{hex, sha256};
use causeway_jose::{Algorithm, Compact, KeySet, SigningKey};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

const JSON: (&str, &str) = ("content-type", "application/json");
const JOSE: (&str, &str) = ("content-type", "application/jose");

impl Bulk {
    /// Path, digest and claims of the receipt that a manifest names, verified with the published keys.
    async fn receipt(&self, manifest: &Value) -> (String, String, Value) {
        let named = &manifest["extension"]["receipt"];
        let path = self.path(named["url"].as_str().expect("a URL"));
        let reply = self.send("GET", &path, &[]).await;
        reply.assert_status(200);
        assert_eq!(reply.header("content-type"), "application/jose");
        assert_eq!(named["sha256"], hex(&sha256(&reply.body)).as_str());
        let keys = self.client.send("GET", "/fhir/.well-known/jwks.json", &[], "").await;
        keys.assert_status(200);
        let keys = KeySet::parse(&keys.body).expect("keys");
        let text = reply.text();
        let compact = Compact::parse(&text, 1 << 20).expect("compact");
        assert_eq!(compact.header["typ"], "causeway-receipt+jws");
        let key = keys
            .find(compact.header["kid"].as_str().expect("an id"))
            .expect("published");
        assert!(compact.is_signed_by(key, Algorithm::Es384));
        let digest = named["sha256"].as_str().expect("a digest").to_owned();
        (path, digest, Value::Object(compact.claims))
    }

    /// The numbers of each member, by reference.
    async fn members(&self, claims: &Value) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        for file in claims["members"]["files"].as_array().expect("files") {
            let reply = self
                .send("GET", &self.path(file["url"].as_str().expect("a URL")), &[])
                .await;
            reply.assert_status(200);
            assert_eq!(reply.header("content-type"), "application/x-ndjson");
            assert_eq!(
                (&file["bytes"], &file["sha256"]),
                (&json!(reply.body.len()), &json!(hex(&sha256(&reply.body))))
            );
            for line in reply.text().lines() {
                let line: Value = serde_json::from_str(line).expect("JSON");
                all.insert(
                    line["patient"].as_str().expect("a reference").to_owned(),
                    line["resources"].clone(),
                );
            }
        }
        assert_eq!(claims["members"]["count"], all.len());
        all
    }

    async fn answer(&self, path: &str, kind: (&str, &str), body: &str) -> Reply {
        send(&self.client, &self.token, "POST", path, &[kind], body).await
    }
}

fn by_type(names: impl Iterator<Item = String>) -> Value {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for name in names {
        let rtype = name.split('/').next().expect("a type").to_owned();
        *counts.entry(rtype).or_default() += 1;
    }
    json!(counts)
}

#[tokio::test]
async fn a_receipt_says_what_an_export_has_and_what_the_partner_says_of_it_is_kept_once() {
    let bulk = Bulk::start().await;
    let status = bulk.begin("").await;
    let early = bulk.send("GET", &format!("{status}/receipt"), &[]).await;
    if early.status != 200 {
        early.assert_outcome(Fault::NotFound);
    }
    let manifest = bulk.done(&status).await;
    let (path, digest, claims) = bulk.receipt(&manifest).await;
    assert_eq!((&claims["aud"], &claims["version"]), (&json!("new-payer"), &json!(1)));
    assert_eq!(claims["iss"], format!("{}/fhir", bulk.client.origin));
    assert!(status.ends_with(claims["job"].as_str().expect("an id")));
    assert_eq!(
        (&claims["request"], &claims["transactionTime"]),
        (&manifest["request"], &manifest["transactionTime"])
    );
    assert_eq!(claims["leftOut"], json!([]));
    for policy in ["release", "releaseSha256", "consent", "gate"] {
        assert!(claims["policies"][policy].is_string(), "{policy}");
    }
    let files = claims["files"].as_array().expect("files");
    let output = manifest["output"].as_array().expect("files");
    assert_eq!(files.len(), output.len());
    for (file, named) in files.iter().zip(output) {
        assert!(
            named["url"]
                .as_str()
                .expect("a URL")
                .ends_with(file["name"].as_str().expect("a name"))
        );
        for (own, theirs) in [("type", &named["type"]), ("count", &named["count"])] {
            assert_eq!(&file[own], theirs);
        }
        for both in ["bytes", "sha256"] {
            assert_eq!(file[both], named["extension"][both]);
        }
    }
    let taken = bulk.taken(&manifest).await;
    assert_eq!(claims["resources"], by_type(taken.keys().cloned()));
    let members = bulk.members(&claims).await;
    let wanted: Vec<String> = bulk.ids.iter().map(|id| format!("Patient/{id}")).collect();
    assert!(
        members.len() == 2 && wanted.iter().all(|name| members.contains_key(name)),
        "{members:?}"
    );
    assert!(members.values().all(|counts| counts["Patient"] == 1));
    let sum = |rtype: &str| {
        members
            .values()
            .filter_map(|counts| counts[rtype].as_i64())
            .sum::<i64>()
    };
    assert_eq!(claims["resources"]["Condition"].as_i64().unwrap_or(0), sum("Condition"));

    // Nobody else finds it, or answers it.
    let other = bulk.payer.register("third", THIRD_NPI, "https://third.example/fhir");
    let token = other.token(ALL_SCOPES).await;
    let complete = json!({"receipt": digest, "result": "complete"}).to_string();
    send(&other, &token, "GET", &path, &[], "")
        .await
        .assert_outcome(Fault::NotFound);
    send(&other, &token, "POST", &path, &[JSON], &complete)
        .await
        .assert_outcome(Fault::NotFound);
    bulk.client
        .send("POST", &path, &[JSON], complete.clone())
        .await
        .assert_outcome(Fault::TokenMissing);

    // What is no answer is refused, and nothing of it is kept.
    let key = SigningKey::from_jwk(&bulk.client.key.private_jwk()).expect("a key");
    let strange = SigningKey::generate(Algorithm::Es384, key.kid()).expect("a key");
    let header = json!({"alg": "ES384", "kid": key.kid(), "typ": "causeway-acknowledgement+jws"});
    let said: Value = serde_json::from_str(&complete).expect("JSON");
    let forged = strange.sign(&header, &said).expect("signed");
    let other_type = key.sign(&key.header(), &said).expect("signed");
    let of_other = json!({"receipt": "0".repeat(64), "result": "complete"}).to_string();
    let named = json!({"receipt": digest, "result": "incomplete", "missing": {"who": "Jane"}}).to_string();
    for (kind, body, fault) in [
        (
            ("content-type", "text/plain"),
            complete.as_str(),
            Fault::MediaTypeRefused,
        ),
        (JSON, "{", Fault::NotJson),
        (JSON, &named, Fault::ParameterInvalid),
        (JSON, &of_other, Fault::ReceiptAnswered),
        (JOSE, &complete, Fault::ParameterInvalid),
        (JOSE, &forged, Fault::ParameterInvalid),
        (JOSE, &other_type, Fault::ParameterInvalid),
    ] {
        bulk.answer(&path, kind, body).await.assert_outcome(fault);
    }
    assert_eq!(bulk.payer.count("bulk_acknowledgement"), 0);
    assert_eq!(bulk.payer.count("ledger_entry WHERE action = 'bulk.acknowledged'"), 0);

    // A result that is not whole yet, then the whole one, each kept once.
    let part = json!({"receipt": digest, "result": "incomplete", "missing": {"files": 1, "resources": {"Goal": 2}}});
    let first = bulk.answer(&path, JSON, &part.to_string()).await;
    first.assert_status(200);
    assert_eq!(
        (&first.json()["missing"], &first.json()["receipt"]),
        (&part["missing"], &part["receipt"])
    );
    let signed = key.sign(&header, &said).expect("signed");
    let second = bulk.answer(&path, JOSE, &signed).await;
    second.assert_status(200);
    assert!(second.json()["acknowledged"].is_string() && second.json()["result"] == "complete");
    for (kind, body, before) in [
        (JOSE, signed.as_str(), &second),
        (JSON, &complete, &second),
        (JSON, &part.to_string(), &first),
    ] {
        let again = bulk.answer(&path, kind, body).await;
        again.assert_status(200);
        assert_eq!(again.text(), before.text());
    }
    let later = json!({"receipt": digest, "result": "incomplete"}).to_string();
    bulk.answer(&path, JSON, &later)
        .await
        .assert_outcome(Fault::ReceiptAnswered);
    assert_eq!(bulk.payer.count("bulk_acknowledgement"), 2);
    assert_eq!(bulk.payer.count("ledger_entry WHERE action = 'bulk.acknowledged'"), 2);

    // An operator sees it, also when the partner has deleted the export.
    let id = status.rsplit('/').next().expect("an id");
    let shown = bulk.payer.json_command(&["bulk", "show", id]);
    assert_eq!(
        (&shown["state"], &shown["acknowledged"]),
        (&json!("done"), &json!("complete"))
    );
    let kept = &shown["acknowledgements"];
    assert_eq!(
        (&kept[0]["missing"]["files"], &kept[1]["signed_by"]),
        (&json!(1), &json!(key.kid()))
    );
    bulk.send("DELETE", &status, &[]).await.assert_status(202);
    bulk.answer(&path, JSON, &complete)
        .await
        .assert_outcome(Fault::NotFound);
    let folder = bulk.payer.exports().join(id);
    for _ in 0..2_400 {
        if !folder.exists() {
            let listed = bulk.payer.json_command(&["bulk", "list"]);
            let job = &listed["items"][0];
            assert_eq!(
                (&job["state"], &job["acknowledged"]),
                (&json!("cancelled"), &json!("complete"))
            );
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("its files are still there: {}", bulk.payer.log());
}

/// Each answer has a place of its own, also those that come at once.
#[tokio::test]
async fn answers_to_a_receipt_that_come_at_once_are_all_kept_and_the_same_one_once() {
    let bulk = Bulk::start().await;
    let status = bulk.begin("?_type=Patient").await;
    let manifest = bulk.done(&status).await;
    let (path, digest, _) = bulk.receipt(&manifest).await;
    let incomplete =
        |files: usize| json!({"receipt": digest, "result": "incomplete", "missing": {"files": files}}).to_string();
    let complete = json!({"receipt": digest, "result": "complete"}).to_string();
    let different: Vec<String> = (1..=12).map(incomplete).collect();
    let mut kept = 0;
    for bodies in [different, vec![incomplete(13); 12], vec![complete; 12]] {
        let asking = bodies.iter().map(|body| bulk.answer(&path, JSON, body));
        for reply in futures_util::future::join_all(asking).await {
            reply.assert_status(200);
        }
        kept += bodies.iter().collect::<std::collections::BTreeSet<_>>().len();
        let rows = usize::try_from(bulk.payer.count("bulk_acknowledgement")).expect("a count");
        assert_eq!(rows, kept);
    }
}

#[tokio::test]
async fn who_withdraws_is_in_no_receipt_and_the_old_one_cannot_be_answered() {
    let bulk = Bulk::start().await;
    let status = bulk.begin("?_type=Patient,Condition").await;
    let manifest = bulk.done(&status).await;
    let (path, digest, claims) = bulk.receipt(&manifest).await;
    let list = bulk.path(claims["members"]["files"][0]["url"].as_str().expect("a URL"));
    let gone = format!("Patient/{}", bulk.ids[1]);
    let consents = bulk.payer.json_command(&["consent", "list"]);
    let mut theirs = consents.as_array().expect("a list").iter();
    let theirs = theirs
        .find(|one| one.to_string().contains(&bulk.ids[1]))
        .expect("theirs");
    let id = theirs["id"].as_str().expect("an id");
    bulk.payer
        .json_command(&["consent", "revoke", id, "--reason", "a letter"]);

    bulk.send("GET", &list, &[]).await.assert_outcome(Fault::NotFound);
    let manifest = bulk.done(&status).await;
    let (_, newer, claims) = bulk.receipt(&manifest).await;
    assert_ne!(digest, newer);
    assert_eq!(claims["leftOut"], json!([{"rule": "access-after", "members": 1}]));
    let members = bulk.members(&claims).await;
    assert!(members.len() == 1 && !members.contains_key(&gone), "{members:?}");
    assert_eq!(
        claims["files"].as_array().expect("files").last().expect("one")["type"],
        "OperationOutcome"
    );
    let old = json!({"receipt": digest, "result": "complete"}).to_string();
    bulk.answer(&path, JSON, &old)
        .await
        .assert_outcome(Fault::ReceiptAnswered);
    let new = json!({"receipt": newer, "result": "complete"}).to_string();
    bulk.answer(&path, JSON, &new).await.assert_status(200);
}

#[tokio::test]
async fn the_addresses_of_a_run_answer_the_id_of_its_start_unless_the_request_has_its_own() {
    let bulk = Bulk::start().await;
    let headers = [ASYNC, ("x-correlation-id", "run-of-november")];
    let begun = bulk.send("GET", "/fhir/Patient/$export?_type=Patient", &headers).await;
    begun.assert_status(202);
    let status = bulk.path(begun.header("content-location"));
    let manifest = bulk.done(&status).await;
    let file = bulk.path(manifest["output"][0]["url"].as_str().expect("a URL"));
    let receipt = format!("{status}/receipt");
    for path in [&status, &file, &receipt] {
        let reply = bulk.send("GET", path, &[]).await;
        reply.assert_status(200);
        assert_eq!(reply.header("x-correlation-id"), "run-of-november", "{path}");
        assert_ne!(reply.header("x-request-id"), "run-of-november");
        let own = bulk.send("GET", path, &[("x-correlation-id", "mine")]).await;
        assert_eq!(own.header("x-correlation-id"), "mine", "{path}");
    }
    let complete = json!({"receipt": manifest["extension"]["receipt"]["sha256"], "result": "complete"}).to_string();
    let kept = bulk.answer(&receipt, JSON, &complete).await;
    assert_eq!(kept.header("x-correlation-id"), "run-of-november");
    let known = bulk.payer.ledger("run-of-november");
    for action in ["disclosure.begun", "bulk.acknowledged"] {
        assert!(known.iter().any(|one| one == action), "{known:?}");
    }
    let deleted = bulk.send("DELETE", &status, &[]).await;
    deleted.assert_status(202);
    assert_eq!(deleted.header("x-correlation-id"), "run-of-november");
    let after = bulk.send("GET", &status, &[]).await;
    assert_ne!(
        after.header("x-correlation-id"),
        "run-of-november",
        "it is not there any more"
    );
}

#[tokio::test]
async fn a_whole_file_is_packed_when_the_request_accepts_it_and_a_part_never_is() {
    let bulk = Bulk::start().await;
    let status = bulk.begin("").await;
    let manifest = bulk.done(&status).await;
    let files = manifest["output"].as_array().expect("files").iter();
    let largest = files
        .max_by_key(|file| file["extension"]["bytes"].as_u64())
        .expect("a file");
    let url = bulk.path(largest["url"].as_str().expect("a URL"));
    let whole = bulk.send("GET", &url, &[]).await;
    assert_eq!(
        (
            whole.header("content-encoding"),
            whole.header("vary").contains("Accept-Encoding")
        ),
        ("", true)
    );
    let headers = [("accept-encoding", "br, gzip;q=0.5"), ("x-correlation-id", "packed-1")];
    let packed = bulk.send("GET", &url, &headers).await;
    packed.assert_status(200);
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert_ne!(packed.header("etag"), whole.header("etag"));
    assert!(
        packed.body.len() < whole.body.len() / 2,
        "{} of {}",
        packed.body.len(),
        whole.body.len()
    );
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..])
        .read_to_end(&mut unpacked)
        .expect("gzip");
    assert_eq!(unpacked, whole.body);
    let zstd = bulk.send("GET", &url, &[("accept-encoding", "gzip;q=0.5, zstd")]).await;
    assert_eq!(zstd.header("content-encoding"), "zstd");
    assert!(![whole.header("etag"), packed.header("etag")].contains(&zstd.header("etag")));
    assert!(zstd.body.len() < whole.body.len() / 2, "{}", zstd.body.len());
    let (mut rest, mut unpacked) = (&zstd.body[..], Vec::new());
    while !rest.is_empty() {
        let mut frame = ruzstd::decoding::StreamingDecoder::new(&mut rest).expect("a frame");
        frame.read_to_end(&mut unpacked).expect("zstd");
    }
    assert_eq!(unpacked, whole.body);
    for headers in [
        &[("accept-encoding", "gzip"), ("range", "bytes=5-9")][..],
        &[("accept-encoding", "zstd"), ("range", "bytes=5-9")],
        &[("accept-encoding", "gzip;q=0")],
    ] {
        let plain = bulk.send("GET", &url, headers).await;
        assert_eq!(plain.header("content-encoding"), "", "{headers:?}");
    }
    let head = bulk.send("HEAD", &url, &[("accept-encoding", "gzip")]).await;
    head.assert_status(200);
    bulk.payer
        .await_ledger(
            "packed-1",
            &[
                "disclosure.begun",
                "disclosure.begun",
                "disclosure.completed",
                "disclosure.completed",
            ],
        )
        .await;
}
