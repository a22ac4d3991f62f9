//! `name=value&…` of queries and forms (WHATWG URL, application/x-www-form-urlencoded).

/// Parses pairs; `+` is a space. What is no UTF-8 after decoding is replaced.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (decoded(name, true), decoded(value, true))
    };
    text.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

/// Decodes percent signs; `plus` also turns `+` into a space.
pub(crate) fn decoded(text: &str, plus: bool) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|&b| (b as char).to_digit(16));
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
                continue;
            }
            (b'+', ..) if plus => out.push(b' '),
            (byte, ..) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Encodes a value for a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded_to_the_same() {
        for text in ["a b+c", "http://x.example/y|z", "ä=&%", "%2", "100%"] {
            assert_eq!(decoded(&encoded(text), true), text);
        }
        let given = pairs("patient=Patient%2F1&_count=5&x&y=a+b");
        let expected = [("patient", "Patient/1"), ("_count", "5"), ("x", ""), ("y", "a b")];
        assert_eq!(given.len(), 4);
        for ((name, value), expected) in given.iter().zip(expected) {
            assert_eq!((name.as_str(), value.as_str()), expected);
        }
    }
}
