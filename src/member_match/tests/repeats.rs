//! One request sent again under its idempotency key.

use super::*;

#[actix_web::test]
async fn a_key_replays_success_and_final_refusal_with_the_same_bytes() {
    let world = World::new(&[ANA]).await;
    let first = world.ask(&asking(&ANA), Some("\"k-1\"")).await.expect("matched");
    let again = world.ask(&asking(&ANA), Some("k-1")).await.expect("replayed");
    assert_eq!((again.status, again.replayed, &again.body), (200, true, &first.body));
    let refused = world.ask(&asking(&BEN), Some("k-2")).await.expect_err("no such member");
    let again = world.ask(&asking(&BEN), Some("k-2")).await.expect("replayed");
    assert_eq!((again.status, again.replayed), (422, true));
    assert_eq!(again.body, outcome::bytes(&refused, "https://localhost:8443/fhir"));
    let broken = but(&ANA, "/0/resource/gender", json!("f"));
    world.ask(&broken, Some("k-3")).await.expect_err("broken");
    assert!(world.ask(&broken, Some("k-3")).await.expect("replayed").replayed);
    assert_eq!(world.counts().await[..4], [2, 1, 1, 3], "nothing was done twice");
    assert_eq!(
        fault(world.ask(&asking(&BEN), Some("k-1")).await),
        Fault::IdempotencyKeyReused
    );
    assert_eq!(
        fault(world.ask(&asking(&ANA), Some("k 1")).await),
        Fault::IdempotencyKeyBad
    );
}

#[actix_web::test]
async fn what_cannot_be_read_is_not_remembered() {
    let world = World::new(&[ANA]).await;
    for _ in 0..2 {
        let failure = world
            .ask_as(&world.caller, b"{".to_vec(), Some("k"))
            .await
            .expect_err("not json");
        assert_eq!(failure.fault(), Fault::NotJson);
    }
    world.ask(&asking(&ANA), Some("k")).await.expect("the key is free");
}

#[actix_web::test]
async fn a_stored_success_is_not_replayed_after_its_grant_ended() {
    let world = World::new(&[ANA]).await;
    world.ask(&asking(&ANA), Some("k")).await.expect("matched");
    world
        .sql(|db| {
            Ok(diesel::update(consents::table)
                .set(consents::revoked_ms.eq(Some(1)))
                .execute(db)?)
        })
        .await;
    assert_eq!(
        fault(world.ask(&asking(&ANA), Some("k")).await),
        Fault::ConsentNotHonoured
    );
    assert_eq!(
        fault(world.ask(&asking(&ANA), Some("k2")).await),
        Fault::ConsentNotHonoured,
        "a revoked consent is not honoured again"
    );
    let (live, renewed): (i64, i64) = world
        .sql(|db| {
            let renewed = grants::table
                .filter(grants::renewed_ms.ne(grants::created_ms))
                .count()
                .get_result(db)?;
            Ok((grants::table.count().get_result(db)?, renewed))
        })
        .await;
    assert_eq!((live, renewed), (1, 0));
}

#[actix_web::test]
async fn a_stored_success_is_not_replayed_when_its_grant_or_the_period_of_its_consent_is_over() {
    type Change = fn(&mut crate::store::Db) -> diesel::QueryResult<usize>;
    let changes: [(&str, Change); 4] = [
        ("the grant's end", |db| {
            diesel::update(grants::table)
                .set(grants::valid_until_ms.eq(grants::valid_from_ms + 1))
                .execute(db)
        }),
        ("the grant's beginning", |db| {
            diesel::update(grants::table)
                .set(grants::valid_from_ms.eq(grants::valid_until_ms - 1))
                .execute(db)
        }),
        ("the end of the consent's period", |db| {
            diesel::update(consents::table)
                .set(consents::period_to_ms.eq(consents::period_from_ms + 1))
                .execute(db)
        }),
        ("the beginning of the consent's period", |db| {
            diesel::update(consents::table)
                .set(consents::period_from_ms.eq(consents::period_to_ms - 1))
                .execute(db)
        }),
    ];
    for (which, change) in changes {
        let world = World::new(&[ANA]).await;
        world.ask(&asking(&ANA), Some("k")).await.expect("matched");
        assert!(world.ask(&asking(&ANA), Some("k")).await.expect("replayed").replayed);
        world.sql(move |db| Ok(change(db)?)).await;
        let again = world.ask(&asking(&ANA), Some("k")).await;
        assert_eq!(fault(again), Fault::ConsentNotHonoured, "{which}");
    }
}

#[actix_web::test]
async fn a_key_counts_as_new_after_a_week_and_waits_for_one_that_runs() {
    let world = World::new(&[ANA]).await;
    world.ask(&asking(&ANA), Some("k")).await.expect("matched");
    world.ctx.clock.advance_ms(7 * 24 * 3_600_000);
    let again = world.ask(&asking(&ANA), Some("k")).await.expect("matched anew");
    assert!(!again.replayed);
    assert_eq!(world.counts().await[..4], [2, 1, 1, 1]);
    let lease = world.ctx.clock.now_ms() + 1000;
    let running = (
        idempotency::state.eq("running"),
        idempotency::lease_until_ms.eq(lease),
        idempotency::status.eq(None::<i64>),
    );
    world
        .sql(move |db| Ok(diesel::update(idempotency::table).set(running).execute(db)?))
        .await;
    assert_eq!(
        fault(world.ask(&asking(&ANA), Some("k")).await),
        Fault::IdempotencyRunning
    );
    world.ctx.clock.advance_ms(1000);
    assert!(
        !world
            .ask(&asking(&ANA), Some("k"))
            .await
            .expect("its process is gone")
            .replayed
    );
}

#[actix_web::test]
async fn parallel_requests_with_one_key_do_the_work_once() {
    let world = World::new(&[ANA]).await;
    let body = asking(&ANA);
    let answers = futures_util::future::join_all((0..16).map(|_| world.ask(&body, Some("k")))).await;
    let answers: Vec<MatchAnswer> = answers.into_iter().map(|answer| answer.expect("answered")).collect();
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(answers.iter().all(|answer| answer.body == answers[0].body));
    assert_eq!(world.counts().await[..4], [1, 1, 1, 1]);
    futures_util::future::join_all((0..16).map(|_| world.ask(&body, None)))
        .await
        .into_iter()
        .for_each(|a| drop(a.expect("matched")));
    assert_eq!(
        world.counts().await[..4],
        [17, 1, 1, 1],
        "one live grant for one partner, member and consent"
    );
}
