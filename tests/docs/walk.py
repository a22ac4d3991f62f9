#!/usr/bin/env python3
"""Walks the pages with their own words: every command and program is taken from the page and run.

    tests/docs/walk.py --causeway target/release/causeway [--page NAME]

`docs/partners/onboarding.md`: registration, token, match and record, with the server of "A server to practice with".
`docs/partners/consent.md`: every row of its tables of refusals. `docs/partners/certificates-and-assertions.md`: the programs in all languages but
C#. `desk`: the pages for operators, auditors and reviewers. `postgresql`, `sqlite`: from nothing to a restored backup.
`docs/operators/certificates.md`: authority, list, renewal, revocation. `docs/quickstart.md`: all of it, against `causeway demo`.
Commands that stand in sentences and tables are parsed by the program, not run (`mentioned.py`).
It needs openssl, curl, jq, xxd, Node.js, Java, Ruby and Bash, and Python with PyJWT, cryptography and requests. Ports of the pages are replaced by free ones, but
those of the demo.
"""

import argparse
import copy
import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

import desk
import mentioned
import operators
from place import RAN, ROOT, Place, commands, dead_links, fenced, listed, page, part, practice, serve, with_ports, written

def onboarding(place):
    ported, _ = practice(place)
    text = page("docs/partners/onboarding.md")
    prelude = ported(commands(part(text, "## 2. ", "## 4. "), "MATCH=", "READ=", "c()", "base="))
    assert "token_endpoint" in place.bash(ported(commands(part(text, "## 2. ", "## 3. "), "curl")))
    matched = json.loads(place.bash(prelude + "\n" + commands(part(text, "## 3. ", "## 4. "), "c -H")))
    assert [one["name"] for one in matched["parameter"]] == ["MemberIdentifier", "MemberId"], matched
    patient = matched["parameter"][1]["valueReference"]["reference"]
    letter = fenced(part(text, "## A server to practice with"), "json", "letter-text").replace("Patient/PATIENT", patient)
    (place.folder / "letter.ndjson").write_text(letter)
    place.bash("causeway import letter.ndjson")
    reads = commands(part(text, "## 4. ", "## 5. "), "c -").replace("Patient/68865e81-…", patient)
    told = place.bash(prelude + "\n" + reads)
    said = int(re.search(r"Here it has (\d+) entries", text)[1])
    assert len(json.loads((place.folder / "record.json").read_text())["entry"]) == said
    assert "Hello, next payer." in told and '"resourceType":"ExplanationOfBenefit"' in told, told
    tasks = json.loads(place.bash(prelude + "\n" + commands(page("docs/partners/tasks.md"), "c -H \"Authorization: Bearer $READ\" \"$base/Task?_count")))
    task = tasks["entry"][0]["resource"]
    assert (task["status"], task["for"]["reference"]) == ("in-progress", patient), task
    others = commands(page("docs/partners/tasks.md"), "c -").splitlines()[1:]
    others = "; echo;\n".join(others).replace("01a21bf9-…", task["id"]).replace("01a21bf8-…", task["identifier"][0]["value"])
    one, *found = [json.loads(line) for line in place.bash(prelude + "\n" + others).splitlines()]
    assert one == task and all(len(each["entry"]) == 1 for each in found), (one, found)
    export = commands(page("docs/partners/bulk.md"), "c -D", "status=", "until ", "for url", "c -H", "digest=", "[ ", "c -X")
    place.bash(prelude + "\n" + export)
    files = json.loads((place.folder / "manifest.json").read_text())["output"]
    assert {one["type"] for one in files} == {"Patient", "Coverage"}, files
    assert all((place.folder / (one["url"].rsplit("/", 1)[1] + ".ndjson")).read_text().count("\n") == one["count"] for one in files), files
    cut = commands(part(text, "1. **The body is cut off**", "2. **No token**"), "   c -H").strip()
    refused = json.loads(place.bash(prelude + "\n" + cut))
    assert refused["issue"][0]["details"]["coding"][0]["code"] == "RQ-001", refused


