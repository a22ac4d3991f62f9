//! What a token is worth: narrowed to a granted patient, looked up and revoked by its own partner only.

use super::*;
use crate::security::{introspect, revoke};
use crate::store::Db;
use crate::store::schema::{compartment, consent, grants};
use diesel::prelude::*;

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
