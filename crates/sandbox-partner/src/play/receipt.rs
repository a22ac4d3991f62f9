//! The receiver of acknowledgements. The guides have none for a single member; a payer that has one takes a resource that says that the
//! record has arrived: a Task, a Communication or an AuditEvent.

use super::observed::SandboxReceipt;
use super::state::HeldReceipt;
use super::token::authenticate;
use super::visit::PlayedVisit;
use crate::wire::PlayedReply;
use serde_json::{Value, json};

pub(super) fn answer(by: &PlayedVisit<'_>) -> PlayedReply {
    if let Err(reply) = authenticate(by) {
        return reply;
    }
    match &by.asked.id {
        Some(id) => read(by, id),
        None => post(by),
    }
}

fn read(by: &PlayedVisit<'_>, id: &str) -> PlayedReply {
    let kind = by.asked.resource.as_deref().unwrap_or("");
    let found = by
        .play
        .receipts()
        .into_iter()
        .find(|receipt| receipt.id == id && receipt.resource_type == kind);
    match found {
        None => PlayedReply::outcome(404, "not-found", "this payer has no such resource"),
        Some(receipt) => PlayedReply::resource(200, &shown(&receipt)),
    }
}

/// The resource with its id; a Task and a Communication say whether they are confirmed.
fn shown(receipt: &SandboxReceipt) -> Value {
    let mut resource = receipt.resource.clone();
    resource["id"] = json!(receipt.id);
    match receipt.resource_type.as_str() {
        "Task" => resource["status"] = json!(if receipt.confirmed { "completed" } else { "received" }),
        "Communication" => resource["status"] = json!(if receipt.confirmed { "completed" } else { "in-progress" }),
        _ => {}
    }
    resource
}

fn post(by: &PlayedVisit<'_>) -> PlayedReply {
    let kind = by.asked.resource.clone().unwrap_or_default();
    let resource: Value = match serde_json::from_slice(&by.request.body) {
        Ok(resource) => resource,
        Err(_) => return PlayedReply::outcome(400, "structure", "the body is not JSON"),
    };
    if resource["resourceType"] != kind.as_str() {
        return PlayedReply::outcome(400, "invalid", "the body is of another type than the URL");
    }
    if let Some(condition) = by.request.header("if-none-exist") {
        let same = by
            .play
            .receipts()
            .into_iter()
            .find(|receipt| receipt.resource_type == kind && has(&receipt.resource, condition));
        if let Some(there) = same {
            return PlayedReply::resource(200, &shown(&there)).with("Location", location(by, &there));
        }
    }
    let confirmed_ms = by.now_ms() + i64::try_from(by.treatment.acknowledge_after.as_millis()).unwrap_or(i64::MAX / 2);
    let text = resource.to_string();
    let mut named = text.split("Patient/").skip(1).filter_map(|rest| rest.split('"').next());
    let member = named.find_map(|id| by.play.roster.by_patient(id));
    let receipt = SandboxReceipt {
        id: format!("receipt-{}", by.number),
        resource_type: kind,
        member: member.map(|member| member.patient_id.clone()),
        resource,
        idempotency_key: by.request.header("idempotency-key").map(str::to_owned),
        confirmed: by.treatment.acknowledge_after.is_zero(),
    };
    let status = if receipt.confirmed { 201 } else { 202 };
    let reply = PlayedReply::resource(status, &shown(&receipt)).with("Location", location(by, &receipt));
    by.play.moving().receipts.push(HeldReceipt { receipt, confirmed_ms });
    by.play.effect(by.number, by.request, by.asked, None);
    reply
}

fn location(by: &PlayedVisit<'_>, receipt: &SandboxReceipt) -> String {
    format!("{}/{}/{}", by.play.base, receipt.resource_type, receipt.id)
}

/// Whether a resource has the identifier of an `If-None-Exist` header, `identifier=system|value`.
fn has(resource: &Value, condition: &str) -> bool {
    let pairs = crate::wire::pairs(condition);
    let Some((_, wanted)) = pairs.iter().find(|(name, _)| name == "identifier") else {
        return false;
    };
    let identifiers = match &resource["identifier"] {
        Value::Array(several) => several.clone(),
        one => vec![one.clone()],
    };
    identifiers.iter().any(|one| match wanted.split_once('|') {
        Some((system, value)) => one["system"] == system && one["value"] == value,
        None => one["value"] == wanted.as_str(),
    })
}
