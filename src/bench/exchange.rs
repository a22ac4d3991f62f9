//! Measures whole exchanges of small records: both payers are servers of this program on this machine, and each exchange is complete when its
//! record is stored and its receipt acknowledged. How fast what came is stored is measured twice: of many small records of a bulk run, where
//! the steps of their exchanges cost most, and of one long record.
//!
//! Nothing is simulated: tokens, TLS and both ledgers are those of production. With `--table` the store of the asking payer is filled with old
//! exchanges between the legs.

use super::database::Database;
use super::old_exchanges::RestingStore;
use super::plan::BenchPlan;
use super::process::{ServerProcess, cpu_s_of};
use super::report::{BenchFigure, Limit};
use super::site::Installation;
use crate::clock::Clock;
use crate::dev::new_payer::{AskedPayer, LOOK, NewPayer, an_hour_ago};
use crate::dev::program;
use crate::error::{Failure, Fault};
use crate::synth::{Member, SharingPolicy, Variation};
use crate::terminal::Out;
use serde_json::{Value, json};
use std::ops::Range;
use std::time::{Duration, Instant};

/// Exchanges of a leg.
const LEG: u64 = 300;
/// Exchanges of the first leg, one after the other, so that no two share a durable transaction.
const ALONE: u64 = 100;
/// Exchanges of the leg whose members are asked for in one bulk run.
const IN_BULK: u64 = 1_000;
/// How the asking server is told to do one after the other.
const ONE_AT_ONCE: &[(&str, &str)] = &[("CAUSEWAY_JOBS__AT_ONCE", "1")];
/// Resources of the first member, whose record is brought alone; the others have few in any case.
const LARGE_RECORD: u64 = 20_000;
/// The exchanges of the bulk runs.
const OF_RUNS: &str = "exchange_id IN (SELECT exchange_id FROM bulk_run_member WHERE state = 'received')";
/// The exchange of the first member.
const OF_LARGE: &str = "exchange_id IN (SELECT id FROM exchange ORDER BY created_ms DESC LIMIT 1)";
/// Least resources that are stored in a second.
const INGEST_LEAST: f64 = 10_000.0;
/// Exchanges in the store before each leg of the table.
const STORES: [(&str, u64); 4] = [
    ("exchange-store-1000", 1_000),
    ("exchange-store-10000", 10_000),
    ("exchange-store-100000", 100_000),
    ("exchange-store-1000000", 1_000_000),
];
/// Seed of the old exchanges.
const SEED: u64 = 1;
/// Most durable transactions of the asking payer for one exchange.
const COMMITS_MAX: f64 = 15.0;
/// Time limit of a leg.
const PATIENCE: Duration = Duration::from_secs(300);
/// Id of the asked payer.
const OLD_PAYER: &str = "old-payer";

