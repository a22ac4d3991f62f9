//! Percent coding (RFC 3986 section 2.1; WHATWG URL, `application/x-www-form-urlencoded`): the one place that reads and writes it.
//!
//! Values in, values out. What a caller may not send beside broken coding (a field twice, a control character) is its reader's business.

use std::fmt::Write as _;

/// Reads a name or a value of a query string or of a form body: `+` is a blank, and every `%` begins two hexadecimal digits. `None` for
/// broken coding and for what is not UTF-8.
pub fn decode_form(text: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => octet(rest.next()?, rest.next()?)?,
            other => *other,
        });
    }
    String::from_utf8(out).ok()
}

/// Resolves `%XX` in a text that may never have been encoded: what is not well-formed stays, and so does the whole text when it would
/// not be UTF-8.
pub fn decode_lenient(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let coded = match bytes.get(at..at + 3) {
            Some([b'%', high, low]) => octet(high, low),
            _ => None,
        };
        out.push(coded.unwrap_or(*byte));
        at += if coded.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

fn octet(high: &u8, low: &u8) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Writes a name or a value of a query. `:` and `/` may stand in one (RFC 3986 section 3.4), and references are easier to read with
/// them.
pub fn encode(text: &str) -> String {
    written(text, b"-._~:/")
}

/// [`encode`] that leaves nothing but RFC 3986's unreserved characters, for servers that may split more than they must.
pub fn encode_all(text: &str) -> String {
    written(text, b"-._~")
}

fn written(text: &str, plain: &[u8]) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_exactly_or_not_at_all() {
        for (text, read) in [
            ("", Some("")),
            ("a+b%20c%2B", Some("a b c+")),
            ("%C3%a4", Some("ä")),
            ("ä", Some("ä")),
            ("%zz", None),
            ("%4", None),
            ("%", None),
            ("%+5", None),
            ("%ff", None),
        ] {
            assert_eq!(decode_form(text.as_bytes()).as_deref(), read, "{text}");
        }
    }

    #[test]
    fn a_text_that_was_never_encoded_stays() {
        for (text, read) in [
            ("a%7Cb%20c%2", "a|b c%2"),
            ("100%", "100%"),
            ("%+5", "%+5"),
            ("a+b", "a+b"),
            ("%ff", "%ff"),
            ("%ä1", "%ä1"),
        ] {
            assert_eq!(decode_lenient(text), read, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let all: String = (0..0x250).filter_map(char::from_u32).collect();
        assert_eq!(decode_form(encode(&all).as_bytes()), Some(all.clone()));
        assert_eq!(decode_form(encode_all(&all).as_bytes()), Some(all.clone()));
        assert_eq!(decode_lenient(&encode(&all)), all);
        assert_eq!(encode("Patient/1 ä&=+"), "Patient/1%20%C3%A4%26%3D%2B");
        assert_eq!(encode_all("a:b/c"), "a%3Ab%2Fc");
    }
}
