//! The rows of the runbook about alerts: meaning, time to act and steps are those of the table of alerts.

use super::table::{
    ALERTS, Alert, BUDGET_BURN, CONSENTS_ENDED, CONSENTS_EXPIRING, EXCHANGE_CLOCK, LEDGER_LAG, MATCH_RATE_FALLEN,
    PARKED_GROWTH, PARTNER_FAILING, PARTNER_SLOW, REPLAY_VOLUME, REVIEWS_OVERDUE, TLS_EXPIRING,
};
use crate::error::{
    ContactKind, EscalateTo, PersonDecides, Procedure, ReplayRule, RunbookAbout, RunbookOwner, RunbookRow, RunbookStep,
};
use std::sync::LazyLock;

/// The steps of the alerts, in their order.
static STEPS: LazyLock<Vec<Vec<RunbookStep>>> = LazyLock::new(|| {
    let steps = |alert: &Alert| alert.steps.iter().map(|step| RunbookStep::Do(step)).collect();
    ALERTS.iter().map(steps).collect()
});

/// What people do about each, in the same order.
static PROCEDURES: LazyLock<Vec<Procedure>> = LazyLock::new(|| {
    let all = ALERTS.iter().zip(STEPS.iter());
    all.map(|(alert, steps)| procedure(alert, steps)).collect()
});

fn procedure(alert: &Alert, steps: &'static [RunbookStep]) -> Procedure {
    let technical = Some(ContactKind::Technical);
    let (replay, person, escalate, contact) = match alert.code {
        PARTNER_FAILING | PARTNER_SLOW | REPLAY_VOLUME => (
            ReplayRule::AfterCause,
            PersonDecides::Nobody,
            EscalateTo::Partner,
            technical,
        ),
        MATCH_RATE_FALLEN => (
            ReplayRule::AfterCause,
            PersonDecides::Operator,
            EscalateTo::Lead,
            technical,
        ),
        CONSENTS_ENDED => (
            ReplayRule::Never,
            PersonDecides::Privacy,
            EscalateTo::Privacy,
            Some(ContactKind::Privacy),
        ),
        CONSENTS_EXPIRING => (
            ReplayRule::Nothing,
            PersonDecides::Member,
            EscalateTo::Partner,
            Some(ContactKind::Privacy),
        ),
        REVIEWS_OVERDUE => (
            ReplayRule::AfterDecision,
            PersonDecides::Reviewer,
            EscalateTo::Lead,
            None,
        ),
        TLS_EXPIRING => (
            ReplayRule::Nothing,
            PersonDecides::Nobody,
            EscalateTo::Security,
            Some(ContactKind::Security),
        ),
        PARKED_GROWTH => (ReplayRule::AfterCause, PersonDecides::Operator, EscalateTo::Lead, None),
        EXCHANGE_CLOCK => (
            ReplayRule::AfterCause,
            PersonDecides::Operator,
            EscalateTo::Partner,
            Some(ContactKind::Escalation),
        ),
        BUDGET_BURN => (ReplayRule::AfterCause, PersonDecides::Operator, EscalateTo::Lead, None),
        LEDGER_LAG => (ReplayRule::Nothing, PersonDecides::Nobody, EscalateTo::Security, None),
        _ => (ReplayRule::Nothing, PersonDecides::Nobody, EscalateTo::Lead, None),
    };
    Procedure {
        owner: RunbookOwner::Operations,
        replay,
        person,
        escalate,
        contact,
        steps,
    }
}

/// A row for each alert.
pub fn rows() -> Vec<RunbookRow> {
    let row = |(alert, procedure): (&Alert, &'static Procedure)| RunbookRow {
        about: RunbookAbout::Alert,
        code: alert.code,
        meaning: alert.meaning,
        within: alert.within,
        remedy: None,
        procedure,
    };
    ALERTS.iter().zip(PROCEDURES.iter()).map(row).collect()
}
