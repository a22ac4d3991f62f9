//! Finds the end of a request: the empty line after its head, and the end of its body. It understands only lengths and line ends; a
//! malformed head or body is left for the HTTP library to refuse.

/// What a client may still send of the request that is being answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DueBytes {
    /// Nothing.
    #[default]
    Nothing,
    /// This many bytes.
    Bytes(u64),
    /// A chunked body.
    Chunks(ChunkedEnd),
}

impl DueBytes {
    /// How many of these bytes belong to the request. Subtracts them from what is still expected.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        match self {
            DueBytes::Nothing => 0,
            DueBytes::Bytes(left) => {
                let passed = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= passed as u64;
                if *left == 0 {
                    *self = DueBytes::Nothing;
                }
                passed
            }
            DueBytes::Chunks(chunks) => {
                let (passed, ended) = chunks.pass(bytes);
                if ended {
                    *self = DueBytes::Nothing;
                }
                passed
            }
        }
    }
}

/// Finds the end of a head, which is an empty line. A bare line feed also ends a line, as it does for the HTTP library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadEnd {
    /// Whether the current line is empty so far.
    at_line_start: bool,
}

impl HeadEnd {
    /// How many of these bytes belong to the head, and whether the head ends with them.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> (usize, bool) {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' if self.at_line_start => {
                    self.at_line_start = false;
                    return (at + 1, true);
                }
                b'\n' => self.at_line_start = true,
                b'\r' => {}
                _ => self.at_line_start = false,
            }
        }
        (bytes.len(), false)
    }
}

/// Finds the end of a chunked body (RFC 9112 section 7.1). A malformed body is left for the HTTP library to refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkedEnd {
    /// The part of a chunk size that was read so far, and whether its digits may go on; the rest of the line is skipped.
    Size(u64, bool),
    /// This many bytes of a chunk are left.
    Data(u64),
    /// The line end after a chunk.
    After,
    /// The trailer lines after the last chunk.
    Trailer(HeadEnd),
}

impl Default for ChunkedEnd {
    fn default() -> Self {
        ChunkedEnd::Size(0, true)
    }
}

impl ChunkedEnd {
    /// How many of these bytes belong to the body, and whether the body ends with them.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match self {
                ChunkedEnd::Size(0, _) if *byte == b'\n' => {
                    *self = ChunkedEnd::Trailer(HeadEnd { at_line_start: true })
                }
                ChunkedEnd::Size(size, _) if *byte == b'\n' => *self = ChunkedEnd::Data(*size),
                ChunkedEnd::Size(size, is_number) => match char::from(*byte).to_digit(16).filter(|_| *is_number) {
                    Some(digit) => *size = size.saturating_mul(16).saturating_add(u64::from(digit)),
                    None => *is_number = false,
                },
                ChunkedEnd::Data(left) => {
                    let here = (bytes.len() - at).min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= here as u64;
                    at += here;
                    if *left == 0 {
                        *self = ChunkedEnd::After;
                    }
                    continue;
                }
                ChunkedEnd::After if *byte == b'\n' => *self = ChunkedEnd::default(),
                ChunkedEnd::After => {}
                ChunkedEnd::Trailer(ending) => {
                    let (passed, ended) = ending.pass(&bytes[at..]);
                    return (at + passed, ended);
                }
            }
            at += 1;
        }
        (at, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_b07_a_head_ends_with_an_empty_line_wherever_it_is_cut() {
        for (bytes, heads) in [
            (
                "GET / HTTP/1.1\r\nhost: a\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET",
                vec![27, 19, 3],
            ),
            ("GET / HTTP/1.1\nhost: a\n\nGET", vec![24, 3]),
            ("GET / HTTP/1.1\n\r\nGET", vec![17, 3]),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", vec![4, 18]),
        ] {
            for piece in 1..bytes.len() {
                let (mut ending, mut found, mut so_far) = (HeadEnd::default(), Vec::new(), 0);
                let mut rest = bytes.as_bytes();
                while !rest.is_empty() {
                    let (passed, ended) = ending.pass(&rest[..piece.min(rest.len())]);
                    so_far += passed;
                    if ended {
                        found.push(std::mem::take(&mut so_far));
                    }
                    rest = &rest[passed..];
                }
                found.extend((so_far > 0).then_some(so_far));
                assert_eq!(found, heads, "{bytes:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn t_b07_a_body_in_chunks_ends_where_it_ends_wherever_it_is_cut() {
        for (body, behind) in [
            ("5\r\nhello\r\n0\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"),
            ("5;x=0\r\n\n\n\n\n\n\r\n0\r\nx-a: b\r\n\r\n", "GET"),
            ("0\r\n\r\n", "\r\n"),
            ("1\n{\n0\n\n", "x"),
            ("10\r\n0123456789abcdef\r\n00\r\n\r\n", "0"),
        ] {
            let all = format!("{body}{behind}");
            for piece in 1..=all.len() {
                let (mut due, mut passed) = (DueBytes::Chunks(ChunkedEnd::default()), 0);
                while passed < all.len() && due != DueBytes::Nothing {
                    let end = all.len().min(passed + piece);
                    passed += due.pass(&all.as_bytes()[passed..end]);
                }
                assert_eq!(
                    (passed, due),
                    (body.len(), DueBytes::Nothing),
                    "{body:?} in pieces of {piece}"
                );
            }
        }
        let mut due = DueBytes::Bytes(7);
        assert_eq!((due.pass(b"hello"), due), (5, DueBytes::Bytes(2)));
        assert_eq!((due.pass(b"hello"), due), (2, DueBytes::Nothing));
        assert_eq!(due.pass(b"hello"), 0);
    }
}
