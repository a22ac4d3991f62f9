//! Use cases in this process, over the store of a payer whose server does not run: what a server would hand them.

use super::client::ALL_SCOPES;
use super::payer::{PARTNER_NPI, PARTNER_URI, TestPayer};
use causeway::clock::Clock;
use causeway::context::{Context, GuessGuard, Payer, ReviewTerms, WorkBell};
use causeway::ids::Ids;
use causeway::release::{AnswerTerms, Everything, EverythingQuery};
use causeway::secret::member_keys::MemberKeys;
use causeway::security::tls::Revocations;
use causeway::security::{Authority, Caller, Dialect, PartnerRef, PeerCertificate};
use causeway::store::guesses::GuessLimits;
use causeway::telemetry::Correlation;
use std::sync::Arc;
use std::time::Duration;

pub async fn context(payer: &TestPayer, clock: Clock) -> Context {
    let store = payer.place.open();
    let guard = {
        let store = store.clone();
        tokio::task::spawn_blocking(move || GuessGuard::open(&store, GuessLimits::default()))
    };
    Context {
        guard: Arc::new(guard.await.expect("runs").expect("a guard")),
        matching: Arc::default(),
        policy_four_eyes: false,
        review: ReviewTerms::default(),
        keeping: Arc::default(),
        member_keys: MemberKeys::default(),
        bell: WorkBell::default(),
        store,
        clock,
        ids: Ids::random(),
        payer: Arc::new(Payer {
            name: "Old Payer".into(),
            npi: "1992000012".into(),
            member_system: "http://old-payer.example/identifiers/member".into(),
            umb_system: "http://old-payer.example/identifiers/umb".into(),
            base_url: "https://old-payer.example/fhir".into(),
            time_zone: chrono_tz::America::New_York,
        }),
    }
}

/// The partner `new-payer`, as the security layer would make it.
pub fn caller() -> Caller {
    Caller {
        partner: PartnerRef {
            id: "new-payer".into(),
            npi: PARTNER_NPI.into(),
            dialect: Dialect {
                hrex: "1.1".into(),
                pdex: "2.2".into(),
                us_core: "6.1.0".into(),
            },
            error_texts: None,
        },
        client_id: "new-payer".into(),
        scope: ALL_SCOPES.into(),
        patient_id: None,
        certificate_sha256: None,
        jti_sha256: [7; 32],
        token_sha256: [7; 32],
        token_expires_ms: i64::MAX,
        partner_version: 1,
        correlation: Correlation::internal("request-1".into()),
    }
}

/// The record of a member on its way to [`caller`].
pub async fn everything(ctx: &Context, patient: &str) -> Everything {
    asked_everything(ctx, patient, EverythingQuery::default()).await
}

/// The same, asked with parameters.
pub async fn asked_everything(ctx: &Context, patient: &str, query: EverythingQuery) -> Everything {
    let terms = AnswerTerms {
        authority: Authority::new(Revocations::default()),
        certificate: Some(PeerCertificate {
            sha256: [0; 32],
            uris: vec![PARTNER_URI.into()],
            issuer_sha256: [0; 32],
            serial: vec![1],
            not_before_s: 0,
            not_after_s: i64::MAX,
        }),
        longest: Duration::from_secs(600),
    };
    let url = format!("{}/x", ctx.payer.base_url);
    let no_links = Box::new(|_| String::new());
    Everything::begin(ctx, &caller(), terms, patient, query, url, no_links)
        .await
        .expect("a record")
}
