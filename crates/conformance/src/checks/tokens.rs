//! SMART Backend Services: the discovery document, the tokens that are granted, and the assertions that must be refused.

use super::super::session::{ASSERTION_TYPE, Session};
use super::super::shape::texts;
use super::super::stop::{Checked, Stop, demand, fail, skip};
use super::super::test::{FixedTest, Smart};
use super::super::wire::{Call, ServerAnswer};
use serde_json::json;

#[rustfmt::skip]
pub(in super::super) const TESTS: &[FixedTest<Smart>] = &[
    ("discovery", "document", "smart-discovery", "smart-configuration is public JSON, whatever Accept says", Smart::Discovery),
    ("discovery", "fields", "smart-discovery", "smart-configuration holds the required fields with absolute URLs", Smart::DiscoveryFields),
    ("discovery", "algorithms", "smart-algorithms", "RS384 or ES384 is among the algorithms, none and HS* are not", Smart::Algorithms),
    ("token", "granted", "smart-token", "A right assertion buys a token with access_token, token_type, expires_in and scope", Smart::Token),
    ("token", "no-store", "rfc6749-no-store", "Token answers are not to be stored", Smart::NoStore),
    ("token", "scope", "smart-scope", "The granted scope is what was asked or less", Smart::ScopeNarrowed),
    ("refusal", "grant-type", "rfc6749-errors", "Another grant_type is refused as unsupported_grant_type", Smart::GrantType),
    ("refusal", "no-assertion", "smart-client-authentication", "A request without an assertion is refused", Smart::NoAssertion),
    ("refusal", "assertion-type", "smart-client-authentication", "Another client_assertion_type is refused", Smart::AssertionType),
    ("refusal", "signature", "smart-client-authentication", "A spoiled signature is invalid_client", Smart::Signature),
    ("refusal", "unsigned", "smart-client-authentication", "alg none is invalid_client", Smart::Unsigned),
    ("refusal", "kid", "smart-client-authentication", "A kid that is not registered is invalid_client", Smart::Kid),
    ("refusal", "audience", "smart-client-authentication", "Another aud is invalid_client", Smart::Audience),
    ("refusal", "expired", "smart-client-authentication", "An expired assertion is invalid_client", Smart::Expired),
    ("refusal", "too-long", "smart-client-authentication", "An exp more than five minutes ahead is invalid_client", Smart::TooLong),
    ("refusal", "subject", "smart-client-authentication", "A sub that is not the iss is invalid_client", Smart::Subject),
    ("refusal", "unknown-client", "smart-client-authentication", "A client nobody registered is invalid_client", Smart::UnknownClient),
    ("refusal", "replay", "smart-jti", "An assertion is taken once", Smart::Replay),
    ("refusal", "scope", "rfc6749-errors", "A scope that cannot be granted is invalid_scope", Smart::ScopeInvalid),
    ("refusal", "media-type", "smart-token-form", "A JSON body at the token endpoint is refused", Smart::MediaType),
    ("use", "bound", "rfc8705-bound", "A token got with a certificate is dead without it", Smart::Bound),
    ("use", "introspection", "smart-introspection", "Introspection tells active, scope, client_id and exp", Smart::Introspection),
    ("use", "revocation", "rfc7009-revocation", "A revoked token is dead", Smart::Revocation),
];

pub(super) async fn run(which: Smart, session: &mut Session) -> Checked {
    match which {
        Smart::Discovery => discovery(session).await,
        Smart::DiscoveryFields => fields(session).await,
        Smart::Algorithms => algorithms(session).await,
        Smart::Token => token(session).await,
        Smart::NoStore => no_store(session).await,
        Smart::ScopeNarrowed => narrowed(session).await,
        Smart::ScopeInvalid => {
            let answer = session.fresh_token("no-such-scope", None).await?;
            error(&answer, 400, &["invalid_scope"])
        }
        Smart::MediaType => media_type(session).await,
        Smart::Replay => replay(session).await,
        Smart::Bound => bound(session).await,
        Smart::Introspection => introspection(session).await,
        Smart::Revocation => revocation(session).await,
        Smart::GrantType | Smart::NoAssertion | Smart::AssertionType => form(which, session).await,
        _ => assertion(which, session).await,
    }
}

