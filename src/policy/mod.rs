//! Versions of rules, named by the digest of their text: which exist, which decides for whom and from when on, how two differ, and what one
//! would have decided in a shadow run.
//!
//! Every change is one transaction with its ledger entry, which records who made it and why. A version is never changed or deleted, so
//! going back means activating an older one. Nothing here decides a match; a shadow run stores counts, and nothing of a request.

mod activation;
mod difference;
mod error_texts;
mod hand;
mod keyed;
mod kind;
pub mod shadow;
mod standing;
mod survivorship;
mod versions;

pub use activation::{Activated, ActivationWish, activate, approve, is_same_person, roll_back, withdraw};
pub use difference::{KeyChange, difference};
pub use error_texts::{check_error_texts, no_error_texts};
pub use hand::PolicyHand;
pub use keyed::{KeyedLine, keyed};
pub use kind::{
    BuiltIn, CITED_DIGITS, CheckText, KindScope, KindTable, LineForm, PolicyKind, PolicyKindRow, TextError, row_of,
};
pub use shadow::{ShadowReport, report, start_shadow, stop_shadow};
pub use standing::VersionState;
pub use survivorship::{adopt, survivorship};
pub use versions::{NewVersion, TEXT_BYTES, Version, all, find, find_in, import, in_force, keep_built_in, list};
