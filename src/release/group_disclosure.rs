//! The disclosure of Groups that their partner reads. Its ledger entries *begun* are committed before the first byte is sent, and its end has the
//! bytes that were sent.
//!
//! A page of a group with many members has one entry for all of them, like a file ([`super::file_disclosure`]): it commits to who they are, and
//! the disclosure is found by each of them. A page with few has an entry for each member. A group that names no member here has an entry that
//! names its job. Who is in a group is decided by whoever read it; the answer ends when the access to one of its members is taken away.

use super::file_disclosure::{FEW, FileShare, about, noted};
use super::lost_ends::{FILE, JOB};
use super::outgoing::{Disclosure, GrowingStream, Open, Outgoing};
use super::{AnswerTerms, MembersBehind, SentPart, Tally, begin, entry};
use crate::audit::RestCall;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::secret::{Sha256, hex, random};
use crate::security::Caller;
use crate::store::disclosed;
use crate::store::disclosure::LiveGrant;
use std::sync::LazyLock;

/// The type of what is sent.
const GROUP: &str = "Group";
/// Bytes of a member's share of a page: all that is sent of it, because the whole of it is about all of its members. No page has as many.
const UNTIL_END: u64 = 1 << 40;

/// A group that is to be sent.
#[derive(Clone, Debug, Default)]
pub struct ToldGroup {
    /// Its id.
    pub id: String,
    /// The job that made it.
    pub job: String,
    /// The grants on the members whom it names, a page of its entries after another; none for a group of those who were not matched.
    pub pages: Vec<Vec<LiveGrant>>,
}

/// A page of a group: the place of the group in the answer, and of the page in the group.
pub type GroupPage = (usize, usize);

/// Disclosures of the groups of one answer, of which nothing was sent yet.
pub struct GroupsDisclosure {
    disclosure: Disclosure,
    /// What each of them is of.
    of: Vec<GroupPage>,
}

/// Commits the *begun* entries of these groups, which are sent in this order.
///
/// # Errors
/// [`Fault::AuditUnavailable`](crate::error::Fault::AuditUnavailable) when they cannot be written: nothing may be sent then. Those of the
/// store.
pub async fn begin_groups(
    ctx: &Context,
    caller: &Caller,
    call: RestCall,
    groups: Vec<ToldGroup>,
) -> Result<GroupsDisclosure, Failure> {
    let now_ms = ctx.clock.now_ms();
    let (mut entries, mut of, mut grants) = (Vec::new(), Vec::new(), Vec::new());
    for (at, group) in groups.into_iter().enumerate() {
        if group.pages.iter().all(Vec::is_empty) {
            entries.push(about(call, caller, (JOB, &group.job)));
            of.push((at, 0));
            continue;
        }
        for (number, page) in group.pages.into_iter().enumerate() {
            grants.extend(page.iter().map(|grant| grant.id.clone()));
            if page.len() <= FEW {
                of.extend(page.iter().map(|_| (at, number)));
                entries.extend(page.iter().map(|grant| entry(call, caller, grant)));
                continue;
            }
            let name = whole_name(ctx, (&group.id, number), &page).await?;
            let shares: Vec<FileShare> = page.into_iter().map(share).collect();
            let mut one = about(call, caller, (FILE, &name));
            one.members = Some(noted(ctx, &name, &shares).await?);
            entries.push(one);
            of.push((at, number));
        }
    }
    let mut disclosure = Disclosure::new(ctx, caller, now_ms);
    if !entries.is_empty() {
        for begun in begin(ctx, entries).await? {
            let mut tally = Tally::default();
            tally.add_many(GROUP, 1);
            disclosure.add(None, begun, 0, tally);
        }
    }
    disclosure.tells_of(MembersBehind::under_grants(grants.into_iter()));
    Ok(GroupsDisclosure { disclosure, of })
}

/// The name under which the shares of a page are stored. It is another one once a share was erased with what opens the ledger: whoever is shown
/// after that is found for it.
async fn whole_name(ctx: &Context, place: (&str, usize), page: &[LiveGrant]) -> Result<String, Failure> {
    for turn in 0_u64.. {
        let name = name_of(place, turn, page);
        let own = name.clone();
        if ctx.store.read(move |db| disclosed::is_whole(db, &own)).await? {
            return Ok(name);
        }
    }
    Err(Fault::AuditUnavailable.into())
}

/// A part of each name that nobody knows once this process has ended. A name stays when a member of its page is erased, and must not tell who
/// that was to somebody who tries.
static UNTOLD: LazyLock<[u8; 32]> = LazyLock::new(random);

/// The name of a page with these members, in place of that of a file: in this process, the same members of the same page have the same one in
/// each turn.
fn name_of((group, number): (&str, usize), turn: u64, page: &[LiveGrant]) -> String {
    let mut digest = Sha256::default();
    digest.update(&*UNTOLD);
    digest.update(format!("group {group} {number} {turn}\n").as_bytes());
    for grant in page {
        let line = format!("{} {} {}\n", grant.patient_id, grant.consent_id, grant.sensitive);
        digest.update(line.as_bytes());
    }
    let mut name = hex(&digest.finish());
    name.truncate(32);
    name
}

