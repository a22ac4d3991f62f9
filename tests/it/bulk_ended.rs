//! Bulk exports that end otherwise than they began: members who withdrew, types that are left out, parked work, a suspended partner.

use crate::bulk::Bulk;
use crate::revoked_streams::ended;
use crate::support::client::Reply;
use crate::support::payer::TestPayer;
use crate::support::small_disk::SmallDisk;
use crate::support::wire::see_closed;
use causeway::error::Fault;
use causeway::synth::Variation;
use diesel::RunQueryDsl as _;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(120);

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
    // What is told apart from a time that is given anew.
    sql(
        &bulk,
        "UPDATE bulk_job SET expires_ms = (expires_ms / 10000000 + 1) * 10000000 + 7",
    );
    sql(
        &bulk,
        "UPDATE job SET due_ms = due_ms + 36000000 WHERE kind = 'bulk-end'",
    );
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
    let folder = bulk.payer.exports();
    let folder = folder.join(status.rsplit('/').next().expect("an id"));
    let left = names.filter(|name| folder.join(name).exists()).count();
    assert!(left <= urls.len() - refused, "what may not be given is removed");
    let manifest = bulk.done(&status).await;
    let kept = bulk.payer.count("bulk_job WHERE expires_ms % 10000000 = 7");
    assert_eq!(kept, 1, "what is written again is kept no longer for that");
    let looked = "job JOIN bulk_job ON live_key = bulk_job.id WHERE job.kind = 'bulk-end' AND due_ms <= expires_ms";
    assert_eq!(bulk.payer.count(looked), 1, "its end was called back");
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
    let status = bulk.begin_to_its_crash(&query).await;
    bulk.payer.end_leases();
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
    let failed = no_longer_accepted(&bulk, &status).await;
    failed.assert_outcome(Fault::BulkLate);
    let folder = bulk.payer.exports();
    let folder = folder.join(status.rsplit('/').next().expect("an id"));
    while folder.exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "its files are still there");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(bulk.payer.count("job WHERE kind = 'bulk-export'"), 0);
}

