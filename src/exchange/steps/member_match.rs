//! Asks the partner who the member is there. Safe to repeat: the same question with the same key gets the same answer, and changes nothing
//! but the partner's own grant, which is renewed.

use super::facts::{ExchangeFacts, MatchedAs};
use super::match_body::{MatchParts, match_body};
use super::open::{OpenSession, Went};
use super::result::{StepEnd, StepGain};
use super::token::is_good;
use crate::context::Payer;
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{ScreenLimits, screen};
use crate::ids::is_fhir_id;
use crate::jobs::HeldJob;
use crate::partner::peer::{CallEnd, CallFailure, Peer, PeerAsk};
use crate::store::exchanges::{self, QuestionRow};
use crate::store::partners::PartnerRow;
use crate::store::{Db, members};
use serde::Deserialize;

/// What is held of a member that a match names.
pub struct HeldOfMember {
    patient: Vec<u8>,
    own_coverage: Option<Vec<u8>>,
    hrex: String,
}

impl HeldOfMember {
    /// Reads it.
    ///
    /// # Errors
    /// [`Fault::MemberUnknown`]; those of the database.
    pub fn read(db: &mut Db, facts: &ExchangeFacts) -> Result<HeldOfMember, Failure> {
        let member = facts.member_id.as_str();
        let own_coverage = match &facts.own_coverage_id {
            Some(id) => members::own_resource(db, member, "Coverage", id)?,
            None => members::own_coverage(db, member)?,
        };
        Ok(HeldOfMember {
            patient: members::own_resource(db, member, "Patient", member)?.ok_or(Fault::MemberUnknown)?,
            own_coverage,
            hrex: dialect(&facts.partner, "hrex"),
        })
    }

    /// What a question about the member is made of.
    pub fn parts<'a>(&'a self, facts: &'a ExchangeFacts, payer: &'a Payer) -> MatchParts<'a> {
        MatchParts {
            patient: &self.patient,
            own_coverage: self.own_coverage.as_deref(),
            coverage: &facts.coverage,
            opt_in: &facts.opt_in,
            begun_ms: facts.begun_ms,
            payer,
            partner_npi: &facts.partner.npi,
            partner_name: &facts.partner.name,
            hrex: &self.hrex,
        }
    }
}

/// The body of the question. It is made and kept, sealed, before the first attempt of a round, so that all its attempts send the same bytes.
async fn question(session: &OpenSession, facts: &ExchangeFacts, held: &HeldJob) -> Result<Vec<u8>, Failure> {
    let (vault, id, round) = (
        session.access.vault(),
        facts.exchange_id.clone(),
        i64::from(facts.round),
    );
    let place = format!("question/{round}");
    let kept = held.ctx().store.read(move |db| exchanges::question_of(db, &id)).await?;
    if let Some(row) = kept.filter(|row| row.round == round) {
        let seal = vault.seal_of(&row.key_id, &facts.exchange_id);
        match seal.and_then(|seal| seal.open(&place, &row.sealed)) {
            Ok(body) => return Ok(body),
            // A partner that has seen other bytes under the key says so, and is asked in a new round.
            Err(failure) => {
                tracing::warn!(exchange = %facts.exchange_id, fault = failure.fault().code(),
                    "the question of an exchange cannot be read any more, and is built again");
            }
        }
    }
    let body = made(facts, held).await?;
    let key_id = vault.current().to_owned();
    let row = QuestionRow {
        sealed: vault.seal_of(&key_id, &facts.exchange_id)?.seal(&place, &body)?,
        exchange_id: facts.exchange_id.clone(),
        round,
        key_id,
    };
    held.write(move |db| exchanges::put_question(db, &row)).await?;
    Ok(body)
}

/// Makes the body of the question from what is held of the member now.
async fn made(facts: &ExchangeFacts, held: &HeldJob) -> Result<Vec<u8>, Failure> {
    let ctx = held.ctx();
    let own = facts.clone();
    let held_of_member = ctx.store.read(move |db| HeldOfMember::read(db, &own)).await?;
    match_body(&held_of_member.parts(facts, &ctx.payer))
}

