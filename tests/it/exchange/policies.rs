//! Versions of the policies by which exchanges work: for one partner first, at a time, by two people, back again, and what another version would
//! have decided. Over both stores, with a clock that stands.

use super::bed::{Bed, HOUR, NOW, wish};
use super::scripted::{Scripted, failing};
use causeway::audit::OperatorNote;
use causeway::context::Context;
use causeway::error::{Failure, Fault};
use causeway::exchange::intake::ExchangeWish;
use causeway::exchange::retry;
use causeway::exchange::steps::TransportFailure;
use causeway::ops::policies::acts;
use causeway::ops::policy_kinds::KINDS;
use causeway::ops::policy_replay::{self, ReplayItem};
use causeway::policy::{self, Activated, ActivationWish, NewVersion, PolicyHand, PolicyKind, Version, VersionState};
use causeway::store::{Db, activations};

fn by(operator: &str) -> PolicyHand {
    PolicyHand::from(OperatorNote {
        operator: operator.to_owned(),
        reason: "a test".to_owned(),
    })
}

fn import(ctx: &Context, kind: PolicyKind, name: &str, text: &str) -> Result<Version, Failure> {
    let new = NewVersion {
        kind,
        text,
        name,
        point: None,
    };
    policy::import(ctx, KINDS, &new, &by("uid-1/ana"))
}

/// The retry tables that ship, where a request that was not sent is tried twice only.
fn hasty(ctx: &Context) -> Version {
    let ships = policy::in_force(ctx, KINDS, PolicyKind::Retry).expect("a version").body;
    let text = ships.replace("not-sent repeat 1000 300000 8", "not-sent repeat 1000 300000 2");
    import(ctx, PolicyKind::Retry, "hasty", &text).expect("imported")
}

fn activate(ctx: &Context, id: &str, partners: &[&str], at_ms: Option<i64>) -> Result<Activated, Failure> {
    let wish = ActivationWish {
        partners: partners.iter().map(|&partner| partner.to_owned()).collect(),
        at_ms,
    };
    policy::activate(ctx, KINDS, (None, id), &wish, &by("uid-1/ana"))
}

fn replay(bed: &Bed, id: &str, version: &str) -> ReplayItem {
    let read = |db: &mut Db| policy_replay::replay(&bed.ctx, db, id, (None, version));
    bed.ctx.store.read_blocking(read).expect("replayed")
}

fn with(partner: &str, member: &str) -> ExchangeWish {
    ExchangeWish {
        partner: partner.into(),
        member_id: member.into(),
        ..wish()
    }
}

fn state(ctx: &Context, id: &str) -> (VersionState, Vec<String>) {
    let version = policy::find(ctx, KINDS, None, id).expect("there");
    (version.standing, version.partners)
}

#[test]
fn a_retry_version_decides_for_one_partner_first_and_an_exchange_keeps_the_one_with_which_it_began() {
    let bed = Bed::new();
    bed.partner("third-payer");
    let partner = Scripted::that(|_, _, _| failing(TransportFailure::NotSent, None));
    let version = hasty(&bed.ctx);
    assert!(version.version.starts_with("hasty-"), "{}", version.version);

    let before = bed.started();
    activate(&bed.ctx, &version.id, &["old-payer"], None).expect("activated");
    assert_eq!(state(&bed.ctx, &version.id).1, ["old-payer"]);
    bed.ctx.clock.advance_ms(1);
    let own = bed.start(&with("third-payer", "m1")).expect("started").exchange_id;
    bed.member("m2");
    let after = bed.start(&with("old-payer", "m2")).expect("started").exchange_id;
    for id in [&before, &own, &after] {
        bed.run_through(&partner, id, 20 * HOUR);
    }
    let said = |id: &str| {
        let failed = bed
            .attempts(id)
            .iter()
            .filter(|one| one.class.as_deref() == Some("not-sent"))
            .count();
        (bed.exchange(id).policy_version, failed)
    };
    assert_eq!(said(&before), (retry::version().to_owned(), 8), "it keeps its version");
    assert_eq!(said(&own), (retry::version().to_owned(), 8), "another partner");
    assert_eq!(said(&after), (version.version.clone(), 2));
    let cited =
        format!("SELECT COUNT(*) FROM ledger_entry WHERE exchange_id = '{after}' AND action = 'exchange.parked'");
    assert_eq!(bed.number(&cited), 1);

    let same = replay(&bed, &after, &version.version);
    assert_eq!((same.differs, same.attempts.len()), (Some(false), 2), "{same:?}");
    assert_eq!(same.decided.as_deref(), Some("operator"));
    let ships = replay(&bed, &after, retry::version());
    assert_eq!(
        (ships.differs, ships.would.as_deref()),
        (Some(true), Some("again")),
        "{ships:?}"
    );
    let several = policy::find(&bed.ctx, KINDS, None, "default").expect_err("a name of versions of several kinds");
    assert_eq!(several.fault(), Fault::PolicyUnknown);
}

