//! Reading a list of the operations side to its end, page after page, and cells of its table.

use crate::error::Failure;
use crate::ops::OpsPage;

/// The items of all pages; `page` reads the one at a cursor.
///
/// # Errors
/// Those of `page`.
pub(super) fn every_page<T>(
    mut page: impl FnMut(Option<String>) -> Result<OpsPage<T>, Failure>,
) -> Result<Vec<T>, Failure> {
    let (mut items, mut cursor) = (Vec::new(), None);
    loop {
        let found = page(cursor)?;
        items.extend(found.items);
        cursor = found.next;
        if cursor.is_none() {
            return Ok(items);
        }
    }
}

/// A number with what it counts, such as `1 grant` or `2 grants`.
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A cell: the text, or a dash where there is none.
pub(super) fn or_dash(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}
