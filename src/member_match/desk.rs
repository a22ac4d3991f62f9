//! What a person has said on a question, and what is put before one: where the match and the review queue meet.
//!
//! A person's word comes before the matcher's, and a doubtful match is never guessed. Reads here; the match writes what comes
//! of it in its own transaction.

use super::identify::{Judgement, Wanted};
use super::record::{Arrival, KEPT_CANDIDATES};
use super::request::Request;
use crate::context::Context;
use crate::error::Failure;
use crate::fhir::elements::{CodeableConcept, Coverage};
use crate::identity::graph::{self, Cause, Kind, Link, Origin, SourceId};
use crate::identity::{Outcome, Profile};
use crate::review::{self, Note, Ranked, State, Subject};
use crate::store::links;
use crate::store::matching::{self, Bond, Found, Record};
use crate::store::reviews::{self, Aside, ReviewRow, Standing};
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
    pub(super) fn of(key: &[u8; 32], partner_id: &str, read: &Request, profile: &Profile) -> Question {
        let subject = Subject::of(&read.patient, Some(&read.coverage));
        Question {
            asked: review::asked(key, partner_id, profile, &subject),
            request: serde_json::to_string(&subject).unwrap_or_default(),
            number: read.link.as_ref().and_then(|link| number(partner_id, link)),
        }
    }
}

/// The number of a CoverageToLink (mm-4): the member number, else any number of the coverage, else that of the subscriber.
fn number(partner_id: &str, link: &Coverage) -> Option<SourceId> {
    let valued = |value: Option<&str>| {
        value
            .map(str::trim)
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    };
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
        self.standing
            .as_ref()
            .and_then(|standing| State::parse(&standing.state))
    }
}

/// Reads what was said on a question.
pub(super) fn said(db: &mut Db, wanted: &Wanted, asked: &[u8; 32], identity: &Judgement) -> Result<Said, Failure> {
    let partner_id = wanted.partner_id.as_str();
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
                    Some(no) => matching::named(db, &[no], partner_id, &wanted.consent_digest)?
                        .into_iter()
                        .next(),
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
pub(super) struct Heard<'a> {
    /// What is asked.
    question: &'a Question,
    identity: &'a Judgement,
    said: &'a Said,
    /// The member, if there is one for this partner now.
    pub member: Option<&'a Found>,
    /// Whether a person has to say.
    pub doubt: bool,
    /// Whether the doubt is about what the partner was granted before, not about this question.
    withheld: bool,
    /// Whether the partner's number is one on which a person decided otherwise.
    contested: bool,
    /// The review of such a doubt that no question has come for yet.
    unasked: Option<ReviewRow>,
    /// The links of the partner's number.
    held: Vec<Link>,
}

/// Weighs what a person said against what the matcher found, and reads the links that go with it.
pub(super) async fn hear<'a>(
    ctx: &Context,
    partner_id: &str,
    question: &'a Question,
    identity: &'a Judgement,
    said: &'a Said,
) -> Result<Heard<'a>, Failure> {
    let (member, doubt) = match (said.state(), identity.matched()) {
        (Some(State::Confirmed), _) => (said.member.as_ref(), false),
        (Some(State::Open | State::Proposed | State::Deferred), _) => (None, true),
        // What was rejected stays so; a member who was no candidate then is another answer.
        (Some(State::Rejected), found) => (found.filter(|_| !said.rejected), false),
        (None, found) => (found, matches!(identity.outcome, Outcome::Review(_))),
    };
    let mut heard = Heard {
        question,
        identity,
        said,
        member,
        doubt,
        withheld: false,
        contested: false,
        unasked: None,
        held: Vec::new(),
    };
    if member.is_none() && (!doubt || said.standing.is_some()) {
        return Ok(heard);
    }
    let (partner, number) = (partner_id.to_owned(), question.number.clone());
    let (patient, new) = (member.map(|found| found.patient_id.clone()), said.standing.is_none());
    let read = ctx.store.read(move |db| {
        let held = number.map_or(Ok(Vec::new()), |number| links::of_number(db, &number))?;
        let Some(patient) = patient else {
            return Ok((held, false, None));
        };
        let withheld = links::withheld(db, &partner, &patient)?;
        let unasked = if withheld && new {
            reviews::unasked(db, &partner, &patient)?
        } else {
            None
        };
        Ok((held, withheld, unasked))
    });
    (heard.held, heard.withheld, heard.unasked) = read.await?;
    heard.contested = !heard.is_by_person()
        && heard
            .member
            .is_some_and(|found| is_contested(&heard.held, &found.patient_id));
    if heard.withheld || heard.contested {
        (heard.member, heard.doubt) = (None, true);
    }
    Ok(heard)
}

/// Whether a person has said of the partner's number that it is not this member's, or that it is somebody else's. The matcher does
/// not overrule that.
fn is_contested(held: &[Link], patient_id: &str) -> bool {
    held.iter().any(|link| {
        let by_person = link.origin != Origin::Match;
        let here = link.patient_id == patient_id;
        by_person
            && match link.state {
                graph::State::Retired => here,
                graph::State::Confirmed => !here && link.from.kind == Kind::Member,
                _ => false,
            }
    })
}

