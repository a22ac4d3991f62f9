//! The members behind an answer that names no grant of its own, such as the shared resources of an export or the result of a bulk match: which
//! resources and names it has tells of each of them. So it ends when the access to one of them is taken away.
//!
//! Whether they may be in the answer at all is decided before it begins, not here.

use crate::error::Failure;
use crate::store::Db;
use crate::store::disclosure::DisclosureBasis;
use crate::store::{granted_members, member_groups};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

/// What was revoked so long before the answer began is looked at too: the clocks of several hosts differ.
const CLOCKS_MS: i64 = 60_000;

/// Who they are. Clones share them.
#[derive(Clone)]
pub struct MembersBehind(Who);

#[derive(Clone)]
enum Who {
    /// Those under these grants, as sorted hashes: there may be as many as an export has members.
    Grants(RandomState, Arc<[u64]>),
    /// Those of this group who are granted to its partner.
    Group(String),
}

impl MembersBehind {
    /// The members under these grants.
    pub fn under_grants(ids: impl Iterator<Item = String>) -> MembersBehind {
        let state = RandomState::new();
        let mut hashes: Vec<u64> = ids.map(|id| state.hash_one(id)).collect();
        hashes.sort_unstable();
        MembersBehind(Who::Grants(state, hashes.into()))
    }

    /// The members of a group.
    pub fn of_group(group_id: String) -> MembersBehind {
        MembersBehind(Who::Group(group_id))
    }

    /// Whether the access to one of them was taken away since the answer began.
    ///
    /// # Errors
    /// Those of the database.
    pub(super) fn has_left(&self, db: &mut Db, basis: &DisclosureBasis) -> Result<bool, Failure> {
        self.have_left(db, &basis.partner, basis.begun_ms)
    }

    /// Whether the access of `partner` to one of them was taken away since they were found (UTC milliseconds).
    ///
    /// # Errors
    /// Those of the database.
    pub fn have_left(&self, db: &mut Db, partner: &str, since_ms: i64) -> Result<bool, Failure> {
        let ended = granted_members::ended_since(db, partner, since_ms - CLOCKS_MS)?;
        match &self.0 {
            Who::Grants(state, hashes) => {
                let is_ours = |(grant, _): &(String, String)| hashes.binary_search(&state.hash_one(grant)).is_ok();
                Ok(ended.iter().any(is_ours))
            }
            Who::Group(group) => {
                let patients: Vec<String> = ended.into_iter().map(|(_, patient)| patient).collect();
                member_groups::has_left(db, (partner, group), &patients, since_ms)
            }
        }
    }
}
