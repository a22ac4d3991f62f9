//! What a reference of a source means in this store: the gate asks [`Links`] for each reference, and writes the answer.

/// Makes references of a source local.
pub trait Links {
    /// Returns `Type/id` for a reference (or full URL) of the source that means a resource of this store; `None` to leave it unchanged.
    fn local(&self, reference: &str) -> Option<String>;

    /// Whether URLs outside references may also mean resources of the source (entries of a Bundle).
    fn has_urls(&self) -> bool {
        false
    }

    /// As [`Links::local`], for a URL outside references.
    fn local_url(&self, url: &str) -> Option<String> {
        self.local(url)
    }

    /// As [`Links::local`], for the address of a link or an image in a narrative.
    fn local_link(&self, url: &str) -> Option<String> {
        self.local(url)
    }

    /// Returns the prefix that ids of the source get in this store.
    fn id_prefix(&self) -> String {
        String::new()
    }
}

/// Makes no reference local.
pub struct NoLinks;

impl Links for NoLinks {
    fn local(&self, _: &str) -> Option<String> {
        None
    }
}
