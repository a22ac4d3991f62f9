//! Clocks that are set (F10): no token or assertion lives longer because of it, and the service continues.

use super::*;
use crate::security::introspect;
use crate::store::tokens;

const HOUR_MS: i64 = 3_600_000;
const SECOND_MS: i64 = 1_000;

impl Bed {
    /// Gets a token with an assertion that is signed at `true_ms`, by a partner whose clock is right.
    async fn token_at(&self, true_ms: i64, jti: &str) -> Result<TokenAnswer, Failure> {
        let assertion = self.key.assertion("new-payer", TOKEN_URL, true_ms / 1000, jti);
        let own = certificate_for_long();
        self.send(&form(&assertion.expect("assertion"), "system/*.rs"), Some(&own))
            .await
    }

    async fn works(&self, token: &TokenAnswer) -> bool {
        self.call(token, Some(&certificate_for_long())).await.is_ok()
    }
}

fn certificate_for_long() -> PeerCertificate {
    PeerCertificate {
        not_before_s: 0,
        not_after_s: NOW_S + 1_000_000,
        ..certificate(URI, 1)
    }
}

#[tokio::test]
async fn t_f10_a_step_of_the_clock_lengthens_no_token() {
    for step in [-HOUR_MS, -100 * SECOND_MS, HOUR_MS] {
        let bed = Bed::new();
        let token = bed.token_at(NOW_MS, "j-1").await.expect("a token");
        bed.ctx.clock.advance_ms(200 * SECOND_MS);
        bed.ctx.clock.set_ms(step);
        bed.ctx.clock.look();
        assert_eq!(
            bed.works(&token).await,
            step < 0,
            "{step}: ended by a clock that went on"
        );
        bed.ctx.clock.advance_ms(99 * SECOND_MS);
        assert_eq!(bed.works(&token).await, step < 0, "{step}");
        bed.ctx.clock.advance_ms(SECOND_MS);
        assert!(!bed.works(&token).await, "{step}: 300 s are over");
    }
}

#[tokio::test]
async fn t_f10_a_wrong_hour_and_back_stops_no_tokens_and_none_of_it_lives_longer() {
    let bed = Bed::new();
    let clock = bed.ctx.clock.clone();
    clock.set_ms(HOUR_MS);
    clock.look();
    // Assertions of partners with a right clock have expired by this server's clock.
    assert!(bed.token_at(NOW_MS, "j-1").await.is_err());
    clock.advance_ms(60 * SECOND_MS);
    clock.set_ms(-HOUR_MS);
    clock.look();
    let token = bed.token_at(clock.now_ms(), "j-2").await.expect("a token at once");
    assert!(bed.works(&token).await);
    clock.advance_ms(299 * SECOND_MS);
    assert!(bed.works(&token).await);
    clock.advance_ms(SECOND_MS);
    assert!(!bed.works(&token).await);
}

#[tokio::test]
async fn t_f10_a_step_back_brings_no_assertion_to_life_again() {
    let bed = Bed::new();
    let clock = bed.ctx.clock.clone();
    let used = form(
        &bed.key
            .assertion("new-payer", TOKEN_URL, NOW_S, "j-used")
            .expect("assertion"),
        "system/*.rs",
    );
    let kept = form(
        &bed.key
            .assertion("new-payer", TOKEN_URL, NOW_S, "j-kept")
            .expect("assertion"),
        "system/*.rs",
    );
    let own = certificate_for_long();
    assert!(bed.send(&used, Some(&own)).await.is_ok());
    clock.advance_ms(HOUR_MS);
    assert!(bed.send(&kept, Some(&own)).await.is_err(), "it has ended");
    clock.set_ms(-HOUR_MS);
    clock.look();
    for body in [&used, &kept] {
        let refused = bed.send(body, Some(&own)).await.expect_err("it stays ended");
        assert_eq!(refused.fault(), Fault::OauthClient);
    }
    // Partners whose clocks are right are served while this server's clock is wrong.
    assert!(bed.token_at(NOW_MS + HOUR_MS, "j-new").await.is_ok());
}

#[tokio::test]
async fn t_f10_a_clock_set_forward_forgets_no_assertion_that_may_still_be_used() {
    let bed = Bed::new();
    let clock = bed.ctx.clock.clone();
    let body = form(
        &bed.key
            .assertion("new-payer", TOKEN_URL, NOW_S, "j-1")
            .expect("assertion"),
        "system/*.rs",
    );
    let own = certificate_for_long();
    assert!(bed.send(&body, Some(&own)).await.is_ok());
    clock.set_ms(9 * HOUR_MS);
    clock.look();
    let (lasting_ms, surely_ms) = (clock.lasting_ms(), clock.surely_ms());
    bed.ctx
        .store
        .write_blocking(move |db| tokens::prune(db, lasting_ms, surely_ms))
        .expect("prune");
    clock.set_ms(-9 * HOUR_MS);
    clock.look();
    let replayed = bed.send(&body, Some(&own)).await.expect_err("a replay");
    assert_eq!(replayed.fault(), Fault::OauthClient);
}

#[tokio::test]
async fn t_f10_a_step_back_before_a_restart_or_in_another_process_lengthens_no_token() {
    let bed = Bed::new();
    let token = bed.token_at(NOW_MS, "j-1").await.expect("a token");
    // A process that starts an hour earlier by its own clock uses the time that the store has seen.
    let mut other = bed.ctx.clone();
    other.clock = Clock::fixed(NOW_MS - HOUR_MS);
    let newest = other
        .store
        .read_blocking(tokens::newest_ms)
        .expect("a read")
        .expect("a time");
    assert_eq!(newest, NOW_MS);
    other.clock.has_seen(newest);
    let own = certificate_for_long();
    let bearer = Some(token.access_token.expose());
    for (seconds, works) in [(299, true), (1, false)] {
        other.clock.advance_ms(seconds * SECOND_MS);
        let asked = bed
            .authority
            .authenticate(&other, bearer, Some(&own), correlation())
            .await;
        assert_eq!(asked.is_ok(), works, "{seconds}");
    }
    // A process that is running already learns the time from the token.
    other.clock = Clock::fixed(NOW_MS - HOUR_MS);
    for (seconds, works) in [(1, true), (300, false)] {
        let asked = bed
            .authority
            .authenticate(&other, bearer, Some(&own), correlation())
            .await;
        assert!(asked.is_ok() || !works);
        other.clock.advance_ms(seconds * SECOND_MS);
        let asked = bed
            .authority
            .authenticate(&other, bearer, Some(&own), correlation())
            .await;
        assert_eq!(asked.is_ok(), works, "{seconds}");
    }
}

#[tokio::test]
async fn introspection_tells_times_by_the_wall() {
    let bed = Bed::new();
    let clock = bed.ctx.clock.clone();
    clock.set_ms(HOUR_MS);
    clock.lasting_ms();
    clock.set_ms(-HOUR_MS);
    let token = bed.token_at(NOW_MS, "j-1").await.expect("a token");
    let proof = bed
        .key
        .assertion("new-payer", TOKEN_URL, NOW_S, "j-2")
        .expect("assertion");
    let token = format!("token={}&", token.access_token.expose());
    let body = form(&proof, "x").replace("grant_type=client_credentials&scope=x&", &token);
    let own = certificate_for_long();
    let told = introspect(&bed.ctx, &bed.settings, &bed.authority, request(&body, Some(&own)))
        .await
        .expect("an answer");
    assert_eq!(
        (told["iat"].as_i64(), told["exp"].as_i64()),
        (Some(NOW_S), Some(NOW_S + 300))
    );
}
