//! Steps: what was done to identity links in one go, written with the links they change and the grants they end; only appended to.
//!
//! Which step is allowed is `identity::graph`'s to say; here it is written, and only over the very links it was worked out from.

use super::schema::{grants, identity_change, identity_link, identity_revocation, identity_step};
use super::{Db, is_duplicate, links};
use crate::error::{Failure, Fault};
use crate::identity::graph::{Change, Link};
use diesel::prelude::*;

/// What is done to links in one go.
#[derive(Clone, Debug)]
pub struct Step {
    /// A fresh id.
    pub id: String,
    /// UTC milliseconds.
    pub at_ms: i64,
    /// The event's word, or `take-back`.
    pub event: &'static str,
    /// Who, when a person did it.
    pub operator: Option<String>,
    /// Why, when a person did it.
    pub reason: Option<String>,
    /// The step it takes back.
    pub undoes: Option<String>,
    /// What it changes.
    pub changes: Vec<Change>,
    /// Whose live grants on whom it revokes: partner and Patient.
    pub revokes: Vec<(String, String)>,
    /// Which revocations end with it.
    pub gives_back: GiveBack,
}

/// Revocations by earlier steps that a step ends. A consent that was withdrawn meanwhile stays withdrawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GiveBack {
    /// None.
    Nothing,
    /// Those of one step.
    Of(String),
    /// All of a partner's grants on a Patient.
    All(String, String),
}

/// A step as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRow {
    /// Its id.
    pub id: String,
    /// UTC milliseconds.
    pub at_ms: i64,
    /// The event's word.
    pub event: String,
    /// Who, when a person did it.
    pub operator: Option<String>,
    /// Why, when a person did it.
    pub reason: Option<String>,
    /// The step it took back.
    pub undoes: Option<String>,
    /// What it changed.
    pub changes: Vec<Change>,
}

/// Writes a step, in the caller's transaction; how many grants it revoked or gave back. A step that does nothing is not kept.
///
/// # Errors
/// [`Fault::LinkMoveRefused`] when a link is not any more what the step was worked out from; those of the database.
pub fn write(db: &mut Db, step: &Step) -> Result<usize, Failure> {
    let given = give_back(db, &step.gives_back, step.at_ms)?;
    for change in &step.changes {
        put(db, change)?;
    }
    let mut revoked = Vec::new();
    for (partner, patient) in &step.revokes {
        links::hold_still(db, patient)?;
        revoked.extend(revoke(db, partner, patient, step.at_ms)?);
    }
    if step.changes.is_empty() && revoked.is_empty() && given == 0 {
        return Ok(0);
    }
    diesel::insert_into(identity_step::table)
        .values((
            identity_step::id.eq(&step.id),
            identity_step::at_ms.eq(step.at_ms),
            identity_step::event.eq(step.event),
            identity_step::operator.eq(step.operator.as_deref()),
            identity_step::reason.eq(step.reason.as_deref()),
            identity_step::undoes.eq(step.undoes.as_deref()),
        ))
        .execute(db)
        .map_err(refused_if_duplicate)?;
    for (place, change) in step.changes.iter().enumerate() {
        diesel::insert_into(identity_change::table)
            .values((
                identity_change::step_id.eq(&step.id),
                identity_change::place.eq(i64::try_from(place).unwrap_or(i64::MAX)),
                identity_change::link_id.eq(change.link_id()),
                identity_change::link_before.eq(change.before.as_ref().map(text)),
                identity_change::link_after.eq(change.after.as_ref().map(text)),
                identity_change::patient_id.eq(change.patient_id()),
            ))
            .execute(db)?;
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

/// Makes grants live again that a step revoked. One that an operator ended meanwhile stays ended, from `at_ms` on by that alone.
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

fn put(db: &mut Db, change: &Change) -> Result<(), Failure> {
    let done = match (&change.before, &change.after) {
        (None, Some(after)) => diesel::insert_into(identity_link::table)
            .values((
                identity_link::id.eq(&after.id),
                identity_link::source.eq(&after.from.source),
                identity_link::kind.eq(after.from.kind.code()),
                identity_link::system.eq(&after.from.system),
                identity_link::value.eq(&after.from.value),
                columns(after),
            ))
            .execute(db)
            .map_err(refused_if_duplicate)?,
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

fn columns(link: &Link) -> Columns<'_> {
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
        .and(grants::revoked_ms.is_null());
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

/// One step with its changes.
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
    let image = |text: Option<String>| text.map(|text| serde_json::from_str::<Link>(&text)).transpose();
    let changes = rows.into_iter().map(|(before, after)| {
        Ok(Change {
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

/// The steps that moved a link to a member, also those whose link was taken back since; oldest first, at most 1,000.
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

fn text(link: &Link) -> String {
    serde_json::to_string(link).unwrap_or_default()
}
