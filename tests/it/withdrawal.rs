//! A consent that is withdrawn ends what was granted under it: reads, pages, tokens, answers given again, running records.

use crate::support::client::{ALL_SCOPES, Client, Reply};
use crate::support::desk::{Desk, decided, only_review, place_of};
use crate::support::grants;
use crate::support::payer::TestPayer;
use crate::support::use_case::{context, everything};
use causeway::clock::Clock;
use causeway::consent::{self, WithdrawnBy};
use causeway::error::Fault;
use causeway::ops::disclosures::{self, DisclosureFilter};
use causeway::synth::{self, SharingPolicy, Variation};
use causeway::telemetry::Correlation;
use serde_json::{Value, json};
use std::time::Duration;

const WHY: &str = "the member withdrew it by letter";

/// The only consent on record, by command.
fn only_consent(payer: &TestPayer) -> Value {
    let said = payer.json_command(&["consent", "list"]);
    let all = said.as_array().expect("a list");
    assert_eq!(all.len(), 1, "{said}");
    all[0].clone()
}

fn id(item: &Value) -> String {
    item["id"].as_str().expect("an id").to_owned()
}

async fn narrowed(client: &Client, patient: &str) -> Reply {
    let fields = [
        ("grant_type", "client_credentials"),
        ("scope", "system/*.rs"),
        ("patient", patient),
    ];
    client.oauth("/oauth/token", &fields).await
}

