//! Bad input, each line of it: the right status, the right outcome, nothing stored, and a refusal in the ledger.

use crate::support::assertion::{Assertion, ClientKey, now_s};
use crate::support::client::{ALL_SCOPES, Client, MATCH_SCOPE, http};
use crate::support::payer::{PARTNER_URI, TestPayer};
use crate::support::pki::{Kind, Pki};
use causeway::error::Fault;
use causeway::synth::Variation;
use serde_json::{Value, json};

const NOTHING_STORED: [&str; 3] = ["consent", "grants", "decision WHERE outcome = 'matched'"];

/// Sends `body` and checks outcome, ledger and that nothing was granted.
async fn refused(payer: &TestPayer, client: &Client, token: &str, name: &str, body: Vec<u8>, fault: Fault) {
    let media_type = if fault == Fault::MediaTypeRefused {
        "text/plain"
    } else {
        "application/fhir+json"
    };
    let headers = [("X-Correlation-Id", name), ("Content-Type", media_type)];
    let reply = client.post_match(token, body, &headers).await;
    assert_eq!(reply.header("x-correlation-id"), name);
    reply.assert_outcome(fault);
    let actions = payer.ledger(name);
    assert!(
        actions.iter().any(|action| action.ends_with(".refused")),
        "{name}: {actions:?}"
    );
    assert!(
        !actions.iter().any(|action| action.ends_with(".matched")),
        "{name}: {actions:?}"
    );
    for table in NOTHING_STORED {
        assert_eq!(payer.count(table), 0, "{name} left something in {table}");
    }
}

fn parameter<'a>(request: &'a mut Value, name: &str) -> &'a mut Value {
    let parameters = request["parameter"].as_array_mut().expect("parameters");
    parameters
        .iter_mut()
        .find(|parameter| parameter["name"] == name)
        .map(|found| &mut found["resource"])
        .expect("a parameter")
}

#[tokio::test]
async fn bodies_that_are_no_fhir_json_are_refused() {
    let (payer, client) = TestPayer::start(3);
    let token = client.token(MATCH_SCOPE).await;
    let good = payer.request(0, Variation::Exact).to_string();
    let twice = good.replacen(
        "\"resourceType\":\"Parameters\"",
        "\"resourceType\":\"Parameters\",\"resourceType\":\"Parameters\"",
        1,
    );
    let deep = format!("{{\"resourceType\":\"Parameters\",\"x\":{}1", "{\"x\":".repeat(100_000));
    let large = format!(
        "{{\"resourceType\":\"Parameters\",\"id\":\"{}\"}}",
        "x".repeat(17 * 1024 * 1024)
    );
    for (name, body, fault) in [
        ("not-json", b"<Parameters/>".to_vec(), Fault::NotJson),
        ("cut-off", good.as_bytes()[..good.len() - 1].to_vec(), Fault::NotJson),
        ("trailing", format!("{good} x").into_bytes(), Fault::NotJson),
        ("not-utf-8", [good.as_bytes(), &[0xff]].concat(), Fault::NotUtf8),
        ("duplicate-key", twice.into_bytes(), Fault::DuplicateKey),
        (
            "empty-array",
            good.replacen("\"telecom\":[", "\"telecom\":[],\"contact\":[", 1)
                .into_bytes(),
            Fault::EmptyValue,
        ),
        ("deep", deep.into_bytes(), Fault::TooDeep),
        ("large", large.into_bytes(), Fault::TooLarge),
        ("media-type", good.clone().into_bytes(), Fault::MediaTypeRefused),
    ] {
        refused(&payer, &client, &token, name, body, fault).await;
    }
}

#[tokio::test]
async fn parameters_that_break_the_profile_are_refused() {
    let (payer, client) = TestPayer::start(3);
    let token = client.token(MATCH_SCOPE).await;
    let mut cases: Vec<(&str, Value, Fault)> = Vec::new();
    let exact = || payer.request(0, Variation::Exact);

    let mut unknown = exact();
    unknown["parameter"]
        .as_array_mut()
        .expect("parameters")
        .push(json!({"name": "Extra", "valueString": "x"}));
    cases.push(("unknown", unknown, Fault::MatchParameterUnknown));
    let mut doubled = exact();
    let again = doubled["parameter"][0].clone();
    doubled["parameter"].as_array_mut().expect("parameters").push(again);
    cases.push(("doubled", doubled, Fault::MatchParameterUnknown));
    cases.push((
        "no-cover",
        payer.request(0, Variation::NoCoverageToMatch),
        Fault::MatchParameterMissing,
    ));
    cases.push((
        "no-consent",
        payer.request(0, Variation::NoConsent),
        Fault::MatchParameterMissing,
    ));
    let mut nobody = exact();
    nobody["parameter"].as_array_mut().expect("parameters").remove(0);
    cases.push(("no-patient", nobody, Fault::MatchParameterMissing));

    for (name, reference) in [
        ("elsewhere", "https://other.example/fhir/Patient/member"),
        ("another", "Patient/someone-else"),
        ("other-type", "Group/member"),
    ] {
        let mut request = exact();
        parameter(&mut request, "CoverageToMatch")["beneficiary"]["reference"] = json!(reference);
        cases.push((name, request, Fault::MatchReference));
    }
    cases.push((
        "consent-of-another",
        payer.request(0, Variation::ConsentOfAnother),
        Fault::MatchReference,
    ));

    for (name, body, fault) in cases {
        refused(&payer, &client, &token, name, body.to_string().into_bytes(), fault).await;
    }
}

