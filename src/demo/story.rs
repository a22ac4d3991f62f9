//! The demonstration: an old payer that serves, and a new payer that matches a member and fetches the record.

use super::dev::{self, Files, pretty};
use super::scenes;
use crate::app::App;
use crate::cli::Out;
use crate::cli::admin::{AdminSocket, SOCKET};
use crate::clock::Clock;
use crate::config::Config;
use crate::context::{Context, Guard};
use crate::error::{Failure, Fault};
use crate::http::server::{self, Running};
use crate::identity::Rules;
use crate::ids::Ids;
use crate::ops;
use crate::partner::client::{PeerClient, Reply, SmartConfiguration};
use crate::secret::Secret;
use crate::security::tls::{ServerTls, TlsFiles};
use crate::store::{Store, StoreOptions, StoreUrl};
use crate::synth::{MatchOptions, Member, Variation, match_request};
use actix_web::web::Data;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Scope of `$member-match`.
const MATCH_SCOPE: &str = crate::http::routes::MEMBER_MATCH;
/// Scope of reading the matched record.
const READ_SCOPE: &str = "system/*.rs";
/// The member whose match is clean.
const CLEAN: u64 = 4;
/// The member who is in the roster twice.
const TWIN: u64 = 1;

/// The old payer, running, and the new payer's client of it.
pub struct Demo {
    files: Files,
    pub(super) ctx: Context,
    running: Running,
    _admin: AdminSocket,
    peer: PeerClient,
    base_url: String,
}

impl Demo {
    /// Sets both payers up in `folder` and starts the old one. `reserved` holds its addresses until then.
    ///
    /// # Errors
    /// Those of files, store and listeners.
    pub async fn start(
        config: Config,
        folder: &Path,
        reserved: Vec<TcpListener>,
        out: &mut Out,
    ) -> Result<Demo, Failure> {
        let clock = Clock::System;
        let files = Files::of(folder);
        let fresh = [folder.join("old-payer"), folder.join("new-payer")];
        for payer in &fresh {
            let _ = std::fs::remove_dir_all(payer);
            std::fs::create_dir_all(payer).map_err(|error| Failure::new(Fault::InputUnreadable).because(error))?;
        }
        files.make(clock.now_ms())?;
        out.tell(
            "1  A development CA, a server certificate, and the new payer's certificate and signing key were made.",
        );

        let mut config = dev::with_certificates(&config, &files)?;
        config.store.url = StoreUrl::Sqlite(folder.join("old-payer").join("causeway.db"));
        let store = Store::open(&config.store.url, &StoreOptions::default())?;
        let ctx = Context {
            guard: Arc::new(Guard::open(&store, config.policy.guess)?),
            store,
            clock: clock.clone(),
            ids: Ids::random(),
            payer: Arc::new(config.payer()),
            review: config.review(),
            matching: Arc::new(Rules::shipped(&config.policy.matching)),
        };
        crate::records::visible::bring_up(&ctx, &mut |_| {})?;
        crate::records::rejudge::bring_up(&ctx, &mut |_| {})?;
        crate::records::search_index::bring_up(&ctx, &mut |_| {})?;
        let quiet_ctx = ctx.clone();
        let made = files.clone();
        blocking(move || {
            let mut silent = Out::new(false, true, false, Box::new(std::io::sink()), Box::new(std::io::sink()));
            dev::register(&made, &quiet_ctx, &mut silent)?;
            dev::sample_members(&quiet_ctx, &mut silent)?;
            scenes::enter_twins(&quiet_ctx)
        })
        .await?;
        out.tell(&format!(
            "2  {} holds 204 synthetic members, twins and a showcase among them, in {} and has registered the new payer.",
            ctx.payer.name, config.store.url
        ));

        let config = Arc::new(config);
        let tls = ServerTls::open(TlsFiles::of(&config.tls)?)?;
        let (wired_ctx, wired_config) = (ctx.clone(), Arc::clone(&config));
        let app = Data::new(blocking(move || App::new(wired_ctx, wired_config, tls)).await?);
        let socket = folder.join("old-payer").join(SOCKET);
        let admin = AdminSocket::listen(&socket, &ctx, true)
            .map_err(|error| Failure::new(Fault::InputUnreadable).because(error))?;
        drop(reserved);
        let running = server::start(app, None)?;
        let base_url = config.server.base_url.clone();
        out.tell(&format!(
            "3  {} serves {base_url} over mutual TLS; operations on http://{}.",
            ctx.payer.name, running.ops
        ));
        let peer = PeerClient::new(
            &base_url,
            &files.read("ca.pem")?,
            dev::identity(&files)?,
            clock,
            Ids::random(),
        )?;
        let demo = Demo {
            files,
            ctx,
            running,
            _admin: admin,
            peer,
            base_url,
        };
        demo.write_files()?;
        Ok(demo)
    }

