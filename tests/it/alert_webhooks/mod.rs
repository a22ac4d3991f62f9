//! What receivers are told of alerts, at times that the test sets: once for each beginning and each end, signed and in order, whatever a receiver
//! does; and by a running server.

mod bed;
mod relay;
mod served;

use crate::support::hook::{Hook, HookAnswer};
use crate::support::program::free_ports;
use bed::{Bed, MINUTE_MS, NOW_MS, verified};
use causeway::alerting::episodes::CLEAR_MS;
use causeway::alerting::kind::UNREACHABLE;
use causeway::alerting::send::UNLISTED_MS;
use causeway::alerting::shown;
use causeway::store::Db;
use causeway::store::alert_episodes as rows;
use causeway::store::jobs as job_rows;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Longer than any wait before another attempt.
const LATER_MS: i64 = 700_000;

#[test]
fn a_beginning_and_its_end_are_told_once_each_to_whom_they_concern() {
    let (oncall, desk) = (Hook::that(&[]), Hook::that(&[]));
    let mut bed = Bed::with(&[
        ("oncall", oncall.url.as_str(), "severities = [\"page\"]"),
        ("desk", desk.url.as_str(), "owners = [\"reviewer\"]"),
    ]);
    assert!(!bed.look(), "nothing is raised");
    bed.fails("b");
    bed.fails("a");
    assert!(bed.look());
    assert_eq!(bed.count("ledger_entry WHERE action = 'alert.raised'"), 1);
    assert_eq!(bed.send(), 2, "the message, and that there is no more");
    let begun = verified(&oncall.got()[0], NOW_MS);
    for (member, value) in [
        ("event", "begin"),
        ("alert", "partner-failing"),
        ("severity", "page"),
        ("owner", "operator"),
        ("began_at", "2027-01-15T08:00:00.000Z"),
        ("source", "https://localhost/fhir"),
    ] {
        assert_eq!(begun[member], value, "{begun}");
    }
    assert_eq!(
        (begun["count"].as_i64(), begun["partners"].to_string()),
        (Some(2), "[\"a\",\"b\"]".to_owned())
    );
    assert!(begun["cleared_at"].is_null(), "{begun}");

    // Later looks, and servers that start again, tell it to nobody again.
    for _ in 0..3 {
        bed.passes(MINUTE_MS);
        assert!(!bed.look());
    }
    bed.list(&[
        ("oncall", oncall.url.as_str(), "severities = [\"page\"]"),
        ("desk", desk.url.as_str(), ""),
    ]);
    assert!(bed.look_since(bed.ctx.clock.now_ms()), "the desk wants all alerts now");
    bed.send();
    assert_eq!((oncall.got().len(), desk.got().len()), (1, 1));

    bed.all_are_well();
    bed.passes(CLEAR_MS - 1);
    assert!(!bed.look(), "another server may still see it");
    bed.passes(1);
    assert!(bed.look());
    bed.look();
    assert_eq!(bed.count("alert_episode"), 1, "it ended once");
    bed.send();
    let cleared = verified(&oncall.got()[1], bed.ctx.clock.now_ms());
    assert_eq!(
        (cleared["event"].as_str(), &cleared["episode"]),
        (Some("clear"), &begun["episode"])
    );
    assert_ne!(cleared["id"], begun["id"]);
    assert!(
        cleared["cleared_at"].is_string() && cleared["began_at"] == begun["began_at"],
        "{cleared}"
    );
    assert_eq!((oncall.got().len(), desk.got().len()), (2, 2));
    assert_eq!(
        bed.count("ledger_entry WHERE action IN ('alert.raised', 'alert.cleared')"),
        2
    );
    assert_eq!(bed.count("job"), 0);

    bed.fails("a");
    assert!(bed.look());
    bed.send();
    let again = verified(&oncall.got()[2], bed.ctx.clock.now_ms());
    assert_eq!(again["event"], "begin");
    assert_ne!(again["episode"], begun["episode"]);
}

