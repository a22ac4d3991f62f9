//! Asks for the records of the matched members, as one export of their group, and takes down which files there are. Safe to repeat: an export
//! only reads, and one that nobody asks about again expires at the partner.

use super::answer::poll;
use super::kind::{RunStep, TOGETHER};
use super::members::{FETCHING, LEFT, MATCHED};
use super::question::{key_of, put};
use super::run::{AskingRun, RunNext, refused, step_of};
use super::wire::TokenFor;
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::exchange::carried::{CarriedBegin, begin_carried};
use crate::exchange::steps::StepName;
use crate::partner::peer::{CallFailure, ManifestFile, PeerAsk};
use crate::store::bulk_runs::{self as rows, RunFileRow};
use serde_json::json;

const KIND_OF_EXPORT: &str = "hl7.fhir.us.davinci-pdex#payertopayer";

pub(super) async fn ask(run: &mut AskingRun) -> Result<RunNext, CallFailure> {
    let ctx = run.ctx().clone();
    let known = run.wire.known(&ctx).await?;
    let Some(group) = run.row.group_id.clone().filter(|_| known.offer.group_export) else {
        return Ok(RunNext::End);
    };
    let token = run.wire.token(&ctx, TokenFor::Export).await?;
    let patients = begin(run).await?;
    if patients.is_empty() {
        return Ok(RunNext::End);
    }
    // Only those who are still permitted: the group at the partner may have more.
    let patients = patients
        .iter()
        .map(|id| json!({"name": "patient", "valueReference": {"reference": format!("Patient/{id}")}}));
    let kind = json!({"name": "exportType", "valueCanonical": KIND_OF_EXPORT});
    let since = run.row.since_ms.map(rfc3339_ms);
    let since = since.map(|since| json!({"name": "_since", "valueInstant": since}));
    let parameters: Vec<serde_json::Value> = std::iter::once(kind).chain(since).chain(patients).collect();
    let body = json!({"resourceType": "Parameters", "parameter": parameters}).to_string();
    let key = key_of(&run.row.id, "export", body.as_bytes());
    let ask = PeerAsk {
        url: known.peer.below(&format!("Group/{group}/$davinci-data-export"))?,
        body: Some(("application/fhir+json", body.into_bytes())),
        token: Some(&token),
        correlation_id: &run.wire.correlation,
        idempotency_key: Some(&key),
    };
    let (status, _) = known.peer.begin_bulk(ask).await?;
    run.row.status_url = Some(status.into());
    run.row.progress = None;
    Ok(RunNext::Step(RunStep::AwaitExport))
}

/// Begins the retrieval for each member that is still permitted. Returns their ids at the partner.
async fn begin(run: &AskingRun) -> Result<Vec<String>, Failure> {
    let mut patients = Vec::new();
    for members in run.carried(&[MATCHED, FETCHING]).await?.chunks(TOGETHER) {
        let (ctx, members, chance) = (run.ctx().clone(), members.to_vec(), run.chance.clone());
        let asked_at = run.wire.address();
        let some = run
            .held
            .write(move |db| {
                let mut some = Vec::new();
                for member in &members {
                    let step = step_of(member, StepName::Retrieve);
                    match begin_carried(db, &ctx, step, chance.unit())? {
                        // Another address was registered meanwhile, at which the run asks for nothing.
                        CarriedBegin::Begun(_, facts) if facts.asked_at != asked_at => {
                            return Err(Fault::PartnerMoved.into());
                        }
                        CarriedBegin::Begun(attempt, facts) => {
                            put(db, member, (1, attempt, FETCHING))?;
                            some.extend(facts.matched.and_then(|matched| matched.patient_id));
                        }
                        CarriedBegin::Left => put(db, member, (0, member.attempt, LEFT))?,
                    }
                }
                Ok(some)
            })
            .await?;
        patients.extend(some);
    }
    Ok(patients)
}

pub(super) async fn read(run: &mut AskingRun) -> Result<RunNext, CallFailure> {
    let manifest = match poll(run, TokenFor::Export).await? {
        Ok(manifest) => manifest,
        Err(again_ms) => return Ok(RunNext::Wait(again_ms)),
    };
    let peer = run.wire.peer(&run.ctx().clone()).await?;
    let limits = peer.limits();
    // The partner's figures may be any.
    let sum = |files: &[ManifestFile], of: fn(&ManifestFile) -> Option<u64>| {
        files.iter().filter_map(of).fold(0, u64::saturating_add)
    };
    let output = &manifest.output;
    if sum(output, |file| file.resources) > limits.exchange_entries
        || sum(output, |file| file.bytes) > limits.exchange_bytes
    {
        return Err(refused(Fault::PartnerTooMuch));
    }
    let big = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let files: Vec<RunFileRow> = manifest
        .output
        .iter()
        .zip(0..)
        .map(|(file, position)| RunFileRow {
            run_id: run.row.id.clone(),
            position,
            resource_type: file.resource_type.clone(),
            url: file.url.to_string(),
            told_resources: file.resources.map(big),
            told_bytes: file.bytes.map(big),
            told_sha256: file.sha256.map(|digest| digest.to_vec()),
            name: None,
            resources: 0,
            bytes: 0,
            sha256: None,
            part: None,
            etag: None,
        })
        .collect();
    run.row.transaction_ms = manifest.transaction_ms;
    run.row.left_out = big(sum(&manifest.error, |file| file.resources));
    let id = run.row.id.clone();
    // The end of the step says that the run got on: this is repeated after a crash before it.
    run.held.write(move |db| rows::put_files(db, &id, &files)).await?;
    Ok(RunNext::Step(RunStep::Fetch))
}
