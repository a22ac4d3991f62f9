//! One harness for every step: done twice, and with the worker killed at each point; the end is the same.

use super::bed::{Act, Bed, Deed, LEASE_MS, NOW, byte};
use causeway::app::background;
use causeway::audit::{Action, Actor, LedgerEvent, Object, ledger};
use causeway::jobs::{Doing, HeldJob, JobStep, Recorded, WorkKind};
use causeway::telemetry::Correlation;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Notify;

/// Where the worker is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kill {
    BeforeClaim,
    AfterClaim,
    BeforeEffect,
    AfterEffect,
    BeforeResult,
    AfterResult,
}

const KILLS: [Kill; 6] = [
    Kill::BeforeClaim,
    Kill::AfterClaim,
    Kill::BeforeEffect,
    Kill::AfterEffect,
    Kill::BeforeResult,
    Kill::AfterResult,
];

/// A step whose process dies before or after what it does.
struct Mortal {
    step: Arc<dyn JobStep>,
    kill: Kill,
    reached: Arc<Notify>,
}

impl JobStep for Mortal {
    fn kind(&self) -> &'static WorkKind {
        self.step.kind()
    }

    fn run(&self, held: HeldJob) -> Doing<'_> {
        Box::pin(async move {
            if self.kill == Kill::BeforeEffect {
                self.reached.notify_one();
                std::future::pending::<()>().await;
            }
            let ended = self.step.run(held).await;
            if self.kill == Kill::AfterEffect {
                self.reached.notify_one();
                std::future::pending::<()>().await;
            }
            ended
        })
    }
}

/// One kind of work: what is there to be done, and what is there in the end.
struct Case {
    kind: &'static str,
    arrange: fn(&Bed),
    check: fn(&Bed, &str),
}

const CASES: &[Case] = &[
    Case {
        kind: "deed",
        arrange: |bed| assert!(bed.hand_in("x", None)),
        check: |bed, told| {
            assert_eq!(bed.number("SELECT done FROM deed"), 1, "{told}");
            assert!(bed.job("deed", "x").is_none(), "{told}");
        },
    },
    Case {
        kind: "expired",
        arrange: |bed| {
            bed.sql(&format!("INSERT INTO assertion_seen VALUES ('c', {}, 5)", byte(1)));
            bed.sql(&format!(
                "INSERT INTO assertion_seen VALUES ('c', {}, {})",
                byte(2),
                NOW * 2
            ));
        },
        check: |bed, told| {
            let left = "SELECT COUNT(*) FROM assertion_seen";
            assert_eq!(bed.number(left), 1, "{told}");
            assert_eq!(bed.number(&format!("{left} WHERE expires_ms > 5")), 1, "{told}");
        },
    },
    Case {
        kind: "ledger-index",
        arrange: entry_about_a_member,
        check: |bed, told| {
            assert_eq!(bed.number("SELECT COUNT(*) FROM ledger_subject"), 1, "{told}");
        },
    },
    Case {
        kind: "authorizations",
        arrange: authorizations,
        check: |bed, told| {
            assert_eq!(states(bed), [("long", 1), ("note", 2), ("short", 2)], "{told}");
        },
    },
    Case {
        kind: "roster",
        arrange: |bed| {
            bed.import(&["p", "q"].map(member));
            for table in ["identity_profile", "identity_key", "identity_roster"] {
                bed.sql(&format!("DELETE FROM {table}"));
            }
        },
        check: |bed, told| {
            assert_eq!(bed.number("SELECT COUNT(*) FROM identity_profile"), 2, "{told}");
            assert_eq!(bed.number("SELECT COUNT(*) FROM identity_roster"), 1, "{told}");
        },
    },
    Case {
        kind: "retention",
        arrange: |bed| {
            for at_ms in [NOW - 11 * 366 * 86_400_000, NOW] {
                bed.sql(&format!(
                    "INSERT INTO decision (id, partner_id, correlation_id, request_id, kind, outcome, policy_version, detail, created_ms) \
                     VALUES ('{}', 'p', 'c', 'r', 'member-match', 'none', 'v', '{{}}', {at_ms})",
                    bed.ctx.ids.new_id(at_ms)
                ));
            }
        },
        check: |bed, told| {
            assert_eq!(bed.number("SELECT COUNT(*) FROM decision"), 1, "{told}");
            let proved = "SELECT COUNT(*) FROM ledger_entry WHERE action = 'retention.deleted'";
            assert_eq!(bed.number(proved), 1, "{told}");
        },
    },
    Case {
        kind: "figures",
        arrange: |bed| {
            bed.sql(&format!(
                "INSERT INTO decision (id, partner_id, correlation_id, request_id, kind, outcome, policy_version, detail, created_ms) \
                 VALUES ('{}', 'p', 'c', 'r', 'member-match', 'none', 'v', '{{}}', {NOW})",
                bed.ctx.ids.new_id(NOW - 3_600_000)
            ));
        },
        check: |bed, told| {
            for grain in ["minute", "hour", "day"] {
                let total = format!(
                    "SELECT CAST(SUM(total) AS BIGINT) FROM business_figure WHERE grain = '{grain}' AND partner_id = 'p' AND figure = 'answered'"
                );
                assert_eq!(bed.number(&total), 1, "{told}: {grain}");
            }
        },
    },
    Case {
        kind: "exchange-watch",
        arrange: |bed| {
            bed.sql(
                "INSERT INTO exchange (id, direction, kind, partner_id, correlation_id, workflow, policy_version, phase, identity_state, \
                 consent_state, transport_state, delivery_state, audit_state, owner, step, round, attempts, deadline_ms, due_ms, version, \
                 created_ms, updated_ms) VALUES ('x', 'outbound', 'single', 'p', 'c', 1, 'v', 'requested', 'unresolved', 'unchecked', \
                 'idle', 'none', 'open', 'us', 'member_match', 1, 0, 0, 0, 1, 0, 0)",
            );
            bed.sql(
                "INSERT INTO exchange_ask (exchange_id, asked_for, cover, opt_in_id, member_number, coverage_digest, started_by) \
                 VALUES ('x', 'enrollment', 'previous', 'o', 'n', 'd', 'desk')",
            );
        },
        check: |bed, told| {
            assert_eq!(
                bed.number("SELECT COUNT(*) FROM job WHERE kind = 'exchange'"),
                1,
                "{told}"
            );
        },
    },
];

