//! One synthetic member: demographics, card and place in a household, computed only from the seed and the member's number.
//!
//! A member can be made without making the members before it, so that a request can be built for member 900,000.

use super::names::{FAMILY, FEMALE, MALE, PLACES, STREETS};
use super::options::SynthOptions;
use super::random::{Random, Stream, nine_digits};
use chrono::{Datelike, Days, NaiveDate};

/// Household sizes that add up to a block of ten members. A random number of the block picks the row.
const BLOCKS: &[&[u64]] = &[&[4, 1, 2, 1, 2], &[1, 3, 2, 4], &[1, 1, 5, 2, 1], &[2, 1, 2, 4, 1]];

/// A member, as the payer's card and enrollment file describe them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Number in the run, from 0.
    pub index: u64,
    /// FHIR id of the Patient.
    pub patient_id: String,
    /// FHIR id of the current Coverage.
    pub coverage_id: String,
    /// The number on the card, in the payer's member system.
    pub member_number: String,
    /// The subscriber's number, shared by the household.
    pub subscriber_id: String,
    /// FHIR id of the subscriber's Patient.
    pub subscriber_patient_id: String,
    /// `self`, `spouse` or `child`.
    pub relationship: &'static str,
    /// Two digits; `None` for the subscriber.
    pub dependent: Option<String>,
    /// Family name.
    pub family: String,
    /// A former family name.
    pub former_family: Option<String>,
    /// Given names, first one first.
    pub given: Vec<String>,
    /// The common short form of the first name, if there is one.
    pub nickname: Option<&'static str>,
    /// `Jr.` or `III`.
    pub suffix: Option<&'static str>,
    /// `female` or `male`.
    pub gender: &'static str,
    /// Date of birth.
    pub birth_date: NaiveDate,
    /// Number and street.
    pub street: String,
    /// City.
    pub city: &'static str,
    /// Two-letter state.
    pub state: &'static str,
    /// Five-digit postal code.
    pub postal_code: &'static str,
    /// Telephone, shared by the household.
    pub phone: String,
    /// E-mail address, if known.
    pub email: Option<String>,
    /// First day of the current coverage.
    pub covered_from: NaiveDate,
}

impl Member {
    /// The member with number `index` in the run that `options` describes.
    pub fn of(options: &SynthOptions, index: u64) -> Member {
        let (head, seat) = household(options.seed, index);
        let mut shared = Random::of(options.seed, Stream::Household, head);
        let mut own = Random::of(options.seed, Stream::Person, index);
        let (patient_id, coverage_id) = (own.uuid(), own.uuid());
        let subscriber_patient_id = if seat == 0 {
            patient_id.clone()
        } else {
            Random::of(options.seed, Stream::Person, head).uuid()
        };

        let family = *shared.pick(FAMILY);
        let (city, state, postal_code, area) = *shared.pick(PLACES);
        let street = format!("{} {}", shared.between(1, 2400), shared.pick(STREETS));
        let phone = format!("({area}) 555-{:04}", shared.below(10_000));
        let covered_from = options.as_of - Days::new(shared.below(6 * 365) + 200);
        let couple = shared.chance(80);
        let head_age = shared.between(27, 84) * 365 + shared.between(0, 364);
        let siblings_are_twins = shared.chance(8);

        let relationship = match seat {
            0 => "self",
            1 if couple => "spouse",
            _ => "child",
        };
        let gender = if own.chance(50) { "female" } else { "male" };
        let age_days = match relationship {
            "self" => head_age,
            "spouse" => (head_age + own.between(-2500, 2500)).max(20 * 365),
            _ => {
                let born_with = if siblings_are_twins && seat == 3 {
                    index - 1
                } else {
                    index
                };
                let mut birth = Random::of(options.seed, Stream::Person, born_with ^ (1 << 62));
                birth.between(30, (head_age - 18 * 365).clamp(31, 25 * 365))
            }
        };
        let birth_date = options.as_of - Days::new(age_days as u64);
        let (given, short) = given_names(&mut own, gender);
        let (family, former_family) = family_names(&mut own, relationship, family);
        let suffix = match (gender, own.below(25)) {
            ("male", 0..=1) => Some("Jr."),
            ("male", 2) => Some("III"),
            _ => None,
        };
        let email = own
            .chance(40)
            .then(|| format!("member{}@mail.example", own.below(10_000_000)));
        Member {
            index,
            patient_id,
            coverage_id,
            member_number: format!("M{}", nine_digits(options.seed, 11, index)),
            subscriber_id: format!("S{}", nine_digits(options.seed, 12, head)),
            subscriber_patient_id,
            relationship,
            dependent: (seat > 0).then(|| format!("{seat:02}")),
            family,
            former_family,
            given,
            nickname: (!short.is_empty()).then_some(short),
            suffix,
            gender,
            birth_date,
            street,
            city,
            state,
            postal_code,
            phone,
            email,
            covered_from: covered_from.max(birth_date),
        }
    }