/// Runs the legs.
///
/// # Errors
/// Those of both payers; [`Fault::PartnerAnswer`] when an exchange is not completed.
pub(super) fn measure(plan: &BenchPlan, out: &mut Out) -> Result<Vec<BenchFigure>, Failure> {
    let legs = 1 + if plan.table { STORES.len() as u64 } else { 0 };
    let members = ALONE + legs * LEG + IN_BULK + 1;
    let site = Installation::of_size(plan, members, LARGE_RECORD, out)?;
    let database = plan.postgres.as_deref().map(Database::create).transpose()?;
    let url = database.as_ref().map_or("sqlite:causeway.db", |database| &database.url);
    let new = NewPayer::make(&site.files, url)?;
    let old = site.start_serve()?;
    let mut asking = Asking {
        site: &site,
        old: &old,
        new,
        url: url.to_owned(),
        next: 1,
    };
    asking.prepare(members)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Fault::Internal).because(error))?;
    let mut figures = Vec::new();
    runtime.block_on(async {
        let alone = asking.next_members(ALONE);
        let alone = asking.leg("exchange-alone", alone, (ONE_AT_ONCE, false)).await?;
        let mut commits = BenchFigure::new("exchange-commits", "transactions", site.store, alone.commits);
        commits.rows = ALONE;
        figures.extend([alone.figure, commits.limit(Limit::AtMost(COMMITS_MAX))]);
        let waiting = asking.next_members(LEG);
        figures.push(asking.leg("exchange", waiting, (&[], false)).await?.figure);
        let in_bulk = asking.next_members(IN_BULK);
        figures.push(asking.leg("exchange-bulk", in_bulk, (&[], true)).await?.figure);
        figures.push(asking.ingest("exchange-bulk-ingest", OF_RUNS)?);
        figures.push(asking.leg("exchange-large", 0..1, (&[], false)).await?.figure);
        figures.push(
            asking
                .ingest("exchange-ingest", OF_LARGE)?
                .limit(Limit::AtLeast(INGEST_LEAST)),
        );
        let stores: &[(&'static str, u64)] = if plan.table { &STORES } else { &[] };
        for (name, wanted) in stores {
            let began = Instant::now();
            asking.store()?.age(*wanted, SEED)?;
            out.note(&format!(
                "{wanted} exchanges in the store after {:.0} s",
                began.elapsed().as_secs_f64()
            ));
            let waiting = asking.next_members(LEG);
            figures.push(asking.leg(name, waiting, (&[], false)).await?.figure);
        }
        Ok::<_, Failure>(())
    })?;
    drop(asking);
    old.stop()?;
    Ok(figures)
}

/// Both payers.
struct Asking<'b> {
    site: &'b Installation,
    old: &'b ServerProcess,
    new: NewPayer,
    url: String,
    /// The member about whom the next exchange is.
    next: u64,
}

struct LegResult {
    figure: BenchFigure,
    /// Durable transactions of the asking payer for one exchange.
    commits: f64,
}

