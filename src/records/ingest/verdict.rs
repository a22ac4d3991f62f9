//! Which versions are stored: beside what is there, and beside each other in one batch.

use super::super::source_version::{Decided, SourceVersion};
use super::ready::Ready;
use super::state::RETRACTED;
use crate::error::Failure;
use crate::store::Db;
use crate::store::ingest::{self as rows, ReceivedRow};
use crate::store::resources::{self, Existing};
use std::collections::HashMap;

/// What becomes of a version beside one that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is stored, in place of what is there.
    Store,
    /// It is there.
    Unchanged,
    /// What is there is newer.
    Older,
    /// The source gives both the same version, and their content differs.
    Altered,
}

/// Judges a version (digest, version at its source) beside one that is there. Where their sources do not say which is newer, the one that
/// was fetched later is; `is_earlier` says that the new one was fetched before the other. The order in which they are stored says nothing:
/// an exchange may wait for weeks between the two.
pub(super) fn verdict(new: (&[u8], SourceVersion), there: (&[u8], SourceVersion), is_earlier: bool) -> Verdict {
    if new.0 == there.0 {
        return Verdict::Unchanged;
    }
    let same = |mine: Option<i64>, its: Option<i64>| mine.is_some() && mine == its;
    match new.1.beats(there.1, true) {
        (false, _) => Verdict::Older,
        (true, Decided::Order) if same(new.1.updated_ms, there.1.updated_ms) || same(new.1.number, there.1.number) => {
            Verdict::Altered
        }
        (true, Decided::Order) if is_earlier => Verdict::Older,
        (true, _) => Verdict::Store,
    }
}

/// Whether the sources do not say which of two versions is newer.
fn is_tie(new: SourceVersion, there: SourceVersion) -> bool {
    new.beats(there, true).1 == Decided::Order
}

/// Whether what came in this row was fetched before what is stored under its name with this content.
fn is_earlier(db: &mut Db, row: &ReceivedRow, content: &[u8]) -> Result<bool, Failure> {
    let Some(there) = rows::last_fetched(db, (&row.rtype, &row.id), content, RETRACTED)? else {
        return Ok(false);
    };
    let same = there.exchange_id == row.exchange_id;
    if same && there.page == row.page {
        return Ok(row.entry < there.entry);
    }
    let own_ms = rows::fetched_ms(db, &row.exchange_id, row.page)?.unwrap_or(i64::MAX);
    Ok(own_ms < there.received_ms || (same && row.page < there.page))
}

/// Decides about the candidates of a batch, by what is stored and by what stands before them in the batch.
pub(super) fn decide(db: &mut Db, ready: &[Ready]) -> Result<Vec<(usize, Verdict)>, Failure> {
    let mut wanted: HashMap<&'static str, Vec<&str>> = HashMap::new();
    for candidate in ready.iter().filter_map(|one| one.candidate.as_ref()) {
        wanted.entry(candidate.rtype).or_default().push(&candidate.id);
    }
    let mut there: HashMap<(&'static str, String), Existing> = HashMap::new();
    for (rtype, ids) in wanted {
        let found = resources::existing(db, rtype, &ids)?;
        there.extend(found.into_iter().map(|row| ((rtype, row.id.clone()), row)));
    }
    let mut verdicts: Vec<(usize, Verdict)> = Vec::new();
    let mut newest: HashMap<(&'static str, &str), usize> = HashMap::new();
    for (index, one) in ready.iter().enumerate() {
        let Some(candidate) = &one.candidate else { continue };
        let own = (candidate.source_sha256.as_slice(), candidate.source);
        let name = (candidate.rtype, candidate.id.as_str());
        let before = newest.get(&name).copied();
        let beside = match before {
            Some(at) => ready[at]
                .candidate
                .as_ref()
                .map(|other| (other.source_sha256.to_vec(), other.source)),
            None => there.get(&(name.0, name.1.to_owned())).map(|row| {
                let source = SourceVersion {
                    updated_ms: row.source_updated_ms,
                    number: row.source_version,
                };
                (row.source_sha256.clone(), source)
            }),
        };
        let judged = match beside {
            None => Verdict::Store,
            Some((digest, source)) => match verdict(own, (&digest, source), false) {
                Verdict::Store if before.is_none() && is_tie(candidate.source, source) => {
                    verdict(own, (&digest, source), is_earlier(db, &one.row, &digest)?)
                }
                judged => judged,
            },
        };
        let verdict = match judged {
            // A Provenance is stored with those targets that are there; when more have come, it has more.
            Verdict::Altered if candidate.rtype == "Provenance" => Verdict::Store,
            other => other,
        };
        if verdict == Verdict::Store {
            if let Some(at) = before
                && let Some(loser) = verdicts.iter_mut().find(|(index, _)| *index == at)
            {
                loser.1 = Verdict::Older;
            }
            newest.insert(name, index);
        }
        verdicts.push((index, verdict));
    }
    Ok(verdicts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_version_has_one_content_and_an_older_one_changes_nothing() {
        let version = |updated_ms: Option<i64>, number: Option<i64>| SourceVersion { updated_ms, number };
        let (a, b) = (&b"a"[..], &b"b"[..]);
        for (new, there, wanted) in [
            (version(Some(1), Some(1)), version(Some(1), Some(1)), Verdict::Altered),
            (version(None, Some(1)), version(None, Some(1)), Verdict::Altered),
            (version(Some(1), None), version(Some(1), None), Verdict::Altered),
            (version(Some(2), Some(1)), version(Some(1), Some(1)), Verdict::Store),
            (version(Some(1), Some(2)), version(Some(1), Some(1)), Verdict::Store),
            (version(None, None), version(None, None), Verdict::Store),
            (version(None, None), version(Some(1), Some(1)), Verdict::Store),
            (version(Some(1), Some(1)), version(Some(2), Some(1)), Verdict::Older),
            (version(None, Some(1)), version(None, Some(2)), Verdict::Older),
        ] {
            assert_eq!(verdict((a, new), (b, there), false), wanted, "{new:?} {there:?}");
            let is_open = wanted == Verdict::Store && is_tie(new, there);
            let earlier = if is_open { Verdict::Older } else { wanted };
            assert_eq!(verdict((a, new), (b, there), true), earlier, "{new:?} {there:?}");
            assert_eq!(verdict((a, new), (a, there), true), Verdict::Unchanged);
        }
    }
}
