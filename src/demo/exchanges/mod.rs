//! Five exchanges of the demonstration, with New Payer as a process of its own: a clean one, one that survives a kill, one that ends in
//! review, one that is refused when the opt-in is taken back, and one that is parked and replayed.
//!
//! New Payer is run and asked by the commands that operators type. It asks Old Payer and Third Payer, which misbehaves by a script.

mod third_payer;
mod timeline;

use super::story::Demo;
use crate::dev::new_payer::{AskedPayer, LOOK, NewPayer};
use crate::error::{Failure, Fault};
use crate::synth::Variation;
use crate::terminal::Out;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use third_payer::{LATER, SEVERAL, SLOW, SOON, ThirdPayer};

/// The member of Old Payer whom the clean exchange is about; the other scenes do not need her.
const EXCHANGED: u64 = 3;
/// Id of Old Payer at New Payer.
const OLD_PAYER: &str = "old-payer";
/// Ids of New Payer's members, the first of whom comes from Old Payer and the others from Third Payer.
const CLEAN_MEMBER: &str = "clean";
const OTHER_MEMBERS: [(&str, &str); 4] = [
    ("killed", SLOW),
    ("review", SEVERAL),
    ("withdrawn", SOON),
    ("parked", LATER),
];
/// Time limit for an exchange to come to the state that is waited for.
const PATIENCE: Duration = Duration::from_secs(240);

/// Both payers of these scenes, and what came of them.
struct Scenes {
    new: NewPayer,
    third: ThirdPayer,
    ended: Vec<Value>,
}

impl Demo {
    /// Plays the five exchanges. Returns name, id and phase of each.
    ///
    /// # Errors
    /// [`Fault::PartnerAnswer`] when one does not come to its expected end; those of the commands.
    pub(super) async fn exchanges(&self, out: &mut Out) -> Result<Vec<Value>, Failure> {
        let third = ThirdPayer::start(&self.files)?;
        let mut new = NewPayer::make(&self.files, "sqlite:causeway.db")?;
        let (patient, number) = self.clean_member();
        let mut patients = vec![patient];
        patients.extend(
            third
                .members()
                .iter()
                .zip(OTHER_MEMBERS)
                .map(|(member, (id, _))| member.demographics(id)),
        );
        let old = AskedPayer {
            id: OLD_PAYER,
            name: self.ctx.payer.name.clone(),
            npi: self.ctx.payer.npi.clone(),
            fhir: self.base_url.clone(),
            trust: self.files.read("ca.pem")?,
        };
        new.register(&old)?;
        new.register(&third.registration())?;
        new.enter(&patients)?;
        new.start().await?;
        out.tell("16 New Payer runs a server of its own, which asks Old Payer, and Third Payer, which misbehaves as a script says.");
        let mut scenes = Scenes {
            new,
            third,
            ended: Vec::new(),
        };
        scenes.clean(&number, &self.ctx.payer.member_system, out).await?;
        scenes.killed(out).await?;
        scenes.review(out).await?;
        scenes.withdrawn(out).await?;
        scenes.parked(out).await?;
        scenes.new.end().await;
        Ok(scenes.ended)
    }

    /// The first member as New Payer knows her, and her number at Old Payer.
    fn clean_member(&self) -> (Value, String) {
        let body = self.request(EXCHANGED, Variation::Exact);
        let mut patient = body["parameter"][0]["resource"].clone();
        patient["id"] = CLEAN_MEMBER.into();
        let number = &body["parameter"][1]["resource"]["identifier"][0]["value"];
        (patient, number.as_str().unwrap_or_default().to_owned())
    }
}

impl Scenes {
    async fn clean(&mut self, number: &str, system: &str, out: &mut Out) -> Result<(), Failure> {
        let id = self.new.ask(OLD_PAYER, CLEAN_MEMBER, number, system)?;
        let shown = self.until(&id, is_over).await?;
        out.tell("17 A clean exchange with Old Payer, from the opt-in to the stored record:");
        self.end(CLEAN_MEMBER, &shown, "completed", out)
    }

