//! The rows of the table of operations routes that are about versions of policies.
//!
//! Data only.

use super::admitted::{ADMIN, POLICY_LOOKS};
use super::call::OpsCall;
use super::route::{OpsRoute, list, reasoned};

pub(super) const LIST: OpsRoute = list(
    "/ops/v1/policies",
    OpsCall::Policies,
    ADMIN,
    &["kind"],
    "The versions of policies, or those of one kind",
);
pub(super) const ACTS: OpsRoute = list(
    "/ops/v1/policies/acts",
    OpsCall::PolicyActs,
    ADMIN,
    &["kind"],
    "Who put which version of a policy in force, for whom and when",
);
pub(super) const ONE: OpsRoute = list(
    "/ops/v1/policies/{id}",
    OpsCall::Policy,
    ADMIN,
    &["kind"],
    "One version of a policy, with its text",
);
pub(super) const DIFF: OpsRoute = list(
    "/ops/v1/policies/diff",
    OpsCall::PolicyDiff,
    ADMIN,
    &["version", "other", "kind"],
    "What differs between two versions (`version` is required; `other` is the one in force if it is left out)",
);
pub(super) const REPLAY: OpsRoute = list(
    "/ops/v1/policies/replay",
    OpsCall::PolicyReplay,
    POLICY_LOOKS,
    &["id", "version", "kind"],
    "What a version would have decided for a decision or an exchange (`id` and `version` are required)",
);
pub(super) const COMPARE: OpsRoute = list(
    "/ops/v1/policies/compare",
    OpsCall::PolicyCompare,
    POLICY_LOOKS,
    &["version", "kind", "partner", "last"],
    "How often a version would have decided differently (`version` is required)",
);
pub(super) const IMPORT: OpsRoute = reasoned(
    "/ops/v1/policies/import",
    OpsCall::PolicyImport,
    ADMIN,
    "kind, name, text, reason, where it applies point,",
    "Adds a version of a policy, which decides nothing yet; returns the version",
);
pub(super) const ACTIVATE: OpsRoute = reasoned(
    "/ops/v1/policies/activate",
    OpsCall::PolicyActivate,
    ADMIN,
    "version, reason, where they apply kind, partners, at,",
    "Puts a version of a policy in force; returns the act",
);
pub(super) const ROLL_BACK: OpsRoute = reasoned(
    "/ops/v1/policies/rollback",
    OpsCall::PolicyRollback,
    ADMIN,
    "kind, reason, where they apply partners,",
    "Goes back to the version that decided before; returns the act",
);
pub(super) const APPROVE: OpsRoute = reasoned(
    "/ops/v1/policies/acts/{id}/approve",
    OpsCall::PolicyApprove,
    ADMIN,
    "a reason",
    "Approves the act of another operator; returns the act",
);
pub(super) const WITHDRAW: OpsRoute = reasoned(
    "/ops/v1/policies/acts/{id}/withdraw",
    OpsCall::PolicyWithdraw,
    ADMIN,
    "a reason",
    "Withdraws an act that does not decide yet; returns the act",
);
pub(super) const SHADOW: OpsRoute = reasoned(
    "/ops/v1/policies/shadow",
    OpsCall::PolicyShadowStart,
    ADMIN,
    "version, reason,",
    "Runs a version of the matching policy beside the one in force, without consequences; returns the version",
);
pub(super) const SHADOW_STOP: OpsRoute = reasoned(
    "/ops/v1/policies/shadow/stop",
    OpsCall::PolicyShadowStop,
    ADMIN,
    "a reason",
    "Ends that run; returns the version",
);
