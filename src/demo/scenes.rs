//! Two scenes of the demonstration: a member who moved and goes by a short name, and twins of whom only a person can tell one.

use super::dev;
use super::story::{Demo, expect};
use crate::cli::Out;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::identity::fold;
use crate::ops::reviews::{self, ReviewFilter, Sight};
use crate::records::import;
use crate::review::{self, Act, By, Choice, Order};
use crate::secret::Secret;
use crate::synth::Variation;
use crate::telemetry::Correlation;
use causeway_identity::nickname::variants;
use serde_json::{Value, json};

/// From here on a member with a short name is looked for; those before play other parts.
const FIRST_SHORT: u64 = 6;
const MB: &str = "http://terminology.hl7.org/CodeSystem/v2-0203";
const FAMILY: &str = "Abara-Lindqvist";
const BORN: &str = "2026-09-14";
const SUBSCRIBER: &str = "S700000001";
/// Given name, Patient id and member number of each twin.
const TWINS: [(&str, &str, &str); 2] = [("Noor", "twin-noor", "M700000001"), ("Lena", "twin-lena", "M700000002")];

/// Enters the twins into the old payer's records.
pub(super) fn enter_twins(ctx: &Context) -> Result<(), Failure> {
    let mut lines = Vec::new();
    for (given, id, number) in TWINS {
        let member = json!({"type": {"coding": [{"system": MB, "code": "MB"}]}, "system": ctx.payer.member_system, "value": number});
        let patient = json!({"resourceType": "Patient", "id": id, "identifier": [member], "active": true,
            "name": [{"use": "official", "family": FAMILY, "given": [given]}], "gender": "female", "birthDate": BORN,
            "telecom": [{"system": "phone", "value": "(508) 555-0177"}], "address": [home()]});
        let coverage = json!({"resourceType": "Coverage", "id": format!("{id}-cover"), "identifier": [member], "status": "active",
            "subscriberId": SUBSCRIBER, "beneficiary": {"reference": format!("Patient/{id}")},
            "relationship": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/subscriber-relationship", "code": "child"}]},
            "period": {"start": BORN},
            "payor": [{"identifier": {"system": "http://hl7.org/fhir/sid/us-npi", "value": ctx.payer.npi}, "display": ctx.payer.name}]});
        for resource in [patient, coverage] {
            lines.extend(resource.to_string().into_bytes());
            lines.push(b'\n');
        }
    }
    let counts = import::ingest_ndjson(ctx, lines.as_slice(), "twins", &mut |line, failure| {
        tracing::warn!(line, fault = failure.fault().code(), "a twin's resource was refused");
    })?;
    if counts.rejected > 0 {
        return Err(
            Failure::new(Fault::ResourceInvalid).remedy("The demonstration's twins do not pass the gate: report this.")
        );
    }
    Ok(())
}

fn home() -> Value {
    json!({"line": ["12 Alder Way"], "city": "Worcester", "state": "MA", "postalCode": "01608"})
}

impl Demo {
    /// A short name and another address: still a match.
    pub(super) async fn moved(&self, token: &Secret, out: &mut Out) -> Result<(), Failure> {
        let short = (FIRST_SHORT..FIRST_SHORT + 150).find_map(|index| {
            let member = dev::member(&self.ctx, index);
            let (nickname, given) = (member.nickname?, member.given.first()?.clone());
            variants(&fold(nickname), &fold(&given)).then_some((index, nickname, given))
        });
        let Some((index, nickname, given)) = short else {
            return Err(Failure::new(Fault::PartnerAnswer).remedy("No sample member has a short name: report this."));
        };
        let mut body = self.request(index, Variation::Nickname);
        body["parameter"][0]["resource"]["address"] =
            json!([{"line": ["401 Harbor Street"], "city": "Portland", "state": "OR", "postalCode": "97204"}]);
        let reply = self.ask(token, body, "demo-moved").await?;
        expect(&reply, 200)?;
        out.tell(&format!(
            "9  Asked for {nickname}, whom the record calls {given}, at an address in another state: 200, a match all the same."
        ));
        self.explain("demo-moved", out).await
    }

