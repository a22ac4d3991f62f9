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
use std::sync::atomic::{AtomicBool, Ordering};

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
}

impl App {
    /// Wires an application over an open context, after the matcher's index is complete. Waits on this thread.
    ///
    /// # Errors
    /// Those of the store.
    pub fn new(ctx: Context, config: Arc<Config>, tls: ServerTls) -> Result<App, Failure> {
        index::catch_up(&ctx)?;
        let key = ctx.store.write_blocking(|db| secrets::get_or_make(db, "page-links"))?;
        Ok(App {
            oauth: OauthSettings::new(&config, tls.revocations()),
            authority: Authority::new(tls.revocations()),
            tls,
            links: PageLinks::new(key),
            ctx,
            config,
            draining: AtomicBool::new(false),
        })
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
