//! One review for people: what was asked beside what is held of each candidate, in words. Shows personal data, so only whoever may
//! see it comes here, and nothing of it is kept.

use super::pages::{counted, or_dash};
use crate::identity::{Field, Level};
use crate::ops::detail::guard;
use crate::ops::reviews::{ActItem, CandidateItem, FieldItem, ReviewItem};
use crate::ops::sum::BitSum;
use crate::review::OTHER_NUMBERS;
use crate::terminal::Out;

/// Most candidates side by side, and the columns that each needs to read well beside the names of fields.
const ABREAST: usize = 2;
const CANDIDATE_WIDTH: usize = 60;
const NAMES_WIDTH: usize = 20;

/// Prints a review.
pub(super) fn show(item: &ReviewItem, out: &mut Out) {
    let review = &item.summary;
    let asked = counted(usize::try_from(review.asked_count).unwrap_or(0), "time");
    out.paragraph(
        &format!(
            "review {}: {}, due {}, asked {asked} by {}",
            review.id, review.state, review.due_at, review.partner
        ),
        2,
    );
    out.paragraph(&format!("why: {}", why(&review.reason)), 5);
    let fitting = out
        .screen
        .columns
        .map_or(ABREAST, |columns| columns.saturating_sub(NAMES_WIDTH) / CANDIDATE_WIDTH);
    for abreast in item.candidates.chunks(fitting.clamp(1, ABREAST)) {
        out.line("");
        beside(abreast, out);
    }
    if !item.acts.is_empty() {
        out.line("");
    }
    for act in &item.acts {
        out.paragraph(&told(act), 2);
    }
}

/// What somebody did, on one line.
fn told(act: &ActItem) -> String {
    let verdict = act
        .verdict
        .as_deref()
        .map_or(String::new(), |verdict| format!(" {verdict}"));
    let (at, what, who) = (&act.at, &act.act, &act.operator);
    format!("{at}  {what}{verdict} by {who}: {}", or_dash(act.reason.as_deref()))
}

/// Why a person has to look, in words: a guard's, or the queue's own.
pub(super) fn why(reason: &str) -> String {
    match guard(reason) {
        Some(guard) => guard.words().to_owned(),
        None => reason.to_owned(),
    }
}

fn beside(candidates: &[CandidateItem], out: &mut Out) {
    let mut header = vec!["FIELD".to_owned(), "ASKED".to_owned()];
    for candidate in candidates {
        if let Some(patient) = &candidate.patient_id {
            out.line(&format!("candidate {}: Patient/{patient}", candidate.place));
        }
        header.extend([
            format!("CANDIDATE {}", candidate.place),
            "COMPARED".to_owned(),
            "BITS".to_owned(),
        ]);
    }
    let mut rows: Vec<Vec<String>> = fields(candidates)
        .into_iter()
        .map(|name| row(name, candidates))
        .collect();
    rows.extend(sums(candidates));
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    out.table(&header, &rows);
}

/// The lines under the fields: what is added to their bits, and the total.
fn sums(candidates: &[CandidateItem]) -> Vec<Vec<String>> {
    let line = |name: &str, bits: &dyn Fn(&CandidateItem) -> Option<f64>| {
        let mut cells = vec![name.to_owned(), String::new()];
        for candidate in candidates {
            let bits = bits(candidate).map_or_else(String::new, signed);
            cells.extend([String::new(), String::new(), bits]);
        }
        cells
    };
    let mut rows = Vec::new();
    for (at, (name, _)) in BitSum::default().lines().into_iter().enumerate() {
        let part = |candidate: &CandidateItem| candidate.sum.map(|sum| sum.lines()[at].1).filter(|bits| *bits != 0.0);
        if candidates.iter().any(|candidate| part(candidate).is_some()) {
            rows.push(line(name, &part));
        }
    }
    rows.push(line("total", &|candidate: &CandidateItem| Some(candidate.total)));
    rows
}

/// Every field that some candidate shows, in the order of the first.
fn fields(candidates: &[CandidateItem]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for field in candidates.iter().flat_map(|candidate| &candidate.fields) {
        if !names.contains(&field.field.as_str()) {
            names.push(&field.field);
        }
    }
    names
}

