//! What a file holds, by its first bytes and not by its name: gzip, lines, or one document. Pure.

/// How a file holds its resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A value on each line: resources or Bundles.
    Lines,
    /// One value, or several, over several lines: a resource, a Bundle, an array of them.
    Document,
}

/// First bytes that are enough.
pub const HEAD_BYTES: usize = 64 << 10;

const MARK: &[u8] = b"\xEF\xBB\xBF";

/// The bytes after a byte order mark (RFC 8259 section 8.1).
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK).unwrap_or(bytes)
}

/// Whether they begin text in UTF-16, by its byte order mark.
pub fn is_utf16(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff])
}

/// Whether they begin a gzip stream (RFC 1952 section 2.3.1).
pub fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Whether they can begin JSON that holds resources.
pub fn is_json(bytes: &[u8]) -> bool {
    matches!(without_mark(bytes).trim_ascii_start().first(), Some(b'{' | b'['))
}

/// How a file that begins with `head` holds its resources. `is_whole`: there is no more of it. `named_lines`: its name says that
/// it holds lines, which decides what the bytes leave open.
pub fn form(head: &[u8], is_whole: bool, named_lines: bool) -> Form {
    let named = if named_lines { Form::Lines } else { Form::Document };
    let text = without_mark(head).trim_ascii_start();
    let mut scan = Scan::default();
    for (at, byte) in text.iter().enumerate() {
        if *byte == b'\n' {
            let next = text[at..].trim_ascii_start().first();
            return if scan.in_string {
                Form::Lines
            } else if goes_on(scan.last, next.copied().unwrap_or(b'"')) {
                Form::Document
            } else {
                Form::Lines
            };
        }
        if scan.step(*byte) == 0 {
            return match text[at + 1..].trim_ascii_start().first() {
                Some(_) => Form::Lines,
                None if is_whole => Form::Document,
                None => named,
            };
        }
    }
    named
}

/// Whether JSON may go on after `last` with `next`; a line that was cut is not gone on with by the next one.
fn goes_on(last: u8, next: u8) -> bool {
    match last {
        b'{' => matches!(next, b'"' | b'}'),
        b'[' | b':' | b',' => true,
        _ => matches!(next, b'}' | b']' | b',' | b':'),
    }
}

/// Depth and strings of JSON text, byte by byte.
#[derive(Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The last byte that was no white space.
    last: u8,
}

