//! The measured installation: a folder with keys, configuration, synthetic members and one registered partner. It is made with the same
//! commands that an operator uses, and removed at the end.

use super::database::Database;
use super::folder::Folder;
use super::plan::{BenchPlan, Measured};
use super::process::{self, ServerProcess};
use super::wire::BenchTarget;
use crate::clock::Clock;
use crate::dev::program::free_address;
use crate::dev::{self, Files};
use crate::error::{Failure, Fault};
use crate::http::routes::{BULK_MEMBER_MATCH, MEMBER_MATCH};
use crate::ids::Ids;
use crate::partner::client::{Identity, PeerClient, SmartConfiguration};
use crate::secret::Secret;
use crate::synth::{MatchOptions, Member, SharingPolicy, SynthOptions, Variation, match_request};
use crate::terminal::Out;
use chrono::{Days, NaiveDate, Utc};
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Average number of resources of a member. It is small, so that there can be many members.
const RESOURCES_PER_MEMBER: u64 = 4;
/// Resources of the member whose record is streamed for speed.
pub(super) const LARGE: u64 = 1_000;
/// Resources of the member whose record is streamed for memory.
pub(super) const HUGE: u64 = 130_000;
/// The answer slot of matches where it is switched on, as in the default configuration; milliseconds.
const SLOT_MS: u64 = 10;
/// The folder of the files of bulk jobs.
const EXPORTS: &str = "exports";
/// The SQLite store, beside its configuration.
pub(super) const SQLITE: &str = "sqlite:causeway.db";
/// Seed of the members.
const SEED: u64 = 1;
/// Seed of the payer that has only the huge member, whose ids must differ from those of the others.
const HUGE_SEED: u64 = 2;

/// An installation.
pub(super) struct Installation {
    pub(super) files: Files,
    pub(super) config: PathBuf,
    /// The same configuration with the answer slot switched on.
    pub(super) slotted: PathBuf,
    pub(super) base_url: String,
    pub(super) fhir: SocketAddr,
    pub(super) ops: SocketAddr,
    /// Resources in the store.
    pub(super) resources: u64,
    /// `sqlite` or `postgres`.
    pub(super) store: &'static str,
    pub(super) options: SynthOptions,
    /// The URL of its store, as its configuration has it.
    pub(super) url: String,
    // Dropped last and in this order: the folder, then the database.
    pub(super) folder: Folder,
    pub(super) _database: Option<Database>,
}

impl Installation {
    /// Makes an installation with everything that the plan needs.
    ///
    /// # Errors
    /// Those of the commands and files.
    pub(super) fn make(plan: &BenchPlan, out: &mut Out) -> Result<Installation, Failure> {
        let mut site = Installation::of_size(plan, plan.members, LARGE, out)?;
        if plan.wants(Measured::Memory) {
            site.add_huge(HUGE, out)?;
        }
        Ok(site)
    }

    /// Adds the member of [`Installation::huge_member`], with so many resources.
    ///
    /// # Errors
    /// Those of the commands and files.
    pub(super) fn add_huge(&mut self, resources: u64, out: &mut Out) -> Result<(), Failure> {
        let huge = SynthOptions {
            members: 1,
            seed: HUGE_SEED,
            one_large: Some(resources),
            ..self.options.clone()
        };
        self.fill("huge", &huge, out)
    }

    /// An installation with this many members, the first of which has `large` resources.
    ///
    /// # Errors
    /// Those of the commands and files.
    pub(super) fn of_size(plan: &BenchPlan, members: u64, large: u64, out: &mut Out) -> Result<Installation, Failure> {
        let folder = Folder::make(&plan.folder)?;
        let database = plan.postgres.as_deref().map(Database::create).transpose()?;
        let url = database.as_ref().map(|database| database.url.clone());
        Installation::within(folder, (database, url.as_deref()), (members, large), out)
    }

