//! Judging the body of `$member-match` as HRex writes it: what a SHALL forbids, and what a SHOULD regrets.

use crate::script::HrexVersion;
use serde_json::Value;

const ACTOR_SOURCE: &str = "performer";
const ACTOR_RECIPIENT: &str = "IRCP";
const POLICY: &str = "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#";

/// Elements of a Coverage that HRex marks mustSupport, or that R4 requires (mm-5); `id` is needed to be referred to.
const COVERAGE_ELEMENTS: [&str; 14] = [
    "resourceType",
    "id",
    "meta",
    "identifier",
    "status",
    "type",
    "policyHolder",
    "subscriberId",
    "beneficiary",
    "dependent",
    "relationship",
    "period",
    "payor",
    "class",
];

/// The four parameters.
#[derive(Default)]
pub(super) struct JudgedBody {
    pub(super) patient: Value,
    pub(super) to_match: Value,
    pub(super) to_link: Option<Value>,
    pub(super) consent: Option<Value>,
    /// What breaks a SHALL.
    pub(super) faults: Vec<String>,
    /// What departs from a SHOULD.
    pub(super) regrets: Vec<String>,
}

/// The member number of the body, for rules that name a member; nothing is judged.
pub(super) fn member_number(body: &[u8]) -> Option<String> {
    let parameters: Value = serde_json::from_slice(body).ok()?;
    let listed = parameters["parameter"].as_array()?;
    let coverage = &listed.iter().find(|parameter| parameter["name"] == "CoverageToMatch")?["resource"];
    numbers(coverage).into_iter().next()
}

/// The member and subscriber numbers of a Coverage.
pub(super) fn numbers(coverage: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let identifiers = coverage["identifier"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| text(&one["value"]));
    identifiers.chain(text(&coverage["subscriberId"])).collect()
}

fn has_code(concept: &Value, code: &str) -> bool {
    concept["coding"]
        .as_array()
        .is_some_and(|codings| codings.iter().any(|coding| coding["code"] == code))
}

/// Reads the body.
///
/// # Errors
/// Why it is no Parameters at all.
pub(super) fn read(body: &[u8], hrex: HrexVersion) -> Result<JudgedBody, &'static str> {
    let parameters: Value = serde_json::from_slice(body).map_err(|_| "the body is not JSON")?;
    if parameters["resourceType"] != "Parameters" {
        return Err("the body is not a Parameters resource");
    }
    let listed = parameters["parameter"]
        .as_array()
        .ok_or("the Parameters have no parameter")?;
    let mut read = JudgedBody::default();
    let mut seen: Vec<&str> = Vec::new();
    for parameter in listed {
        let name = parameter["name"].as_str().unwrap_or("");
        if seen.contains(&name) {
            read.faults.push(format!("the parameter {name} is given twice"));
        }
        seen.push(name);
        let resource = parameter["resource"].clone();
        let (slot, kind) = match name {
            "MemberPatient" => (&mut read.patient, "Patient"),
            "CoverageToMatch" => (&mut read.to_match, "Coverage"),
            "CoverageToLink" => (read.to_link.insert(Value::Null), "Coverage"),
            "Consent" => (read.consent.insert(Value::Null), "Consent"),
            _ => {
                read.faults.push(format!("the parameter {name} is not one of HRex"));
                continue;
            }
        };
        if resource["resourceType"] != kind {
            read.faults.push(format!("the parameter {name} holds no {kind}"));
        }
        *slot = resource;
    }
    for (name, resource) in [("MemberPatient", &read.patient), ("CoverageToMatch", &read.to_match)] {
        if resource.is_null() {
            read.faults.push(format!("the parameter {name} is missing"));
        }
    }
    read.judge(hrex);
    Ok(read)
}

impl JudgedBody {
    fn judge(&mut self, hrex: HrexVersion) {
        self.judge_patient(hrex);
        let me = self.patient["id"].as_str().map(|id| format!("Patient/{id}"));
        let to_match = self.to_match.clone();
        self.judge_coverage("CoverageToMatch", &to_match, me.as_deref(), hrex);
        match self.to_link.clone() {
            None => self.faults.push("a payer sends CoverageToLink".into()),
            Some(to_link) => {
                self.judge_coverage("CoverageToLink", &to_link, me.as_deref(), hrex);
                let extra = to_link.as_object().into_iter().flat_map(|fields| fields.keys());
                for name in extra.filter(|name| !COVERAGE_ELEMENTS.contains(&name.as_str())) {
                    self.regrets
                        .push(format!("CoverageToLink.{name} is not mustSupport (mm-5)"));
                }
            }
        }
        match self.consent.clone() {
            None if hrex == HrexVersion::V1_0 => self.faults.push("HRex 1.0 requires the Consent".into()),
            None => self
                .regrets
                .push("payer-to-payer exchange needs a Consent (pdex-140)".into()),
            Some(consent) => self.judge_consent(&consent, me.as_deref()),
        }
    }

