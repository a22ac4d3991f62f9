//! The report of a month: what was asked of partners and of us, how it ended, and how long it took, by partner and beside the month before.
//!
//! Made from rows alone, so that it says the same after a restart and over many processes. It counts, and names no member and no exchange.

pub mod figures;
pub mod page;
pub mod read;
pub mod report;
