//! What the sandbox knows while it runs. One lock, never held while anything is awaited.

use super::bulk::HeldBulk;
use super::bulk_receipt::RECEIPT_KEY;
use super::observed::{SandboxEffect, SandboxReceipt, SandboxRequest, SandboxStray};
use super::route::{FHIR_PATH, TOKEN_PATH};
use crate::certificates::Certificates;
use crate::error::SandboxError;
use crate::member::{SandboxMember, SandboxMembers};
use crate::record::SandboxRecord;
use crate::script::{SandboxOffer, SandboxRoute, SandboxRule, SandboxScript};
use crate::wire::PlayedRequest;
use causeway_jose::{Algorithm, KeySet, SigningKey};
use chrono::{DateTime, NaiveDate, Utc};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes of the largest assertion.
pub(super) const ASSERTION_BYTES: usize = 16 * 1024;

/// SHA-256 of the client certificate of a connection, when one was shown.
pub(crate) type Certified = Option<[u8; 32]>;

/// A client with its keys.
pub(super) struct KnownClient {
    pub(super) keys: KeySet,
    pub(super) npi: Option<String>,
    pub(super) scopes: Option<Vec<String>>,
}

/// A token that was issued.
pub(super) struct HeldToken {
    pub(super) client: String,
    pub(super) scopes: Vec<String>,
    pub(super) certificate: Certified,
    pub(super) ends_ms: i64,
    /// The Patient to whom it is narrowed.
    pub(super) patient: Option<String>,
    /// Number of the request that issued it.
    pub(super) number: u64,
}

/// An acknowledgement and the time at which it is confirmed.
pub(super) struct HeldReceipt {
    pub(super) receipt: SandboxReceipt,
    pub(super) confirmed_ms: i64,
}

/// A reply that an `Idempotency-Key` gets again: status, headers, body.
pub(super) type KeptReply = (u16, Vec<(String, String)>, Vec<u8>);

/// What changes while the sandbox runs.
pub(crate) struct PlayState {
    pub(super) rules: Vec<SandboxRule>,
    pub(super) counts: Vec<u64>,
    offset_ms: i64,
    pub(super) clients: HashMap<String, KnownClient>,
    pub(super) tokens: HashMap<String, HeldToken>,
    /// `iss` and `jti` with the end of the assertion.
    pub(super) assertions: HashMap<(String, String), i64>,
    /// Client and member with the number of the match.
    pub(super) grants: HashMap<(String, usize), u64>,
    pub(super) receipts: Vec<HeldReceipt>,
    pub(super) effects: BTreeMap<(SandboxRoute, String), SandboxEffect>,
    pub(super) requests: VecDeque<SandboxRequest>,
    pub(super) next_number: u64,
    pub(super) strays: Vec<SandboxStray>,
    pub(super) replies: HashMap<String, KeptReply>,
    /// Bulk jobs by their ids.
    pub(super) bulk: HashMap<String, HeldBulk>,
}

/// A sandbox at work.
pub(crate) struct Play {
    pub(crate) script: SandboxScript,
    pub(crate) certificates: Certificates,
    pub(crate) roster: SandboxMembers,
    /// Scheme, host and port.
    pub(crate) origin: String,
    /// The FHIR base.
    pub(crate) base: String,
    /// The second origin.
    pub(crate) elsewhere: String,
    pub(crate) started: Instant,
    as_of: NaiveDate,
    inner: Mutex<PlayState>,
    keys: Mutex<PayerKeys>,
    receipt_key: OnceLock<Option<SigningKey>>,
}

/// The payer's own public keys, by their id; made when they are first asked for.
pub(super) type PayerKeys = HashMap<&'static str, Option<serde_json::Value>>;