    async fn killed(&mut self, out: &mut Out) -> Result<(), Failure> {
        let id = self.ask("killed", SLOW)?;
        let began = Instant::now();
        while !self.third.was_asked_for_a_record() {
            if began.elapsed() > PATIENCE {
                return Err(unexpected("Third Payer was not asked for a record."));
            }
            tokio::time::sleep(LOOK).await;
        }
        self.new.kill();
        self.new.start().await?;
        let shown = self.until(&id, is_over).await?;
        out.tell("18 New Payer was killed (SIGKILL) while it waited for a record of Third Payer, and started again. It went on where it was:");
        self.end("killed", &shown, "completed", out)?;
        if self.third.matches() != 1 {
            return Err(unexpected("Third Payer was asked again who the member is."));
        }
        out.tell("       Third Payer was asked who the member is once: what it had answered was on record before the process died.");
        Ok(())
    }

    async fn review(&mut self, out: &mut Out) -> Result<(), Failure> {
        let id = self.ask("review", SEVERAL)?;
        let shown = self.until(&id, |shown| shown["owner"] == "operator").await?;
        out.tell(
            "19 Third Payer knows several people who fit. A person of New Payer has to decide; nothing is guessed:",
        );
        self.end("review", &shown, "manual_review", out)
    }

    async fn withdrawn(&mut self, out: &mut Out) -> Result<(), Failure> {
        let id = self.ask("withdrawn", SOON)?;
        let waiting = self.until(&id, |shown| !shown["wakes_at"].is_null()).await?;
        let opt_in = waiting["opt_in"]["id"].as_str().unwrap_or_default();
        let reason = ["--reason", "the member took it back by telephone"];
        self.new.command(&["consent", "revoke", opt_in, reason[0], reason[1]])?;
        let shown = self.until(&id, is_over).await?;
        out.tell("20 The member took the opt-in back while the exchange waited for Third Payer. It is refused, and nothing more was sent:");
        self.end("withdrawn", &shown, "refused", out)
    }

    async fn parked(&mut self, out: &mut Out) -> Result<(), Failure> {
        let id = self.ask("parked", LATER)?;
        let parked = self.until(&id, |shown| !shown["parked_at"].is_null()).await?;
        out.tell("21 Third Payer says \"come again in ten hours\". That is for an operator to judge, so the exchange is parked:");
        timeline::tell(&parked, out);
        let reason = "Third Payer's desk says that it is up again";
        self.new.command(&["exchange", "replay", &id, "--reason", reason])?;
        let shown = self.until(&id, is_over).await?;
        out.tell("     The operator asked Third Payer by telephone and replayed it, with the same key:");
        self.end("parked", &shown, "completed", out)
    }

    /// Starts an exchange with Third Payer.
    fn ask(&self, member: &str, number: &str) -> Result<String, Failure> {
        self.new
            .ask(third_payer::ID, member, number, &self.third.member_system())
    }

    /// Waits until an exchange stands so.
    async fn until(&self, id: &str, stands_so: impl Fn(&Value) -> bool) -> Result<Value, Failure> {
        let began = Instant::now();
        loop {
            let shown = self.new.show(id)?;
            if stands_so(&shown) {
                return Ok(shown);
            }
            if began.elapsed() > PATIENCE {
                return Err(unexpected(&format!("The exchange stands at {}.", shown["phase"])));
            }
            tokio::time::sleep(LOOK * 2).await;
        }
    }

    /// Tells the timeline, and fails when the exchange is not in this phase.
    fn end(&mut self, name: &str, shown: &Value, phase: &str, out: &mut Out) -> Result<(), Failure> {
        timeline::tell(shown, out);
        if shown["phase"] != phase {
            return Err(unexpected(&format!("{phase} was expected, it is {}.", shown["phase"])));
        }
        self.ended
            .push(json!({"name": name, "id": shown["id"], "phase": shown["phase"]}));
        Ok(())
    }
}

/// Whether an exchange has ended, or waits for a person.
fn is_over(shown: &Value) -> bool {
    !shown["ended_at"].is_null() || shown["owner"] == "operator"
}

fn unexpected(what: &str) -> Failure {
    Failure::new(Fault::PartnerAnswer).remedy(format!("{what} Report this."))
}
