"""Asks a running server for what it builds itself, and lays each answer in a folder, one file each, for the validator."""
import argparse
import json
import pathlib
import sys

import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "clients"))
import smart  # noqa: E402

FHIR_JSON = "application/fhir+json"
# Types whose resources are the server's own; those of members are as they were received.
OWN_TYPES = {"CodeSystem", "SearchParameter", "OperationDefinition", "StructureDefinition", "AuditEvent", "Task"}

parser = argparse.ArgumentParser()
parser.add_argument("--base", required=True)
parser.add_argument("--keys", required=True)
parser.add_argument("--match", required=True)
parser.add_argument("--showcase", help="a $member-match body for the showcase member")
parser.add_argument("--refused", action="append", default=[])
parser.add_argument("--out", required=True)
options = parser.parse_args()
out = pathlib.Path(options.out)
out.mkdir(parents=True, exist_ok=True)

plain = requests.Session()
caller = requests.Session()
counts = {}


def ask(name, kind, path, status=200, session=caller, method="GET", **more):
    """Keeps the answer under `name`; its status and resource type are checked here, so that no outcome stands in for a Bundle."""
    url = path if path.startswith("https:") else f"{options.base}/{path}".rstrip("/")
    answer = session.request(method, url, **more, **smart.tls(options.keys))
    assert answer.status_code == status, f"{name}: {answer.status_code} instead of {status}: {answer.text[:400]}"
    assert answer.headers["Content-Type"].startswith(FHIR_JSON), f"{name}: {answer.headers['Content-Type']}"
    resource = answer.json()
    assert resource["resourceType"] == kind, f"{name}: {resource['resourceType']} instead of {kind}"
    (out / f"{name}.json").write_bytes(answer.content)
    counts[kind] = counts.get(kind, 0) + 1
    return resource


def bearer(scope):
    return {"Authorization": "Bearer " + smart.token(options.base, options.keys, scope)}


def body(path):
    return {"data": pathlib.Path(path).read_bytes(), "headers": {"Content-Type": FHIR_JSON}}


statement = ask("capability-statement", "CapabilityStatement", "metadata", session=plain)
rest = statement["rest"][0]
declared = {resource["type"]: {i["code"] for i in resource.get("interaction", [])} for resource in rest["resource"]}
terminology = plain.get(f"{options.base}/metadata?mode=terminology", **smart.tls(options.keys)).json()
if terminology["resourceType"] == "TerminologyCapabilities":
    ask("terminology-capabilities", "TerminologyCapabilities", "metadata?mode=terminology", session=plain)
ask("code-system-faults", "CodeSystem", "CodeSystem/causeway-fault", session=plain)

# A match, and refusals: by the use case, by the body, by the ring around every request.
caller.headers.update(bearer(smart.MEMBER_MATCH))
matched = ask("match-out", "Parameters", "Patient/$member-match", method="POST", **body(options.match))
patient = next(p["valueReference"]["reference"] for p in matched["parameter"] if p["name"] == "MemberId")
showcase = None
if options.showcase:
    shown = ask("match-out-showcase", "Parameters", "Patient/$member-match", method="POST", **body(options.showcase))
    showcase = next(p["valueReference"]["reference"] for p in shown["parameter"] if p["name"] == "MemberId")
for path in options.refused:
    ask("refused-" + pathlib.Path(path).stem, "OperationOutcome", "Patient/$member-match", 422, method="POST", **body(path))
posted = {"method": "POST", "headers": {"Content-Type": FHIR_JSON}}
ask("outcome-not-json", "OperationOutcome", "Patient/$member-match", 400, data=b"{", **posted)
ask("outcome-incomplete", "OperationOutcome", "Patient/$member-match", 422, data=b'{"resourceType":"Parameters"}', **posted)
ask("outcome-media-type", "OperationOutcome", "Patient/$member-match", 415, method="POST", data=b"x", headers={"Content-Type": "text/csv"})
ask("outcome-scope", "OperationOutcome", patient, 403)

caller.headers.update(bearer("system/*.rs"))
ask("outcome-no-token", "OperationOutcome", patient, 401, session=plain)
ask("outcome-unknown-token", "OperationOutcome", patient, 401, session=plain, headers={"Authorization": "Bearer x"})
ask("outcome-not-found", "OperationOutcome", "Patient/00000000-0000-4000-8000-000000000000", 404)
ask("outcome-method", "OperationOutcome", patient, 405, method="DELETE")
ask("outcome-format", "OperationOutcome", f"{patient}?_format=xml", 406)
ask("outcome-parameter", "OperationOutcome", f"{patient}/$everything?_count=none", 400)
ask("outcome-strict", "OperationOutcome", "Patient?shoe-size=9", 400, headers={"Prefer": "handling=strict"})

# Bundles: only their shells are ours.
member = patient.split("/")[1]
ask("search-one", "Bundle", f"Patient?_id={member}")
ask("search-none", "Bundle", "Patient?_id=nobody")
ask("search-ignored", "Bundle", f"Patient?_id={member}&shoe-size=9")
ask("search-form", "Bundle", "Patient/_search", method="POST", data={"_id": member})
ask("everything", "Bundle", f"{patient}/$everything")
if showcase:
    ask("everything-showcase", "Bundle", f"{showcase}/$everything")
page = ask("everything-page-1", "Bundle", f"{patient}/$everything?_count=5")
following = [link["url"] for link in page["link"] if link["relation"] == "next"]
if following:
    ask("everything-page-2", "Bundle", following[0])
if "search-type" in declared.get("ExplanationOfBenefit", ()):
    claims = f"ExplanationOfBenefit?patient={member}"
    for name, more in {
        "search-count": "&_summary=count",
        "search-zero": "&_count=0",
        "search-total": "&_count=1&_total=accurate",
        "search-sorted": "&_sort=-_lastUpdated&_count=2",
        "search-include": "&_include=ExplanationOfBenefit:*",
        "search-revinclude": "&_revinclude=Provenance:target",
    }.items():
        ask(name, "Bundle", claims + more)
    ask("outcome-modifier", "OperationOutcome", claims + "&type:in=x", 400)
if "batch" in {interaction["code"] for interaction in rest.get("interaction", [])}:
    reads = [patient, "Patient/nobody", f"Patient?_id={member}", "metadata"]
    entries = [{"request": {"method": "GET", "url": url}} for url in reads]
    batch = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    ask("batch-response", "Bundle", "", data=json.dumps(batch), **posted)

for kind in sorted(OWN_TYPES & declared.keys()):
    if "search-type" not in declared[kind]:
        continue
    bundle = ask(f"search-{kind}", "Bundle", f"{kind}?_count=200")
    for entry in bundle.get("entry", []):
        if entry["resource"]["resourceType"] == kind and "read" in declared[kind]:
            ask(f"{kind}-{entry['resource']['id']}", kind, f"{kind}/{entry['resource']['id']}")

print("collected:", ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))
