//! How long a connection may wait for its peer: what it waits for, since when, and until when.
//!
//! Cells of one connection, which lives on one thread. The ring around requests says when a request began and its answer ended;
//! the stream says when bytes came.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Time beyond a limit of ours in which the HTTP library's own limit, which answers 408 or closes in order, may act first.
const GRACE: Duration = Duration::from_secs(1);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its handshake, which has a limit of its own.
    SettingUp,
    /// It waits for a request head since then: since the handshake, or since the first byte after an answer.
    Head(Instant),
    /// It is idle since then.
    Idle(Instant),
    /// It has so many requests, whose bodies, handlers and answers have limits of their own.
    Busy(u32),
}

/// Why a peer is cut off; the words of the metric.
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
    /// The word of the metric.
    pub const fn word(self) -> &'static str {
        match self {
            Slow::Head => "head",
            Slow::Idle => "idle",
            Slow::Reader => "reader",
        }
    }
}

/// The pace of one connection.
#[derive(Debug)]
pub struct Pace {
    phase: Cell<Phase>,
    head: Duration,
    idle: Duration,
}

impl Pace {
    /// A connection that is being set up, with these times for a head and for being idle.
    pub fn new(head: Duration, idle: Duration) -> Pace {
        Pace {
            phase: Cell::new(Phase::SettingUp),
            head,
            idle,
        }
    }

    /// The handshake is over.
    pub fn open(&self, now: Instant) {
        self.phase.set(Phase::Head(now));
    }

    /// Bytes came.
    pub fn came(&self, now: Instant) {
        if let Phase::Idle(_) = self.phase.get() {
            self.phase.set(Phase::Head(now));
        }
    }

    /// A request's head was read.
    pub fn begun(&self) {
        let requests = match self.phase.get() {
            Phase::Busy(requests) => requests,
            _ => 0,
        };
        self.phase.set(Phase::Busy(requests + 1));
    }

    /// A request's answer has ended.
    pub fn ended(&self, now: Instant) {
        self.phase.set(match self.phase.get() {
            Phase::Busy(requests) if requests > 1 => Phase::Busy(requests - 1),
            _ => Phase::Idle(now),
        });
    }

    /// Whether a request is worked on or its answer written.
    pub fn is_busy(&self) -> bool {
        matches!(self.phase.get(), Phase::Busy(_))
    }

    /// Until when the peer is waited for, and why not longer; `None` while there is work.
    pub fn deadline(&self) -> Option<(Instant, Slow)> {
        match self.phase.get() {
            Phase::SettingUp | Phase::Busy(_) => None,
            Phase::Head(since) => Some((since + self.head + GRACE, Slow::Head)),
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
}
