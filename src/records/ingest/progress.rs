//! How far a step has come in what an exchange brought, so that the next attempt goes on from there; and how long an attempt goes on.
//!
//! What is noted counts for one run only: the same round of the exchange, the same version of the gate, and the same pages. It never says
//! what becomes of an entry.

use super::super::gate::GATE_VERSION;
use super::batch::Arrived;
use super::scope::IngestScope;
use super::writer::IngestWriter;
use crate::error::{Failure, Fault};
use crate::store::ingest::{self as rows, ProgressRow};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::{Duration, Instant};

/// The step that checks.
pub(super) const CHECK: &str = "check";
/// The step that stores.
pub(super) const STORE: &str = "store";

/// One attempt at long work: the round of the exchange, and when others have their turn.
#[derive(Clone, Copy, Debug)]
pub struct WorkTurn {
    round: u32,
    until: Option<Instant>,
}

impl WorkTurn {
    /// A turn of this length from now on. It always suffices for one batch.
    pub fn of(round: u32, length: Duration) -> WorkTurn {
        WorkTurn {
            round,
            until: Instant::now().checked_add(length),
        }
    }

    /// Whether others have their turn now.
    pub fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// How far a step has come in this run.
pub(super) struct Progress(ProgressRow);

impl Progress {
    /// Reads how far the step has come; it begins when nothing is noted of this run. Blocks this thread.
    ///
    /// # Errors
    /// Those of the store.
    pub fn read(scope: &IngestScope, step: &str, turn: &WorkTurn) -> Result<Progress, Failure> {
        let (last, noted) = scope.ctx.store.read_blocking(|db| {
            Ok((
                rows::last_page(db, scope.exchange_id())?,
                rows::progress(db, scope.exchange_id(), step)?,
            ))
        })?;
        let run = format!("{}/{GATE_VERSION}/{last}", turn.round);
        let fresh = || ProgressRow {
            exchange_id: scope.exchange_id().to_owned(),
            step: step.to_owned(),
            run: run.clone(),
            pass: 1,
            page: 0,
            entry: 0,
            found: String::new(),
        };
        Ok(Progress(noted.filter(|row| row.run == run).unwrap_or_else(fresh)))
    }

    /// The pass that goes on, from 1.
    pub fn pass(&self) -> i64 {
        self.0.pass
    }

    /// The page with which a pass begins or goes on.
    pub fn page_of(&self, pass: i64) -> i64 {
        if pass == self.0.pass { self.0.page } else { 0 }
    }

    /// The entry of a page with which a pass begins or goes on.
    pub fn entry_of(&self, pass: i64, page: i64) -> i64 {
        let goes_on = (pass, page) == (self.0.pass, self.0.page);
        if goes_on { self.0.entry } else { 0 }
    }

    /// What the step has counted so far.
    ///
    /// # Errors
    /// [`Fault::StoreDamaged`] when it cannot be read.
    pub fn found<T: Default + DeserializeOwned>(&self) -> Result<T, Failure> {
        match self.0.found.is_empty() {
            true => Ok(T::default()),
            false => {
                serde_json::from_str(&self.0.found).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))
            }
        }
    }

    /// The row that says that this batch of a pass is done.
    pub fn after(&self, pass: i64, batch: &[Arrived]) -> ProgressRow {
        let last = batch.last();
        ProgressRow {
            pass,
            page: last.map_or(0, |one| one.page),
            entry: last.map_or(0, |one| one.entry + 1),
            ..self.0.clone()
        }
    }
}

/// Notes how far a step has come with what it counted. Blocks this thread.
///
/// # Errors
/// [`Fault::LeaseLost`]; those of the store.
pub(super) fn note(writer: &IngestWriter, mut row: ProgressRow, found: &impl Serialize) -> Result<(), Failure> {
    row.found = serde_json::to_string(found).map_err(|error| Failure::new(Fault::Internal).because(error))?;
    put(writer, row)
}

/// Notes how far a step has come. Blocks this thread.
///
/// # Errors
/// [`Fault::LeaseLost`]; those of the store.
pub(super) fn put(writer: &IngestWriter, row: ProgressRow) -> Result<(), Failure> {
    let own = writer.clone();
    writer.write_blocking(move |db| {
        rows::put_progress(db, &row)?;
        own.got_on(db)
    })
}
