//! Cleans the file of a SQLite store of everything that was deleted, when a member was erased.
//!
//! Deleted content is overwritten at once (`secure_delete`), but SQLite moves rows between pages and leaves copies in the gaps. So the whole
//! file is written anew, and the write-ahead log is emptied. Writes wait meanwhile; reads go on.

use super::{Message, Thread, Writer};
use crate::error::{Failure, Fault};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer};
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;

/// A file of more bytes than this is written anew beside itself; a smaller one in memory.
const IN_MEMORY: u64 = 256 * 1024 * 1024;
/// How often the log is tried to be emptied; each time waits as long as `busy_timeout` says.
const TRIES: usize = 6;

#[derive(QueryableByName)]
struct FileSize {
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

#[derive(QueryableByName)]
struct Checkpointed {
    #[diesel(sql_type = Integer)]
    busy: i32,
}

impl Writer {
    /// Cleans the file. Blocks this thread.
    pub(in crate::store) fn clean(&self) -> Result<(), Failure> {
        let (sender, receiver) = sync_channel(1);
        let gone = || Failure::new(Fault::StoreUnavailable);
        self.queue.send(Message::Clean(sender)).map_err(|_| gone())?;
        receiver.recv().unwrap_or_else(|_| Err(gone()))
    }
}

impl Thread {
    pub(super) fn clean(&mut self) -> Result<(), Failure> {
        if self.broken.load(Ordering::Acquire) {
            return Err(Fault::StoreUnavailable.into());
        }
        let done = self.rewritten();
        if self.saw_full.swap(false, Ordering::AcqRel) {
            let remedy = "Free as much space on the disk of the store as the store has, and give the command again.";
            return Err(Failure::new(Fault::NoRoom).remedy(remedy));
        }
        done
    }

    fn rewritten(&mut self) -> Result<(), Failure> {
        self.saw_full.store(false, Ordering::Release);
        let size = "SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()";
        let size: FileSize = diesel::sql_query(size).get_result(&mut self.db)?;
        let bytes = u64::try_from(size.bytes).unwrap_or(0);
        if self.disk.free().is_some_and(|free| free < bytes) {
            self.saw_full.store(true, Ordering::Release);
            return Ok(());
        }
        if bytes > IN_MEMORY {
            self.db.batch_execute("PRAGMA temp_store=FILE")?;
        }
        let written = self.db.batch_execute("VACUUM");
        if bytes > IN_MEMORY {
            self.db.batch_execute("PRAGMA temp_store=MEMORY")?;
        }
        written?;
        for _ in 0..TRIES {
            let state: Checkpointed = diesel::sql_query("PRAGMA wal_checkpoint(TRUNCATE)").get_result(&mut self.db)?;
            if state.busy == 0 {
                return Ok(());
            }
        }
        let remedy = "Somebody reads from the store for long. Give the command again: it finishes what it has begun.";
        Err(Failure::new(Fault::StoreBusy).remedy(remedy))
    }
}
