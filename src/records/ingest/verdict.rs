//! Which versions are stored: beside what is there, and beside each other in one batch.

use super::super::source_version::{Decided, SourceVersion};
use super::ready::Ready;
use crate::error::Failure;
use crate::store::Db;
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

/// Judges a version (digest, version at its source) beside one that is there.
pub(super) fn verdict(new: (&[u8], SourceVersion), there: (&[u8], SourceVersion)) -> Verdict {
    if new.0 == there.0 {
        return Verdict::Unchanged;
    }
    let same = |mine: Option<i64>, its: Option<i64>| mine.is_some() && mine == its;
    match new.1.beats(there.1, true) {
        (false, _) => Verdict::Older,
        (true, Decided::Order) if same(new.1.updated_ms, there.1.updated_ms) || same(new.1.number, there.1.number) => {
            Verdict::Altered
        }
        (true, _) => Verdict::Store,
    }
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
        let verdict = match beside.map_or(Verdict::Store, |(digest, source)| verdict(own, (&digest, source))) {
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
            assert_eq!(verdict((a, new), (b, there)), wanted, "{new:?} {there:?}");
            assert_eq!(verdict((a, new), (a, there)), Verdict::Unchanged);
        }
    }
}
