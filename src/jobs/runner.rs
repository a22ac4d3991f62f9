//! A worker of this process, and the upkeep of its leases: it prepares the queue, renews leases and hands jobs back.
//!
//! The line of a job is in [`super::claim`], [`super::attempt`] and [`super::record`]. [`super::poll`] calls these operations in a loop with
//! timers; tests and simulations call them in any order and leave out those that a crash would prevent.

use super::held::HeldJob;
use super::{Chance, JobStep, NewJob, RunnerSettings, WorkKind, enqueue};
use crate::clock::Clock;
use crate::context::Context;
use crate::error::Failure;
use crate::store::Db;
use crate::store::jobs::{self as rows, QueueStanding};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A worker of this process.
#[derive(Clone)]
pub struct Runner {
    pub(super) ctx: Context,
    pub(super) settings: RunnerSettings,
    pub(super) steps: Arc<BTreeMap<&'static str, Arc<dyn JobStep>>>,
    /// Their kinds, so that claiming calls no code of a step, which could panic.
    pub(super) kinds: Arc<Vec<&'static WorkKind>>,
    pub(super) chance: Chance,
}

impl Runner {
    /// A worker that can run these steps.
    ///
    /// # Errors
    /// [`Fault::ConfigInvalid`](crate::error::Fault::ConfigInvalid) for a step that may take longer than its lease, or for two steps with the same name.
    pub fn new(
        ctx: &Context,
        settings: RunnerSettings,
        steps: Vec<Arc<dyn JobStep>>,
        chance: Chance,
    ) -> Result<Runner, Failure> {
        settings.demand(&steps)?;
        Ok(Runner {
            ctx: ctx.clone(),
            settings,
            kinds: Arc::new(steps.iter().map(|step| step.kind()).collect()),
            steps: Arc::new(steps.into_iter().map(|step| (step.kind().name, step)).collect()),
            chance,
        })
    }

    /// Its settings.
    pub fn settings(&self) -> &RunnerSettings {
        &self.settings
    }

    /// The time that leases are based on: `None` for PostgreSQL's own clock, which workers on several hosts share; this process's clock for
    /// SQLite and in tests.
    pub(super) fn given_ms(&self) -> Option<i64> {
        match (&self.ctx.clock, self.ctx.store.url().sqlite_path()) {
            (Clock::System, None) => None,
            _ => Some(self.ctx.clock.now_ms()),
        }
    }

    /// How long a lease of a job of this kind holds. Recurring work that is not renewed gets only the time that it may take, so that another
    /// process takes it over soon.
    pub(super) fn lease_of(&self, kind: &str) -> Duration {
        let whole = self.settings.lease;
        self.brief(kind)
            .map_or(whole, |kind| whole.min(kind.timeout + self.settings.skew()))
    }

    /// The kind with this name, if it is brief.
    pub(super) fn brief(&self, name: &str) -> Option<&'static WorkKind> {
        let mut kinds = self.kinds.iter().copied();
        kinds.find(|kind| kind.name == name && kind.is_brief())
    }

    /// Adds the rows of recurring work. On SQLite, which only one process uses, also ends the leases of the previous process.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn prepare(&self) -> Result<(), Failure> {
        let (given, is_alone) = (self.given_ms(), self.ctx.store.url().sqlite_path().is_some());
        let (ids, kinds): (Vec<String>, Vec<_>) = self
            .steps
            .values()
            .map(|step| step.kind())
            .filter(|kind| kind.every.is_some())
            .map(|kind| (self.ctx.ids.new_id(self.ctx.clock.now_ms()), kind))
            .unzip();
        let write = move |db: &mut Db| {
            let now_ms = rows::time(db, given)?;
            if is_alone {
                rows::recover(db, now_ms)?;
            }
            for (id, kind) in ids.iter().zip(&kinds) {
                let new = NewJob {
                    kind,
                    partner: None,
                    key: kind.name,
                    payload: "",
                    due_ms: now_ms,
                };
                enqueue(db, id, &new, now_ms)?;
            }
            Ok(())
        };
        self.ctx.store.write(write).await
    }

    /// Renews the leases of these jobs. A job whose lease was lost is ended.
    ///
    /// # Errors
    /// Those of the store; a lease that is not renewed in time counts as lost.
    pub async fn renew(&self, running: &[HeldJob]) -> Result<(), Failure> {
        if running.is_empty() {
            return Ok(());
        }
        let lease = self.settings.lease;
        let (given, lease_ms) = (self.given_ms(), i64::try_from(lease.as_millis()).unwrap_or(i64::MAX));
        let good_until = Instant::now() + lease.saturating_sub(self.settings.skew());
        let own = running.to_vec();
        let renewed = self
            .ctx
            .store
            .write(move |db| {
                let until_ms = rows::time(db, given)? + lease_ms;
                own.iter()
                    .map(|held| rows::renew(db, held.lease(), until_ms))
                    .collect::<Result<Vec<bool>, Failure>>()
            })
            .await?;
        for (held, renewed) in running.iter().zip(renewed) {
            if renewed {
                held.renewed(good_until);
            } else {
                held.lose();
            }
        }
        Ok(())
    }

    /// Hands these jobs back, as if they had not been claimed. Their steps are ended.
    ///
    /// # Errors
    /// Those of the store; the leases then expire.
    pub async fn hand_back(&self, running: &[HeldJob]) -> Result<(), Failure> {
        for held in running {
            held.lose();
        }
        if running.is_empty() {
            return Ok(());
        }
        let (given, own) = (self.given_ms(), running.to_vec());
        self.ctx
            .store
            .write(move |db| {
                let now_ms = rows::time(db, given)?;
                for held in &own {
                    rows::hand_back(db, held.lease(), now_ms)?;
                }
                Ok(())
            })
            .await
    }

    /// The state of the queue, for the metrics.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn standing(&self) -> Result<QueueStanding, Failure> {
        let given = self.given_ms();
        let read = move |db: &mut Db| {
            let now_ms = rows::time(db, given)?;
            rows::standing(db, now_ms)
        };
        self.ctx.store.read(read).await
    }
}
