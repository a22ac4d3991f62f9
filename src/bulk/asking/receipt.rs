//! The receipt of an export, checked against what came. Whoever gives no receipt is not asked for one. Safe to repeat: a check only reads.
//!
//! Nothing here changes an exchange. A receipt that is not true, or cannot be answered, is noted beside the run, which ends all the same.

use super::answer::poll;
use super::fetch::small;
use super::kind::RunStep;
use super::members::RECEIVED;
use super::run::{AskingRun, RunNext, refused};
use super::weigh::{self, CameFile, CameMember, MembersFile, ReadReceipt, WeighedMembers};
use super::wire::TokenFor;
use crate::bulk::receipt::acknowledge::Missing;
use crate::error::{Failure, Fault};
use crate::exchange::loaded::LoadedExchange;
use crate::partner::peer::{BulkManifest, CallEnd, CallFailure, ManifestFile, ManifestReceipt, Peer};
use crate::secret::{hex, sha256};
use crate::store::Db;
use crate::store::bulk_runs::{self as rows, RunFileRow};
use crate::store::run_receipts::{self as kept, RunReceiptRow};
use reqwest::Url;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The receipt agrees or not; the partner has no answer yet.
pub(super) const CHECKED: &str = "checked";
/// The partner gives no receipt.
const NOT_OFFERED: &str = "not-offered";
/// The receipt is not the partner's, or not of this export.
const UNTRUE: &str = "untrue";
/// The receipt could not be had, or the partner does not take the answer.
const UNANSWERED: &str = "unanswered";
/// What came for the member is what the receipt says.
pub(super) const WHOLE: &str = "whole";
/// Something of it is not here.
pub(super) const LACKING: &str = "lacking";

/// Most bytes of all lines about members, and of all messages.
const LINES_BYTES: u64 = 64 << 20;

pub(super) async fn check(run: &mut AskingRun) -> Result<RunNext, CallFailure> {
    let manifest = match poll(run, TokenFor::Export).await? {
        Ok(manifest) => manifest,
        Err(again_ms) => return Ok(RunNext::Wait(again_ms)),
    };
    let Some(named) = manifest.receipt.clone() else {
        note(run, NOT_OFFERED, None).await?;
        return Ok(RunNext::Step(RunStep::EndExport));
    };
    let (ctx, correlation) = (run.ctx().clone(), run.wire.correlation.clone());
    let peer = run.wire.peer(&ctx).await?;
    let token = run.wire.token(&ctx, TokenFor::Export).await?;
    let (text, _) = peer.bulk_receipt(&named.url, &token, &correlation).await?;
    if sha256(text.as_bytes()) != named.sha256 {
        return Err(refused(Fault::ReceiptUntrue).because("its digest is not that of the manifest"));
    }
    let keys = peer.published_keys(&correlation).await?;
    let receipt = weigh::verified(&text, &keys, (peer.base(), peer.client_id())).map_err(judged)?;
    let came = came_files(run, &peer, &manifest).await?;
    if !names_all(&manifest, &came) {
        // A member has left, and the partner has written the export again: its receipt is true, but not of what came.
        give_up(run, Fault::ReceiptAnswered).await?;
        return Ok(RunNext::Step(RunStep::EndExport));
    }
    let mut missing = weigh::files(&receipt, &came).map_err(judged)?;
    let weighed = came_members(run, &peer, &receipt, &mut missing).await?;
    keep_check(run, &named, missing, weighed).await?;
    Ok(RunNext::Step(RunStep::AnswerReceipt))
}

/// What a receipt that was judged means for the run.
fn judged(failure: Failure) -> CallFailure {
    match failure.fault() {
        fault @ Fault::ReceiptUntrue => refused(fault).because(failure),
        _ => failure.into(),
    }
}

/// Whether the manifest still names all files that came.
fn names_all(manifest: &BulkManifest, came: &[CameFile]) -> bool {
    let named: BTreeSet<String> = manifest.output.iter().map(|file| last_part(&file.url)).collect();
    let mut outputs = came.iter().filter(|file| file.is_output);
    outputs.all(|file| named.contains(&file.name))
}

