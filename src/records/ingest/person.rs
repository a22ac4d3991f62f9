//! Whether the person of a record that came is our member. Nothing of a record is stored before this is certain: what cannot be compared is
//! as bad as what differs (threats E06).

use super::names::Names;
use super::outcome::HELD;
use super::scope::IngestScope;
use super::spool::span;
use super::state::RETRACTED;
use crate::error::{Failure, Fault};
use crate::fhir::elements::Patient;
use crate::identity::{fold, nicknames};
use crate::store::ingest::{self as rows, ReceivedRow};
use crate::store::{Db, members};

/// Fails unless the partner's Patient is our member.
///
/// # Errors
/// [`Fault::OtherMember`], naming the element by which it is not; [`Fault::MemberUnknown`]; those of the store.
pub(super) fn same_person(scope: &IngestScope, row: &ReceivedRow) -> Result<(), Failure> {
    let bytes = span(scope, row.page, row.start, row.length)?;
    // The reader's own message would quote the Patient.
    let unreadable = |_| Failure::new(Fault::OtherMember).at("Patient");
    let theirs: Patient = serde_json::from_slice(&bytes).map_err(unreadable)?;
    let ours = scope
        .ctx
        .store
        .read_blocking(|db| members::subject(db, &scope.matched.our_patient))?
        .ok_or(Fault::MemberUnknown)?;
    let ours: Patient = serde_json::from_str(&ours.demographics).map_err(unreadable)?;
    match differs(&ours, &theirs) {
        None => Ok(()),
        Some(place) => Err(Failure::new(Fault::OtherMember).at(place)),
    }
}

/// Whether an earlier exchange brought this Patient of the partner for this member, and it was found to be the same person. Blocks this
/// thread.
///
/// # Errors
/// Those of the store.
pub fn knows_person(scope: &IngestScope) -> Result<bool, Failure> {
    let (names, theirs): (&Names, &str) = (&scope.names, &scope.matched.their_patient);
    let id = names.id("Patient", theirs);
    let read = |db: &mut Db| rows::brought_by_others(db, scope.exchange_id(), ("Patient", &id), &[HELD], RETRACTED);
    Ok(!scope.ctx.store.read_blocking(read)?.is_empty())
}

/// Returns the element by which two Patients are not certainly one person.
///
/// The birth date and a given name must be the same on both sides. A family name must be too, unless sex and a whole given name are: people
/// marry. Members of one family, twins too, differ by their given names or their birth dates.
fn differs(ours: &Patient, theirs: &Patient) -> Option<&'static str> {
    let is_born = match (&ours.birth_date, &theirs.birth_date) {
        (Some(mine), Some(other)) => dates_fit(mine, other),
        _ => false,
    };
    if !is_born {
        return Some("Patient.birthDate");
    }
    let (mine, other) = (given(ours), given(theirs));
    let fit = |fits: fn(&str, &str) -> bool| mine.iter().any(|one| other.iter().any(|two| fits(one, two)));
    if !fit(given_fits) {
        return Some("Patient.name.given");
    }
    let (family, their_family) = (family(ours), family(theirs));
    if family.iter().any(|word| their_family.contains(word)) {
        return None;
    }
    let is_same_sex = ours.gender.is_some() && ours.gender == theirs.gender;
    let has_both = !family.is_empty() && !their_family.is_empty();
    (!(has_both && is_same_sex && fit(|one, two| one == two && one.len() > 1))).then_some("Patient.name.family")
}

/// Whether two dates are one, to the precision of the coarser: a day, or a month.
fn dates_fit(one: &str, two: &str) -> bool {
    let (short, long) = if one.len() <= two.len() { (one, two) } else { (two, one) };
    short.len() >= "YYYY-MM".len()
        && long
            .strip_prefix(short)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Whether two folded given names are one: the same, variants of each other, or an initial.
fn given_fits(one: &str, two: &str) -> bool {
    let is_initial = |short: &str, long: &str| short.chars().count() == 1 && long.starts_with(short);
    one == two || nicknames(one, two) || is_initial(one, two) || is_initial(two, one)
}

fn given(patient: &Patient) -> Vec<String> {
    words(patient.name.iter().flat_map(|name| name.given.iter().flatten()))
}

fn family(patient: &Patient) -> Vec<String> {
    words(patient.name.iter().filter_map(|name| name.family.as_ref()))
}

/// The folded words of names, without the marks between them.
fn words<'n>(names: impl Iterator<Item = &'n String>) -> Vec<String> {
    let is_between = |letter: char| letter.is_whitespace() || matches!(letter, '-' | '.' | ',');
    names
        .flat_map(|name| fold(name).split(is_between).map(str::to_owned).collect::<Vec<_>>())
        .filter(|word| !word.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patient(birth_date: &str, family: &str, given: &str, gender: &str) -> Patient {
        let text = format!(
            r#"{{"birthDate":"{birth_date}","gender":"{gender}","name":[{{"family":"{family}","given":["{given}"]}}]}}"#
        );
        serde_json::from_str(&text).expect("a Patient")
    }

    #[test]
    fn t_e06_another_person_is_told_from_one_who_married() {
        let ours = patient("1980-01-02", "Lima", "Ana Maria", "female");
        for (theirs, wanted) in [
            (patient("1980-01-02", "LIMA", "Ana", "female"), None),
            (patient("1980-01-02", "Lima-Soares", "Ana", "male"), None),
            (patient("1980-01-02", "Soares", "Ana", "female"), None),
            (patient("1980-01", "Lima", "A.", "female"), None),
            (
                patient("1980-01-03", "Lima", "Ana", "female"),
                Some("Patient.birthDate"),
            ),
            (patient("1980", "Lima", "Ana", "female"), Some("Patient.birthDate")),
            (
                patient("1980-01-02", "Okafor", "Ines", "female"),
                Some("Patient.name.given"),
            ),
            // A twin: one family and one day of birth.
            (
                patient("1980-01-02", "Lima", "Rosa", "female"),
                Some("Patient.name.given"),
            ),
            (
                patient("1980-01-02", "Okafor", "Ana", "male"),
                Some("Patient.name.family"),
            ),
            (
                patient("1980-01-02", "Okafor", "A", "female"),
                Some("Patient.name.family"),
            ),
        ] {
            assert_eq!(differs(&ours, &theirs), wanted, "{theirs:?}");
        }
        let robert = patient("1980-01-02", "Lima", "Robert", "male");
        assert_eq!(differs(&robert, &patient("1980-01-02", "Lima", "Bob", "male")), None);
    }

    #[test]
    fn t_e06_what_cannot_be_compared_is_nobodys() {
        let ours = patient("1980-01-02", "Lima", "Ana", "female");
        for (text, wanted) in [
            ("{}", "Patient.birthDate"),
            (r#"{"birthDate":"1980-01-02"}"#, "Patient.name.given"),
            (r#"{"name":[{"family":"Lima","given":["Ana"]}]}"#, "Patient.birthDate"),
            (
                r#"{"birthDate":"1980-01-02","name":[{"family":"Lima"}]}"#,
                "Patient.name.given",
            ),
            (
                r#"{"birthDate":"1980-01-02","name":[{"given":["Ana"]}],"gender":"female"}"#,
                "Patient.name.family",
            ),
        ] {
            let theirs: Patient = serde_json::from_str(text).expect("a Patient");
            assert_eq!(differs(&ours, &theirs), Some(wanted), "{text}");
            assert!(differs(&theirs, &ours).is_some(), "{text}");
        }
    }
}
