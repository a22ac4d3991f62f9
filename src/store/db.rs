//! The connection over both databases, and [`Store`]: the reads' pool and the writes' group commit.
//!
//! SQLite has one owner (a lock beside the file) and one writing connection; PostgreSQL has ordinary pooled transactions.

use super::room::{Disk, RoomLimits};
use super::url::StoreUrl;
use super::writer::Writer;
use super::{durability, migrate};
use crate::error::{Failure, Fault};
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::r2d2::{ManageConnection, Pool, PooledConnection};
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sqlite::SqliteConnection;
use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// A connection to either database.
#[derive(diesel::MultiConnection)]
pub enum Db {
    /// PostgreSQL through libpq.
    Pg(PgConnection),
    /// The bundled SQLite.
    Sqlite(SqliteConnection),
}

/// What makes SQLite keep what it acknowledged; read back by [`durability`].
const SQLITE_PRAGMAS: &str = "PRAGMA busy_timeout=5000; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; \
    PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON; PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF; \
    PRAGMA cache_size=-16000; PRAGMA mmap_size=0; PRAGMA wal_autocheckpoint=4000; PRAGMA journal_size_limit=67108864;";

/// Opens connections of one kind for the pool.
pub(crate) struct Manager {
    url: StoreUrl,
    read_only: bool,
}

impl Manager {
    pub(super) fn open(url: &StoreUrl) -> Result<Db, diesel::ConnectionError> {
        match url {
            StoreUrl::Sqlite(path) => {
                let mut connection = SqliteConnection::establish(&path.to_string_lossy())?;
                connection
                    .batch_execute(SQLITE_PRAGMAS)
                    .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
                Ok(Db::Sqlite(connection))
            }
            StoreUrl::Postgres(url) => {
                let mut connection = PgConnection::establish(url)?;
                connection
                    .batch_execute(
                        "SET statement_timeout='30s'; SET lock_timeout='3s'; \
                         SET idle_in_transaction_session_timeout='10s'; SET TIME ZONE 'UTC'; SET client_min_messages=warning;",
                    )
                    .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
                Ok(Db::Pg(connection))
            }
        }
    }
}

impl ManageConnection for Manager {
    type Connection = Db;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<Db, Self::Error> {
        let mut connection = Manager::open(&self.url).map_err(diesel::r2d2::Error::ConnectionError)?;
        if let (true, Db::Sqlite(sqlite)) = (self.read_only, &mut connection) {
            sqlite
                .batch_execute("PRAGMA query_only=ON; PRAGMA cache_size=-8000")
                .map_err(diesel::r2d2::Error::QueryError)?;
        }
        Ok(connection)
    }

    fn is_valid(&self, connection: &mut Db) -> Result<(), Self::Error> {
        connection
            .batch_execute("SELECT 1")
            .map_err(diesel::r2d2::Error::QueryError)
    }

    fn has_broken(&self, connection: &mut Db) -> bool {
        std::thread::panicking() || diesel::r2d2::R2D2Connection::is_broken(connection)
    }
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Largest number of pooled connections.
    pub connections: u32,
    /// How much of a SQLite store's disk is left free.
    pub room: RoomLimits,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            connections: 8,
            room: RoomLimits::NONE,
        }
    }
}

/// An open store. Clones share it; it closes when the last one goes.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    url: StoreUrl,
    pool: Pool<Manager>,
    writer: Option<Writer>,
    permits: Arc<Semaphore>,
    broken: Arc<AtomicBool>,
    /// The disk of a SQLite store.
    disk: Option<Arc<Disk>>,
    remembered: super::roster::Remembered,
    versions: super::policies::Versions,
    _lock: Option<File>,
}

impl Store {
    /// Opens a store: takes the lock (SQLite), migrates, and refuses unsafe durability settings.
    ///
    /// # Errors
    /// [`Fault::StoreBusy`] when another process holds the file, [`Fault::DurabilityUnsafe`] when the database would lose
    /// acknowledged work, [`Fault::StoreUnavailable`] when it cannot be reached, [`Fault::NoRoom`] when its disk is too full for it.
    pub fn open(url: &StoreUrl, options: &StoreOptions) -> Result<Store, Failure> {
        let disk = url.sqlite_path().map(|path| Arc::new(Disk::of(path, options.room)));
        Store::open_on(disk.clone(), url, options).map_err(|failure| {
            let said = failure.cause().map(ToString::to_string).unwrap_or_default();
            disk.and_then(|disk| disk.blamed_for(&said)).unwrap_or(failure)
        })
    }