def changes():
    """What each row of the consent page changes in the match request: the Consent first, then the whole request."""
    def actor(consent, index):
        return consent["provision"]["actor"][index]["reference"]["identifier"]

    def put(*path, to):
        def change(consent, _):
            for step in path[:-1]:
                consent = consent[step]
            if to is None:
                del consent[path[-1]]
            else:
                consent[path[-1]] = to
        return change

    access = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentaction", "code": "access"}]}
    regular = "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#regular"
    return {
        "no Consent": lambda _, request: request["parameter"].pop(3),
        "two Consents": lambda _, request: request["parameter"].append(copy.deepcopy(request["parameter"][3])),
        "no `patient`": put("patient", to=None),
        "no `performer`": put("performer", to=None),
        "two performers": lambda consent, _: consent["performer"].append(consent["performer"][0]),
        "no `sourceReference`": put("sourceReference", to=None),
        "`sourceReference` to a Patient": put("sourceReference", to={"reference": "Patient/member"}),
        "no `policy`": put("policy", to=None),
        "no `provision.type`": put("provision", "type", to=None),
        "no period": put("provision", "period", to=None),
        "a period without `start` or `end`": put("provision", "period", "end", to=None),
        "a period that ends before it starts": put("provision", "period", to={"start": "2027-01-01", "end": "2026-01-01"}),
        "one actor only": lambda consent, _: consent["provision"]["actor"].pop(),
        "two actions": lambda consent, _: consent["provision"]["action"].append(access),
        "a modifier extension": put("modifierExtension", to=[{"url": "http://example.org/x", "valueBoolean": True}]),
        "`patient` refers": put("patient", to={"reference": "Patient/other"}),
        "`performer` is a Practitioner": put("performer", to=[{"reference": "Practitioner/x"}]),
        "the actor IRCP": lambda consent, _: actor(consent, 1).update(value="1992000046"),
        "the actor performer": lambda consent, _: actor(consent, 0).update(value="1992000046"),
        "`status` is": put("status", to="inactive"),
        "the scope is": put("scope", "coding", 0, "code", to="research"),
        "the category is": put("category", 0, "coding", 0, "code", to="INFA"),
        "`provision.type` is `deny`": put("provision", "type", to="deny"),
        "the action is": put("provision", "action", to=[access]),
        "`provision` has": put("provision", "dataPeriod", to={"start": "2020-01-01"}),
        "two policies": lambda consent, _: consent["policy"].append({"uri": regular}),
        "the policy is another URI": put("policy", 0, "uri", to="http://example.org/policy"),
        "the period begins in the future": put("provision", "period", to={"start": "2999-01-01", "end": "2999-02-01"}),
        "the period ended": put("provision", "period", to={"start": "2025-01-01", "end": "2025-06-30"}),
    }


def consent(place):
    ported, match = practice(place)
    text = page("docs/partners/onboarding.md")
    prelude = ported(commands(part(text, "## 2. ", "## 4. "), "MATCH=", "c()", "base="))
    rows = re.findall(r"^\| (.+?) \| `((?:MM|CO)-\d{3})` \| (.+?) \| (?:`(.+?)`)? ?\|$", page("docs/partners/consent.md"), re.M)
    told = [row for row in rows if row[1] != "CO-001"]
    known = changes()
    asked = {}
    for what, code, diagnostics, element in told:
        name = next((name for name in known if what.startswith(name)), None)
        assert name, f"consent.md has a row that this walk does not know: {what}"
        request = copy.deepcopy(match)
        known.pop(name)(request["parameter"][3]["resource"], request)
        asked[what] = (code, diagnostics, element)
        (place.folder / f"{len(asked)}.json").write_text(json.dumps(request))
    assert not known, f"consent.md lacks rows: {sorted(known)}"
    ask = 'for n in $(seq {0}); do c -H "Authorization: Bearer $MATCH" -H "Content-Type: application/fhir+json" -d @$n.json "$base/Patient/\\$member-match"; echo; done'
    answers = place.bash(prelude + "\n" + ask.format(len(asked))).splitlines()
    for (what, (code, diagnostics, element)), answer in zip(asked.items(), answers, strict=True):
        issue = json.loads(answer)["issue"][0]
        assert issue["details"]["coding"][0]["code"] == code, (what, issue)
        assert issue["diagnostics"] == diagnostics, (what, issue)
        assert not element or f"Parameters.parameter[3].resource{element}" in issue["expression"], (what, issue)
    print(f"consent: {len(asked)} rows")


def certificates(place):
    ported, _ = practice(place)
    text = page("docs/partners/certificates-and-assertions.md")
    for language, name in [("bash", "token.sh"), ("javascript", "token.mjs"), ("java", "Token.java"), ("ruby", "token.rb")]:
        (place.folder / name).write_text(ported(fenced(text, language, name)), encoding="utf-8")
    place.bash(commands(text, "openssl x509 -in", "openssl pkcs12"))
    place.bash(ported(commands(text, "openssl s_client")))
    (place.folder / "jwks.py").write_text(fenced(text, "python", "# jwks.py"), encoding="utf-8")
    place.bash("cp new-payer-jwks.json first.json; python jwks.py; diff <(jq -S . first.json) <(jq -S . new-payer-jwks.json)")
    for run in ["bash token.sh", "python get_token.py", "node token.mjs", "java Token.java", "ruby token.rb"]:
        assert f"    {run} 'system/*.rs'" in text, run
        token = place.bash(f"{run} 'system/*.rs'").strip()
        RAN.add(f"{run} 'system/*.rs'")
        assert re.search(r"[A-Za-z0-9_-]{43}", token) and "error" not in token, (run, token)


