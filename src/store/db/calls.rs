//! How one call of a [`Store`] goes: a place, a connection, the work, and what is done when it fails or is not answered in time.

use super::{Db, Store};
use crate::error::{Failure, Fault};
use crate::store::owed::Owed;
use crate::store::pool::{self, Waiting};
use crate::store::sqlstate;
use diesel::connection::Connection as _;
use diesel::result::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Times that a transaction is tried which the database rolled back for another's sake.
const TRIES: u32 = 5;

impl Store {
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

    /// Runs `call` on a blocking thread. Whoever waits is answered when it ends, or when it is given up.
    pub(super) async fn apart<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Store, Waiting) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let permit = self.place().await?;
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
            Ok(()) = given_up => Err(pool::given_up()),
        }
    }

    /// A place among those who wait for a connection.
    async fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        if let Ok(permit) = Arc::clone(&self.0.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let place = Arc::clone(&self.0.permits).acquire_owned();
        let place = match self.0.remote {
            None => place.await,
            Some(_) => tokio::time::timeout(pool::PLACE, place)
                .await
                .map_err(|_| Failure::new(Fault::Overloaded).because("no place among the connections became free"))?,
        };
        place.map_err(|error| Failure::new(Fault::StoreUnavailable).because(error))
    }

    pub(super) fn transaction<T>(
        &self,
        waiting: Waiting,
        mut work: impl FnMut(&mut Db) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let remote = self.remote()?;
        let mut leased = remote.get(waiting)?;
        // After the connection, which looks at the settings when it is new.
        remote.may_write()?;
        let mut attempt = 0_u32;
        loop {
            let (line, mut failed, mut is_begun) = (leased.line(), None::<Failure>, false);
            let done = leased.db()?.transaction::<T, Error, _>(|db| {
                is_begun = true;
                let failure = match work(db) {
                    // Nobody waits for it any more, and whoever asked may have asked again.
                    Ok(_) if line.is_late() => pool::given_up(),
                    Ok(value) => return Ok(value),
                    Err(failure) => failure,
                };
                failed = Some(failure);
                Err(Error::RollbackTransaction)
            });
            let failure = match (done, failed) {
                (Ok(value), _) => return Ok(value),
                (Err(_), Some(failure)) => failure,
                // It had ended while it lay idle: nothing was done yet.
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
            let jitter = u64::from(crate::secret::random::<1>()[0]) / 16;
            std::thread::sleep(Duration::from_millis(jitter + (1 << attempt)));
        }
    }

    /// Queues `work` without waiting for it, and keeps it until it is durable: [`Store::pay`] tries again what failed.
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
