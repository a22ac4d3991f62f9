//! `Patient` by id and by identifier, limited to the caller's grants.

use super::{begin, complete, entry, refuse};
use crate::audit::{Action, Outcome};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::security::Caller;
use crate::store::disclosure::{self, Released};

/// Resources that may leave now, their disclosure already durable.
pub struct Page {
    /// In answer order.
    pub rows: Vec<Released>,
}

/// Reads one Patient. `id` need not be well formed.
///
/// # Errors
/// [`Fault::NotFound`] when it is not there, not granted, or not to be released: one answer for all.
pub async fn patient(ctx: &Context, caller: &Caller, id: &str) -> Result<Released, Failure> {
    let now_ms = ctx.clock.now_ms();
    let narrowed_away = caller.patient_id.as_deref().is_some_and(|only| only != id);
    let found = if narrowed_away || !crate::ids::is_fhir_id(id) {
        None
    } else {
        let (partner, id) = (caller.partner.id.clone(), id.to_owned());
        ctx.store
            .read(move |db| disclosure::one(db, &partner, "Patient", &id, now_ms))
            .await?
    };
    let Some((row, grant)) = found else {
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

/// Searches Patients by `identifier` (`system|value`, `|value` or `value`) or by `_id`, inside the caller's grants.
///
/// # Errors
/// Those of the store; finding nothing is an empty page.
pub async fn search_patients(
    ctx: &Context,
    caller: &Caller,
    identifier: Option<&str>,
    id: Option<&str>,
) -> Result<Page, Failure> {
    let now_ms = ctx.clock.now_ms();
    let partner = caller.partner.id.clone();
    let umb_system = ctx.payer.umb_system.clone();
    let only = caller.patient_id.clone();
    let identifier = identifier.map(str::to_owned);
    let id = id.map(str::to_owned);
    let found = ctx
        .store
        .read(move |db| {
            let mut wanted: Option<Vec<String>> = None;
            if let Some(token) = &identifier {
                let (system, value) = match token.split_once('|') {
                    Some((system, value)) => (Some(system), value),
                    None => (None, token.as_str()),
                };
                let grants = disclosure::granted_by_identifier(db, &partner, system, value, &umb_system, now_ms)?;
                wanted = Some(grants.into_iter().map(|grant| grant.patient_id).collect());
            }
            if let Some(id) = id {
                let keep = wanted.as_ref().is_none_or(|ids| ids.contains(&id));
                wanted = Some(if keep { vec![id] } else { Vec::new() });
            }
            let mut rows = Vec::new();
            for id in wanted.unwrap_or_default() {
                if only.as_ref().is_none_or(|only| *only == id)
                    && let Some(row) = disclosure::one(db, &partner, "Patient", &id, now_ms)?
                {
                    rows.push(row);
                }
            }
            Ok(rows)
        })
        .await?;
    if found.is_empty() {
        let failure = refuse(ctx, caller, Fault::NotFound).await;
        return if failure.fault() == Fault::NotFound {
            Ok(Page { rows: Vec::new() })
        } else {
            Err(failure)
        };
    }
    let begun: Vec<_> = found
        .iter()
        .map(|(_, grant)| entry(Action::DisclosureBegun, caller, grant))
        .collect();
    begin(ctx, begun.clone()).await?;
    for (begun, (row, _)) in begun.into_iter().zip(&found) {
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
    }
    Ok(Page {
        rows: found.into_iter().map(|(row, _)| row).collect(),
    })
}
