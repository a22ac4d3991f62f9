//! Introspection (RFC 7662) and revocation (RFC 7009) of a partner's own tokens.
//!
//! The caller authenticates by a client assertion or by a valid access token of its own. Tokens of other partners are treated as unknown.

use super::authority::Authority;
use super::oauth::{OauthSettings, authenticate, refused};
use super::oauth_request::OauthRequest;
use super::throttle;
use crate::audit::{Action, Actor, LedgerEvent, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::secret::{base64url, sha256};
use crate::store::tokens;
use serde_json::{Value, json};

/// A request about a token.
struct Question {
    partner_id: String,
    actor: Actor,
    hash: [u8; 32],
}

/// Describes a token to the partner for which it was issued; for any other token the answer is `{"active":false}`.
///
/// # Errors
/// Those of [`super::oauth_error`]; each of them is in the ledger when this returns.
pub async fn introspect(
    ctx: &Context,
    settings: &OauthSettings,
    authority: &Authority,
    request: OauthRequest<'_>,
) -> Result<Value, Failure> {
    let question = ask(ctx, settings, authority, &request).await?;
    let now_ms = ctx.clock.now_ms();
    let found = ctx
        .store
        .read(move |db| tokens::holder(db, &question.hash, now_ms))
        .await?;
    let (now_ms, lasting_ms) = (ctx.clock.now_ms(), ctx.clock.lasting_ms());
    let live = found.filter(|holder| {
        let token = &holder.token;
        token.partner_id == question.partner_id
            && token.revoked_ms.is_none()
            && token.expires_ms > lasting_ms
            && holder.status == "active"
    });
    let Some(holder) = live else {
        return Ok(json!({ "active": false }));
    };
    let token = holder.token;
    // Converts lasting time, which may be ahead of the wall clock, to wall clock time.
    let on_the_wall = |lasting: i64| (lasting - lasting_ms + now_ms) / 1000;
    let mut answer = json!({
        "active": true,
        "scope": token.scope,
        "client_id": holder.client_id,
        "token_type": "bearer",
        "iat": on_the_wall(token.issued_ms),
        "exp": on_the_wall(token.expires_ms),
    });
    if let Some(patient) = token.patient_id {
        answer["patient"] = Value::from(patient);
    }
    if let Some(bound) = token.certificate_sha256 {
        answer["cnf"] = json!({ "x5t#S256": base64url(&bound) });
    }
    Ok(answer)
}

/// Revokes a token of the caller. A token that is unknown or not the caller's is silently ignored (RFC 7009 section 2.2).
///
/// # Errors
/// As [`introspect`].
pub async fn revoke(
    ctx: &Context,
    settings: &OauthSettings,
    authority: &Authority,
    request: OauthRequest<'_>,
) -> Result<(), Failure> {
    let question = ask(ctx, settings, authority, &request).await?;
    let at_us = ctx.clock.now_us();
    let id = ctx.ids.new_id(at_us / 1000);
    let entry = LedgerEvent::new(Action::TokenRevoked, question.actor, request.correlation.clone());
    ctx.store
        .reserved()
        .write(move |db| {
            if tokens::revoke(db, &question.hash, &question.partner_id, at_us / 1000)? {
                ledger::append(db, &entry, &id, at_us)?;
            }
            Ok(())
        })
        .await
}

async fn ask(
    ctx: &Context,
    settings: &OauthSettings,
    authority: &Authority,
    request: &OauthRequest<'_>,
) -> Result<Question, Failure> {
    let mut claimed = None;
    let judge = attempt(ctx, settings, authority, request, &mut claimed);
    match throttle::judged(ctx, &settings.throttle, request, judge).await {
        Ok(question) => Ok(question),
        Err(failure) => Err(refused(ctx, settings, request, claimed, failure).await),
    }
}

async fn attempt(
    ctx: &Context,
    settings: &OauthSettings,
    authority: &Authority,
    request: &OauthRequest<'_>,
    claimed: &mut Option<String>,
) -> Result<Question, Failure> {
    let form = request.form()?;
    let hash = sha256(form.demand("token")?.as_bytes());
    if let Some(header) = request.authorization {
        if form.get("client_assertion").is_some() {
            return Err(Failure::new(Fault::OauthRequest).at("Authorization"));
        }
        let bearer = header
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let bearer = bearer.ok_or_else(|| Failure::new(Fault::OauthRequest).at("Authorization"))?;
        let caller = authority
            .authenticate(ctx, Some(bearer), request.certificate, request.correlation.clone())
            .await?;
        return Ok(Question {
            partner_id: caller.partner.id.clone(),
            actor: caller.actor(),
            hash,
        });
    }
    let client = authenticate(ctx, settings, &form, request, claimed).await?;
    let (now_ms, until_ms) = (ctx.clock.ended_ms(), client.remember_until_ms());
    let (client_id, jti) = (client.partner.client_id.clone(), client.verified.jti_sha256);
    let fresh = ctx
        .store
        .reserved()
        .write(
            move |db| match tokens::remember(db, &client_id, &jti, until_ms, now_ms)? {
                true => Ok(()),
                false => Err(super::oauth::told("replay", false)),
            },
        )
        .await;
    fresh?;
    Ok(Question {
        actor: client.actor(),
        partner_id: client.partner.id,
        hash,
    })
}
