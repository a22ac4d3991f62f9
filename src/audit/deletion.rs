//! The entry that proves a deletion: what kind of data, how many rows, of what time, and under which periods. Which rows they were is in the
//! entry as a commitment to a digest over their ids, so that whoever has the list, from a backup say, can check it, and nobody else learns it.

use super::entry::{Action, Actor, DeletedNote, LedgerEvent, Object};
use crate::keeping::{DataKind, Periods};
use crate::secret::{hex, sha256_of};
use crate::telemetry::Correlation;

/// A row that is deleted: its id, and the instant from which its time counted (UTC milliseconds).
pub type DeletedRow<'r> = (&'r str, i64);

/// The digest over the ids of rows: SHA-256 over each id and a line feed, in the order of the ids, hexadecimal.
pub fn rows_digest<'r>(ids: impl IntoIterator<Item = &'r str>) -> String {
    let mut ids: Vec<&str> = ids.into_iter().collect();
    ids.sort_unstable();
    let pieces: Vec<&[u8]> = ids.iter().flat_map(|id| [id.as_bytes(), b"\n".as_slice()]).collect();
    hex(&sha256_of(&pieces))
}

/// The entry of a deletion of these rows, of which there is one at least, by a process of this server. Append it in the transaction that
/// deletes them.
pub fn deletion(kind: DataKind, rows: &[DeletedRow<'_>], periods: &Periods, entry_id: &str) -> LedgerEvent {
    let actor = Actor {
        kind: "system",
        ..Actor::default()
    };
    let correlation = Correlation::internal(entry_id.to_owned());
    let mut entry = LedgerEvent::new(Action::RetentionDeleted, actor, correlation);
    let stamps = || rows.iter().map(|(_, at_ms)| *at_ms);
    entry.deleted = Some(DeletedNote {
        kind: kind.code(),
        rows: rows.len() as u64,
        from_ms: stamps().min().unwrap_or(0),
        to_ms: stamps().max().unwrap_or(0),
    });
    entry.object = Some(Object {
        kind: "deletion",
        id: rows_digest(rows.iter().map(|(id, _)| *id)),
    });
    let cited = periods.cited(kind);
    entry.policy_version = Some(cited.version);
    entry.tables = vec![("retention", cited.digest)];
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::commitment;

    #[test]
    fn the_entry_says_how_many_of_what_time_and_commits_to_which() {
        let rows = [("b", 2_000), ("a", 1_000), ("c", 3_000)];
        let entry = deletion(DataKind::Decisions, &rows, &Periods::default(), "e-1");
        let text = String::from_utf8(entry.bytes(5_000_000, &[7; 32])).expect("text");
        let deleted = r#""deleted":{"from":"1970-01-01T00:00:01.000Z","kind":"decisions","rows":3,"to":"1970-01-01T00:00:03.000Z"}"#;
        assert!(text.contains(deleted), "{text}");
        let digest = rows_digest(["c", "a", "b"]);
        let expected = format!(
            r#""object":{{"id_commit":"{}","kind":"deletion"}}"#,
            commitment("object", &[7; 32], &digest)
        );
        assert!(text.contains(&expected), "{text}");
        assert!(text.contains(&format!(r#""policy_version":"{}""#, Periods::default().version())));
        assert_ne!(rows_digest(["a", "b"]), rows_digest(["ab"]));
        assert!(!text.contains(&digest), "the digest itself is beside the entry");
    }
}
