//! What is safe to do next about something in which two payers differ: a table. Pure.

use super::row::ReconcileOutcome;
use serde::Serialize;

/// In what two payers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReconcileFinding {
    /// We have the exchange, and the partner's file does not.
    OnlyOurs,
    /// The partner's file has it, and we do not.
    OnlyTheirs,
    /// Whoever asked has more exchanges with this correlation id than whoever was asked.
    Rows,
    /// Both have it, and it stands differently.
    Outcome,
    /// Both have it, and name different receipts, or one of them none.
    Receipt,
    /// Whoever asked acknowledged the receipt, and whoever was asked does not have that.
    Acknowledgement,
}

impl ReconcileFinding {
    /// Every finding.
    pub const ALL: [ReconcileFinding; 6] = [
        ReconcileFinding::OnlyOurs,
        ReconcileFinding::OnlyTheirs,
        ReconcileFinding::Rows,
        ReconcileFinding::Outcome,
        ReconcileFinding::Receipt,
        ReconcileFinding::Acknowledgement,
    ];

    /// Its name in an answer.
    pub const fn code(self) -> &'static str {
        match self {
            ReconcileFinding::OnlyOurs => "only-ours",
            ReconcileFinding::OnlyTheirs => "only-theirs",
            ReconcileFinding::Rows => "rows",
            ReconcileFinding::Outcome => "outcome",
            ReconcileFinding::Receipt => "receipt",
            ReconcileFinding::Acknowledgement => "acknowledgement",
        }
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReconcileAction {
    /// Nothing.
    Nothing,
    /// Let our exchange ask again for what the partner has ready.
    PollAgain,
    /// Send our request again.
    SendAgain,
    /// Compare the two records of it with the partner.
    AskPartner,
    /// Let the partner poll or send again.
    PartnerSendsAgain,
    /// Look for it in our ledger.
    TraceHere,
}

impl ReconcileAction {
    /// Every action.
    pub const ALL: [ReconcileAction; 6] = [
        ReconcileAction::Nothing,
        ReconcileAction::PollAgain,
        ReconcileAction::SendAgain,
        ReconcileAction::AskPartner,
        ReconcileAction::PartnerSendsAgain,
        ReconcileAction::TraceHere,
    ];

    /// Its name in an answer.
    pub const fn code(self) -> &'static str {
        match self {
            ReconcileAction::Nothing => "nothing",
            ReconcileAction::PollAgain => "poll-again",
            ReconcileAction::SendAgain => "send-again",
            ReconcileAction::AskPartner => "ask-partner",
            ReconcileAction::PartnerSendsAgain => "partner-sends-again",
            ReconcileAction::TraceHere => "trace-here",
        }
    }

    /// The same for people.
    pub const fn text(self) -> &'static str {
        match self {
            ReconcileAction::Nothing => "Nothing: no record was given, and none is waited for.",
            ReconcileAction::PollAgain => {
                "Wait, or replay our exchange if it is parked: it asks again for what the partner has, which changes nothing there."
            }
            ReconcileAction::SendAgain => {
                "Replay our exchange: sending again is safe, because a repeated request has the same key or only reads."
            }
            ReconcileAction::AskPartner => {
                "Ask the partner, with the correlation id, what its record of this exchange says."
            }
            ReconcileAction::PartnerSendsAgain => {
                "Ask the partner to poll or send again: that is safe, because a repeated request does no work twice here."
            }
            ReconcileAction::TraceHere => {
                "Look here first: causeway trace with the correlation id. Then ask the partner."
            }
        }
    }
}

/// Whether how whoever asked has it fits how whoever was asked has it. In a bulk exchange whoever was asked does not know that nobody was
/// matched, and that no export follows. What ended for whoever asked, such as by its consent, may stand in any way for whoever was asked.
pub fn fits(asker: ReconcileOutcome, asked: ReconcileOutcome, is_bulk: bool) -> bool {
    use ReconcileOutcome::{Delivered, Ended, Open, Refused};
    asker == asked
        || matches!((asker, asked), (Ended, Open | Refused | Delivered))
        || (is_bulk && matches!((asker, asked), (Refused, Open | Ended)))
        || (is_bulk && matches!((asker, asked), (Open, Delivered)))
}

