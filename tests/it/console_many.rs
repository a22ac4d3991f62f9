//! Replays of many at once in the console: first what that would touch, then exactly those, as they were seen.

use crate::support::console::{Person, assert_refused, hidden};
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use serde_json::json;

/// A reason that would be markup in a page.
const WHY: &str = "case 9: <b>an audit</b>";
/// Later than any preview, UTC milliseconds.
const LATER_MS: i64 = 4_102_444_800_000;

/// Starts an exchange of ours about this member, and pauses it.
#[track_caller]
fn paused(payer: &TestPayer, member: u64) -> String {
    let wish = json!({
        "partner": "new-payer", "member": format!("Patient/{}", payer.member(member).patient_id), "other_member_number": format!("THEIRS-{member}"),
        "opt_in_by": "desk-4", "opt_in_at": "2026-01-02", "opt_in_how": "portal",
    });
    std::fs::write(payer.home().join("wish.json"), wish.to_string()).expect("a file");
    let started = payer.json_command(&["exchange", "start", "wish.json"]);
    let id = started["id"].as_str().expect("an id").to_owned();
    payer.json_command(&["exchange", "pause", &id, "--reason", "a test"]);
    id
}

#[tokio::test]
async fn many_are_replayed_after_a_preview_and_only_those_that_it_showed() {
    let (mut payer, _) = TestPayer::prepare(4);
    let ids = [0, 1, 2, 3].map(|member| paused(&payer, member));
    payer.serve();
    let mut person = Person::signed_in(&payer, "operator", "ana").await;
    let parked = person.follow("/console/parked").await.text();
    assert!(parked.contains("action=\"/console/parked/preview\""), "{parked}");
    let preview = person
        .follow("/console/parked/preview?partner=new-payer&fault=")
        .await
        .text();
    for part in ["4 exchanges", "EX-017", "Is it safe?", "Replay these 4"] {
        assert!(preview.contains(part), "{part}: {preview}");
    }
    assert!(ids.iter().all(|id| preview.contains(id.as_str())), "{preview}");
    let other = person.follow("/console/parked/preview?fault=PA-003").await.text();
    assert!(
        other.contains("0 exchanges") && !other.contains("Replay these"),
        "{other}"
    );
    assert_refused(
        &person.follow("/console/parked/preview?state=all").await,
        Fault::ParameterUnknown,
    );
    assert_eq!(
        payer.count("exchange WHERE parked_at_ms IS NOT NULL"),
        4,
        "nothing is changed yet"
    );

    let path = "/console/parked/replay";
    let seen_at = hidden(&preview, "seen_at");
    let seen_at = seen_at.as_str();
    for fields in [
        [("ids", ""), ("seen_at", seen_at), ("reason", WHY)],
        [("ids", "<b>"), ("seen_at", seen_at), ("reason", WHY)],
        [("ids", ids[0].as_str()), ("seen_at", seen_at), ("reason", " ")],
        [("ids", ids[0].as_str()), ("seen_at", "yesterday"), ("reason", WHY)],
        [("ids", ids[0].as_str()), ("seen_at", ""), ("reason", WHY)],
    ] {
        assert_refused(&person.act(path, &fields).await, Fault::ParameterInvalid);
    }
    // One has ended meanwhile, and no new one is run in its place. Another one was parked again: nobody has seen why.
    payer.json_command(&["exchange", "cancel", &ids[1], "--reason", "a test"]);
    payer.execute(&format!(
        "UPDATE exchange SET parked_at_ms = {LATER_MS} WHERE id = '{}'",
        ids[3]
    ));
    let exchanges = payer.count("exchange");
    let chosen = format!("{} {} {}", ids[0], ids[1], ids[3]);
    let fields = [("ids", chosen.as_str()), ("seen_at", seen_at), ("reason", WHY)];
    let done = person.act(path, &fields).await;
    done.assert_status(200);
    let text = done.text();
    for (outcome, times) in [("replayed", 1), ("left alone", 2)] {
        let shown = format!("data-of=\"Outcome\">{outcome}<");
        assert_eq!(text.matches(&shown).count(), times, "{outcome}: {text}");
    }
    assert_eq!(payer.count("exchange"), exchanges);
    for id in [&ids[2], &ids[3]] {
        let untouched = format!("exchange WHERE id = '{id}' AND parked_at_ms IS NOT NULL");
        assert_eq!(
            payer.count(&untouched),
            1,
            "what nobody chose, or saw as it is, stays parked"
        );
    }
    let noted = format!("operator_note n WHERE n.operator = 'ana' AND n.reason = '{WHY}'");
    assert_eq!(payer.count(&noted), 1, "the one that was replayed");
}

#[tokio::test]
async fn many_jobs_are_replayed_after_a_preview_by_kind() {
    let (payer, _) = TestPayer::start(1);
    let id = |number: i64| format!("01890000-0000-7000-8000-{number:012}");
    for (number, kind) in [(1, "of-a-test"), (2, "of-a-test"), (3, "of-another")] {
        payer.execute(&format!(
            "INSERT INTO job (id, kind, live_key, payload, state, priority, due_ms, lease_epoch, claims, attempts, last_class, parked_at_ms, \
             created_ms, updated_ms) VALUES ('{}', '{kind}', 'x{number}', '', 'parked', 1, 1, 0, 3, 3, 'no-such-class', 1, 1, 1)",
            id(number)
        ));
    }
    let mut person = Person::signed_in(&payer, "operator", "ana").await;
    assert!(
        person
            .follow("/console/parked")
            .await
            .text()
            .contains("Replay many jobs")
    );
    let preview = person.follow("/console/parked/jobs?kind=of-a-test").await.text();
    for part in ["2 of 2 parked jobs", "Replay these 2 jobs"] {
        assert!(preview.contains(part), "{part}: {preview}");
    }
    let has = |number: i64| preview.contains(&id(number));
    assert!(has(1) && has(2) && !has(3), "{preview}");
    let path = "/console/parked/jobs";
    assert_refused(
        &person.follow("/console/parked/jobs?state=all").await,
        Fault::ParameterUnknown,
    );
    let seen_at = hidden(&preview, "seen_at");
    let seen_at = seen_at.as_str();
    let first = id(1);
    for fields in [
        [("ids", " "), ("seen_at", seen_at), ("reason", WHY)],
        [("ids", first.as_str()), ("seen_at", seen_at), ("reason", "")],
        [("ids", first.as_str()), ("seen_at", ""), ("reason", WHY)],
    ] {
        assert_refused(&person.act(path, &fields).await, Fault::ParameterInvalid);
    }
    // One was parked again since.
    payer.execute(&format!(
        "UPDATE job SET parked_at_ms = {LATER_MS} WHERE id = '{}'",
        id(2)
    ));
    let chosen = format!("{first} {} {}", id(2), id(9));
    let fields = [("ids", chosen.as_str()), ("seen_at", seen_at), ("reason", WHY)];
    let done = person.act(path, &fields).await;
    done.assert_status(200);
    let text = done.text();
    assert_eq!(text.matches("data-of=\"Outcome\">replayed<").count(), 1, "{text}");
    assert_eq!(text.matches("data-of=\"Outcome\">left alone<").count(), 2, "{text}");
    assert_eq!(payer.count("ledger_entry WHERE action = 'job.replayed'"), 1);
    assert_eq!(
        payer.count(&format!("job WHERE id = '{}' AND state = 'parked'", id(3))),
        1
    );
}
