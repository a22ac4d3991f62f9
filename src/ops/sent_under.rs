//! What was sent under an exchange that another payer began: the disclosures of its member to its partner under its consent, from the match
//! until a later match renewed the grant.
//!
//! They are read newest first, and only as many as a list or one exchange may cost. Where more are left, it is said that they were cut.

use super::disclosures::Ends;
use super::entry::{DisclosureEnd, EntryFacts};
use super::file_shares::FileShares;
use crate::audit::commitment;
use crate::clock::rfc3339_ms;
use crate::error::Failure;
use crate::ids::before_all_of;
use crate::store::Db;
use crate::store::entries::EntryRow;
use crate::store::sent_entries::{SentStretch, YoungEntries};
use std::collections::BTreeMap;

/// Entries that are looked at in one read.
const PIECE: usize = 50;
/// A disclosure that began before this time ago is not running any more, whether its end is known or not. No answer may take that long.
const RUNNING_MS: i64 = 2 * 60 * 60 * 1000;

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentDepth {
    /// Until a disclosure is found that was sent whole.
    Delivery,
    /// That, and whether one is running.
    States,
    /// Everything, with each disclosure.
    Each,
}

/// An exchange, as far as it says which disclosures are its own.
#[derive(Clone, Copy, Debug)]
pub struct SentOf<'a> {
    /// Id of the Patient.
    pub member: &'a str,
    /// Id of the partner.
    pub partner: &'a str,
    /// Id of the consent.
    pub consent: &'a str,
    /// The first id of the ledger that can be of it.
    pub from: &'a str,
    /// The first id that cannot any more; empty for none.
    pub before: &'a str,
}

/// A disclosure under an exchange.
#[derive(Clone, Debug)]
pub struct SentOne {
    /// Id of the entry that began it.
    pub entry_id: String,
    /// When it began.
    pub at: String,
    /// The correlation id of the request.
    pub correlation_id: String,
    /// Our id of the request.
    pub request_id: String,
    /// How it ended.
    pub(super) end: DisclosureEnd,
}

/// What was sent under an exchange.
#[derive(Clone, Debug, Default)]
pub struct SentUnder {
    /// How many disclosures were found.
    pub begun: usize,
    /// How many of them were sent to their end, with resources.
    pub whole: usize,
    /// Whether one is running.
    pub is_open: bool,
    /// When the last one ended, or began if its end is not known.
    pub last_at: Option<String>,
    /// The version of the release rules of the last one.
    pub release_version: Option<String>,
    /// Bytes of those that were found.
    pub bytes: u64,
    /// Resources of those that were found, by type.
    pub resources: BTreeMap<String, u64>,
    /// Whether there may be others, older ones, that would change what this says.
    pub is_cut: bool,
    /// Each that was found, oldest first; only with [`SentDepth::Each`].
    pub each: Vec<SentOne>,
}

impl SentUnder {
    fn add(&mut self, db: &mut Db, rows: &[EntryRow], of: &SentOf<'_>, how: (SentDepth, i64)) -> Result<(), Failure> {
        let ends = Ends::of(db, rows)?;
        let shares = FileShares::among(db, of.member, rows)?;
        for row in rows {
            let entry = EntryFacts::of(row)?;
            let is_other = match shares.share(row) {
                Some(share) => share.consent_id != of.consent,
                None => is_under_another(row, &entry, of.consent),
            };
            if is_other {
                continue;
            }
            let end = shares.end(row, ends.end(row, &entry)?);
            if is_of_groups(&end) {
                continue;
            }
            let resources = end.resources.iter().flatten();
            let is_whole = end.outcome == "completed" && resources.clone().count() > 0;
            self.begun += 1;
            self.whole += usize::from(is_whole);
            self.is_open |= end.outcome == "begun" && row.at_us / 1000 > how.1 - RUNNING_MS;
            self.bytes = self.bytes.saturating_add(end.bytes.unwrap_or(0));
            for (rtype, count) in resources {
                let sum = self.resources.entry(rtype.clone()).or_insert(0);
                *sum = sum.saturating_add(*count);
            }
            let at = rfc3339_ms(row.at_us / 1000);
            if self.begun == 1 {
                self.last_at = Some(end.ended_at.clone().unwrap_or_else(|| at.clone()));
            }
            if self.release_version.is_none() {
                self.release_version.clone_from(&entry.policy_version);
            }
            if how.0 == SentDepth::Each {
                self.each.push(SentOne {
                    entry_id: row.id.clone(),
                    at,
                    correlation_id: row.correlation_id.clone(),
                    request_id: entry.request_id,
                    end,
                });
            }
        }
        Ok(())
    }
}

