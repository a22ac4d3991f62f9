//! A file of a run that may be sent to its partner. Who may have it was decided by whatever opened it.

use super::files::FileReader;
use super::range::FileSpan;
use crate::release::Disclosure;
use crate::store::bulk::BulkFileRow;

/// A file that may be sent.
pub struct OpenedFile {
    /// Its row.
    pub row: BulkFileRow,
    /// Its text.
    pub reader: FileReader,
    /// What of it is sent, and the disclosure of that, which has begun; `None` when it has none of the bytes that are asked for.
    pub sent: Option<(FileSpan, Disclosure)>,
}