impl Scan {
    /// The depth after `byte`.
    fn step(&mut self, byte: u8) -> usize {
        if self.in_string {
            self.in_string = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
        } else {
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        if !byte.is_ascii_whitespace() {
            self.last = byte;
        }
        if self.in_string { self.depth.max(1) } else { self.depth }
    }
}

/// Spans of the objects that stand one after another in `text`, or in the array that it is. What is no JSON is for the gate to
/// tell: the last span then takes the rest.
pub fn objects(text: &[u8]) -> Vec<std::ops::Range<usize>> {
    let start = text.len() - text.trim_ascii_start().len();
    let in_array = text.get(start) == Some(&b'[');
    let mut found = Vec::new();
    let mut at = start + usize::from(in_array);
    while at < text.len() {
        let byte = text[at];
        if byte.is_ascii_whitespace() || in_array && byte == b',' {
            at += 1;
            continue;
        }
        if in_array && byte == b']' && text[at + 1..].trim_ascii().is_empty() {
            break;
        }
        let mut scan = Scan::default();
        let length = match text[at..].iter().position(|byte| scan.step(*byte) == 0) {
            Some(end) if byte == b'{' => end + 1,
            _ => text.len() - at,
        };
        found.push(at..at + length);
        at += length;
    }
    found
}

/// The `resourceType` of the object that `text` begins with, wherever it stands in it; to decide when it is looked at and how.
/// The gate decides what it is.
pub fn root_type(text: &[u8]) -> Option<&str> {
    const NAME: &[u8] = b"\"resourceType\"";
    let inside = text.strip_prefix(b"{")?.trim_ascii_start();
    if inside.starts_with(NAME) {
        return value_of(&inside[NAME.len()..]);
    }
    // Another member comes first: names at the first depth only.
    let mut scan = Scan::default();
    for (at, byte) in text.iter().enumerate() {
        if *byte == b'"'
            && !scan.in_string
            && scan.depth == 1
            && text[at..].starts_with(NAME)
            && let Some(value) = value_of(&text[at + NAME.len()..])
        {
            return Some(value);
        }
        if scan.step(*byte) == 0 {
            break;
        }
    }
    None
}

fn value_of(rest: &[u8]) -> Option<&str> {
    let rest = rest
        .trim_ascii_start()
        .strip_prefix(b":")?
        .trim_ascii_start()
        .strip_prefix(b"\"")?;
    let end = rest.iter().take(64).position(|byte| *byte == b'"')?;
    std::str::from_utf8(&rest[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_it_holds() {
        use Form::{Document, Lines};
        for (head, form_by_lines, form_by_document) in [
            ("{\"a\":1}\n{\"b\":1}\n", Lines, Lines),
            ("\n\u{feff}{\"a\":1}\n{\"b\":1}\n", Lines, Lines),
            ("\u{feff}{\"a\":1}\r\n\r\n{\"b\":1}", Lines, Lines),
            ("{\"a\":1}\n", Document, Document),
            ("{\n \"a\":1}\n", Document, Document),
            ("{\"a\":[\n1]}", Document, Document),
            ("{\"a\":1\n,\"b\":2}", Document, Document),
            ("[\n{\"a\":1},\n{\"b\":1}]", Document, Document),
            ("[{\"a\":1},\n{\"b\":1}]", Document, Document),
            ("[{\"a\":1},{\"b\":1}]\n", Document, Document),
            ("[{\"a\":1}]\n[{\"b\":1}]\n", Lines, Lines),
            // A line that was cut is one line, not the beginning of a document.
            ("{\"a\":{\"b\":1}\n{\"a\":1}\n", Lines, Lines),
            ("{\"a\":\"x\n{\"a\":1}\n", Lines, Lines),
            ("{\"a\":\"}\n", Lines, Lines),
            ("[{\n{\"a\":1}\n", Lines, Lines),
            ("not json\n{\"a\":1}\n", Lines, Lines),
            ("", Lines, Document),
        ] {
            assert_eq!(form(head.as_bytes(), true, true), form_by_lines, "{head:?}");
            assert_eq!(form(head.as_bytes(), true, false), form_by_document, "{head:?}");
        }
        // The first value goes on beyond what was read.
        let long = format!("{{\"a\":\"{}", "x".repeat(100));
        assert_eq!(form(long.as_bytes(), false, true), Lines);
        assert_eq!(form(long.as_bytes(), false, false), Document);
        assert!(is_gzip(b"\x1f\x8b\x08") && !is_gzip(b"{"));
        assert!(is_json("\u{feff} [".as_bytes()) && !is_json(b"<xml/>") && !is_json(b""));
    }

    #[test]
    fn objects_are_found_in_arrays_and_one_after_another() {
        let all = |text: &str| {
            objects(text.as_bytes())
                .into_iter()
                .map(|span| text[span].to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            all(" [ {\"a\":\"]}\\\"\"} ,\n{\"b\":[{}]} ] \n"),
            ["{\"a\":\"]}\\\"\"}", "{\"b\":[{}]}"]
        );
        assert_eq!(all("{\n}\n{\"a\":1} {}"), ["{\n}", "{\"a\":1}", "{}"]);
        assert_eq!(all("{\"a\":1}x"), ["{\"a\":1}", "x"]);
        assert_eq!(all("[1,{}]"), ["1,{}]"]);
        assert_eq!(all("[{\"a\":{"), ["{\"a\":{"]);
        assert!(all("[]").is_empty() && all(" ").is_empty());
    }

    #[test]
    fn the_type_is_the_roots_own() {
        for (text, wanted) in [
            ("{\"resourceType\":\"Patient\"}", Some("Patient")),
            ("{ \"resourceType\" : \"Patient\"}", Some("Patient")),
            (
                "{\"contained\":[{\"resourceType\":\"Group\"}],\"resourceType\":\"Goal\"}",
                Some("Goal"),
            ),
            (
                "{\"entry\":[{\"resource\":{\"resourceType\":\"Goal\"}}],\"resourceType\":\"Bundle\"}",
                Some("Bundle"),
            ),
            (
                "{\"text\":\"\\\"resourceType\\\":\\\"Goal\\\"\",\"resourceType\":\"Flag\"}",
                Some("Flag"),
            ),
            ("{\"id\":\"resourceType\"}", None),
            ("{\"a\":{\"resourceType\":\"Goal\"}}", None),
            ("[{\"resourceType\":\"Goal\"}]", None),
            ("x", None),
        ] {
            assert_eq!(root_type(text.as_bytes()), wanted, "{text}");
        }
    }
}
