//! Versions of rules, named by the digest of their text: which exist, which is active, how
//! two differ, and what one would have decided in a shadow run.
//!
//! Every change is one transaction with its ledger entry, which records who made it and why. A version is never changed or deleted, so
//! going back means activating an older one. Nothing here decides a match; a shadow run stores counts, and nothing of a request.

mod difference;
pub mod shadow;
mod survivorship;
mod versions;

pub use difference::{KeyChange, difference};
pub use shadow::{ShadowReport, report};
pub use survivorship::{adopt, survivorship};
pub use versions::{Version, VersionState, activate, all, find, import, in_force, list, start_shadow, stop_shadow};