fn member(id: &str) -> Value {
    json!({"resourceType": "Patient", "id": id, "name": [{"family": "Lima", "given": [id]}], "birthDate": "1980-01-01"})
}

fn entry_about_a_member(bed: &Bed) {
    let at_us = NOW * 1000 - 600_000_000;
    let mut entry = LedgerEvent::new(
        Action::OperatorViewed,
        Actor::default(),
        Correlation::internal("r".into()),
    );
    entry.object = Some(Object {
        kind: "Patient",
        id: "p".into(),
    });
    let write = move |db: &mut causeway::store::Db| ledger::append(db, &entry, "e", at_us);
    bed.ctx.store.write_blocking(write).expect("written");
}

/// Two authorizations, one of which is over two months later, and a note about that one; two months pass.
fn authorizations(bed: &Bed) {
    let pdex = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition";
    let one = |id: &str, end: &str| {
        json!({"resourceType": "ExplanationOfBenefit", "id": id, "meta": {"profile": [format!("{pdex}/pdex-priorauthorization")]},
            "status": "active", "use": "preauthorization", "patient": {"reference": "Patient/p"},
            "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/claim-type", "code": "professional"}]},
            "created": "2025-05-01", "preAuthRefPeriod": [{"start": "2025-05-01", "end": end}],
            "insurer": {"display": "plan"}, "provider": {"display": "clinic"}, "outcome": "complete",
            "insurance": [{"focal": true, "coverage": {"display": "plan"}}],
            "item": [{"sequence": 1,
                "productOrService": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "99202"}]},
                "adjudication": [{
                    "category": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/adjudication", "code": "submitted"}]},
                    "extension": [{"url": format!("{pdex}/extension-reviewAction"), "extension": [{
                        "url": format!("{pdex}/extension-reviewActionCode"), "valueCodeableConcept": {"coding": [
                            {"system": "https://codesystem.x12.org/005010/306", "code": "A1"}]}}]}]}]}]})
    };
    let note = json!({"resourceType": "DocumentReference", "id": "note", "status": "current",
        "subject": {"reference": "Patient/p"}, "content": [{"attachment": {"title": "a letter"}}],
        "context": {"related": [{"reference": "ExplanationOfBenefit/short"}]}});
    bed.import(&[member("p"), one("short", "2026-02-01"), one("long", "2099-12-31"), note]);
    assert_eq!(
        states(bed),
        [("long", 1), ("note", 1), ("short", 1)],
        "active when imported"
    );
    bed.ctx.clock.advance_ms(60 * 86_400_000);
}

