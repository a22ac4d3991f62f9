//! What this payer asks a partner for many members at once: one bulk match, one export of the group of the matched members, and its files.
//!
//! A run only carries the wire. Each member stays an exchange of its own, with its own states, consent checks and ledger entries
//! (`exchange::carried`); when the run brings nothing for a member, or is given up, the exchange goes on alone. Nothing of an export reaches an
//! exchange before every line of every file was found to be of a member of the run.
//!
//! This module never decides what a member's exchange does next, and makes no call inside a transaction.

mod alone;
mod answer;
mod cancel;
mod export;
mod fetch;
mod gather;
mod kind;
mod land;
mod late;
mod lines;
mod members;
mod question;
mod receipt;
mod reply;
mod reuse;
mod run;
mod sort;
mod step;
mod weigh;
mod wire;

pub use cancel::cancel_run;
pub use gather::{close, gather};
pub use kind::{ASK, ASK_END, failpoints};
pub use late::EndLateRuns;
pub use members::{ALONE, ANSWERED, LEFT};
pub use step::AskInBulk;
