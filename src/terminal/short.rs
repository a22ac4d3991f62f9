//! Ids cut to as many characters as tell them apart, for tables that people read. Who makes one knows how many that are.

use std::collections::HashMap;

/// Ids, each with its beginning that commands accept in its place.
#[derive(Clone, Debug, Default)]
pub struct ShortIds {
    lengths: HashMap<String, usize>,
}

impl ShortIds {
    /// Adds an id of which so many characters are enough.
    pub fn add(&mut self, id: &str, length: usize) {
        self.lengths.insert(id.to_owned(), length);
    }

    /// Whether this id was added.
    pub fn has(&self, id: &str) -> bool {
        self.lengths.contains_key(id)
    }

    /// `text` with its ids cut.
    pub fn cut(&self, text: &str) -> String {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        let mut cut = String::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
            let (word, tail) = rest.split_at(end);
            let length = self.lengths.get(word).copied().unwrap_or(word.len());
            cut.push_str(word.get(..length).unwrap_or(word));
            let next = tail.find(is_part).unwrap_or(tail.len());
            cut.push_str(&tail[..next]);
            rest = &tail[next..];
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_ids_are_cut_wherever_they_stand() {
        let mut ids = ShortIds::default();
        ids.add("0199f0a2-7c1e-7b3a", 8);
        assert_eq!(
            ids.cut("decision 0199f0a2-7c1e-7b3a; by ana"),
            "decision 0199f0a2; by ana"
        );
        assert_eq!(ids.cut("0199f0a2-7c1e-7b3a"), "0199f0a2");
        for other in ["", "é; ", "0199f0a2-7c1e-7b3b", "x0199f0a2-7c1e-7b3a", "–"] {
            assert_eq!(ids.cut(other), other);
        }
    }
}
