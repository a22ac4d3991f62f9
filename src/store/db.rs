//! [`Store`]: a pool of connections for reads, and a group commit for writes.
//!
//! A SQLite store has one owning process (a lock file beside it) and one writing connection. PostgreSQL has ordinary pooled transactions; a
//! call that is not answered in time is given up ([`super::pool`]).

use super::connect::{Manager, Readers};
use super::connection::Db;
use super::failure::unreachable;
use super::later::Later;
use super::owed::Debts;
use super::pool::{self, Waiting};
use super::remembered::{Remembered, RememberedVersions};
use super::room::{Disk, RoomLimits};
use super::set_up::{self, StoreNeed, StoreSite};
use super::url::StoreUrl;
use super::work::StoreCounts;
use super::writer::{Outbox, UndoneBy, Writer};
use super::{durability, file, migrate};
use crate::error::{Failure, Fault};
use diesel::prelude::*;
use diesel::r2d2::Pool;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

mod append;
mod calls;
mod clean;
mod counts;
mod large;
mod pay;
mod places;
mod quick;
mod single;

use places::Places;
use quick::QuickAskers;

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Largest number of pooled connections.
    pub connections: u32,
    /// How much disk space must stay free for a SQLite store.
    pub room: RoomLimits,
    /// The schema of a PostgreSQL store. When `None`, the search path decides.
    pub schema: Option<String>,
    /// What the store is opened for.
    pub need: StoreNeed,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            connections: 8,
            room: RoomLimits::NONE,
            schema: None,
            need: StoreNeed::Write,
        }
    }
}

/// An open store. Clones share it; it closes when the last clone is dropped.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    url: StoreUrl,
    /// The read connections of SQLite.
    readers: Option<Pool<Readers>>,
    writer: Option<Writer>,
    /// The connections to PostgreSQL.
    remote: Option<pool::Pool>,
    debts: Arc<Debts>,
    later: Arc<Later>,
    work: Arc<StoreCounts>,
    places: Places,
    quick: QuickAskers,
    broken: Arc<AtomicBool>,
    /// The disk of a SQLite store, watched for free space.
    disk: Option<Arc<Disk>>,
    remembered: Remembered,
    versions: RememberedVersions,
    site: StoreSite,
    _lock: Option<File>,
}

impl Store {
    /// Opens a store: takes the lock (SQLite), migrates, and refuses unsafe durability settings. Progress goes to the log.
    ///
    /// # Errors
    /// As [`Store::open_telling`].
    pub fn open(url: &StoreUrl, options: &StoreOptions) -> Result<Store, Failure> {
        Store::open_telling(url, options, &mut |line| tracing::info!("{line}"))
    }

    /// [`Store::open`], which passes to `tell` what it waits for and how far the migrations are.
    ///
    /// # Errors
    /// [`Fault::StoreBusy`] when another process holds the file, [`Fault::DurabilityUnsafe`] when the database could lose acknowledged
    /// writes, [`Fault::StoreUnavailable`] when it cannot be reached, [`Fault::NoRoom`] when the disk is too full. [`Fault::StoreUnfit`],
    /// [`Fault::StoreReadOnly`], [`Fault::SchemaBehind`] and [`Fault::SchemaNewer`] when the store cannot serve as it is.
    /// [`Fault::StoreMissing`] when no store exists and it was to be opened only for reading.
    pub fn open_telling(url: &StoreUrl, options: &StoreOptions, tell: migrate::Tell<'_>) -> Result<Store, Failure> {
        let disk = url.sqlite_path().map(|path| Arc::new(Disk::of(path, options.room)));
        Store::open_on(disk.clone(), url, options, tell).map_err(|failure| {
            let said = failure.cause().map(ToString::to_string).unwrap_or_default();
            disk.and_then(|disk| disk.blamed_for(&said)).unwrap_or(failure)
        })
    }

