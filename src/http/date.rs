//! HTTP dates (RFC 9110 section 5.6.7) as UTC milliseconds. They are written in the current format and read in all three.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second of the year 9999, the latest that an HTTP date can hold; milliseconds.
const LAST_MS: u64 = 253_402_300_799_000;

/// Writes `ms` (UTC milliseconds) as an HTTP date. A time before 1970 or after 9999 is written as that limit.
pub fn written(ms: i64) -> String {
    let ms = u64::try_from(ms).unwrap_or(0).min(LAST_MS);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(ms))
}

/// Reads an HTTP date; `None` for anything else, and for a time before 1970.
pub fn read_ms(text: &str) -> Option<i64> {
    let at: SystemTime = httpdate::parse_http_date(text).ok()?;
    let since = at.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_is_written_and_three_are_read() {
        assert_eq!(written(784_111_777_999), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(written(-1), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(written(i64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(read_ms(text), Some(784_111_777_000), "{text}");
        }
        for bad in ["", "now", "1994-11-06T08:49:37Z", "Sun, 06 Nov 1994 08:49:37 +0200"] {
            assert_eq!(read_ms(bad), None, "{bad}");
        }
    }
}
