//! The disclosure of a file that was written before: one ledger entry *begun* for each member in it before the first byte is sent, and its
//! end with the bytes that were sent.
//!
//! The grants are those that were found live a moment ago; while the file is sent, they are checked like a record ([`super::underway`]).

use super::outgoing::Disclosure;
use super::{Tally, begin, entry, version};
use crate::audit::{Action, LedgerEvent};
use crate::context::Context;
use crate::error::Failure;
use crate::security::Caller;
use crate::store::disclosure::LiveGrant;

/// What of a file belongs to one member.
#[derive(Clone, Debug)]
pub struct FileShare {
    /// The grant on the member.
    pub grant: LiveGrant,
    /// Bytes of the member's resources.
    pub bytes: u64,
    /// How many resources these are.
    pub resources: u64,
}

/// Commits the *begun* entries of a file with resources of this type.
///
/// # Errors
/// [`Fault::AuditUnavailable`](crate::error::Fault::AuditUnavailable) when they cannot be written: nothing may be sent then.
pub async fn begin_file(
    ctx: &Context,
    caller: &Caller,
    rtype: &str,
    shares: Vec<FileShare>,
) -> Result<Disclosure, Failure> {
    let now_ms = ctx.clock.now_ms();
    let entries = shares
        .iter()
        .map(|share| entry(Action::DisclosureBegun, caller, &share.grant));
    let begun = begin(ctx, entries.collect()).await?;
    let mut disclosure = Disclosure::new(ctx, caller, now_ms);
    for (share, begun) in shares.into_iter().zip(begun) {
        let mut tally = Tally::default();
        tally.add_many(rtype, share.resources);
        disclosure.add(Some(&share.grant), begun, share.bytes, tally);
    }
    Ok(disclosure)
}

/// Commits the *begun* entry of a download from the result of a bulk match. Whom the result names is in the entries of its decisions, under
/// the ids of the job; so this one names nobody.
///
/// # Errors
/// As [`begin_file`].
pub async fn begin_result(ctx: &Context, caller: &Caller, rtype: &str, bytes: u64) -> Result<Disclosure, Failure> {
    let mut numbers = LedgerEvent::new(Action::DisclosureBegun, caller.actor(), caller.correlation.clone());
    version::cite(&mut numbers);
    let mut disclosure = Disclosure::new(ctx, caller, ctx.clock.now_ms());
    for begun in begin(ctx, vec![numbers]).await? {
        let mut tally = Tally::default();
        tally.add_many(rtype, 1);
        disclosure.add(None, begun, bytes, tally);
    }
    Ok(disclosure)
}
