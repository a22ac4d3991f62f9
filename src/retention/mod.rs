//! Retention: deletes what was kept long enough, proves it in the ledger, and keeps what a legal hold names.
//!
//! How long what is kept stands in [`crate::keeping`], and which policy says otherwise is told by [`in_force()`]. What is deleted and the entry
//! that proves it are one transaction, in which holds are looked at once more. Time is that of [`time`], which nobody can set forward at once.
//! Nothing else deletes evidence.

pub mod hold;
mod in_force;
pub mod job;
pub mod run;
pub mod time;

pub use crate::keeping::{DataKind, Periods};
pub use in_force::{in_force, shortest};

use crate::error::{Failure, Fault};

/// Reads the text of periods ([`Periods::parse`]), for a command or a request.
///
/// # Errors
/// [`Fault::PeriodRefused`], saying what is wrong.
pub fn periods(text: &str) -> Result<Periods, Failure> {
    Periods::parse(text)
        .map_err(|fault| Failure::new(Fault::PeriodRefused).remedy(format!("Correct the periods: {fault}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_below_six_years_is_refused_with_its_bounds() {
        let failure = periods("causeway retention 1\nledger 5 years\n").expect_err("too short");
        assert_eq!(failure.fault(), Fault::PeriodRefused);
        let told = failure.operator_remedy_text();
        assert!(told.contains("ledger is kept for 6 years at least"), "{told}");
        assert_eq!(periods(&Periods::default().text()).expect("reads"), Periods::default());
    }
}
