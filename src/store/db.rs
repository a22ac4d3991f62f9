//! The connection over both databases, and [`Store`]: the reads' pool and the writes' group commit.
//!
//! SQLite has one owner (a lock beside the file) and one writing connection; PostgreSQL has ordinary pooled transactions, whose
//! calls are given up when they are not answered in time ([`super::pool`]).

use super::connect::{Manager, Readers};
use super::owed::Debts;
use super::pool::{self, Waiting};
use super::room::{Disk, RoomLimits};
use super::set_up::{self, Need, Site};
use super::url::StoreUrl;
use super::writer::Writer;
use super::{durability, file, migrate};
use crate::error::{Failure, Fault};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::r2d2::Pool;
use diesel::sqlite::SqliteConnection;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

mod calls;

/// A connection to either database.
#[derive(diesel::MultiConnection)]
pub enum Db {
    /// PostgreSQL through libpq.
    Pg(PgConnection),
    /// The bundled SQLite.
    Sqlite(SqliteConnection),
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Largest number of pooled connections.
    pub connections: u32,
    /// How much of a SQLite store's disk is left free.
    pub room: RoomLimits,
    /// The schema of a PostgreSQL store; where the search path leads when there is none.
    pub schema: Option<String>,
    /// What the store is opened for.
    pub need: Need,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            connections: 8,
            room: RoomLimits::NONE,
            schema: None,
            need: Need::Write,
        }
    }
}

/// An open store. Clones share it; it closes when the last one goes.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    url: StoreUrl,
    /// SQLite's readers.
    readers: Option<Pool<Readers>>,
    writer: Option<Writer>,
    /// PostgreSQL.
    remote: Option<pool::Pool>,
    debts: Arc<Debts>,
    permits: Arc<Semaphore>,
    broken: Arc<AtomicBool>,
    /// The disk of a SQLite store.
    disk: Option<Arc<Disk>>,
    remembered: super::roster::Remembered,
    versions: super::policies::Versions,
    site: Site,
    _lock: Option<File>,
}

impl Store {
    /// Opens a store: takes the lock (SQLite), migrates, and refuses unsafe durability settings. How far it is goes to the log.
    ///
    /// # Errors
    /// As [`Store::open_telling`].
    pub fn open(url: &StoreUrl, options: &StoreOptions) -> Result<Store, Failure> {
        Store::open_telling(url, options, &mut |line| tracing::info!("{line}"))
    }

