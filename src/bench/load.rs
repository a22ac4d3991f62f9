//! Legs and rounds: a number of connections send requests without pause for a while, first to the static answer, then to the subject, in
//! turn.

use super::process::ServerProcess;
use super::wire::Connection;
use crate::error::{Failure, Fault};
use futures_util::future::join_all;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Rounds of a measure. Each has a static leg and a subject leg; a further static leg follows the last one.
pub(super) const ROUNDS: usize = 5;
/// Bytes of a wrong answer that are kept for the message.
const EXCERPT_BYTES: usize = 400;

/// The result of one leg.
#[derive(Clone, Debug, Default)]
pub(super) struct Leg {
    pub(super) requests: u64,
    pub(super) bytes: u64,
    pub(super) seconds: f64,
    /// Processor time of the server in seconds.
    pub(super) server_cpu_s: f64,
    latencies_us: Vec<u32>,
}

impl Leg {
    /// Answers per second.
    pub(super) fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// Body bytes per second.
    pub(super) fn bytes_rate(&self) -> f64 {
        self.bytes as f64 / self.seconds
    }
}

/// The sum of all legs of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum {
    pub(super) requests: u64,
    pub(super) bytes: u64,
    server_cpu_s: f64,
    latencies_us: Vec<u32>,
}

impl Sum {
    fn of(legs: &[Leg]) -> Sum {
        let mut sum = Sum::default();
        for leg in legs {
            sum.requests += leg.requests;
            sum.bytes += leg.bytes;
            sum.server_cpu_s += leg.server_cpu_s;
            sum.latencies_us.extend_from_slice(&leg.latencies_us);
        }
        sum.latencies_us.sort_unstable();
        sum
    }

    /// The latency in milliseconds that this share of the answers did not exceed.
    pub(super) fn within_ms(&self, share: f64) -> f64 {
        let at = ((self.latencies_us.len() as f64 - 1.0).max(0.0) * share) as usize;
        self.latencies_us.get(at).map_or(0.0, |us| f64::from(*us) / 1000.0)
    }

    /// Processor time of the server per answer, in microseconds.
    pub(super) fn cpu_us(&self) -> f64 {
        self.server_cpu_s * 1e6 / (self.requests.max(1) as f64)
    }
}

/// The results of all rounds of a measure.
pub(super) struct Rounds {
    /// The rate of the subject in each round.
    pub(super) rates: Vec<f64>,
    /// The rate of the static answer in each round: the mean of the legs before and after.
    pub(super) static_rates: Vec<f64>,
    /// The rate of the subject divided by that of the static answer, for each round.
    pub(super) ratios: Vec<f64>,
    /// The sum of all subject legs.
    pub(super) subject: Sum,
    /// The sum of all static legs.
    pub(super) fixed: Sum,
}

/// Runs the legs: static, subject, static, subject, …, static. `rate` is the rate that is compared. `subject` is called before each leg for
/// its requests, so that they carry a fresh token.
///
/// # Errors
/// As [`leg`], and those of `subject`.
pub(super) async fn rounds(
    connections: &mut [Connection],
    server: &ServerProcess,
    seconds: u64,
    fixed: &[Vec<u8>],
    mut subject: impl AsyncFnMut() -> Result<Vec<Vec<u8>>, Failure>,
    rate: fn(&Leg) -> f64,
) -> Result<Rounds, Failure> {
    let time = Duration::from_secs(seconds);
    let next = Cell::new(0);
    // The first leg warms up connections, caches and the processor's clock rate, and is not counted.
    leg(
        connections,
        server,
        time.min(Duration::from_millis(500)),
        fixed,
        &Cell::new(0),
    )
    .await?;
    let mut statics = vec![leg(connections, server, time, fixed, &Cell::new(0)).await?];
    let mut subjects = Vec::new();
    for _ in 0..ROUNDS {
        let requests = subject().await?;
        subjects.push(leg(connections, server, time, &requests, &next).await?);
        statics.push(leg(connections, server, time, fixed, &Cell::new(0)).await?);
    }
    let rates: Vec<f64> = subjects.iter().map(rate).collect();
    let static_rates: Vec<f64> = statics
        .windows(2)
        .map(|pair| (rate(&pair[0]) + rate(&pair[1])) / 2.0)
        .collect();
    let ratios = rates
        .iter()
        .zip(&static_rates)
        .map(|(one, other)| one / other)
        .collect();
    Ok(Rounds {
        rates,
        static_rates,
        ratios,
        subject: Sum::of(&subjects),
        fixed: Sum::of(&statics),
    })
}

/// Every connection sends `requests` in turn for `time`, beginning at `next`.
///
/// # Errors
/// [`Fault::PartnerAnswer`] for an answer other than 200; [`Fault::PartnerUnreachable`] when a connection fails.
pub(super) async fn leg(
    connections: &mut [Connection],
    server: &ServerProcess,
    time: Duration,
    requests: &[Vec<u8>],
    next: &Cell<usize>,
) -> Result<Leg, Failure> {
    let cpu_before = server.cpu_s();
    let begun = Instant::now();
    let parts = join_all(
        connections
            .iter_mut()
            .map(|connection| one(connection, requests, next, begun, time)),
    )
    .await;
    let mut leg = Leg {
        seconds: begun.elapsed().as_secs_f64(),
        server_cpu_s: server.cpu_s() - cpu_before,
        ..Leg::default()
    };
    for part in parts {
        let part = part?;
        leg.requests += part.requests;
        leg.bytes += part.bytes;
        leg.latencies_us.extend(part.latencies_us);
    }
    Ok(leg)
}

async fn one(
    connection: &mut Connection,
    requests: &[Vec<u8>],
    next: &Cell<usize>,
    begun: Instant,
    time: Duration,
) -> Result<Leg, Failure> {
    let mut part = Leg::default();
    while begun.elapsed() < time {
        let at = next.replace(next.get() + 1) % requests.len();
        let asked = Instant::now();
        let mut excerpt = Vec::new();
        let mut keep = |piece: &[u8]| {
            if excerpt.len() < EXCERPT_BYTES {
                excerpt.extend_from_slice(&piece[..piece.len().min(EXCERPT_BYTES)]);
            }
        };
        let answer = connection
            .exchange(&requests[at], &mut keep)
            .await
            .map_err(|error| Failure::new(Fault::PartnerUnreachable).because(error))?;
        if answer.status != 200 {
            let text = String::from_utf8_lossy(&excerpt).into_owned();
            return Err(Failure::new(Fault::PartnerAnswer).because(format!("status {}: {text}", answer.status)));
        }
        part.requests += 1;
        part.bytes += answer.bytes;
        part.latencies_us
            .push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    Ok(part)
}
