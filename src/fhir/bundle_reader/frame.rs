//! What the reader of a Bundle gives out: the entries, and what the Bundle says beside them. Only data.

/// An entry of the Bundle.
#[derive(Debug, PartialEq, Eq)]
pub enum BundlePiece {
    /// The entry, whole.
    Entry {
        /// Where it begins in the document.
        start: u64,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// An entry that is longer than the limit. It is not given out.
    TooLong {
        /// Where it begins in the document.
        start: u64,
        /// Its length in bytes.
        length: u64,
    },
}

/// What a Bundle says beside its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BundleFrame {
    /// `resourceType` of the document.
    pub resource_type: String,
    /// `Bundle.type`.
    pub kind: String,
    /// `Bundle.total`.
    pub total: Option<u64>,
    /// The URL of the link `next`.
    pub next: Option<String>,
    /// How many entries there were.
    pub entries: u64,
}
