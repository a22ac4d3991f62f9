//! The text of a file of keys: one line for each key, its id and 32 bytes in base64url. It reads and writes no file.

use super::{base64url, from_base64url};

/// The keys of such a text, each with its id; the last one is for new work. `None` when a line is no key, or an id is there twice.
pub fn parse(text: &str) -> Option<Vec<(String, [u8; 32])>> {
    let mut keys: Vec<(String, [u8; 32])> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (id, key) = line.split_once(' ')?;
        let key: [u8; 32] = from_base64url(key.trim())?.try_into().ok()?;
        if id.is_empty() || keys.iter().any(|(known, _)| known == id) {
            return None;
        }
        keys.push((id.to_owned(), key));
    }
    Some(keys)
}

/// The line of a key.
pub fn line(id: &str, key: &[u8; 32]) -> String {
    format!("{id} {}\n", base64url(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_and_what_is_no_key_does_not() {
        let (one, two) = (line("a", &[1; 32]), line("b", &[2; 32]));
        assert_eq!(parse(""), Some(Vec::new()));
        let read = parse(&format!("{one}\n{two}"));
        assert_eq!(read, Some(vec![("a".to_owned(), [1; 32]), ("b".to_owned(), [2; 32])]));
        for wrong in ["a", "a b", &format!("{one}{one}"), &"-".repeat(60)] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }
}
