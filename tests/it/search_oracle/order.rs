//! Whether an order is the one that `_sort` asks for: by the value that comes first in that direction, without a value last.

use super::readings::{Kind, Reading};
use super::values::{Pointer, folded, pointers, spans, texts, tokens, uris};
use super::world::Seen;
use std::sync::Arc;

/// What a resource is sorted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(i64),
    Text(String),
}

/// Compares each with the next.
///
/// # Errors
/// The first pair that is the wrong way round.
pub fn check(sort: &[(Reading, bool)], order: &[&Arc<Seen>], base: &str) -> Result<(), String> {
    for pair in order.windows(2) {
        for (reading, down) in sort {
            let (one, two) = (key(reading, *down, pair[0], base), key(reading, *down, pair[1], base));
            let right = match (&one, &two) {
                (one, two) if one == two => continue,
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(one), Some(two)) if *down => one > two,
                (Some(one), Some(two)) => one < two,
            };
            if !right {
                return Err(format!("{one:?} ({}) before {two:?} ({})", pair[0].id, pair[1].id));
            }
            break;
        }
    }
    Ok(())
}

fn key(reading: &Reading, down: bool, one: &Seen, base: &str) -> Option<Key> {
    let body = &one.body;
    let all: Vec<Key> = match reading.kind {
        Kind::Date => spans(body, reading)
            .iter()
            .map(|span| Key::Number(span.from.unwrap_or(i64::MIN)))
            .collect(),
        Kind::Text => texts(body, reading)
            .iter()
            .map(|text| Key::Text(folded(text)))
            .collect(),
        Kind::Token => tokens(body, reading)
            .into_iter()
            .filter_map(|token| token.code)
            .map(|code| {
                Key::Text(if reading.name == "_id" {
                    code
                } else {
                    code.to_lowercase()
                })
            })
            .collect(),
        Kind::Reference => pointers(body, reading, base)
            .into_iter()
            .map(|pointer| match pointer {
                Pointer::Ours(_, id) => Key::Text(id),
                Pointer::Elsewhere(url) => Key::Text(url),
            })
            .collect(),
        Kind::Uri => uris(body, reading).into_iter().map(Key::Text).collect(),
    };
    if down {
        all.into_iter().max()
    } else {
        all.into_iter().min()
    }
}
