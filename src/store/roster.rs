//! States of the roster as a whole: counts of names and forms of numbers, made now and then and kept, so that all processes over
//! one store decide alike and a decision can name the state it was taken in. Also the secret behind blocking keys.

use super::schema::identity_roster;
use super::{Db, Store, failed_on_duplicate, secrets};
use crate::error::{Failure, Fault};
use crate::identity::{Facts, KeyHasher};
use crate::secret::{hex, sha256};
use arc_swap::ArcSwapOption;
use diesel::prelude::*;
use std::sync::{Arc, OnceLock};

/// Name of the secret under which blocking keys are hashed.
const SECRET: &str = "identity-keys";

/// A state of the roster.
#[derive(Debug, Default)]
pub struct Roster {
    /// Its number, from 1; 0 before there is any.
    pub no: i64,
    /// The first 12 hexadecimal digits of the digest of its counts.
    pub digest: String,
    /// The counts.
    pub facts: Facts,
}

/// What an open store remembers of the roster; [`Store`] holds one.
#[derive(Default)]
pub(super) struct Remembered {
    roster: ArcSwapOption<Roster>,
    hasher: OnceLock<KeyHasher>,
}

impl Store {
    /// The hasher of blocking keys; its secret is made when there is none. Waits on this thread the first time.
    ///
    /// # Errors
    /// Those of the database.
    pub fn key_hasher(&self) -> Result<KeyHasher, Failure> {
        let remembered = self.remembered();
        if let Some(hasher) = remembered.hasher.get() {
            return Ok(hasher.clone());
        }
        let key = self.reserved().write_blocking(|db| secrets::get_or_make(db, SECRET))?;
        Ok(remembered.hasher.get_or_init(|| KeyHasher::new(&key)).clone())
    }

    /// The last state of the roster, read again only when there is a newer one.
    ///
    /// # Errors
    /// Those of the database; [`Fault::StoreDamaged`] for counts that cannot be read.
    pub fn roster(&self, db: &mut Db) -> Result<Arc<Roster>, Failure> {
        let remembered = self.remembered();
        let last = last_no(db)?;
        if let Some(known) = remembered.roster.load_full().filter(|known| known.no == last) {
            return Ok(known);
        }
        let roster = Arc::new(if last == 0 { Roster::default() } else { read(db, last)? });
        remembered.roster.store(Some(Arc::clone(&roster)));
        Ok(roster)
    }
}

fn last_no(db: &mut Db) -> Result<i64, Failure> {
    let last: Option<i64> = identity_roster::table
        .select(identity_roster::no)
        .order(identity_roster::no.desc())
        .limit(1)
        .first(db)
        .optional()?;
    Ok(last.unwrap_or(0))
}

fn read(db: &mut Db, no: i64) -> Result<Roster, Failure> {
    let (sha256, facts): (Vec<u8>, Vec<u8>) = identity_roster::table
        .find(no)
        .select((identity_roster::sha256, identity_roster::facts))
        .first(db)?;
    let facts = Facts::unpack(&facts)
        .ok_or_else(|| Failure::new(Fault::StoreDamaged).because("counts of the roster are cut"))?;
    Ok(Roster {
        no,
        digest: named(&sha256),
        facts,
    })
}

fn named(sha256: &[u8]) -> String {
    hex(sha256.get(..6).unwrap_or(sha256))
}

/// Records counted in the last state; `None` before there is any, and when it is of another format.
///
/// # Errors
/// Those of the database.
pub fn records(db: &mut Db) -> Result<Option<i64>, Failure> {
    let last: Option<(i64, Vec<u8>)> = identity_roster::table
        .select((identity_roster::records, identity_roster::facts))
        .order(identity_roster::no.desc())
        .limit(1)
        .first(db)
        .optional()?;
    Ok(last
        .filter(|(_, facts)| Facts::unpack(facts).is_some())
        .map(|(records, _)| records))
}

/// Keeps a new state, unless the last one is the same or another process was first.
///
/// # Errors
/// Those of the database.
pub fn put(db: &mut Db, facts: &Facts, now_ms: i64) -> Result<(), Failure> {
    let bytes = facts.pack();
    let digest = sha256(&bytes).to_vec();
    let last: Option<(i64, Vec<u8>)> = identity_roster::table
        .select((identity_roster::no, identity_roster::sha256))
        .order(identity_roster::no.desc())
        .limit(1)
        .first(db)
        .optional()?;
    let last = match last {
        Some((_, same)) if same == digest => return Ok(()),
        Some((no, _)) => no,
        None => 0,
    };
    let row = (
        identity_roster::no.eq(last + 1),
        identity_roster::records.eq(i64::try_from(facts.records()).unwrap_or(i64::MAX)),
        identity_roster::sha256.eq(digest),
        identity_roster::facts.eq(bytes),
        identity_roster::made_ms.eq(now_ms),
    );
    let made = db.transaction(|db| diesel::insert_into(identity_roster::table).values(row).execute(db));
    match made.map_err(Failure::from) {
        Err(failure) if failed_on_duplicate(&failure) => Ok(()),
        done => done.map(|_| ()),
    }
}
