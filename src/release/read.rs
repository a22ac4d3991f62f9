//! One resource by type and id, limited to the caller's grants and to what belongs to nobody.

use super::{Sent, Tally, begin, complete, entry, is_shared, refuse};
use crate::audit::{Action, Outcome};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{Limits, screen};
use crate::records::compartment;
use crate::security::Caller;
use crate::store::Db;
use crate::store::disclosure::{self, LiveGrant, Released};

/// Reads one resource. `id` need not be well formed, nor `version`, which must be the current one when it is given. `sent` says
/// what of it goes out.
///
/// # Errors
/// [`Fault::NotFound`] when it is not there, not granted, or not to be released: one answer for all.
pub async fn read(
    ctx: &Context,
    caller: &Caller,
    rtype: &str,
    id: &str,
    version: Option<&str>,
    sent: impl FnOnce(&Released) -> Sent,
) -> Result<Released, Failure> {
    let is_wanted = |row: &Released| version.is_none_or(|version| version == row.version.to_string());
    if !crate::ids::is_fhir_id(id) {
        return Err(refuse(ctx, caller, Fault::NotFound).await);
    }
    let (kind, name) = (rtype.to_owned(), id.to_owned());
    if is_shared(rtype) {
        let found = ctx.store.read(move |db| disclosure::shared(db, &kind, &name)).await?;
        return match found.filter(is_wanted) {
            Some(row) => Ok(row),
            None => Err(refuse(ctx, caller, Fault::NotFound).await),
        };
    }
    let (partner, now_ms) = (caller.partner.id.clone(), ctx.clock.now_ms());
    let base_url = ctx.payer.base_url.clone();
    let found = ctx
        .store
        .read(move |db| {
            let found = disclosure::one(db, &partner, &kind, &name, now_ms)?;
            match found {
                Some((row, grant)) if kind == "Binary" => {
                    let may = attached(db, &partner, &row, &grant, &base_url, now_ms)?;
                    Ok(may.then_some((row, grant)))
                }
                found => Ok(found),
            }
        })
        .await?;
    let narrowed_to = caller.patient_id.as_deref();
    let found = found.filter(|(row, grant)| is_wanted(row) && narrowed_to.is_none_or(|only| only == grant.patient_id));
    let Some((row, grant)) = found else {
        return Err(refuse(ctx, caller, Fault::NotFound).await);
    };
    let begun = begin(ctx, vec![entry(Action::DisclosureBegun, caller, &grant)]).await?;
    let sent = sent(&row);
    let mut tally = Tally::default();
    if sent == Sent::Whole {
        tally.add(rtype);
    }
    for begun in begun {
        let outcome = Outcome {
            class: "ok",
            http: Some(sent.http()),
            reason: None,
        };
        complete(ctx, begun, outcome, sent.bytes(row.size()), tally.clone());
    }
    Ok(row)
}

/// Whether a Binary may leave: by the rule of all that names it, and of the security context that it names itself.
fn attached(
    db: &mut Db,
    partner: &str,
    row: &Released,
    grant: &LiveGrant,
    base_url: &str,
    now_ms: i64,
) -> Result<bool, Failure> {
    if !disclosure::is_attached(db, grant, &row.id, now_ms)? {
        return Ok(false);
    }
    let screened = screen(row.bytes(), &Limits::record())?;
    let Some(context) = screened.root().get("securityContext") else {
        return Ok(true);
    };
    let text = context.get("reference").and_then(|reference| reference.text());
    match text.as_deref().and_then(|text| compartment::local(text, base_url)) {
        Some(("Patient", id)) => Ok(id == grant.patient_id),
        Some((rtype, id)) if !is_shared(rtype) && rtype != "Binary" => {
            let found = disclosure::one(db, partner, rtype, id, now_ms)?;
            Ok(found.is_some_and(|(_, other)| other.compartment == grant.compartment))
        }
        _ => Ok(false),
    }
}
