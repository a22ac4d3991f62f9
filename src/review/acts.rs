//! Acts on a review: confirm, reject, defer, take, reopen. Each is one transaction with its ledger entry and its links.

use super::links::{Hand, disputed, settled};
use super::state::{Event, State, after};
use super::{Doubt, Ranked, entry, opened};
use crate::audit::{Action, Object, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ids::is_one_line;
use crate::secret::hex;
use crate::store::Db;
use crate::store::reviews::{self, ActRow, CandidateRow, ReviewRow};
use crate::store::steps::{self, GiveBack};
use crate::telemetry::Correlation;

/// Longest reason, characters.
pub(super) const REASON_MAX: usize = 500;
/// Longest name of an operator, characters.
const OPERATOR_MAX: usize = 64;
/// Shortest and longest time a review is put off.
const DEFER_LEAST_MS: i64 = 60_000;
const DEFER_MOST_MS: i64 = 30 * 86_400_000;

/// Which candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// By its place in the review, from 1.
    Place(i64),
    /// By the id of its Patient.
    Patient(String),
}

impl Choice {
    /// A place when it is a small number, else the id of a Patient.
    pub fn parse(text: &str) -> Choice {
        match text.parse::<i64>() {
            Ok(place) if (1..=99).contains(&place) => Choice::Place(place),
            _ => Choice::Patient(text.trim_start_matches("Patient/").to_owned()),
        }
    }
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The person asked for is this candidate.
    Confirm(Choice),
    /// It is none of them.
    Reject,
    /// Look at it again in so many milliseconds.
    Defer(i64),
    /// The operator makes it theirs.
    Take,
    /// What was decided is doubted: links are disputed, grants revoked, the queue has it again.
    Reopen,
}

/// Who does it, and why.
#[derive(Clone, Debug)]
pub struct By {
    /// Name of the operator, as it was given.
    pub operator: String,
    /// Who that was by our own knowledge: the name of the token, or the user of the host.
    pub hand: String,
    /// Why.
    pub reason: String,
    /// Digest of the token it came with, when it came with one.
    pub token: Option<[u8; 32]>,
    /// The ids of the request or command.
    pub correlation: Correlation,
}

impl By {
    /// Refuses names and reasons that say nothing, or more than belongs there.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let plain = |text: &str, most: usize| text.chars().count() <= most && is_one_line(text);
        if !plain(&self.operator, OPERATOR_MAX) {
            return Err(Failure::new(Fault::ParameterInvalid)
                .at("operator")
                .remedy("Name the operator in 1 to 64 characters."));
        }
        if !plain(&self.reason, REASON_MAX) {
            return Err(Failure::new(Fault::ParameterInvalid)
                .at("reason")
                .remedy("Give a reason of 1 to 500 characters."));
        }
        Ok(())
    }
}

/// An act on one review.
#[derive(Clone, Debug)]
pub struct Order {
    /// Id of the review.
    pub review: String,
    /// What is done.
    pub act: Act,
    /// By whom.
    pub by: By,
    /// The version that the operator saw; refused when it is another by now.
    pub seen: Option<i64>,
}

/// How a review stands after an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Its state.
    pub state: State,
    /// Grants that were revoked, or that are live again.
    pub grants: usize,
    /// Its version.
    pub version: i64,
}

impl Order {
    fn check(&self) -> Result<(), Failure> {
        self.by.check()?;
        match self.act {
            Act::Defer(wait_ms) if !(DEFER_LEAST_MS..=DEFER_MOST_MS).contains(&wait_ms) => {
                Err(Failure::new(Fault::ParameterInvalid)
                    .at("defer")
                    .remedy("Put a review off by a minute at least and 30 days at most."))
            }
            _ => Ok(()),
        }
    }
}

/// Does it, durably.
///
/// # Errors
/// [`Fault::ReviewUnknown`]; [`Fault::ReviewMoved`] when it does not stand so, or somebody was first;
/// [`Fault::ReviewSecondNeeded`] where two have to agree; [`Fault::ParameterInvalid`] for a candidate it does not have.
pub async fn perform(ctx: &Context, order: Order) -> Result<Done, Failure> {
    order.check()?;
    let work = work(ctx.clone(), order);
    ctx.store.write(work).await
}

/// [`perform`], waiting on this thread.
///
/// # Errors
/// As [`perform`].
pub fn perform_blocking(ctx: &Context, order: Order) -> Result<Done, Failure> {
    order.check()?;
    let work = work(ctx.clone(), order);
    ctx.store.write_blocking(work)
}

fn work(ctx: Context, order: Order) -> impl FnMut(&mut Db) -> Result<Done, Failure> + Send + 'static {
    let at_us = ctx.clock.now_us();
    move |db| {
        let row = reviews::find(db, &order.review)?;
        if order.seen.is_some_and(|seen| seen != row.version) {
            return Err(Fault::ReviewMoved.into());
        }
        act(db, &ctx, &order, row, at_us)
    }
}

