//! Business figures: counted from rows into minutes, hours and days, again when something changes, the same after a restart, and bounded. With a
//! clock that stands until the test moves it.

use crate::support::store::{TestStore, on_postgres};
use causeway::clock::Clock;
use causeway::context::{Context, GuessGuard, Payer, ReviewTerms, WorkBell};
use causeway::figures::job::{self, FIGURES};
use causeway::figures::tally::{ANSWERED, ASKED, CLOCK, DUPLICATE, MISSED, REPLAYED};
use causeway::ids::{Ids, before_all_of};
use causeway::jobs::{Chance, Runner, RunnerSettings};
use causeway::ops::alerts::items;
use causeway::ops::scorecard::period::CardPeriod;
use causeway::ops::scorecard::read::{scorecard, service};
use causeway::ops::slo::budget::SloState;
use causeway::ops::slo::read::{SloItem, report};
use causeway::store::Db;
use causeway::store::figures::{self as rows, ALL_PARTNERS, FigureGrain, FigureSpan, UP};
use causeway::store::guesses::GuessLimits;
use diesel::prelude::*;
use diesel::sql_types::Text;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// 2027-01-15T08:00:00Z, a Friday.
const NOW_MS: i64 = 1_800_000_000_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// An id of this instant (UTC milliseconds).
fn id(at_ms: i64, number: i64) -> String {
    format!("{}-7000-8000-{number:012x}", before_all_of(at_ms))
}

/// A store whose rows the test writes, and the job.
struct Bed {
    ctx: Context,
    _store: TestStore,
    runtime: Runtime,
    runner: Runner,
}

impl Bed {
    fn new() -> Bed {
        let store = TestStore::fresh();
        let ctx = Context {
            guard: Arc::new(GuessGuard::open(&store, GuessLimits::default()).expect("a guard")),
            store: store.clone(),
            clock: Clock::fixed(NOW_MS),
            ids: Ids::random(),
            payer: Arc::new(Payer {
                name: "Old Payer".into(),
                npi: "1992000012".into(),
                member_system: "http://old-payer.example/identifiers/member".into(),
                umb_system: "http://old-payer.example/identifiers/umb".into(),
                base_url: "https://localhost/fhir".into(),
                time_zone: chrono_tz::UTC,
            }),
            review: ReviewTerms::default(),
            matching: Arc::default(),
            keeping: Arc::default(),
            member_keys: causeway::secret::member_keys::MemberKeys::default(),
            policy_four_eyes: false,
            bell: WorkBell::default(),
        };
        let bed = Bed {
            runner: runner(&ctx),
            ctx,
            _store: store,
            runtime: Runtime::new().expect("a runtime"),
        };
        bed.runtime.block_on(bed.runner.prepare()).expect("prepared");
        bed
    }

    /// Moves the clock, and runs the job.
    #[track_caller]
    fn run_after(&self, ms: i64) {
        self.ctx.clock.advance_ms(ms);
        assert_eq!(self.runtime.block_on(self.runner.run_due()).expect("runs"), 1);
        let failed = "SELECT CAST(COUNT(*) AS TEXT) AS line FROM job WHERE attempts > 0";
        assert_eq!(self.lines(failed), ["0"], "the job failed");
    }

    #[track_caller]
    fn sql(&self, statement: &str) {
        let own = statement.to_owned();
        let write = move |db: &mut Db| Ok(diesel::sql_query(&own).execute(db)?);
        self.ctx.store.write_blocking(write).expect(statement);
    }

    fn lines(&self, query: &str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Line {
            #[diesel(sql_type = Text)]
            line: String,
        }
        let read = |db: &mut Db| Ok(diesel::sql_query(query).load::<Line>(db)?);
        let lines = self.ctx.store.read_blocking(read).expect(query);
        lines.into_iter().map(|row| row.line).collect()
    }

