//! The first step of a job: a worker claims it. Which jobs it claims when several are due: the order of the queue, the share of a partner, and
//! the parking of jobs whose workers keep crashing.

use super::held::HeldJob;
use super::retry::{CLAIMS, FailureClass};
use super::runner::Runner;
use crate::error::Failure;
use crate::failpoint;
use crate::store::Db;
use crate::store::jobs::{self as rows, DueJob, Partners, WantedJobs};
use crate::telemetry::metrics as families;
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

/// The result of a claim.
#[derive(Default)]
pub struct Claimed {
    /// The newly claimed jobs.
    pub held: Vec<HeldJob>,
    /// Milliseconds until the next job of any kind is due: `None` when there is no job, negative when one is overdue.
    pub next_in_ms: Option<i64>,
}

impl Runner {
    /// Claims jobs that are due, at most `free` of them; `running` are the jobs that this process is running.
    ///
    /// While others wait, one partner gets no more than its share.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn claim(&self, free: usize, running: &[HeldJob]) -> Result<Claimed, Failure> {
        let given = self.given_ms();
        let (next_ms, now_ms) = self
            .ctx
            .store
            .read(move |db| Ok((rows::next_ms(db)?, rows::time(db, given)?)))
            .await?;
        let next_in_ms = next_ms.map(|next_ms| next_ms - now_ms);
        if free == 0 || next_in_ms.is_none_or(|wait_ms| wait_ms > 0) {
            return Ok(Claimed {
                held: Vec::new(),
                next_in_ms,
            });
        }
        let round = Round {
            kinds: self.steps.keys().copied().collect(),
            brief: self
                .kinds
                .iter()
                .filter(|kind| kind.is_brief())
                .map(|kind| kind.name)
                .collect(),
            not: running.iter().map(|held| held.job().id.clone()).collect(),
            had: had(running),
            share: self.settings.share(),
            free,
            lease_ms: self.steps.keys().map(|kind| (*kind, self.lease_ms(kind))).collect(),
            token: self.chance.token().to_vec(),
        };
        let token = round.token.clone();
        // Taken before the transaction begins, so that the lease ends no earlier than this.
        let began = Instant::now();
        let (claimed, looped) = self
            .ctx
            .store
            .write(move |db| {
                let now_ms = rows::time(db, given)?;
                round.claim(db, now_ms)
            })
            .await?;
        for due in &claimed {
            failpoint::pass(&due.kind, "claimed");
        }
        for due in looped {
            let (job, kind) = (due.id, due.kind);
            metrics::counter!(families::JOBS, "outcome" => "parked").increment(1);
            tracing::error!(
                job,
                kind,
                claims = due.claims,
                class = FailureClass::CrashLoop.row().code,
                "a job is parked: whoever had it ended without a result, again and again"
            );
        }
        let held = claimed
            .into_iter()
            .map(|due| {
                let good_until = began + self.lease_of(&due.kind).saturating_sub(self.settings.skew());
                HeldJob::new(self.ctx.clone(), due, token.clone(), good_until)
            })
            .collect();
        Ok(Claimed { held, next_in_ms })
    }

    fn lease_ms(&self, kind: &str) -> i64 {
        i64::try_from(self.lease_of(kind).as_millis()).unwrap_or(i64::MAX)
    }
}

/// How many jobs of each partner this process is running.
fn had(running: &[HeldJob]) -> HashMap<String, usize> {
    let mut had = HashMap::new();
    for partner in running.iter().filter_map(|held| held.job().partner.clone()) {
        *had.entry(partner).or_default() += 1;
    }
    had
}

/// The input of one claim, which runs in a transaction. The database may run the transaction again.
struct Round {
    /// The kinds of jobs that this process can run.
    kinds: Vec<&'static str>,
    /// Those of them that are never parked.
    brief: Vec<&'static str>,
    /// The ids of the jobs that it is running.
    not: Vec<String>,
    /// How many jobs of each partner it is running.
    had: HashMap<String, usize>,
    /// Most jobs of one partner while others wait.
    share: usize,
    /// How many jobs it may claim.
    free: usize,
    /// Length of a lease of each kind, milliseconds.
    lease_ms: BTreeMap<&'static str, i64>,
    /// The token of the new leases.
    token: Vec<u8>,
}