    /// The same in this folder, over a PostgreSQL store with this URL, or over a SQLite store in the folder. `database` goes with it.
    ///
    /// # Errors
    /// Those of the commands and files.
    pub(super) fn within(
        folder: Folder,
        (database, postgres): (Option<Database>, Option<&str>),
        (members, large): (u64, u64),
        out: &mut Out,
    ) -> Result<Installation, Failure> {
        let files = Files::of(&folder.path().join("pki"));
        files.make(Clock::System.now_ms())?;
        let (fhir, ops) = (free_address()?, free_address()?);
        let base_url = format!("https://localhost:{}/fhir", fhir.port());
        let config = folder.path().join("causeway.toml");
        let url = postgres.unwrap_or(SQLITE);
        write(&config, &configuration(fhir, ops, &base_url, url, 0))?;
        let slotted = folder.path().join("slotted.toml");
        write(&slotted, &configuration(fhir, ops, &base_url, url, SLOT_MS))?;

        let store = if postgres.is_some() { "postgres" } else { "sqlite" };
        let mut site = Installation {
            files,
            config,
            slotted,
            base_url,
            fhir,
            ops,
            resources: 0,
            store,
            options: options_of(members, large),
            url: url.to_owned(),
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

    fn fill(&mut self, name: &str, options: &SynthOptions, out: &mut Out) -> Result<(), Failure> {
        let folder = self.folder.path().join(name);
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

    /// The URL by which this process opens the store.
    pub(super) fn store_url(&self) -> String {
        match self.url.strip_prefix("sqlite:") {
            Some(name) => format!("sqlite:{}", self.folder.path().join(name).display()),
            None => self.url.clone(),
        }
    }

    /// Starts the server with the routes to compare with.
    ///
    /// # Errors
    /// As [`ServerProcess::start`].
    pub(super) fn start_server(&self) -> Result<ServerProcess, Failure> {
        self.start_server_with(false)
    }

    /// Like [`Installation::start_server`], with the answer slot switched on or off.
    ///
    /// # Errors
    /// As [`ServerProcess::start`].
    pub(super) fn start_server_with(&self, slotted: bool) -> Result<ServerProcess, Failure> {
        self.start_child(if slotted { &self.slotted } else { &self.config }, &[])
    }

    /// Like [`Installation::start_server`], without the tree over the ledger: entries are written, and nobody gives them places.
    ///
    /// # Errors
    /// As [`ServerProcess::start`].
    pub(super) fn start_server_without_tree(&self) -> Result<ServerProcess, Failure> {
        self.start_child(&self.config, &["--child-without-tree"])
    }

    fn start_child(&self, config: &Path, more: &[&str]) -> Result<ServerProcess, Failure> {
        let log = self.folder.path().join("server.log");
        let mut args = vec![OsStr::new("bench"), OsStr::new("--child"), config.as_os_str()];
        args.extend([OsStr::new("--child-log"), log.as_os_str()]);
        args.extend(more.iter().map(OsStr::new));
        ServerProcess::start(None, &args, self.ops, &self.output())
    }

    /// The folder of the files of bulk jobs.
    pub(super) fn exports(&self) -> PathBuf {
        self.folder.path().join(EXPORTS)
    }

    /// Starts `causeway serve` as an operator would.
    ///
    /// # Errors
    /// As [`ServerProcess::start`].
    pub(super) fn start_serve(&self) -> Result<ServerProcess, Failure> {
        let log = self.folder.path().join("serve.log");
        ServerProcess::start(
            Some(&self.config),
            &[OsStr::new("serve"), OsStr::new("--log-file"), log.as_os_str()],
            self.ops,
            &self.output(),
        )
    }

    pub(super) fn output(&self) -> PathBuf {
        self.folder.path().join("stderr.txt")
    }

    /// The loader's connection settings.
    ///
    /// # Errors
    /// As [`BenchTarget::new`].
    pub(super) fn target(&self) -> Result<BenchTarget, Failure> {
        BenchTarget::new(
            self.fhir,
            &self.files.read("ca.pem")?,
            &self.files.read("partner.pem")?,
            &self.files.read("partner.key")?,
        )
    }

    /// The loader's source of tokens.
    ///
    /// # Errors
    /// Those of the discovery of the token endpoint.
    pub(super) async fn tokens(&self) -> Result<Tokens, Failure> {
        self.tokens_of(dev::identity(&self.files)?).await
    }

    /// A source of tokens of another partner.
    ///
    /// # Errors
    /// As [`Installation::tokens`].
    pub(super) async fn tokens_of(&self, identity: Identity) -> Result<Tokens, Failure> {
        let trust = self.files.read("ca.pem")?;
        let peer = PeerClient::new(&self.base_url, &trust, identity, Clock::System, Ids::random())?;
        let configuration = peer.discover().await?;
        Ok(Tokens { peer, configuration })
    }

    /// A member by number; number 0 has [`LARGE`] resources.
    pub(super) fn member(&self, index: u64) -> Member {
        Member::of(&self.options, index)
    }

    /// The member with the most resources, if there is one ([`Installation::add_huge`]).
    pub(super) fn huge_member(&self) -> Member {
        Member::of(
            &SynthOptions {
                seed: HUGE_SEED,
                ..self.options.clone()
            },
            0,
        )
    }

    /// The body of a `$member-match` request that must succeed.
    pub(super) fn match_body(&self, member: &Member, policy: SharingPolicy) -> Vec<u8> {
        self.body(member, policy, Variation::Exact)
    }

    /// Like [`Installation::match_body`], with a consent that was given this many days earlier (fewer than 120).
    pub(super) fn match_body_of_another_consent(&self, member: &Member, days: u64) -> Vec<u8> {
        let today = Utc::now().date_naive();
        let day = today.checked_sub_days(Days::new(days)).unwrap_or(today);
        self.body_on(member, SharingPolicy::Regular, Variation::Exact, day)
    }

    /// The body of a request that differs from the stored member as `variation` says.
    pub(super) fn body(&self, member: &Member, policy: SharingPolicy, variation: Variation) -> Vec<u8> {
        self.body_on(member, policy, variation, Utc::now().date_naive())
    }

    fn body_on(&self, member: &Member, policy: SharingPolicy, variation: Variation, day: NaiveDate) -> Vec<u8> {
        let options = MatchOptions {
            policy,
            new_npi: dev::PARTNER_NPI.to_owned(),
            ..MatchOptions::on(day)
        };
        match_request(member, &options, variation).to_string().into_bytes()
    }
}

/// Members of whom the first has so many resources.
pub(super) fn options_of(members: u64, large: u64) -> SynthOptions {
    SynthOptions {
        members,
        seed: SEED,
        resources_per_member: RESOURCES_PER_MEMBER,
        one_large: Some(large),
        ..SynthOptions::default()
    }
}

/// A source of tokens from the token endpoint, by signed assertions.
pub(super) struct Tokens {
    peer: PeerClient,
    configuration: SmartConfiguration,
}

impl Tokens {
    /// A new token for matching and reading, valid for 300 s.
    ///
    /// # Errors
    /// Those of the token endpoint.
    pub(super) async fn fresh(&self) -> Result<Secret, Failure> {
        let scopes = [MEMBER_MATCH, BULK_MEMBER_MATCH, "system/*.rs"];
        self.peer.token(&self.configuration, &scopes, None).await
    }
}

/// Writes synthetic members into a folder.
pub(super) fn synthesise(folder: &Path, options: &SynthOptions) -> Result<(), Failure> {
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

/// The configuration of the server. Answers are sent at once unless the slot is measured, because a slot would only add waiting time.
pub(super) fn configuration(
    fhir: SocketAddr,
    ops: SocketAddr,
    base_url: &str,
    store_url: &str,
    slot_ms: u64,
) -> String {
    let payer = SynthOptions::default();
    format!(
        "[server]\nfhir_listen = \"{fhir}\"\nops_listen = \"{ops}\"\nbase_url = \"{base_url}\"\n\
         [tls]\ncertificate = \"pki/server.pem\"\nkey = \"pki/server.key\"\nclient_ca = [\"pki/ca.pem\"]\n\
         [store]\nurl = \"{store_url}\"\n\
         [payer]\nname = \"{}\"\nnpi = \"{}\"\nmember_system = \"{}\"\n\
         [policy]\nanswer_slot_ms = {slot_ms}\n\
         [exports]\nurl = \"file:{EXPORTS}\"\n\
         [bulk]\nbody_bytes = 67108864\n\
         [limits]\nconnections_per_partner = 1024\nin_flight_per_partner = 1024\npartner_request_rate = 1000000\nkeep_alive_seconds = 600\n",
        payer.payer_name, payer.payer_npi, payer.member_system,
    )
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(unusable)
}

fn unusable(error: std::io::Error) -> Failure {
    Failure::new(Fault::InputUnreadable).at("bench folder").because(error)
}
