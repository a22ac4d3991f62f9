"""Posts a folder of $member-match bodies and compares each status and patient with its expected.tsv. Then sends all of them in one bulk match,
and the bodies of bulk matches that the folder has, and compares the group and patient of each member."""
import argparse
import csv
import json
import pathlib
import re

import requests

import bulk
import smart

parser = argparse.ArgumentParser()
parser.add_argument("--base", required=True)
parser.add_argument("--keys", required=True)
parser.add_argument("--bodies", required=True)
options = parser.parse_args()

bodies = pathlib.Path(options.bodies)
GROUPS = {"match": "MatchedMembers", "nomatch": "NonMatchedMembers", "consentconstraint": "ConsentConstrainedMembers"}
wrong, asked = [], 0


def rows(name):
    return list(csv.DictReader((bodies / name).open(), delimiter="\t"))


def say(right, *words):
    print("ok   " if right else "WRONG", *words)
    if not right:
        wrong.append(words[1])


def single(session, row):
    answer = session.post(
        f"{options.base}/Patient/$member-match", data=(bodies / row["file"]).read_bytes(), **smart.tls(options.keys)
    )
    # Where the note leaves 400 and 422 open, both are right.
    allowed = {400, 422} if "400 or 422" in row["note"] else {int(row["expected_status"])}
    right = answer.status_code in allowed
    if answer.status_code == 200:
        right = right and f"Patient/{row['expected_patient']}" in answer.text
    else:
        code = answer.json()["issue"][0]["details"]["coding"][0]["code"]
        row["note"] = f"{code}; {row['note']}"
    say(right, answer.status_code, row["file"], "-", row["note"])


with requests.Session() as session:
    session.headers["Authorization"] = "Bearer " + smart.token(options.base, options.keys, smart.MEMBER_MATCH)
    session.headers["Content-Type"] = "application/fhir+json"
    for row in rows("expected.tsv"):
        asked += 1
        single(session, row)



def together(names):
    """The single matches as members of one bulk match; the id of each Patient is the name of its file."""
    members = []
    for name in names:
        parts = json.loads((bodies / name).read_text())["parameter"]
        sent = next((part["resource"] for part in parts if part["name"] == "MemberPatient"), None)
        if sent:
            text = json.dumps(parts).replace(f"Patient/{sent['id']}\"", f"Patient/{pathlib.Path(name).stem}\"")
            parts = json.loads(text)
            next(part["resource"] for part in parts if part["name"] == "MemberPatient")["id"] = pathlib.Path(name).stem
        members.append({"name": "MemberBundle", "part": parts})
    return json.dumps({"resourceType": "Parameters", "parameter": members})


def group_of(row):
    """Where a member belongs whose single match has this answer."""
    if row["expected_status"] == "200":
        return "MatchedMembers"
    return "ConsentConstrainedMembers" if row["file"].startswith("consent-") else "NonMatchedMembers"


def judge(name, answers, wanted):
    """`wanted`: the id that was sent, the group and the Patient of each member, and a note."""
    global asked
    for sent, group, patient, note in wanted:
        asked += 1
        code, here = answers.pop(sent, (None, None))
        # A partner is told which Patient it is only of those that are matched.
        right = GROUPS.get(code) == group and here == (f"Patient/{patient}" if code == "match" else None)
        say(right, code, f"{name} {sent}", "-", note)
    if answers:
        wrong.append(f"{name}: {sorted(answers)} was not sent")


singles = rows("expected.tsv")
_, answers = bulk.match(options.base, options.keys, together(row["file"] for row in singles))
# Without a Patient there is nothing to put into a group.
singles = [row for row in singles if row["file"] != "bad-missing-memberpatient.json"]
wanted = [(pathlib.Path(row["file"]).stem, group_of(row), row["expected_patient"], row["note"]) for row in singles]
judge("in one bulk match:", answers, wanted)

for file in sorted(bodies.glob("bulk-member-match-in-*.json")):
    number = re.search(r"(\d+)\.json$", file.name)[1]
    _, answers = bulk.match(options.base, options.keys, file.read_bytes())
    columns = ("member_patient_id", "expected_group", "expected_patient", "note")
    judge(file.name, answers, [tuple(row[column] for column in columns) for row in rows(f"bulk-expected-{number}.tsv")])

print(f"{asked - len(wrong)} of {asked} as expected")
if wrong:
    raise SystemExit("not as expected: " + ", ".join(wrong))
