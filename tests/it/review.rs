//! The review queue over a whole payer: what a partner sees of it, what operators see, and what their decisions do.

use crate::support::client::ALL_SCOPES;
use crate::support::desk::{BECAUSE, Desk, decide, decided, doubtful, only_review, place_of, queue, verdict};
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::synth::Variation;
use serde_json::{Value, json};

#[tokio::test]
async fn a_doubt_is_queued_once_and_a_partner_cannot_tell_it_from_no_match() {
    let (payer, client) = TestPayer::start(6);
    let token = client.token(ALL_SCOPES).await;
    let doubtful = doubtful(&payer, 0, 3);
    let nobody = payer.request(0, Variation::UnknownPerson);
    let none = client
        .post_match(&token, nobody.to_string(), &[("X-Correlation-Id", "none")])
        .await;
    none.assert_outcome(Fault::NoUniqueMember);
    assert!(queue(&payer).is_empty());
    for correlation in ["first", "second"] {
        let told = client
            .post_match(&token, doubtful.to_string(), &[("X-Correlation-Id", correlation)])
            .await;
        assert_eq!((told.status, told.text()), (none.status, none.text()), "{correlation}");
    }
    payer.assert_ledger("none", &["member-match.begun", "member-match.refused"]);
    payer.assert_ledger(
        "first",
        &["member-match.begun", "member-match.refused", "review.opened"],
    );
    payer.assert_ledger("second", &["member-match.begun", "member-match.refused"]);
    let waiting = queue(&payer);
    assert_eq!(
        (waiting.len(), &waiting[0]["asked_count"]),
        (1, &json!(2)),
        "{waiting:?}"
    );
    assert_eq!(
        (&waiting[0]["state"], &waiting[0]["overdue"]),
        (&json!("open"), &json!(false))
    );
    assert!(waiting[0]["due_at"].as_str() > waiting[0]["opened_at"].as_str());
    assert_eq!(payer.count("decision WHERE outcome = 'review'"), 2);
    assert_eq!(payer.count("grants"), 0);
}

