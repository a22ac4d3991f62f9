//! Which version of a kind decides for whom at a moment, and the role of every other one. Reads, and decides nothing.
//!
//! Acts with a scope come first ([`crate::store::activations`]), then what was activated for everyone before acts had scopes, then the
//! version that ships or that the configuration names.

use super::kind::{KindTable, PolicyKind, row_of};
use crate::context::Context;
use crate::error::Failure;
use crate::identity::survive::Survivorship;
use crate::store::Db;
use crate::store::activations::{self, ActivationRow, EVERYONE, deciding};
use crate::store::policies::{self, ActiveRow};

/// The present role of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionState {
    /// It decides for everyone who has no other version. The time of its activation, if it was activated, UTC milliseconds.
    Active(Option<i64>),
    /// It decides for named partners. Since when, for the first of them, UTC milliseconds.
    Partial(i64),
    /// It runs as a shadow. The time at which that began, UTC milliseconds.
    Shadow(Option<i64>),
    /// It waits for a second person. When it was asked for, UTC milliseconds.
    Waiting(i64),
    /// It will decide from this time on, UTC milliseconds.
    Scheduled(i64),
    /// It is not in use.
    Idle,
}

impl VersionState {
    /// Returns its code.
    pub const fn code(self) -> &'static str {
        match self {
            VersionState::Active(_) => "active",
            VersionState::Partial(_) => "partial",
            VersionState::Shadow(_) => "shadow",
            VersionState::Waiting(_) => "waiting",
            VersionState::Scheduled(_) => "scheduled",
            VersionState::Idle => "idle",
        }
    }

    /// Since when, or from when on, UTC milliseconds; `None` for a version that was never activated.
    pub const fn since_ms(self) -> Option<i64> {
        match self {
            VersionState::Active(since_ms) | VersionState::Shadow(since_ms) => since_ms,
            VersionState::Partial(at_ms) | VersionState::Waiting(at_ms) | VersionState::Scheduled(at_ms) => Some(at_ms),
            VersionState::Idle => None,
        }
    }
}

/// The acts on a kind, and what decides where there is none.
pub(super) struct PolicyStandings {
    /// The rows of the kind, oldest first.
    pub rows: Vec<ActivationRow>,
    before: ActiveRow,
    default_id: Option<String>,
    now_ms: i64,
}

impl PolicyStandings {
    /// Reads the acts on a kind as they stand at this context's time.
    pub fn read(ctx: &Context, table: KindTable, db: &mut Db, kind: PolicyKind) -> Result<PolicyStandings, Failure> {
        let default_id = match kind {
            PolicyKind::Matching => Some(ctx.matching.id()),
            PolicyKind::Survivorship => Some(Survivorship::default().id()),
            _ => row_of(table, kind).and_then(|row| (row.built_in)().first().map(super::kind::BuiltIn::id)),
        };
        Ok(PolicyStandings {
            rows: activations::of_kind(db, kind.code())?,
            before: policies::active(db, kind.code())?,
            default_id,
            now_ms: ctx.clock.now_ms(),
        })
    }

    /// The id of the version that decides for `partner`, and since when; `None` for a kind without any version.
    pub fn decides(&self, partner: &str) -> Option<(String, Option<i64>)> {
        let row = deciding(&self.rows, partner, self.now_ms);
        row.map_or_else(
            || self.without_acts(),
            |row| Some((row.version_id.clone(), Some(row.effective_ms))),
        )
    }

    /// The id of the version that would decide for `partner` if the act that decides now had not been; `None` when no act decides.
    pub fn before(&self, partner: &str) -> Option<String> {
        let now = deciding(&self.rows, partner, self.now_ms)?;
        let others: Vec<ActivationRow> = self
            .rows
            .iter()
            .filter(|row| row.act_id != now.act_id)
            .cloned()
            .collect();
        let earlier = deciding(&others, partner, self.now_ms).map(|row| row.version_id.clone());
        earlier.or_else(|| self.without_acts().map(|(id, _)| id))
    }

    fn without_acts(&self) -> Option<(String, Option<i64>)> {
        if let Some(id) = &self.before.version_id {
            return Some((id.clone(), self.before.activated_ms));
        }
        self.default_id.clone().map(|id| (id, None))
    }

    /// The role of a version, and the partners for whom it decides although another one does for everyone.
    pub fn of(&self, id: &str) -> (VersionState, Vec<String>) {
        let everyone = self.decides(EVERYONE);
        let mut named: Vec<(&str, i64)> = Vec::new();
        for row in self.rows.iter().filter(|row| row.partner_id != EVERYONE) {
            let partner = row.partner_id.as_str();
            if named.iter().any(|(known, _)| *known == partner) {
                continue;
            }
            if let Some((decides, Some(since_ms))) = self.decides(partner)
                && decides == id
                && everyone.as_ref().is_none_or(|(general, _)| *general != decides)
            {
                named.push((partner, since_ms));
            }
        }
        named.sort_unstable();
        let partners = named.iter().map(|(partner, _)| (*partner).to_owned()).collect();
        let ahead = |row: &&ActivationRow| row.version_id == id && row.withdrawn_ms.is_none();
        let waits = self.rows.iter().filter(ahead).find(|row| row.approved_ms.is_none());
        let due = self
            .rows
            .iter()
            .filter(ahead)
            .find(|row| row.effective_ms > self.now_ms);
        let state = match everyone {
            Some((general, since_ms)) if general == id => VersionState::Active(since_ms),
            _ => match (named.iter().map(|(_, since_ms)| *since_ms).min(), waits, due) {
                (Some(since_ms), ..) => VersionState::Partial(since_ms),
                _ if self.before.shadow_id.as_deref() == Some(id) => VersionState::Shadow(self.before.shadow_ms),
                (None, Some(row), _) => VersionState::Waiting(row.asked_ms),
                (None, None, Some(row)) => VersionState::Scheduled(row.effective_ms),
                (None, None, None) => VersionState::Idle,
            },
        };
        (state, partners)
    }
}
