//! The signed receipt of an export, and what a requester answers to it. The receipt is made once, when the export begins.

use super::bulk::HeldBulk;
use super::observed::SandboxReceipt;
use super::state::{HeldReceipt, hex, sha256};
use super::token::authenticate;
use super::visit::PlayedVisit;
use crate::script::ScriptedBulk;
use crate::wire::PlayedReply;
use causeway_jose::{Algorithm, Compact, SigningKey};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The id of the key that signs receipts.
pub(super) const RECEIPT_KEY: &str = "sandbox-receipts";
const TYPE: &str = "causeway-receipt+jws";
const ANSWER_TYPE: &str = "causeway-acknowledgement+jws";
/// Types that belong to no member.
const NOBODYS: [&str; 8] = [
    "Organization",
    "Practitioner",
    "PractitionerRole",
    "Location",
    "Medication",
    "HealthcareService",
    "InsurancePlan",
    "OrganizationAffiliation",
];

/// A receipt, and the lines about the members to which it refers.
pub(super) struct HeldReceiptOf {
    pub(super) text: String,
    pub(super) lines: Vec<u8>,
}

/// Makes the receipt of the export with these files about these Patients. `None` when it cannot be signed.
pub(super) fn of(by: &PlayedVisit<'_>, client: &str, job: &HeldBulk) -> Option<HeldReceiptOf> {
    let lines = member_lines(by, &job.patients);
    let mut resources: BTreeMap<&str, u64> = BTreeMap::new();
    let mut files = Vec::new();
    for (at, (kind, bytes)) in job.files.iter().enumerate() {
        let more = u64::from(at == 0 && by.treatment.bulk == Some(ScriptedBulk::ReceiptOfMore));
        let count = bytes.iter().filter(|byte| **byte == b'\n').count() as u64 + more;
        *resources.entry(kind).or_default() += count;
        files.push(
            json!({"side": "output", "type": kind, "name": at.to_string(), "count": count, "bytes": bytes.len(),
            "sha256": hex(sha256(&[bytes]).as_ref())}),
        );
    }
    let base = format!("{}/bulk/{}", by.play.base, by.number);
    let claims = json!({
        "iss": by.play.base, "aud": client, "iat": by.now_ms() / 1000, "version": 1, "job": by.number.to_string(),
        "request": job.request, "transactionTime": "2026-11-01T00:00:00.000Z", "files": files, "resources": resources,
        "members": {"count": job.patients.len(), "files": [{"url": format!("{base}/members"), "name": "members",
            "count": job.patients.len(), "bytes": lines.len(), "sha256": hex(sha256(&[&lines]).as_ref())}]},
        "policies": {}, "leftOut": []
    });
    let forged = (by.treatment.bulk == Some(ScriptedBulk::ForgedReceipt))
        .then(|| SigningKey::generate(Algorithm::Es384, RECEIPT_KEY).ok())
        .flatten();
    let key = forged.as_ref().or(by.play.receipt_key())?;
    let header = json!({"alg": key.algorithm().name(), "kid": key.kid(), "typ": TYPE});
    let text = key.sign(&header, &claims).ok()?;
    Some(HeldReceiptOf { text, lines })
}

fn member_lines(by: &PlayedVisit<'_>, patients: &[String]) -> Vec<u8> {
    let mut lines = Vec::new();
    for patient in patients {
        let mut resources: BTreeMap<String, u64> = BTreeMap::new();
        if let Some(member) = by.play.roster.by_patient(patient) {
            let record = by.play.record(member);
            for index in 0..record.len() {
                let kind = record.type_of(index);
                if !NOBODYS.contains(&kind) {
                    *resources.entry(kind.to_owned()).or_default() += 1;
                }
            }
        }
        let line = json!({"patient": format!("Patient/{patient}"), "resources": resources});
        lines.extend_from_slice(format!("{line}\n").as_bytes());
    }
    lines
}

/// `GET` and `POST` of a receipt.
pub(super) fn answer(by: &PlayedVisit<'_>) -> PlayedReply {
    let absent = || PlayedReply::outcome(404, "not-found", "this payer has no such receipt");
    let bearer = match authenticate(by) {
        Ok(bearer) => bearer,
        Err(reply) => return reply,
    };
    let id = by.asked.id.clone().unwrap_or_default();
    let text = {
        let moving = by.play.moving();
        let job = moving
            .bulk
            .get(&id)
            .filter(|job| job.client == bearer.client && !job.files.is_empty());
        match job.and_then(|job| job.receipt.as_ref()) {
            Some(receipt) => receipt.text.clone(),
            None => return absent(),
        }
    };
    if by.request.method != "POST" {
        return PlayedReply::of(200, "application/jose", text.into_bytes());
    }
    let digest = hex(sha256(&[text.as_bytes()]).as_ref());
    match signed(by, &bearer.client) {
        None => {
            by.complain("an answer to a receipt that is not signed with a key of the client");
            PlayedReply::outcome(400, "invalid", "the answer is not signed with a key of the client")
        }
        Some(said) if said["receipt"] != digest.as_str() => {
            PlayedReply::outcome(409, "conflict", "this is not the receipt")
        }
        Some(said) => {
            let reply = PlayedReply::json(200, &said);
            let receipt = SandboxReceipt {
                id: format!("receipt-{id}"),
                resource_type: "BulkReceipt".into(),
                member: None,
                resource: said,
                idempotency_key: None,
                confirmed: true,
            };
            let mut moving = by.play.moving();
            let is_new = !moving
                .receipts
                .iter()
                .any(|held| held.receipt.resource == receipt.resource);
            if is_new {
                moving.receipts.push(HeldReceipt {
                    receipt,
                    confirmed_ms: 0,
                });
            }
            reply
        }
    }
}

/// The answer, if a key of the client signed it.
fn signed(by: &PlayedVisit<'_>, client: &str) -> Option<Value> {
    let text = std::str::from_utf8(&by.request.body).ok()?;
    let compact = Compact::parse(text, 64 * 1024).ok()?;
    let word = |name: &str| compact.header.get(name).and_then(Value::as_str);
    let algorithm = Algorithm::parse(word("alg")?)?;
    let moving = by.play.moving();
    let key = moving.clients.get(client)?.keys.find(word("kid")?)?;
    let is_good = word("typ") == Some(ANSWER_TYPE) && compact.is_signed_by(key, algorithm);
    is_good.then(|| Value::Object(compact.claims.clone()))
}