pub(super) async fn run(session: &mut OpenSession, facts: &ExchangeFacts, held: &HeldJob) -> Went {
    let ctx = held.ctx();
    let body = question(session, facts, held).await?;
    let known = session.partner()?;
    let token = session
        .match_token
        .as_ref()
        .filter(|token| is_good(Some(token), ctx.clock.now_ms()));
    let token = token.ok_or_else(|| CallFailure::new(CallEnd::Unauthorized))?;
    let ask = PeerAsk {
        url: known.peer.below("Patient/$member-match")?,
        body: Some(("application/fhir+json", body)),
        token: Some(&token.secret),
        correlation_id: &facts.correlation_id,
        idempotency_key: Some(&facts.idempotency_key),
    };
    let (bytes, call) = match known.peer.read(ask).await {
        Ok(answer) => answer,
        Err(failure) => {
            if matches!(failure.end, CallEnd::Unauthorized) {
                session.match_token = None;
            }
            return refused(failure);
        }
    };
    match read_answer(&known.peer, &bytes) {
        Ok(matched) => Ok((StepEnd::Done(StepGain::Matched(matched)), call)),
        Err(failure) => Err(CallFailure::with(
            match failure.fault() {
                Fault::PartnerElsewhere => CallEnd::Trust(Fault::PartnerElsewhere),
                Fault::MatchAnswerUnfit => CallEnd::Refused(Fault::MatchAnswerUnfit),
                _ => CallEnd::ServerFault,
            },
            call,
        )
        .because(failure)),
    }
}

/// The version of a guide that a partner speaks, by its registration; empty when that does not say.
pub(super) fn dialect(partner: &PartnerRow, guide: &str) -> String {
    let dialect: serde_json::Value = serde_json::from_str(&partner.dialect).unwrap_or(serde_json::Value::Null);
    dialect[guide].as_str().unwrap_or_default().to_owned()
}

/// Issue codes that say that several members fit.
const SEVERAL: &[&str] = &["multiple-matches", "multiple", "MM-002"];
/// Issue codes of a consent that is not honored, or of a request that is not allowed.
const CONSENT: &[&str] = &[
    "suppressed",
    "business-rule",
    "forbidden",
    "security",
    "expired",
    "login",
];
/// Issue codes of a request that is not understood.
const WRONG: &[&str] = &[
    "required",
    "invariant",
    "code-invalid",
    "value",
    "structure",
    "invalid",
    "not-supported",
    "extension",
];

/// Codes of an idempotency key that was used for another question: what is held of the member has changed since it was first asked.
const CHANGED: &[&str] = &["idempotency-key-reused", Fault::IdempotencyKeyReused.code()];

/// Tells the refusals of `$member-match` apart. A 422 that says nothing means that nobody was found (HRex mm-9).
fn refused(failure: CallFailure) -> Went {
    let says = |codes: &[&str]| failure.issues.split(' ').any(|code| codes.contains(&code));
    let status = failure.facts.status;
    let found_nobody = status == Some(422) || (status == Some(404) && says(&["not-found"]));
    if !matches!(failure.end, CallEnd::Refused(_)) || !found_nobody {
        return Err(failure);
    }
    let end = if says(SEVERAL) {
        StepEnd::NoMatch { several: true }
    } else if says(CHANGED) {
        StepEnd::NotYet { retry_after_ms: None }
    } else if says(CONSENT) {
        StepEnd::Refused {
            fault: Fault::PartnerRefuses,
        }
    } else if says(WRONG) {
        StepEnd::OurFault {
            fault: Fault::PartnerMisunderstands,
        }
    } else {
        StepEnd::NoMatch { several: false }
    };
    Ok((end, *failure.facts))
}

#[derive(Deserialize)]
struct Parameters {
    #[serde(rename = "resourceType")]
    resource_type: String,
    #[serde(default)]
    parameter: Vec<Parameter>,
}

#[derive(Deserialize)]
struct Parameter {
    name: String,
    #[serde(rename = "valueIdentifier")]
    identifier: Option<crate::fhir::elements::Identifier>,
    #[serde(rename = "valueReference")]
    reference: Option<crate::fhir::elements::Reference>,
}

/// Longest member identifier, and longest namespace of one, that is kept and sent back, bytes.
const IDENTIFIER_MOST: usize = 1_024;

