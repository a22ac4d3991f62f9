//! When a version became visible here, where no import says so: what comes free of what held it back (`appear`), and a store of
//! before version times were those of this store ([`bring_up`]): what was served as `meta.lastUpdated` was the source's.
//!
//! When each version became visible nobody knows any more, so that all are given the time of this step: later than the truth,
//! never earlier, so that whoever asks for what changed since misses nothing. What the source said is kept beside it.

use super::attachment;
use super::gate::meta_edits;
use super::splice::splice;
use crate::clock::rfc3339_ms;
use crate::context::Context;
use crate::error::Failure;
use crate::fhir::prescreen::{Limits, screen};
use crate::secret::sha256;
use crate::store::Db;
use crate::store::resources::{self, Attachment};
use crate::store::visible::{self, Appeared, Before, Restamped};

/// Resources of one step.
const STEP: i64 = 500;

/// Gives the resource under `key` the time (UTC milliseconds) at which it appeared, or appeared in another form: whoever asks for
/// what changed since an earlier time is given it. The version is raised, for its bytes are no longer those of the version before.
///
/// # Errors
/// Those of the database, and of the pre-screen over bytes that passed it before.
pub(super) fn appear(db: &mut Db, key: i64, at_ms: i64) -> Result<(), Failure> {
    let Some((version, body, released)) = visible::bytes(db, key)? else {
        return Ok(());
    };
    let version = version + 1;
    let body = stamped(&body, version, at_ms)?;
    let released = released
        .as_deref()
        .map(|form| stamped(form, version, at_ms))
        .transpose()?;
    visible::appear(
        db,
        key,
        &Appeared {
            version,
            last_updated_ms: at_ms,
            sha256: &sha256(&body),
            body: &body,
            released: released.as_deref(),
        },
    )
}

/// A resource with this version and time in its `meta`.
fn stamped(bytes: &[u8], version: i64, at_ms: i64) -> Result<Vec<u8>, Failure> {
    let screened = screen(bytes, &Limits::record())?;
    Ok(splice(bytes, &meta_edits(&screened, version, at_ms).edits))
}

/// Brings up what is left. `tell` hears how many resources are done. It can be broken off and begun again; each step is one
/// transaction.
///
/// # Errors
/// Those of the store.
pub fn bring_up(ctx: &Context, tell: &mut dyn FnMut(u64)) -> Result<(), Failure> {
    if ctx.store.read_blocking(visible::after_key)?.is_none() {
        return Ok(());
    }
    let mut done = 0;
    loop {
        let (base_url, clock) = (ctx.payer.base_url.clone(), ctx.clock.clone());
        let count = ctx.store.write_blocking(move |db| {
            resources::lock(db)?;
            let Some(after) = visible::after_key(db)? else {
                return Ok(0);
            };
            let rows = visible::before(db, after, STEP)?;
            if let Some(last) = rows.last() {
                let at_ms = visible::take(db, clock.now_ms())?;
                for row in &rows {
                    bring_up_row(db, row, at_ms, &base_url)?;
                }
                visible::set_after_key(db, Some(last.key))?;
            } else {
                visible::set_after_key(db, None)?;
            }
            Ok(rows.len() as u64)
        })?;
        if count == 0 {
            return Ok(());
        }
        done += count;
        tell(done);
    }
}

fn bring_up_row(db: &mut Db, row: &Before, at_ms: i64, base_url: &str) -> Result<(), Failure> {
    let screened = screen(&row.body, &Limits::record())?;
    let meta = screened.root().get("meta");
    let member = |name: &str| meta.as_ref()?.get(name)?.text();
    let version = member("versionId").and_then(|text| text.parse().ok()).unwrap_or(1);
    // A time that we wrote ourselves, because the source had none, looks like this; a source that writes alike counts as one
    // that says nothing, which is how it was judged before.
    let ours = rfc3339_ms(row.last_updated_ms);
    let source_updated_ms = member("lastUpdated")
        .filter(|text| *text != ours)
        .map(|_| row.last_updated_ms);
    let body = stamped(&row.body, version, at_ms)?;
    let released = row
        .released
        .as_deref()
        .map(|form| stamped(form, version, at_ms))
        .transpose()?;
    visible::restamp(
        db,
        row.key,
        &Restamped {
            last_updated_ms: at_ms,
            source_updated_ms,
            sha256: &sha256(&body),
            body: &body,
            released: released.as_deref(),
        },
    )?;
    let ids = attachment::named(&screened, &row.rtype, base_url);
    let rows: Vec<Attachment<'_>> = ids
        .iter()
        .map(|binary_id| Attachment {
            binary_id,
            key: row.key,
        })
        .collect();
    resources::attach(db, &rows)
}
