//! The token endpoint (SMART Backend Services), and what a token allows.
//!
//! The assertion is truly verified: signature, audience, times, and that it comes once.

use super::state::{ASSERTION_BYTES, HeldToken, bearer, secret};
use super::visit::PlayedVisit;
use crate::script::{SandboxAct, SandboxOffer};
use crate::wire::{PlayedReply, pairs};
use causeway_jose::{Algorithm, Compact};
use serde_json::{Value, json};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The scope of `$member-match` (PDex, "Scopes for Operations").
pub(super) const MATCH_SCOPE: &str = "http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match";
/// The scope of `$bulk-member-match` (PDex 2.2).
const BULK_MATCH_SCOPE: &str = "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/BulkMemberMatch";
/// Most seconds from now to the end of an assertion (SMART App Launch 2.2).
const ASSERTION_SECONDS: i64 = 300;
/// Seconds by which the clocks of client and payer may differ.
const TOLERANCE_SECONDS: i64 = 5;

/// An OAuth error (RFC 6749 section 5.2).
pub(super) fn refused(status: u16, error: &str, why: &str) -> PlayedReply {
    PlayedReply::json(status, &json!({ "error": error, "error_description": why }))
        .with("Cache-Control", "no-store")
        .with("Pragma", "no-cache")
}

pub(super) fn answer(by: &PlayedVisit<'_>) -> PlayedReply {
    if !by.request.is_form() {
        return refused(400, "invalid_request", "the body is not a form");
    }
    let Ok(text) = std::str::from_utf8(&by.request.body) else {
        return refused(400, "invalid_request", "the form is not UTF-8");
    };
    let fields = pairs(text);
    let field = |name: &str| -> Result<Option<&str>, PlayedReply> {
        let mut values = fields
            .iter()
            .filter(|(given, _)| given == name)
            .map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(refused(400, "invalid_request", "a field is given twice")),
            (value, None) => Ok(value),
        }
    };
    let needed =
        |name: &str| field(name).and_then(|v| v.ok_or_else(|| refused(400, "invalid_request", "a field is missing")));
    let read = || {
        if needed("grant_type")? != "client_credentials" {
            return Err(refused(400, "unsupported_grant_type", "only client_credentials"));
        }
        if needed("client_assertion_type")? != ASSERTION_TYPE {
            return Err(refused(400, "invalid_request", "client_assertion_type"));
        }
        Ok((needed("client_assertion")?, needed("scope")?, field("patient")?))
    };
    let (assertion, scope, patient) = match read() {
        Ok(read) => read,
        Err(reply) => return reply,
    };
    match verified(by, assertion) {
        Ok((client, jti)) => issue(by, &client, jti, scope, patient),
        Err(why) => refused(401, "invalid_client", why),
    }
}

