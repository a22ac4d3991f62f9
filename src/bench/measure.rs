//! The measures, one function each. They alone decide what is compared with what.

use super::imported;
use super::load::{self, Leg, ROUNDS, Rounds};
use super::plan::BenchPlan;
use super::process::{Memory, MemoryWatch, ServerProcess};
use super::report::{BenchFigure, Limit, median};
use super::requests::{broken, get, match_request, static_request};
use super::site::{Installation, Tokens};
use super::wire::{BenchTarget, Connection};
use crate::error::{Failure, Fault};
use crate::synth::{Member, SharingPolicy};
use std::time::Duration;

/// Bytes of the static answer that requests are compared with.
const STATIC_BYTES: u64 = 2_048;
/// Members that `read` reads in turn.
const READERS: u64 = 256;
/// Requests that are prepared for `match`, spread evenly over all members.
const MATCH_REQUESTS: u64 = 10_000;
/// Consents of one member that `match.first` sends, each with a different period that is valid today.
const CONSENTS: u64 = 100;
/// Connections of `everything`, which measures bytes. Each holds a record in flight.
const STREAMS: usize = 8;
/// How often `start` starts the server.
const STARTS: usize = 5;
/// Bytes after which the reader of the huge record pauses for [`STALL`], which shows whether the server waits for its reader.
const STALL_AFTER_BYTES: u64 = 1024 * 1024;
/// Length of this pause.
const STALL: Duration = Duration::from_secs(2);
const MIB: f64 = 1024.0 * 1024.0;

/// Measures the time until the server is ready, and its memory at rest.
///
/// # Errors
/// Those of the server.
pub(super) fn start(site: &Installation) -> Result<[BenchFigure; 2], Failure> {
    let mut seconds = Vec::new();
    let mut memory = Memory::default();
    for _ in 0..STARTS {
        let server = site.start_serve()?;
        seconds.push(server.ready_s);
        std::thread::sleep(Duration::from_secs(1));
        memory = server.memory();
        server.stop()?;
    }
    let mut ready =
        BenchFigure::new("start", "seconds to ready", site.store, median(&seconds)).limit(Limit::AtMost(1.0));
    ready.rows = site.resources;
    ready.spread(&seconds);
    let mut idle =
        BenchFigure::new("idle", "MiB resident", site.store, memory.resident as f64 / MIB).limit(Limit::AtMost(64.0));
    idle.rows = site.resources;
    idle.detail("anonymous_mib", memory.anonymous as f64 / MIB);
    Ok([ready, idle])
}

/// Measures how fast the import commits resources.
///
/// # Errors
/// Those of the import.
pub(super) fn import(plan: &BenchPlan) -> Result<[BenchFigure; 1], Failure> {
    let (counts, bytes, seconds) = imported::import(plan)?;
    let count = |name: &str| counts[name].as_u64().unwrap_or(0);
    let store = if plan.postgres.is_some() { "postgres" } else { "sqlite" };
    let mut measure = BenchFigure::new("import", "resources/s", store, count("stored") as f64 / seconds)
        .limit(Limit::AtLeast(10_000.0));
    (measure.rows, measure.bytes) = (count("stored"), bytes);
    measure.detail("seconds", seconds);
    measure.detail("rejected", count("rejected") as f64);
    Ok([measure])
}

pub(super) struct Bench<'a> {
    pub(super) plan: &'a BenchPlan,
    pub(super) site: &'a Installation,
    pub(super) server: &'a ServerProcess,
    target: BenchTarget,
    pub(super) tokens: Tokens,
}