    /// Plays the exchanges and explains each step; gives what was received, for programs.
    ///
    /// # Errors
    /// [`Fault::PartnerAnswer`] when a step does not end as it must.
    pub async fn play(&self, out: &mut Out) -> Result<Value, Failure> {
        let configuration = self.peer.discover().await?;
        out.tell(&format!(
            "4  New Payer reads the SMART configuration: tokens at {}.",
            configuration.token_endpoint
        ));
        let token = self.peer.token(&configuration, &[MATCH_SCOPE], None).await?;
        out.tell("5  A signed assertion (ES384) over mutual TLS buys a token for $member-match, good for 300 s, bound to the certificate.");
        let patient = self.clean_match(&token, out).await?;
        let (resources, bytes) = self.fetch(&configuration, &patient, out).await?;
        self.moved(&token, out).await?;
        self.twins(&token, out).await?;
        self.refusals(&token, out).await?;
        self.ledger(out).await?;
        Ok(json!({"base_url": self.base_url, "patient": patient, "resources": resources, "bytes": bytes}))
    }

    /// Stops the old payer.
    pub async fn stop(self) {
        self.running.stop(Duration::ZERO).await;
    }

    async fn clean_match(&self, token: &Secret, out: &mut Out) -> Result<String, Failure> {
        let body = self.request(CLEAN, Variation::Exact);
        let reply = self.ask(token, body, "demo-clean").await?;
        expect(&reply, 200)?;
        let answer = reply.json()?;
        let parameter = |name: &str| {
            answer["parameter"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|p| p["name"] == name)
                .cloned()
                .unwrap_or_default()
        };
        let reference = parameter("MemberId")["valueReference"]["reference"]
            .as_str()
            .unwrap_or("")
            .to_owned();
        let identifier = parameter("MemberIdentifier")["valueIdentifier"]["value"]
            .as_str()
            .unwrap_or("")
            .to_owned();
        out.tell(&format!(
            "6  $member-match with consent: 200, {reference}, UMB {identifier}."
        ));
        self.explain("demo-clean", out).await?;
        Ok(reference.trim_start_matches("Patient/").to_owned())
    }

    /// Fetches and keeps the record; how many resources and bytes it had.
    async fn fetch(
        &self,
        configuration: &SmartConfiguration,
        patient: &str,
        out: &mut Out,
    ) -> Result<(usize, usize), Failure> {
        let token = self
            .peer
            .token(configuration, &[READ_SCOPE], Some(&format!("Patient/{patient}")))
            .await?;
        out.tell("7  A second token, narrowed to that one member, buys the record.");
        let reply = self.peer.everything(&token, patient, "demo-clean").await?;
        expect(&reply, 200)?;
        let bundle = reply.json()?;
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for entry in bundle["entry"].as_array().into_iter().flatten() {
            *counts
                .entry(entry["resource"]["resourceType"].as_str().unwrap_or("?").to_owned())
                .or_default() += 1;
        }
        let total: usize = counts.values().sum();
        if total == 0 {
            return Err(Failure::new(Fault::PartnerAnswer).remedy("The record came empty."));
        }
        std::fs::write(self.files.path("new-payer/received.json"), &reply.body)
            .map_err(|error| Failure::new(Fault::InputUnreadable).because(error))?;
        let listed: Vec<String> = counts.iter().map(|(rtype, count)| format!("{count} {rtype}")).collect();
        out.tell(&format!(
            "8  Record received: {total} resources, {} bytes, kept in {}.",
            reply.body.len(),
            self.files.path("new-payer/received.json").display()
        ));
        out.tell(&format!("     {}", listed.join(", ")));
        out.tell(&format!(
            "     correlation id demo-clean, the old payer's request id {}",
            reply.request_id
        ));
        Ok((total, reply.body.len()))
    }

