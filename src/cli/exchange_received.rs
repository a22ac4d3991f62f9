//! `causeway exchange show --received` and `--quarantine`: what another payer sent, as it came. It is noted in the ledger, with its reason, before
//! anything is shown, and needs the file of keys.

use super::asker::CommandAsker;
use crate::audit::{Object, OperatorNote};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ops::View;
use crate::ops::exchanges;
use crate::records::ingest::{IngestScope, ReceivedOriginal, is_withdrawn, quarantined, received};
use crate::secret::base64url;
use crate::security::vault::{KEYS_FILE, Vault};
use crate::terminal::{Exit, Out};
use serde::Serialize;

/// How many resources are read at once.
const AT_ONCE: i64 = 50;

/// A resource as it came.
#[derive(Serialize)]
struct ReceivedLine<'r> {
    page: i64,
    entry: i64,
    resource_type: &'r str,
    outcome: &'r str,
    reason: Option<&'r str>,
    /// Its bytes, when they are text.
    body: Option<&'r str>,
    /// Its bytes, when they are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64url: Option<String>,
}

/// Shows what came with the exchange, or with `is_apart` only what is in quarantine, to `by`, who says why. Waits on this thread.
///
/// # Errors
/// [`Fault::ExchangeUnknown`]; [`Fault::NothingReceived`]; [`Fault::SealKeys`] and [`Fault::SealBroken`] when it cannot be read; those of the store.
pub fn run(
    ctx: &Context,
    id: &str,
    is_apart: bool,
    (asker, by): (&CommandAsker, OperatorNote),
    out: &mut Out,
) -> Result<Exit, Failure> {
    let now_ms = ctx.clock.now_ms();
    ctx.store
        .read_blocking(|db| exchanges::one(db, id, View::WithoutPatients, now_ms))?;
    let what = if is_apart { "quarantine" } else { "received" };
    let object = Object {
        kind: "Exchange",
        id: id.to_owned(),
    };
    asker.show_to(ctx, by, what, Some(object))?;
    if ctx.store.read_blocking(|db| is_withdrawn(db, id))? {
        // Also without the keys: there is nothing to open.
        return Err(Fault::NothingReceived.into());
    }
    let vault = Vault::read(&asker.data_folder.join(KEYS_FILE))?;
    let scope = IngestScope::reopen(ctx, &vault, id)?;
    let mut after = (0, -1);
    loop {
        let (found, last) = match is_apart {
            true => quarantined(&scope, after, AT_ONCE)?,
            false => received(&scope, after, AT_ONCE)?,
        };
        let Some(last) = last else { return Ok(Exit::Done) };
        after = last;
        found.iter().for_each(|one| print(one, out));
    }
}

fn print(one: &ReceivedOriginal, out: &mut Out) {
    let text = std::str::from_utf8(&one.bytes).ok();
    let line = ReceivedLine {
        page: one.place.0,
        entry: one.place.1,
        resource_type: &one.rtype,
        outcome: &one.outcome,
        reason: one.reason.as_deref(),
        body: text,
        body_base64url: text.is_none().then(|| base64url(&one.bytes)),
    };
    if out.json {
        return out.value(&line);
    }
    let reason = line.reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    out.line(&format!(
        "page {} entry {} {} {}{reason}",
        line.page, line.entry, line.resource_type, line.outcome
    ));
    // What another payer sent must not steer the terminal.
    let is_shown = |letter: char| !letter.is_control() || matches!(letter, '\n' | '\t');
    let plain = |text: &str| {
        text.chars()
            .map(|letter| {
                if is_shown(letter) {
                    letter
                } else {
                    char::REPLACEMENT_CHARACTER
                }
            })
            .collect::<String>()
    };
    out.line(&text.map_or_else(|| base64url(&one.bytes), plain));
}
