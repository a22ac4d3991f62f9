//! A row of a reconciliation, and its forms in a file: a line of CSV or of NDJSON. Pure: values in, values out.
//!
//! The names of the columns and of the outcomes are an interface with partners: a name may be added, never changed.

use crate::error::{Failure, Fault};
use crate::exchange::phase::{ConsentState, DeliveryState, Phase};
use crate::ids::is_correlation_id;
use serde::{Deserialize, Serialize};

/// The columns, in the order in which they are written.
pub const COLUMNS: [&str; 12] = [
    "correlation_id",
    "exchange_id",
    "direction",
    "kind",
    "state",
    "outcome",
    "started_at",
    "ended_at",
    "receipt",
    "acknowledged_at",
    "resources",
    "bytes",
];

/// What a spreadsheet takes for the begin of a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// How an exchange stands, in words that both payers use in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReconcileOutcome {
    /// The other payer was not asked, so that it knows nothing of it.
    Unasked,
    /// It has not ended, and the record has not been sent as a whole.
    Open,
    /// The record was sent as a whole, or was received and stored.
    Delivered,
    /// Whoever was asked refused.
    Refused,
    /// It ended without the record.
    Ended,
}

impl ReconcileOutcome {
    /// Every outcome.
    pub const ALL: [ReconcileOutcome; 5] = [
        ReconcileOutcome::Unasked,
        ReconcileOutcome::Open,
        ReconcileOutcome::Delivered,
        ReconcileOutcome::Refused,
        ReconcileOutcome::Ended,
    ];

    /// Its name in a file.
    pub const fn code(self) -> &'static str {
        match self {
            ReconcileOutcome::Unasked => "unasked",
            ReconcileOutcome::Open => "open",
            ReconcileOutcome::Delivered => "delivered",
            ReconcileOutcome::Refused => "refused",
            ReconcileOutcome::Ended => "ended",
        }
    }

    /// That of an exchange of ours in this phase, with this state of the consent; `is_asked` says whether the partner was asked. Where the
    /// consent ended it here, the partner has not refused.
    pub fn of_ours(phase: Option<Phase>, consent: Option<ConsentState>, is_asked: bool) -> ReconcileOutcome {
        let is_over = matches!(
            consent,
            Some(ConsentState::Refused | ConsentState::Expired | ConsentState::Revoked)
        );
        match phase {
            _ if !is_asked => ReconcileOutcome::Unasked,
            Some(Phase::Completed) => ReconcileOutcome::Delivered,
            Some(Phase::Refused) if is_over => ReconcileOutcome::Ended,
            Some(Phase::Refused) => ReconcileOutcome::Refused,
            Some(Phase::Failed | Phase::Cancelled | Phase::Superseded) => ReconcileOutcome::Ended,
            _ => ReconcileOutcome::Open,
        }
    }

    /// That of an exchange that the partner began.
    pub fn of_theirs(phase: Phase, delivery: DeliveryState) -> ReconcileOutcome {
        match (phase, delivery) {
            (Phase::Completed, _) | (Phase::Matched, DeliveryState::Received) => ReconcileOutcome::Delivered,
            (Phase::Matched, _) => ReconcileOutcome::Open,
            (Phase::Failed | Phase::Superseded | Phase::Cancelled, _) => ReconcileOutcome::Ended,
            _ => ReconcileOutcome::Refused,
        }
    }
}

/// One exchange with a partner, from the view of the payer whose file it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconcileRow {
    /// The id that both payers have for it.
    pub correlation_id: String,
    /// The id of the payer whose file it is.
    pub exchange_id: String,
    /// `outbound` when that payer asked, else `inbound`.
    pub direction: String,
    /// `single` or `bulk`.
    pub kind: String,
    /// The payer's own word for where it stands. In what we write about what we began, the outcome once more.
    pub state: String,
    /// Where it stands, in a common word.
    pub outcome: ReconcileOutcome,
    /// When it began, an RFC 3339 instant.
    pub started_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// SHA-256 of the receipt of the export, hexadecimal, of a bulk exchange.
    pub receipt: Option<String>,
    /// When the receipt was acknowledged, or the record of a single exchange stored.
    pub acknowledged_at: Option<String>,
    /// Resources that were sent or came, where that is known.
    pub resources: Option<u64>,
    /// Bytes that were sent or came, where that is known.
    pub bytes: Option<u64>,
}

impl ReconcileRow {
    /// The row as a line of NDJSON.
    ///
    /// # Errors
    /// [`Fault::Internal`] for what has no JSON.
    pub fn ndjson(&self) -> Result<String, Failure> {
        let text = serde_json::to_string(self).map_err(|error| Failure::new(Fault::Internal).because(error))?;
        Ok(text + "\n")
    }

