//! Gets the tokens: one for `$member-match`, and one that is bound to the matched member. Safe to repeat: each token stands for itself, and
//! each assertion has an id of its own.

use super::facts::{ExchangeFacts, MatchedAs};
use super::open::{OpenSession, Went};
use super::result::{StepEnd, StepGain};
use crate::error::{Failure, Fault};
use crate::jobs::HeldJob;
use crate::partner::peer::{CallEnd, CallFacts, PeerToken, SmartDocument, TokenAsk};
use crate::security::MEMBER_MATCH;

/// What a record is read with: SMART version 2, and version 1 for servers that know no other.
const READ: [&str; 2] = ["system/*.rs", "system/*.read"];

pub(super) async fn run(session: &mut OpenSession, facts: &ExchangeFacts, held: &HeldJob) -> Went {
    let now_ms = held.ctx().clock.now_ms();
    let mut call = CallFacts::default();
    if !is_good(session.match_token.as_ref(), now_ms) {
        let known = session.partner()?;
        let ask = TokenAsk {
            scopes: &[MEMBER_MATCH],
            patient: None,
            correlation_id: &facts.correlation_id,
        };
        let token = known.peer.token(&known.smart, ask).await?;
        call = token.answer.clone();
        session.match_token = Some(token);
    }
    Ok((StepEnd::Done(StepGain::Ready), call))
}

pub(super) async fn run_for_member(session: &mut OpenSession, facts: &ExchangeFacts, held: &HeldJob) -> Went {
    let now_ms = held.ctx().clock.now_ms();
    let mut call = CallFacts::default();
    if !is_good(session.member_token.as_ref(), now_ms) {
        let matched = facts.matched.as_ref().ok_or_else(|| Failure::new(Fault::Internal))?;
        let patient = bound_to(matched);
        let known = session.partner()?;
        let scope = read_scope(&known.smart);
        let ask = TokenAsk {
            scopes: &[scope],
            patient: patient.as_deref(),
            correlation_id: &facts.correlation_id,
        };
        let token = match known.peer.token(&known.smart, ask).await {
            // The parameter is no standard's: an authorization server may not know it, or not what an identifier means.
            Err(failure) if failure.end == CallEnd::Refused(Fault::PartnerTokenRefused) => {
                let unbound = TokenAsk { patient: None, ..ask };
                known.peer.token(&known.smart, unbound).await?
            }
            other => other?,
        };
        call = token.answer.clone();
        session.member_token = Some(token);
    }
    Ok((StepEnd::Done(StepGain::Ready), call))
}

/// The scope with which a partner's records are read.
pub fn read_scope(smart: &SmartDocument) -> &'static str {
    let supported = &smart.scopes_supported;
    let known = READ.iter().find(|scope| supported.iter().any(|one| one == **scope));
    known.unwrap_or(&READ[0])
}

/// The member as the token endpoint knows it.
fn bound_to(matched: &MatchedAs) -> Option<String> {
    let id = matched.patient_id.as_ref().map(|id| format!("Patient/{id}"));
    id.or_else(|| matched.identifier.clone())
}

/// Whether a token of this session can still be used.
pub(super) fn is_good(token: Option<&PeerToken>, now_ms: i64) -> bool {
    token.is_some_and(|token| now_ms < token.until_ms)
}
