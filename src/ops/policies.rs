//! The versions of policies as items, the acts on them, and the report of a shadow run.

use super::policy_kinds::{KINDS, lines_of};
use crate::clock::rfc3339_ms;
use crate::context::Context;
use crate::error::Failure;
use crate::policy::{self, Activated, KeyChange, PolicyKind, ShadowReport, Version, VersionState};
use crate::store::Db;
use crate::store::activations::{self, ActivationRow, EVERYONE, deciding};
use crate::store::policies::{PairRow, pairs};
use serde::Serialize;

/// A version.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyItem {
    /// Its id.
    pub id: String,
    /// What it rules.
    pub kind: &'static str,
    /// Its name, for people.
    pub name: String,
    /// The operating point of a matching policy.
    pub point: Option<&'static str>,
    /// As what decisions cite it.
    pub version: String,
    /// Whether it is in force for everyone, for some, waits, is scheduled, runs as a shadow, or none of these.
    pub state: &'static str,
    /// Since when, or from when on.
    pub since: Option<String>,
    /// The partners for whom it is in force although another version is for everyone.
    pub partners: Vec<String>,
    /// When it was added; none of what ships.
    pub added_at: Option<String>,
    /// What it has shown as a shadow, where it runs as one and that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowReportItem>,
}

/// A version with its text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyTextItem {
    /// The version.
    #[serde(flatten)]
    pub item: PolicyItem,
    /// Its text.
    pub text: String,
}

/// What differs between two versions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyDiffItem {
    /// Id of the first.
    pub from: String,
    /// Id of the second.
    pub to: String,
    /// The keys whose numbers differ.
    pub changes: Vec<KeyChange>,
    /// What both rule.
    pub kind: &'static str,
    /// Name of the first.
    pub from_name: String,
    /// Name of the second.
    pub to_name: String,
}

/// What a shadow run has shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShadowReportItem {
    /// Requests compared.
    pub compared: i64,
    /// Requests that ended differently.
    pub different: i64,
    /// Those of them that the candidate alone would have matched, or to somebody else.
    pub risky: i64,
    /// Those that the version in force alone matched.
    pub lost: i64,
    /// How often each pair of outcomes came.
    pub pairs: Vec<ShadowPair>,
}

/// A pair of outcomes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShadowPair {
    /// What the version in force decided.
    pub active: String,
    /// What the candidate would have.
    pub candidate: String,
    /// How often.
    pub requests: i64,
    /// When last.
    pub last_at: String,
}

/// An act that put a version in force, or will, in one scope.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyActItem {
    /// Its id, which is that of its ledger entry; several named partners share it.
    pub id: String,
    /// What the version rules.
    pub kind: String,
    /// Id of the version.
    pub version_id: String,
    /// The partner; `null` for everyone.
    pub partner: Option<String>,
    /// Id of the version that decided in that scope when the act was asked for.
    pub before_id: Option<String>,
    /// `waiting`, `scheduled`, `in-force`, `over` or `withdrawn`.
    pub state: &'static str,
    /// When it was asked for.
    pub asked_at: String,
    /// From when on it decides.
    pub effective_at: String,
    /// When it was approved.
    pub approved_at: Option<String>,
    /// Id of the ledger entry of a second person's approval.
    pub approval_id: Option<String>,
    /// When it was withdrawn.
    pub withdrawn_at: Option<String>,
}

/// What a command on a version led to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActivatedItem {
    /// The version.
    #[serde(flatten)]
    pub version: PolicyItem,
    /// Id of the act.
    pub act_id: String,
    /// The partners that were named; none for everyone.
    pub act_partners: Vec<String>,
    /// From when on it decides.
    pub effective_at: String,
    /// Whether it waits for a second person.
    pub waits: bool,
}

/// Every version, or those of one kind; the one that runs beside the one in force with what it has shown.
///
/// # Errors
/// As [`policy::list`].
pub fn items(ctx: &Context, db: &mut Db, kind: Option<PolicyKind>) -> Result<Vec<PolicyItem>, Failure> {
    let versions = policy::all(ctx, KINDS, db, kind)?;
    let is_active = |v: &&Version| v.kind == PolicyKind::Matching && matches!(v.standing, VersionState::Active(_));
    let active_id = versions
        .iter()
        .find(is_active)
        .map_or("", |version| version.id.as_str());
    let mut items = Vec::with_capacity(versions.len());
    for version in &versions {
        let mut item = item(version);
        if matches!(version.standing, VersionState::Shadow(_)) {
            item.shadow = Some(report(&ShadowReport::of(pairs(db, active_id, &version.id)?)));
        }
        items.push(item);
    }
    Ok(items)
}

