#!/usr/bin/env python3
"""Makes the stores of an older program that tests/it/old_store.rs opens: a few members, a match, a refusal that opened a review, a
read record, all in one SQL text.

    tests/old-store/make.py --causeway PROGRAM --store postgres://… --out tests/old-store/postgres.sql.gz
    tests/old-store/make.py --causeway PROGRAM --out tests/old-store/sqlite.sql.gz

PROGRAM is the release build of the older commit; both files here were made by commit 9cb75f9. Needs Python 3.11, `openssl`, and
`pg_dump` of the server's version for PostgreSQL. `kept.json` is the match that was made and what came of it; members come
from the same seed, so it is the same for both stores.
"""

import argparse
import gzip
import json
import pathlib
import sqlite3
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import soak  # noqa: E402

# The consent outlives every run of the test.
FAR = {"start": "2026-01-01", "end": "2090-12-31"}


def request(partner, member):
    """A match request whose consent is still good in many years."""
    body = partner.request(*member)
    consent = next(one["resource"] for one in body["parameter"] if one["name"] == "Consent")
    consent["provision"]["period"] = FAR
    return body


def ask(partner, body, correlation):
    headers = partner.bearer(**{"Content-Type": "application/fhir+json", "X-Correlation-Id": correlation})
    return partner.ask("POST", "/fhir/Patient/$member-match", json.dumps(body), headers)


def play(payer):
    """What the older program is asked for; gives the match that must be kept."""
    payer.command("synth", "--members", "6", "--resources-per-member", "8", "--twins", "--out", "members", "--quiet")
    payer.command("import", "members", "--quiet")
    lines = lambda kind: [json.loads(line) for line in (payer.home / "members" / f"{kind}.ndjson").open()]
    cards = {one["beneficiary"]["reference"]: one for one in lines("Coverage")}
    members = [(one, cards[f"Patient/{one['id']}"]) for one in lines("Patient") if f"Patient/{one['id']}" in cards]
    partner = soak.Partner(payer, "steady-payer", "1992000020", True, "127.0.0.1")
    payer.serve()
    matched = request(partner, members[0])
    status, answer = ask(partner, matched, "old-match")
    assert status == 200, answer
    parts = {one["name"]: one for one in json.loads(answer)["parameter"]}
    patient = parts["MemberId"]["valueReference"]["reference"]
    status, record = partner.ask("GET", f"/fhir/{patient}/$everything", None, partner.bearer())
    assert status == 200, record
    # Another's name on a member's card: refused, and a person is to look at it.
    doubtful = request(partner, members[1])
    whom = doubtful["parameter"][0]["resource"]
    whom["name"][0]["given"] = members[2][0]["name"][0]["given"]
    status, answer = ask(partner, doubtful, "old-doubt")
    assert status == 422, answer
    partner.close()
    assert payer.stop() == 0
    entries = sorted({one["fullUrl"].rsplit("/fhir/", 1)[-1] for one in json.loads(record)["entry"]})
    return {"request": matched, "patient": patient, "entries": entries}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--causeway", required=True)
    parser.add_argument("--store")
    parser.add_argument("--folder")
    parser.add_argument("--out", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    payer = soak.Payer(arguments)
    kept = play(payer)
    if arguments.store:
        done = subprocess.run(["pg_dump", "--inserts", "--no-owner", "--no-privileges", arguments.store], capture_output=True, text=True, check=True)
        # What only psql understands, and what would leave the session without a search path.
        text = "\n".join(line for line in done.stdout.splitlines() if not line.startswith(("\\", "--", "SET ", "SELECT pg_catalog.set_config")))
    else:
        text = "\n".join(sqlite3.connect(payer.home / "causeway.db").iterdump())
    arguments.out.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    (arguments.out.parent / "kept.json").write_text(json.dumps(kept, indent=1) + "\n")
    print(f"{arguments.out}: {len(text)} characters; {kept['patient']} with {len(kept['entries'])} resources")


if __name__ == "__main__":
    main()