    fn open_on(
        disk: Option<Arc<Disk>>,
        url: &StoreUrl,
        options: &StoreOptions,
        tell: migrate::Tell<'_>,
    ) -> Result<Store, Failure> {
        let is_new = url.sqlite_path().is_some_and(|path| !path.exists());
        let lock = match url.sqlite_path() {
            Some(path) => Some(file::take(path, options.need)?),
            None => None,
        };
        let site = match url {
            StoreUrl::Sqlite(_) => StoreSite::default(),
            StoreUrl::Postgres(address) => {
                set_up::postgres(url, address, options.schema.as_deref(), options.need, tell)?
            }
        };
        let mut first = Manager::open(url).map_err(unreachable)?;
        if let StoreUrl::Sqlite(_) = url {
            migrate::up_telling(&mut first, tell)?;
            if is_new {
                tell(&format!("created a new store: {url}"));
            }
        }
        // A store opened for reading loses nothing; `causeway durability` must be able to show what is unsafe.
        if options.need == StoreNeed::Write {
            durability::demand(&durability::report(&mut first)?)?;
        }
        let broken = Arc::new(AtomicBool::new(false));
        let (debts, later, work) = (
            Arc::<Debts>::default(),
            Arc::<Later>::default(),
            Arc::<StoreCounts>::default(),
        );
        let (readers, writer, remote) = match &disk {
            Some(disk) => {
                let outbox = Outbox {
                    later: Arc::clone(&later),
                    debts: Arc::clone(&debts),
                    work: Arc::clone(&work),
                };
                let writer = Writer::start(first, Arc::clone(&broken), Arc::clone(disk), outbox)?;
                let readers = Pool::builder()
                    .max_size(options.connections)
                    .min_idle(Some(1))
                    .test_on_check_out(false)
                    .connection_timeout(pool::PLACE)
                    .build(Readers(url.clone(), Arc::clone(&work)))
                    .map_err(|error| Failure::new(Fault::StoreUnavailable).because(error))?;
                (Some(readers), Some(writer), None)
            }
            None => {
                let pool = pool::watch::open(url, site.search_path(), options.connections, &work)?;
                (None, None, Some(pool))
            }
        };
        let places = Places::new(options.connections as usize, disk.is_some());
        Ok(Store(Arc::new(Inner {
            url: url.clone(),
            readers,
            writer,
            remote,
            debts,
            later,
            work,
            places,
            quick: QuickAskers::new(super::company::OthersAsking::default()),
            broken,
            disk,
            remembered: Remembered::default(),
            versions: RememberedVersions::default(),
            site,
            _lock: lock,
        })))
    }

    /// Returns where this store is.
    pub fn url(&self) -> &StoreUrl {
        &self.0.url
    }

    /// Returns why this store takes no writes, or `None` when it takes them. Only a store opened for reading can be read-only.
    pub fn read_only(&self) -> Option<&str> {
        self.0.site.read_only.as_deref()
    }

    pub(super) fn versions(&self) -> &RememberedVersions {
        &self.0.versions
    }

