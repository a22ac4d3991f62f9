//! `causeway witness`: a witness of ledgers, which runs apart from every payer, with a key and a folder of its own.

use super::audit_keys::log_key;
use crate::app::signals::Signals;
use crate::config::wants_colour;
use crate::error::{Failure, Fault};
use crate::telemetry::log::{self, LogPlan};
use crate::terminal::{Exit, Out};
use crate::witness::desk::WitnessDesk;
use crate::witness::files::{self, WitnessFiles, WitnessStart};
use crate::witness::server::{self, WitnessServer};
use clap::{Args, Subcommand};
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Arguments of `witness`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway witness --name witness.example/w1 --log ledger.pub\n  causeway witness key\n  \
    causeway witness checkpoint localhost:8443/audit/5f0c1d2e3a4b5968 > kept.checkpoint\n\n\
    The first start makes the key. Run it on another host, as another user than any payer. Without TLS it listens on this machine only."
)]
pub struct WitnessArgs {
    /// The folder of the key and of the confirmed checkpoints
    #[arg(long, value_name = "DIR", default_value = "causeway-witness", global = true)]
    pub folder: PathBuf,
    /// The public key of a log that it confirms, or a file that holds it; once for each log
    #[arg(long = "log", value_name = "KEY")]
    pub logs: Vec<String>,
    /// Where it listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9600")]
    pub listen: SocketAddr,
    /// Its name in what it signs; needed at the first start only
    #[arg(long)]
    pub name: Option<String>,
    /// Make a new key because the one of this folder is lost; those who trust the witness need its new public key
    #[arg(long, requires = "name")]
    pub new_key: bool,
    /// PEM chain of its certificate; without it, it listens on this machine only
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// PEM key of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<WitnessCommand>,
}

/// What to do with a witness that was started once.
#[derive(Subcommand, Clone, Debug)]
pub enum WitnessCommand {
    /// Print its public key
    Key,
    /// Print the last checkpoint of a log that it confirmed
    Checkpoint {
        /// The name of the log: the first line of its checkpoints
        origin: String,
    },
}

/// Serves until a signal, or prints what the witness has; 0 after it.
///
/// # Errors
/// [`Fault::ParameterInvalid`] without a log, or without a name at the first start; those of [`WitnessFiles`] and [`WitnessServer`].
pub fn run(args: &WitnessArgs, cwd: &Path, out: &mut Out) -> Result<Exit, Failure> {
    let folder = cwd.join(&args.folder);
    match &args.command {
        Some(WitnessCommand::Key) => {
            let key = files::public_key(&folder)?.text();
            match out.json {
                true => out.value(&json!({ "key": key })),
                false => out.line(&key),
            }
            Ok(Exit::Done)
        }
        Some(WitnessCommand::Checkpoint { origin }) => {
            let note = files::confirmed(&folder, origin)?.ok_or_else(|| {
                Failure::new(Fault::NotFound)
                    .remedy("This witness has confirmed no checkpoint of a log with this name.")
            })?;
            match out.json {
                true => out.value(&json!({ "origin": origin, "note": note })),
                false => out.raw(&note),
            }
            Ok(Exit::Done)
        }
        None => serve(args, cwd, &folder, out),
    }
}

fn serve(args: &WitnessArgs, cwd: &Path, folder: &Path, out: &mut Out) -> Result<Exit, Failure> {
    let logs = args
        .logs
        .iter()
        .map(|key| log_key(cwd, key, "--log"))
        .collect::<Result<Vec<_>, _>>()?;
    if logs.is_empty() {
        let remedy = "Give --log with the public key of a payer's log, which `causeway audit key` prints there.";
        return Err(Failure::new(Fault::ParameterInvalid).at("--log").remedy(remedy));
    }
    let tls = match (&args.tls_certificate, &args.tls_key) {
        (Some(certificate), Some(key)) => Some(server::tls(&cwd.join(certificate), &cwd.join(key))?),
        _ => None,
    };
    let plan = LogPlan {
        level: "info",
        format: "auto",
        file: None,
        quiet: out.quiet,
        terminal: out.terminal,
        colour: wants_colour(),
        spans: None,
    };
    log::start(&plan).map_err(|error| Failure::new(Fault::Internal).because(error))?;
    let start = WitnessStart {
        name: args.name.as_deref(),
        new_key: args.new_key,
    };
    let desk = WitnessDesk::open(WitnessFiles::take(folder)?, start, logs)?;
    let key = desk.key().text();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Fault::Internal).because(error))?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let server = WitnessServer::listen(args.listen, tls, desk).await?;
        let url = server.url()?;
        if out.json {
            out.value(&json!({ "url": url, "key": key }));
        } else {
            out.line(&format!("The witness answers at {url}"));
            out.line(&format!(
                "For the payer's configuration: [ledger] witnesses = [\"{url} {key}\"]"
            ));
            out.note("Ctrl-C stops it.");
        }
        tokio::select! {
            () = server.serve() => {}
            () = signals.stop() => {}
        }
        Ok(Exit::Done)
    })
}
