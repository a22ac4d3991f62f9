"""Searches the ledger of a running server as AuditEvents, and lays the first of each form in a folder, one file each, for the validator."""
import argparse
import json
import pathlib
import time

import requests

parser = argparse.ArgumentParser()
parser.add_argument("--ops", required=True)
parser.add_argument("--token", required=True, help="of the role auditor")
parser.add_argument("--out", required=True)
parser.add_argument("--name", required=True, help="with which the names of the files begin")
parser.add_argument("--wanted", nargs="+", default=[], help="profiles of which there must be some")
options = parser.parse_args()
out = pathlib.Path(options.out)
out.mkdir(parents=True, exist_ok=True)


def profiles(event):
    return [url.rsplit("/", 1)[1] for url in event["meta"].get("profile", [])]


def collected():
    """The first event of each form."""
    forms, url = {}, f"{options.ops}/ops/v1/fhir/AuditEvent"
    headers = {"Authorization": f"Bearer {options.token}", "X-Access-Reason": "a check of the form of events"}
    while url:
        answer = requests.get(url, headers=headers)
        assert answer.status_code == 200, f"{answer.status_code}: {answer.text[:400]}"
        bundle = answer.json()
        for event in (entry["resource"] for entry in bundle.get("entry", [])):
            codes = [coding["code"] for coding in event.get("subtype", [])]
            forms.setdefault((event["meta"]["tag"][0]["code"], event["outcome"], *profiles(event), *codes), event)
        url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
    return forms


def missing(forms):
    return set(options.wanted) - {name for event in forms.values() for name in profiles(event)}


# What was done last may be an entry a moment later.
until = time.monotonic() + 120
while missing(forms := collected()) and time.monotonic() < until:
    time.sleep(0.5)
for number, event in enumerate(forms.values()):
    (out / f"{options.name}-{number}.json").write_text(json.dumps(event))
assert not missing(forms), f"no AuditEvent of {', '.join(sorted(missing(forms)))}"
print(f"collected: {len(forms)} forms of AuditEvents of {options.name}")
