//! Asks the configured witnesses to confirm each new checkpoint of this ledger, as a job: one process of a store does it at a time.
//!
//! Nothing waits for a witness. One that does not answer is asked again later, less and less often; a metric and the log tell of it.

use super::submission::Submission;
use crate::audit::cosignature::{WitnessKey, WitnessWord};
use crate::audit::log::StoreTiles;
use crate::audit::tree::TreeHash;
use crate::audit::tree::proof::consistency;
use crate::config::{Config, LedgerConfig};
use crate::error::{Failure, Fault};
use crate::jobs::{AttemptEnding, Doing, HeldJob, JobStep, Priority, WorkKind};
use crate::store::Db;
use crate::store::cosignatures::{self as rows, CosignatureRow};
use crate::telemetry::metrics as families;
use futures_util::future::join_all;
use reqwest::Url;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Asks the witnesses of the ledger.
pub static LEDGER_WITNESS: WorkKind = WorkKind {
    name: "ledger-witness",
    priority: Priority::Last,
    every: Some(Duration::from_secs(2)),
    timeout: Duration::from_secs(5),
    renews: false,
    safe_because: "a witness confirms the same checkpoint again, and the newest confirmation of each witness stays",
};

/// The key of the configuration.
const WITNESSES: &str = "ledger.witnesses";
/// Most witnesses: their lines have to fit into a header.
const MOST: usize = 8;
/// Time for a connection, and for all of a request.
const CONNECT: Duration = Duration::from_secs(1);
const REQUEST: Duration = Duration::from_secs(2);
/// Most bytes of an answer.
const ANSWER_BYTES: usize = 4_096;
/// Time until a witness that failed is asked again, milliseconds: it doubles with each failure.
const AGAIN_MS: i64 = 2_000;
const AGAIN_MOST_MS: i64 = 60_000;

/// What asking a witness came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Confirmed,
    Unreachable,
    Refused,
    Contradicted,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Outcome::Confirmed => "confirmed",
            Outcome::Unreachable => "unreachable",
            Outcome::Refused => "refused",
            Outcome::Contradicted => "contradicted",
        }
    }
}

/// How a witness did last.
#[derive(Default)]
struct Standing {
    outcome: Option<Outcome>,
    failures: u32,
    not_before_ms: i64,
}

struct AskedWitness {
    key: WitnessKey,
    url: Url,
    standing: Mutex<Standing>,
}

/// The step of the runner.
pub struct WitnessStep {
    witnesses: Vec<AskedWitness>,
    http: reqwest::Client,
}

/// A checkpoint that a witness has not confirmed.
#[derive(Clone)]
struct Unconfirmed {
    log: i64,
    size: u64,
    note: String,
    old: u64,
}

/// The step, if the configuration names witnesses. Reads files.
///
/// # Errors
/// [`Fault::ConfigInvalid`] for a witness that cannot be asked; [`Fault::InputUnreadable`].
pub fn step(config: &Config) -> Result<Option<WitnessStep>, Failure> {
    let LedgerConfig {
        witnesses, witness_ca, ..
    } = &config.ledger;
    if witnesses.is_empty() {
        return Ok(None);
    }
    let unusable = |error: reqwest::Error| {
        Failure::new(Fault::ConfigInvalid)
            .at("ledger.witness_ca")
            .because(error.without_url())
    };
    let mut client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .no_proxy()
        .connect_timeout(CONNECT)
        .timeout(REQUEST)
        .user_agent(concat!("causeway/", env!("CARGO_PKG_VERSION")));
    let mut roots = Vec::new();
    for path in witness_ca {
        let pem = std::fs::read(path).map_err(|error| {
            Failure::new(Fault::InputUnreadable)
                .at("ledger.witness_ca")
                .because(error)
        })?;
        roots.extend(reqwest::Certificate::from_pem_bundle(&pem).map_err(unusable)?);
    }
    if !roots.is_empty() {
        client = client.tls_certs_only(roots);
    }
    Ok(Some(WitnessStep {
        witnesses: read(witnesses)?,
        http: client.build().map_err(unusable)?,
    }))
}

