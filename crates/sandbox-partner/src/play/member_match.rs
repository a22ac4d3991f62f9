//! `Patient/$member-match` of HRex 1.0 and of 1.1 and later.

use super::match_body;
use super::token::authenticate;
use super::visit::PlayedVisit;
use crate::member::SandboxMember;
use crate::script::{HrexVersion, ScriptedMatch};
use crate::wire::PlayedReply;
use chrono::DateTime;
use serde_json::{Value, json};

pub(super) fn answer(by: &PlayedVisit<'_>) -> PlayedReply {
    let bearer = match authenticate(by).and_then(|bearer| bearer.may_match().map(|()| bearer)) {
        Ok(bearer) => bearer,
        Err(reply) => return reply,
    };
    let script = &by.play.script;
    let media = by.request.header("content-type").unwrap_or("");
    if !["application/fhir+json", "application/json"]
        .iter()
        .any(|known| media.starts_with(known))
    {
        return PlayedReply::outcome(415, "not-supported", "send application/fhir+json");
    }
    let body = match match_body::read(&by.request.body, script.hrex) {
        Ok(body) => body,
        Err(why) => return PlayedReply::outcome(400, "structure", why),
    };
    body.regrets
        .iter()
        .chain(&body.faults)
        .for_each(|what| by.complain(what.clone()));
    if let (true, Some(fault)) = (script.strict, body.faults.first()) {
        return PlayedReply::outcome(422, "invariant", fault);
    }
    let found = by
        .play
        .moving()
        .clients
        .get(&bearer.client)
        .map(|known| known.npi.clone());
    let client_npi = found.flatten();
    let now = DateTime::from_timestamp_millis(by.now_ms()).unwrap_or_default();
    // It is processed now, also when nobody is found.
    by.play.effect(by.number, by.request, by.asked, None);
    match by.treatment.match_answer {
        Some(ScriptedMatch::NoMatch) => return no_match(),
        Some(ScriptedMatch::Several) => {
            return PlayedReply::outcome(422, "multiple-matches", "more than one member fits");
        }
        Some(ScriptedMatch::ConsentRefused) => {
            return PlayedReply::outcome(422, "suppressed", "the member was found; the consent cannot be honored");
        }
        _ => {}
    }
    let Some(member) = find(by, &body.patient, &body.to_match) else {
        return no_match();
    };
    if let Some(consent) = &body.consent {
        let today = now.format("%Y-%m-%d").to_string();
        if let Some(why) = match_body::refused(consent, &script.payer.npi, client_npi.as_deref(), &today) {
            return PlayedReply::outcome(422, "suppressed", why);
        }
    }
    let told = match by.treatment.match_answer {
        Some(ScriptedMatch::OtherMember) => by.play.roster.other_than(member, script.seed),
        _ => member.clone(),
    };
    granted(by, &bearer.client, &told);
    PlayedReply::resource(200, &matched(by, &told))
}

/// Lets a client read the record of a member.
pub(super) fn granted(by: &PlayedVisit<'_>, client: &str, member: &SandboxMember) {
    let found = by.play.roster.by_patient(&member.patient_id).map(|member| member.index);
    if let Some(index) = found {
        by.play.moving().grants.insert((client.to_owned(), index), by.number);
    }
}

fn no_match() -> PlayedReply {
    PlayedReply::outcome(422, "not-found", "no member fits")
}

/// The one member whose number, birth date and family name these are.
pub(super) fn find<'a>(by: &PlayedVisit<'a>, patient: &Value, coverage: &Value) -> Option<&'a SandboxMember> {
    let member = match_body::numbers(coverage)
        .iter()
        .find_map(|number| by.play.roster.by_number(number))?;
    let same_name = patient["name"].as_array()?.iter().any(|name| {
        name["family"]
            .as_str()
            .is_some_and(|family| family.eq_ignore_ascii_case(&member.family))
    });
    (same_name && patient["birthDate"] == member.birth_date.as_str()).then_some(member)
}

fn matched(by: &PlayedVisit<'_>, member: &SandboxMember) -> Value {
    let script = &by.play.script;
    let answer = by.treatment.match_answer;
    let one = |kind: Value, system: &str, value: &str| {
        json!({
            "name": "MemberIdentifier",
            "valueIdentifier": { "type": { "coding": [kind] }, "system": system, "value": value }
        })
    };
    let number = json!({ "system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB" });
    let umb = json!({ "system": "http://hl7.org/fhir/us/davinci-hrex/CodeSystem/hrex-temp", "code": "UMB" });
    let mut parameters = Vec::new();
    if answer != Some(ScriptedMatch::NoIdentifier) {
        parameters.push(match script.hrex {
            HrexVersion::V1_0 => one(number, &script.payer.member_system, &member.number),
            _ => one(umb.clone(), &script.payer.umb_system, &member.umb),
        });
    }
    if answer == Some(ScriptedMatch::TwoIdentifiers) {
        parameters.push(one(umb, &script.payer.umb_system, "U999999999999"));
    }
    let reference = match answer {
        Some(ScriptedMatch::IdentifierOnly) => None,
        Some(ScriptedMatch::MemberIdElsewhere) => {
            Some(format!("{}/fhir/Patient/{}", by.play.elsewhere, member.patient_id))
        }
        _ if script.hrex == HrexVersion::V1_0 => None,
        _ => Some(format!("Patient/{}", member.patient_id)),
    };
    if let Some(reference) = reference {
        parameters.push(json!({ "name": "MemberId", "valueReference": { "reference": reference } }));
    }
    json!({ "resourceType": "Parameters", "parameter": parameters })
}
