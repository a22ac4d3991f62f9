//! Measures bulk work as a partner sees it: a match of many members, an export of their records, and the download of its files.
//!
//! The partner sends the members in several requests, because the body of one is limited. The time of a run begins with its request and ends
//! with the status answer that has the manifest, so that it includes reading the body, all durable rows, and the fsync of each file. The
//! export is compared with copying its files, whose bytes are the same, to other files with an fsync each. The downloads are compared with a
//! static answer of the same size: that of a file with one large record, where only bytes cost, and that of a file with small records of many
//! members, whose grants are all checked. The first byte is waited for at the first download of each file, which also writes whose it is.

use super::load::{self, Leg};
use super::measure::Bench;
use super::plan::BenchPlan;
use super::process::MemoryWatch;
use super::report::{BenchFigure, Limit, median};
use super::requests::{broken, get, static_request};
use super::site::Installation;
use super::wire::{self, Connection};
use crate::dev::PARTNER_NPI;
use crate::error::{Failure, Fault};
use crate::secret::Secret;
use crate::synth::Member;
use crate::terminal::Out;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Most members that are matched; with the records of the bench these have a million resources.
const MATCHED_MAX: u64 = 250_000;
/// Members of one request.
const REQUEST: u64 = 10_000;
/// Time between two questions about a run.
const LOOK: Duration = Duration::from_millis(10);
/// Time limit of one run.
const PATIENCE: Duration = Duration::from_secs(1_800);
/// Resources of the member whose record is downloaded alone.
const LARGE_RECORD: u64 = 20_000;
/// Of so many files, the largest ones, the first byte is waited for.
const FIRST_BYTES: usize = 40;
/// Largest file whose download is measured: the static answer has no more.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Connections that download.
const STREAMS: usize = 2;
/// Bytes that the copy reads and writes at once.
const COPIED: usize = 1024 * 1024;
/// How old a token gets.
const TOKEN_S: u64 = 120;
const MIB: f64 = 1024.0 * 1024.0;

/// Runs the legs.
///
/// # Errors
/// Those of the server; [`Fault::PartnerAnswer`] for an answer that is not the expected one.
pub(super) fn measure(plan: &BenchPlan, out: &mut Out) -> Result<Vec<BenchFigure>, Failure> {
    let mut site = Installation::of_size(plan, plan.members, 4, out)?;
    site.add_huge(LARGE_RECORD, out)?;
    let server = site.start_server()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Fault::Internal).because(error))?;
    let figures = runtime.block_on(async {
        let bench = Bench::open(plan, &site, &server).await?;
        let mut partner = Partner::connect(&bench).await?;
        let mut figures = vec![partner.matched(out).await?];
        let (manifest, exported) = partner.exported(out).await?;
        figures.extend(exported);
        let many = largest(&manifest)?;
        figures.push(partner.first_byte(&by_size(&manifest)).await?);
        figures.push(partner.downloaded("bulk.download_of_many", &many).await?);
        let one = partner.large_file().await?;
        figures.push(partner.downloaded("bulk.download", &one).await?.ratio_limit(0.7));
        Ok::<_, Failure>(figures)
    })?;
    server.stop()?;
    Ok(figures)
}

/// A partner, with one connection and a token that is young enough.
pub(super) struct Partner<'b> {
    bench: &'b Bench<'b>,
    connection: Connection,
    token: Secret,
    since: Instant,
    look: Duration,
}