/// Reads the witnesses of the configuration: `URL KEY` each.
fn read(texts: &[String]) -> Result<Vec<AskedWitness>, Failure> {
    let refused = |remedy: &str| {
        Failure::new(Fault::ConfigInvalid)
            .at(WITNESSES)
            .remedy(remedy.to_owned())
    };
    if texts.len() > MOST {
        return Err(refused("Name at most eight witnesses."));
    }
    let mut found: Vec<AskedWitness> = Vec::new();
    for text in texts {
        let (url, key) = text.split_once(' ').unwrap_or((text, ""));
        let key = WitnessKey::parse(key).ok_or_else(|| {
            refused("Write each witness as \"URL KEY\", with the key that `causeway witness key` prints.")
        })?;
        let url = Url::parse(&format!("{}/add-checkpoint", url.trim_end_matches('/')))
            .ok()
            .filter(is_safe)
            .ok_or_else(|| refused("Write an https:// URL; http:// is only for a witness on this machine."))?;
        if found.iter().any(|other| other.key == key) {
            return Err(refused("Name each witness once."));
        }
        found.push(AskedWitness {
            key,
            url,
            standing: Mutex::default(),
        });
    }
    Ok(found)
}

fn is_safe(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let is_here = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
    url.scheme() == "https" || (url.scheme() == "http" && is_here)
}

impl JobStep for WitnessStep {
    fn kind(&self) -> &'static WorkKind {
        &LEDGER_WITNESS
    }

    fn run(&self, held: HeldJob) -> Doing<'_> {
        Box::pin(async move {
            let mut asked = Vec::new();
            for witness in &self.witnesses {
                asked.push(self.ask(witness, &held));
            }
            let ended: Result<Vec<()>, Failure> = join_all(asked).await.into_iter().collect();
            ended.map(|_| AttemptEnding::done())
        })
    }
}

impl WitnessStep {
    /// Asks a witness to confirm the newest checkpoint, if it has not.
    async fn ask(&self, witness: &AskedWitness, held: &HeldJob) -> Result<(), Failure> {
        let now_ms = held.ctx().clock.now_ms();
        if !witness.is_due(now_ms) {
            return Ok(());
        }
        let key = witness.key.text();
        let found = held.ctx().store.read(move |db| unconfirmed(db, &key)).await?;
        if let Some(found) = found
            && let Some(outcome) = self.confirm(witness, held, found).await?
        {
            witness.tell(outcome, now_ms);
        }
        Ok(())
    }

    /// Sends the checkpoint, and keeps what the witness says. None when it has confirmed a newer one meanwhile.
    async fn confirm(
        &self,
        witness: &AskedWitness,
        held: &HeldJob,
        found: Unconfirmed,
    ) -> Result<Option<Outcome>, Failure> {
        let mut old = found.old;
        // The second time with the size that the witness names.
        for _ in 0..2 {
            let (log, size) = (found.log, found.size);
            let proof = held
                .ctx()
                .store
                .read(move |db| consistency(&mut StoreTiles::open(db, log)?, old, size))
                .await?;
            let Some((status, body)) = self.post(witness, old, proof, &found.note).await else {
                return Ok(Some(Outcome::Unreachable));
            };
            match status {
                200 => return self.keep(witness, held, &found, &body).await.map(Some),
                409 => match body.trim_end().parse::<u64>() {
                    Ok(told) if told <= found.size && told != old => old = told,
                    Ok(told) if told > found.size => {
                        let now = held
                            .ctx()
                            .store
                            .read(move |db| Ok(StoreTiles::open(db, log)?.size()))
                            .await?;
                        return Ok((told > now).then_some(Outcome::Contradicted));
                    }
                    Ok(_) => return Ok(Some(Outcome::Contradicted)),
                    Err(_) => return Ok(Some(Outcome::Refused)),
                },
                422 => return Ok(Some(Outcome::Contradicted)),
                400..=499 => return Ok(Some(Outcome::Refused)),
                _ => return Ok(Some(Outcome::Unreachable)),
            }
        }
        Ok(Some(Outcome::Refused))
    }

    /// Sends a request; status and body of the answer, if one comes.
    async fn post(&self, witness: &AskedWitness, old: u64, proof: Vec<TreeHash>, note: &str) -> Option<(u16, String)> {
        let asked = Submission {
            old,
            proof,
            note: note.to_owned(),
        };
        let request = self.http.post(witness.url.clone()).body(asked.text());
        let mut answer = request.send().await.ok()?;
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.ok()? {
            body.extend_from_slice(&piece);
            if body.len() > ANSWER_BYTES {
                return None;
            }
        }
        Some((answer.status().as_u16(), String::from_utf8(body).ok()?))
    }

    /// Keeps the line of the witness, if its answer has one.
    async fn keep(
        &self,
        witness: &AskedWitness,
        held: &HeldJob,
        found: &Unconfirmed,
        body: &str,
    ) -> Result<Outcome, Failure> {
        let is_its_own = |line: &&str| {
            let word = witness.key.word(&format!("{}{line}\n", found.note));
            matches!(word, WitnessWord::Confirmed(_))
        };
        let Some(line) = body.split('\n').find(is_its_own) else {
            return Ok(Outcome::Refused);
        };
        let row = CosignatureRow {
            log: found.log,
            witness: witness.key.text(),
            size: i64::try_from(found.size).unwrap_or(i64::MAX),
            note: found.note.clone(),
            line: format!("{line}\n"),
            signed_ms: held.ctx().clock.now_ms(),
        };
        held.write(move |db| rows::put(db, &row)).await?;
        Ok(Outcome::Confirmed)
    }
}

