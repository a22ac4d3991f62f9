//! Version times that no import sets: when a resource becomes releasable because of another change (`appear`), and when a store is older
//! than its version clock ([`bring_up`]). In such a store the served `meta.lastUpdated` was the time of the source.
//!
//! Nobody knows any more when those versions became visible, so all of them get the time of this step. It is
//! later than the truth and never earlier, so that a reader that asks for changes since a time misses nothing.
//! The time given by the source is stored in a column of its own.

use super::attachment;
use super::in_parallel::in_parallel;
use super::meta::meta_edits;
use super::splice::splice;
use crate::clock::rfc3339_ms;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{ScreenLimits, screen};
use crate::secret::sha256;
use crate::store::Db;
use crate::store::resources::{self, Attachment};
use crate::store::visible::{self, Appeared, Before, Restamped};

/// How many resources one step handles.
const STEP: i64 = 1_000;

/// Gives the resource with this key the time (UTC milliseconds) at which it became releasable, or releasable in another form, so that a
/// reader that asks for changes since an earlier time gets it. The version is raised, because the bytes change.
///
/// # Errors
/// Those of the database, and of the pre-screen for bytes that passed it before.
pub(super) fn appear(db: &mut Db, key: i64, at_ms: i64) -> Result<(), Failure> {
    let Some((version, body, released)) = visible::bytes(db, key)? else {
        return Ok(());
    };
    visible::appear(db, &[appeared(key, version, &body, released.as_deref(), at_ms)?])
}

/// Returns what [`appear`] writes for a version with these bytes and this released form.
///
/// # Errors
/// Those of the pre-screen for bytes that passed it before.
pub(super) fn appeared(
    key: i64,
    version: i64,
    body: &[u8],
    released: Option<&[u8]>,
    at_ms: i64,
) -> Result<Appeared, Failure> {
    let version = version + 1;
    let body = stamped(body, version, at_ms)?;
    let released = released.map(|form| stamped(form, version, at_ms)).transpose()?;
    Ok(Appeared {
        key,
        version,
        last_updated_ms: at_ms,
        sha256: sha256(&body),
        body,
        released,
    })
}

/// Returns a resource with this version and time in its `meta`.
fn stamped(bytes: &[u8], version: i64, at_ms: i64) -> Result<Vec<u8>, Failure> {
    let screened = screen(bytes, &ScreenLimits::record())?;
    Ok(splice(bytes, &meta_edits(&screened, version, at_ms).edits))
}

/// Returns the key after which version times are not yet those of this store; `None` when all are.
///
/// # Errors
/// Those of the database.
pub(super) fn due_after(db: &mut Db) -> Result<Option<i64>, Failure> {
    visible::after_key(db)
}

/// Restamps the rows that are left. `tell` receives how many resources are done. It can be
/// interrupted and started again; each step is one transaction.
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
                write(db, &rows, at_ms, &base_url)?;
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

fn write(db: &mut Db, rows: &[Before], at_ms: i64, base_url: &str) -> Result<(), Failure> {
    let made = in_parallel(
        rows,
        |row| restamped(row, at_ms, base_url),
        || Err(Failure::new(Fault::Internal).because("reading a version's time panicked")),
    );
    let made = made
        .into_iter()
        .collect::<Result<Vec<(Restamped, Vec<String>)>, Failure>>()?;
    let (rows, named): (Vec<Restamped>, Vec<Vec<String>>) = made.into_iter().unzip();
    visible::restamp(db, &rows)?;
    let attachments: Vec<Attachment<'_>> = rows
        .iter()
        .zip(&named)
        .flat_map(|(row, ids)| {
            ids.iter().map(|binary_id| Attachment {
                binary_id,
                key: row.key,
            })
        })
        .collect();
    resources::attach(db, &attachments)
}

/// Returns the new times and bytes of a row, and the ids of the Binaries that it references.
fn restamped(row: &Before, at_ms: i64, base_url: &str) -> Result<(Restamped, Vec<String>), Failure> {
    let screened = screen(&row.body, &ScreenLimits::record())?;
    let meta = screened.root().get("meta");
    let member = |name: &str| meta.as_ref()?.get(name)?.text();
    let version = member("versionId").and_then(|text| text.parse().ok()).unwrap_or(1);
    // This server wrote such a text when the source gave no time. A source that happens to
    // write the same counts as one that gives none, as it did before.
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
    let restamped = Restamped {
        key: row.key,
        last_updated_ms: at_ms,
        source_updated_ms,
        sha256: sha256(&body),
        body,
        released,
    };
    let named = attachment::named(&screened, &row.rtype, base_url);
    Ok((restamped, named.into_iter().collect()))
}