impl<'a> Bench<'a> {
    /// A loader with a certificate and a source of tokens.
    ///
    /// # Errors
    /// Those of the discovery of the token endpoint.
    pub(super) async fn open(
        plan: &'a BenchPlan,
        site: &'a Installation,
        server: &'a ServerProcess,
    ) -> Result<Bench<'a>, Failure> {
        Ok(Bench::by(plan, site, server, (site.target()?, site.tokens().await?)))
    }

    /// The same for another partner.
    pub(super) fn by(
        plan: &'a BenchPlan,
        site: &'a Installation,
        server: &'a ServerProcess,
        (target, tokens): (BenchTarget, Tokens),
    ) -> Bench<'a> {
        Bench {
            plan,
            site,
            server,
            target,
            tokens,
        }
    }

    /// Compares the static answer with itself, which shows the noise of this machine.
    pub(super) async fn fixed(&self) -> Result<BenchFigure, Failure> {
        let requests = [static_request(STATIC_BYTES)];
        let mut connections = self.connect(self.plan.clients).await?;
        let same = requests.to_vec();
        let rounds = load::rounds(
            &mut connections,
            self.server,
            self.plan.seconds,
            &requests,
            async || Ok(same.clone()),
            Leg::rate,
        )
        .await?;
        Ok(self.ratio("static", "requests/s", &rounds))
    }

    /// Measures matches as partners send them. `match` goes through the members in turn, so that the number of repeated requests depends on
    /// the machine's speed; `match.first` sends a new consent each time, and `match.renewed` a consent that has a grant already.
    pub(super) async fn member_match(&self) -> Result<[BenchFigure; 3], Failure> {
        let members = self.plan.members.max(2) - 1;
        let wanted = members.min(MATCH_REQUESTS);
        let member = |at: u64| self.site.member(1 + at * members / wanted);
        let bodies: Vec<Vec<u8>> = (0..wanted)
            .map(|at| self.site.match_body(&member(at), SharingPolicy::Regular))
            .collect();
        let all = self.matches("match", async |_| Ok(bodies.clone())).await?;
        let first = self.matches("match.first", async |round| {
            let asked = |at: u64| {
                let days = 1 + round * CONSENTS / ROUNDS as u64 + at / wanted;
                self.site.match_body_of_another_consent(&member(at % wanted), days)
            };
            Ok((0..MATCH_REQUESTS.min(wanted * CONSENTS / ROUNDS as u64))
                .map(asked)
                .collect())
        });
        let first = first.await?;
        let granted = &bodies[..bodies.len().min(READERS as usize)];
        let mut connection = self.connection().await?;
        let token = self.tokens.fresh().await?;
        for body in granted {
            let request = match_request(&token, body);
            connection
                .exchange(&request, &mut |_: &[u8]| {})
                .await
                .map_err(broken)?;
        }
        let renewed = self.matches("match.renewed", async |_| Ok(granted.to_vec())).await?;
        let limit = if self.plan.postgres.is_some() { 0.03 } else { 0.06 };
        Ok([all.ratio_limit(limit), first, renewed])
    }

    /// Measures matches; `bodies` returns the request bodies of a round.
    async fn matches(
        &self,
        name: &'static str,
        bodies: impl AsyncFn(u64) -> Result<Vec<Vec<u8>>, Failure>,
    ) -> Result<BenchFigure, Failure> {
        let mut connections = self.connect(self.plan.clients).await?;
        let round = std::cell::Cell::new(0);
        let requests = async || {
            let (bodies, token) = (
                bodies(round.replace(round.get() + 1)).await?,
                self.tokens.fresh().await?,
            );
            Ok(bodies.iter().map(|body| match_request(&token, body)).collect())
        };
        let rounds = load::rounds(
            &mut connections,
            self.server,
            self.plan.seconds,
            &[static_request(STATIC_BYTES)],
            requests,
            Leg::rate,
        )
        .await?;
        Ok(self.ratio(name, "requests/s", &rounds))
    }

    pub(super) async fn read(&self) -> Result<BenchFigure, Failure> {
        let members: Vec<Member> = (1..=READERS.min(self.plan.members.max(2) - 1))
            .map(|index| self.site.member(index))
            .collect();
        let mut connections = self.connect(self.plan.clients).await?;
        for member in &members {
            self.grant(&mut connections[0], member, SharingPolicy::Regular).await?;
        }
        let requests = async || {
            let token = self.tokens.fresh().await?;
            Ok(members
                .iter()
                .map(|member| get(&token, &format!("/fhir/Patient/{}", member.patient_id)))
                .collect())
        };
        let rounds = load::rounds(
            &mut connections,
            self.server,
            self.plan.seconds,
            &[static_request(STATIC_BYTES)],
            requests,
            Leg::rate,
        )
        .await?;
        Ok(self.ratio("read", "requests/s", &rounds).ratio_limit(0.15))
    }

    pub(super) async fn everything(&self) -> Result<BenchFigure, Failure> {
        let member = self.site.member(0);
        let path = format!("/fhir/Patient/{}/$everything", member.patient_id);
        let mut connections = self.connect(STREAMS).await?;
        self.grant(&mut connections[0], &member, SharingPolicy::Sensitive)
            .await?;
        let (bytes, rows) = self
            .count(&mut connections[0], &get(&self.tokens.fresh().await?, &path))
            .await?;
        let requests = async || Ok(vec![get(&self.tokens.fresh().await?, &path)]);
        let rounds = load::rounds(
            &mut connections,
            self.server,
            self.plan.seconds,
            &[static_request(bytes)],
            requests,
            Leg::bytes_rate,
        )
        .await?;
        let mut measure = self.ratio("everything", "bytes/s", &rounds).ratio_limit(0.5);
        (measure.rows, measure.bytes) = (rows, bytes);
        measure.detail("resources_per_s", measure.value / bytes as f64 * rows as f64);
        Ok(measure)
    }

    pub(super) async fn memory(&self) -> Result<BenchFigure, Failure> {
        let member = self.site.huge_member();
        let path = format!("/fhir/Patient/{}/$everything", member.patient_id);
        let mut connection = self.connection().await?;
        self.grant(&mut connection, &member, SharingPolicy::Sensitive).await?;
        let request = get(&self.tokens.fresh().await?, &path);
        let before = self.server.memory();
        let watch = MemoryWatch::start(self.server.id());
        let counted = self.count(&mut connection, &request).await;
        let most = watch.most()?;
        let (bytes, rows) = counted?;
        let growth = |most: u64, before: u64| most.saturating_sub(before) as f64 / MIB;
        let mut measure = BenchFigure::new(
            "memory",
            "MiB grown",
            self.site.store,
            growth(most.resident, before.resident),
        )
        .limit(Limit::AtMost(32.0));
        (measure.rows, measure.bytes) = (rows, bytes);
        measure.detail("anonymous_mib", growth(most.anonymous, before.anonymous));
        measure.detail("before_mib", before.resident as f64 / MIB);
        Ok(measure)
    }

    /// Fetches a record and counts its bytes and resources; pauses once while reading.
    async fn count(&self, connection: &mut Connection, request: &[u8]) -> Result<(u64, u64), Failure> {
        const MARK: &[u8] = b"\"search\":{\"mode\":\"match\"}";
        let (mut seen, mut rows, mut tail, mut stalled) = (0u64, 0u64, Vec::new(), false);
        let mut sink = |piece: &[u8]| {
            seen += piece.len() as u64;
            tail.extend_from_slice(piece);
            rows += tail.windows(MARK.len()).filter(|window| *window == MARK).count() as u64;
            tail.drain(..tail.len().saturating_sub(MARK.len() - 1));
            if !stalled && seen > STALL_AFTER_BYTES {
                stalled = true;
                std::thread::sleep(STALL);
            }
        };
        let answer = connection.exchange(request, &mut sink).await.map_err(broken)?;
        if answer.status != 200 || rows == 0 {
            return Err(Failure::new(Fault::PartnerAnswer)
                .because(format!("$everything: status {}, {rows} resources", answer.status)));
        }
        Ok((answer.bytes, rows))
    }

    /// Gets a grant by an ordinary match.
    pub(super) async fn grant(
        &self,
        connection: &mut Connection,
        member: &Member,
        policy: SharingPolicy,
    ) -> Result<(), Failure> {
        let token = self.tokens.fresh().await?;
        let mut body = Vec::new();
        let request = match_request(&token, &self.site.match_body(member, policy));
        let answer = connection
            .exchange(&request, &mut |piece: &[u8]| body.extend_from_slice(piece))
            .await
            .map_err(broken)?;
        if answer.status == 200 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        Err(Failure::new(Fault::PartnerAnswer).because(format!("$member-match: status {}: {text}", answer.status)))
    }

    pub(super) async fn connect(&self, count: usize) -> Result<Vec<Connection>, Failure> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count.max(1) {
            connections.push(self.connection().await?);
        }
        Ok(connections)
    }

    async fn connection(&self) -> Result<Connection, Failure> {
        self.target.connect().await.map_err(broken)
    }

    fn ratio(&self, name: &'static str, unit: &'static str, rounds: &Rounds) -> BenchFigure {
        let mut measure = BenchFigure::new(name, unit, self.site.store, median(&rounds.rates));
        measure.ratio(&rounds.ratios);
        (measure.rows, measure.bytes) = (
            self.site.resources,
            rounds.subject.bytes / rounds.subject.requests.max(1),
        );
        measure.detail("static", median(&rounds.static_rates));
        measure.detail("p50_ms", rounds.subject.within_ms(0.5));
        measure.detail("p99_ms", rounds.subject.within_ms(0.99));
        measure.detail("max_ms", rounds.subject.within_ms(1.0));
        measure.detail("server_cpu_us", rounds.subject.cpu_us());
        measure.detail("static_server_cpu_us", rounds.fixed.cpu_us());
        measure.detail("requests", rounds.subject.requests as f64);
        measure.detail("rounds", ROUNDS as f64);
        measure
    }
}
