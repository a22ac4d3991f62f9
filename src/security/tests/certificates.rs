//! The token endpoint and the tokens of a partner, depending on its certificate and its status.

use super::*;
use crate::store::Db;
use crate::store::schema::access_token;
use diesel::prelude::*;

#[tokio::test]
async fn t_a02_certificates_at_the_token_endpoint() {
    let bed = Bed::new();
    let other = SigningKey::generate(Algorithm::Es384, "key-1").expect("key");
    bed.add(partner_row("other", &other));
    let nameless = PeerCertificate {
        uris: Vec::new(),
        ..certificate(URI, 1)
    };
    let old = PeerCertificate {
        not_after_s: NOW_S - 1,
        ..certificate(URI, 1)
    };
    let early = PeerCertificate {
        not_before_s: NOW_S + 1,
        ..certificate(URI, 1)
    };
    let rows: Vec<(Option<PeerCertificate>, Fault)> = vec![
        (None, Fault::CertificateNeeded),
        (
            Some(certificate("https://nobody.example/fhir", 2)),
            Fault::CertificateUnknown,
        ),
        (
            Some(certificate("https://new-payer.example/fhir/", 2)),
            Fault::CertificateUnknown,
        ),
        (
            Some(certificate("https://NEW-payer.example/fhir", 2)),
            Fault::CertificateUnknown,
        ),
        (Some(certificate("https://other.example/fhir", 3)), Fault::OauthClient),
        (Some(nameless), Fault::CertificateUnknown),
        (Some(old), Fault::CertificateUnknown),
        (Some(early), Fault::CertificateUnknown),
    ];
    for (n, (presented, wanted)) in rows.iter().enumerate() {
        let body = form(&bed.assertion(&format!("j-{n}")), "system/*.rs");
        assert_eq!(fault(bed.send(&body, presented.as_ref()).await), Some(*wanted), "{n}");
    }
    let both = PeerCertificate {
        uris: vec!["https://other.example/fhir".into(), URI.into()],
        ..certificate(URI, 4)
    };
    let body = form(&bed.assertion("both"), "system/*.rs");
    assert_eq!(
        fault(bed.send(&body, Some(&both)).await),
        Some(Fault::CertificateUnknown),
        "of two partners is of none"
    );
}

#[tokio::test]
async fn t_a05_modes_of_mtls_bind_as_registered() {
    for (mode, presents, seconds, bound) in [
        ("required", true, 600, true),
        ("optional", true, 600, true),
        ("optional", false, 300, false),
        ("off", false, 300, false),
        ("off", true, 300, false),
    ] {
        let mut bed = Bed::with(Algorithm::Rs384, |row| row.mtls = mode.into());
        bed.settings.access_token_seconds = 600;
        let own = certificate(URI, 1);
        let answer = bed.token("j-1", presents.then_some(&own)).await;
        assert_eq!(answer.expires_in, seconds, "{mode} {presents}");
        let bindings = |db: &mut Db| {
            Ok(access_token::table
                .select(access_token::certificate_sha256)
                .first::<Option<Vec<u8>>>(db)?)
        };
        assert_eq!(
            bed.ctx.store.read_blocking(bindings).expect("read").is_some(),
            bound,
            "{mode} {presents}"
        );
        assert!(
            bed.call(&answer, presents.then_some(&own)).await.is_ok(),
            "{mode} {presents}"
        );
    }
}

#[tokio::test]
async fn t_a06_a_suspended_partner_gets_no_token_and_its_own_are_dead() {
    let bed = Bed::new();
    let own = certificate(URI, 1);
    let answer = bed.token("j-1", Some(&own)).await;
    bed.ctx
        .store
        .write_blocking(|db| partners::set_status(db, "new-payer", "suspended", Some("lost key"), NOW_MS))
        .expect("suspend");
    assert_eq!(
        fault(bed.send(&form(&bed.assertion("j-2"), "system/*.rs"), Some(&own)).await),
        Some(Fault::PartnerSuspended)
    );
    assert_eq!(
        bed.call(&answer, Some(&own)).await.map(drop),
        Err(Fault::PartnerSuspended)
    );
    bed.ctx
        .store
        .write_blocking(|db| partners::set_status(db, "new-payer", "active", None, NOW_MS))
        .expect("resume");
    assert!(bed.call(&answer, Some(&own)).await.is_ok());
    let kept: Vec<String> = vec!["another key".into()];
    bed.ctx
        .store
        .write_blocking(move |db| crate::store::tokens::revoke_other_keys(db, "new-payer", &kept, NOW_MS))
        .expect("rotate");
    assert_eq!(bed.call(&answer, Some(&own)).await.map(drop), Err(Fault::TokenInvalid));
}