    /// Runs several statements of one read on one snapshot where that is cheap. On SQLite it is, because each statement by itself would
    /// take and release the file's lock; on PostgreSQL the statements run one by one.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn reading<T>(db: &mut Db, work: impl FnOnce(&mut Db) -> Result<T, Failure>) -> Result<T, Failure> {
        match db {
            Db::Pg(_) => work(db),
            Db::Sqlite(_) => db.transaction(work),
        }
    }

    pub(super) fn remembered(&self) -> &Remembered {
        &self.0.remembered
    }

    /// Whether a commit failed in such a way that no write may be acknowledged any more; the process must then end.
    pub fn is_broken(&self) -> bool {
        self.0.broken.load(Ordering::Acquire)
    }

    pub(super) fn disk(&self) -> Option<&Disk> {
        self.0.disk.as_deref()
    }

    /// From now on the database ends a statement after `limit`, and no call waits much longer for its answer. A server calls this when its
    /// start-up work is done. It has no effect on SQLite.
    pub fn limit_statements(&self, limit: Duration) {
        if let Some(remote) = &self.0.remote {
            remote.limit_statements(limit);
        }
    }

    pub(super) fn debts(&self) -> &Debts {
        &self.0.debts
    }

    pub(super) fn later(&self) -> &Later {
        &self.0.later
    }

    pub(super) fn work(&self) -> &StoreCounts {
        &self.0.work
    }

    /// Whether the store is a database server: other processes may use it too, and each statement is a network round trip.
    pub fn is_remote(&self) -> bool {
        self.0.remote.is_some()
    }

    /// Wakes SQLite's writer because ledger entries wait for it. Returns false when there is no such writer.
    pub(super) fn nudge_writer(&self) -> bool {
        self.0.writer.as_ref().map(Writer::nudge).is_some()
    }

    /// Runs a short read. On SQLite it runs on the calling thread when a connection is free, otherwise on a blocking thread.
    ///
    /// # Errors
    /// Those of `work`; [`Fault::Overloaded`] when no connection becomes free in time; on PostgreSQL, [`Fault::StoreUnavailable`] when the
    /// database cannot be reached, and [`Fault::StoreSlow`] when it does not answer in time.
    pub async fn read<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        if let Some(readers) = &self.0.readers
            && let Some(mut connection) = readers.try_get()
        {
            return work(&mut connection);
        }
        Box::pin(self.read_apart(work)).await
    }

    /// Runs a read that may be long, always on a blocking thread.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn read_apart<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        self.apart(move |store, waiting| store.reading_with(waiting, work))
            .await
    }

    /// [`Store::read_apart`] for an `asker` that may send many reads at once: askers take turns, and each has at most half of the places.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn read_in_turn<T, F>(&self, asker: &str, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        self.apart_for(Some(asker), move |store, waiting| store.reading_with(waiting, work))
            .await
    }

    /// Runs a read on this thread, which may wait for a connection and for the database. Meant for commands.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_blocking<T>(&self, work: impl FnOnce(&mut Db) -> Result<T, Failure>) -> Result<T, Failure> {
        self.reading_with(Waiting::default(), work)
    }

    /// Runs `work` as one transaction and returns after it is durable. `work` may run again when the database asks for a retry.
    /// It does not run again after a failure that leaves open whether the transaction was committed; the caller finds that out
    /// by a key of its own (an idempotency row, the id of an entry).
    ///
    /// # Errors
    /// Those of `work` (then nothing of it is stored); [`Fault::Overloaded`] when the queue is full; [`Fault::NoRoom`] when the disk has
    /// too little room (nothing is stored either); [`Fault::StoreUnavailable`] when the commit failed; on PostgreSQL those of
    /// [`Store::read`], and [`Fault::StoreUnsafe`] while the database's settings could lose the write.
    pub async fn write<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        self.demand_room()?;
        self.write_as(false, work).await
    }

    pub(super) async fn write_as<T, F>(&self, reserved: bool, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        if let Some(writer) = &self.0.writer {
            return writer.run(reserved, work)?.await;
        }
        self.apart(move |store, waiting| store.transaction(waiting, work)).await
    }

    /// As [`Store::write`], but blocks this thread. Never call it on an async thread.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_blocking<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        self.demand_room()?;
        self.write_blocking_as(false, work)
    }

    pub(super) fn write_blocking_as<T, F>(&self, reserved: bool, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        match &self.0.writer {
            Some(writer) => writer.run_blocking(reserved, UndoneBy::Savepoint, work),
            None => self.transaction(Waiting::default(), work),
        }
    }

    /// Queues `work` without waiting for it; a failure is logged. Only for writes that may be lost in a crash or when the disk is full.
    pub fn write_later<F>(&self, work: F)
    where
        F: FnMut(&mut Db) -> Result<(), Failure> + Send + 'static,
    {
        if self.demand_room().is_ok() {
            self.write_later_as(false, work);
        }
    }

    pub(super) fn write_later_as<F>(&self, reserved: bool, work: F)
    where
        F: FnMut(&mut Db) -> Result<(), Failure> + Send + 'static,
    {
        if let Some(writer) = &self.0.writer {
            if writer.run_later(reserved, work).is_err() {
                tracing::warn!("a deferred write was dropped: the queue is full");
            }
            return;
        }
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(failure) = store.write_as(reserved, work).await {
                tracing::warn!(fault = failure.fault().code(), cause = ?failure.cause(), "a deferred write failed");
            }
        });
    }

    /// Waits until all queued writes are durable, and checkpoints the write-ahead log (SQLite). For a graceful stop.
    pub fn settle(&self) {
        if let Some(writer) = &self.0.writer {
            writer.settle();
        }
    }
}
