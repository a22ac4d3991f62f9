//! The form of a file of a run: its head, its pieces, and what a failure with one means. It reads and writes nothing.

use crate::error::{Failure, Fault};
use std::io::ErrorKind;

/// Length of a piece before it is sealed. It must never change: pieces are found by it.
pub const PIECE_BYTES: usize = 64 * 1024;
/// Bytes that sealing adds: the nonce and the tag.
pub(super) const SEALED_MORE: usize = 12 + 16;
/// With this begins each file; the id of its key and a line end follow.
pub(super) const HEAD: &str = "causeway-bulk/1 ";
/// Longest head.
pub(super) const HEAD_BYTES: usize = 128;

/// The key under which a file with this beginning was sealed.
pub(super) fn key_id(beginning: &[u8]) -> Option<String> {
    let end = beginning.iter().position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&beginning[..end]).ok()?;
    line.strip_prefix(HEAD).map(str::to_owned)
}

/// How many pieces a text of this length has.
pub(super) fn pieces(bytes: u64) -> u64 {
    bytes.div_ceil(PIECE_BYTES as u64)
}

/// A folder or a file in it cannot be used.
pub(super) fn unusable(error: std::io::Error) -> Failure {
    let fault = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Fault::NoRoom,
        _ => Fault::BulkFolder,
    };
    Failure::new(fault).because(error)
}

/// The keys are wrong, or a file is not as it was written.
pub(super) fn unsealed(failure: Failure) -> Failure {
    Failure::new(Fault::BulkFolder).because(failure)
}
