//! Evidence packets: one file that shows what happened, with the proofs that it is in the ledger. What is inside, and checking it.
//!
//! Pure: bytes in, bytes out. Nothing here reads a store or decides what belongs into a packet.

pub mod archive;
pub mod check;
pub mod manifest;
pub mod opened;
pub mod proofs;
