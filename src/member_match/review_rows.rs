//! Builds the review that a match opens or updates, and the link from the partner's number to the member. Only builds rows; they are
//! written with the decision.

use super::arrival::{Arrival, EntryPlace};
use super::asked::MatchAsked;
use super::decide::{MatchDecision, ReviewReason as Why};
use super::identify::Judgement;
use super::resolve::Resolution;
use crate::error::Failure;
use crate::identity::MatchOutcome;
use crate::identity::graph::{self, Cause, Origin};
use crate::review::{self, FieldNote, Ranked, ReviewState};
use crate::store::matching::{LinkWrite, MatchRecord, NAMED, PossibleMember, ReviewToOpen};
use crate::store::reviews::{ReviewRow, ReviewWrite};

/// Adds to `record` what belongs to this decision: the review that it opens or asks again, the candidates that a reviewer must choose from,
/// and the link that a grant makes.
///
/// # Errors
/// Those of [`review::proposed`] and [`review::again`].
pub(super) fn add(
    arrival: &Arrival<'_>,
    asked: &MatchAsked,
    found: (&Judgement, &Resolution),
    decision: &MatchDecision,
    record: &mut MatchRecord,
) -> Result<(), Failure> {
    let permitted = match decision {
        MatchDecision::Granted { .. } => true,
        MatchDecision::NotHonoured(_) => false,
        MatchDecision::Nobody | MatchDecision::Doubtful(_) => asked.consent.is_ok(),
    };
    leave(arrival, asked, found, (decision, permitted), record)?;
    record.doubt = doubt(found.0, decision);
    if let (MatchDecision::Granted { by_person, .. }, Some(member), Some(row)) =
        (decision, &found.1.member, &record.decision)
    {
        record.bond = link(arrival, asked, found, (member, *by_person), &row.id)?;
    }
    Ok(())
}

/// Adds the review that this decision opens, or a note that a reviewed question was asked again. A review is opened only where
/// the consent could be honored (`permitted`); otherwise a reviewer's decision would have no effect.
fn leave(
    arrival: &Arrival<'_>,
    asked: &MatchAsked,
    (identified, resolution): (&Judgement, &Resolution),
    (decision, permitted): (&MatchDecision, bool),
    record: &mut MatchRecord,
) -> Result<(), Failure> {
    let Some(row) = &record.decision else {
        return Ok(());
    };
    if let Some(standing) = &resolution.standing {
        let waits = resolution.state().is_some_and(ReviewState::is_waiting);
        let request = waits.then(|| asked.question.request()).transpose()?;
        record.aside = ReviewWrite::Again(standing.id.clone(), standing.version, request);
        return Ok(());
    }
    let MatchDecision::Doubtful(why) = decision else {
        return Ok(());
    };
    if !permitted {
        return Ok(());
    }
    let (ctx, caller, now_ms) = (arrival.ctx, arrival.caller, arrival.now_ms());
    let candidates = ranked(identified);
    if let Some(unasked) = &resolution.unasked {
        let row = ReviewRow {
            asked: asked.question.asked.to_vec(),
            request: Some(asked.question.request()?),
            decision_id: row.id.clone(),
            correlation_id: caller.correlation.correlation_id.clone(),
            policy_version: row.policy_version.clone(),
            ..unasked.clone()
        };
        record.aside = ReviewWrite::Adopts(Box::new((row, review::candidate_rows(&candidates))));
        return Ok(());
    }
    let doubt = review::DoubtfulMatch {
        partner_id: &caller.partner.id,
        asked: asked.question.asked,
        request: asked.question.request()?,
        reason: match why {
            Why::Withheld => "withheld",
            Why::Contested => "contested",
            Why::Waits | Why::Matcher => identified.reason.map_or("doubtful", |guard| guard.code()),
        },
        decision_id: &row.id,
        policy_version: &row.policy_version,
        correlation: &caller.correlation,
        candidates: &candidates,
    };
    let (review, rows, entry) = review::opened(ctx, &doubt, now_ms);
    let step = match &asked.question.number {
        Some(number) => Some(review::proposed(
            ctx,
            number,
            &resolution.held,
            &review,
            &candidates,
            now_ms,
        )?),
        None => None,
    };
    record.opened = Some(arrival.row(&entry, EntryPlace::Opened));
    record.aside = ReviewWrite::Opens(Box::new((review, rows, step)));
    Ok(())
}

/// The candidates that a reviewer has to choose from, when the matcher left the match to a reviewer. The consent is judged again after the
/// reviewer's decision.
fn doubt(identified: &Judgement, decision: &MatchDecision) -> Option<ReviewToOpen> {
    let (MatchOutcome::Review(_), Some(reason), MatchDecision::Doubtful(_)) =
        (identified.outcome, identified.reason, decision)
    else {
        return None;
    };
    Some(ReviewToOpen {
        reason: reason.code(),
        candidates: identified
            .named
            .iter()
            .map(|found| (found.compartment, found.patient_id.clone()))
            .collect(),
    })
}

/// The link that a match makes between the partner's number and the member (mm-4).
fn link(
    arrival: &Arrival<'_>,
    asked: &MatchAsked,
    (identified, resolution): (&Judgement, &Resolution),
    (member, by_person): (&PossibleMember, bool),
    decision_id: &str,
) -> Result<LinkWrite, Failure> {
    let Some(number) = &asked.question.number else {
        return Ok(LinkWrite::None);
    };
    let best = identified.decision.ranked.first().map_or(0.0, |one| one.score.total);
    let review = resolution.standing.as_ref().filter(|_| by_person);
    let (event, origin, confidence) = match review {
        Some(_) => (graph::Event::Confirm, Origin::Review, 1000),
        None => (graph::Event::Match, Origin::Match, graph::confidence(best)),
    };
    let cause = Cause {
        origin,
        confidence,
        decision_id: Some(decision_id.to_owned()),
        review_id: review.map(|standing| standing.id.clone()),
        now_ms: arrival.now_ms(),
    };
    let held = &resolution.held;
    let step = review::again(arrival.ctx, number, held, &member.patient_id, event, &cause)?;
    let there = held.iter().find(|link| link.patient_id == member.patient_id);
    Ok(match (step, there) {
        (Some(step), _) => LinkWrite::Made(Box::new(step)),
        (None, Some(link)) => LinkWrite::Held(link.id.clone()),
        (None, None) => LinkWrite::None,
    })
}

/// The matcher's best candidates as the review queue stores them, with how each field compared.
fn ranked(identified: &Judgement) -> Vec<Ranked> {
    let record = identified.decision.record(NAMED);
    let rows = record.candidates.into_iter().zip(&identified.named);
    rows.map(|(row, found)| Ranked {
        patient_id: found.patient_id.clone(),
        total: row.total,
        notes: row
            .fields
            .iter()
            .map(|field| FieldNote {
                field: field.field.code().to_owned(),
                level: field.level.code().to_owned(),
                weight: Some(field.weight),
            })
            .collect(),
    })
    .collect()
}
