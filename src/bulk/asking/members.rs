//! How far the members of a run are. The names are in rows, and must never change.

/// Nothing was asked about the member.
pub(super) const WAITING: &str = "waiting";
/// The partner was asked who the member is there.
pub(super) const ASKED: &str = "asked";
/// The partner knows the member.
pub(super) const MATCHED: &str = "matched";
/// The partner was asked for the record.
pub(super) const FETCHING: &str = "fetching";
/// The record came, and the member's exchange has it.
pub(super) const RECEIVED: &str = "received";
/// The partner's answer ended the run's work for the member: no match, or a consent that is not honored.
pub const ANSWERED: &str = "answered";
/// The member's exchange goes on alone.
pub const ALONE: &str = "alone";
/// The member's exchange had ended, or was not permitted any more.
pub const LEFT: &str = "left";
