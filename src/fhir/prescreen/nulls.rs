//! Nulls in arrays: each stands for a value that is told of in the companion array (`given` and `_given`), or may not be there.

use super::steps::step;
use super::tape::{JsonKind, TapeEntry};

/// The name of the first member of `object` with a null that has no value at the same index of its companion. The last entry of `tape` is
/// the last of `object`.
pub(super) fn lonely(bytes: &[u8], tape: &[TapeEntry], object: u32) -> Option<(u32, u8)> {
    let end = tape.len() as u32;
    let children = |at: u32, end: u32| {
        let mut next = at + 1;
        std::iter::from_fn(move || {
            let child = (next < end).then_some(next)?;
            step(1);
            next = tape[child as usize].next;
            Some(child)
        })
    };
    let members: Vec<u32> = children(object, end).collect();
    let kind = |at: u32| tape[at as usize].kind;
    let kinds = |at: u32| -> Vec<JsonKind> { children(at, tape[at as usize].next).map(kind).collect() };
    let name = |at: u32| {
        let entry = &tape[at as usize];
        &bytes[entry.key_start as usize..entry.key_start as usize + usize::from(entry.key_len)]
    };
    for &member in members.iter().filter(|&&member| kind(member) == JsonKind::Array) {
        let own = kinds(member);
        if !own.contains(&JsonKind::Null) {
            continue;
        }
        step(members.len());
        let companion = members.iter().copied().find(|&other| match name(member) {
            [b'_', base @ ..] => name(other) == base,
            base => name(other).strip_prefix(b"_") == Some(base),
        });
        let told: Vec<JsonKind> = companion.map(kinds).unwrap_or_default();
        let is_lonely = |(index, kind): (usize, &JsonKind)| {
            *kind == JsonKind::Null && told.get(index).is_none_or(|told| *told == JsonKind::Null)
        };
        if own.iter().enumerate().any(is_lonely) {
            let entry = &tape[member as usize];
            return Some((entry.key_start, entry.key_len));
        }
    }
    None
}
