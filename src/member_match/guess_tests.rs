//! Tests the guessing guard through the use case: what is counted, which requests are refused, and what a partner can learn from it.

use super::super::tests::{ANA, BEN, Person, World, asking, but, caller};
use super::*;
use chrono::{Days, NaiveDate};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};

impl World {
    fn with(mut self, limits: GuessLimits) -> World {
        let key = self.ctx.guard.key;
        self.ctx.guard = std::sync::Arc::new(crate::context::GuessGuard { limits, key });
        self
    }

    async fn fault_of(&self, body: &Value) -> Option<Fault> {
        self.ask(body, None).await.err().map(|failure| failure.fault())
    }

    /// Counts the rows of guesses and tallies.
    async fn guesses(&self) -> [i64; 2] {
        use crate::store::schema::{guess, guess_tally};
        use diesel::prelude::*;
        self.sql(|db| {
            Ok([
                guess::table.count().get_result(db)?,
                guess_tally::table.count().get_result(db)?,
            ])
        })
        .await
    }

    async fn count(&self, action: &str) -> usize {
        self.actions()
            .await
            .iter()
            .filter(|done| done.as_str() == action)
            .count()
    }
}

/// Limits of which only the limit on one record is switched on.
fn by_record_alone() -> GuessLimits {
    GuessLimits {
        per_target: 0,
        per_shared: 0,
        ratio_least: 0,
        ..GuessLimits::default()
    }
}

/// A request for Ana by somebody who has to guess her birth date.
fn born(days: u64) -> Value {
    let first = NaiveDate::from_ymd_opt(1985, 1, 1).expect("a date");
    let date = (first + Days::new(days)).to_string();
    but(&ANA, "/0/resource/birthDate", json!(date))
}