impl Round {
    /// Returns the claimed jobs, and the jobs that were parked because their leases kept ending without a result.
    ///
    /// # Errors
    /// Those of the database.
    fn claim(&self, db: &mut Db, now_ms: i64) -> Result<(Vec<DueJob>, Vec<DueJob>), Failure> {
        let (mut claimed, mut looped) = (Vec::new(), Vec::new());
        let mut had = self.had.clone();
        let mut full: Vec<String> = had
            .iter()
            .filter(|(_, count)| **count >= self.share)
            .map(|(partner, _)| partner.clone())
            .collect();
        full.sort();
        while claimed.len() < self.free {
            let asked = self.free - claimed.len();
            let due = self.due(db, Partners::Except(&full), asked, now_ms)?;
            let is_all = due.len() < asked;
            let mut taken = Vec::new();
            for one in due {
                if let Some(partner) = &one.partner_id {
                    let count = had.entry(partner.clone()).or_default();
                    if *count >= self.share {
                        continue;
                    }
                    *count += 1;
                    if *count == self.share {
                        full.push(partner.clone());
                    }
                }
                taken.push(one);
            }
            self.lease(db, taken, &mut claimed, &mut looped, now_ms)?;
            if is_all {
                break;
            }
        }
        // When the jobs of only one partner are waiting, that partner gets the remaining places except one share, so that the next
        // partner's jobs can begin at once.
        let left = self.free.saturating_sub(claimed.len() + self.share);
        if left > 0
            && let Some(alone) = self.alone(db, &full, now_ms)?
        {
            let due = self.due(db, Partners::Only(&[alone]), left, now_ms)?;
            self.lease(db, due, &mut claimed, &mut looped, now_ms)?;
        }
        Ok((claimed, looped))
    }

    /// The partner in `full` that has jobs waiting, if no other partner in `full` has any.
    fn alone(&self, db: &mut Db, full: &[String], now_ms: i64) -> Result<Option<String>, Failure> {
        if full.is_empty() {
            return Ok(None);
        }
        let first = self.due(db, Partners::Only(full), 1, now_ms)?.pop();
        let Some(partner) = first.and_then(|due| due.partner_id) else {
            return Ok(None);
        };
        let others: Vec<String> = full.iter().filter(|one| **one != partner).cloned().collect();
        let is_alone = others.is_empty() || self.due(db, Partners::Only(&others), 1, now_ms)?.is_empty();
        Ok(is_alone.then_some(partner))
    }

    fn due(&self, db: &mut Db, partners: Partners<'_>, limit: usize, now_ms: i64) -> Result<Vec<DueJob>, Failure> {
        let wanted = WantedJobs {
            kinds: &self.kinds,
            partners,
            not: &self.not,
            limit,
        };
        rows::claimable(db, &wanted, now_ms)
    }

    /// Leases the taken jobs, so that the next query does not return them, and parks those whose leases ended without a result too often.
    fn lease(
        &self,
        db: &mut Db,
        taken: Vec<DueJob>,
        claimed: &mut Vec<DueJob>,
        looped: &mut Vec<DueJob>,
        now_ms: i64,
    ) -> Result<(), Failure> {
        let falls = |due: &DueJob| due.claims >= CLAIMS && !self.brief.contains(&due.kind.as_str());
        let (fell, good): (Vec<DueJob>, Vec<DueJob>) = taken.into_iter().partition(falls);
        if !fell.is_empty() {
            let ids: Vec<&str> = fell.iter().map(|due| due.id.as_str()).collect();
            rows::park(db, &ids, FailureClass::CrashLoop.row().code, now_ms)?;
        }
        let mut by_length: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
        for due in &good {
            // Only kinds that this process can run were asked for.
            let lease_ms = self.lease_ms.get(due.kind.as_str()).copied().unwrap_or_default();
            by_length.entry(lease_ms).or_default().push(&due.id);
        }
        for (lease_ms, ids) in by_length {
            rows::lease(db, &ids, &self.token, now_ms + lease_ms, now_ms)?;
        }
        looped.extend(fell);
        claimed.extend(good);
        Ok(())
    }
}
