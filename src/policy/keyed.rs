//! The form of texts that are a first line and lines `key = value`. Without side effects; what the keys mean is the reader's.

use super::kind::TextError;

/// A line of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyedLine<'t> {
    /// Its number, from 1.
    pub line: usize,
    /// The key.
    pub key: &'t str,
    /// The value.
    pub value: &'t str,
}

/// Reads a text that begins with the line `head`. Empty lines and lines that begin with `#` are left out.
///
/// # Errors
/// The first line that is no pair, has a key that was there before, or has no value; line 1 when the first line is another one.
pub fn keyed<'t>(text: &'t str, head: &str) -> Result<Vec<KeyedLine<'t>>, TextError> {
    let mut lines = (1..)
        .zip(text.lines())
        .map(|(line, content): (usize, &str)| (line, content.trim()))
        .filter(|(_, content)| !content.is_empty() && !content.starts_with('#'));
    match lines.next() {
        Some((_, first)) if first == head => {}
        other => {
            let line = other.map_or(1, |(line, _)| line);
            return Err(TextError::at(line, format!("the first line must be {head}")));
        }
    }
    let mut rows: Vec<KeyedLine<'t>> = Vec::new();
    for (line, content) in lines {
        let pair = content.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
        let (key, value) = pair
            .filter(|(key, value)| !key.is_empty() && !value.is_empty())
            .ok_or_else(|| TextError::at(line, "expected key = value"))?;
        if rows.iter().any(|row| row.key == key) {
            return Err(TextError::at(line, "this key stands twice"));
        }
        rows.push(KeyedLine { line, key, value });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_pairs_after_their_head() {
        let rows = keyed("# ours\n\nx 1\na = b = c\n", "x 1").expect("rows");
        assert_eq!(
            (rows.len(), rows[0].line, rows[0].key, rows[0].value),
            (1, 4, "a", "b = c")
        );
        for (text, line) in [
            ("", 1),
            ("y 1", 1),
            ("x 1\na", 2),
            ("x 1\na =", 2),
            ("x 1\na = 1\na = 2", 3),
        ] {
            assert_eq!(keyed(text, "x 1").map_err(|error| error.line), Err(line), "{text}");
        }
    }
}