    /// Every figure, one line each.
    fn figures(&self) -> Vec<String> {
        self.lines(
            "SELECT grain || ' ' || partner_id || ' ' || CAST(begin_ms AS TEXT) || ' ' || figure || ' ' || kind || ' ' || state || ' ' || reason \
             || ' ' || CAST(total AS TEXT) AS line FROM business_figure WHERE figure <> 'up' ORDER BY 1",
        )
    }

    /// The states of a figure of all partners with their totals, over all time, in rows of this length.
    fn states(&self, grain: FigureGrain, figure: &str) -> Vec<(String, i64)> {
        let of = FigureSpan {
            grain,
            partner: ALL_PARTNERS,
            from_ms: 0,
            until_ms: i64::MAX,
        };
        let found = self
            .ctx
            .store
            .read_blocking(|db| rows::totals(db, of, figure))
            .expect("figures");
        found.into_iter().map(|total| (total.state, total.total)).collect()
    }

    fn exchanges(&self, began_ms: i64, partners: std::ops::Range<i64>, (phase, ended): (&str, &str), answer_due: &str) {
        let columns = "id, direction, kind, partner_id, correlation_id, workflow, policy_version, phase, identity_state, consent_state, \
                       transport_state, delivery_state, audit_state, owner, reason, step, round, attempts, deadline_ms, due_ms, answer_due_ms, \
                       version, created_ms, updated_ms, ended_ms";
        let due_ms = began_ms + 400 * DAY_MS;
        let values: Vec<String> = partners
            .map(|number| {
                format!(
                    "('{}', 'outbound', 'single', 'p{number:05}', 'c', 1, 'v', '{phase}', 'i', 'c', 't', 'none', 'open', 'partner', 'EX-012', 's', \
                     1, 1, {due_ms}, {due_ms}, {answer_due}, 1, {began_ms}, {began_ms}, {ended})",
                    id(began_ms, number)
                )
            })
            .collect();
        for some in values.chunks(1_000) {
            self.sql(&format!("INSERT INTO exchange ({columns}) VALUES {}", some.join(", ")));
        }
    }

    /// An entry of the ledger of now.
    fn entry(&self, action: &str, partner: &str, exchange: &str, text: &str) {
        let at_ms = self.ctx.clock.now_ms();
        let id = self.ctx.ids.new_id(at_ms);
        let bytes = match on_postgres() {
            true => format!("convert_to('{text}', 'UTF8')"),
            false => format!("CAST('{text}' AS BLOB)"),
        };
        self.sql(&format!(
            "INSERT INTO ledger_entry (id, at_us, action, partner_id, exchange_id, correlation_id, entry) \
             VALUES ('{id}', {at_ms} * 1000, '{action}', '{partner}', {exchange}, 'c', {bytes})"
        ));
    }

    #[track_caller]
    fn objective(&self, code: &str) -> SloItem {
        let now_ms = self.ctx.clock.now_ms();
        let found = self.ctx.store.read_blocking(|db| report(db, now_ms)).expect("a report");
        let item = found.items.into_iter().find(|item| item.objective == code);
        item.expect(code)
    }
}

fn runner(ctx: &Context) -> Runner {
    let settings = RunnerSettings {
        permits: 1,
        poll: Duration::from_secs(60),
        // A run over ten thousand partners is one attempt.
        lease: Duration::from_secs(600),
    };
    Runner::new(ctx, settings, vec![job::step()], Chance::seeded(1)).expect("fits")
}

/// States with their totals.
fn told(states: &[(&str, i64)]) -> Vec<(String, i64)> {
    states
        .iter()
        .map(|(state, total)| ((*state).to_owned(), *total))
        .collect()
}

