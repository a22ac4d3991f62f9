//! The options for making synthetic data.

use chrono::NaiveDate;

/// Which data to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynthOptions {
    /// Number of members.
    pub members: u64,
    /// The seed, which determines every byte.
    pub seed: u64,
    /// Average number of resources of a member.
    pub resources_per_member: u64,
    /// The exact number of resources of the first member; `None` for the average.
    pub one_large: Option<u64>,
    /// Whether every five-hundredth member, beginning with the second one, gets a second record.
    pub twins: bool,
    /// Whether to make the showcase member: see [`super::showcase_member`].
    pub showcase: bool,
    /// System of the member numbers.
    pub member_system: String,
    /// Name of the payer.
    pub payer_name: String,
    /// National Provider Identifier of the payer.
    pub payer_npi: String,
    /// The date of the data. No resource is dated later, except prior authorizations and goals that continue.
    pub as_of: NaiveDate,
}

/// 2026-10-01.
const AS_OF: NaiveDate = day(2026, 10, 1);

/// A day that is in the calendar, or the program does not compile.
pub(super) const fn day(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).expect("a day of the calendar")
}

impl Default for SynthOptions {
    fn default() -> Self {
        SynthOptions {
            members: 100,
            seed: 1,
            resources_per_member: 40,
            one_large: None,
            twins: false,
            showcase: false,
            member_system: "http://old-payer.example/identifiers/member".to_owned(),
            payer_name: "Old Payer".to_owned(),
            payer_npi: "1992000012".to_owned(),
            as_of: AS_OF,
        }
    }
}
