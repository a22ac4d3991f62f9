//! The settings for reading a query, and how values are split.

/// The settings for reading a query.
#[derive(Clone, Copy, Debug)]
pub struct QueryReading<'a> {
    /// Base URL of this server.
    pub base_url: &'a str,
    /// The current time, for `ap`.
    pub now_ms: i64,
    /// Whether unknown parameters are refused.
    pub strict: bool,
}

/// Splits at an unescaped character (FHIR R4 search, "Escaping Search Parameters"); the escapes are kept for the next split.
pub(super) fn split(text: &str, sign: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let last = parts.len() - 1;
        match letter {
            '\\' => {
                parts[last].push('\\');
                parts[last].extend(letters.next());
            }
            _ if letter == sign => parts.push(String::new()),
            _ => parts[last].push(letter),
        }
    }
    parts
}
