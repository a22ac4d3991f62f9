//! What of a resource is sent. The disclosure is recorded in every case, but only bytes that are sent are counted.

/// What of a resource is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentPart {
    /// Its bytes, with 200.
    Whole,
    /// This many bytes of it, with 200.
    Part(u64),
    /// Only the headers of an answer with this status: HEAD, 304 and 412.
    Head(u16),
}

impl SentPart {
    /// The HTTP status of the answer.
    pub fn http(self) -> u16 {
        match self {
            SentPart::Whole | SentPart::Part(_) => 200,
            SentPart::Head(status) => status,
        }
    }

    /// How many of `size` bytes are sent.
    pub fn bytes(self, size: u64) -> u64 {
        match self {
            SentPart::Whole => size,
            SentPart::Part(bytes) => bytes,
            SentPart::Head(_) => 0,
        }
    }
}
