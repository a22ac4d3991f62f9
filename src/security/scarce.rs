//! How many tokens a partner gets while the disk of the store is nearly full: then they take room from the reserve for ledger entries, so
//! that reads go on, and no partner may take it all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Tokens of one partner in each [`WINDOW`].
const TOKENS: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);

/// Counts the tokens of each partner; there are as many partners as are registered. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct ScarceTokens(Arc<Mutex<HashMap<String, (Instant, u32)>>>);

impl ScarceTokens {
    /// Whether this partner may have another token; if so, it is counted.
    pub(super) fn may_have(&self, partner: &str, now: Instant) -> bool {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = given.entry(partner.to_owned()).or_insert((now, 0));
        if now.saturating_duration_since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= TOKENS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_f14_a_partner_gets_a_few_tokens_a_minute_and_leaves_the_rest_to_others() {
        let (scarce, now) = (ScarceTokens::default(), Instant::now());
        let given = |id: &str, at| (0..100).filter(|_| scarce.may_have(id, at)).count();
        assert_eq!((given("a", now), given("b", now)), (20, 20));
        assert_eq!(given("a", now + Duration::from_secs(59)), 0);
        assert_eq!(given("a", now + WINDOW), 20);
    }
}
