//! Those who must be served meanwhile, and what is measured of them and of the server.

use crate::support::assertion::ClientKey;
use crate::support::client::{ALL_SCOPES, Client};
use crate::support::payer::{PARTNER_URI, TestPayer, is_optimised};
use crate::support::pki::{Kind, Pair};
use crate::support::store::on_postgres;
use causeway::synth::Variation;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// What is asked of a server under attack.
struct Promise {
    /// Longest time for one request on a fresh connection.
    longest: Duration,
    /// Longest that more than half of the requests may take.
    most: Duration,
    /// A median below this is good whatever it was before.
    quick: Duration,
}

/// One second, and three times the median of before. A build that is not optimised has slack, on a machine with other work, where a process may
/// stand still for seconds.
fn promise() -> Promise {
    let (longest, most, quick) = if is_optimised() {
        (1_000, 1_000, 20)
    } else {
        (20_000, 5_000, 400)
    };
    Promise {
        longest: Duration::from_millis(longest),
        most: Duration::from_millis(most),
        quick: Duration::from_millis(quick),
    }
}

/// Most that the server's memory may grow, and most of it that may be left some seconds after.
const GROWTH: u64 = 64 * 1024 * 1024;
const LEFT: u64 = 32 * 1024 * 1024;
/// How long after the end of an attack memory is waited for.
const RETURNED: Duration = Duration::from_secs(60);
/// How long the victims are looked at: before, at once during an attack, and after it.
const BEFORE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_secs(3);
const AFTER: Duration = Duration::from_secs(5);
/// Fewest rounds of a look, so that one that the machine held up is not the median.
const ROUNDS: usize = 3;

/// The medians of what the victims ask, each on a fresh connection: a read with mutual TLS, a token and a search without.
pub type Medians = [Duration; 3];

/// A payer, its partner with mutual TLS and its partner without, at addresses of their own.
pub struct Scene {
    pub payer: TestPayer,
    with_tls: Client,
    plain: Client,
    pair: Pair,
    token: String,
    patient: String,
    before: u64,
    /// How much memory may grow, bytes.
    growth: u64,
}

/// A client at `last` whose every request opens a connection.
fn fresh(payer: &TestPayer, id: &str, key: ClientKey, identity: Option<&Pair>, last: u8) -> Client {
    let mut client = payer.client(id, key, identity);
    let ca = reqwest::Certificate::from_pem(payer.pki.ca.as_bytes()).expect("a certificate");
    let mut builder = reqwest::Client::builder()
        .tls_certs_only([ca])
        .local_address(IpAddr::from([127, 0, 0, last]))
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_secs(60));
    if let Some(pair) = identity {
        let pem = format!("{}{}", pair.certificate, pair.key);
        builder = builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).expect("an identity"));
    }
    client.http = builder.build().expect("a client");
    client
}

impl Scene {
    /// A running payer with these variables, and a member that the partner may read.
    pub async fn open(environment: &[(&str, &str)]) -> Scene {
        let (payer, client) = TestPayer::prepare(2);
        Scene::of(payer, client, environment).await
    }