fn act(db: &mut Db, ctx: &Context, order: &Order, mut row: ReviewRow, at_us: i64) -> Result<Done, Failure> {
    let (now_ms, by) = (at_us / 1000, &order.by);
    let from = State::parse(&row.state).ok_or_else(|| Failure::new(Fault::StoreDamaged).because("a review's state"))?;
    let candidates = reviews::candidates(db, &row.id)?;
    let verdict = match &order.act {
        Act::Confirm(choice) => Some((Event::Confirm, Some(chosen(choice, &candidates)?))),
        Act::Reject => Some((Event::Reject, None)),
        _ => None,
    };
    let event = match (&order.act, &verdict) {
        (_, Some((event, patient))) if ctx.review.four_eyes => second(&row, by, *event, patient.as_deref(), from)?,
        (_, Some((event, _))) => *event,
        (Act::Defer(_), _) => Event::Defer,
        (Act::Take, _) => Event::Take,
        _ => Event::Reopen,
    };
    let to = after(from, event).ok_or(Fault::ReviewMoved)?;
    let patient = verdict.as_ref().and_then(|(_, patient)| patient.clone());
    let word = verdict.as_ref().map(|(event, _)| event.code());
    let act_row = ActRow {
        id: ctx.ids.new_id(now_ms),
        review_id: row.id.clone(),
        at_ms: now_ms,
        act: event.code().to_owned(),
        verdict: word.map(str::to_owned),
        patient_id: patient.clone(),
        operator: by.operator.clone(),
        reason: by.reason.clone(),
    };
    let object = Object {
        kind: "Review",
        id: row.id.clone(),
    };
    let told = entry(
        action(event),
        by,
        object,
        &row.partner_id,
        word.unwrap_or(event.code()),
        &canonical(&act_row),
    );
    let before = row.clone();
    row.state = to.code().to_owned();
    move_on(&mut row, ctx, order, event, word, patient.clone(), now_ms);
    // The row first: a match of the same question holds it until its grant is there to be seen.
    reviews::act(db, &row, &act_row)?;
    let hand = Hand {
        ctx,
        by,
        now_ms,
        review_id: &before.id,
    };
    let mut grants = 0;
    match event {
        Event::Confirm => {
            let member = patient.clone().unwrap_or_default();
            let gives_back = GiveBack::All(before.partner_id.clone(), member.clone());
            let step = settled(db, &hand, &before.partner_id, Some(&member), &candidates, gives_back)?;
            grants = steps::write(db, &step)?;
        }
        Event::Reject => {
            let step = settled(db, &hand, &before.partner_id, None, &candidates, GiveBack::Nothing)?;
            grants = steps::write(db, &step)?;
        }
        Event::Reopen if from == State::Confirmed => {
            let step = disputed(
                db,
                &hand,
                &before.partner_id,
                before.patient_id.as_deref().unwrap_or_default(),
            )?;
            grants = steps::write(db, &step)?;
        }
        _ => {}
    }
    ledger::append(db, &told, &ctx.ids.new_id(now_ms), at_us)?;
    Ok(Done {
        state: to,
        grants,
        version: row.version + 1,
    })
}

/// What an act leaves in the row besides its state.
fn move_on(
    row: &mut ReviewRow,
    ctx: &Context,
    order: &Order,
    event: Event,
    verdict: Option<&'static str>,
    patient: Option<String>,
    now_ms: i64,
) {
    let by = &order.by;
    (row.proposed, row.proposed_patient, row.proposed_by, row.proposed_token) = (None, None, None, None);
    if event != Event::Reopen {
        row.owner = Some(by.operator.clone());
    }
    match event {
        Event::Propose => {
            row.proposed = verdict.map(str::to_owned);
            row.proposed_patient = patient;
            row.proposed_by = Some(by.operator.clone());
            row.proposed_token = by.token.map(|token| token.to_vec());
        }
        Event::Confirm | Event::Reject => {
            row.patient_id = patient;
            row.decided_ms = Some(now_ms);
            if event == Event::Reject {
                // Nobody of ours: what a partner said of a stranger is not kept. It is noted again when it is asked again.
                row.request = None;
            }
        }
        Event::Defer => {
            let wait_ms = match order.act {
                Act::Defer(wait_ms) => wait_ms,
                _ => ctx.review.due_ms,
            };
            row.due_ms = now_ms + wait_ms;
        }
        Event::Reopen => {
            row.patient_id = None;
            row.decided_ms = None;
            row.owner = None;
            row.due_ms = now_ms + ctx.review.due_ms;
        }
        Event::Take => {}
    }
}

