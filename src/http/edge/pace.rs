//! The deadlines of one connection: what it waits for from its peer, since when, and until when.
//!
//! The state is in `Cell`s, because a connection stays on one thread. The middleware reports when a request began and when its answer
//! ended; the stream reports when bytes came.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Extra time beyond a limit, so that the HTTP library's own limit can act first and answer 408 or close in order.
const GRACE: Duration = Duration::from_secs(1);
/// Time for the rest of a body that was refused as too slow: enough to take the answer.
const LITTLE: Duration = Duration::from_secs(2);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The TLS handshake, which has a limit of its own.
    SettingUp,
    /// It waits for a request head since this time, which is the end of the handshake or the first byte after an answer.
    Head(Instant),
    /// An answer ended before its request's body; the rest of the body may come until this time.
    Rest(Instant),
    /// It is idle since this time.
    Idle(Instant),
    /// It has this many requests, whose bodies, handlers and answers have limits of their own.
    Busy(u32),
}

/// Why a peer is cut off; the labels of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// A request head did not come in time.
    Head,
    /// Nothing came for too long.
    Idle,
    /// It reads too slowly.
    Reader,
}

impl Slow {
    /// The label of the metric.
    pub const fn word(self) -> &'static str {
        match self {
            Slow::Head => "head",
            Slow::Idle => "idle",
            Slow::Reader => "reader",
        }
    }
}

/// The deadlines of one connection.
#[derive(Debug)]
pub struct Pace {
    phase: Cell<Phase>,
    head: Duration,
    idle: Duration,
}

impl Pace {
    /// A connection that is being set up, with the time limits for a head and for an idle connection.
    pub fn new(head: Duration, idle: Duration) -> Pace {
        Pace {
            phase: Cell::new(Phase::SettingUp),
            head,
            idle,
        }
    }

    /// Notes that the handshake is over.
    pub fn open(&self, now: Instant) {
        self.phase.set(Phase::Head(now));
    }

    /// Notes that bytes came.
    pub fn came(&self, now: Instant) {
        if let Phase::Idle(_) = self.phase.get() {
            self.phase.set(Phase::Head(now));
        }
    }

    /// Notes that a request's head was read.
    pub fn begun(&self) {
        let requests = match self.phase.get() {
            Phase::Busy(requests) => requests,
            _ => 0,
        };
        self.phase.set(Phase::Busy(requests + 1));
    }

    /// Notes that a request's answer has ended.
    pub fn ended(&self, now: Instant) {
        self.phase.set(match self.phase.get() {
            Phase::Busy(requests) if requests > 1 => Phase::Busy(requests - 1),
            _ => Phase::Idle(now),
        });
    }

    /// Notes that the answer ended before its request's body. `is_late`: because the body was too slow.
    pub fn rests(&self, now: Instant, is_late: bool) {
        if !self.is_busy() {
            let time = if is_late { LITTLE } else { self.head + GRACE };
            self.phase.set(Phase::Rest(now + time));
        }
    }

    /// Notes that the rest of a body has ended.
    pub fn rested(&self, now: Instant) {
        if let Phase::Rest(_) = self.phase.get() {
            self.phase.set(Phase::Idle(now));
        }
    }

    /// Whether a request is being worked on or its answer is being written.
    pub fn is_busy(&self) -> bool {
        matches!(self.phase.get(), Phase::Busy(_))
    }

    /// Until when the peer is waited for, and why it is cut off then; `None` while a request is being worked on.
    pub fn deadline(&self) -> Option<(Instant, Slow)> {
        match self.phase.get() {
            Phase::SettingUp | Phase::Busy(_) => None,
            Phase::Head(since) => Some((since + self.head + GRACE, Slow::Head)),
            Phase::Rest(until) => Some((until, Slow::Head)),
            Phase::Idle(since) => Some((since + self.idle + GRACE, Slow::Idle)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(pace: &Pace, start: Instant) -> Option<(u64, Slow)> {
        pace.deadline().map(|(at, slow)| ((at - start - GRACE).as_secs(), slow))
    }

    #[test]
    fn t_b06_every_head_has_its_time_from_its_first_byte_on() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let pace = Pace::new(Duration::from_secs(10), Duration::from_secs(60));
        assert_eq!(seconds(&pace, start), None, "the handshake has its own limit");
        pace.open(at(0));
        pace.came(at(5));
        assert_eq!(seconds(&pace, start), Some((10, Slow::Head)));
        pace.begun();
        pace.came(at(7));
        assert_eq!(seconds(&pace, start), None);
        pace.begun();
        pace.ended(at(8));
        assert_eq!(seconds(&pace, start), None, "one of two is still answered");
        pace.ended(at(9));
        assert_eq!(seconds(&pace, start), Some((69, Slow::Idle)));
        pace.came(at(30));
        pace.came(at(39));
        assert_eq!(
            seconds(&pace, start),
            Some((40, Slow::Head)),
            "dripping lengthens nothing"
        );
        pace.begun();
        pace.ended(at(41));
        assert_eq!(seconds(&pace, start), Some((101, Slow::Idle)));
    }

    #[test]
    fn t_b06_the_rest_of_a_refused_body_has_the_time_of_a_head_also_when_nothing_more_of_it_comes() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let pace = Pace::new(Duration::from_secs(10), Duration::from_secs(60));
        pace.open(at(0));
        pace.begun();
        pace.ended(at(1));
        pace.rests(at(1), false);
        assert_eq!(seconds(&pace, start), Some((11, Slow::Head)));
        pace.came(at(5));
        assert_eq!(seconds(&pace, start), Some((11, Slow::Head)));
        pace.rested(at(6));
        assert_eq!(seconds(&pace, start), Some((66, Slow::Idle)));
        pace.begun();
        pace.ended(at(20));
        pace.rests(at(20), true);
        assert_eq!(pace.deadline(), Some((at(22), Slow::Head)));
    }
}
