//! What is asked about a store with many entries: ids that are spread over its ledger by a fixed seed.

use super::old_exchanges::RestingStore;
use crate::error::{Failure, Fault};
use crate::jobs::Chance;

/// Questions of each kind.
pub(super) const SAMPLES: usize = 20;
/// Seed of the places.
const SEED: u64 = 15;
/// The member with the most entries.
const BUSIEST: &str = "SELECT subject AS text FROM ledger_subject WHERE subject IN (SELECT patient_id FROM compartment) \
     GROUP BY subject ORDER BY COUNT(*) DESC, subject LIMIT 1";

/// What is asked about.
pub(super) struct LedgerSamples {
    /// Entries that have their places.
    pub(super) entries: u64,
    /// Correlation ids.
    pub(super) correlations: Vec<String>,
    /// Ids of Patients, the first of which has the most entries.
    pub(super) members: Vec<String>,
    /// Ids of exchanges.
    pub(super) exchanges: Vec<String>,
    /// Indexes of entries.
    pub(super) places: Vec<u64>,
}

impl LedgerSamples {
    /// Samples of a store.
    ///
    /// # Errors
    /// [`Fault::Internal`] when the store has none of a kind; those of the store.
    pub(super) fn of(store: &mut RestingStore) -> Result<LedgerSamples, Failure> {
        let entries = size(store)?;
        let chance = Chance::seeded(SEED);
        let spread = || {
            let place = || (chance.unit() * entries as f64) as u64;
            (0..SAMPLES).map(|_| place()).collect::<Vec<u64>>()
        };
        let correlations = each(store, &spread(), "e.correlation_id", "e.action LIKE 'member-match.%'")?;
        let mut members: Vec<String> = store.text(BUSIEST)?.into_iter().collect();
        members.extend(each(store, &spread(), "e.subject", "e.action = 'disclosure.begun'")?);
        let exchanges = each(store, &spread(), "e.exchange_id", "e.exchange_id IS NOT NULL")?;
        Ok(LedgerSamples {
            entries,
            correlations,
            members,
            exchanges,
            places: spread(),
        })
    }
}

/// How many entries of the newest log have their places.
///
/// # Errors
/// Those of the store.
pub(super) fn size(store: &mut RestingStore) -> Result<u64, Failure> {
    let size = store.number("SELECT size AS n FROM ledger_tree ORDER BY log DESC LIMIT 1")?;
    Ok(u64::try_from(size).unwrap_or(0))
}

/// A column of the first entry at or after each place for which the condition holds, or else of the first one of all.
fn each(store: &mut RestingStore, places: &[u64], column: &str, condition: &str) -> Result<Vec<String>, Failure> {
    let mut found = Vec::with_capacity(places.len());
    for place in places {
        let at = |from: u64| {
            format!(
                "SELECT {column} AS text FROM ledger_leaf l JOIN ledger_entry e ON e.id = l.entry_id \
                 WHERE l.log = (SELECT MAX(no) FROM ledger_log) AND l.idx >= {from} AND {condition} ORDER BY l.idx LIMIT 1"
            )
        };
        let text = match store.text(&at(*place))? {
            None => store.text(&at(0))?,
            some => some,
        };
        found.push(text.ok_or_else(|| Failure::new(Fault::Internal).because("the store has nothing to ask about"))?);
    }
    Ok(found)
}
