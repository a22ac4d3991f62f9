//! Whether requests of several askers come: turns are short only while somebody else is there who would wait for their end.
//!
//! An asker is a partner, or all strangers together. This module must not decide what anybody may do; it only tells who is there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For so long after the last request of another asker, an asker is taken to be in company. The first request of somebody who comes less
/// often may find one long turn of each connection before it.
const LASTS: Duration = Duration::from_secs(1);

/// Who asked of late. Clones share it.
#[derive(Clone)]
pub struct OthersAsking(Arc<Seen>);

struct Seen {
    began: Instant,
    /// Who came last.
    last: Mutex<String>,
    /// Until when several askers are taken to be there, in milliseconds since `began`.
    until_ms: AtomicU64,
}

impl Default for OthersAsking {
    fn default() -> OthersAsking {
        OthersAsking(Arc::new(Seen {
            began: Instant::now(),
            last: Mutex::default(),
            until_ms: AtomicU64::new(0),
        }))
    }
}

impl OthersAsking {
    /// Notes that a request of `asker` came, or that its answer is still being sent. Strangers have no name.
    pub fn came(&self, asker: &str) {
        self.came_at(asker, Instant::now());
    }

    /// Whether requests of more than one asker came of late.
    pub fn is_there(&self) -> bool {
        self.is_there_at(Instant::now())
    }

    fn ms(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.0.began);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn came_at(&self, asker: &str, now: Instant) {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == asker {
            return;
        }
        asker.clone_into(&mut last);
        self.0.until_ms.store(self.ms(now + LASTS), Ordering::Release);
    }

    fn is_there_at(&self, now: Instant) -> bool {
        self.ms(now) < self.0.until_ms.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_b07_an_asker_is_in_company_from_the_first_request_of_another_until_a_second_after_the_last() {
        let (company, now) = (OthersAsking::default(), Instant::now());
        let later = |ms: u64| now + Duration::from_millis(ms);
        company.came_at("a", now);
        // Who came before it is not known, so it may be in company.
        assert!(company.is_there_at(later(900)));
        company.came_at("a", later(1_500));
        assert!(!company.is_there_at(later(1_500)));
        company.came_at("b", later(1_600));
        assert!(company.is_there_at(later(1_600)), "as soon as another one comes");
        company.came_at("a", later(2_000));
        assert!(company.is_there_at(later(2_990)));
        company.came_at("a", later(2_995));
        assert!(!company.is_there_at(later(3_100)));
        company.came_at("", later(3_200));
        assert!(company.is_there_at(later(3_200)), "strangers are somebody, too");
    }
}
