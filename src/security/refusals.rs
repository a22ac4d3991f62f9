//! Records every refusal in the ledger, even in a flood: up to a hundred a minute singly for one client and reason, then as a count.
//!
//! Refusals of strangers are only counted, so that strangers cannot make the ledger grow.

use crate::audit::{Action, Actor, EntryOutcome, LedgerEvent, Object, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::telemetry::Correlation;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// Refusals that are recorded one by one for each client, reason and minute.
const SINGLY: u64 = 100;
/// Most clients and reasons that are counted separately; further clients of the same minute are counted as one.
const PLACES: usize = 4096;
const MINUTE_MS: i64 = 60_000;

/// The key of a count: action, kind of actor, client, reason. The kind keeps a caller that only claims to be a client from using up that
/// client's count.
type Place = (&'static str, &'static str, String, &'static str);

/// The refusals of one client for one reason in one minute.
struct Count {
    action: Action,
    actor: Actor,
    seen: u64,
    /// How many of them are in the ledger one by one.
    listed: u64,
}

#[derive(Default)]
struct Minute {
    number: i64,
    counts: HashMap<Place, Count>,
}

/// The counters of this process. Clones share them.
#[derive(Clone, Default)]
pub struct Refusals(Arc<Mutex<Minute>>);

/// The object id of the ledger entries that hold counts of one minute; `minute` is the number of minutes since 1970.
pub fn counted_in(minute: i64) -> String {
    format!("refusals/{minute}")
}

/// The minute of an instant (UTC milliseconds), counted from 1970.
pub fn minute_of(at_ms: i64) -> i64 {
    at_ms.div_euclid(MINUTE_MS)
}

impl Refusals {
    /// Records that `failure` refused `actor`, in a transaction of its own or by adding one to the count of the minute. Returns when this
    /// is committed. For an actor that only claims to be a client, it returns at once, so that true claims take no longer than false ones.
    ///
    /// # Errors
    /// Those of the store. The caller logs them and continues, because the request is refused in any case.
    pub async fn record(
        &self,
        ctx: &Context,
        action: Action,
        actor: Actor,
        failure: &Failure,
        correlation: &Correlation,
    ) -> Result<(), Failure> {
        let entry = LedgerEvent::new(action, actor, correlation.clone());
        self.record_event(ctx, entry, failure).await
    }

    /// [`Refusals::record`] for an entry that says more than who was refused; its outcome is set here.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn record_event(&self, ctx: &Context, mut entry: LedgerEvent, failure: &Failure) -> Result<(), Failure> {
        let fault = failure.fault();
        let minute = minute_of(ctx.clock.now_ms());
        let (is_single, ended) = self.count(entry.action, &entry.actor, fault, minute);
        close(ctx, ended).await?;
        if !is_single {
            return Ok(());
        }
        let row = fault.row();
        entry.outcome = EntryOutcome {
            class: if row.http < 500 { "refused" } else { "failed" },
            http: Some(row.http),
            reason: Some(row.code),
        };
        if entry.actor.kind != "unknown" {
            return append(ctx, vec![entry]).await;
        }
        let at_us = ctx.clock.now_us();
        let id = ctx.ids.new_id(at_us / 1000);
        ctx.store
            .reserved()
            .write_later(move |db| ledger::append(db, &entry, &id, at_us));
        Ok(())
    }

    /// Writes the counts of the last minute when it is over. Called by a timer.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn close_ended(&self, ctx: &Context) -> Result<(), Failure> {
        let now = minute_of(ctx.clock.now_ms());
        let ended = {
            let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if minute.number == now {
                return Ok(());
            }
            std::mem::take(&mut *minute)
        };
        close(ctx, ended).await
    }

    /// Writes all counts. Called at a graceful stop.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn flush(&self, ctx: &Context) -> Result<(), Failure> {
        let ended = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        close(ctx, ended).await
    }

    /// Counts one refusal. Returns whether to record it singly, and the counts of the previous minute when that is over.
    fn count(&self, action: Action, actor: &Actor, fault: Fault, number: i64) -> (bool, Minute) {
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = if minute.number == number {
            Minute::default()
        } else {
            let next = Minute {
                number,
                counts: HashMap::new(),
            };
            std::mem::replace(&mut *minute, next)
        };
        let mut client = actor.id.clone().or_else(|| actor.client_id.clone());
        let key = |client: &Option<String>| {
            let kind = if client.is_some() { actor.kind } else { "unknown" };
            (action.code(), kind, client.clone().unwrap_or_default(), fault.code())
        };
        if minute.counts.len() >= PLACES && !minute.counts.contains_key(&key(&client)) {
            client = None;
        }
        let is_client = client.is_some();
        let count = minute.counts.entry(key(&client)).or_insert_with(|| Count {
            action,
            actor: Actor {
                kind: if is_client { actor.kind } else { "unknown" },
                id: actor.id.clone().filter(|_| is_client),
                client_id: actor.client_id.clone().filter(|_| is_client),
                ..Actor::default()
            },
            seen: 0,
            listed: 0,
        });
        count.seen += 1;
        let is_single = is_client && count.listed < SINGLY;
        count.listed += u64::from(is_single);
        (is_single, ended)
    }
}

/// Writes the refusals of a minute that were not recorded singly: one entry for each client and reason.
async fn close(ctx: &Context, ended: Minute) -> Result<(), Failure> {
    let mut entries = Vec::new();
    for ((_, _, _, reason), count) in ended.counts {
        let beyond = count.seen - count.listed;
        if beyond == 0 {
            continue;
        }
        let correlation = Correlation::internal(ctx.ids.new_id(ctx.clock.now_ms()));
        let mut entry = LedgerEvent::new(count.action, count.actor, correlation);
        entry.outcome = EntryOutcome {
            class: "refused",
            http: None,
            reason: Some(reason),
        };
        entry.object = Some(Object {
            kind: "refusals",
            id: counted_in(ended.number),
        });
        entry.counts = BTreeMap::from([("refusals".to_owned(), beyond)]);
        entries.push(entry);
    }
    append(ctx, entries).await
}

async fn append(ctx: &Context, entries: Vec<LedgerEvent>) -> Result<(), Failure> {
    if entries.is_empty() {
        return Ok(());
    }
    let at_us = ctx.clock.now_us();
    let rows: Vec<(String, LedgerEvent)> = entries
        .into_iter()
        .map(|entry| (ctx.ids.new_id(at_us / 1000), entry))
        .collect();
    ctx.store
        .reserved()
        .write(move |db| {
            rows.iter()
                .try_for_each(|(id, entry)| ledger::append(db, entry, id, at_us))
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_only_claims_to_be_a_client_uses_up_nothing_of_what_is_listed_of_that_client() {
        let refusals = Refusals::default();
        let claims = Actor {
            kind: "unknown",
            client_id: Some("new-payer".to_owned()),
            ..Actor::default()
        };
        let client = Actor {
            kind: "partner",
            id: Some("new-payer".to_owned()),
            ..Actor::default()
        };
        let is_listed = |actor: &Actor| refusals.count(Action::TokenRefused, actor, Fault::OauthClient, 1).0;
        let listed = (0..2 * SINGLY).filter(|_| is_listed(&claims)).count();
        assert_eq!(listed, 100);
        assert!(is_listed(&client));
    }
}