async fn discovery(session: &mut Session) -> Checked {
    for accept in ["application/json", "application/fhir+json", "text/html"] {
        let url = session.url(".well-known/smart-configuration");
        let answer = session
            .wire
            .send(Call::new("GET", url).header("accept", accept))
            .await?;
        let media_type = answer.status(200)?.header("content-type").to_ascii_lowercase();
        demand(media_type.split(';').next() == Some("application/json"), || {
            format!("Accept {accept}: Content-Type is {media_type}, not application/json")
        })?;
        answer.json()?;
    }
    Ok(())
}

async fn fields(session: &mut Session) -> Checked {
    let url = session.url(".well-known/smart-configuration");
    let smart = session.wire.send(Call::new("GET", url)).await?.status(200)?.json()?;
    for (field, wanted) in [
        ("grant_types_supported", "client_credentials"),
        ("capabilities", "client-confidential-asymmetric"),
        ("code_challenge_methods_supported", "S256"),
        ("token_endpoint_auth_methods_supported", "private_key_jwt"),
    ] {
        demand(texts(&smart[field]).contains(&wanted), || {
            format!("{field} does not name {wanted}")
        })?;
    }
    demand(
        !texts(&smart["code_challenge_methods_supported"]).contains(&"plain"),
        || "code_challenge_methods_supported names plain".to_owned(),
    )?;
    let capabilities = texts(&smart["capabilities"]);
    let version = capabilities
        .iter()
        .any(|one| matches!(*one, "permission-v1" | "permission-v2"));
    demand(version, || "capabilities name no version of permissions".to_owned())?;
    demand(smart["token_endpoint"].is_string(), || "no token_endpoint".to_owned())?;
    for (field, value) in smart.as_object().into_iter().flatten() {
        if field.ends_with("_endpoint") || field == "jwks_uri" {
            let absolute = value.as_str().is_some_and(|url| url.starts_with("https://"));
            demand(absolute, || format!("{field} is no absolute https URL"))?;
        }
    }
    Ok(())
}

async fn algorithms(session: &mut Session) -> Checked {
    let url = session.url(".well-known/smart-configuration");
    let smart = session.wire.send(Call::new("GET", url)).await?.status(200)?.json()?;
    let named = texts(&smart["token_endpoint_auth_signing_alg_values_supported"]);
    let weak = named.iter().any(|one| *one == "none" || one.starts_with("HS"));
    demand(named.iter().any(|one| matches!(*one, "RS384" | "ES384")), || {
        "neither RS384 nor ES384 is named".to_owned()
    })?;
    demand(!weak, || "none or a symmetric algorithm is named".to_owned())
}

async fn token(session: &mut Session) -> Checked {
    let scope = session.settings.scope.clone();
    let answer = session.fresh_token(&scope, None).await?;
    let body = answer.status(200)?.json()?;
    let text = |name: &str| body[name].as_str().unwrap_or("");
    demand(!text("access_token").is_empty(), || "no access_token".to_owned())?;
    demand(text("token_type").eq_ignore_ascii_case("bearer"), || {
        "token_type is not bearer".to_owned()
    })?;
    demand(!text("scope").is_empty(), || "no scope".to_owned())?;
    let life = body["expires_in"].as_i64().unwrap_or(0);
    demand((1..=3600).contains(&life), || {
        "expires_in is no number from 1 to 3600".to_owned()
    })?;
    demand(body.get("refresh_token").is_none(), || {
        "a refresh token was issued".to_owned()
    })?;
    let media_type = answer.header("content-type");
    demand(media_type.starts_with("application/json"), || {
        format!("Content-Type is {media_type}")
    })
}

async fn no_store(session: &mut Session) -> Checked {
    let scope = session.settings.scope.clone();
    let answer = session.fresh_token(&scope, None).await?;
    let cache = answer.status(200)?.header("cache-control");
    demand(cache.contains("no-store"), || {
        format!("Cache-Control is {cache:?}, not no-store")
    })
}

