//! Long reads of one partner beside the requests of others.

use crate::support::grants;
use crate::support::payer::{TestPayer, today};
use crate::support::use_case::{asked_everything, context};
use causeway::clock::Clock;
use causeway::context::Context;
use causeway::release::EverythingQuery;
use causeway::store::record_rows::Window;
use causeway::synth::{self, SharingPolicy};
use std::future::poll_fn;
use std::pin::pin;

/// How often a read is tried that has to let go of its thread: on a busy machine what was begun elsewhere may be over before it is looked at.
const TRIES: usize = 20;

/// The answer, and how often it let go of its thread.
async fn read_all(ctx: &Context, patient: &str, query: EverythingQuery) -> (String, usize) {
    let mut record = asked_everything(ctx, patient, query).await;
    let (mut answer, mut waits) = (Vec::new(), 0);
    loop {
        let mut next = pin!(record.next(async |_| Ok(())));
        let piece = poll_fn(|context| {
            let polled = next.as_mut().poll(context);
            waits += usize::from(polled.is_pending());
            polled
        });
        match piece.await.expect("a piece") {
            Some(piece) => answer.extend_from_slice(&piece),
            None => break,
        }
    }
    (String::from_utf8(answer).expect("text"), waits)
}

/// The ids of the resources of an answer, in their order, without the record of who transmits.
fn ids_in(answer: &str) -> Vec<String> {
    let bundle: serde_json::Value = serde_json::from_str(answer).expect("a Bundle");
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    let own = entries.iter().filter(|entry| entry["search"]["mode"] == "match");
    own.map(|entry| entry["fullUrl"].as_str().expect("a URL").to_owned())
        .collect()
}

/// A payer, its only member, whose record has about so many resources that a partner may read, and what reads it.
async fn with_a_large_record(resources: u64) -> (TestPayer, String, Context) {
    let (payer, _) = TestPayer::prepare_with(synth::SynthOptions {
        members: 1,
        one_large: Some(resources),
        twins: false,
        as_of: today(),
        ..synth::SynthOptions::default()
    });
    let patient = payer.member(0).patient_id;
    grants::grant(&payer, "new-payer", &patient, SharingPolicy::Sensitive);
    let ctx = context(&payer, Clock::System).await;
    (payer, patient, ctx)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_b07_a_window_that_leaves_out_a_large_record_is_walked_in_pieces_and_loses_nothing() {
    let (_payer, patient, ctx) = with_a_large_record(2_600).await;
    let of = |window: Window| EverythingQuery {
        window,
        ..EverythingQuery::default()
    };
    let nothing = || Window {
        since_ms: Some(i64::MAX - 1),
        ..Window::default()
    };
    // 2,600 rows are walked 1,024 at a time, and each walk leaves the thread.
    let mut let_go: Vec<usize> = Vec::new();
    while let_go.last().is_none_or(|waits| *waits < 3) {
        assert!(let_go.len() < TRIES, "it let go of its thread so often: {let_go:?}");
        let (answer, waits) = read_all(&ctx, &patient, of(nothing())).await;
        assert!(ids_in(&answer).is_empty());
        let_go.push(waits);
    }
    let (whole, _) = read_all(&ctx, &patient, EverythingQuery::default()).await;
    let whole = ids_in(&whole);
    assert!(whole.len() > 2_000, "{} resources", whole.len());
    let all = Window {
        since_ms: Some(i64::MIN),
        ..Window::default()
    };
    assert_eq!(ids_in(&read_all(&ctx, &patient, of(all)).await.0), whole);
    for rtype in ["Patient", "Coverage", "Observation", "ExplanationOfBenefit"] {
        let one = Window {
            types: vec![rtype.to_owned()],
            ..Window::default()
        };
        let place = format!("/{rtype}/");
        let wanted: Vec<_> = whole.iter().filter(|url| url.contains(&place)).cloned().collect();
        assert_eq!(ids_in(&read_all(&ctx, &patient, of(one)).await.0), wanted, "{rtype}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_b07_a_page_that_reads_a_whole_record_again_lets_others_go_between() {
    let (_payer, patient, ctx) = with_a_large_record(600).await;
    // 600 rows are read 64 at a time.
    let mut let_go: Vec<usize> = Vec::new();
    while let_go.last().is_none_or(|waits| *waits < 3) {
        assert!(let_go.len() < TRIES, "it let go of its thread so often: {let_go:?}");
        let query = EverythingQuery {
            count: Some(1),
            after_key: Some(-1),
            ..EverythingQuery::default()
        };
        let mut page = asked_everything(&ctx, &patient, query).await;
        let mut waits = 0;
        let mut next = pin!(page.next(async |_| Ok(())));
        let piece = poll_fn(|context| {
            let polled = next.as_mut().poll(context);
            waits += usize::from(polled.is_pending());
            polled
        });
        piece.await.expect("a piece").expect("not the end");
        let_go.push(waits);
    }
}
