//! The partner and the network of a schedule: what becomes of each call, and what has to hold whenever the partner is called.

use crate::exchange::scripted::{Says, Scripted, failing, partly, with_quarantine};
use causeway::error::Fault;
use causeway::exchange::phase::Phase;
use causeway::exchange::steps::{ExchangeFacts, StepEnd, StepGain, StepName, TransportFailure};
use causeway::jobs::Chance;
use causeway::store::{Store, exchanges, opt_ins};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// What the world does to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Well,
    LostRequest,
    LostReply,
    Wait,
    ServerFault,
    Unauthorized,
    NoMatch,
    Partial,
    NotYet,
    Back,
    Quarantine,
    /// It stores more than the last retrieval brought: a part had begun anew.
    Anew,
    Person,
    Refused,
    /// The process dies before the partner is reached, or after.
    CrashBefore,
    CrashAfter,
}

/// The partner and the network of one schedule.
pub struct Sim {
    pub chance: Chance,
    pub trouble: f64,
    pub store: Store,
    pub broken: Mutex<Vec<String>>,
    /// Effects at the partner, by key.
    pub effects: Mutex<BTreeMap<String, u32>>,
    pub died: Notify,
    pub calls: Mutex<usize>,
}

impl Sim {
    fn fate(&self, step: StepName) -> Fate {
        if self.chance.unit() >= self.trouble {
            return Fate::Well;
        }
        let all = [
            Fate::LostRequest,
            Fate::LostReply,
            Fate::Wait,
            Fate::ServerFault,
            Fate::CrashBefore,
            Fate::CrashAfter,
            Fate::Unauthorized,
        ];
        let special = match step {
            StepName::MemberMatch => &[Fate::NoMatch, Fate::Person, Fate::Refused][..],
            StepName::Retrieve => &[Fate::Partial, Fate::NotYet, Fate::Partial],
            StepName::Check => &[Fate::Back, Fate::Quarantine, Fate::Person],
            StepName::Store => &[Fate::Back, Fate::Quarantine, Fate::Anew],
            StepName::Acknowledge => &[Fate::NotYet],
            _ => &[],
        };
        let at = (self.chance.unit() * (all.len() + special.len()) as f64) as usize;
        all.iter().chain(special).copied().nth(at).unwrap_or(Fate::Well)
    }

    pub fn break_rule(&self, what: String) {
        self.broken.lock().expect("whole").push(what);
    }

    /// What must hold whenever the partner is called.
    fn check_call(&self, facts: &ExchangeFacts, step: StepName) {
        *self.calls.lock().expect("whole") += 1;
        let (id, key) = (facts.exchange_id.clone(), facts.idempotency_key.clone());
        let read = self.store.read_blocking(|db| {
            let attempts = exchanges::attempts_of(db, &id, 10_000)?;
            let row = exchanges::find(db, &id)?.expect("there");
            let opt_in = opt_ins::find(db, &facts.opt_in.id)?.expect("there");
            Ok((attempts, row, opt_in))
        });
        let (attempts, row, opt_in) = read.expect("read");
        let mine = attempts.iter().filter(|one| one.idempotency_key == key);
        // I3: a step with a definitive result is not run again.
        if step.is_lasting() && mine.clone().any(|one| one.class.as_deref() == Some("ok")) {
            self.break_rule(format!("I3 {step:?} {key}"));
        }
        // The row of the attempt is there before anything is sent.
        if !mine.clone().any(|one| one.ended_ms.is_none()) {
            self.break_rule(format!("W3 {step:?} {key}"));
        }
        // I5: the ledger holds an entry before data moves.
        let sent = self.sending(&id);
        if step == StepName::MemberMatch && sent == 0 {
            self.break_rule(format!("I5 {step:?}"));
        }
        // I7: consent was judged, and permits.
        if step.moves_data() && (opt_in.revoked_ms.is_some() || (is_call(step) && row.consent_state != "permitted")) {
            self.break_rule(format!("I7 {step:?} {}", row.consent_state));
        }
        // I9: nothing is asked for an exchange that has ended.
        if Phase::parse(&row.phase).is_none_or(Phase::is_terminal) {
            self.break_rule(format!("I9 {step:?} {}", row.phase));
        }
    }

    fn sending(&self, id: &str) -> usize {
        use diesel::prelude::*;
        #[derive(QueryableByName)]
        struct N {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            n: i64,
        }
        let query = format!(
            "SELECT COUNT(*) AS n FROM ledger_entry WHERE exchange_id = '{id}' AND action = 'exchange.sending'"
        );
        let read = |db: &mut causeway::store::Db| Ok(diesel::sql_query(&query).get_result::<N>(db)?.n);
        self.store.read_blocking(read).expect("read") as usize
    }
}

/// Whether the step calls the partner.
fn is_call(step: StepName) -> bool {
    step != StepName::Store
}

/// The partner that a simulation plays.
pub fn partner(sim: &Arc<Sim>) -> Scripted {
    let sim = Arc::clone(sim);
    Scripted::that(move |facts, step, _| {
        sim.check_call(facts, step);
        let fate = sim.fate(step);
        let reaches = !matches!(fate, Fate::LostRequest | Fate::CrashBefore);
        if reaches {
            *sim.effects
                .lock()
                .expect("whole")
                .entry(facts.idempotency_key.clone())
                .or_default() += 1;
        }
        let end = |end| Says::End(end);
        match fate {
            Fate::Well => Says::Well,
            Fate::LostRequest => failing(TransportFailure::NotSent, None),
            Fate::LostReply => failing(TransportFailure::Unknown, None),
            Fate::Wait => failing(
                TransportFailure::ToldToWait,
                Some((sim.chance.unit() * 4_000_000.0) as u64),
            ),
            Fate::ServerFault => failing(TransportFailure::ServerFault, None),
            Fate::Unauthorized => failing(TransportFailure::Unauthorized, None),
            Fate::NoMatch => end(StepEnd::NoMatch {
                several: sim.chance.unit() < 0.3,
            }),
            Fate::Partial => partly(),
            Fate::NotYet => end(StepEnd::NotYet { retry_after_ms: None }),
            Fate::Back => end(StepEnd::Back {
                to: StepName::Retrieve,
                fault: Fault::SpoolLost,
            }),
            Fate::Quarantine => with_quarantine(step, 1),
            Fate::Anew => end(StepEnd::Done(StepGain::Stored {
                stored: 7,
                unchanged: 1,
                quarantined: Vec::new(),
            })),
            Fate::Person => end(StepEnd::NeedsPerson {
                fault: Fault::PartnerAnswer,
            }),
            Fate::Refused => end(StepEnd::Refused {
                fault: Fault::PartnerAnswer,
            }),
            Fate::CrashBefore | Fate::CrashAfter => {
                sim.died.notify_one();
                Says::Dies
            }
        }
    })
}
