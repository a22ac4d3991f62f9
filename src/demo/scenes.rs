//! Two scenes of the demonstration: a member who moved and uses a nickname, and twins whom only a reviewer can tell apart.

use super::explain::compared;
use super::story::{Demo, expect};
use super::twins::{BORN, FAMILY, SUBSCRIBER, TWINS, home};
use crate::audit::{Object, OperatorNote};
use crate::dev;
use crate::error::{Failure, Fault};
use crate::identity::fold;
use crate::ops::reviews::{self, CandidateItem, FieldItem, ReviewDetail, ReviewFilter};
use crate::review::{self, Act, Choice, ReviewActor, ReviewerCommand};
use crate::secret::Secret;
use crate::synth::Variation;
use crate::telemetry::Correlation;
use crate::terminal::Out;
use causeway_identity::nickname::variants;
use serde_json::{Value, json};

/// The search for a member with a nickname begins here; the members before have other roles.
const FIRST_SHORT: u64 = 6;

impl Demo {
    /// A nickname and another address still give a match.
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
            "9  A request for {nickname}, who is {given} in the record, at an address in another state: 200, still a match."
        ));
        self.explain("demo-moved", out).await
    }

    /// The request asks for one of two twins before the new payer knew which one. A reviewer decides, and the same request then gets an
    /// answer.
    pub(super) async fn twins(&self, token: &Secret, out: &mut Out) -> Result<(), Failure> {
        let body = self.newborn();
        let reply = self.ask(token, body.clone(), "demo-twins").await?;
        expect(&reply, 422)?;
        out.tell("10 A request for \"Babygirl\", one of two twins: 422, so the new payer learns of no such member. The matcher does not guess:");
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
        let Some(id) = queue.items.first().map(|item| item.id.clone()) else {
            return Err(Failure::new(Fault::PartnerAnswer).remedy("The doubt did not reach the queue: report this."));
        };
        let request_id = self.ctx.ids.new_id(now_ms);
        let correlation = Correlation::of(request_id, crate::secret::random(), Some("demo-review"), None, None);
        let note = OperatorNote {
            operator: "demo-operator".to_owned(),
            reason: "The demo shows who it is about.".to_owned(),
        };
        let about = Object {
            kind: "Review",
            id: id.clone(),
        };
        let view = review::viewed(&self.ctx, "reviewer", note, &correlation, Some(about));
        self.ctx.store.reserved().write(view).await?;
        let wanted = id.clone();
        let shown = self
            .ctx
            .store
            .read(move |db| reviews::one(db, &wanted, ReviewDetail::Words, now_ms))
            .await?;
        out.tell(&format!(
            "     A person must decide: it waits in the queue as review {id}. A reviewer sees (made-up people; request | record):"
        ));
        for candidate in &shown.candidates {
            out.tell(&format!(
                "       candidate {}: {}",
                candidate.place,
                side_by_side(candidate)
            ));
        }
        let order = ReviewerCommand {
            review: id,
            act: Act::Confirm(Choice::Patient(TWINS[1].1.to_owned())),
            by: ReviewActor {
                operator: "demo-operator".to_owned(),
                hand: "demo-operator".to_owned(),
                reason: "The new payer's enrollment desk gave the first name by telephone.".to_owned(),
                token: None,
                correlation,
            },
            seen: Some(shown.summary.version),
        };
        self.ctx.store.write(review::perform(&self.ctx, order)?).await?;
        let reply = self.ask(token, body, "demo-twins-again").await?;
        expect(&reply, 200)?;
        out.tell(&format!(
            "11 The reviewer calls the new payer, confirms {}, and gives a reason. The same request again: 200, after the consent is checked again.",
            TWINS[1].0
        ));
        self.explain("demo-twins-again", out).await
    }

    /// The request for one of the twins, with the name that a hospital gives before the parents do, and with only the family's number.
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

/// The fields that could be compared, in one line.
fn side_by_side(candidate: &CandidateItem) -> String {
    let told = |field: &FieldItem| {
        let said = |text: Option<&str>| text.unwrap_or("-").to_owned();
        format!(
            "{} ({} | {})",
            compared(&field.field, field.level.as_deref().unwrap_or("not compared")),
            said(field.asked.as_ref().and_then(Option::as_deref)),
            said(field.held.as_deref())
        )
    };
    let known = candidate.fields.iter().filter(|field| field.agrees != "unknown");
    known.map(told).collect::<Vec<_>>().join("; ")
}
