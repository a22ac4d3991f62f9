//! The token endpoint: SMART Backend Services, one access token for each assertion.
//!
//! A token exists only after the assertion's id, the token's row and its ledger entry were committed together.

use super::oauth::{Client, OauthSettings, authenticate, refused, told};
use super::oauth_request::OauthRequest;
use super::scopes::Scopes;
use super::throttle;
use crate::audit::{Action, LedgerEvent, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ids::is_fhir_id;
use crate::secret::{Secret, base64url, random, sha256};
use crate::store::DiskRoom;
use crate::store::tokens::{self, TokenRow, WantedPatient};
use serde_json::{Value, json};
use std::time::Instant;

/// Longest lifetime of a token that is not bound to a certificate, in seconds (threat A05).
const UNBOUND_MOST_S: u32 = 300;

/// The raw token request.
pub type TokenRequest<'a> = OauthRequest<'a>;

/// An issued token, with the fields of RFC 6749 section 5.1.
#[derive(Clone, Debug)]
pub struct TokenAnswer {
    /// The token itself: 256 random bits.
    pub access_token: Secret,
    /// Its lifetime in seconds.
    pub expires_in: u32,
    /// The granted scopes.
    pub scope: String,
    /// The only patient that it allows, if it is limited to one.
    pub patient: Option<String>,
    /// The partner for which it was issued; not part of the answer.
    pub partner_id: String,
}

impl TokenAnswer {
    /// The body of the answer. Send it with `Cache-Control: no-store` and `Pragma: no-cache`.
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
/// Those of [`super::oauth_error`]; each of them is in the ledger when this returns.
pub async fn issue(ctx: &Context, settings: &OauthSettings, request: TokenRequest<'_>) -> Result<TokenAnswer, Failure> {
    let mut claimed = None;
    let judge = attempt(ctx, settings, &request, &mut claimed);
    match throttle::judged(ctx, &settings.throttle, &request, judge).await {
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
        Some(id) if is_fhir_id(id) => WantedPatient::Patient(id.to_owned()),
        Some(_) => return Err(untargeted()),
        None => {
            let value = text
                .strip_prefix(ctx.payer.umb_system.as_str())
                .and_then(|rest| rest.strip_prefix('|'))
                .unwrap_or(text);
            WantedPatient::Umb(value.to_owned())
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
    if ctx.store.room() == DiskRoom::NoWrites && !settings.scarce.may_have(&client.partner.id, Instant::now()) {
        return Err(Fault::NoRoom.into());
    }
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
    let partner_id = row.partner_id.clone();
    let entry = LedgerEvent::new(Action::TokenIssued, client.actor(), request.correlation.clone());
    let (entry_id, client_id, until_ms) = (
        ctx.ids.new_id(at_us / 1000),
        client.partner.client_id.clone(),
        client.remember_until_ms(),
    );
    // For one in 256 tokens on average, rows that expired long ago are deleted.
    let clears = row.hash[0] == 0;
    // A read needs a token, so tokens are written as long as the ledger entries of reads are.
    ctx.store
        .reserved()
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
        partner_id,
    })
}
