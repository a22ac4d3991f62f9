//! The survivorship policy: which version is active, and activating another. It decides what operators see of a person's sources, never a
//! match.

use super::activation::{self, Activated, ActivationWish};
use super::hand::PolicyHand;
use super::kind::{KindTable, PolicyKind};
use super::standing::VersionState;
use super::versions::{self, Version};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::identity::survive::Survivorship;
use crate::store::Db;
use crate::store::activations::{EVERYONE, in_force};
use crate::store::policies::{self, SURVIVORSHIP};

/// Returns the policy that is active at `now_ms` (UTC milliseconds); the shipped one when none was activated.
///
/// # Errors
/// [`Fault::StoreDamaged`] when it cannot be read; those of the database.
pub fn survivorship(db: &mut Db, now_ms: i64) -> Result<Survivorship, Failure> {
    let activated = in_force(db, SURVIVORSHIP, EVERYONE, now_ms)?;
    let id = match activated {
        Some(id) => Some(id),
        None => policies::active(db, SURVIVORSHIP)?.version_id,
    };
    let Some(id) = id else {
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
pub fn adopt(ctx: &Context, table: KindTable, text: &str, hand: &PolicyHand) -> Result<Activated, Failure> {
    let policy = versions::survivorship_text(text)?;
    let version = Version {
        kind: PolicyKind::Survivorship,
        id: policy.id(),
        name: policy.version(),
        version: policy.version(),
        body: policy.text(),
        rules: None,
        standing: VersionState::Idle,
        partners: Vec::new(),
        added_ms: None,
    };
    activation::put_in_force(ctx, table, version, &ActivationWish::default(), hand)
}
