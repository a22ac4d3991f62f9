//! A request as the guessing guard sees it (HRex mm-7): keyed hashes of its values.

use super::arrival::Arrival;
use crate::identity::{Birth, Gender, Profile};
use crate::secret::Mac;
use crate::store::guesses::{End, Guess, GuessKind, GuessTarget, TARGETS};

/// Most identifiers, and most names, of one request that are counted.
const IDS: usize = 8;
const NAMES: usize = 3;

/// The guess that a request about `profile` makes: it came near the record `near` (a Patient id), if any, and ended with `end`.
pub(super) fn guess(arrival: &Arrival<'_>, profile: &Profile, near: Option<&str>, end: End) -> Guess {
    let (mac, partner) = (Mac::new(&arrival.ctx.guard.key), arrival.partner_id());
    let Hashes { whole, targets } = Hashes::of(&mac, partner, profile);
    let record = match near {
        Some(patient_id) => target(&mac, partner, "record", [patient_id.as_bytes()]),
        None => target(&mac, partner, "no record", [whole.as_slice()]),
    };
    Guess {
        partner_id: partner.to_owned(),
        whole,
        targets,
        record,
        end,
        now_ms: arrival.now_ms(),
    }
}

/// The hashes of a request.
struct Hashes {
    whole: GuessTarget,
    targets: Vec<(GuessKind, GuessTarget)>,
}

impl Hashes {
    /// Hashes what the matcher reads of a request, in its normalized form, with the store's key (`mac`) and separately for each partner.
    /// Different spellings of a name are therefore the same guess. Two requests are the same guess when their packed profiles and the
    /// numbers that only a request carries are equal.
    fn of(mac: &Mac, partner: &str, profile: &Profile) -> Hashes {
        let hash =
            |kind: &str, values: &[&str]| target(mac, partner, kind, values.iter().map(|value| value.as_bytes()));
        let packed = profile.pack();
        let own_numbers = profile.own_numbers.iter().map(String::as_bytes);
        let whole = target(
            mac,
            partner,
            "whole",
            std::iter::once(packed.as_slice()).chain(own_numbers),
        );
        let birth = profile.birth.map(Birth::text).unwrap_or_default();
        let gender = match profile.gender {
            Some(Gender::Female) => "female",
            Some(Gender::Male) => "male",
            None => "",
        };
        let (mut people, mut names) = (Vec::new(), Vec::new());
        for name in &profile.names {
            let given = name.given.first().map_or("", String::as_str);
            people.push(hash("person", &[&name.family_joined, given, &birth]));
            names.push(hash("name", &[&name.family_joined, given, gender]));
        }
        let is_given = |number: &&String| !number.is_empty();
        let own = [&profile.ssn, &profile.umb].into_iter().filter(is_given);
        let cards = profile.member_ids.iter().chain(own);
        let cards = cards.map(|number| hash("card", &[number])).collect();
        let shared = profile.subscriber_ids.iter();
        let subscribers = shared.map(|number| hash("subscriber", &[number])).collect();
        let mut targets: Vec<(GuessKind, GuessTarget)> = Vec::with_capacity(TARGETS - 1);
        for (kind, hashes, most) in [
            (GuessKind::Own, cards, IDS),
            (GuessKind::Own, people, NAMES),
            (GuessKind::Shared, names, NAMES),
            (GuessKind::Shared, subscribers, 1),
        ] {
            targets.extend(few(hashes, most).map(|hash| (kind, hash)));
        }
        // All writers lock the same targets in the same order, so that they cannot deadlock.
        targets.sort_unstable_by_key(|(_, target)| *target);
        Hashes { whole, targets }
    }
}

/// The lowest `most` distinct hashes. A caller cannot foresee which ones are left out.
fn few(mut hashes: Vec<GuessTarget>, most: usize) -> impl Iterator<Item = GuessTarget> {
    hashes.sort_unstable();
    hashes.dedup();
    hashes.into_iter().take(most)
}

/// Hashes one thing. Every part is prefixed with its length, so that no two lists of values give the same input.
fn target<'v>(mac: &Mac, partner: &str, kind: &str, values: impl IntoIterator<Item = &'v [u8]>) -> GuessTarget {
    let mut bytes = Vec::with_capacity(64);
    let mut add = |part: &[u8]| {
        bytes.extend_from_slice(&part.len().to_be_bytes());
        bytes.extend_from_slice(part);
    };
    add(partner.as_bytes());
    add(kind.as_bytes());
    values.into_iter().for_each(&mut add);
    mac.first_16(&bytes)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ANA, asking};
    use super::*;

    /// The hash inputs are written out here, so that a change to how a type prints cannot change which guesses count as the same.
    #[test]
    fn what_counts_as_the_same_guess_hangs_on_what_is_sent_alone() {
        use crate::identity::{Person, Systems, of_request};
        use crate::secret::hmac_sha256;
        let (key, partner) = ([7; 32], "new-payer");
        let body = asking(&ANA);
        let part = |at: usize| body["parameter"][at]["resource"].clone();
        let patient = serde_json::from_value(part(0)).expect("a patient");
        let coverage = serde_json::from_value(part(1)).expect("a coverage");
        let systems = Systems {
            member: "http://old-payer.example.org/identifiers/member",
            umb: "http://old-payer.example.org/identifiers/umb",
        };
        let person: Person = of_request(&patient, &coverage, systems);
        let profile = Profile::from(&person);
        let hash = |parts: &[&[u8]]| {
            let mut bytes = Vec::new();
            for part in parts {
                bytes.extend_from_slice(&part.len().to_be_bytes());
                bytes.extend_from_slice(part);
            }
            let mut short = GuessTarget::default();
            short.copy_from_slice(&hmac_sha256(&key, &bytes)[..16]);
            short
        };
        let of = |parts: &[&str]| hash(&parts.iter().map(|part| part.as_bytes()).collect::<Vec<_>>());
        let mac = Mac::new(&key);
        let hashes = Hashes::of(&mac, partner, &profile);
        let mut wanted = vec![
            (GuessKind::Own, of(&[partner, "card", "M1"])),
            (GuessKind::Own, of(&[partner, "person", "nunez", "ana", "19840709"])),
            (GuessKind::Shared, of(&[partner, "name", "nunez", "ana", "female"])),
        ];
        wanted.sort_unstable_by_key(|(_, target)| *target);
        assert_eq!(profile.member_ids, ["M1"]);
        assert_eq!(hashes.targets, wanted);
        let packed = profile.pack();
        let mut parts: Vec<&[u8]> = vec![partner.as_bytes(), b"whole", &packed];
        parts.extend(profile.own_numbers.iter().map(String::as_bytes));
        assert_eq!(hashes.whole, hash(&parts));
        let mut marked = profile.clone();
        marked.own_numbers = vec!["M9".into()];
        assert_ne!(
            Hashes::of(&mac, partner, &marked).whole,
            hashes.whole,
            "whose a number is said to be is part of the guess"
        );
    }
}