#[tokio::test]
async fn consents_that_do_not_cover_the_request_are_refused() {
    let (payer, client) = TestPayer::start(3);
    let token = client.token(MATCH_SCOPE).await;
    let mut action = payer.request(0, Variation::Exact);
    parameter(&mut action, "Consent")["provision"]["action"][0]["coding"][0]["code"] = json!("collect");
    // What breaks the profile of Consent is MM-001; what keeps it and permits nothing by itself has a fault of its own, which is told
    // before anybody is looked up.
    for (name, body, fault, element) in [
        (
            "expired",
            payer.request(0, Variation::ConsentExpired),
            Fault::ConsentPeriod,
            "provision.period.end",
        ),
        (
            "not-begun",
            payer.request(0, Variation::ConsentNotBegun),
            Fault::ConsentPeriod,
            "provision.period.start",
        ),
        (
            "for-others",
            payer.request(0, Variation::ConsentForOthers),
            Fault::ConsentRecipient,
            "provision.actor",
        ),
        (
            "policy",
            payer.request(0, Variation::ConsentUnknownPolicy),
            Fault::ConsentPolicy,
            "policy.uri",
        ),
        (
            "denied",
            payer.request(0, Variation::ConsentDenied),
            Fault::ConsentAction,
            "provision.type",
        ),
        ("action", action, Fault::ConsentAction, "provision.action"),
    ] {
        let reply = client
            .post_match(&token, body.to_string(), &[("X-Correlation-Id", name)])
            .await;
        reply.assert_outcome(fault);
        let place = reply.json()["issue"][0]["expression"][0]
            .as_str()
            .unwrap_or("")
            .to_owned();
        assert!(place.ends_with(&format!(".resource.{element}")), "{name}: {place}");
        assert!(
            !reply.text().contains(&payer.member(0).patient_id),
            "{name} names the member"
        );
        payer.assert_ledger(name, &["member-match.begun", "member-match.refused"]);
        assert_eq!(payer.count("grants"), 0, "{name}");
    }
}

#[tokio::test]
async fn persons_who_are_not_exactly_one_member_are_refused_alike() {
    let (payer, client) = TestPayer::start(3);
    let token = client.token(MATCH_SCOPE).await;
    let mut texts = Vec::new();
    for (name, index, variation) in [
        ("wrong-birth-date", 0, Variation::WrongBirthDate),
        ("unknown-card", 0, Variation::UnknownCard),
        ("unknown-person", 0, Variation::UnknownPerson),
        ("twin", 1, Variation::Exact),
    ] {
        let body = payer.request(index, variation).to_string().into_bytes();
        let reply = client.post_match(&token, body, &[("X-Correlation-Id", name)]).await;
        reply.assert_outcome(Fault::NoUniqueMember);
        let told = payer.ledger(name);
        assert_eq!(told[..2], ["member-match.begun", "member-match.refused"], "{name}");
        // Whether a person has to look is ours to know.
        let nobody = variation == Variation::UnknownPerson;
        assert!(
            told[2..].iter().all(|action| action == "review.opened" && !nobody),
            "{name}: {told:?}"
        );
        texts.push(reply.text());
    }
    // None, one in doubt and several must not be told apart.
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "{texts:?}");
}

#[tokio::test]
async fn assertions_that_prove_nothing_get_no_token() {
    let (payer, client) = TestPayer::start(1);
    let audience = format!("{}/oauth/token", payer.origin);
    let stranger = ClientKey::new("k1");
    let fresh = || client.assertion();
    let replayed = fresh().sign(&client.key);
    client.ask_token(&replayed, MATCH_SCOPE).await.assert_status(200);
    let mut tampered = fresh().sign(&client.key);
    let dot = tampered.find('.').expect("a part") + 5;
    let other = if tampered.as_bytes()[dot] == b'A' { "B" } else { "A" };
    tampered.replace_range(dot..=dot, other);
    for (name, assertion) in [
        ("forged", fresh().sign(&stranger)),
        ("tampered", tampered),
        ("replayed", replayed),
        ("expired", fresh().with("exp", now_s() - 120).sign(&client.key)),
        ("over-long", fresh().with("exp", now_s() + 3600).sign(&client.key)),
        (
            "wrong audience",
            fresh().with("aud", format!("{}/fhir", payer.origin)).sign(&client.key),
        ),
        (
            "audience list of others",
            fresh()
                .with("aud", json!(["https://other.example/token"]))
                .sign(&client.key),
        ),
        ("wrong algorithm", fresh().sign_hmac()),
        ("no algorithm", fresh().unsigned()),
        (
            "unknown key",
            Assertion::of("new-payer", &audience, "k2").sign(&client.key),
        ),
        (
            "unknown client",
            Assertion::of("nobody", &audience, "k1").sign(&client.key),
        ),
        ("subject is another", fresh().with("sub", "old-payer").sign(&client.key)),
        ("not a token", "x.y.z".to_owned()),
    ] {
        let before = payer.count("access_token");
        let reply = client.ask_token(&assertion, MATCH_SCOPE).await;
        assert_eq!(reply.status, 401, "{name}: {}", reply.text());
        reply.assert_oauth(401, "invalid_client", Fault::OauthClient);
        assert_eq!(payer.count("access_token"), before, "{name}");
    }
    assert!(payer.count("ledger_entry WHERE action = 'token.refused'") >= 10);
    client
        .ask_token(&fresh().sign(&client.key), "system/Practitioner.cud")
        .await
        .assert_oauth(400, "invalid_scope", Fault::OauthScope);
}