    /// [`Store::open`], which tells what it waits for and how far migrations are.
    ///
    /// # Errors
    /// [`Fault::StoreBusy`] when another process holds the file, [`Fault::DurabilityUnsafe`] when the database would lose
    /// acknowledged work, [`Fault::StoreUnavailable`] when it cannot be reached, [`Fault::NoRoom`] when its disk is too full for it;
    /// [`Fault::StoreUnfit`], [`Fault::StoreReadOnly`], [`Fault::SchemaBehind`] and [`Fault::SchemaNewer`] for one that cannot serve;
    /// [`Fault::InputUnreadable`] when there is none and it is only to be read.
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
        let lock = match url.sqlite_path() {
            Some(path) => Some(file::take(path, options.need)?),
            None => None,
        };
        let site = match url {
            StoreUrl::Sqlite(_) => Site::default(),
            StoreUrl::Postgres(address) => {
                set_up::postgres(url, address, options.schema.as_deref(), options.need, tell)?
            }
        };
        let mut first = Manager::open(url).map_err(super::unreachable)?;
        if let StoreUrl::Sqlite(_) = url {
            migrate::up_telling(&mut first, tell)?;
        }
        // Where nothing is written, nothing can be lost: `causeway durability` shows what is unsafe.
        if options.need == Need::Write {
            durability::demand(&durability::report(&mut first)?)?;
        }
        let broken = Arc::new(AtomicBool::new(false));
        let (readers, writer, remote) = match &disk {
            Some(disk) => {
                let writer = Writer::start(first, Arc::clone(&broken), Arc::clone(disk))?;
                let readers = Pool::builder()
                    .max_size(options.connections)
                    .min_idle(Some(1))
                    .test_on_check_out(false)
                    .connection_timeout(pool::PLACE)
                    .build(Readers(url.clone()))
                    .map_err(|error| Failure::new(Fault::StoreUnavailable).because(error))?;
                (Some(readers), Some(writer), None)
            }
            None => {
                let pool = pool::Pool::open(url, site.search_path(), options.connections)?;
                (None, None, Some(pool))
            }
        };
        let permits = Arc::new(Semaphore::new(options.connections as usize));
        Ok(Store(Arc::new(Inner {
            url: url.clone(),
            readers,
            writer,
            remote,
            debts: Arc::default(),
            permits,
            broken,
            disk,
            remembered: super::roster::Remembered::default(),
            versions: super::policies::Versions::default(),
            site,
            _lock: lock,
        })))
    }

    /// Where this store is.
    pub fn url(&self) -> &StoreUrl {
        &self.0.url
    }

    /// Why this store takes no writes, if it takes none; only one that was opened for reading can be such a store.
    pub fn read_only(&self) -> Option<&str> {
        self.0.site.read_only.as_deref()
    }

    pub(super) fn versions(&self) -> &super::policies::Versions {
        &self.0.versions
    }

    /// Runs several statements of one read over one state of the store where that is cheap: on SQLite, where each statement by
    /// itself would take and leave the file's lock.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn reading<T>(db: &mut Db, work: impl FnOnce(&mut Db) -> Result<T, Failure>) -> Result<T, Failure> {
        match db {
            Db::Pg(_) => work(db),
            Db::Sqlite(_) => db.transaction(work),
        }
    }

    pub(super) fn remembered(&self) -> &super::roster::Remembered {
        &self.0.remembered
    }

    /// Whether a commit failed in a way that forbids any further acknowledgement; the process must end.
    pub fn is_broken(&self) -> bool {
        self.0.broken.load(Ordering::Acquire)
    }

    pub(super) fn disk(&self) -> Option<&Disk> {
        self.0.disk.as_deref()
    }

    /// From now on the database lets one statement run so long, and no call waits much longer for its answer. For a server that has
    /// done what it does before serving. SQLite has no such limit.
    pub fn limit_statements(&self, limit: Duration) {
        if let Some(remote) = &self.0.remote {
            remote.limit_statements(limit);
        }
    }

    pub(super) fn debts(&self) -> &Debts {
        &self.0.debts
    }

    /// Runs a short read. On SQLite it runs where it is called when a connection is free; else on a blocking thread.
    ///
    /// # Errors
    /// Those of `work`; [`Fault::Overloaded`] when no connection is free in time; on PostgreSQL [`Fault::StoreUnavailable`] when it
    /// cannot be reached, and [`Fault::StoreSlow`] when it does not answer in time.
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
        self.read_apart(work).await
    }

    /// Runs a read that may take its time: never on the thread that serves others meanwhile.
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

    /// Runs a read on this thread, which may wait for a connection and for the database. For commands.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_blocking<T>(&self, work: impl FnOnce(&mut Db) -> Result<T, Failure>) -> Result<T, Failure> {
        self.reading_with(Waiting::default(), work)
    }

    /// How long one statement takes to the store and back, the middle one of nine; zero for a store in this process. Waits on this
    /// thread.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn round_trip_blocking(&self) -> Result<Duration, Failure> {
        self.read_blocking(|db| {
            let Db::Pg(pg) = db else { return Ok(Duration::ZERO) };
            let mut taken = [Duration::ZERO; 9];
            for took in &mut taken {
                let began = Instant::now();
                diesel::sql_query("SELECT 1").execute(pg)?;
                *took = began.elapsed();
            }
            taken.sort_unstable();
            Ok(taken[taken.len() / 2])
        })
    }

    /// Runs `work` as one transaction and returns after it is durable. It may run again when the database asks for that. After a
    /// failure that leaves open whether it was committed it does not run again: the caller's own key tells (an idempotency row, the
    /// id of an entry).
    ///
    /// # Errors
    /// Those of `work` (then nothing of it is kept); [`Fault::Overloaded`] when the queue is full; [`Fault::NoRoom`] when the disk has
    /// too little room (nothing of it is kept either); [`Fault::StoreUnavailable`] when the commit failed; on PostgreSQL those of
    /// [`Store::read`], and [`Fault::StoreUnsafe`] while the database would lose it.
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

    /// As [`Store::write`], waiting on this thread. Never call it on an async thread.
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
            Some(writer) => writer.run_blocking(reserved, work),
            None => self.transaction(Waiting::default(), work),
        }
    }

    /// Queues `work` without waiting for it; its failure is logged. For what may be lost in a crash, and where there is no room.
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

    /// Waits until what was queued is durable, and empties the write-ahead log (SQLite). For a graceful stop.
    pub fn settle(&self) {
        if let Some(writer) = &self.0.writer {
            writer.settle();
        }
    }
}
