//! `guess`: measures whether the kinds of a refused match can be told apart by their response time, with the answer slot and without it.
//!
//! One connection sends requests of every kind in turn, again and again. The figure is the largest area under the ROC curve for any two
//! kinds; 0.5 is chance. The comparison of a kind with itself shows the noise. The times are printed and do not decide any test.

use super::report::{BenchFigure, Limit, median};
use super::requests::{broken, match_request};
use super::site::{Installation, Tokens};
use super::wire::{BenchTarget, Connection};
use crate::error::{Failure, Fault};
use crate::synth::{SharingPolicy, Variation};
use crate::terminal::Out;
use std::time::Instant;

/// Answers for each kind.
const EACH: usize = 2_000;
/// Rounds after which the token is renewed; a token is valid for 300 s.
const ROUNDS_A_TOKEN: usize = 500;
/// Rounds for warming up, which are not counted.
const WARM: usize = 20;
/// The kinds of refusal: no such name, another birth date, another card, an expired consent, a consent for another payer.
const KINDS: [Variation; 5] = [
    Variation::UnknownPerson,
    Variation::WrongBirthDate,
    Variation::UnknownCard,
    Variation::ConsentExpired,
    Variation::ConsentForOthers,
];

/// Measures with the slot and without it.
///
/// # Errors
/// Those of the server; [`Fault::PartnerAnswer`] for an answer that is not a refusal.
pub(super) fn guess(site: &Installation, out: &mut Out) -> Result<Vec<BenchFigure>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Fault::Internal).because(error))?;
    let mut measures = Vec::new();
    for (name, slotted) in [("guess", true), ("guess-no-slot", false)] {
        out.note(&format!("{name}: {EACH} refusals of each of {} kinds", KINDS.len()));
        let server = site.start_server_with(slotted)?;
        let times = runtime.block_on(async {
            let (target, tokens) = (site.target()?, site.tokens().await?);
            times(site, &target, &tokens).await
        })?;
        server.stop()?;
        measures.push(measure(name, slotted, site, &times));
    }
    Ok(measures)
}

async fn times(site: &Installation, target: &BenchTarget, tokens: &Tokens) -> Result<Vec<Vec<f64>>, Failure> {
    let mut connection = target.connect().await.map_err(broken)?;
    let member = site.member(1);
    let bodies = KINDS.map(|kind| site.body(&member, SharingPolicy::Regular, kind));
    let mut times = vec![Vec::with_capacity(EACH); KINDS.len()];
    let mut requests: Vec<Vec<u8>> = Vec::new();
    for round in 0..EACH + WARM {
        if round % ROUNDS_A_TOKEN == 0 {
            let token = tokens.fresh().await?;
            requests = bodies.iter().map(|body| match_request(&token, body)).collect();
        }
        for step in 0..KINDS.len() {
            // Another kind comes first in each round, so that no kind always follows the same one.
            let kind = (step * 2 + round) % KINDS.len();
            let took = ask(&mut connection, &requests[kind]).await?;
            if round >= WARM {
                times[kind].push(took);
            }
        }
    }
    Ok(times)
}

async fn ask(connection: &mut Connection, request: &[u8]) -> Result<f64, Failure> {
    let asked = Instant::now();
    let answer = connection.exchange(request, &mut |_: &[u8]| {}).await.map_err(broken)?;
    let took = asked.elapsed().as_secs_f64() * 1e3;
    if answer.status == 422 {
        Ok(took)
    } else {
        Err(Failure::new(Fault::PartnerAnswer).because(format!("a guess: status {}", answer.status)))
    }
}

fn measure(name: &'static str, slotted: bool, site: &Installation, times: &[Vec<f64>]) -> BenchFigure {
    let mut worst: f64 = 0.5;
    for (index, one) in times.iter().enumerate() {
        for other in times.iter().skip(index + 1) {
            worst = worst.max(apart(one, other));
        }
    }
    let same = times.first().map_or(0.5, |one| {
        let half = |first: usize| one.iter().skip(first).step_by(2).copied().collect::<Vec<_>>();
        apart(&half(0), &half(1))
    });
    let mut measure = BenchFigure::new(name, "AUC", site.store, worst);
    if slotted {
        measure = measure.limit(Limit::AtMost(0.55));
    }
    measure.rows = site.resources;
    measure.detail("of_each", EACH as f64);
    measure.detail("same_kind", same);
    for (name, one) in ["person_ms", "birth_date_ms", "card_ms", "expired_ms", "others_ms"]
        .into_iter()
        .zip(times)
    {
        measure.detail(name, median(one));
    }
    measure
}

/// The area under the ROC curve for telling `one` and `other` apart: 0.5 is chance, 1 is certainty.
fn apart(one: &[f64], other: &[f64]) -> f64 {
    if one.is_empty() || other.is_empty() {
        return 0.5;
    }
    let mut all: Vec<(f64, bool)> = one.iter().map(|time| (*time, true)).collect();
    all.extend(other.iter().map(|time| (*time, false)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    // The sum of the ranks of `one`; equal times share their mean rank.
    let (mut ranks, mut at) = (0.0, 0);
    while at < all.len() {
        let alike = all[at..].iter().take_while(|(time, _)| *time == all[at].0).count();
        let mean = at as f64 + (alike as f64 + 1.0) / 2.0;
        ranks += mean * all[at..at + alike].iter().filter(|(_, first)| *first).count() as f64;
        at += alike;
    }
    let (n, m) = (one.len() as f64, other.len() as f64);
    let area = (ranks - n * (n + 1.0) / 2.0) / (n * m);
    area.max(1.0 - area)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_one_half_for_the_same_and_one_for_the_separate() {
        let close = |area: f64, wanted: f64| assert!((area - wanted).abs() < 1e-9, "{area}");
        close(apart(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]), 0.5);
        close(apart(&[1.0, 1.0], &[1.0, 1.0, 1.0]), 0.5);
        close(apart(&[1.0, 2.0], &[3.0, 4.0]), 1.0);
        close(apart(&[3.0, 4.0], &[1.0, 2.0]), 1.0);
        close(apart(&[1.0, 3.0], &[2.0, 4.0]), 0.75);
        close(apart(&[], &[1.0]), 0.5);
    }
}