/// Reads the answer: an identifier, an id, or both, each once. Source: HRex 1.0 to 1.2, hrex-parameters-member-match-out.
fn read_answer(peer: &Peer, bytes: &[u8]) -> Result<MatchedAs, Failure> {
    let unfit = || Failure::new(Fault::MatchAnswerUnfit);
    screen(bytes, &ScreenLimits::request())?;
    // The reader's own message would quote the answer.
    let answer: Parameters = serde_json::from_slice(bytes).map_err(|_| Failure::new(Fault::PartnerNotFhir))?;
    if answer.resource_type != "Parameters" {
        return Err(Failure::new(Fault::PartnerNotFhir));
    }
    let only = |name: &str| -> Result<Option<&Parameter>, Failure> {
        let mut named = answer.parameter.iter().filter(|parameter| parameter.name == name);
        match (named.next(), named.next()) {
            (found, None) => Ok(found),
            _ => Err(unfit().at("Parameters.parameter")),
        }
    };
    let identifier = only("MemberIdentifier")?
        .map(|found| found.identifier.as_ref().ok_or_else(unfit))
        .transpose()?;
    let value = identifier
        .and_then(|found| found.value.clone())
        .filter(|value| !value.trim().is_empty() && value.len() <= IDENTIFIER_MOST);
    let system = identifier.and_then(|found| found.system.clone());
    if system.as_ref().is_some_and(|system| system.len() > IDENTIFIER_MOST) {
        return Err(unfit().at("MemberIdentifier"));
    }
    if identifier.is_some() && value.is_none() {
        return Err(unfit().at("MemberIdentifier"));
    }
    let reference = only("MemberId")?
        .map(|found| found.reference.as_ref().ok_or_else(unfit))
        .transpose()?;
    let reference = reference
        .map(|found| found.reference.as_deref().ok_or_else(unfit))
        .transpose()?;
    let patient_id = reference.map(|text| patient_id(peer, text)).transpose()?;
    if value.is_none() && patient_id.is_none() {
        return Err(unfit());
    }
    Ok(MatchedAs {
        patient_id,
        identifier_system: system,
        identifier: value,
    })
}

/// The id of the Patient that a reference means on the partner's server.
///
/// # Errors
/// [`Fault::PartnerElsewhere`], [`Fault::MatchAnswerUnfit`].
pub fn patient_id(peer: &Peer, text: &str) -> Result<String, Failure> {
    let unfit = || Failure::new(Fault::MatchAnswerUnfit).at("MemberId");
    let text = text.split_once("/_history/").map_or(text, |(before, _)| before);
    let relative = match text.contains("://") {
        true => {
            let url = peer.named(text)?;
            let below = url
                .as_str()
                .strip_prefix(peer.base())
                .and_then(|rest| rest.strip_prefix('/'));
            below.ok_or_else(unfit)?.to_owned()
        }
        false => text.to_owned(),
    };
    let id = relative.strip_prefix("Patient/").ok_or_else(unfit)?;
    match is_fhir_id(id) {
        true => Ok(id.to_owned()),
        false => Err(unfit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partner::peer::CallFacts;

    fn refusal(status: u16, issues: &str) -> String {
        let facts = CallFacts {
            status: Some(status),
            ..CallFacts::default()
        };
        let failure = CallFailure {
            issues: issues.into(),
            ..CallFailure::with(CallEnd::Refused(Fault::PartnerRefuses), facts)
        };
        match refused(failure) {
            Ok((StepEnd::NoMatch { several }, _)) => format!("no match, several: {several}"),
            Ok((StepEnd::Refused { fault } | StepEnd::OurFault { fault }, _)) => fault.code().to_owned(),
            Ok((other, _)) => format!("{other:?}"),
            Err(failure) => format!("{:?}", failure.end),
        }
    }

    #[test]
    fn each_refusal_of_a_match_has_its_meaning() {
        assert_eq!(refusal(422, ""), "no match, several: false");
        assert_eq!(refusal(422, "not-found MM-001"), "no match, several: false");
        assert_eq!(refusal(422, "processing"), "no match, several: false");
        assert_eq!(refusal(422, "multiple-matches"), "no match, several: true");
        assert_eq!(refusal(422, "suppressed"), Fault::PartnerRefuses.code());
        assert_eq!(refusal(422, "business-rule"), Fault::PartnerRefuses.code());
        assert_eq!(
            refusal(422, "business-rule ID-002"),
            "NotYet { retry_after_ms: None }",
            "our own server's word for a key that was used for another question"
        );
        assert_eq!(
            refusal(422, "business-rule idempotency-key-reused"),
            "NotYet { retry_after_ms: None }"
        );
        assert_eq!(refusal(422, "required"), Fault::PartnerMisunderstands.code());
        assert_eq!(refusal(404, "not-found"), "no match, several: false");
        assert_eq!(refusal(404, "not-supported"), "Refused(PartnerRefuses)");
        assert_eq!(refusal(409, ""), "Refused(PartnerRefuses)");
    }
}
