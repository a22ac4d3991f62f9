//! Bulk runs as a client sees them: the start, the polls of the status address until its end, and the lines of the files.
//!
//! A run that several checks look at is made once. What an answer must be is decided in the checks.

use super::ended_run::BulkRun;
use super::session::Session;
use super::stop::{Checked, Stop, fail, skip};
use super::wire::{Call, ServerAnswer};
use serde_json::{Value, json};

/// Most polls of one run.
const POLLS: usize = 120;
/// Most seconds between two polls, whatever `Retry-After` says.
const WAIT_MOST_S: u32 = 10;

impl Session {
    /// A request that begins a run: asks for FHIR JSON, and not to be waited for.
    pub(super) fn beginning(&self, method: &'static str, path: &str) -> Call {
        Call::new(method, self.url(path))
            .header("accept", "application/fhir+json")
            .header("prefer", "respond-async")
    }

    /// Polls the status address of a run that `begun` began, until the answer is no longer 202.
    pub(super) async fn ended(&mut self, begun: &ServerAnswer, asked: String, token: &str) -> Checked<BulkRun> {
        let status = location(begun.status(202)?)?;
        for _ in 0..POLLS {
            let call = Call::new("GET", status.clone()).header("accept", "application/json");
            let answer = self.wire.send(call.bearer(token)).await?;
            if answer.status != 202 {
                let manifest = answer.status(200)?.json()?;
                return Ok(BulkRun {
                    asked,
                    status,
                    ended: answer,
                    manifest,
                });
            }
            let wait_s: u32 = answer.header("retry-after").parse().unwrap_or(1);
            tokio::time::sleep(self.around.poll_second * wait_s.clamp(1, WAIT_MOST_S)).await;
        }
        fail(format!("{status} is still 202 after {POLLS} polls"))
    }

    /// Runs an export with `GET` from its start to its end; `path` is below the base URL.
    pub(super) async fn export(&mut self, path: &str) -> Checked<BulkRun> {
        self.patient().await?;
        let token = self.read_token().await?;
        let begun = self.wire.send(self.beginning("GET", path).bearer(&token)).await?;
        self.ended(&begun, self.url(path), &token).await
    }

    /// The export of all members, without parameters.
    pub(super) async fn exported(&mut self) -> Checked<BulkRun> {
        if self.exported.is_none() {
            let run = self.export("Patient/$export").await;
            self.exported = Some(run);
        }
        self.exported.clone().unwrap_or_else(|| skip("no export"))
    }

    /// The answer with a file of a run.
    pub(super) async fn file(&mut self, url: &str) -> Checked<ServerAnswer> {
        let call = Call::new("GET", url).header("accept", "application/fhir+ndjson");
        self.send(call).await
    }

    /// The resources of all files of a list of the manifest.
    pub(super) async fn lines(&mut self, run: &BulkRun, list: &str) -> Checked<Vec<Value>> {
        let mut all = Vec::new();
        for file in run.files(list) {
            let answer = self.file(file["url"].as_str().unwrap_or("")).await?;
            all.extend(resources(answer.status(200)?)?);
        }
        Ok(all)
    }

    /// Posts a `$bulk-member-match` body.
    pub(super) async fn post_bulk_match(&mut self, body: &Value) -> Checked<(ServerAnswer, String)> {
        let scope = self.bulk_scope()?;
        let token = self.token(&scope).await?;
        let call = self.beginning("POST", "Group/$bulk-member-match").bearer(&token);
        Ok((self.wire.send(call.fhir(body)).await?, token))
    }

    /// The scopes for `$bulk-member-match` and for what it leaves.
    pub(super) fn bulk_scope(&self) -> Checked<String> {
        match &self.settings.bulk_match_scope {
            Some(scope) => Ok(format!("{} {scope}", self.settings.scope)),
            None => skip("the client file has no bulk_match_scope"),
        }
    }

    /// The body of a bulk match: whoever matches, whoever does not, and whoever's consent cannot be honored, as far as the client file has them.
    pub(super) fn bulk_body(&self) -> Checked<Value> {
        let settings = &self.settings;
        let bodies = [&settings.matching, &settings.no_match, &settings.consent];
        let members: Vec<Value> = bodies
            .into_iter()
            .zip(["bulk-match", "bulk-no-match", "bulk-consent"])
            .filter_map(|(body, id)| Some(member(body.as_ref()?, id)))
            .collect();
        if members.is_empty() {
            return skip("the client file names no bodies");
        }
        Ok(json!({"resourceType": "Parameters", "parameter": members}))
    }

    /// The bulk match of [`Session::bulk_body`].
    pub(super) async fn grouped(&mut self) -> Checked<BulkRun> {
        if self.grouped.is_none() {
            let run = self.group().await;
            self.grouped = Some(run);
        }
        self.grouped.clone().unwrap_or_else(|| skip("no bulk match"))
    }

    async fn group(&mut self) -> Checked<BulkRun> {
        let body = self.bulk_body()?;
        let (begun, token) = self.post_bulk_match(&body).await?;
        self.ended(&begun, self.url("Group/$bulk-member-match"), &token).await
    }
}

/// One member of a bulk match: the parameters of a single one, about a Patient with the id `id`.
fn member(body: &Value, id: &str) -> Value {
    let mut parts = body["parameter"].clone();
    let old = parts[0]["resource"]["id"].as_str().unwrap_or("").to_owned();
    refer(&mut parts, &format!("Patient/{old}"), &format!("Patient/{id}"));
    parts[0]["resource"]["id"] = json!(id);
    json!({"name": "MemberBundle", "part": parts})
}

/// Replaces each reference to `old` by one to `new`.
fn refer(value: &mut Value, old: &str, new: &str) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                if name == "reference" && inner == old {
                    *inner = json!(new);
                } else {
                    refer(inner, old, new);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| refer(item, old, new)),
        _ => {}
    }
}

/// The status address that an answer to a start names.
pub(super) fn location(begun: &ServerAnswer) -> Checked<String> {
    match begun.header("content-location") {
        url if url.starts_with("https://") => Ok(url.to_owned()),
        other => fail(format!("Content-Location is {other:?}, not an absolute https URL")),
    }
}

/// The resources in the lines of a file.
pub(super) fn resources(answer: &ServerAnswer) -> Checked<Vec<Value>> {
    let text = String::from_utf8(answer.body.clone()).map_err(|_| Stop::Fail("a file is no UTF-8".to_owned()))?;
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).map_err(|error| Stop::Fail(format!("a line is no JSON: {error}"))))
        .collect()
}