    async fn refusals(&self, token: &Secret, out: &mut Out) -> Result<(), Failure> {
        let cases = [
            (
                "demo-no-match",
                CLEAN,
                Variation::WrongBirthDate,
                "the birth date differs",
            ),
            ("demo-ambiguous", TWIN, Variation::Exact, "two records fit"),
            ("demo-consent", CLEAN, Variation::ConsentExpired, "the consent is over"),
        ];
        for (at, (correlation, index, variation, why)) in cases.into_iter().enumerate() {
            let reply = self.ask(token, self.request(index, variation), correlation).await?;
            expect(&reply, 422)?;
            let outcome = reply.json()?;
            let issue = &outcome["issue"][0];
            out.tell(&format!(
                "{} Asked where {why}: 422 {}, \"{}\"",
                at + 12,
                issue["details"]["coding"][0]["code"].as_str().unwrap_or(""),
                issue["details"]["text"].as_str().unwrap_or("")
            ));
            self.explain(correlation, out).await?;
        }
        out.tell(
            "     To the new payer the first two answers are the same bytes: it cannot learn that a member exists, or that somebody looks.",
        );
        Ok(())
    }

    async fn ledger(&self, out: &mut Out) -> Result<(), Failure> {
        let items = self
            .ctx
            .store
            .read(|db| {
                ops::ledger(
                    db,
                    &ops::LedgerFilter {
                        limit: 500,
                        ..Default::default()
                    },
                )
            })
            .await?;
        out.tell("15 The old payer's ledger of all this (ids only as salted commitments):");
        for item in items.items.iter().filter(|item| {
            item["correlation_id"]
                .as_str()
                .is_some_and(|id| id.starts_with("demo-"))
        }) {
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            out.tell(&format!(
                "     {}  {:<24} {:<8} {:<7} {}",
                text(&item["at"]),
                text(&item["action"]),
                text(&item["outcome"]["class"]),
                text(&item["outcome"]["reason"]),
                text(&item["correlation_id"])
            ));
        }
        Ok(())
    }

    pub(super) async fn explain(&self, correlation: &str, out: &mut Out) -> Result<(), Failure> {
        let filter = ops::DecisionFilter {
            correlation: Some(correlation.to_owned()),
            limit: 10,
            ..Default::default()
        };
        let decisions = self
            .ctx
            .store
            .read(move |db| ops::decisions(db, &filter, ops::View::Full))
            .await?;
        let Some(decision) = decisions.items.last() else {
            return Err(Failure::new(Fault::PartnerAnswer).remedy("No decision was recorded."));
        };
        out.tell(&format!(
            "     decision {}: {} ({}), policy {}, correlation id {correlation}",
            decision["id"].as_str().unwrap_or(""),
            decision["outcome"].as_str().unwrap_or(""),
            decision["reason"].as_str().unwrap_or("no fault"),
            decision["policy_version"].as_str().unwrap_or(""),
        ));
        for line in crate::demo::explain::lines(decision) {
            out.tell(&format!("       {line}"));
        }
        Ok(())
    }

    pub(super) async fn ask(&self, token: &Secret, body: Value, correlation: &str) -> Result<Reply, Failure> {
        let key = format!("{correlation}-{}", self.ctx.ids.new_id(self.ctx.clock.now_ms()));
        self.peer
            .member_match(token, body.to_string().into_bytes(), correlation, &key)
            .await
    }

    pub(super) fn request(&self, index: u64, variation: Variation) -> Value {
        self.request_of(&dev::member(&self.ctx, index), variation)
    }

    fn request_of(&self, member: &Member, variation: Variation) -> Value {
        let today = DateTime::<Utc>::from_timestamp_millis(self.ctx.clock.now_ms())
            .unwrap_or_default()
            .date_naive();
        let options = MatchOptions {
            old_npi: self.ctx.payer.npi.clone(),
            new_npi: dev::PARTNER_NPI.to_owned(),
            old_member_system: self.ctx.payer.member_system.clone(),
            ..MatchOptions::on(today)
        };
        match_request(member, &options, variation)
    }

