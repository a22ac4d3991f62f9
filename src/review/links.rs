//! What operators do with identity links: make one, retire one, dispute one, and undo a step.
//!
//! Undoing a step makes links and grants as they were before it; the history keeps both steps.

use super::acts::dispute;
use super::entry::entry;
use super::link_steps::LinkHand;
use super::order::ReviewActor;
use crate::audit::{Action, Object, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::identity::graph::{self, Cause, Event, LinkChange, Origin, PersonLink, SourceId, State};
use crate::secret::sha256;
use crate::store::Db;
use crate::store::links;
use crate::store::members;
use crate::store::partners;
use crate::store::steps::{self, GiveBack, LinkStep, StepRow};

/// An operator's command on identity links.
#[derive(Clone, Debug)]
pub enum LinkAct {
    /// Links this identifier to the member with this Patient id.
    Make(SourceId, String),
    /// Retires this link: it is no longer in use.
    Retire(String),
    /// Disputes this link.
    Dispute(String),
    /// Undoes this step.
    TakeBack(String),
}

/// The result of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dealt {
    /// Id of the step, by which it can be undone; for a dispute, the id of the review.
    pub id: String,
    /// How many grants were revoked or restored.
    pub grants: usize,
}

/// Returns the write that performs the command; the caller runs it in a transaction.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for an empty or too long operator name or reason. Of the
/// write: [`Fault::LinkUnknown`]; [`Fault::LinkMoveRefused`].
pub fn perform(
    ctx: &Context,
    command: LinkAct,
    by: ReviewActor,
) -> Result<impl FnMut(&mut Db) -> Result<Dealt, Failure> + Send + 'static, Failure> {
    by.check()?;
    let (ctx, at_us) = (ctx.clone(), ctx.clock.now_us());
    Ok(move |db: &mut Db| apply(db, &ctx, &command, &by, at_us))
}

fn apply(db: &mut Db, ctx: &Context, command: &LinkAct, by: &ReviewActor, at_us: i64) -> Result<Dealt, Failure> {
    let now_ms = at_us / 1000;
    let acting = LinkHand {
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
    let (step, action, word) = match command {
        LinkAct::Make(from, patient_id) => {
            if members::subject(db, patient_id)?.is_none() {
                return Err(Failure::new(Fault::LinkUnknown).at("member"));
            }
            is_known(db, ctx, from, patient_id)?;
            let held = links::of_number(db, from)?;
            let waits = |link: &&PersonLink| matches!(link.state, State::Candidate | State::Disputed);
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
            (
                acting.step(Event::Confirm.code(), changes),
                Action::LinkMoved,
                "confirm",
            )
        }
        LinkAct::Retire(link_id) => {
            let link = links::find(db, link_id)?;
            let kept = Cause {
                confidence: link.confidence,
                ..cause
            };
            let held = std::slice::from_ref(&link);
            let changes = graph::step(held, &link.from, &link.patient_id, Event::Retire, &kept, "")?;
            (acting.step(Event::Retire.code(), changes), Action::LinkMoved, "retire")
        }
        LinkAct::TakeBack(step_id) => (taken_back(db, &acting, step_id)?, Action::LinkTakenBack, "take-back"),
        LinkAct::Dispute(link_id) => {
            let (id, grants) = dispute(db, ctx, link_id, by, at_us)?;
            return Ok(Dealt { id, grants });
        }
    };
    let grants = steps::write(db, &step)?;
    let nothing = || Failure::new(Fault::Internal).because("a step on links without a change");
    let first = step.changes.first().ok_or_else(nothing)?;
    let link = first.after.as_ref().or(first.before.as_ref()).ok_or_else(nothing)?;
    let source = link.from.source.clone();
    let object = Object {
        kind: "Link",
        id: first.link_id().to_owned(),
    };
    let text = step_text(
        (&step.id, step.at_ms, step.event),
        Some(by.operator.as_str()),
        Some(by.reason.as_str()),
        &step.undoes,
    );
    let ledger_entry = entry(action, by, object, &source, word, &text);
    ledger::append(db, &ledger_entry, &ctx.ids.new_id(now_ms), at_us)?;
    Ok(Dealt { id: step.id, grants })
}

/// The text of an operator's step, over which its ledger entry has a digest.
fn step_text(
    (id, at_ms, event): (&str, i64, &str),
    operator: Option<&str>,
    reason: Option<&str>,
    undoes: &Option<String>,
) -> String {
    serde_json::json!([id, at_ms, event, operator, reason, undoes]).to_string()
}

/// Returns the digest of a stored step of an operator that its ledger entry has.
pub fn step_digest(step: &StepRow) -> [u8; 32] {
    let what = (step.id.as_str(), step.at_ms, step.event.as_str());
    sha256(step_text(what, step.operator.as_deref(), step.reason.as_deref(), &step.undoes).as_bytes())
}

/// Checks that the identifier can be used: its partner is registered, or, if it is a UMB of this server, it belongs to another record.
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
    match members::patient_of_umb(db, &from.value)? {
        Some(other) if other != patient_id => Ok(()),
        Some(_) => Err(Failure::new(Fault::LinkMoveRefused).remedy("This UMB is the member's own.")),
        None => Err(Failure::new(Fault::LinkUnknown)
            .at("value")
            .remedy("No record of ours has this UMB.")),
    }
}

/// Returns the step that undoes another. When a source then has no confirmed link to a member, its grants on the member
/// are revoked; grants that the other step revoked are restored.
fn taken_back(db: &mut Db, acting: &LinkHand<'_>, step_id: &str) -> Result<LinkStep, Failure> {
    let undone = steps::step(db, step_id)?;
    let by_review = |change: &LinkChange| change.after.as_ref().is_some_and(|link| link.origin == Origin::Review);
    let decided = matches!(undone.event.as_str(), "propose" | "confirm" | "reject" | "dispute");
    if decided && undone.changes.first().is_none_or(by_review) {
        // Otherwise the review and the links would contradict each other.
        return Err(
            Failure::new(Fault::LinkMoveRefused).remedy("A review made this step: reopen or decide the review.")
        );
    }
    let mut now = Vec::new();
    for change in &undone.changes {
        now.extend(links::find(db, change.link_id()).ok());
    }
    let changes = graph::taken_back(&undone.changes, |id| now.iter().find(|link| link.id == id).cloned())?;
    let is_confirmed = |link: Option<&PersonLink>| link.is_some_and(|link| link.state == State::Confirmed);
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
    Ok(LinkStep {
        undoes: Some(undone.id.clone()),
        revokes,
        gives_back: GiveBack::Of(undone.id),
        ..acting.step("take-back", changes)
    })
}