#[tokio::test]
async fn certificates_that_prove_nothing_get_no_answer() {
    let (payer, client) = TestPayer::start(1);
    let token = client.token(ALL_SCOPES).await;
    let url = format!("{}/fhir/Patient?identifier=x", payer.origin);
    let other_authority = Pki::new("Somebody else's authority");
    for (name, pair) in [
        ("expired", payer.pki.client(PARTNER_URI, Kind::Expired)),
        ("revoked", payer.pki.client(PARTNER_URI, Kind::Revoked)),
        ("of another authority", other_authority.client(PARTNER_URI, Kind::Good)),
    ] {
        let answer = http(&payer.pki.ca, Some(&pair))
            .get(&url)
            .bearer_auth(&token)
            .send()
            .await;
        assert!(answer.is_err(), "{name}: {:?}", answer.map(|answer| answer.status()));
    }
    let unregistered = payer.pki.client("https://unknown.example/fhir", Kind::Good);
    let stranger = Client {
        http: http(&payer.pki.ca, Some(&unregistered)),
        key: ClientKey::new("k1"),
        ..payer.client("new-payer", ClientKey::new("k1"), None)
    };
    stranger
        .get(&token, "Patient?identifier=x")
        .await
        .assert_outcome(Fault::CertificateUnknown);
    let assertion = client.assertion().sign(&client.key);
    stranger
        .ask_token(&assertion, MATCH_SCOPE)
        .await
        .assert_oauth(401, "invalid_client", Fault::CertificateUnknown);
}

#[tokio::test]
async fn a_token_works_only_for_whom_it_was_issued_and_only_on_what_is_granted() {
    let (payer, client) = TestPayer::start(3);
    let other = payer.register("third-payer", "1992000038", "https://third-payer.example/fhir");
    let token = client.token(ALL_SCOPES).await;
    let matched = client
        .post_match(&token, payer.request(0, Variation::Exact).to_string(), &[])
        .await;
    matched.assert_status(200);
    let (granted, not_granted) = (payer.member(0).patient_id, payer.member(2).patient_id);
    client
        .get(&token, &format!("Patient/{granted}"))
        .await
        .assert_status(200);

    // Another certificate, with the token of the first.
    other
        .get(&token, &format!("Patient/{granted}"))
        .await
        .assert_outcome(Fault::TokenInvalid);
    // No certificate at all.
    let bare = payer.client("new-payer", ClientKey::new("k1"), None);
    let reply = bare.get(&token, &format!("Patient/{granted}")).await;
    assert_eq!(reply.status, 401, "{}", reply.text());
    // A partner of its own right, on a member who is not granted to it.
    let others_token = other.token("system/*.rs").await;
    other
        .get(&others_token, &format!("Patient/{granted}"))
        .await
        .assert_outcome(Fault::NotFound);
    other
        .get(&others_token, &format!("Patient/{granted}/$everything"))
        .await
        .assert_outcome(Fault::NotFound);
    // A member that is there and was never matched answers as one that is not there.
    let there = client.get(&token, &format!("Patient/{not_granted}")).await;
    let nowhere = client.get(&token, "Patient/00000000-0000-4000-8000-000000000000").await;
    there.assert_outcome(Fault::NotFound);
    assert_eq!(there.text(), nowhere.text());
    // Scope is asked for as well as grant.
    let match_only = client.token(MATCH_SCOPE).await;
    client
        .get(&match_only, &format!("Patient/{granted}"))
        .await
        .assert_outcome(Fault::ScopeMissing);
    let read_only = client.token("system/Patient.r").await;
    client
        .post_match(&read_only, payer.request(0, Variation::Exact).to_string(), &[])
        .await
        .assert_outcome(Fault::ScopeMissing);
    client
        .get("not-a-token", &format!("Patient/{granted}"))
        .await
        .assert_outcome(Fault::TokenInvalid);
}
