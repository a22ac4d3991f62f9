"""Causeway asks a payer that is none of ours, HAPI's plain FHIR server behind mutual TLS, and then another Causeway; the records are compared.

What comes must be what the other side holds, resource by resource; kept as it came; with its Provenances and ours; and a second run must
change nothing. What of the flow HAPI plays itself, and what was added to it for this, is in docs/contributors/foreign.md.
"""

import argparse
import collections
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import requests

from payer import NEW, OLD, Payer, members
from received import Received, everything, parsed

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "clients"))
import smart  # noqa: E402

# What searches by member ask for. HAPI's server refuses a search for several ids, so what a record refers to comes by reads.
SEARCHED = {"Patient", "Coverage", "AllergyIntolerance", "CarePlan", "CareTeam", "Condition", "Device", "DiagnosticReport", "DocumentReference",
            "Encounter", "ExplanationOfBenefit", "Goal", "Immunization", "Media", "MedicationDispense", "MedicationRequest", "Observation",
            "Procedure", "QuestionnaireResponse", "RelatedPerson", "ServiceRequest", "Specimen"}
# The steps of every exchange that call the partner. What `find_partner` found is remembered, so only the first one must ask.
CALLS = ("token", "member_match", "member_token", "retrieve")
OURS_TO_SET = {"versionId", "lastUpdated"}


def references(value):
    """The references within a resource."""
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        value = value.values()
    elif not isinstance(value, list):
        return
    for one in value:
        yield from references(one)


SHARED = {"Organization", "Practitioner", "PractitionerRole", "Location", "Endpoint", "Medication"}


def beside(held, names):
    """The names of what these refer to and nobody owns, and of what that refers to."""
    found, todo = set(), names
    while todo:
        todo = {name for one in todo for name in references(held[one]) if name in held and name.split("/")[0] in SHARED} - found - names
        found |= todo
    return found


def record(held, patient):
    """The names of what belongs to a member, of what that refers to, and of the Provenances of all that."""
    found = {name for name, one in held.items()
             if one["resourceType"] not in SHARED | {"Patient", "Provenance"} and patient in references(one)} | {patient}
    found |= beside(held, found)
    return found | {name for name, one in held.items() if one["resourceType"] == "Provenance" and found & targets(one)}


def targets(provenance):
    return {target["reference"] for target in provenance["target"]}


MASKED = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}]}


class Other:
    """The other payer's server, read by a client of its own."""

    def __init__(self, base, keys, scope):
        self.base, self.session = base, requests.Session()
        settings = smart.tls(keys)
        self.session.trust_env = False
        self.session.cert, self.session.verify = settings["cert"], settings["verify"]
        self.session.headers["Authorization"] = "Bearer " + smart.token(base, keys, scope)

    def get(self, path):
        answer = self.session.get(f"{self.base}/{path}", timeout=180)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:500]}"
        return parsed(answer.content)


def guarded(base, keys):
    """Whether a server turns away a client without a certificate, and one without a token."""
    settings = smart.tls(keys)
    session = requests.Session()
    session.trust_env, session.verify = False, settings["verify"]
    try:
        session.get(f"{base}/metadata", timeout=120)
        return False
    except requests.exceptions.ConnectionError:
        session.cert = settings["cert"]
    return session.get(f"{base}/Patient?_id=x", timeout=120).status_code == 401


class Pairs:
    """Which name here stands for which of theirs: one for one."""

    def __init__(self, ours, theirs):
        self.of_ours, self.of_theirs = {ours: theirs}, {theirs: ours}

    def pair(self, ours, theirs):
        return self.of_ours.setdefault(ours, theirs) == theirs and self.of_theirs.setdefault(theirs, ours) == ours

    def differ(self, ours, theirs, at):
        """The place where two resources differ once names are mapped back; `None` when they do not."""
        if isinstance(theirs, dict) and isinstance(ours, dict):
            here, there = ({name for name in one if not (at.endswith(".meta") and name in OURS_TO_SET)} for one in (ours, theirs))
            if here != there:
                return f"{at}: {sorted(here ^ there)}"
            return next((found for name in here if (found := self.differ(ours[name], theirs[name], f"{at}.{name}"))), None)
        if isinstance(theirs, list) and isinstance(ours, list):
            if len(ours) != len(theirs):
                return f"{at}: {len(ours)} of {len(theirs)}"
            return next((found for one, other in zip(ours, theirs) if (found := self.differ(one, other, at))), None)
        if at.endswith(".reference") and "/px." in str(ours) or ours in self.of_ours:
            return None if self.pair(ours, theirs) else f"{at}: {ours} is not {theirs}"
        return None if ours == theirs else f"{at}: {ours!r} is not {theirs!r}"


