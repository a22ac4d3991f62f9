//! The last scene of the demonstration: New Payer matches two hundred members in one run, exports their records, and downloads the files.

use super::story::{Demo, READ_SCOPE, expect};
use crate::app::background;
use crate::dev;
use crate::error::{Failure, Fault};
use crate::fhir::operations::BULK_MEMBER_MATCH;
use crate::partner::client::SmartConfiguration;
use crate::secret::{Secret, hex, sha256};
use crate::synth::Variation;
use crate::terminal::Out;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Members of the run.
const MEMBERS: u64 = 200;
/// Each so many of them is somebody whom Old Payer does not know.
const STRANGER: u64 = 20;
/// Time between two questions about a run.
const LOOK: Duration = Duration::from_millis(50);
/// Time limit of a run.
const PATIENCE: Duration = Duration::from_secs(300);

impl Demo {
    /// Plays the scene. Returns its counts.
    pub(super) async fn bulk(&self, configuration: &SmartConfiguration, out: &mut Out) -> Result<Value, Failure> {
        let worker = background::start(&self.ctx, &self.started.app.config, None, None)?;
        let played = self.bulk_runs(configuration, out).await;
        worker.drain(Duration::from_secs(1)).await;
        played
    }

    async fn bulk_runs(&self, configuration: &SmartConfiguration, out: &mut Out) -> Result<Value, Failure> {
        let token = self
            .peer
            .token(configuration, &[BULK_MEMBER_MATCH, READ_SCOPE], None)
            .await?;
        let began = Instant::now();
        let path = "Group/$bulk-member-match";
        let (manifest, _) = self.run(&token, path, Some(self.many()), "demo-bulk-match").await?;
        let mut groups = Vec::new();
        for (_, text) in self.taken(&token, &manifest, "demo-bulk-match").await? {
            groups.extend(text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()));
        }
        let counts: Vec<String> = groups
            .iter()
            .map(|group| {
                let code = group["code"]["coding"][0]["code"].as_str().unwrap_or("?");
                format!("{} {code}", group["member"].as_array().map_or(0, Vec::len))
            })
            .collect();
        out.tell(&format!(
            "22 $bulk-member-match: {MEMBERS} members in one request, each judged as alone, in {:.1} s. The groups: {}.",
            began.elapsed().as_secs_f64(),
            counts.join(", ")
        ));
        let matched = groups
            .iter()
            .find(|group| group["code"]["coding"][0]["code"] == "match");
        let id = matched.and_then(|group| group["id"].as_str());
        let id = id.ok_or_else(|| Failure::new(Fault::PartnerAnswer).remedy("Nobody was matched: report this."))?;
        let (began, path) = (Instant::now(), format!("Group/{id}/$export"));
        let (manifest, status) = self.run(&token, &path, None, "demo-bulk-export").await?;
        let files = self.taken(&token, &manifest, "demo-bulk-export").await?;
        let resources: usize = files.iter().map(|(_, text)| text.lines().count()).sum();
        let bytes: usize = files.iter().map(|(_, text)| text.len()).sum();
        let folder = self.files.path("new-payer/bulk");
        let unusable = |error: std::io::Error| Failure::new(Fault::InputUnreadable).because(error);
        std::fs::create_dir_all(&folder).map_err(unusable)?;
        for (name, text) in &files {
            std::fs::write(folder.join(name), text).map_err(unusable)?;
        }
        out.tell(&format!(
            "23 An export of the group that was matched, in {:.1} s: {resources} resources, {bytes} bytes, in {} files, each with the length and the \
             digest of its manifest. They are in {}.",
            began.elapsed().as_secs_f64(),
            files.len(),
            folder.display()
        ));
        out.tell(&format!("     its status: {status}"));
        out.tell("     The ledger has a disclosure for each member of each file; a member who withdraws now is in no later download.");
        Ok(json!({"members": MEMBERS, "groups": counts, "resources": resources, "bytes": bytes, "files": files.len()}))
    }

    /// The request about the members; some of them are strangers.
    fn many(&self) -> Vec<u8> {
        let member = |index: u64| {
            let variation = match index % STRANGER {
                0 => Variation::UnknownPerson,
                _ => Variation::Exact,
            };
            let body = self.request_of(&dev::member(&self.ctx, index), variation);
            let parts = body["parameter"].to_string();
            let parts = parts.replace("Patient/member", &format!("Patient/m{index}"));
            let mut parts: Value = serde_json::from_str(&parts).unwrap_or_default();
            parts[0]["resource"]["id"] = format!("m{index}").into();
            json!({"name": "MemberBundle", "part": parts})
        };
        let members: Vec<Value> = (0..MEMBERS).map(member).collect();
        json!({"resourceType": "Parameters", "parameter": members})
            .to_string()
            .into_bytes()
    }

    /// Begins a run and waits for its end. Returns its manifest and the address of its status.
    async fn run(
        &self,
        token: &Secret,
        path: &str,
        body: Option<Vec<u8>>,
        correlation: &str,
    ) -> Result<(Value, String), Failure> {
        let begun = self.peer.kick_off(token, path, body, correlation).await?;
        expect(&begun, 202)?;
        let asked = Instant::now();
        loop {
            let reply = self.peer.fetch(token, &begun.status_url, correlation).await?;
            if reply.status != 202 || asked.elapsed() > PATIENCE {
                expect(&reply, 200)?;
                return Ok((reply.json()?, begun.status_url));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Downloads the files of a manifest, and compares each with what the manifest says of it. Returns their names and texts.
    async fn taken(
        &self,
        token: &Secret,
        manifest: &Value,
        correlation: &str,
    ) -> Result<Vec<(String, String)>, Failure> {
        let mut files: Vec<(String, String)> = Vec::new();
        for file in manifest["output"].as_array().into_iter().flatten() {
            let reply = self
                .peer
                .fetch(token, file["url"].as_str().unwrap_or_default(), correlation)
                .await?;
            expect(&reply, 200)?;
            let about = &file["extension"];
            let is_whole = about["bytes"] == reply.body.len() && about["sha256"] == hex(&sha256(&reply.body));
            let text = String::from_utf8(reply.body).ok().filter(|_| is_whole);
            let text =
                text.ok_or_else(|| Failure::new(Fault::PartnerAnswer).remedy("A file is not as its manifest says."))?;
            let rtype = file["type"].as_str().unwrap_or("resources");
            files.push((format!("{rtype}-{}.ndjson", files.len() + 1), text));
        }
        Ok(files)
    }
}
