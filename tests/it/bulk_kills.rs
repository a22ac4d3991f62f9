//! Processes that are killed at random instants of a bulk match, an export and a download: no run is lost, and what it gives is whole.
//!
//! After each run its files are compared with their rows, both ways, and its counts with a count of the store that no code of exports makes.
//! `CAUSEWAY_TEST_BULK_KILLS` sets the number of kills; `CAUSEWAY_TEST_SEED` repeats a run, as far as the machine lets it.

use crate::support::client::{ALL_SCOPES, Client, Reply, http};
use crate::support::payer::{PARTNER_URI, TestPayer, program, today};
use crate::support::pki::{Kind, Pair};
use crate::support::store::on_postgres;
use causeway::jobs::Chance;
use causeway::secret::{hex, sha256};
use causeway::synth::{SynthOptions, Variation};
use diesel::RunQueryDsl as _;
use diesel::connection::SimpleConnection as _;
use diesel::sql_types::{BigInt, Text};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const BULK_SCOPE: &str = "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/BulkMemberMatch";
/// Kills in an ordinary run.
const KILLS: usize = 6;
/// Members: several pieces of a match and of an export. The second one has a twin and is not matched.
const MEMBERS: u64 = 420;
/// Workers beside the server of a PostgreSQL store.
const WORKERS: usize = 2;
/// Longest time before a kill, milliseconds.
const LIFE_MS: f64 = 2_500.0;
/// How long a run may take.
const WAIT: Duration = Duration::from_secs(300);
/// How long a worker that lost its lease may need to see that and to take back what it wrote.
const TAKEN_BACK: Duration = Duration::from_secs(60);

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

struct Bed {
    payer: TestPayer,
    client: Client,
    identity: Pair,
    workers: Vec<Child>,
    chance: Chance,
    why: String,
}

impl Bed {
    fn start(seed: u64) -> Bed {
        let (payer, client) = TestPayer::prepare_with(SynthOptions {
            members: MEMBERS,
            resources_per_member: 4,
            twins: true,
            as_of: today(),
            ..SynthOptions::default()
        });
        let sql = format!("UPDATE partner SET scopes = scopes || ' {BULK_SCOPE}'");
        payer.db().batch_execute(&sql).expect("scopes");
        let mut bed = Bed {
            identity: payer.pki.client(PARTNER_URI, Kind::Good),
            payer,
            client,
            workers: Vec::new(),
            chance: Chance::seeded(seed),
            why: format!("CAUSEWAY_TEST_SEED={seed}"),
        };
        bed.serve();
        if on_postgres() {
            bed.workers = (0..WORKERS).map(|_| bed.worker()).collect();
        }
        bed
    }

    /// Where the files are, on both databases.
    fn exports(&self) -> String {
        format!("file:{}", self.payer.home().join("exports").display())
    }

    fn serve(&mut self) {
        let exports = self.exports();
        self.payer.serve_with(&[
            ("CAUSEWAY_EXPORTS__URL", exports.as_str()),
            ("CAUSEWAY_BULK__JOBS_PER_PARTNER", "1000"),
            ("CAUSEWAY_JOBS__POLL_SECONDS", "1"),
        ]);
    }

    fn worker(&self) -> Child {
        let mut command = program(self.payer.home());
        command
            .args(["worker", "--quiet", "--log-file", "server.log"])
            .env("CAUSEWAY_EXPORTS__URL", self.exports())
            .env("CAUSEWAY_JOBS__POLL_SECONDS", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().expect("a worker")
    }

    fn life(&self) -> Duration {
        Duration::from_micros((self.chance.unit() * LIFE_MS * 1_000.0) as u64)
    }

    /// `kill -9` of one of the processes, and the start of another in its place.
    fn kill(&mut self) {
        let at = (self.chance.unit() * (self.workers.len() + 1) as f64) as usize;
        match at.checked_sub(1) {
            None => {
                self.payer.kill();
                self.serve();
                // Connections to the killed process are not used again.
                self.client.http = http(&self.payer.pki.ca, Some(&self.identity));
            }
            Some(at) => {
                let _ = self.workers[at].kill();
                let _ = self.workers[at].wait();
                self.workers[at] = self.worker();
            }
        }
        self.payer.end_leases();
    }

    /// Sends a request with a token of its own.
    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: String) -> Reply {
        let token = self.token().await;
        let mut request = self.client.http.request(
            method.parse().expect("a method"),
            format!("{}{path}", self.client.origin),
        );
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = request.bearer_auth(token).body(body).send().await;
        Reply::of(sent.expect("an answer")).await
    }

