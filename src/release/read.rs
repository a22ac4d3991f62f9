//! Reads one resource by type and id, within the caller's grants or among shared resources.

use super::transmitter;
use super::{BegunDisclosure, Disclosure, SentPart, Tally, begin, entry, find_and_begin, is_shared, refuse};
use crate::audit::RestCall;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{ScreenLimits, screen};
use crate::records::compartment;
use crate::security::Caller;
use crate::store::Db;
use crate::store::disclosure::{self, LiveGrant, Released, ResourceRead};
use crate::store::shared_resources;

/// What was found, and what was made of it.
type Found<T> = (Released, T, LiveGrant);

/// Resources of up to so many bytes are read without asking for room first: as many of them as a partner has connections are little.
const PROMPT_BYTES: usize = 128 * 1024;

/// Reads one resource. `id` and `version` may be malformed; `version`, if given, must be the current one. `sent` says what of the resource
/// is sent. The disclosure is returned with the resource and ends when the bytes have been sent; that of a shared resource has no entries.
/// `room` is asked for the memory that a large resource takes, before it is read, and may wait.
///
/// # Errors
/// [`Fault::NotFound`] when there is no such resource, no live grant, or it must not be released: the same answer for all three. Those of
/// `room`.
pub async fn read(
    ctx: &Context,
    caller: &Caller,
    rtype: &str,
    id: &str,
    version: Option<&str>,
    room: impl AsyncFnOnce(usize) -> Result<(), Failure>,
    sent: impl FnOnce(&Released) -> SentPart,
) -> Result<(Released, Option<Disclosure>), Failure> {
    let name = (rtype, id, version);
    let (row, (), disclosure) = read_and_make(ctx, caller, name, room, |_| (), |row, ()| sent(row)).await?;
    Ok((row, disclosure))
}

/// [`read`], which also makes something of the resource. That of a Binary is made on a blocking thread in the partner's turn, because it
/// may take long.
///
/// # Errors
/// As [`read`].
pub async fn read_and_make<T: Send + 'static>(
    ctx: &Context,
    caller: &Caller,
    (rtype, id, version): (&str, &str, Option<&str>),
    room: impl AsyncFnOnce(usize) -> Result<(), Failure>,
    make: impl Fn(&Released) -> T + Clone + Send + 'static,
    sent: impl FnOnce(&Released, &T) -> SentPart,
) -> Result<(Released, T, Option<Disclosure>), Failure> {
    let call = call_of(version.is_some());
    if !crate::ids::is_fhir_id(id) {
        return Err(Box::pin(refuse(ctx, caller, call, Fault::NotFound)).await);
    }
    // A number that is not written in canonical form is not a version.
    let number = version.map(|version| {
        version
            .parse::<i64>()
            .ok()
            .filter(|number| number.to_string() == version)
    });
    if number == Some(None) {
        return Err(Box::pin(refuse(ctx, caller, call, Fault::NotFound)).await);
    }
    let mut asked = ResourceRead {
        partner: caller.partner.id.clone(),
        rtype: rtype.to_owned(),
        id: id.to_owned(),
        version: number.flatten(),
        patient_id: caller.patient_id.clone(),
        now_ms: ctx.clock.now_ms(),
        most_bytes: i32::MAX,
    };
    if is_shared(rtype) {
        return match Box::pin(read_shared(ctx, asked.clone(), room)).await? {
            Some(row) => {
                // There is no entry to end, but who may not read any more gets no further piece.
                let made = make(&row);
                let is_sent = !matches!(sent(&row, &made), SentPart::Head(_));
                let watched = is_sent.then(|| Disclosure::new(ctx, caller, asked.now_ms));
                Ok((row, made, watched))
            }
            None => Err(Box::pin(refuse(ctx, caller, call, Fault::NotFound)).await),
        };
    }
    let now_ms = asked.now_ms;
    // A small resource is found at once; only of what is not found so the length is asked. What is seldom needed is apart, so that the memory
    // of each read is small.
    asked.most_bytes = PROMPT_BYTES as i32;
    let mut found = find(ctx, caller, asked.clone(), make.clone()).await?;
    if found.is_none()
        && let Some(bytes) = Box::pin(bytes_of(ctx, &asked)).await?
    {
        // One that has become small meanwhile is found by the second look as well.
        if bytes > PROMPT_BYTES {
            Box::pin(room(bytes)).await?;
        }
        asked.most_bytes = i32::MAX;
        found = Box::pin(find(ctx, caller, asked.clone(), make.clone())).await?;
    }
    if found.is_none() && rtype == "Provenance" {
        found = Box::pin(find_transmitter(ctx, caller, asked, make)).await?;
    }
    let Some(((row, made, grant), begun)) = found else {
        return Err(Box::pin(refuse(ctx, caller, call, Fault::NotFound)).await);
    };
    let sent = sent(&row, &made);
    let mut tally = Tally::default();
    if sent == SentPart::Whole {
        tally.add_one(rtype, row.released.is_some());
    }
    let mut disclosure = Disclosure::new(ctx, caller, now_ms);
    disclosure.add(Some(&grant), begun, sent.bytes(row.size()), tally);
    if let SentPart::Head(_) = sent {
        disclosure.ends(sent);
        return Ok((row, made, None));
    }
    Ok((row, made, Some(disclosure)))
}