#[actix_web::test]
async fn t_c03_walking_birth_dates_yields_nothing_and_raises_the_alarm() {
    let world = World::new(&[ANA, BEN]).await;
    let (mut answered, mut turned_away) = (0, 0);
    for day in 0..300 {
        match world.fault_of(&born(day)).await.expect("never a member") {
            Fault::NoUniqueMember => answered += 1,
            Fault::MatchLocked => turned_away += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((answered, turned_away), (5, 295));
    assert_eq!(
        world.count("guess.alarmed").await,
        2,
        "the card's limit and the share of failures"
    );
    assert_eq!(world.count("partner.locked").await, 1);
    assert_eq!(
        world.fault_of(&asking(&ANA)).await,
        Some(Fault::MatchLocked),
        "the right one comes too late"
    );
    assert_eq!(
        world.fault_of(&asking(&BEN)).await,
        Some(Fault::MatchLocked),
        "the partner's matching is locked"
    );
    let other = caller("third-payer", "1.1");
    let body = asking(&ANA).to_string().into_bytes();
    world
        .ask_as(&other, body, None)
        .await
        .expect("another partner is not concerned");
    for word in ["Núñez", "nunez", "1984-0", "1985-0", "\"M1\""] {
        assert!(!world.traces().await.contains(word), "{word}");
    }
}

#[actix_web::test]
async fn a_walk_that_varies_everything_but_the_name_ends_too() {
    let world = World::new(&[ANA]).await;
    let mut answered = 0;
    for day in 0..200 {
        let mut body = born(day);
        body["parameter"][1]["resource"]["identifier"][0]["value"] = json!(format!("X{day}"));
        answered += usize::from(world.fault_of(&body).await == Some(Fault::NoUniqueMember));
    }
    assert_eq!(answered, 30);
    assert_eq!(world.count("partner.locked").await, 1);
}

#[actix_web::test]
async fn the_same_again_is_no_new_guess() {
    let world = World::new(&[ANA]).await;
    let wrong = but(&ANA, "/0/resource/birthDate", json!("1984-07-10"));
    for turn in 0..100 {
        let mut again = wrong.clone();
        // Values that the matcher does not read make no difference.
        for pointer in ["/0/resource/id", "/3/resource/id"] {
            *again["parameter"].pointer_mut(pointer).expect("an id") = json!(format!("r{turn}"));
        }
        for pointer in [
            "/1/resource/beneficiary",
            "/2/resource/beneficiary",
            "/3/resource/patient",
        ] {
            again["parameter"].pointer_mut(pointer).expect("a reference")["reference"] =
                json!(format!("Patient/r{turn}"));
        }
        again["parameter"][3]["resource"]["performer"][0]["reference"] = json!(format!("Patient/r{turn}"));
        assert_eq!(world.fault_of(&again).await, Some(Fault::NoUniqueMember), "{turn}");
    }
    world
        .ask(&asking(&ANA), None)
        .await
        .expect("one wrong try does no harm");
    assert_eq!(world.count("guess.alarmed").await, 0);
}

#[actix_web::test]
async fn the_day_and_the_lock_end() {
    let world = World::new(&[ANA]).await;
    for day in 0..6 {
        world.fault_of(&born(day)).await;
    }
    let failure = world.ask(&asking(&ANA), None).await.expect_err("shut");
    assert_eq!(failure.fault(), Fault::MatchLocked);
    assert_eq!(failure.known_wait_s(), Some(86_401));
    world.ctx.clock.advance_ms(86_400_000);
    world.ask(&asking(&ANA), None).await.expect("a new day");
}

#[actix_web::test]
async fn a_bulk_partner_with_a_normal_share_of_failures_is_left_alone() {
    let people: Vec<(String, String)> = (0..400).map(|n| (family(n), format!("M9{n}"))).collect();
    let members: Vec<Person<'_>> = people
        .iter()
        .zip(10..)
        .map(|((family, card), no)| Person {
            no,
            family,
            given: "Ines",
            gender: "female",
            birth_date: "1990-03-04",
            card,
            subscriber: "S0",
        })
        .collect();
    let world = World::new(&members).await;
    for (n, member) in members.iter().enumerate() {
        let body = if n % 8 == 3 {
            but(member, "/1/resource/identifier/0/value", json!(format!("X{n}")))
        } else {
            asking(member)
        };
        let wanted = (n % 8 == 3).then_some(Fault::NoUniqueMember);
        assert_eq!(world.fault_of(&body).await, wanted, "{n}");
    }
    assert_eq!(
        world.count("guess.alarmed").await + world.count("partner.locked").await,
        0
    );
}

fn family(n: usize) -> String {
    let letter = |n: usize| char::from(b'a' + u8::try_from(n % 26).expect("a letter"));
    format!("Vale{}{}{}", letter(n / 26), letter(n), letter(n * 7))
}

#[actix_web::test]
async fn beyond_its_limit_a_record_is_answered_like_none_even_to_the_right_guess() {
    let world = World::new(&[ANA]).await.with(by_record_alone());
    for day in 0..10 {
        assert_eq!(world.fault_of(&born(day)).await, Some(Fault::NoUniqueMember));
    }
    assert_eq!(world.count("guess.alarmed").await, 1);
    let nobody = world.ask(&born(11), None).await.expect_err("wrong");
    for _ in 0..2 {
        let silent = world.ask(&asking(&ANA), None).await.expect_err("silent");
        let bytes = |failure: &Failure| crate::fhir::outcome::bytes(failure, "https://localhost");
        assert_eq!(bytes(&silent), bytes(&nobody));
        assert_eq!(silent.known_wait_s(), None);
    }
    assert_eq!(world.counts().await[1..3], [0, 0], "no consent, no grant");
    let last = world.outcomes().await.pop().expect("a decision");
    assert_eq!(
        (last.0.as_str(), last.2),
        ("guarded", None),
        "the operator's row tells it apart"
    );
}

#[actix_web::test]
async fn a_correct_guess_in_a_burst_is_weighed_with_those_before_it() {
    let world = World::new(&[ANA]).await;
    let bodies: Vec<Value> = (0..60).map(born).collect();
    let right = asking(&ANA);
    let mut asked: FuturesUnordered<_> = bodies.iter().map(|body| world.ask(body, None)).collect();
    // The right one is asked while the burst goes on, but after as many wrong ones as are answered; they are written in any order.
    let (mut faults, mut answered) = (Vec::new(), 0);
    while let Some(answer) = asked.next().await {
        let fault = answer.err().map(|failure| failure.fault());
        answered += usize::from(fault == Some(Fault::NoUniqueMember));
        if fault == Some(Fault::NoUniqueMember) && answered == 5 {
            asked.push(world.ask(&right, None));
        }
        faults.push(fault);
    }
    assert_eq!(answered, 5);
    assert_eq!(faults.len(), 61);
    assert!(!faults.contains(&None), "the right one is locked out: {faults:?}");
}

#[actix_web::test]
async fn a_replayed_answer_is_no_guess() {
    let world = World::new(&[ANA]).await;
    world.ask(&born(1), Some("k")).await.expect_err("no such member");
    for day in 2..9 {
        world.fault_of(&born(day)).await;
    }
    for _ in 0..70 {
        let answer = world.ask(&born(1), Some("k")).await.expect("replayed");
        assert_eq!((answer.status, answer.replayed), (422, true));
    }
    assert_eq!(world.count("partner.locked").await, 0);
}

#[actix_web::test]
async fn t_c02_every_kind_of_refusal_writes_the_same_rows() {
    let twin = Person {
        no: 3,
        subscriber: "S3",
        card: "M3",
        ..ANA
    };
    let mut no_card = asking(&ANA);
    no_card["parameter"][1]["resource"]["identifier"][0]["value"] = json!("X1");
    for (kind, people, body) in [
        ("nobody", vec![BEN], asking(&ANA)),
        ("birth date", vec![ANA, BEN], born(1)),
        ("in doubt", vec![ANA, twin], no_card),
    ] {
        let world = World::new(&people).await;
        world.ask(&body, None).await.expect_err(kind);
        // The whole guess, one person, one name, one card, and one record or its substitute; and a tally.
        assert_eq!(world.guesses().await, [5, 1], "{kind}");
        let counts = world.counts().await;
        // A review adds one ledger entry. The response time does not reveal it, because answers are sent in fixed time slots.
        let entries = if matches!(kind, "birth date" | "in doubt") {
            3
        } else {
            2
        };
        assert_eq!(
            (counts[0], counts[4]),
            (1, entries),
            "{kind}: a decision and its entries"
        );
    }
    let world = World::new(&[ANA, BEN]).await;
    super::super::tests::answers::revoke(&world, &ANA).await;
    let (counts, guesses) = (world.counts().await, world.guesses().await);
    world.ask(&asking(&ANA), None).await.expect_err("revoked");
    let (after, counted) = (world.counts().await, world.guesses().await);
    assert_eq!(
        (after[0] - counts[0], after[4] - counts[4]),
        (1, 2),
        "a revoked consent"
    );
    assert_eq!(
        counted[0] - guesses[0],
        5,
        "a revoked consent is counted like the others"
    );
}

#[actix_web::test]
async fn however_a_name_is_written_it_is_the_same_guess() {
    let world = World::new(&[ANA]).await;
    let mut answered = 0;
    for (turn, name) in ["Núñez", "Nunez", "NUÑEZ'", "N'unez", "Nu.nez", "Nuñez."]
        .iter()
        .cycle()
        .take(30)
        .enumerate()
    {
        let mut body = but(&ANA, "/0/resource/name/0/family", json!(name));
        body["parameter"][1]["resource"]["identifier"][0]["value"] = json!(format!("X{turn}"));
        answered += usize::from(world.fault_of(&body).await == Some(Fault::NoUniqueMember));
    }
    assert_eq!(answered, 5, "the limit of one person");
}

/// No member is looked up for a consent that permits nothing by itself. The request reveals nothing about a guess, so it does not count as
/// one.
#[actix_web::test]
async fn t_c03_a_guess_sent_with_a_bad_consent_first_learns_nothing_and_is_judged_in_full_after() {
    let world = World::new(&[ANA]).await;
    let to_another = |mut body: Value| {
        let actor = "/3/resource/provision/actor/1/reference/identifier/value";
        *body["parameter"].pointer_mut(actor).expect("an actor") = json!("1111111111");
        body
    };
    let guesses: Vec<Value> = (0..4)
        .map(born)
        .chain([asking(&ANA)])
        .chain((4..30).map(born))
        .collect();
    let mut told = std::collections::HashSet::new();
    for guess in &guesses {
        let failure = world.ask(&to_another(guess.clone()), None).await.expect_err("refused");
        assert_eq!(failure.fault(), Fault::ConsentRecipient);
        told.insert(crate::fhir::outcome::bytes(&failure, ""));
    }
    assert_eq!(told.len(), 1, "right and wrong guesses are told the same bytes");
    assert_eq!(
        world.guesses().await,
        [0, 0],
        "nothing is counted, so nothing is known of them either"
    );
    // Each guess counts in full when it is sent with a good consent: the fifth one, which is right, comes too late.
    let after: Vec<Value> = (10..15).map(born).chain([asking(&ANA)]).collect();
    let mut answers = Vec::new();
    for guess in &after {
        answers.push(world.fault_of(guess).await);
    }
    assert_eq!(answers[..5], [Some(Fault::NoUniqueMember); 5]);
    assert!(
        answers[5].is_some(),
        "the limit of the card is full, whatever was sent before"
    );
    assert_eq!(world.counts().await[1..3], [0, 0], "no consent, no grant");
}

#[actix_web::test]
async fn a_revoked_consent_tells_nothing_of_a_record_that_is_silenced() {
    let world = World::new(&[ANA]).await.with(by_record_alone());
    super::super::tests::answers::revoke(&world, &ANA).await;
    assert_eq!(world.fault_of(&asking(&ANA)).await, Some(Fault::ConsentNotHonoured));
    for day in 0..10 {
        world.fault_of(&born(day)).await;
    }
    for _ in 0..2 {
        assert_eq!(
            world.fault_of(&asking(&ANA)).await,
            Some(Fault::NoUniqueMember),
            "as if nobody were there"
        );
    }
}

#[actix_web::test]
async fn another_consent_for_a_member_one_has_is_no_newly_granted_member() {
    use crate::store::schema::guess_tally;
    use diesel::prelude::*;
    let world = World::new(&[ANA, BEN]).await;
    for turn in 0..20 {
        let body = but(
            &ANA,
            "/3/resource/provision/period",
            json!({"start": "2026-01-01", "end": format!("2036-01-{:02}", turn + 1)}),
        );
        world.ask(&body, None).await.expect("granted");
    }
    world.ask(&asking(&BEN), None).await.expect("granted");
    let granted: Vec<i64> = world
        .sql(|db| Ok(guess_tally::table.select(guess_tally::granted).load(db)?))
        .await;
    assert_eq!(granted.iter().sum::<i64>(), 2, "two members");
}
