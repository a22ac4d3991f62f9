//! Whom to call at a partner: `[contacts]` of its registration. People and desks of the other payer, never members.
//!
//! Which contact is called for what is said by the runbook ([`crate::error::ContactKind`]), not here.

use crate::error::ContactKind;
use serde::{Deserialize, Serialize};

/// Longest name, in characters.
const NAME_MOST: usize = 200;
/// Shortest and longest address, in bytes (RFC 5321, section 4.5.3.1.3, without the brackets).
const EMAIL_LEAST: usize = 3;
const EMAIL_MOST: usize = 254;
/// Shortest and longest telephone number, in bytes.
const PHONE_LEAST: usize = 3;
const PHONE_MOST: usize = 40;

/// The contacts of a partner, as `partner.toml` and `partner show` have them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PartnerContacts {
    /// For connections, requests and data.
    pub technical: Option<PartnerContact>,
    /// For keys, certificates and attacks.
    pub security: Option<PartnerContact>,
    /// For consents, and for data of the wrong person.
    pub privacy: Option<PartnerContact>,
    /// When another contact does not answer in time.
    pub escalation: Option<PartnerContact>,
}

/// A person or a desk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PartnerContact {
    /// Its name, 1 to 200 characters.
    pub name: String,
    /// Its address for mail, 3 to 254 characters.
    pub email: String,
    /// Its telephone number, 3 to 40 characters.
    pub phone: Option<String>,
}

/// What is wrong with contacts: the field, and what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WrongContact {
    pub(super) field: String,
    pub(super) remedy: &'static str,
}

impl PartnerContacts {
    /// The contact of this kind.
    pub fn of(&self, kind: ContactKind) -> Option<&PartnerContact> {
        match kind {
            ContactKind::Technical => self.technical.as_ref(),
            ContactKind::Security => self.security.as_ref(),
            ContactKind::Privacy => self.privacy.as_ref(),
            ContactKind::Escalation => self.escalation.as_ref(),
        }
    }

    /// Whether nobody is named.
    pub(super) fn is_empty(&self) -> bool {
        ContactKind::ALL.iter().all(|kind| self.of(*kind).is_none())
    }

    /// Checks lengths and forms. Nobody is called, and no name is looked up.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub(super) fn check(&self) -> Result<(), WrongContact> {
        for kind in ContactKind::ALL {
            if let Some(contact) = self.of(*kind) {
                contact.check(*kind)?;
            }
        }
        Ok(())
    }
}

impl PartnerContact {
    fn check(&self, kind: ContactKind) -> Result<(), WrongContact> {
        let wrong = |field: &str, remedy: &'static str| WrongContact {
            field: format!("contacts.{}.{field}", kind.code()),
            remedy,
        };
        let length = self.name.chars().count();
        if self.name.trim().is_empty() || length > NAME_MOST || self.name.chars().any(char::is_control) {
            return Err(wrong("name", "Give a name of 1 to 200 characters."));
        }
        if !is_address(&self.email) {
            return Err(wrong(
                "email",
                "Give one address such as desk@partner.example, of at most 254 characters.",
            ));
        }
        match self.phone.as_deref() {
            Some(phone) if !is_number(phone) => Err(wrong(
                "phone",
                "Give 3 to 40 digits, spaces, and signs of + - . ( ) only, or leave it out.",
            )),
            _ => Ok(()),
        }
    }
}

/// Whether a text has the form of one address: visible ASCII with one `@`, and nothing that a mail program or a page reads as more.
fn is_address(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"<>()[],;:\\\"".contains(&byte);
    let parts = text.split_once('@');
    (EMAIL_LEAST..=EMAIL_MOST).contains(&text.len())
        && text.bytes().all(is_plain)
        && parts.is_some_and(|(desk, host)| !desk.is_empty() && !host.is_empty() && !host.contains('@'))
}

fn is_number(text: &str) -> bool {
    (PHONE_LEAST..=PHONE_MOST).contains(&text.len())
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b" +-.()".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(name: &str, email: &str, phone: Option<&str>) -> PartnerContacts {
        PartnerContacts {
            security: Some(PartnerContact {
                name: name.to_owned(),
                email: email.to_owned(),
                phone: phone.map(str::to_owned),
            }),
            ..PartnerContacts::default()
        }
    }

    #[test]
    fn contacts_are_bounded_in_length_and_form() {
        let (long_name, long_host) = ("n".repeat(NAME_MOST + 1), "h".repeat(EMAIL_MOST));
        let long_email = format!("desk@{long_host}");
        let long_phone = "1".repeat(PHONE_MOST + 1);
        for (contacts, field) in [
            (contact("", "desk@partner.example", None), "name"),
            (contact("  ", "desk@partner.example", None), "name"),
            (contact("a\nb", "desk@partner.example", None), "name"),
            (contact(&long_name, "desk@partner.example", None), "name"),
            (contact("Desk", "", None), "email"),
            (contact("Desk", "desk", None), "email"),
            (contact("Desk", "@partner.example", None), "email"),
            (contact("Desk", "desk@", None), "email"),
            (contact("Desk", "a@b@c", None), "email"),
            (
                contact("Desk", "desk@partner.example, other@partner.example", None),
                "email",
            ),
            (contact("Desk", "<desk@partner.example>", None), "email"),
            (contact("Desk", &long_email, None), "email"),
            (contact("Desk", "desk@partner.example", Some("")), "phone"),
            (contact("Desk", "desk@partner.example", Some("call us")), "phone"),
            (contact("Desk", "desk@partner.example", Some("+-.")), "phone"),
            (contact("Desk", "desk@partner.example", Some(&long_phone)), "phone"),
        ] {
            let wrong = contacts.check().expect_err(field);
            assert_eq!(wrong.field, format!("contacts.security.{field}"), "{contacts:?}");
        }
        let good = contact("Désk, day and night", "desk@partner.example", Some("+1 (555) 010-2030"));
        assert_eq!(good.check(), Ok(()));
        assert!(!good.is_empty() && PartnerContacts::default().is_empty());
    }

    #[test]
    fn each_kind_of_contact_has_a_place() {
        for kind in ContactKind::ALL {
            let text = format!(
                r#"{{"{}": {{"name": "Desk", "email": "desk@partner.example"}}}}"#,
                kind.code()
            );
            let contacts: PartnerContacts = serde_json::from_str(&text).expect("contacts");
            let named: Vec<_> = ContactKind::ALL
                .iter()
                .filter(|one| contacts.of(**one).is_some())
                .collect();
            assert_eq!(named, [kind]);
        }
    }
}
