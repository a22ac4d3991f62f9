//! The composition root: the only place that makes a [`Context`], and the order in which an opened store is made ready.
//!
//! Commands, the server, the demonstration and the benchmark all open a store here.

use super::bring_up;
use crate::clock::Clock;
use crate::config::Config;
use crate::context::{Context, GuessGuard, WorkBell};
use crate::error::{Failure, Fault};
use crate::identity::Rules;
use crate::ids::Ids;
use crate::ops::policy_kinds::KINDS;
use crate::policy::keep_built_in;
use crate::records::bring_up::due;
use crate::secret::member_keys::{MEMBER_KEYS_FILE, MemberKeys};
use crate::security::vault::{KEYS_FILE, Vault};
use crate::store::{Store, StoreNeed, StoreOptions, tokens};
use std::path::Path;
use std::sync::Arc;

/// Loads the configuration from `file` (when `None`, from the default file if it exists) and from the environment.
///
/// # Errors
/// As [`Config::load`]; a file that cannot be read is [`Fault::ConfigInvalid`].
pub fn load(file: Option<&Path>) -> Result<Config, Failure> {
    Config::from_environment(file).map_err(|failure| match failure.fault() {
        // A configuration file that is missing is a wrong configuration, not a wrong input (exit code 2).
        Fault::InputUnreadable => Failure::new(Fault::ConfigInvalid)
            .at("--config")
            .remedy("Name a configuration file that can be read.")
            .because(failure),
        _ => failure,
    })
}

/// Opens the configured store for reading and writing; progress goes to the log. Blocks the thread.
///
/// # Errors
/// As [`open_for`].
pub fn open(config: &Config) -> Result<Context, Failure> {
    open_for(config, StoreNeed::Write, &mut |line| tracing::info!("{line}"))
}

/// Opens the configured store, brings it up to date unless it is only to be read, and reports what it waits for and its progress. Blocks
/// the thread.
///
/// # Errors
/// As [`Store::open_telling`].
pub fn open_for(config: &Config, need: StoreNeed, tell: &mut dyn FnMut(&str)) -> Result<Context, Failure> {
    let ctx = open_as_it_is(config, need, tell)?;
    if ctx.store.read_only().is_some() {
        return Ok(ctx);
    }
    if need == StoreNeed::Read && ctx.store.is_remote() {
        // Other processes may be serving the store, and a command that only reads must not change it.
        bring_up::tell_due(&ctx.store.read_blocking(due)?, tell);
        return Ok(ctx);
    }
    bring_up::with_lines(&ctx, tell)?;
    if let Err(failure) = keep_built_in(&ctx, KINDS) {
        // What decides is in the program; the next start stores it.
        let cause = failure.cause().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(
            fault = failure.fault().code(),
            cause,
            "the policies of this program could not be stored"
        );
    }
    Ok(ctx)
}

/// Opens the configured store without bringing it up to date after an earlier version, for callers that do so themselves.
///
/// # Errors
/// As [`Store::open_telling`].
pub fn open_as_it_is(config: &Config, need: StoreNeed, tell: &mut dyn FnMut(&str)) -> Result<Context, Failure> {
    let options = StoreOptions {
        connections: config.store.connections,
        room: config.limits.room,
        schema: config.store.schema.clone(),
        need,
    };
    let store = Store::open_telling(&config.store.url, &options, tell)?;
    let ctx = Context {
        guard: Arc::new(GuessGuard::open(&store, config.policy.guess)?),
        store,
        clock: Clock::System,
        ids: Ids::random(),
        payer: Arc::new(config.payer()),
        policy_four_eyes: config.policy.four_eyes,
        review: config.review(),
        matching: Arc::new(Rules::shipped(&config.policy.matching)),
        keeping: Arc::new(config.retention.clone()),
        member_keys: member_keys(config),
        bell: WorkBell::default(),
    };
    if let Some(newest_ms) = ctx.store.read_blocking(tokens::newest_ms)? {
        ctx.clock.has_seen(newest_ms);
    }
    Ok(ctx)
}

/// What the keys of the vault are derived for, to wrap members' keys.
const WRAPS: &str = "member-keys/1";

/// The file of members' keys beside the store, wrapped under the keys of the vault. Neither file is read before it is needed.
fn member_keys(config: &Config) -> MemberKeys {
    let folder = config.data_folder();
    let above = folder.join(KEYS_FILE);
    let read = move |make: bool| -> Result<Vec<(String, [u8; 32])>, Failure> {
        let vault = if make {
            Vault::open(&above)?
        } else {
            Vault::read(&above)?
        };
        Ok(vault
            .secrets(WRAPS)
            .map(|(id, secret)| (id.to_owned(), secret))
            .collect())
    };
    MemberKeys::at(folder.join(MEMBER_KEYS_FILE), Arc::new(read))
}
