//! How many bodies of bulk matches come from one partner at the same time: each of them may fill the disk up to its limit.

use crate::error::{Failure, Fault};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Seconds until a partner that sends too many bodies at once may try again.
const BUSY_S: u32 = 60;

/// The bodies that come to this process now, by partner.
static COMING: Mutex<BTreeMap<String, i64>> = Mutex::new(BTreeMap::new());

/// The place of one body, until it is dropped.
#[derive(Debug)]
pub(super) struct ComingBody(String);

impl ComingBody {
    /// A place for a body of this partner, which may send `most` at once.
    ///
    /// # Errors
    /// [`Fault::BulkBusy`].
    pub(super) fn of(partner: &str, most: i64) -> Result<ComingBody, Failure> {
        let mut coming = COMING.lock().unwrap_or_else(PoisonError::into_inner);
        let count = coming.entry(partner.to_owned()).or_default();
        if *count >= most {
            return Err(Failure::new(Fault::BulkBusy).retry_after_s(BUSY_S));
        }
        *count += 1;
        Ok(ComingBody(partner.to_owned()))
    }
}

impl Drop for ComingBody {
    fn drop(&mut self) {
        let mut coming = COMING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = coming.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                coming.remove(&self.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partner_sends_so_many_bodies_at_once_and_another_one_its_own() {
        let of = |partner| ComingBody::of(partner, 2).map_err(|failure| failure.fault());
        let (one, other) = (of("coming-a").expect("a place"), of("coming-a").expect("a place"));
        assert_eq!(of("coming-a").expect_err("none"), Fault::BulkBusy);
        let theirs = of("coming-b").expect("a place of its own");
        drop(one);
        let third = of("coming-a").expect("a place that was left");
        drop((other, theirs, third));
        let all = COMING.lock().expect("the places");
        assert!(all.keys().all(|partner| !partner.starts_with("coming-")));
    }
}
