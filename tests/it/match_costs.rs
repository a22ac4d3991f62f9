//! What a match costs the database: statements on SQLite, messages on PostgreSQL, and commits. Authentication is not among them: the
//! use case is asked by itself.

use crate::guess::asking;
use crate::support::payer::{TestPayer, today};
use crate::support::store::on_postgres;
use crate::support::use_case::{caller, context};
use causeway::clock::Clock;
use causeway::member_match::respond;
use causeway::store::Db;
use causeway::synth::{self, Variation};
use diesel::connection::{Connection as _, Instrumentation, InstrumentationEvent, set_default_instrumentation};
use serde_json::Value;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Matches of each kind; the cheapest counts, since the store looks after itself now and then.
const EACH: u64 = 5;

/// Every statement that the connections ran which are listened to.
static RAN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The folder of the store that is listened to.
static WATCHED: Mutex<Option<String>> = Mutex::new(None);

/// One connection's: whether it is listened to.
#[derive(Default)]
struct Ear(bool);

impl Instrumentation for Ear {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartEstablishConnection { url, .. } => {
                let watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
                self.0 = watched.as_ref().is_some_and(|folder| url.contains(folder));
            }
            InstrumentationEvent::StartQuery { query, .. } if self.0 => {
                RAN.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(query.to_string());
            }
            _ => {}
        }
    }
}

/// What one match ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    /// Messages to the database: every statement, those that begin and end transactions included.
    messages: usize,
    /// Statements that do something.
    statements: usize,
    commits: usize,
}

impl Cost {
    fn of(ran: &[String]) -> Cost {
        let control = ["BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK"];
        let is_control = |text: &&String| control.iter().any(|word| text.starts_with(word));
        let commits = ran.iter().filter(|text| text.starts_with("COMMIT")).count();
        let controls = ran.iter().filter(is_control).count();
        Cost {
            messages: ran.len(),
            statements: ran.len() - controls,
            commits,
        }
    }
}

/// What the database was asked since the last call.
struct Listening(usize);

impl Listening {
    fn begin(payer: &TestPayer) -> Listening {
        if on_postgres() {
            let url = payer.place.url_text();
            let name = url
                .trim_start_matches("postgres:///")
                .split('?')
                .next()
                .expect("a name");
            crate::support::postgres::execute("postgres", &format!("ALTER DATABASE {name} SET log_statement = 'all'"));
        } else {
            let folder = payer.place.folder.path().display().to_string();
            *WATCHED.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder);
            set_default_instrumentation(|| Some(Box::new(Ear::default()))).expect("nobody else sets it");
        }
        Listening(0)
    }

    fn ran(&mut self) -> Vec<String> {
        let all = if on_postgres() {
            logged()
        } else {
            RAN.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        let fresh = all.get(self.0..).unwrap_or_default().to_vec();
        self.0 = all.len();
        fresh
    }
}

/// The statements in the log of the private cluster; only the database of this test logs them.
fn logged() -> Vec<String> {
    let path = Path::new(crate::support::postgres::folder()).join("server.log");
    let log = std::fs::read_to_string(path).expect("the cluster's log");
    let said = |line: &str| {
        let (_, text) = line.split_once("LOG:  ")?;
        let text = text.strip_prefix("statement: ").or_else(|| {
            let (_, text) = text.strip_prefix("execute ")?.split_once(": ")?;
            Some(text)
        })?;
        Some(text.to_owned())
    };
    log.lines().filter_map(said).collect()
}

async fn least(payer: &TestPayer, ctx: &causeway::context::Context, ear: &mut Listening, bodies: &[Value]) -> Cost {
    let mut least = None;
    for body in bodies {
        ear.ran();
        respond(ctx, &caller(), asking(body)).await.expect("matched");
        let ran = ear.ran();
        let cost = Cost::of(&ran);
        if least.is_none_or(|least| cost < least) {
            least = Some(cost);
            if std::env::var_os("CAUSEWAY_TELL").is_some() {
                println!("{cost:?}");
                for text in &ran {
                    println!("  {}", text.get(..300).unwrap_or(text));
                }
            }
        }
    }
    assert!(payer.count("decision") > 0);
    least.expect("some")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_match_stays_within_its_statements_messages_and_commits() {
    let (payer, _) = TestPayer::prepare_with(synth::SynthOptions {
        members: 20,
        resources_per_member: 8,
        as_of: today(),
        ..synth::SynthOptions::default()
    });
    let mut ear = Listening::begin(&payer);
    let ctx = context(&payer, Clock::fixed(chrono::Utc::now().timestamp_millis())).await;
    let exact = |member: u64| payer.request(member, Variation::Exact);
    if !on_postgres() {
        // The one connection that writes listens for a full disk; here it counts instead.
        let count = |db: &mut Db| {
            db.set_instrumentation(Ear(true));
            Ok(())
        };
        ctx.store.write(count).await.expect("a write");
    }
    // The first of its kind prepares statements and reads what a process remembers.
    for member in 0..6 {
        respond(&ctx, &caller(), asking(&exact(member))).await.expect("matched");
        respond(&ctx, &caller(), asking(&exact(member))).await.expect("matched");
    }
    let first: Vec<Value> = (6..6 + EACH).map(exact).collect();
    let first_cost = least(&payer, &ctx, &mut ear, &first).await;
    let renewed_cost = least(&payer, &ctx, &mut ear, &first).await;
    println!("first {first_cost:?}\nrenewed {renewed_cost:?}");
    if on_postgres() {
        // A read and a write, each a transaction by itself. One more for the token when it was not seen in the last half second.
        assert_eq!((first_cost.messages, renewed_cost.messages), (2, 2));
    } else {
        assert!(first_cost.statements <= 11, "{first_cost:?}");
        assert!(renewed_cost.statements <= 7, "{renewed_cost:?}");
        assert_eq!((first_cost.commits, renewed_cost.commits), (1, 1), "one fsync each");
    }
}
