//! The demonstration: an old payer that runs a server, and a new payer that matches a member and fetches the record.

use super::twins;
use crate::app::admin::RunCommand;
use crate::app::start::{self, Started};
use crate::app::wiring;
use crate::clock::Clock;
use crate::config::Config;
use crate::context::Context;
use crate::dev::{self, Files, by_hand};
use crate::error::{Failure, Fault};
use crate::ids::Ids;
use crate::ops::{View, decisions, ledger};
use crate::partner::client::{PeerClient, PeerReply, SmartConfiguration};
use crate::secret::Secret;
use crate::security::tls::{ServerTls, TlsFiles};
use crate::store::StoreUrl;
use crate::synth::{Member, Variation};
use crate::terminal::Out;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

/// Scope of `$member-match`.
pub(super) const MATCH_SCOPE: &str = crate::http::routes::MEMBER_MATCH;
/// Scope for reading the matched record.
pub(super) const READ_SCOPE: &str = "system/*.rs";
/// The member who has a unique match.
pub(super) const CLEAN: u64 = by_hand::MEMBER;
/// The member who is in the roster twice.
pub(super) const TWIN: u64 = 1;

/// The running old payer, and the new payer's client for it.
pub struct Demo {
    pub(super) files: Files,
    pub(super) ctx: Context,
    pub(super) started: Started,
    pub(super) peer: PeerClient,
    pub(super) base_url: String,
}

impl Demo {
    /// Sets up both payers in `folder` and starts the old one. `reserved` holds the listeners' addresses until then; `commands` runs the
    /// commands that come over the admin socket.
    ///
    /// # Errors
    /// Those of files, store and listeners.
    pub async fn start(
        config: Config,
        folder: &Path,
        reserved: Vec<TcpListener>,
        commands: RunCommand,
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
        let ctx = {
            let config = config.clone();
            blocking(move || wiring::open(&config)).await?
        };
        let quiet_ctx = ctx.clone();
        let made = files.clone();
        blocking(move || {
            let mut silent = Out::new(false, true, false, Box::new(std::io::sink()), Box::new(std::io::sink()));
            dev::register(&made, &quiet_ctx, &mut silent)?;
            dev::sample_members(&quiet_ctx, &mut silent)?;
            twins::enter_twins(&quiet_ctx)
        })
        .await?;
        out.tell(&format!(
            "2  {} holds 204 synthetic members, twins and a showcase among them, in {} and has registered the new payer.",
            ctx.payer.name, config.store.url
        ));

        let base_url = config.server.base_url.clone();
        let tls = ServerTls::open(TlsFiles::of(&config.tls)?)?;
        let app = start::share(&ctx, config, tls).await?;
        app.let_act_as(dev::acting(&files)?);
        drop(reserved);
        let started = start::listen(app, commands, None)?;
        out.tell(&format!(
            "3  {} serves {base_url} over mutual TLS; operations on http://{}.",
            ctx.payer.name, started.running.ops
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
            started,
            peer,
            base_url,
        };
        demo.write_files()?;
        Ok(demo)
    }

    /// Plays the exchanges, explains each step, and returns what was received as JSON.
    ///
    /// # Errors
    /// [`Fault::PartnerAnswer`] when a step does not end as expected.
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
        let exchanges = self.exchanges(out).await?;
        let bulk = self.bulk(&configuration, out).await?;
        Ok(
            json!({"base_url": self.base_url, "patient": patient, "resources": resources, "bytes": bytes,
            "exchanges": exchanges, "bulk": bulk}),
        )
    }

    /// Where the old payer's store is.
    pub fn store(&self) -> &StoreUrl {
        self.ctx.store.url()
    }

    /// Stops the old payer.
    pub async fn stop(self) {
        self.started.running.stop(Duration::ZERO).await;
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

    /// Fetches and stores the record. Returns how many resources and bytes it had.
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
                "with another birth date",
            ),
            ("demo-ambiguous", TWIN, Variation::Exact, "that fits two records"),
            (
                "demo-consent",
                CLEAN,
                Variation::ConsentExpired,
                "whose consent has ended",
            ),
        ];
        for (at, (correlation, index, variation, why)) in cases.into_iter().enumerate() {
            let reply = self.ask(token, self.request(index, variation), correlation).await?;
            expect(&reply, 422)?;
            let outcome = reply.json()?;
            let issue = &outcome["issue"][0];
            out.tell(&format!(
                "{} A request {why}: 422 {}, \"{}\"",
                at + 12,
                issue["details"]["coding"][0]["code"].as_str().unwrap_or(""),
                issue["details"]["text"].as_str().unwrap_or("")
            ));
            self.explain(correlation, out).await?;
        }
        out.tell(
            "     The first two answers have the same bytes: the new payer cannot learn that a member exists, or that a person looks at the request.",
        );
        Ok(())
    }

    async fn ledger(&self, out: &mut Out) -> Result<(), Failure> {
        let keys = self.ctx.member_keys.clone();
        let items = self
            .ctx
            .store
            .read(move |db| {
                ledger::list(
                    db,
                    &ledger::LedgerFilter {
                        limit: 500,
                        ..Default::default()
                    },
                    &keys,
                )
            })
            .await?;
        out.tell("15 The old payer's ledger of all this (ids only as salted commitments):");
        for item in &items.items {
            let text = |path: &[&str]| item.text(path).unwrap_or("-");
            let correlation = text(&["correlation_id"]);
            if correlation.starts_with("demo-") {
                out.tell(&format!(
                    "     {}  {:<24} {:<8} {:<7} {correlation}",
                    item.at,
                    text(&["action"]),
                    text(&["outcome", "class"]),
                    text(&["outcome", "reason"]),
                ));
            }
        }
        Ok(())
    }

    pub(super) async fn explain(&self, correlation: &str, out: &mut Out) -> Result<(), Failure> {
        let filter = decisions::DecisionFilter {
            correlation: Some(correlation.to_owned()),
            limit: 10,
            ..Default::default()
        };
        let keys = self.ctx.member_keys.clone();
        let found = self
            .ctx
            .store
            .read(move |db| decisions::list(db, &filter, View::Full, &keys))
            .await?;
        let Some(decision) = found.items.last() else {
            return Err(Failure::new(Fault::PartnerAnswer).remedy("No decision was recorded."));
        };
        out.tell(&format!(
            "     decision {}: {} ({}), policy {}, correlation id {correlation}",
            decision.id,
            decision.outcome,
            decision.reason.as_deref().unwrap_or("no fault"),
            decision.policy_version,
        ));
        for line in crate::demo::explain::lines(decision)? {
            out.tell(&format!("       {line}"));
        }
        Ok(())
    }

    pub(super) async fn ask(&self, token: &Secret, body: Value, correlation: &str) -> Result<PeerReply, Failure> {
        let key = format!("{correlation}-{}", self.ctx.ids.new_id(self.ctx.clock.now_ms()));
        self.peer
            .member_match(token, body.to_string().into_bytes(), correlation, &key)
            .await
    }

    pub(super) fn request(&self, index: u64, variation: Variation) -> Value {
        self.request_of(&dev::member(&self.ctx, index), variation)
    }

    pub(super) fn request_of(&self, member: &Member, variation: Variation) -> Value {
        by_hand::request(&self.ctx, member, variation)
    }
}

/// A new token for the demonstration that runs in `folder`, with both scopes.
///
/// # Errors
/// [`Fault::PartnerUnreachable`] when no demonstration is running.
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

pub(super) fn expect(reply: &PeerReply, status: u16) -> Result<(), Failure> {
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
