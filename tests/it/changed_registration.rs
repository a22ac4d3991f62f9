//! A partner's registration that changes while the next rows of a record are asked for: the record arrives whole.

use crate::support::grants;
use crate::support::payer::{TestPayer, today};
use crate::support::use_case::{context, everything};
use causeway::clock::Clock;
use causeway::synth::{self, SharingPolicy};
use diesel::prelude::*;
use futures_util::FutureExt as _;
use serde_json::Value;
use std::time::Duration;

/// More than twice the half second after which an answer is judged again that nobody reads.
const JUDGED: Duration = Duration::from_millis(1_500);

/// Rows that were asked for under the former registration do not come, and meanwhile the new one has been found good: that there are
/// none is then not the record's end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_d16_a_registration_that_changes_while_rows_are_asked_for_cuts_no_record() {
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
    let entries = |bytes: &[u8]| {
        let bundle: Value = serde_json::from_slice(bytes).expect("a Bundle");
        bundle["entry"].as_array().map_or(0, Vec::len)
    };
    let mut whole = Vec::new();
    let mut running = everything(&ctx, &patient).await;
    while let Some(piece) = running.next(async |_| Ok(())).await.expect("a piece") {
        whole.extend_from_slice(&piece);
    }

    let mut running = everything(&ctx, &patient).await;
    let mut cut = running
        .next(async |_| Ok(()))
        .await
        .expect("a piece")
        .expect("not the end")
        .to_vec();
    // From its first piece on the answer is judged every half second.
    let changed =
        diesel::sql_query("UPDATE partner SET version = version + 1, name = 'Another name'").execute(&mut payer.db());
    assert_eq!(changed.expect("a change"), 1);
    let piece = {
        let mut next = Box::pin(running.next(async |_| Ok(())));
        match next.as_mut().now_or_never() {
            // SQLite answers on the spot, so that nothing can come between.
            Some(piece) => piece,
            None => {
                tokio::time::sleep(JUDGED).await;
                next.await
            }
        }
    };
    cut.extend_from_slice(&piece.expect("a piece").expect("not the end"));
    while let Some(piece) = running.next(async |_| Ok(())).await.expect("a piece") {
        cut.extend_from_slice(&piece);
    }
    assert!(entries(&whole) > 600, "{}", entries(&whole));
    assert_eq!(entries(&cut), entries(&whole));
}
