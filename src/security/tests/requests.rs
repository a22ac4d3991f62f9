//! Authenticated requests: which partner a token and a certificate belong to.

use super::*;
use crate::secret::sha256;
use crate::security::operator;
use crate::security::{Operator, Role, Roles};

#[tokio::test]
async fn t_a05_a_bound_token_works_with_its_certificate_only() {
    let bed = Bed::new();
    let other = SigningKey::generate(Algorithm::Es384, "key-1").expect("key");
    bed.add(partner_row("other", &other));
    let own = certificate(URI, 1);
    let answer = bed.token("j-1", Some(&own)).await;
    let caller = bed.call(&answer, Some(&own)).await.expect("caller");
    assert_eq!(
        (
            caller.partner.id.as_str(),
            caller.client_id.as_str(),
            caller.partner.dialect.hrex.as_str()
        ),
        ("new-payer", "new-payer", "1.1")
    );
    assert_eq!(caller.jti_sha256, crate::secret::sha256(b"j-1"));
    let rows = [
        (None, Fault::CertificateNeeded),
        (Some(certificate(URI, 2)), Fault::TokenInvalid),
        (Some(certificate("https://other.example/fhir", 3)), Fault::TokenInvalid),
        (
            Some(certificate("https://nobody.example/fhir", 4)),
            Fault::CertificateUnknown,
        ),
        (
            Some(PeerCertificate {
                uris: Vec::new(),
                ..own.clone()
            }),
            Fault::TokenInvalid,
        ),
        (
            Some(PeerCertificate {
                not_after_s: NOW_S - 1,
                ..own.clone()
            }),
            Fault::CertificateUnknown,
        ),
    ];
    for (n, (presented, wanted)) in rows.into_iter().enumerate() {
        let got = bed.call(&answer, presented.as_ref()).await.map(drop);
        // A certificate without names belongs to no partner; no earlier result for it may be reused.
        let wanted = if presented.as_ref().is_some_and(|presented| presented.uris.is_empty()) {
            Fault::CertificateUnknown
        } else {
            wanted
        };
        assert_eq!(got, Err(wanted), "{n}");
    }
}

#[tokio::test]
async fn t_a14_t_a19_what_is_no_token_is_refused() {
    let bed = Bed::new();
    let own = certificate(URI, 1);
    let assertion = bed.assertion("j-1");
    let long = "x".repeat(100_000);
    for (bearer, wanted) in [
        (None, Fault::TokenMissing),
        (Some(""), Fault::TokenMissing),
        (Some("x"), Fault::TokenInvalid),
        (Some(assertion.as_str()), Fault::TokenInvalid),
        (Some(long.as_str()), Fault::TokenInvalid),
        (Some("' OR 1=1 --"), Fault::TokenInvalid),
    ] {
        let got = bed
            .authority
            .authenticate(&bed.ctx, bearer, Some(&own), correlation())
            .await;
        assert_eq!(got.err().map(|failure| failure.fault()), Some(wanted));
    }
    let nobody = certificate("https://nobody.example/fhir", 9);
    let got = bed
        .authority
        .authenticate(&bed.ctx, None, Some(&nobody), correlation())
        .await;
    assert_eq!(
        got.err().map(|failure| failure.fault()),
        Some(Fault::CertificateUnknown),
        "before the token is looked at"
    );
    let token = bed.token("j-2", Some(&own)).await;
    assert_eq!(
        super::Failure::fault(
            &bed.send(&form(token.access_token.expose(), "system/*.rs"), Some(&own))
                .await
                .expect_err("swap")
        ),
        Fault::OauthClient
    );
}

#[tokio::test]
async fn t_a20_tokens_end() {
    let bed = Bed::new();
    let own = PeerCertificate {
        not_after_s: NOW_S + 10_000,
        ..certificate(URI, 1)
    };
    let answer = bed.token("j-1", Some(&own)).await;
    bed.ctx.clock.advance_ms(299_999);
    assert!(bed.call(&answer, Some(&own)).await.is_ok());
    bed.ctx.clock.advance_ms(1);
    assert_eq!(bed.call(&answer, Some(&own)).await.map(drop), Err(Fault::TokenInvalid));
}

#[tokio::test]
async fn operators_tokens_carry_a_role_until_they_end() {
    let bed = Bed::new();
    let ctx = bed.ctx.clone();
    let issued = tokio::task::spawn_blocking(move || operator::issue(&ctx, &Role::Auditor.into(), "ana", 60_000))
        .await
        .expect("task")
        .expect("token");
    let token = issued.token;
    assert_eq!(issued.expires_ms, NOW_MS + 60_000);
    assert_eq!(
        bed.authority
            .operator(&bed.ctx, Some(token.expose()))
            .await
            .expect("an operator"),
        Operator {
            roles: Roles::from(Role::Auditor),
            name: "ana".to_owned(),
            token: sha256(token.expose().as_bytes()),
        }
    );
    let fault = |result: Result<Operator, Failure>| result.err().map(|failure| failure.fault());
    assert_eq!(
        fault(bed.authority.operator(&bed.ctx, None).await),
        Some(Fault::TokenMissing)
    );
    assert_eq!(
        fault(bed.authority.operator(&bed.ctx, Some("x")).await),
        Some(Fault::TokenInvalid)
    );
    let own = certificate(URI, 1);
    let partners = bed.token("j-1", Some(&own)).await;
    assert_eq!(
        fault(
            bed.authority
                .operator(&bed.ctx, Some(partners.access_token.expose()))
                .await
        ),
        Some(Fault::TokenInvalid)
    );
    let swapped = bed
        .authority
        .authenticate(&bed.ctx, Some(token.expose()), Some(&own), correlation())
        .await;
    assert_eq!(swapped.err().map(|failure| failure.fault()), Some(Fault::TokenInvalid));
    bed.ctx.clock.advance_ms(60_000);
    assert_eq!(
        fault(bed.authority.operator(&bed.ctx, Some(token.expose())).await),
        Some(Fault::TokenInvalid)
    );
    assert!(operator::issue(&bed.ctx, &Role::Admin.into(), "ana", operator::LIFE_MOST_MS + 1).is_err());
    assert!(bed.ledger().contains(&"operator.token-issued".to_owned()));
}

#[test]
fn discovery_says_what_smart_demands() {
    let bed = Bed::new();
    let document = crate::security::smart_configuration(&bed.settings);
    for name in ["token_endpoint", "introspection_endpoint", "revocation_endpoint"] {
        assert!(
            document[name]
                .as_str()
                .is_some_and(|url| url.starts_with("https://payer.example/oauth/")),
            "{name}"
        );
    }
    assert_eq!(document["grant_types_supported"], json!(["client_credentials"]));
    assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(
        document["token_endpoint_auth_methods_supported"],
        json!(["private_key_jwt"])
    );
    assert_eq!(document["tls_client_certificate_bound_access_tokens"], true);
    for scope in document["scopes_supported"].as_array().expect("scopes") {
        assert!(!crate::security::Scopes::parse(scope.as_str().expect("text")).is_empty());
    }
}
