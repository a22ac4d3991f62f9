//! `causeway audit keys`: the keys that seal values beside the ledger, which lie outside the database.

use super::asker::CommandAsker;
use crate::audit::key_rotation;
use crate::context::Context;
use crate::error::Failure;
use crate::secret::member_keys::{MEMBER_KEYS_FILE, WRAPPING_KEYS_FILE};
use crate::terminal::{Exit, Out};
use clap::Subcommand;
use serde_json::json;

/// How it is called.
pub const EXAMPLES: &str = "Examples:\n  causeway audit keys check\n  causeway audit keys rotate --reason \"each year\"\n\n\
    docs/operators/erasure.md says what the files are, and what to back up.";

/// What to do with the keys that seal values beside the ledger.
#[derive(Subcommand, Clone, Debug)]
pub enum SealingKeysCommand {
    /// Check that member.keys belongs to the store, and that it can be opened
    Check,
    /// Make a new key that wraps all keys of member.keys; no sealed value changes
    Rotate {
        /// Why, on one line
        #[arg(long)]
        reason: String,
        /// Who you are, beside your user id on this host
        #[arg(long)]
        operator: Option<String>,
    },
}

impl SealingKeysCommand {
    /// Whether it only reads the store.
    pub fn reads(&self) -> bool {
        matches!(self, SealingKeysCommand::Check)
    }
}

/// Checks or rotates the keys. Waits on this thread.
///
/// # Errors
/// Those of [`key_rotation::rotate`] and of [`CommandAsker::operator_note`].
pub fn run(what: &SealingKeysCommand, ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    match what {
        SealingKeysCommand::Check => {
            let keys = key_rotation::check(ctx)?;
            if out.json {
                out.value(&json!({ "keys": keys }));
            } else {
                out.line(&format!(
                    "{MEMBER_KEYS_FILE} belongs to this store and opens: {keys} keys"
                ));
            }
        }
        SealingKeysCommand::Rotate { reason, operator } => {
            let note = asker.operator_note(operator.as_deref(), reason)?;
            let done = key_rotation::rotate(ctx, note)?;
            if out.json {
                out.value(&json!({ "key_id": done.key_id, "keys": done.keys }));
            } else {
                out.line(&format!(
                    "{} keys are wrapped under the new key {}",
                    done.keys, done.key_id
                ));
                out.note(&format!(
                    "back up {MEMBER_KEYS_FILE} and {WRAPPING_KEYS_FILE} now, apart from the database, and delete their older copies"
                ));
            }
        }
    }
    Ok(Exit::Done)
}
