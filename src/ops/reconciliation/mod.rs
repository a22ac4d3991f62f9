//! Reconciliation with one partner: our exchanges as rows of a file that may be given to that partner, and a comparison of such a file of the
//! partner's with what stands here.
//!
//! Reads only. A row names no member, unless whoever asked took a member's number for the correlation id. A match that waits for a person is
//! shown as the refusal that the partner was told. How it is compared, and what that costs:
//! `docs/adr/0031-reconciliation-by-two-sorted-sides.md`.

pub mod compare;
pub mod file;
pub mod next;
pub mod read;
pub mod row;
pub mod rows;
pub mod side;
