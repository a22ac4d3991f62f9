//! Measures whether partners who export at the same time come to their share of the processes that do the work, and what single matches wait
//! meanwhile. Over PostgreSQL only: another store has one process.
//!
//! A server answers, and workers do the background work, each in a process of its own. Each partner has matched the same members. Some
//! export alone first, one after the other. A partner's share of the time for all is that time for as many exports; who waits longer was
//! overtaken. The matches are those of a further partner, one after the other with pauses, before the exports and while they run.

use super::bulk::{Listed, Partner, body, listed, unexpected};
use super::measure::Bench;
use super::plan::{BenchPlan, SharedExports};
use super::process::ServerProcess;
use super::report::{BenchFigure, Limit, median};
use super::requests::{broken, match_request};
use super::site::Installation;
use crate::error::{Failure, Fault};
use crate::synth::SharingPolicy;
use crate::terminal::Out;
use futures_util::future::{join, try_join_all};
use serde_json::Value;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Most members whom each partner exports.
const EXPORTED_MAX: u64 = 2_000;
/// Partners that export alone before all do at once.
const ALONE: usize = 3;
/// Time between two questions about a run: so many partners that ask more often would be a load of their own.
const LOOK: Duration = Duration::from_millis(100);
/// Time between two matches.
const PAUSE: Duration = Duration::from_millis(5);
/// Legs of the plan's length for which matches are measured without exports.
const IDLE_LEGS: u32 = 5;
/// How old a token gets.
const TOKEN: Duration = Duration::from_secs(120);
const EXPORT: &str = "/fhir/Patient/$export";

/// Runs the legs.
///
/// # Errors
/// Those of the processes; [`Fault::PartnerAnswer`] for an answer that is not the expected one.
pub(super) fn measure(plan: &BenchPlan, shared: SharedExports, out: &mut Out) -> Result<Vec<BenchFigure>, Failure> {
    let site = Installation::of_size(plan, plan.members, 4, out)?;
    let guests = site.invite(shared.partners)?;
    let server = site.start_front()?;
    let workers = (0..shared.workers).map(|number| site.start_worker(number));
    let workers: Vec<ServerProcess> = workers.collect::<Result<_, _>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Fault::Internal).because(error))?;
    let figures = runtime.block_on(async {
        let (mut npis, mut benches) = (Vec::new(), Vec::new());
        for guest in guests {
            npis.push(guest.npi.clone());
            benches.push(Bench::by(plan, &site, &server, guest.arrive(&site).await?));
        }
        let mut partners = Vec::new();
        for bench in &benches {
            partners.push(Partner::looking(bench, LOOK).await?);
        }
        let members = match_all(&site, partners.iter_mut().zip(&npis), out).await?;
        let mut figures = legs(&Bench::open(plan, &site, &server).await?, &mut partners, out).await?;
        for figure in &mut figures {
            figure.detail("partners", shared.partners as f64);
            figure.detail("workers", shared.workers as f64);
            figure.detail("members_each", members as f64);
        }
        Ok::<_, Failure>(figures)
    })?;
    for worker in workers {
        worker.stop()?;
    }
    server.stop()?;
    Ok(figures)
}

/// Each partner matches the same members in bulk. Returns how many.
async fn match_all<'p, 'b: 'p>(
    site: &Installation,
    partners: impl Iterator<Item = (&'p mut Partner<'b>, &'p String)>,
    out: &mut Out,
) -> Result<u64, Failure> {
    let members = (site.options.members - 1).clamp(1, EXPORTED_MAX);
    for (number, (partner, npi)) in (1..).zip(partners) {
        let all = (1..=members).map(|index| (index, site.member(index)));
        let body = body(site, npi, all)?;
        let (_, manifest, _) = partner.run("POST", "/fhir/Group/$bulk-member-match", &body).await?;
        if !listed(&manifest, "output").any(|file| file.rtype == "Group") {
            return Err(Failure::new(Fault::PartnerAnswer).because("a bulk match without groups"));
        }
        out.note(&format!("bulk: partner {number} has matched {members} members"));
    }
    Ok(members)
}