    async fn token(&self) -> String {
        let scope = format!("{ALL_SCOPES} {BULK_SCOPE}");
        self.client.token(&scope).await
    }

    /// Begins a run; the path of its status.
    async fn begin(&self, method: &str, path: &str, correlation: &str, body: String) -> String {
        let mut headers = vec![("prefer", "respond-async"), ("x-correlation-id", correlation)];
        if !body.is_empty() {
            headers.push(("content-type", "application/fhir+json"));
        }
        let begun = self.send(method, path, &headers, body).await;
        begun.assert_status(202);
        self.path(begun.header("content-location"))
    }

    fn path(&self, url: &str) -> String {
        url.strip_prefix(&self.client.origin)
            .expect("an address of ours")
            .to_owned()
    }

    async fn done(&self, status: &str) -> Value {
        let began = Instant::now();
        loop {
            let reply = self.send("GET", status, &[], String::new()).await;
            if reply.status == 200 {
                return reply.json();
            }
            if reply.is_throttled().await {
                continue;
            }
            reply.assert_status(202);
            assert!(
                began.elapsed() < WAIT,
                "{}: {}\n{}",
                self.why,
                reply.header("x-progress"),
                self.payer.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The files in the folder of a run are those of its rows.
    async fn assert_files(&self, status: &str, why: &str) {
        let id = status.rsplit('/').next().expect("an id");
        let folder = self.payer.home().join("exports").join(id);
        let rows = self.words(&format!(
            "SELECT name AS word, bytes AS n FROM bulk_file WHERE job_id = '{id}'"
        ));
        let named: BTreeSet<String> = rows.into_keys().collect();
        let there = || -> BTreeSet<String> {
            std::fs::read_dir(&folder)
                .expect("a folder")
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
                .collect()
        };
        let began = Instant::now();
        while there() != named && began.elapsed() < TAKEN_BACK {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(there(), named, "{why}");
    }

    fn words(&self, sql: &str) -> BTreeMap<String, i64> {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            word: String,
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        let rows: Vec<Row> = diesel::sql_query(sql).load(&mut self.payer.db()).expect("rows");
        rows.into_iter().map(|row| (row.word, row.n)).collect()
    }

    /// How many resources of each type the members have on whom there are grants, counted in the tables; and the record of who transmits,
    /// one for each of them.
    fn counted(&self) -> BTreeMap<String, i64> {
        let granted = "SELECT compartment FROM grants WHERE revoked_ms IS NULL";
        let mut all = self.words(&format!(
            "SELECT type AS word, COUNT(*) AS n FROM resource WHERE compartment IN ({granted}) AND sensitivity = 0 AND \
             (financial = 0 OR released IS NOT NULL) AND pa_state = 0 AND type <> 'Binary' GROUP BY type"
        ));
        *all.entry("Provenance".into()).or_default() += self.payer.count(&format!("({granted}) AS g"));
        all
    }

    fn body(&self) -> String {
        let member = |index: u64| {
            let parts = self.payer.request(index, Variation::Exact)["parameter"].clone();
            let old = parts[0]["resource"]["id"].as_str().expect("an id").to_owned();
            let text = parts
                .to_string()
                .replace(&format!("Patient/{old}"), &format!("Patient/m{index}"));
            let mut parts: Value = serde_json::from_str(&text).expect("JSON");
            parts[0]["resource"]["id"] = json!(format!("m{index}"));
            json!({"name": "MemberBundle", "part": parts})
        };
        let members: Vec<Value> = (0..MEMBERS).map(member).collect();
        json!({"resourceType": "Parameters", "parameter": members}).to_string()
    }

    /// A bulk match in which processes are killed: each member is judged once, and is in one group.
    async fn matched(&mut self, body: &str, correlation: &str, kills: usize) {
        let status = self
            .begin("POST", "/fhir/Group/$bulk-member-match", correlation, body.to_owned())
            .await;
        for _ in 0..kills {
            tokio::time::sleep(self.life()).await;
            self.kill();
        }
        let (manifest, why) = (self.done(&status).await, format!("{} {correlation}", self.why));
        let id = status.rsplit('/').next().expect("an id");
        let decided = self
            .payer
            .count(&format!("decision WHERE correlation_id = '{correlation}'"));
        assert_eq!(decided, MEMBERS as i64, "{why}");
        let entries = format!("member_group_entry WHERE group_id LIKE '{id}-%'");
        assert_eq!(self.payer.count(&entries), MEMBERS as i64, "{why}");
        let places = format!("(SELECT DISTINCT position FROM {entries}) AS p");
        assert_eq!(self.payer.count(&places), MEMBERS as i64, "{why}");
        // The twins are in doubt; everybody else is matched.
        let matched = self
            .payer
            .count(&format!("member_group_entry WHERE group_id = '{id}-match'"));
        assert_eq!(matched, MEMBERS as i64 - 1, "{why}");
        assert_eq!(manifest["output"][0]["count"], 2, "{why}: {manifest:#}");
        self.assert_files(&status, &why).await;
    }

    /// An export in which processes are killed: its manifest counts what is in the tables, and its files have each resource once.
    async fn exported(&mut self, correlation: &str, kills: usize) -> Value {
        let status = self
            .begin("GET", "/fhir/Patient/$export", correlation, String::new())
            .await;
        for _ in 0..kills {
            tokio::time::sleep(self.life()).await;
            self.kill();
        }
        let (manifest, why) = (self.done(&status).await, format!("{} {correlation}", self.why));
        let (mut counts, mut names) = (BTreeMap::<String, i64>::new(), BTreeSet::new());
        for file in manifest["output"].as_array().expect("files") {
            let taken = self
                .send(
                    "GET",
                    &self.path(file["url"].as_str().expect("a URL")),
                    &[],
                    String::new(),
                )
                .await;
            taken.assert_status(200);
            assert_eq!(file["extension"]["sha256"], hex(&sha256(&taken.body)), "{why}");
            let text = taken.text();
            assert_eq!(file["count"], text.lines().count(), "{why}");
            *counts
                .entry(file["type"].as_str().expect("a type").to_owned())
                .or_default() += text.lines().count() as i64;
            for line in text.lines() {
                let resource: Value = serde_json::from_str(line).expect("JSON");
                let name = format!("{}/{}", resource["resourceType"], resource["id"]);
                assert!(names.insert(name.clone()), "{why}: {name} comes twice");
            }
        }
        let mut wanted = self.counted();
        // The resources that belong to no member come with a reference to them.
        let shared = self.words("SELECT type AS word, COUNT(*) AS n FROM resource WHERE compartment = 0 GROUP BY type");
        for rtype in shared.keys() {
            counts.remove(rtype);
            wanted.remove(rtype);
        }
        assert_eq!(counts, wanted, "{why}");
        self.assert_files(&status, &why).await;
        manifest
    }

    /// A download that is broken off by a kill and resumed: the whole is what the manifest says.
    async fn downloaded(&mut self, manifest: &Value) {
        let files = manifest["output"].as_array().expect("files");
        let file = files
            .iter()
            .max_by_key(|file| file["extension"]["bytes"].as_u64())
            .expect("a file");
        let path = self.path(file["url"].as_str().expect("a URL"));
        let bearer = self.token().await;
        let url = format!("{}{path}", self.client.origin);
        let asked = self.client.http.get(&url).bearer_auth(&bearer).send();
        let mut taken = Vec::new();
        let wait = self.life() / 50;
        if let Ok(mut reply) = asked.await {
            let half = file["extension"]["bytes"].as_u64().expect("bytes") / 2;
            while let Ok(Some(piece)) = reply.chunk().await {
                taken.extend_from_slice(&piece);
                if taken.len() as u64 > half {
                    break;
                }
            }
            tokio::time::sleep(wait).await;
            self.kill();
        }
        let from = format!("bytes={}-", taken.len());
        if file["extension"]["bytes"] != taken.len() {
            let rest = self
                .send("GET", &path, &[("range", from.as_str())], String::new())
                .await;
            rest.assert_status(206);
            taken.extend_from_slice(&rest.body);
        }
        assert_eq!(file["extension"]["sha256"], hex(&sha256(&taken)), "{}", self.why);
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}

#[tokio::test]
async fn kills_at_random_instants_lose_no_run_and_no_resource() {
    let kills = number("CAUSEWAY_TEST_BULK_KILLS").map_or(KILLS, |kills| kills as usize);
    let seed = number("CAUSEWAY_TEST_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("CAUSEWAY_TEST_SEED={seed} CAUSEWAY_TEST_BULK_KILLS={kills}");
    let mut bed = Bed::start(seed);
    let body = bed.body();
    let (mut left, mut round) = (kills, 0);
    while left > 0 {
        round += 1;
        // A run that loses its process too often is left to an operator; so few kills each.
        let some = left.min(2);
        bed.matched(&body, &format!("kills-match-{round}"), some).await;
        left -= some;
        let some = left.min(2);
        let manifest = bed.exported(&format!("kills-export-{round}"), some).await;
        left -= some;
        if left > 0 {
            bed.downloaded(&manifest).await;
            left -= 1;
        }
    }
    println!("{kills} kills in {round} rounds");
}
