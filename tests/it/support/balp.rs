//! Whether an `AuditEvent` has the form that it says it has: R4's own elements, and what IHE's Basic Audit Log Patterns (1.1.4) ask of each
//! profile that it names. Our own reading of the profiles, so that tests need no package; `.ci/run validator` asks HL7's validator.

use serde_json::Value;

/// What a profile asks for.
struct Profile {
    name: &'static str,
    /// Codes of `type` and `action`; anything when empty.
    kind: &'static str,
    action: &'static str,
    /// One of these is among the subtypes.
    subtypes: &'static [&'static str],
    is_success: bool,
    /// Types of agents that are there once each, and whether with (+) or without (-) a network.
    agents: &'static [(&'static str, char)],
    /// Whether no other agents and entities may be there.
    is_closed: bool,
    /// Types of entities that are there once each, with the roles that they may have.
    entities: &'static [(&'static str, &'static [&'static str])],
    /// The type of the agent that is the source of the event.
    observer: Option<&'static str>,
}

const NONE: Profile = Profile {
    name: "",
    kind: "",
    action: "",
    subtypes: &[],
    is_success: true,
    agents: &[],
    is_closed: false,
    entities: &[],
    observer: None,
};
const DATA: (&str, &[&str]) = ("2", &["3", "4", "20"]);
const ASKED: (&str, &[&str]) = ("2", &["24"]);
const WHOSE: (&str, &[&str]) = ("1", &["1"]);
const READ: Profile = Profile {
    name: "Read",
    kind: "rest",
    action: "R",
    subtypes: &["read", "vread"],
    agents: &[("110152", '+'), ("110153", '+')],
    entities: &[DATA],
    ..NONE
};
const QUERY: Profile = Profile {
    name: "Query",
    action: "E",
    subtypes: &["search", "search-type", "search-system"],
    entities: &[ASKED],
    ..READ
};
const CREATE: Profile = Profile {
    name: "Create",
    action: "C",
    subtypes: &["create"],
    ..READ
};
const UPDATE: Profile = Profile {
    name: "Update",
    action: "U",
    subtypes: &["update", "patch"],
    ..READ
};
const SOURCE: Profile = Profile {
    name: "PrivacyDisclosure.Source",
    kind: "110106",
    action: "R",
    subtypes: &["disclose"],
    is_success: false,
    agents: &[("110153", '+'), ("110152", '+')],
    entities: &[WHOSE],
    observer: Some("110153"),
    ..NONE
};
const PROFILES: &[Profile] = &[
    READ,
    Profile {
        name: "PatientRead",
        entities: &[DATA, WHOSE],
        ..READ
    },
    QUERY,
    Profile {
        name: "PatientQuery",
        entities: &[ASKED, WHOSE],
        ..QUERY
    },
    CREATE,
    Profile {
        name: "PatientCreate",
        entities: &[DATA, WHOSE],
        ..CREATE
    },
    UPDATE,
    Profile {
        name: "PatientUpdate",
        entities: &[DATA, WHOSE],
        ..UPDATE
    },
    SOURCE,
    Profile {
        name: "PrivacyDisclosure.Recipient",
        kind: "110107",
        action: "C",
        observer: Some("110152"),
        ..SOURCE
    },
    Profile {
        name: "AuthZconsent",
        kind: "110113",
        action: "E",
        subtypes: &["AuthZ-Consent"],
        is_success: false,
        agents: &[("110150", '+'), ("IRCP", '-'), ("PROV", '-'), ("authserver", '-')],
        is_closed: true,
        entities: &[WHOSE, ("Consent", &[])],
        observer: Some("authserver"),
    },
    Profile {
        name: "IHE.IUA.71",
        kind: "110114",
        action: "E",
        subtypes: &["ITI-71"],
        agents: &[("110150", '+'), ("AuthzOauthService", '+')],
        is_closed: true,
        entities: &[ASKED],
        ..NONE
    },
    Profile {
        name: "OAUTHaccessTokenUse.Comprehensive",
        is_success: false,
        agents: &[("110150", '?')],
        ..NONE
    },
];

fn of<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value[name].as_array().into_iter().flatten()
}

fn agent_code(agent: &Value) -> &str {
    agent["type"]["coding"][0]["code"].as_str().unwrap_or_default()
}

/// Names of the profiles of an event, without their base.
pub fn profiles(event: &Value) -> Vec<&str> {
    let urls = of(&event["meta"], "profile").filter_map(Value::as_str);
    urls.map(|url| {
        let name = url.strip_prefix("https://profiles.ihe.net/ITI/BALP/StructureDefinition/");
        let name = name.unwrap_or_else(|| panic!("{url} is not BALP's"));
        name.strip_prefix("IHE.BasicAudit.").unwrap_or(name)
    })
    .collect()
}

/// Panics unless the event has its form.
#[track_caller]
pub fn check(event: &Value) {
    if let Err(what) = form(event) {
        panic!("{what}: {event:#}");
    }
}

fn form(event: &Value) -> Result<(), String> {
    base(event)?;
    for name in profiles(event) {
        let profile = PROFILES.iter().find(|profile| profile.name == name);
        let profile = profile.ok_or_else(|| format!("{name} is unknown"))?;
        of_profile(event, profile).map_err(|what| format!("{name}: {what}"))?;
    }
    Ok(())
}

const MEMBERS: [&str; 13] = [
    "resourceType",
    "id",
    "meta",
    "type",
    "subtype",
    "action",
    "recorded",
    "outcome",
    "outcomeDesc",
    "purposeOfEvent",
    "agent",
    "source",
    "entity",
];

