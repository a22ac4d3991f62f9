//! Every refusal is recorded, even under flood: singly up to a hundred a minute for one client and reason, then as a count.

use crate::audit::{Action, Actor, Entry, Object, ledger};
use crate::context::Context;
use crate::error::Failure;
use crate::telemetry::Correlation;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Refusals recorded one by one, for each client, reason and minute.
const SINGLY: u64 = 100;
/// Clients and reasons counted at once; beyond it, all further clients of this minute count as one.
const PLACES: usize = 4096;

type Place = (Action, String, &'static str);

struct Count {
    action: Action,
    seen: u64,
}

#[derive(Default)]
struct Minute {
    number: i64,
    counts: HashMap<(&'static str, String, &'static str), Count>,
}

/// The counters of this process. Clones share them.
#[derive(Clone, Default)]
pub struct Refusals(Arc<Mutex<Minute>>);

enum Verdict {
    Single,
    Counted,
}

impl Refusals {
    /// Records that `failure` refused `actor`, durably, in a transaction of its own.
    ///
    /// # Errors
    /// Those of the store. The request is refused in any case; the caller logs this and goes on.
    pub async fn record(
        &self,
        ctx: &Context,
        action: Action,
        actor: Actor,
        failure: &Failure,
        correlation: &Correlation,
    ) -> Result<(), Failure> {
        let row = failure.fault().row();
        let who = actor
            .client_id
            .clone()
            .or_else(|| actor.id.clone())
            .unwrap_or_else(|| "unknown".to_owned());
        let now_ms = ctx.clock.now_ms();
        let (verdict, ended) = self.count((action, who, row.code), now_ms / 60_000);
        self.close(ctx, ended).await?;
        if matches!(verdict, Verdict::Counted) {
            return Ok(());
        }
        let mut entry = Entry::new(action, actor, correlation.clone());
        entry.outcome = crate::audit::Outcome {
            class: "refused",
            http: Some(row.http),
            reason: Some(row.code),
        };
        append(ctx, entry).await
    }

    /// Writes the counts of minutes that ended; for a timer and for a graceful stop.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn flush(&self, ctx: &Context) -> Result<(), Failure> {
        let ended = {
            let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            minute.number = 0;
            std::mem::take(&mut minute.counts)
        };
        self.close(ctx, ended).await
    }

    fn count(&self, place: Place, number: i64) -> (Verdict, HashMap<(&'static str, String, &'static str), Count>) {
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = if minute.number == number {
            HashMap::new()
        } else {
            minute.number = number;
            std::mem::take(&mut minute.counts)
        };
        let (action, mut who, reason) = place;
        let key = (action.code(), who.clone(), reason);
        if minute.counts.len() >= PLACES && !minute.counts.contains_key(&key) {
            who = "others".to_owned();
        }
        let count = minute
            .counts
            .entry((action.code(), who, reason))
            .or_insert(Count { action, seen: 0 });
        count.seen += 1;
        let verdict = if count.seen <= SINGLY {
            Verdict::Single
        } else {
            Verdict::Counted
        };
        (verdict, ended)
    }

    async fn close(
        &self,
        ctx: &Context,
        ended: HashMap<(&'static str, String, &'static str), Count>,
    ) -> Result<(), Failure> {
        for ((_, who, reason), count) in ended {
            let Some(beyond) = count.seen.checked_sub(SINGLY).filter(|beyond| *beyond > 0) else {
                continue;
            };
            let actor = Actor {
                kind: "unknown",
                client_id: Some(who).filter(|who| who != "unknown"),
                ..Actor::default()
            };
            let correlation = Correlation::internal(ctx.ids.new_id(ctx.clock.now_ms()));
            let mut entry = Entry::new(count.action, actor, correlation);
            entry.outcome = crate::audit::Outcome {
                class: "refused",
                http: None,
                reason: Some(reason),
            };
            entry.object = Some(Object {
                kind: "refusals",
                id: beyond.to_string(),
            });
            append(ctx, entry).await?;
        }
        Ok(())
    }
}

async fn append(ctx: &Context, entry: Entry) -> Result<(), Failure> {
    let at_us = ctx.clock.now_us();
    let id = ctx.ids.new_id(at_us / 1000);
    ctx.store.write(move |db| ledger::append(db, &entry, &id, at_us)).await
}