fn call_of(names_version: bool) -> RestCall {
    if names_version {
        RestCall::VersionRead
    } else {
        RestCall::Read
    }
}

/// Finds a resource that may be released, makes something of it, and commits the *begun* entry.
async fn find<T: Send + 'static>(
    ctx: &Context,
    caller: &Caller,
    asked: ResourceRead,
    make: impl Fn(&Released) -> T + Send + 'static,
) -> Result<Option<(Found<T>, BegunDisclosure)>, Failure> {
    if !ctx.store.is_remote() || asked.rtype == "Binary" {
        return find_then_begin(ctx, caller, asked, make).await;
    }
    let call = call_of(asked.version.is_some());
    let find = move |db: &mut Db, entry: &_| disclosure::one_begun(db, &asked, entry);
    let found = Box::pin(find_and_begin(ctx, caller, call, find, |(_, grant)| grant)).await?;
    Ok(found.map(|((row, grant), begun)| {
        let made = make(&row);
        ((row, made, grant), begun)
    }))
}

/// Finds the record of who transmits a member's record, and commits the *begun* entry.
async fn find_transmitter<T>(
    ctx: &Context,
    caller: &Caller,
    asked: ResourceRead,
    make: impl Fn(&Released) -> T,
) -> Result<Option<(Found<T>, BegunDisclosure)>, Failure> {
    let Some(grant_id) = transmitter::grant_of(&asked.id) else {
        return Ok(None);
    };
    let (partner, grant_id) = (asked.partner.clone(), grant_id.to_owned());
    let grant = ctx
        .store
        .read(move |db| disclosure::live_grant_by_id(db, &partner, &grant_id, asked.now_ms))
        .await?;
    let is_meant = |grant: &LiveGrant| asked.patient_id.as_ref().is_none_or(|only| *only == grant.patient_id);
    let Some(grant) = grant.filter(is_meant) else {
        return Ok(None);
    };
    let call = call_of(asked.version.is_some());
    let row = transmitter::of_record(&ctx.payer, &grant);
    if asked.version.is_some_and(|version| version != row.version) {
        return Ok(None);
    }
    let made = make(&row);
    let begun = begin(ctx, vec![entry(call, caller, &grant)]).await?;
    Ok(begun.into_iter().next().map(|begun| ((row, made, grant), begun)))
}

