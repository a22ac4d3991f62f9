//! Bulk exports that end otherwise than they began: members who withdrew, types that are left out, parked work, a suspended partner.

use crate::bulk::Bulk;
use crate::support::payer::TestPayer;
use crate::support::wire::see_closed;
use causeway::error::Fault;
use diesel::RunQueryDsl as _;
use serde_json::Value;
use std::time::{Duration, Instant};

#[tokio::test]
async fn who_withdraws_after_the_start_is_in_no_file_that_is_given() {
    let bulk = Bulk::start().await;
    let status = bulk.begin("").await;
    let manifest = bulk.done(&status).await;
    let urls: Vec<String> = manifest["output"]
        .as_array()
        .expect("files")
        .iter()
        .map(|file| bulk.path(file["url"].as_str().expect("a URL")))
        .collect();
    let gone = &bulk.ids[1];
    let consents = bulk.payer.json_command(&["consent", "list"]);
    let theirs = consents.as_array().expect("a list").iter();
    let theirs = theirs
        .filter(|one| one.to_string().contains(gone.as_str()))
        .collect::<Vec<_>>();
    let id = theirs[0]["id"].as_str().expect("an id");
    bulk.payer
        .json_command(&["consent", "revoke", id, "--reason", "a letter"]);

    let mut refused = 0;
    for url in &urls {
        let reply = bulk.send("GET", url, &[]).await;
        assert!(!reply.text().contains(gone.as_str()), "{url}");
        refused += usize::from(reply.status == 404);
    }
    assert!(refused > 0, "the files with that member");
    let names = urls.iter().filter_map(|url| url.rsplit('/').next());
    let folder = bulk.payer.home().join("exports");
    let folder = folder.join(status.rsplit('/').next().expect("an id"));
    let left = names.filter(|name| folder.join(name).exists()).count();
    assert!(left <= urls.len() - refused, "what may not be given is removed");
    let manifest = bulk.done(&status).await;
    let taken = bulk.taken(&manifest).await;
    assert_eq!(taken, bulk.everything(&bulk.ids[..1]).await);
    let told = bulk.path(manifest["error"][0]["url"].as_str().expect("a file"));
    let told = bulk.send("GET", &told, &[]).await.text();
    assert!(
        told.contains("Members left out: 1.") && !told.contains(gone.as_str()),
        "{told}"
    );
}

impl Bulk {
    /// Ends the consent of a member.
    fn withdraw(&self, id: &str) {
        let consents = self.payer.json_command(&["consent", "list"]);
        let mut all = consents.as_array().expect("a list").iter();
        let theirs = all.find(|one| one.to_string().contains(id)).expect("a consent");
        let consent = theirs["id"].as_str().expect("an id");
        self.payer
            .json_command(&["consent", "revoke", consent, "--reason", "a letter"]);
    }

    /// What the error files of a manifest say.
    async fn told(&self, manifest: &Value) -> String {
        let mut all = String::new();
        for file in manifest["error"].as_array().expect("files") {
            let reply = self
                .send("GET", &self.path(file["url"].as_str().expect("a URL")), &[])
                .await;
            reply.assert_status(200);
            all.push_str(&reply.text());
        }
        all
    }
}

/// A payer whose server ended when the first export was planned, and the status address of that export.
async fn stopped_at_its_plan(query: &str) -> (Bulk, String) {
    let (mut payer, client) = TestPayer::prepare(4);
    payer.serve_with(&[("CAUSEWAY_FAILPOINT", "bulk.planned")]);
    let mut bulk = Bulk::matched(payer, client).await;
    let query = query.replace("{0}", &bulk.ids[0]).replace("{1}", &bulk.ids[1]);
    let status = bulk.begin(&query).await;
    bulk.payer.await_end(Duration::from_secs(30));
    (bulk, status)
}

fn sql(bulk: &Bulk, text: &str) {
    let changed = diesel::sql_query(text).execute(&mut bulk.payer.db()).expect("changed");
    assert!(changed > 0, "{text}");
}

