//! The ledger entry of an act on a review or on links.

use super::order::ReviewActor;
use crate::audit::{Action, Actor, EntryOutcome, LedgerEvent, Object, OperatorNote};
use crate::secret::sha256;

/// Makes the entry of an act on a review or on links. It names the role; the person's name is in the note next to it, where it can be
/// erased. It contains a digest of the stored act, so that a later change of the act can be detected.
pub(super) fn entry(
    action: Action,
    by: &ReviewActor,
    object: Object,
    partner: &str,
    what: &'static str,
    act: &str,
) -> LedgerEvent {
    let actor = Actor {
        kind: "operator",
        id: Some("reviewer".to_owned()),
        ..Actor::default()
    };
    let mut entry = LedgerEvent::new(action, actor, by.correlation.clone());
    entry.note = Some(OperatorNote {
        operator: by.hand.clone(),
        reason: String::new(),
    });
    entry.partner = Some(partner.to_owned()).filter(|partner| !partner.is_empty());
    entry.object = Some(object);
    entry.outcome = EntryOutcome {
        class: "ok",
        http: None,
        reason: Some(what),
    };
    entry.request_digest = Some(sha256(act.as_bytes()));
    entry
}
