//! Promises about one member: the read with its version, the searches, and how long a grant lives.

use crate::contract_release::{day, entries, execute, name};
use crate::support::client::{ALL_SCOPES, Reply, http};
use crate::support::payer::{PARTNER_NPI, PARTNER_URI, TestPayer};
use crate::support::pki::Kind;
use crate::support::wire::request_by;
use causeway::error::Fault;
use causeway::synth::{SharingPolicy, Variation};
use chrono::{DateTime, Days};

#[tokio::test]
async fn a_patient_is_read_with_its_version_and_found_by_its_identifiers() {
    let (payer, client) = TestPayer::start(4);
    let token = client.token(ALL_SCOPES).await;
    let (id, umb) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let number = payer.member(0).member_number;

    let read = client.get(&token, &format!("Patient/{id}")).await;
    read.assert_status(200);
    let meta = &read.json()["meta"];
    assert_eq!(
        read.header("etag"),
        format!("W/\"{}\"", meta["versionId"].as_str().expect("a version"))
    );
    let modified = DateTime::parse_from_rfc2822(read.header("last-modified")).expect("an HTTP date");
    let updated = DateTime::parse_from_rfc3339(meta["lastUpdated"].as_str().expect("an instant")).expect("an instant");
    assert_eq!(modified.timestamp(), updated.timestamp());
    assert!(read.header("cache-control").contains("no-store"));

    let bearer = format!("Bearer {token}");
    let member_system = "http://old-payer.example/identifiers/member";
    let umb_system = "http://old-payer.example/identifiers/umb";
    for (value, found) in [
        (format!("{member_system}|{number}"), true),
        (number.clone(), true),
        (format!("{umb_system}|{umb}"), true),
        (umb.clone(), true),
        (format!("{umb_system}|{number}"), false),
        (format!("|{number}"), false),
        (format!("{member_system}|{}", payer.member(2).member_number), false),
        (format!("{member_system}|"), true),
        ("http://nobody.example|".to_owned(), false),
        ("%' OR 1=1 --".to_owned(), false),
    ] {
        let base = format!("{}/fhir/Patient", client.origin);
        let url = reqwest::Url::parse_with_params(&base, &[("identifier", &value)]).expect("a URL");
        let url = client.http.get(url).bearer_auth(&token);
        let by_url = Reply::of(url.send().await.expect("an answer")).await;
        let by_form = client
            .form("/fhir/Patient/_search", &[("identifier", &value)], Some(&token))
            .await;
        by_url.assert_status(200);
        assert_eq!(by_url.text(), by_form.text(), "{value}");
        let bundle = by_url.json();
        assert_eq!(bundle["total"], i64::from(found), "{value}");
        assert_eq!(
            entries(&bundle).first().map(name),
            found.then(|| format!("Patient/{id}")),
            "{value}"
        );
        let this = bundle["link"][0]["url"].as_str().expect("a link");
        assert!(this.starts_with(&format!("{}/fhir/Patient?", client.origin)) && !this.contains(&number));
    }
    let strict = [("authorization", bearer.as_str()), ("prefer", "handling=strict")];
    client
        .send("GET", &format!("/fhir/Patient?_id={id}&relatives=x"), &strict, "")
        .await
        .assert_outcome(Fault::ParameterUnknown);
    client
        .get(&token, "Patient?identifier=")
        .await
        .assert_outcome(Fault::ParameterInvalid);
    client
        .send(
            "POST",
            "/fhir/Patient/_search",
            &[("authorization", &bearer), ("content-type", "application/json")],
            "{}",
        )
        .await
        .assert_outcome(Fault::MediaTypeRefused);
}

#[tokio::test]
async fn a_grant_lives_as_long_as_its_consent() {
    let (mut payer, mut client) = TestPayer::start(3);
    let pair = payer.pki.client(PARTNER_URI, Kind::Good);
    client.http = http(&payer.pki.ca, Some(&pair));
    let token = client.token(ALL_SCOPES).await;
    let body = request_by(&payer, 0, PARTNER_NPI, SharingPolicy::Regular);
    let (id, umb) = client.matched(&token, &body).await;
    let minted = payer.json_command(&["operator", "token", "--role", "auditor"]);
    let sent = client
        .http
        .get(format!("{}/ops/v1/grants?member={id}", payer.ops))
        .bearer_auth(minted["token"].as_str().expect("a token"))
        .send();
    let grant = Reply::of(sent.await.expect("an answer")).await.json()["items"][0].clone();
    let consent = &body["parameter"].as_array().expect("parameters")[3]["resource"];
    let ends = day(consent["provision"]["period"]["end"].as_str().expect("a date"));
    let until = DateTime::parse_from_rfc3339(grant["valid_until"].as_str().expect("an instant")).expect("an instant");
    // The last day counts as a whole, in the payer's own time zone.
    let local = until.with_timezone(&chrono_tz::America::New_York).naive_local();
    assert_eq!(local, (ends + Days::new(1)).and_time(chrono::NaiveTime::MIN), "{grant}");

    let paths = [
        format!("Patient/{id}"),
        format!("Patient/{id}/$everything"),
        format!("Patient?identifier={umb}"),
    ];
    for (ended, restored) in [
        (
            "consent SET period_to_ms = period_from_ms + 1",
            "consent SET period_to_ms = period_from_ms + 12960000000",
        ),
        (
            "grants SET valid_until_ms = valid_from_ms + 1",
            "grants SET valid_until_ms = valid_from_ms + 12960000000",
        ),
        ("grants SET revoked_ms = created_ms", "grants SET revoked_ms = NULL"),
        ("consent SET revoked_ms = recorded_ms", "consent SET revoked_ms = NULL"),
    ] {
        execute(&payer, &format!("UPDATE {ended}"));
        for path in &paths[..2] {
            client.get(&token, path).await.assert_outcome(Fault::NotFound);
        }
        assert_eq!(client.get(&token, &paths[2]).await.json()["total"], 0, "{ended}");
        client
            .oauth(
                "/oauth/token",
                &[
                    ("grant_type", "client_credentials"),
                    ("scope", "system/*.rs"),
                    ("patient", &umb),
                ],
            )
            .await
            .assert_oauth(400, "invalid_target", Fault::OauthTarget);
        execute(&payer, &format!("UPDATE {restored}"));
        client.get(&token, &paths[0]).await.assert_status(200);
    }
    // What is in the store counts, not what a process remembers.
    execute(&payer, "UPDATE consent SET revoked_ms = recorded_ms");
    payer.kill();
    payer.serve();
    client.http = http(&payer.pki.ca, Some(&pair));
    client.get(&token, &paths[0]).await.assert_outcome(Fault::NotFound);
}