#[test]
fn a_server_that_has_just_begun_ends_nothing_that_another_may_see() {
    let hook = Hook::that(&[]);
    let bed = Bed::with(&[("oncall", hook.url.as_str(), "")]);
    bed.fails("a");
    bed.look();
    bed.all_are_well();
    bed.passes(20 * MINUTE_MS);
    let since_ms = bed.ctx.clock.now_ms();
    bed.look_since(since_ms);
    assert_eq!(bed.count("alert_episode WHERE ended_ms IS NULL"), 1);
    bed.passes(CLEAR_MS);
    bed.look_since(since_ms);
    assert_eq!(bed.count("alert_episode WHERE ended_ms IS NULL"), 0);
}

#[test]
fn what_ended_long_ago_goes_also_when_nothing_is_raised_any_more() {
    let hook = Hook::that(&[]);
    let bed = Bed::with(&[("oncall", hook.url.as_str(), "")]);
    bed.fails("a");
    bed.look();
    bed.passes(91 * 24 * 60 * MINUTE_MS);
    bed.sweep();
    assert_eq!(bed.count("alert_episode WHERE ended_ms IS NULL"), 1, "it has not ended");
    bed.all_are_well();
    bed.look();
    assert_eq!(bed.count("alert_episode WHERE ended_ms IS NULL"), 0);
    bed.passes(89 * 24 * 60 * MINUTE_MS);
    bed.sweep();
    assert_eq!((bed.count("alert_episode"), bed.count("alert_delivery")), (1, 2));
    bed.passes(2 * 24 * 60 * MINUTE_MS);
    bed.sweep();
    assert_eq!((bed.count("alert_episode"), bed.count("alert_delivery")), (0, 0));
}

#[test]
fn servers_that_look_at_the_same_time_tell_it_once() {
    let hook = Hook::that(&[]);
    let bed = Bed::with(&[("oncall", hook.url.as_str(), "")]);
    bed.fails("a");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| bed.look());
        }
    });
    for what in [
        "alert_episode",
        "alert_delivery",
        "job",
        "ledger_entry WHERE action = 'alert.raised'",
    ] {
        assert_eq!(bed.count(what), 1, "{what}");
    }
    bed.all_are_well();
    bed.passes(CLEAR_MS);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| bed.look());
        }
    });
    bed.send();
    let events: Vec<String> = hook
        .got()
        .iter()
        .map(|got| got.header("x-causeway-delivery").to_owned())
        .collect();
    assert_eq!(events.iter().collect::<BTreeSet<_>>().len(), 2, "{events:?}");
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(bed.count("ledger_entry WHERE action = 'alert.cleared'"), 1);
}

#[test]
fn receivers_that_hang_redirect_or_fail_are_told_later_and_hold_up_nobody() {
    // A machine that stands still for so long gives up those that answer, too; then all of it is done again, with more time for them.
    let mut times = [2, 8, 20].map(Duration::from_secs).into_iter();
    let (mut bed, [elsewhere, hangs, moves, fails, works]) = loop {
        let given_up = times
            .next()
            .expect("the others are held up, or nobody gives up who hangs");
        let elsewhere = Hook::that(&[]);
        let hangs = Hook::that(&[HookAnswer::Silence]);
        let moves = Hook::that(&[HookAnswer::Elsewhere(elsewhere.url.clone())]);
        let fails = Hook::that(&[HookAnswer::Status(500)]);
        let works = Hook::that(&[]);
        let mut bed = Bed::with(&[
            ("hangs", hangs.url.as_str(), ""),
            ("moves", moves.url.as_str(), ""),
            ("fails", fails.url.as_str(), ""),
            ("works", works.url.as_str(), ""),
        ]);
        bed.gives_up_after(given_up);
        bed.fails("a");
        bed.look();
        let began = Instant::now();
        bed.send();
        let asked = [&hangs, &moves, &fails, &works].map(|hook| hook.got().len());
        let is_unwanted = bed.job("moves").and_then(|(_, _, class)| class).as_deref() == Some("unwanted");
        // The silence ends by itself after 30 seconds: then nobody had given it up.
        if began.elapsed() < Duration::from_secs(28) && asked == [1; 4] && is_unwanted && bed.job("works").is_none() {
            break (bed, [elsewhere, hangs, moves, fails, works]);
        }
        println!("{:?}, {given_up:?}: {asked:?}", began.elapsed());
    };
    assert_eq!(works.got().len(), 1, "the others do not hold it up");
    for (name, class) in [
        ("hangs", "unreachable"),
        ("moves", "unwanted"),
        ("fails", "unreachable"),
    ] {
        let wanted = ("waiting".to_owned(), 1, Some(class.to_owned()));
        assert_eq!(bed.job(name), Some(wanted), "{name}");
    }
    assert_eq!(bed.send(), 0, "none is asked again at once");
    // All answer now, when they can.
    bed.gives_up_after(Duration::from_secs(60));
    bed.passes(LATER_MS);
    bed.send();
    for hook in [&hangs, &moves, &fails] {
        let got = hook.got();
        assert_eq!(got.len(), 2);
        assert_eq!(
            verified(&got[0], NOW_MS)["id"],
            verified(&got[1], NOW_MS + LATER_MS)["id"],
            "by which it is dropped"
        );
        assert_eq!(got[0].body, got[1].body);
    }
    assert_eq!(elsewhere.got().len(), 0, "no redirect is followed");
    assert_eq!(bed.count("job"), 0);
}

