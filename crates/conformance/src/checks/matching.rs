//! `$member-match`: the answer to a match, and the refusals, which must not reveal any member.

use super::super::found;
use super::super::holdings::parameter;
use super::super::session::Session;
use super::super::stop::{Checked, demand, fail, skip};
use super::super::test::{FixedTest, Match};
use super::super::wire::{Call, ServerAnswer};
use serde_json::{Value, json};

#[rustfmt::skip]
pub(in super::super) const TESTS: &[FixedTest<Match>] = &[
    ("match", "success", "mm-8", "Exactly one match is answered with 200 and Parameters", Match::Success),
    ("match", "one-identifier", "mm-8", "The answer holds one MemberIdentifier, one MemberId at most, and nothing else", Match::One),
    ("match", "identifier-type", "mm-identifier", "MemberIdentifier has a value and the type UMB or MB", Match::IdentifierType),
    ("match", "member-id", "pdex-199", "MemberId is a reference to a Patient that can be read", Match::MemberId),
    ("match", "same-patient", "mm-3", "The Patient of the match is found by the MemberIdentifier", Match::SamePatient),
    ("refusal", "no-match", "mm-9", "No match is 422 with an OperationOutcome, and names nobody", Match::Nobody),
    ("refusal", "ambiguous", "mm-10", "Several matches are 422 with an OperationOutcome, and name nobody", Match::Ambiguous),
    ("refusal", "consent-period", "mm-11", "A consent that is over is 422 without a patient", Match::ConsentPeriod),
    ("refusal", "no-patient", "mm-profile", "A request without MemberPatient is 422", Match::MissingPatient),
    ("refusal", "no-coverage", "mm-profile", "A request without CoverageToMatch is 422", Match::MissingCoverage),
    ("refusal", "unknown-parameter", "mm-profile", "A parameter of another name is 422", Match::UnknownParameter),
    ("refusal", "foreign-reference", "mm-6", "A reference that does not resolve to MemberPatient is 422", Match::ForeignReference),
    ("refusal", "not-parameters", "fhir-400", "A body that is no Parameters is refused with an OperationOutcome", Match::NotParameters),
    ("refusal", "bad-json", "fhir-400", "A body that is no JSON is 400", Match::BadJson),
    ("refusal", "media-type", "fhir-415", "A body of another media type is 415", Match::MediaType),
    ("access", "scope", "rfc6750-403", "A token without the operation's scope is 403", Match::ScopeNeeded),
    ("access", "token", "rfc6750-401", "Without a token: 401", Match::TokenNeeded),
    ("access", "get", "mm-post", "The operation is not answered to GET", Match::GetRefused),
];

#[rustfmt::skip]
pub(in super::super) const PDEX: &[FixedTest<Match>] = &[
    ("match", "member-identifier", "pdex-198", "A match answers MemberIdentifier", Match::IdentifierType),
    ("match", "member-id", "pdex-199", "MemberId, when answered, can be read", Match::MemberId),
    ("match", "no-match", "mm-9", "No match is 422", Match::Nobody),
    ("match", "consent", "pdex-203", "A consent that cannot be honored is 422 and says so, without a patient", Match::Consent),
];

