//! Files of bulk jobs that may have something of an erased member go as a whole.

use crate::bulk::Bulk;
use serde_json::Value;

#[tokio::test]
async fn the_files_of_bulk_jobs_that_may_have_the_member_are_removed() {
    let bulk = Bulk::start().await;
    let status = bulk.begin("").await;
    let manifest = bulk.done(&status).await;
    let before = bulk.taken(&manifest).await;
    assert!(before.contains_key(&format!("Patient/{}", bulk.ids[0])));
    let runs = |of: &Bulk| std::fs::read_dir(of.payer.exports()).map_or(0, Iterator::count);
    assert_eq!(runs(&bulk), 1);
    let shares = format!("disclosed_share WHERE subject = '{}'", bulk.ids[0]);
    let before_erased = bulk.payer.count(&shares);
    let subject = format!("Patient/{}", bulk.ids[0]);
    let told: Value = bulk.payer.json_command(&[
        "audit",
        "erase-subject",
        &subject,
        "--reason",
        "recorded-in-error",
        "--legal-basis",
        "no-duty-to-keep",
        "--record",
    ]);
    assert_eq!(
        (&told["counts"]["bulk_jobs"], told["counts"]["file_shares"].as_i64()),
        (&Value::from(1), Some(before_erased))
    );
    assert_eq!(
        (runs(&bulk), bulk.payer.count("bulk_job"), bulk.payer.count("bulk_file")),
        (0, 0, 0)
    );
    assert_eq!(bulk.payer.count(&shares), 0);
    assert_eq!(bulk.send("GET", &status, &[]).await.status, 404);
    assert_eq!(bulk.payer.count("ledger_entry WHERE action = 'bulk.cancelled'"), 1);
    // The partner begins again, and gets the other member.
    let status = bulk.begin("").await;
    let manifest = bulk.done(&status).await;
    let after = bulk.taken(&manifest).await;
    assert!(!after.contains_key(&subject) && after.contains_key(&format!("Patient/{}", bulk.ids[1])));
}
