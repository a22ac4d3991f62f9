//! The disclosure of a file that was written before. Its ledger entries *begun* are committed before the first byte is sent, and its end has the
//! bytes that were sent.
//!
//! A whole file of many members has one entry for all of them: it names the file, and commits to the share of each member, and the shares are
//! stored so that the disclosure is found by each member ([`crate::store::disclosed`]). A part of a file, and a file of few members, have
//! an entry for each member; a range that covers all bytes is the whole file. The grants are those that were found live a moment ago; while the file is sent, they are checked like a record
//! ([`super::underway`]).

use super::lost_ends::{FILE, JOB};
use super::outgoing::Disclosure;
use super::{MembersBehind, Tally, begin, entry, version};
use crate::audit::{Action, LedgerEvent, MembersNote, Object, RestCall, member_leaf, members_root};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::secret;
use crate::security::Caller;
use crate::store::disclosed::{self, DisclosedFileRow, DisclosedShareRow};
use crate::store::disclosure::LiveGrant;

/// Most members of a whole file who have an entry each: with so few, the rows of their shares cost as much.
pub(super) const FEW: usize = 4;

/// What of a file belongs to one member.
#[derive(Clone, Debug)]
pub struct FileShare {
    /// The grant on the member.
    pub grant: LiveGrant,
    /// Where the member's resources begin in the file.
    pub begins: u64,
    /// Bytes of the member's resources.
    pub bytes: u64,
    /// How many resources these are.
    pub resources: u64,
    /// Of how many of them a part was cut, where that is known.
    pub cut: Option<u64>,
}

/// Commits the *begun* entries of a part of a file with resources of this type: one for each member.
///
/// # Errors
/// [`Fault::AuditUnavailable`] when they cannot be written: nothing may be sent then.
pub async fn begin_part(
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
        tally.cut(share.cut);
        disclosure.add(Some(&share.grant), begun, share.bytes, tally);
    }
    Ok(disclosure)
}

/// Commits the *begun* entry of a download of the whole file with this name: one entry for all of its members.
///
/// # Errors
/// As [`begin_part`]; those of the store.
pub async fn begin_file(
    ctx: &Context,
    caller: &Caller,
    (name, rtype): (&str, &str),
    shares: Vec<FileShare>,
) -> Result<Disclosure, Failure> {
    let own = name.to_owned();
    // A share that was erased with what opens the ledger is not stored again: whoever is told of after that has an entry each.
    if shares.len() <= FEW || !ctx.store.read(move |db| disclosed::is_whole(db, &own)).await? {
        return begin_part(ctx, caller, rtype, shares).await;
    }
    let now_ms = ctx.clock.now_ms();
    let members = noted(ctx, name, &shares).await?;
    let mut one = about(RestCall::Operation, caller, (FILE, name));
    one.members = Some(members);
    let (mut tally, mut bytes) = (Tally::default(), 0);
    for share in &shares {
        tally.add_many(rtype, share.resources);
        tally.cut(share.cut);
        bytes += share.bytes;
    }
    let grant_ids: Vec<String> = shares.into_iter().map(|share| share.grant.id).collect();
    let mut disclosure = Disclosure::new(ctx, caller, now_ms);
    for begun in begin(ctx, vec![one]).await? {
        disclosure.add_under(grant_ids.clone(), begun, bytes, tally.clone());
    }
    Ok(disclosure)
}

/// The *begun* entry of a disclosure by `call` that is about an object of this kind, and names no member.
pub(super) fn about(call: RestCall, caller: &Caller, (kind, id): (&'static str, &str)) -> LedgerEvent {
    let mut one = LedgerEvent::new(Action::DisclosureBegun, caller.actor(), caller.correlation.clone());
    one.interaction = Some(call);
    one.object = Some(Object {
        kind,
        id: id.to_owned(),
    });
    version::cite(&mut one);
    one
}

/// Stores the shares of a file, which is done once, and returns what its entries say of them. The rows are durable when this returns.
pub(super) async fn noted(ctx: &Context, name: &str, shares: &[FileShare]) -> Result<MembersNote, Failure> {
    let find = || {
        let name = name.to_owned();
        ctx.store.read(move |db| disclosed::file(db, &name))
    };
    let found = match find().await? {
        Some(found) => found,
        None => {
            let (file, rows) = rows(name, shares);
            let put = ctx.store.reserved().write(move |db| disclosed::put(db, &file, &rows));
            put.await
                .map_err(|failure| Failure::new(Fault::AuditUnavailable).because(failure))?;
            // Another download may have been first.
            find().await?.ok_or(Fault::AuditUnavailable)?
        }
    };
    let root = found.root.as_slice().try_into();
    Ok(MembersNote {
        count: u64::try_from(found.members).unwrap_or(0),
        root: root.map_err(|_| Failure::new(Fault::StoreDamaged).because("the root of a file's members"))?,
    })
}

fn rows(name: &str, shares: &[FileShare]) -> (DisclosedFileRow, Vec<DisclosedShareRow>) {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let salts: Vec<[u8; 32]> = shares.iter().map(|_| secret::random_of_many()).collect();
    let rows: Vec<DisclosedShareRow> = shares
        .iter()
        .zip(&salts)
        .zip(0..)
        .map(|((share, salt), place)| DisclosedShareRow {
            subject: share.grant.patient_id.clone(),
            file: name.to_owned(),
            place,
            consent_id: share.grant.consent_id.clone(),
            sensitive: share.grant.sensitive,
            begins: number(share.begins),
            bytes: number(share.bytes),
            resources: number(share.resources),
            salt: salt.to_vec(),
        })
        .collect();
    let salted = rows.iter().zip(&salts);
    let leaves: Vec<[u8; 32]> = salted
        .map(|(row, salt)| member_leaf(row.place, salt, &row.line()))
        .collect();
    let file = DisclosedFileRow {
        name: name.to_owned(),
        members: number(rows.len() as u64),
        root: members_root(&leaves).to_vec(),
        leaves: leaves.concat(),
    };
    (file, rows)
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
/// As [`begin_part`].
pub async fn begin_of_job(ctx: &Context, caller: &Caller, file: JobFile<'_>) -> Result<Disclosure, Failure> {
    let numbers = about(RestCall::Operation, caller, (JOB, file.job));
    let mut disclosure = Disclosure::new(ctx, caller, ctx.clock.now_ms());
    for begun in begin(ctx, vec![numbers]).await? {
        let mut tally = Tally::default();
        tally.add_many(file.rtype, file.resources);
        disclosure.add(None, begun, file.bytes, tally);
    }
    disclosure.tells_of(file.behind);
    Ok(disclosure)
}
