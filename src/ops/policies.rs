//! The policy versions as items, and the report of a shadow run.

use crate::clock::rfc3339_ms;
use crate::context::Context;
use crate::error::Failure;
use crate::policy::{self, Report, Standing, Version};
use crate::store::Db;
use crate::store::policies::{MATCHING, pairs};
use serde_json::{Value, json};

/// Every version; the one that runs beside the one in force with what it has shown.
///
/// # Errors
/// As [`policy::list`].
pub fn items(ctx: &Context, db: &mut Db) -> Result<Vec<Value>, Failure> {
    let versions = policy::all(ctx, db)?;
    let active = versions.iter().find(|v| matches!(v.standing, Standing::Active(_)));
    let active_id = active.map_or("", |version| version.id.as_str());
    let mut items = Vec::with_capacity(versions.len());
    for version in &versions {
        let mut item = item(version);
        if matches!(version.standing, Standing::Shadow(_)) {
            item["shadow"] = report(&Report::of(pairs(db, active_id, &version.id)?));
        }
        items.push(item);
    }
    Ok(items)
}

/// One version.
pub fn item(version: &Version) -> Value {
    let (Standing::Active(since) | Standing::Shadow(since)) = version.standing else {
        return with_since(version, None);
    };
    with_since(version, since)
}

fn with_since(version: &Version, since_ms: Option<i64>) -> Value {
    json!({
        "id": version.id,
        "kind": MATCHING,
        "name": version.name,
        "point": version.rules.point.code(),
        "version": version.rules.version,
        "state": version.standing.code(),
        "since": since_ms.map(rfc3339_ms),
        "added_at": version.added_ms.map(rfc3339_ms),
    })
}

/// What a shadow run has shown.
pub fn report(report: &Report) -> Value {
    let pair = |pair: &crate::store::policies::PairRow| {
        json!({
            "active": pair.active_outcome,
            "candidate": pair.candidate_outcome,
            "requests": pair.seen,
            "last_at": rfc3339_ms(pair.last_ms),
        })
    };
    json!({
        "compared": report.compared,
        "different": report.different,
        "risky": report.risky,
        "lost": report.lost,
        "pairs": report.pairs.iter().map(pair).collect::<Vec<_>>(),
    })
}