    /// The row as a line of CSV (RFC 4180).
    pub fn csv(&self) -> String {
        let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        csv_line(&[
            &self.correlation_id,
            &self.exchange_id,
            &self.direction,
            &self.kind,
            &self.state,
            self.outcome.code(),
            &self.started_at,
            self.ended_at.as_deref().unwrap_or_default(),
            self.receipt.as_deref().unwrap_or_default(),
            self.acknowledged_at.as_deref().unwrap_or_default(),
            &number(self.resources),
            &number(self.bytes),
        ])
    }

    /// The first column whose value cannot be one of a reconciliation.
    pub fn wrong(&self) -> Option<&'static str> {
        let is_time = |text: &str| crate::clock::parse_rfc3339_ms(text).is_some();
        let is_time_or_none = |text: &Option<String>| text.as_deref().is_none_or(is_time);
        let checks = [
            ("correlation_id", is_correlation_id(&self.correlation_id)),
            ("exchange_id", is_correlation_id(&self.exchange_id)),
            ("direction", matches!(self.direction.as_str(), "inbound" | "outbound")),
            ("kind", matches!(self.kind.as_str(), "single" | "bulk")),
            (
                "state",
                self.state.len() <= 64 && !self.state.chars().any(char::is_control),
            ),
            ("started_at", is_time(&self.started_at)),
            ("ended_at", is_time_or_none(&self.ended_at)),
            ("receipt", self.receipt.as_deref().is_none_or(is_correlation_id)),
            ("acknowledged_at", is_time_or_none(&self.acknowledged_at)),
        ];
        checks.iter().find(|(_, is_right)| !is_right).map(|(column, _)| *column)
    }
}

/// The first line of a file of CSV.
pub fn csv_header() -> String {
    csv_line(&COLUMNS)
}

/// A line of CSV. A cell that a spreadsheet would take for a formula begins with an apostrophe, which [`unguarded`] takes away again.
pub fn csv_line(cells: &[&str]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| csv_cell(cell)).collect();
    cells.join(",") + "\r\n"
}

fn csv_cell(text: &str) -> String {
    let guard = if text.starts_with(FORMULA) { "'" } else { "" };
    if guard.is_empty() && !text.contains(['"', ',', '\n', '\r']) {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

/// The cell without the apostrophe that keeps a spreadsheet from taking it for a formula.
pub fn unguarded(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if rest.starts_with(FORMULA) => rest,
        _ => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::enrolments::csv_cells;

    #[test]
    fn a_cell_is_no_formula_in_a_spreadsheet_and_is_read_as_it_was() {
        for text in [
            "=1+1",
            "+1",
            "-1",
            "@sum",
            "a,b",
            "say \"x\"",
            "plain",
            "",
            "'quoted",
            "\tx",
        ] {
            let line = csv_line(&[text, "z"]);
            let cells = csv_cells(line.trim_end()).expect("cells");
            assert_eq!((unguarded(&cells[0]), cells[1].as_str()), (text, "z"), "{line}");
            assert!(!cells[0].starts_with(FORMULA), "{line}");
        }
    }

    #[test]
    fn outcomes_have_the_names_that_partners_read() {
        for outcome in ReconcileOutcome::ALL {
            let json = serde_json::to_string(&outcome).expect("JSON");
            assert_eq!(json, format!("\"{}\"", outcome.code()));
        }
    }

    #[test]
    fn the_outcome_follows_from_the_states_of_either_direction() {
        use ReconcileOutcome::*;
        for (phase, asked, wanted) in [
            (Phase::Requested, false, Unasked),
            (Phase::Cancelled, false, Unasked),
            (Phase::Requested, true, Open),
            (Phase::ManualReview, true, Open),
            (Phase::Completed, true, Delivered),
            (Phase::Refused, true, Refused),
            (Phase::Failed, true, Ended),
        ] {
            let consent = Some(ConsentState::Permitted);
            assert_eq!(
                ReconcileOutcome::of_ours(Some(phase), consent, asked),
                wanted,
                "{phase:?}"
            );
        }
        for consent in [ConsentState::Refused, ConsentState::Expired, ConsentState::Revoked] {
            let outcome = ReconcileOutcome::of_ours(Some(Phase::Refused), Some(consent), true);
            assert_eq!(outcome, Ended, "{consent:?}: the partner has not refused");
        }
        for (phase, delivery, wanted) in [
            (Phase::Matched, DeliveryState::None, Open),
            (Phase::Matched, DeliveryState::Partial, Open),
            (Phase::Matched, DeliveryState::Received, Delivered),
            (Phase::Completed, DeliveryState::Received, Delivered),
            (Phase::Superseded, DeliveryState::None, Ended),
            (Phase::Refused, DeliveryState::None, Refused),
            // The partner was told that nobody was found.
            (Phase::ManualReview, DeliveryState::None, Refused),
        ] {
            assert_eq!(ReconcileOutcome::of_theirs(phase, delivery), wanted, "{phase:?}");
        }
    }
}