#[tokio::test]
async fn each_role_sees_what_it_may_and_every_view_is_in_the_ledger() {
    let (payer, client) = TestPayer::start(6);
    let token = client.token(ALL_SCOPES).await;
    client
        .post_match(&token, doubtful(&payer, 0, 3).to_string(), &[])
        .await
        .assert_status(422);
    let (id, member) = (only_review(&payer), payer.member(0));
    let words = [
        member.family.clone(),
        member.birth_date.to_string(),
        member.phone.clone(),
    ];
    for (role, sees_patients, sees_words) in [
        ("support", false, false),
        ("operator", false, false),
        ("auditor", true, false),
        ("reviewer", true, true),
    ] {
        let desk = Desk::of(&payer, &client, role);
        let list = desk.get("reviews").await;
        list.assert_status(200);
        assert_eq!(list.json()["items"][0]["id"], id.as_str());
        let one = desk.get(&format!("reviews/{id}")).await;
        one.assert_status(200);
        assert_eq!(
            one.text().contains(&member.patient_id),
            sees_patients,
            "{role}: {}",
            one.text()
        );
        for word in &words {
            assert!(!list.text().contains(word), "{role}: {word} in a list");
            assert_eq!(one.text().contains(word.as_str()), sees_words, "{role}: {word}");
        }
    }
    let shown = Desk::of(&payer, &client, "reviewer")
        .get(&format!("reviews/{id}"))
        .await
        .json();
    let best = &shown["candidates"][0];
    let field = |name: &str| {
        let fields = best["fields"].as_array().expect("fields");
        fields
            .iter()
            .find(|field| field["field"] == name)
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(
        (&field("birth")["agrees"], &field("member_id")["agrees"]),
        (&json!("yes"), &json!("no"))
    );
    assert_eq!(field("birth")["asked"], field("birth")["held"]);
    assert!(
        field("birth")["weight"].as_f64().is_some_and(|bits| bits > 0.0),
        "{best}"
    );
    let told = payer.command(&["review", "show", &id, "--reason", BECAUSE]);
    let told = String::from_utf8(told.stdout).expect("text");
    let line = |name: &str| told.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    let day = member.birth_date.to_string();
    assert_eq!(line("birth date").matches(&day).count(), 2, "asked beside held: {told}");
    assert!(
        line("birth date").contains("the same") && line("why:").contains(' '),
        "{told}"
    );
    let listed = payer.command(&["review", "list"]);
    for word in &words {
        assert!(
            !String::from_utf8_lossy(&listed.stdout).contains(word),
            "{word} in a list"
        );
    }
    for (desk, fault) in [("admin", Fault::RoleMissing)] {
        let desk = Desk::of(&payer, &client, desk);
        desk.get("reviews").await.assert_status(fault.row().http);
        desk.get(&format!("reviews/{id}")).await.assert_status(fault.row().http);
    }
    let auditor = Desk::of(&payer, &client, "auditor");
    auditor
        .decide(&id, &verdict("reject", &Value::Null, "eve"))
        .await
        .assert_status(Fault::RoleMissing.row().http);
    assert_eq!(
        payer.count("ledger_entry WHERE action = 'review.viewed'"),
        10,
        "four lists, five views, one at the terminal"
    );
    auditor.get("reviews/nothing").await.assert_status(404);
}

#[tokio::test]
async fn a_confirmed_review_matches_that_member_and_consent_is_judged_anew() {
    let (payer, client) = TestPayer::start(6);
    let token = client.token(ALL_SCOPES).await;
    let body = doubtful(&payer, 0, 3);
    client
        .post_match(&token, body.to_string(), &[])
        .await
        .assert_outcome(Fault::NoUniqueMember);
    let id = only_review(&payer);
    let place = place_of(&payer, &id, 0);
    decided(&payer, &id, &["--confirm", &place], "ana");
    assert!(queue(&payer).is_empty());
    assert_eq!(payer.count("grants"), 0, "nothing is granted before the partner asks");
    let mut expired = body.clone();
    let old = payer.request(0, Variation::ConsentExpired);
    expired["parameter"][3] = old["parameter"][3].clone();
    client
        .post_match(&token, expired.to_string(), &[])
        .await
        .assert_outcome(Fault::ConsentPeriod);
    let (patient, _) = client.matched(&token, &body).await;
    assert_eq!(patient, payer.member(0).patient_id);
    client
        .get(&token, &format!("Patient/{patient}"))
        .await
        .assert_status(200);
    let links = payer.json_command(&["link", "list", "--partner", "new-payer"]);
    for link in links.as_array().expect("links") {
        let expected = if link["patient_id"] == patient.as_str() {
            "confirmed"
        } else {
            "retired"
        };
        assert_eq!(
            (&link["state"], &link["origin"]),
            (&json!(expected), &json!("review")),
            "{link}"
        );
        assert_eq!(link["review_id"], id.as_str());
    }
    assert!(links.as_array().is_some_and(|links| !links.is_empty()), "{links}");
    assert_eq!(payer.count("ledger_entry WHERE action = 'review.decided'"), 1);
    assert_eq!(
        payer.count(&format!("decision WHERE outcome = 'matched' AND detail LIKE '%{id}%'")),
        1
    );
    // Decided is decided.
    let again = decide(&payer, &id, &["--reject"], "ben");
    assert!(String::from_utf8_lossy(&again.stderr).contains(Fault::ReviewMoved.code()));
}

#[tokio::test]
async fn a_rejected_review_is_no_match_and_keeps_nothing_of_what_was_asked() {
    let (payer, client) = TestPayer::start(6);
    let token = client.token(ALL_SCOPES).await;
    let body = doubtful(&payer, 0, 3).to_string();
    let first = client.post_match(&token, body.clone(), &[]).await;
    let id = only_review(&payer);
    assert_eq!(payer.count("review WHERE request IS NOT NULL"), 1);
    decided(&payer, &id, &["--reject"], "ana");
    assert_eq!(payer.count("review WHERE request IS NOT NULL"), 0);
    let told = client.post_match(&token, body, &[]).await;
    assert_eq!((told.status, told.text()), (first.status, first.text()));
    assert!(queue(&payer).is_empty());
    assert_eq!(payer.count("review"), 1);
    assert_eq!(payer.count("review WHERE request IS NOT NULL"), 0);
    assert_eq!(payer.count("identity_link WHERE state <> 'retired'"), 0);
    // The clean request is another question, but a person said that the partner's number is not this member's: they say it again.
    let clean = payer.request(0, Variation::Exact);
    client
        .post_match(&token, clean.to_string(), &[])
        .await
        .assert_outcome(Fault::NoUniqueMember);
    let waiting = queue(&payer);
    assert_eq!((waiting.len(), &waiting[0]["reason"]), (1, &json!("contested")));
    let contested = only_review(&payer);
    decided(
        &payer,
        &contested,
        &["--confirm", &place_of(&payer, &contested, 0)],
        "ana",
    );
    client.matched(&token, &clean).await;
    // Under another number of its own the partner is no longer contradicted.
    let mut renumbered = payer.request(2, Variation::Exact);
    renumbered["parameter"][2]["resource"]["identifier"][0]["value"] = "N-OTHER-1".into();
    client.matched(&token, &renumbered).await;
}

#[tokio::test]
async fn the_matcher_does_not_take_a_number_from_whom_a_person_gave_it_to() {
    let (payer, client) = TestPayer::start(6);
    let token = client.token(ALL_SCOPES).await;
    let body = payer.request(2, Variation::Exact);
    let number = body["parameter"][2]["resource"]["identifier"][0].clone();
    let text = |key: &str| number[key].as_str().expect("a text").to_owned();
    let (first, second) = (payer.member(0).patient_id, payer.member(2).patient_id);
    let make = |member: &str, partner: &str, system: &str, value: &str| {
        payer.command(&[
            "link",
            "make",
            "--member",
            member,
            "--partner",
            partner,
            "--system",
            system,
            "--value",
            value,
            "--operator",
            "ana",
            "--reason",
            BECAUSE,
        ])
    };
    assert!(
        make(&first, "new-payer", &text("system"), &text("value"))
            .status
            .success()
    );
    client
        .post_match(&token, body.to_string(), &[])
        .await
        .assert_outcome(Fault::NoUniqueMember);
    assert_eq!(queue(&payer)[0]["reason"], "contested");
    let held = payer.json_command(&["link", "list", "--member", &first]);
    assert_eq!(held[0]["state"], "confirmed");
    // What waits for a review is not confirmed around it; nor does a number lead to nowhere or to itself.
    for (output, fault) in [
        (
            make(&second, "new-payer", &text("system"), &text("value")),
            Fault::LinkMoveRefused,
        ),
        (make(&first, "nobody", "urn:x", "N1"), Fault::PartnerUnknown),
        (
            make(&first, "", "http://old-payer.example/identifiers/umb", "U-NONE"),
            Fault::LinkUnknown,
        ),
    ] {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(fault.code()), "{said}");
    }
    let id = only_review(&payer);
    decided(&payer, &id, &["--confirm", &place_of(&payer, &id, 2)], "ben");
    assert_eq!(client.matched(&token, &body).await.0, second);
    let held = payer.json_command(&["link", "list", "--member", &first]);
    assert_eq!(held[0]["state"], "superseded", "a person moved it");
}

