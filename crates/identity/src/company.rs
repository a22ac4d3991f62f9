//! Compares the best candidate with the others: whether somebody in its household has the name in the request.

use crate::candidate::{Scored, same_person};
use crate::facts::Facts;
use crate::field::{Field, Level};
use crate::ids;
use crate::person::Profile;

/// What the other candidates show about the best one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Company {
    /// Whether somebody who lives with the member has the name in the request, which may then have been written by mistake.
    pub(crate) namesake: bool,
    /// Whether that person's gender is known to differ from the one in the request.
    pub(crate) namesake_of_other_gender: bool,
    /// Whether somebody else who lives with the member was born on the same day.
    pub(crate) twin: bool,
    /// Whether the first name in the request is a typing error of a name that is not the member's.
    pub(crate) another_name: bool,
}

pub(crate) fn company(
    asked: &Profile,
    record: &Profile,
    best: usize,
    ranked: &[Scored],
    held: &[&Profile],
    facts: &Facts,
) -> Company {
    let mut company = Company::default();
    for other in ranked.iter().filter(|other| other.candidate != best) {
        let Some(relative) = held
            .get(other.candidate)
            .filter(|relative| ids::lives_with(record, relative))
        else {
            continue;
        };
        if same_person(record, relative, facts) {
            continue;
        }
        company.twin |= relative.birth.is_some() && relative.birth == record.birth;
        if other.levels.is(Field::Given, &[Level::Exact, Level::Nickname])
            && other.levels.of(Field::Birth) == Level::Differ
        {
            company.namesake = true;
            company.namesake_of_other_gender |=
                relative.gender.is_some() && asked.gender.is_some() && relative.gender != asked.gender;
        }
    }
    company
}

