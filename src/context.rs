//! What every use case needs: the store, the clock, the source of identifiers, and who this payer is.
//!
//! Put together in `app::wiring` alone; it owns nothing else and takes no decisions.

use crate::clock::Clock;
use crate::error::Failure;
use crate::identity::Rules;
use crate::ids::Ids;
use crate::keeping::Periods;
use crate::secret::member_keys::MemberKeys;
use crate::store::guesses::GuessLimits;
use crate::store::{Store, secrets};
use std::sync::{Arc, OnceLock};
use tokio::sync::Notify;

/// The payer that this process serves, from the `[payer]` and `[server]` sections of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payer {
    /// Name for people.
    pub name: String,
    /// National Provider Identifier; compared as a string.
    pub npi: String,
    /// System of our member numbers (those on the card).
    pub member_system: String,
    /// System of our UMB identifiers: one for each person, never the card's number.
    pub umb_system: String,
    /// FHIR base URL, without a slash at its end.
    pub base_url: String,
    /// IANA name of the time zone in which calendar dates (consent periods) are read.
    pub time_zone: chrono_tz::Tz,
}

/// What the guessing guard works with.
#[derive(Clone)]
pub struct GuessGuard {
    /// Its numbers.
    pub limits: GuessLimits,
    /// The key of its hashes; one for all processes of a store.
    pub key: [u8; 32],
}

impl GuessGuard {
    /// A guard over `store`, whose key is made when there is none. Waits on this thread.
    ///
    /// # Errors
    /// Those of the store.
    pub fn open(store: &Store, limits: GuessLimits) -> Result<GuessGuard, Failure> {
        let key = match store
            .reserved()
            .write_blocking(|db| secrets::get_or_make(db, "guess-targets"))
        {
            // No guess is kept there; a key of this process alone does no harm.
            Err(_) if store.read_only().is_some() => crate::secret::random(),
            other => other?,
        };
        Ok(GuessGuard { limits, key })
    }
}

/// Handed to every use case. Clones are cheap.
#[derive(Clone)]
pub struct Context {
    /// The open store.
    pub store: Store,
    /// The clock.
    pub clock: Clock,
    /// The source of new identifiers.
    pub ids: Ids,
    /// Who we are.
    pub payer: Arc<Payer>,
    /// The guessing guard.
    pub guard: Arc<GuessGuard>,
    /// What matches are decided by.
    pub matching: Arc<Rules>,
    /// Whether a second operator has to approve a version of a policy before it takes effect.
    pub policy_four_eyes: bool,
    /// How reviews are kept.
    pub review: ReviewTerms,
    /// How long each kind of data is kept.
    pub keeping: Arc<Periods>,
    /// What values beside the ledger are sealed under.
    pub member_keys: MemberKeys,
    /// Wakes this process's worker.
    pub bell: WorkBell,
}

/// Wakes the worker of this process when work was enqueued. Without a worker it does nothing. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct WorkBell(Arc<Notify>);

impl WorkBell {
    /// Makes the worker look for work now. Called after the commit that enqueued some.
    pub fn ring(&self) {
        self.0.notify_one();
    }

    /// Waits until it rings.
    pub async fn rings(&self) {
        self.0.notified().await;
    }
}

#[cfg(test)]
impl Context {
    /// For unit tests: over `store`, with the guessing guard, the terms of reviews and the matching rules that hold when the configuration says nothing of
    /// them. Waits on this thread.
    ///
    /// # Errors
    /// Those of [`Guard::open`].
    pub fn with_defaults(store: Store, clock: Clock, ids: Ids, payer: Payer) -> Result<Context, Failure> {
        Ok(Context {
            guard: Arc::new(GuessGuard::open(&store, GuessLimits::default())?),
            store,
            clock,
            ids,
            payer: Arc::new(payer),
            matching: Arc::default(),
            policy_four_eyes: false,
            review: ReviewTerms::default(),
            keeping: Arc::default(),
            member_keys: MemberKeys::default(),
            bell: WorkBell::default(),
        })
    }
}

/// How reviews are kept, from the `[policy]` section; and the key of their questions, once it was read. Clones share the key.
#[derive(Clone)]
pub struct ReviewTerms {
    /// Whether two operators have to agree.
    pub four_eyes: bool,
    /// Time until a review is due, milliseconds.
    pub due_ms: i64,
    key: Arc<OnceLock<[u8; 32]>>,
}

impl ReviewTerms {
    /// These terms.
    pub fn new(four_eyes: bool, due_hours: u32) -> Self {
        ReviewTerms {
            four_eyes,
            due_ms: i64::from(due_hours) * 3_600_000,
            key: Arc::default(),
        }
    }

    /// The key, if this process has read it.
    pub fn known_key(&self) -> Option<[u8; 32]> {
        self.key.get().copied()
    }

    /// Remembers the key.
    pub fn keep_key(&self, key: [u8; 32]) {
        let _ = self.key.set(key);
    }
}

impl Default for ReviewTerms {
    fn default() -> Self {
        ReviewTerms::new(false, 24)
    }
}
