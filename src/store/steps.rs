//! Steps: groups of changes to identity links, stored together with the changed links and the grants they revoke. Steps are only appended.
//!
//! Which step is allowed is decided by `identity::graph`. Here a step is written, and only
//! if the links are still those it was computed from.

use super::insert::{Insert, kept};
use super::release_rule::unrevoked;
use super::schema::{grants, identity_change, identity_link, identity_revocation, identity_step};
use super::statement::{Bind, Statement, run};
use super::{Db, is_duplicate, links};
use crate::error::{Failure, Fault};
use crate::identity::graph::{Kind, LinkChange, PersonLink, State};
use diesel::prelude::*;
use std::sync::LazyLock;

/// A group of changes to links, made at once.
#[derive(Clone, Debug)]
pub struct LinkStep {
    /// A new id.
    pub id: String,
    /// UTC milliseconds.
    pub at_ms: i64,
    /// Code of the event, or `take-back`.
    pub event: &'static str,
    /// The operator, when a person did it.
    pub operator: Option<String>,
    /// The operator's reason.
    pub reason: Option<String>,
    /// Id of the step that this one undoes.
    pub undoes: Option<String>,
    /// The changes of links.
    pub changes: Vec<LinkChange>,
    /// The live grants that it revokes: pairs of partner and Patient id.
    pub revokes: Vec<(String, String)>,
    /// Which earlier revocations it ends.
    pub gives_back: GiveBack,
}

/// Revocations by earlier steps that a step ends, so that the grants are live again. A
/// consent that was withdrawn in the meantime stays withdrawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GiveBack {
    /// None.
    Nothing,
    /// Those of the step with this id.
    Of(String),
    /// Those of all grants of a partner on a Patient.
    All(String, String),
}

/// A stored step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRow {
    /// Its id.
    pub id: String,
    /// UTC milliseconds.
    pub at_ms: i64,
    /// Code of the event.
    pub event: String,
    /// The operator, when a person did it.
    pub operator: Option<String>,
    /// The operator's reason.
    pub reason: Option<String>,
    /// Id of the step that this one undid.
    pub undoes: Option<String>,
    /// The changes of links.
    pub changes: Vec<LinkChange>,
}

/// Writes a step, in the caller's transaction. Returns how many grants it revoked or restored. A step without any effect is not stored.
///
/// # Errors
/// [`Fault::LinkMoveRefused`] when a link has changed since the step was computed; those of the database.
pub fn write(db: &mut Db, step: &LinkStep) -> Result<usize, Failure> {
    write_unless(db, step, false)
}

/// Writes the step of an automatic match. Refuses it when a member number that it confirms is also confirmed by a
/// link outside the step: then another step was written in between.
///
/// # Errors
/// As [`write()`]; [`Fault::LinkMoveRefused`] for such a number, too.
pub(super) fn write_match(db: &mut Db, step: &LinkStep) -> Result<usize, Failure> {
    let is_new_alone = matches!(step.changes.as_slice(), [change] if change.before.is_none());
    if step.operator.is_none() && !is_new_alone && links::are_others_confirmed(db, &step.changes)? {
        return Err(Fault::LinkMoveRefused.into());
    }
    write_unless(db, step, step.operator.is_none())
}

/// Writes a step. With `unless_confirmed`, a single new link of a member number is refused while another link of that number is confirmed.
fn write_unless(db: &mut Db, step: &LinkStep, unless_confirmed: bool) -> Result<usize, Failure> {
    let is_new_alone = matches!(step.changes.as_slice(), [change] if change.before.is_none());
    let unless_confirmed = unless_confirmed && is_new_alone;
    let given = give_back(db, &step.gives_back, step.at_ms)?;
    for change in &step.changes {
        put(db, change, unless_confirmed)?;
    }
    let mut revoked = Vec::new();
    for (partner, patient) in &step.revokes {
        links::hold_still(db, patient)?;
        revoked.extend(revoke(db, partner, patient, step.at_ms)?);
    }
    if step.changes.is_empty() && revoked.is_empty() && given == 0 {
        return Ok(0);
    }
    run(db, Statement::<NewStep>::new(TEXTS.step, step_binds(step).to_vec())).map_err(refused_if_duplicate)?;
    for (place, change) in (0i64..).zip(&step.changes) {
        let image = image(change)?;
        let binds = change_binds(step, place, change, &image).to_vec();
        run(db, Statement::<NewChange>::new(TEXTS.change, binds))?;
    }
    for grant_id in &revoked {
        diesel::insert_into(identity_revocation::table)
            .values((
                identity_revocation::step_id.eq(&step.id),
                identity_revocation::grant_id.eq(grant_id),
            ))
            .execute(db)?;
    }
    Ok(revoked.len() + given)
}

