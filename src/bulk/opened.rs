//! A file of a run that may be sent to its partner. Who may have it was decided by whatever opened it.

use super::files::FileReader;
use super::range::{FileSpan, length};
use crate::release::{Disclosure, JobFile, MembersBehind};
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

/// These bytes of a file in which no line belongs to one member alone, and the members of whom it tells.
pub(super) fn of_job<'r>(row: &'r BulkFileRow, span: &FileSpan, behind: MembersBehind) -> JobFile<'r> {
    let resources = u64::try_from(row.resources).unwrap_or(0);
    JobFile {
        job: &row.job_id,
        rtype: &row.resource_type,
        // Lines have different lengths: so many at least, on average.
        resources: resources.saturating_mul(span.bytes()).div_ceil(length(row).max(1)),
        bytes: span.bytes(),
        behind,
    }
}