async fn narrowed(session: &mut Session) -> Checked {
    let scope = "system/Patient.rs";
    let answer = session.fresh_token(scope, None).await?;
    if answer.status == 400 {
        return skip("the client may not ask for system/Patient.rs");
    }
    let granted = answer.status(200)?.json()?["scope"].as_str().unwrap_or("").to_owned();
    let within = granted.split(' ').all(|one| one.starts_with("system/Patient."));
    demand(within && !granted.is_empty(), || {
        format!("{scope} was asked for, {granted:?} granted")
    })
}

/// Checks that the answer is an OAuth error with this status, in the form of RFC 6749 section 5.2.
fn error(answer: &ServerAnswer, status: u16, wanted: &[&str]) -> Checked {
    let status = if wanted == ["invalid_client"] {
        vec![401, 400]
    } else {
        vec![status]
    };
    let body = answer.one_of(&status)?.json()?;
    let found = body["error"].as_str().unwrap_or("missing");
    demand(wanted.contains(&found), || {
        format!("error is {found}, not {}", wanted.join(" or "))
    })?;
    demand(body.get("access_token").is_none(), || {
        "a token beside an error".to_owned()
    })
}

async fn form(which: Smart, session: &mut Session) -> Checked {
    let scope = session.settings.scope.clone();
    let assertion = session.assertion().await?;
    let grant = if which == Smart::GrantType {
        "password"
    } else {
        "client_credentials"
    };
    let kind = if which == Smart::AssertionType {
        "urn:example:other"
    } else {
        ASSERTION_TYPE
    };
    let mut form = vec![("grant_type", grant), ("scope", scope.as_str())];
    if which != Smart::NoAssertion {
        form.extend([
            ("client_assertion_type", kind),
            ("client_assertion", assertion.as_str()),
        ]);
    }
    let answer = session.ask_token(&form).await?;
    if which == Smart::GrantType {
        return error(&answer, 400, &["unsupported_grant_type"]);
    }
    let body = answer.one_of(&[400, 401])?.json()?;
    let found = body["error"].as_str().unwrap_or("missing");
    demand(matches!(found, "invalid_client" | "invalid_request"), || {
        format!("error is {found}, not invalid_client or invalid_request")
    })
}

async fn assertion(which: Smart, session: &mut Session) -> Checked {
    let audience = session.token_endpoint().await?;
    let (mut header, mut claims) = (session.settings.key.header(), session.claims(&audience));
    let now = session.now_s();
    match which {
        Smart::Unsigned => header["alg"] = json!("none"),
        Smart::Kid => header["kid"] = json!("no-such-key"),
        Smart::Audience => claims["aud"] = json!("https://other.example/token"),
        Smart::Expired => (claims["iat"], claims["exp"]) = (json!(now - 900), json!(now - 600)),
        Smart::TooLong => claims["exp"] = json!(now + 86_400),
        Smart::Subject => claims["sub"] = json!("somebody-else"),
        Smart::UnknownClient => {
            claims["iss"] = json!("nobody-registered");
            claims["sub"] = json!("nobody-registered");
        }
        _ => {}
    }
    let mut signed = session.sign(&header, &claims)?;
    if which == Smart::Signature {
        // A signature of the same length over other claims, so that only verifying it shows that it is wrong.
        let other = session.sign(&header, &json!({"other": true}))?;
        let (head, _) = signed.rsplit_once('.').unwrap_or((&signed, ""));
        signed = format!("{head}.{}", other.rsplit('.').next().unwrap_or(""));
    } else if which == Smart::Unsigned {
        signed = format!("{}.", signed.rsplit_once('.').map_or("", |(head, _)| head));
    }
    let scope = session.settings.scope.clone();
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", scope.as_str()),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", signed.as_str()),
    ];
    error(&session.ask_token(&form).await?, 401, &["invalid_client"])
}

