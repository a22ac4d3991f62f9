//! Searches against the bare keyed read of what they return, and how their cost grows with records and with stores.

use super::child::KEYED;
use super::load::{self, Leg, ROUNDS};
use super::measure::{Bench, broken, get};
use super::process::Server;
use super::report::{Limit, Measure, Report, median};
use super::site::{HUGE, LARGE, Site};
use super::wire;
use super::{Plan, Subject};
use crate::cli::Out;
use crate::error::{Failure, Fault};
use crate::synth::Policy;
use serde_json::Value;

/// What a search may take, as a multiple of the keyed read of its rows.
const TIMES_MAX: f64 = 2.0;
/// Matches on a page.
const PAGE: usize = 50;
/// The searches, after the type; each together with `patient`. One by code, one by date, one by category, one bare.
const SEARCHES: &[(&str, &str)] = &[
    ("Observation", "category=laboratory"),
    ("Observation", "code=http://loinc.org|85354-9&date=ge2021-01-01"),
    ("Encounter", "date=ge2022-01-01"),
    ("Condition", "clinical-status=active"),
    ("ExplanationOfBenefit", ""),
];
/// Sizes of the one record, and of the store, that the table goes through.
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
/// Members of the store in which the record grows.
const FEW: u64 = 100;

/// How many times the keyed read a search takes, in the member with [`LARGE`] resources.
///
/// # Errors
/// Those of the server; [`Fault::PartnerAnswer`] when a search finds nothing.
pub(super) async fn ratio(bench: &Bench<'_>) -> Result<Measure, Failure> {
    let mut measure = measured(bench, "search", bench.plan.clients).await?;
    measure.rows = bench.site.resources;
    Ok(measure.limit(Limit::AtMost(TIMES_MAX)))
}

/// The cost of one search at a time, by the size of the record and by the size of the store.
///
/// # Errors
/// Those of [`Site::of_size`] and of [`ratio`].
pub(super) fn table(plan: &Plan, report: &mut Report, out: &mut Out) -> Result<(), Failure> {
    let sizes = RECORDS.map(|(name, large)| (name, FEW, large));
    let stores = STORES.map(|(name, members)| (name, members, LARGE));
    let only = Plan {
        subjects: vec![Subject::Search],
        ..plan.clone()
    };
    for (name, members, large) in sizes.into_iter().chain(stores) {
        let site = Site::of_size(&only, members, large, out)?;
        let server = site.start_server()?;
        let measure = one(&only, &site, &server, name)?;
        server.stop()?;
        report.add([measure], out);
    }
    Ok(())
}

fn one(plan: &Plan, site: &Site, server: &Server, name: &'static str) -> Result<Measure, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Fault::Internal).because(error))?;
    runtime.block_on(async {
        let bench = Bench::open(plan, site, server).await?;
        // One at a time a search waits for the disk; what grows or does not is the work of the server.
        let times = measured(&bench, name, 1).await?;
        let mut measure = times.of_detail("server_cpu_us", "us of server time");
        measure.rows = site.resources;
        Ok(measure)
    })
}

async fn measured(bench: &Bench<'_>, name: &'static str, clients: usize) -> Result<Measure, Failure> {
    let member = bench.site.member(0);
    let mut connections = bench.connect(clients).await?;
    bench.grant(&mut connections[0], &member, Policy::Sensitive).await?;
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
    let mut measure = Measure::new(name, "times the keyed read", bench.site.store, median(&times));
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
