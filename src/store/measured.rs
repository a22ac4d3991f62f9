//! Rows that are read with their sizes, so that no statement brings more bytes into memory than was meant.
//!
//! A resource may have 32 MiB, and a database server sends all rows of a statement at once. So a statement states how large a row may be
//! whose bytes come with it; of a larger one only the size comes, and the caller reads it by itself. This module knows no rule of release.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Bool, Integer, Nullable, Text};

/// A row that may be released, with its size, and with its bytes when it is no larger than was asked for.
#[derive(Clone, Debug, Queryable)]
pub struct MeasuredRow {
    /// The key of the resource; ascending within a page.
    pub key: i64,
    /// FHIR type.
    pub rtype: String,
    /// FHIR id.
    pub id: String,
    /// The number of bytes that are released.
    pub size: i32,
    /// These bytes: the released form when there is one, otherwise the stored bytes.
    pub bytes: Option<Vec<u8>>,
    /// Whether these are a released form, from which a part was cut.
    pub is_cut: bool,
}

impl MeasuredRow {
    /// The number of bytes that are released.
    pub fn size(&self) -> usize {
        usize::try_from(self.size).unwrap_or(0)
    }
}

/// The columns of a [`MeasuredRow`] in a statement of the query builder; bytes come with rows of up to `most` bytes.
macro_rules! measured {
    ($most:expr) => {{
        use diesel::dsl::case_when;
        use $crate::store::schema::resource;
        use $crate::store::sql_functions::{coalesce, coalesce_length, length, length_if_any};
        let size = || coalesce_length(length_if_any(resource::released), length(resource::body));
        (
            resource::key,
            resource::rtype,
            resource::id,
            size(),
            case_when(size().le($most), coalesce(resource::released, resource::body)),
            resource::released.is_not_null(),
        )
    }};
}
pub(super) use measured;

/// The columns of a [`MeasuredRow`] of table `r` as the beginning of a statement. The value is the largest size whose bytes come along.
pub(super) const MEASURED: &str = "SELECT r.key, r.type, r.id, coalesce(length(r.released), length(r.body)), \
     CASE WHEN coalesce(length(r.released), length(r.body)) <= ? THEN coalesce(r.released, r.body) END, r.released IS NOT NULL";

/// The SQL types of these columns.
pub(super) type MeasuredColumns = (BigInt, Text, Text, Integer, Nullable<Binary>, Bool);

/// The largest size whose bytes come along when `rows` rows may come and all of them together may have `bytes`.
pub fn most_of_each(rows: i64, bytes: usize) -> i32 {
    let rows = usize::try_from(rows).unwrap_or(usize::MAX).max(1);
    i32::try_from(bytes / rows).unwrap_or(i32::MAX)
}

/// How many rows from the first on have no more than `room` bytes together. The first one always counts, so that the largest row is not
/// too large to be read.
pub fn fitting(sizes: impl IntoIterator<Item = usize>, room: usize) -> usize {
    let mut left = room;
    let fits = |(at, size): &(usize, usize)| {
        let is_in = *at == 0 || *size <= left;
        left = left.saturating_sub(*size);
        is_in
    };
    sizes.into_iter().enumerate().take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_b07_rows_go_together_up_to_their_room_and_a_larger_one_goes_alone() {
        for (sizes, count) in [
            (&[][..], 0),
            (&[10, 20, 70], 3),
            (&[10, 20, 71], 2),
            (&[10, 20, 71, 1], 2),
            (&[500], 1),
            (&[500, 0], 2),
            (&[500, 1], 1),
            (&[1, 500], 1),
        ] {
            assert_eq!(fitting(sizes.iter().copied(), 100), count, "{sizes:?}");
        }
    }

    #[test]
    fn t_b07_the_rows_of_one_read_have_a_bound_together() {
        assert_eq!(most_of_each(64, 1 << 20), 16 * 1024);
        assert_eq!(most_of_each(0, 100), 100);
        assert_eq!(most_of_each(1, usize::MAX), i32::MAX);
        assert_eq!(most_of_each(i64::MAX, 100), 0);
    }
}
