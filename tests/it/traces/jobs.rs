//! What a trace tells of a job that fails, hangs and is parked: in this process, in time that stands.

use crate::jobs::bed::{Act, Bed, Deed};
use causeway::jobs::{Doing, HeldJob, JobStep, Priority, WorkKind};
use causeway::telemetry::spans::{SpanKey, SpanLayer, SpanName, SpanNote, SpanQueue, SpanRecord, SpanShare, SpanValue};
use std::sync::Arc;
use std::time::Duration;
use tracing_subscriber::layer::SubscriberExt as _;

/// So many spans that `work` makes on this thread, in the order of their ends; fewer if no more come within a minute. A step that is given up
/// keeps the span of its job open until its task is dropped, which another thread may do.
fn traced(count: usize, work: impl FnOnce()) -> Vec<SpanRecord> {
    let queue = SpanQueue::default();
    let layer = SpanLayer::new(queue.clone(), SpanShare::percent(100));
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, work);
    let patience = queue.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(60));
        patience.close(Duration::ZERO);
    });
    let mut all = Vec::new();
    while all.len() < count {
        let Some(some) = queue.take() else { break };
        all.extend(some);
    }
    all
}

fn said(span: &SpanRecord, key: SpanKey) -> Option<&SpanValue> {
    let found = span.attributes.iter().find(|(known, _)| *known == key);
    found.map(|(_, value)| value)
}

fn happened(span: &SpanRecord) -> Vec<SpanNote> {
    span.notes.iter().map(|noted| noted.note).collect()
}

#[test]
fn a_job_that_fails_is_told_with_its_retries_and_that_it_was_parked() {
    let bed = Bed::new();
    bed.hand_in("x", Some("new-payer"));
    let runner = bed.runner(vec![Deed::that(&[Act::Fail; 5])]);
    let spans = traced(5, || {
        for _ in 0..5 {
            assert_eq!(bed.block(runner.run_due()).expect("runs"), 1);
            bed.ctx.clock.advance_ms(400_000);
        }
    });
    assert_eq!(spans.len(), 5, "{spans:#?}");
    for (number, span) in (1..).zip(&spans) {
        let (outcome, note) = match number {
            5 => ("parked", SpanNote::Parked),
            _ => ("retried", SpanNote::Retry),
        };
        assert_eq!((span.name, span.parent), (SpanName::Job, None));
        for (key, value) in [
            (SpanKey::JobKind, SpanValue::id("deed")),
            (SpanKey::Partner, SpanValue::id("new-payer")),
            (SpanKey::Attempt, SpanValue::Count(number)),
            (SpanKey::Outcome, SpanValue::Word(outcome)),
        ] {
            assert_eq!(said(span, key), Some(&value), "{span:#?}");
        }
        assert_eq!(happened(span), [note], "{span:#?}");
        let of_note = &span.notes[0].attributes;
        assert!(
            of_note.contains(&(SpanKey::Class, SpanValue::Word("failed"))),
            "{span:#?}"
        );
        assert!(span.is_failed);
    }
    let traces: std::collections::BTreeSet<[u8; 16]> = spans.iter().map(|span| span.context.trace).collect();
    assert_eq!(traces.len(), 5, "each attempt is a trace of its own");
}

/// Never ends, and has twenty milliseconds.
struct Hangs;
static HANGS: WorkKind = WorkKind {
    name: "hangs",
    priority: Priority::Ordinary,
    every: None,
    timeout: Duration::from_millis(20),
    renews: false,
    safe_because: "it does nothing",
};

impl JobStep for Hangs {
    fn kind(&self) -> &'static WorkKind {
        &HANGS
    }

    fn run(&self, _: HeldJob) -> Doing<'_> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn a_job_whose_time_is_over_is_told_so() {
    let bed = Bed::new();
    bed.hand_in("x", None);
    bed.sql("UPDATE job SET kind = 'hangs'");
    let runner = bed.runner(vec![Arc::new(Hangs)]);
    let spans = traced(1, || assert_eq!(bed.block(runner.run_due()).expect("runs"), 1));
    let [job] = &spans[..] else {
        panic!("{spans:#?}");
    };
    assert_eq!(happened(job), [SpanNote::Timeout, SpanNote::Retry]);
    assert_eq!(said(job, SpanKey::Outcome), Some(&SpanValue::Word("retried")));
    assert!(job.ended_us - job.started_us >= 20_000, "{job:#?}");
}
