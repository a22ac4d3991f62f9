//! Finds the end of a request: the empty line after its head, and the end of its body. It understands only lengths and line ends; a
//! malformed head or body is left for the HTTP library to refuse.

/// Most bytes of empty lines before a head. RFC 9112 section 2.2 has a server ignore at least one such line.
const EMPTY_BYTES: usize = 8;
/// What a chunk costs beyond its bytes: the HTTP library makes an item of each.
const CHUNK_COST: usize = 256;
/// Longest line with the size of a chunk, with its extensions. Nobody uses extensions, and every byte is looked at on its own.
const SIZE_LINE: usize = 256;
/// Most bytes of trailers after a body in chunks.
const TRAILERS: usize = 8 * 1024;
/// What framing costs that is longer than it may be: more than any body may.
const TOO_MUCH: usize = usize::MAX;

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
    /// How many of these bytes belong to the request, and what they cost. Subtracts them from what is still expected.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> (usize, usize) {
        match self {
            DueBytes::Nothing => (0, 0),
            DueBytes::Bytes(left) => {
                let passed = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= passed as u64;
                if *left == 0 {
                    *self = DueBytes::Nothing;
                }
                (passed, passed)
            }
            DueBytes::Chunks(chunks) => {
                let mut begun = 0;
                let (passed, ended) = chunks.pass(bytes, &mut begun);
                let cost = if chunks.is_too_long() {
                    TOO_MUCH
                } else {
                    passed + begun * CHUNK_COST
                };
                if ended {
                    *self = DueBytes::Nothing;
                }
                (passed, cost)
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

/// The next head among bytes that are held: what is dropped before it, and how much of it is there.
#[derive(Clone, Copy, Debug, Default)]
pub struct NextHead {
    /// Bytes of empty lines that were dropped before it.
    empty: usize,
    is_begun: bool,
    ending: HeadEnd,
    /// How many of the held bytes are known to belong to it.
    known: usize,
    is_whole: bool,
}

impl NextHead {
    /// How many of the held bytes are empty lines before the head; `None` when there were too many.
    pub(super) fn skip(&mut self, held: &[u8]) -> Option<usize> {
        if self.is_begun {
            return Some(0);
        }
        let empty = held.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.empty += empty;
        self.is_begun = empty < held.len();
        (self.empty <= EMPTY_BYTES).then_some(empty)
    }

    /// Whether the head ends within the held bytes. Each byte is looked at once.
    pub(super) fn is_whole(&mut self, held: &[u8]) -> bool {
        if !self.is_whole {
            let (passed, ended) = self.ending.pass(&held[self.known..]);
            self.known += passed;
            self.is_whole = ended;
        }
        self.is_whole
    }

    /// How many of the held bytes that belong to the head are passed on, `room` at most, and whether the head ends with them.
    pub(super) fn take(&mut self, room: usize) -> (usize, bool) {
        let taken = self.known.min(room);
        self.known -= taken;
        let ended = self.is_whole && self.known == 0;
        if ended {
            *self = NextHead::default();
        }
        (taken, ended)
    }
}

/// Finds the end of a chunked body (RFC 9112 section 7.1). A malformed body is left for the HTTP library to refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkedEnd {
    /// The part of a chunk size that was read so far, whether its digits may go on, and the bytes of its line; the rest of the line is
    /// skipped.
    Size(u64, bool, usize),
    /// This many bytes of a chunk are left.
    Data(u64),
    /// The line end after a chunk.
    After,
    /// The trailer lines after the last chunk, and their bytes.
    Trailer(HeadEnd, usize),
}

impl Default for ChunkedEnd {
    fn default() -> Self {
        ChunkedEnd::Size(0, true, 0)
    }
}

impl ChunkedEnd {
    /// Whether a line or the trailers became longer than they may be. Nothing more of such a body is read.
    fn is_too_long(&self) -> bool {
        match self {
            ChunkedEnd::Size(_, _, line) => *line > SIZE_LINE,
            ChunkedEnd::Trailer(_, bytes) => *bytes > TRAILERS,
            ChunkedEnd::Data(_) | ChunkedEnd::After => false,
        }
    }

    /// How many of these bytes belong to the body, and whether the body ends with them. Stops where framing is too long. Adds
    /// the chunks that begin to `begun`.
    fn pass(&mut self, bytes: &[u8], begun: &mut usize) -> (usize, bool) {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match self {
                ChunkedEnd::Size(_, _, line) if *line > SIZE_LINE => break,
                ChunkedEnd::Size(0, _, _) if *byte == b'\n' => {
                    *self = ChunkedEnd::Trailer(HeadEnd { at_line_start: true }, 0);
                }
                ChunkedEnd::Size(size, _, _) if *byte == b'\n' => {
                    *begun += 1;
                    *self = ChunkedEnd::Data(*size);
                }
                ChunkedEnd::Size(size, is_number, line) => {
                    *line += 1;
                    match char::from(*byte).to_digit(16).filter(|_| *is_number) {
                        Some(digit) => *size = size.saturating_mul(16).saturating_add(u64::from(digit)),
                        None => *is_number = false,
                    }
                }
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
                ChunkedEnd::Trailer(ending, trailers) => {
                    let (passed, ended) = ending.pass(&bytes[at..]);
                    *trailers = trailers.saturating_add(passed);
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
                    passed += due.pass(&all.as_bytes()[passed..end]).0;
                }
                assert_eq!(
                    (passed, due),
                    (body.len(), DueBytes::Nothing),
                    "{body:?} in pieces of {piece}"
                );
            }
        }
        let mut due = DueBytes::Bytes(7);
        assert_eq!((due.pass(b"hello"), due), ((5, 5), DueBytes::Bytes(2)));
        assert_eq!((due.pass(b"hello"), due), ((2, 2), DueBytes::Nothing));
        assert_eq!(due.pass(b"hello"), (0, 0));
    }

    #[test]
    fn t_b07_each_chunk_costs_more_than_its_bytes() {
        for (body, chunks) in [("1\r\na\r\n1\r\na\r\n0\r\n\r\n", 2), ("5\r\nhello\r\n", 1)] {
            let mut due = DueBytes::Chunks(ChunkedEnd::default());
            let cost = body.len() + chunks * CHUNK_COST;
            assert_eq!(due.pass(body.as_bytes()), (body.len(), cost), "{body:?}");
        }
    }

    #[test]
    fn t_b07_long_lines_of_chunk_sizes_and_long_trailers_cost_more_than_any_body_may() {
        let zeros = "0".repeat(40_000);
        let short = "0".repeat(200);
        let pass = |body: &str, piece: usize| {
            let mut due = DueBytes::Chunks(ChunkedEnd::default());
            let pieces = body.as_bytes().chunks(piece);
            pieces.map(|piece| due.pass(piece).1).fold(0, usize::saturating_add)
        };
        for piece in [1, 100, 7_168] {
            for framing in [
                zeros.clone(),
                format!("1;x={zeros}\r\n"),
                format!("1\r\na\r\n1{zeros}\r\n"),
                format!("0\r\nx: {zeros}\r\n\r\n"),
                format!("0\r\n{}\r\n", "a: b\r\n".repeat(2_000)),
            ] {
                assert_eq!(pass(&framing, piece), TOO_MUCH, "{} in {piece}", &framing[..9]);
            }
            for framing in [
                format!("{short}1\r\na\r\n0\r\n\r\n"),
                format!("1;x={short}\r\na\r\n0\r\nx: {short}\r\n\r\n"),
            ] {
                assert_eq!(pass(&framing, piece), framing.len() + CHUNK_COST, "in {piece}");
            }
        }
    }

    #[test]
    fn t_b07_a_head_is_passed_on_whole_and_without_empty_lines_before_it() {
        let sent = b"\r\n\nGET / HTTP/1.1\r\n\r\n\r\nGET";
        for piece in 1..=sent.len() {
            let (mut head, mut held, mut passed) = (NextHead::default(), Vec::new(), Vec::new());
            for piece in sent.chunks(piece) {
                held.extend_from_slice(piece);
                loop {
                    held.drain(..head.skip(&held).expect("few empty lines"));
                    if !head.is_whole(&held) {
                        break;
                    }
                    let (taken, ended) = head.take(usize::MAX);
                    assert!(ended);
                    passed.push(held.drain(..taken).collect::<Vec<u8>>());
                }
            }
            assert_eq!(passed, [b"GET / HTTP/1.1\r\n\r\n"], "in pieces of {piece}");
            assert_eq!(held, b"GET");
        }
        let mut head = NextHead::default();
        assert_eq!(head.skip(b"\r\n\r\n\r\n\r\n"), Some(8));
        assert_eq!(head.skip(b"\nGET"), None, "a fifth");
        // A head that is longer than what is held goes on in parts.
        let mut head = NextHead::default();
        assert_eq!(head.skip(b"GET"), Some(0));
        assert!(!head.is_whole(b"GET"));
        assert_eq!((head.take(2), head.take(2)), ((2, false), (1, false)));
        assert_eq!(head.skip(b"\n\n"), Some(0), "the head has begun");
        assert!(head.is_whole(b"\n\nGET"));
        assert_eq!((head.take(1), head.take(9)), ((1, false), (1, true)));
    }
}
