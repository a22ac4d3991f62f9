//! What the roster as a whole says: how many records, how common each name and city is, how member numbers look.
//!
//! Counts only; never a person. The server keeps one of these per roster state and refreshes it now and then.

use crate::person::Profile;
use std::collections::HashMap;

/// Counts over a roster.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    records: u64,
    given: HashMap<String, u32>,
    family: HashMap<String, u32>,
    shapes: HashMap<String, u32>,
    subscriber_shapes: HashMap<String, u32>,
}

/// Digits of the dependent number at the end of a member number.
pub const DEPENDENT_DIGITS: usize = 2;

/// How an identifier looks: digits become `9`, letters stay.
pub fn shape(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect()
}

impl Facts {
    /// Counts one record.
    pub fn add(&mut self, profile: &Profile) {
        self.records += 1;
        if let Some(name) = profile.names.first() {
            if let Some(first) = name.given.first() {
                *self.given.entry(first.clone()).or_default() += 1;
            }
            *self.family.entry(name.family_joined.clone()).or_default() += 1;
        }
        for (ids, shapes) in [
            (&profile.member_ids, &mut self.shapes),
            (&profile.subscriber_ids, &mut self.subscriber_shapes),
        ] {
            for id in ids {
                *shapes.entry(shape(id)).or_default() += 1;
            }
        }
    }

    /// The counts of first names, family names, forms of member numbers and of subscriber numbers.
    pub(crate) fn counts(&self) -> [&HashMap<String, u32>; 4] {
        [&self.given, &self.family, &self.shapes, &self.subscriber_shapes]
    }

    pub(crate) fn from_counts(records: u64, counts: [HashMap<String, u32>; 4]) -> Facts {
        let [given, family, shapes, subscriber_shapes] = counts;
        Facts {
            records,
            given,
            family,
            shapes,
            subscriber_shapes,
        }
    }

    /// Number of records counted.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Share of records that bear this first name, smoothed by an average name.
    pub fn given_share(&self, name: &str) -> f64 {
        self.share(&self.given, name, 0.001)
    }

    /// Share of records that bear this family name, smoothed.
    pub fn family_share(&self, name: &str) -> f64 {
        self.share(&self.family, name, 0.000_2)
    }

    fn share(&self, counts: &HashMap<String, u32>, name: &str, typical: f64) -> f64 {
        const SMOOTHING: f64 = 1_000.0;
        let count = counts.get(name).copied().unwrap_or(0);
        (f64::from(count) + SMOOTHING * typical) / (self.records as f64 + SMOOTHING)
    }

    /// Whether people bear this as a first name, rather than it being a slip of the pen.
    pub fn is_given_name(&self, name: &str) -> bool {
        crate::nickname::known(name) || self.given.get(name).is_some_and(|count| *count >= 2)
    }

    /// Whether an identifier has the form of this payer's member numbers. Rare forms (below 1 %) are slips, not forms.
    pub fn is_member_form(&self, id: &str) -> bool {
        self.is_form(&self.shapes, id)
    }

    fn is_form(&self, shapes: &HashMap<String, u32>, id: &str) -> bool {
        let count = shapes.get(&shape(id)).copied().unwrap_or(0);
        count > 0 && u64::from(count) * 100 >= self.records
    }

    /// Whether it has the form of a subscriber number, or of a member number without its dependent digits.
    pub fn is_subscriber_form(&self, id: &str) -> bool {
        self.is_form(&self.subscriber_shapes, id)
            || self.is_member_form(&format!("{id}{}", "0".repeat(DEPENDENT_DIGITS)))
    }
}

impl<'a> FromIterator<&'a Profile> for Facts {
    fn from_iter<I: IntoIterator<Item = &'a Profile>>(profiles: I) -> Self {
        let mut facts = Facts::default();
        for profile in profiles {
            facts.add(profile);
        }
        facts
    }
}