/// Where two have to agree: the event of this decision, given what was proposed.
fn second(row: &ReviewRow, by: &By, verdict: Event, patient: Option<&str>, from: State) -> Result<Event, Failure> {
    if from != State::Proposed {
        return Ok(Event::Propose);
    }
    let same_person = row.proposed_by.as_deref().is_some_and(|name| alike(name, &by.operator))
        || (by.token.is_some() && row.proposed_token.as_deref() == by.token.as_ref().map(<[u8; 32]>::as_slice));
    if same_person {
        return Err(Fault::ReviewSecondNeeded.into());
    }
    let agrees = row.proposed.as_deref() == Some(verdict.code()) && row.proposed_patient.as_deref() == patient;
    // Who disagrees proposes in turn.
    Ok(if agrees { verdict } else { Event::Propose })
}

/// Whether names differ by no more than case and spaces.
fn alike(a: &str, b: &str) -> bool {
    let fold = |name: &str| name.split_whitespace().collect::<String>().to_lowercase();
    fold(a) == fold(b)
}

fn chosen(choice: &Choice, candidates: &[CandidateRow]) -> Result<String, Failure> {
    let found = candidates.iter().find(|one| match choice {
        Choice::Place(place) => one.place == *place,
        Choice::Patient(id) => one.patient_id == *id,
    });
    found.map(|one| one.patient_id.clone()).ok_or_else(|| {
        Failure::new(Fault::ParameterInvalid)
            .at("candidate")
            .remedy("Name a candidate of this review by its place or its Patient id.")
    })
}

const fn action(event: Event) -> Action {
    match event {
        Event::Confirm | Event::Reject => Action::ReviewDecided,
        Event::Propose => Action::ReviewProposed,
        Event::Defer => Action::ReviewDeferred,
        Event::Take => Action::ReviewTaken,
        Event::Reopen => Action::ReviewReopened,
    }
}

/// An act as the ledger's digest covers it.
pub(super) fn canonical(act: &ActRow) -> String {
    serde_json::json!([
        act.id,
        act.review_id,
        act.at_ms,
        act.act,
        act.verdict,
        act.patient_id,
        act.operator,
        act.reason
    ])
    .to_string()
}

/// Doubts a confirmed link: it is disputed, the partner's grants on the member are revoked, and the queue has it.
///
/// The review that confirmed the link is opened again; a link that no review made gets one of its own. Gives its id.
pub(super) fn dispute(
    db: &mut Db,
    ctx: &Context,
    link_id: &str,
    by: &By,
    at_us: i64,
) -> Result<(String, usize), Failure> {
    let link = crate::store::links::find(db, link_id)?;
    let now_ms = at_us / 1000;
    if let Some(review_id) = &link.review_id {
        let row = reviews::find(db, review_id)?;
        if row.state == State::Confirmed.code() && row.patient_id.as_deref() == Some(&link.patient_id) {
            let id = row.id.clone();
            let order = Order {
                review: id.clone(),
                act: Act::Reopen,
                by: by.clone(),
                seen: None,
            };
            let done = act(db, ctx, &order, row, at_us)?;
            return Ok((id, done.grants));
        }
    }
    let source = link.from.source.clone();
    let asked = crate::secret::sha256(format!("review-of-link-1\n{}\n{}", link.id, link.version).as_bytes());
    let candidate = Ranked {
        patient_id: link.patient_id.clone(),
        total: crate::identity::graph::bits(link.confidence),
        notes: Vec::new(),
    };
    let doubt = Doubt {
        partner_id: &source,
        asked,
        request: String::new(),
        reason: "disputed",
        decision_id: link.decision_id.as_deref().unwrap_or_default(),
        policy_version: "",
        correlation: &by.correlation,
        candidates: &[candidate],
    };
    let (row, candidates, told) = opened(ctx, &doubt, now_ms);
    let row = ReviewRow {
        // Nobody has asked it yet.
        asked_count: 0,
        ..row
    };
    let hand = Hand {
        ctx,
        by,
        now_ms,
        review_id: &row.id,
    };
    let step = super::links::doubted(&hand, &link)?;
    if !reviews::insert(db, &row, &candidates)? {
        return Err(Fault::ReviewMoved.into());
    }
    let grants = steps::write(db, &step)?;
    ledger::append(db, &told, &ctx.ids.new_id(now_ms), at_us)?;
    let act_text = format!("{} {} {}", hex(&asked), by.operator, by.reason);
    let object = Object {
        kind: "Link",
        id: link.id,
    };
    let moved = entry(Action::LinkMoved, by, object, &source, "dispute", &act_text);
    ledger::append(db, &moved, &ctx.ids.new_id(now_ms), at_us + 1)?;
    Ok((row.id, grants))
}
