//! The policy of survivorship: which version is in force, and putting another there. Kept like the matching policy, by its content and
//! for good; it decides what operators see of a person's sources, never a match.

use super::versions::{Acted, act};
use crate::audit::{Action, Note};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::identity::survive::Survivorship;
use crate::store::Db;
use crate::store::policies::{self, SURVIVORSHIP, VersionRow};

/// The policy in force; the one that ships when none was adopted.
///
/// # Errors
/// [`Fault::StoreDamaged`] when it cannot be read; those of the database.
pub fn survivorship(db: &mut Db) -> Result<Survivorship, Failure> {
    let Some(id) = policies::active(db, SURVIVORSHIP)?.version_id else {
        return Ok(Survivorship::default());
    };
    let damaged = || Failure::new(Fault::StoreDamaged).because("the survivorship policy in force");
    let row = policies::find(db, &id)?.ok_or_else(damaged)?;
    Survivorship::parse(&row.body).map_err(|_| damaged())
}

/// Puts the policy of this text in force, for all processes over the store; going back is adopting the text of before.
///
/// # Errors
/// [`Fault::PolicyInvalid`] naming the line; those of the store.
pub fn adopt(ctx: &Context, text: &str, note: Note) -> Result<Survivorship, Failure> {
    let policy = Survivorship::parse(text).map_err(|failure| {
        let line = failure.expressions().first().cloned().unwrap_or_default();
        Failure::new(Fault::PolicyInvalid)
            .at(line)
            .remedy("Write `survivorship 1`, then each source's trust and each attribute's rule once; see `causeway policy survivorship`.")
    })?;
    let row = VersionRow {
        id: policy.id(),
        kind: SURVIVORSHIP.to_owned(),
        name: policy.version(),
        body: policy.text(),
        added_ms: ctx.clock.now_ms(),
    };
    let acted = Acted {
        id: row.id.clone(),
        version: policy.version(),
    };
    act(ctx, Action::PolicyActivated, acted, note, move |db| {
        policies::insert(db, &row)?;
        policies::activate(db, SURVIVORSHIP, &row.id, row.added_ms)
    })?;
    Ok(policy)
}
