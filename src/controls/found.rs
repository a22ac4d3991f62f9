//! An entry of the ledger as a control reads it: its bytes, and what opens its commitments. Values of members are compared and never shown.

use crate::audit::commitment;
use crate::error::{Failure, Fault};
use crate::store::correlations::is_handle;
use crate::store::entries::EntryRow;
use serde_json::Value;

/// An entry, read.
#[derive(Clone, Debug)]
pub struct EntryRead {
    /// Its row.
    pub row: EntryRow,
    /// What its bytes say.
    pub told: Value,
}

/// Whether a commitment opens to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitmentOpens {
    /// It does.
    Yes,
    /// It does not, or there is no commitment.
    No,
    /// What opens it was erased.
    Erased,
}

impl EntryRead {
    /// Reads a row.
    ///
    /// # Errors
    /// [`Fault::StoreDamaged`] for bytes that are no JSON.
    pub fn of(row: EntryRow) -> Result<EntryRead, Failure> {
        let told =
            serde_json::from_slice(&row.entry).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))?;
        Ok(EntryRead { row, told })
    }

    /// Reads rows.
    ///
    /// # Errors
    /// As [`EntryRead::of`].
    pub fn all(rows: Vec<EntryRow>) -> Result<Vec<EntryRead>, Failure> {
        rows.into_iter().map(EntryRead::of).collect()
    }

    /// A text of the entry, such as `/outcome/reason`.
    pub fn text(&self, place: &str) -> Option<&str> {
        self.told.pointer(place)?.as_str()
    }

    /// A number of the entry.
    pub fn number(&self, place: &str) -> Option<u64> {
        self.told.pointer(place)?.as_u64()
    }

    /// Whether its action has this code.
    pub fn is(&self, action: crate::audit::Action) -> bool {
        self.row.action == action.code()
    }

    /// Whether the commitment at `place` is one to `value`, as to a field of this name.
    pub fn opens(&self, field: &str, place: &str, value: &str) -> CommitmentOpens {
        let Some(committed) = self.text(place) else {
            return CommitmentOpens::No;
        };
        let salt: Option<[u8; 32]> = self.row.salt.as_deref().and_then(|salt| salt.try_into().ok());
        match salt {
            None => CommitmentOpens::Erased,
            Some(salt) if commitment(field, &salt, value) == committed => CommitmentOpens::Yes,
            Some(_) => CommitmentOpens::No,
        }
    }

    /// Whether its object is the one with this id.
    pub fn is_about(&self, id: &str) -> CommitmentOpens {
        self.opens("object", "/object/id_commit", id)
    }

    /// Whether its consent is the one with this id.
    pub fn is_under(&self, consent_id: &str) -> CommitmentOpens {
        self.opens("consent", "/consent/id_commit", consent_id)
    }

    /// In what the columns beside the bytes contradict them, if they do. The columns find entries; the bytes are what was signed.
    pub fn contradiction(&self, exchange_id: Option<&str>) -> Option<&'static str> {
        let same = |place: &str, column: Option<&str>| self.text(place) == column;
        let request_id = self.row.request_id.as_deref().unwrap_or(&self.row.correlation_id);
        // An erasure puts this server's id of the request into the place of one that the caller chose.
        let is_taken_out = self.row.request_id.is_none() && same("/request_id", Some(&self.row.correlation_id));
        let is_correlation = match self.text("/correlation_commit") {
            // What it stands for lies sealed, and is looked at where it is opened.
            _ if is_handle(&self.row.correlation_id) => self.row.request_id.is_some(),
            Some(_) => {
                self.opens("correlation", "/correlation_commit", &self.row.correlation_id) != CommitmentOpens::No
            }
            None => same("/correlation_id", Some(&self.row.correlation_id)),
        };
        let ts = crate::clock::rfc3339_us(self.row.at_us);
        [
            ("action", same("/action", Some(&self.row.action))),
            ("partner", same("/partner", self.row.partner_id.as_deref())),
            ("exchange", same("/exchange", exchange_id)),
            ("correlation id", is_taken_out || is_correlation),
            ("request id", same("/request_id", Some(request_id))),
            ("time", same("/ts", Some(&ts))),
            (
                "subject",
                self.row
                    .subject
                    .as_deref()
                    .is_none_or(|subject| self.is_about(subject) != CommitmentOpens::No),
            ),
        ]
        .into_iter()
        .find_map(|(what, is_same)| (!is_same).then_some(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Action, Actor, LedgerEvent, Object, ledger};
    use crate::telemetry::Correlation;

    fn entry() -> EntryRead {
        of(Correlation::internal("r".into()))
    }

    fn of(correlation: Correlation) -> EntryRead {
        let actor = Actor {
            kind: "partner",
            id: Some("p".into()),
            ..Actor::default()
        };
        let mut event = LedgerEvent::new(Action::ConsentRecorded, actor, correlation);
        event.object = Some(Object {
            kind: "Consent",
            id: "c-1".into(),
        });
        let row = ledger::row(&event, "e-1", 7_000_001);
        EntryRead::of(EntryRow {
            id: row.id,
            at_us: row.at_us,
            action: row.action.into(),
            partner_id: row.partner_id,
            correlation_id: row.correlation_id,
            request_id: row.request_id,
            entry: row.entry,
            subject: row.subject,
            salt: Some(row.salt.to_vec()),
        })
        .expect("JSON")
    }

    #[test]
    fn commitments_open_to_their_value_alone_until_they_are_erased() {
        let mut entry = entry();
        assert_eq!(entry.is_about("c-1"), CommitmentOpens::Yes);
        assert_eq!(entry.is_about("c-2"), CommitmentOpens::No);
        assert_eq!(entry.is_under("c-1"), CommitmentOpens::No, "it has no consent");
        entry.row.salt = None;
        assert_eq!(entry.is_about("c-2"), CommitmentOpens::Erased);
    }

    #[test]
    fn each_column_that_contradicts_the_bytes_is_named() {
        assert_eq!(entry().contradiction(None), None);
        type Change = fn(&mut EntryRow);
        let changes: [(&str, Change); 6] = [
            ("action", |row| row.action = "consent.revoked".into()),
            ("partner", |row| row.partner_id = None),
            ("correlation id", |row| row.correlation_id = "other".into()),
            ("request id", |row| row.request_id = Some("other".into())),
            ("time", |row| row.at_us += 1),
            ("subject", |row| row.subject = Some("c-2".into())),
        ];
        for (what, change) in changes {
            let mut entry = entry();
            change(&mut entry.row);
            assert_eq!(entry.contradiction(None), Some(what));
        }
        assert_eq!(entry().contradiction(Some("x")), Some("exchange"));
        let mut erased = entry();
        (erased.row.subject, erased.row.salt) = (None, None);
        assert_eq!(erased.contradiction(None), None);
    }

    #[test]
    fn a_correlation_id_that_a_caller_chose_is_compared_with_its_commitment() {
        let chosen = || of(Correlation::of("r".into(), [0; 8], Some("theirs"), None, None));
        assert_eq!(chosen().contradiction(None), None);
        let mut other = chosen();
        other.row.correlation_id = "other".into();
        assert_eq!(other.contradiction(None), Some("correlation id"));
        // What an erasure leaves, with the salt and without it.
        let mut taken_out = chosen();
        (taken_out.row.correlation_id, taken_out.row.request_id) = ("r".into(), None);
        assert_eq!(taken_out.contradiction(None), None);
        (taken_out.row.subject, taken_out.row.salt) = (None, None);
        assert_eq!(taken_out.contradiction(None), None);
    }
}