#[test]
fn what_another_version_would_have_decided_is_told_for_each_attempt() {
    let bed = Bed::new();
    let partner = Scripted::that(|_, _, _| failing(TransportFailure::NotSent, None));
    let (version, id) = (hasty(&bed.ctx), bed.started());
    bed.run_through(&partner, &id, 20 * HOUR);
    let own = replay(&bed, &id, retry::version());
    assert_eq!((own.differs, own.attempts.len()), (Some(false), 8), "{own:?}");
    let other = replay(&bed, &id, &version.id);
    let differ: Vec<i64> = other
        .attempts
        .iter()
        .filter(|one| one.differs)
        .map(|one| one.attempt)
        .collect();
    assert_eq!(differ, [2, 3, 4, 5, 6, 7], "it would have stopped at the second");
    assert_eq!(other.decided_by, retry::version());
    let wanted = (None, version.id.as_str());
    let sum = bed
        .ctx
        .store
        .read_blocking(|db| policy_replay::compare(&bed.ctx, db, wanted, Some("old-payer"), 10));
    let sum = sum.expect("compared");
    assert_eq!((sum.compared, sum.different, sum.examples), (1, 1, vec![id]));
}

#[test]
fn a_version_takes_effect_at_its_time_and_the_way_back_leads_to_what_was_before() {
    let bed = Bed::new();
    let (ctx, version) = (&bed.ctx, hasty(&bed.ctx));
    let decides = |partner: &str| {
        let now_ms = ctx.clock.now_ms();
        let read = |db: &mut Db| activations::in_force(db, "retry", partner, now_ms);
        ctx.store.read_blocking(read).expect("read")
    };
    for (at_ms, place) in [(NOW - 1, "the past"), (NOW + 400 * 24 * HOUR, "too far")] {
        let refused = activate(ctx, &version.id, &[], Some(at_ms)).expect_err(place);
        assert_eq!(refused.fault(), Fault::PolicyInvalid, "{place}");
    }
    activate(ctx, &version.id, &[], Some(NOW + HOUR)).expect("scheduled");
    assert_eq!(decides("old-payer"), None);
    assert_eq!(state(ctx, &version.id).0, VersionState::Scheduled(NOW + HOUR));
    ctx.clock.advance_ms(HOUR - 1);
    assert_eq!(decides("old-payer"), None, "a millisecond too early");
    ctx.clock.advance_ms(1);
    assert_eq!(decides("old-payer").as_ref(), Some(&version.id));
    assert_eq!(state(ctx, &version.id).0, VersionState::Active(Some(NOW + HOUR)));

    ctx.clock.advance_ms(1);
    let back = policy::roll_back(ctx, KINDS, PolicyKind::Retry, &[], &by("uid-1/bo")).expect("back");
    assert_eq!(back.version.version, retry::version());
    assert_eq!(state(ctx, &version.id).0, VersionState::Idle);
    ctx.clock.advance_ms(1);
    let again = policy::roll_back(ctx, KINDS, PolicyKind::Retry, &["old-payer".into()], &by("uid-1/bo"));
    assert_eq!(
        again.expect("forth").version.id,
        version.id,
        "for one partner, what was before"
    );
    assert_eq!(state(ctx, &version.id).1, ["old-payer"]);
    let nothing = policy::roll_back(ctx, KINDS, PolicyKind::Escalation, &[], &by("uid-1/bo")).expect_err("nothing");
    assert_eq!(nothing.fault(), Fault::ActivationUnknown);

    ctx.clock.advance_ms(1);
    let later = activate(ctx, &version.id, &[], Some(ctx.clock.now_ms() + HOUR)).expect("scheduled");
    policy::withdraw(ctx, KINDS, &later.act_id, &by("uid-1/bo")).expect("withdrawn");
    ctx.clock.advance_ms(2 * HOUR);
    assert_eq!(decides("third-payer").as_deref(), Some(back.version.id.as_str()));
    let late = policy::withdraw(ctx, KINDS, &again_act(&bed), &by("uid-1/bo")).expect_err("it decides");
    assert_eq!(late.fault(), Fault::ActivationUnknown);
    let actions = |action: &str| bed.number(&format!("SELECT COUNT(*) FROM ledger_entry WHERE action = '{action}'"));
    assert_eq!(
        [
            "policy.imported",
            "policy.activated",
            "policy.rolled-back",
            "policy.withdrawn"
        ]
        .map(actions),
        [1, 2, 2, 1],
        "each act is an entry, and nothing that was refused"
    );
}

