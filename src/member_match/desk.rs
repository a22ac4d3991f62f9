//! What a person has said on a question, and what is put before one: where the match and the review queue meet.
//!
//! A person's word comes before the matcher's, and a doubtful match is never guessed. Reads here; the match writes what comes
//! of it in its own transaction.

use super::identify::Judgement;
use super::record::KEPT_CANDIDATES;
use super::request::Request;
use crate::context::Context;
use crate::error::Failure;
use crate::fhir::elements::{CodeableConcept, Coverage};
use crate::identity::Outcome;
use crate::identity::graph::{self, Cause, Kind, Link, Origin, SourceId};
use crate::review::{self, Note, Ranked, State, Subject};
use crate::store::links::{self, Step};
use crate::store::matching::{self, Found};
use crate::store::reviews::{self, Standing};
use crate::store::{Db, members};

const MB: (&str, &str) = ("http://terminology.hl7.org/CodeSystem/v2-0203", "MB");
/// Longest number or system that a link holds.
const NUMBER_BYTES_MAX: usize = 512;

/// A question in the terms of the queue and of the graph.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// Keyed hash of what is asked.
    pub asked: [u8; 32],
    /// What is asked, JSON.
    pub request: String,
    /// The number under which the partner knows the person, when it says one.
    pub number: Option<SourceId>,
}

impl Question {
    pub(super) async fn of(ctx: &Context, partner_id: &str, read: &Request) -> Result<Question, Failure> {
        let subject = Subject::of(&read.patient, Some(&read.coverage));
        let key = review::key(ctx).await?;
        Ok(Question {
            asked: review::asked(&key, partner_id, &subject),
            request: serde_json::to_string(&subject).unwrap_or_default(),
            number: read.link.as_ref().and_then(|link| number(partner_id, link)),
        })
    }
}

/// The number of a CoverageToLink (mm-4): the member number, else any number of the coverage, else that of the subscriber.
fn number(partner_id: &str, link: &Coverage) -> Option<SourceId> {
    let valued = |value: Option<&str>| value.map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned);
    let is_member = |kind: &Option<CodeableConcept>| kind.as_ref().is_some_and(|kind| kind.has(MB.0, MB.1));
    let mut identifiers: Vec<_> = link.identifier.iter().collect();
    identifiers.sort_by_key(|one| !is_member(&one.kind));
    let of_person = identifiers
        .into_iter()
        .find_map(|one| Some((Kind::Member, one.system.clone(), valued(one.value.as_deref())?)));
    let of_household = || Some((Kind::Subscriber, None, valued(link.subscriber_id.as_deref())?));
    let (kind, system, value) = of_person.or_else(of_household)?;
    let system = system.unwrap_or_default();
    (value.len().max(system.len()) <= NUMBER_BYTES_MAX).then(|| SourceId {
        source: partner_id.to_owned(),
        kind,
        system,
        value,
    })
}

/// What a person has said, as it was read with the candidates.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// The review of this question.
    pub standing: Option<Standing>,
    /// The member that a person confirmed.
    pub member: Option<Found>,
    /// Whether the member that the matcher chose was among those a person rejected.
    pub rejected: bool,
}

impl Said {
    pub(super) fn state(&self) -> Option<State> {
        self.standing.as_ref().and_then(|standing| State::parse(&standing.state))
    }
}

/// Reads what was said on a question.
pub(super) fn said(
    db: &mut Db,
    partner_id: &str,
    asked: &[u8; 32],
    digest: &[u8],
    identity: &Judgement,
) -> Result<Said, Failure> {
    let mut said = Said {
        standing: reviews::standing(db, partner_id, asked)?,
        ..Said::default()
    };
    let Some(standing) = said.standing.clone() else {
        return Ok(said);
    };
    match (said.state(), &standing.patient_id, identity.matched()) {
        (Some(State::Confirmed), Some(patient), _) => {
            said.member = match identity.named.iter().find(|found| found.patient_id == *patient) {
                Some(found) => Some(found.clone()),
                None => match members::compartment_of(db, patient)? {
                    Some(no) => matching::named(db, &[no], partner_id, digest)?.into_iter().next(),
                    None => None,
                },
            };
        }
        (Some(State::Rejected), _, Some(chosen)) => {
            let candidates = reviews::candidates(db, &standing.id)?;
            said.rejected = candidates.iter().any(|one| one.patient_id == chosen.patient_id);
        }
        _ => {}
    }
    Ok(said)
}