pub(super) async fn run(which: Match, session: &mut Session) -> Checked {
    let body = match session.settings.matching.clone() {
        Some(body) => body,
        None => return skip("the client file names no body that matches"),
    };
    match which {
        Match::Success => {
            let answer = session.post_match(&body).await?;
            matched(&answer).map(drop)
        }
        Match::One => one(&matched(&session.post_match(&body).await?)?),
        Match::IdentifierType => identifier(&matched(&session.post_match(&body).await?)?),
        Match::MemberId => member_id(session, &body).await,
        Match::SamePatient => same_patient(session).await,
        Match::Nobody => {
            let body = session.settings.no_match.clone();
            refused(session, body, "no_match").await
        }
        Match::Ambiguous => {
            let body = session.settings.ambiguous.clone();
            refused(session, body, "ambiguous").await
        }
        Match::Consent => {
            let body = session.settings.consent.clone();
            refused(session, body, "consent").await
        }
        Match::ConsentPeriod
        | Match::MissingPatient
        | Match::MissingCoverage
        | Match::UnknownParameter
        | Match::ForeignReference => refused(session, spoiled(which, body), "match").await,
        Match::NotParameters => {
            let answer = session
                .post_match(&json!({"resourceType": "Patient", "id": "x"}))
                .await?;
            names_nobody(answer.one_of(&[400, 422])?)
        }
        Match::BadJson => names_nobody(raw(session, "application/fhir+json", "{").await?.status(400)?),
        Match::MediaType => names_nobody(raw(session, "text/plain", &body.to_string()).await?.status(415)?),
        Match::ScopeNeeded => {
            let token = session.read_token().await?;
            let call = Call::new("POST", session.url("Patient/$member-match"))
                .bearer(&token)
                .fhir(&body);
            names_nobody(session.wire.send(call).await?.status(403)?)
        }
        Match::TokenNeeded => {
            let call = Call::new("POST", session.url("Patient/$member-match")).fhir(&body);
            names_nobody(session.wire.send(call).await?.status(401)?)
        }
        Match::GetRefused => {
            let scope = session.settings.match_scope.clone();
            let token = session.token(&scope).await?;
            let call = Call::get(session.url("Patient/$member-match")).bearer(&token);
            session
                .wire
                .send(call)
                .await?
                .one_of(&[400, 403, 404, 405])?
                .outcome()
                .map(drop)
        }
    }
}

/// The body that matches, changed in the way that this test needs.
fn spoiled(which: Match, body: Value) -> Option<Value> {
    match which {
        Match::ConsentPeriod => {
            let ended = json!({"start": "2001-01-01", "end": "2001-12-31"});
            changed(body, "Consent", |consent| consent["provision"]["period"] = ended)
        }
        Match::MissingPatient => Some(without(body, "MemberPatient")),
        Match::MissingCoverage => Some(without(body, "CoverageToMatch")),
        Match::ForeignReference => {
            let foreign = json!({"reference": "Patient/somebody-else"});
            changed(body, "CoverageToMatch", |coverage| coverage["beneficiary"] = foreign)
        }
        Match::UnknownParameter => {
            let mut more = body;
            if let Some(all) = more["parameter"].as_array_mut() {
                all.push(json!({"name": "NoSuchParameter", "valueString": "x"}));
            }
            Some(more)
        }
        _ => None,
    }
}

/// Checks that the answer is a match, and returns its Parameters.
fn matched(answer: &ServerAnswer) -> Checked<Value> {
    let parameters = answer.status(200)?.resource("Parameters")?;
    demand(!parameter(&parameters, "MemberIdentifier").is_null(), || {
        "no MemberIdentifier".to_owned()
    })?;
    Ok(parameters)
}

fn one(parameters: &Value) -> Checked {
    let all = parameters["parameter"].as_array().map_or(&[][..], Vec::as_slice);
    let named = |name: &str| all.iter().filter(|one| one["name"] == name).count();
    let (identifiers, ids) = (named("MemberIdentifier"), named("MemberId"));
    demand(identifiers == 1, || format!("{identifiers} MemberIdentifier"))?;
    demand(ids <= 1, || format!("{ids} MemberId"))?;
    demand(all.len() == identifiers + ids, || {
        "parameters that HRex does not define".to_owned()
    })
}