/// The act that is in force for `old-payer`.
fn again_act(bed: &Bed) -> String {
    let now_ms = bed.ctx.clock.now_ms();
    let all = bed
        .ctx
        .store
        .read_blocking(|db| acts(db, Some(PolicyKind::Retry), now_ms))
        .expect("read");
    let one = all
        .into_iter()
        .find(|act| act.state == "in-force" && act.partner.is_some());
    one.expect("an act").id
}

#[test]
fn with_four_eyes_a_version_waits_for_another_person() {
    let bed = Bed::new();
    let ctx = &Context {
        policy_four_eyes: true,
        ..bed.ctx.clone()
    };
    let version = hasty(ctx);
    let asked = activate(ctx, &version.id, &["old-payer"], None).expect("asked");
    assert!(asked.waits);
    ctx.clock.advance_ms(1);
    assert_eq!(state(ctx, &version.id).0, VersionState::Waiting(NOW));
    for operator in ["uid-1/ana", "uid-1/ANA", "uid-1"] {
        let refused = policy::approve(ctx, KINDS, &asked.act_id, &by(operator)).expect_err(operator);
        assert_eq!(refused.fault(), Fault::PolicySecondNeeded, "{operator}");
    }
    assert_eq!(state(ctx, &version.id).0, VersionState::Waiting(NOW), "nothing changed");
    let done = policy::approve(ctx, KINDS, &asked.act_id, &by("uid-1/bo")).expect("approved");
    assert_eq!((done.waits, done.effective_ms), (false, NOW + 1));
    assert_eq!(
        state(ctx, &version.id),
        (VersionState::Partial(NOW + 1), vec!["old-payer".into()])
    );
    let twice = policy::approve(ctx, KINDS, &asked.act_id, &by("uid-1/bo")).expect_err("twice");
    assert_eq!(twice.fault(), Fault::ActivationUnknown);
    let noted = |action: &str| {
        bed.number(&format!(
            "SELECT COUNT(*) FROM ledger_entry l JOIN operator_note n ON n.entry_id = l.id \
             WHERE l.action = '{action}' AND l.partner_id = 'old-payer'"
        ))
    };
    assert_eq!(
        ["policy.proposed", "policy.approved", "policy.activated"].map(noted),
        [1, 1, 0]
    );
}

