//! Limits of partners before work: requests in flight in all and for each partner, connections of one partner.

use crate::error::Fault;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts requests in flight. Clones share the counts.
#[derive(Clone)]
pub struct Limits {
    all: Arc<AtomicUsize>,
    all_max: usize,
    partners: Shares,
}

/// One request in flight; it ends when this is dropped.
pub struct InFlight {
    all: Arc<AtomicUsize>,
}

impl Limits {
    /// At most `all_max` requests at once, and `partner_max` of one partner.
    pub fn new(all_max: usize, partner_max: usize) -> Self {
        Limits {
            all: Arc::default(),
            all_max,
            partners: Shares::new(partner_max),
        }
    }

    /// Counts a request in.
    ///
    /// # Errors
    /// [`Fault::Overloaded`] when the server is at its limit.
    pub fn enter(&self) -> Result<InFlight, Fault> {
        let guard = InFlight {
            all: Arc::clone(&self.all),
        };
        if self.all.fetch_add(1, Ordering::AcqRel) >= self.all_max {
            return Err(Fault::Overloaded);
        }
        Ok(guard)
    }

    /// Counts a partner's request in.
    ///
    /// # Errors
    /// [`Fault::RateLimited`] when the partner is at its limit.
    pub fn enter_partner(&self, id: &str) -> Result<Held, Fault> {
        self.partners.enter(id).ok_or(Fault::RateLimited)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Counts what each of many holds at once, up to one maximum. Clones share the counts.
#[derive(Clone)]
pub struct Shares {
    held: Arc<Mutex<HashMap<String, usize>>>,
    max: usize,
}

/// One thing held; it ends when this is dropped.
pub struct Held {
    held: Arc<Mutex<HashMap<String, usize>>>,
    id: String,
}

impl Shares {
    /// At most `max` for each.
    pub fn new(max: usize) -> Self {
        Shares {
            held: Arc::default(),
            max,
        }
    }

    /// Counts one more for `id`; `None` when it is at the maximum.
    pub fn enter(&self, id: &str) -> Option<Held> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(id.to_owned()).or_insert(0);
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Held {
            held: Arc::clone(&self.held),
            id: id.to_owned(),
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partner_at_its_limit_is_told_so_and_others_are_not() {
        let limits = Limits::new(2, 1);
        let first = limits.enter_partner("a").expect("first");
        assert_eq!(limits.enter_partner("a").err(), Some(Fault::RateLimited));
        assert!(limits.enter_partner("b").is_ok());
        drop(first);
        assert!(limits.enter_partner("a").is_ok());
        let (one, two) = (limits.enter(), limits.enter());
        assert!(one.is_ok() && two.is_ok());
        assert_eq!(limits.enter().err(), Some(Fault::Overloaded));
        drop(one);
        assert!(limits.enter().is_ok());
    }
}
