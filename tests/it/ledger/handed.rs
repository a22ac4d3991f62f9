//! The checkpoint that a payer hands to partners with its answers.

use super::store::{SOON, covered};
use crate::bulk::{ASYNC, Bulk};
use crate::support::client::Reply;
use crate::support::payer::TestPayer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway::audit::note::LogKey;
use causeway::synth::Variation;
use std::time::Duration;

const HEADER: &str = "x-causeway-checkpoint";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_matches_and_manifests_come_with_the_last_checkpoint() {
    let (mut payer, client) = TestPayer::prepare(4);
    payer.serve_with(&[SOON]);
    let told = covered(&payer);
    assert_eq!(payer.terminate(), Some(0), "{}", payer.log());
    // A server that starts again has it from its first answer on.
    payer.serve_with(&[SOON]);
    let key = payer.json_command(&["audit", "key"])["key"]
        .as_str()
        .and_then(LogKey::parse);
    let (key, least) = (key.expect("a key"), told["size"].as_u64().expect("a size"));
    let bulk = Bulk::matched(payer, client).await;
    let assert_handed = |reply: &Reply| {
        reply.assert_status(200);
        let note = STANDARD.decode(reply.header(HEADER)).expect("base64");
        let signed = key
            .open(&String::from_utf8(note).expect("text"))
            .expect("signed by the log");
        assert!(signed.size >= least, "{signed:?}");
    };
    let request = bulk.payer.request(0, Variation::Exact).to_string();
    assert_handed(&bulk.client.post_match(&bulk.token, request, &[]).await);
    let record = format!("/fhir/Patient/{}/$everything", bulk.ids[0]);
    for method in ["GET", "HEAD"] {
        assert_handed(&bulk.send(method, &record, &[]).await);
    }
    let status = bulk.begin("").await;
    bulk.done(&status).await;
    assert_handed(&bulk.send("GET", &status, &[]).await);
    for path in [format!("/fhir/Patient/{}", bulk.ids[0]), "/fhir/metadata".to_owned()] {
        let reply = bulk.send("GET", &path, &[]).await;
        reply.assert_status(200);
        assert_eq!(reply.header(HEADER), "", "{path}");
    }
    let refused = bulk.client.post_match(&bulk.token, "{}", &[]).await;
    assert_eq!((refused.status, refused.header(HEADER)), (400, ""));
    let kick_off = bulk.send("GET", "/fhir/Patient/$export", &[ASYNC]).await;
    assert_eq!((kick_off.status, kick_off.header(HEADER)), (202, ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_c01_a_partner_does_not_see_how_many_entries_its_question_makes() {
    let (mut payer, client) = TestPayer::prepare(4);
    payer.serve_with(&[SOON]);
    covered(&payer);
    assert_eq!(payer.terminate(), Some(0), "{}", payer.log());
    payer.serve_with(&[SOON]);
    let bulk = Bulk::matched(payer, client).await;
    let record = format!("/fhir/Patient/{}/$everything", bulk.ids[0]);
    let before = bulk.send("GET", &record, &[]).await.header(HEADER).to_owned();
    assert_ne!(before, "");
    covered(&bulk.payer);
    // Longer than the time between two looks at the store.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = bulk.send("GET", &record, &[]).await.header(HEADER).to_owned();
    assert_eq!(before, after, "the ledger has grown, and nobody can tell by how much");
}
