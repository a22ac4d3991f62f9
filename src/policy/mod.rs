//! Versions of the rules, named by the digest of their text: which there are, which is in force, how two differ, and what one
//! would have decided beside the other.
//!
//! Every change is one transaction with its ledger entry, and says who and why. A version is never changed or deleted, so going
//! back is activating an older one. Nothing here decides a match, and a shadow run keeps counts and nothing of a request.

mod difference;
pub mod shadow;
mod survivorship;
mod versions;

pub use difference::{Change, difference};
pub use shadow::{Report, report};
pub use survivorship::{adopt, survivorship};
pub use versions::{Standing, Version, activate, all, find, import, in_force, list, start_shadow, stop_shadow};
