//! What is measured: a folder with keys, configuration, synthetic members and one registered partner, all made by the
//! same commands that an operator uses, and removed at the end.

use super::process::{self, Server};
use super::wire::Target;
use super::{Plan, Subject};
use crate::cli::Out;
use crate::clock::Clock;
use crate::demo::dev::{self, Files};
use crate::error::{Failure, Fault};
use crate::http::routes::MEMBER_MATCH;
use crate::ids::Ids;
use crate::partner::client::{PeerClient, SmartConfiguration};
use crate::secret::{self, Secret};
use crate::synth::{MatchOptions, Member, Options, Policy, Variation, match_request};
use chrono::Utc;
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// Average resources of a member; few, so that there can be many members.
const RESOURCES_PER_MEMBER: u64 = 4;
/// Resources of the member whose record is streamed for speed.
pub(super) const LARGE: u64 = 1_000;
/// Resources of the member whose record is streamed for memory.
pub(super) const HUGE: u64 = 130_000;
/// Slot of the answers to matches, where it is on; that of the default configuration.
const SLOT_MS: u64 = 10;
/// Seed of the members.
const SEED: u64 = 1;
/// Seed of the payer that has only the huge member; his ids must not meet those of the others.
const HUGE_SEED: u64 = 2;

/// An installation.
pub(super) struct Site {
    files: Files,
    config: PathBuf,
    /// The same with the answer slot on.
    slotted: PathBuf,
    base_url: String,
    fhir: SocketAddr,
    ops: SocketAddr,
    /// Resources in the store.
    pub(super) resources: u64,
    /// `sqlite` or `postgres`.
    pub(super) store: &'static str,
    options: Options,
    // Dropped last, in this order: the folder, then the database.
    folder: Folder,
    _database: Option<Database>,
}

impl Site {
    /// Makes everything that the plan needs.
    ///
    /// # Errors
    /// Those of the commands and files.
    pub(super) fn make(plan: &Plan, out: &mut Out) -> Result<Site, Failure> {
        let mut site = Site::of_size(plan, plan.members, LARGE, out)?;
        if plan.wants(Subject::Memory) {
            let huge = Options {
                members: 1,
                seed: HUGE_SEED,
                one_large: Some(HUGE),
                ..site.options.clone()
            };
            site.fill("huge", &huge, out)?;
        }
        Ok(site)
    }

    /// An installation with this many members, the first of whom has `large` resources.
    ///
    /// # Errors
    /// Those of the commands and files.
    pub(super) fn of_size(plan: &Plan, members: u64, large: u64, out: &mut Out) -> Result<Site, Failure> {
        let folder = Folder::make(&plan.folder)?;
        let database = plan.postgres.as_deref().map(Database::create).transpose()?;
        let files = Files::of(&folder.0.join("pki"));
        files.make(Clock::System.now_ms())?;
        let (fhir, ops) = (free_address()?, free_address()?);
        let base_url = format!("https://localhost:{}/fhir", fhir.port());
        let config = folder.0.join("causeway.toml");
        let url = database.as_ref().map_or("sqlite:causeway.db", |database| &database.url);
        write(&config, &configuration(fhir, ops, &base_url, url, 0))?;
        let slotted = folder.0.join("slotted.toml");
        write(&slotted, &configuration(fhir, ops, &base_url, url, SLOT_MS))?;

        let options = Options {
            members,
            seed: SEED,
            resources_per_member: RESOURCES_PER_MEMBER,
            one_large: Some(large),
            ..Options::default()
        };
        let store = if database.is_some() { "postgres" } else { "sqlite" };
        let mut site = Site {
            files,
            config,
            slotted,
            base_url,
            fhir,
            ops,
            resources: 0,
            store,
            options,
            folder,
            _database: database,
        };
        let members = site.options.clone();
        site.fill("members", &members, out)?;
        process::command(
            Some(&site.config),
            [
                OsStr::new("partner"),
                OsStr::new("add"),
                OsStr::new("--file"),
                site.files.path("partner.toml").as_os_str(),
            ],
        )?;
        Ok(site)
    }

    fn fill(&mut self, name: &str, options: &Options, out: &mut Out) -> Result<(), Failure> {
        let folder = self.folder.0.join(name);
        synthesise(&folder, options)?;
        let (counts, seconds) = process::command(Some(&self.config), [OsStr::new("import"), folder.as_os_str()])?;
        let stored = counts["stored"].as_u64().unwrap_or(0);
        if stored == 0 || counts["rejected"] != 0 {
            return Err(
                Failure::new(Fault::Internal).because(format!("the import of synthetic members ended with {counts}"))
            );
        }
        self.resources += stored;
        out.note(&format!(
            "made {} members, {stored} resources, in {seconds:.1} s",
            options.members
        ));
        std::fs::remove_dir_all(&folder).map_err(unusable)
    }