#[tokio::test]
async fn a_withdrawn_consent_ends_reads_pages_tokens_and_answers_given_again() {
    let (payer, client) = TestPayer::start(3);
    let token = client.token(ALL_SCOPES).await;
    let body = payer.request(0, Variation::Exact);
    let key = [("Idempotency-Key", "first")];
    let first = client.post_match(&token, body.to_string(), &key).await;
    first.assert_status(200);
    let again = client.post_match(&token, body.to_string(), &key).await;
    assert_eq!((again.status, again.body), (200, first.body));
    let patient = payer.member(0).patient_id;
    let name = format!("Patient/{patient}");
    let narrow = narrowed(&client, &name).await.json()["access_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let pages = client.get(&token, &format!("{name}/$everything?_count=2")).await.json();
    let links = pages["link"].as_array().expect("links").clone();
    let next = links.iter().find(|link| link["relation"] == "next").expect("a page")["url"].clone();
    let next = next.as_str().expect("a URL");
    let found = client
        .get(&token, &format!("Observation?patient={patient}&_count=1"))
        .await
        .json();
    let search = found["link"].as_array().and_then(|links| {
        links.iter().find(|link| link["relation"] == "next")?["url"]
            .as_str()
            .map(str::to_owned)
    });

    let operator = Desk::named(&payer, &client, "operator", "ana");
    let consents = operator.get("consents").await.json();
    let listed = &consents["items"][0];
    assert_eq!(
        (listed["status"].as_str(), listed["revoked_at"].is_null()),
        (Some("active"), true)
    );
    assert!(!consents.to_string().contains(&patient), "operators see no member");
    let consent = id(listed);
    let path = format!("consents/{consent}/revoke");
    let done = operator.post(&path, &json!({"reason": WHY})).await;
    done.assert_status(200);
    let told = done.json();
    assert_eq!(
        (
            told["status"].as_str(),
            told["revoked_by"].as_str(),
            told["id"].as_str()
        ),
        (Some("revoked"), Some("ana"), Some(consent.as_str()))
    );

    // In force at once.
    for token in [&token, &narrow] {
        for path in [name.clone(), format!("{name}/$everything")] {
            client.get(token, &path).await.assert_outcome(Fault::NotFound);
        }
        let found = client.get(token, &format!("Observation?patient={patient}")).await;
        assert_eq!(found.json()["total"], 0, "{}", found.text());
    }
    client.follow(&token, next).await.assert_outcome(Fault::NotFound);
    if let Some(link) = search {
        assert!(!client.follow(&token, &link).await.text().contains("\"entry\""));
    }
    narrowed(&client, &name)
        .await
        .assert_oauth(400, "invalid_target", Fault::OauthTarget);
    // Neither the old key nor another, nor another correlation id, brings it back.
    for headers in [
        &key[..],
        &[("Idempotency-Key", "second")],
        &[("X-Correlation-Id", "case-2")],
        &[("Idempotency-Key", "third"), ("X-Correlation-Id", "case-3")],
    ] {
        client
            .post_match(&token, body.to_string(), headers)
            .await
            .assert_outcome(Fault::ConsentNotHonoured);
    }
    client.get(&token, &name).await.assert_outcome(Fault::NotFound);

    // Again, by somebody else, for another reason: the first result.
    let other = Desk::named(&payer, &client, "operator", "bob");
    let second = other.post(&path, &json!({"reason": "twice"})).await;
    assert_eq!((second.status, second.body), (200, done.body));
    assert_eq!(payer.count("ledger_entry WHERE action = 'consent.revoked'"), 1);
    let auditor = Desk::named(&payer, &client, "auditor", "carl");
    let entries = auditor.all("ledger").await;
    let revoked = entries.iter().find(|entry| entry["action"] == "consent.revoked");
    let revoked = revoked.expect("an entry");
    assert_eq!(
        (
            &revoked["operator"],
            &revoked["note"],
            &revoked["actor"]["id"],
            &revoked["partner"]
        ),
        (&json!("ana"), &json!(WHY), &json!("operator"), &json!("new-payer"))
    );
    assert!(revoked["note_commit"].is_string() && revoked["operator_commit"].is_string());
    let recorded = entries.iter().filter(|entry| entry["action"] == "consent.recorded");
    assert_eq!(recorded.count(), 1, "a consent is recorded once");
    let seen = auditor.get(&format!("consents/{consent}")).await.json();
    assert_eq!(
        (seen["patient_id"].as_str(), seen["revoked_reason"].as_str()),
        (Some(patient.as_str()), Some(WHY))
    );

    // The member may consent anew.
    let mut anew = body;
    let period = &mut anew["parameter"][3]["resource"]["provision"]["period"];
    period["end"] = (crate::support::payer::today() + chrono::Days::new(60))
        .to_string()
        .into();
    client.matched(&token, &anew).await;
    client.get(&token, &name).await.assert_status(200);
    assert_eq!(payer.count("consent WHERE revoked_ms IS NULL"), 1);
}

#[tokio::test]
async fn a_grant_that_was_ended_stays_ended_under_its_consent() {
    let (payer, client) = TestPayer::start(2);
    let token = client.token(ALL_SCOPES).await;
    let body = payer.request(0, Variation::Exact);
    let (patient, _) = client.matched(&token, &body).await;
    let operator = Desk::named(&payer, &client, "operator", "ana");
    let grant = only_consent(&payer)["grants"][0].as_str().expect("a grant").to_owned();
    let path = format!("grants/{grant}/revoke");
    let done = operator.post(&path, &json!({"reason": WHY})).await;
    done.assert_status(200);
    assert_eq!(done.json()["revoked_by"], "ana");
    client
        .get(&token, &format!("Patient/{patient}"))
        .await
        .assert_outcome(Fault::NotFound);
    client
        .post_match(&token, body.to_string(), &[])
        .await
        .assert_outcome(Fault::ConsentNotHonoured);
    let second = operator.post(&path, &json!({"reason": "twice"})).await;
    assert_eq!(second.body, done.body);
    assert_eq!(payer.count("ledger_entry WHERE action = 'operator.grant-revoked'"), 1);
}

#[tokio::test]
async fn a_grant_that_an_operator_ended_is_not_given_back_when_a_dispute_is_settled() {
    let (payer, client) = TestPayer::start(3);
    let token = client.token(ALL_SCOPES).await;
    let (patient, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let grant = only_consent(&payer)["grants"][0].as_str().expect("a grant").to_owned();
    let links = payer.json_command(&["link", "list", "--state", "confirmed"]);
    let link = links[0]["id"].as_str().expect("a link");
    let doubted = payer.command(&["review", "dispute", link, "--operator", "ana", "--reason", "a doubt"]);
    assert!(doubted.status.success(), "{}", String::from_utf8_lossy(&doubted.stderr));
    assert_eq!(
        payer.count("grants WHERE revoked_ms IS NULL"),
        0,
        "the dispute revokes it"
    );
    let ended = payer.json_command(&["grant", "revoke", &grant, "--reason", WHY]);
    assert!(ended["revoked_by"].is_string(), "{ended}");
    let review = only_review(&payer);
    let place = place_of(&payer, &review, 0);
    decided(&payer, &review, &["--confirm", &place], "ana");
    assert_eq!(payer.count("identity_link WHERE state = 'confirmed'"), 1);
    client
        .get(&token, &format!("Patient/{patient}"))
        .await
        .assert_outcome(Fault::NotFound);
}

#[tokio::test]
async fn a_withdrawal_needs_a_reason_and_takes_no_name() {
    let (payer, client) = TestPayer::start(1);
    let token = client.token(ALL_SCOPES).await;
    client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let consent = only_consent(&payer);
    let (id, grant) = (id(&consent), consent["grants"][0].as_str().expect("a grant"));
    let operator = Desk::named(&payer, &client, "operator", "ana");
    for path in [format!("consents/{id}/revoke"), format!("grants/{grant}/revoke")] {
        for wrong in [
            json!({}),
            json!({"reason": ""}),
            json!({"reason": " \t"}),
            json!({"reason": "x".repeat(501)}),
            json!({"reason": "two\nlines"}),
            json!({"reason": 7}),
            json!({"reason": WHY, "operator": "somebody else"}),
            json!([WHY]),
        ] {
            operator
                .post(&path, &wrong)
                .await
                .assert_outcome(Fault::ParameterInvalid);
        }
    }
    for (path, fault) in [
        ("consents/nobody/revoke", Fault::ConsentUnknown),
        ("consents/no%20id/revoke", Fault::ConsentUnknown),
        ("grants/nobody/revoke", Fault::GrantUnknown),
    ] {
        operator.post(path, &json!({"reason": WHY})).await.assert_outcome(fault);
    }
    for (path, fault) in [
        ("consents/nobody", Fault::ConsentUnknown),
        ("consents?member=nobody", Fault::MemberUnknown),
        ("consents?member=", Fault::ParameterInvalid),
        ("consents?member=Patient/no%20id", Fault::ParameterInvalid),
        ("consents?partner=nobody", Fault::PartnerUnknown),
        ("consents?state=active", Fault::ParameterUnknown),
    ] {
        operator.get(path).await.assert_outcome(fault);
    }
    assert_eq!(payer.count("consent WHERE revoked_ms IS NOT NULL"), 0);
    assert_eq!(payer.count("grants WHERE revoked_ms IS NOT NULL"), 0);
}

#[tokio::test]
async fn a_command_beside_the_server_withdraws_in_the_name_of_its_user() {
    let (payer, client) = TestPayer::start(2);
    let token = client.token(ALL_SCOPES).await;
    let (patient, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let me = format!("uid-{}", rustix::process::getuid().as_raw());
    let consent = id(&only_consent(&payer));
    let member = format!("Patient/{patient}");
    for member in [&member, &patient] {
        let listed = payer.json_command(&["consent", "list", "--member", member, "--partner", "new-payer"]);
        assert_eq!(listed[0]["id"], consent.as_str());
    }
    let done = payer.json_command(&["consent", "revoke", &consent, "--reason", WHY]);
    assert_eq!(
        (done["revoked_by"].as_str(), done["revoked_reason"].as_str()),
        (Some(me.as_str()), Some(WHY))
    );
    assert_eq!(payer.json_command(&["consent", "show", &consent]), done);
    client.get(&token, &member).await.assert_outcome(Fault::NotFound);
    let grants = payer.json_command(&["grant", "list", "--member", &member]);
    assert_eq!(grants[0]["revoked_by"], me.as_str());
    for (arguments, code) in [
        (&["consent", "revoke", &consent, "--reason", ""][..], 2),
        (&["consent", "revoke", "nobody", "--reason", WHY], 1),
        (&["consent", "list", "--member", "nobody"], 1),
        (&["grant", "revoke", "nobody", "--reason", WHY], 1),
    ] {
        assert_eq!(payer.command(arguments).status.code(), Some(code), "{arguments:?}");
    }
    let auditor = Desk::named(&payer, &client, "auditor", "carl");
    let entries = auditor.all("ledger").await;
    let by = |action: &str| {
        let entry = entries.iter().find(|entry| entry["action"] == action);
        entry.unwrap_or_else(|| panic!("no {action}")).clone()
    };
    let revoked = by("consent.revoked");
    assert_eq!(
        (&revoked["operator"], &revoked["actor"]["id"]),
        (&json!(me), &json!("host"))
    );
    // The import that filled this payer is an entry too: who, and how much.
    let imported = by("operator.imported");
    assert_eq!(imported["operator"], me.as_str());
    let counts = &imported["counts"];
    assert!(
        counts["stored"].as_u64() > Some(0) && counts["read"] == counts["stored"],
        "{counts}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_record_is_broken_off_and_never_ends_as_if_it_were_whole() {
    let options = synth::SynthOptions {
        members: 1,
        one_large: Some(600),
        twins: false,
        as_of: crate::support::payer::today(),
        ..synth::SynthOptions::default()
    };
    let (payer, _) = TestPayer::prepare_with(options);
    let patient = payer.member(0).patient_id;
    grants::grant(&payer, "new-payer", &patient, SharingPolicy::Sensitive);
    // A second consent of the same partner stays: the record must not end as if it had been read under that.
    let copied = [
        "INSERT INTO consent (id, partner_id, patient_id, digest, policy, period_from_ms, period_to_ms, body, recorded_ms) \
         SELECT 'second', partner_id, patient_id, body, 'regular', period_from_ms, period_to_ms, body, recorded_ms FROM consent",
        "INSERT INTO grants (id, partner_id, compartment, patient_id, consent_id, decision_id, sensitive, valid_from_ms, \
         valid_until_ms, created_ms, renewed_ms) SELECT 'second', partner_id, compartment, patient_id, 'second', 'd', 0, \
         valid_from_ms, valid_until_ms, created_ms, renewed_ms FROM grants",
    ];
    for statement in copied {
        use diesel::RunQueryDsl as _;
        diesel::sql_query(statement).execute(&mut payer.db()).expect("a row");
    }
    let ctx = context(&payer, Clock::System).await;
    let mut running = everything(&ctx, &patient).await;
    let first = running
        .next(async |_| Ok(()))
        .await
        .expect("a piece")
        .expect("not the end");
    let second = running
        .next(async |_| Ok(()))
        .await
        .expect("a piece")
        .expect("not the end");
    let bytes = first.len() + second.len();

    let by = WithdrawnBy::new("ana".into(), "operator", WHY, Correlation::internal("r".into())).expect("a reason");
    let live = ctx.store.read(|db| {
        let patient = patient_of_a_grant(db)?;
        let found = causeway::store::disclosure::live_grant(db, "new-payer", &patient, now_ms())?;
        Ok(found.expect("a grant").consent_id)
    });
    let consent = live.await.expect("the widest grant");
    assert_ne!(consent, "second");
    ctx.store
        .write(consent::withdraw(&ctx, consent, by))
        .await
        .expect("withdrawn");
    let broken = running
        .next(async |_| Ok(()))
        .await
        .expect_err("the record is broken off");
    assert_eq!(broken.fault(), Fault::NotFound);
    drop(running);
    let store = ctx.store.clone();
    tokio::task::spawn_blocking(move || store.settle())
        .await
        .expect("settled");

    let filter = DisclosureFilter {
        member: patient,
        limit: 10,
        ..DisclosureFilter::default()
    };
    let mut item = None;
    for _ in 0..3_000 {
        let (filter, keys) = (filter.clone(), ctx.member_keys.clone());
        let told = ctx
            .store
            .read(move |db| disclosures::list(db, &filter, &keys))
            .await
            .expect("a list");
        assert_eq!(told.items.len(), 1);
        item = told.items.into_iter().next().filter(|item| item.outcome != "begun");
        if item.is_some() {
            break;
        }
        // The entry of the end is not waited for by whoever sends.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let item = item.expect("an end");
    assert_eq!(
        (item.outcome, item.bytes),
        ("incomplete", Some(bytes as u64)),
        "{item:?}"
    );
    let resources = item.resources.as_ref().expect("counts");
    assert!(resources.values().sum::<u64>() > 64, "{item:?}");
}

fn now_ms() -> i64 {
    Clock::System.now_ms()
}

fn patient_of_a_grant(db: &mut causeway::store::Db) -> Result<String, causeway::error::Failure> {
    use causeway::store::schema::grants;
    use diesel::prelude::*;
    Ok(grants::table.select(grants::patient_id).first(db)?)
}