/// Reads a resource that belongs to no member.
async fn read_shared(
    ctx: &Context,
    mut asked: ResourceRead,
    room: impl AsyncFnOnce(usize) -> Result<(), Failure>,
) -> Result<Option<Released>, Failure> {
    asked.most_bytes = PROMPT_BYTES as i32;
    let version = asked.version;
    let mut found = find_shared(ctx, asked.clone()).await?;
    if found.is_none() {
        let (rtype, id) = (asked.rtype.clone(), asked.id.clone());
        let bytes = ctx
            .store
            .read(move |db| shared_resources::shared_bytes(db, &rtype, &id))
            .await?;
        if let Some(bytes) = bytes {
            room(bytes).await?;
            asked.most_bytes = i32::MAX;
            found = find_shared(ctx, asked).await?;
        }
    }
    Ok(found.filter(|row| version.is_none_or(|version| version == row.version)))
}

async fn find_shared(ctx: &Context, asked: ResourceRead) -> Result<Option<Released>, Failure> {
    ctx.store
        .read(move |db| shared_resources::shared(db, &asked.rtype, &asked.id, asked.most_bytes))
        .await
}

/// The bytes that reading this resource takes, if the caller may see it.
async fn bytes_of(ctx: &Context, asked: &ResourceRead) -> Result<Option<usize>, Failure> {
    let asked = asked.clone();
    ctx.store
        .read(move |db| disclosure::one_bytes(db, &asked.partner, &asked.rtype, &asked.id, asked.now_ms))
        .await
}

/// Finds the resource, then commits the *begun* entry. Used where a statement costs little, or where the release rule needs several
/// statements.
async fn find_then_begin<T: Send + 'static>(
    ctx: &Context,
    caller: &Caller,
    asked: ResourceRead,
    make: impl Fn(&Released) -> T + Send + 'static,
) -> Result<Option<(Found<T>, BegunDisclosure)>, Failure> {
    let base_url = ctx.payer.base_url.clone();
    let call = call_of(asked.version.is_some());
    let is_binary = asked.rtype == "Binary";
    let find = move |db: &mut Db| -> Result<Option<Found<T>>, Failure> {
        let name = (asked.rtype.as_str(), asked.id.as_str());
        let found = disclosure::one(db, &asked.partner, name, asked.now_ms, asked.most_bytes)?;
        let Some((row, grant)) = found else { return Ok(None) };
        let is_meant = asked.version.is_none_or(|version| version == row.version)
            && asked.patient_id.as_ref().is_none_or(|only| *only == grant.patient_id);
        if !is_meant || (is_binary && !attached(db, &asked.partner, &row, &grant, &base_url, asked.now_ms)?) {
            return Ok(None);
        }
        let made = make(&row);
        Ok(Some((row, made, grant)))
    };
    let found = match is_binary {
        // Reading all of a large one and what is made of it must not keep a thread that serves others.
        true => Box::pin(ctx.store.read_in_turn(&caller.partner.id, find)).await?,
        false => ctx.store.read(find).await?,
    };
    let Some((row, made, grant)) = found else {
        return Ok(None);
    };
    let begun = begin(ctx, vec![entry(call, caller, &grant)]).await?;
    Ok(begun.into_iter().next().map(|begun| ((row, made, grant), begun)))
}

/// Whether a Binary may be released: by the rule of all resources that refer to it, and by the security context that it names itself.
fn attached(
    db: &mut Db,
    partner: &str,
    row: &Released,
    grant: &LiveGrant,
    base_url: &str,
    now_ms: i64,
) -> Result<bool, Failure> {
    if !disclosure::is_attached(db, partner, grant, &row.id, now_ms)? {
        return Ok(false);
    }
    let screened = screen(row.bytes(), &ScreenLimits::record())?;
    let Some(context) = screened.root().get("securityContext") else {
        return Ok(true);
    };
    let text = context.get("reference").and_then(|reference| reference.text());
    match text.as_deref().and_then(|text| compartment::local(text, base_url)) {
        Some(("Patient", id)) => Ok(id == grant.patient_id),
        Some((rtype, id)) if !is_shared(rtype) && rtype != "Binary" => {
            let found = disclosure::one(db, partner, (rtype, id), now_ms, i32::MAX)?;
            Ok(found.is_some_and(|(_, other)| other.compartment == grant.compartment))
        }
        _ => Ok(false),
    }
}
