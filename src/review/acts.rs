//! Acts of a reviewer on a review: confirm, reject, defer, take, reopen. Each is one
//! transaction, together with its ledger entry and its changes of links.

use super::entry::entry;
use super::link_steps::{LinkHand, disputed, doubted, settled};
use super::opening::{DoubtfulMatch, Ranked, opened};
use super::order::{Act, Choice, Done, ReviewActor, ReviewerCommand};
use super::state::{Event, ReviewState, after};
use crate::audit::{Action, Object, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::secret::hex;
use crate::store::Db;
use crate::store::reviews::{self, ActRow, CandidateRow, ReviewRow};
use crate::store::steps::{self, GiveBack};

/// The failure for a confirmed review without a member: no grant may be given or revoked for a member without an id.
fn unnamed() -> Failure {
    Failure::new(Fault::StoreDamaged).because("a review that is or gets confirmed names no member")
}

/// Returns the write that performs `command`; the caller runs it in a transaction, on any thread.
///
/// # Errors
/// Those of `Order::check`. Of the write: [`Fault::ReviewUnknown`]; [`Fault::ReviewMoved`] when the review's state does not
/// allow the act, or another act was first; [`Fault::ReviewSecondNeeded`] where two people must agree;
/// [`Fault::ParameterInvalid`] for a candidate that the review does not have.
pub fn perform(
    ctx: &Context,
    command: ReviewerCommand,
) -> Result<impl FnMut(&mut Db) -> Result<Done, Failure> + Send + 'static, Failure> {
    command.check()?;
    let (ctx, at_us) = (ctx.clone(), ctx.clock.now_us());
    Ok(move |db: &mut Db| {
        let row = reviews::find(db, &command.review)?;
        if command.seen.is_some_and(|seen| seen != row.version) {
            return Err(Fault::ReviewMoved.into());
        }
        act(db, &ctx, &command, row, at_us)
    })
}

