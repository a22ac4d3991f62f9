//! What operators do to identity links: make, retire, dispute, and take any step back.
//!
//! A step that is taken back leaves links and grants as they were before it; only the history grows.

use super::acts::{By, dispute};
use super::entry;
use crate::audit::{Action, Object, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::identity::graph::{self, Cause, Change, Event, Link, Origin, SourceId, State};
use crate::store::Db;
use crate::store::links;
use crate::store::partners;
use crate::store::reviews::{self, CandidateRow};
use crate::store::steps::{self, GiveBack, Step};

/// A person's hand at work on the links of a review.
pub(super) struct Hand<'a> {
    pub ctx: &'a Context,
    pub by: &'a By,
    pub now_ms: i64,
    pub review_id: &'a str,
}

impl Hand<'_> {
    fn cause(&self, confidence: i64) -> Cause {
        Cause {
            origin: Origin::Review,
            confidence,
            decision_id: None,
            review_id: Some(self.review_id.to_owned()).filter(|id| !id.is_empty()),
            now_ms: self.now_ms,
        }
    }

    fn step(&self, event: &'static str, changes: Vec<Change>) -> Step {
        Step {
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

/// The links of a review as its decision leaves them: the confirmed member's, and none of the other candidates'.
pub(super) fn settled(
    db: &mut Db,
    hand: &Hand<'_>,
    partner_id: &str,
    member: Option<&str>,
    candidates: &[CandidateRow],
    gives_back: GiveBack,
) -> Result<Step, Failure> {
    let mut changes: Vec<Change> = Vec::new();
    let mut concerned = links::of_review(db, hand.review_id)?;
    for one in candidates {
        // A dispute on the same member ends with this decision, whichever question it came up under.
        let disputed = links::disputed(db, partner_id, &one.patient_id)?;
        concerned.extend(
            disputed
                .into_iter()
                .filter(|link| link.review_id.as_deref() != Some(hand.review_id)),
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
                &hand.cause(1000),
                "",
            )?;
            changes.extend(made);
        } else if waits {
            changes.extend(graph::step(
                std::slice::from_ref(&link),
                &link.from,
                &link.patient_id,
                Event::Reject,
                &hand.cause(0),
                "",
            )?);
        }
    }
    let event = if member.is_some() {
        Event::Confirm
    } else {
        Event::Reject
    };
    Ok(Step {
        gives_back,
        ..hand.step(event.code(), changes)
    })
}

/// The links of a confirmed review when it is doubted, and the grants that end with it.
pub(super) fn disputed(db: &mut Db, hand: &Hand<'_>, partner_id: &str, member: &str) -> Result<Step, Failure> {
    let mut changes = Vec::new();
    for link in links::of_review(db, hand.review_id)? {
        if link.patient_id == member && link.state == State::Confirmed {
            let confidence = link.confidence;
            changes.extend(graph::step(
                std::slice::from_ref(&link),
                &link.from,
                member,
                Event::Dispute,
                &hand.cause(confidence),
                "",
            )?);
        }
    }
    Ok(Step {
        revokes: vec![(partner_id.to_owned(), member.to_owned())],
        ..hand.step(Event::Dispute.code(), changes)
    })
}

/// One link when it is doubted, and the grants that end with it.
pub(super) fn doubted(hand: &Hand<'_>, link: &Link) -> Result<Step, Failure> {
    let cause = hand.cause(link.confidence);
    let changes = graph::step(
        std::slice::from_ref(link),
        &link.from,
        &link.patient_id,
        Event::Dispute,
        &cause,
        "",
    )?;
    Ok(Step {
        revokes: vec![(link.from.source.clone(), link.patient_id.clone())],
        ..hand.step(Event::Dispute.code(), changes)
    })
}

/// What is done to links by hand.
#[derive(Clone, Debug)]
pub enum Deed {
    /// This number is this member's.
    Make(SourceId, String),
    /// The link is not in use any more.
    Retire(String),
    /// The link is doubted.
    Dispute(String),
    /// A step is taken back.
    TakeBack(String),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dealt {
    /// Id of the step, by which it can be taken back; of the review for a dispute.
    pub id: String,
    /// Grants that were revoked, or that are live again.
    pub grants: usize,
}

/// Does it, durably. Waits on this thread.
///
/// # Errors
/// [`Fault::LinkUnknown`]; [`Fault::LinkMoveRefused`]; [`Fault::ParameterInvalid`] for an operator or reason that says nothing.
pub fn perform_blocking(ctx: &Context, deed: Deed, by: By) -> Result<Dealt, Failure> {
    by.check()?;
    let (mine, at_us) = (ctx.clone(), ctx.clock.now_us());
    ctx.store.write_blocking(move |db| dealt(db, &mine, &deed, &by, at_us))
}

fn dealt(db: &mut Db, ctx: &Context, deed: &Deed, by: &By, at_us: i64) -> Result<Dealt, Failure> {
    let now_ms = at_us / 1000;
    let hand = Hand {
        ctx,
        by,
        now_ms,
        review_id: "",
    };
    let cause = Cause {
        origin: Origin::Operator,
        confidence: 1000,
        decision_id: None,
        review_id: None,
        now_ms,
    };
    let (step, action, word) = match deed {
        Deed::Make(from, patient_id) => {
            if reviews::subject(db, patient_id)?.is_none() {
                return Err(Failure::new(Fault::LinkUnknown).at("member"));
            }
            is_known(db, ctx, from, patient_id)?;
            let held = links::of_number(db, from)?;
            let waits = |link: &&Link| matches!(link.state, State::Candidate | State::Disputed);
            if held
                .iter()
                .filter(|link| link.patient_id == *patient_id)
                .any(|link| waits(&link))
            {
                return Err(Failure::new(Fault::LinkMoveRefused)
                    .remedy("A review waits on this link: decide it with `causeway review decide`."));
            }
            let fresh = ctx.ids.new_id(now_ms);
            let changes = graph::step(&held, from, patient_id, Event::Confirm, &cause, &fresh)?;
            if changes.is_empty() {
                return Err(Failure::new(Fault::LinkMoveRefused).remedy("This link is confirmed already."));
            }
            (hand.step(Event::Confirm.code(), changes), Action::LinkMoved, "confirm")
        }
        Deed::Retire(link_id) => {
            let link = links::find(db, link_id)?;
            let kept = Cause {
                confidence: link.confidence,
                ..cause
            };
            let held = std::slice::from_ref(&link);
            let changes = graph::step(held, &link.from, &link.patient_id, Event::Retire, &kept, "")?;
            (hand.step(Event::Retire.code(), changes), Action::LinkMoved, "retire")
        }
        Deed::TakeBack(step_id) => (taken_back(db, &hand, step_id)?, Action::LinkTakenBack, "take-back"),
        Deed::Dispute(link_id) => {
            let (id, grants) = dispute(db, ctx, link_id, by, at_us)?;
            return Ok(Dealt { id, grants });
        }
    };
    let grants = steps::write(db, &step)?;
    let first = step
        .changes
        .first()
        .and_then(|change| change.after.as_ref().or(change.before.as_ref()));
    let source = first.map(|link| link.from.source.clone()).unwrap_or_default();
    let object = Object {
        kind: "Link",
        id: step
            .changes
            .first()
            .map(|change| change.link_id().to_owned())
            .unwrap_or_default(),
    };
    let text = serde_json::json!([step.id, step.at_ms, step.event, by.operator, by.reason, step.undoes]).to_string();
    let told = entry(action, by, object, &source, word, &text);
    ledger::append(db, &told, &ctx.ids.new_id(now_ms), at_us)?;
    Ok(Dealt { id: step.id, grants })
}

/// Whether the number can lead somewhere: its partner is registered, and a UMB of ours is another record's.
fn is_known(db: &mut Db, ctx: &Context, from: &SourceId, patient_id: &str) -> Result<(), Failure> {
    if !from.source.is_empty() {
        return match partners::by_id(db, &from.source)? {
            Some(_) => Ok(()),
            None => Err(Fault::PartnerUnknown.into()),
        };
    }
    if from.system != ctx.payer.umb_system {
        return Ok(());
    }
    match reviews::patient_of_umb(db, &from.value)? {
        Some(other) if other != patient_id => Ok(()),
        Some(_) => Err(Failure::new(Fault::LinkMoveRefused).remedy("This UMB is the member's own.")),
        None => Err(Failure::new(Fault::LinkUnknown)
            .at("value")
            .remedy("No record of ours has this UMB.")),
    }
}

/// The step that undoes another. Where it leaves a source without a confirmed link to a member, that source's grants on the
/// member end; what the other step revoked is live again.
fn taken_back(db: &mut Db, hand: &Hand<'_>, step_id: &str) -> Result<Step, Failure> {
    let undone = steps::step(db, step_id)?;
    let by_review = |change: &Change| change.after.as_ref().is_some_and(|link| link.origin == Origin::Review);
    let decided = matches!(undone.event.as_str(), "propose" | "confirm" | "reject" | "dispute");
    if decided && undone.changes.first().is_none_or(by_review) {
        // Else the queue would say one thing and the graph another.
        return Err(
            Failure::new(Fault::LinkMoveRefused).remedy("A review made this step: reopen or decide the review.")
        );
    }
    let mut now = Vec::new();
    for change in &undone.changes {
        now.extend(links::find(db, change.link_id()).ok());
    }
    let changes = graph::taken_back(&undone.changes, |id| now.iter().find(|link| link.id == id).cloned())?;
    let is_confirmed = |link: Option<&Link>| link.is_some_and(|link| link.state == State::Confirmed);
    let mut revokes = Vec::new();
    for change in &changes {
        let Some(before) = change.before.as_ref().filter(|link| link.state == State::Confirmed) else {
            continue;
        };
        let edge = (before.from.source.clone(), before.patient_id.clone());
        let still = links::confirmed(db, &edge.0, &edge.1)?;
        let others = still
            .iter()
            .any(|link| !changes.iter().any(|change| change.link_id() == link.id));
        if !is_confirmed(change.after.as_ref()) && !others && !revokes.contains(&edge) {
            revokes.push(edge);
        }
    }
    Ok(Step {
        undoes: Some(undone.id.clone()),
        revokes,
        gives_back: GiveBack::Of(undone.id),
        ..hand.step("take-back", changes)
    })
}
