//! Determines what a file contains by its first bytes and not by its name: gzip, lines, or one document. Without side effects.

/// How a file contains its resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileForm {
    /// A value on each line: resources or Bundles.
    Lines,
    /// One or several values over several lines: a resource, a Bundle, or an array of them.
    Document,
}

/// How many first bytes are examined.
pub const HEAD_BYTES: usize = 64 << 10;

const MARK: &[u8] = b"\xEF\xBB\xBF";

/// The bytes after a byte order mark (RFC 8259 section 8.1).
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK).unwrap_or(bytes)
}

/// Whether the bytes begin with a byte order mark of UTF-16.
pub fn is_utf16(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff])
}

/// Whether the bytes begin a gzip stream (RFC 1952 section 2.3.1).
pub fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Whether the bytes can begin JSON with resources.
pub fn is_json(bytes: &[u8]) -> bool {
    matches!(without_mark(bytes).trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Returns how a file that begins with `head` contains its resources. `is_whole`: `head` is the whole file. `named_lines`: its name says
/// that it contains lines; this decides when the bytes do not.
pub fn form(head: &[u8], is_whole: bool, named_lines: bool) -> FileForm {
    let named = if named_lines {
        FileForm::Lines
    } else {
        FileForm::Document
    };
    let text = without_mark(head).trim_ascii_start();
    let mut scan = Scan::default();
    for (at, byte) in text.iter().enumerate() {
        if *byte == b'\n' {
            let next = text[at..].trim_ascii_start().first();
            return if scan.in_string {
                FileForm::Lines
            } else if goes_on(scan.last, next.copied().unwrap_or(b'"')) {
                FileForm::Document
            } else {
                FileForm::Lines
            };
        }
        if scan.step(*byte) == 0 {
            return match text[at + 1..].trim_ascii_start().first() {
                Some(_) => FileForm::Lines,
                None if is_whole => FileForm::Document,
                None => named,
            };
        }
    }
    named
}

/// Whether JSON may continue after the byte `last` with `next`. The line after a truncated line is not its continuation.
fn goes_on(last: u8, next: u8) -> bool {
    match last {
        b'{' => matches!(next, b'"' | b'}'),
        b'[' | b':' | b',' => true,
        _ => matches!(next, b'}' | b']' | b',' | b':'),
    }
}

/// Tracks depth and strings of JSON text, byte by byte.
#[derive(Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The last byte that was not white space.
    last: u8,
}

impl Scan {
    /// Returns the depth after `byte`.
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

/// Returns the spans of the objects in `text`, which are one after another or in an array. Text that is not JSON is left for the gate to
/// report: the last span then contains the rest.
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

/// Returns the `resourceType` of the object with which `text` begins, at whatever position it is. It only decides
/// when and how the resource is read; the gate decides its type.
pub fn root_type(text: &[u8]) -> Option<&str> {
    const NAME: &[u8] = b"\"resourceType\"";
    let inside = text.strip_prefix(b"{")?.trim_ascii_start();
    if inside.starts_with(NAME) {
        return value_of(&inside[NAME.len()..]);
    }
    // Another member comes first: look only at names at the first level.
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
        use FileForm::{Document, Lines};
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
            // A truncated line is one line, not the beginning of a document.
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
        // The first value continues beyond what was read.
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