impl<'b> Partner<'b> {
    async fn connect(bench: &'b Bench<'b>) -> Result<Partner<'b>, Failure> {
        Partner::looking(bench, LOOK).await
    }

    /// One that lets so much time pass between two questions about a run.
    ///
    /// # Errors
    /// Those of the network and of the token endpoint.
    pub(super) async fn looking(bench: &'b Bench<'b>, look: Duration) -> Result<Partner<'b>, Failure> {
        let mut connections = bench.connect(1).await?;
        Ok(Partner {
            bench,
            connection: connections.remove(0),
            token: bench.tokens.fresh().await?,
            since: Instant::now(),
            look,
        })
    }

    async fn token(&mut self) -> Result<Secret, Failure> {
        if self.since.elapsed() > Duration::from_secs(TOKEN_S) {
            (self.token, self.since) = (self.bench.tokens.fresh().await?, Instant::now());
        }
        Ok(self.token.clone())
    }

    /// Sends a request and returns the status and the body of its answer.
    async fn send(&mut self, request: &[u8]) -> Result<(u16, Vec<u8>), Failure> {
        let mut body = Vec::new();
        let mut keep = |piece: &[u8]| body.extend_from_slice(piece);
        let answer = self.connection.exchange(request, &mut keep).await.map_err(broken)?;
        Ok((answer.status, body))
    }

    /// Begins a run and waits for its end. Returns its id, its manifest and the seconds that it took.
    ///
    /// # Errors
    /// Those of the connection; [`Fault::PartnerAnswer`] for an answer that is not the expected one.
    pub(super) async fn run(&mut self, method: &str, path: &str, body: &[u8]) -> Result<(String, Value, f64), Failure> {
        let headers = format!(
            "authorization: Bearer {}\r\naccept: application/fhir+json\r\nprefer: respond-async\r\n{}",
            self.token().await?.expose(),
            match body.is_empty() {
                true => "",
                false => "content-type: application/fhir+json\r\n",
            }
        );
        // While others ran, the server may have closed a connection on which nothing came.
        self.connection = self.bench.connect(1).await?.remove(0);
        let began = Instant::now();
        let (status, text) = self.send(&wire::request(method, path, &headers, body)).await?;
        if status != 202 {
            return Err(unexpected(path, status, &text));
        }
        let location = self.connection.location.take().unwrap_or_default();
        let id = location.rsplit('/').next().unwrap_or_default().to_owned();
        loop {
            let asked = get(&self.token().await?, &format!("/fhir/jobs/{id}"));
            match self.send(&asked).await? {
                (200, manifest) => {
                    let took = began.elapsed().as_secs_f64();
                    let manifest = serde_json::from_slice(&manifest)
                        .map_err(|error| Failure::new(Fault::PartnerAnswer).because(error))?;
                    return Ok((id, manifest, took));
                }
                (202, _) if began.elapsed() < PATIENCE => tokio::time::sleep(self.look).await,
                (status, text) => return Err(unexpected(&id, status, &text)),
            }
        }
    }

    /// Matches members of the store, of whom each has a consent that is honored.
    async fn matched(&mut self, out: &mut Out) -> Result<BenchFigure, Failure> {
        let site = self.bench.site;
        let all = (site.options.members - 1).clamp(1, MATCHED_MAX);
        let (before, watch) = (self.bench.server.memory(), MemoryWatch::start(self.bench.server.id()));
        let (mut seconds, mut bytes, mut matched) = (0.0, 0, 0);
        for first in (0..all).step_by(usize::try_from(REQUEST).unwrap_or(usize::MAX)) {
            let members = first..(first + REQUEST).min(all);
            let body = body(site, PARTNER_NPI, members.map(|index| (index, site.member(index))))?;
            bytes += body.len() as u64;
            let (_, manifest, took) = self.run("POST", "/fhir/Group/$bulk-member-match", &body).await?;
            seconds += took;
            matched += listed(&manifest, "output").filter(|file| file.rtype == "Group").count() as u64;
            out.note(&format!("bulk: {} members are matched", (first + REQUEST).min(all)));
        }
        if matched == 0 {
            return Err(Failure::new(Fault::PartnerAnswer).because("a bulk match without groups"));
        }
        let figure = BenchFigure::new("bulk.match", "members/s", site.store, all as f64 / seconds);
        let mut figure = figure.limit(Limit::AtLeast(5_000.0));
        (figure.rows, figure.bytes) = (site.resources, bytes);
        figure.detail("members", all as f64);
        figure.detail("store_members", site.options.members as f64);
        figure.detail("seconds", seconds);
        let grown = watch.most()?.resident.saturating_sub(before.resident);
        figure.detail("grown_mib", grown as f64 / MIB);
        Ok(figure)
    }

    /// Exports all records with a grant, and copies the files of the export.
    async fn exported(&mut self, out: &mut Out) -> Result<(Value, Vec<BenchFigure>), Failure> {
        let (site, server) = (self.bench.site, self.bench.server);
        let (before, watch) = (server.memory(), MemoryWatch::start(server.id()));
        let run = self.run("GET", "/fhir/Patient/$export", &[]).await;
        let most = watch.most()?;
        let (id, manifest, seconds) = run?;
        let files: Vec<Listed> = listed(&manifest, "output").collect();
        let count: u64 = files.iter().map(|file| file.count).sum();
        let bytes: u64 = files.iter().map(|file| file.bytes).sum();
        out.note(&format!("bulk: {count} resources in {} files", files.len()));
        let copy_s = copied(&site.exports().join(&id), &site.exports().join("copy"))?;
        let (speed, copy_speed) = (bytes as f64 / seconds, bytes as f64 / copy_s.max(1e-6));
        let figure = |name, unit, value| {
            let mut figure = BenchFigure::new(name, unit, site.store, value);
            (figure.rows, figure.bytes) = (count, bytes);
            figure
        };
        let mut rate = figure("bulk.export", "resources/s", count as f64 / seconds).limit(Limit::AtLeast(20_000.0));
        rate.detail("seconds", seconds);
        rate.detail("files", files.len() as f64);
        let mut of_copy = figure("bulk.export_of_copy", "of the speed of a copy", speed / copy_speed);
        of_copy.detail("mb_per_s", speed / 1e6);
        of_copy.detail("copy_mb_per_s", copy_speed / 1e6);
        let growth = |most: u64, before: u64| most.saturating_sub(before) as f64 / MIB;
        let mut memory = figure("bulk.memory", "MiB grown", growth(most.resident, before.resident));
        memory.detail("anonymous_mib", growth(most.anonymous, before.anonymous));
        memory.detail("before_mib", before.resident as f64 / MIB);
        let of_copy = of_copy.limit(Limit::AtLeast(0.5));
        Ok((manifest, vec![rate, of_copy, memory.limit(Limit::AtMost(64.0))]))
    }

    /// Matches the member with the large record alone, and exports that record. Returns its largest file.
    async fn large_file(&mut self) -> Result<Listed, Failure> {
        let site = self.bench.site;
        let body = body(site, PARTNER_NPI, std::iter::once((0, site.huge_member())))?;
        let (id, ..) = self.run("POST", "/fhir/Group/$bulk-member-match", &body).await?;
        let path = format!("/fhir/Group/{id}-match/$export");
        let (_, manifest, _) = self.run("GET", &path, &[]).await?;
        largest(&manifest)
    }

    fn path(&self, file: &Listed) -> Result<String, Failure> {
        let rest = file.url.strip_prefix(&self.bench.site.base_url);
        rest.map(|rest| format!("/fhir{rest}"))
            .ok_or_else(|| Failure::new(Fault::PartnerAnswer).because("the address of a file"))
    }

    /// Waits for the first byte of each of these files, which nobody has fetched before.
    async fn first_byte(&mut self, files: &[Listed]) -> Result<BenchFigure, Failure> {
        let (mut times_ms, mut count, mut bytes) = (Vec::new(), 0, 0);
        for file in files.iter().take(FIRST_BYTES) {
            let path = self.path(file)?;
            (count, bytes) = (count + file.count, bytes + file.bytes);
            let request = get(&self.token().await?, &path);
            let (asked, mut first) = (Instant::now(), None);
            let mut note = |_: &[u8]| {
                first.get_or_insert_with(|| asked.elapsed().as_secs_f64() * 1e3);
            };
            let answer = self.connection.exchange(&request, &mut note).await.map_err(broken)?;
            if answer.status != 200 {
                return Err(unexpected(&path, answer.status, &[]));
            }
            times_ms.extend(first);
        }
        let mut first = BenchFigure::new("bulk.first_byte", "ms", self.bench.site.store, median(&times_ms));
        first.spread(&times_ms);
        first.detail("files", times_ms.len() as f64);
        (first.rows, first.bytes) = (count, bytes);
        Ok(first.limit(Limit::AtMost(10.0)))
    }

    /// Downloads a file, in turn with a static answer of its size.
    async fn downloaded(&mut self, name: &'static str, file: &Listed) -> Result<BenchFigure, Failure> {
        let (bench, path) = (self.bench, self.path(file)?);
        let mut connections = bench.connect(STREAMS).await?;
        let requests = async || Ok(vec![get(&bench.tokens.fresh().await?, &path)]);
        let rounds = load::rounds(
            &mut connections,
            bench.server,
            bench.plan.seconds,
            &[static_request(file.bytes)],
            requests,
            Leg::bytes_rate,
        )
        .await?;
        let mut speed = BenchFigure::new(name, "bytes/s", bench.site.store, median(&rounds.rates));
        speed.ratio(&rounds.ratios);
        speed.detail("static", median(&rounds.static_rates));
        speed.detail("server_cpu_us", rounds.subject.cpu_us());
        (speed.rows, speed.bytes) = (file.count, file.bytes);
        Ok(speed)
    }
}

