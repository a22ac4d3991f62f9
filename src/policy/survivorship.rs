//! The survivorship policy: which version is active, and activating another. Versions are kept forever under the digest of their content,
//! like those of the matching policy. It decides what operators see of a person's sources, never a match.

use super::versions::{Acted, act};
use crate::audit::{Action, OperatorNote};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::identity::survive::Survivorship;
use crate::store::Db;
use crate::store::policies::{self, SURVIVORSHIP, VersionRow};

/// Returns the active policy; the shipped one when none was activated.
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

/// Activates the policy with this text, for all processes of the store. Going back means activating the earlier text.
///
/// # Errors
/// [`Fault::PolicyInvalid`] with the number of the wrong line; those of the store.
pub fn adopt(ctx: &Context, text: &str, note: OperatorNote) -> Result<Survivorship, Failure> {
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