#[test]
fn a_dead_receiver_is_one_parked_job_and_gets_what_waited_in_its_order() {
    // Which no other test is given to listen at.
    let [port, _] = free_ports();
    let url = format!("http://127.0.0.1:{port}/");
    let mut bed = Bed::with(&[("oncall", url.as_str(), "")]);
    for round in 0..3 {
        bed.fails("a");
        bed.look();
        bed.all_are_well();
        bed.passes(CLEAR_MS);
        bed.look();
        assert_eq!(bed.count("job"), 1, "round {round}");
    }
    for _ in 0..UNREACHABLE.attempts {
        bed.send();
        bed.passes(LATER_MS);
    }
    let (state, attempts, class) = bed.job("oncall").expect("a job");
    assert_eq!(
        (state.as_str(), attempts, class.as_deref()),
        ("parked", i64::from(UNREACHABLE.attempts), Some("unreachable"))
    );
    assert_eq!(bed.send(), 0, "it is given up");
    bed.fails("a");
    bed.look();
    assert_eq!(
        bed.count("job WHERE state = 'parked'"),
        1,
        "what comes later waits with the rest"
    );
    let shown = bed.ctx.store.read_blocking(shown::items).expect("receivers");
    assert_eq!(
        (shown[0].receiver.as_str(), shown[0].state, shown[0].waiting),
        ("oncall", "parked", 7)
    );

    let hook = Hook::that(&[]);
    bed.list(&[("oncall", hook.url.as_str(), "")]);
    let jobs = bed
        .ctx
        .store
        .read_blocking(|db| job_rows::list(db, true, "", 10))
        .expect("jobs");
    let (id, now_ms) = (jobs[0].id.clone(), bed.ctx.clock.now_ms());
    let replay = move |db: &mut Db| job_rows::replay(db, &id, now_ms);
    assert!(bed.ctx.store.write_blocking(replay).expect("replayed"));
    bed.send();
    let events: Vec<Value> = hook
        .got()
        .iter()
        .map(|got| verified(got, now_ms)["event"].clone())
        .collect();
    assert_eq!(events, ["begin", "clear", "begin", "clear", "begin", "clear", "begin"]);
    assert_eq!(bed.count("job"), 0);
    let shown = bed.ctx.store.read_blocking(shown::items).expect("receivers");
    assert_eq!((shown[0].state, shown[0].waiting), ("told", 0));
    assert!(shown[0].last_delivered.is_some());
}

#[test]
fn of_too_much_that_waits_the_oldest_beginnings_go_with_their_ends() {
    let bed = Bed::with(&[("oncall", "http://127.0.0.1:9/", "")]);
    let mut statements = Vec::new();
    for (number, event, state) in [
        (1, "begin", "delivered"),
        (1, "clear", "waiting"),
        (2, "begin", "waiting"),
        (2, "clear", "waiting"),
        (3, "begin", "waiting"),
        (4, "begin", "waiting"),
    ] {
        statements.push(format!(
            "('{number}{event}', 'e{number}', 'oncall', '{event}', '{state}', '', 0)"
        ));
    }
    bed.sql(&format!(
        "INSERT INTO alert_delivery (id, episode_id, receiver, event, state, body, made_ms) VALUES {}",
        statements.join(", ")
    ));
    let shed = bed.ctx.store.write_blocking(|db| rows::shed(db, "oncall", 2, 5));
    assert_eq!(shed.expect("shed"), 2);
    assert_eq!(
        bed.count("alert_delivery WHERE state = 'dropped' AND episode_id = 'e2'"),
        2
    );
    let next = bed
        .ctx
        .store
        .read_blocking(|db| rows::next(db, "oncall"))
        .expect("read");
    assert_eq!(
        next.map(|row| row.id).as_deref(),
        Some("1clear"),
        "its beginning was told"
    );
    assert_eq!(
        bed.ctx
            .store
            .write_blocking(|db| rows::shed(db, "oncall", 2, 5))
            .expect("shed"),
        0
    );
}

