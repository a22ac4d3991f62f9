"""Bulk jobs of a payer as a partner sees them: a match of many members, and the lines of the files that a job leaves."""
import json
import time

import requests

import smart

MATCH = "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/BulkMemberMatch"
SENT = "/base-ext-match-parameters"
# Seconds that a job of a test may take.
LONGEST = 600


def session(base, keys, scope):
    """A session with a token for this scope."""
    made = requests.Session()
    # Settings of the machine would come before those of the session.
    made.trust_env = False
    made.headers["Authorization"] = "Bearer " + smart.token(base, keys, scope)
    for name, value in smart.tls(keys).items():
        if name != "timeout":
            setattr(made, name, value)
    return made


def manifest(caller, begun):
    """Waits until the job that `begun` began has ended; its status address and its manifest."""
    assert begun.status_code == 202, begun.text
    status = begun.headers["Content-Location"]
    started = time.monotonic()
    while True:
        answer = caller.get(status, timeout=180)
        if answer.status_code == 200:
            return status, answer.json()
        assert answer.status_code == 202, answer.text
        assert time.monotonic() - started < LONGEST, f"still 202 after {LONGEST} s: {answer.headers['X-Progress']}"
        time.sleep(int(answer.headers["Retry-After"]) / 4)


def lines(caller, files, kind):
    """The resources in the files of this type."""
    found = []
    for file in files:
        if file["type"] != kind:
            continue
        answer = caller.get(file["url"], timeout=180)
        assert answer.status_code == 200, answer.text
        found.extend(json.loads(line) for line in answer.text.splitlines())
    return found


def match(base, keys, body):
    """Sends a `$bulk-member-match` body. Gives the Groups, and for each Patient that was sent the Group's code and the Patient here."""
    with session(base, keys, f"system/*.rs {MATCH}") as caller:
        headers = {"Content-Type": "application/fhir+json", "Prefer": "respond-async"}
        begun = caller.post(f"{base}/Group/$bulk-member-match", data=body, headers=headers, timeout=180)
        status, result = manifest(caller, begun)
        groups = lines(caller, result["output"], "Group")
        assert caller.delete(status, timeout=180).status_code == 202
    answers = {}
    for group in groups:
        code = group["code"]["coding"][0]["code"]
        for member in group.get("member", []):
            entity = member["entity"]
            here = entity["reference"] if entity["reference"].startswith("Patient/") else None
            for extension in entity["extension"]:
                if extension["url"].endswith(SENT):
                    sent = extension["valueReference"]["reference"].removeprefix("#")
                    assert sent not in answers, f"{sent} is in two groups"
                    answers[sent] = (code, here)
    return groups, answers


def everything(caller, base, patient):
    """What `$everything` gives of a member, by type and id."""
    record, url = {}, f"{base}/Patient/{patient}/$everything"
    while url:
        answer = caller.get(url, timeout=180)
        assert answer.status_code == 200, answer.text
        bundle = answer.json()
        for entry in bundle["entry"]:
            resource = entry["resource"]
            record[f"{resource['resourceType']}/{resource['id']}"] = resource
        url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
    return record
