//! Blocking keys: short texts that two descriptions of one person are likely to share. The store hashes and indexes them.
//!
//! A record has about ten, a request looks up a few more (its spellings and slips), so that the cost of a request depends on
//! how many people share a key, not on the size of the roster. Keys hold demographics in clear: hash them with a secret.

use crate::date::Birth;
use crate::ids::{subscriber_part, subscribers};
use crate::nickname;
use crate::person::{NameForm, Profile, is_particle};
use crate::text::phonetic;

/// Keys under which a record is found.
pub fn of_record(profile: &Profile) -> Vec<String> {
    let mut keys = Keys(of_household(profile));
    // A member number finds by what everybody insured with it has, where it has that; else by itself.
    for id in &profile.member_ids {
        if !subscribers(profile).contains(&subscriber_part(id)) {
            keys.add("i", &[id]);
        }
    }
    keys.contacts(profile);
    for name in &profile.names {
        keys.name(name, profile, false);
    }
    keys.0
}

/// Those of a record's keys that everybody insured with it shares. A store looks them up for each candidate it found.
pub fn of_household(profile: &Profile) -> Vec<String> {
    let mut keys = Keys::default();
    for id in subscribers(profile) {
        keys.add("i", &[id]);
    }
    keys.0
}

/// The keys by which a request usually finds: its numbers, and the whole birth date with either name. A part of [`of_request`].
pub fn of_request_first(profile: &Profile) -> Vec<String> {
    let mut keys = Keys::default();
    keys.contacts(profile);
    keys.numbers(profile);
    if let Some(birth) = profile.birth.filter(|b| b.is_whole()) {
        let whole = birth.text();
        for name in &profile.names {
            if let Some(given) = name.given.first() {
                for sound in given_sounds(given) {
                    keys.add("dg", &[&whole, &sound]);
                }
            }
            keys.add("dl", &[&whole, &name.family_sound]);
        }
    }
    keys.0
}

/// Keys that a request looks up: what the record would have, if the request were right or a common slip away from right.
pub fn of_request(profile: &Profile) -> Vec<String> {
    let mut keys = Keys::default();
    keys.contacts(profile);
    keys.numbers(profile);
    let other_day = profile.birth.and_then(Birth::swapped).map(|birth| Profile {
        birth: Some(birth),
        ..profile.clone()
    });
    for name in &profile.names {
        keys.name(name, profile, true);
        if let Some(other) = &other_day {
            keys.name(name, other, true);
        }
        // First and last name in each other's box.
        let swapped = NameForm {
            given: name.family.clone(),
            family: name.given.first().cloned().into_iter().collect(),
            ..NameForm::default()
        };
        keys.name(&swapped, profile, true);
    }
    keys.0
}

/// Keys for linking two files whole, where every field may be spoilt: those of a request, and wider ones that only a file in
/// memory can afford.
pub fn of_file(profile: &Profile) -> Vec<String> {
    let mut keys = Keys(of_request(profile));
    keys.add("wd", &[&profile.birth.map(Birth::text).unwrap_or_default()]);
    for name in &profile.names {
        let first = name.given.first().map(|given| phonetic(given)).unwrap_or_default();
        keys.add("wn", &[&name.family_sound, &first]);
        for address in &profile.addresses {
            keys.add("wl", &[&name.family_sound, &address.zip]);
            keys.add("wg", &[&first, &address.zip]);
            keys.add("wc", &[&first, &address.city]);
            keys.add("wf", &[&name.family_sound, &address.city]);
        }
    }
    for address in &profile.addresses {
        keys.add("wa", &[&address.number, &phonetic(&address.core)]);
        keys.add("wz", &[&address.number, &address.zip]);
    }
    keys.0
}

#[derive(Default)]
struct Keys(Vec<String>);

impl Keys {
    fn add(&mut self, kind: &str, parts: &[&str]) {
        if parts.iter().any(|part| part.is_empty()) {
            return;
        }
        let key = format!("{kind}:{}", parts.join(":"));
        if !self.0.contains(&key) {
            self.0.push(key);
        }
    }

    fn contacts(&mut self, profile: &Profile) {
        self.add("u", &[&profile.umb]);
        self.add("s", &[&profile.ssn]);
        if let Some(birth) = profile.birth.filter(|b| b.is_whole()) {
            self.add("4", &[&profile.ssn_last4, &birth.text()]);
        }
        for email in &profile.emails {
            self.add("e", &[&email.local, &email.domain]);
        }
    }

    fn numbers(&mut self, asked: &Profile) {
        for id in asked.member_ids.iter().chain(&asked.subscriber_ids) {
            self.add("i", &[id]);
            self.add("i", &[subscriber_part(id)]);
        }
    }

    fn name(&mut self, name: &NameForm, profile: &Profile, asked: bool) {
        // A request also looks for its middle names: what stands first may have been written second.
        let count = if asked { name.given.len().min(3) } else { 1 };
        let mut firsts: Vec<String> = Vec::new();
        for given in name.given.iter().take(count) {
            if given.chars().count() < 2 && name.given.len() > 1 {
                continue;
            }
            for sound in given_sounds(given) {
                if !firsts.contains(&sound) {
                    firsts.push(sound);
                }
            }
        }
        let mut lasts: Vec<String> = Vec::new();
        let parts = name
            .family
            .iter()
            .filter(|part| !is_particle(part))
            .map(|part| phonetic(part));
        for sound in std::iter::once(name.family_sound.clone()).chain(parts.take(3)) {
            if !sound.is_empty() && !lasts.contains(&sound) {
                lasts.push(sound);
            }
        }
        if let Some(birth) = profile.birth.filter(|b| b.is_whole()) {
            let whole = birth.text();
            let (year, day) = whole.split_at(4);
            for last in &lasts {
                self.add("dl", &[&whole, last]);
                for first in &firsts {
                    self.add("yn", &[year, last, first]);
                    self.add("mn", &[day, last, first]);
                }
            }
            for first in &firsts {
                self.add("dg", &[&whole, first]);
            }
        }
        // Names alone find somebody only when no date does; a request with a date never looks here.
        if !asked || profile.birth.is_none_or(|b| !b.is_whole()) {
            for last in lasts.iter().take(1) {
                for first in &firsts {
                    self.add("n", &[last, first]);
                }
            }
        }
        // A telephone or a house can be many people's; with the first letter of a name it is a few people's.
        let mut letters: Vec<&str> = firsts.iter().filter_map(|first| first.get(..1)).collect();
        letters.dedup();
        for letter in letters {
            for phone in &profile.phones {
                self.add("p", &[phone, letter]);
            }
        }
        for address in &profile.addresses {
            let sound = phonetic(&address.core);
            let street = if sound.is_empty() { &address.core } else { &sound };
            for first in &firsts {
                self.add("a", &[&address.number, street, first]);
            }
        }
    }
}

/// Sound of a given name by its full form, so that Bill and William meet; a name of several groups has several.
fn given_sounds(given: &str) -> Vec<String> {
    let mut sounds: Vec<String> = nickname::roots(given).map(phonetic).collect();
    if sounds.is_empty() {
        sounds.push(phonetic(given));
    }
    sounds.sort();
    sounds.dedup();
    sounds
}