    /// Starts the server with the static routes.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub(super) fn start_server(&self) -> Result<Server, Failure> {
        self.start_server_with(false)
    }

    /// The same with the answer slot on, or off.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub(super) fn start_server_with(&self, slotted: bool) -> Result<Server, Failure> {
        let config = if slotted { &self.slotted } else { &self.config };
        let log = self.folder.0.join("server.log");
        let args = ["bench", "--child"].map(OsStr::new);
        Server::start(
            None,
            &[
                args[0],
                args[1],
                config.as_os_str(),
                OsStr::new("--child-log"),
                log.as_os_str(),
            ],
            self.ops,
            &self.said(),
        )
    }

    /// Starts `causeway serve` as an operator would.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub(super) fn start_serve(&self) -> Result<Server, Failure> {
        let log = self.folder.0.join("serve.log");
        Server::start(
            Some(&self.config),
            &[OsStr::new("serve"), OsStr::new("--log-file"), log.as_os_str()],
            self.ops,
            &self.said(),
        )
    }

    fn said(&self) -> PathBuf {
        self.folder.0.join("stderr.txt")
    }

    /// How the loader connects.
    ///
    /// # Errors
    /// As [`Target::new`].
    pub(super) fn target(&self) -> Result<Target, Failure> {
        Target::new(
            self.fhir,
            &self.files.read("ca.pem")?,
            &self.files.read("partner.pem")?,
            &self.files.read("partner.key")?,
        )
    }

    /// How the loader gets tokens.
    ///
    /// # Errors
    /// Those of the token endpoint's discovery.
    pub(super) async fn tokens(&self) -> Result<Tokens, Failure> {
        let peer = PeerClient::new(
            &self.base_url,
            &self.files.read("ca.pem")?,
            dev::identity(&self.files)?,
            Clock::System,
            Ids::random(),
        )?;
        let configuration = peer.discover().await?;
        Ok(Tokens { peer, configuration })
    }

    /// A member by number; number 0 has [`LARGE`] resources.
    pub(super) fn member(&self, index: u64) -> Member {
        Member::of(&self.options, index)
    }

    /// The member with [`HUGE`] resources.
    pub(super) fn huge_member(&self) -> Member {
        Member::of(
            &Options {
                seed: HUGE_SEED,
                ..self.options.clone()
            },
            0,
        )
    }

    /// The body of a `$member-match` request that must succeed.
    pub(super) fn match_body(&self, member: &Member, policy: Policy) -> Vec<u8> {
        self.body(member, policy, Variation::Exact)
    }

    /// The body of one that departs from what is on file.
    pub(super) fn body(&self, member: &Member, policy: Policy, variation: Variation) -> Vec<u8> {
        let options = MatchOptions {
            policy,
            new_npi: dev::PARTNER_NPI.to_owned(),
            ..MatchOptions::on(Utc::now().date_naive())
        };
        match_request(member, &options, variation).to_string().into_bytes()
    }
}

/// Tokens from the token endpoint, by signed assertions.
pub(super) struct Tokens {
    peer: PeerClient,
    configuration: SmartConfiguration,
}

impl Tokens {
    /// A fresh token for matching and reading; it lives 300 s.
    ///
    /// # Errors
    /// Those of the token endpoint.
    pub(super) async fn fresh(&self) -> Result<Secret, Failure> {
        self.peer
            .token(&self.configuration, &[MEMBER_MATCH, "system/*.rs"], None)
            .await
    }
}

/// Imports `paths`, or synthetic members with a full record each, into a store of its own; what the import counted, the
/// bytes it read, and the seconds it took.
///
/// # Errors
/// Those of the commands and files.
pub(super) fn import(plan: &Plan) -> Result<(serde_json::Value, u64, f64), Failure> {
    let folder = Folder::make(&plan.folder)?;
    let database = plan.postgres.as_deref().map(Database::create).transpose()?;
    let config = folder.0.join("causeway.toml");
    let url = database.as_ref().map_or("sqlite:causeway.db", |database| &database.url);
    write(
        &config,
        &configuration(free_address()?, free_address()?, "https://localhost/fhir", url, 0),
    )?;
    let mut paths = plan.import.clone();
    if paths.is_empty() {
        let data = folder.0.join("data");
        synthesise(
            &data,
            &Options {
                members: 1_500,
                ..Options::default()
            },
        )?;
        paths.push(data);
    }
    let bytes = paths.iter().map(|path| bytes_under(path)).sum();
    let mut args = vec![OsStr::new("import")];
    args.extend(paths.iter().map(|path| path.as_os_str()));
    let (counts, seconds) = process::command(Some(&config), args)?;
    Ok((counts, bytes, seconds))
}