fn last_part(url: &Url) -> String {
    let mut parts = url.path().rsplit('/');
    parts.next().unwrap_or_default().to_owned()
}

fn whole(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// The files that are kept here, and those with messages, which are looked at now.
async fn came_files(run: &mut AskingRun, peer: &Peer, manifest: &BulkManifest) -> Result<Vec<CameFile>, CallFailure> {
    let id = run.row.id.clone();
    let files = run.ctx().store.read(move |db| rows::files(db, &id)).await?;
    let of_row = |file: RunFileRow| {
        let url = peer.named(&file.url).ok()?;
        Some(CameFile {
            is_output: true,
            name: last_part(&url),
            resource_type: file.resource_type,
            resources: whole(file.resources),
            bytes: whole(file.bytes),
            // Before digests were kept, only a file with the told one was.
            sha256: file.sha256.or(file.told_sha256)?,
        })
    };
    let mut came: Vec<CameFile> = files.into_iter().filter_map(of_row).collect();
    let mut left = LINES_BYTES;
    for file in &manifest.error {
        let Some(bytes) = fetched(run, peer, (file, &mut left)).await? else {
            continue;
        };
        let lines = bytes.split(|byte| *byte == b'\n');
        came.push(CameFile {
            is_output: false,
            name: last_part(&file.url),
            resource_type: file.resource_type.clone(),
            resources: lines.filter(|line| !line.trim_ascii().is_empty()).count() as u64,
            bytes: bytes.len() as u64,
            sha256: sha256(&bytes).to_vec(),
        });
    }
    Ok(came)
}

/// A small file of at most `left` bytes, which becomes what is left for others; `None` when the partner does not give it, or not as it was told.
async fn fetched(
    run: &mut AskingRun,
    peer: &Peer,
    (file, left): (&ManifestFile, &mut u64),
) -> Result<Option<Vec<u8>>, CallFailure> {
    match small(run, peer, (file, TokenFor::Export), *left).await {
        Ok(bytes) => {
            *left = left.saturating_sub(bytes.len() as u64);
            Ok(Some(bytes))
        }
        Err(failure)
            if matches!(
                failure.end,
                CallEnd::Refused(Fault::FilesUntrue | Fault::PartnerRefuses)
            ) =>
        {
            *left = left.saturating_sub(failure.facts.bytes);
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// Compares each member; files with lines that are not there count as missing.
async fn came_members(
    run: &mut AskingRun,
    peer: &Peer,
    receipt: &ReadReceipt,
    missing: &mut Missing,
) -> Result<WeighedMembers, CallFailure> {
    let (mut lines, mut absent, mut left) = (Vec::new(), 0_u32, LINES_BYTES);
    for file in &receipt.members.files {
        match lines_of(run, peer, (file, &mut left)).await? {
            Some(bytes) => {
                lines.extend_from_slice(&bytes);
                lines.push(b'\n');
            }
            None => absent += 1,
        }
    }
    if absent > 0 {
        missing.files = Some(missing.files.unwrap_or(0).saturating_add(absent));
    }
    let id = run.row.id.clone();
    let read = move |db: &mut Db| {
        let mut came = HashMap::new();
        for member in rows::members(db, &id)? {
            let patient =
                LoadedExchange::read(db, &member.exchange_id)?.and_then(|exchange| exchange.result.patient_id);
            let resources = member.came.as_deref().and_then(|came| serde_json::from_str(came).ok());
            let Some(patient) = patient else { continue };
            let is_received = member.state == RECEIVED;
            let resources: BTreeMap<String, u64> = resources.unwrap_or_default();
            came.insert(
                patient,
                CameMember {
                    position: member.position,
                    is_received,
                    resources,
                },
            );
        }
        Ok(came)
    };
    let came = run.ctx().store.read(read).await?;
    weigh::members(receipt, (&lines, absent == 0), &came).map_err(judged)
}

async fn lines_of(
    run: &mut AskingRun,
    peer: &Peer,
    (file, left): (&MembersFile, &mut u64),
) -> Result<Option<Vec<u8>>, CallFailure> {
    let url = peer
        .named(&file.url)
        .map_err(|failure| CallFailure::new(CallEnd::Trust(failure.fault())))?;
    let named = ManifestFile {
        resource_type: String::new(),
        url,
        resources: None,
        bytes: Some(file.bytes),
        sha256: None,
    };
    let bytes = fetched(run, peer, (&named, left)).await?;
    Ok(bytes.filter(|bytes| hex(&sha256(bytes)) == file.sha256))
}

async fn keep_check(
    run: &AskingRun,
    named: &ManifestReceipt,
    mut missing: Missing,
    weighed: WeighedMembers,
) -> Result<(), Failure> {
    // Who is not of the run at all: the others are counted when it is known what is stored.
    missing.members = (weighed.strangers > 0).then_some(weighed.strangers);
    let text = serde_json::to_string(&missing).map_err(|error| Failure::new(Fault::Internal).because(error))?;
    let row = RunReceiptRow {
        run_id: run.row.id.clone(),
        state: CHECKED.to_owned(),
        url: Some(named.url.to_string()),
        sha256: Some(named.sha256.to_vec()),
        missing: Some(text),
        fault: None,
        entry_id: None,
        checked_ms: run.now_ms(),
        at_ms: None,
    };
    let list = |of: BTreeSet<i64>| of.into_iter().collect::<Vec<i64>>();
    let (whole, lacking) = (list(weighed.whole), list(weighed.lacking));
    let write = move |db: &mut Db| {
        let before = kept::of_run(db, &row.run_id)?;
        let row = RunReceiptRow {
            fault: before.and_then(|before| before.fault),
            ..row.clone()
        };
        kept::put(db, &row)?;
        kept::put_verdict(db, &row.run_id, &whole, WHOLE)?;
        kept::put_verdict(db, &row.run_id, &lacking, LACKING)
    };
    run.held.write(write).await
}

/// Notes how it stands with the receipt.
pub(super) async fn note(run: &AskingRun, state: &str, fault: Option<Fault>) -> Result<(), Failure> {
    let row = RunReceiptRow {
        run_id: run.row.id.clone(),
        state: state.to_owned(),
        url: None,
        sha256: None,
        missing: None,
        fault: fault.map(|fault| fault.code().to_owned()),
        entry_id: None,
        checked_ms: run.now_ms(),
        at_ms: None,
    };
    let write = move |db: &mut Db| {
        let before = kept::of_run(db, &row.run_id)?;
        if before
            .as_ref()
            .is_some_and(|before| before.at_ms.is_some() || before.state == NOT_OFFERED)
        {
            // It is over with the receipt.
            return Ok(());
        }
        let row = match before {
            // What was checked stays.
            Some(before) => RunReceiptRow {
                state: row.state.clone(),
                fault: row.fault.clone(),
                ..before
            },
            None => row.clone(),
        };
        kept::put(db, &row)
    };
    run.held.write(write).await
}

/// Notes that the receipt is not answered, because of this fault.
pub(super) async fn give_up(run: &AskingRun, fault: Fault) -> Result<(), Failure> {
    tracing::error!(
        bulk.run = run.row.id,
        fault = fault.code(),
        "the receipt of an export is not answered"
    );
    let state = match fault {
        Fault::ReceiptUntrue | Fault::PartnerElsewhere => UNTRUE,
        _ => UNANSWERED,
    };
    note(run, state, Some(fault)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_that_was_written_again_is_not_what_came() {
        let came = |is_output: bool, name: &str| CameFile {
            is_output,
            name: name.to_owned(),
            resource_type: "Goal".into(),
            resources: 1,
            bytes: 1,
            sha256: Vec::new(),
        };
        let file = |name: &str| ManifestFile {
            resource_type: "Goal".into(),
            url: format!("https://payer.example/fhir/jobs/j/files/{name}?sig=1")
                .parse()
                .expect("a URL"),
            resources: None,
            bytes: None,
            sha256: None,
        };
        let manifest = BulkManifest {
            output: vec![file("a"), file("b")],
            ..BulkManifest::default()
        };
        assert!(names_all(&manifest, &[came(true, "b"), came(false, "message")]));
        assert!(!names_all(&manifest, &[came(true, "a"), came(true, "before")]));
    }
}
