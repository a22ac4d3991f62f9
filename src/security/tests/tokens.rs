//! The token endpoint: replay, forms, certificates, scopes, and its ledger entries.

use super::*;
use crate::security::oauth_error;
use crate::store::Db;
use crate::store::schema::{access_token, assertion_seen};
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
