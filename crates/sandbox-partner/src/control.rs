//! The control surface: what happened, and changing what will. In the process a handle; for others HTTP on a listener of its own,
//! which is never the payer's.

use crate::error::SandboxError;
use crate::play::{Play, SandboxEffect, SandboxReceipt, SandboxRequest, SandboxStray};
use crate::script::{SandboxClient, SandboxRoute, SandboxRule};
use crate::wire::{AfterSend, PlayedReply, PlayedRequest, SendManner, read, send};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// A handle of a running sandbox. It does not keep the sandbox running.
#[derive(Clone)]
pub struct SandboxControl {
    play: Arc<Play>,
}

impl SandboxControl {
    pub(crate) fn of(play: Arc<Play>) -> SandboxControl {
        SandboxControl { play }
    }

    pub(crate) fn play(&self) -> &Play {
        &self.play
    }

    /// The requests that arrived, oldest first; the last 20,000.
    pub fn requests(&self) -> Vec<SandboxRequest> {
        self.play.requests()
    }

    /// The requests of one route.
    pub fn requests_to(&self, route: SandboxRoute) -> Vec<SandboxRequest> {
        self.requests()
            .into_iter()
            .filter(|request| request.route == route)
            .collect()
    }

    /// The effects: what was processed, each once with its count.
    pub fn effects(&self) -> Vec<SandboxEffect> {
        self.play.effects()
    }

    /// How often something of this route was processed.
    pub fn effect_count(&self, route: SandboxRoute) -> u64 {
        self.effects()
            .iter()
            .filter(|effect| effect.route == route)
            .map(|effect| effect.count)
            .sum()
    }

    /// The effects that happened more than once under one key.
    pub fn repeated_effects(&self) -> Vec<SandboxEffect> {
        self.effects().into_iter().filter(|effect| effect.count > 1).collect()
    }

    /// What reached the second origin. For a careful client this is empty.
    pub fn strays(&self) -> Vec<SandboxStray> {
        self.play.strays()
    }

    /// The acknowledgements that were posted.
    pub fn receipts(&self) -> Vec<SandboxReceipt> {
        self.play.receipts()
    }

    /// What a careful payer would say about the requests, with their numbers.
    pub fn complaints(&self) -> Vec<(u64, String)> {
        let of = |request: SandboxRequest| request.complaints.into_iter().map(move |what| (request.number, what));
        self.requests().into_iter().flat_map(of).collect()
    }

    /// Waits until `count` requests of this route are over, for at most `limit`. Blocks the calling thread. Returns whether they are.
    pub fn wait_for(&self, route: SandboxRoute, count: usize, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        loop {
            if self.play.ended_count(route) >= count {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Puts these rules in the place of all; their requests are counted from 1.
    ///
    /// # Errors
    /// [`SandboxError::Script`].
    pub fn set_rules(&self, rules: Vec<SandboxRule>) -> Result<(), SandboxError> {
        for (at, rule) in rules.iter().enumerate() {
            rule.check(&format!("rule[{at}]"))?;
        }
        self.play.set_rules(rules);
        Ok(())
    }

    /// Adds a rule and returns its place.
    ///
    /// # Errors
    /// [`SandboxError::Script`].
    pub fn add_rule(&self, rule: SandboxRule) -> Result<usize, SandboxError> {
        rule.check("rule")?;
        Ok(self.play.add_rule(rule))
    }

    /// Takes all rules away: the payer behaves from now on.
    pub fn behave(&self) {
        self.play.set_rules(Vec::new());
    }

    /// Sets the sandbox's clock, UTC milliseconds; it goes on from there.
    pub fn set_time_ms(&self, now_ms: i64) {
        self.play.set_time_ms(now_ms);
    }

    /// The sandbox's clock, UTC milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.play.now_ms()
    }

    /// Registers a client, or gives it other keys.
    ///
    /// # Errors
    /// [`SandboxError::Script`] for keys that are none.
    pub fn register(&self, client: &SandboxClient) -> Result<(), SandboxError> {
        self.play.register(client)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    rule: Vec<SandboxRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewClock {
    now_ms: i64,
}

/// Serves one connection of the control listener: plain HTTP on loopback, with a token, so that no page in a browser reaches it.
pub(crate) async fn serve_control(control: SandboxControl, token: String, mut tcp: TcpStream) {
    let mut left = Vec::new();
    while let Ok(request) = read(&mut tcp, &mut left).await {
        let reply = if request.header("authorization") == Some(&format!("Bearer {token}")) {
            controlled(&control, &request)
        } else {
            PlayedReply::json(
                401,
                &json!({ "error": "give the control_token of the connection file as a bearer token" }),
            )
        };
        let (_, after) = send(&mut tcp, reply, &SendManner::Plain, request.keep_alive, false).await;
        if after != AfterSend::Keep {
            break;
        }
    }
}

fn controlled(control: &SandboxControl, request: &PlayedRequest) -> PlayedReply {
    let shown = |value: Result<serde_json::Value, serde_json::Error>| match value {
        Ok(value) => PlayedReply::json(200, &value),
        Err(error) => PlayedReply::json(500, &json!({ "error": error.to_string() })),
    };
    let done = |result: Result<(), String>| match result {
        Ok(()) => PlayedReply::json(200, &json!({ "done": true })),
        Err(why) => PlayedReply::json(400, &json!({ "error": why })),
    };
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/requests") => {
            let route = request.param("route");
            let named = |request: &SandboxRequest| route.is_none_or(|route| json!(request.route) == route);
            shown(serde_json::to_value(
                control.requests().into_iter().filter(named).collect::<Vec<_>>(),
            ))
        }
        ("GET", "/effects") => shown(serde_json::to_value(control.effects())),
        ("GET", "/receipts") => shown(serde_json::to_value(control.receipts())),
        ("GET", "/strays") => shown(serde_json::to_value(control.strays())),
        ("GET", "/clock") => PlayedReply::json(200, &json!({ "now_ms": control.now_ms() })),
        ("PUT", "/clock") => done(
            serde_json::from_slice(&request.body)
                .map_err(|error| error.to_string())
                .map(|clock: NewClock| control.set_time_ms(clock.now_ms)),
        ),
        ("PUT", "/rules") => done(
            serde_json::from_slice(&request.body)
                .map_err(|error| error.to_string())
                .and_then(|rules: Rules| control.set_rules(rules.rule).map_err(|error| error.to_string())),
        ),
        _ => PlayedReply::json(
            404,
            &json!({ "error": "GET requests, effects, receipts, strays, clock; PUT rules, clock" }),
        ),
    }
}
