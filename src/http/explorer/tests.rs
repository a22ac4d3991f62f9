//! What an attacker may try with the cookie, where no server is needed for it.

use super::browser::is_own_navigation;
use super::sessions::{BrowserSession, BrowserSessions};
use super::{Explorer, cookie};
use crate::error::Fault;
use crate::secret::{Secret, base64url, random};
use crate::security::network;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use std::net::IpAddr;

const ORIGIN: &str = "https://p.example";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).expect("a value"),
        );
    }
    headers
}

fn session(partner: &str, ends_ms: i64) -> BrowserSession {
    BrowserSession::new(Secret::new("a token"), partner.into(), ends_ms, None)
}

fn place(number: u8) -> [u8; 8] {
    network(Some(IpAddr::from([192, 0, 2, number])))
}

#[test]
fn t_a30_only_a_navigation_from_our_own_page_counts() {
    let own = [
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ];
    let with = |more: &[(&'static str, &str)]| is_own_navigation(&headers(&[&own[..], more].concat()), ORIGIN);
    assert!(with(&[]) && with(&[("origin", "null")]) && with(&[("origin", ORIGIN)]));
    for origin in ["https://evil.example", "https://p.example:444", "http://p.example", ""] {
        assert!(!with(&[("origin", origin)]), "{origin}");
    }
    // A second header of the same name decides nothing in anybody's favor.
    for (name, value) in own {
        assert!(!with(&[(name, value)]), "{name} twice");
    }
    for (at, others) in [
        (0, &["same-site", "cross-site", "none", "", "Same-Origin"][..]),
        (1, &["cors", "no-cors", "same-origin", "websocket", ""][..]),
        (
            2,
            &["empty", "iframe", "frame", "embed", "object", "image", "script", ""][..],
        ),
    ] {
        for other in others {
            let mut changed = own;
            changed[at].1 = *other;
            assert!(!is_own_navigation(&headers(&changed), ORIGIN), "{}: {other}", own[at].0);
        }
        let mut fewer = own.to_vec();
        fewer.remove(at);
        assert!(!is_own_navigation(&headers(&fewer), ORIGIN), "without {}", own[at].0);
    }
}

#[test]
fn t_a30_a_cookie_is_read_once_and_in_its_own_form_only() {
    let value: [u8; 32] = random();
    let text = base64url(&value);
    let good = format!("{}={text}", cookie::SESSION);
    let read = |lines: &[&str]| {
        let lines: Vec<(&'static str, &str)> = lines.iter().map(|line| ("cookie", *line)).collect();
        cookie::value(&headers(&lines), cookie::SESSION)
    };
    assert_eq!(read(&[&good]), Some(value));
    assert_eq!(read(&[&format!("a=b; {good}; c=d")]), Some(value));
    for lines in [
        vec![good.clone(), good.clone()],
        vec![format!("{good}; {good}")],
        vec![format!("{good}; {}=x", cookie::SESSION)],
        vec![format!("{}={text}", cookie::FORM)],
        vec![format!("{}={text}", &cookie::SESSION["__Host-".len()..])],
        vec![format!("{}=\"{text}\"", cookie::SESSION)],
        vec![format!("{good}A")],
        vec![good[..good.len() - 1].to_owned()],
        vec![format!("{}=", cookie::SESSION)],
        vec![cookie::SESSION.to_owned()],
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(read(&lines), None, "{lines:?}");
    }
    let set = cookie::set(cookie::SESSION, &value, 300).expect("a header");
    let set = set.to_str().expect("text");
    assert_eq!(
        set,
        format!("{good}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=300")
    );
}

#[test]
fn t_a30_a_session_has_a_new_handle_each_time_and_ends_with_its_token() {
    let sessions = BrowserSessions::default();
    let first = sessions.open(session("a", 1_000), place(1), 0).expect("a handle");
    let second = sessions.open(session("a", 2_000), place(1), 0).expect("a handle");
    assert_ne!(first, second);
    assert!(sessions.find(&random(), 0).is_none(), "nobody chooses a handle");
    assert!(sessions.find(&first, 999).is_some());
    assert!(sessions.find(&first, 1_000).is_none());
    assert!(sessions.find(&first, 0).is_none(), "it stays ended");
    let found = sessions.find(&second, 0).expect("a session");
    assert!(found.is_form_token(&found.form_token()));
    for wrong in ["", "x", base64url(&second).as_str()] {
        assert!(!found.is_form_token(wrong), "{wrong}");
    }
    sessions.end(&second);
    assert!(sessions.find(&second, 0).is_none());
    assert!(!format!("{found:?}").contains("a token"), "a token is never printed");
}

#[test]
fn t_a30_sessions_are_few_of_a_partner_and_in_all_and_end_none_of_others() {
    let sessions = BrowserSessions::default();
    let open = |partner: &str, number: u8| sessions.open(session(partner, 1_000), place(number), 0);
    let handles: Vec<_> = (0..9).map(|_| open("a", 1).expect("a handle")).collect();
    assert_eq!(sessions.count(), 8, "on a network");
    assert!(sessions.find(&handles[0], 0).is_none() && sessions.find(&handles[8], 0).is_some());
    // A partner ends none but its own, however many it opens: neither on its network, nor elsewhere.
    let neighbor = open("neighbor", 1).expect("a handle");
    for number in 1..100 {
        open("a", number).expect("a handle");
        open("a", 1).expect("a handle");
    }
    assert_eq!(sessions.count(), 1 + 32, "of a partner");
    assert!(sessions.find(&neighbor, 0).is_some());
    let mut refused = None;
    for partner in 0..40 {
        for number in 0..32 {
            refused = refused.or(open(&format!("p{partner}"), number).err());
        }
    }
    assert_eq!(refused, Some(Fault::Overloaded));
    assert_eq!(sessions.count(), 512);
    assert!(sessions.find(&neighbor, 0).is_some(), "who is there stays");
    sessions
        .open(session("c", 3_000), place(200), 1_000)
        .expect("room, because the others are over");
    assert_eq!(sessions.count(), 1);
}

#[test]
fn t_a30_a_form_token_fits_the_value_and_the_process_it_was_made_for() {
    let (one, other): ([u8; 32], [u8; 32]) = (random(), random());
    let explorer = Explorer::default();
    assert_eq!(explorer.form_token(&one), explorer.form_token(&one));
    assert_ne!(explorer.form_token(&one), explorer.form_token(&other));
    assert_ne!(explorer.form_token(&one), Explorer::default().form_token(&one));
    assert_ne!(explorer.form_token(&one), base64url(&one));
}
