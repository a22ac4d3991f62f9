"""Runs every command of the pages for operators, reviewers, auditors and partners at one payer with a match, a record that was read and open reviews.

Ids of the pages are replaced by those of this payer, placeholders (ID, FILE, VERSION) by what they stand for.
"""

import copy
import json
import re

from place import RAN, ROOT, listed, page, part, commands, practice

PATIENT = re.compile(r"Patient/[0-9a-f]{8}-…")
CUT = r"[0-9a-f]{8}[0-9a-f-]*…"
# The kind of id that a command takes, by how it begins.
KINDS = [("causeway review", "review"), ("causeway consent", "consent"), ("causeway grant", "grant"), ("causeway match", "decision"), ("causeway policy replay", "decision"),
         ("causeway trace", "decision"), ("causeway audit packet", "decision"), ("causeway evidence case add", "decision"), ("causeway operator revoke", "token"), ("causeway link", "link"), ("curl", "consent")]
# What else a page's command stands for, and with which code it ends where that is not 0.
WORDS = {
    "[--kind KIND]": "", "[--partner P]…": "", "[--partner P]": "", "[--at TIME]": "", "rollback KIND": "rollback escalation", "--version VERSION": "--version balanced",
    "import FILE --kind KIND --name NAME": "import soon.policy --kind escalation --name soon", "compare VERSION": "compare balanced",
    "python3 conformance/": f"python3 {ROOT}/conformance/", "FOLDER FILE.ndjson.gz BUNDLE.json": "members", "import FOLDER": "import members", "./export": "members",
    "policy import FILE --name NAME [--point safe|balanced] --reason TEXT": "policy import ours.policy --name ours --reason tried",
    "diff VERSION [OTHER]": "diff balanced safe", "[VERSION]": "safe", "shadow VERSION": "shadow balanced", "activate VERSION": "activate safe",
    "--reason TEXT": "--reason tried", "[FILE]": "", "decide ID --confirm 1": "decide ID --confirm 1", "causeway match explain 01a2": "causeway match explain DECISION",
    "--no-showcase …": "--no-showcase --out more", "--twins --out members": "--twins --out sample",
    "--seed 7 --out members": "--seed 7 --out seven", "run … --suite pdex": "run --base-url URL --client client.toml --suite pdex",
    "run … --json | --junit FILE | --html FILE": "run --base-url URL --client client.toml --json", "https://fhir.old-payer.example/fhir": "URL",
}
CODES = {f"python3 {ROOT}/conformance/verify_ledger.py changed.tar": 1, "CAUSEWAY_LIMITS__BODY_BYTE=3": 2, "CAUSEWAY_LIMITS__BODY_BYTES=3": 2, "causeway partner add --file other.toml": 1,
         "causeway partner add --file new-payer.toml": 1, "causeway policy approve": 1, "causeway policy withdraw": 1, "causeway policy rollback": 1}


def whole(name):
    """The commands of a page, each with the lines that continue it."""
    lines = page(name).splitlines()
    at = {number: reason for number, _, reason in listed(page(name))}
    found, taken = [], 0
    for number in sorted(at):
        if at[number] or number <= taken:
            continue
        command, taken = lines[number - 1].lstrip(), number
        RAN.add(command)
        while command.endswith(("\\", "|")):
            taken += 1
            command += "\n" + lines[taken - 1].strip()
            RAN.add(lines[taken - 1].lstrip())
        if command.startswith("for "):
            while not command.endswith("done"):
                taken += 1
                command += "\n" + lines[taken - 1].strip()
                RAN.add(lines[taken - 1].lstrip())
        found.append(command)
    return found


