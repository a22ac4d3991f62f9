//! When alerts begin and end: a look at what is raised becomes rows, entries of the ledger, and messages that wait for their receivers, in one
//! transaction.
//!
//! Every server looks, each minute, and all of them may find the same: an alert has one open episode, each receiver is told of each event
//! once, and an alert is over only when no server has seen it for a while. Sends nothing itself.

use super::kind::hand_in;
use super::message::body;
use super::receivers::ReceiverList;
use crate::audit::{Action, Actor, LedgerEvent, Object, ledger};
use crate::context::Context;
use crate::error::Failure;
use crate::ops::alerts::table::alert;
use crate::ops::alerts::{AlertItem, AlertState};
use crate::store::Db;
use crate::store::alert_episodes::{self as rows, BEGIN, CLEAR, DROPPED, DeliveryRow, EpisodeRow};
use crate::telemetry::Correlation;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long an alert was not seen when it is over, milliseconds: longer than two looks of a server, so that several servers, whose clocks differ
/// and of which one alone may see an alert, do not end what another still sees.
pub const CLEAR_MS: i64 = 150_000;
/// Episodes of whose beginning a receiver was not told, of which the newest wait for it.
pub const UNTOLD_MOST: i64 = 200;

/// One look at the alerts.
struct AlertLook {
    ctx: Context,
    items: Vec<AlertItem>,
    receivers: Arc<ReceiverList>,
    now_ms: i64,
    /// Since when this server looks, UTC milliseconds.
    since_ms: i64,
}

/// Keeps what a look found: `items` are all alerts as they stand now, and `since_ms` is when this server began to listen (UTC milliseconds).
/// Returns whether something waits to be sent. Waits on this thread.
///
/// # Errors
/// Those of the store; then nothing is kept, and the next look finds the same.
pub fn keep(ctx: &Context, items: &[AlertItem], receivers: &Arc<ReceiverList>, since_ms: i64) -> Result<bool, Failure> {
    if receivers.is_empty() {
        return Ok(false);
    }
    let is_raised = items.iter().any(|item| item.state == AlertState::Raised);
    let is_quiet = ctx
        .store
        .read_blocking(|db| Ok(rows::open(db)?.is_empty() && rows::receivers_waiting(db)?.is_empty()))?;
    if is_quiet && !is_raised {
        return Ok(false);
    }
    let look = AlertLook {
        ctx: ctx.clone(),
        items: items.to_vec(),
        receivers: Arc::clone(receivers),
        now_ms: ctx.clock.now_ms(),
        since_ms,
    };
    ctx.store.write_blocking(move |db| look.write(db))
}

impl AlertLook {
    fn write(&self, db: &mut Db) -> Result<bool, Failure> {
        let open = rows::open(db)?;
        for item in self.items.iter().filter(|item| item.state == AlertState::Raised) {
            if !open.iter().any(|episode| episode.code == item.alert) {
                self.begin(db, item)?;
            }
        }
        for episode in open {
            match self.state(&episode.code) {
                AlertState::Raised => rows::see(db, &episode.id, self.now_ms)?,
                AlertState::Quiet if self.is_over(&episode) => self.end(db, episode)?,
                AlertState::Quiet | AlertState::NotJudged => {}
            }
        }
        for episode in rows::open(db)? {
            self.tell_beginning(db, &episode)?;
        }
        let waiting = rows::receivers_waiting(db)?;
        for receiver in &waiting {
            let dropped = rows::shed(db, receiver, UNTOLD_MOST, self.now_ms)?;
            if dropped > 0 {
                tracing::warn!(
                    receiver,
                    dropped,
                    "too much waits for a receiver of alerts; the oldest is dropped"
                );
            }
            hand_in(db, &self.ctx, receiver)?;
        }
        Ok(!waiting.is_empty())
    }

