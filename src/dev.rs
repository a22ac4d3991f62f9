//! Development certificates, keys, a partner and sample members in one folder: for `serve --dev`, the demonstration and the benchmark.
//!
//! A production server uses none of this; the keys are valid only on this machine and for a short time.

pub mod by_hand;
pub mod new_payer;
pub mod program;

use crate::audit::OperatorNote;
use crate::config::Config;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::operations::{BULK_MEMBER_MATCH, MEMBER_MATCH};
use crate::http::explorer::ActingPartner;
use crate::partner::{self, Registration, registry};
use crate::records::import;
use crate::secret::Secret;
use crate::security::{PeerCertificate, dev_pki};
use crate::synth::{self, Member, SynthOptions};
use crate::terminal::Out;
use causeway_jose::{Algorithm, SigningKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The URI name of the development partner's certificate, which is also its FHIR base URL.
pub const PARTNER_URI: &str = "https://new-payer.example/fhir";
/// The id of the development partner, which is also its client id.
pub const PARTNER_ID: &str = "new-payer";
/// NPI of the development partner.
pub const PARTNER_NPI: &str = "1992000020";
/// How many members are made when there are none.
const SAMPLE_MEMBERS: u64 = 200;

/// The files of a development setup.
#[derive(Clone, Debug)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// The files of the setup in `folder`.
    pub fn of(folder: &Path) -> Files {
        Files {
            folder: folder.to_path_buf(),
        }
    }

    /// The path of a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`].
    pub fn read(&self, name: &str) -> Result<String, Failure> {
        fs::read_to_string(self.path(name)).map_err(|error| unwritable(name, error))
    }

    /// Writes a file; `private` sets mode 0600, for a file with a key.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`].
    pub fn write(&self, name: &str, text: &str, private: bool) -> Result<(), Failure> {
        use std::io::Write as _;
        let mode = if private { 0o600 } else { 0o644 };
        let mut file = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(mode)
            .open(self.path(name))
            .map_err(|error| unwritable(name, error))?;
        // The mode above applies only to a new file.
        file.set_permissions(fs::Permissions::from_mode(mode))
            .map_err(|error| unwritable(name, error))?;
        file.write_all(text.as_bytes()).map_err(|error| unwritable(name, error))
    }

    /// Makes the certificates of the authority, the server and the partner, and the partner's signing key and registration.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] when the folder cannot be written.
    pub fn make(&self, now_ms: i64) -> Result<(), Failure> {
        fs::create_dir_all(&self.folder).map_err(|error| unwritable("folder", error))?;
        let ca = dev_pki::issue_ca("Causeway development CA", now_ms)?;
        let server = ca.server(now_ms)?;
        let client = ca.client(PARTNER_URI, now_ms)?;
        let key = SigningKey::generate(Algorithm::Es384, "dev-1")?;
        self.write("ca.pem", ca.certificate_pem(), false)?;
        self.write("server.pem", &server.certificate_pem, false)?;
        self.write("server.key", &server.key_pem, true)?;
        self.write("partner.pem", &client.certificate_pem, false)?;
        self.write("partner.key", &client.key_pem, true)?;
        self.write(
            "partner-jwks.json",
            &pretty(&json!({"keys": [key.private_jwk()]})),
            true,
        )?;
        self.write(
            "partner-jwks-public.json",
            &pretty(&json!({"keys": [key.public_jwk()]})),
            false,
        )?;
        let own = partner_toml(
            "New Payer",
            (PARTNER_ID, PARTNER_NPI),
            ("partner-jwks-public.json", PARTNER_URI),
        );
        self.write("partner.toml", &own, false)
    }
}

/// The registration of a partner that may match and read; `id` is its client id too, `keys` the file with its public keys beside it, and `uri`
/// the URI name of its certificate.
pub fn partner_toml(name: &str, (id, npi): (&str, &str), (keys, uri): (&str, &str)) -> String {
    format!(
        "id = \"{id}\"\nname = \"{name}\"\nnpi = \"{npi}\"\nclient_id = \"{id}\"\n\
         jwks_file = \"{keys}\"\ncertificate_uri = \"{uri}\"\nmtls = \"required\"\n\
         scopes = [\"system/*.rs\", \"{MEMBER_MATCH}\", \"{BULK_MEMBER_MATCH}\"]\n\
         dialect = {{ hrex = \"1.1\", pdex = \"2.2\", us_core = \"6.1.0\" }}\n"
    )
}

/// Prepares `serve --dev`: makes what is missing, and returns the configuration with the development certificates.
///
/// # Errors
/// Those of the files and of the store.
pub fn prepare(config: &Config, ctx: &Context, out: &mut Out) -> Result<Config, Failure> {
    let files = files(config);
    if !files.path("ca.pem").is_file() {
        files.make(ctx.clock.now_ms())?;
        out.note(&format!("made development certificates in {}", files.folder.display()));
    }
    register(&files, ctx, out)?;
    sample_members(ctx, out)?;
    with_certificates(config, &files)
}