#[test]
fn texts_and_acts_that_are_wrong_are_refused_and_nothing_changes() {
    let bed = Bed::new();
    let ctx = &bed.ctx;
    for (kind, text, fault, place) in [
        (
            PolicyKind::Escalation,
            "escalation 1\nautomatic_hours = 24\nodd = 1\n",
            Fault::PolicyInvalid,
            "line 3",
        ),
        (
            PolicyKind::Escalation,
            "escalation 1\nautomatic_hours = 0\n",
            Fault::PolicyInvalid,
            "line 2",
        ),
        (
            PolicyKind::ErrorTexts,
            "error-texts 1\nMM-999 = Call us.\n",
            Fault::PolicyInvalid,
            "line 2",
        ),
        (
            PolicyKind::Dialects,
            "{\"hrex\":\"9.9\",\"pdex\":\"2.2\",\"us_core\":\"6.1.0\"}",
            Fault::PolicyInvalid,
            "line 0",
        ),
        (
            PolicyKind::Dialects,
            "{\"hrex\":\"1.1\",\"pdex\":\"2.2\",\"us_core\":\"6.1.0\",\"odd\":1}",
            Fault::PolicyInvalid,
            "line 0",
        ),
        (
            PolicyKind::Retry,
            "not-sent repeat 1000 300000 8\n",
            Fault::PolicyInvalid,
            "line 0",
        ),
    ] {
        let refused = import(ctx, kind, "x", text).expect_err(text);
        assert_eq!(
            (refused.fault(), refused.expressions()),
            (fault, [place.to_owned()].as_slice()),
            "{text}"
        );
    }
    for kind in [PolicyKind::Release, PolicyKind::Consent] {
        let ships = policy::in_force(ctx, KINDS, kind).expect("a document");
        assert_eq!(
            import(ctx, kind, "x", "x").expect_err("code").fault(),
            Fault::PolicyFixed
        );
        let refused = policy::activate(
            ctx,
            KINDS,
            (Some(kind), &ships.id),
            &ActivationWish::default(),
            &by("uid-1"),
        );
        assert_eq!(refused.expect_err("code").fault(), Fault::PolicyFixed);
    }
    let version = hasty(ctx);
    let unknown = activate(ctx, &version.id, &["nobody"], None).expect_err("no such partner");
    assert_eq!(unknown.fault(), Fault::PartnerUnknown);
    let store_only = policy::adopt(ctx, KINDS, "survivorship 1\n", &by("uid-1")).expect_err("a short text");
    assert_eq!(store_only.fault(), Fault::PolicyInvalid);
    assert_eq!(bed.number("SELECT COUNT(*) FROM policy_activation"), 0);
    assert_eq!(
        bed.number("SELECT COUNT(*) FROM ledger_entry WHERE action LIKE 'policy.%'"),
        1,
        "the one import"
    );
}

#[test]
fn an_escalation_version_hands_an_exchange_to_an_operator_sooner_and_its_entries_cite_it() {
    let bed = Bed::new();
    let partner = Scripted::that(|_, _, _| failing(TransportFailure::NotSent, None));
    let soon = import(
        &bed.ctx,
        PolicyKind::Escalation,
        "soon",
        "escalation 1\nautomatic_hours = 1\n",
    )
    .expect("imported");
    activate(&bed.ctx, &soon.id, &["old-payer"], None).expect("activated");
    bed.ctx.clock.advance_ms(1);
    let id = bed.started();
    assert_eq!(bed.exchange(&id).deadline_ms, NOW + 1 + HOUR);
    bed.run_through(&partner, &id, 48 * HOUR);
    assert_eq!(bed.exchange(&id).phase, "requested");
    let default = replay(&bed, &id, &soon.version);
    assert_eq!(default.differs, Some(false), "{default:?}");
    assert_eq!(default.decided_by, soon.id);
}