    fn write_files(&self) -> Result<(), Failure> {
        self.files
            .write("match.json", &pretty(&self.request(CLEAN, Variation::Exact)), false)?;
        self.files.write(
            "no-match.json",
            &pretty(&self.request(CLEAN, Variation::WrongBirthDate)),
            false,
        )?;
        self.files
            .write("ambiguous.json", &pretty(&self.request(TWIN, Variation::Exact)), false)?;
        self.files.write(
            "consent-ended.json",
            &pretty(&self.request(CLEAN, Variation::ConsentExpired)),
            false,
        )?;
        let showcase = self.request_of(&dev::showcase(&self.ctx), Variation::Exact);
        self.files.write("showcase.json", &pretty(&showcase), false)?;
        self.files.write("conformance.toml", &self.conformance(), false)?;
        self.files.write("README.txt", &self.by_hand(), false)
    }

    /// The client file with which `causeway conformance run` tests the old payer, on the showcase member's record.
    fn conformance(&self) -> String {
        let other = dev::member(&self.ctx, CLEAN + 1).patient_id;
        format!(
            "client_id = \"{}\"\njwks = \"partner-jwks.json\"\ncertificate = \"partner.pem\"\nkey = \"partner.key\"\nca = \"ca.pem\"\n\
             scope = \"{READ_SCOPE}\"\nmatch_scope = \"{MATCH_SCOPE}\"\nother_patients = [\"{other}\"]\n\
             [bodies]\nmatch = \"showcase.json\"\nno_match = \"no-match.json\"\nambiguous = \"ambiguous.json\"\nconsent = \"consent-ended.json\"\n",
            dev::PARTNER_ID
        )
    }

    /// The lines that repeat the demonstration by hand.
    pub fn by_hand(&self) -> String {
        let folder = self.files.path("");
        let folder = folder.display().to_string();
        let folder = folder.trim_end_matches('/');
        let base = &self.base_url;
        let program = std::env::current_exe().map_or_else(|_| "causeway".to_owned(), |path| path.display().to_string());
        let curl = format!("curl --cacert {folder}/ca.pem --cert {folder}/partner.pem --key {folder}/partner.key");
        format!(
            "Try it by hand while `causeway demo` runs:\n\n\
             curl --cacert {folder}/ca.pem {base}/metadata\n\n\
             TOKEN=$({program} demo --token)\n\
             {curl} -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/fhir+json' -H 'X-Correlation-Id: by-hand-1' -d @{folder}/match.json '{base}/Patient/$member-match'\n\
             {curl} -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/fhir+json' -d @{folder}/no-match.json '{base}/Patient/$member-match'\n\
             {curl} -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/fhir+json' -d @{folder}/ambiguous.json '{base}/Patient/$member-match'\n\n\
             PATIENT={}\n\
             {curl} -H \"Authorization: Bearer $TOKEN\" {base}/Patient/$PATIENT\n\
             {curl} -H \"Authorization: Bearer $TOKEN\" \"{base}/Patient/$PATIENT/\\$everything\"\n\n\
             The token lives 300 s and works only with this certificate.\n\
             showcase.json is a request for the member whose record holds every element that the guides mark mustSupport.\n\n\
             {program} conformance run --base-url {base} --client {folder}/conformance.toml\n",
            dev::member(&self.ctx, CLEAN).patient_id,
        )
    }
}

/// A fresh token of the demonstration that runs over `folder`, with both scopes.
///
/// # Errors
/// [`Fault::PartnerUnreachable`] when none runs.
pub async fn token(base_url: &str, folder: &Path) -> Result<Secret, Failure> {
    let files = Files::of(folder);
    let peer = PeerClient::new(
        base_url,
        &files.read("ca.pem")?,
        dev::identity(&files)?,
        Clock::System,
        Ids::random(),
    )?;
    let configuration = peer.discover().await?;
    peer.token(&configuration, &[MATCH_SCOPE, READ_SCOPE], None).await
}

pub(super) fn expect(reply: &Reply, status: u16) -> Result<(), Failure> {
    if reply.status == status {
        return Ok(());
    }
    Err(Failure::new(Fault::PartnerAnswer).remedy(format!("Status {status} was expected, {} came.", reply.status)))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::new(Fault::Internal).because(error))?
}