#[test]
fn what_began_long_ago_days_ago_and_now_is_counted_once_and_again_when_it_changes() {
    let mut bed = Bed::new();
    assert_eq!(FIGURES.name, "figures");
    // Minutes are kept of the last, hours of the second, and days of all.
    let times = [
        NOW_MS - 200 * DAY_MS,
        NOW_MS - 5 * DAY_MS,
        NOW_MS - 3 * HOUR_MS,
        NOW_MS - MINUTE_MS,
    ];
    for at_ms in times {
        bed.exchanges(at_ms, 1..3, ("awaiting_partner", "NULL"), "NULL");
    }
    bed.run_after(0);
    let open = |total| told(&[("awaiting_partner", total)]);
    let days = |bed: &Bed| bed.states(FigureGrain::Day, ASKED);
    assert_eq!(bed.states(FigureGrain::Minute, ASKED), open(4));
    assert_eq!(bed.states(FigureGrain::Hour, ASKED), open(6));
    assert_eq!(days(&bed), open(4), "today is not over");
    let before = bed.figures();
    assert!(
        before.iter().any(|line| line.contains("p00001")),
        "each partner has its own"
    );

    // A second run, and one of another process, count the same.
    bed.run_after(61_000);
    bed.runner = runner(&bed.ctx);
    bed.run_after(61_000);
    assert_eq!(bed.figures(), before);

    // Each changes, and the ledger has an entry about it.
    let ended_ms = bed.ctx.clock.now_ms();
    for at_ms in times {
        let own = id(at_ms, 1);
        bed.sql(&format!(
            "UPDATE exchange SET phase = 'refused', ended_ms = {ended_ms} WHERE id = '{own}'"
        ));
        bed.entry("exchange.partner-refused", "p00001", &format!("'{own}'"), "{}");
    }
    bed.run_after(61_000);
    assert_eq!(
        bed.states(FigureGrain::Minute, ASKED),
        told(&[("awaiting_partner", 2), ("refused", 2)])
    );
    assert_eq!(
        bed.states(FigureGrain::Hour, ASKED),
        told(&[("awaiting_partner", 3), ("refused", 3)])
    );
    assert_eq!(days(&bed), told(&[("awaiting_partner", 2), ("refused", 2)]));

    // Tomorrow's day has all hours of today; in a hundred days only days are left, with the same sums.
    bed.run_after(DAY_MS);
    assert_eq!(days(&bed), told(&[("awaiting_partner", 4), ("refused", 4)]));
    for _ in 0..3 {
        bed.run_after(100 * DAY_MS);
    }
    assert!(bed.states(FigureGrain::Minute, ASKED).is_empty());
    assert!(bed.states(FigureGrain::Hour, ASKED).is_empty());
    assert_eq!(days(&bed), told(&[("awaiting_partner", 4), ("refused", 4)]));
}

#[test]
fn matches_repetitions_and_replays_are_counted_by_what_they_were() {
    let bed = Bed::new();
    for (number, outcome) in ["matched", "matched", "none"].iter().enumerate() {
        let number = i64::try_from(number).expect("few");
        let own = id(NOW_MS - MINUTE_MS, number);
        bed.sql(&format!(
            "INSERT INTO decision (id, partner_id, correlation_id, request_id, kind, outcome, policy_version, detail, created_ms) \
             VALUES ('{own}', 'p', 'c', 'r', 'member-match', '{outcome}', 'v', '{{}}', {NOW_MS})"
        ));
    }
    bed.entry("member-match.begun", "p", "NULL", "{\"reason\":\"replayed\"}");
    bed.entry("member-match.begun", "p", "NULL", "{\"reason\":\"other\"}");
    bed.entry("exchange.replayed", "p", &format!("'{}'", id(NOW_MS, 1)), "{}");
    bed.run_after(1_000);
    assert_eq!(
        bed.states(FigureGrain::Hour, ANSWERED),
        told(&[("matched", 2), ("none", 1)])
    );
    assert_eq!(bed.states(FigureGrain::Minute, DUPLICATE), told(&[("", 1)]));
    assert_eq!(bed.states(FigureGrain::Minute, REPLAYED), told(&[("", 1)]));
}