fn row(name: &str, candidates: &[CandidateItem]) -> Vec<String> {
    let field = Field::ALL.into_iter().find(|field| field.code() == name);
    let number = OTHER_NUMBERS.iter().find(|(code, _)| *code == name);
    let words = field.map(|field| field.words()).or(number.map(|(_, words)| *words));
    let of_name = |candidate: &'_ CandidateItem| -> Option<FieldItem> {
        candidate.fields.iter().find(|field| field.field == name).cloned()
    };
    let asked = candidates
        .iter()
        .find_map(of_name)
        .and_then(|field| field.asked.flatten());
    let mut cells = vec![words.unwrap_or(name).to_owned(), asked.unwrap_or_default()];
    for candidate in candidates {
        let said = of_name(candidate).unwrap_or_default();
        let code = said.level.as_deref().unwrap_or_default();
        let known = Level::ALL.into_iter().find(|level| level.code() == code);
        let compared = match (known, field) {
            (Some(level), Some(field)) => level.words(field),
            _ if number.is_some() => "not compared",
            _ => code,
        };
        let weight = said.weight.filter(|_| known != Some(Level::Missing));
        cells.extend([
            said.held.clone().unwrap_or_default(),
            compared.to_owned(),
            weight.map_or_else(String::new, signed),
        ]);
    }
    cells
}

fn signed(bits: f64) -> String {
    format!("{bits:+.1}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::reviews::ReviewSummary;
    use crate::terminal::Screen;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("a page").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn field(name: &str, level: Option<&str>, weight: Option<f64>, value: &str) -> FieldItem {
        FieldItem {
            field: name.to_owned(),
            level: level.map(str::to_owned),
            weight,
            asked: Some(Some(value.to_owned())),
            held: Some(value.to_owned()),
            ..FieldItem::default()
        }
    }

    fn candidate(place: i64) -> CandidateItem {
        CandidateItem {
            place,
            total: 25.0,
            fields: vec![
                field("given", Some("exact"), Some(8.1), "Fatima"),
                field(
                    "address",
                    Some("exact"),
                    Some(11.8),
                    "1521 Willow Creek Road, San José, CA, 95112",
                ),
                field("member_id", Some("exact"), Some(12.8), "M192858215 / S003275426"),
                field("passport", None, None, "X90210"),
            ],
            sum: Some(BitSum {
                prior: -17.6,
                dependent: 2.0,
                household_limit: 7.9,
                rounding: 0.0,
                total: 25.0,
            }),
            patient_id: Some("68865e81-7c1e-7b3a-9d4e-2f6a8b1c3d5e".to_owned()),
        }
    }

    fn shown(columns: Option<usize>) -> String {
        let page = Page::default();
        let screen = Screen {
            columns,
            ..Screen::default()
        };
        let mut out = Out::new(false, false, false, Box::new(page.clone()), Box::new(std::io::sink())).on(screen);
        let item = ReviewItem {
            summary: ReviewSummary {
                id: "01a21bfc-2b88-70a9-9cfa-20c87fbf17b8".to_owned(),
                state: "open".to_owned(),
                due_at: "2026-11-28T07:50:40.776Z".to_owned(),
                partner: "new-payer".to_owned(),
                reason: "birth_generation".to_owned(),
                asked_count: 1,
                ..ReviewSummary::default()
            },
            candidates: vec![candidate(1), candidate(2)],
            acts: vec![ActItem {
                at: "2026-11-27T07:51:16.018Z".to_owned(),
                act: "taken".to_owned(),
                operator: "ana".to_owned(),
                reason: Some("a reason that is so long that it goes on to the next line".to_owned()),
                ..ActItem::default()
            }],
            ..ReviewItem::default()
        };
        show(&item, &mut out);
        let bytes = page.0.lock().expect("a page").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn a_review_reads_at_eighty_columns() {
        let text = shown(Some(80));
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}\n{text}");
        }
        for part in [
            "FIELD",
            "candidate 2: Patient/68865e81",
            "asked 1 time by",
            "first name",
            "Fatima",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn the_bits_on_screen_add_up_to_the_total() {
        let text = shown(None);
        let table: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("FIELD")).collect();
        let last = |line: &&str| line.split_whitespace().last().and_then(|word| word.parse::<f64>().ok());
        let signed = table.iter().filter(|line| line.contains('+') || line.contains(" -"));
        let bits: Vec<f64> = signed.filter_map(last).collect();
        let (total, parts) = bits.split_last().expect("a total");
        assert!((parts.iter().sum::<f64>() - total).abs() < 0.01, "{bits:?} in\n{text}");
        assert!(text.contains("every candidate begins with") && text.contains("limit of a household"));
    }

    #[test]
    fn a_number_that_is_not_compared_is_named_as_what_it_is() {
        let text = shown(None);
        let passport = text.lines().find(|line| line.contains("X90210")).expect("a line");
        assert!(
            passport.starts_with("passport number") && passport.contains("not compared"),
            "{passport}"
        );
    }
}
