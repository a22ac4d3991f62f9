//! What of a resource goes out: a disclosure is recorded alike either way, but only bytes that go out are counted.

/// What of a resource goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Its bytes, with 200.
    Whole,
    /// So many bytes out of it, with 200.
    Part(u64),
    /// Only the head of an answer with this status: HEAD, 304 and 412.
    Head(u16),
}

impl Sent {
    /// The HTTP status of the answer.
    pub fn http(self) -> u16 {
        match self {
            Sent::Whole | Sent::Part(_) => 200,
            Sent::Head(status) => status,
        }
    }

    /// How many of `size` bytes go out.
    pub fn bytes(self, size: u64) -> u64 {
        match self {
            Sent::Whole => size,
            Sent::Part(bytes) => bytes,
            Sent::Head(_) => 0,
        }
    }
}
