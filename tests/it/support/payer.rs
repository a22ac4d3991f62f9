//! A whole payer for a test: the real program, its own data folder and ports, synthetic members, and one partner.

use super::assertion::ClientKey;
use super::client::{Client, http};
use super::pki::{Kind, Pair, Pki};
pub use super::program::{binary, free_ports, is_optimised, program, today};
use super::store::{Place, connect, on_postgres};
use causeway::store::Db;
use causeway::synth::{self, MatchOptions, Member, Variation, match_request};
use diesel::prelude::*;
use diesel::sql_types::Text;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub const PARTNER_URI: &str = "https://new-payer.example/fhir";
pub const PARTNER_NPI: &str = "1992000020";

/// A running payer. It is killed when dropped.
pub struct TestPayer {
    pub place: Place,
    pub pki: Pki,
    pub origin: String,
    pub ops: String,
    pub members: synth::SynthOptions,
    child: Option<Child>,
    /// The connection of the last look at a PostgreSQL store: a new one takes longer than most looks.
    looks: Mutex<Option<Db>>,
}

impl TestPayer {
    /// A payer with `members` members (one has a twin), registered partner `new-payer`, and a running server.
    pub fn start(members: u64) -> (TestPayer, Client) {
        let (mut payer, client) = TestPayer::prepare(members);
        payer.serve();
        (payer, client)
    }

    /// The same without the server.
    pub fn prepare(members: u64) -> (TestPayer, Client) {
        TestPayer::prepare_with(synth::SynthOptions {
            members,
            resources_per_member: 8,
            twins: true,
            as_of: today(),
            ..synth::SynthOptions::default()
        })
    }

    /// The same with these synthetic members.
    pub fn prepare_with(members: synth::SynthOptions) -> (TestPayer, Client) {
        TestPayer::prepare_in(Place::ready(), members)
    }

    /// The same in this place.
    pub fn prepare_in(place: Place, members: synth::SynthOptions) -> (TestPayer, Client) {
        let payer = TestPayer::bare(place, members);
        let client = payer.register("new-payer", PARTNER_NPI, PARTNER_URI);
        payer.import_members();
        (payer, client)
    }