/// One version.
pub fn item(version: &Version) -> PolicyItem {
    PolicyItem {
        id: version.id.clone(),
        kind: version.kind.code(),
        name: version.name.clone(),
        point: version.rules.as_ref().map(|rules| rules.point.code()),
        version: version.version.clone(),
        state: version.standing.code(),
        since: version.standing.since_ms().map(rfc3339_ms),
        partners: version.partners.clone(),
        added_at: version.added_ms.map(rfc3339_ms),
        shadow: None,
    }
}

/// One version with its text.
pub fn with_text(version: &Version) -> PolicyTextItem {
    PolicyTextItem {
        item: item(version),
        text: version.body.clone(),
    }
}

/// What differs between two versions of one kind. Where two matching policies have another operating point, what each point needs counts too.
pub fn difference(from: &Version, to: &Version) -> PolicyDiffItem {
    let points = [from, to].map(|version| version.rules.as_ref().map(|rules| rules.point));
    let text = |version: &Version| match &version.rules {
        Some(rules) if points[0] != points[1] => version.body.clone() + &rules.needs(),
        _ => version.body.clone(),
    };
    PolicyDiffItem {
        from: from.id.clone(),
        to: to.id.clone(),
        changes: policy::difference(lines_of(to.kind), &text(from), &text(to)),
        kind: to.kind.code(),
        from_name: from.name.clone(),
        to_name: to.name.clone(),
    }
}

/// What a command led to.
pub fn activated(done: &Activated) -> ActivatedItem {
    ActivatedItem {
        version: item(&done.version),
        act_id: done.act_id.clone(),
        act_partners: done.partners.clone(),
        effective_at: rfc3339_ms(done.effective_ms),
        waits: done.waits,
    }
}

/// The acts on every kind, or on one, oldest first.
///
/// # Errors
/// Those of the database.
pub fn acts(db: &mut Db, kind: Option<PolicyKind>, now_ms: i64) -> Result<Vec<PolicyActItem>, Failure> {
    let mut items = Vec::new();
    for one in PolicyKind::ALL {
        if kind.is_some_and(|wanted| wanted != one) {
            continue;
        }
        let rows = activations::of_kind(db, one.code())?;
        items.extend(rows.iter().map(|row| act_item(row, &rows, now_ms)));
    }
    Ok(items)
}

fn act_item(row: &ActivationRow, rows: &[ActivationRow], now_ms: i64) -> PolicyActItem {
    let decides = deciding(rows, &row.partner_id, now_ms).is_some_and(|now| now == row);
    PolicyActItem {
        id: row.act_id.clone(),
        kind: row.kind.clone(),
        version_id: row.version_id.clone(),
        partner: Some(row.partner_id.clone()).filter(|partner| partner != EVERYONE),
        before_id: row.before_id.clone(),
        state: match (row.withdrawn_ms, row.approved_ms) {
            (Some(_), _) => "withdrawn",
            (None, None) => "waiting",
            (None, Some(_)) if row.effective_ms > now_ms => "scheduled",
            (None, Some(_)) if decides => "in-force",
            (None, Some(_)) => "over",
        },
        asked_at: rfc3339_ms(row.asked_ms),
        effective_at: rfc3339_ms(row.effective_ms),
        approved_at: row.approved_ms.map(rfc3339_ms),
        approval_id: row.approval_id.clone(),
        withdrawn_at: row.withdrawn_ms.map(rfc3339_ms),
    }
}

/// What a shadow run has shown.
pub fn report(report: &ShadowReport) -> ShadowReportItem {
    let pair = |pair: &PairRow| ShadowPair {
        active: pair.active_outcome.clone(),
        candidate: pair.candidate_outcome.clone(),
        requests: pair.seen,
        last_at: rfc3339_ms(pair.last_ms),
    };
    ShadowReportItem {
        compared: report.compared,
        different: report.different,
        risky: report.risky,
        lost: report.lost,
        pairs: report.pairs.iter().map(pair).collect(),
    }
}
