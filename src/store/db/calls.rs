//! How one call of a [`Store`] runs: it takes a place and a connection, does the work, and handles failures and timeouts.

use super::{Db, Store};
use crate::error::{Failure, Fault};
use crate::failpoint::{self, AFTER, BEFORE, COMMIT};
use crate::store::company::OthersAsking;
use crate::store::owed::Owed;
use crate::store::pool::{self, Waiting};
use crate::store::sqlstate;
use crate::store::turns::TurnPlace;
use crate::telemetry::spans::{self, SpanNote};
use diesel::connection::Connection as _;
use diesel::result::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Longest wait of a call for its turn where the store is a file. All calls that it waits for are bounded, so it waits this long only when
/// there are very many.
const TURN: Duration = Duration::from_secs(15);
/// How often a transaction is tried that the database rolled back because of a conflict with another one.
const TRIES: u32 = 5;

impl Store {
    /// Whether several ask, which decides how long turns are.
    pub fn company(&self) -> &OthersAsking {
        self.0.quick.company()
    }

    /// [`Store::read`] in this asker's turn on this thread, for as long as its reads by this call are quick, else [`Store::read_in_turn`].
    /// For reads of one member's record.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn read_while_quick<T, F>(&self, asker: &str, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        let Some(readers) = &self.0.readers else {
            return self.read_in_turn(asker, work).await;
        };
        let askers = &self.0.quick;
        if let Some(turn) = askers.turn(asker).await
            && let Some(mut connection) = readers.try_get()
        {
            let began = Instant::now();
            let read = work(&mut connection);
            askers.note(asker, began.elapsed());
            turn.ends();
            return read;
        }
        let timed = |db: &mut Db| {
            let began = Instant::now();
            let read = work(db);
            (read, began.elapsed())
        };
        let (read, took) = self.read_in_turn(asker, move |db| Ok(timed(db))).await?;
        askers.note(asker, took);
        read
    }

    pub(super) fn reading_with<T>(
        &self,
        waiting: Waiting,
        work: impl FnOnce(&mut Db) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if let Some(readers) = &self.0.readers {
            let mut connection = readers
                .get()
                .map_err(|error| Failure::new(Fault::StoreUnavailable).because(error))?;
            let done = work(&mut connection);
            drop(waiting);
            return done;
        }
        let mut leased = self.remote()?.get(waiting)?;
        let done = work(leased.db()?);
        if let Err(failure) = &done {
            leased.mind(failure);
        }
        done
    }

    fn remote(&self) -> Result<&pool::Pool, Failure> {
        self.0
            .remote
            .as_ref()
            .ok_or_else(|| Failure::new(Fault::Internal).because("the store has no pool"))
    }

    /// Runs `call` on a blocking thread. Returns when it ends, or when it is given up.
    pub(super) async fn apart<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Store, Waiting) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.apart_for(None, call).await
    }

    /// The same, in the turn of `asker`.
    pub(super) async fn apart_for<T: Send + 'static>(
        &self,
        asker: Option<&str>,
        call: impl FnOnce(&Store, Waiting) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let permit = self.place(asker).await?;
        let (told, given_up) = oneshot::channel();
        let waiting = Waiting {
            permit: Some(permit),
            told: Some(told),
        };
        let store = self.clone();
        let job = tokio::task::spawn_blocking(move || call(&store, waiting));
        tokio::select! {
            biased;
            ended = job => ended.map_err(|error| Failure::new(Fault::Internal).because(error))?,
            Ok(()) = given_up => {
                spans::note(SpanNote::Timeout, Vec::new());
                Err(pool::given_up())
            }
        }
    }

    /// Takes a place among the calls that wait for a connection.
    async fn place(&self, asker: Option<&str>) -> Result<TurnPlace, Failure> {
        let place = self.0.places.take(asker);
        let longest = match (&self.0.remote, asker) {
            (Some(_), _) => Some(pool::PLACE),
            (None, Some(_)) => Some(TURN),
            (None, None) => None,
        };
        let place = match longest {
            None => place.await,
            Some(longest) => tokio::time::timeout(longest, place).await.map_err(|_| {
                spans::note(SpanNote::Timeout, Vec::new());
                Failure::new(Fault::Overloaded).because("no place among the connections became free")
            })?,
        };
        place.ok_or_else(|| Failure::new(Fault::Overloaded).because("too many calls wait for a connection"))
    }

    pub(super) fn transaction<T>(
        &self,
        waiting: Waiting,
        mut work: impl FnMut(&mut Db) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let remote = self.remote()?;
        let mut leased = remote.get(waiting)?;
        // After the connection is taken: a new connection checks the database's settings first.
        remote.may_write()?;
        let mut attempt = 0_u32;
        loop {
            let (line, mut failed, mut is_begun) = (leased.line(), None::<Failure>, false);
            let done = leased.db()?.transaction::<T, Error, _>(|db| {
                is_begun = true;
                let failure = match work(db) {
                    // The caller was already told that the call is given up, and may have sent it again, so roll back.
                    Ok(_) if line.is_late() => pool::given_up(),
                    Ok(value) => {
                        failpoint::pass(COMMIT, BEFORE);
                        return Ok(value);
                    }
                    Err(failure) => failure,
                };
                failed = Some(failure);
                Err(Error::RollbackTransaction)
            });
            let failure = match (done, failed) {
                (Ok(value), _) => {
                    failpoint::pass(COMMIT, AFTER);
                    self.work().committed();
                    return Ok(value);
                }
                (Err(_), Some(failure)) => failure,
                // The pooled connection had been closed while idle, so nothing was done yet: connect again.
                (Err(error), None) if !is_begun && leased.is_reused() && sqlstate::is_lost(&error) => {
                    leased.renew()?;
                    continue;
                }
                (Err(error), None) => {
                    let fault = sqlstate::of(&error).map_or(Fault::StoreUnavailable, |row| row.fault);
                    Failure::new(fault).because(error)
                }
            };
            leased.mind(&failure);
            attempt += 1;
            if attempt == TRIES || !sqlstate::is_repeated(&failure) {
                return Err(failure);
            }
            pause(attempt);
        }
    }

    /// Runs one statement that commits by itself.
    pub(super) fn once<T>(
        &self,
        waiting: Waiting,
        mut work: impl FnMut(&mut Db) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let remote = self.remote()?;
        let mut leased = remote.get(waiting)?;
        remote.may_write()?;
        let mut attempt = 0_u32;
        loop {
            // A statement that is sent may commit, so send nothing once the caller was told that the call is given up.
            if leased.line().is_late() {
                return Err(pool::given_up());
            }
            let db = leased.db()?;
            let failure = match failpoint::around(COMMIT, || work(db)) {
                Ok(value) => {
                    self.work().committed();
                    return Ok(value);
                }
                Err(failure) => failure,
            };
            if leased.is_reused() && sqlstate::spoils(&failure) {
                leased.renew()?;
                continue;
            }
            leased.mind(&failure);
            attempt += 1;
            if attempt == TRIES || !sqlstate::is_repeated(&failure) {
                return Err(failure);
            }
            pause(attempt);
        }
    }

    /// Queues `work` without waiting for it, and keeps it until it is durable: [`Store::pay`] tries it again after a failure.
    pub fn write_surely(&self, work: Owed) {
        let debts = Arc::clone(&self.0.debts);
        debts.begin();
        let again = Arc::clone(&work);
        if let Some(writer) = &self.0.writer {
            let (own, first) = (Arc::clone(&debts), Arc::clone(&work));
            if let Err(full) = writer.run_then(true, move |db| first(db), move |outcome| own.end(work, outcome)) {
                debts.end(again, Err(full));
            }
            return;
        }
        let store = self.clone();
        tokio::spawn(async move {
            let outcome = store.reserved().write(move |db| again(db)).await;
            debts.end(work, outcome);
        });
    }
}

/// Waits before a transaction is tried again, longer with each attempt.
fn pause(attempt: u32) {
    let jitter = u64::from(crate::secret::random::<1>()[0]) / 16;
    std::thread::sleep(Duration::from_millis(jitter + (1 << attempt)));
}