fn identifier(parameters: &Value) -> Checked {
    let identifier = &parameter(parameters, "MemberIdentifier")["valueIdentifier"];
    demand(
        identifier["value"].as_str().is_some_and(|value| !value.is_empty()),
        || "no value".to_owned(),
    )?;
    let mut codings = identifier["type"]["coding"].as_array().into_iter().flatten();
    let known = codings.any(|coding| {
        let is = |system: &str, code: &str| coding["system"] == system && coding["code"] == code;
        is("http://hl7.org/fhir/us/davinci-hrex/CodeSystem/hrex-temp", "UMB")
            || is("http://terminology.hl7.org/CodeSystem/v2-0203", "MB")
    });
    demand(known, || {
        "the type is neither UMB (HRex 1.1) nor MB (HRex 1.0)".to_owned()
    })
}

async fn member_id(session: &mut Session, body: &Value) -> Checked {
    let parameters = matched(&session.post_match(body).await?)?;
    let member = parameter(&parameters, "MemberId");
    if member.is_null() {
        return skip("the server answers no MemberId");
    }
    let reference = member["valueReference"]["reference"].as_str().unwrap_or("");
    let local = reference
        .strip_prefix(&format!("{}/", session.base_url()))
        .unwrap_or(reference)
        .to_owned();
    demand(local.starts_with("Patient/") && local.len() > 8, || {
        "MemberId is no reference to a Patient".to_owned()
    })?;
    session.get(&local).await?.status(200)?.resource("Patient").map(drop)
}

async fn same_patient(session: &mut Session) -> Checked {
    let parameters = session.matched().await?;
    let identifier = &parameter(&parameters, "MemberIdentifier")["valueIdentifier"];
    let part = |name: &str| identifier[name].as_str().unwrap_or("").to_owned();
    let value = format!("{}|{}", part("system"), part("value"));
    let found = found::search(session, "Patient", &[("identifier", &value)]).await?;
    let [patient] = found.matches.as_slice() else {
        return fail(format!("{} patients have the MemberIdentifier", found.matches.len()));
    };
    let reference = parameter(&parameters, "MemberId")["valueReference"]["reference"]
        .as_str()
        .unwrap_or("");
    let same = reference.is_empty()
        || Some(reference) == found.ids().first().map(String::as_str)
        || reference.ends_with(&format!("/{}", patient["id"].as_str().unwrap_or("?")));
    demand(same, || "MemberIdentifier and MemberId are of two patients".to_owned())
}

fn without(mut body: Value, name: &str) -> Value {
    if let Some(all) = body["parameter"].as_array_mut() {
        all.retain(|one| one["name"] != name);
    }
    body
}

/// The body with one resource changed; `None` when it has no such parameter.
fn changed(mut body: Value, name: &str, change: impl FnOnce(&mut Value)) -> Option<Value> {
    let all = body["parameter"].as_array_mut()?;
    change(&mut all.iter_mut().find(|one| one["name"] == name)?["resource"]);
    Some(body)
}

async fn raw(session: &mut Session, media_type: &str, body: &str) -> Checked<ServerAnswer> {
    let scope = session.settings.match_scope.clone();
    let token = session.token(&scope).await?;
    let call = Call::new("POST", session.url("Patient/$member-match"))
        .bearer(&token)
        .header("accept", "application/fhir+json")
        .body(media_type, body);
    session.wire.send(call).await
}

/// Checks that the request is refused with 422 and that the outcome reveals no member.
async fn refused(session: &mut Session, body: Option<Value>, name: &str) -> Checked {
    let Some(body) = body else {
        return skip(format!("the client file's bodies hold nothing for this ({name})"));
    };
    let answer = session.post_match(&body).await?;
    if answer.status == 429 {
        return skip("the server limits further matches (429)");
    }
    names_nobody(answer.status(422)?)
}

/// Checks that the answer is an OperationOutcome that reveals no member.
fn names_nobody(answer: &ServerAnswer) -> Checked {
    let outcome = answer.outcome()?;
    let text = outcome.to_string();
    let told = ["MemberIdentifier\":", "valueIdentifier", "valueReference", "\"Patient/"]
        .iter()
        .any(|word| text.contains(word));
    demand(!told, || "the refusal tells of a member".to_owned())
}
