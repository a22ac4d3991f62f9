//! Tells receivers of alerts: what a server keeps of each look, and the worker that sends.
//!
//! The worker has places of its own, also in a server that leaves other background work to others: an alert that work stands still must not wait
//! for that work.

use crate::alerting::episodes::keep;
use crate::alerting::receivers::ReceiverList;
use crate::alerting::send::WebhookStep;
use crate::config::Config;
use crate::context::{Context, WorkBell};
use crate::error::Failure;
use crate::jobs::{Chance, JobStep, Runner, RunnerSettings, RunningWorker};
use crate::ops::alerts::AlertItem;
use std::sync::Arc;
use std::time::Duration;

/// Receivers that are told at once; one that hangs holds a place for some seconds.
const AT_ONCE: usize = 4;

/// What keeps the alerts of a look. Clones share it.
#[derive(Clone)]
pub struct AlertKeeper {
    receivers: Arc<ReceiverList>,
    bell: WorkBell,
}

impl AlertKeeper {
    /// Keeps what a look of a server found that listens since `listening_ms` (UTC milliseconds). Waits on this thread. What cannot be kept is
    /// found by the next look.
    pub fn keep(&self, ctx: &Context, items: &[AlertItem], listening_ms: i64) {
        match keep(ctx, items, &self.receivers, listening_ms) {
            Ok(true) => self.bell.ring(),
            Ok(false) => {}
            Err(failure) => {
                tracing::warn!(fault = failure.fault().code(), cause = ?failure.cause(), "alerts could not be kept for their receivers");
            }
        }
    }
}

/// The receivers, and the worker that tells them.
pub struct AlertSender {
    keeper: AlertKeeper,
    worker: RunningWorker,
}

impl AlertSender {
    /// Begins to tell these receivers; `None` when there are none. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// Those of the runner.
    pub fn start(ctx: &Context, config: &Config, receivers: ReceiverList) -> Result<Option<AlertSender>, Failure> {
        if receivers.is_empty() {
            return Ok(None);
        }
        let keeper = AlertKeeper {
            receivers: Arc::new(receivers),
            bell: WorkBell::default(),
        };
        let mut own = ctx.clone();
        own.bell = keeper.bell.clone();
        let step: Arc<dyn JobStep> = Arc::new(WebhookStep::new(Arc::clone(&keeper.receivers)));
        let settings = RunnerSettings {
            permits: AT_ONCE,
            poll: config.jobs.poll,
            lease: config.jobs.lease,
        };
        let worker = Runner::new(&own, settings, vec![step], Chance::System)?.start_beside();
        Ok(Some(AlertSender { keeper, worker }))
    }

    /// What keeps the alerts of a look.
    pub fn keeper(&self) -> AlertKeeper {
        self.keeper.clone()
    }

    /// Sends no more; what is on its way may end within this time.
    pub async fn drain(self, within: Duration) {
        self.worker.drain(within).await;
    }
}
