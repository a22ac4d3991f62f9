//! What an open store measures about itself: how many statements and commits it made ([`crate::store::work`]), and its round trip time.

use super::{Db, Store};
use crate::error::Failure;
use diesel::RunQueryDsl as _;
use std::time::{Duration, Instant};

impl Store {
    /// How many statements were sent since the store was opened, including BEGIN, COMMIT and the
    /// preparing of statements. On PostgreSQL each is a round trip.
    pub fn statements(&self) -> u64 {
        self.work().statements()
    }

    /// How many durable commits were made since the store was opened.
    pub fn commits(&self) -> u64 {
        self.work().commits()
    }

    /// Measures the round trip of one statement: the median of nine. Zero for a store in this process. Blocks this thread.
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
}