/// Restores grants that a step revoked. A grant that an operator ended in the meantime
/// stays ended; from `at_ms` on only the operator's ending counts.
fn give_back(db: &mut Db, which: &GiveBack, at_ms: i64) -> Result<usize, Failure> {
    let mut query = identity_revocation::table
        .inner_join(identity_step::table.on(identity_step::id.eq(identity_revocation::step_id)))
        .inner_join(grants::table.on(grants::id.eq(identity_revocation::grant_id)))
        .filter(grants::revoked_ms.eq(identity_step::at_ms.nullable()))
        .select(grants::id)
        .into_boxed();
    match which {
        GiveBack::Nothing => return Ok(0),
        GiveBack::Of(step) => query = query.filter(identity_step::id.eq(step)),
        GiveBack::All(partner, patient) => {
            query = query.filter(grants::partner_id.eq(partner).and(grants::patient_id.eq(patient)));
        }
    }
    let ids: Vec<String> = query.load(db)?;
    let ended = grants::table
        .filter(grants::id.eq_any(&ids))
        .filter(grants::revoked_by.is_not_null());
    diesel::update(ended).set(grants::revoked_ms.eq(at_ms)).execute(db)?;
    let given = grants::table
        .filter(grants::id.eq_any(&ids))
        .filter(grants::revoked_by.is_null());
    Ok(diesel::update(given)
        .set(grants::revoked_ms.eq(None::<i64>))
        .execute(db)?)
}

struct NewLink;
struct NewStep;
struct NewChange;

pub(super) const LINK: Insert = Insert {
    table: "identity_link",
    columns: "id, source, kind, system, value, patient_id, state, confidence, origin, decision_id, review_id, from_ms, until_ms, \
              version",
};
pub(super) const STEP: Insert = Insert {
    table: "identity_step",
    columns: "id, at_ms, event, operator, reason, undoes",
};
pub(super) const CHANGE: Insert = Insert {
    table: "identity_change",
    columns: "step_id, place, link_id, link_before, link_after, patient_id",
};
/// SQL condition: the confirmed links of an identifier. Values: source, system and value.
pub(super) const CONFIRMED_OF_NUMBER: &str = "source = ? AND system = ? AND value = ? AND state = 'confirmed'";

struct Texts {
    link: &'static str,
    step: &'static str,
    change: &'static str,
}

static TEXTS: LazyLock<Texts> = LazyLock::new(|| Texts {
    link: kept(LINK.text_if(&format!(
        "NOT EXISTS (SELECT 1 FROM identity_link WHERE {CONFIRMED_OF_NUMBER})"
    ))),
    step: kept(STEP.text(1)),
    change: kept(CHANGE.text(1)),
});

/// Returns the values of [`CONFIRMED_OF_NUMBER`] for a link. When `asked` is false, the value is empty, which no link has.
pub(super) fn number_binds(link: &PersonLink, asked: bool) -> [Bind<'_>; 3] {
    [
        Bind::Text(&link.from.source),
        Bind::Text(&link.from.system),
        Bind::Text(if asked { &link.from.value } else { "" }),
    ]
}

pub(super) fn link_binds(link: &PersonLink) -> [Bind<'_>; 14] {
    [
        Bind::Text(&link.id),
        Bind::Text(&link.from.source),
        Bind::Text(link.from.kind.code()),
        Bind::Text(&link.from.system),
        Bind::Text(&link.from.value),
        Bind::Text(&link.patient_id),
        Bind::Text(link.state.code()),
        Bind::Big(link.confidence),
        Bind::Text(link.origin.code()),
        Bind::OptText(link.decision_id.as_deref()),
        Bind::OptText(link.review_id.as_deref()),
        Bind::Big(link.from_ms),
        Bind::OptBig(link.until_ms),
        Bind::Big(link.version),
    ]
}

pub(super) fn step_binds(step: &LinkStep) -> [Bind<'_>; 6] {
    [
        Bind::Text(&step.id),
        Bind::Big(step.at_ms),
        Bind::Text(step.event),
        Bind::OptText(step.operator.as_deref()),
        Bind::OptText(step.reason.as_deref()),
        Bind::OptText(step.undoes.as_deref()),
    ]
}

/// A link before and after a change, as JSON.
pub(super) type Image = (Option<String>, Option<String>);

/// Returns a change as it is stored.
///
/// # Errors
/// None in practice: [`Fault::Internal`] when a link cannot be written as JSON.
pub(super) fn image(change: &LinkChange) -> Result<Image, Failure> {
    let text = |link: &Option<PersonLink>| {
        let text = link.as_ref().map(serde_json::to_string).transpose();
        text.map_err(|error| Failure::new(Fault::Internal).because(error))
    };
    Ok((text(&change.before)?, text(&change.after)?))
}

pub(super) fn change_binds<'a>(
    step: &'a LinkStep,
    place: i64,
    change: &'a LinkChange,
    image: &'a Image,
) -> [Bind<'a>; 6] {
    [
        Bind::Text(&step.id),
        Bind::Big(place),
        Bind::Text(change.link_id()),
        Bind::OptText(image.0.as_deref()),
        Bind::OptText(image.1.as_deref()),
        Bind::Text(change.patient_id()),
    ]
}