/// Whether only groups were sent, which name the member and have nothing of the record.
fn is_of_groups(end: &DisclosureEnd) -> bool {
    let mut types = end
        .resources
        .iter()
        .flatten()
        .map(|(rtype, _)| rtype.as_str())
        .peekable();
    types.peek().is_some() && types.all(|rtype| rtype == "Group")
}

/// Whether an entry is committed to a consent, and that is not `consent`. What an erased entry was under is not known.
fn is_under_another(row: &EntryRow, entry: &EntryFacts, consent: &str) -> bool {
    let salt = row.salt.as_deref().and_then(|salt| <[u8; 32]>::try_from(salt).ok());
    let committed = entry.consent.id_commit.as_deref();
    salt.zip(committed)
        .is_some_and(|(salt, committed)| commitment("consent", &salt, consent) != committed)
}

/// Reads what was sent under the exchanges of a list.
pub(super) struct SentReader {
    young: YoungEntries,
    depth: SentDepth,
    now_ms: i64,
}

impl SentReader {
    /// A reader for exchanges of these partners about these members. It reads up to `young` entries that are too young to be indexed.
    pub(super) fn of(
        db: &mut Db,
        (partners, members): (&[&str], &[&str]),
        (depth, young): (SentDepth, usize),
        now_ms: i64,
    ) -> Result<SentReader, Failure> {
        Ok(SentReader {
            young: YoungEntries::read(db, partners, members, young)?,
            depth,
            now_ms,
        })
    }

    /// What was sent under one. It looks at up to `most` entries, and takes their number from `left`.
    pub(super) fn read(
        &self,
        db: &mut Db,
        of: &SentOf<'_>,
        most: usize,
        left: &mut usize,
    ) -> Result<SentUnder, Failure> {
        let how = (self.depth, self.now_ms);
        let mut sent = SentUnder::default();
        let mut stretch = SentStretch {
            member: of.member,
            partner: of.partner,
            from: of.from,
            before: of.before.to_owned(),
        };
        let young = self.young.of(&stretch);
        sent.add(db, &young, of, how)?;
        let mut looked_at = young.len();
        while !self.is_enough(&sent, &stretch) {
            if looked_at >= most {
                sent.is_cut = true;
                break;
            }
            let piece = self.young.piece(db, &stretch, PIECE.min(most - looked_at))?;
            sent.add(db, &piece.rows, of, how)?;
            looked_at += piece.looked_at;
            let Some(more_before) = piece.more_before else {
                sent.is_cut = self.young.is_cut && (sent.whole == 0 || self.depth == SentDepth::Each);
                break;
            };
            stretch.before = more_before;
        }
        *left = left.saturating_sub(looked_at.max(1));
        sent.each.reverse();
        Ok(sent)
    }

    /// Whether nothing that is older can change what is asked.
    fn is_enough(&self, sent: &SentUnder, stretch: &SentStretch<'_>) -> bool {
        let is_past = || !stretch.before.is_empty() && stretch.before < before_all_of(self.now_ms - RUNNING_MS);
        sent.whole > 0
            && match self.depth {
                SentDepth::Delivery => true,
                SentDepth::States => is_past(),
                SentDepth::Each => false,
            }
    }
}
