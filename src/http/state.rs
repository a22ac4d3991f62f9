//! The state that the handlers of both listeners share: the context of the use cases, the configuration, authority, certificates and page
//! links.
//!
//! It is built once ([`App::new`]) and contains no rules; `app` is the process that owns it.

use crate::bulk::files::BulkFiles;
use crate::bulk::looks::BulkLooks;
use crate::config::Config;
use crate::context::Context;
use crate::error::Failure;
use crate::http::checkpoint::HandedCheckpoint;
use crate::http::explorer::ActingPartner;
use crate::records::index;
use crate::release::PageLinks;
use crate::security::sign_in::ConsoleSignIn;
use crate::security::tls::ServerTls;
use crate::security::{Authority, OauthSettings};
use crate::store::secrets;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Everything that a request may need. Shared by all workers.
pub struct App {
    /// Store, clock, ids, payer.
    pub ctx: Context,
    /// The configuration in force.
    pub config: Arc<Config>,
    /// Authenticates callers.
    pub authority: Authority,
    /// The state of the OAuth endpoints.
    pub oauth: OauthSettings,
    /// The certificates of the partners' listener.
    pub tls: ServerTls,
    /// The identity provider by which people sign in to the console, if there is one.
    pub sign_in: Option<ConsoleSignIn>,
    /// Signs and reads page links.
    pub links: PageLinks,
    /// The files of bulk runs.
    pub bulk: BulkFiles,
    /// What was found of the members behind these files a moment ago.
    pub bulk_looks: BulkLooks,
    /// The checkpoint of the ledger that partners get.
    pub checkpoint: HandedCheckpoint,
    acting: OnceLock<ActingPartner>,
    draining: AtomicBool,
    round_trip_us: AtomicU64,
}

impl App {
    /// Builds the state over an open context, after bringing the index of the matcher up to date. Blocks the thread.
    ///
    /// # Errors
    /// [`Fault::ConfigInvalid`](crate::error::Fault::ConfigInvalid) for an identity provider that may not be called; those of the store.
    pub fn new(ctx: Context, config: Arc<Config>, tls: ServerTls) -> Result<App, Failure> {
        let sign_in = ConsoleSignIn::of(&config)?;
        index::catch_up(&ctx)?;
        let key = ctx
            .store
            .reserved()
            .write_blocking(|db| secrets::get_or_make(db, "page-links"))?;
        Ok(App {
            oauth: OauthSettings::new(&config, tls.revocations()),
            authority: Authority::new(tls.revocations()),
            tls,
            sign_in,
            links: PageLinks::new(key),
            bulk: BulkFiles::new(&config),
            bulk_looks: BulkLooks::default(),
            checkpoint: HandedCheckpoint::default(),
            ctx,
            config,
            acting: OnceLock::new(),
            draining: AtomicBool::new(false),
            round_trip_us: AtomicU64::new(0),
        }
        .measured())
    }

    fn measured(self) -> App {
        self.measure_round_trip();
        self.checkpoint.renew(&self.ctx);
        self
    }

    /// Measures the round trip to the store again. Blocks the thread. When the store does not answer, the last value is kept.
    pub fn measure_round_trip(&self) {
        if let Ok(took) = self.ctx.store.round_trip_blocking() {
            let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.round_trip_us.store(us, Ordering::Relaxed);
        }
    }

    /// How long one statement to the store took when it was last measured; zero for a store in this process.
    pub fn round_trip(&self) -> Duration {
        Duration::from_micros(self.round_trip_us.load(Ordering::Relaxed))
    }

    /// Lets browsers on this machine act as this partner. Only a development server does so; the first call counts.
    pub fn let_act_as(&self, partner: ActingPartner) {
        let _ = self.acting.set(partner);
    }

    /// The partner that browsers on this machine may act as.
    pub fn acting(&self) -> Option<&ActingPartner> {
        self.acting.get()
    }

    /// Makes the process report "not ready" from now on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the process is stopping.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}
