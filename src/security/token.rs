//! The token endpoint: SMART Backend Services, one access token for one assertion.
//!
//! A token exists only when its assertion's id, its row and its ledger entry were committed together.

use super::oauth::{Client, OauthRequest, OauthSettings, authenticate, refused, told};
use super::scopes::Scopes;
use super::throttle;
use crate::audit::{Action, Entry, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ids::is_fhir_id;
use crate::secret::{Secret, base64url, random, sha256};
use crate::store::tokens::{self, TokenRow, Wanted};
use serde_json::{Value, json};

/// Longest life of a token that is bound to no certificate, in seconds (threat A05).
const UNBOUND_MOST_S: u32 = 300;

/// The raw token request.
pub type TokenRequest<'a> = OauthRequest<'a>;

/// An issued token, as RFC 6749 section 5.1 answers it.
#[derive(Clone, Debug)]
pub struct TokenAnswer {
    /// The token itself: 256 random bits.
    pub access_token: Secret,
    /// Its life in seconds.
    pub expires_in: u32,
    /// What was granted.
    pub scope: String,
    /// The one patient it is narrowed to.
    pub patient: Option<String>,
}

impl TokenAnswer {
    /// The answer's body. Send it with `Cache-Control: no-store` and `Pragma: no-cache`.
    pub fn to_json(&self) -> Value {
        let mut body = json!({
            "access_token": self.access_token.expose(),
            "token_type": "bearer",
            "expires_in": self.expires_in,
            "scope": self.scope,
        });
        if let Some(patient) = &self.patient {
            body["patient"] = Value::from(patient.as_str());
        }
        body
    }
}

/// Issues an access token.
///
/// # Errors
/// Those of [`super::oauth_error`]'s table; each is in the ledger when this returns.
pub async fn issue(ctx: &Context, settings: &OauthSettings, request: TokenRequest<'_>) -> Result<TokenAnswer, Failure> {
    let mut claimed = None;
    let judge = attempt(ctx, settings, &request, &mut claimed);
    match throttle::judged(ctx, settings, &request, judge).await {
        Ok(answer) => Ok(answer),
        Err(failure) => Err(refused(ctx, settings, &request, claimed, failure).await),
    }
}

async fn attempt(
    ctx: &Context,
    settings: &OauthSettings,
    request: &TokenRequest<'_>,
    claimed: &mut Option<String>,
) -> Result<TokenAnswer, Failure> {
    if request.authorization.is_some() {
        return Err(Failure::new(Fault::OauthRequest).at("Authorization"));
    }
    let form = request.form()?;
    if form.demand("grant_type")? != "client_credentials" {
        return Err(Fault::OauthGrantType.into());
    }
    let requested = form.demand("scope")?.to_owned();
    if !Scopes::is_well_formed(&requested) {
        return Err(Failure::new(Fault::OauthScope).at("scope"));
    }
    let client = authenticate(ctx, settings, &form, request, claimed).await?;
    let scope = Scopes::parse(&client.partner.scopes)
        .grant(&requested)
        .ok_or(Fault::OauthScope)?;
    let patient = match form.get("patient") {
        None => None,
        Some(text) => Some(granted(ctx, &client, text).await?),
    };
    store(ctx, settings, request, client, scope, patient).await
}

async fn granted(ctx: &Context, client: &Client, text: &str) -> Result<String, Failure> {
    let untargeted = || Failure::new(Fault::OauthTarget).at("patient");
    let wanted = match text.strip_prefix("Patient/") {
        Some(id) if is_fhir_id(id) => Wanted::Patient(id.to_owned()),
        Some(_) => return Err(untargeted()),
        None => {
            let value = text
                .strip_prefix(ctx.payer.umb_system.as_str())
                .and_then(|rest| rest.strip_prefix('|'))
                .unwrap_or(text);
            Wanted::Umb(value.to_owned())
        }
    };
    let (partner, now_ms) = (client.partner.id.clone(), ctx.clock.now_ms());
    ctx.store
        .read(move |db| tokens::granted_patient(db, &partner, &wanted, now_ms))
        .await?
        .ok_or_else(untargeted)
}

async fn store(
    ctx: &Context,
    settings: &OauthSettings,
    request: &TokenRequest<'_>,
    client: Client,
    scope: String,
    patient: Option<String>,
) -> Result<TokenAnswer, Failure> {
    let token = base64url(&random::<32>());
    let life_s = match client.bind {
        Some(_) => settings.access_token_seconds,
        None => settings.access_token_seconds.min(UNBOUND_MOST_S),
    };
    let at_us = ctx.clock.now_us();
    let (issued_ms, ended_ms, surely_ms) = (ctx.clock.lasting_ms(), ctx.clock.ended_ms(), ctx.clock.surely_ms());
    let row = TokenRow {
        hash: sha256(token.as_bytes()).to_vec(),
        partner_id: client.partner.id.clone(),
        scope: scope.clone(),
        certificate_sha256: client.bind.map(|digest| digest.to_vec()),
        patient_id: patient.clone(),
        jti_sha256: client.verified.jti_sha256.to_vec(),
        key_thumbprint: client.verified.key_thumbprint.clone(),
        issued_ms,
        expires_ms: issued_ms + i64::from(life_s) * 1000,
        revoked_ms: None,
    };
    let entry = Entry::new(Action::TokenIssued, client.actor(), request.correlation.clone());
    let (entry_id, client_id, until_ms) = (
        ctx.ids.new_id(at_us / 1000),
        client.partner.client_id.clone(),
        client.remember_until_ms(),
    );
    // Once in some hundred tokens, what expired long ago is cleared away.
    let clears = row.hash[0] == 0;
    ctx.store
        .write(move |db| {
            if !tokens::remember(db, &client_id, &row.jti_sha256, until_ms, ended_ms)? {
                return Err(told("replay", false));
            }
            tokens::insert(db, &row)?;
            if clears {
                tokens::prune(db, issued_ms, surely_ms)?;
            }
            ledger::append(db, &entry, &entry_id, at_us)
        })
        .await?;
    Ok(TokenAnswer {
        access_token: Secret::new(token),
        expires_in: life_s,
        scope,
        patient,
    })
}