fn system_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Play {
    pub(crate) fn of(
        script: SandboxScript,
        certificates: Certificates,
        origin: String,
        elsewhere: String,
    ) -> Result<Play, SandboxError> {
        let mut offset_ms = script.clock_skew_s.saturating_mul(1000);
        if let Some(clock) = &script.clock {
            let clock = DateTime::parse_from_rfc3339(clock).map_err(|error| SandboxError::script("clock", error))?;
            offset_ms = offset_ms.saturating_add(clock.timestamp_millis() - system_ms());
        }
        let now = DateTime::<Utc>::from_timestamp_millis(system_ms() + offset_ms).unwrap_or_default();
        let as_of = match &script.as_of {
            Some(day) => day.parse().map_err(|error| SandboxError::script("as_of", error))?,
            None => now.date_naive(),
        };
        let mut clients = HashMap::new();
        for (at, client) in script.client.iter().enumerate() {
            clients.insert(client.id.clone(), known(at, client)?);
        }
        let rules = script.rule.clone();
        Ok(Play {
            roster: SandboxMembers::of(&script),
            certificates,
            base: format!("{origin}{FHIR_PATH}"),
            origin,
            elsewhere,
            started: Instant::now(),
            as_of,
            inner: Mutex::new(PlayState {
                counts: vec![0; rules.len()],
                rules,
                offset_ms,
                clients,
                tokens: HashMap::new(),
                assertions: HashMap::new(),
                grants: HashMap::new(),
                receipts: Vec::new(),
                effects: BTreeMap::new(),
                requests: VecDeque::new(),
                next_number: 1,
                strays: Vec::new(),
                replies: HashMap::new(),
                bulk: HashMap::new(),
            }),
            keys: Mutex::default(),
            receipt_key: OnceLock::new(),
            script,
        })
    }

    pub(super) fn keys(&self) -> MutexGuard<'_, PayerKeys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn moving(&self) -> MutexGuard<'_, PlayState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it offers bulk work.
    pub(super) fn has_bulk(&self) -> bool {
        self.script.offers.contains(&SandboxOffer::Bulk)
    }

    /// Whether it gives a receipt for each export.
    pub(super) fn has_receipts(&self) -> bool {
        self.script.offers.contains(&SandboxOffer::BulkReceipts)
    }

    /// The key that signs receipts; made when it is first asked for.
    pub(super) fn receipt_key(&self) -> Option<&SigningKey> {
        let made = || SigningKey::generate(Algorithm::Es384, RECEIPT_KEY).ok();
        self.receipt_key.get_or_init(made).as_ref()
    }

    /// The URL of the token endpoint.
    pub(crate) fn token_url(&self) -> String {
        format!("{}{TOKEN_PATH}", self.origin)
    }

    /// The sandbox's time, UTC milliseconds.
    pub(crate) fn now_ms(&self) -> i64 {
        system_ms().saturating_add(self.moving().offset_ms)
    }

    /// The sandbox's time as HTTP writes it.
    pub(crate) fn http_date(&self, skew_ms: i64) -> String {
        let at_ms = u64::try_from(self.now_ms().saturating_add(skew_ms)).unwrap_or(0);
        // Beyond the year 9999 HTTP has no dates.
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(at_ms.min(253_402_300_799_000)))
    }

    /// Sets the sandbox's clock.
    pub(crate) fn set_time_ms(&self, now_ms: i64) {
        self.moving().offset_ms = now_ms.saturating_sub(system_ms());
    }

    /// Puts other rules in the place of all; their requests are counted from 1.
    pub(crate) fn set_rules(&self, rules: Vec<SandboxRule>) {
        let mut moving = self.moving();
        moving.counts = vec![0; rules.len()];
        moving.rules = rules;
    }

    /// Adds a rule and returns its place.
    pub(crate) fn add_rule(&self, rule: SandboxRule) -> usize {
        let mut moving = self.moving();
        moving.rules.push(rule);
        moving.counts.push(0);
        moving.rules.len() - 1
    }

    /// Registers a client, or gives it other keys.
    pub(crate) fn register(&self, client: &crate::script::SandboxClient) -> Result<(), SandboxError> {
        let known = known(0, client)?;
        self.moving().clients.insert(client.id.clone(), known);
        Ok(())
    }

    /// The record of a member.
    pub(crate) fn record(&self, member: &SandboxMember) -> SandboxRecord {
        let versions = (self.script.pdex, self.script.us_core);
        SandboxRecord::of(
            member.clone(),
            self.script.payer.clone(),
            versions,
            self.script.seed,
            self.as_of,
        )
    }

    /// The record of the first member, or of somebody when there are none.
    pub(crate) fn any_record(&self) -> SandboxRecord {
        match self.roster.all().first() {
            Some(member) => self.record(member),
            None => self.record(&SandboxMembers::of(&SandboxScript::default()).all()[0]),
        }
    }
}

fn known(at: usize, client: &crate::script::SandboxClient) -> Result<KnownClient, SandboxError> {
    let text = match (&client.jwks, &client.jwks_file) {
        (Some(jwks), _) => jwks.to_string(),
        (None, Some(path)) => std::fs::read_to_string(path).map_err(|error| SandboxError::unreadable(path, &error))?,
        (None, None) => String::new(),
    };
    let keys = KeySet::parse(text.as_bytes())
        .map_err(|refused| SandboxError::script(&format!("client[{at}].jwks"), refused.why))?;
    Ok(KnownClient {
        keys,
        npi: client.npi.clone(),
        scopes: client.scopes.clone(),
    })
}

/// The access token of a request.
pub(super) fn bearer(request: &PlayedRequest) -> Option<&str> {
    let (scheme, token) = request.header("authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 256 random bits in hex, for tokens.
pub(crate) fn secret() -> String {
    let mut bytes = [0; 32];
    // Without randomness no token can be told from another; the panic ends this connection alone.
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives randomness");
    hex(&bytes)
}
