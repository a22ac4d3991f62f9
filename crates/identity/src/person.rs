//! The description of a person, as written ([`Person`]) and as compared ([`Profile`]). Contains no matching rules.

use crate::address::{AddressForm, WrittenAddress};
use crate::date::Birth;
use crate::text::{code, digits, fold};

/// What a request or a record says about a person. Every part may be empty or malformed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// Names, the usual one first.
    pub names: Vec<PersonName>,
    /// Date of birth as written, complete (`1984-07-09`) or not (`1984-07`).
    pub birth_date: String,
    /// `male`, `female`, or anything else, which counts as missing.
    pub gender: String,
    /// Social security number or another national number, complete.
    pub ssn: String,
    /// The last four digits of the national number, when only these are known.
    pub ssn_last4: String,
    /// Addresses.
    pub addresses: Vec<WrittenAddress>,
    /// Telephone numbers.
    pub phones: Vec<String>,
    /// E-mail addresses.
    pub emails: Vec<String>,
    /// Member numbers, which belong to one person.
    pub member_ids: Vec<String>,
    /// Subscriber numbers, which belong to a household.
    pub subscriber_ids: Vec<String>,
    /// Those of the numbers above that the request marks as this payer's. If no member has such a number, it contradicts, whatever its
    /// form.
    pub own_numbers: Vec<String>,
    /// The payer's number of the person across all products (UMB), if known.
    pub umb: String,
}

/// One name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonName {
    /// First and middle names, in order.
    pub given: Vec<String>,
    /// Family name.
    pub family: String,
    /// Suffix such as `Jr`.
    pub suffix: String,
}

/// Administrative gender, if it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Gender {
    Female,
    Male,
}

/// The position among relatives with the same name: `1` for Sr, `2` for Jr, then III, IV, V.
pub type Generation = u8;

/// A name in normalized form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameForm {
    /// Given names and initials, folded.
    pub given: Vec<String>,
    /// Parts of the family name, folded, including particles.
    pub family: Vec<String>,
    /// The family name in one word.
    pub family_joined: String,
    /// The phonetic code of the family name.
    pub family_sound: String,
    /// The generation, if there is a suffix for it.
    pub generation: Option<Generation>,
}

/// An e-mail address in normalized form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmailForm {
    /// The part before the `@`, without a `+` and what follows it.
    pub local: String,
    /// The part after the `@`.
    pub domain: String,
}

/// A person in normalized form, computed once and compared often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Names.
    pub names: Vec<NameForm>,
    /// Birth date, if it can be read.
    pub birth: Option<Birth>,
    /// Gender, if it is known.
    pub gender: Option<Gender>,
    /// All digits of the national number, or empty.
    pub ssn: String,
    /// The last four digits of the national number, or empty.
    pub ssn_last4: String,
    /// Addresses.
    pub addresses: Vec<AddressForm>,
    /// Telephone numbers: the last ten digits of each.
    pub phones: Vec<String>,
    /// E-mail addresses.
    pub emails: Vec<EmailForm>,
    /// Member numbers, letters and digits only.
    pub member_ids: Vec<String>,
    /// Subscriber numbers, letters and digits only.
    pub subscriber_ids: Vec<String>,
    /// The numbers that the request marks as this payer's.
    pub own_numbers: Vec<String>,
    /// The number of the person across all products, as written.
    pub umb: String,
}

impl From<&Person> for Profile {
    fn from(person: &Person) -> Self {
        let ssn = national_number(&person.ssn);
        let last4 = digits(&person.ssn_last4);
        let tail = |text: &str| text.get(text.len().saturating_sub(4)..).unwrap_or("").to_owned();
        Profile {
            names: person
                .names
                .iter()
                .map(name_form)
                .filter(|name| !name.given.is_empty() || !name.family.is_empty())
                .collect(),
            birth: Birth::parse(&person.birth_date),
            gender: match fold(person.gender.trim()).as_str() {
                "male" | "m" => Some(Gender::Male),
                "female" | "f" => Some(Gender::Female),
                _ => None,
            },
            ssn_last4: if !ssn.is_empty() {
                tail(&ssn)
            } else if last4.len() == 4 {
                last4
            } else {
                String::new()
            },
            ssn,
            addresses: person.addresses.iter().filter_map(AddressForm::parse).collect(),
            phones: unique(person.phones.iter().filter_map(|phone| phone_form(phone))),
            emails: person.emails.iter().filter_map(|email| email_form(email)).collect(),
            member_ids: codes(&person.member_ids),
            subscriber_ids: codes(&person.subscriber_ids),
            own_numbers: codes(&person.own_numbers),
            umb: person.umb.trim().to_owned(),
        }
    }
}

/// Numbers in normalized form, without placeholders.
fn codes(numbers: &[String]) -> Vec<String> {
    unique(numbers.iter().map(|id| code(id)).filter(|id| is_number(id)))
}

/// Whether a text can be a member or subscriber number: it has at least two letters or digits, and at least one digit. `?`, `N/A` and
/// `unknown` cannot.
fn is_number(code: &str) -> bool {
    code.chars().count() >= 2 && code.chars().any(char::is_numeric)
}

fn unique(values: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for value in values {
        if !kept.contains(&value) {
            kept.push(value);
        }
    }
    kept
}

/// The digits of a national number; empty when there are fewer than seven, or when it is a placeholder such as equal digits.
fn national_number(text: &str) -> String {
    let number = digits(text);
    let first = number.as_bytes().first().copied();
    let filler = number.bytes().all(|b| Some(b) == first) || number == "123456789";
    if number.len() < 7 || filler {
        String::new()
    } else {
        number
    }
}

