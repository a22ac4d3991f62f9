//! The rows of the table of operations routes about figures: promises, how this server does, and scorecards. Data only.

use super::admitted::TRACE;
use super::call::OpsCall;
use super::route::{OpsRoute, get, list};

/// Objectives and their budgets.
pub(super) const SLO: OpsRoute = get(
    "/ops/v1/slo",
    OpsCall::Slo,
    TRACE,
    "Objectives, how much of their error budgets is left, and why they were missed",
);
/// How this server does.
pub(super) const SERVICE: OpsRoute = list(
    "/ops/v1/service",
    OpsCall::Service,
    TRACE,
    &["period"],
    "How this server does: figures of a period, budgets, background work, partners",
);
/// The same as a page.
pub(super) const SERVICE_PAGE: OpsRoute = list(
    "/ops/v1/service/page",
    OpsCall::ServicePage,
    TRACE,
    &["period"],
    "The same as a page to print, HTML",
);
/// The figures of one partner.
pub(super) const SCORECARD: OpsRoute = list(
    "/ops/v1/scorecards/{id}",
    OpsCall::Scorecard,
    TRACE,
    &["period"],
    "The figures of one partner in a week, a month or a quarter",
);
/// The same as a page.
pub(super) const SCORECARD_PAGE: OpsRoute = list(
    "/ops/v1/scorecards/{id}/page",
    OpsCall::ScorecardPage,
    TRACE,
    &["period"],
    "The same as a page to print, HTML",
);