/// Exports alone, matches alone, and then both together.
async fn legs(bench: &Bench<'_>, partners: &mut [Partner<'_>], out: &mut Out) -> Result<Vec<BenchFigure>, Failure> {
    let mut alone_s = Vec::new();
    for partner in partners.iter_mut().take(ALONE) {
        alone_s.push(exported(partner).await?.1);
    }
    let (alone, next, over) = (median(&alone_s), Cell::new(0), Cell::new(false));
    let idle_for = Duration::from_secs(bench.plan.seconds) * IDLE_LEGS;
    let began = Instant::now();
    let idle_ms = matches(bench, &next, || began.elapsed() > idle_for).await?;
    out.note(&format!("bulk: an export alone takes {alone:.2} s"));

    let count = partners.len();
    let all = async {
        let done = try_join_all(partners.iter_mut().map(exported)).await;
        over.set(true);
        done
    };
    let (done, meanwhile_ms) = join(all, matches(bench, &next, || over.get())).await;
    let (done, meanwhile_ms) = (done?, meanwhile_ms?);
    let resources = done.first().map_or(0, |(resources, _)| *resources);
    if resources == 0 || done.iter().any(|(own, _)| *own != resources) {
        return Err(Failure::new(Fault::PartnerAnswer).because("exports of the same members with other resources"));
    }
    let took_s: Vec<f64> = done.iter().map(|(_, seconds)| *seconds).collect();
    let (longest, share) = (took_s.iter().copied().fold(0.0, f64::max), alone * count as f64);

    let mut waited = BenchFigure::new("bulk.share", "of a share", bench.site.store, longest / share);
    waited.rows = resources * count as u64;
    waited.detail("alone_s", alone);
    waited.detail("share_s", share);
    waited.detail("longest_s", longest);
    waited.detail("median_s", median(&took_s));
    waited.detail("resources_per_s", waited.rows as f64 / longest);
    let (idle, meanwhile) = (within(&idle_ms, 0.99), within(&meanwhile_ms, 0.99));
    let mut matched = BenchFigure::new(
        "bulk.match_meanwhile",
        "of the idle p99",
        bench.site.store,
        meanwhile / idle,
    );
    matched.rows = bench.site.resources;
    matched.detail("p99_ms", meanwhile);
    matched.detail("idle_p99_ms", idle);
    matched.detail("p50_ms", within(&meanwhile_ms, 0.5));
    matched.detail("idle_p50_ms", within(&idle_ms, 0.5));
    matched.detail("matches", meanwhile_ms.len() as f64);
    matched.detail("idle_matches", idle_ms.len() as f64);
    Ok(vec![
        waited.limit(Limit::AtMost(2.0)),
        matched.limit(Limit::AtMost(3.0)),
    ])
}

/// Exports all records that the partner may have. Returns the number of resources and the seconds that it took.
async fn exported(partner: &mut Partner<'_>) -> Result<(u64, f64), Failure> {
    let (_, manifest, seconds): (_, Value, _) = partner.run("GET", EXPORT, &[]).await?;
    let resources = listed(&manifest, "output").map(|file: Listed| file.count).sum();
    Ok((resources, seconds))
}

/// Sends matches one after the other until it is over, at least one, each about the member after the one before. Returns how long each took,
/// milliseconds.
async fn matches(bench: &Bench<'_>, next: &Cell<u64>, is_over: impl Fn() -> bool) -> Result<Vec<f64>, Failure> {
    let mut connection = bench.connect(1).await?.remove(0);
    let (mut token, mut since) = (bench.tokens.fresh().await?, Instant::now());
    let mut times_ms = Vec::new();
    while times_ms.is_empty() || !is_over() {
        if since.elapsed() > TOKEN {
            (token, since) = (bench.tokens.fresh().await?, Instant::now());
        }
        let index = 1 + next.replace(next.get() + 1) % (bench.site.options.members - 1).max(1);
        let body = bench.site.match_body(&bench.site.member(index), SharingPolicy::Regular);
        let (request, mut text) = (match_request(&token, &body), Vec::new());
        let asked = Instant::now();
        let answer = connection
            .exchange(&request, &mut |piece: &[u8]| text.extend_from_slice(piece))
            .await
            .map_err(broken)?;
        times_ms.push(asked.elapsed().as_secs_f64() * 1e3);
        if answer.status != 200 {
            return Err(unexpected("$member-match", answer.status, &text));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(times_ms)
}

/// The time that this share of the values did not exceed.
fn within(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len() as f64 - 1.0).max(0.0) * share) as usize;
    sorted.get(at).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::within;

    #[test]
    fn so_many_values_are_not_above_it() {
        let values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert_eq!(
            [0.0, 0.5, 0.99, 1.0].map(|share| within(&values, share)),
            [0.0, 50.0, 99.0, 100.0]
        );
        assert_eq!(within(&[], 0.99), 0.0);
    }
}
