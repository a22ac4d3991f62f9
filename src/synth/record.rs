//! One member's record: what happens at a visit, visit after visit, until the resources are used up.
//!
//! Every resource comes after those it refers to, so the record may stop anywhere and still resolve.

use super::codes::{PROBLEMS, Problem, SENSITIVE, coded, refer};
use super::directory::{Directory, Facility, Practitioner};
use super::member::Member;
use super::random::{Random, Stream};
use super::{Options, Sink, claims, clinical, put};
use chrono::{Days, NaiveDate};
use serde_json::{Value, json};
use std::io;

/// Every type that occurs.
#[cfg(test)]
pub(super) const KINDS: &[&str] = &[
    "AllergyIntolerance",
    "CarePlan",
    "Condition",
    "Coverage",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "ExplanationOfBenefit",
    "Goal",
    "Immunization",
    "Location",
    "MedicationDispense",
    "MedicationRequest",
    "Observation",
    "Organization",
    "Patient",
    "Practitioner",
    "Procedure",
    "Provenance",
];

/// How far back records go: a little over the five years that payers owe each other.
const HISTORY_DAYS: u64 = 2_300;
/// Resources that a Provenance names; more would make it grow with the record.
const TARGETS: usize = 40;

/// The day something happened, who saw the member, and where.
pub(super) struct Visit<'a> {
    pub(super) encounter: String,
    pub(super) day: NaiveDate,
    pub(super) minute: i64,
    pub(super) practitioner: &'a Practitioner,
    pub(super) facility: &'a Facility,
    pub(super) label: Option<&'static str>,
    recorded: NaiveDate,
}

impl Visit<'_> {
    /// An instant of the visit, `later` minutes after it began.
    pub(super) fn at(&self, later: i64) -> String {
        let minute = (self.minute + later).min(1439);
        format!("{}T{:02}:{:02}:00Z", self.day, minute / 60, minute % 60)
    }

    /// The `meta` of what came out of this visit.
    pub(super) fn meta(&self, profile: &str) -> Value {
        let mut meta = json!({"lastUpdated": format!("{}T04:00:00Z", self.recorded), "profile": [profile]});
        if let Some(label) = self.label {
            meta["security"] = json!([
                {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"},
                {"system": super::codes::ACT_CODE, "code": label},
            ]);
        }
        meta
    }
}

/// What the builders of single resources need.
pub(super) struct Scene<'a> {
    pub(super) options: &'a Options,
    pub(super) directory: &'a Directory,
    pub(super) member: &'a Member,
    pub(super) random: Random,
}

impl<'a> Scene<'a> {
    pub(super) fn patient(&self) -> Value {
        refer("Patient", &self.member.patient_id)
    }

    fn visit(&mut self, label: Option<&'static str>) -> Visit<'a> {
        let lived = (self.options.as_of - self.member.birth_date).num_days().max(1) as u64;
        let day = self.options.as_of - Days::new(self.random.below(HISTORY_DAYS.min(lived)));
        let recorded = (day + Days::new(1 + self.random.below(9))).min(self.options.as_of);
        Visit {
            encounter: self.random.uuid(),
            day,
            minute: self.random.between(13 * 60, 22 * 60),
            practitioner: self.random.pick(&self.directory.practitioners),
            facility: self.random.pick(&self.directory.facilities),
            label,
            recorded,
        }
    }
}

struct Writer<'s> {
    sink: Sink<'s>,
    left: u64,
    targets: Vec<Value>,
}

impl Writer<'_> {
    /// Writes a resource unless the record is full. Nothing after a resource that was left out is written either.
    fn put(&mut self, kind: &'static str, resource: &Value) -> io::Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        self.left -= 1;
        if self.targets.len() < TARGETS
            && let Some(id) = resource["id"].as_str()
        {
            self.targets.push(refer(kind, id));
        }
        put(self.sink, kind, resource)
    }
}

/// Writes the record of `member`.
pub(super) fn write(options: &Options, directory: &Directory, member: &Member, sink: Sink<'_>) -> io::Result<()> {
    let random = Random::of(options.seed, Stream::Record, member.index);
    let mut scene = Scene {
        options,
        directory,
        member,
        random,
    };
    let average = options.resources_per_member;
    let wanted = match options.one_large {
        Some(exactly) if member.index == 0 => exactly,
        _ => average / 2 + scene.random.below(average + 1),
    };
    // One is kept for the Provenance.
    let mut out = Writer {
        sink,
        left: wanted.max(3) - 1,
        targets: Vec::new(),
    };
    out.put("Patient", &clinical::patient(&scene))?;
    out.put("Coverage", &claims::coverage(&scene, &member.coverage_id))?;
    let mut turn = 0u64;
    while out.left > 0 {
        match turn {
            0 => check_up(&mut scene, &mut out)?,
            1 => chronic(&mut scene, &mut out, None)?,
            2 => authorized(&mut scene, &mut out)?,
            _ => match scene.random.below(100) {
                0..=39 => check_up(&mut scene, &mut out)?,
                40..=69 => chronic(&mut scene, &mut out, None)?,
                70..=91 => authorized(&mut scene, &mut out)?,
                _ => {
                    let problem = scene.random.pick(SENSITIVE);
                    chronic(&mut scene, &mut out, Some(problem))?;
                }
            },
        }
        turn += 1;
    }
    let targets = std::mem::take(&mut out.targets);
    put(out.sink, "Provenance", &provenance(&mut scene, targets))
}

