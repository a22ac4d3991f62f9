//! One member's record: the events of one visit after another, until the number of resources is reached.
//!
//! A resource comes after those that it refers to, so the record can end anywhere and all of its references still resolve.

use super::codes::{PROBLEMS, Problem, SENSITIVE, coded, refer};
use super::directory::Directory;
use super::member::Member;
use super::options::SynthOptions;
use super::output::{Sink, put};
use super::random::{Random, Stream};
use super::scene::Scene;
use super::{claims, clinical};
use serde_json::{Value, json};
use std::io;

/// All types that occur.
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

/// Most resources that a Provenance names, so that it does not grow with the record.
const TARGETS: usize = 40;

struct Writer<'s> {
    sink: Sink<'s>,
    left: u64,
    targets: Vec<Value>,
}

impl Writer<'_> {
    /// Writes a resource, unless the record is full. After the first resource that is left out, none is written.
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
pub(super) fn write(options: &SynthOptions, directory: &Directory, member: &Member, sink: Sink<'_>) -> io::Result<()> {
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
    // One resource is reserved for the Provenance.
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

/// Writes the second record of a person with two records: only the Patient and the Coverage.
pub(super) fn write_twin(
    options: &SynthOptions,
    directory: &Directory,
    member: &Member,
    sink: Sink<'_>,
) -> io::Result<()> {
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
