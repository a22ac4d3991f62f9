//! Guards: rules that forbid an automatic match whatever the score is.
//!
//! Each guard is a row of [`GUARDS`]; the first one whose condition holds applies. The rows are ordered from the strongest contradiction to
//! the weakest evidence. A guard turns a match into a review or into no match; it never makes a match.

mod case;
mod conditions;

pub(crate) use case::GuardCase;

use crate::field::Field;
use serde::{Serialize, Serializer};

/// Why a match was not automatic, in the order of [`GUARDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is explained by its row")]
pub enum Guard {
    IdContradicts,
    SsnContradicts,
    Generation,
    BirthGeneration,
    BirthMissing,
    BirthDiffers,
    BirthSlip,
    GivenDiffers,
    GenderDiffers,
    FamilyDiffers,
    NothingElse,
    ThinContradicted,
    SeveralPeople,
    SharedNumber,
    Rival,
    Weak,
    OtherCard,
}

/// Number of guards.
pub const GUARD_COUNT: usize = 17;

/// The definition of a guard: what it depends on, what it forbids, and what it allows.
#[derive(Clone, Copy, Debug)]
pub struct GuardRow {
    /// The guard.
    pub guard: Guard,
    /// Its name in a decision record.
    pub code: &'static str,
    /// The reason as text, for `match explain` and for a review.
    pub words: &'static str,
    /// The fields whose levels it reads; it reads no others.
    pub fields: &'static [Field],
    /// What it reads in addition to levels; empty if nothing.
    pub besides: &'static str,
    /// When it forbids an automatic match, as text.
    pub forbids: &'static str,
    /// When it allows one nevertheless; empty if never.
    pub unless: &'static str,
    /// Why the guard exists.
    pub reason: &'static str,
    /// Whether a forbidden match always becomes a review. Otherwise it does so only if its score reaches the review threshold, and is no
    /// match below it.
    pub always_review: bool,
    /// Whether the guard forbids this case.
    condition: fn(&GuardCase<'_>) -> bool,
}

/// The first guard that forbids an automatic match, if any.
pub(crate) fn first(case: &GuardCase<'_>) -> Option<Guard> {
    GUARDS.iter().find(|row| (row.condition)(case)).map(|row| row.guard)
}

impl Guard {
    /// All guards, in the order of [`GUARDS`].
    pub const ALL: [Guard; GUARD_COUNT] = {
        let mut all = [Guard::IdContradicts; GUARD_COUNT];
        let mut at = 0;
        while at < GUARD_COUNT {
            assert!(GUARDS[at].guard as usize == at, "rows stand in the order of the guards");
            all[at] = GUARDS[at].guard;
            at += 1;
        }
        all
    };

    /// The row of the guard.
    pub const fn row(self) -> &'static GuardRow {
        &GUARDS[self as usize]
    }

    /// Its name in a decision record.
    pub const fn code(self) -> &'static str {
        self.row().code
    }

    /// The reason as text.
    pub const fn words(self) -> &'static str {
        self.row().words
    }
}

