#!/usr/bin/env python3
"""Writes StructureDefinitions that ask of an AuditEvent what IHE's Basic Audit Log Patterns ask of the profiles that we name.

    python3 fhir-profiles/balp.py FOLDER

They are our own reading of BALP 1.1.4 (https://profiles.ihe.net/ITI/BALP, profiles of AuditEvent): the table below has the facts, and nothing of the
package is copied. HL7's validator takes them in place of the package where that is absent (`.ci/run validator`), so they have its URLs. Each rule is
one constraint on the whole event, so that no slicing has to be worked out. Only the standard library is used; the same table gives the same bytes.
"""
import json
import pathlib
import sys

BASE = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
REST = ("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest")
INTERACTION = "http://hl7.org/fhir/restful-interaction"
ENTITY = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
SOURCE, DESTINATION, APPLICATION = (DCM, "110153"), (DCM, "110152"), (DCM, "110150")
USER = ("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP")
ORGANIZATION = ("http://terminology.hl7.org/CodeSystem/v3-RoleClass", "PROV")
AUTHORIZER = ("http://terminology.hl7.org/CodeSystem/extra-security-role-type", "authserver")
TOKEN_SERVER = ("https://profiles.ihe.net/ITI/BALP/CodeSystem/UserAgentTypes", "AuthzOauthService")

# An agent: its type, and whether it has a network address (True), has none (False), or may have one (None).
BOTH = [(DESTINATION, True), (SOURCE, True)]
# An entity: its type, and the roles that it may have.
DATA, ASKED, PATIENT = ((ENTITY, "2"), ["3", "4", "20"]), ((ENTITY, "2"), ["24"]), ((ENTITY, "1"), ["1"])
CONSENT = (("http://hl7.org/fhir/resource-types", "Consent"), [])


def rest(action, interactions, *entities):
    return {"type": REST, "action": action, "subtype": (INTERACTION, interactions), "success": True, "agents": BOTH, "entities": entities}


def disclosed(kind, action, observer):
    return {"type": (DCM, kind), "action": action, "subtype": ("http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle", ["disclose"]),
            "agents": BOTH, "entities": [PATIENT], "others": True, "observer": observer}


READ, SEARCH, UPDATE = ["read", "vread"], ["search", "search-type", "search-system"], ["update", "patch"]
PROFILES = {
    "IHE.BasicAudit.Read": rest("R", READ, DATA),
    "IHE.BasicAudit.PatientRead": rest("R", READ, DATA, PATIENT),
    "IHE.BasicAudit.Query": rest("E", SEARCH, ASKED),
    "IHE.BasicAudit.PatientQuery": rest("E", SEARCH, ASKED, PATIENT),
    "IHE.BasicAudit.Create": rest("C", ["create"], DATA),
    "IHE.BasicAudit.PatientCreate": rest("C", ["create"], DATA, PATIENT),
    "IHE.BasicAudit.Update": rest("U", UPDATE, DATA),
    "IHE.BasicAudit.PatientUpdate": rest("U", UPDATE, DATA, PATIENT),
    "IHE.BasicAudit.PrivacyDisclosure.Source": disclosed("110106", "R", SOURCE),
    "IHE.BasicAudit.PrivacyDisclosure.Recipient": disclosed("110107", "C", DESTINATION),
    "IHE.BasicAudit.AuthZconsent": {
        "type": (DCM, "110113"), "action": "E",
        "subtype": ("https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType", ["AuthZ-Consent"]),
        "agents": [(APPLICATION, True), (USER, False), (ORGANIZATION, False), (AUTHORIZER, False)],
        "entities": [PATIENT, CONSENT], "closed": True, "observer": AUTHORIZER},
    "IHE.IUA.71": {
        "type": (DCM, "110114"), "action": "E", "subtype": ("urn:ihe:event-type-code", ["ITI-71"]), "success": True,
        "agents": [(APPLICATION, True), (TOKEN_SERVER, True)], "entities": [ASKED], "closed": True},
    "IHE.BasicAudit.OAUTHaccessTokenUse.Comprehensive": {"agents": [(APPLICATION, None)], "entities": []},
}


def one_of(path, codes):
    return "(" + " or ".join(f"{path} = '{code}'" for code in codes) + ")"


def rules(profile):
    """What the profile asks for: for people, and as FHIRPath on the event."""
    if "type" in profile:
        system, code = profile["type"]
        yield f"the type is {code}", f"type.system = '{system}' and type.code = '{code}'"
        yield f"the action is {profile['action']}", f"action = '{profile['action']}'"
    if "subtype" in profile:
        system, codes = profile["subtype"]
        yield f"a subtype is {' or '.join(codes)}", f"subtype.where(system = '{system}' and {one_of('code', codes)}).exists()"
    if profile.get("success"):
        yield "it tells of a success", "outcome = '0'"
    for (system, code), network in profile["agents"]:
        agent = f"agent.where(type.coding.where(system = '{system}' and code = '{code}').exists())"
        has = {True: " and network.exists()", False: " and network.empty()", None: ""}[network]
        yield f"one agent is {code}", f"{agent}.count() = 1"
        yield f"the agent {code} is named as it has to be", f"{agent}.all(who.exists() and media.empty(){has})"
        if profile.get("observer") == (system, code):
            yield f"the agent {code} is the source", f"{agent}.who.identifier.value = source.observer.identifier.value"
    for (system, code), roles in profile["entities"]:
        entity = f"entity.where(type.system = '{system}' and type.code = '{code}')"
        role = f"role.system = '{ROLE}' and {one_of('role.code', roles)}"
        right = f"{entity}.where({role})" if roles else entity
        yield f"one entity is {code}, in its role", f"{right}.count() = 1"
        if not profile.get("others"):
            yield f"no other entity is {code}", f"{entity}.count() = 1"
        asked = "what.empty() and (query.exists() or query.extension.exists())"
        yield f"the entity {code} says what it is", f"{right}.all({asked if roles == ['24'] else 'what.exists()'})"
        if (system, code) == PATIENT[0]:
            yield "the patient is referred to", f"{right}.all(what.reference.startsWith('Patient/'))"
    if profile.get("closed"):
        yield "no other agent is there", f"agent.count() = {len(profile['agents'])}"
        yield "no other entity is there", f"entity.count() = {len(profile['entities'])}"


def definition(name, profile):
    key = "own-" + name.lower().replace(".", "-")
    constraints = [
        {"key": f"{key}-{number}", "severity": "error", "human": human, "expression": expression}
        for number, (human, expression) in enumerate(rules(profile), 1)
    ]
    return {
        "resourceType": "StructureDefinition", "id": name, "url": BASE + name, "version": "1.1.4", "name": name.replace(".", ""), "status": "draft",
        "description": "Our own reading of the profile, for tests.", "fhirVersion": "4.0.1", "kind": "resource", "abstract": False,
        "type": "AuditEvent", "baseDefinition": "http://hl7.org/fhir/StructureDefinition/AuditEvent", "derivation": "constraint",
        "differential": {"element": [{"id": "AuditEvent", "path": "AuditEvent", "constraint": constraints}]},
    }


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, profile in PROFILES.items():
        (folder / f"{name}.json").write_text(json.dumps(definition(name, profile), indent=1) + "\n")


if __name__ == "__main__":
    main()