#[test]
fn clocks_that_were_missed_use_the_budget_burn_it_fast_and_say_why() {
    let bed = Bed::new();
    let due = |ago_ms: i64| (NOW_MS - ago_ms).to_string();
    let in_time = (NOW_MS - 2 * HOUR_MS).to_string();
    bed.exchanges(NOW_MS - 2 * DAY_MS, 0..2, ("completed", &in_time), &due(HOUR_MS / 2));
    bed.exchanges(
        NOW_MS - 2 * DAY_MS + 1,
        2..5,
        ("awaiting_partner", "NULL"),
        &due(HOUR_MS / 4),
    );
    // Not over yet: it is at risk.
    bed.exchanges(
        NOW_MS - 2 * DAY_MS + 2,
        5..6,
        ("awaiting_partner", "NULL"),
        &(NOW_MS + HOUR_MS).to_string(),
    );
    bed.run_after(0);
    assert_eq!(
        bed.states(FigureGrain::Minute, CLOCK),
        told(&[("kept", 2), (MISSED, 3)])
    );
    let item = bed.objective("business-day");
    assert_eq!(
        (item.state, item.kept, item.missed, item.at_risk, item.burns_fast),
        (SloState::Breached, 2, 3, 1, true)
    );
    assert_eq!((item.share_percent, item.burn_1h), (Some(40.0), Some(60.0)));
    let cause = item.causes.first().expect("a cause");
    assert_eq!(
        (
            cause.state.as_str(),
            cause.owner.as_str(),
            cause.reason.as_deref(),
            cause.missed
        ),
        ("awaiting_partner", "partner", Some("EX-012"), 3)
    );
    let raised = |bed: &Bed| {
        let now_ms = bed.ctx.clock.now_ms();
        let items = bed.ctx.store.read_blocking(|db| items(db, now_ms)).expect("alerts");
        items.into_iter().any(|item| {
            let says = item.says.unwrap_or_default();
            item.alert == "budget-burn" && says.contains("business-day")
        })
    };
    assert!(raised(&bed));
    let found = bed.ctx.store.read_blocking(|db| report(db, NOW_MS)).expect("a report");
    assert_eq!(found.newest_missed.len(), 3);
    assert!(found.newest_missed.iter().all(|miss| miss.owner == "partner"));
    // In a day the rows of the hours are no news, and the budget stays used.
    bed.run_after(DAY_MS);
    assert!(!raised(&bed));
    assert_eq!(bed.objective("business-day").missed, 4, "the last clock has ended, too");
    bed.run_after(40 * DAY_MS);
    assert_eq!(bed.objective("business-day").state, SloState::NoData);
}

#[test]
fn minutes_without_a_run_are_missed_and_a_pause_is_told() {
    let bed = Bed::new();
    assert_eq!(bed.objective("availability").state, SloState::NoData, "nothing ran yet");
    bed.run_after(0);
    for _ in 0..4 {
        bed.run_after(61_000);
    }
    let item = bed.objective("availability");
    assert_eq!((item.state, item.kept, item.missed), (SloState::Kept, 5, 0));
    bed.run_after(10 * MINUTE_MS);
    let item = bed.objective("availability");
    assert_eq!((item.state, item.kept, item.missed), (SloState::Breached, 6, 9));
    let up = bed.states(FigureGrain::Hour, UP);
    assert_eq!(up, told(&[("", 6)]));
}

#[test]
fn ten_thousand_partners_have_their_own_figures_and_all_of_them_are_a_few_rows() {
    let bed = Bed::new();
    bed.exchanges(NOW_MS - MINUTE_MS, 0..10_000, ("awaiting_partner", "NULL"), "NULL");
    bed.run_after(0);
    assert_eq!(
        bed.states(FigureGrain::Hour, ASKED),
        told(&[("awaiting_partner", 10_000)])
    );
    let of = FigureSpan {
        grain: FigureGrain::Hour,
        partner: ALL_PARTNERS,
        from_ms: NOW_MS - DAY_MS,
        until_ms: NOW_MS + 1,
    };
    let points = bed.ctx.store.read_blocking(|db| rows::points(db, of)).expect("points");
    assert!(points.len() <= 3, "{points:?}");
    let read = |db: &mut Db| rows::by_partner(db, of, [ASKED, ANSWERED]);
    let (partners, is_cut) = bed.ctx.store.read_blocking(read).expect("partners");
    assert_eq!((partners.len(), is_cut), (10_000, false));
    assert_eq!(partners[0], ("p00000".to_owned(), 1));
}