async fn replay(session: &mut Session) -> Checked {
    let (scope, assertion) = (session.settings.scope.clone(), session.assertion().await?);
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", scope.as_str()),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion.as_str()),
    ];
    session.ask_token(&form).await?.status(200)?;
    error(&session.ask_token(&form).await?, 401, &["invalid_client"])
}

async fn media_type(session: &mut Session) -> Checked {
    let url = session.token_endpoint().await?;
    let body = json!({"grant_type": "client_credentials"}).to_string();
    let answer = session
        .wire
        .send(Call::new("POST", url).body("application/json", body))
        .await?;
    answer.one_of(&[400, 401, 415]).map(drop)
}

async fn bound(session: &mut Session) -> Checked {
    if session.settings.identity_pem.is_none() {
        return skip("the client file names no certificate");
    }
    let smart = session.smart().await?;
    if smart["tls_client_certificate_bound_access_tokens"] != true {
        return Err(Stop::Omit("the server does not bind tokens to certificates".to_owned()));
    }
    let patient = session.patient().await?;
    let token = session.read_token().await?;
    let call = Call::get(session.url(&format!("Patient/{patient}"))).bearer(&token);
    session.wire.send(call.clone()).await?.status(200)?;
    let answer = session.wire.send(call.without_certificate()).await?;
    answer.status(401)?.outcome().map(drop)
}

async fn live_token(session: &mut Session) -> Checked<String> {
    let scope = session.settings.scope.clone();
    let body = session.fresh_token(&scope, None).await?.status(200)?.json()?;
    match body["access_token"].as_str() {
        Some(token) => Ok(token.to_owned()),
        None => fail("no access_token"),
    }
}

/// Posts a token to an endpoint of the SMART configuration, as this client.
async fn post_token(session: &mut Session, endpoint: &str, token: &str) -> Checked<ServerAnswer> {
    let smart = session.smart().await?;
    let Some(url) = smart[endpoint].as_str().map(str::to_owned) else {
        return Err(Stop::Omit(format!("smart-configuration names no {endpoint}")));
    };
    let mut answer = None;
    // The audience of an assertion is not standardized here: the token endpoint is tried first, then the endpoint itself.
    for audience in [session.token_endpoint().await?, url.clone()] {
        let assertion = session.sign(&session.settings.key.header(), &session.claims(&audience))?;
        let form = [
            ("token", token),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion.as_str()),
        ];
        let got = session.wire.send(Call::new("POST", url.clone()).form(&form)).await?;
        let done = got.status == 200;
        answer = Some(got);
        if done {
            break;
        }
    }
    answer.ok_or_else(|| Stop::Error("nothing was sent".to_owned()))
}

async fn introspection(session: &mut Session) -> Checked {
    let token = live_token(session).await?;
    let answer = post_token(session, "introspection_endpoint", &token).await?;
    let body = answer.status(200)?.json()?;
    demand(body["active"] == true, || "a live token is not active".to_owned())?;
    let client = body["client_id"] == session.settings.client_id.as_str();
    demand(client, || "client_id is not the client's".to_owned())?;
    demand(body["scope"].is_string() && body["exp"].is_number(), || {
        "scope and exp are due".to_owned()
    })?;
    let answer = post_token(session, "introspection_endpoint", "no-such-token").await?;
    let body = answer.status(200)?.json()?;
    demand(body["active"] == false, || {
        "a token nobody issued is not inactive".to_owned()
    })
}

async fn revocation(session: &mut Session) -> Checked {
    let (token, patient) = (live_token(session).await?, session.patient().await?);
    let call = Call::get(session.url(&format!("Patient/{patient}"))).bearer(&token);
    session.wire.send(call.clone()).await?.status(200)?;
    post_token(session, "revocation_endpoint", &token).await?.status(200)?;
    // A server may cache a token for a moment.
    for wait_ms in [0, 300, 700, 1_500] {
        tokio::time::sleep(std::time::Duration::from_millis(wait_ms)).await;
        if session.wire.send(call.clone()).await?.status == 401 {
            return Ok(());
        }
    }
    fail("a revoked token still works")
}
