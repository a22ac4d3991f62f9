//! The escalation policy: how long an exchange goes on by itself before an operator looks at it. Without side effects.

use super::clocks::AUTOMATIC_MS;
use crate::policy::{BuiltIn, TextError, keyed};

/// First line of a text.
const HEAD: &str = "escalation 1";
/// Name of the policy that ships.
pub const DEFAULT: &str = "default";
const HOUR_MS: i64 = 3_600_000;
/// Hours that the automatic part of a round may have: at most the week that a payer has to ask (42 CFR 422.121(b)(4)).
const HOURS: std::ops::RangeInclusive<i64> = 1..=168;

/// When an exchange is handed to an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escalation {
    /// Milliseconds that the automatic part of a round has.
    pub automatic_ms: i64,
}

impl Default for Escalation {
    fn default() -> Escalation {
        Escalation::SHIPPED
    }
}

impl Escalation {
    /// The policy that ships.
    pub const SHIPPED: Escalation = Escalation {
        automatic_ms: AUTOMATIC_MS,
    };

    /// The canonical text.
    pub fn text(&self) -> String {
        format!("{HEAD}\nautomatic_hours = {}\n", self.automatic_ms / HOUR_MS)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// The first line that is wrong; line 0 for what is missing.
    pub fn parse(text: &str) -> Result<Escalation, TextError> {
        let mut automatic_ms = None;
        for row in keyed(text, HEAD)? {
            if row.key != "automatic_hours" {
                return Err(TextError::at(row.line, "the only key is automatic_hours"));
            }
            let hours = row.value.parse().ok().filter(|hours| HOURS.contains(hours));
            let wrong = || TextError::at(row.line, "automatic_hours must be a number from 1 to 168");
            automatic_ms = Some(hours.ok_or_else(wrong)? * HOUR_MS);
        }
        let missing = || TextError::at(0, "automatic_hours is missing");
        Ok(Escalation {
            automatic_ms: automatic_ms.ok_or_else(missing)?,
        })
    }
}

/// Checks a text and returns its canonical form.
///
/// # Errors
/// As [`Escalation::parse`].
pub fn check(text: &str) -> Result<String, TextError> {
    Escalation::parse(text).map(|policy| policy.text())
}

/// The policy that ships.
pub fn built_in() -> Vec<BuiltIn> {
    vec![BuiltIn {
        name: DEFAULT.to_owned(),
        body: Escalation::default().text(),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_back_and_anything_else_is_refused() {
        let ships = Escalation::default();
        assert_eq!(ships.text(), "escalation 1\nautomatic_hours = 24\n");
        assert_eq!(Escalation::parse(&ships.text()), Ok(ships));
        for wrong in [
            "",
            "escalation 1\n",
            "escalation 2\nautomatic_hours = 24\n",
            "escalation 1\nautomatic_hours = 0\n",
            "escalation 1\nautomatic_hours = 169\n",
            "escalation 1\nautomatic_hours = 24\nautomatic_hours = 24\n",
            "escalation 1\nautomatic_hours = 24\nmanual_hours = 1\n",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
