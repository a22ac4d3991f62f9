//! Bulk jobs over one PostgreSQL store: several workers share the pieces of a job, no partner waits for another one's jobs longer than its
//! share, and the number of jobs of a partner holds however many servers it asks at once.

use crate::support::payer::{TestPayer, program, today};
use crate::support::store::on_postgres;
use crate::support::use_case::{caller, context};
use causeway::bulk::export::{
    self,
    asked::{ExportAsked, ReadingOfParameters},
};
use causeway::clock::Clock;
use causeway::config::Config;
use causeway::context::Context;
use causeway::error::Fault;
use causeway::store::Db;
use causeway::synth::SynthOptions;
use diesel::RunQueryDsl as _;
use diesel::connection::SimpleConnection as _;
use diesel::sql_types::BigInt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Members on whom each partner has a grant: several pieces.
const MEMBERS: u64 = 500;
const PARTNERS: i64 = 20;
/// Jobs of the partner that begins first.
const GREEDY: usize = 4;
const WORKERS: usize = 3;
const WAIT: Duration = Duration::from_secs(240);

struct Worker(Child);

impl Worker {
    fn start(payer: &TestPayer) -> Worker {
        let mut command = program(payer.home());
        command
            .args(["worker", "--quiet", "--log-file", "server.log"])
            .env("CAUSEWAY_JOBS__POLL_SECONDS", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Worker(command.spawn().expect("a worker"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Partners `p1` to `p20` with a grant on each member, as rows beside those of an import.
fn partners(payer: &TestPayer) {
    let sql = format!(
        "INSERT INTO partner SELECT (jsonb_populate_record(p, jsonb_build_object('id', 'p' || n, 'client_id', 'p' || n, \
             'certificate_uri', 'https://p' || n || '.example/fhir'))).* \
           FROM partner p, generate_series(1, {PARTNERS}) n WHERE p.id = 'new-payer'; \
         INSERT INTO consent (id, partner_id, patient_id, digest, policy, period_from_ms, period_to_ms, body, recorded_ms) \
           SELECT 'k' || n || '-' || c.no, 'p' || n, c.patient_id, '\\x00', 'regular', 0, 4102444800000, '{{}}', 1 \
           FROM compartment c, generate_series(1, {PARTNERS}) n WHERE c.no > 0; \
         INSERT INTO grants (id, partner_id, compartment, patient_id, consent_id, decision_id, sensitive, valid_from_ms, valid_until_ms, \
             created_ms, renewed_ms) \
           SELECT 'g' || n || '-' || c.no, 'p' || n, c.no, c.patient_id, 'k' || n || '-' || c.no, 'd', 0, 0, 4102444800000, 1, 1 \
           FROM compartment c, generate_series(1, {PARTNERS}) n WHERE c.no > 0; \
         ANALYZE"
    );
    payer.db().batch_execute(&sql).expect("rows");
}

async fn begin(ctx: &Context, partner: i64) -> Result<String, Fault> {
    begin_by(ctx, format!("p{partner}")).await
}

async fn begin_by(ctx: &Context, partner: String) -> Result<String, Fault> {
    let mut caller = caller();
    caller.partner.id = partner;
    let limits = Config::defaults().expect("defaults").bulk;
    let asked = ExportAsked::default();
    let began = Instant::now();
    loop {
        let begun = export::begin(
            ctx,
            &limits,
            &caller,
            (&asked, ReadingOfParameters::default()),
            (String::new(), None),
        )
        .await;
        match begun.map_err(|failure| failure.fault()) {
            // On a machine that stands still a place in the store does not become free in time.
            Err(Fault::Overloaded | Fault::StoreSlow) if began.elapsed() < WAIT => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            begun => return begun,
        }
    }
}

fn number(payer: &TestPayer, sql: &str) -> i64 {
    number_of(&mut payer.db(), sql)
}

fn number_of(db: &mut Db, sql: &str) -> i64 {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let row: Row = diesel::sql_query(sql).get_result(db).expect("a number");
    row.n
}

/// Waits until nothing is left to do; the longest time from a job's begin to its end among those of these partners, milliseconds.
fn longest_ms(payer: &TestPayer, of: &str) -> i64 {
    let began = Instant::now();
    while payer.count("bulk_job WHERE state IN ('waiting', 'running')") > 0 {
        assert!(began.elapsed() < WAIT, "{}", payer.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(payer.count("bulk_job WHERE state <> 'done'"), 0, "{}", payer.log());
    number(
        payer,
        &format!("SELECT MAX(updated_ms - created_ms) AS n FROM bulk_job WHERE {of}"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_partners_export_at_once_and_none_waits_for_more_than_its_share() {
    if !on_postgres() {
        println!("one process has a SQLite store; nothing is shared there");
        return;
    }
    let (payer, _) = TestPayer::prepare_with(SynthOptions {
        members: MEMBERS,
        resources_per_member: 4,
        as_of: today(),
        ..SynthOptions::default()
    });
    partners(&payer);
    let ctx = context(&payer, Clock::System).await;
    let _workers: Vec<Worker> = (0..WORKERS).map(|_| Worker::start(&payer)).collect();
    begin(&ctx, 1).await.expect("begun");
    let alone_ms = longest_ms(&payer, "TRUE");
    // Its pieces were done by several jobs of the queue, which any worker may have.
    let hands = payer.count("job WHERE kind = 'bulk-export'");
    for _ in 0..GREEDY {
        begin(&ctx, 1).await.expect("begun");
    }
    for partner in 2..=PARTNERS {
        begin(&ctx, partner).await.expect("begun");
    }
    let slowest_ms = longest_ms(&payer, "partner_id <> 'p1'");
    println!("alone {alone_ms} ms by {hands} jobs; the slowest of {PARTNERS} partners at once {slowest_ms} ms");
    // Whose turn it is when all wait is tried without a clock in `jobs::rules`; here the machine may be busier than it was before.
    let most_ms = (2 * PARTNERS * alone_ms).max(120_000);
    assert!(slowest_ms <= most_ms, "{slowest_ms} ms; alone {alone_ms} ms");
    let counts = "SELECT COUNT(DISTINCT total) AS n FROM (SELECT job_id, SUM(resources) AS total FROM bulk_file WHERE side = 'output' \
                  GROUP BY job_id) AS t";
    assert_eq!(number(&payer, counts), 1, "all have the same records");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_that_asks_many_times_at_once_has_no_more_jobs_than_it_may() {
    let (payer, _) = TestPayer::prepare(4);
    let ctx = context(&payer, Clock::System).await;
    let asking = (0..12).map(|_| {
        let ctx = ctx.clone();
        tokio::spawn(async move { begin_by(&ctx, caller().partner.id).await })
    });
    let mut begun = 0;
    for one in asking.collect::<Vec<_>>() {
        match one.await.expect("runs") {
            Ok(_) => begun += 1,
            Err(fault) => assert_eq!(fault, Fault::BulkBusy),
        }
    }
    assert_eq!((begun, payer.count("bulk_job")), (4, 4));
}

/// The same for two partners, neither of which waits for the other one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_partners_that_ask_many_times_at_once_have_each_what_they_may() {
    if !on_postgres() {
        println!("one process has a SQLite store; nothing is shared there");
        return;
    }
    let (payer, _) = TestPayer::prepare(4);
    partners(&payer);
    let ctx = context(&payer, Clock::System).await;
    let asking = (0..24).map(|at| {
        let ctx = ctx.clone();
        tokio::spawn(async move { begin(&ctx, 1 + at % 2).await })
    });
    let mut begun = 0;
    for one in asking.collect::<Vec<_>>() {
        match one.await.expect("runs") {
            Ok(_) => begun += 1,
            Err(fault) => assert_eq!(fault, Fault::BulkBusy),
        }
    }
    let of = |partner: &str| payer.count(&format!("bulk_job WHERE partner_id = '{partner}'"));
    assert_eq!((begun, of("p1"), of("p2")), (8, 4, 4));
    assert_eq!(payer.count("ledger_entry WHERE action = 'bulk.begun'"), 8);
}

/// Whoever changes a job locks its row first: the end of a job, which waits for that row, must not hold what its cancellation needs next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_job_and_its_cancellation_do_not_wait_for_each_other() {
    if !on_postgres() {
        println!("one process has a SQLite store; nothing waits there");
        return;
    }
    for (end, state) in [
        ("UPDATE bulk_job SET deadline_ms = 1", "failed"),
        ("UPDATE bulk_job SET state = 'done', expires_ms = 1", "gone"),
    ] {
        let (payer, _) = TestPayer::prepare(4);
        let ctx = context(&payer, Clock::System).await;
        let limits = Config::defaults().expect("defaults").bulk;
        let asked = (&ExportAsked::default(), ReadingOfParameters::default());
        let id = export::begin(&ctx, &limits, &caller(), asked, (String::new(), None)).await;
        let id = id.expect("begun");
        let mut db = payer.db();
        for sql in [
            end,
            "DELETE FROM job WHERE kind = 'bulk-export'",
            "UPDATE job SET due_ms = 0 WHERE kind = 'bulk-end'",
        ] {
            db.batch_execute(sql).expect("changed");
        }
        let pid = number_of(&mut db, "SELECT pg_backend_pid()::bigint AS n");
        db.batch_execute(&format!("BEGIN; SELECT id FROM bulk_job WHERE id = '{id}' FOR UPDATE"))
            .expect("held");
        let _worker = Worker::start(&payer);
        let waiting = format!("SELECT COUNT(*) AS n FROM pg_stat_activity WHERE {pid} = ANY(pg_blocking_pids(pid))");
        let began = Instant::now();
        while number(&payer, &waiting) == 0 {
            assert!(began.elapsed() < WAIT, "{}", payer.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        // What a cancellation does next.
        let next =
            "SET LOCAL lock_timeout = '60s'; UPDATE job SET updated_ms = updated_ms WHERE kind = 'bulk-end'; COMMIT";
        db.batch_execute(next).expect("nobody holds it");
        let is_over = || match state {
            "gone" => payer.count("bulk_job") == 0,
            state => payer.count(&format!("bulk_job WHERE state = '{state}'")) == 1,
        };
        while !is_over() {
            assert!(began.elapsed() < WAIT, "{state}: {}", payer.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
