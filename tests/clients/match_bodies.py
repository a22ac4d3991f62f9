"""Posts a folder of $member-match bodies and compares each status and patient with its expected.tsv."""
import argparse
import csv
import pathlib

import requests

import smart

parser = argparse.ArgumentParser()
parser.add_argument("--base", required=True)
parser.add_argument("--keys", required=True)
parser.add_argument("--bodies", required=True)
options = parser.parse_args()

bodies = pathlib.Path(options.bodies)
rows = list(csv.DictReader((bodies / "expected.tsv").open(), delimiter="\t"))
session = requests.Session()
session.headers["Authorization"] = "Bearer " + smart.token(options.base, options.keys, smart.MEMBER_MATCH)
session.headers["Content-Type"] = "application/fhir+json"
wrong = []
for row in rows:
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
    print("ok   " if right else "WRONG", answer.status_code, row["file"], "-", row["note"])
    if not right:
        wrong.append(row["file"])
print(f"{len(rows) - len(wrong)} of {len(rows)} as expected")
if wrong:
    raise SystemExit("not as expected: " + ", ".join(wrong))
