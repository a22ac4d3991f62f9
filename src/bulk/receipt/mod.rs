//! The receipt of an export: what it has, what was left out, and by which rules, signed with a key of this server; and what the partner
//! answers to it ([`acknowledge`]).
//!
//! It has numbers and digests, and the names of files; whose records they are is in files of their own, which are given like all others.
//! What the policies withhold is not counted: the number alone could tell of it.

pub mod acknowledge;

use super::files::BulkFiles;
use super::job;
use super::kinds::EXPORT_KIND;
use super::manifest::file_url;
use crate::clock::rfc3339_ms;
use crate::consent;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::records::gate::GATE_VERSION;
use crate::release;
use crate::secret::hex;
use crate::security::Caller;
use crate::security::receipt_keys::ReceiptKeys;
use crate::store::bulk::{BulkFileRow, BulkJobRow, DONE, ERROR, MEMBERS, OUTPUT, RECEIPT};
use crate::store::bulk_receipts;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// `typ` of a receipt.
pub const RECEIPT_TYPE: &str = "causeway-receipt+jws";
/// Version of its form.
pub const FORM: u32 = 1;

/// How many members, types and parameters an export was without.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeftOut {
    /// Members of the group, or whom the request names, to whom the access had ended when it began.
    pub before: i64,
    /// Members to whom it ended later.
    pub after: i64,
    /// Types that were named, and that the token does not cover.
    pub types: usize,
    /// Parameters that are not served.
    pub parameters: usize,
    /// Members whom the request names without a grant on them.
    pub passed_over: usize,
}

/// The keys that verify receipts, if there are any; they may be published.
pub fn published_keys(files: &BulkFiles) -> Option<ReceiptKeys> {
    if !files.has_keys() {
        return None;
    }
    let keys = files.vault().and_then(ReceiptKeys::of);
    keys.inspect_err(|failure| tracing::warn!(cause = ?failure.cause(), "the keys of receipts cannot be published"))
        .ok()
}

/// Writes the receipt of `row`, whose other files are `files`, for the partner with this client id.
///
/// # Errors
/// Those of the files and the keys.
pub fn write(
    ctx: &Context,
    folder: &BulkFiles,
    (row, client_id): (&BulkJobRow, &str),
    (files, left): (&[BulkFileRow], LeftOut),
    piece: i64,
) -> Result<BulkFileRow, Failure> {
    let now_ms = ctx.clock.now_ms();
    let mut claims = claims(&ctx.payer.base_url, row, files, left);
    claims["aud"] = json!(client_id);
    claims["iat"] = json!(now_ms / 1000);
    let text = ReceiptKeys::of(folder.vault()?)?.sign(RECEIPT_TYPE, &claims)?;
    let mut file = folder.begin(&row.id, piece, RECEIPT, RECEIPT)?;
    file.put(text.as_bytes())?;
    file.finish(now_ms)
}

fn claims(base_url: &str, row: &BulkJobRow, files: &[BulkFileRow], left: LeftOut) -> Json {
    let of_side = |side: &'static str| files.iter().filter(move |file| file.side == side && file.resources > 0);
    let mut resources: BTreeMap<&str, i64> = BTreeMap::new();
    for file in of_side(OUTPUT) {
        *resources.entry(&file.resource_type).or_default() += file.resources;
    }
    let named = |file: &BulkFileRow| {
        json!({"side": file.side, "type": file.resource_type, "name": file.name, "count": file.resources,
            "bytes": file.bytes, "sha256": hex(&file.sha256)})
    };
    let of_members = |file: &BulkFileRow| {
        json!({"url": file_url(base_url, file), "name": file.name, "count": file.resources, "bytes": file.bytes,
            "sha256": hex(&file.sha256)})
    };
    let mut left_out = Vec::new();
    for (rule, members) in [("access-before", left.before), ("access-after", left.after)] {
        if members > 0 {
            left_out.push(json!({"rule": rule, "members": members}));
        }
    }
    if left.passed_over > 0 {
        left_out.push(json!({"rule": "patient", "members": left.passed_over}));
    }
    if left.types > 0 {
        left_out.push(json!({"rule": "type", "types": left.types}));
    }
    if left.parameters > 0 {
        left_out.push(json!({"rule": "parameter", "parameters": left.parameters}));
    }
    json!({
        "iss": base_url,
        "version": FORM,
        "job": row.id,
        "request": row.request_url,
        "transactionTime": rfc3339_ms(row.transaction_ms.unwrap_or(row.created_ms)),
        "files": of_side(OUTPUT).chain(of_side(ERROR)).map(named).collect::<Vec<_>>(),
        "resources": resources,
        "members": {
            "count": of_side(MEMBERS).map(|file| file.resources).sum::<i64>(),
            "files": of_side(MEMBERS).map(of_members).collect::<Vec<_>>(),
        },
        "policies": {
            "release": release::POLICY,
            "releaseSha256": hex(&release::policy_digest()),
            "consent": consent::TABLE_VERSION,
            "gate": GATE_VERSION.to_string(),
        },
        "leftOut": left_out,
    })
}

