//! Evidence packets: what somebody asked for, which entries of the ledger belong to it, and the one file that shows and proves them. Cases
//! group what a packet is about.
//!
//! A packet is made from entries that a checkpoint covers, and from rows beside them as they were then: the same question, the same checkpoint
//! and the same program make the same bytes. It changes nothing of what it tells, and has no demographics.
//! Only a packet that is asked for with personal values opens what its entries are committed to.

pub mod asks;
pub mod cases;
mod documents;
mod entry;
mod figures;
mod gathered;
pub mod make;
mod opened;
mod policies;
mod report;
pub mod scope;
pub mod step;
mod timeline;