/// Asks the status address until the answer is no 202 any more.
async fn no_longer_accepted(bulk: &Bulk, status: &str) -> Reply {
    let began = Instant::now();
    loop {
        let reply = bulk.send("GET", status, &[]).await;
        if reply.status != 202 {
            return reply;
        }
        assert!(began.elapsed() < WAIT, "{}", bulk.payer.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn until(bulk: &Bulk, table: &str) {
    let began = Instant::now();
    while bulk.payer.count(table) == 0 {
        assert!(began.elapsed() < WAIT, "{table}: {}", bulk.payer.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn an_export_that_is_late_has_failed_at_its_deadline() {
    let (mut bulk, status) = stopped_at_its_plan("").await;
    // Its work is due tomorrow: only the deadline can end it.
    sql(
        &bulk,
        "UPDATE job SET due_ms = 4102444800000, lease_token = NULL, lease_until_ms = NULL WHERE kind = 'bulk-export'",
    );
    sql(&bulk, "UPDATE bulk_job SET deadline_ms = 1");
    sql(&bulk, "UPDATE job SET due_ms = 0 WHERE kind = 'bulk-end'");
    bulk.payer.serve();
    see_closed().await;
    no_longer_accepted(&bulk, &status).await.assert_outcome(Fault::BulkLate);
    assert_eq!(bulk.payer.count("job WHERE kind = 'bulk-export'"), 0);
    assert_eq!(bulk.payer.count("bulk_piece"), 0);
    bulk.send("DELETE", &status, &[]).await.assert_status(202);
}

/// Whoever had the work ended, again and again. An operator sees that, and the job comes to its end.
#[tokio::test]
async fn an_export_whose_processes_crash_is_parked_shown_and_ended() {
    let (mut bulk, status) = stopped_at_its_plan("").await;
    sql(
        &bulk,
        "UPDATE job SET claims = 5, lease_token = NULL, lease_until_ms = NULL WHERE kind = 'bulk-export' AND live_key NOT LIKE '%/%'",
    );
    bulk.payer.serve();
    see_closed().await;
    until(&bulk, "job WHERE kind = 'bulk-export' AND state = 'parked'").await;
    let id = status.rsplit('/').next().expect("an id");
    bulk.send("GET", &status, &[]).await.assert_status(202);
    let parked = bulk.payer.json_command(&["jobs", "list", "--parked"]);
    let text = parked.to_string();
    assert!(
        text.contains("bulk-export") && text.contains("crash_loop") && text.contains("memory, signals"),
        "{text}"
    );
    let shown = bulk.payer.json_command(&["bulk", "show", id]);
    assert_eq!((&shown["state"], &shown["pieces_done"]), (&json!("running"), &json!(0)));
    let listed = bulk.payer.json_command(&["bulk", "list"]);
    assert_eq!(listed["items"][0]["state"], "running");
    sql(&bulk, "UPDATE job SET due_ms = 0 WHERE kind = 'bulk-end'");
    no_longer_accepted(&bulk, &status).await.assert_outcome(Fault::BulkLate);
    let shown = bulk.payer.json_command(&["bulk", "show", id]);
    assert_eq!(
        (&shown["state"], &shown["fault"]),
        (&json!("failed"), &json!(Fault::BulkLate.code()))
    );
}

/// What is on its way when its job is deleted comes whole, or is cut: never short without a word, and the ledger has its bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_while_its_job_is_deleted_is_in_the_ledger_with_its_bytes() {
    let bulk = Bulk::start().await;
    let status = bulk.begin("").await;
    let manifest = bulk.done(&status).await;
    let files = manifest["output"].as_array().expect("files");
    let sizes: Vec<(String, u64)> = files
        .iter()
        .map(|file| {
            let size = file["extension"]["bytes"].as_u64().expect("a length");
            (bulk.path(file["url"].as_str().expect("a URL")), size)
        })
        .collect();
    let downloads = sizes.iter().enumerate().map(|(at, (url, size))| {
        let bulk = &bulk;
        async move {
            let correlation = format!("while-deleted-{at}");
            let asked = bulk.client.http.get(format!("{}{url}", bulk.client.origin));
            let asked = asked
                .bearer_auth(&bulk.token)
                .header("x-correlation-id", correlation.as_str());
            let body = match asked.send().await {
                Ok(answer) if answer.status().as_u16() != 200 => {
                    return Reply::of(answer).await.assert_outcome(Fault::NotFound);
                }
                Ok(answer) => answer.bytes().await,
                Err(cut) => Err(cut),
            };
            let entry = ended(&bulk.payer, &correlation, WAIT);
            match body {
                Ok(whole) => {
                    assert_eq!(whole.len() as u64, *size, "{url}");
                    assert_eq!(entry["outcome"]["class"], "ok", "{entry}");
                }
                // On a busy machine the job may be gone before all is on its way.
                Err(cut) => assert_eq!(entry["outcome"]["class"], "failed", "{cut}: {entry}"),
            }
        }
    });
    let deletion = async {
        bulk.send("DELETE", &status, &[]).await.assert_status(202);
    };
    futures_util::future::join(futures_util::future::join_all(downloads), deletion).await;
    for (url, _) in &sizes {
        bulk.send("GET", url, &[]).await.assert_outcome(Fault::NotFound);
    }
    let begun = "ledger_entry WHERE action = 'disclosure.begun' AND correlation_id LIKE 'while-deleted-%'";
    let ends = begun.replace("begun", "completed");
    let began = Instant::now();
    while bulk.payer.count(begun) != bulk.payer.count(&ends) {
        assert!(began.elapsed() < WAIT, "a disclosure without its end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Files whose time is over are not given from that instant on, whenever they are removed.
#[tokio::test]
async fn t_d11_files_whose_time_is_over_are_not_given_and_are_removed() {
    let bulk = Bulk::start().await;
    let status = bulk.begin("?_type=Patient").await;
    let manifest = bulk.done(&status).await;
    let url = bulk.path(manifest["output"][0]["url"].as_str().expect("a URL"));
    bulk.send("GET", &url, &[]).await.assert_status(200);
    sql(&bulk, "UPDATE bulk_job SET expires_ms = 1");
    let left = || std::fs::read_dir(bulk.payer.exports()).map_or(0, Iterator::count);
    assert_eq!(left(), 1);
    for path in [&status, &url] {
        bulk.send("GET", path, &[]).await.assert_outcome(Fault::NotFound);
    }
    sql(&bulk, "UPDATE job SET due_ms = 0 WHERE kind = 'bulk-end'");
    for _ in 0..2_400 {
        if (left(), bulk.payer.count("bulk_job")) == (0, 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("they are still there: {}", bulk.payer.log());
}

/// No room in the middle of a piece: nothing of it stays, the job is tried again, and with room it comes to its end.
#[tokio::test]
async fn a_disk_that_is_full_in_the_middle_of_a_piece_loses_nothing() {
    let Some(disk) = SmallDisk::mount(4, "a piece without room is not tried") else {
        return;
    };
    let (mut payer, client) = TestPayer::prepare(4);
    let exports = format!("file:{}", disk.path().display());
    payer.serve_with(&[
        ("CAUSEWAY_EXPORTS__URL", exports.as_str()),
        ("CAUSEWAY_JOBS__POLL_SECONDS", "1"),
    ]);
    let bulk = Bulk::matched(payer, client).await;
    // Some files of a piece have room, and others have not.
    disk.fill(48 * 1024);
    let status = bulk.begin("").await;
    until(&bulk, "job WHERE kind = 'bulk-export' AND last_class = 'store'").await;
    // No other attempt begins while it is looked at what this one left.
    let of_export = "job WHERE kind = 'bulk-export'";
    let held = format!("{of_export} AND due_ms = 4102444800000 AND lease_until_ms IS NULL");
    let began = Instant::now();
    while bulk.payer.count(&held) < bulk.payer.count(of_export) {
        assert!(began.elapsed() < WAIT, "{}", bulk.payer.log());
        let hold = "UPDATE job SET due_ms = 4102444800000 WHERE kind = 'bulk-export' AND lease_until_ms IS NULL";
        bulk.payer.execute(hold);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bulk.send("GET", &status, &[]).await.assert_status(202);
    assert_eq!(bulk.payer.count("bulk_file"), 0, "no row without a file");
    let folder = disk.path().join(status.rsplit('/').next().expect("an id"));
    let left = std::fs::read_dir(&folder).expect("a folder").count();
    assert_eq!(left, 0, "no file without a row");
    disk.empty();
    sql(&bulk, "UPDATE job SET due_ms = 0 WHERE kind = 'bulk-export'");
    let manifest = bulk.done(&status).await;
    assert_eq!(bulk.taken(&manifest).await, bulk.everything(&bulk.ids).await);
    let rows = usize::try_from(bulk.payer.count("bulk_file")).expect("a count");
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), rows);
}

#[tokio::test]
async fn an_export_of_a_suspended_partner_fails_at_once() {
    let (mut bulk, _) = stopped_at_its_plan("").await;
    bulk.payer
        .json_command(&["partner", "suspend", "new-payer", "--reason", "a test"]);
    bulk.payer.serve();
    for _ in 0..1_200 {
        if bulk.payer.count("bulk_job WHERE state = 'failed'") == 1 {
            assert_eq!(bulk.payer.count("job WHERE kind = 'bulk-export'"), 0);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{}", bulk.payer.log());
}

#[tokio::test]
async fn who_joins_after_the_start_does_not_stand_for_who_left() {
    let bulk = Bulk::start().await;
    let status = bulk.begin("?_type=Patient").await;
    let manifest = bulk.done(&status).await;
    let request = bulk.payer.request(3, Variation::Exact);
    let (joined, _) = bulk.client.matched(&bulk.token, &request).await;
    sql(
        &bulk,
        "UPDATE bulk_piece SET first_key = '', last_key = 'zzzz' WHERE members > 0",
    );
    sql(
        &bulk,
        &format!("UPDATE grants SET created_ms = created_ms + 3600000 WHERE patient_id = '{joined}'"),
    );
    bulk.withdraw(&bulk.ids[1]);
    let url = bulk.path(manifest["output"][0]["url"].as_str().expect("a file"));
    bulk.send("GET", &url, &[]).await.assert_outcome(Fault::NotFound);
    let manifest = bulk.done(&status).await;
    let taken = bulk.taken(&manifest).await;
    assert_eq!(
        taken.into_keys().collect::<Vec<_>>(),
        [format!("Patient/{}", bulk.ids[0])]
    );
    let told = bulk.told(&manifest).await;
    assert!(told.contains("Members left out: 1."), "{told}");
}