/// What R4 asks of every event.
fn base(event: &Value) -> Result<(), String> {
    let wrong = |what: &str| Err(what.to_owned());
    let members = event.as_object().ok_or("no object")?;
    if let Some(name) = members.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
        return Err(format!("{name} is no element"));
    }
    if has_empty(event) {
        return wrong("something is empty");
    }
    if event["resourceType"] != "AuditEvent" || !event["type"]["code"].is_string() {
        return wrong("no type");
    }
    if chrono::DateTime::parse_from_rfc3339(event["recorded"].as_str().unwrap_or_default()).is_err() {
        return wrong("recorded is no instant");
    }
    if !matches!(event["action"].as_str(), Some("C" | "R" | "U" | "D" | "E")) {
        return wrong("no action");
    }
    if !matches!(event["outcome"].as_str(), Some("0" | "4" | "8" | "12")) {
        return wrong("no outcome");
    }
    if of(event, "agent").count() == 0 || of(event, "agent").any(|agent| !agent["requestor"].is_boolean()) {
        return wrong("an agent does not say whether it asked");
    }
    if event["source"]["observer"]["identifier"]["value"].is_null() {
        return wrong("nobody observed it");
    }
    if of(event, "entity").any(|entity| !entity["name"].is_null() && !entity["query"].is_null()) {
        return wrong("an entity has a name and a query (sev-1)");
    }
    Ok(())
}

fn has_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty() || items.iter().any(has_empty),
        Value::Object(members) => members.is_empty() || members.values().any(has_empty),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn of_profile(event: &Value, profile: &Profile) -> Result<(), String> {
    let is = |asked: &str, value: &Value| asked.is_empty() || *value == asked;
    if !is(profile.kind, &event["type"]["code"]) || !is(profile.action, &event["action"]) {
        return Err("type or action".to_owned());
    }
    let has_subtype = of(event, "subtype").any(|one| profile.subtypes.iter().any(|code| one["code"] == *code));
    if !profile.subtypes.is_empty() && !has_subtype {
        return Err("no subtype".to_owned());
    }
    if profile.is_success && event["outcome"] != "0" {
        return Err("not a success".to_owned());
    }
    for (code, network) in profile.agents {
        let found: Vec<&Value> = of(event, "agent").filter(|agent| agent_code(agent) == *code).collect();
        let [agent] = found.as_slice() else {
            return Err(format!("{} agents {code}", found.len()));
        };
        let is_named = agent["who"].is_object() && agent["media"].is_null();
        let fits = match network {
            '+' => agent["network"].is_object(),
            '-' => agent["network"].is_null(),
            _ => true,
        };
        if !is_named || !fits {
            return Err(format!("agent {code}"));
        }
        if profile.observer == Some(code) && agent["who"] != event["source"]["observer"] {
            return Err(format!("agent {code} is not the source"));
        }
    }
    for (code, roles) in profile.entities {
        let found: Vec<&Value> = of(event, "entity")
            .filter(|entity| entity["type"]["code"] == *code)
            .collect();
        let right = |entity: &&&Value| roles.is_empty() || roles.iter().any(|role| entity["role"]["code"] == *role);
        let is_own = !matches!(profile.name, "PrivacyDisclosure.Source" | "PrivacyDisclosure.Recipient");
        if (is_own && found.len() != 1) || found.iter().filter(right).count() != 1 {
            return Err(format!("entities {code}"));
        }
        let entity = found[0];
        let is_asked = entity["role"]["code"] == "24";
        if is_asked != entity["what"].is_null() || is_asked != entity["_query"].is_object() {
            return Err(format!("entity {code}"));
        }
        let reference = entity["what"]["reference"].as_str().unwrap_or_default();
        if *code == "1" && !reference.starts_with("Patient/") {
            return Err("no patient".to_owned());
        }
    }
    let (agents, entities) = (of(event, "agent").count(), of(event, "entity").count());
    if profile.is_closed && (agents, entities) != (profile.agents.len(), profile.entities.len()) {
        return Err("more than the profile allows".to_owned());
    }
    Ok(())
}

#[test]
fn the_check_finds_what_is_wrong() {
    let agent = |code: &str| serde_json::json!({"type": {"coding": [{"code": code}]}, "who": {"display": "x"}, "requestor": true, "network": {"address": "x"}});
    let good = serde_json::json!({
        "resourceType": "AuditEvent", "id": "x",
        "meta": {"profile": ["https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead"]},
        "type": {"code": "rest"}, "subtype": [{"code": "read"}], "action": "R", "recorded": "2026-11-28T12:00:00.000001Z", "outcome": "0",
        "agent": [agent("110152"), agent("110153")],
        "source": {"observer": {"identifier": {"value": "https://x.example/fhir"}}},
        "entity": [
            {"what": {"display": "x"}, "type": {"code": "2"}, "role": {"code": "4"}},
            {"what": {"reference": "Patient/p"}, "type": {"code": "1"}, "role": {"code": "1"}},
        ],
    });
    assert_eq!(form(&good), Ok(()));
    let wrong: [(&str, Value); 9] = [
        ("/action", "E".into()),
        ("/outcome", "4".into()),
        ("/subtype/0/code", "search".into()),
        ("/agent/0/network", Value::Null),
        ("/agent/1/type/coding/0/code", "110152".into()),
        ("/agent/0/requestor", "true".into()),
        ("/entity/0/role/code", "24".into()),
        ("/entity/1/what/reference", "Group/p".into()),
        ("/recorded", "today".into()),
    ];
    for (place, value) in wrong {
        let mut bad = good.clone();
        *bad.pointer_mut(place).expect("a place") = value;
        assert!(form(&bad).is_err(), "{place}");
    }
}