#[test]
fn a_message_whose_result_was_lost_is_sent_again_with_its_id() {
    let hook = Hook::that(&[]);
    let bed = Bed::with(&[("oncall", hook.url.as_str(), "")]);
    bed.fails("a");
    bed.look();
    let runner = bed.runner();
    bed.runtime.block_on(async {
        let held = runner.claim(1, &[]).await.expect("claimed").held.remove(0);
        let _lost = runner.attempt(&held).await;
    });
    assert_eq!(bed.send(), 0, "nobody takes it before the lease ends");
    bed.passes(MINUTE_MS + 1);
    bed.send();
    let ids: Vec<String> = hook
        .got()
        .iter()
        .map(|got| got.header("x-causeway-delivery").to_owned())
        .collect();
    assert_eq!((ids.len(), ids.first() == ids.last()), (2, true), "{ids:?}");
    assert_eq!(bed.count("alert_delivery WHERE state = 'delivered'"), 1);
}

#[test]
fn what_waits_for_a_receiver_that_is_not_listed_any_more_is_dropped() {
    let (gone, stays) = (Hook::that(&[]), Hook::that(&[]));
    let mut bed = Bed::with(&[("gone", gone.url.as_str(), ""), ("stays", stays.url.as_str(), "")]);
    bed.fails("a");
    bed.look();
    bed.list(&[("stays", stays.url.as_str(), "")]);
    bed.send();
    assert_eq!((gone.got().len(), stays.got().len()), (0, 1));
    let of_it =
        |bed: &Bed, state: &str| bed.count(&format!("alert_delivery WHERE state = '{state}' AND receiver = 'gone'"));
    assert_eq!(of_it(&bed, "waiting"), 1, "another server may list it");
    bed.passes(UNLISTED_MS);
    bed.send();
    assert_eq!(of_it(&bed, "dropped"), 1);
    bed.all_are_well();
    bed.passes(CLEAR_MS);
    bed.look();
    bed.send();
    assert_eq!((gone.got().len(), stays.got().len(), bed.count("job")), (0, 2, 0));
}

#[test]
fn a_server_that_does_not_list_a_receiver_yet_leaves_it_to_those_that_do() {
    let (new, old) = (Hook::that(&[]), Hook::that(&[]));
    let both = [("new", new.url.as_str(), ""), ("old", old.url.as_str(), "")];
    let mut bed = Bed::with(&both);
    bed.fails("a");
    bed.look();
    bed.list(&both[1..]);
    bed.send();
    assert_eq!((new.got().len(), old.got().len()), (0, 1));
    bed.list(&both);
    bed.passes(MINUTE_MS);
    bed.send();
    assert_eq!((new.got().len(), old.got().len(), bed.count("job")), (1, 1, 0));
}

#[test]
fn no_text_of_a_partner_is_told_and_no_markup() {
    let hook = Hook::that(&[]);
    let bed = Bed::with(&[("oncall", hook.url.as_str(), "")]);
    bed.sql(&format!(
        "INSERT INTO partner (id, name, npi, client_id, status, mtls, scopes, dialect, version, created_ms, updated_ms) VALUES \
         ('p', '<img src=x onerror=alert(1)> @channel', '1', 'p', 'active', 'required', '', '{{}}', 1, {NOW_MS}, {NOW_MS})"
    ));
    bed.fails("p");
    // No registration has such an id.
    bed.fails("<!channel>&");
    bed.look();
    bed.send();
    let got = hook.got();
    let body = verified(&got[0], NOW_MS);
    assert_eq!(
        (body["count"].as_i64(), body["partners"].to_string()),
        (Some(2), "[\"p\"]".to_owned())
    );
    assert!(!got[0].body.contains(['<', '>', '&', '@']), "{}", got[0].body);
}