def compare(new, exchange, our_patient, their_patient, wanted):
    """Compares what an exchange brought with what the other side holds: `wanted`, resources by name. Returns counts by type."""
    received = Received(new, exchange)
    rows = received.rows()
    came = [row for row in rows if row["original"]]
    assert {row["outcome"] for row in came} <= {"stored", "unchanged", "held"}, collections.Counter((row["outcome"], row["reason"]) for row in came)
    names = {f"{row['type']}/{row['original']['id']}" for row in came}
    assert names == set(wanted), f"missing: {sorted(set(wanted) - names)}, too much: {sorted(names - set(wanted))}"
    pairs = Pairs(our_patient, their_patient)
    for row in came:
        theirs = f"{row['type']}/{row['original']['id']}"
        assert row["original"] == wanted[theirs], f"{theirs} was not kept as it came"
        assert row["type"] == "Patient" or pairs.pair(f"{row['type']}/{row['id']}", theirs), theirs
    for row in came:
        theirs = f"{row['type']}/{row['original']['id']}"
        if row["type"] == "Patient":
            assert row["outcome"] == "held" and received.stored("Patient", row["id"]) is None, "another payer's Patient is none of ours"
            continue
        ours = received.stored(row["type"], row["id"])
        other = wanted[theirs]
        if row["type"] == "Provenance":
            # It is stored with those targets that are stored; the original has all.
            other = other | {"target": [one for one in other["target"] if one["reference"] in names]}
        if row["type"] == "ExplanationOfBenefit" and "total" in other:
            # R4 requires the amount of a total, and payers take it out: one that says so stands for it here.
            other = other | {"total": [{"amount": MASKED} | one for one in other["total"]]}
        found = pairs.differ(ours | {"id": other["id"]}, other, row["type"])
        assert found is None, f"{theirs}: {found}"
    brought = {f"{row['type']}/{row['id']}" for row in came if row["outcome"] == "stored" and row["type"] != "Provenance"}
    provenance(received, [row for row in rows if not row["original"]], brought)
    return collections.Counter(name.split("/")[0] for name in names)


def planted(new, exchange, our_patient, their_patient, wanted):
    """A comparison that cannot fail says nothing: one too many, one too few, and one that was changed must be noticed."""
    name = next(name for name in wanted if name.startswith("Observation/"))
    for other in (wanted | {"Observation/none": wanted[name]}, {one: wanted[one] for one in wanted if one != name},
                  wanted | {name: wanted[name] | {"status": "cancelled"}}):
        try:
            compare(new, exchange, our_patient, their_patient, other)
        except AssertionError:
            continue
        raise SystemExit("the comparison did not notice a planted difference")


def provenance(received, made, brought):
    """Each stored resource has a Provenance that says that it is in our custody now, and from whom it came."""
    covered = set()
    for row in made:
        ours = received.stored(row["type"], row["id"])
        assert ours["agent"][0]["type"]["coding"][0]["code"] == "custodian" and ours["entity"][0]["what"]["display"] == "Old Payer", ours
        covered |= targets(ours)
    assert brought <= covered, f"without a Provenance of ours: {sorted(brought - covered)}"


def ask_all(new, persons):
    """Runs an exchange for each person at once; returns their ids, with what is shown of them when they have ended."""
    started = [new.ask(number, person) for number, person in enumerate(persons)]
    shown = [new.ended(exchange) for exchange in started]
    for one in shown:
        ended = {"phase": "completed", "identity_state": "matched", "consent_state": "permitted", "delivery_state": "acknowledged",
                 "audit_state": "complete", "reason": None, "missing": []}
        assert {name: one[name] for name in ended} == ended, f"{one}\n{new.log()}"
        assert one["counts"]["quarantined"] == 0, one["counts"]
    return started, shown


def again(new, persons, first):
    """A second run of the same: another exchange each, and no resource changes. A Causeway says of each grant anew that it transmits."""
    before = everything(new)
    started, shown = ask_all(new, persons)
    assert not set(started) & set(first)
    told = set()
    for exchange in started:
        rows = Received(new, exchange).rows()
        told |= {(row["type"], row["id"]) for row in rows if row["original"] and is_transmitter(row["original"])}
    after = everything(new)
    assert before <= after and {one[:2] for one in after - before} <= told, sorted(after ^ before)[:5]
    assert sum(one["counts"]["stored"] for one in shown) == len(after - before), shown


def is_transmitter(resource):
    return resource["resourceType"] == "Provenance" and resource["id"].startswith("tx.")


class Foreign:
    """HAPI's server as a process."""

    def __init__(self, options, folder, way):
        self.log = folder / "requests.log"
        command = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{options.classes}:{options.classpath.read_text().strip()}", "ForeignPayer",
                   f"members={folder.parent / 'members'}", f"keys={options.keys}", f"log={self.log}", *way]
        # Its standard input is what keeps it alive: it ends with this script, however that ends.
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.base = self.process.stdout.readline().strip()
        assert self.base, "the foreign server did not start"

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=120)

    def asked(self, part):
        return sum(part in line for line in self.log.read_text().splitlines())