fn act(db: &mut Db, ctx: &Context, command: &ReviewerCommand, mut row: ReviewRow, at_us: i64) -> Result<Done, Failure> {
    let (now_ms, by) = (at_us / 1000, &command.by);
    let from =
        ReviewState::parse(&row.state).ok_or_else(|| Failure::new(Fault::StoreDamaged).because("a review's state"))?;
    let candidates = reviews::candidates(db, &row.id)?;
    let verdict = match &command.act {
        Act::Confirm(choice) => Some((Event::Confirm, Some(chosen(choice, &candidates)?))),
        Act::Reject => Some((Event::Reject, None)),
        _ => None,
    };
    let event = match (&command.act, &verdict) {
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
    let ledger_entry = entry(
        action(event),
        by,
        object,
        &row.partner_id,
        word.unwrap_or(event.code()),
        &canonical(&act_row),
    );
    let before = row.clone();
    row.state = to.code().to_owned();
    move_on(&mut row, ctx, command, event, word, patient.clone(), now_ms);
    // The review's row is written first: a match of the same question locks it until its grant is committed and can be seen here.
    reviews::act(db, &row, &act_row)?;
    let acting = LinkHand {
        ctx,
        by,
        now_ms,
        review_id: &before.id,
    };
    let grants = move_links(db, &acting, event, from, &before, patient, &candidates)?;
    ledger::append(db, &ledger_entry, &ctx.ids.new_id(now_ms), at_us)?;
    Ok(Done {
        state: to,
        grants,
        version: row.version + 1,
    })
}

/// Changes links and grants as the act requires. Returns how many grants were revoked or restored.
fn move_links(
    db: &mut Db,
    acting: &LinkHand<'_>,
    event: Event,
    from: ReviewState,
    before: &ReviewRow,
    patient: Option<String>,
    candidates: &[CandidateRow],
) -> Result<usize, Failure> {
    let partner = &before.partner_id;
    let step = match event {
        Event::Confirm => {
            let member = patient.ok_or_else(unnamed)?;
            let gives_back = GiveBack::All(partner.clone(), member.clone());
            settled(db, acting, partner, Some(&member), candidates, gives_back)?
        }
        Event::Reject => settled(db, acting, partner, None, candidates, GiveBack::Nothing)?,
        Event::Reopen if from == ReviewState::Confirmed => {
            let member = before.patient_id.as_deref().ok_or_else(unnamed)?;
            disputed(db, acting, partner, member)?
        }
        _ => return Ok(0),
    };
    steps::write(db, &step)
}

/// Sets the columns of the row that an act changes besides the state.
fn move_on(
    row: &mut ReviewRow,
    ctx: &Context,
    command: &ReviewerCommand,
    event: Event,
    verdict: Option<&'static str>,
    patient: Option<String>,
    now_ms: i64,
) {
    let by = &command.by;
    (row.proposed, row.proposed_patient, row.proposed_by) = (None, None, None);
    (row.proposed_token, row.proposed_hand) = (None, None);
    if event != Event::Reopen {
        row.owner = Some(by.operator.clone());
    }
    match event {
        Event::Propose => {
            row.proposed = verdict.map(str::to_owned);
            row.proposed_patient = patient;
            row.proposed_by = Some(by.operator.clone());
            row.proposed_token = by.token.map(|token| token.to_vec());
            row.proposed_hand = Some(by.hand.clone());
        }
        Event::Confirm | Event::Reject => {
            row.patient_id = patient;
            row.decided_ms = Some(now_ms);
            if event == Event::Reject {
                // The person is no member: what a partner sent about a stranger is not
                // kept. It is stored again when the question is asked again.
                row.request = None;
            }
        }
        Event::Defer => {
            let wait_ms = match command.act {
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

/// Returns the event of this decision where two people must agree, given what was proposed before.
fn second(
    row: &ReviewRow,
    by: &ReviewActor,
    verdict: Event,
    patient: Option<&str>,
    from: ReviewState,
) -> Result<Event, Failure> {
    if from != ReviewState::Proposed {
        return Ok(Event::Propose);
    }
    let same_person = row.proposed_by.as_deref().is_some_and(|name| alike(name, &by.operator))
        || (by.token.is_some() && row.proposed_token.as_deref() == by.token.as_ref().map(<[u8; 32]>::as_slice))
        || (names_a_person(&by.hand) && row.proposed_hand.as_deref() == Some(by.hand.as_str()));
    if same_person {
        return Err(Fault::ReviewSecondNeeded.into());
    }
    let agrees = row.proposed.as_deref() == Some(verdict.code()) && row.proposed_patient.as_deref() == patient;
    // A reviewer who disagrees makes a proposal in turn.
    Ok(if agrees { verdict } else { Event::Propose })
}

/// Whether this is a name that was given to a token. That of a user of the host is not: several people work under it, and each token that
/// was made without a name has it.
fn names_a_person(hand: &str) -> bool {
    !hand.starts_with("uid-")
}

/// Whether two names are equal except for case and spaces.
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

/// Returns the digest of a stored act that its ledger entry has.
pub fn act_digest(act: &ActRow) -> [u8; 32] {
    crate::secret::sha256(canonical(act).as_bytes())
}

/// Returns the text of an act over which the ledger entry has a digest.
fn canonical(act: &ActRow) -> String {
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

/// Disputes a confirmed link: the partner's grants on the member are revoked, and the link gets into the review queue.
///
/// The review that confirmed the link is reopened; a link that was made without a review gets a new one.
/// Returns the id of the review, and how many grants were revoked.
pub(super) fn dispute(
    db: &mut Db,
    ctx: &Context,
    link_id: &str,
    by: &ReviewActor,
    at_us: i64,
) -> Result<(String, usize), Failure> {
    let link = crate::store::links::find(db, link_id)?;
    let now_ms = at_us / 1000;
    if let Some(review_id) = &link.review_id {
        let row = reviews::find(db, review_id)?;
        if row.state == ReviewState::Confirmed.code() && row.patient_id.as_deref() == Some(&link.patient_id) {
            let id = row.id.clone();
            let command = ReviewerCommand {
                review: id.clone(),
                act: Act::Reopen,
                by: by.clone(),
                seen: None,
            };
            let done = act(db, ctx, &command, row, at_us)?;
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
    let doubt = DoubtfulMatch {
        partner_id: &source,
        asked,
        request: String::new(),
        reason: "disputed",
        decision_id: link.decision_id.as_deref().unwrap_or_default(),
        policy_version: "",
        correlation: &by.correlation,
        candidates: &[candidate],
    };
    let (row, candidates, ledger_entry) = opened(ctx, &doubt, now_ms);
    let row = ReviewRow {
        // No request has asked this question yet.
        asked_count: 0,
        ..row
    };
    let acting = LinkHand {
        ctx,
        by,
        now_ms,
        review_id: &row.id,
    };
    let step = doubted(&acting, &link)?;
    if !reviews::insert(db, &row, &candidates)? {
        return Err(Fault::ReviewMoved.into());
    }
    let grants = steps::write(db, &step)?;
    ledger::append(db, &ledger_entry, &ctx.ids.new_id(now_ms), at_us)?;
    let act_text = format!("{} {} {}", hex(&asked), by.operator, by.reason);
    let object = Object {
        kind: "Link",
        id: link.id,
    };
    let moved = entry(Action::LinkMoved, by, object, &source, "dispute", &act_text);
    ledger::append(db, &moved, &ctx.ids.new_id(now_ms), at_us + 1)?;
    Ok((row.id, grants))
}