class Desk:
    def __init__(self, place):
        self.place = place
        self.ported, self.match = practice(place)
        text = page("docs/partners/onboarding.md")
        self.prelude = self.ported(commands(part(text, "## 2. ", "## 4. "), "MATCH=", "READ=", "c()", "base="))
        config = (place.folder / "causeway.toml").read_text()
        self.ops = re.search(r'ops_listen = "(.*?)"', config)[1]
        self.url = re.search(r'base_url = "(.*?)"', config)[1]
        self.patient = self.ask(self.match, "case:7/a")["parameter"][1]["valueReference"]["reference"]
        self.place.bash(f'{self.prelude}\nc -f -H "Authorization: Bearer $READ" "$base/{self.patient}/\\$everything" -o record.json')
        for kind in "abc":
            doubtful = copy.deepcopy(self.match)
            doubtful["parameter"][0]["resource"]["birthDate"] = {"a": "2001-02-19", "b": "2002-02-19", "c": "2003-02-19"}[kind]
            self.ask(doubtful, f"case:9/{kind}")
        self.ask({"resourceType": "Parameters"}, "case:8/a")
        self.token = {role: self.place.bash(f"causeway operator token --role {role} --name ana --ttl 12h 2>/dev/null").split()[0]
                      for role in ["auditor", "operator"]}
        self.place.bash("printf 'escalation 1\\nautomatic_hours = 12\\n' > soon.policy; causeway policy show safe | sed -E 's,^(safe.(accept|thin|faint|renamed)) = .*,\\1 = 5000,' > ours.policy; sed 's,^id = .*,id = \"other\",' new-payer.toml > other.toml")
        self.client()

    def ask(self, request, correlation):
        (self.place.folder / "asked.json").write_text(json.dumps(request))
        send = (f'{self.prelude}\nc -H "Authorization: Bearer $MATCH" -H "Content-Type: application/fhir+json" -H "X-Correlation-Id: {correlation}" '
                '-d @asked.json "$base/Patient/\\$member-match"')
        return json.loads(self.place.bash(send))

    def renewed(self):
        """Another consent of the same member, and with it another grant."""
        renewed = copy.deepcopy(self.match)
        renewed["parameter"][3]["resource"]["sourceReference"] = {"reference": "http://example.org/DocumentReference/another"}
        answer = self.ask(renewed, "case:7/b")
        assert "parameter" in answer, answer

    def client(self):
        self.place.bash("cp new-payer-jwks.json public.json")
        match = self.place.folder / "match.json"
        (self.place.folder / "client.toml").write_text(
            'client_id = "new-payer"\njwks = "client-jwks.json"\ncertificate = "partner.pem"\nkey = "partner.key"\nca = "partners-ca.pem"\n'
            'scope = "system/*.rs"\nmatch_scope = "http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match"\n'
            f'[bodies]\nmatch = "{match.name}"\n')
        make = ("import json, jwt; key = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA384).prepare_key(open('signing.pem').read());"
                "one = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key)); one |= json.load(open('new-payer-jwks.json'))['keys'][0];"
                "json.dump({'keys': [one]}, open('client-jwks.json', 'w'))")
        self.place.bash(f'python -c "{make}"')

    def id(self, kind, command):
        listing = {"review": "review list", "consent": "consent list", "grant": "grant list", "decision": "match list", "token": "operator list", "link": "link list"}
        items = self.place.json("causeway " + listing[kind])
        if kind == "review" and " reopen" in command:
            return self.decided
        if kind in ("consent", "grant"):
            items = [one for one in items if one.get("status") != "revoked" and not one.get("revoked_at")]
        if kind == "link":
            items = [one for one in items if one.get("state") == "confirmed"] or items
        assert items, f"no {kind} for {command}"
        if kind == "review" and ("--reject" in command or "--confirm" in command):
            self.decided = items[0]["id"]
        return items[0]["id"]

    def filled(self, command):
        command = re.sub(r"\s+# .*$", "", command, flags=re.M)
        for words, other in WORDS.items():
            command = command.replace(words, other)
        command = PATIENT.sub(self.patient, command).replace("URL", self.url)
        if "operator revoke" in command:
            command = re.sub(r"[0-9a-f]{16}", "ID", command)
        kind = next((kind for begin, kind in KINDS if command.startswith(begin)), None)
        if "review dispute LINK" in command:
            return command.replace("LINK …", "LINK --operator ana --reason tried").replace("LINK", self.id("link", command))
        command = command.replace("DECISION", "ID").replace("ID  …", "ID --operator ana --reason tried")
        if kind and re.search(rf"\bID\b|{CUT}", command):
            command = re.sub(rf"\bID\b|{CUT}", self.id(kind, command), command)
        return self.ported(command)

    def run(self, name, role="operator", only=None):
        """Runs the commands of a page in turn; those that set variables and functions stay in force."""
        kept = f"TOKEN={self.token[role]}"
        for command in whole(name):
            if only and not command.startswith(only):
                continue
            filled = self.filled(command)
            if re.match(r"^\w+=\S*$|^\w+\(\)|^export ", filled):
                kept += "\n" + filled
                continue
            if filled.startswith("causeway serve"):
                continue
            wanted = next((number for begin, number in CODES.items() if filled.startswith(begin)), 0)
            # Two tokens take a second; only a partner's commands need them.
            prelude = self.prelude if re.search(r"^c |\$(MATCH|READ|base)\b", filled, re.M) else ""
            told = self.place.bash(f"{prelude}\n{kept}\n{filled}", wanted)
            assert '"issue"' not in told or "c " not in filled[:2], told


def desk(place):
    """Partners' other pages, then operators, auditors and reviewers. What changes the members and their links comes last."""
    at = Desk(place)
    for name in ["docs/partners/fields.md", "docs/partners/retries-and-ids.md", "docs/partners/versions.md"]:
        at.run(name)
    at.run("docs/auditors/README.md", role="auditor")
    at.run("docs/auditors/disclosures.md", role="auditor")
    at.run("docs/auditors/fhir.md", role="auditor")
    at.run("docs/operators/roles.md", role="auditor")
    at.run("docs/auditors/evidence.md")
    at.run("docs/verify.md")
    for name in ["docs/operations.md", "docs/operators/metrics.md", "docs/operators/running.md", "docs/operators/sqlite.md", "docs/operators/tracing.md",
                 "docs/operators/limits.md", "docs/operators/commands.md", "docs/operators/configuration.md", "docs/jobs.md", "conformance/README.md"]:
        at.run(name)
    at.renewed()
    at.run("docs/operators/consents.md", only="causeway grant")
    at.renewed()
    at.run("docs/operators/consents.md", only=("causeway consent list", "curl"))
    at.renewed()
    at.run("docs/operators/consents.md", only="causeway consent")
    for name in ["docs/import.md", "docs/policies.md", "docs/synthetic-data.md", "docs/reviewers/README.md", "docs/reviews.md", "docs/operators/partners.md"]:
        at.run(name)
    at.place.bash("rm -f packet.tar")
    at.run("README.md", only=("causeway", "python3", "tar", "jq", "sha256sum", "LC_ALL="))
