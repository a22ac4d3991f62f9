//! How a partner does, and how this server does: figures of a week, a month or a quarter of UTC, as values, as CSV and as a page to print.
//!
//! Made from business figures (`figures`). A look reads a row for each day and kind, however much was exchanged. Names partners, never a member.

pub mod figures;
pub mod page;
pub mod period;
pub mod read;
