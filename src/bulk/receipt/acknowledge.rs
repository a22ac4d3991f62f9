//! The partner's answer to a receipt: what it has of an export, as numbers. It is kept once, together with its entry in the ledger.
//!
//! No text of the partner is kept, only numbers by type, so nothing about a person can come this way.

use crate::audit::{Action, EntryOutcome, LedgerEvent, Object, ledger};
use crate::bulk::job;
use crate::bulk::kinds::EXPORT_KIND;
use crate::clock::rfc3339_ms;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::secret::{hex, sha256};
use crate::security::{Caller, OauthSettings, keys_of_partner};
use crate::store::Db;
use crate::store::bulk::{self as rows, DONE};
use crate::store::bulk_receipts::{self as kept, AcknowledgementRow};
use causeway_jose::{Algorithm, Compact, strict_object};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// `typ` of a signed answer.
pub const ANSWER_TYPE: &str = "causeway-acknowledgement+jws";
/// Largest answer in bytes.
pub const ANSWER_BYTES: usize = 64 * 1024;
/// Most answers that are kept for one export.
const ANSWERS: usize = 32;

/// What the partner has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceiptResult {
    /// All that the receipt says.
    Complete,
    /// Less.
    Incomplete,
}

impl ReceiptResult {
    /// Its word in rows and entries.
    pub const fn code(self) -> &'static str {
        match self {
            ReceiptResult::Complete => "complete",
            ReceiptResult::Incomplete => "incomplete",
        }
    }
}

/// What is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// Files that could not be fetched, or have another digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u32>,
    /// Members without their resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<u32>,
    /// Resources by type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, u32>,
}

/// An answer to a receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptAnswer {
    /// SHA-256 of the receipt, hexadecimal.
    pub receipt: String,
    /// What the partner has.
    pub result: ReceiptResult,
    /// What is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
}

fn wrong(at: &'static str, remedy: &'static str) -> Failure {
    Failure::new(Fault::ParameterInvalid).at(at).remedy(remedy)
}

impl ReceiptAnswer {
    /// Reads an answer.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] when it has another form.
    pub fn read(object: Map<String, Json>) -> Result<ReceiptAnswer, Failure> {
        let refused = || {
            wrong(
                "receipt",
                "Send receipt, result and, for an incomplete export, numbers in missing.",
            )
        };
        let answer: ReceiptAnswer = serde_json::from_value(Json::Object(object)).map_err(|_| refused())?;
        let is_digest = answer.receipt.len() == 64 && answer.receipt.bytes().all(|b| b.is_ascii_hexdigit());
        let types = answer.missing.iter().flat_map(|missing| missing.resources.keys());
        let (mut types, is_complete) = (types, answer.result == ReceiptResult::Complete);
        if !is_digest || (is_complete && answer.missing.is_some()) {
            return Err(refused());
        }
        if !types.all(|rtype| causeway_fhir_types::is_type(rtype)) {
            return Err(wrong("missing.resources", "Name types of FHIR R4."));
        }
        Ok(ReceiptAnswer {
            receipt: answer.receipt.to_ascii_lowercase(),
            ..answer
        })
    }

    /// The numbers, for the ledger.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let missing = self.missing.clone().unwrap_or_default();
        let totals = [("files", missing.files), ("members", missing.members)];
        let totals = totals
            .into_iter()
            .filter_map(|(name, count)| Some((name.to_owned(), count?)));
        let all = totals.chain(missing.resources);
        all.map(|(name, count)| (name, u64::from(count))).collect()
    }
}

/// Takes a signed answer apart, and verifies that a registered key of the caller signed it. Returns its payload and the id of the key.
///
/// # Errors
/// [`Fault::ParameterInvalid`] when it is no such answer; [`Fault::Overloaded`] when too many wait for the partner's keys.
pub async fn verified(
    ctx: &Context,
    settings: &OauthSettings,
    caller: &Caller,
    text: &str,
) -> Result<(Map<String, Json>, String), Failure> {
    let refused = |why: &'static str| {
        wrong(
            "receipt",
            "Sign it with a key of your registered key set; the header has alg, kid and typ.",
        )
        .because(why)
    };
    let compact = Compact::parse(text.trim(), ANSWER_BYTES).map_err(refused)?;
    let word = |name: &str| compact.header.get(name).and_then(Json::as_str);
    let is_plain = compact
        .header
        .keys()
        .all(|name| ["alg", "kid", "typ"].contains(&name.as_str()));
    let algorithm = word("alg").and_then(Algorithm::parse).ok_or_else(|| refused("alg"))?;
    let kid = word("kid").ok_or_else(|| refused("kid"))?.to_owned();
    if !is_plain || word("typ") != Some(ANSWER_TYPE) {
        return Err(refused("header"));
    }
    let keys = keys_of_partner(ctx, settings, &caller.partner.id, &kid).await?;
    let keys = keys.map_err(refused)?;
    let key = keys.find(&kid).filter(|key| key.takes(algorithm));
    if !key.is_some_and(|key| compact.is_signed_by(key, algorithm)) {
        return Err(refused("signature"));
    }
    Ok((compact.claims, kid))
}