impl AskedWitness {
    fn is_due(&self, now_ms: i64) -> bool {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back does not make it wait longer.
        !(0..AGAIN_MOST_MS).contains(&(standing.not_before_ms - now_ms - 1))
    }

    /// Counts what asking came to, and says in the log what has changed.
    fn tell(&self, outcome: Outcome, now_ms: i64) {
        metrics::counter!(families::WITNESS, "outcome" => outcome.word()).increment(1);
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let wait_ms = match outcome {
            Outcome::Confirmed => 0,
            Outcome::Unreachable => (AGAIN_MS << standing.failures.min(8)).min(AGAIN_MOST_MS),
            Outcome::Refused | Outcome::Contradicted => AGAIN_MOST_MS,
        };
        standing.failures = if outcome == Outcome::Confirmed {
            0
        } else {
            standing.failures + 1
        };
        standing.not_before_ms = now_ms + wait_ms;
        let before = standing.outcome.replace(outcome);
        if before == Some(outcome) {
            return;
        }
        let witness = self.key.name.as_str();
        match outcome {
            Outcome::Confirmed => tracing::info!(witness, "a witness confirms the checkpoints of the ledger"),
            Outcome::Unreachable => tracing::warn!(witness, "a witness does not answer; it is asked again"),
            Outcome::Refused => tracing::warn!(
                witness,
                "a witness does not confirm a checkpoint: it may not know this log and its key"
            ),
            Outcome::Contradicted => tracing::error!(
                witness,
                "audit_fork: a witness has confirmed a tree that this ledger does not extend; `docs/verify.md` says more"
            ),
        }
    }
}

/// The newest checkpoint, if this witness has not confirmed it.
fn unconfirmed(db: &mut Db, witness: &str) -> Result<Option<Unconfirmed>, Failure> {
    let Some((log, size, note)) = rows::newest_checkpoint(db)? else {
        return Ok(None);
    };
    let last = rows::all(db, log)?.into_iter().find(|row| row.witness == witness);
    let old = last.map_or(0, |row| row.size);
    if old == size {
        return Ok(None);
    }
    let number = |size: i64| u64::try_from(size).unwrap_or_default();
    Ok(Some(Unconfirmed {
        log,
        size: number(size),
        note,
        old: number(old.min(size)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_is_named_by_a_safe_address_and_its_key() {
        let key = WitnessKey {
            name: "witness.example/w1".to_owned(),
            public: [7; 32],
        };
        let key = key.text();
        for url in [
            "https://witness.example/w1/",
            "http://127.0.0.1:9600",
            "http://[::1]:9600",
        ] {
            let found = read(&[format!("{url} {key}")]).expect("a witness");
            assert_eq!(
                found[0].url.as_str(),
                format!("{}/add-checkpoint", url.trim_end_matches('/'))
            );
        }
        for wrong in [
            "https://witness.example".to_owned(),
            format!("http://witness.example {key}"),
            format!("ftp://127.0.0.1 {key}"),
            format!("https://witness.example {key}x"),
            key.clone(),
        ] {
            let failure = read(std::slice::from_ref(&wrong)).err().expect("refused");
            assert_eq!(failure.expressions(), [WITNESSES], "{wrong}");
        }
        let one = format!("https://witness.example {key}");
        assert!(read(&[one.clone(), one]).is_err(), "the same twice");
    }

    #[test]
    fn a_witness_that_does_not_answer_is_asked_less_and_less_often() {
        let mut read = read(&[format!(
            "https://witness.example {}",
            WitnessKey {
                name: "w".into(),
                public: [7; 32]
            }
            .text()
        )])
        .expect("a witness");
        let witness = read.remove(0);
        let (mut now_ms, mut waits) = (1_000_000, Vec::new());
        for _ in 0..7 {
            witness.tell(Outcome::Unreachable, now_ms);
            let wait = (0..=AGAIN_MOST_MS)
                .step_by(1_000)
                .find(|ms| witness.is_due(now_ms + ms));
            waits.push(wait.expect("due again") / 1_000);
            now_ms += AGAIN_MOST_MS;
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60]);
        assert!(witness.is_due(0), "a clock that was set back");
        witness.tell(Outcome::Confirmed, now_ms);
        assert!(witness.is_due(now_ms));
    }
}
