"""Two clients for bulk data from PyPI, which know nothing of Causeway and have no client certificate, fetch what a bulk match has granted.

The members are matched by our own script. Each client then exports the Group of the matched members, and all members, and every resource must be
what `$everything` gives for them. The clients run as programs of their own, in the environment whose Python `--clients` names.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess

import bulk

MATCHED, OTHERS = 10, 2

parser = argparse.ArgumentParser()
parser.add_argument("--base", required=True)
parser.add_argument("--keys", required=True, type=pathlib.Path)
parser.add_argument("--members", required=True, type=pathlib.Path, help="the folder that `causeway synth` has written")
parser.add_argument("--clients", required=True, type=pathlib.Path)
parser.add_argument("--work", required=True, type=pathlib.Path)
options = parser.parse_args()


def stored(kind):
    return [json.loads(line) for line in (options.members / f"{kind}.ndjson").open()]


def member(template, patient, coverage):
    """One member of a bulk match: the parts of the demonstration's request, about this Patient with this card."""
    text = json.dumps(template["parameter"]).replace("Patient/member", f"Patient/{patient['id']}")
    parts = json.loads(text)
    by_name = {part["name"]: part["resource"] for part in parts}
    sent = by_name["MemberPatient"]
    sent["id"] = patient["id"]
    for element in ("name", "gender", "birthDate", "address", "telecom"):
        sent[element] = patient[element]
    card = by_name["CoverageToMatch"]
    card["identifier"], card["subscriberId"] = coverage["identifier"], coverage["subscriberId"]
    card["relationship"], card["period"] = coverage["relationship"], coverage["period"]
    number = "N" + coverage["identifier"][0]["value"][1:]
    by_name["CoverageToLink"]["identifier"][0]["value"] = number
    return {"name": "MemberBundle", "part": parts}


def request():
    """A request for some members, and for some who do not exist."""
    template = json.loads((options.keys / "match.json").read_text())
    cards = {one["beneficiary"]["reference"].removeprefix("Patient/"): one for one in stored("Coverage")}
    patients = stored("Patient")
    members = [member(template, one, cards[one["id"]]) for one in patients[:MATCHED]]
    for one in patients[MATCHED : MATCHED + OTHERS]:
        stranger = member(template, one, cards[one["id"]])
        stranger["part"][0]["resource"]["birthDate"] = "1931-02-03"
        members.append(stranger)
    return json.dumps({"resourceType": "Parameters", "parameter": members})


def exported(folder):
    """The resources that a client has written, by type and id. Every other file is its own log."""
    found = {}
    for file in sorted(folder.glob("*.ndjson")):
        if file.name == "log.ndjson":
            continue
        for line in file.open():
            resource = json.loads(line)
            assert file.name.startswith(resource["resourceType"] + "."), f"{resource['resourceType']} in {file.name}"
            name = f"{resource['resourceType']}/{resource['id']}"
            assert name not in found, f"{name} twice"
            found[name] = resource
    return found


def run(*command):
    environment = os.environ | {"SSL_CERT_FILE": str(options.keys / "ca.pem"), "COLUMNS": "200", "NO_COLOR": "1"}
    done = subprocess.run([str(part) for part in command], env=environment, capture_output=True, text=True, timeout=1200)
    if done.returncode:
        raise SystemExit(f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def compare(what, folder, wanted, types):
    wanted = {name: one for name, one in wanted.items() if types is None or one["resourceType"] in types}
    found = exported(folder)
    less, more = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    assert not less and not more, f"{what}: {len(less)} missing, such as {less[:5]}; {len(more)} too many, such as {more[:5]}"
    other = [name for name in wanted if wanted[name] != found[name]]
    assert not other, f"{what}: other content than by $everything: {other[:5]}"
    assert not list(folder.glob("error/*")), f"{what}: the manifest has errors"
    print(f"{what}: {len(found)} resources of {len({one['resourceType'] for one in found.values()})} types, as by $everything")


shutil.rmtree(options.work, ignore_errors=True)
options.work.mkdir(parents=True)
# smart-fetch takes a set of keys whose name ends so, and in it the first key that says it signs.
keys = json.loads((options.keys / "partner-jwks.json").read_text())
for key in keys["keys"]:
    key["key_ops"] = ["sign"]
    key.pop("use", None)
jwks = options.work / "client.jwks"
jwks.write_text(json.dumps(keys))

groups, answers = bulk.match(options.base, options.keys, request())
group = next(one["id"] for one in groups if one["code"]["coding"][0]["code"] == "match")
ids = [patient["id"] for patient in stored("Patient")[: MATCHED + OTHERS]]
assert [answers[one] for one in ids[:MATCHED]] == [("match", f"Patient/{one}") for one in ids[:MATCHED]], answers
assert all(answers[one] == ("nomatch", None) for one in ids[MATCHED:]), answers
record = {}
with bulk.session(options.base, options.keys, "system/*.rs") as reader:
    for one in ids[:MATCHED]:
        record |= bulk.everything(reader, options.base, one)
types = sorted({one["resourceType"] for one in record.values()})
print(f"matched {MATCHED} of {len(ids)} members: {len(record)} resources")

python = options.clients / "bin" / "python"
login = ["--smart-client-id", "new-payer", "--smart-key", jwks]
# smart-fetch asks for the types of its own list.
own = ["smart-fetch", "bulk", "--fhir-url", options.base, *login, "--no-compression", "--no-default-filters"]
out = options.work / "smart-fetch-group"
run(options.clients / "bin" / own[0], *own[1:], "--group", group, out)
fetched = {name.split("/")[0] for name in exported(out)}
asked = set(json.loads(next(iter((out / "log.ndjson").open())))["eventDetail"]["requestParameters"]["_type"].split(","))
assert fetched <= asked and len(fetched) > 8, fetched
compare("smart-fetch, group", out, record, asked)
for client in ("smart-fetch", "cumulus-etl"):
    for level, url in (("group", f"{options.base}/Group/{group}"), ("all members", f"{options.base}/Patient")):
        out = options.work / f"{client}-{level.split()[0]}-all-types"
        out.mkdir()
        script = pathlib.Path(__file__).with_name("bulk_export.py")
        run(python, script, "--client", client, "--url", url, "--base", options.base, *login, "--out", out, "--type", *types)
        compare(f"{client}, {level}, all types", out, record, None)

with bulk.session(options.base, options.keys, "system/*.rs") as reader:
    answer = reader.get(f"{options.base}/Group/{group}", timeout=180)
    assert answer.status_code == 200 and len(answer.json()["member"]) == MATCHED, answer.text
