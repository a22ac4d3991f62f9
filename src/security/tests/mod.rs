//! The threats of section A, tested through the use cases. Test names begin with the threat's id.

mod assertions;
mod certificates;
mod clocks;
mod fuzz;
mod keys;
mod keysets;
pub(crate) mod made;
mod refusals;
mod requests;
mod token_rights;
mod tokens;

use crate::clock::Clock;
use crate::context::{Context, Payer};
use crate::error::{Failure, Fault};
use crate::ids::Ids;
use crate::security::keyring::Keyring;
use crate::security::tls::Revocations;
use crate::security::{
    Authority, MEMBER_MATCH, OauthRequest, OauthSettings, PeerCertificate, Refusals, Throttle, TokenAnswer, issue,
};
use crate::store::partners::{self, PartnerRow};
use crate::store::{Store, StoreOptions, StoreUrl};
use crate::telemetry::Correlation;
use causeway_jose::Algorithm;
use causeway_jose::SigningKey;
use serde_json::{Value, json};
use std::time::Duration;

/// 2027-01-01T00:00:00Z.
const NOW_MS: i64 = 1_798_761_600_000;
const NOW_S: i64 = NOW_MS / 1000;
const TOKEN_URL: &str = "https://payer.example/oauth/token";
const URI: &str = "https://new-payer.example/fhir";

/// A payer with one partner, and that partner's key and certificate.
struct Bed {
    ctx: Context,
    settings: OauthSettings,
    authority: Authority,
    key: SigningKey,
    _folder: tempfile::TempDir,
}

impl Bed {
    fn new() -> Bed {
        Bed::with(Algorithm::Es384, |_| {})
    }

    fn with(algorithm: Algorithm, change: impl FnOnce(&mut PartnerRow)) -> Bed {
        let folder = tempfile::tempdir().expect("folder");
        let url = StoreUrl::Sqlite(folder.path().join("test.db"));
        let payer = Payer {
            name: "Old Payer".into(),
            npi: "1992000012".into(),
            member_system: "http://payer.example/member".into(),
            umb_system: "http://payer.example/umb".into(),
            base_url: "https://payer.example/fhir".into(),
            time_zone: chrono_tz::America::New_York,
        };
        let store = Store::open(
            &url,
            &StoreOptions {
                connections: 4,
                ..StoreOptions::default()
            },
        )
        .expect("store");
        let ctx = Context::with_defaults(store, Clock::fixed(NOW_MS), Ids::random(), payer).expect("a context");
        let key = made::key(algorithm, "key-1");
        let mut row = partner_row("new-payer", &key);
        change(&mut row);
        ctx.store
            .write_blocking(move |db| partners::insert(db, &row))
            .expect("partner");
        let revocations = Revocations::default();
        let settings = OauthSettings {
            scarce: crate::security::scarce::ScarceTokens::default(),
            base_url: "https://payer.example/fhir".into(),
            token_url: TOKEN_URL.into(),
            introspection_url: "https://payer.example/oauth/introspect".into(),
            revocation_url: "https://payer.example/oauth/revoke".into(),
            access_token_seconds: 300,
            client_certificates: true,
            keyring: Keyring::new(false),
            refusals: Refusals::default(),
            throttle: Throttle::new(0, Duration::from_secs(60)),
            revocations: revocations.clone(),
        };
        let authority = Authority::remembering(revocations, Duration::ZERO);
        Bed {
            ctx,
            settings,
            authority,
            key,
            _folder: folder,
        }
    }

    fn add(&self, row: PartnerRow) {
        self.ctx
            .store
            .write_blocking(move |db| partners::insert(db, &row))
            .expect("partner");
    }

    fn assertion(&self, jti: &str) -> String {
        self.key
            .assertion("new-payer", TOKEN_URL, NOW_S, jti)
            .expect("assertion")
    }

    async fn send(&self, body: &str, certificate: Option<&PeerCertificate>) -> Result<TokenAnswer, Failure> {
        issue(&self.ctx, &self.settings, request(body, certificate)).await
    }

    /// Gets a token by a valid request with this certificate.
    async fn token(&self, jti: &str, certificate: Option<&PeerCertificate>) -> TokenAnswer {
        self.send(&form(&self.assertion(jti), "system/*.rs"), certificate)
            .await
            .expect("token")
    }

    async fn call(
        &self,
        token: &TokenAnswer,
        certificate: Option<&PeerCertificate>,
    ) -> Result<crate::security::Caller, Fault> {
        let bearer = Some(token.access_token.expose());
        self.authority
            .authenticate(&self.ctx, bearer, certificate, correlation())
            .await
            .map_err(|failure| failure.fault())
    }

    fn ledger(&self) -> Vec<String> {
        use crate::store::schema::ledger_entry::dsl;
        use diesel::prelude::*;
        let load = |db: &mut crate::store::Db| {
            Ok(dsl::ledger_entry
                .order(dsl::id)
                .select(dsl::action)
                .load::<String>(db)?)
        };
        self.ctx.store.read_blocking(load).expect("ledger")
    }
}

fn partner_row(id: &str, key: &SigningKey) -> PartnerRow {
    PartnerRow {
        id: id.into(),
        name: id.into(),
        npi: "1992000020".into(),
        client_id: id.into(),
        status: "active".into(),
        status_reason: None,
        certificate_uri: Some(format!("https://{id}.example/fhir")),
        mtls: "required".into(),
        scopes: format!("system/*.rs {MEMBER_MATCH}"),
        dialect: r#"{"hrex":"1.1","pdex":"2.2","us_core":"6.1.0"}"#.into(),
        jwks: Some(json!({ "keys": [key.public_jwk()] }).to_string()),
        jwks_url: None,
        endpoint: None,
        contacts: None,
        version: 1,
        created_ms: NOW_MS,
        updated_ms: NOW_MS,
    }
}

/// A certificate as a connection would present it.
fn certificate(uri: &str, mark: u8) -> PeerCertificate {
    PeerCertificate {
        sha256: [mark; 32],
        uris: vec![uri.into()],
        issuer_sha256: [9; 32],
        serial: vec![mark],
        not_before_s: NOW_S - 1000,
        not_after_s: NOW_S + 1000,
    }
}

fn correlation() -> Correlation {
    Correlation::internal("request-1".into())
}

fn request<'a>(body: &'a str, certificate: Option<&'a PeerCertificate>) -> OauthRequest<'a> {
    OauthRequest {
        body: body.as_bytes(),
        content_type: Some("application/x-www-form-urlencoded"),
        has_query: false,
        authorization: None,
        certificate,
        address: None,
        correlation: correlation(),
    }
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

fn form(assertion: &str, scope: &str) -> String {
    format!(
        "grant_type=client_credentials&scope={}&client_assertion_type={}&client_assertion={}",
        encode(scope),
        encode("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        encode(assertion),
    )
}

fn claims() -> Value {
    json!({ "iss": "new-payer", "sub": "new-payer", "aud": TOKEN_URL, "exp": NOW_S + 240, "iat": NOW_S, "jti": "j-1" })
}

fn fault(result: Result<TokenAnswer, Failure>) -> Option<Fault> {
    result.err().map(|failure| failure.fault())
}
