//! Bulk work: `Group/$bulk-member-match` of PDex 2.2, `Group/{id}/$davinci-data-export`, and what both leave: a status, files, and a DELETE.
//! A job is done at the second time that its status is asked for.

use super::bulk_receipt::{self, HeldReceiptOf};
use super::match_body;
use super::member_match::{find, granted};
use super::state::{hex, sha256};
use super::token::authenticate;
use super::visit::PlayedVisit;
use crate::script::ScriptedBulk;
use crate::wire::PlayedReply;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const NDJSON: &str = "application/fhir+ndjson";
const PROFILES: &str = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition";
/// Lines of a file of very many.
const MANY_LINES: u64 = 10_000_000;

/// What a job leaves.
pub(super) struct HeldBulk {
    /// Whose it is.
    pub(super) client: String,
    pub(super) request: String,
    /// How often its status was asked for.
    polls: u64,
    /// The files: type and lines.
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// The Patients who were matched.
    pub(super) patients: Vec<String>,
    /// The receipt of an export, if the payer gives one.
    pub(super) receipt: Option<HeldReceiptOf>,
}

/// `POST Group/$bulk-member-match`.
pub(super) fn kick_off_match(by: &PlayedVisit<'_>) -> PlayedReply {
    let bearer = match authenticate(by).and_then(|bearer| bearer.may_match_in_bulk().map(|()| bearer)) {
        Ok(bearer) => bearer,
        Err(reply) => return reply,
    };
    let body: Value = match serde_json::from_slice(&by.request.body) {
        Ok(body) => body,
        Err(_) => return PlayedReply::outcome(400, "structure", "the body is not JSON"),
    };
    by.play.effect(by.number, by.request, by.asked, None);
    let (mut matched, mut not_matched, mut patients) = (Vec::new(), Vec::new(), Vec::new());
    let bundles = body["parameter"].as_array().into_iter().flatten();
    for bundle in bundles.filter(|parameter| parameter["name"] == "MemberBundle") {
        let single = json!({"resourceType": "Parameters", "parameter": bundle["part"]}).to_string();
        let Ok(read) = match_body::read(single.as_bytes(), by.play.script.hrex) else {
            continue;
        };
        read.regrets
            .iter()
            .chain(&read.faults)
            .for_each(|what| by.complain(what.clone()));
        let sent = read.patient["id"].as_str().unwrap_or("").to_owned();
        match find(by, &read.patient, &read.to_match) {
            Some(member) => {
                granted(by, &bearer.client, member);
                patients.push(member.patient_id.clone());
                matched.push(entry(&format!("Patient/{}", member.patient_id), &sent));
            }
            None => not_matched.push(entry(&format!("#{sent}"), &sent)),
        }
    }
    let group = |code: &str, members: &[Value]| {
        json!({
            "resourceType": "Group", "id": format!("{}-{code}", by.number), "active": true, "type": "person", "actual": true,
            "code": { "coding": [{
                "system": "http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PdexMultiMemberMatchResultCS", "code": code
            }] },
            "quantity": members.len(), "member": members
        })
    };
    let lines = format!("{}\n{}\n", group("match", &matched), group("nomatch", &not_matched));
    begun(
        by,
        &bearer.client,
        (vec![("Group".into(), lines.into_bytes())], patients),
        false,
    )
}

fn entry(whose: &str, sent: &str) -> Value {
    json!({ "entity": {
        "extension": [{
            "url": format!("{PROFILES}/base-ext-match-parameters"),
            "valueReference": { "reference": format!("#{sent}") }
        }],
        "reference": whose
    } })
}

fn begun(
    by: &PlayedVisit<'_>,
    client: &str,
    (files, patients): (Vec<(String, Vec<u8>)>, Vec<String>),
    has_receipt: bool,
) -> PlayedReply {
    let mut job = HeldBulk {
        client: client.to_owned(),
        request: format!("{}{}", by.play.origin, by.request.target),
        polls: 0,
        files,
        patients,
        receipt: None,
    };
    if has_receipt {
        job.receipt = bulk_receipt::of(by, client, &job);
    }
    by.play.moving().bulk.insert(by.number.to_string(), job);
    PlayedReply::of(202, "text/plain", Vec::new())
        .with("Content-Location", format!("{}/bulk/{}", by.play.base, by.number))
}