    fn open_on(disk: Option<Arc<Disk>>, url: &StoreUrl, options: &StoreOptions) -> Result<Store, Failure> {
        let lock = match url.sqlite_path() {
            Some(path) => Some(take_lock(path)?),
            None => None,
        };
        let unreachable = |error: diesel::ConnectionError| {
            let fault = if super::says_damaged(&error.to_string()) {
                Fault::StoreDamaged
            } else {
                Fault::StoreUnavailable
            };
            Failure::new(fault).because(error)
        };
        let mut first = Manager::open(url).map_err(unreachable)?;
        migrate::up(&mut first)?;
        durability::demand(&durability::report(&mut first)?)?;
        let broken = Arc::new(AtomicBool::new(false));
        let writer = match &disk {
            Some(disk) => Some(Writer::start(first, Arc::clone(&broken), Arc::clone(disk))?),
            None => None,
        };
        let pool = Pool::builder()
            .max_size(options.connections)
            .min_idle(Some(1))
            .test_on_check_out(false)
            .connection_timeout(Duration::from_secs(5))
            .build(Manager {
                url: url.clone(),
                read_only: writer.is_some(),
            })
            .map_err(|error| Failure::new(Fault::StoreUnavailable).because(error))?;
        let permits = Arc::new(Semaphore::new(options.connections as usize));
        Ok(Store(Arc::new(Inner {
            url: url.clone(),
            pool,
            writer,
            permits,
            broken,
            disk,
            remembered: super::roster::Remembered::default(),
            versions: super::policies::Versions::default(),
            _lock: lock,
        })))
    }

    /// Where this store is.
    pub fn url(&self) -> &StoreUrl {
        &self.0.url
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

    /// The disk of a SQLite store.
    pub(super) fn disk(&self) -> Option<&Disk> {
        self.0.disk.as_deref()
    }

    /// Runs a short read. On SQLite it runs where it is called when a connection is free; else on a blocking thread.
    ///
    /// # Errors
    /// Those of `work`; [`Fault::StoreUnavailable`] without a connection.
    pub async fn read<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        if self.0.writer.is_some()
            && let Some(mut connection) = self.0.pool.try_get()
        {
            return work(&mut connection);
        }
        let _permit = self
            .0
            .permits
            .acquire()
            .await
            .map_err(|error| Failure::new(Fault::StoreUnavailable).because(error))?;
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.read_blocking(work))
            .await
            .map_err(|error| Failure::new(Fault::Internal).because(error))?
    }

    /// Runs a read on this thread, which may wait for a connection. For commands and for long streams.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_blocking<T>(&self, work: impl FnOnce(&mut Db) -> Result<T, Failure>) -> Result<T, Failure> {
        work(&mut *self.connection()?)
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

    /// A connection for reading, for streams that keep one. Never hold two.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`] when none becomes free in five seconds.
    pub(crate) fn connection(&self) -> Result<PooledConnection<Manager>, Failure> {
        self.0
            .pool
            .get()
            .map_err(|error| Failure::new(Fault::StoreUnavailable).because(error))
    }

    /// Runs `work` as one transaction and returns after it is durable. It may run again when the database asks for that.
    ///
    /// # Errors
    /// Those of `work` (then nothing of it is kept); [`Fault::Overloaded`] when the queue is full; [`Fault::NoRoom`] when the disk has
    /// too little room (nothing of it is kept either); [`Fault::StoreUnavailable`] when the commit failed.
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
        let _permit = self
            .0
            .permits
            .acquire()
            .await
            .map_err(|error| Failure::new(Fault::StoreUnavailable).because(error))?;
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.transaction(work))
            .await
            .map_err(|error| Failure::new(Fault::Internal).because(error))?
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
            None => self.transaction(work),
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
        tokio::task::spawn_blocking(move || {
            if let Err(failure) = store.transaction(work) {
                tracing::warn!(fault = failure.fault().code(), cause = ?failure.cause(), "a deferred write failed");
            }
        });
    }

    fn transaction<T>(&self, mut work: impl FnMut(&mut Db) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut connection = self.connection()?;
        for attempt in 0..5u32 {
            let mut failed: Option<Failure> = None;
            let done = connection.transaction::<T, Error, _>(|db| {
                work(db).map_err(|failure| {
                    let again = is_serialisation(&failure);
                    failed = Some(failure);
                    if again {
                        Error::RollbackTransaction
                    } else {
                        Error::NotFound
                    }
                })
            });
            match (done, failed) {
                (Ok(value), _) => return Ok(value),
                (Err(_), Some(failure)) if attempt < 4 && is_serialisation(&failure) => {
                    let jitter = u64::from(crate::secret::random::<1>()[0]) / 16;
                    std::thread::sleep(Duration::from_millis(jitter + (1 << attempt)));
                }
                (Err(_), Some(failure)) => return Err(failure),
                (Err(error), None) => return Err(Failure::new(Fault::StoreUnavailable).because(error)),
            }
        }
        Err(Failure::new(Fault::StoreUnavailable))
    }

    /// Waits until what was queued is durable, and empties the write-ahead log (SQLite). For a graceful stop.
    pub fn settle(&self) {
        if let Some(writer) = &self.0.writer {
            writer.settle();
        }
    }
}

fn is_serialisation(failure: &Failure) -> bool {
    failure
        .cause()
        .and_then(|cause| cause.downcast_ref::<Error>())
        .is_some_and(|error| match error {
            Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => true,
            Error::DatabaseError(_, info) => info.message().contains("deadlock detected"),
            _ => false,
        })
}

fn take_lock(path: &Path) -> Result<File, Failure> {
    let unreadable = |error: std::io::Error| Failure::new(Fault::InputUnreadable).at("store.url").because(error);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(unreadable)?;
    }
    // Created here so that it is private from its first byte; SQLite gives its companions the same mode.
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(unreadable)?;
    let lock = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path.with_extension("lock"))
        .map_err(unreadable)?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|error| Failure::new(Fault::StoreBusy).because(error))?;
    Ok(lock)
}