/// Whether the first name of `written` is no known name, differs from a known name by a typing error, and from no name that `meant` may
/// have.
pub(crate) fn another_name(written: &Profile, meant: &Profile, facts: &Facts) -> bool {
    let first = |profile: &Profile| {
        profile
            .names
            .first()
            .and_then(|name| name.given.first())
            .cloned()
            .unwrap_or_default()
    };
    let (written, meant) = (first(written), first(meant));
    if written.len() < 4 || facts.is_given_name(&written) {
        return false;
    }
    let mut near = crate::text::one_edit_away(&written)
        .into_iter()
        .filter(|name| facts.is_given_name(name))
        .peekable();
    near.peek().is_some() && near.all(|name| name != meant && !crate::nickname::variants(&name, &meant))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Levels;
    use crate::person::{Person, PersonName};
    use crate::score::Score;

    fn person(given: &str, birth: &str, gender: &str, phone: &str) -> Profile {
        Profile::from(&Person {
            names: vec![PersonName {
                given: vec![given.into()],
                family: "Lane".into(),
                suffix: String::new(),
            }],
            birth_date: birth.into(),
            gender: gender.into(),
            phones: vec![phone.into()],
            ..Person::default()
        })
    }

    const HOME: &str = "5551234567";
    const DAY: &str = "1984-07-09";

    /// What `other`, whose first name and birth date compare so, says about the record of Walter Lane.
    fn about(asked_gender: &str, other: &Profile, given: Level, birth: Level) -> Company {
        about_all(asked_gender, &[(other, given, birth)])
    }

    fn about_all(asked_gender: &str, others: &[(&Profile, Level, Level)]) -> Company {
        let (asked, record) = (
            person("Otto", DAY, asked_gender, HOME),
            person("Walter", DAY, "male", HOME),
        );
        let first = (&record, Level::Exact, Level::Differ);
        let all: Vec<(&Profile, Level, Level)> = std::iter::once(first).chain(others.iter().copied()).collect();
        let scored = |(candidate, (_, given, birth)): (usize, &(&Profile, Level, Level))| {
            let mut levels = Levels::default();
            levels.set(Field::Given, *given);
            levels.set(Field::Birth, *birth);
            Scored {
                candidate,
                levels,
                score: Score::default(),
                rule: None,
            }
        };
        let ranked: Vec<Scored> = all.iter().enumerate().map(scored).collect();
        let held: Vec<&Profile> = all.iter().map(|(one, ..)| *one).collect();
        company(&asked, &record, 0, &ranked, &held, &Facts::default())
    }

    #[test]
    fn a_twin_lives_with_the_record_and_was_born_on_its_day() {
        let twin = |other: &Profile| about("", other, Level::Differ, Level::Exact).twin;
        assert!(twin(&person("Otto", DAY, "", HOME)));
        assert!(!twin(&person("Otto", "1985-07-09", "", HOME)));
        assert!(!twin(&person("Otto", "", "", HOME)));
        assert!(!twin(&person("Otto", DAY, "", "5559876543")), "who lives elsewhere");
        assert!(
            !twin(&person("Walter", DAY, "", HOME)),
            "another record of the same person"
        );
    }

    #[test]
    fn a_namesake_lives_with_the_record_bears_the_name_and_was_born_on_another_day() {
        let son = person("Otto", "2010-01-02", "male", HOME);
        let namesake = |other: &Profile, given, birth| about("", other, given, birth).namesake;
        assert!(namesake(&son, Level::Exact, Level::Differ));
        assert!(namesake(&son, Level::Nickname, Level::Differ));
        assert!(!namesake(&son, Level::Slip, Level::Differ));
        assert!(!namesake(&son, Level::Exact, Level::Slip));
        let elsewhere = person("Otto", "2010-01-02", "male", "5559876543");
        assert!(!namesake(&elsewhere, Level::Exact, Level::Differ));
    }

    #[test]
    fn a_namesake_is_of_another_gender_where_both_are_said() {
        for (asked, gender, other) in [
            ("male", "female", true),
            ("male", "male", false),
            ("male", "", false),
            ("", "female", false),
        ] {
            let relative = person("Otto", "2010-01-02", gender, HOME);
            let found = about(asked, &relative, Level::Exact, Level::Differ);
            assert!(found.namesake);
            assert_eq!(found.namesake_of_other_gender, other, "{asked} {gender}");
            assert!(!about(asked, &relative, Level::Slip, Level::Differ).namesake_of_other_gender);
        }
    }

    #[test]
    fn two_relatives_say_what_one_of_them_says() {
        let triplet = person("Otto", DAY, "female", HOME);
        let another = (&triplet, Level::Differ, Level::Exact);
        assert!(about_all("male", &[another, another]).twin);
        let aunt = person("Otto", "2010-01-02", "female", HOME);
        let namesake = (&aunt, Level::Exact, Level::Differ);
        let found = about_all("male", &[namesake, namesake]);
        assert!(found.namesake && found.namesake_of_other_gender);
    }

    #[test]
    fn what_is_nobodys_name_may_be_a_slip_from_one_that_is_not_meant() {
        let named = |name: &str| person(name, "", "", HOME);
        let of = |written: &str, meant: &str, roster: &[&str]| {
            let profiles: Vec<Profile> = roster.iter().flat_map(|name| [named(name), named(name)]).collect();
            another_name(&named(written), &named(meant), &profiles.iter().collect())
        };
        assert!(of("Daelyn", "Walter", &["Raelyn"]));
        assert!(!of("Daelyn", "Raelyn", &["Raelyn"]), "it is the one that is meant");
        assert!(of("Daelyn", "Raelyn", &["Taelyn"]));
        assert!(!of("Daelyn", "Raelyn", &["Raelyn", "Taelyn"]), "one of them is meant");
        assert!(!of("Daelyn", "Walter", &[]), "it is a slip from no name");
        assert!(!of("Raelyn", "Walter", &["Raelyn", "Taelyn"]), "it is a name");
        assert!(!of("Robret", "Bob", &[]), "Bob is called Robert");
        assert!(of("Robret", "Walter", &[]));
        assert!(of("Zaxu", "Walter", &["Zaxo"]), "four letters");
        assert!(!of("Zax", "Walter", &["Zaxo"]), "three letters are too few");
    }
}