/// Verifies an assertion and returns its client and its `jti`.
fn verified(by: &PlayedVisit<'_>, assertion: &str) -> Result<(String, String), &'static str> {
    let compact = Compact::parse(assertion, ASSERTION_BYTES)?;
    let claim = |name: &str| compact.claims.get(name).and_then(Value::as_str);
    let client = claim("iss").ok_or("iss is missing")?.to_owned();
    if claim("sub") != Some(&client) {
        return Err("sub is not iss");
    }
    let header = |name: &str| compact.header.get(name).and_then(Value::as_str);
    let algorithm = header("alg")
        .and_then(Algorithm::parse)
        .ok_or("the algorithm is not accepted")?;
    let mut moving = by.play.moving();
    let known = moving.clients.get(&client).ok_or("the client is not registered")?;
    let key = header("kid")
        .and_then(|kid| known.keys.find(kid))
        .ok_or("the key is not registered")?;
    if !key.takes(algorithm) || !compact.is_signed_by(key, algorithm) {
        return Err("the signature is wrong");
    }
    let here = by.play.token_url();
    let audience = match compact.claims.get("aud") {
        Some(Value::String(one)) => *one == here,
        Some(Value::Array(several)) => several.iter().any(|one| one == &here),
        _ => false,
    };
    if !audience {
        return Err("aud is not the token endpoint");
    }
    drop(moving);
    let now_s = by.now_ms() / 1000;
    let seconds = |name: &str| compact.claims.get(name).and_then(Value::as_i64);
    let ends_s = seconds("exp").ok_or("exp is missing")?;
    if ends_s <= now_s - TOLERANCE_SECONDS {
        return Err("the assertion is over");
    }
    if ends_s > now_s + ASSERTION_SECONDS + TOLERANCE_SECONDS {
        return Err("exp is more than five minutes ahead");
    }
    if ["iat", "nbf"]
        .iter()
        .filter_map(|name| seconds(name))
        .any(|from_s| from_s > now_s + TOLERANCE_SECONDS)
    {
        return Err("the assertion is not valid yet");
    }
    let jti = claim("jti")
        .filter(|jti| !jti.is_empty())
        .ok_or("jti is missing")?
        .to_owned();
    moving = by.play.moving();
    moving.assertions.retain(|_, ends| *ends + TOLERANCE_SECONDS > now_s);
    match moving.assertions.insert((client.clone(), jti.clone()), ends_s) {
        None => Ok((client, jti)),
        Some(_) => Err("the assertion was used before"),
    }
}

fn issue(by: &PlayedVisit<'_>, client: &str, jti: String, scope: &str, patient: Option<&str>) -> PlayedReply {
    let play = by.play;
    let allowed = play.moving().clients.get(client).and_then(|known| known.scopes.clone());
    let granted: Vec<String> = scope
        .split(' ')
        .filter(|one| known_scope(one) && allowed.as_ref().is_none_or(|allowed| allowed.iter().any(|a| a == one)))
        .map(str::to_owned)
        .collect();
    if granted.is_empty() {
        return refused(400, "invalid_scope", "none of these scopes can be granted");
    }
    let patient = patient.map(|id| id.rsplit('/').next().unwrap_or(id).to_owned());
    if let Some(id) = &patient {
        let member = play.roster.by_patient(id).map(|member| member.index);
        let granted = member.is_some_and(|member| play.moving().grants.contains_key(&(client.to_owned(), member)));
        if !granted {
            return refused(400, "invalid_request", "the patient was not matched");
        }
    }
    let (expiry, lives_s, told_scope, told_type) = match &by.treatment.token {
        Some(SandboxAct::Token {
            expiry,
            lives_s,
            scope,
            token_type,
        }) => (*expiry, *lives_s, scope.clone(), token_type.clone()),
        _ => (true, None, None, None),
    };
    let told_s = i64::from(play.script.token_seconds);
    let token = secret();
    let mut answer = json!({
        "access_token": token,
        "token_type": told_type.unwrap_or_else(|| "Bearer".into()),
        "scope": told_scope.unwrap_or_else(|| granted.join(" "))
    });
    if expiry {
        answer["expires_in"] = json!(told_s);
    }
    if let Some(id) = &patient {
        answer["patient"] = json!(id);
    }
    let held = HeldToken {
        client: client.to_owned(),
        scopes: granted,
        certificate: *by.certified,
        ends_ms: by.now_ms() + lives_s.unwrap_or(told_s).saturating_mul(1000),
        patient,
        number: by.number,
    };
    let now_ms = by.now_ms();
    let mut moving = play.moving();
    moving.tokens.retain(|_, held| held.ends_ms > now_ms - 3_600_000);
    moving.tokens.insert(token, held);
    drop(moving);
    play.effect(by.number, by.request, by.asked, Some(jti));
    PlayedReply::json(200, &answer)
        .with("Cache-Control", "no-store")
        .with("Pragma", "no-cache")
}

/// Whether a scope is one of `$member-match` or of reading.
fn known_scope(scope: &str) -> bool {
    if scope == MATCH_SCOPE || scope == BULK_MATCH_SCOPE {
        return true;
    }
    let Some((_, rights)) = scope.strip_prefix("system/").and_then(|rest| rest.split_once('.')) else {
        return false;
    };
    let rights = rights.split('?').next().unwrap_or(rights);
    rights == "read" || rights == "*" || (!rights.is_empty() && rights.bytes().all(|b| b"cruds".contains(&b)))
}

/// Whether `scopes` allow `right`, `r` or `s`, on a type.
fn allows(scopes: &[String], kind: &str, right: char) -> bool {
    scopes.iter().any(|scope| {
        let Some((of, rights)) = scope.strip_prefix("system/").and_then(|rest| rest.split_once('.')) else {
            return false;
        };
        let rights = rights.split('?').next().unwrap_or(rights);
        (of == "*" || of == kind) && (rights == "read" || rights == "*" || rights.contains(right))
    })
}

/// Who asks, as the token says.
pub(super) struct TokenBearer {
    pub(super) client: String,
    pub(super) patient: Option<String>,
    number: u64,
    scopes: Vec<String>,
}

/// The bearer of the token, if it is valid here and now.
///
/// # Errors
/// The 401 to answer.
pub(super) fn authenticate(by: &PlayedVisit<'_>) -> Result<TokenBearer, PlayedReply> {
    let refused =
        |why: &str| PlayedReply::outcome(401, "login", why).with("WWW-Authenticate", "Bearer error=\"invalid_token\"");
    let token = bearer(by.request).ok_or_else(|| refused("there is no token"))?;
    let now_ms = by.now_ms();
    let moving = by.play.moving();
    let held = moving
        .tokens
        .get(token)
        .ok_or_else(|| refused("the token is not known"))?;
    if held.ends_ms <= now_ms {
        return Err(refused("the token is over"));
    }
    if held.certificate.is_some() && held.certificate != *by.certified {
        return Err(refused("the token is bound to another certificate"));
    }
    Ok(TokenBearer {
        client: held.client.clone(),
        patient: held.patient.clone(),
        number: held.number,
        scopes: held.scopes.clone(),
    })
}

fn forbidden(why: &str) -> PlayedReply {
    PlayedReply::outcome(403, "forbidden", why).with("WWW-Authenticate", "Bearer error=\"insufficient_scope\"")
}

impl TokenBearer {
    /// Whether the token is one for `$member-match`.
    ///
    /// # Errors
    /// The 403 to answer.
    pub(super) fn may_match(&self) -> Result<(), PlayedReply> {
        match self.scopes.iter().any(|scope| scope == MATCH_SCOPE) {
            true => Ok(()),
            false => Err(forbidden("the token is not for $member-match")),
        }
    }

    /// Whether the token is one for `$bulk-member-match`.
    ///
    /// # Errors
    /// The 403 to answer.
    pub(super) fn may_match_in_bulk(&self) -> Result<(), PlayedReply> {
        match self.scopes.iter().any(|scope| scope == BULK_MATCH_SCOPE) {
            true => Ok(()),
            false => Err(forbidden("the token is not for $bulk-member-match")),
        }
    }

    /// Whether the record of `member` may be read, of type `kind` with `right`.
    ///
    /// # Errors
    /// The 403 or 404 to answer.
    pub(super) fn may_read(
        &self,
        by: &PlayedVisit<'_>,
        member: usize,
        kind: &str,
        right: char,
    ) -> Result<(), PlayedReply> {
        if !allows(&self.scopes, kind, right) {
            return Err(forbidden("the token is not for this type"));
        }
        // What was not granted is not there.
        let absent = || PlayedReply::outcome(404, "not-found", "this payer has no such resource");
        let matched = by
            .play
            .moving()
            .grants
            .get(&(self.client.clone(), member))
            .copied()
            .ok_or_else(absent)?;
        let id = &by.play.roster.all()[member].patient_id;
        if self.patient.as_ref().is_some_and(|patient| patient != id) {
            return Err(absent());
        }
        if by.play.script.second_token && self.number < matched {
            return Err(forbidden("data needs a token that was issued after the match"));
        }
        Ok(())
    }
}

/// The scopes that discovery tells.
pub(super) fn scopes_supported(offers: &[SandboxOffer]) -> Vec<&'static str> {
    let data: &[&str] = if offers.is_empty() {
        &[]
    } else {
        &["system/*.rs", "system/*.read"]
    };
    let bulk: &[&str] = match offers.contains(&SandboxOffer::Bulk) {
        true => &[BULK_MATCH_SCOPE],
        false => &[],
    };
    [&[MATCH_SCOPE], bulk, data].concat()
}
