//! The position of the scanner as a FHIRPath expression, for faults.

use super::super::steps::step;
use super::super::tape::JsonKind;
use super::super::text;
use super::Scanner;

impl Scanner<'_> {
    /// The position of the scanner as a FHIRPath expression of element names and indexes. It ends before the first name that is not an
    /// element name.
    pub(super) fn place(&self) -> String {
        let name = |start: u32, len: u8| {
            let bytes = &self.bytes[start as usize..start as usize + usize::from(len)];
            text::element_name(std::str::from_utf8(bytes).unwrap_or_default())
        };
        let root = self.root_type().unwrap_or("Resource");
        let mut path = root.to_owned();
        for (depth, frame) in self.frames.iter().enumerate() {
            let (key_start, key_len) = match self.frames.get(depth + 1) {
                Some(inner) => {
                    let entry = &self.tape[inner.entry as usize];
                    (entry.key_start, entry.key_len)
                }
                None => self.key,
            };
            if frame.array {
                path.push_str(&format!("[{}]", frame.count.saturating_sub(1)));
            } else if key_len > 0 {
                let Some(name) = name(key_start, key_len) else { break };
                path.push_str(&format!(".{name}"));
            }
        }
        path
    }

    /// The type of the root resource, if it has been read.
    fn root_type(&self) -> Option<&'static str> {
        let keys = self.keys.iter().take(self.limits.members);
        step(self.tape.len());
        let wanted = b"resourceType";
        let key = keys
            .into_iter()
            .find(|key| &self.bytes[key.start as usize..key.start as usize + usize::from(key.len)] == wanted)?;
        let entry = self
            .tape
            .iter()
            .find(|entry| entry.key_start == key.start && entry.kind == JsonKind::String)?;
        let name = std::str::from_utf8(self.bytes.get(entry.start as usize + 1..entry.end as usize - 1)?).ok()?;
        // The type of a nested resource comes after its container was opened, and does not count.
        let own = self
            .frames
            .get(1)
            .is_none_or(|inner| self.tape[inner.entry as usize].start > entry.start);
        if own {
            causeway_fhir_types::type_name(name)
        } else {
            None
        }
    }
}