/// The last ten digits of a telephone number; `None` when there are fewer, or when all are equal.
fn phone_form(text: &str) -> Option<String> {
    let number = digits(text);
    let ten = number.get(number.len().checked_sub(10)?..)?;
    let first = ten.as_bytes().first().copied();
    (!ten.bytes().all(|b| Some(b) == first)).then(|| ten.to_owned())
}

fn email_form(text: &str) -> Option<EmailForm> {
    let folded = fold(text.trim());
    let (local, domain) = folded.rsplit_once('@')?;
    let local = local.split('+').next().unwrap_or("");
    (!local.is_empty() && !domain.is_empty()).then(|| EmailForm {
        local: local.to_owned(),
        domain: domain.to_owned(),
    })
}

/// Words that precede a family name and are not a name by themselves.
const PARTICLES: &[&str] = &[
    "al", "bin", "da", "das", "de", "del", "della", "den", "der", "di", "do", "dos", "du", "el", "la", "las", "le",
    "los", "mac", "san", "santa", "st", "ten", "ter", "van", "von", "y",
];

/// Whether a folded part of a family name is only a particle.
pub fn is_particle(part: &str) -> bool {
    part.len() < 2 || PARTICLES.contains(&part)
}

fn generation(token: &str) -> Option<Option<Generation>> {
    Some(match token {
        "sr" | "senior" => Some(1),
        "jr" | "junior" | "ii" | "2nd" => Some(2),
        "iii" | "3rd" => Some(3),
        "iv" | "4th" => Some(4),
        "md" | "phd" | "esq" | "dds" | "rn" => None,
        _ => return None,
    })
}

fn name_form(name: &PersonName) -> NameForm {
    let mut form = NameForm::default();
    for token in tokens(&name.suffix) {
        if let Some(said) = generation(&token) {
            form.generation = form.generation.or(said);
        }
    }
    // A suffix in the given or family name is recognized only at the end and after another word, because `Junior` can be a name.
    let mut strip = |mut parts: Vec<String>, words: &[&str]| -> Vec<String> {
        while parts.len() > 1
            && let Some(said) = parts.last().and_then(|last| generation(last))
            && parts.last().is_some_and(|last| words.contains(&last.as_str()))
        {
            form.generation = form.generation.or(said);
            parts.pop();
        }
        parts
    };
    let family = strip(
        tokens(&name.family),
        &[
            "sr", "jr", "ii", "iii", "iv", "2nd", "3rd", "4th", "md", "phd", "esq", "dds",
        ],
    );
    let given = strip(
        name.given.iter().flat_map(|given| tokens(given)).collect(),
        &["sr", "jr", "ii", "iii"],
    );
    form.family = family
        .iter()
        .map(|part| letters(part))
        .filter(|part| !part.is_empty())
        .collect();
    form.given = given
        .iter()
        .map(|part| letters(part))
        .filter(|part| !part.is_empty())
        .collect();
    form.family_joined = form.family.concat();
    form.family_sound = crate::text::phonetic(&form.family_joined);
    form
}

/// Splits a name at spaces, hyphens, slashes, commas and periods; other punctuation is dropped by [`letters`].
fn tokens(text: &str) -> Vec<String> {
    fold(text)
        .split(|c: char| c.is_whitespace() || matches!(c, '-' | '/' | ',' | '.'))
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The letters of a token; digits that scanners confuse with letters are converted back.
fn letters(token: &str) -> String {
    token
        .chars()
        .filter_map(|c| match c {
            '0' => Some('o'),
            '1' | '|' | '!' => Some('l'),
            '5' | '$' => Some('s'),
            '8' => Some('b'),
            c if c.is_alphabetic() => Some(c),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(given: &[&str], family: &str, suffix: &str) -> NameForm {
        name_form(&PersonName {
            given: given.iter().map(|g| (*g).to_owned()).collect(),
            family: family.into(),
            suffix: suffix.into(),
        })
    }

    #[test]
    fn names_lose_case_marks_punctuation_and_suffix() {
        let name = form(&["Mary Ann", "C."], "O’NEIL-de la Cruz Jr.", "");
        assert_eq!(name.given, ["mary", "ann", "c"]);
        assert_eq!(name.family, ["oneil", "de", "la", "cruz"]);
        assert_eq!(name.generation, Some(2));
        assert_eq!(form(&["Robert"], "Smith", "III").generation, Some(3));
        assert_eq!(form(&["Junior"], "Smith", "").given, ["junior"]);
        assert_eq!(form(&["PA:SLEY"], "R1chards", "").given, ["pasley"]);
    }

    #[test]
    fn numbers_and_contacts_become_comparable_or_nothing() {
        let person = Person {
            ssn: "977-02-5319".into(),
            phones: vec!["+1-555-528-3059".into(), "(555) 528-3059".into(), "12".into()],
            emails: vec!["Ana+x@Example.com".into(), "none".into()],
            gender: "F".into(),
            ..Person::default()
        };
        let profile = Profile::from(&person);
        assert_eq!(
            (profile.ssn.as_str(), profile.ssn_last4.as_str()),
            ("977025319", "5319")
        );
        assert_eq!(profile.phones, ["5555283059"]);
        assert_eq!(profile.emails.len(), 1);
        assert_eq!(profile.emails[0].local, "ana");
        assert_eq!(profile.gender, Some(Gender::Female));
        assert_eq!(national_number("000-00-0000"), "");
    }
}