fn share(grant: LiveGrant) -> FileShare {
    FileShare {
        grant,
        begins: 0,
        bytes: UNTIL_END,
        resources: 1,
        cut: None,
    }
}

/// How many of the `bytes` of a piece each disclosure has: those of its page. What is of no page with members, such as the end of a group,
/// counts for the first one of the group; what is of no group counts for none.
fn shares_of(of: &[GroupPage], piece: Option<GroupPage>, bytes: usize) -> Vec<u64> {
    let Some((group, _)) = piece else {
        return vec![0; of.len()];
    };
    let is_there = of.iter().any(|one| Some(*one) == piece);
    let first = of.iter().find(|(own, _)| *own == group).copied();
    let page = if is_there { piece } else { first };
    let own = |one: &GroupPage| if Some(*one) == page { bytes as u64 } else { 0 };
    of.iter().map(own).collect()
}

impl GroupsDisclosure {
    /// Ends them: only the head of the answer is sent.
    pub fn head_only(self) {
        self.disclosure.ends(SentPart::Head(200));
    }

    /// The whole answer, with the bytes of each piece of it. The others are as in [`Outgoing::new`].
    pub fn whole(
        mut self,
        (bytes, pieces): (Vec<u8>, &[(Option<GroupPage>, usize)]),
        terms: impl FnOnce() -> AnswerTerms,
        stays_open: bool,
    ) -> Outgoing {
        let mut sums = vec![0; self.of.len()];
        for (piece, bytes) in pieces {
            for (sum, more) in sums.iter_mut().zip(shares_of(&self.of, *piece, *bytes)) {
                *sum += more;
            }
        }
        self.disclosure.resize(&sums);
        Outgoing::new(Some(self.disclosure), bytes, terms, stays_open)
    }

    /// An answer that is sent while it is made. `stays_open`: the disclosures end with what [`WatchedGroups::end`] returns.
    pub fn streamed(self, terms: AnswerTerms, stays_open: bool) -> WatchedGroups {
        WatchedGroups {
            stream: GrowingStream::new(self.disclosure, terms, stays_open),
            of: self.of,
        }
    }
}

/// Groups while they are sent.
pub struct WatchedGroups {
    stream: GrowingStream,
    of: Vec<GroupPage>,
}

impl WatchedGroups {
    /// Checks whether more may be sent, unless that was done a moment ago.
    ///
    /// # Errors
    /// The reason why not; the disclosures are then ended. Those of the store.
    pub async fn judge(&self) -> Result<(), Failure> {
        self.stream.judge().await
    }

    /// Counts a piece that is sent now.
    ///
    /// # Errors
    /// The reason why it must not be sent.
    pub fn pass(&mut self, piece: Option<GroupPage>, bytes: usize) -> Result<(), Failure> {
        self.stream.pass(&shares_of(&self.of, piece, bytes))
    }

    /// Ends the disclosures as completely sent, or returns them when they stay open.
    ///
    /// # Errors
    /// The reason why they were ended before.
    pub fn end(self) -> Result<Option<Open>, Failure> {
        self.stream.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_piece_are_those_of_its_page_or_of_the_first_page_of_its_group() {
        // Two members of the first page of the first group, its second page as a whole, and a group without members.
        let of = [(0, 0), (0, 0), (0, 2), (1, 0)];
        for (piece, shares) in [
            (None, [0, 0, 0, 0]),
            (Some((0, 0)), [7, 7, 0, 0]),
            (Some((0, 2)), [0, 0, 7, 0]),
            (Some((0, 1)), [7, 7, 0, 0]),
            (Some((1, 0)), [0, 0, 0, 7]),
            (Some((1, 5)), [0, 0, 0, 7]),
            (Some((2, 0)), [0, 0, 0, 0]),
        ] {
            assert_eq!(shares_of(&of, piece, 7), shares, "{piece:?}");
        }
    }

    #[test]
    fn a_page_has_another_name_when_somebody_has_left_it() {
        let grant = |patient: &str| LiveGrant {
            patient_id: patient.to_owned(),
            ..LiveGrant::default()
        };
        let all = [grant("a"), grant("b")];
        let name = name_of(("g", 0), 0, &all);
        assert_eq!(name, name_of(("g", 0), 0, &all));
        assert_eq!(name.len(), 32);
        let mut guess = Sha256::default();
        guess.update(b"group g 0 0\na  0\nb  0\n");
        assert!(
            !hex(&guess.finish()).starts_with(&name),
            "nobody can try members against it"
        );
        for other in [
            name_of(("g", 0), 0, &[grant("a")]),
            name_of(("g", 1), 0, &all),
            name_of(("h", 0), 0, &all),
            name_of(("g", 0), 1, &all),
        ] {
            assert_ne!(name, other);
        }
    }
}
