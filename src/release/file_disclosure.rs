//! The disclosure of a file that was written before: one ledger entry *begun* for each member in it before the first byte is sent, and its
//! end with the bytes that were sent.
//!
//! The grants are those that were found live a moment ago; while the file is sent, they are checked like a record ([`super::underway`]).

use super::outgoing::Disclosure;
use super::{MembersBehind, Tally, begin, entry, version};
use crate::audit::{Action, LedgerEvent, Object, RestCall};
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
        .map(|share| entry(RestCall::Operation, caller, &share.grant));
    let begun = begin(ctx, entries.collect()).await?;
    let mut disclosure = Disclosure::new(ctx, caller, now_ms);
    for (share, begun) in shares.into_iter().zip(begun) {
        let mut tally = Tally::default();
        tally.add_many(rtype, share.resources);
        disclosure.add(Some(&share.grant), begun, share.bytes, tally);
    }
    Ok(disclosure)
}

/// A file of a job in which no line belongs to one member alone.
pub struct JobFile<'f> {
    /// The job.
    pub job: &'f str,
    /// The type of its resources.
    pub rtype: &'f str,
    /// How many they are.
    pub resources: u64,
    /// Bytes that are sent.
    pub bytes: u64,
    /// Of whom it tells.
    pub behind: MembersBehind,
}

/// Commits the *begun* entry of a download of such a file. It names the job and nobody: who is in the job is in the entries of its members.
///
/// # Errors
/// As [`begin_file`].
pub async fn begin_of_job(ctx: &Context, caller: &Caller, file: JobFile<'_>) -> Result<Disclosure, Failure> {
    let mut numbers = LedgerEvent::new(Action::DisclosureBegun, caller.actor(), caller.correlation.clone());
    numbers.interaction = Some(RestCall::Operation);
    numbers.object = Some(Object {
        kind: "bulk-job",
        id: file.job.to_owned(),
    });
    version::cite(&mut numbers);
    let mut disclosure = Disclosure::new(ctx, caller, ctx.clock.now_ms());
    for begun in begin(ctx, vec![numbers]).await? {
        let mut tally = Tally::default();
        tally.add_many(file.rtype, file.resources);
        disclosure.add(None, begun, file.bytes, tally);
    }
    disclosure.tells_of(file.behind);
    Ok(disclosure)
}
