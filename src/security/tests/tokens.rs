//! The token endpoint: replay, forms, certificates, scopes, patients, and its ledger entries.

use super::*;
use crate::security::{introspect, oauth_error, revoke};
use crate::store::Db;
use crate::store::schema::{access_token, assertion_seen, compartment, consent, grants};
use diesel::prelude::*;
use std::sync::Arc;

#[tokio::test]
async fn a_token_is_issued_with_all_that_backend_services_asks_for() {
    let bed = Bed::new();
    let own = certificate(URI, 1);
    let answer = bed.token("j-1", Some(&own)).await;
    let body = answer.to_json();
    assert_eq!(body["token_type"], "bearer");
    assert_eq!(
        (body["expires_in"].as_i64(), body["scope"].as_str()),
        (Some(300), Some("system/*.rs"))
    );
    assert_eq!(body["access_token"].as_str().map(str::len), Some(43));
    assert!(body.get("patient").is_none());
    let hash = crate::secret::sha256(answer.access_token.expose().as_bytes()).to_vec();
    let stored = bed
        .ctx
        .store
        .read_blocking(|db| Ok(access_token::table.find(hash).count().get_result::<i64>(db)?))
        .expect("read");
    assert_eq!(stored, 1, "stored as a hash only");
    assert_eq!(bed.ledger(), ["token.issued"]);
    let both = bed
        .send(
            &form(&bed.assertion("j-2"), &format!("{MEMBER_MATCH} system/*.* nonsense")),
            Some(&own),
        )
        .await
        .expect("token");
    assert_eq!(both.scope, format!("{MEMBER_MATCH} system/*.read"));
}

