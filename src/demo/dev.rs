//! Development certificates, keys, a partner and sample members, in one folder.

use crate::audit::Note;
use crate::cli::Out;
use crate::config::Config;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::partner::{self, Registration, registry};
use crate::records::import;
use crate::secret::Secret;
use crate::security::dev_pki;
use crate::security::jwk::Algorithm;
use crate::security::signing::SigningKey;
use crate::synth::{self, Member, Options};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// URI name of the development partner's certificate, and its FHIR base.
pub const PARTNER_URI: &str = "https://new-payer.example/fhir";
/// Id and client id of the development partner.
pub const PARTNER_ID: &str = "new-payer";
/// NPI of the development partner.
pub const PARTNER_NPI: &str = "1992000020";
/// Members made when there are none.
const SAMPLE_MEMBERS: u64 = 200;

/// The files of a development set-up.
#[derive(Clone, Debug)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// The files of the set-up in `folder`.
    pub fn of(folder: &Path) -> Files {
        Files {
            folder: folder.to_path_buf(),
        }
    }

    /// Path of one file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Text of one file.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`].
    pub fn read(&self, name: &str) -> Result<String, Failure> {
        fs::read_to_string(self.path(name)).map_err(|error| unwritable(name, error))
    }

    /// Writes one file; private (mode 0600) when it holds a key.
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
        // The mode above counts for a new file only.
        file.set_permissions(fs::Permissions::from_mode(mode))
            .map_err(|error| unwritable(name, error))?;
        file.write_all(text.as_bytes()).map_err(|error| unwritable(name, error))
    }

    /// Makes CA, server and partner certificates, the partner's signing key and its registration.
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
        self.write("partner.toml", &partner_toml(), false)
    }
}

fn partner_toml() -> String {
    format!(
        "id = \"{PARTNER_ID}\"\nname = \"New Payer\"\nnpi = \"{PARTNER_NPI}\"\nclient_id = \"{PARTNER_ID}\"\n\
         jwks_file = \"partner-jwks-public.json\"\ncertificate_uri = \"{PARTNER_URI}\"\nmtls = \"required\"\n\
         scopes = [\"system/*.rs\", \"http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match\"]\n\
         dialect = {{ hrex = \"1.1\", pdex = \"2.2\", us_core = \"6.1.0\" }}\n"
    )
}

/// `serve --dev`: what is missing is made; the configuration then names the certificates.
///
/// # Errors
/// Those of the files and of the store.
pub fn prepare(config: &Config, ctx: &Context, out: &mut Out) -> Result<Config, Failure> {
    let files = Files::of(&config.data_folder().join("dev"));
    if !files.path("ca.pem").is_file() {
        files.make(ctx.clock.now_ms())?;
        out.note(&format!("made development certificates in {}", files.folder.display()));
    }
    register(&files, ctx, out)?;
    sample_members(ctx, out)?;
    with_certificates(config, &files)
}

/// The configuration with the development certificates in place of those it names.
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

/// Registers the development partner when it is not there.
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
    let by = Note {
        operator: "demo".to_owned(),
        reason: String::new(),
    };
    // Ours, with the address that it has in every test.
    let registration = Registration::read(&files.path("partner.toml"), true)?;
    registry::add(ctx, &registration, by)?;
    out.note(&format!("registered partner {PARTNER_ID}"));
    Ok(())
}

/// The synthetic payer of the development set-up: always the same members.
pub fn options(ctx: &Context) -> Options {
    Options {
        members: SAMPLE_MEMBERS,
        twins: true,
        showcase: true,
        member_system: ctx.payer.member_system.clone(),
        payer_name: ctx.payer.name.clone(),
        payer_npi: ctx.payer.npi.clone(),
        ..Options::default()
    }
}

/// Makes sample members when the store has none.
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

/// The showcase member of the development set-up.
pub fn showcase(ctx: &Context) -> Member {
    synth::showcase_member(&options(ctx))
}

/// How the development partner appears to a server.
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

/// Pretty JSON with a line end.
pub fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn unwritable(name: &str, error: std::io::Error) -> Failure {
    Failure::new(Fault::InputUnreadable)
        .at(name)
        .remedy("Check the data folder and its permissions.")
        .because(error)
}
