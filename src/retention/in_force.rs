//! Which periods apply: those of the retention policy in force, and for what it does not rule those of the configuration. Reads; never
//! deletes.

use crate::error::{Failure, Fault};
use crate::keeping::{AS_CONFIGURED, Periods};
use crate::secret::{hex, sha256};
use crate::store::Db;
use crate::store::activations::{self, EVERYONE, RETENTION};
use crate::store::policies;

/// The periods that apply at `at_ms` (UTC milliseconds by the clock that decides about policies). `configured` are those of the configuration,
/// which apply while no policy is in force.
///
/// # Errors
/// [`Fault::StoreDamaged`] for a policy that is gone, is not what its id says, or cannot be read: then nothing may be deleted; those of the
/// database.
pub fn in_force(db: &mut Db, configured: &Periods, at_ms: i64) -> Result<Periods, Failure> {
    match activations::in_force(db, RETENTION, EVERYONE, at_ms)? {
        Some(id) => under(db, configured, &id),
        None => Ok(configured.clone()),
    }
}

/// The shortest periods that applied at any time, as far as the store knows: what is older may be gone, rightly.
///
/// # Errors
/// As [`in_force`].
pub fn shortest(db: &mut Db, configured: &Periods, at_ms: i64) -> Result<Periods, Failure> {
    let mut shortest = configured.clone();
    for row in activations::of_kind(db, RETENTION)? {
        if row.is_effective(at_ms) {
            shortest = shortest.or_shorter(&under(db, configured, &row.version_id)?);
        }
    }
    Ok(shortest)
}

fn under(db: &mut Db, configured: &Periods, id: &str) -> Result<Periods, Failure> {
    let damaged = |what: String| Failure::new(Fault::StoreDamaged).because(what);
    let row = policies::find(db, id)?.ok_or_else(|| damaged("a retention policy is gone".to_owned()))?;
    if hex(&sha256(row.body.as_bytes())) != row.id {
        return Err(damaged("a retention policy is not what its id says".to_owned()));
    }
    if row.body == AS_CONFIGURED {
        return Ok(configured.clone());
    }
    let read = configured.clone().under(&row.cited(), &row.body);
    read.map_err(|fault| damaged(fault.to_string()))
}
