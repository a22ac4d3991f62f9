//! `[retention]`: how long each kind of data is kept.

use super::check::refuse;
use super::key::TypedKey;
use super::keys;
use super::values::ConfigValues;
use crate::error::Failure;
use crate::keeping::{DataKind, Periods};

/// The keys of periods, with their kinds of data.
const CHOSEN: [(DataKind, &TypedKey<i64>); 13] = [
    (DataKind::Checkpoints, &keys::RETENTION_CHECKPOINT_YEARS),
    (DataKind::Consents, &keys::RETENTION_CONSENT_YEARS),
    (DataKind::Decisions, &keys::RETENTION_DECISION_YEARS),
    (DataKind::Exchanges, &keys::RETENTION_EXCHANGE_YEARS),
    (DataKind::Exports, &keys::BULK_KEEP_HOURS),
    (DataKind::Figures, &keys::RETENTION_FIGURE_YEARS),
    (DataKind::Groups, &keys::BULK_GROUP_DAYS),
    (DataKind::Idempotency, &keys::RETENTION_IDEMPOTENCY_DAYS),
    (DataKind::Ledger, &keys::RETENTION_LEDGER_YEARS),
    (DataKind::Packets, &keys::RETENTION_PACKET_YEARS),
    (DataKind::Received, &keys::RETENTION_RECEIVED_YEARS),
    (DataKind::Reviews, &keys::RETENTION_REVIEW_YEARS),
    (DataKind::Runs, &keys::RETENTION_RUN_YEARS),
];

impl ConfigValues {
    pub(super) fn retention(&self) -> Result<Periods, Failure> {
        CHOSEN.iter().try_fold(Periods::default(), |periods, (kind, key)| {
            periods
                .with(*kind, self.get(key)?)
                .map_err(|fault| refuse(key.name(), format!("Correct {}: {fault}.", key.name())))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeping::table::KINDS;

    #[test]
    fn each_period_that_can_be_chosen_has_a_key_with_its_bounds_and_default() {
        let mut chosen = CHOSEN.iter();
        for row in KINDS {
            let Some(rule) = row.kind.rule() else { continue };
            let (kind, key) = chosen.next().expect("a key for each kind, in their order");
            assert_eq!((*kind, key.name()), (row.kind, rule.key));
            let of_table = keys::find(rule.key).expect("a row of the table of keys");
            assert_eq!(of_table.default, rule.default.to_string(), "{}", rule.key);
        }
        assert!(chosen.next().is_none());
        let values = ConfigValues::defaults().expect("the defaults");
        assert_eq!(values.retention().ok(), Some(Periods::default()));
    }
}