#[test]
fn a_scorecard_is_of_its_partner_and_period_alone() {
    let bed = Bed::new();
    let ended = (NOW_MS - 2 * HOUR_MS).to_string();
    bed.exchanges(NOW_MS - 3 * HOUR_MS, 1..3, ("completed", &ended), "NULL");
    bed.exchanges(NOW_MS - 4 * DAY_MS, 1..2, ("refused", &ended), "NULL");
    bed.exchanges(NOW_MS - 20 * DAY_MS, 1..2, ("failed", &ended), "NULL");
    bed.run_after(0);
    let of = |partner: Option<&str>, name: &str| {
        let period = CardPeriod::asked("--period", Some(name), NOW_MS).expect("a period");
        let read = |db: &mut Db| scorecard(db, partner, &period, NOW_MS);
        bed.ctx.store.read_blocking(read).expect("a scorecard")
    };
    let month = of(Some("p00001"), "month");
    let figures = &month.figures;
    assert_eq!((month.period.as_str(), month.is_over), ("2027-01", false));
    assert_eq!(
        (figures.asked, figures.completed, figures.refused, figures.failed),
        (2, 1, 1, 0)
    );
    assert_eq!(figures.median_within_s.as_deref(), Some("3600"));
    assert_eq!((month.before.asked, month.before.failed), (1, 1), "26 December");
    assert_eq!(
        (month.days.len(), month.days[14].asked, month.days[10].asked),
        (15, 1, 1)
    );
    let all = of(None, "month");
    assert_eq!((all.partner.as_str(), all.figures.asked), ("(all)", 3));
    assert_eq!(of(Some("p00009"), "week").figures.asked, 0);
    let period = CardPeriod::asked("--period", None, NOW_MS).expect("a period");
    let read = |db: &mut Db| service(db, &period, NOW_MS);
    let whole = bed.ctx.store.read_blocking(read).expect("a report");
    let told: Vec<(&str, i64)> = whole
        .partners
        .iter()
        .map(|one| (one.partner.as_str(), one.exchanged))
        .collect();
    assert_eq!(told, [("p00001", 2), ("p00002", 1)]);
    assert_eq!((whole.partners_active, whole.partners_are_cut), (2, false));
    assert_eq!(whole.slo.items.len(), 5);
}

#[test]
fn ten_years_are_read_by_days_alone() {
    let bed = Bed::new();
    let values: Vec<String> = (0..3_653)
        .map(|day| {
            let begin_ms = FigureGrain::Day.floor(NOW_MS) - (day + 2) * DAY_MS;
            format!("('day', '', {begin_ms}, 'asked', 'single', 'outbound', 'completed', '', '', 2)")
        })
        .collect();
    for some in values.chunks(1_000) {
        bed.sql(&format!("INSERT INTO business_figure VALUES {}", some.join(", ")));
    }
    let of = FigureSpan {
        grain: FigureGrain::Day,
        partner: ALL_PARTNERS,
        from_ms: 0,
        until_ms: NOW_MS,
    };
    let points = bed.ctx.store.read_blocking(|db| rows::points(db, of)).expect("points");
    assert_eq!(points.len(), 3_653);
    let totals = bed
        .ctx
        .store
        .read_blocking(|db| rows::totals(db, of, ASKED))
        .expect("totals");
    assert_eq!((totals.len(), totals[0].total), (1, 7_306));
}