    fn judge_patient(&mut self, hrex: HrexVersion) {
        let patient = &self.patient;
        let mut faults = Vec::new();
        let named = patient["name"].as_array().is_some_and(|names| {
            names.iter().any(|name| {
                name["family"].is_string() && name["given"].as_array().is_some_and(|given| !given.is_empty())
            })
        });
        if !named {
            faults.push("MemberPatient has no name with family and given");
        }
        if !patient["birthDate"].is_string() {
            faults.push("MemberPatient has no birthDate");
        }
        let sex = patient["extension"].as_array().is_some_and(|extensions| {
            extensions
                .iter()
                .any(|one| one["url"].as_str().is_some_and(|url| url.ends_with("us-core-birthsex")))
        });
        if !patient["gender"].is_string() && !sex {
            faults.push("MemberPatient has neither gender nor birth sex (hrex-pat-1)");
        }
        if !patient["id"].is_string() {
            faults.push("MemberPatient has no id (mm-6)");
        }
        if hrex == HrexVersion::V1_0 && patient["identifier"].as_array().is_none_or(Vec::is_empty) {
            faults.push("HRex 1.0 requires an identifier of MemberPatient (US Core Patient)");
        }
        self.faults.extend(faults.into_iter().map(str::to_owned));
    }

    fn judge_coverage(&mut self, name: &str, coverage: &Value, me: Option<&str>, hrex: HrexVersion) {
        if numbers(coverage).is_empty() {
            self.faults
                .push(format!("{name} has neither identifier nor subscriberId"));
        }
        if !coverage["status"].is_string() {
            self.faults.push(format!("{name} has no status"));
        }
        if coverage["beneficiary"]["reference"].as_str() != me || me.is_none() {
            self.faults.push(format!(
                "{name}.beneficiary is not the local reference to MemberPatient (mm-6)"
            ));
        }
        if coverage["payor"].as_array().is_none_or(|payors| payors.len() != 1) {
            self.faults.push(format!("{name} has not exactly one payor"));
        }
        if hrex >= HrexVersion::V1_1 && coverage["relationship"].is_null() {
            self.faults.push(format!("{name} has no relationship"));
        }
    }

    fn judge_consent(&mut self, consent: &Value, me: Option<&str>) {
        let mut fault = |what: &str| self.faults.push(what.to_owned());
        if consent["status"] != "active" {
            fault("Consent.status is not active");
        }
        if !has_code(&consent["scope"], "patient-privacy") {
            fault("Consent.scope is not patient-privacy");
        }
        if !consent["category"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| has_code(one, "IDSCL")))
        {
            fault("Consent.category has no IDSCL");
        }
        if consent["patient"]["reference"].as_str() != me || me.is_none() {
            fault("Consent.patient is not the local reference to MemberPatient (mm-6)");
        }
        if consent["performer"].as_array().is_none_or(|all| all.len() != 1) {
            fault("Consent has not exactly one performer");
        }
        if !consent["sourceReference"].is_object() {
            fault("Consent has no sourceReference");
        }
        let policies = consent["policy"].as_array().map_or(0, |all| {
            let ours = |one: &&Value| one["uri"].as_str().is_some_and(|uri| uri.starts_with(POLICY));
            all.iter().filter(ours).count()
        });
        if policies != 1 {
            fault("Consent has not exactly one policy of HRex");
        }
        let provision = &consent["provision"];
        if provision["type"] != "permit" {
            fault("Consent.provision is no permit");
        }
        if !provision["period"]["start"].is_string() || !provision["period"]["end"].is_string() {
            fault("Consent.provision.period has not both ends");
        }
        if !provision["action"]
            .as_array()
            .is_some_and(|all| all.len() == 1 && has_code(&all[0], "disclose"))
        {
            fault("Consent.provision.action is not disclose");
        }
        for role in [ACTOR_SOURCE, ACTOR_RECIPIENT] {
            if actors(consent, role).is_empty() {
                fault(&format!("Consent names no actor with the role {role} (mm-1)"));
            }
        }
        for narrow in [
            "securityLabel",
            "purpose",
            "class",
            "code",
            "dataPeriod",
            "data",
            "provision",
        ] {
            if !provision[narrow].is_null() {
                fault(&format!("Consent.provision.{narrow} is not allowed"));
            }
        }
    }
}

/// The NPIs of the actors of a role.
fn actors(consent: &Value, role: &str) -> Vec<String> {
    let all = consent["provision"]["actor"].as_array().into_iter().flatten();
    all.filter(|actor| has_code(&actor["role"], role))
        .map(|actor| {
            actor["reference"]["identifier"]["value"]
                .as_str()
                .unwrap_or("")
                .to_owned()
        })
        .collect()
}

/// Why a consent cannot be honored by this payer for this client on this day.
pub(super) fn refused(consent: &Value, own_npi: &str, client_npi: Option<&str>, today: &str) -> Option<&'static str> {
    let named = |role: &str, npi: &str| {
        actors(consent, role)
            .iter()
            .any(|actor| actor == npi || actor.is_empty())
    };
    let period = &consent["provision"]["period"];
    let day = |name: &str| {
        period[name]
            .as_str()
            .map(|text| text.chars().take(10).collect::<String>())
    };
    if !named(ACTOR_SOURCE, own_npi) {
        return Some("the consent does not name this payer as its source");
    }
    if client_npi.is_some_and(|npi| !named(ACTOR_RECIPIENT, npi)) {
        return Some("the consent does not name the requester as its recipient");
    }
    if day("start").is_some_and(|start| start.as_str() > today) {
        return Some("the consent has not begun");
    }
    if day("end").is_some_and(|end| end.as_str() < today) {
        return Some("the consent is over");
    }
    None
}