    /// How the alert of an episode stands. One that the table has no more is quiet.
    fn state(&self, code: &str) -> AlertState {
        let item = self.items.iter().find(|item| item.alert == code);
        item.map_or(AlertState::Quiet, |item| item.state)
    }

    /// Whether nobody has seen the alert for long enough. A server that has just begun waits for what others see. A clock that was set far back
    /// does not make an alert last.
    fn is_over(&self, episode: &EpisodeRow) -> bool {
        let quiet_ms = self.now_ms - episode.seen_ms.max(self.since_ms);
        !(1 - CLEAR_MS..CLEAR_MS).contains(&quiet_ms)
    }

    fn begin(&self, db: &mut Db, item: &AlertItem) -> Result<(), Failure> {
        let episode = EpisodeRow {
            id: self.ctx.ids.new_id(self.now_ms),
            code: item.alert.to_owned(),
            open_code: Some(item.alert.to_owned()),
            found: item.count,
            partners: item.partners.join(" "),
            began_ms: self.now_ms,
            seen_ms: self.now_ms,
            ended_ms: None,
        };
        match rows::begin(db, &episode)? {
            true => self.note(db, Action::AlertRaised, &episode),
            // Another server was first.
            false => Ok(()),
        }
    }

    /// Ends an episode, and tells whom its beginning was told or will be told.
    fn end(&self, db: &mut Db, episode: EpisodeRow) -> Result<(), Failure> {
        if !rows::end(db, &episode.id, episode.seen_ms, self.now_ms)? {
            // Another server ended it, or has seen it again.
            return Ok(());
        }
        let ended = EpisodeRow {
            open_code: None,
            ended_ms: Some(self.now_ms),
            ..episode
        };
        self.note(db, Action::AlertCleared, &ended)?;
        for told in rows::about(db, &ended.id)? {
            if told.event == BEGIN && told.state != DROPPED {
                self.put(db, CLEAR, &told.receiver, &ended)?;
            }
        }
        Ok(())
    }

    /// Tells the beginning of an episode to those of this server's receivers who want it and were not told. One that the configuration names
    /// since then is among them.
    fn tell_beginning(&self, db: &mut Db, episode: &EpisodeRow) -> Result<(), Failure> {
        let Some(alert) = alert(&episode.code) else {
            return Ok(());
        };
        let told = rows::about(db, &episode.id)?;
        for receiver in self.receivers.iter().filter(|receiver| receiver.wants(alert)) {
            if !told.iter().any(|one| one.receiver == receiver.name) {
                self.put(db, BEGIN, &receiver.name, episode)?;
            }
        }
        Ok(())
    }

    /// Leaves a message for a receiver, unless another server did.
    fn put(&self, db: &mut Db, event: &str, receiver: &str, episode: &EpisodeRow) -> Result<(), Failure> {
        let id = self.ctx.ids.new_id(self.now_ms);
        let row = DeliveryRow {
            body: body(&id, event, episode, &self.ctx.payer.base_url)?,
            id,
            episode_id: episode.id.clone(),
            receiver: receiver.to_owned(),
            event: event.to_owned(),
            state: rows::WAITING.to_owned(),
            made_ms: self.now_ms,
            done_ms: None,
        };
        rows::put(db, &row)?;
        Ok(())
    }

    /// Appends the entry of a beginning or an end.
    fn note(&self, db: &mut Db, action: Action, episode: &EpisodeRow) -> Result<(), Failure> {
        let id = self.ctx.ids.new_id(self.now_ms);
        let actor = Actor {
            kind: "system",
            ..Actor::default()
        };
        let mut entry = LedgerEvent::new(action, actor, Correlation::internal(id.clone()));
        entry.object = Some(Object {
            kind: "alert",
            id: episode.code.clone(),
        });
        let found = u64::try_from(episode.found).unwrap_or_default();
        entry.counts = BTreeMap::from([("found".to_owned(), found)]);
        ledger::append(db, &entry, &id, self.now_ms * 1_000)
    }
}
