//! What a development server and the demonstration leave for going on by hand: a match request, and the commands with which it is sent,
//! with which commands find the store, and the address for a browser.

use super::{Files, PARTNER_NPI, files, member, pretty};
use crate::config::Config;
use crate::context::Context;
use crate::error::Failure;
use crate::synth::{MatchOptions, Member, Variation, match_request};
use crate::terminal::Out;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The synthetic member whose request is left: one with a unique match.
pub const MEMBER: u64 = 4;
/// The file in which the folder keeps the address of its server, for `causeway demo --token`.
pub const BASE_URL: &str = "base-url.txt";

/// The development partner's match request for a member, with a consent that is in force today.
pub fn request(ctx: &Context, member: &Member, variation: Variation) -> Value {
    let today = DateTime::<Utc>::from_timestamp_millis(ctx.clock.now_ms())
        .unwrap_or_default()
        .date_naive();
    let options = MatchOptions {
        old_npi: ctx.payer.npi.clone(),
        new_npi: PARTNER_NPI.to_owned(),
        old_member_system: ctx.payer.member_system.clone(),
        ..MatchOptions::on(today)
    };
    match_request(member, &options, variation)
}

/// Writes the request, the address of the server and `README.txt` with the [`commands`].
///
/// # Errors
/// [`crate::error::Fault::InputUnreadable`] when the folder cannot be written.
pub fn leave(files: &Files, ctx: &Context, base_url: &str, more: &str) -> Result<(), Failure> {
    let body = request(ctx, &member(ctx, MEMBER), Variation::Exact);
    files.write("match.json", &pretty(&body), false)?;
    files.write(BASE_URL, base_url, false)?;
    files.write("README.txt", &commands(files, ctx, base_url, more), false)
}

/// [`leave`] for `serve --dev`, which says where it stands.
///
/// # Errors
/// As [`leave`].
pub fn leave_and_say(config: &Config, ctx: &Context, out: &mut Out) -> Result<(), Failure> {
    let files = files(config);
    leave(&files, ctx, &config.server.base_url, "")?;
    out.note(&format!(
        "a request to send, and how: {}",
        files.path("README.txt").display()
    ));
    Ok(())
}

/// The commands to type while the server runs; `more` stands before the last ones.
pub fn commands(files: &Files, ctx: &Context, base_url: &str, more: &str) -> String {
    let (folder, curl, program) = (folder(files), curl(files), program());
    format!(
        "Ask the server as the new payer. The token lives 300 s and works only with this certificate:\n\n    \
         TOKEN=$({program} demo --token --folder {folder})\n    \
         {curl} -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/fhir+json' -H 'X-Correlation-Id: by-hand-1' -d @{folder}/match.json '{base_url}/Patient/$member-match'\n\n    \
         PATIENT={patient}\n    \
         {curl} -H \"Authorization: Bearer $TOKEN\" {base_url}/Patient/$PATIENT\n    \
         {curl} -H \"Authorization: Bearer $TOKEN\" \"{base_url}/Patient/$PATIENT/\\$everything\"\n\n\
         {more}\
         In a browser, which will warn that it does not know the certificate: {base_url}\n\n\
         Look at it as the payer; every command works so:\n\n    \
         {variable}\
         {program} match list\n    \
         {program} review list\n    \
         {program} trace by-hand-1\n",
        patient = member(ctx, MEMBER).patient_id,
        variable = variable(ctx),
    )
}

/// The folder as it is typed.
pub fn folder(files: &Files) -> String {
    absolute(&files.folder).display().to_string()
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// How commands are told where the store is; empty for a database server, which they find as this process did.
fn variable(ctx: &Context) -> String {
    match ctx.store.url().sqlite_path() {
        Some(path) => format!("export CAUSEWAY_STORE__URL=sqlite:{}\n    ", absolute(path).display()),
        None => String::new(),
    }
}

/// `curl` with the partner's certificate.
pub fn curl(files: &Files) -> String {
    let folder = folder(files);
    format!("curl --cacert {folder}/ca.pem --cert {folder}/partner.pem --key {folder}/partner.key")
}

/// This program as it is typed.
pub fn program() -> String {
    std::env::current_exe().map_or_else(|_| "causeway".to_owned(), |path| path.display().to_string())
}