    /// The same person entered a second time: same demographics and same card, but other ids. A request cannot be decided between the two.
    pub fn twin(&self, options: &SynthOptions) -> Member {
        let mut other = Random::of(options.seed, Stream::Twin, self.index);
        Member {
            patient_id: other.uuid(),
            coverage_id: other.uuid(),
            ..self.clone()
        }
    }

    /// Whether this member has a second record when [`SynthOptions::twins`] is set: the second one of every five hundred.
    pub fn has_twin(&self) -> bool {
        self.index % 500 == 1
    }

    /// Age in whole years on `day`.
    pub(super) fn age(&self, day: NaiveDate) -> i32 {
        let had_birthday = (day.month(), day.day()) >= (self.birth_date.month(), self.birth_date.day());
        day.year() - self.birth_date.year() - i32::from(!had_birthday)
    }
}

/// The number of the household's first member, and the position of `index` in the household (0 is the subscriber).
fn household(seed: u64, index: u64) -> (u64, u64) {
    let block = index / 10;
    let sizes = Random::of(seed, Stream::Household, block ^ (1 << 63))
        .pick(BLOCKS)
        .iter();
    let mut head = block * 10;
    for size in sizes {
        if index < head + size {
            return (head, index - head);
        }
        head += size;
    }
    (index, 0)
}

/// The given names, and the short form of the first one or an empty text. The order of the random draws must not change, because it
/// determines the output.
fn given_names(own: &mut Random, gender: &str) -> (Vec<String>, &'static str) {
    let names = if gender == "female" { FEMALE } else { MALE };
    let (first, short) = *own.pick(names);
    let (second, _) = *own.pick(names);
    let mut given = vec![first.to_owned()];
    match own.below(10) {
        0..=3 => given.push(second.to_owned()),
        4..=6 => given.push(second.chars().take(1).collect()),
        _ => {}
    }
    (given, short)
}

/// The family name, and the former one if any, of a person in the household of `family`.
fn family_names(own: &mut Random, relationship: &str, family: &str) -> (String, Option<String>) {
    let other = *own.pick(FAMILY);
    match (relationship, own.below(10)) {
        ("spouse", 0..=2) => (other.to_owned(), None),
        ("spouse", 3..=4) => (format!("{other}-{family}"), Some(other.to_owned())),
        ("spouse", 5..=6) => (family.to_owned(), Some(other.to_owned())),
        _ => (family.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn households_share_what_families_share() {
        let options = SynthOptions {
            members: 300,
            ..SynthOptions::default()
        };
        let members: Vec<Member> = (0..300).map(|index| Member::of(&options, index)).collect();
        let mut families = 0;
        for member in &members {
            let head = members
                .iter()
                .find(|other| other.patient_id == member.subscriber_patient_id)
                .expect("subscriber is a member");
            assert_eq!(head.relationship, "self");
            assert_eq!(
                (&head.street, &head.phone, &head.subscriber_id),
                (&member.street, &member.phone, &member.subscriber_id)
            );
            assert!(member.birth_date <= options.as_of && member.age(options.as_of) < 110);
            families += usize::from(member.relationship == "child");
        }
        assert!(families > 50, "{families}");
    }
}
