//! `causeway demo`: two payers on this machine, an exchange explained step by step.

use crate::app::admin::RunCommand;
use crate::app::signals::Signals;
use crate::config::Config;
use crate::demo::story::{self, Demo};
use crate::dev::by_hand::BASE_URL;
use crate::error::{Failure, Fault};
use crate::telemetry::log;
use crate::terminal::{Exit, Out};
use clap::Args;
use serde_json::json;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// Arguments of `demo`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example: causeway demo --once")]
pub struct DemoArgs {
    /// End after the last step instead of staying up
    #[arg(long)]
    pub once: bool,
    /// Print a new access token for the demonstration, or the `serve --dev`, that runs in --folder, and end
    #[arg(long)]
    pub token: bool,
    /// Folder of both payers
    #[arg(long, value_name = "DIR", default_value = "causeway-data/demo")]
    pub folder: PathBuf,
}

/// Plays the demonstration; `commands` runs what comes over the old payer's admin socket.
///
/// # Errors
/// Those of its steps.
pub fn run(args: &DemoArgs, cwd: &Path, commands: RunCommand, out: &mut Out) -> Result<Exit, Failure> {
    let folder = cwd.join(&args.folder);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Fault::Internal).because(error))?;
    if args.token {
        let base_url = std::fs::read_to_string(folder.join(BASE_URL)).map_err(|error| {
            Failure::new(Fault::InputUnreadable)
                .remedy("Start `causeway demo` or `causeway serve --dev` first; --folder names its folder.")
                .because(error)
        })?;
        let token = runtime.block_on(story::token(base_url.trim(), &folder))?;
        if out.json {
            out.value(&json!({ "token": token.expose() }));
        } else {
            out.line(token.expose());
        }
        return Ok(Exit::Done);
    }
    let (environment, reserved) = addresses()?;
    let config = Config::load(None, environment)?;
    std::fs::create_dir_all(&folder).map_err(|error| Failure::new(Fault::InputUnreadable).because(error))?;
    let plan = log::LogPlan {
        level: "info",
        format: "json",
        file: Some(&folder.join("old-payer.log")),
        quiet: out.quiet,
        terminal: out.terminal,
        colour: false,
        spans: None,
    };
    log::start(&plan).map_err(|error| Failure::new(Fault::InputUnreadable).at("--folder").because(error))?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let demo = Demo::start(config, &folder, reserved, commands, out).await?;
        let received = tokio::select! {
            received = demo.play(out) => received?,
            () = signals.stop() => {
                demo.stop().await;
                return Ok(Exit::Failed);
            }
        };
        if out.json {
            out.value(&received);
        }
        out.tell("");
        if cfg!(debug_assertions) {
            out.tell("This build is for trying and for tests. `cargo build --release` makes the fast one, to install.");
        }
        if args.once {
            out.tell("Done: the record was received, and every step is in the ledger. Look at it with any command:");
            out.tell(&format!(
                "\n    export CAUSEWAY_STORE__URL={}\n    causeway match list\n",
                demo.store()
            ));
        } else {
            out.tell(&demo.by_hand());
            out.tell("The old payer stays up. Ctrl-C ends it.");
            signals.stop().await;
        }
        demo.stop().await;
        Ok(Exit::Done)
    })
}

/// Variables by name, as the configuration takes them.
type Environment = Vec<(String, String)>;

/// The default addresses, or free ones where those are taken; reserved until the server takes them over.
fn addresses() -> Result<(Environment, Vec<TcpListener>), Failure> {
    let free = |wanted: u16| {
        let bound = TcpListener::bind(("127.0.0.1", wanted)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)));
        bound
            .and_then(|listener| Ok((listener.local_addr()?, listener)))
            .map_err(|error| {
                Failure::new(Fault::ConfigInvalid)
                    .at("server.fhir_listen")
                    .because(error)
            })
    };
    let ((fhir, one), (ops, two)) = (free(8443)?, free(9443)?);
    let environment = vec![
        ("CAUSEWAY_SERVER__FHIR_LISTEN".into(), fhir.to_string()),
        ("CAUSEWAY_SERVER__OPS_LISTEN".into(), ops.to_string()),
        (
            "CAUSEWAY_SERVER__BASE_URL".into(),
            format!("https://localhost:{}/fhir", fhir.port()),
        ),
    ];
    Ok((environment, vec![one, two]))
}
