//! How large a document of the pre-screen may be.

/// How large a document may be. Each object and array is a value, and each string, number, boolean and null in them. Every count is checked
/// while reading, so that memory stays within a small factor of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScreenLimits {
    /// Bytes of the whole document.
    pub bytes: usize,
    /// Depth of nested objects and arrays.
    pub depth: usize,
    /// Values in the whole document.
    pub values: usize,
    /// Members of one object; no FHIR type has half as many.
    pub members: usize,
}

impl ScreenLimits {
    /// For the body of a request, which is judged on the thread of its connection. Every value costs the model several microseconds, so
    /// this number bounds that time to about 10 ms. The largest published request has 344 values, a usual one 165.
    pub const fn request() -> Self {
        ScreenLimits {
            bytes: 16 << 20,
            depth: 50,
            values: 2000,
            members: 256,
        }
    }

    /// For a request whose parameters name up to `names` resources, each in four values. No model is made of it.
    pub const fn naming(names: usize) -> Self {
        ScreenLimits {
            values: 2000 + 4 * names,
            ..Self::request()
        }
    }

    /// For one resource of an import.
    pub const fn record() -> Self {
        ScreenLimits {
            bytes: 32 << 20,
            depth: 50,
            values: 2 << 20,
            members: 256,
        }
    }

    /// For a whole Bundle of an import, whose entries are then screened as records.
    pub const fn bundle() -> Self {
        ScreenLimits {
            bytes: 256 << 20,
            depth: 50,
            values: 16 << 20,
            members: 256,
        }
    }
}