/// The files that the static answer can be as large as, the largest one first.
fn by_size(manifest: &Value) -> Vec<Listed> {
    let fitting = listed(manifest, "output").filter(|file| file.bytes <= FILE_BYTES_MAX);
    let mut files: Vec<Listed> = fitting.collect();
    files.sort_by_key(|file| std::cmp::Reverse(file.bytes));
    files
}

fn largest(manifest: &Value) -> Result<Listed, Failure> {
    let largest = by_size(manifest).into_iter().next();
    largest.ok_or_else(|| Failure::new(Fault::PartnerAnswer).because("an export without files"))
}

pub(super) fn unexpected(what: &str, status: u16, body: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(&body[..body.len().min(400)]).into_owned();
    Failure::new(Fault::PartnerAnswer).because(format!("{what}: status {status}: {text}"))
}

/// The body of a bulk match of the partner with this NPI about these members, each under an id of its own, which its number makes.
///
/// # Errors
/// [`Fault::Internal`] when a request of ours is no JSON.
pub(super) fn body(
    site: &Installation,
    npi: &str,
    members: impl Iterator<Item = (u64, Member)>,
) -> Result<Vec<u8>, Failure> {
    let mut body = br#"{"resourceType":"Parameters","parameter":["#.to_vec();
    for (at, (index, member)) in members.enumerate() {
        let one = site.match_body_of(npi, &member);
        let mut one: Value =
            serde_json::from_slice(&one).map_err(|error| Failure::new(Fault::Internal).because(error))?;
        let mut parts = one["parameter"].take().to_string();
        parts = parts.replace("Patient/member", &format!("Patient/m{index}"));
        let mut parts: Value =
            serde_json::from_str(&parts).map_err(|error| Failure::new(Fault::Internal).because(error))?;
        parts[0]["resource"]["id"] = json!(format!("m{index}"));
        if at > 0 {
            body.push(b',');
        }
        body.extend_from_slice(json!({"name": "MemberBundle", "part": parts}).to_string().as_bytes());
    }
    body.extend_from_slice(b"]}");
    Ok(body)
}