/// Writes the second record of a doubled member: the person and the card, nothing else.
pub(super) fn write_twin(options: &Options, directory: &Directory, member: &Member, sink: Sink<'_>) -> io::Result<()> {
    let random = Random::of(options.seed, Stream::Twin, member.index ^ (1 << 63));
    let scene = Scene {
        options,
        directory,
        member,
        random,
    };
    put(sink, "Patient", &clinical::patient(&scene))?;
    put(sink, "Coverage", &claims::coverage(&scene, &member.coverage_id))
}

fn check_up(scene: &mut Scene<'_>, out: &mut Writer<'_>) -> io::Result<()> {
    let visit = scene.visit(None);
    out.put("Encounter", &clinical::encounter(scene, &visit))?;
    out.put("Observation", &clinical::blood_pressure(scene, &visit))?;
    for _ in 0..scene.random.between(1, 3) {
        out.put("Observation", &clinical::vital(scene, &visit))?;
    }
    if scene.random.chance(60) {
        out.put("Immunization", &clinical::immunization(scene, &visit))?;
    }
    if scene.random.chance(15) {
        out.put("AllergyIntolerance", &clinical::allergy(scene, &visit))?;
    }
    out.put("ExplanationOfBenefit", &claims::professional(scene, &visit, None))
}

fn chronic(scene: &mut Scene<'_>, out: &mut Writer<'_>, sensitive: Option<&'static Problem>) -> io::Result<()> {
    let problem = sensitive.unwrap_or_else(|| scene.random.pick(PROBLEMS));
    let visit = scene.visit(problem.label);
    out.put("Encounter", &clinical::encounter(scene, &visit))?;
    let (condition, body) = clinical::condition(scene, &visit, problem);
    out.put("Condition", &body)?;
    let mut results = Vec::new();
    for _ in 0..scene.random.between(2, 4) {
        let (id, body) = clinical::lab(scene, &visit);
        out.put("Observation", &body)?;
        results.push(refer("Observation", &id));
    }
    out.put("DiagnosticReport", &clinical::report(scene, &visit, results))?;
    let (request, body) = clinical::prescription(scene, &visit, problem, &condition);
    out.put("MedicationRequest", &body)?;
    for fill in 0..scene.random.between(1, 2) {
        out.put(
            "MedicationDispense",
            &clinical::dispense(scene, &visit, problem, &request, fill),
        )?;
        out.put("ExplanationOfBenefit", &claims::pharmacy(scene, &visit, problem, fill))?;
    }
    if scene.random.chance(40) {
        let (goal, body) = clinical::goal(scene, &visit, problem, &condition);
        out.put("Goal", &body)?;
        out.put(
            "CarePlan",
            &clinical::care_plan(scene, &visit, problem, &condition, &goal),
        )?;
    }
    if scene.random.chance(50) {
        out.put("DocumentReference", &clinical::note(scene, &visit, problem))?;
    }
    out.put(
        "ExplanationOfBenefit",
        &claims::professional(scene, &visit, Some(problem)),
    )
}

fn authorized(scene: &mut Scene<'_>, out: &mut Writer<'_>) -> io::Result<()> {
    let visit = scene.visit(None);
    out.put("ExplanationOfBenefit", &claims::prior_authorization(scene, &visit))?;
    out.put("Encounter", &clinical::encounter(scene, &visit))?;
    out.put("Procedure", &clinical::procedure(scene, &visit))?;
    out.put("ExplanationOfBenefit", &claims::institutional(scene, &visit))
}

fn provenance(scene: &mut Scene<'_>, targets: Vec<Value>) -> Value {
    let participant = "http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type";
    json!({
        "resourceType": "Provenance", "id": scene.random.uuid(),
        "meta": {
            "lastUpdated": format!("{}T05:00:00Z", scene.options.as_of),
            "profile": ["http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-provenance"],
        },
        "target": targets,
        "recorded": format!("{}T05:00:00Z", scene.options.as_of),
        "agent": [{
            "type": coded(participant, "transmitter"),
            "who": refer("Organization", &scene.directory.payer),
        }],
        "entity": [{
            "extension": [{
                "url": "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/ProvenanceSourceFrom",
                "valueCodeableConcept": coded("http://hl7.org/fhir/us/davinci-pdex/CodeSystem/ProvenancePayerDataSource", "x12837"),
            }],
            "role": "source",
            "what": {"display": "Claim transactions (synthetic)"},
        }],
    })
}