    pub async fn of(mut payer: TestPayer, client: Client, environment: &[(&str, &str)]) -> Scene {
        let key = ClientKey::new("k9");
        let home = payer.home();
        std::fs::write(home.join("plain-jwks.json"), key.jwks().to_string()).expect("a file");
        let text = "id = \"plain\"\nname = \"Plain\"\nnpi = \"1992000038\"\nclient_id = \"plain\"\njwks_file = \"plain-jwks.json\"\n\
            mtls = \"off\"\nscopes = [\"system/*.rs\"]\ndialect = { hrex = \"1.1\", pdex = \"2.2\", us_core = \"6.1.0\" }\n";
        std::fs::write(home.join("plain.toml"), text).expect("a file");
        let added = payer.command(&["partner", "add", "--file", "plain.toml"]);
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        payer.serve_with(environment);
        let pair = payer.pki.client(PARTNER_URI, Kind::Good);
        let mut with_tls = fresh(&payer, "new-payer", ClientKey::new("k1"), Some(&pair), 100);
        with_tls.key = client.key;
        let plain = fresh(&payer, "plain", key, None, 101);
        let token = with_tls.token(ALL_SCOPES).await;
        // The token is bound to the certificate that fetched it, and this is the one.
        let (patient, _) = with_tls.matched(&token, &payer.request(0, Variation::Exact)).await;
        let scene = Scene {
            before: 0,
            payer,
            with_tls,
            plain,
            pair,
            token,
            patient,
            growth: GROWTH,
        };
        scene.ask().await;
        Scene {
            before: scene.memory(),
            ..scene
        }
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn patient(&self) -> &str {
        &self.patient
    }

    /// The certificate that the token is bound to.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// One request of each, on a fresh connection; how long they took.
    async fn ask(&self) -> [Duration; 3] {
        let begun = Instant::now();
        let read = self
            .with_tls
            .get(&self.token, &format!("Patient/{}", self.patient))
            .await;
        read.assert_status(200);
        let first = begun.elapsed();
        let token = self.plain.token("system/*.rs").await;
        let second = begun.elapsed();
        let search = self.plain.get(&token, "Patient?_id=nobody").await;
        search.assert_status(200);
        [first, second - first, begun.elapsed() - second]
    }

    /// Lets memory grow by more where a partner reads rows of 4 MiB: each is in memory several times while it is read, cut out and written. On
    /// PostgreSQL the system's allocator also keeps what libpq took for them, up to 8 MiB for each of 16 connections, and a build that is not
    /// optimized, which reads them for longer, comes to more of these at once.
    pub fn with_large_rows(mut self) -> Scene {
        self.growth += match (on_postgres(), is_optimised()) {
            (true, true) => 64,
            (true, false) => 128,
            (false, true) => 32,
            (false, false) => 64,
        } * 1024
            * 1024;
        self
    }

    /// Asks for `time`, each request in its time; the medians.
    pub async fn served(&self, what: &str, time: Duration) -> Medians {
        let begun = Instant::now();
        let mut took: [Vec<Duration>; 3] = Default::default();
        let mut grown = 0;
        while begun.elapsed() < time || took[0].len() < ROUNDS {
            for (all, one) in took.iter_mut().zip(self.ask().await) {
                all.push(one);
            }
            grown = grown.max(self.grown());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let medians = took.each_mut().map(|all| {
            all.sort_unstable();
            all[all.len() / 2]
        });
        let longest = took.iter().filter_map(|all| all.last()).max().expect("a request");
        println!(
            "{what}: {} rounds, medians {medians:?}, longest {longest:?}, memory {} MiB + {} KiB",
            took[0].len(),
            self.before >> 20,
            grown >> 10
        );
        assert!(*longest < promise().longest, "{what}: {longest:?}");
        assert!(
            medians.iter().all(|median| *median < promise().most),
            "{what}: medians {medians:?}"
        );
        assert!(grown < self.growth, "{what}: memory grew by {} MiB", grown >> 20);
        medians
    }

    /// The medians before an attack.
    pub async fn idle(&self) -> Medians {
        self.served("idle", BEFORE).await
    }

    /// The same during an attack: each answer in its time, and no median more than three times as long as before.
    pub async fn holds(&self, idle: &Medians) {
        self.keeps("under attack", LOOK, idle).await;
    }

    /// The same for some seconds after it, and the memory is given back.
    pub async fn recovers(&self, idle: &Medians) {
        self.keeps("after it", AFTER, idle).await;
        let begun = Instant::now();
        let mut seen = vec![self.grown() >> 20];
        while self.grown() >= LEFT {
            assert!(
                begun.elapsed() < RETURNED,
                "MiB that were left, second by second: {seen:?}"
            );
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.ask().await;
            seen.push(self.grown() >> 20);
        }
        println!("MiB that were left, second by second: {seen:?}");
    }

    /// Of six looks one must be of a moment in which the machine had no other work.
    async fn keeps(&self, what: &str, time: Duration, idle: &Medians) {
        let mut seen = Vec::new();
        while seen.len() < 6 {
            let medians = self.served(what, time).await;
            let holds = |(now, before): (&Duration, &Duration)| *now <= (*before * 3).max(promise().quick);
            if medians.iter().zip(idle).all(holds) {
                return;
            }
            seen.push(medians);
        }
        panic!("{what}: medians {seen:?}, before {idle:?}");
    }

    /// Bytes of the server that are resident and its own. Pages of its program file, which the kernel reads as they are used and drops as it
    /// likes, are none of that: in a build with debug information they are 70 MiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.payer.process())).expect("a status");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.expect("a number") * 1024
    }

    /// Bytes by which that grew since the attack began.
    fn grown(&self) -> u64 {
        self.memory().saturating_sub(self.before)
    }

    /// The server holds no more than it may beyond what it held before.
    pub fn assert_memory(&self, what: &str) {
        let grown = self.grown();
        assert!(grown < self.growth, "{what}: grown by {} MiB", grown >> 20);
    }

    /// A figure of `/metrics`.
    #[track_caller]
    pub fn metric(&self, series: &str) -> f64 {
        self.figure(series).unwrap_or_else(|| panic!("no {series}"))
    }

    /// Waits until a figure is at least this, a minute at most.
    pub async fn reaches(&self, series: &str, least: f64) {
        let begun = Instant::now();
        loop {
            let counted = self.figure(series).unwrap_or_default();
            if counted >= least {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{series} is {counted}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The same, and none where nothing was counted yet.
    fn figure(&self, series: &str) -> Option<f64> {
        use std::io::{Read as _, Write as _};
        let mut stream =
            std::net::TcpStream::connect(self.payer.ops.trim_start_matches("http://")).expect("the ops side");
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .expect("a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.and_then(|value| value.trim().parse().ok())
    }
}
