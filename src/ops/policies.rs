//! The policy versions as items, and the report of a shadow run.

use crate::clock::rfc3339_ms;
use crate::context::Context;
use crate::error::Failure;
use crate::policy::{self, ShadowReport, Version, VersionState};
use crate::store::Db;
use crate::store::policies::{MATCHING, PairRow, pairs};
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
    /// Its operating point.
    pub point: &'static str,
    /// As what decisions cite it.
    pub version: String,
    /// Whether it is in force, runs as a shadow, or neither.
    pub state: &'static str,
    /// Since when.
    pub since: Option<String>,
    /// When it was added; none of what ships.
    pub added_at: Option<String>,
    /// What it has shown as a shadow, where it runs as one and that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowReportItem>,
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

/// Every version; the one that runs beside the one in force with what it has shown.
///
/// # Errors
/// As [`policy::list`].
pub fn items(ctx: &Context, db: &mut Db) -> Result<Vec<PolicyItem>, Failure> {
    let versions = policy::all(ctx, db)?;
    let active = versions.iter().find(|v| matches!(v.standing, VersionState::Active(_)));
    let active_id = active.map_or("", |version| version.id.as_str());
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
    let since_ms = match version.standing {
        VersionState::Active(since_ms) | VersionState::Shadow(since_ms) => since_ms,
        VersionState::Idle => None,
    };
    PolicyItem {
        id: version.id.clone(),
        kind: MATCHING,
        name: version.name.clone(),
        point: version.rules.point.code(),
        version: version.rules.version.clone(),
        state: version.standing.code(),
        since: since_ms.map(rfc3339_ms),
        added_at: version.added_ms.map(rfc3339_ms),
        shadow: None,
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