/// Who is meant, with a person's word before the matcher's.
pub(super) enum Verdict<'a> {
    /// This member; whether a person said so.
    Member(&'a Found, bool),
    /// A person has to say.
    Doubt,
    /// Nobody.
    Nobody,
}

pub(super) fn verdict<'a>(identity: &'a Judgement, said: &'a Said) -> Verdict<'a> {
    match (said.state(), identity.matched()) {
        (Some(State::Confirmed), _) => said.member.as_ref().map_or(Verdict::Nobody, |one| Verdict::Member(one, true)),
        (Some(State::Open | State::Proposed | State::Deferred), _) => Verdict::Doubt,
        // What was rejected stays so; a member who was no candidate then is another answer.
        (Some(State::Rejected), Some(found)) if !said.rejected => Verdict::Member(found, false),
        (Some(State::Rejected), _) => Verdict::Nobody,
        (None, Some(found)) => Verdict::Member(found, false),
        (None, None) => match identity.outcome {
            Outcome::Review(_) => Verdict::Doubt,
            Outcome::Match(_) | Outcome::None => Verdict::Nobody,
        },
    }
}

/// The links of the partner's number, and whether a person has to say whether the partner may have this member.
pub(super) async fn bonds(
    ctx: &Context,
    partner_id: &str,
    number: Option<&SourceId>,
    patient_id: Option<&str>,
) -> Result<(Vec<Link>, bool), Failure> {
    let (partner, number, patient) = (partner_id.to_owned(), number.cloned(), patient_id.map(str::to_owned));
    ctx.store
        .read(move |db| {
            let withheld = match &patient {
                Some(patient) => links::withheld(db, &partner, patient)?,
                None => false,
            };
            let held = match &number {
                Some(number) => links::of_number(db, number)?,
                None => Vec::new(),
            };
            Ok((held, withheld))
        })
        .await
}

/// Candidates as the queue keeps them: the matcher's best, with how each field compared.
pub(super) fn ranked(identity: &Judgement) -> Vec<Ranked> {
    let record = identity.decision.record(KEPT_CANDIDATES);
    let rows = record.candidates.into_iter().zip(&identity.named);
    rows.map(|(row, found)| Ranked {
        patient_id: found.patient_id.clone(),
        total: row.total,
        notes: row
            .fields
            .iter()
            .map(|field| Note {
                field: field.field.code().to_owned(),
                level: field.level.code().to_owned(),
                weight: Some(field.weight),
            })
            .collect(),
    })
    .collect()
}

/// The step by which a match links the partner's number to the member (mm-4); none when they are linked.
pub(super) fn linked(
    ctx: &Context,
    question: &Question,
    held: &[Link],
    member: &Found,
    by_person: Option<&Standing>,
    identity: &Judgement,
    decision_id: &str,
    now_ms: i64,
) -> Result<Option<Step>, Failure> {
    let Some(number) = &question.number else {
        return Ok(None);
    };
    let best = identity.decision.ranked.first().map_or(0.0, |one| one.score.total);
    let (event, origin, confidence) = match by_person {
        Some(_) => (graph::Event::Confirm, Origin::Review, 1000),
        None => (graph::Event::Match, Origin::Match, graph::confidence(best)),
    };
    let cause = Cause {
        origin,
        confidence,
        decision_id: Some(decision_id.to_owned()),
        review_id: by_person.map(|standing| standing.id.clone()),
        now_ms,
    };
    review::again(ctx, number, held, &member.patient_id, event, &cause)
}
