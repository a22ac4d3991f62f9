//! A member's shares of files: the disclosure of a file of many members is one ledger entry, and this tells what of it is the member's.

use super::entry::DisclosureEnd;
use crate::error::Failure;
use crate::store::Db;
use crate::store::disclosed::{self, DisclosedShareRow};
use crate::store::entries::EntryRow;
use std::collections::HashMap;

/// The shares of one member, by the name of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct FileShares(HashMap<String, DisclosedShareRow>);

impl FileShares {
    /// Those of a member.
    pub(super) fn of(db: &mut Db, member: &str) -> Result<FileShares, Failure> {
        let all = disclosed::shares_of(db, member)?;
        Ok(FileShares(all.into_iter().map(|row| (row.file.clone(), row)).collect()))
    }

    /// Only this one.
    pub(super) fn only(share: DisclosedShareRow) -> FileShares {
        FileShares(HashMap::from([(share.file.clone(), share)]))
    }

    /// Those of a member, of the files that these entries are about.
    pub(super) fn among(db: &mut Db, member: &str, rows: &[EntryRow]) -> Result<FileShares, Failure> {
        let subjects = rows.iter().filter_map(|row| row.subject.as_deref());
        let mut files: Vec<&str> = subjects.filter(|subject| *subject != member).collect();
        files.sort_unstable();
        files.dedup();
        let found = disclosed::shares_in(db, member, &files)?;
        Ok(FileShares(
            found.into_iter().map(|row| (row.file.clone(), row)).collect(),
        ))
    }

    /// What of the file that an entry is about is the member's; `None` when the entry is about no such file.
    pub(super) fn share(&self, row: &EntryRow) -> Option<&DisclosedShareRow> {
        self.0.get(row.subject.as_deref()?)
    }

    /// What the end of a disclosure says of the member.
    pub(super) fn end(&self, row: &EntryRow, end: DisclosureEnd) -> DisclosureEnd {
        match self.share(row) {
            Some(share) => part(share, end),
            None => end,
        }
    }
}

/// The member's part of what was sent: files are sent from their beginning on.
fn part(share: &DisclosedShareRow, end: DisclosureEnd) -> DisclosureEnd {
    let number = |number: i64| u64::try_from(number).unwrap_or(0);
    let (begins, whole, resources) = (number(share.begins), number(share.bytes), number(share.resources));
    let bytes = end.bytes.map(|sent| sent.saturating_sub(begins).min(whole));
    // Lines have different lengths: so many at least, on average.
    let sent = resources.saturating_mul(bytes.unwrap_or(0)).div_ceil(whole.max(1));
    let counts = end.resources.map(|counts| {
        let types = counts.into_keys().filter(|_| sent > 0);
        types.map(|rtype| (rtype, sent)).collect()
    });
    DisclosureEnd {
        bytes,
        resources: counts,
        ..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_member_has_the_bytes_between_the_beginning_and_where_the_file_broke_off() {
        let share = DisclosedShareRow {
            subject: "ana".into(),
            file: "f".into(),
            place: 1,
            consent_id: "c".into(),
            sensitive: 0,
            begins: 100,
            bytes: 50,
            resources: 5,
            salt: vec![0; 32],
        };
        for (sent, bytes, resources) in [
            (0, 0, 0),
            (100, 0, 0),
            (101, 1, 1),
            (125, 25, 3),
            (150, 50, 5),
            (900, 50, 5),
        ] {
            let end = DisclosureEnd {
                bytes: Some(sent),
                resources: Some(BTreeMap::from([("Claim".to_owned(), 30)])),
                ..DisclosureEnd::default()
            };
            let part = part(&share, end);
            let counted = part.resources.expect("counts").get("Claim").copied().unwrap_or(0);
            assert_eq!((part.bytes, counted), (Some(bytes), resources), "{sent}");
        }
        let head = DisclosureEnd {
            bytes: Some(0),
            resources: Some(BTreeMap::new()),
            ..DisclosureEnd::default()
        };
        assert_eq!(part(&share, head).resources, Some(BTreeMap::new()));
        assert_eq!(part(&share, DisclosureEnd::default()).bytes, None, "nobody knows");
    }
}
