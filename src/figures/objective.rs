//! What is promised: the objectives that a policy of the kind `slo` gives a target and a window. Without side effects.

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SloObjective {
    /// Who was asked has answered within one business day (42 CFR 422.121(b)(5)).
    BusinessDay,
    /// A former payer was asked within a week (42 CFR 422.121(b)(4)).
    Week,
    /// A concurrent payer was asked for each quarter (42 CFR 422.121(b)(6)).
    Quarterly,
    /// The receipt of a record that came was acknowledged by the time of the answer.
    Acknowledgement,
    /// Background work ran, and the store took what it wrote.
    Availability,
}

impl SloObjective {
    /// All objectives, in the order of texts and lists.
    pub const ALL: [SloObjective; 5] = [
        SloObjective::BusinessDay,
        SloObjective::Week,
        SloObjective::Quarterly,
        SloObjective::Acknowledgement,
        SloObjective::Availability,
    ];

    /// Its name in policies, figures and answers, which never changes.
    pub const fn code(self) -> &'static str {
        match self {
            SloObjective::BusinessDay => "business-day",
            SloObjective::Week => "week",
            SloObjective::Quarterly => "quarterly",
            SloObjective::Acknowledgement => "acknowledgement",
            SloObjective::Availability => "availability",
        }
    }

    /// What is promised, for people.
    pub const fn text(self) -> &'static str {
        match self {
            SloObjective::BusinessDay => {
                "Exchanges of ours and reviews end within one business day after the question."
            }
            SloObjective::Week => "A partner is asked within a week after the opt-in.",
            SloObjective::Quarterly => "A partner with concurrent cover is asked within a week after each quarter.",
            SloObjective::Acknowledgement => {
                "The receipt of a record that came is acknowledged by the time of the answer."
            }
            SloObjective::Availability => "In each minute background work runs, and the store takes what it writes.",
        }
    }

    /// The objective with this name.
    pub fn parse(code: &str) -> Option<SloObjective> {
        SloObjective::ALL.into_iter().find(|one| one.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_objective_is_read_back() {
        for one in SloObjective::ALL {
            assert_eq!(SloObjective::parse(one.code()), Some(one));
            assert!(one.text().ends_with('.'));
        }
        assert_eq!(SloObjective::parse("weather"), None);
    }
}