#[tokio::test]
async fn a_review_is_put_off_by_a_minute_at_least_and_thirty_days_at_most() {
    let (payer, client) = TestPayer::start(4);
    let token = client.token(ALL_SCOPES).await;
    let body = doubtful(&payer, 0, 3).to_string();
    client.post_match(&token, body, &[]).await.assert_status(422);
    let id = only_review(&payer);
    for time in ["0s", "59s", "31d", "400d"] {
        let refused = decide(&payer, &id, &["--defer", time], "ana");
        assert_eq!(refused.status.code(), Some(2), "{time}");
    }
    decided(&payer, &id, &["--defer", "30d"], "ana");
}

#[tokio::test]
async fn a_deferred_review_is_still_one_review_and_comes_back() {
    let (payer, client) = TestPayer::start(6);
    let token = client.token(ALL_SCOPES).await;
    let body = doubtful(&payer, 0, 3).to_string();
    client.post_match(&token, body.clone(), &[]).await.assert_status(422);
    let id = only_review(&payer);
    let due = queue(&payer)[0]["due_at"].clone();
    decided(&payer, &id, &["--defer", "3d"], "ana");
    client
        .post_match(&token, body, &[])
        .await
        .assert_outcome(Fault::NoUniqueMember);
    let waiting = queue(&payer);
    assert_eq!(
        (waiting.len(), &waiting[0]["state"], &waiting[0]["owner"]),
        (1, &json!("deferred"), &json!("ana"))
    );
    assert!(waiting[0]["due_at"].as_str() > due.as_str());
    assert_eq!(payer.count("review"), 1);
    let wrong = decide(&payer, &id, &["--confirm", "7"], "ana");
    assert_eq!(wrong.status.code(), Some(2), "no such candidate");
    let both = decide(&payer, &id, &["--confirm", "1", "--reject"], "ana");
    assert_eq!(both.status.code(), Some(2));
}

