//! Noting what happens: requests, effects, replies that are given again, strays; and reading it back.

use super::observed::{SandboxEffect, SandboxReceipt, SandboxRequest, SandboxStray};
use super::route::AskedRoute;
use super::state::{ASSERTION_BYTES, Certified, HeldReceipt, Play, bearer, hex, sha256};
use super::treatment::Treatment;
use crate::script::{KeyHandling, SandboxRoute};
use crate::wire::{PlayedReply, PlayedRequest, ReplyBody, pairs};
use causeway_jose::Compact;

/// Requests that are kept for inspection; older ones are forgotten.
const REQUESTS_KEPT: usize = 20_000;
/// Numbers of requests that an effect keeps; it counts all.
const NUMBERS_KEPT: usize = 16;

impl Play {
    /// Notes a request and returns its number.
    pub(super) fn saw(
        &self,
        request: &PlayedRequest,
        asked: &AskedRoute,
        certified: &Certified,
        treatment: &Treatment,
    ) -> u64 {
        let header = |name: &str| request.header(name).map(str::to_owned);
        let at_ms = self.now_ms();
        let seen = SandboxRequest {
            number: 0,
            at_ms,
            route: asked.route,
            method: request.method.clone(),
            target: request.target.clone(),
            client: asked.client.clone(),
            member: asked.member.map(|index| self.roster.all()[index].patient_id.clone()),
            resource: asked.resource.clone(),
            page: asked.page,
            idempotency_key: header("idempotency-key"),
            correlation_id: header("x-correlation-id"),
            traceparent: header("traceparent"),
            headers: request
                .headers
                .iter()
                .filter(|(name, _)| name != "authorization")
                .cloned()
                .collect(),
            authorized: request.header("authorization").is_some(),
            certificate: certified.as_ref().map(|hash| hex(hash)),
            body_sha256: hex(sha256(&[&request.body]).as_ref()),
            body: request.body.iter().take(self.script.keep_body_bytes).copied().collect(),
            rules: treatment.rules.clone(),
            status: None,
            sent_bytes: 0,
            processed: false,
            ended: false,
            complaints: Vec::new(),
        };
        let mut moving = self.moving();
        let number = moving.next_number;
        moving.next_number += 1;
        moving.requests.push_back(SandboxRequest { number, ..seen });
        if moving.requests.len() > REQUESTS_KEPT {
            moving.requests.pop_front();
        }
        number
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut SandboxRequest)) {
        let mut moving = self.moving();
        let first = moving.requests.front().map_or(0, |request| request.number);
        let at = number.checked_sub(first).and_then(|at| usize::try_from(at).ok());
        if let Some(request) = at.and_then(|at| moving.requests.get_mut(at)) {
            change(request);
        }
    }

    /// Notes the status that is about to be sent.
    pub(crate) fn answered(&self, number: u64, status: u16) {
        self.change(number, |request| request.status = Some(status));
    }

    /// Notes that a request is over.
    pub(crate) fn ended(&self, number: u64, sent_bytes: u64) {
        self.change(number, |request| {
            request.sent_bytes = sent_bytes;
            request.ended = true;
        });
    }

    pub(super) fn complain(&self, number: u64, what: String) {
        self.change(number, |request| request.complaints.push(what));
    }

    /// Notes an effect of request `number`.
    pub(super) fn effect(&self, number: u64, request: &PlayedRequest, asked: &AskedRoute, key: Option<String>) {
        let key = key
            .or_else(|| request.header("idempotency-key").map(str::to_owned))
            .unwrap_or_else(|| {
                let digest = sha256(&[
                    request.method.as_bytes(),
                    b" ",
                    request.target.as_bytes(),
                    b"\n",
                    &request.body,
                ]);
                format!("sha256:{}", hex(digest.as_ref()))
            });
        let member = asked.member.map(|index| self.roster.all()[index].patient_id.clone());
        self.change(number, |request| request.processed = true);
        let mut moving = self.moving();
        let effect = moving
            .effects
            .entry((asked.route, key.clone()))
            .or_insert_with(|| SandboxEffect {
                route: asked.route,
                key,
                client: asked.client.clone(),
                member,
                count: 0,
                requests: Vec::new(),
            });
        effect.count += 1;
        if effect.requests.len() < NUMBERS_KEPT {
            effect.requests.push(number);
        }
    }

    /// The client whom token or assertion claim; nothing is verified here.
    pub(super) fn client_of(&self, request: &PlayedRequest) -> Option<String> {
        if let Some(token) = bearer(request) {
            return self.moving().tokens.get(token).map(|held| held.client.clone());
        }
        if !request.is_form() {
            return None;
        }
        let fields = pairs(std::str::from_utf8(&request.body).ok()?);
        let assertion = &fields.iter().find(|(name, _)| name == "client_assertion")?.1;
        let compact = Compact::parse(assertion, ASSERTION_BYTES).ok()?;
        compact.claims.get("iss")?.as_str().map(str::to_owned)
    }

    /// Under which name a reply is kept for its `Idempotency-Key`, where keys are honored.
    fn reply_key(&self, request: &PlayedRequest, asked: &AskedRoute) -> Option<String> {
        let routes = [SandboxRoute::MemberMatch, SandboxRoute::Receipt];
        let honored = self.script.idempotency == KeyHandling::Honored && routes.contains(&asked.route);
        let (key, client) = (request.header("idempotency-key")?, asked.client.as_ref()?);
        honored.then(|| format!("{client}\n{}\n{}\n{key}", request.method, request.target))
    }

    pub(super) fn replayed(&self, request: &PlayedRequest, asked: &AskedRoute) -> Option<PlayedReply> {
        let key = self.reply_key(request, asked)?;
        let (status, headers, body) = self.moving().replies.get(&key)?.clone();
        let reply = PlayedReply {
            status,
            headers,
            body: ReplyBody::Whole(body),
        };
        Some(reply.with("Idempotent-Replayed", "true"))
    }

    pub(super) fn remember_reply(&self, request: &PlayedRequest, asked: &AskedRoute, reply: &PlayedReply) {
        let lasting = reply.status < 300 || reply.status == 422;
        if let (true, Some(key), ReplyBody::Whole(body)) = (lasting, self.reply_key(request, asked), &reply.body) {
            let kept = (reply.status, reply.headers.clone(), body.clone());
            self.moving().replies.insert(key, kept);
        }
    }

    /// Notes a request at the second origin.
    pub(crate) fn strayed(&self, request: &PlayedRequest, certified: &Certified) {
        let stray = SandboxStray {
            method: request.method.clone(),
            target: request.target.clone(),
            authorized: request.header("authorization").is_some(),
            certificate: certified.is_some(),
        };
        self.moving().strays.push(stray);
    }

    pub(crate) fn requests(&self) -> Vec<SandboxRequest> {
        self.moving().requests.iter().cloned().collect()
    }

    /// How many requests of this route are over.
    pub(crate) fn ended_count(&self, route: SandboxRoute) -> usize {
        let over = |request: &&SandboxRequest| request.route == route && request.ended;
        self.moving().requests.iter().filter(over).count()
    }

    pub(crate) fn effects(&self) -> Vec<SandboxEffect> {
        self.moving().effects.values().cloned().collect()
    }

    pub(crate) fn strays(&self) -> Vec<SandboxStray> {
        self.moving().strays.clone()
    }

    pub(crate) fn receipts(&self) -> Vec<SandboxReceipt> {
        let now_ms = self.now_ms();
        let with = |held: &HeldReceipt| SandboxReceipt {
            confirmed: held.confirmed_ms <= now_ms,
            ..held.receipt.clone()
        };
        self.moving().receipts.iter().map(with).collect()
    }
}