/// The line about a member in a file of the side [`MEMBERS`].
pub fn member_line(patient_id: &str, resources: &BTreeMap<String, u64>) -> String {
    json!({"patient": format!("Patient/{patient_id}"), "resources": resources}).to_string()
}

/// The receipt of a run of the caller. Returns the run and the text.
///
/// # Errors
/// [`Fault::NotFound`] when there is no such export of the caller, or it is not done; those of the store and the files.
pub async fn of(ctx: &Context, files: &BulkFiles, caller: &Caller, id: &str) -> Result<(BulkJobRow, String), Failure> {
    let run = job::of(ctx, caller, id).await?;
    if run.kind != EXPORT_KIND || run.state != DONE {
        return Err(Fault::NotFound.into());
    }
    let own = run.id.clone();
    let found = ctx.store.read(move |db| bulk_receipts::receipt(db, &own)).await?;
    let (file, folder) = (found.ok_or(Fault::NotFound)?, files.clone());
    let name = file.name.clone();
    let read = tokio::task::spawn_blocking(move || folder.open(&file)?.text()).await;
    match read.map_err(|error| Failure::new(Fault::Internal).because(error))? {
        Ok(text) => Ok((run, text)),
        Err(failure) => Err(job::unread(ctx, caller, (&run.id, &name), failure).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(side: &str, rtype: &str, resources: i64) -> BulkFileRow {
        BulkFileRow {
            name: format!("{side}-{rtype}"),
            job_id: "j".into(),
            piece: 0,
            side: side.into(),
            resource_type: rtype.into(),
            resources,
            bytes: 10,
            sha256: vec![0xab],
            created_ms: 0,
        }
    }

    #[test]
    fn the_numbers_are_those_of_the_files() {
        let row = BulkJobRow {
            id: "j".into(),
            kind: EXPORT_KIND.into(),
            partner_id: "p".into(),
            state: DONE.into(),
            correlation_id: "c".into(),
            request_url: "https://p.example/fhir/Patient/$export".into(),
            request_json: "{}".into(),
            group_id: None,
            spool: None,
            created_ms: 0,
            updated_ms: 0,
            transaction_ms: Some(5),
            deadline_ms: 0,
            expires_ms: None,
            pieces: 2,
            pieces_done: 2,
            fault: None,
        };
        let files = [
            file(OUTPUT, "Patient", 2),
            file(OUTPUT, "Goal", 3),
            file(OUTPUT, "Goal", 4),
            file(OUTPUT, "Device", 0),
            file(ERROR, "OperationOutcome", 1),
            file(MEMBERS, MEMBERS, 2),
            file(MEMBERS, MEMBERS, 0),
            file(crate::store::bulk::NAMES, "names", 9),
        ];
        let left = LeftOut {
            before: 0,
            after: 3,
            types: 2,
            parameters: 1,
            passed_over: 4,
        };
        let claims = claims("https://p.example/fhir", &row, &files, left);
        assert_eq!(claims["resources"], json!({"Goal": 7, "Patient": 2}));
        assert_eq!(
            (&claims["members"]["count"], claims["files"].as_array().map(Vec::len)),
            (&json!(2), Some(4))
        );
        assert_eq!(
            claims["members"]["files"],
            json!([{"url": "https://p.example/fhir/jobs/j/files/members-members", "name": "members-members", "count": 2,
                "bytes": 10, "sha256": "ab"}])
        );
        assert_eq!(
            claims["leftOut"],
            json!([{"rule": "access-after", "members": 3}, {"rule": "patient", "members": 4}, {"rule": "type", "types": 2},
                {"rule": "parameter", "parameters": 1}])
        );
        assert_eq!(claims["transactionTime"], "1970-01-01T00:00:00.005Z");
        assert_eq!(
            member_line("m", &BTreeMap::new()),
            r#"{"patient":"Patient/m","resources":{}}"#
        );
    }
}