fn synthesise(folder: &Path, options: &Options) -> Result<(), Failure> {
    let mut args = vec![
        "synth".to_owned(),
        "--no-showcase".to_owned(),
        "--out".to_owned(),
        folder.display().to_string(),
    ];
    for (name, number) in [
        ("--members", options.members),
        ("--seed", options.seed),
        ("--resources-per-member", options.resources_per_member),
    ] {
        args.extend([name.to_owned(), number.to_string()]);
    }
    if let Some(large) = options.one_large {
        args.extend(["--one-large".to_owned(), large.to_string()]);
    }
    process::command(None, args)?;
    Ok(())
}

fn bytes_under(path: &Path) -> u64 {
    let Ok(about) = std::fs::metadata(path) else { return 0 };
    if !about.is_dir() {
        return about.len();
    }
    std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| bytes_under(&entry.path()))
        .sum()
}

/// Answers leave at once but where the slot is measured: it costs a caller time and the server nothing.
fn configuration(fhir: SocketAddr, ops: SocketAddr, base_url: &str, store_url: &str, slot_ms: u64) -> String {
    let payer = Options::default();
    format!(
        "[server]\nfhir_listen = \"{fhir}\"\nops_listen = \"{ops}\"\nbase_url = \"{base_url}\"\n\
         [tls]\ncertificate = \"pki/server.pem\"\nkey = \"pki/server.key\"\nclient_ca = [\"pki/ca.pem\"]\n\
         [store]\nurl = \"{store_url}\"\n\
         [payer]\nname = \"{}\"\nnpi = \"{}\"\nmember_system = \"{}\"\n\
         [policy]\nanswer_slot_ms = {slot_ms}\n\
         [limits]\nconnections_per_partner = 1024\nin_flight_per_partner = 1024\nkeep_alive_seconds = 600\n",
        payer.payer_name, payer.payer_npi, payer.member_system,
    )
}

fn free_address() -> Result<SocketAddr, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(unusable)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(unusable)
}

fn unusable(error: std::io::Error) -> Failure {
    Failure::new(Fault::InputUnreadable).at("bench folder").because(error)
}

/// A private folder that goes when this is dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn make(parent: &Path) -> Result<Folder, Failure> {
        let path = parent.join(format!("bench-{}", secret::hex(&secret::random::<4>())));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(unusable)?;
        Ok(Folder(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A PostgreSQL database of our own, beside the one that was named; it goes when this is dropped.
struct Database {
    url: String,
    name: String,
    beside: String,
}

impl Database {
    fn create(beside: &str) -> Result<Database, Failure> {
        let name = format!("causeway_bench_{}", secret::hex(&secret::random::<4>()));
        let url = with_database(beside, &name);
        let database = Database {
            url,
            name,
            beside: beside.to_owned(),
        };
        database.run(&format!("CREATE DATABASE {}", database.name))?;
        Ok(database)
    }

    fn run(&self, statement: &str) -> Result<(), Failure> {
        let refused = |error: String| Failure::new(Fault::StoreUnavailable).at("--store-url").because(error);
        let mut connection = PgConnection::establish(&self.beside).map_err(|error| refused(error.to_string()))?;
        connection
            .batch_execute(statement)
            .map_err(|error| refused(error.to_string()))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self.run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

/// `url` with another database.
fn with_database(url: &str, name: &str) -> String {
    let (address, query) = url
        .split_once('?')
        .map_or((url, ""), |(address, query)| (address, query));
    let host_at = address.find("://").map_or(0, |at| at + 3);
    let host_end = address[host_at..].find('/').map_or(address.len(), |at| host_at + at);
    let question = if query.is_empty() { "" } else { "?" };
    format!("{}/{name}{question}{query}", &address[..host_end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_of_the_same_server() {
        assert_eq!(
            with_database("postgres://u:p@h:5432/a?x=1", "b"),
            "postgres://u:p@h:5432/b?x=1"
        );
        assert_eq!(with_database("postgres://h", "b"), "postgres://h/b");
        assert_eq!(
            with_database("postgres:///a?host=/run/pg", "b"),
            "postgres:///b?host=/run/pg"
        );
    }
}