impl Asking<'_> {
    fn prepare(&self, members: u64) -> Result<(), Failure> {
        self.new.register(&AskedPayer {
            id: OLD_PAYER,
            name: self.site.options.payer_name.clone(),
            npi: self.site.options.payer_npi.clone(),
            fhir: self.site.base_url.clone(),
            trust: self.site.files.read("ca.pem")?,
        })?;
        let patients = (0..members).map(|index| self.patient(index));
        self.new.enter(&patients.collect::<Result<Vec<_>, Failure>>()?)
    }

    /// A member as the asking payer knows the person.
    fn patient(&self, index: u64) -> Result<Value, Failure> {
        let body = self
            .site
            .body(&self.site.member(index), SharingPolicy::Regular, Variation::Exact);
        let body: Value =
            serde_json::from_slice(&body).map_err(|error| Failure::new(Fault::Internal).because(error))?;
        let mut patient = body["parameter"][0]["resource"].clone();
        patient["id"] = format!("m{index}").into();
        Ok(patient)
    }

    fn enrolment(&self, index: u64) -> Value {
        let member: Member = self.site.member(index);
        json!({"partner": OLD_PAYER, "member": format!("Patient/m{index}"), "other_member_number": member.member_number,
            "other_number_system": self.site.options.member_system, "opt_in_by": "bench", "opt_in_at": an_hour_ago(),
            "opt_in_how": "portal"})
    }

    fn store(&self) -> Result<RestingStore, Failure> {
        match self.url.strip_prefix("sqlite:") {
            Some(name) => RestingStore::open(&format!("sqlite:{}", self.new.folder.join(name).display())),
            None => RestingStore::open(&self.url),
        }
    }

    /// The next members in line.
    fn next_members(&mut self, count: u64) -> Range<u64> {
        let first = self.next;
        self.next += count;
        first..self.next
    }

    /// How fast the records of these exchanges were checked and stored, in durable transactions.
    fn ingest(&self, name: &'static str, of: &str) -> Result<BenchFigure, Failure> {
        let mut store = self.store()?;
        let resources = store.number(&format!(
            "SELECT CAST(COALESCE(SUM(stored + unchanged), 0) AS BIGINT) AS n FROM exchange_result WHERE {of}"
        ))?;
        let took_ms = store.number(&format!(
            "SELECT COALESCE(MAX(ended_ms) - MIN(started_ms), 0) AS n FROM exchange_step WHERE step IN ('check', 'store') AND {of}"
        ))?;
        let rate = resources as f64 * 1_000.0 / took_ms.max(1) as f64;
        let mut figure = BenchFigure::new(name, "resources/s", self.site.store, rate);
        figure.rows = u64::try_from(resources).unwrap_or(0);
        figure.detail("seconds", took_ms as f64 / 1_000.0);
        Ok(figure)
    }

    /// Starts the server of the asking payer over a queue of exchanges about these members, for whom it asks alone or in a bulk run, and waits
    /// until all have ended.
    async fn leg(
        &mut self,
        name: &'static str,
        members: Range<u64>,
        (environment, in_bulk): (&[(&str, &str)], bool),
    ) -> Result<LegResult, Failure> {
        let count = members.end - members.start;
        let lines: Vec<String> = members.map(|index| self.enrolment(index).to_string()).collect();
        let file = self.new.folder.join("enrolments.ndjson");
        std::fs::write(&file, lines.join("\n") + "\n").map_err(|error| Failure::new(Fault::Internal).because(error))?;
        let begun = Clock::System.now_ms();
        let import = ["exchange", "import", "enrolments.ndjson", "--bulk"];
        self.new.command(&import[..if in_bulk { 4 } else { 3 }])?;
        let old_cpu_s = self.old.cpu_s();
        self.new.start_with(environment).await?;
        let (before, new_cpu_s) = (commits(&self.new), self.new.process().map_or(0.0, cpu_s_of));
        let mut store = self.store()?;
        let began = Instant::now();
        while store.number("SELECT COUNT(*) AS n FROM exchange WHERE ended_ms IS NULL")? > 0 {
            if began.elapsed() > PATIENCE {
                return Err(Failure::new(Fault::PartnerAnswer).because("exchanges did not end"));
            }
            tokio::time::sleep(LOOK).await;
        }
        let commits = (commits(&self.new) - before) / count as f64;
        let new_cpu_s = self.new.process().map_or(0.0, cpu_s_of) - new_cpu_s;
        let old_cpu_s = self.old.cpu_s() - old_cpu_s;
        let failed = store.number("SELECT COUNT(*) AS n FROM exchange WHERE phase <> 'completed'")?;
        if failed > 0 {
            return Err(Failure::new(Fault::PartnerAnswer).because(format!("{failed} exchanges were not completed")));
        }
        let took_ms = store.number(&format!(
            "SELECT (SELECT MAX(ended_ms) FROM exchange WHERE ended_ms >= {begun}) - \
             (SELECT MIN(started_ms) FROM exchange_step WHERE started_ms >= {begun}) AS n"
        ))?;
        let all = store.number("SELECT COUNT(*) AS n FROM exchange")?;
        drop(store);
        self.new.end().await;
        let mut figure = BenchFigure::new(
            name,
            "exchanges/s",
            self.site.store,
            count as f64 * 1_000.0 / took_ms.max(1) as f64,
        );
        figure.rows = u64::try_from(all).unwrap_or(0);
        figure.detail("exchanges", count as f64);
        figure.detail("commits", commits);
        figure.detail("asking_cpu_us", new_cpu_s * 1e6 / count as f64);
        figure.detail("asked_cpu_us", old_cpu_s * 1e6 / count as f64);
        Ok(LegResult { figure, commits })
    }
}

/// Durable transactions of the asking payer since its start.
fn commits(new: &NewPayer) -> f64 {
    let metrics = program::metrics(new.ops);
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("causeway_store_commits_total "));
    line.and_then(|count| count.parse().ok()).unwrap_or(0.0)
}
