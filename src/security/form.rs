//! Reads `application/x-www-form-urlencoded` strictly: each field once, exact percent encoding, valid UTF-8.

use crate::error::{Failure, Fault};
use crate::percent::decode_form;

/// Largest form that is accepted, in bytes: enough for an assertion with a large key id.
pub const FORM_BYTES: usize = 64 * 1024;
/// Most fields in a form.
const FIELDS: usize = 32;

/// The fields of a form.
pub struct FormFields(Vec<(String, String)>);

impl FormFields {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`Fault::OauthRequest`] for another media type, a repeated field, broken percent encoding, text that is not UTF-8 or has control
    /// characters, or a body that is too large.
    pub fn parse(content_type: Option<&str>, body: &[u8]) -> Result<FormFields, Failure> {
        let refused = |place: &str| Failure::new(Fault::OauthRequest).at(place);
        if !content_type.is_some_and(is_form) {
            return Err(refused("Content-Type"));
        }
        if body.len() > FORM_BYTES {
            return Err(refused("body"));
        }
        let mut fields: Vec<(String, String)> = Vec::new();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let name = decode(&pair[..at]).ok_or_else(|| refused("body"))?;
            let value = decode(pair.get(at + 1..).unwrap_or_default()).ok_or_else(|| refused("body"))?;
            if name.is_empty() || fields.len() == FIELDS || fields.iter().any(|(known, _)| *known == name) {
                return Err(refused("body"));
            }
            fields.push((name, value));
        }
        Ok(FormFields(fields))
    }

    /// The value of a field; a field without a value counts as missing (RFC 6749, section 3.2).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// The value of a required field.
    ///
    /// # Errors
    /// [`Fault::OauthRequest`] that names the field when it is missing.
    pub fn demand(&self, name: &'static str) -> Result<&str, Failure> {
        self.get(name).ok_or_else(|| Failure::new(Fault::OauthRequest).at(name))
    }
}

fn is_form(content_type: &str) -> bool {
    let mut parts = content_type.split(';');
    let media = parts.next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        && parts.all(|parameter| {
            let parameter = parameter.trim();
            parameter.is_empty()
                || parameter.eq_ignore_ascii_case("charset=utf-8")
                || parameter.eq_ignore_ascii_case("charset=\"utf-8\"")
        })
}

/// Decodes a name or a value. `None` unless the encoded text is visible ASCII and the decoded text has no control characters.
fn decode(text: &[u8]) -> Option<String> {
    let is_visible = text.iter().all(u8::is_ascii_graphic);
    decode_form(text).filter(|text| is_visible && !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

    #[test]
    fn t_a16_odd_forms_are_refused() {
        let many = (0..40).map(|n| format!("a{n}=1")).collect::<Vec<_>>().join("&");
        let rows: &[(Option<&str>, &[u8])] = &[
            (FORM, b"a=1&a=1"),
            (FORM, b"a=1&%61=2"),
            (FORM, b"a=%zz"),
            (FORM, b"a=%4"),
            (FORM, b"a=%"),
            (FORM, b"a=%ff"),
            (FORM, b"a=%00"),
            (FORM, b"a=%0a"),
            (FORM, b"a=\xc3\xa4"),
            (FORM, b"a=b c"),
            (FORM, b"=1"),
            (FORM, many.as_bytes()),
            (None, b"a=1"),
            (Some("application/json"), b"a=1"),
            (Some("multipart/form-data"), b"a=1"),
            (Some("application/x-www-form-urlencoded; charset=utf-16"), b"a=1"),
            (Some("application/x-www-form-urlencodedx"), b"a=1"),
        ];
        for (media, body) in rows {
            let failure = FormFields::parse(*media, body).err().map(|failure| failure.fault());
            assert_eq!(
                failure,
                Some(Fault::OauthRequest),
                "{media:?} {:?}",
                String::from_utf8_lossy(body)
            );
        }
        assert!(FormFields::parse(FORM, &vec![b'a'; FORM_BYTES + 1]).is_err());
    }

    #[test]
    fn ordinary_forms_are_read() {
        let form = FormFields::parse(
            Some("Application/X-WWW-Form-Urlencoded; charset=UTF-8"),
            b"a=x%2By+z&b=&c&d=%C3%A4%3D",
        )
        .expect("form");
        assert_eq!(form.get("a"), Some("x+y z"));
        assert_eq!((form.get("b"), form.get("c"), form.get("d")), (None, None, Some("ä=")));
        assert!(form.demand("b").is_err());
    }
}
