//! Starting a sandbox and stopping it. Each has a thread of its own, so that many run at once and none waits for a test.

use crate::certificates::{Certificates, SandboxCertificate};
use crate::connection::{serve, serve_elsewhere};
use crate::control::{SandboxControl, serve_control};
use crate::error::SandboxError;
use crate::listen::listen;
use crate::member::SandboxMember;
use crate::play::{FHIR_PATH, Play, secret};
use crate::script::SandboxScript;
use causeway_jose::{Algorithm, SigningKey};
use serde_json::{Value, json};
use std::future::Future;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Id of the client that is registered when the script names none, and of its key.
const OWN_CLIENT: &str = "sandbox-client";

/// Another payer.
#[derive(Debug)]
pub struct Sandbox;

/// A sandbox that runs; it ends when this is dropped.
pub struct RunningSandbox {
    control: SandboxControl,
    control_url: String,
    control_token: String,
    own_client: Option<SigningKey>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Starts to listen and to play `script`. When this returns, connections are taken.
    ///
    /// # Errors
    /// [`SandboxError`]: a script that cannot be played, an address beyond this machine, files that cannot be used.
    pub fn start(mut script: SandboxScript) -> Result<RunningSandbox, SandboxError> {
        script.check()?;
        let mut own_client = None;
        if script.client.is_empty() {
            let key = SigningKey::generate(Algorithm::Es384, OWN_CLIENT).map_err(SandboxError::certificate)?;
            script = script.with_client(OWN_CLIENT, json!({ "keys": [key.public_jwk()] }));
            own_client = Some(key);
        }
        let home = listen("listen", &script.listen)?;
        // The second origin has another port and another host name; both reach this machine only.
        let elsewhere = listen("listen", "127.0.0.1:0")?;
        let controls = listen("control", &script.control)?;
        let port = |listener: &StdListener| {
            let address = listener
                .local_addr()
                .map_err(|error| SandboxError::Listen(error.to_string()))?;
            Ok::<u16, SandboxError>(address.port())
        };
        let origin = format!("https://{}:{}", script.host, port(&home)?);
        let elsewhere_origin = format!("https://127.0.0.1:{}", port(&elsewhere)?);
        let control_url = format!("http://127.0.0.1:{}", port(&controls)?);
        let certificates = Certificates::of(&script)?;
        let play = Arc::new(Play::of(script, certificates, origin, elsewhere_origin)?);
        let control_token = secret();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| SandboxError::Listen(error.to_string()))?;
        let (stop, stopped) = oneshot::channel();
        let control = SandboxControl::of(Arc::clone(&play));
        let (served, token) = (control.clone(), control_token.clone());
        let thread = std::thread::Builder::new()
            .name("sandbox-partner".into())
            .spawn(move || {
                runtime.block_on(async {
                    let strayed = Arc::clone(&play);
                    tokio::select! {
                        () = accept(home, move |tcp| serve(Arc::clone(&play), tcp)) => {}
                        () = accept(elsewhere, move |tcp| serve_elsewhere(Arc::clone(&strayed), tcp)) => {}
                        () = accept(controls, move |tcp| serve_control(served.clone(), token.clone(), tcp)) => {}
                        _ = stopped => {}
                    }
                });
                // Connections that still hang are dropped with their tasks.
                runtime.shutdown_background();
            })
            .map_err(|error| SandboxError::Listen(error.to_string()))?;
        Ok(RunningSandbox {
            control,
            control_url,
            control_token,
            own_client,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

async fn accept<F, S>(listener: StdListener, serve: F)
where
    F: Fn(TcpStream) -> S,
    S: Future<Output = ()> + Send + 'static,
{
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) if peer.ip().is_loopback() => drop(tokio::spawn(serve(tcp))),
            Ok(_) => {}
            // Out of file descriptors, for example: the next attempt may do.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
}

impl RunningSandbox {
    fn play(&self) -> &Play {
        self.control.play()
    }

    pub(crate) fn script(&self) -> &SandboxScript {
        &self.play().script
    }

    /// The client that is registered when the script names none: its id and its private JWK.
    pub fn own_client(&self) -> Option<(&'static str, Value)> {
        self.own_client.as_ref().map(|key| (OWN_CLIENT, key.private_jwk()))
    }

    /// The payer's own public key, as its `.well-known/jwks.json` has it.
    pub fn payer_key(&self) -> Value {
        self.play().payer_key(false).unwrap_or_default()
    }

    /// The FHIR base URL.
    pub fn base_url(&self) -> String {
        self.play().base.clone()
    }

    /// The token endpoint.
    pub fn token_url(&self) -> String {
        self.play().token_url()
    }

    /// The second origin, which nobody should call.
    pub fn elsewhere_url(&self) -> String {
        self.play().elsewhere.clone()
    }

    /// The base URL of the control listener.
    pub fn control_url(&self) -> &str {
        &self.control_url
    }

    /// The bearer token of the control listener.
    pub fn control_token(&self) -> &str {
        &self.control_token
    }

    /// The authority that a client must trust, PEM.
    pub fn trust_pem(&self) -> &str {
        &self.play().certificates.trust_pem
    }

    /// What happened, and changing what will.
    pub fn control(&self) -> &SandboxControl {
        &self.control
    }

    /// All members.
    pub fn members(&self) -> &[SandboxMember] {
        self.play().roster.all()
    }

    /// Issues a client certificate with this URI name, which the sandbox takes.
    ///
    /// # Errors
    /// [`SandboxError::Certificate`].
    pub fn client_certificate(&self, uri: &str) -> Result<SandboxCertificate, SandboxError> {
        self.play().certificates.client(uri)
    }

    /// The resources of a member's record as they are without any rule, in their order; without claims where `$everything` has none.
    pub fn record(&self, member: &SandboxMember) -> impl Iterator<Item = Value> + use<> {
        let record = self.play().record(member);
        (0..record.len())
            .filter(|&index| record.in_everything(index))
            .collect::<Vec<_>>()
            .into_iter()
            .map(move |index| record.resource(index))
    }

    /// What a client must know and register, as the connection file holds it.
    pub fn connection(&self) -> Value {
        let play = self.play();
        let script = &play.script;
        let members = play.roster.all().iter().take(1000).map(|member| {
            json!({
                "number": member.number, "patient_id": member.patient_id, "umb": member.umb, "family": member.family,
                "given": member.given, "birth_date": member.birth_date, "gender": member.gender, "resources": member.resources
            })
        });
        json!({
            "base_url": play.base,
            "token_url": play.token_url(),
            "smart_configuration": format!("{}/.well-known/smart-configuration", play.base),
            "elsewhere_url": play.elsewhere,
            "control_url": self.control_url,
            "control_token": self.control_token,
            "trust_pem": play.certificates.trust_pem,
            "payer": {
                "name": script.payer.name, "npi": script.payer.npi,
                "member_system": script.payer.member_system, "umb_system": script.payer.umb_system
            },
            "clients": script.client.iter().map(|client| &client.id).collect::<Vec<_>>(),
            "members": members.collect::<Vec<_>>()
        })
    }

    /// Stops it and waits until its thread has ended. Connections that are open are dropped.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for RunningSandbox {
    fn drop(&mut self) {
        self.end();
    }
}

/// The path of the FHIR base below the origin.
pub const SANDBOX_FHIR_PATH: &str = FHIR_PATH;
