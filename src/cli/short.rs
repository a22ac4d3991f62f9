//! Ids that people type by their beginning, and read cut to it.

use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::store::beginnings::{IdKind, beginning_with, telling};
use crate::terminal::{Out, ShortIds};

/// Least characters that are taken as the beginning of an id.
const TYPED_LEAST: usize = 4;
/// Least characters that are shown of an id.
const SHOWN_LEAST: usize = 8;
/// Length of a whole id.
const WHOLE: usize = 36;

/// The id of this kind that is meant by `given`: the whole id, or a beginning that only one has. What begins no id comes back as it is, so
/// that the command says what is not there.
///
/// # Errors
/// [`Fault::ParameterInvalid`] when several ids begin so, with their number; those of the store.
pub(super) fn meant(ctx: &Context, kind: IdKind, given: &str) -> Result<String, Failure> {
    meant_of(ctx, &[kind], given)
}

/// Like [`meant`], for a command that takes ids of several kinds. Of ids of different kinds the first kind counts that has only one: a match
/// makes decision, consent and grant within a millisecond, and they begin alike.
///
/// # Errors
/// As [`meant`].
pub(super) fn meant_of(ctx: &Context, kinds: &[IdKind], given: &str) -> Result<String, Failure> {
    if !may_begin(given) {
        return Ok(given.to_owned());
    }
    let mut several = 0;
    for kind in kinds {
        let found = ctx.store.read_blocking(|db| beginning_with(db, *kind, given))?;
        if let [id] = found.as_slice() {
            return Ok(id.clone());
        }
        several += found.len();
    }
    match several {
        0 => Ok(given.to_owned()),
        several => Err(Failure::new(Fault::ParameterInvalid)
            .at("ID")
            .remedy(format!("{several} ids begin with these characters: give more of them."))),
    }
}

/// Whether a text may be the beginning of one of our ids.
fn may_begin(given: &str) -> bool {
    (TYPED_LEAST..WHOLE).contains(&given.len()) && given.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

/// Adds ids of one kind to those that a list may cut. Asks the store only when answers go to a terminal.
///
/// # Errors
/// Those of the store.
pub(super) fn add<'a>(
    ids: &mut ShortIds,
    (ctx, out): (&Context, &Out),
    kind: IdKind,
    found: impl Iterator<Item = &'a str>,
) -> Result<(), Failure> {
    if out.screen.columns.is_none() {
        return Ok(());
    }
    for id in found {
        if id.len() == WHOLE && !ids.has(id) {
            let length = ctx.store.read_blocking(|db| telling(db, kind, id))?;
            ids.add(id, shown(id, length));
        }
    }
    Ok(())
}

/// How many characters of an id are shown, when so many tell it from others.
fn shown(id: &str, telling: usize) -> usize {
    let length = telling.max(SHOWN_LEAST);
    // A cut id does not end with a hyphen.
    match id.as_bytes().get(length.saturating_sub(1)) {
        Some(b'-') => length + 1,
        _ => length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_begin_an_id_is_looked_up() {
        for good in ["0199", "0199f0a2", "0199f0a2-7c1e-7b3a-9d4e-2f6a8b1c3d5"] {
            assert!(may_begin(good), "{good}");
        }
        for other in [
            "",
            "019",
            "case:7/a",
            "new-payer",
            "0199F0A2",
            "0199f0a2-7c1e-7b3a-9d4e-2f6a8b1c3d5e",
        ] {
            assert!(!may_begin(other), "{other}");
        }
    }

    #[test]
    fn a_cut_id_has_eight_characters_or_more_and_does_not_end_with_a_hyphen() {
        let id = "0199f0a2-7c1e-7b3a-9d4e-2f6a8b1c3d5e";
        for (telling, length) in [(1, 8), (8, 8), (9, 10), (12, 12), (14, 15), (36, 36)] {
            assert_eq!(shown(id, telling), length, "{telling}");
        }
    }
}