/// `POST Group/{id}/$davinci-data-export`.
pub(super) fn kick_off_export(by: &PlayedVisit<'_>) -> PlayedReply {
    let bearer = match authenticate(by) {
        Ok(bearer) => bearer,
        Err(reply) => return reply,
    };
    let absent = || PlayedReply::outcome(404, "not-found", "this payer has no such group");
    let group = by.asked.id.clone().unwrap_or_default();
    let Some(number) = group.strip_suffix("-match") else {
        return absent();
    };
    let there = by
        .play
        .moving()
        .bulk
        .get(number)
        .filter(|job| job.client == bearer.client)
        .map(|job| job.patients.clone());
    let Some(mut patients) = there else { return absent() };
    let body: Value = serde_json::from_slice(&by.request.body).unwrap_or(Value::Null);
    let parameters = body["parameter"].as_array().cloned().unwrap_or_default();
    if !parameters
        .iter()
        .any(|one| one["name"] == "exportType" && one["valueCanonical"] == "hl7.fhir.us.davinci-pdex#payertopayer")
    {
        return PlayedReply::outcome(400, "invalid", "the exportType is not that of payers");
    }
    let named: Vec<&str> = parameters
        .iter()
        .filter_map(|one| one["valueReference"]["reference"].as_str()?.strip_prefix("Patient/"))
        .collect();
    patients.retain(|patient| named.is_empty() || named.contains(&patient.as_str()));
    by.play.effect(by.number, by.request, by.asked, None);
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for patient in &patients {
        let Some(member) = by.play.roster.by_patient(patient) else {
            continue;
        };
        let record = by.play.record(member);
        for index in 0..record.len() {
            let line = format!("{}\n", record.resource(index));
            let file = files.entry(record.type_of(index).to_owned()).or_default();
            file.extend_from_slice(line.as_bytes());
            if by.treatment.bulk == Some(ScriptedBulk::Twice) {
                file.extend_from_slice(line.as_bytes());
            }
        }
    }
    if by.treatment.bulk == Some(ScriptedBulk::Stranger) {
        let stranger = json!({"resourceType": "Goal", "id": "stranger-1", "lifecycleStatus": "active",
            "description": {"text": "to be somebody else"}, "subject": {"reference": "Patient/stranger"}});
        let file = files.entry("Goal".into()).or_default();
        file.extend_from_slice(format!("{stranger}\n").as_bytes());
    }
    let has_receipt = by.play.has_receipts();
    begun(by, &bearer.client, (files.into_iter().collect(), patients), has_receipt)
}