    /// Its settings and certificates over this place, and nothing put into the store.
    pub fn bare(place: Place, members: synth::SynthOptions) -> TestPayer {
        let pki = Pki::new("Causeway test authority");
        let home = place.folder.path();
        pki.write(home);
        let [fhir, ops] = free_ports();
        let origin = format!("https://localhost:{fhir}");
        let config = format!(
            "[server]\nfhir_listen = \"127.0.0.1:{fhir}\"\nops_listen = \"127.0.0.1:{ops}\"\nbase_url = \"{origin}/fhir\"\n\
             [tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"\nclient_ca = [\"ca.pem\"]\nclient_crl = [\"ca.crl\"]\n\
             [store]\nurl = \"{}\"\n\
             [payer]\nname = \"Old Payer\"\nnpi = \"1992000012\"\nmember_system = \"http://old-payer.example/identifiers/member\"\n\
             umb_system = \"http://old-payer.example/identifiers/umb\"\ntime_zone = \"America/New_York\"\n\
             [log]\nlevel = \"warn\"\n",
            place.url_text()
        );
        std::fs::write(home.join("causeway.toml"), config).expect("a file");
        TestPayer {
            origin,
            ops: format!("http://127.0.0.1:{ops}"),
            members,
            place,
            pki,
            child: None,
            looks: Mutex::default(),
        }
    }

    pub fn home(&self) -> &Path {
        self.place.folder.path()
    }

    /// Runs a command of the program in this payer's folder.
    pub fn command(&self, arguments: &[&str]) -> Output {
        program(self.home()).args(arguments).output().expect("the program runs")
    }

    /// The same, when it must succeed; gives its JSON answer.
    #[track_caller]
    pub fn json_command(&self, arguments: &[&str]) -> Value {
        let output = self.command(&[arguments, &["--json"]].concat());
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    }

    /// Registers a partner with a fresh signing key and a good certificate, and gives its side of the wire.
    pub fn register(&self, id: &str, npi: &str, uri: &str) -> Client {
        let key = ClientKey::new("k1");
        let home = self.home();
        std::fs::write(home.join(format!("{id}-jwks.json")), key.jwks().to_string()).expect("a file");
        let file = format!("{id}.toml");
        let text = format!(
            "id = \"{id}\"\nname = \"Partner {id}\"\nnpi = \"{npi}\"\nclient_id = \"{id}\"\njwks_file = \"{id}-jwks.json\"\n\
             certificate_uri = \"{uri}\"\nmtls = \"required\"\n\
             scopes = [\"system/*.rs\", \"http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match\"]\n\
             dialect = {{ hrex = \"1.1\", pdex = \"2.2\", us_core = \"6.1.0\" }}\n\
             [endpoint]\nfhir = \"{uri}\"\n"
        );
        std::fs::write(home.join(&file), text).expect("a file");
        let added = self.command(&["partner", "add", "--file", &file]);
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        self.client(id, key, Some(&self.pki.client(uri, Kind::Good)))
    }

    /// A client of this server with this identity.
    pub fn client(&self, id: &str, key: ClientKey, identity: Option<&Pair>) -> Client {
        Client {
            http: http(&self.pki.ca, identity),
            id: id.to_owned(),
            key,
            origin: self.origin.clone(),
        }
    }

    fn import_members(&self) {
        let folder = self.home().join("members");
        std::fs::create_dir(&folder).expect("a folder");
        let mut files = std::collections::BTreeMap::new();
        synth::write(&self.members, &mut |kind, line| {
            let text: &mut Vec<u8> = files.entry(kind).or_default();
            text.extend_from_slice(line);
            text.push(b'\n');
            Ok(())
        })
        .expect("in memory");
        for (kind, text) in &files {
            std::fs::write(folder.join(format!("{kind}.ndjson")), text).expect("a file");
        }
        let said = self.json_command(&["import", "members"]);
        assert_eq!(
            (said["rejected"].as_u64(), said["read"] == said["stored"]),
            (Some(0), true),
            "{said}"
        );
    }

    /// Starts the server and waits until it is ready.
    pub fn serve(&mut self) {
        self.serve_with(&[]);
    }

    /// The same with these variables in its environment.
    pub fn serve_with(&mut self, environment: &[(&str, &str)]) {
        let command = self.serving(environment);
        self.spawn(command);
    }

    /// The same for a server that may end before it is ready: nobody waits.
    pub fn begin_with(&mut self, environment: &[(&str, &str)]) {
        assert!(self.child.is_none(), "it runs already");
        self.child = Some(self.serving(environment).spawn().expect("the server starts"));
    }

    fn serving(&self, environment: &[(&str, &str)]) -> Command {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.home().join("server.log"))
            .expect("a log");
        let mut command = program(self.home());
        command
            .args(["serve", "--quiet", "--log-file", "server.log"])
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(log);
        command
    }