impl Serialize for Guard {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

/// All guards. The first row whose condition holds applies.
pub static GUARDS: [GuardRow; GUARD_COUNT] = {
    use Field::{Address, Birth, Email, Family, Gender, Given, MemberId, Middle, Phone, Ssn, Suffix};
    [
        GuardRow {
            guard: Guard::IdContradicts,
            code: "id_contradicts",
            words: "the member number sent is another's",
            fields: &[MemberId],
            besides: "",
            forbids: "a number in this payer's form that is neither the record's, nor a typing error of it, nor a relative's",
            unless: "",
            reason: "a card belongs to its holder; a request with another member's card is about somebody else, or must be clarified",
            always_review: false,
            condition: conditions::id_contradicts,
        },
        GuardRow {
            guard: Guard::SsnContradicts,
            code: "ssn_contradicts",
            words: "the Social Security number differs",
            fields: &[Ssn, MemberId, Given, Family, Birth, Address],
            besides: "operating point",
            forbids: "another Social Security number",
            unless: "at `balanced`: member number, both names, birth date and house agree",
            reason: "the number belongs to one person; if all else is equal, it was mistyped",
            always_review: false,
            condition: conditions::ssn_contradicts,
        },
        GuardRow {
            guard: Guard::Generation,
            code: "generation",
            words: "one is Jr, the other Sr",
            fields: &[Suffix, Ssn, Birth],
            besides: "",
            forbids: "another suffix: Jr against Sr",
            unless: "the Social Security number and the birth date are the same",
            reason: "father and son may share name and house",
            always_review: false,
            condition: conditions::generation,
        },
        GuardRow {
            guard: Guard::BirthGeneration,
            code: "birth_generation",
            words: "the birth years are a generation apart",
            fields: &[Birth, Ssn, Given],
            besides: "",
            forbids: "the same day and month, the year a generation away",
            unless: "the Social Security number and the first name agree",
            reason: "parent and child may share name and day of the year",
            always_review: false,
            condition: conditions::birth_generation,
        },
        GuardRow {
            guard: Guard::BirthMissing,
            code: "birth_missing",
            words: "there is no birth date and not enough else",
            fields: &[Birth, Given, Family, Middle, Ssn, Email, Phone, Address, MemberId],
            besides: "a suffix on either side, namesakes in the household",
            forbids: "no birth date on one side, or a less exact one",
            unless: "the names agree, and: the member number, something of the person's own, or two of house, telephone and card (one with a middle name) where no namesake is known",
            reason: "without a date nothing distinguishes namesakes in one house",
            always_review: false,
            condition: conditions::birth_missing,
        },
        GuardRow {
            guard: Guard::BirthDiffers,
            code: "birth_differs",
            words: "the birth date differs",
            fields: &[Birth, Given, Family, Ssn, Phone, Address, MemberId],
            besides: "",
            forbids: "another birth date",
            unless: "the Social Security number, both names and the household agree",
            reason: "a birth date belongs to one person and is seldom completely wrong",
            always_review: false,
            condition: conditions::birth_differs,
        },
        GuardRow {
            guard: Guard::BirthSlip,
            code: "birth_slip",
            words: "the birth date differs slightly and not enough else agrees",
            fields: &[
                Birth, Given, Middle, Family, Gender, Ssn, Email, Phone, Address, MemberId,
            ],
            besides: "",
            forbids: "a typing error in the birth date, or another day in it",
            unless: "the first name is similar, and one of these agrees: something of the person's own, the household (for another day more than the card), or the exact names with a middle name",
            reason: "somebody with the card could try dates until one fits",
            always_review: false,
            condition: conditions::birth_slip,
        },
        GuardRow {
            guard: Guard::GivenDiffers,
            code: "given_differs",
            words: "the first name differs: perhaps a twin or a relative",
            fields: &[
                Given, Birth, Middle, Family, Suffix, Gender, Ssn, Email, Phone, Address, MemberId,
            ],
            besides: "other people of the household with that birth date or name, first names of the roster",
            forbids: "another first name, a known name that is one typing error away, one that sounds alike, or none",
            unless: "the birth date is the same, and enough of the person's own data agrees, depending on how different the names are",
            reason: "a twin shares all that a household shares, and parents fill in forms for children with their own card",
            always_review: false,
            condition: conditions::given_differs,
        },
        GuardRow {
            guard: Guard::GenderDiffers,
            code: "gender_differs",
            words: "the gender differs and the first name is not the same",
            fields: &[Gender, Given, Middle, Ssn, Email, MemberId],
            besides: "",
            forbids: "another gender, if the first name is not the same",
            unless: "the Social Security number agrees; or the first name is a pet name, and a middle name, the member number or something of the person's own agrees",
            reason: "brother and sister may have similar names",
            always_review: false,
            condition: conditions::gender_differs,
        },
        GuardRow {
            guard: Guard::FamilyDiffers,
            code: "family_differs",
            words: "the family name differs and not enough else agrees",
            fields: &[
                Family, Given, Middle, Birth, Gender, Ssn, Email, Phone, Address, MemberId,
            ],
            besides: "",
            forbids: "another family name, one that sounds alike, or none",
            unless: "birth date, first name, and the household or something of the person's own agree; or birth date, first name, gender and two weak fields do",
            reason: "people marry; an initial is too little if the family name does not help",
            always_review: false,
            condition: conditions::family_differs,
        },
        GuardRow {
            guard: Guard::NothingElse,
            code: "nothing_else",
            words: "name and birth date agree, nothing else does",
            fields: &[Middle, Suffix, Ssn, Email, Phone, Address, MemberId],
            besides: "",
            forbids: "name and birth date agree, and nothing else does",
            unless: "",
            reason: "strangers share name and birth date",
            always_review: false,
            condition: conditions::nothing_else,
        },
        GuardRow {
            guard: Guard::ThinContradicted,
            code: "thin_contradicted",
            words: "little else agrees, and something contradicts",
            fields: &[
                Middle, Given, Family, Suffix, Gender, Ssn, Email, Phone, Address, MemberId,
            ],
            besides: "operating point",
            forbids: "only a town, a state, a middle name or something similar agrees; and another middle name or gender, too many contradictions (at `safe`), or inexact names speak against it",
            unless: "",
            reason: "a stranger with the same name and birth date lives in some town too",
            always_review: false,
            condition: conditions::thin_contradicted,
        },
        GuardRow {
            guard: Guard::SeveralPeople,
            code: "several_people",
            words: "the names sent are those of several people",
            fields: &[],
            besides: "all names of both sides",
            forbids: "names of several people in the request, or more than six first names in one name",
            unless: "the record has them too",
            reason: "a request is about one person; the best of many names proves little",
            always_review: false,
            condition: conditions::several_people,
        },
        GuardRow {
            guard: Guard::SharedNumber,
            code: "shared_number",
            words: "another record of this person has the same member number",
            fields: &[],
            besides: "the other candidates",
            forbids: "another record of the same person has the same member number",
            unless: "",
            reason: "the roster contradicts itself",
            always_review: false,
            condition: conditions::shared_number,
        },
        GuardRow {
            guard: Guard::Rival,
            code: "rival",
            words: "another person is nearly as likely",
            fields: &[],
            besides: "the bits of the next person, the policy's `margin`",
            forbids: "another person within the margin",
            unless: "",
            reason: "a request is about exactly one person",
            always_review: false,
            condition: conditions::rival,
        },
        GuardRow {
            guard: Guard::Weak,
            code: "weak",
            words: "there is not enough evidence",
            fields: &[],
            besides: "the bits, the policy's bounds",
            forbids: "fewer bits than a match needs",
            unless: "a rule of the catalog holds",
            reason: "the policy says how much is enough",
            always_review: false,
            condition: conditions::weak,
        },
        GuardRow {
            guard: Guard::OtherCard,
            code: "other_card",
            words: "another record of this person has a number that was sent, and this one does not",
            fields: &[],
            besides: "the numbers that were sent, the person's other records",
            forbids: "another record of the same person has a number that was sent, and this one does not",
            unless: "this one has no number at all",
            reason: "of several records of one person the card that was sent decides",
            always_review: true,
            condition: conditions::other_card,
        },
    ]
};

#[cfg(test)]
mod tests;
