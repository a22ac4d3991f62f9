//! `causeway report`: what partners asked for in a month, what became of it, and which requests were repetitions; and what is no month.

use crate::support::client::ALL_SCOPES;
use crate::support::desk::{decided, doubtful, only_review, place_of};
use crate::support::payer::TestPayer;
use causeway::synth::Variation;
use serde_json::json;

#[tokio::test]
async fn matches_reviews_and_repetitions_of_a_month_are_counted_by_partner() {
    let (payer, client) = TestPayer::start(6);
    let token = client.token(ALL_SCOPES).await;
    // Before the first act, so that the month is that of the acts.
    let last = payer.json_command(&["report"]);
    assert_eq!(
        (&last["is_over"], &last["total"]["figures"]["answered"]),
        (&json!(true), &json!(0))
    );
    let zone: chrono_tz::Tz = last["time_zone"]
        .as_str()
        .expect("a zone")
        .parse()
        .expect("a time zone");
    let month = chrono::Utc::now().with_timezone(&zone).format("%Y-%m").to_string();
    let request = payer.request(0, Variation::Exact).to_string();
    for _ in 0..3 {
        let reply = client
            .post_match(&token, request.clone(), &[("Idempotency-Key", "\"k-1\"")])
            .await;
        reply.assert_status(200);
    }
    let nobody = payer.request(2, Variation::UnknownPerson).to_string();
    client.post_match(&token, nobody, &[]).await.assert_status(422);
    let asked = client.post_match(&token, doubtful(&payer, 1, 3).to_string(), &[]).await;
    asked.assert_status(422);
    let review = only_review(&payer);
    let place = place_of(&payer, &review, 1);
    decided(&payer, &review, &["--confirm", &place], "ana");

    let report = payer.json_command(&[
        "report",
        "--month",
        &month,
        "--csv",
        "month.csv",
        "--html",
        "month.html",
    ]);
    let figures = &report["total"]["figures"];
    for (name, wanted) in [
        ("asked", 0),
        ("answered", 3),
        ("matched", 1),
        ("not_matched", 1),
        ("doubtful", 1),
        ("answered_in_time", 3),
        ("answered_late", 0),
        ("reviews", 1),
        ("reviews_confirmed", 1),
        ("duplicates", 2),
    ] {
        assert_eq!(figures[name], wanted, "{name}: {figures:#}");
    }
    assert!(figures["review_median_ms"].is_i64(), "{figures:#}");
    assert_eq!(report["partners"][0]["partner"], "new-payer");
    assert_eq!(report["partners"][0]["figures"], *figures);
    let csv = std::fs::read_to_string(payer.home().join("month.csv")).expect("a file");
    assert_eq!(csv.lines().count(), 5, "{csv}");
    let page = std::fs::read_to_string(payer.home().join("month.html")).expect("a file");
    assert!(page.contains("new-payer") && page.contains(&month), "{page}");
    for text in [csv, page] {
        assert!(!text.contains(&payer.member(0).patient_id), "a report names no member");
    }

    for (arguments, code) in [
        (vec!["report", "--month", "2999-01"], 2),
        (vec!["report", "--month", "2026-1"], 2),
        (vec!["report", "--month", "2026-13", "--csv", "never.csv"], 2),
        (vec!["report", "--partner", "nobody"], 1),
        (vec!["report", "--csv", "month.csv"], 3),
    ] {
        let output = payer.command(&arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert!(!payer.home().join("never.csv").exists(), "what failed leaves no file");
}