/// What the columns say of each.
fn states(bed: &Bed) -> [(&'static str, i64); 3] {
    ["long", "note", "short"].map(|id| {
        (
            id,
            bed.number(&format!("SELECT pa_state FROM resource WHERE id = '{id}'")),
        )
    })
}

fn steps() -> Vec<Arc<dyn JobStep>> {
    let mut steps = background::steps();
    steps.push(Deed::that(&[]));
    steps
}

/// The step of this kind alone, so that the clock may stand on others' time.
fn step(kind: &str) -> Arc<dyn JobStep> {
    steps()
        .into_iter()
        .find(|step| step.kind().name == kind)
        .expect("a step")
}

/// No lease, nothing counted against it, and due again, for work that recurs.
fn check_row(bed: &Bed, kind: &str, told: &str) {
    if let Some(row) = bed.job(kind, kind) {
        assert_eq!(
            (row.state.as_str(), row.lease_until_ms, row.claims, row.attempts),
            ("waiting", None, 0, 0),
            "{told}: {row:?}"
        );
        assert_eq!(row.last_class.as_deref(), Some("done"), "{told}");
        assert!(row.due_ms > bed.ctx.clock.now_ms(), "{told}: {row:?}");
    }
}

#[test]
fn every_kind_of_work_is_in_this_harness() {
    let tested: BTreeSet<&str> = CASES.iter().map(|case| case.kind).collect();
    let there: BTreeSet<&str> = steps().iter().map(|step| step.kind().name).collect();
    assert_eq!(tested, there);
}

#[test]
fn a_worker_that_is_killed_at_any_point_changes_nothing_of_the_end() {
    for case in CASES {
        for kill in KILLS {
            let told = format!("{} killed {kill:?}", case.kind);
            let bed = Bed::new();
            (case.arrange)(&bed);
            let reached = Arc::new(Notify::new());
            let mortal = bed.runner(vec![Arc::new(Mortal {
                step: step(case.kind),
                kill,
                reached: Arc::clone(&reached),
            })]);
            bed.block(async {
                mortal.prepare().await.expect("prepared");
                if kill == Kill::BeforeClaim {
                    return;
                }
                let held = mortal.claim(1, &[]).await.expect("claimed").held.remove(0);
                if kill == Kill::AfterClaim {
                    return;
                }
                let outcome = tokio::select! {
                    outcome = mortal.attempt(&held) => outcome,
                    () = reached.notified() => return,
                };
                if kill == Kill::AfterResult {
                    assert_eq!(mortal.record(&held, outcome).await.expect("recorded"), Recorded::Kept);
                }
            });
            // Nobody takes it before the lease ends.
            let next = bed.runner(vec![step(case.kind)]);
            if !matches!(kill, Kill::BeforeClaim | Kill::AfterResult) {
                assert_eq!(bed.block(next.run_due()).expect("runs"), 0, "{told}");
                bed.ctx.clock.advance_ms(LEASE_MS + 1);
            }
            bed.block(next.run_due()).expect("runs");
            (case.check)(&bed, &told);
            check_row(&bed, case.kind, &told);
        }
    }
}

#[test]
fn work_that_is_done_twice_ends_as_if_it_was_done_once() {
    for case in CASES {
        let told = format!("{} twice", case.kind);
        let bed = Bed::new();
        (case.arrange)(&bed);
        let runner = bed.runner(vec![step(case.kind)]);
        bed.block(async {
            runner.prepare().await.expect("prepared");
            let held = runner.claim(1, &[]).await.expect("claimed").held.remove(0);
            let first = runner.attempt(&held).await;
            let second = runner.attempt(&held).await;
            assert_eq!(
                runner.record(&held, second).await.expect("recorded"),
                Recorded::Kept,
                "{told}"
            );
            // The first result comes when the lease is over.
            assert_eq!(
                runner.record(&held, first).await.expect("recorded"),
                Recorded::Dropped,
                "{told}"
            );
        });
        (case.check)(&bed, &told);
        check_row(&bed, case.kind, &told);
    }
}

#[test]
fn the_other_side_keeps_what_was_sent_again_after_a_lost_result_once() {
    let bed = Bed::new();
    let deed = Deed::that(&[Act::Well, Act::Well]);
    let world = Arc::clone(&deed.world);
    bed.hand_in("x", None);
    let runner = bed.runner(vec![deed]);
    bed.block(async {
        let held = runner.claim(1, &[]).await.expect("claimed").held.remove(0);
        let _lost = runner.attempt(&held).await;
        bed.ctx.clock.advance_ms(LEASE_MS + 1);
        assert_eq!(runner.run_due().await.expect("runs"), 1);
    });
    assert_eq!(bed.number("SELECT started FROM deed"), 2, "noted before each effect");
    assert_eq!(
        (bed.number("SELECT done FROM deed"), world.kept()),
        (1, vec!["x".to_owned()])
    );
}

#[test]
fn all_work_that_recurs_has_its_points_in_the_list() {
    let points = causeway::ops::failpoints::table(true, &[]).points.unwrap_or_default();
    if points.is_empty() {
        // An optimised build has no points.
        return;
    }
    for step in background::steps() {
        let own = format!("{}.claimed", step.kind().name);
        assert!(points.contains(&own), "{own}");
    }
}
