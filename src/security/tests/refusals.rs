//! Which refusals the ledger keeps: those of clients singly up to a hundred a minute, then as a count; those of strangers only as a count.

use super::*;
use crate::store::schema::ledger_entry::dsl;
use diesel::prelude::*;

/// The number of refusal entries, and for those that are counts, the count and the object id.
fn kept(bed: &Bed) -> (usize, Vec<(u64, String)>) {
    bed.ctx.store.settle();
    let load = |db: &mut crate::store::Db| {
        Ok(dsl::ledger_entry
            .filter(dsl::action.eq("token.refused"))
            .order(dsl::id)
            .select((dsl::entry, dsl::subject))
            .load::<(Vec<u8>, Option<String>)>(db)?)
    };
    let rows = bed.ctx.store.read_blocking(load).expect("rows");
    let mut counts: Vec<(u64, String)> = rows
        .iter()
        .filter_map(|(entry, subject)| {
            let entry: Value = serde_json::from_slice(entry).expect("json");
            Some((entry["counts"]["refusals"].as_u64()?, subject.clone()?))
        })
        .collect();
    counts.sort();
    (rows.len() - counts.len(), counts)
}

#[tokio::test]
async fn refusals_of_a_minute_are_listed_up_to_a_hundred_and_counted_when_it_is_over() {
    let bed = Bed::new();
    let stranger = SigningKey::generate(Algorithm::Es384, "key-1").expect("key");
    let forged = |client: &str| {
        let assertion = stranger.assertion(client, TOKEN_URL, NOW_S, "j-1").expect("assertion");
        form(&assertion, "system/*.rs")
    };
    let (claimed, unknown) = (forged("new-payer"), forged("nobody"));
    for _ in 0..130 {
        assert_eq!(fault(bed.send(&claimed, None).await), Some(Fault::OauthClient));
    }
    for _ in 0..30 {
        assert_eq!(fault(bed.send(&unknown, None).await), Some(Fault::OauthClient));
    }
    assert_eq!(kept(&bed), (100, Vec::new()));
    bed.settings
        .refusals
        .close_ended(&bed.ctx)
        .await
        .expect("nothing ended");
    assert_eq!(kept(&bed), (100, Vec::new()));
    bed.ctx.clock.advance_ms(60_000);
    bed.settings.refusals.close_ended(&bed.ctx).await.expect("ended");
    let minute = crate::security::refusals::counted_in(NOW_MS / 60_000);
    let counted = vec![(30, minute.clone()), (30, minute.clone())];
    assert_eq!(
        kept(&bed),
        (100, counted.clone()),
        "thirty beyond the hundred, and thirty of strangers"
    );
    // The next minute starts from zero.
    bed.send(&claimed, None).await.expect_err("refused");
    assert_eq!(kept(&bed), (101, counted));
}

#[tokio::test]
async fn t_a19_what_is_written_of_a_refusal_does_not_keep_a_claim_waiting() {
    // A claim without a certificate waits for nothing, whether the client is known or not, because the time would reveal it.
    let bed = Bed::new();
    let stranger = SigningKey::generate(Algorithm::Es384, "key-1").expect("key");
    let assertion = stranger
        .assertion("new-payer", TOKEN_URL, NOW_S, "j-1")
        .expect("assertion");
    let body = form(&assertion, "system/*.rs");
    let (held, release) = std::sync::mpsc::channel::<()>();
    let (began, begin) = std::sync::mpsc::channel::<()>();
    let release = std::sync::Mutex::new(release);
    // The writing thread is busy until the test releases it.
    bed.ctx.store.write_later(move |_| {
        let _ = began.send(());
        let _ = release.lock().expect("a lock").recv_timeout(Duration::from_secs(120));
        Ok(())
    });
    begin.recv_timeout(Duration::from_secs(60)).expect("it began");
    assert_eq!(fault(bed.send(&body, None).await), Some(Fault::OauthClient));
    held.send(()).expect("it waits");
    assert_eq!(kept(&bed).0, 1);
}
