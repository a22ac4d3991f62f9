//! The checkpoint of a partner's ledger, which comes with its answers: kept with the exchange and with the bulk run, and not missed where
//! a partner has none.

use super::pair::{Pair, WAIT};
use super::two_payers::BothPayers;
use crate::ledger::store::covered;
use causeway::audit::note::LogKey;
use serde_json::Value;
use std::time::{Duration, Instant};

/// The exchange is shown with a checkpoint that the old payer signed.
#[track_caller]
fn assert_kept(both: &BothPayers, key: &LogKey, id: &str) {
    let shown = both.new.json_command(&["exchange", "show", id]);
    let came = &shown["partner_checkpoint"];
    let signed = key.open(came["note"].as_str().unwrap_or_else(|| panic!("{shown:#}")));
    let signed = signed.expect("signed by the old payer");
    assert_eq!(
        (came["origin"].as_str(), came["size"].as_u64()),
        (Some(signed.origin.as_str()), Some(signed.size))
    );
    let text = String::from_utf8(both.new.command(&["exchange", "show", id]).stdout).expect("text");
    let line = format!("their ledger {} entries of {}", signed.size, signed.origin);
    assert!(text.contains(&line), "{text}");
}

#[test]
fn an_exchange_and_a_bulk_run_keep_the_partners_checkpoint() {
    let mut both = BothPayers::start(2, "2.2");
    covered(&both.old);
    assert_eq!(both.old.terminate(), Some(0), "{}", both.old.log());
    both.old.serve();
    let key = both.old.json_command(&["audit", "key"])["key"]
        .as_str()
        .and_then(LogKey::parse);
    let key = key.expect("a key");
    both.import();
    let listed = both.new.json_command(&["exchange", "list"]);
    let received = listed
        .as_array()
        .expect("exchanges")
        .iter()
        .find(|one| one["phase"] == "completed");
    assert_kept(
        &both,
        &key,
        received.expect("one that came")["id"].as_str().expect("an id"),
    );

    let alone = both.enrolment(1, Some("2020-01-01T00:00:00Z"));
    std::fs::write(both.new.home().join("alone.json"), alone.to_string()).expect("a file");
    let started = both.new.json_command(&["exchange", "start", "alone.json"]);
    let id = started["id"].as_str().expect("an id");
    let began = Instant::now();
    while both.new.json_command(&["exchange", "show", id])["ended_at"].is_null() {
        assert!(began.elapsed() < WAIT, "{}", both.new.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_kept(&both, &key, id);
    let rows = both.new.count("partner_checkpoint WHERE partner_id = 'old'");
    assert!(rows >= 2, "one for the run and one for the exchange: {rows}");
}

#[test]
fn a_partner_without_a_ledger_is_asked_as_ever() {
    let pair = Pair::start("");
    let id = pair.ask();
    let shown = pair.ended(&id);
    pair.assert_whole(1, &shown, "no checkpoint came");
    assert_eq!(shown["partner_checkpoint"], Value::Null);
    assert_eq!(pair.payer.count("partner_checkpoint"), 0);
}