/// `GET` and `DELETE` of a status.
pub(super) fn status(by: &PlayedVisit<'_>) -> PlayedReply {
    let absent = || PlayedReply::outcome(404, "not-found", "this payer has no such job");
    let bearer = match authenticate(by) {
        Ok(bearer) => bearer,
        Err(reply) => return reply,
    };
    let id = by.asked.id.clone().unwrap_or_default();
    let mut moving = by.play.moving();
    if by.request.method == "DELETE" {
        // What is left of a match is its group.
        let job = moving.bulk.get_mut(&id).filter(|job| job.client == bearer.client);
        return match job.map(|job| std::mem::take(&mut job.files)) {
            Some(files) if !files.is_empty() => PlayedReply::of(202, "text/plain", Vec::new()),
            _ => absent(),
        };
    }
    let Some(job) = moving
        .bulk
        .get_mut(&id)
        .filter(|job| job.client == bearer.client && !job.files.is_empty())
    else {
        return absent();
    };
    job.polls += 1;
    if job.polls == 1 {
        return PlayedReply::of(202, "text/plain", Vec::new())
            .with("X-Progress", "half of it")
            .with("Retry-After", "1");
    }
    let scripted = by.treatment.bulk;
    let file = |(at, (kind, lines)): (usize, &(String, Vec<u8>))| {
        let is_first = at == 0;
        let mut count = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        let mut digest = hex(sha256(&[lines]).as_ref());
        let mut base = by.play.base.clone();
        match scripted {
            Some(ScriptedBulk::WrongCount) if is_first => count += 1,
            Some(ScriptedBulk::WrongDigest) if is_first => digest = hex(&[7; 32]),
            Some(ScriptedBulk::FileElsewhere) if is_first => base = format!("{}/fhir", by.play.elsewhere),
            Some(ScriptedBulk::ManyLines) if is_first => count = MANY_LINES,
            _ => {}
        }
        let mut told = json!({ "type": kind, "url": format!("{base}/bulk/{id}/{at}"), "count": count });
        let is_honest = !matches!(scripted, Some(ScriptedBulk::EndlessLine | ScriptedBulk::UntoldLines));
        if is_honest {
            told["extension"] = json!({ "bytes": lines.len(), "sha256": digest });
        } else if let Value::Object(told) = &mut told {
            told.remove("count");
        }
        told
    };
    let mut output: Vec<Value> = job.files.iter().enumerate().map(file).collect();
    if scripted == Some(ScriptedBulk::FilesTwice) {
        output.extend(output.clone());
    }
    if scripted == Some(ScriptedBulk::MissingFile) {
        output.push(json!({ "type": "Goal", "url": format!("{}/bulk/{id}/9999", by.play.base), "count": 1 }));
    }
    let mut manifest = json!({
        "transactionTime": "2026-11-01T00:00:00.000Z", "request": job.request, "requiresAccessToken": true,
        "output": output, "error": []
    });
    if let Some(receipt) = &job.receipt {
        let digest = hex(sha256(&[receipt.text.as_bytes()]).as_ref());
        manifest["extension"] =
            json!({"receipt": {"url": format!("{}/bulk/{id}/receipt", by.play.base), "sha256": digest}});
    }
    PlayedReply::json(200, &manifest)
}

/// A file.
pub(super) fn file(by: &PlayedVisit<'_>) -> PlayedReply {
    let absent = || PlayedReply::outcome(404, "not-found", "this payer has no such file");
    let bearer = match authenticate(by) {
        Ok(bearer) => bearer,
        Err(reply) => return reply,
    };
    let place = by.asked.id.clone().unwrap_or_default();
    let (id, at) = place.split_once('/').unwrap_or_default();
    let moving = by.play.moving();
    let job = moving.bulk.get(id).filter(|job| job.client == bearer.client);
    let found = match at {
        "members" => job.and_then(|job| job.receipt.as_ref()).map(|receipt| &receipt.lines),
        _ => {
            let at = at.parse::<usize>().ok();
            at.and_then(|at| job?.files.get(at)).map(|(_, lines)| lines)
        }
    };
    let Some(lines) = found else { return absent() };
    match by.treatment.bulk {
        Some(ScriptedBulk::EndlessLine) => {
            let mut reply = PlayedReply::stream((0..u64::MAX).map(|_| vec![b'x'; 64 * 1024]));
            reply.headers = vec![("Content-Type".into(), NDJSON.into())];
            return reply;
        }
        Some(ScriptedBulk::UntoldLines) => {
            let piece = b"{}\n".repeat(10_000);
            let mut reply = PlayedReply::stream((0..MANY_LINES / 10_000).map(move |_| piece.clone()));
            reply.headers = vec![("Content-Type".into(), NDJSON.into())];
            return reply;
        }
        _ => {}
    }
    let etag = format!("\"{}\"", hex(&sha256(&[lines]).as_ref()[..8]));
    let range = by
        .request
        .header("range")
        .filter(|_| by.request.header("if-range") == Some(etag.as_str()));
    let from = range
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok())
        .filter(|from| *from < lines.len());
    let reply = match from {
        Some(from) => PlayedReply::of(206, NDJSON, lines[from..].to_vec()).with(
            "Content-Range",
            format!("bytes {from}-{}/{}", lines.len() - 1, lines.len()),
        ),
        None => PlayedReply::of(200, NDJSON, lines.clone()),
    };
    reply.with("ETag", etag)
}
