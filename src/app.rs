//! The composition root: the only place that wires store, clock, keys and tables together.

use crate::config::Config;
use crate::context::Context;
use crate::error::Failure;
use crate::records::index;
use crate::release::PageLinks;
use crate::security::tls::ServerTls;
use crate::security::{Authority, OauthSettings};
use crate::store::secrets;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Everything a request may need. Shared by all workers.
pub struct App {
    /// Store, clock, ids, payer.
    pub ctx: Context,
    /// The configuration as it is in force.
    pub config: Arc<Config>,
    /// Answers who is calling.
    pub authority: Authority,
    /// What the OAuth endpoints share.
    pub oauth: OauthSettings,
    /// The certificates of the partners' listener.
    pub tls: ServerTls,
    /// Page links.
    pub links: PageLinks,
    draining: AtomicBool,
    round_trip_us: AtomicU64,
}

impl App {
    /// Wires an application over an open context, after the matcher's index is complete. Waits on this thread.
    ///
    /// # Errors
    /// Those of the store.
    pub fn new(ctx: Context, config: Arc<Config>, tls: ServerTls) -> Result<App, Failure> {
        index::catch_up(&ctx)?;
        let key = ctx
            .store
            .reserved()
            .write_blocking(|db| secrets::get_or_make(db, "page-links"))?;
        Ok(App {
            oauth: OauthSettings::new(&config, tls.revocations()),
            authority: Authority::new(tls.revocations()),
            tls,
            links: PageLinks::new(key),
            ctx,
            config,
            draining: AtomicBool::new(false),
            round_trip_us: AtomicU64::new(0),
        }
        .measured())
    }

    fn measured(self) -> App {
        self.measure_round_trip();
        self
    }

    /// Measures again how far the store is. Waits on this thread; a store that does not answer is as far as it was.
    pub fn measure_round_trip(&self) {
        if let Ok(took) = self.ctx.store.round_trip_blocking() {
            let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.round_trip_us.store(us, Ordering::Relaxed);
        }
    }

    /// How long one statement to the store and back took when it was last measured; zero for one in this process.
    pub fn round_trip(&self) -> Duration {
        Duration::from_micros(self.round_trip_us.load(Ordering::Relaxed))
    }

    /// From now on this process is not ready.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the process is on its way out.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}