/// The configuration with the development certificates instead of its own.
///
/// # Errors
/// [`Fault::ConfigInvalid`].
pub fn with_certificates(config: &Config, files: &Files) -> Result<Config, Failure> {
    let mut config = config.clone();
    config.tls.certificate = Some(files.path("server.pem"));
    config.tls.key = Some(files.path("server.key"));
    config.tls.client_ca = vec![files.path("ca.pem")];
    config.tls.client_crl = Vec::new();
    Ok(config)
}

/// Registers the development partner if it is missing.
///
/// # Errors
/// Those of the store.
pub fn register(files: &Files, ctx: &Context, out: &mut Out) -> Result<(), Failure> {
    if ctx
        .store
        .read_blocking(|db| crate::store::partners::by_id(db, PARTNER_ID))?
        .is_some()
    {
        return Ok(());
    }
    let by = OperatorNote {
        operator: "demo".to_owned(),
        reason: String::new(),
    };
    // A registration of this program, with an address that every test allows.
    let registration = Registration::read(&files.path("partner.toml"), true)?;
    registry::add(ctx, &registration, by)?;
    out.note(&format!("registered partner {PARTNER_ID}"));
    Ok(())
}

/// The options of the development setup, which always give the same synthetic members.
pub fn options(ctx: &Context) -> SynthOptions {
    SynthOptions {
        members: SAMPLE_MEMBERS,
        twins: true,
        showcase: true,
        member_system: ctx.payer.member_system.clone(),
        payer_name: ctx.payer.name.clone(),
        payer_npi: ctx.payer.npi.clone(),
        ..SynthOptions::default()
    }
}

/// Makes sample members if the store has none.
///
/// # Errors
/// Those of the store.
pub fn sample_members(ctx: &Context, out: &mut Out) -> Result<(), Failure> {
    if ctx.store.read_blocking(crate::store::members::any)? {
        return Ok(());
    }
    let options = options(ctx);
    let mut lines = Vec::new();
    let made = synth::write(&options, &mut |_, line| {
        lines.extend_from_slice(line);
        lines.push(b'\n');
        Ok(())
    });
    made.map_err(|error| unwritable("sample members", error))?;
    let counts = import::ingest_ndjson(ctx, lines.as_slice(), "sample members", &mut |line, failure| {
        tracing::warn!(line, fault = failure.fault().code(), "a sample resource was refused");
    })?;
    if counts.rejected > 0 {
        return Err(
            Failure::new(Fault::ResourceInvalid).remedy("The synthetic members do not pass the gate: report this.")
        );
    }
    out.note(&format!(
        "made {} synthetic members and the showcase, {} resources",
        options.members, counts.stored
    ));
    Ok(())
}

/// A sample member by index.
pub fn member(ctx: &Context, index: u64) -> Member {
    Member::of(&options(ctx), index)
}

/// The showcase member of the development setup.
pub fn showcase(ctx: &Context) -> Member {
    synth::showcase_member(&options(ctx))
}

/// The identity with which the development partner authenticates at a server.
///
/// # Errors
/// [`Fault::InputUnreadable`].
pub fn identity(files: &Files) -> Result<partner::client::Identity, Failure> {
    let keys: Value = serde_json::from_str(&files.read("partner-jwks.json")?).map_err(|error| {
        Failure::new(Fault::InputUnreadable)
            .at("partner-jwks.json")
            .because(error)
    })?;
    Ok(partner::client::Identity {
        client_id: PARTNER_ID.to_owned(),
        signing_key: SigningKey::from_jwk(&keys["keys"][0])?,
        certificate_pem: files.read("partner.pem")?,
        certificate_key_pem: Secret::new(files.read("partner.key")?),
    })
}

/// The development partner, as which a browser on this machine may act.
///
/// # Errors
/// As [`identity`]; [`Fault::InputUnreadable`] for a file without a certificate.
pub fn acting(files: &Files) -> Result<ActingPartner, Failure> {
    let identity = identity(files)?;
    let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).map_err(|error| {
        Failure::new(Fault::InputUnreadable)
            .at("partner.pem")
            .because(error.to_string())
    })?;
    Ok(ActingPartner {
        client_id: identity.client_id,
        key: identity.signing_key,
        certificate: PeerCertificate::of(&certificate),
    })
}

/// The files of the development setup of a server with this configuration.
pub fn files(config: &Config) -> Files {
    Files::of(&config.data_folder().join("dev"))
}

/// Indented JSON with a line end.
pub fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn unwritable(name: &str, error: std::io::Error) -> Failure {
    Failure::new(Fault::InputUnreadable)
        .at(name)
        .remedy("Check the data folder and its permissions.")
        .because(error)
}
