//! The table of the kinds of policies: where the texts of each come from, who checks another one, and whether something decides by it.
//!
//! A kind whose rules are code has no check: its document says what the code does, and another content is another program. What is data is
//! closed: a key that is not known is refused.

use crate::consent;
use crate::exchange::{escalation, retry, retry_text, step_table};
use crate::keeping::{self, PeriodFault};
use crate::ops::slo::policy as slo_policy;
use crate::partner;
use crate::policy::{
    BuiltIn, KindTable, LineForm, PolicyKind, PolicyKindRow, TextError, check_error_texts, no_error_texts, row_of,
};
use crate::release;
use crate::store::activations::AS_REGISTERED;

/// The table.
pub const KINDS: KindTable = &[
    PolicyKindRow {
        kind: PolicyKind::Release,
        built_in: release_rules,
        check: None,
        is_used: true,
        lines: LineForm::Words(&["money", "withheld"]),
    },
    PolicyKindRow {
        kind: PolicyKind::Consent,
        built_in: consent_rules,
        check: None,
        is_used: true,
        lines: LineForm::Tab,
    },
    PolicyKindRow {
        kind: PolicyKind::Retry,
        built_in: retry_tables,
        check: Some(retry_text::check),
        is_used: true,
        lines: LineForm::Words(&[]),
    },
    PolicyKindRow {
        kind: PolicyKind::Escalation,
        built_in: escalation::built_in,
        check: Some(escalation::check),
        is_used: true,
        lines: LineForm::Equals,
    },
    PolicyKindRow {
        kind: PolicyKind::Retention,
        built_in: as_configured,
        check: Some(retention),
        is_used: true,
        lines: LineForm::Words(&[]),
    },
    PolicyKindRow {
        kind: PolicyKind::ErrorTexts,
        built_in: no_texts,
        check: Some(check_error_texts),
        is_used: true,
        lines: LineForm::Equals,
    },
    PolicyKindRow {
        kind: PolicyKind::Dialects,
        built_in: as_registered,
        check: Some(dialect),
        is_used: true,
        lines: LineForm::Json,
    },
    PolicyKindRow {
        kind: PolicyKind::Slo,
        built_in: slo_policy::built_in,
        check: Some(slo_policy::check),
        is_used: true,
        lines: LineForm::Equals,
    },
];

/// How the lines of a kind are compared.
pub fn lines_of(kind: PolicyKind) -> LineForm {
    match kind {
        PolicyKind::Survivorship => LineForm::Words(&["trust"]),
        _ => row_of(KINDS, kind).map_or(LineForm::Equals, |row| row.lines),
    }
}

/// Whether versions of this name come with the program: rules that are code, and what is in force before anybody says otherwise. Nobody
/// imported them.
pub fn ships(kind: &str, name: &str) -> bool {
    KINDS.iter().filter(|row| row.kind.code() == kind).any(|row| {
        let is_code = row.check.is_none();
        is_code || (row.built_in)().iter().any(|built_in| built_in.name == name)
    })
}

fn release_rules() -> Vec<BuiltIn> {
    vec![BuiltIn {
        name: release::POLICY.to_owned(),
        body: release::policy_text(),
    }]
}

fn consent_rules() -> Vec<BuiltIn> {
    vec![BuiltIn {
        name: consent::TABLE_VERSION.to_owned(),
        body: consent::table_text(),
    }]
}

fn retry_tables() -> Vec<BuiltIn> {
    vec![BuiltIn {
        name: retry::DEFAULT.to_owned(),
        body: retry::text(retry::FAILURE_RULES, step_table::STEP_RULES),
    }]
}

fn no_texts() -> Vec<BuiltIn> {
    vec![BuiltIn {
        name: "default".to_owned(),
        body: no_error_texts(),
    }]
}

fn as_registered() -> Vec<BuiltIn> {
    vec![BuiltIn {
        name: "registered".to_owned(),
        body: AS_REGISTERED.to_owned(),
    }]
}

fn dialect(text: &str) -> Result<String, TextError> {
    partner::check_dialect(text).map_err(|what| TextError::at(0, what))
}

fn as_configured() -> Vec<BuiltIn> {
    vec![BuiltIn {
        name: "configured".to_owned(),
        body: keeping::AS_CONFIGURED.to_owned(),
    }]
}

fn retention(text: &str) -> Result<String, TextError> {
    keeping::check_policy(text).map_err(|fault| match fault {
        PeriodFault::Text { line, why } => TextError::at(line, why),
        other => TextError::at(0, other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::hex;

    #[test]
    fn the_documents_of_code_have_the_hashes_that_entries_cite() {
        let id = |kind| {
            let row = row_of(KINDS, kind).expect("a row");
            (row.built_in)().first().map(BuiltIn::id).expect("a document")
        };
        assert_eq!(id(PolicyKind::Release), hex(&release::policy_digest()));
        assert_eq!(id(PolicyKind::Consent), hex(&consent::table_digest()));
        assert!(retry::version().ends_with(&id(PolicyKind::Retry)[..16]));
    }

    #[test]
    fn what_ships_passes_its_own_check_and_an_unknown_key_does_not() {
        for row in KINDS {
            let Some(check) = row.check else { continue };
            for built_in in (row.built_in)() {
                assert_eq!(
                    check(&built_in.body).as_deref(),
                    Ok(built_in.body.as_str()),
                    "{:?}",
                    row.kind
                );
                let odd = format!("{}unknown_key = 1\n", built_in.body);
                assert!(check(&odd).is_err(), "{:?}", row.kind);
            }
        }
    }

    #[test]
    fn a_retention_policy_under_six_years_is_refused_with_its_bounds() {
        let text = "causeway retention 1\nledger 5 years\n";
        let told = retention(text).expect_err("too short");
        assert_eq!(
            told,
            TextError::at(0, "ledger is kept for 6 years at least and 100 years at most")
        );
    }
}