/// Which organizations and practitioners come tells of the members whose records name them.
#[tokio::test]
async fn shared_resources_are_not_given_after_a_member_withdrew() {
    let bulk = Bulk::start().await;
    let status = bulk.begin("").await;
    let manifest = bulk.done(&status).await;
    let files = manifest["output"].as_array().expect("files");
    let shared = files
        .iter()
        .find(|file| file["type"] == "Organization")
        .expect("a file");
    let url = bulk.path(shared["url"].as_str().expect("a URL"));
    bulk.send("GET", &url, &[]).await.assert_status(200);
    bulk.withdraw(&bulk.ids[1]);
    bulk.send("GET", &url, &[]).await.assert_outcome(Fault::NotFound);
    let manifest = bulk.done(&status).await;
    assert_eq!(bulk.taken(&manifest).await, bulk.everything(&bulk.ids[..1]).await);
    assert!(bulk.told(&manifest).await.contains("Members left out: 1."));
}

#[tokio::test]
async fn a_type_that_the_token_does_not_cover_is_told() {
    let mut bulk = Bulk::start().await;
    bulk.token = bulk.client.token("system/Patient.rs").await;
    let status = bulk.begin("?_type=Patient,Condition").await;
    let manifest = bulk.done(&status).await;
    assert_eq!(manifest["output"].as_array().map(Vec::len), Some(1));
    let told = bulk.told(&manifest).await;
    assert!(told.contains("The type Condition was left out"), "{told}");
}

#[tokio::test]
async fn a_member_who_withdraws_before_the_plan_is_told_of() {
    let (mut bulk, status) = stopped_at_its_plan("?_type=Patient&patient=Patient/{0}&patient=Patient/{1}").await;
    sql(&bulk, "DELETE FROM bulk_piece");
    sql(&bulk, "UPDATE bulk_job SET state = 'waiting', pieces = 0");
    bulk.withdraw(&bulk.ids[1]);
    bulk.payer.serve();
    see_closed().await;
    let manifest = bulk.done(&status).await;
    assert_eq!(bulk.taken(&manifest).await.len(), 1);
    let told = bulk.told(&manifest).await;
    assert!(told.contains("Members left out: 1."), "{told}");
}

/// Work that was parked does not leave its export at 202 for a day.
#[tokio::test]
async fn an_export_whose_work_is_parked_has_failed() {
    let (mut bulk, status) = stopped_at_its_plan("").await;
    sql(
        &bulk,
        "UPDATE job SET state = 'parked', lease_token = NULL, lease_until_ms = NULL WHERE kind = 'bulk-export'",
    );
    sql(&bulk, "UPDATE job SET due_ms = 0 WHERE kind = 'bulk-end'");
    bulk.payer.serve();
    see_closed().await;
    let began = Instant::now();
    let failed = loop {
        let reply = bulk.send("GET", &status, &[]).await;
        if reply.status != 202 {
            break reply;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{}", bulk.payer.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    failed.assert_outcome(Fault::BulkLate);
    let folder = bulk.payer.home().join("exports");
    let folder = folder.join(status.rsplit('/').next().expect("an id"));
    while folder.exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "its files are still there");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(bulk.payer.count("job WHERE kind = 'bulk-export'"), 0);
}

#[tokio::test]
async fn an_export_of_a_suspended_partner_fails_at_once() {
    let (mut bulk, _) = stopped_at_its_plan("").await;
    bulk.payer
        .json_command(&["partner", "suspend", "new-payer", "--reason", "a test"]);
    bulk.payer.serve();
    // On PostgreSQL the lease of the process that died has to end first, which takes a minute.
    for _ in 0..2_400 {
        if bulk.payer.count("bulk_job WHERE state = 'failed'") == 1 {
            assert_eq!(bulk.payer.count("job WHERE kind = 'bulk-export'"), 0);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{}", bulk.payer.log());
}