/// Reads an answer that is not signed.
///
/// # Errors
/// [`Fault::NotJson`].
pub fn plain(bytes: &[u8]) -> Result<Map<String, Json>, Failure> {
    strict_object(bytes).ok_or_else(|| Fault::NotJson.into())
}

/// Keeps an answer to the receipt of an export of the caller, with its ledger entry. `body` is the answer as it was received, and
/// `signed_by` the id of the key that signed it. Returns what was kept: the same for the same answer.
///
/// # Errors
/// [`Fault::NotFound`] when the caller has no such export that is done; [`Fault::ReceiptAnswered`] when the answer is to another receipt, or
/// the partner has all of this one already; those of the store.
pub async fn keep(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    (answer, body): (ReceiptAnswer, &[u8]),
    signed_by: Option<String>,
) -> Result<Json, Failure> {
    let run = job::of(ctx, caller, id).await?;
    if run.kind != EXPORT_KIND {
        return Err(Fault::NotFound.into());
    }
    let now_us = ctx.clock.now_us();
    let entry_id = ctx.ids.new_id(now_us / 1000);
    let mut entry = LedgerEvent::new(Action::BulkAcknowledged, caller.actor(), caller.correlation.clone());
    entry.object = Some(Object {
        kind: "bulk-job",
        id: run.id.clone(),
    });
    entry.outcome = EntryOutcome {
        class: match answer.result {
            ReceiptResult::Complete => "ok",
            ReceiptResult::Incomplete => "failed",
        },
        http: Some(200),
        reason: Some(answer.result.code()),
    };
    entry.counts = answer.counts();
    entry.request_digest = Some(sha256(body));
    let (job_id, partner, told) = (run.id.clone(), run.partner_id, answer.clone());
    let write = move |db: &mut Db| {
        // Answers come one after another: each has a place of its own.
        let current = rows::hold_of(db, &job_id, &partner)?.filter(|row| row.state == DONE);
        current.ok_or(Fault::NotFound)?;
        let receipt = kept::receipt(db, &job_id)?.ok_or(Fault::NotFound)?;
        if hex(&receipt.sha256) != told.receipt {
            return Err(Fault::ReceiptAnswered.into());
        }
        let missing = told.missing.as_ref().map(serde_json::to_string).transpose();
        let mut row = AcknowledgementRow {
            job_id: job_id.clone(),
            position: 0,
            receipt_sha256: receipt.sha256,
            result: told.result.code().to_owned(),
            missing: missing.map_err(|error| Failure::new(Fault::Internal).because(error))?,
            signed_by: signed_by.clone(),
            entry_id: entry_id.clone(),
            at_ms: now_us / 1000,
        };
        let former = kept::of_job(db, &job_id)?;
        if let Some(same) = former.iter().find(|one| one.says_the_same(&row)) {
            return Ok(same.at_ms);
        }
        let is_over = |one: &AcknowledgementRow| {
            one.receipt_sha256 == row.receipt_sha256 && one.result == ReceiptResult::Complete.code()
        };
        if former.len() >= ANSWERS || former.iter().any(is_over) {
            return Err(Fault::ReceiptAnswered.into());
        }
        row.position = i64::try_from(former.len()).unwrap_or(i64::MAX);
        kept::put(db, &row)?;
        let mut entry = entry.clone();
        // What is answered here is the receipt.
        entry.response_digest = row.receipt_sha256.as_slice().try_into().ok();
        ledger::append(db, &entry, &entry_id, now_us)?;
        Ok(row.at_ms)
    };
    let at_ms = ctx.store.write(write).await?;
    let mut shown = json!(answer);
    shown["job"] = json!(run.id);
    shown["acknowledged"] = json!(rfc3339_ms(at_ms));
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Json) -> Result<ReceiptAnswer, Fault> {
        let object = value.as_object().cloned().expect("an object");
        ReceiptAnswer::read(object).map_err(|failure| failure.fault())
    }

    #[test]
    fn only_numbers_are_taken() {
        let digest = "A".repeat(64);
        let good = read(json!({"receipt": digest, "result": "incomplete",
            "missing": {"files": 1, "members": 2, "resources": {"Goal": 3}}}));
        let good = good.expect("an answer");
        assert_eq!(good.receipt, "a".repeat(64));
        assert_eq!(
            good.counts(),
            BTreeMap::from([
                ("Goal".to_owned(), 3),
                ("files".to_owned(), 1),
                ("members".to_owned(), 2)
            ])
        );
        assert!(read(json!({"receipt": digest, "result": "complete"})).is_ok());
        assert!(read(json!({"receipt": digest, "result": "incomplete"})).is_ok());
        for bad in [
            json!({"receipt": digest}),
            json!({"receipt": digest, "result": "fine"}),
            json!({"receipt": "ab", "result": "complete"}),
            json!({"receipt": digest, "result": "complete", "missing": {}}),
            json!({"receipt": digest, "result": "complete", "note": "Jane"}),
            json!({"receipt": digest, "result": "incomplete", "missing": {"members": ["Jane"]}}),
            json!({"receipt": digest, "result": "incomplete", "missing": {"files": -1}}),
            json!({"receipt": digest, "result": "incomplete", "missing": {"resources": {"Jane": 1}}}),
        ] {
            assert_eq!(read(bad.clone()), Err(Fault::ParameterInvalid), "{bad}");
        }
    }
}
