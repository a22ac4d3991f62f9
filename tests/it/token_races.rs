//! A token that is revoked while it is used: what is looked at and the revocation have one order, and nothing follows it.

use crate::support::payer::TestPayer;
use crate::support::use_case::context;
use causeway::audit::OperatorNote;
use causeway::clock::Clock;
use causeway::context::Context;
use causeway::error::{Failure, Fault};
use causeway::ops::policy_kinds::KINDS;
use causeway::ops::viewed::{Viewer, viewed};
use causeway::policy::{self, ActivationWish, PolicyHand, PolicyKind};
use causeway::secret::sha256;
use causeway::security::{Operator, Role, operator};
use causeway::store::schema::ledger_entry;
use causeway::telemetry::Correlation;
use diesel::prelude::*;
use std::sync::Barrier;

/// What one of two did that began at once: it has looked, or it was refused.
fn raced(ctx: &Context, round: usize) -> (Result<(), Failure>, i64) {
    let name = format!("ana-{round}");
    let issued = operator::issue(ctx, &Role::Auditor.into(), &name, 60_000).expect("a token");
    let holder = Operator {
        roles: Role::Auditor.into(),
        name: name.clone(),
        token: sha256(issued.token.expose().as_bytes()),
    };
    let correlation = format!("round-{round}");
    let viewer = Viewer {
        operator: name,
        role: "auditor",
        reason: String::new(),
        correlation: Correlation::internal(correlation.clone()),
    };
    let (mut holds, mut noted) = (operator::hold(ctx, &holder), viewed(ctx, &viewer, "grants", None));
    let note = OperatorNote {
        operator: "uid-0".to_owned(),
        reason: "lost".to_owned(),
    };
    let mut revokes = operator::revoke(ctx, &issued.id, "host", note);
    let start = Barrier::new(2);
    std::thread::scope(|threads| {
        let look = threads.spawn(|| {
            start.wait();
            ctx.store.reserved().write_blocking(move |db| {
                holds(db)?;
                noted(db)
            })
        });
        let revocation = threads.spawn(|| {
            start.wait();
            ctx.store.reserved().write_blocking(move |db| {
                revokes(db)?;
                // What is before it; nothing may follow.
                let entries = ledger_entry::table.filter(ledger_entry::correlation_id.eq(&correlation));
                Ok(entries.count().get_result::<i64>(db)?)
            })
        });
        let seen = revocation.join().expect("ends").expect("revoked");
        (look.join().expect("ends"), seen)
    })
}

#[tokio::test]
async fn t_f13_a_look_and_the_revocation_of_its_token_have_one_order() {
    let (payer, _) = TestPayer::prepare(1);
    let ctx = context(&payer, Clock::System).await;
    const ROUNDS: usize = 300;
    let done = tokio::task::spawn_blocking(move || (0..ROUNDS).map(|round| raced(&ctx, round)).collect::<Vec<_>>());
    let mut looked = 0;
    for (round, (look, seen)) in done.await.expect("runs").into_iter().enumerate() {
        match look {
            Ok(()) => assert_eq!(seen, 1, "round {round}: the look is before the revocation"),
            Err(failure) => assert_eq!((failure.fault(), seen), (Fault::TokenInvalid, 0), "round {round}"),
        }
        looked += seen;
    }
    // Nothing is written after a revocation.
    assert_eq!(payer.count("ledger_entry WHERE action = 'operator.viewed'"), looked);
}

#[tokio::test]
async fn t_f13_no_act_on_a_policy_follows_the_revocation_of_the_token_that_let_it_in() {
    let (payer, _) = TestPayer::prepare(1);
    let ctx = context(&payer, Clock::System).await;
    let acts = move || {
        let issued = operator::issue(&ctx, &Role::Admin.into(), "ana", 60_000).expect("a token");
        let note = || OperatorNote {
            operator: "ana".to_owned(),
            reason: "a test".to_owned(),
        };
        let hand = PolicyHand {
            note: note(),
            role: "admin",
            holder: Some(Operator {
                roles: Role::Admin.into(),
                name: "ana".to_owned(),
                token: sha256(issued.token.expose().as_bytes()),
            }),
        };
        let activate = || {
            let wanted = (Some(PolicyKind::Retry), "default");
            policy::activate(&ctx, KINDS, wanted, &ActivationWish::default(), &hand).map(|done| done.act_id)
        };
        let act = activate().expect("the token is valid");
        let revokes = operator::revoke(&ctx, &issued.id, "host", note());
        ctx.store.write_blocking(revokes).expect("revoked");
        let refused = [
            activate().map(drop),
            policy::withdraw(&ctx, KINDS, &act, &hand).map(drop),
        ];
        refused.map(|outcome| outcome.expect_err("the token is revoked").fault())
    };
    let refused = tokio::task::spawn_blocking(acts).await.expect("runs");
    assert_eq!(refused, [Fault::TokenInvalid, Fault::TokenInvalid]);
    assert_eq!(payer.count("ledger_entry WHERE action LIKE 'policy.%'"), 1);
}
