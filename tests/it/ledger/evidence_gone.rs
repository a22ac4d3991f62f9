//! Evidence packets and what is erased: none is stored while a member is erased, and none outlives what it tells of.

use super::evidence::Served;
use super::store::SOON;
use crate::support::client::ALL_SCOPES;
use crate::support::desk::{BECAUSE, decided, doubtful, only_review};
use crate::support::payer::TestPayer;
use causeway::store::erasures::{self, DONE, ErasureRow, RUNNING};
use causeway::store::retention::due::EvidenceKind;
use causeway::store::retention::gone;
use causeway::store::schema::ledger_entry;
use causeway::store::{erased_correlations, evidence};
use diesel::prelude::*;
use serde_json::Value;
use std::time::{Duration, Instant};

fn id_of(told: &Value) -> String {
    told["id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_packet_is_stored_while_a_member_is_erased() {
    let served = Served::start().await;
    let mut db = served.payer.db();
    let erasure = ErasureRow {
        id: "e1".to_owned(),
        patient_id: None,
        with_record: 0,
        reason: "a test".to_owned(),
        legal_basis: None,
        operator: "ana".to_owned(),
        state: RUNNING.to_owned(),
        entry_id: "none".to_owned(),
        counts: "{}".to_owned(),
        begun_ms: 1,
        ended_ms: None,
    };
    let before = erasures::taken_out(&mut db).expect("read");
    assert!(!erasures::touched_since(&mut db, before).expect("read"));
    erasures::put(&mut db, &erasure).expect("begun");
    assert!(erasures::touched_since(&mut db, before).expect("read"));
    let (code, said) = served.stderr(&[
        "audit",
        "packet",
        &served.exchange,
        "--wait",
        "--within",
        "8",
        "--reason",
        "a test",
    ]);
    assert!(code != Some(0) && said.contains("EV-002"), "{code:?} {said}");
    assert_eq!(served.payer.count("evidence_piece"), 0);
    diesel::sql_query(format!("UPDATE erasure SET state = '{DONE}', ended_ms = 10"))
        .execute(&mut db)
        .expect("ended");
    assert!(erasures::touched_since(&mut db, before).expect("read"));
    let after = erasures::taken_out(&mut db).expect("read");
    assert!(!erasures::touched_since(&mut db, after).expect("read"));
    let began = Instant::now();
    while served.payer.count("evidence_packet WHERE state = 'made'") == 0 {
        assert!(began.elapsed() < Duration::from_secs(120), "{}", served.payer.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_correlation_id_is_in_no_packet_and_no_case_and_a_case_without_its_rows_is_packed_again() {
    let mut served = Served::start().await;
    let case = "Complaint 9";
    served
        .payer
        .json_command(&["evidence", "case", "open", case, "--reason", "a test"]);
    served
        .payer
        .json_command(&["evidence", "case", "add", case, &served.exchange, &served.correlation]);
    served.packet("correlation.tar", &["--correlation", &served.correlation]);
    served.packet("case.tar", &["--case", case]);
    assert_eq!(served.payer.terminate(), Some(0), "{}", served.payer.log());
    let mut db = served.payer.db();
    let own = served.correlation.clone();
    let found = evidence::correlations(&mut db).expect("read");
    assert!(found.contains(&own), "{found:?}");
    erased_correlations::close_correlations(&mut db, &[], std::slice::from_ref(&own)).expect("erased");
    for left in [
        format!("evidence_packet WHERE subject = '{own}'"),
        format!("evidence_case_item WHERE item = '{own}'"),
        "evidence_piece".to_owned(),
        "evidence_packet WHERE state = 'made'".to_owned(),
    ] {
        assert_eq!(served.payer.count(&left), 0, "{left}");
    }
    assert_eq!(served.payer.count("evidence_case_item"), 2, "the case has both still");
    // The exchange's own row goes when its time is over.
    diesel::sql_query(format!("DELETE FROM decision WHERE id = '{}'", served.exchange))
        .execute(&mut db)
        .expect("gone");
    served.payer.serve_with(&[SOON]);
    served.packet("again.tar", &["--case", case]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packet_goes_when_the_time_of_entries_about_its_member_is_over() {
    let mut served = Served::start().await;
    let id = id_of(&served.packet("member.tar", &["--member", &served.member]).1);
    assert_eq!(served.payer.terminate(), Some(0), "{}", served.payer.log());
    let mut db = served.payer.db();
    let about: Vec<String> = ledger_entry::table
        .filter(ledger_entry::subject.eq(&served.member))
        .filter(ledger_entry::subject_salt.is_not_null())
        .select(ledger_entry::id)
        .load(&mut db)
        .expect("entries");
    assert!(!about.is_empty());
    gone::delete(&mut db, EvidenceKind::Ledger, &about, 0).expect("deleted");
    let (code, said) = served.stderr(&["evidence", "get", &id, "--out", "gone.tar", "--reason", "a test"]);
    assert!(code == Some(1) && said.contains("EV-008"), "{code:?} {said}");
    assert_eq!(served.payer.count("evidence_piece"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_f06_why_a_review_of_an_erased_member_was_decided_is_in_no_packet() {
    let (mut payer, client) = TestPayer::prepare(6);
    payer.serve_with(&[SOON]);
    let token = client.token(ALL_SCOPES).await;
    let body = doubtful(&payer, 0, 3).to_string();
    client.post_match(&token, body, &[]).await.assert_status(422);
    decided(&payer, &only_review(&payer), &["--reject"], "ana");
    // No entry names the member: the match found nobody, and the rest is about the review.
    let ask = ["audit", "packet", "--from", "2020-01-01", "--reason", "a test", "--out"];
    for more in [&["plain.tar"][..], &["opened.tar", "--with-phi"]] {
        let told = payer.json_command(&[&ask[..], more].concat());
        assert_eq!(told["state"], "made", "{told}");
        let (bytes, why) = (std::fs::read(payer.home().join(more[0])), BECAUSE.as_bytes());
        let has_why = bytes.expect("a packet").windows(why.len()).any(|part| part == why);
        assert!(!has_why, "it stands beside the review alone: {more:?}");
    }
    let subject = format!("Patient/{}", payer.member(0).patient_id);
    let basis = ["--reason", "member-request", "--legal-basis", "state-law", "--record"];
    payer.json_command(&[&["audit", "erase-subject", &subject][..], &basis].concat());
    assert_eq!(payer.count("evidence_packet WHERE state = 'erased'"), 2);
    assert_eq!(payer.count("evidence_piece"), 0);
}
