//! Secret keys shared by all processes of one store: made once, then only read.

use super::schema::server_secret;
use super::{Db, is_duplicate};
use crate::error::{Failure, Fault};
use crate::secret;
use diesel::prelude::*;

/// Returns the 32-byte key called `name`; makes it when there is none.
///
/// # Errors
/// Those of the database; [`Fault::StoreDamaged`] when the stored key has another length.
pub fn get_or_make(db: &mut Db, name: &str) -> Result<[u8; 32], Failure> {
    if let Some(key) = find(db, name)? {
        return Ok(key);
    }
    let fresh: [u8; 32] = secret::random();
    let made = db.transaction(|db| {
        diesel::insert_into(server_secret::table)
            .values((server_secret::name.eq(name), server_secret::value.eq(fresh.to_vec())))
            .execute(db)
    });
    match made {
        Ok(_) => Ok(fresh),
        Err(error) if is_duplicate(&error) => find(db, name)?.ok_or_else(|| Fault::StoreDamaged.into()),
        Err(error) => Err(error.into()),
    }
}

/// The key of this name, if it was made.
///
/// # Errors
/// Those of the database; [`Fault::StoreDamaged`] when the stored key has another length.
pub fn find(db: &mut Db, name: &str) -> Result<Option<[u8; 32]>, Failure> {
    let stored: Option<Vec<u8>> = server_secret::table
        .find(name)
        .select(server_secret::value)
        .first(db)
        .optional()?;
    stored
        .map(|value| value.try_into().map_err(|_| Fault::StoreDamaged.into()))
        .transpose()
}