    /// Twins, asked for before the new payer knew which one: a person decides, and the same request then has an answer.
    pub(super) async fn twins(&self, token: &Secret, out: &mut Out) -> Result<(), Failure> {
        let body = self.newborn();
        let reply = self.ask(token, body.clone(), "demo-twins").await?;
        expect(&reply, 422)?;
        out.tell("10 Asked for \"Babygirl\", born one of twins: 422, and for the new payer there is no such member. Nothing is guessed:");
        self.explain("demo-twins", out).await?;
        let now_ms = self.ctx.clock.now_ms();
        let filter = ReviewFilter {
            limit: 10,
            ..ReviewFilter::default()
        };
        let queue = self
            .ctx
            .store
            .read(move |db| reviews::list(db, &filter, now_ms))
            .await?;
        let Some(id) = queue
            .items
            .first()
            .and_then(|item| item["id"].as_str())
            .map(str::to_owned)
        else {
            return Err(Failure::new(Fault::PartnerAnswer).remedy("The doubt did not reach the queue: report this."));
        };
        let request_id = self.ctx.ids.new_id(now_ms);
        let correlation = Correlation::of(request_id, crate::secret::random(), Some("demo-review"), None, None);
        review::viewed(&self.ctx, "reviewer", "demo-operator", &correlation, Some(&id)).await?;
        let wanted = id.clone();
        let shown = self
            .ctx
            .store
            .read(move |db| reviews::one(db, &wanted, Sight::Words, now_ms))
            .await?;
        out.tell(&format!(
            "     It waits in the queue as review {id}. What an operator sees (made-up people; asked | held):"
        ));
        for candidate in shown["candidates"].as_array().into_iter().flatten() {
            out.tell(&format!(
                "       candidate {}: {}",
                candidate["place"],
                side_by_side(candidate)
            ));
        }
        let order = Order {
            review: id,
            act: Act::Confirm(Choice::Patient(TWINS[1].1.to_owned())),
            by: By {
                operator: "demo-operator".to_owned(),
                hand: "demo-operator".to_owned(),
                reason: "The new payer's enrolment desk gave the first name by telephone.".to_owned(),
                token: None,
                correlation,
            },
            seen: shown["version"].as_i64(),
        };
        review::perform(&self.ctx, order).await?;
        let reply = self.ask(token, body, "demo-twins-again").await?;
        expect(&reply, 200)?;
        out.tell(&format!(
            "11 The operator telephones, confirms {}, and says why. The same request again: 200, with consent judged anew.",
            TWINS[1].0
        ));
        self.explain("demo-twins-again", out).await
    }

    /// The request for one of the twins by the name a hospital gives before the parents do, with the family's number only.
    fn newborn(&self) -> Value {
        let mut body = self.request(FIRST_SHORT, Variation::Exact);
        let patient = &mut body["parameter"][0]["resource"];
        patient["name"] = json!([{"use": "official", "family": FAMILY, "given": ["Babygirl"]}]);
        patient["gender"] = "female".into();
        patient["birthDate"] = BORN.into();
        patient["address"] = json!([home()]);
        patient["telecom"] = json!([{"system": "phone", "value": "(508) 555-0177"}]);
        let coverage = &mut body["parameter"][1]["resource"];
        if let Some(fields) = coverage.as_object_mut() {
            fields.remove("identifier");
        }
        coverage["subscriberId"] = SUBSCRIBER.into();
        body["parameter"][2]["resource"]["identifier"][0]["value"] = "N-TWIN".into();
        body
    }
}

/// The fields on which something was said, in a line.
fn side_by_side(candidate: &Value) -> String {
    let fields = candidate["fields"].as_array().into_iter().flatten();
    let said = fields.filter(|field| !matches!(field["agrees"].as_str(), Some("unknown") | None));
    let told: Vec<String> = said
        .map(|field| {
            let text = |key: &str| field[key].as_str().unwrap_or("-").to_owned();
            format!(
                "{} {} ({} | {})",
                text("field"),
                text("level"),
                text("asked"),
                text("held")
            )
        })
        .collect();
    told.join("; ")
}