#[tokio::test]
async fn two_operators_have_to_agree_where_the_policy_says_so() {
    let (mut payer, client) = TestPayer::prepare(6);
    let config = payer.home().join("causeway.toml");
    let text = std::fs::read_to_string(&config).expect("a file");
    std::fs::write(&config, format!("{text}[policy]\nreview_four_eyes = true\n")).expect("a file");
    payer.serve();
    let token = client.token(ALL_SCOPES).await;
    let body = doubtful(&payer, 0, 3);
    client
        .post_match(&token, body.to_string(), &[])
        .await
        .assert_status(422);
    let id = only_review(&payer);
    let place = place_of(&payer, &id, 0);
    let (ana, ben) = (
        Desk::of(&payer, &client, "reviewer"),
        Desk::of(&payer, &client, "reviewer"),
    );
    let proposed = ana.decide(&id, &verdict("confirm", &json!(place), "ana")).await;
    proposed.assert_status(200);
    assert_eq!(proposed.json()["state"], "proposed");
    client
        .post_match(&token, body.to_string(), &[])
        .await
        .assert_outcome(Fault::NoUniqueMember);
    for (desk, name) in [(&ana, "ana"), (&ben, "ANA "), (&ana, "ben")] {
        let refused = desk.decide(&id, &verdict("confirm", &json!(place), name)).await;
        refused.assert_outcome(Fault::ReviewSecondNeeded);
    }
    // Who sees it otherwise proposes in turn.
    let other = ben.decide(&id, &verdict("reject", &Value::Null, "ben")).await;
    assert_eq!(other.json()["state"], "proposed");
    let agreed = ana.decide(&id, &verdict("reject", &Value::Null, "ana")).await;
    assert_eq!(agreed.json()["state"], "rejected");
    let said = payer.json_command(&["review", "show", &id, "--reason", BECAUSE]);
    let acts: Vec<&str> = said["acts"]
        .as_array()
        .expect("acts")
        .iter()
        .filter_map(|act| act["act"].as_str())
        .collect();
    assert_eq!(acts, ["propose", "propose", "reject"]);
    assert_eq!(payer.count("ledger_entry WHERE action = 'review.decided'"), 1);
    assert_eq!(payer.count("ledger_entry WHERE action = 'review.proposed'"), 2);
}