impl Heard<'_> {
    /// The word of the decision row when there is no member.
    pub(super) fn word(&self) -> &'static str {
        if self.doubt { "review" } else { "none" }
    }

    /// Whether a person confirmed this very question.
    pub(super) fn is_by_person(&self) -> bool {
        self.said.state() == Some(State::Confirmed)
    }

    /// The review of this question, if there is one: id and state.
    pub(super) fn review(&self) -> Option<(&str, &str)> {
        let standing = self.said.standing.as_ref()?;
        Some((&standing.id, &standing.state))
    }

    /// Leaves in `record` what a person has to decide, or notes that a reviewed question was asked again. A review is opened only
    /// where the consent could be honoured: it is nothing to look at otherwise.
    pub(super) fn leave(
        &self,
        ctx: &Context,
        arrival: &Arrival<'_>,
        permitted: bool,
        record: &mut Record,
    ) -> Result<(), Failure> {
        let Some(decision) = &record.decision else {
            return Ok(());
        };
        if let Some(standing) = &self.said.standing {
            let waits = self.said.state().is_some_and(State::is_waiting);
            let request = waits.then(|| self.question.request.clone());
            record.aside = Aside::Again(standing.id.clone(), standing.version, request);
            return Ok(());
        }
        if !self.doubt || !permitted {
            return Ok(());
        }
        let (caller, now_ms, candidates) = (arrival.caller(), arrival.now_ms(), ranked(self.identity));
        if let Some(row) = &self.unasked {
            let row = ReviewRow {
                asked: self.question.asked.to_vec(),
                request: Some(self.question.request.clone()),
                decision_id: decision.id.clone(),
                correlation_id: caller.correlation.correlation_id.clone(),
                policy_version: decision.policy_version.clone(),
                ..row.clone()
            };
            record.aside = Aside::Adopts(Box::new((row, review::candidate_rows(&candidates))));
            return Ok(());
        }
        let guard = self.identity.reason.map_or("doubtful", |guard| guard.code());
        let doubt = review::Doubt {
            partner_id: &caller.partner.id,
            asked: self.question.asked,
            request: self.question.request.clone(),
            reason: match (self.withheld, self.contested) {
                (true, _) => "withheld",
                (_, true) => "contested",
                _ => guard,
            },
            decision_id: &decision.id,
            policy_version: &decision.policy_version,
            correlation: &caller.correlation,
            candidates: &candidates,
        };
        let (row, rows, entry) = review::opened(ctx, &doubt, now_ms);
        let step = match &self.question.number {
            Some(number) => Some(review::proposed(ctx, number, &self.held, &row, &candidates, now_ms)?),
            None => None,
        };
        record.opened = Some(arrival.third(&entry));
        record.aside = Aside::Opens(Box::new((row, rows, step)));
        Ok(())
    }

    /// The link by which a match ties the partner's number to the member (mm-4).
    pub(super) fn bond(&self, ctx: &Context, member: &Found, decision_id: &str, now_ms: i64) -> Result<Bond, Failure> {
        let Some(number) = &self.question.number else {
            return Ok(Bond::None);
        };
        let best = self.identity.decision.ranked.first().map_or(0.0, |one| one.score.total);
        let by_person = self.said.standing.as_ref().filter(|_| self.is_by_person());
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
        let step = review::again(ctx, number, &self.held, &member.patient_id, event, &cause)?;
        let link = self.held.iter().find(|link| link.patient_id == member.patient_id);
        Ok(match (step, link) {
            (Some(step), _) => Bond::Made(Box::new(step)),
            (None, Some(link)) => Bond::Held(link.id.clone()),
            (None, None) => Bond::None,
        })
    }
}

/// Candidates as the queue keeps them: the matcher's best, with how each field compared.
fn ranked(identity: &Judgement) -> Vec<Ranked> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn number_of(coverage: Value) -> Option<(Kind, String, String)> {
        let coverage: Coverage = serde_json::from_value(coverage).expect("a coverage");
        number("p", &coverage).map(|number| (number.kind, number.system, number.value))
    }

    #[test]
    fn the_number_of_a_coverage_is_the_persons_before_the_households() {
        let typed = json!({"type": {"coding": [{"system": MB.0, "code": MB.1}]}, "system": "urn:m", "value": " M1 "});
        let other = json!({"system": "urn:x", "value": "X1"});
        assert_eq!(
            number_of(json!({"identifier": [other, typed], "subscriberId": "S1"})),
            Some((Kind::Member, "urn:m".into(), "M1".into()))
        );
        assert_eq!(
            number_of(json!({"identifier": [other], "subscriberId": "S1"})),
            Some((Kind::Member, "urn:x".into(), "X1".into()))
        );
        assert_eq!(
            number_of(json!({"identifier": [{"system": "urn:x"}], "subscriberId": "S1"})),
            Some((Kind::Subscriber, String::new(), "S1".into()))
        );
        assert_eq!(number_of(json!({"identifier": [{"value": "9".repeat(513)}]})), None);
        assert_eq!(number_of(json!({})), None);
    }
}
