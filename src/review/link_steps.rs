//! Computes the link steps that follow from a person's decision about a review or a link: which
//! links change, and which grants end. Nothing is written here.

use super::order::ReviewActor;
use crate::context::Context;
use crate::error::Failure;
use crate::identity::graph::{self, Cause, Event, LinkChange, Origin, PersonLink, State};
use crate::store::Db;
use crate::store::links;
use crate::store::reviews::CandidateRow;
use crate::store::steps::{GiveBack, LinkStep};

/// Who acts on links, when, and for which review.
pub(super) struct LinkHand<'a> {
    pub ctx: &'a Context,
    pub by: &'a ReviewActor,
    pub now_ms: i64,
    pub review_id: &'a str,
}

impl LinkHand<'_> {
    fn cause(&self, confidence: i64) -> Cause {
        Cause {
            origin: Origin::Review,
            confidence,
            decision_id: None,
            review_id: Some(self.review_id.to_owned()).filter(|id| !id.is_empty()),
            now_ms: self.now_ms,
        }
    }

    pub(super) fn step(&self, event: &'static str, changes: Vec<LinkChange>) -> LinkStep {
        LinkStep {
            id: self.ctx.ids.new_id(self.now_ms),
            at_ms: self.now_ms,
            event,
            operator: Some(self.by.operator.clone()),
            reason: Some(self.by.reason.clone()),
            undoes: None,
            changes,
            revokes: Vec::new(),
            gives_back: GiveBack::Nothing,
        }
    }
}

/// Returns the step that a decided review causes: the confirmed member's links are confirmed, those of all other candidates are rejected.
pub(super) fn settled(
    db: &mut Db,
    acting: &LinkHand<'_>,
    partner_id: &str,
    member: Option<&str>,
    candidates: &[CandidateRow],
    gives_back: GiveBack,
) -> Result<LinkStep, Failure> {
    let mut changes: Vec<LinkChange> = Vec::new();
    let mut concerned = links::of_review(db, acting.review_id)?;
    for one in candidates {
        // A dispute about the same member ends with this decision, whichever review it belongs to.
        let disputed = links::disputed(db, partner_id, &one.patient_id)?;
        concerned.extend(
            disputed
                .into_iter()
                .filter(|link| link.review_id.as_deref() != Some(acting.review_id)),
        );
    }
    for link in concerned {
        if !candidates.iter().any(|one| one.patient_id == link.patient_id) {
            continue;
        }
        let waits = matches!(link.state, State::Candidate | State::Disputed);
        if member == Some(link.patient_id.as_str()) {
            let held = links::of_number(db, &link.from)?;
            let made = graph::step(
                &held,
                &link.from,
                &link.patient_id,
                Event::Confirm,
                &acting.cause(1000),
                "",
            )?;
            changes.extend(made);
        } else if waits {
            changes.extend(graph::step(
                std::slice::from_ref(&link),
                &link.from,
                &link.patient_id,
                Event::Reject,
                &acting.cause(0),
                "",
            )?);
        }
    }
    let event = if member.is_some() {
        Event::Confirm
    } else {
        Event::Reject
    };
    Ok(LinkStep {
        gives_back,
        ..acting.step(event.code(), changes)
    })
}

/// Returns the step for the links of a confirmed review that is disputed, and for the grants that end with it.
pub(super) fn disputed(
    db: &mut Db,
    acting: &LinkHand<'_>,
    partner_id: &str,
    member: &str,
) -> Result<LinkStep, Failure> {
    let mut changes = Vec::new();
    for link in links::of_review(db, acting.review_id)? {
        if link.patient_id == member && link.state == State::Confirmed {
            let confidence = link.confidence;
            changes.extend(graph::step(
                std::slice::from_ref(&link),
                &link.from,
                member,
                Event::Dispute,
                &acting.cause(confidence),
                "",
            )?);
        }
    }
    Ok(LinkStep {
        revokes: vec![(partner_id.to_owned(), member.to_owned())],
        ..acting.step(Event::Dispute.code(), changes)
    })
}

/// Returns the step for one link that is disputed, and for the grants that end with it.
pub(super) fn doubted(acting: &LinkHand<'_>, link: &PersonLink) -> Result<LinkStep, Failure> {
    let cause = acting.cause(link.confidence);
    let changes = graph::step(
        std::slice::from_ref(link),
        &link.from,
        &link.patient_id,
        Event::Dispute,
        &cause,
        "",
    )?;
    Ok(LinkStep {
        revokes: vec![(link.from.source.clone(), link.patient_id.clone())],
        ..acting.step(Event::Dispute.code(), changes)
    })
}
