//! The fields of a comparison and the levels that each may have, with their names in policies and decision records.

use serde::Serialize;

/// A field that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Field {
    Given,
    Middle,
    Family,
    Suffix,
    Birth,
    Gender,
    Ssn,
    Email,
    Phone,
    Address,
    MemberId,
}

/// The result of comparing one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// At least one side has no value that can be compared.
    Missing,
    /// Both values are the same.
    Exact,
    /// A part agrees: the last four digits, an initial, the bare subscriber number, or a less precise date.
    Partial,
    /// A known variant of the same name.
    Nickname,
    /// One part of a compound name agrees, or another one of the given names.
    Part,
    /// They differ by a typing error.
    Slip,
    /// They differ by a typing error, but both are known names: Marc and Mark may be twins.
    SlipKnown,
    /// They sound or look alike.
    Alike,
    /// First and last name are swapped, or day and month are swapped.
    Swapped,
    /// Birth dates: the same day and month, and close years. Addresses: the same postal code.
    Near,
    /// Birth dates: the same day and month, and years a generation apart. Addresses: the same city.
    Far,
    /// Addresses: the same state only. Member numbers: another dependent of the same subscriber.
    Remote,
    /// Member numbers: the number of somebody who shares the member's home. Telephones and addresses: those of somebody who is insured
    /// together with the member.
    Relative,
    /// Member numbers: not in the form of this payer's numbers.
    Foreign,
    /// The values contradict each other.
    Differ,
}

/// Number of fields.
pub const FIELDS: usize = 11;
/// Number of levels.
pub const LEVELS: usize = 15;

impl Field {
    /// All fields, in the order of a decision record.
    pub const ALL: [Field; FIELDS] = {
        use Field::*;
        [
            Given, Middle, Family, Suffix, Birth, Gender, Ssn, Email, Phone, Address, MemberId,
        ]
    };

    /// The name of the field in a policy.
    pub const fn code(self) -> &'static str {
        match self {
            Field::Given => "given",
            Field::Middle => "middle",
            Field::Family => "family",
            Field::Suffix => "suffix",
            Field::Birth => "birth",
            Field::Gender => "gender",
            Field::Ssn => "ssn",
            Field::Email => "email",
            Field::Phone => "phone",
            Field::Address => "address",
            Field::MemberId => "member_id",
        }
    }

    /// The name of the field for people.
    pub const fn words(self) -> &'static str {
        match self {
            Field::Given => "first name",
            Field::Middle => "middle name",
            Field::Family => "family name",
            Field::Suffix => "suffix",
            Field::Birth => "birth date",
            Field::Gender => "gender",
            Field::Ssn => "social security no.",
            Field::Email => "email",
            Field::Phone => "telephone",
            Field::Address => "address",
            Field::MemberId => "member number",
        }
    }

    /// The levels that this field may have, besides missing.
    pub const fn levels(self) -> &'static [Level] {
        use Level::*;
        match self {
            Field::Given => &[Exact, Nickname, Part, Slip, SlipKnown, Partial, Alike, Swapped, Differ],
            Field::Middle => &[Exact, Partial, Slip, Differ],
            Field::Family => &[Exact, Part, Slip, Alike, Swapped, Differ],
            Field::Suffix | Field::Gender => &[Exact, Differ],
            Field::Birth => &[Exact, Partial, Swapped, Slip, Near, Far, Part, Differ],
            Field::Ssn => &[Exact, Slip, Partial, Differ],
            Field::Email => &[Exact, Part, Differ],
            Field::Phone => &[Exact, Slip, Relative, Differ],
            Field::Address => &[Exact, Slip, Relative, Near, Far, Remote, Differ],
            Field::MemberId => &[Exact, Partial, Slip, Remote, Relative, Foreign, Differ],
        }
    }

    /// Whether relatives who live together share it. Several such fields count as one piece of evidence.
    pub const fn of_household(self) -> bool {
        matches!(self, Field::Family | Field::Phone | Field::Address | Field::MemberId)
    }
}

impl Level {
    /// All levels.
    pub const ALL: [Level; LEVELS] = {
        use Level::*;
        [
            Missing, Exact, Partial, Nickname, Part, Slip, SlipKnown, Alike, Swapped, Near, Far, Remote, Relative,
            Foreign, Differ,
        ]
    };

    /// The name of the level in a policy.
    pub const fn code(self) -> &'static str {
        match self {
            Level::Missing => "missing",
            Level::Exact => "exact",
            Level::Partial => "partial",
            Level::Nickname => "nickname",
            Level::Part => "part",
            Level::Slip => "slip",
            Level::SlipKnown => "slip_known",
            Level::Alike => "alike",
            Level::Swapped => "swapped",
            Level::Near => "near",
            Level::Far => "far",
            Level::Remote => "remote",
            Level::Relative => "relative",
            Level::Foreign => "foreign",
            Level::Differ => "differ",
        }
    }

    /// The meaning of the level for `field`, for people.
    pub const fn words(self, field: Field) -> &'static str {
        match (field, self) {
            (_, Level::Missing) => "missing",
            (_, Level::Exact) => "the same",
            (Field::Ssn, Level::Partial) => "last four agree",
            (Field::Birth, Level::Partial) => "agrees as far as given",
            (Field::MemberId, Level::Partial) => "subscriber's agrees",
            (_, Level::Partial) => "initial agrees",
            (_, Level::Nickname) => "known short form",
            (Field::Birth, Level::Part) => "another day",
            (Field::Email, Level::Part) => "same before the @",
            (_, Level::Part) => "a part agrees",
            (_, Level::Slip) => "one typing error apart",
            (_, Level::SlipKnown) => "another, similar name",
            (_, Level::Alike) => "sounds alike",
            (Field::Birth, Level::Swapped) => "day and month swapped",
            (_, Level::Swapped) => "names swapped",
            (Field::Address, Level::Near) => "same postal code",
            (_, Level::Near) => "same day, nearby year",
            (Field::Address, Level::Far) => "same city",
            (_, Level::Far) => "a generation apart",
            (Field::Address, Level::Remote) => "same state",
            (_, Level::Remote) => "another dependent's",
            (_, Level::Relative) => "a relative's",
            (_, Level::Foreign) => "not in our format",
            (_, Level::Differ) => "differs",
        }
    }
}

/// The level of each field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Levels(pub [Level; FIELDS]);

impl Default for Levels {
    fn default() -> Self {
        Levels([Level::Missing; FIELDS])
    }
}

impl Levels {
    /// The level of one field.
    pub fn of(&self, field: Field) -> Level {
        self.0[field as usize]
    }

    /// Sets the level of one field.
    pub fn set(&mut self, field: Field, level: Level) {
        self.0[field as usize] = level;
    }

    /// Levels from their names in a decision record; unknown names are ignored.
    pub fn named<'a>(names: impl Iterator<Item = (&'a str, &'a str)>) -> Levels {
        let mut levels = Levels::default();
        for (field, level) in names {
            let field = Field::ALL.into_iter().find(|known| known.code() == field);
            let level = Level::ALL.into_iter().find(|known| known.code() == level);
            if let (Some(field), Some(level)) = (field, level) {
                levels.set(field, level);
            }
        }
        levels
    }

    /// Whether a field has one of these levels.
    pub fn is(&self, field: Field, levels: &[Level]) -> bool {
        levels.contains(&self.of(field))
    }
}
