"""The small inputs that went wrong once, over the wire: what must not leave does not, what may does, and files are read as what they hold.

Two halves, because the server is started between them: `--prepare` writes the member that all cases name, `--check` asks a running server.
"""
import argparse
import copy
import json
import pathlib

import requests

import smart

MEMBER_SYSTEM = "http://old-payer.example.org/identifiers/member"
MEMBER = {
    "resourceType": "Patient",
    "id": "imp",
    "name": [{"family": "Thornbury", "given": ["Marigold"]}],
    "gender": "female",
    "birthDate": "1970-01-01",
}
CARD = {
    "resourceType": "Coverage",
    "id": "cov-imp",
    "status": "active",
    "identifier": [
        {
            "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]},
            "system": MEMBER_SYSTEM,
            "value": "M8000001",
        }
    ],
    "beneficiary": {"reference": "Patient/imp"},
    "payor": [{"display": "plan"}],
}

# What a partner that was granted both members may read, and what it may not.
LEAVES = [
    "ExplanationOfBenefit/pa-approved",
    "ExplanationOfBenefit/pd-service",
    "Condition/oth-own",
    "Observation/abs-subject",
    "Observation/abs-performer",
    "Encounter/abs-enc",
    "Binary/bin-1",
    "DocumentReference/bin-doc",
    "Encounter/e-b",
    "Organization/bom-1",
    "Organization/bom-2",
    "Organization/bom-3",
    "Organization/bl-1",
    "Organization/bl-2",
    "Organization/named-1",
    "Organization/named-2",
    "Organization/pretty-1",
]
STAYS = [
    "ExplanationOfBenefit/pa-plain",
    "ExplanationOfBenefit/pa-reason-item",
    "ExplanationOfBenefit/pa-reason-header",
    "ExplanationOfBenefit/pd-ndc",
    "ExplanationOfBenefit/pd-hcpcs-cms",
    "ExplanationOfBenefit/pd-hcpcs-tho",
    "ExplanationOfBenefit/pd-ndc-oid",
    "Condition/oth-rel",
    "Condition/oth-patient",
    "Condition/oth-abs",
    "Condition/oth-uuid",
    "Condition/oth-person",
    # The other record of the same person, whose card was not sent.
    "Encounter/e-a",
]
NEWEST = ["Organization/vu", "Organization/vd", "Organization/vr", "Organization/db"]


def prepare(options):
    folder = pathlib.Path(options.prepare)
    lines = "".join(json.dumps(one) + "\n" for one in (MEMBER, CARD))
    (folder / "member.ndjson").write_text(lines)


def request_for_imp(template):
    body = copy.deepcopy(template)
    parts = {part["name"]: part["resource"] for part in body["parameter"]}
    patient = parts["MemberPatient"]
    patient["name"], patient["gender"], patient["birthDate"] = MEMBER["name"], "female", MEMBER["birthDate"]
    patient.pop("address", None)
    patient["identifier"][0]["value"] = "N8000001"
    parts["CoverageToMatch"]["identifier"][0]["value"] = "M8000001"
    parts["CoverageToMatch"].pop("subscriberId", None)
    parts["CoverageToLink"]["identifier"][0]["value"] = "N8000001"
    return body


def check(options):
    tls = smart.tls(options.keys)
    cases = pathlib.Path(options.cases)
    matcher = requests.Session()
    matcher.headers["Authorization"] = "Bearer " + smart.token(options.base, options.keys, smart.MEMBER_MATCH)
    matcher.headers["Content-Type"] = "application/fhir+json"
    template = json.loads((cases / "two-records-match.json").read_text())
    wrong = []

    def expect(what, right):
        print("ok   " if right else "WRONG", what)
        if not right:
            wrong.append(what)

    for body, member in ((template, "dup-b"), (request_for_imp(template), "imp")):
        answer = matcher.post(f"{options.base}/Patient/$member-match", data=json.dumps(body), **tls)
        granted = answer.status_code == 200 and f"Patient/{member}" in answer.text
        expect(f"the match grants Patient/{member} ({answer.status_code})", granted)

    reader = requests.Session()
    reader.headers["Authorization"] = "Bearer " + smart.token(options.base, options.keys, "system/*.rs")
    get = lambda path: reader.get(f"{options.base}/{path}", **tls)
    everything = get("Patient/imp/$everything").text + get("Patient/dup-b/$everything").text
    for name in LEAVES:
        expect(f"{name} leaves", get(name).status_code == 200)
    for name in STAYS:
        kind, own = name.split("/")
        found = get(f"{kind}?_id={own}")
        kept = get(name).status_code == 404 and found.json().get("total", 0) == 0 and f'"id":"{own}"' not in everything
        expect(f"{name} stays", kept)
    for name in NEWEST:
        answer = get(name)
        expect(f"{name} is the newer", answer.status_code == 200 and answer.json()["name"] == "new name")
    reader.close()


def check_money(options):
    """The money cases are about the first of the two records: asked for with that record's own card."""
    tls = smart.tls(options.keys)
    template = json.loads((pathlib.Path(options.cases) / "two-records-match.json").read_text().replace("M7000002", "M7000001").replace("S7000002", "S7000001"))
    bearer = "Bearer " + smart.token(options.base, options.keys, smart.MEMBER_MATCH)
    headers = {"Authorization": bearer, "Content-Type": "application/fhir+json"}
    answer = requests.post(f"{options.base}/Patient/$member-match", data=json.dumps(template), headers=headers, **tls)
    assert answer.status_code == 200 and "Patient/dup-a" in answer.text, answer.text
    headers = {"Authorization": "Bearer " + smart.token(options.base, options.keys, "system/*.rs")}
    read = lambda path: requests.get(f"{options.base}/{path}", headers=headers, **tls)
    for name in ("ExplanationOfBenefit/repro-1", "Coverage/repro-3", "ExplanationOfBenefit/repro-2"):
        got = read(name)
        assert got.status_code == 200, (name, got.status_code)
        assert "USD" not in got.text and "currency" not in got.text, got.text
        print("ok   ", name, "leaves without money")
        if name.endswith("repro-2"):
            total = got.json()["total"][0]
            assert total["category"]["coding"][0]["code"] == "eligible" and total["extension"] and set(total["amount"]) == {"extension"}, total
    assert "-Basis|2.0.0" not in read("ExplanationOfBenefit/repro-1").text


parser = argparse.ArgumentParser()
parser.add_argument("--prepare")
parser.add_argument("--base")
parser.add_argument("--keys")
parser.add_argument("--cases")
options = parser.parse_args()
if options.prepare:
    prepare(options)
else:
    check(options)
    check_money(options)
