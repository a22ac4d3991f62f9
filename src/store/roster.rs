//! States of the roster: counts of names and of forms of numbers. A new state is stored from time to time, so that all processes of a store
//! decide alike and a decision can name the state it used. Also the secret of the blocking keys.

pub use super::remembered::RememberedRoster;
use super::schema::identity_roster;
use super::statement::Statement;
use super::{Db, Store, failed_on_duplicate, secrets};
use crate::error::{Failure, Fault};
use crate::identity::{Facts, KeyHasher};
use crate::secret::{hex, sha256};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use std::sync::Arc;

/// Name of the secret with which blocking keys are hashed.
const SECRET: &str = "identity-keys";

impl Store {
    /// Returns the hasher of blocking keys; its secret is made when there is none. The first call blocks this thread.
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

    /// Returns the latest state of the roster. Reads it only when it is newer than the cached one.
    ///
    /// # Errors
    /// Those of the database; [`Fault::StoreDamaged`] for counts that cannot be read.
    pub fn roster(&self, db: &mut Db) -> Result<Arc<RememberedRoster>, Failure> {
        let last = last_no(db)?;
        self.roster_of(db, last)
    }

    /// Returns the state with number `last`. Reads it only when it is not the cached one; number 0 is the empty state.
    ///
    /// # Errors
    /// As [`Store::roster`].
    pub fn roster_of(&self, db: &mut Db, last: i64) -> Result<Arc<RememberedRoster>, Failure> {
        let remembered = self.remembered();
        if let Some(known) = remembered.roster.load_full().filter(|known| known.no == last) {
            return Ok(known);
        }
        let roster = Arc::new(if last == 0 {
            RememberedRoster::default()
        } else {
            read(db, last)?
        });
        remembered.roster.store(Some(Arc::clone(&roster)));
        Ok(roster)
    }
}

struct Last;

/// The limit is literal: PostgreSQL would plan a statement with a bound limit at each call, since a generic plan looks more expensive.
const LAST_SQL: &str = "SELECT no FROM identity_roster ORDER BY no DESC LIMIT 1";

fn last_no(db: &mut Db) -> Result<i64, Failure> {
    let statement = Statement::<Last, BigInt>::new(LAST_SQL, Vec::new());
    let last: Vec<i64> = match db {
        Db::Pg(pg) => statement.load(pg)?,
        Db::Sqlite(sqlite) => statement.load(sqlite)?,
    };
    Ok(last.first().copied().unwrap_or(0))
}

fn read(db: &mut Db, no: i64) -> Result<RememberedRoster, Failure> {
    let (sha256, facts): (Vec<u8>, Vec<u8>) = identity_roster::table
        .find(no)
        .select((identity_roster::sha256, identity_roster::facts))
        .first(db)?;
    let facts = Facts::unpack(&facts)
        .ok_or_else(|| Failure::new(Fault::StoreDamaged).because("counts of the roster are cut"))?;
    Ok(RememberedRoster {
        no,
        digest: named(&sha256),
        facts,
    })
}

fn named(sha256: &[u8]) -> String {
    hex(sha256.get(..6).unwrap_or(sha256))
}

/// Returns how many records the latest state counts; `None` when there is no state or it has another format.
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

/// Stores a new state, unless it equals the latest one or another process stored one first.
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