/// What to do about an exchange that only one side has; `None` when that is as it should be.
pub fn of_one_side(finding: ReconcileFinding, by_us: bool, outcome: ReconcileOutcome) -> Option<ReconcileAction> {
    use ReconcileAction::{AskPartner, Nothing, PartnerSendsAgain, SendAgain, TraceHere};
    use ReconcileOutcome::{Delivered, Ended, Open, Refused, Unasked};
    let is_ours = finding == ReconcileFinding::OnlyOurs;
    Some(match (is_ours, by_us, outcome) {
        (_, _, Unasked) => return None,
        (true, true, Open) => SendAgain,
        (true, true, Ended) => Nothing,
        (true, true, Delivered | Refused) => AskPartner,
        (true, false, Open | Delivered) => AskPartner,
        (true, false, Refused | Ended) => Nothing,
        (false, true, _) => TraceHere,
        (false, false, Open) => PartnerSendsAgain,
        (false, false, Delivered) => TraceHere,
        (false, false, Refused | Ended) => Nothing,
    })
}

/// What to do about an exchange that stands differently; [`fits`] said so. `asker` is how whoever asked has it.
pub fn of_outcome(by_us: bool, asker: ReconcileOutcome, asked: ReconcileOutcome) -> ReconcileAction {
    use ReconcileAction::{AskPartner, PartnerSendsAgain, PollAgain, SendAgain, TraceHere};
    use ReconcileOutcome::{Delivered, Ended, Open, Refused, Unasked};
    match (by_us, asker, asked) {
        (_, Unasked, _) | (_, _, Unasked) => TraceHere,
        (true, Open, Delivered | Refused) => PollAgain,
        (true, Open, _) => SendAgain,
        // What has ended cannot be replayed, and must not be where the consent ended it.
        (_, Refused | Ended, _) | (true, Delivered, _) => AskPartner,
        // The partner says that it has what we did not give.
        (false, Delivered, _) => TraceHere,
        (false, Open, _) => PartnerSendsAgain,
    }
}

/// What to do when whoever was asked has fewer exchanges with a correlation id. Which of them are missing cannot be told from the id.
pub fn of_rows(by_us: bool) -> ReconcileAction {
    if by_us {
        ReconcileAction::AskPartner
    } else {
        ReconcileAction::TraceHere
    }
}

/// What to do about receipts that differ: whether whoever asked has one, and whether whoever was asked has one.
pub fn of_receipt(by_us: bool, asker: bool, asked: bool) -> ReconcileAction {
    match (by_us, asker, asked) {
        (true, false, true) => ReconcileAction::PollAgain,
        (false, false, true) => ReconcileAction::PartnerSendsAgain,
        (true, ..) => ReconcileAction::AskPartner,
        (false, ..) => ReconcileAction::TraceHere,
    }
}

/// What to do about an acknowledgement that did not arrive.
pub fn of_acknowledgement(by_us: bool) -> ReconcileAction {
    if by_us {
        ReconcileAction::AskPartner
    } else {
        ReconcileAction::PartnerSendsAgain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_in_every_form_and_texts_are_sentences() {
        for action in ReconcileAction::ALL {
            assert_eq!(
                serde_json::to_string(&action).expect("JSON"),
                format!("\"{}\"", action.code())
            );
            assert!(action.text().ends_with('.'), "{action:?}");
        }
        for finding in ReconcileFinding::ALL {
            assert_eq!(
                serde_json::to_string(&finding).expect("JSON"),
                format!("\"{}\"", finding.code())
            );
        }
    }

    #[test]
    fn every_pair_of_outcomes_fits_or_has_an_action() {
        for by_us in [true, false] {
            for asker in ReconcileOutcome::ALL {
                for asked in ReconcileOutcome::ALL {
                    let action = of_outcome(by_us, asker, asked);
                    if !fits(asker, asked, false) {
                        assert_ne!(action, ReconcileAction::Nothing, "{by_us} {asker:?} {asked:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn nobody_sends_again_what_has_ended_for_whoever_asked() {
        for by_us in [true, false] {
            for asker in [ReconcileOutcome::Refused, ReconcileOutcome::Ended] {
                for asked in ReconcileOutcome::ALL {
                    let action = of_outcome(by_us, asker, asked);
                    assert!(
                        matches!(action, ReconcileAction::AskPartner | ReconcileAction::TraceHere),
                        "{by_us} {asker:?} {asked:?} {action:?}"
                    );
                }
            }
        }
        assert!(fits(ReconcileOutcome::Ended, ReconcileOutcome::Delivered, false));
    }

    #[test]
    fn nobody_sends_again_what_is_on_record_as_delivered_to_whoever_asked() {
        for asked in ReconcileOutcome::ALL {
            let ours = of_outcome(true, ReconcileOutcome::Delivered, asked);
            assert!(
                !matches!(ours, ReconcileAction::SendAgain | ReconcileAction::PollAgain),
                "{asked:?}"
            );
            let theirs = of_outcome(false, ReconcileOutcome::Delivered, asked);
            assert_ne!(theirs, ReconcileAction::PartnerSendsAgain, "{asked:?}");
        }
    }
}
