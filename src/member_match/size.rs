//! How much text a request may have. The pre-screen bounds the number of its values; this bounds the bytes of its strings.
//!
//! The matcher normalizes names and addresses letter by letter, on the thread of the caller's connection. Narratives and attachments are
//! only copied and hashed, so the limit of a body is enough for them.

use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{JsonKind, Screened};

/// Most bytes of all strings together, as they are written. The largest published request has 3,500.
const TEXT_BYTES: usize = 32 * 1024;
/// Elements whose strings are not counted: the narrative, and the content of attachments.
const UNCOUNTED: [&str; 2] = ["div", "data"];

/// Checks how much text a request has.
///
/// # Errors
/// [`Fault::TooLarge`] with the place of the string that goes beyond [`TEXT_BYTES`].
pub fn check(screened: &Screened<'_>) -> Result<(), Failure> {
    let mut bytes = 0;
    let counted = |value: &crate::fhir::prescreen::Value<'_>| {
        value.kind() == JsonKind::String && !UNCOUNTED.contains(&value.key())
    };
    for value in screened.values().filter(counted) {
        bytes += value.raw().len();
        if bytes > TEXT_BYTES {
            return Err(Failure::new(Fault::TooLarge)
                .at(value.path())
                .remedy("Too much text: send at most 32 KiB of it beside narratives and attachments."));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::prescreen::{ScreenLimits, screen};

    fn judged(element: &str) -> Result<(), Fault> {
        let text = format!("{{\"resourceType\":\"Patient\",{element}}}");
        let screened = screen(text.as_bytes(), &ScreenLimits::request()).expect("screened");
        check(&screened).map_err(|failure| failure.fault())
    }

    #[test]
    fn t_b07_all_strings_count_together_except_narratives_and_attachments() {
        let (half, whole) = ("a ".repeat(TEXT_BYTES / 4 - 20), "a".repeat(TEXT_BYTES));
        assert_eq!(judged(&format!("\"a\":\"{half}\",\"b\":\"{half}\"")), Ok(()));
        for refused in [
            format!("\"a\":\"{whole}\""),
            format!("\"a\":[\"{half}\",\"{half}\"],\"b\":{{\"c\":\"{half}\"}}"),
            format!("\"data\":[\"{whole}\"]"),
        ] {
            assert_eq!(judged(&refused), Err(Fault::TooLarge));
        }
        let uncounted = format!("\"text\":{{\"div\":\"{whole}\"}},\"photo\":[{{\"data\":\"{whole}\"}}]");
        assert_eq!(judged(&uncounted), Ok(()));
    }
}
