//! One resource by type and id, limited to the caller's grants and to what belongs to nobody.

use super::{begin, complete, entry, is_shared, refuse};
use crate::audit::{Action, Outcome};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::security::Caller;
use crate::store::disclosure::{self, Released};

/// Reads one resource. `id` need not be well formed.
///
/// # Errors
/// [`Fault::NotFound`] when it is not there, not granted, or not to be released: one answer for all.
pub async fn read(ctx: &Context, caller: &Caller, rtype: &str, id: &str) -> Result<Released, Failure> {
    if !crate::ids::is_fhir_id(id) {
        return Err(refuse(ctx, caller, Fault::NotFound).await);
    }
    let (kind, name) = (rtype.to_owned(), id.to_owned());
    if is_shared(rtype) {
        let found = ctx.store.read(move |db| disclosure::shared(db, &kind, &name)).await?;
        return match found {
            Some(row) => Ok(row),
            None => Err(refuse(ctx, caller, Fault::NotFound).await),
        };
    }
    let (partner, now_ms) = (caller.partner.id.clone(), ctx.clock.now_ms());
    let found = ctx
        .store
        .read(move |db| disclosure::one(db, &partner, &kind, &name, now_ms))
        .await?;
    let narrowed_to = caller.patient_id.as_deref();
    let Some((row, grant)) = found.filter(|(_, grant)| narrowed_to.is_none_or(|only| only == grant.patient_id)) else {
        return Err(refuse(ctx, caller, Fault::NotFound).await);
    };
    let begun = entry(Action::DisclosureBegun, caller, &grant);
    begin(ctx, vec![begun.clone()]).await?;
    complete(
        ctx,
        begun,
        Outcome {
            class: "ok",
            http: Some(200),
            reason: None,
        },
        row.size(),
    );
    Ok(row)
}
