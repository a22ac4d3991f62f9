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

/// Entries with which a store that is filled has some of each kind.
const ENOUGH: u64 = 200;

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
    /// [`Fault::ConfigInvalid`] when the store has none of a kind, with what is missing; those of the store.
    pub(super) fn of(store: &mut RestingStore) -> Result<LedgerSamples, Failure> {
        let entries = size(store)?;
        let chance = Chance::seeded(SEED);
        let spread = || {
            let place = || (chance.unit() * entries as f64) as u64;
            (0..SAMPLES).map(|_| place()).collect::<Vec<u64>>()
        };
        let correlations = each(store, &spread(), &MATCHES)?;
        let mut members: Vec<String> = store.text(BUSIEST)?.into_iter().collect();
        members.extend(each(store, &spread(), &DISCLOSURES)?);
        let exchanges = each(store, &spread(), &EXCHANGES)?;
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
    let size = store.number("SELECT COALESCE((SELECT size FROM ledger_tree ORDER BY log DESC LIMIT 1), 0) AS n")?;
    Ok(u64::try_from(size).unwrap_or(0))
}

/// Entries about which something is asked.
struct Asked {
    /// The column that is asked about.
    column: &'static str,
    /// Which entries.
    condition: &'static str,
    /// What they are.
    what: &'static str,
}

const MATCHES: Asked = Asked {
    // A server may have put a handle into the place of an id; then this server's own id of the request finds the same.
    column: "CASE WHEN e.correlation_id LIKE '{%' THEN e.request_id ELSE e.correlation_id END",
    condition: "e.action LIKE 'member-match.%'",
    what: "match",
};
const DISCLOSURES: Asked = Asked {
    column: "e.subject",
    condition: "e.action = 'disclosure.begun' AND e.subject IS NOT NULL",
    what: "disclosure",
};
const EXCHANGES: Asked = Asked {
    column: "e.exchange_id",
    condition: "e.exchange_id IS NOT NULL",
    what: "exchange",
};

/// The column of the first such entry at or after each place, or else of the first one of all.
fn each(store: &mut RestingStore, places: &[u64], asked: &Asked) -> Result<Vec<String>, Failure> {
    let (column, condition) = (asked.column, asked.condition);
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
        found.push(text.ok_or_else(|| lacks(asked.what))?);
    }
    Ok(found)
}

/// The fault of a store that is too small for these measures.
fn lacks(what: &str) -> Failure {
    let remedy = format!(
        "The tree of this ledger has no {what}. The measures ask about matches, disclosures and exchanges, and need one of each: \
         fill the store with --entries {ENOUGH} or more, and --exchanges 1 or more."
    );
    Failure::new(Fault::ConfigInvalid).at("--entries").remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Db, Store, StoreOptions, StoreUrl};
    use diesel::connection::SimpleConnection as _;

    /// What a store lacks whose tree has entries with these actions, the last of them of an exchange.
    fn lacking(actions: &[&str]) -> Option<(Fault, String)> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("t.db");
        let url = StoreUrl::Sqlite(path.clone());
        let store = Store::open(&url, &StoreOptions::default()).expect("store");
        let mut rows = String::from(
            "INSERT INTO ledger_log (no, log_id, origin, public_key, began_ms) VALUES (1, 'l', 'o', x'00', 1);",
        );
        for (at, action) in actions.iter().enumerate() {
            let exchange = if *action == "exchange.started" { "'x1'" } else { "NULL" };
            rows += &format!(
                "INSERT INTO ledger_entry (id, at_us, action, correlation_id, entry, subject, exchange_id) \
                 VALUES ('e{at}', 1, '{action}', 'c', x'7b7d', 'ana', {exchange}); \
                 INSERT INTO ledger_leaf (log, entry_id, idx) VALUES (1, 'e{at}', {at});"
            );
        }
        rows += &format!(
            "INSERT INTO ledger_tree (log, size, edge, settled) VALUES (1, {}, x'', '');",
            actions.len()
        );
        store
            .write_blocking(move |db: &mut Db| {
                db.batch_execute(&rows)?;
                Ok(())
            })
            .expect("rows");
        let mut resting = RestingStore::open(&format!("sqlite:{}", path.display())).expect("opens");
        let samples = LedgerSamples::of(&mut resting);
        samples
            .err()
            .map(|failure| (failure.fault(), failure.operator_remedy_text().to_owned()))
    }

    #[test]
    fn a_store_that_is_too_small_is_told_what_it_lacks() {
        let all = ["member-match.matched", "disclosure.begun", "exchange.started"];
        for (has, what) in [
            (&all[..0], "match"),
            (&all[..1], "disclosure"),
            (&all[..2], "exchange"),
            (&all[1..], "match"),
        ] {
            let (fault, remedy) = lacking(has).expect("refused");
            assert_eq!(fault, Fault::ConfigInvalid, "{has:?}");
            assert!(remedy.contains(&format!("has no {what}.")), "{has:?}: {remedy}");
            assert!(remedy.contains("--entries 200"), "{remedy}");
        }
        assert_eq!(lacking(&all), None);
    }
}