def revocation(place):
    """The authority, its list, a renewal and a revocation, as `docs/operators/certificates.md` has them."""
    ported, _ = practice(place)
    text = page("docs/operators/certificates.md")
    (place.folder / "ca.cnf").write_text(fenced(text, "ini"))
    made = part(text, "It needs some files", "## Renew it")
    place.bash(commands(made, "touch", "echo 1000", "openssl ca", "openssl crl"))
    place.bash(commands(part(text, "## Renew it", "## Revoke"), "openssl ca", "[ $(date"))
    place.stop()
    config = (place.folder / "causeway.toml").read_text()
    (place.folder / "causeway.toml").write_text(config.replace("[payer]", 'client_crl = ["partners.crl"]\n[payer]'))
    ops = re.search(r'ops_listen = "(.*?)"', config)[1]
    place.start("serve", until=lambda: subprocess.run(["curl", "-sf", f"http://{ops}/ready"], capture_output=True).returncode == 0)
    place.bash("python get_token.py 'system/*.rs' | grep -v error")
    place.bash(commands(part(text, "## Renew the server's", "See what is served"), "openssl", "mv"))
    assert "serial=" in place.bash(ported(commands(text, "openssl s_client")))
    place.bash(commands(part(text, "## Revoke a certificate", "## Renew the server's"), "openssl ca"))
    base = ported("https://localhost:8443/fhir")
    for _ in range(120):
        time.sleep(1)
        cut = subprocess.run(["curl", "-sS", "--cacert", "partners-ca.pem", "--cert", "partner.pem", "--key", "partner.key", f"{base}/metadata"],
                             cwd=place.folder, env=place.environment, capture_output=True, text=True)
        if cut.returncode and "revoked" in cut.stderr:
            break
    assert cut.returncode != 0 and "revoked" in cut.stderr, cut.stderr


def quickstart(place):
    place.start("demo", until=lambda: "stays up" in (place.folder / "out").read_text())
    text = page("docs/quickstart.md")
    RAN.add("causeway demo")
    steps = commands(part(text, "## 2. ", "## Go on"), "d=", "base=", "TOKEN=", "c() ", "c ", "PATIENT=", "export ", "causeway ", "CONSENT=")
    told = place.bash(steps)
    for expected in ["MemberIdentifier", "1 CarePlan", "MM-005", "member-match.matched", "completed", "is withdrawn since", "RQ-015"]:
        assert expected in told, f"no {expected} in:\n{told}"


def account(all_ran):
    """What the pages say was not run: at most thirteen, each with its reason. After all walks, every other command was run."""
    missed, told = [], {}
    for path in written():
        name = path.relative_to(ROOT)
        text = path.read_text(encoding="utf-8")
        for mark in re.findall(r"^<!-- not-run: (.+?) -->", text, re.M | re.S):
            told[name, " ".join(mark.split())] = []
        for number, line, reason in listed(text):
            if reason:
                told[name, reason].append(line)
            elif line not in RAN:
                missed.append(f"{name}:{number}: {line}")
    for (name, reason), lines in told.items():
        print(f"not run: {name}: {len(lines)} commands: {reason}")
    assert len(told) <= 13, "more than thirteen"
    if all_ran:
        broken = dead_links()
        assert not broken, "links that lead nowhere:\n" + "\n".join(broken)
        assert not missed, "commands that nothing runs:\n" + "\n".join(missed)


def main():
    walks = {"onboarding": onboarding, "consent": consent, "certificates": certificates, "revocation": revocation, "quickstart": quickstart,
             "postgresql": operators.postgresql, "sqlite": operators.sqlite, "desk": desk.desk}
    parser = argparse.ArgumentParser()
    parser.add_argument("--causeway", required=True)
    parser.add_argument("--page", choices=walks, action="append")
    given = parser.parse_args()
    # An id with a port's digits once became another id.
    told = with_ports("https://localhost:8443/a 127.0.0.1:9443 4513-7574-9443-d1cb 8443 localhost:49443", "49443", "5")
    assert told == "https://localhost:49443/a 127.0.0.1:5 4513-7574-9443-d1cb 8443 localhost:49443", told
    for name in given.page or walks:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            place = Place(Path(folder), Path(given.causeway).resolve())
            try:
                walks[name](place)
            finally:
                place.stop()
        print(f"{name}: as the page says, {time.monotonic() - began:.0f} s", flush=True)
    count, wrong = mentioned.mentioned(given.causeway)
    print(f"mentioned: the program takes {count - len(wrong)} of {count} commands in sentences and tables")
    assert not wrong, "commands that the program refuses:\n" + "\n".join(wrong)
    account(not given.page)


main()
