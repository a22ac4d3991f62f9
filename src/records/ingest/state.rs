//! How far what one exchange brings has come.

/// The exchange is receiving.
pub(super) const RECEIVING: &str = "receiving";
/// What came is stored.
pub(super) const DONE: &str = "stored";
/// What came was taken out again.
pub(super) const RETRACTED: &str = "retracted";
