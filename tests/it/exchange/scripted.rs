//! A partner without a network: it answers what a script says, and counts what it was asked under which key.

use causeway::exchange::steps::{
    ExchangeFacts, MatchedAs, MissingPart, PartnerSession, PartnerSessions, Quarantined, StepEnd, StepGain, StepName,
    StepReport, Stepping, TransportFailure,
};
use causeway::jobs::HeldJob;
use causeway::store::Db;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What the partner does with a call.
#[derive(Clone, Debug)]
pub enum Says {
    /// What is asked, well.
    Well,
    /// This.
    End(StepEnd),
    /// Nothing: the process dies now.
    Dies,
    /// Some of it, and no end.
    Drips,
}

/// A call that the partner saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub exchange: String,
    pub step: StepName,
    pub key: String,
    pub round: u32,
    pub missing: usize,
}

type Script = dyn Fn(&ExchangeFacts, StepName, usize) -> Says + Send + Sync;

/// The partner of all exchanges of a test.
#[derive(Clone)]
pub struct Scripted(Arc<Inner>, bool);

struct Inner {
    script: Box<Script>,
    seen: Mutex<Vec<Seen>>,
}

impl Scripted {
    /// A partner that answers what `script` says to the n-th call (from 0) of this step of this exchange.
    pub fn that(script: impl Fn(&ExchangeFacts, StepName, usize) -> Says + Send + Sync + 'static) -> Scripted {
        Scripted(
            Arc::new(Inner {
                script: Box::new(script),
                seen: Mutex::default(),
            }),
            false,
        )
    }

    /// A partner that does all well.
    pub fn well() -> Scripted {
        Scripted::that(|_, _, _| Says::Well)
    }

    pub fn sessions(&self) -> Arc<dyn PartnerSessions> {
        Arc::new(self.clone())
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.0.seen.lock().expect("whole").clone()
    }

    /// How often this step was asked.
    pub fn count(&self, step: StepName) -> usize {
        self.seen().iter().filter(|seen| seen.step == step).count()
    }

    fn says(&self, step: StepName, facts: &ExchangeFacts) -> Says {
        let mut seen = self.0.seen.lock().expect("whole");
        let before = seen
            .iter()
            .filter(|seen| seen.exchange == facts.exchange_id && seen.step == step)
            .count();
        seen.push(Seen {
            exchange: facts.exchange_id.clone(),
            step,
            key: facts.idempotency_key.clone(),
            round: facts.round,
            missing: facts.missing.len(),
        });
        (self.0.script)(facts, step, before)
    }
}

impl PartnerSessions for Scripted {
    fn open(&self, _: &ExchangeFacts) -> Box<dyn PartnerSession> {
        Box::new(self.clone())
    }

    fn retract<'s>(&'s self, exchange_id: &'s str, _: &'s HeldJob) -> Stepping<'s> {
        Box::pin(async move {
            let resources = u64::from(!exchange_id.is_empty());
            StepReport::of(StepEnd::Done(StepGain::TakenOut { resources }))
        })
    }

    fn drop_unstored<'s>(&'s self, exchange_id: &'s str, _: &'s HeldJob) -> Stepping<'s> {
        Box::pin(async move {
            assert!(!exchange_id.is_empty());
            StepReport::of(StepEnd::Done(StepGain::Ready))
        })
    }
}

impl PartnerSession for Scripted {
    fn run<'s>(&'s mut self, step: StepName, facts: &'s ExchangeFacts, _: &'s HeldJob) -> Stepping<'s> {
        Box::pin(async move {
            self.1 = false;
            let end = match self.says(step, facts) {
                Says::Well => StepEnd::Done(gain(step)),
                Says::End(end) => end,
                Says::Dies => std::future::pending().await,
                Says::Drips => {
                    self.1 = true;
                    std::future::pending().await
                }
            };
            let mut report = StepReport::of(end);
            report.call.partner_request_id = Some(format!("theirs-{}", facts.idempotency_key));
            report.call.http_status = Some(match &report.end {
                StepEnd::Done(_) | StepEnd::Partial { .. } => 200,
                StepEnd::Transport { .. } => 503,
                _ => 422,
            });
            if step == StepName::Store && matches!(report.end, StepEnd::Done(_)) {
                let id = facts.exchange_id.clone();
                report.with = Some(Arc::new(move |db: &mut Db| note(db, &id)));
            }
            report
        })
    }

    fn has_progress(&self) -> bool {
        self.1
    }

    fn take_back<'s>(&'s mut self, facts: &'s ExchangeFacts, _: &'s HeldJob) -> Stepping<'s> {
        Box::pin(async move {
            assert!(!facts.exchange_id.is_empty());
            StepReport::of(StepEnd::Done(StepGain::Ready))
        })
    }
}

/// A row that a step commits with its result.
fn note(db: &mut Db, exchange: &str) -> Result<(), causeway::error::Failure> {
    use diesel::prelude::*;
    diesel::sql_query(format!(
        "INSERT INTO stored_by_test (exchange_id) VALUES ('{exchange}')"
    ))
    .execute(db)?;
    Ok(())
}

/// What a step gains when all goes well.
pub fn gain(step: StepName) -> StepGain {
    match step {
        StepName::MemberMatch => StepGain::Matched(MatchedAs {
            patient_id: Some("theirs-1".into()),
            identifier_system: Some("http://other.example/umb".into()),
            identifier: Some("U-1".into()),
        }),
        StepName::Retrieve => StepGain::Retrieved {
            counts: BTreeMap::from([("Patient".to_owned(), 1), ("Observation".to_owned(), 4)]),
            bytes: 4_000,
            method: "everything",
            as_of_ms: Some(1_767_225_600_000),
        },
        StepName::Check => StepGain::Checked {
            good: 5,
            quarantined: Vec::new(),
        },
        StepName::Store => StepGain::Stored {
            stored: 5,
            unchanged: 0,
            quarantined: Vec::new(),
        },
        _ => StepGain::Ready,
    }
}

/// Stored, but with this many in quarantine.
pub fn with_quarantine(step: StepName, count: u64) -> Says {
    let quarantined = vec![Quarantined {
        reason: "not-r4".into(),
        count,
    }];
    Says::End(StepEnd::Done(match step {
        StepName::Check => StepGain::Checked { good: 4, quarantined },
        _ => StepGain::Stored {
            stored: 4,
            unchanged: 0,
            quarantined,
        },
    }))
}

/// A part of the record, with two Observations missing from page 2 on.
pub fn partly() -> Says {
    Says::End(StepEnd::Partial {
        gain: gain(StepName::Retrieve),
        missing: vec![MissingPart {
            resource_type: "Observation".into(),
            count: Some(2),
            page: Some(2),
            resume: None,
            reason: None,
        }],
    })
}

/// A failure of the transport.
pub fn failing(failure: TransportFailure, retry_after_ms: Option<u64>) -> Says {
    Says::End(StepEnd::Transport {
        failure,
        retry_after_ms,
        resume: None,
    })
}