#[tokio::test]
async fn who_proposes_does_not_agree_with_another_token_of_the_same_name() {
    let (mut payer, client) = TestPayer::prepare(6);
    let config = payer.home().join("causeway.toml");
    let text = std::fs::read_to_string(&config).expect("a file");
    std::fs::write(&config, format!("{text}[policy]\nreview_four_eyes = true\n")).expect("a file");
    payer.serve();
    let token = client.token(ALL_SCOPES).await;
    let asked = client.post_match(&token, doubtful(&payer, 0, 3).to_string(), &[]).await;
    asked.assert_status(422);
    let id = only_review(&payer);
    let place = json!(place_of(&payer, &id, 0));
    let of = |name: &str| Desk::named(&payer, &client, "reviewer", name);
    let proposed = of("rita").decide(&id, &verdict("confirm", &place, "ana")).await;
    assert_eq!(proposed.json()["state"], "proposed");
    // The body may name anybody; whose the token is counts too.
    let refused = of("rita").decide(&id, &verdict("confirm", &place, "ben")).await;
    refused.assert_outcome(Fault::ReviewSecondNeeded);
    let agreed = of("rolf").decide(&id, &verdict("confirm", &place, "ben")).await;
    assert_eq!(agreed.json()["state"], "confirmed", "{}", agreed.text());
}

#[tokio::test]
async fn a_dispute_ends_the_grant_holds_every_answer_back_and_a_person_ends_it() {
    let (payer, client) = TestPayer::start(6);
    let token = client.token(ALL_SCOPES).await;
    let body = payer.request(0, Variation::Exact);
    let (patient, _) = client.matched(&token, &body).await;
    let link = payer.json_command(&["link", "list", "--member", &patient])[0]["id"].clone();
    let link = link.as_str().expect("a link").to_owned();
    let hand = ["--operator", "ana", "--reason", BECAUSE];
    let done = payer.json_command(&[&["review", "dispute", &link][..], &hand].concat());
    assert_eq!(done["grants"], 1);
    client
        .get(&token, &format!("Patient/{patient}"))
        .await
        .assert_status(404);
    // The dispute's review takes the question in: the queue does not grow.
    for _ in 0..2 {
        client
            .post_match(&token, body.to_string(), &[])
            .await
            .assert_outcome(Fault::NoUniqueMember);
    }
    let id = only_review(&payer);
    assert_eq!(done["review"], id.as_str());
    let waiting = queue(&payer);
    assert_eq!(
        (&waiting[0]["reason"], &waiting[0]["asked_count"]),
        (&json!("disputed"), &json!(2))
    );
    let shown = payer.json_command(&["review", "show", &id, "--reason", BECAUSE]);
    assert!(
        shown["candidates"][0]["fields"]
            .as_array()
            .is_some_and(|fields| fields.len() > 5),
        "{shown}"
    );
    decided(&payer, &id, &["--confirm", &patient], "ben");
    let state = |payer: &TestPayer| payer.json_command(&["link", "list", "--member", &patient])[0]["state"].clone();
    assert_eq!(state(&payer), "confirmed");
    assert_eq!(client.matched(&token, &body).await.0, patient);
    client
        .get(&token, &format!("Patient/{patient}"))
        .await
        .assert_status(200);
    assert_eq!(payer.count("grants"), 1);

    // What was confirmed by a person can be doubted as well.
    payer.json_command(&[&["review", "reopen", &id][..], &hand].concat());
    assert_eq!(state(&payer), "disputed");
    client
        .get(&token, &format!("Patient/{patient}"))
        .await
        .assert_status(404);
    client
        .post_match(&token, body.to_string(), &[])
        .await
        .assert_outcome(Fault::NoUniqueMember);
    decided(&payer, &id, &["--reject"], "ben");
    assert_eq!(state(&payer), "retired");
    client
        .post_match(&token, body.to_string(), &[])
        .await
        .assert_outcome(Fault::NoUniqueMember);
    assert!(queue(&payer).is_empty());
}