/// A file that a manifest names.
pub(super) struct Listed {
    pub(super) rtype: String,
    url: String,
    pub(super) count: u64,
    bytes: u64,
}

pub(super) fn listed<'m>(manifest: &'m Value, side: &str) -> impl Iterator<Item = Listed> + use<'m> {
    manifest[side].as_array().into_iter().flatten().map(|file| Listed {
        rtype: file["type"].as_str().unwrap_or_default().to_owned(),
        url: file["url"].as_str().unwrap_or_default().to_owned(),
        count: file["count"].as_u64().unwrap_or(0),
        bytes: file["extension"]["bytes"].as_u64().unwrap_or(0),
    })
}

/// Copies the files of a folder, one after another, each with an fsync. Returns the seconds that it took.
fn copied(from: &Path, to: &Path) -> Result<f64, Failure> {
    let unusable = |error: std::io::Error| Failure::new(Fault::Internal).because(error);
    std::fs::create_dir_all(to).map_err(unusable)?;
    let paths: Vec<PathBuf> = std::fs::read_dir(from)
        .map_err(unusable)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    let (began, mut buffer) = (Instant::now(), vec![0; COPIED]);
    for (at, path) in paths.iter().enumerate() {
        let mut source = File::open(path).map_err(unusable)?;
        let mut copy = File::create(to.join(at.to_string())).map_err(unusable)?;
        loop {
            match source.read(&mut buffer).map_err(unusable)? {
                0 => break,
                read => copy.write_all(&buffer[..read]).map_err(unusable)?,
            }
        }
        copy.sync_all().map_err(unusable)?;
    }
    let seconds = began.elapsed().as_secs_f64();
    std::fs::remove_dir_all(to).map_err(unusable)?;
    Ok(seconds)
}
