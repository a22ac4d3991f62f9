//! Measures searches relative to a plain read of their results by keys, and how their cost grows with the size of records and stores.

use super::child::KEYED;
use super::load::{self, Leg, ROUNDS};
use super::measure::Bench;
use super::plan::{BenchPlan, Measured};
use super::process::ServerProcess;
use super::report::{BenchFigure, BenchReport, Limit, median};
use super::requests::{broken, get};
use super::site::{HUGE, Installation, LARGE};
use super::wire;
use crate::error::{Failure, Fault};
use crate::synth::SharingPolicy;
use crate::terminal::Out;
use serde_json::Value;

/// Longest time that a search may take, as a multiple of the plain read of its rows.
const TIMES_MAX: f64 = 2.0;
/// Matches on a page.
const PAGE: usize = 50;
/// The searches: type and query, each used together with `patient`. One by code, one by date, one by category, one without a filter.
const SEARCHES: &[(&str, &str)] = &[
    ("Observation", "category=laboratory"),
    ("Observation", "code=http://loinc.org|85354-9&date=ge2021-01-01"),
    ("Encounter", "date=ge2022-01-01"),
    ("Condition", "clinical-status=active"),
    ("ExplanationOfBenefit", ""),
];
/// Sizes of the record, and of the store, for the table.
const RECORDS: [(&str, u64); 4] = [
    ("search-record-100", 100),
    ("search-record-1000", LARGE),
    ("search-record-10000", 10_000),
    ("search-record-130000", HUGE),
];
const STORES: [(&str, u64); 4] = [
    ("search-store-100", 100),
    ("search-store-1000", 1_000),
    ("search-store-10000", 10_000),
    ("search-store-100000", 100_000),
];
/// Members in the store in which the size of the record varies.
const FEW: u64 = 100;

/// The time of a search as a multiple of the plain read by keys, for the member with [`LARGE`] resources.
///
/// # Errors
/// Those of the server; [`Fault::PartnerAnswer`] when a search finds nothing.
pub(super) async fn ratio(bench: &Bench<'_>) -> Result<BenchFigure, Failure> {
    let mut measure = measured(bench, "search", bench.plan.clients).await?;
    measure.rows = bench.site.resources;
    Ok(measure.limit(Limit::AtMost(TIMES_MAX)))
}

/// The cost of single searches by the size of the record and by the size of the store.
///
/// # Errors
/// Those of [`Installation::of_size`] and of [`ratio`].
pub(super) fn table(plan: &BenchPlan, report: &mut BenchReport, out: &mut Out) -> Result<(), Failure> {
    let sizes = RECORDS.map(|(name, large)| (name, FEW, large));
    let stores = STORES.map(|(name, members)| (name, members, LARGE));
    let only = BenchPlan {
        subjects: vec![Measured::Search],
        ..plan.clone()
    };
    for (name, members, large) in sizes.into_iter().chain(stores) {
        let site = Installation::of_size(&only, members, large, out)?;
        let server = site.start_server()?;
        let measure = one(&only, &site, &server, name)?;
        server.stop()?;
        report.add([measure], out);
    }
    Ok(())
}

fn one(
    plan: &BenchPlan,
    site: &Installation,
    server: &ServerProcess,
    name: &'static str,
) -> Result<BenchFigure, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Fault::Internal).because(error))?;
    runtime.block_on(async {
        let bench = Bench::open(plan, site, server).await?;
        // With one search at a time, the elapsed time includes the disk; the server's processor time is what may grow.
        let times = measured(&bench, name, 1).await?;
        let mut measure = times.of_detail("server_cpu_us", "us of server time");
        measure.rows = site.resources;
        Ok(measure)
    })
}

async fn measured(bench: &Bench<'_>, name: &'static str, clients: usize) -> Result<BenchFigure, Failure> {
    let member = bench.site.member(0);
    let mut connections = bench.connect(clients).await?;
    bench
        .grant(&mut connections[0], &member, SharingPolicy::Sensitive)
        .await?;
    let paths: Vec<String> = SEARCHES
        .iter()
        .map(|(rtype, more)| {
            let and = if more.is_empty() { "" } else { "&" };
            let more = more.replace('|', "%7C");
            format!("/fhir/{rtype}?patient={}&_count={PAGE}{and}{more}", member.patient_id)
        })
        .collect();
    let token = bench.tokens.fresh().await?;
    let (mut keyed, mut matches) = (Vec::new(), 0);
    for ((rtype, _), path) in SEARCHES.iter().zip(&paths) {
        let mut body = Vec::new();
        let mut sink = |piece: &[u8]| body.extend_from_slice(piece);
        let answer = connections[0]
            .exchange(&get(&token, path), &mut sink)
            .await
            .map_err(broken)?;
        let ids = ids(&body);
        if answer.status != 200 || ids.is_empty() {
            return Err(Failure::new(Fault::PartnerAnswer).because(format!(
                "{path}: status {}, {} matches",
                answer.status,
                ids.len()
            )));
        }
        matches += ids.len();
        let path = format!("{KEYED}{rtype}/{}", ids.join(","));
        keyed.push(wire::request("GET", &path, "accept: application/fhir+json\r\n", b""));
    }
    let requests = async || {
        let token = bench.tokens.fresh().await?;
        Ok(paths.iter().map(|path| get(&token, path)).collect())
    };
    let rounds = load::rounds(
        &mut connections,
        bench.server,
        bench.plan.seconds,
        &keyed,
        requests,
        Leg::rate,
    )
    .await?;
    let times: Vec<f64> = rounds.ratios.iter().map(|ratio| 1.0 / ratio).collect();
    let mut measure = BenchFigure::new(name, "times the keyed read", bench.site.store, median(&times));
    measure.bytes = rounds.subject.bytes / rounds.subject.requests.max(1);
    measure.spread(&times);
    for (name, value) in [
        ("requests_per_s", median(&rounds.rates)),
        ("keyed_per_s", median(&rounds.static_rates)),
        ("p50_ms", rounds.subject.within_ms(0.5)),
        ("p99_ms", rounds.subject.within_ms(0.99)),
        ("keyed_p50_ms", rounds.fixed.within_ms(0.5)),
        ("server_cpu_us", rounds.subject.cpu_us()),
        ("keyed_server_cpu_us", rounds.fixed.cpu_us()),
        ("matches", matches as f64 / SEARCHES.len() as f64),
        ("rounds", ROUNDS as f64),
    ] {
        measure.detail(name, value);
    }
    Ok(measure)
}

/// The ids of the matches of a Bundle.
fn ids(bundle: &[u8]) -> Vec<String> {
    let bundle: Value = serde_json::from_slice(bundle).unwrap_or_default();
    let entries = bundle["entry"].as_array().into_iter().flatten();
    entries
        .filter(|entry| entry["search"]["mode"] == "match")
        .filter_map(|entry| entry["resource"]["id"].as_str().map(str::to_owned))
        .collect()
}
