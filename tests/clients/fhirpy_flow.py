"""Token, $member-match and $everything with fhirpy, a client library that knows nothing of Causeway."""
import argparse
import json
import pathlib

from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound

import smart

parser = argparse.ArgumentParser()
parser.add_argument("--base", required=True)
parser.add_argument("--keys", required=True)
parser.add_argument("--match", required=True)
parser.add_argument("--refused", action="append", default=[])
options = parser.parse_args()


def client(scope):
    bearer = smart.token(options.base, options.keys, scope)
    return SyncFHIRClient(options.base, authorization=f"Bearer {bearer}", requests_config=smart.tls(options.keys))


def body(path):
    return json.loads(pathlib.Path(path).read_text())


matcher = client(smart.MEMBER_MATCH)
answer = matcher.execute("Patient/$member-match", method="post", data=body(options.match))
parameters = {parameter["name"]: parameter for parameter in answer["parameter"]}
umb = parameters["MemberIdentifier"]["valueIdentifier"]
patient = parameters["MemberId"]["valueReference"]["reference"]
print("matched:", patient, umb["value"])

for path in options.refused:
    try:
        matcher.execute("Patient/$member-match", method="post", data=body(path))
    except OperationOutcome as refused:
        print("refused:", pathlib.Path(path).name, refused.resource["issue"][0]["details"]["text"])
    else:
        raise SystemExit(f"{path} should have been refused")

reader = client("system/*.rs")
member = reader.reference(reference=patient).to_resource()
assert member["resourceType"] == "Patient" and member["birthDate"], member
found = reader.resources("Patient").search(identifier=f"{umb['system']}|{umb['value']}").fetch()
assert [one["id"] for one in found] == [member["id"]], found
bundle = reader.execute(f"{patient}/$everything", method="get")
resources = [entry["resource"] for entry in bundle["entry"]]
kinds = sorted({resource["resourceType"] for resource in resources})
assert bundle["type"] == "searchset" and {"Patient", "Coverage", "ExplanationOfBenefit"} <= set(kinds), kinds
print("received:", len(resources), "resources:", ", ".join(kinds))

try:
    reader.reference("Patient", "00000000-0000-4000-8000-000000000000").to_resource()
except ResourceNotFound:
    print("a member who is not granted is not found")
else:
    raise SystemExit("a member who is not granted was shown")
