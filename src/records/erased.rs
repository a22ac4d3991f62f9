//! Takes a member's record out of the store for good, a part in each transaction. It does not decide who is erased.

use super::index::Indexer;
use super::keep::Run;
use super::keep::taken_out::take_out;
use super::roster_count;
use super::seen::SeenInRun;
use crate::context::Context;
use crate::error::Failure;
use crate::store::Db;
use crate::store::dependencies::Name;
use crate::store::erased_record;

/// How many resources one transaction takes out.
const TOGETHER: i64 = 500;

/// Takes records out.
#[derive(Clone)]
pub struct RecordEraser(Run);

impl RecordEraser {
    /// For the store of this context. Blocks this thread.
    ///
    /// # Errors
    /// Those of the store.
    pub fn open(ctx: &Context) -> Result<RecordEraser, Failure> {
        Ok(RecordEraser(Run {
            seen: SeenInRun::default(),
            indexer: Indexer::open(ctx)?,
            ids: ctx.ids.clone(),
            clock: ctx.clock.clone(),
            dry_run: None,
            only: None,
        }))
    }

    /// Takes out the next resources of a compartment, with everything that was made of them. Returns whether there were any.
    ///
    /// # Errors
    /// Those of the database.
    pub fn some(&self, db: &mut Db, compartment: i64) -> Result<bool, Failure> {
        let next = erased_record::next(db, compartment, TOGETHER)?;
        let keys: Vec<i64> = next.iter().map(|(key, ..)| *key).collect();
        let names: Vec<Name> = next.into_iter().map(|(_, rtype, id)| (rtype, id)).collect();
        take_out(db, &keys, &names, &self.0)?;
        Ok(!keys.is_empty())
    }
}

/// Counts the names of the roster anew, and forgets the counts of before: a rare name in them is a member's. Blocks this thread.
///
/// # Errors
/// Those of the store.
pub fn count_roster_anew(ctx: &Context) -> Result<(), Failure> {
    roster_count::count_anew(ctx)?;
    ctx.store.write_blocking(erased_record::drop_older_rosters)
}
