//! Long reads of one partner beside the requests of others.

use crate::support::grants;
use crate::support::payer::{TestPayer, today};
use crate::support::use_case::{asked_everything, context};
use causeway::clock::Clock;
use causeway::release::EverythingQuery;
use causeway::synth::{self, SharingPolicy};
use std::future::poll_fn;
use std::pin::pin;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_b07_a_page_that_reads_a_whole_record_again_lets_others_go_between() {
    let (payer, _) = TestPayer::prepare_with(synth::SynthOptions {
        members: 1,
        one_large: Some(600),
        twins: false,
        as_of: today(),
        ..synth::SynthOptions::default()
    });
    let patient = payer.member(0).patient_id;
    grants::grant(&payer, "new-payer", &patient, SharingPolicy::Sensitive);
    let ctx = context(&payer, Clock::System).await;
    let query = EverythingQuery {
        count: Some(1),
        after_key: Some(-1),
        ..EverythingQuery::default()
    };
    let mut page = asked_everything(&ctx, &patient, query).await;
    let mut waits = 0;
    {
        let mut next = pin!(page.next(async |_| Ok(())));
        let piece = poll_fn(|context| {
            let polled = next.as_mut().poll(context);
            waits += usize::from(polled.is_pending());
            polled
        });
        piece.await.expect("a piece").expect("not the end");
    }
    // 600 rows are read 64 at a time.
    assert!(waits >= 3, "it let go of its thread {waits} times");
}