    /// Starts the server by this command and waits until it is ready.
    pub fn spawn(&mut self, mut command: Command) {
        assert!(self.child.is_none(), "it runs already");
        self.child = Some(command.spawn().expect("the server starts"));
        let address = self.ops.trim_start_matches("http://").to_owned();
        let started = Instant::now();
        while !ready(&address) {
            let ended = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().expect("a status"));
            assert!(
                ended.is_none() && started.elapsed() < Duration::from_secs(180),
                "not ready ({ended:?}): {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The id of the server's process.
    pub fn process(&self) -> u32 {
        self.child.as_ref().expect("a running server").id()
    }

    /// Whether the server still runs.
    pub fn is_running(&mut self) -> bool {
        let child = self.child.as_mut().expect("it was started");
        child.try_wait().expect("a status").is_none()
    }

    /// The process that runs under the one that was started (`strace`).
    pub fn traced(&self) -> Option<u32> {
        let id = self.child.as_ref()?.id();
        let below = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        below.split_whitespace().next()?.parse().ok()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home().join("server.log")).unwrap_or_default()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits until the server has ended by itself, at most so long.
    #[track_caller]
    pub fn await_end(&mut self, within: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("a running server");
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("a status") {
                return status;
            }
            if began.elapsed() > within {
                let _ = child.kill();
                let _ = child.wait();
                panic!("it did not end: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGTERM; the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let mut child = self.child.take()?;
        let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        child.wait().expect("it ends").code()
    }

    pub fn member(&self, index: u64) -> Member {
        Member::of(&self.members, index)
    }

    /// A `$member-match` body about member `index`.
    pub fn request(&self, index: u64, variation: Variation) -> Value {
        match_request(&self.member(index), &MatchOptions::on(today()), variation)
    }

    /// The folder of the files of bulk jobs, where no other one is configured.
    pub fn exports(&self) -> PathBuf {
        match on_postgres() {
            true => self.home().join("causeway-data/exports"),
            false => self.home().join("exports"),
        }
    }

    /// The store as it is, beside the running server.
    pub fn db(&self) -> Db {
        connect(&self.place.url)
    }

    /// Looks at the store, beside the running server, on the connection of the look before if that still stands.
    fn look<T>(&self, look: impl Fn(&mut Db) -> QueryResult<T>) -> T {
        let kept = self.kept_look();
        let found = kept.and_then(|mut db| look(&mut db).ok().map(|found| (found, db)));
        let (found, db) = found.unwrap_or_else(|| {
            let mut db = self.db();
            (look(&mut db).expect("rows"), db)
        });
        if on_postgres() {
            *self.looks.lock().unwrap_or_else(PoisonError::into_inner) = Some(db);
        }
        found
    }

    /// The connection of the last look, which is not kept any more.
    pub fn kept_look(&self) -> Option<Db> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The actions in the ledger under this correlation id, in their order.
    pub fn ledger(&self, correlation: &str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            action: String,
        }
        assert!(causeway::ids::is_correlation_id(correlation));
        let query = format!("SELECT action FROM ledger_entry WHERE correlation_id = '{correlation}' ORDER BY id");
        let rows = self.look(|db| diesel::sql_query(&query).load::<Row>(db));
        rows.into_iter().map(|row| row.action).collect()
    }

    /// The ids of the entries of the ledger under a condition of ours, in their order.
    pub fn entry_ids(&self, condition: &str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            id: String,
        }
        let query = format!("SELECT id FROM ledger_entry WHERE {condition} ORDER BY id");
        let rows = self.look(|db| diesel::sql_query(&query).load::<Row>(db));
        rows.into_iter().map(|row| row.id).collect()
    }

    /// Runs a statement of ours on the store, beside the running server.
    pub fn execute(&self, statement: &str) {
        diesel::sql_query(statement).execute(&mut self.db()).expect(statement);
    }

    #[track_caller]
    pub fn assert_ledger(&self, correlation: &str, actions: &[&str]) {
        assert_eq!(self.ledger(correlation), actions);
    }

    /// The same for entries that follow an answer: waits for them, a minute at most.
    pub async fn await_ledger(&self, correlation: &str, actions: &[&str]) {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(60) {
            if self.ledger(correlation) == actions {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.assert_ledger(correlation, actions);
    }

    /// Ends the leases that processes had which are gone; else another process waits until they end by themselves, a minute. On SQLite the
    /// next process ends them.
    pub fn end_leases(&self) {
        if on_postgres() {
            let ended = "UPDATE job SET lease_until_ms = 1 WHERE lease_until_ms IS NOT NULL";
            diesel::sql_query(ended).execute(&mut self.db()).expect("written");
        }
    }

    /// How many rows a table has under a condition of ours.
    pub fn count(&self, table_and_condition: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            n: i64,
        }
        let query = format!("SELECT COUNT(*) AS n FROM {table_and_condition}");
        self.look(|db| diesel::sql_query(&query).get_result::<Row>(db)).n
    }
}

impl Drop for TestPayer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One `GET /ready`, by hand: it must work before any runtime does.
fn ready(address: &str) -> bool {
    use std::io::{Read as _, Write as _};
    let Ok(mut stream) = std::net::TcpStream::connect(address) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let _ = stream.write_all(b"GET /ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text.starts_with("HTTP/1.1 200")
}
