//! Strings: finds their end, checks their escapes, and resolves them.

/// The end of a string, and whether it has escapes.
pub(super) struct Scanned {
    /// Index of the byte after the closing quote.
    pub end: usize,
    /// Whether the string contains a backslash.
    pub escaped: bool,
}

/// What is wrong with a string.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is not valid JSON.
    NotJson,
    /// It is valid JSON, but FHIR forbids it: an escaped control character.
    Control,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks the bytes that are a quote, a backslash or below a space by their high bits. The first mark is always right; bytes after it may be
/// marked wrongly.
fn specials(word: u64) -> u64 {
    let zero = |v: u64| v.wrapping_sub(ONES) & !v;
    let quote = zero(word ^ (ONES * u64::from(b'"')));
    let backslash = zero(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGHS
}

/// Reads the string whose first byte after the opening quote is at `start`. The bytes must be UTF-8.
pub(super) fn scan(bytes: &[u8], start: usize) -> Result<Scanned, Wrong> {
    let mut at = start;
    let mut escaped = false;
    loop {
        while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let marks = specials(u64::from_le_bytes(*chunk));
            if marks != 0 {
                at += marks.trailing_zeros() as usize / 8;
                break;
            }
            at += 8;
        }
        match bytes.get(at) {
            Some(b'"') => return Ok(Scanned { end: at + 1, escaped }),
            Some(b'\\') => {
                escaped = true;
                at = escape(bytes, at)?;
            }
            Some(0..=0x1f) | None => return Err(Wrong::NotJson),
            Some(_) => at += 1,
        }
    }
}

/// Checks the escape whose backslash is at `at`, and returns the index after it.
fn escape(bytes: &[u8], at: usize) -> Result<usize, Wrong> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'b' | b'f') => Err(Wrong::Control),
        Some(b'u') => {
            let unit = hex(bytes, at + 2).ok_or(Wrong::NotJson)?;
            match unit {
                0x09 | 0x0a | 0x0d => Ok(at + 6),
                0x00..=0x1f => Err(Wrong::Control),
                0xd800..=0xdbff => {
                    let low = if bytes.get(at + 6..at + 8) == Some(b"\\u") {
                        hex(bytes, at + 8)
                    } else {
                        None
                    };
                    low.filter(|low| (0xdc00..=0xdfff).contains(low))
                        .map(|_| at + 12)
                        .ok_or(Wrong::NotJson)
                }
                0xdc00..=0xdfff => Err(Wrong::NotJson),
                _ => Ok(at + 6),
            }
        }
        _ => Err(Wrong::NotJson),
    }
}

fn hex(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 4)?;
    digits
        .iter()
        .try_fold(0, |sum, &digit| Some(sum * 16 + char::from(digit).to_digit(16)?))
}

/// The element name in `key`, as a FHIRPath expression may show it; `None` for a text that is not an element name and so comes from the
/// input.
pub(super) fn element_name(key: &str) -> Option<&str> {
    let name = key.strip_prefix('_').unwrap_or(key);
    let plain = name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then_some(name)
}

/// Resolves the escapes of a string that [`scan`] has accepted.
pub(super) fn unescape(inner: &str) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((plain, tail)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut chars = tail.chars();
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('u') => {
                let first = hex(tail.as_bytes(), 1).unwrap_or(0xfffd);
                let mut code = first;
                let mut used = 5;
                if (0xd800..=0xdbff).contains(&first) {
                    let low = hex(tail.as_bytes(), 7).unwrap_or(0xdc00);
                    code = 0x10000 + ((first - 0xd800) << 10) + (low & 0x3ff);
                    used = 11;
                }
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                rest = tail.get(used..).unwrap_or_default();
                continue;
            }
            Some(other) => out.push(other),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out
}
