//! Lists of the operations side: a page of items, and the address of the next one.

use super::request::{JsonBody, OpsRequest};
use crate::error::Failure;
use crate::ops::OpsPage;
use crate::percent::encode;
use serde::Serialize;

/// A page as it is answered.
#[derive(Serialize)]
struct Listed<T> {
    items: Vec<T>,
    /// An absolute URL of this listener.
    next: Option<String>,
}

/// A page whose next one is asked for as this one was.
///
/// # Errors
/// Those of [`JsonBody::of`].
pub(super) fn list<T: Serialize>(asked: &OpsRequest, page: OpsPage<T>) -> Result<JsonBody, Failure> {
    let pairs = asked.query.pairs().filter(|(name, _)| *name != "cursor");
    let kept: String = pairs
        .map(|(name, value)| format!("{name}={}&", encode(value)))
        .collect();
    listed(asked, asked.request.path(), &kept, page)
}

/// The same where the next page is asked for elsewhere: at `path`, with the parameters `kept`.
///
/// # Errors
/// Those of [`JsonBody::of`].
pub(super) fn listed<T: Serialize>(
    asked: &OpsRequest,
    path: &str,
    kept: &str,
    page: OpsPage<T>,
) -> Result<JsonBody, Failure> {
    let next = page
        .next
        .map(|cursor| format!("{}{path}?{kept}cursor={}", asked.origin(), encode(&cursor)));
    JsonBody::of(&Listed {
        items: page.items,
        next,
    })
}

/// Those of these parameters that have a value, for [`listed`].
pub(super) fn kept(pairs: &[(&str, &Option<String>)]) -> String {
    pairs
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}&", encode(value.as_deref()?))))
        .collect()
}
