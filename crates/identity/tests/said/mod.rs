//! People by a short text, so that a table of cases can be read: `name=Ana Maria|Núñez|Jr; born=1984-07-09; phone=5551234567`. A key may
//! stand several times. It owns the spelling of these texts and nothing of what is expected.

use causeway_identity::{Person, PersonName, Profile, WrittenAddress};

/// The person whom a text describes; a key that is none fails the test.
pub fn person(text: &str) -> Person {
    let mut person = Person::default();
    for (key, value) in text.split(';').filter(|part| !part.trim().is_empty()).map(pair) {
        let parts: Vec<String> = value.split('|').map(|part| part.trim().to_owned()).collect();
        let part = |at: usize| parts.get(at).cloned().unwrap_or_default();
        match key {
            "name" => person.names.push(PersonName {
                given: part(0).split_whitespace().map(str::to_owned).collect(),
                family: part(1),
                suffix: part(2),
            }),
            "at" => person.addresses.push(WrittenAddress {
                line: part(0),
                city: part(1),
                state: part(2),
                zip: part(3),
            }),
            "born" => person.birth_date = value,
            "gender" => person.gender = value,
            "ssn" => person.ssn = value,
            "last4" => person.ssn_last4 = value,
            "phone" => person.phones.push(value),
            "email" => person.emails.push(value),
            "member" => person.member_ids.push(value),
            "subscriber" => person.subscriber_ids.push(value),
            "ours" => person.own_numbers.push(value),
            "umb" => person.umb = value,
            _ => unreachable!("no such key: {key}"),
        }
    }
    person
}

/// The same in comparable form.
pub fn profile(text: &str) -> Profile {
    Profile::from(&person(text))
}

fn pair(part: &str) -> (&str, String) {
    let (key, value) = part.split_once('=').expect("key=value");
    (key.trim(), value.trim().to_owned())
}
