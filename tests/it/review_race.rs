//! The review queue under pressure: a decision while the same is asked, and operators who do anything in any order.

use crate::support::client::ALL_SCOPES;
use crate::support::desk::{BECAUSE, Desk, doubtful, only_review, place_of, verdict};
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::synth::Variation;
use serde_json::{Value, json};

#[tokio::test]
async fn a_review_decided_while_the_same_request_is_repeated_gives_one_outcome() {
    let (payer, client) = TestPayer::start(8);
    let token = client.token(ALL_SCOPES).await;
    let desks = [
        Desk::of(&payer, &client, "reviewer"),
        Desk::of(&payer, &client, "reviewer"),
    ];
    for (round, (index, card_of)) in [(0u64, 3u64), (2, 5), (4, 0), (6, 3)].into_iter().enumerate() {
        let body = doubtful(&payer, index, card_of).to_string();
        // The first of many at once opens it; the others find it.
        let asked = futures_util::future::join_all((0..8).map(|_| client.post_match(&token, body.clone(), &[]))).await;
        for told in asked {
            told.assert_outcome(Fault::NoUniqueMember);
        }
        let id = only_review(&payer);
        let place = place_of(&payer, &id, index);
        let ask = |at: u64| {
            let (client, token, body) = (&client, &token, body.clone());
            async move {
                tokio::time::sleep(std::time::Duration::from_millis(at % 12)).await;
                client.post_match(token, body, &[]).await
            }
        };
        let (confirm, reject) = (
            verdict("confirm", &json!(place), "ana"),
            verdict("reject", &Value::Null, "ben"),
        );
        let (told, first, second) = tokio::join!(
            futures_util::future::join_all((0..24).map(ask)),
            desks[round % 2].decide(&id, &confirm),
            desks[(round + 1) % 2].decide(&id, &reject),
        );
        let statuses = [first.status, second.status];
        assert!(
            statuses == [200, 409] || statuses == [409, 200],
            "one of two decides: {statuses:?}"
        );
        let confirmed = first.status == 200;
        for one in &told {
            assert!(one.status == 422 || (one.status == 200 && confirmed), "{}", one.text());
        }
        // From the decision on there is one answer.
        for _ in 0..3 {
            let after = client.post_match(&token, body.clone(), &[]).await;
            assert_eq!(after.status, if confirmed { 200 } else { 422 }, "{}", after.text());
        }
        let patient = payer.member(index).patient_id;
        let grants = payer.count(&format!("grants WHERE patient_id = '{patient}'"));
        assert_eq!(grants, i64::from(confirmed));
        assert_eq!(payer.count("review"), i64::try_from(round).expect("small") + 1);
        assert_eq!(
            payer.count(&format!("review WHERE id = '{id}' AND asked_count = 35")),
            1
        );
        assert_eq!(payer.count(&format!("review_act WHERE review_id = '{id}'")), 1);
    }
    assert_eq!(payer.count("ledger_entry WHERE action = 'review.opened'"), 4);
    assert_eq!(payer.count("ledger_entry WHERE action = 'review.decided'"), 4);
}

/// What is left of a number below `n`, for a walk that can be walked again.
fn pick(state: &mut u64, n: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % n
}

#[tokio::test]
async fn whatever_operators_do_nothing_live_stands_on_a_doubt() {
    let seed = std::env::var("CAUSEWAY_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("CAUSEWAY_TEST_SEED={seed}");
    let mut state = seed;
    let (payer, client) = TestPayer::start(6);
    let token = client.token(ALL_SCOPES).await;
    let desk = Desk::of(&payer, &client, "reviewer");
    let questions = [
        payer.request(0, Variation::Exact).to_string(),
        doubtful(&payer, 0, 3).to_string(),
        doubtful(&payer, 2, 5).to_string(),
    ];
    let (mut matched, mut held) = (0, 0);
    for step in 0..60 {
        match pick(&mut state, 10) {
            0..=4 => {
                let body = questions[usize::try_from(pick(&mut state, 3)).expect("small")].clone();
                let told = client.post_match(&token, body, &[]).await;
                if told.status == 200 {
                    matched += 1;
                    let at = told.json();
                    let reference = at["parameter"][1]["valueReference"]["reference"]
                        .as_str()
                        .expect("MemberId");
                    client.get(&token, reference).await.assert_status(200);
                } else {
                    told.assert_outcome(Fault::NoUniqueMember);
                    held += 1;
                }
            }
            5..=7 => {
                let all = desk.get("reviews?state=all").await.json();
                let all = all["items"].as_array().expect("items").clone();
                if !all.is_empty() {
                    let at = usize::try_from(pick(&mut state, 50)).expect("small") % all.len();
                    let word =
                        ["confirm", "reject", "defer", "reopen"][usize::try_from(pick(&mut state, 4)).expect("small")];
                    let id = all[at]["id"].as_str().expect("an id");
                    let done = desk.decide(id, &verdict(word, &json!(1), "ana")).await;
                    assert!(matches!(done.status, 200 | 409), "{word}: {}", done.text());
                }
            }
            8 => {
                let links = payer.json_command(&["link", "list", "--state", "confirmed"]);
                if let Some(id) = links[0]["id"].as_str() {
                    let dispute = ["review", "dispute", id, "--operator", "ana", "--reason", BECAUSE];
                    assert!(payer.command(&dispute).status.success());
                }
            }
            _ => {
                let patient = payer.member(0).patient_id;
                let graph = payer.json_command(&["link", "graph", &patient, "--reason", BECAUSE]);
                let last = graph["steps"].as_array().and_then(|steps| steps.last());
                if let Some(id) = last.and_then(|step| step["id"].as_str()) {
                    // A step of a review is refused; any other is taken back.
                    payer.command(&["link", "take-back", id, "--operator", "ana", "--reason", BECAUSE]);
                }
            }
        }
        let live_on_doubt = "grants g JOIN identity_link l ON l.source = g.partner_id AND l.patient_id = g.patient_id \
             WHERE l.state = 'disputed' AND g.revoked_ms IS NULL";
        assert_eq!(payer.count(live_on_doubt), 0, "step {step}");
        let twice = "(SELECT value FROM identity_link WHERE state = 'confirmed' AND kind = 'member' \
             GROUP BY source, system, value HAVING COUNT(*) > 1) t";
        assert_eq!(payer.count(twice), 0, "step {step}");
    }
    assert!(matched + held > 5, "the walk asked {matched} + {held} times");
}