fn put(db: &mut Db, change: &LinkChange, unless_confirmed: bool) -> Result<(), Failure> {
    let done = match (&change.before, &change.after) {
        (None, Some(after)) => {
            let is_held = after.state == State::Confirmed && after.from.kind == Kind::Member;
            let mut binds = link_binds(after).to_vec();
            binds.extend(number_binds(after, unless_confirmed && is_held));
            run(db, Statement::<NewLink>::new(TEXTS.link, binds)).map_err(refused_if_duplicate)?
        }
        (Some(before), Some(after)) => {
            let same = identity_link::table
                .find(&before.id)
                .filter(identity_link::version.eq(before.version))
                .filter(identity_link::state.eq(before.state.code()));
            diesel::update(same).set(columns(after)).execute(db)?
        }
        (Some(before), None) => {
            let same = identity_link::table
                .find(&before.id)
                .filter(identity_link::version.eq(before.version));
            diesel::delete(same).execute(db)?
        }
        (None, None) => 1,
    };
    if done == 1 {
        Ok(())
    } else {
        Err(Fault::LinkMoveRefused.into())
    }
}

type Columns<'a> = (
    diesel::dsl::Eq<identity_link::patient_id, &'a str>,
    diesel::dsl::Eq<identity_link::state, &'static str>,
    diesel::dsl::Eq<identity_link::confidence, i64>,
    diesel::dsl::Eq<identity_link::origin, &'static str>,
    diesel::dsl::Eq<identity_link::decision_id, Option<&'a str>>,
    diesel::dsl::Eq<identity_link::review_id, Option<&'a str>>,
    diesel::dsl::Eq<identity_link::from_ms, i64>,
    diesel::dsl::Eq<identity_link::until_ms, Option<i64>>,
    diesel::dsl::Eq<identity_link::version, i64>,
);

fn columns(link: &PersonLink) -> Columns<'_> {
    (
        identity_link::patient_id.eq(link.patient_id.as_str()),
        identity_link::state.eq(link.state.code()),
        identity_link::confidence.eq(link.confidence),
        identity_link::origin.eq(link.origin.code()),
        identity_link::decision_id.eq(link.decision_id.as_deref()),
        identity_link::review_id.eq(link.review_id.as_deref()),
        identity_link::from_ms.eq(link.from_ms),
        identity_link::until_ms.eq(link.until_ms),
        identity_link::version.eq(link.version),
    )
}

fn revoke(db: &mut Db, partner_id: &str, patient_id: &str, now_ms: i64) -> Result<Vec<String>, Failure> {
    let live = grants::partner_id
        .eq(partner_id)
        .and(grants::patient_id.eq(patient_id))
        .and(unrevoked());
    let ids: Vec<String> = grants::table
        .filter(live)
        .select(grants::id)
        .order(grants::id)
        .load(db)?;
    diesel::update(grants::table.filter(live))
        .set(grants::revoked_ms.eq(Some(now_ms)))
        .execute(db)?;
    Ok(ids)
}

/// Returns the step with this id, with its changes.
///
/// # Errors
/// [`Fault::LinkUnknown`]; those of the database.
pub fn step(db: &mut Db, id: &str) -> Result<StepRow, Failure> {
    type Values = (String, i64, String, Option<String>, Option<String>, Option<String>);
    let damaged = |error: serde_json::Error| Failure::new(Fault::StoreDamaged).because(error);
    let found: Option<Values> = identity_step::table.find(id).first(db).optional()?;
    let (id, at_ms, event, operator, reason, undoes) = found.ok_or(Fault::LinkUnknown)?;
    let rows: Vec<(Option<String>, Option<String>)> = identity_change::table
        .filter(identity_change::step_id.eq(&id))
        .order(identity_change::place)
        .select((identity_change::link_before, identity_change::link_after))
        .load(db)?;
    let image = |text: Option<String>| text.map(|text| serde_json::from_str::<PersonLink>(&text)).transpose();
    let changes = rows.into_iter().map(|(before, after)| {
        Ok(LinkChange {
            before: image(before)?,
            after: image(after)?,
        })
    });
    Ok(StepRow {
        changes: changes.collect::<Result<_, _>>().map_err(damaged)?,
        id,
        at_ms,
        event,
        operator,
        reason,
        undoes,
    })
}

/// Returns the steps that changed a link to a member, including links that were removed since; oldest first, at most 1,000.
///
/// # Errors
/// Those of the database; [`Fault::StoreDamaged`] for a step that cannot be read.
pub fn steps_of(db: &mut Db, patient_id: &str) -> Result<Vec<StepRow>, Failure> {
    let mut ids: Vec<String> = identity_change::table
        .filter(identity_change::patient_id.eq(patient_id))
        .select(identity_change::step_id)
        .distinct()
        .order(identity_change::step_id)
        .limit(1000)
        .load(db)?;
    ids.dedup();
    ids.iter().map(|id| step(db, id)).collect()
}

fn refused_if_duplicate(error: diesel::result::Error) -> Failure {
    if is_duplicate(&error) {
        Failure::new(Fault::LinkMoveRefused).because(error)
    } else {
        error.into()
    }
}