#[tokio::test]
async fn t_a07_an_assertion_works_once_also_after_a_restart_and_a_step_back() {
    let bed = Bed::new();
    let own = certificate(URI, 1);
    let body = form(&bed.assertion("j-1"), "system/*.rs");
    assert!(bed.send(&body, Some(&own)).await.is_ok());
    assert_eq!(fault(bed.send(&body, Some(&own)).await), Some(Fault::OauthClient));
    // Another process has nothing in memory: new settings with the same store.
    let other = OauthSettings {
        keyring: Keyring::new(false),
        refusals: Refusals::default(),
        ..bed.settings.clone()
    };
    assert_eq!(
        fault(issue(&bed.ctx, &other, request(&body, Some(&own))).await),
        Some(Fault::OauthClient)
    );
    // The clock passes the expiry, expired rows are deleted, and the clock is set back.
    bed.ctx.clock.advance_ms(600_000);
    let clock = bed.ctx.clock.clone();
    bed.ctx
        .store
        .write_blocking(move |db| crate::store::tokens::prune(db, clock.lasting_ms(), clock.surely_ms()))
        .expect("prune");
    bed.ctx.clock.advance_ms(-600_000);
    assert_eq!(fault(bed.send(&body, Some(&own)).await), Some(Fault::OauthClient));
    assert_eq!(
        bed.ledger().iter().filter(|action| *action == "token.issued").count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_a07_of_200_at_once_one_wins() {
    let bed = Arc::new(Bed::new());
    let body = Arc::new(form(&bed.assertion("j-1"), "system/*.rs"));
    let barrier = Arc::new(tokio::sync::Barrier::new(200));
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let (bed, body, barrier) = (Arc::clone(&bed), Arc::clone(&body), Arc::clone(&barrier));
            tokio::spawn(async move {
                let own = certificate(URI, 1);
                barrier.wait().await;
                bed.send(&body, Some(&own)).await.is_ok()
            })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        won += usize::from(task.await.expect("task"));
    }
    assert_eq!(won, 1);
    let tokens = bed
        .ctx
        .store
        .read_blocking(|db| Ok(access_token::table.count().get_result::<i64>(db)?))
        .expect("read");
    assert_eq!(tokens, 1);
    // A flood is recorded singly a hundred times, then as one count when the minute is over.
    assert_eq!(
        bed.ledger().iter().filter(|action| *action == "token.refused").count(),
        100
    );
    bed.settings.refusals.flush(&bed.ctx).await.expect("flush");
    assert_eq!(
        bed.ledger().iter().filter(|action| *action == "token.refused").count(),
        101
    );
}

#[tokio::test]
async fn t_a07_an_unverified_assertion_uses_up_no_id() {
    let bed = Bed::new();
    let own = certificate(URI, 1);
    let stranger = SigningKey::generate(Algorithm::Es384, "key-1").expect("key");
    let forged = stranger
        .assertion("new-payer", TOKEN_URL, NOW_S, "j-1")
        .expect("assertion");
    assert_eq!(
        fault(bed.send(&form(&forged, "system/*.rs"), Some(&own)).await),
        Some(Fault::OauthClient)
    );
    let seen = |db: &mut Db| Ok(assertion_seen::table.count().get_result::<i64>(db)?);
    assert_eq!(bed.ctx.store.read_blocking(seen).expect("read"), 0);
    bed.token("j-1", Some(&own)).await;
    // An id may be used again after its assertion has expired.
    bed.ctx.clock.advance_ms(400_000);
    let later = bed
        .key
        .assertion("new-payer", TOKEN_URL, NOW_S + 400, "j-1")
        .expect("assertion");
    assert!(bed.send(&form(&later, "system/*.rs"), Some(&own)).await.is_ok());
}

#[tokio::test]
async fn t_a16_token_requests_that_are_malformed() {
    let bed = Bed::new();
    let own = certificate(URI, 1);
    let good = |n: usize| form(&bed.assertion(&format!("j-{n}")), "system/*.rs");
    let rows: Vec<(String, Fault)> = vec![
        (String::new(), Fault::OauthRequest),
        (format!("{}&scope=system%2F*.rs", good(1)), Fault::OauthRequest),
        (
            format!("{}&grant_type=client_credentials", good(2)),
            Fault::OauthRequest,
        ),
        (format!("{}&client_assertion=x", good(3)), Fault::OauthRequest),
        (format!("{}&client_secret=x", good(4)), Fault::OauthRequest),
        (format!("{}&x=%zz", good(5)), Fault::OauthRequest),
        (
            good(6).replace("grant_type=client_credentials&", ""),
            Fault::OauthRequest,
        ),
        (good(7).replace("scope=system%2F%2A.rs&", ""), Fault::OauthRequest),
        (good(8).replace("scope=system%2F%2A.rs", "scope="), Fault::OauthRequest),
        (good(9).replace("jwt-bearer", "saml2-bearer"), Fault::OauthRequest),
        (
            good(10).replace("client_credentials", "authorization_code"),
            Fault::OauthGrantType,
        ),
        (
            good(11).replace("client_credentials", "refresh_token"),
            Fault::OauthGrantType,
        ),
        (
            good(12).replace("client_credentials", "password"),
            Fault::OauthGrantType,
        ),
        (form(&bed.assertion("j-13"), "system/*.cud"), Fault::OauthScope),
        (form(&bed.assertion("j-14"), "system/*.rs\"x"), Fault::OauthScope),
        (form(&bed.assertion("j-15"), "patient/*.rs openid"), Fault::OauthScope),
        (format!("{}&client_id=other", good(16)), Fault::OauthClient),
        (form("not.a.jwt", "system/*.rs"), Fault::OauthClient),
    ];
    for (body, wanted) in &rows {
        assert_eq!(
            fault(bed.send(body, Some(&own)).await),
            Some(*wanted),
            "{}",
            &body[..body.len().min(120)]
        );
    }
    let body = good(20);
    let with = |change: fn(&mut OauthRequest<'_>)| {
        let mut changed = request(&body, Some(&own));
        change(&mut changed);
        changed
    };
    for bad in [
        with(|r| r.has_query = true),
        with(|r| r.authorization = Some("Basic bmV3LXBheWVyOng=")),
        with(|r| r.authorization = Some("Bearer x")),
        with(|r| r.content_type = Some("application/json")),
        with(|r| r.content_type = None),
    ] {
        assert_eq!(
            fault(issue(&bed.ctx, &bed.settings, bad).await),
            Some(Fault::OauthRequest)
        );
    }
    assert_eq!(bed.ledger().len(), rows.len() + 5, "every refusal is recorded");
    assert!(
        bed.send(&format!("{}&client_id=new-payer", good(21)), Some(&own))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn t_a19_unknown_client_and_bad_signature_are_answered_alike() {
    let bed = Bed::new();
    let other_key = SigningKey::generate(Algorithm::Es384, "key-1").expect("key");
    bed.add(partner_row("other", &other_key));
    let of_another = certificate("https://other.example/fhir", 1);
    let stranger = SigningKey::generate(Algorithm::Es384, "key-1").expect("key");
    let unknown_key = SigningKey::generate(Algorithm::Es384, "key-9").expect("key");
    let mut answers = Vec::new();
    for certificate in [None, Some(&of_another)] {
        for (key, client, jti) in [
            (&stranger, "new-payer", "a"),
            (&stranger, "nobody", "b"),
            (&unknown_key, "new-payer", "c"),
        ] {
            let forged = key.assertion(client, TOKEN_URL, NOW_S, jti).expect("assertion");
            answers.push(oauth_error(
                &bed.send(&form(&forged, "system/*.rs"), certificate)
                    .await
                    .expect_err("refused"),
            ));
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let (status, error, description) = &answers[0];
    assert_eq!((*status, *error), (401, "invalid_client"));
    assert!(description.ends_with("[OA-002]"), "{description}");
    assert!(description.contains(Fault::OauthClient.row().remedy), "{description}");
}

/// A partner on a connection with its own certificate learns what is wrong with its key. What is wrong with its claims it learns only after
/// its signature has been verified.
#[tokio::test]
async fn t_a19_what_is_wrong_is_told_to_whom_it_concerns() {
    let bed = Bed::new();
    let own = certificate(URI, 1);
    let stranger = SigningKey::generate(Algorithm::Es384, "key-1").expect("key");
    let unknown = SigningKey::generate(Algorithm::Es384, "key-9").expect("key");
    let told = async |text: String, certificate: Option<&PeerCertificate>| {
        let failure = bed
            .send(&form(&text, "system/*.rs"), certificate)
            .await
            .expect_err("refused");
        assert_eq!(failure.fault(), Fault::OauthClient);
        failure.remedy_text().to_owned()
    };
    let sign = |key: &SigningKey, name: &str, value: serde_json::Value| {
        let mut claims = super::claims();
        claims[name] = value;
        key.sign(&key.header(), &claims).expect("signature")
    };
    for (name, value, hint) in [
        ("aud", json!("https://other.example/token"), "aud: "),
        ("exp", json!(NOW_S - 600), "exp: the assertion has expired"),
        ("exp", json!(NOW_S + 86_400), "exp: it must be at most 300 s ahead"),
        ("exp", json!("soon"), "exp: it must be seconds"),
        ("iat", json!(NOW_S + 3600), "iat: "),
        ("nbf", json!(NOW_S + 3600), "nbf: "),
        ("jti", json!(""), "jti: "),
        ("sub", json!("other"), "sub: "),
    ] {
        // With a valid signature the claim's fault is named, with or without a certificate.
        for certificate in [None, Some(&own)] {
            let remedy = told(sign(&bed.key, name, value.clone()), certificate).await;
            assert!(remedy.starts_with(hint), "{name}: {remedy}");
        }
        // With a forged signature nothing about the claims is revealed, whatever the certificate.
        let forged = sign(&stranger, name, value.clone());
        assert_eq!(
            told(forged.clone(), None).await,
            Fault::OauthClient.row().remedy,
            "{name}"
        );
        let remedy = told(forged, Some(&own)).await;
        assert!(remedy.starts_with("The signature"), "{name}: {remedy}");
    }
    let assertion = |key: &SigningKey| key.assertion("new-payer", TOKEN_URL, NOW_S, "j").expect("assertion");
    let remedy = told(assertion(&unknown), Some(&own)).await;
    assert!(remedy.starts_with("kid: "), "{remedy}");
    assert_eq!(told(assertion(&unknown), None).await, Fault::OauthClient.row().remedy);
    bed.token("once", Some(&own)).await;
    let remedy = told(bed.assertion("once"), Some(&own)).await;
    assert!(remedy.starts_with("jti: this id was used before"), "{remedy}");
}

#[test]
fn oauth_errors_are_those_of_rfc_6749() {
    for (fault, status, error) in [
        (Fault::OauthRequest, 400, "invalid_request"),
        (Fault::OauthClient, 401, "invalid_client"),
        (Fault::CertificateNeeded, 401, "invalid_client"),
        (Fault::CertificateUnknown, 401, "invalid_client"),
        (Fault::PartnerSuspended, 401, "invalid_client"),
        (Fault::OauthGrantType, 400, "unsupported_grant_type"),
        (Fault::OauthScope, 400, "invalid_scope"),
        (Fault::OauthTarget, 400, "invalid_target"),
        (Fault::Overloaded, 503, "temporarily_unavailable"),
        (Fault::RateLimited, 429, "temporarily_unavailable"),
        (Fault::StoreUnavailable, 503, "temporarily_unavailable"),
        (Fault::Internal, 500, "server_error"),
    ] {
        let (got_status, got_error, description) = oauth_error(&fault.into());
        assert_eq!((got_status, got_error), (status, error), "{fault:?}");
        assert!(description.ends_with(&format!("[{}]", fault.code())));
    }
}

#[tokio::test]
async fn a_token_is_narrowed_to_a_granted_patient_only() {
    let bed = Bed::new();
    let own = certificate(URI, 1);
    for (number, patient, partner, revoked) in [
        (1, "ana", "new-payer", None),
        (2, "ben", "other", None),
        (3, "cleo", "new-payer", Some(NOW_MS)),
    ] {
        bed.ctx
            .store
            .write_blocking(move |db| grant(db, number, patient, partner, revoked))
            .expect("grant");
    }
    let ask = |jti: &str, patient: &str| {
        format!(
            "{}&patient={}",
            form(&bed.assertion(jti), "system/*.rs"),
            encode(patient)
        )
    };
    for (n, patient) in ["Patient/ana", "umb-1", "http://payer.example/umb|umb-1"]
        .iter()
        .enumerate()
    {
        let answer = bed
            .send(&ask(&format!("ok-{n}"), patient), Some(&own))
            .await
            .expect("token");
        assert_eq!(answer.to_json()["patient"], "ana", "{patient}");
        assert_eq!(
            bed.call(&answer, Some(&own))
                .await
                .expect("caller")
                .patient_id
                .as_deref(),
            Some("ana")
        );
    }
    for (n, patient) in [
        "Patient/ben",
        "Patient/cleo",
        "Patient/nobody",
        "Patient/",
        "Patient/../ana",
        "ana",
        "umb-2",
        "umb-3",
        "http://other/umb|umb-1",
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(
            fault(bed.send(&ask(&format!("no-{n}"), patient), Some(&own)).await),
            Some(Fault::OauthTarget),
            "{patient}"
        );
    }
    bed.ctx.clock.advance_ms(200_000);
    let late = bed
        .key
        .assertion("new-payer", TOKEN_URL, NOW_S + 200, "late")
        .expect("assertion");
    let body = format!("{}&patient=Patient%2Fana", form(&late, "system/*.rs"));
    assert_eq!(
        fault(bed.send(&body, Some(&own)).await),
        Some(Fault::OauthTarget),
        "the grant is over"
    );
}

fn grant(db: &mut Db, number: i64, patient: &str, partner: &str, revoked_ms: Option<i64>) -> Result<(), Failure> {
    diesel::insert_into(compartment::table)
        .values((
            compartment::no.eq(number),
            compartment::patient_id.eq(patient),
            compartment::umb.eq(format!("umb-{number}")),
            compartment::next_seq.eq(1),
        ))
        .execute(db)?;
    diesel::insert_into(consent::table)
        .values((
            consent::id.eq(format!("c-{number}")),
            consent::partner_id.eq(partner),
            consent::patient_id.eq(patient),
            consent::digest.eq(vec![1u8]),
            consent::policy.eq("regular"),
            consent::period_from_ms.eq(NOW_MS - 1),
            consent::period_to_ms.eq(NOW_MS + 100_000),
            consent::body.eq(vec![1u8]),
            consent::recorded_ms.eq(NOW_MS),
            consent::revoked_ms.eq(revoked_ms),
        ))
        .execute(db)?;
    diesel::insert_into(grants::table)
        .values((
            grants::id.eq(format!("g-{number}")),
            grants::partner_id.eq(partner),
            grants::compartment.eq(number),
            grants::patient_id.eq(patient),
            grants::consent_id.eq(format!("c-{number}")),
            grants::decision_id.eq("d"),
            grants::sensitive.eq(0),
            grants::valid_from_ms.eq(NOW_MS - 1),
            grants::valid_until_ms.eq(NOW_MS + 100_000),
            grants::created_ms.eq(NOW_MS),
            grants::renewed_ms.eq(NOW_MS),
        ))
        .execute(db)?;
    Ok(())
}

#[tokio::test]
async fn introspection_and_revocation_are_for_ones_own_tokens() {
    let bed = Bed::new();
    let other_key = SigningKey::generate(Algorithm::Es384, "key-1").expect("key");
    bed.add(partner_row("other", &other_key));
    let (own, others) = (certificate(URI, 1), certificate("https://other.example/fhir", 2));
    let answer = bed.token("j-1", Some(&own)).await;
    let token = answer.access_token.expose();
    let by_assertion = |assertion: &str| {
        form(assertion, "x").replace("grant_type=client_credentials&scope=x&", &format!("token={token}&"))
    };

    let mine = by_assertion(&bed.assertion("j-2"));
    let seen = introspect(&bed.ctx, &bed.settings, &bed.authority, request(&mine, Some(&own)))
        .await
        .expect("introspection");
    assert_eq!(
        (
            seen["active"].as_bool(),
            seen["client_id"].as_str(),
            seen["scope"].as_str()
        ),
        (Some(true), Some("new-payer"), Some("system/*.rs"))
    );
    assert_eq!(seen["exp"].as_i64(), Some(NOW_S + 300));
    assert_eq!(
        seen["cnf"]["x5t#S256"].as_str(),
        Some(crate::secret::base64url(&[1; 32]).as_str())
    );
    let again = introspect(&bed.ctx, &bed.settings, &bed.authority, request(&mine, Some(&own))).await;
    assert_eq!(
        again.err().map(|failure| failure.fault()),
        Some(Fault::OauthClient),
        "an assertion works once here, too"
    );

    let bearer = format!("Bearer {token}");
    let asked = format!("token={token}");
    let by_bearer = OauthRequest {
        authorization: Some(&bearer),
        ..request(&asked, Some(&own))
    };
    assert_eq!(
        introspect(&bed.ctx, &bed.settings, &bed.authority, by_bearer)
            .await
            .expect("introspection")["active"],
        true
    );
    let nobody = introspect(&bed.ctx, &bed.settings, &bed.authority, request(&asked, Some(&own))).await;
    assert_eq!(nobody.err().map(|failure| failure.fault()), Some(Fault::OauthRequest));

    let theirs = |jti: &str| by_assertion(&other_key.assertion("other", TOKEN_URL, NOW_S, jti).expect("assertion"));
    let body = theirs("o-1");
    let seen = introspect(&bed.ctx, &bed.settings, &bed.authority, request(&body, Some(&others)))
        .await
        .expect("introspection");
    assert_eq!(seen, json!({ "active": false }));
    revoke(
        &bed.ctx,
        &bed.settings,
        &bed.authority,
        request(&theirs("o-2"), Some(&others)),
    )
    .await
    .expect("silence");
    assert!(bed.call(&answer, Some(&own)).await.is_ok(), "another cannot revoke it");
    revoke(
        &bed.ctx,
        &bed.settings,
        &bed.authority,
        request(&by_assertion(&bed.assertion("j-3")), Some(&own)),
    )
    .await
    .expect("revocation");
    assert_eq!(bed.call(&answer, Some(&own)).await.map(drop), Err(Fault::TokenInvalid));
    assert!(bed.ledger().contains(&"token.revoked".to_owned()));
}