def against_hapi(options, held, persons, offered):
    """One run: HAPI offers `$everything` and speaks the newer HRex, or offers searches alone and speaks the older one."""
    folder = options.work / ("everything" if offered else "searches")
    folder.mkdir()
    hrex = "1.1" if offered else "1.0"
    foreign = Foreign(options, folder, [f"everything={'yes' if offered else 'no'}", f"hrex={hrex}"])
    new = Payer(options.causeway, folder / "new-payer", options.keys, "1992000020", NEW, asks=True)
    try:
        assert guarded(foreign.base, options.keys)
        new.old_payer(foreign.base, f'{{ hrex = "{hrex}", pdex = "2.2", us_core = "6.1.0" }}')
        new.enrol(persons)
        new.serve()
        exchanges, shown = ask_all(new, persons)
        other = Other(foreign.base, options.keys, "system/*.rs" if offered else "system/*.read")
        total = 0
        for number, person in enumerate(persons):
            patient = f"Patient/{person['id']}"
            names = record(held, patient)
            if not offered:
                names = {name for name in names if name.split("/")[0] in SEARCHED}
                names |= {name for name, one in held.items() if one["resourceType"] == "Provenance" and names & targets(one)}
                # A read brings no Provenance.
                names |= beside(held, names)
            sides = (new, exchanges[number], f"Patient/our-{number}", patient, {name: other.get(name) for name in names})
            total += sum(compare(*sides).values())
            planted(*sides)
        steps = {step["step"]: step for step in shown[0]["steps"]}
        assert all(steps[name]["http_status"] == 200 for name in CALLS), steps
        assert all(steps[name]["partner_request_id"] for name in ("find_partner", "member_match", "retrieve")), steps
        assert foreign.asked("_getpages=") >= 2 and foreign.asked(" 410") == 1
        assert foreign.asked("/$everything") == (len(persons) + 1 if offered else 0), "where a page was lost, it began anew"
        assert foreign.asked("/Patient/_search") == (0 if offered else len(persons)), "HRex 1.0 tells an identifier, and the id is asked for"
        again(new, persons, exchanges)
        way = "$everything" if offered else "searches"
        print(f"HAPI by {way}: {total} resources of {len(persons)} members in {foreign.asked('_getpages=')} further pages")
    finally:
        new.stop()
        foreign.stop()


def against_causeway(options, held, persons):
    """The other payer is Causeway too: what it says it gave is what came, by content and by count."""
    folder = options.work / "causeway"
    old = Payer(options.causeway, folder / "old-payer", options.keys, "1992000012", OLD)
    new = Payer(options.causeway, folder / "new-payer", options.keys, "1992000020", NEW, asks=True)
    try:
        old.partner((options.keys / "partner.toml").read_text().replace("partner-jwks-public.json", f"{options.keys}/partner-jwks-public.json"))
        old.run("import", str(options.work / "members"), "--quiet")
        old.serve()
        new.old_payer(old.base, '{ hrex = "1.1", pdex = "2.2", us_core = "6.1.0" }')
        new.enrol(persons)
        new.serve()
        exchanges, shown = ask_all(new, persons)
        other = Other(old.base, options.keys, "system/*.rs")
        total = 0
        for number, person in enumerate(persons):
            patient = f"Patient/{person['id']}"
            theirs = old.json("disclosures", "--member", patient)
            bundle = other.get(f"{patient}/$everything")
            wanted = {f"{one['resource']['resourceType']}/{one['resource']['id']}": one["resource"] for one in bundle["entry"]}
            counts = compare(new, exchanges[number], f"Patient/our-{number}", patient, wanted)
            total += sum(counts.values())
            # The old payer has on record what it gave, and gave all that it may.
            assert len(theirs) == 1 and theirs[0]["outcome"] == "completed" and theirs[0]["resources"] == counts, (theirs, counts)
            assert theirs[0]["bytes"] == shown[number]["counts"]["bytes"]
            held_back = {f"{one['type']}/{one['id']}" for one in old.json("records", "withheld", "--member", patient)["items"]}
            whole = record(held, patient)
            assert whole - set(wanted) <= held_back, sorted(whole - set(wanted) - held_back)
            assert all(is_transmitter(wanted[name]) for name in set(wanted) - whole), sorted(set(wanted) - whole)
            steps = {step["step"]: step for step in shown[number]["steps"]}
            assert all(steps[name]["http_status"] == 200 and steps[name]["partner_request_id"] for name in CALLS), steps
        again(new, persons, exchanges)
        print(f"Causeway: {total} resources of {len(persons)} members")
    finally:
        new.stop()
        old.stop()


def main():
    parser = argparse.ArgumentParser()
    for name in ("causeway", "keys", "classes", "classpath", "work"):
        parser.add_argument(f"--{name}", required=True, type=pathlib.Path)
    options = parser.parse_args()
    for name, value in vars(options).items():
        setattr(options, name, value.resolve())
    # The servers end with this script, also when it is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    held = members(options.causeway, options.work / "members", 12)
    persons = [one for one in held.values() if one["resourceType"] == "Patient"]
    showcase = next(one for one in persons if one["id"].startswith("showcase"))
    persons = [showcase, *[one for one in persons if one is not showcase][:2]]
    for run in (lambda: against_hapi(options, held, persons, True), lambda: against_hapi(options, held, persons, False),
                lambda: against_causeway(options, held, persons)):
        began = time.monotonic()
        run()
        print(f"  {time.monotonic() - began:.1f} s")


main()
