//! The input of the builders of single resources: the member, the directory, and the visit of an event.

use super::codes::{ACT_CODE, refer};
use super::directory::{Directory, Facility, Practitioner};
use super::member::Member;
use super::options::SynthOptions;
use super::random::Random;
use chrono::{Days, NaiveDate};
use serde_json::{Value, json};

/// How far back records go, in days: a little more than the five years that payers must exchange.
const HISTORY_DAYS: u64 = 2_300;

/// A visit: its day, the practitioner, and the facility.
pub(super) struct CareVisit<'a> {
    pub(super) encounter: String,
    pub(super) day: NaiveDate,
    pub(super) minute: i64,
    pub(super) practitioner: &'a Practitioner,
    pub(super) facility: &'a Facility,
    pub(super) label: Option<&'static str>,
    pub(super) recorded: NaiveDate,
}

impl CareVisit<'_> {
    /// An instant of the visit, `later` minutes after it began.
    pub(super) fn at(&self, later: i64) -> String {
        let minute = (self.minute + later).min(1439);
        format!("{}T{:02}:{:02}:00Z", self.day, minute / 60, minute % 60)
    }

    /// The `meta` of a resource that results from this visit.
    pub(super) fn meta(&self, profile: &str) -> Value {
        let mut meta = json!({"lastUpdated": format!("{}T04:00:00Z", self.recorded), "profile": [profile]});
        if let Some(label) = self.label {
            meta["security"] = json!([
                {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"},
                {"system": ACT_CODE, "code": label},
            ]);
        }
        meta
    }
}

/// The input of the builders of single resources.
pub(super) struct Scene<'a> {
    pub(super) options: &'a SynthOptions,
    pub(super) directory: &'a Directory,
    pub(super) member: &'a Member,
    pub(super) random: Random,
}

impl<'a> Scene<'a> {
    pub(super) fn patient(&self) -> Value {
        refer("Patient", &self.member.patient_id)
    }

    /// Makes a visit on a random day of the member's history.
    pub(super) fn visit(&mut self, label: Option<&'static str>) -> CareVisit<'a> {
        let lived = (self.options.as_of - self.member.birth_date).num_days().max(1) as u64;
        let day = self.options.as_of - Days::new(self.random.below(HISTORY_DAYS.min(lived)));
        let recorded = (day + Days::new(1 + self.random.below(9))).min(self.options.as_of);
        CareVisit {
            encounter: self.random.uuid(),
            day,
            minute: self.random.between(13 * 60, 22 * 60),
            practitioner: self.random.pick(&self.directory.practitioners),
            facility: self.random.pick(&self.directory.facilities),
            label,
            recorded,
        }
    }
}
