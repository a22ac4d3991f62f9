"""A Causeway payer as a process, driven as docs/operators/exchanges.md says, with the keys and certificates that `causeway demo` leaves."""

import json
import pathlib
import random
import socket
import subprocess
import time
import urllib.error
import urllib.request

END_S = 600
MEMBER = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]}
NEW, OLD = "http://new-payer.example/identifiers/member", "http://old-payer.example/identifiers/member"


# None is given twice: who has one may listen later than another looks for one.
GIVEN = set()


def free_port():
    """A port below those that the kernel hands out for connections, which other steps make meanwhile."""
    while True:
        port = random.randrange(32000, 32768)
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in GIVEN:
            GIVEN.add(port)
            return port


class Payer:
    """A folder with a configuration, its store, and the server over it."""

    def __init__(self, program, folder, keys, npi, member_system, asks=False):
        self.program, self.folder, self.keys, self.server = program, folder, keys, None
        folder.mkdir(parents=True)
        self.ops = free_port()
        port = free_port()
        self.base = f"https://localhost:{port}/fhir"
        text = (f'[server]\nfhir_listen = "127.0.0.1:{port}"\nops_listen = "127.0.0.1:{self.ops}"\nbase_url = "{self.base}"\n'
                f'[tls]\ncertificate = "{keys}/server.pem"\nkey = "{keys}/server.key"\nclient_ca = ["{keys}/ca.pem"]\n'
                f'[oauth]\naccess_token_seconds = 3600\n[payer]\nnpi = "{npi}"\nmember_system = "{member_system}"\n')
        if asks:
            (folder / "signing.json").write_text(json.dumps(json.loads((keys / "partner-jwks.json").read_text())["keys"][0]))
            text += (f'[exchange]\nclient_id = "new-payer"\nsigning_key = "signing.json"\ncertificate = "{keys}/partner.pem"\n'
                     f'certificate_key = "{keys}/partner.key"\n[jobs]\npoll_seconds = 1\n')
        (folder / "causeway.toml").write_text(text)

    def run(self, *arguments):
        done = subprocess.run([self.program, *arguments], cwd=self.folder, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *arguments):
        return json.loads(self.run(*arguments, "--json"))

    def serve(self):
        with open(self.folder / "server.out", "w", encoding="utf-8") as out:
            self.server = subprocess.Popen([self.program, "serve", "--log-file", "server.log"], cwd=self.folder, stdout=out, stderr=out)
        for _ in range(1800):
            assert self.server.poll() is None, (self.folder / "server.out").read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.ops}/ready", timeout=30).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise AssertionError("the server did not become ready")

    def stop(self):
        if self.server:
            self.server.terminate()
            self.server.wait(timeout=180)
            self.server = None

    def partner(self, registration):
        (self.folder / "partner.toml").write_text(registration)
        self.run("partner", "add", "--file", "partner.toml")

    def old_payer(self, base, dialect):
        """Registers the payer that is asked."""
        self.partner(f'id = "old-payer"\nname = "Old Payer"\nnpi = "1992000012"\nclient_id = "old-payer"\n'
                     f'jwks_file = "{self.keys}/partner-jwks-public.json"\nmtls = "off"\nscopes = ["system/*.rs"]\ndialect = {dialect}\n'
                     f'[endpoint]\nfhir = "{base}"\ntrust = "{self.keys}/ca.pem"\n')

    def enrol(self, persons):
        """Imports them as members of ours: the same person, with a number, an id and a Coverage of ours."""
        lines = []
        for number, person in enumerate(persons):
            ours = {"type": MEMBER, "system": NEW, "value": f"NEW-{number}"}
            kept = {name: person[name] for name in ("name", "gender", "birthDate", "address", "telecom") if name in person}
            lines += [{"resourceType": "Patient", "id": f"our-{number}", "identifier": [ours], **kept},
                      {"resourceType": "Coverage", "id": f"our-cover-{number}", "status": "active", "identifier": [ours],
                       "beneficiary": {"reference": f"Patient/our-{number}"}, "payor": [{"display": "New Payer"}]}]
        (self.folder / "ours.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
        self.run("import", "ours.ndjson", "--quiet")

    def ask(self, number, person):
        """Starts the exchange of a member and returns its id."""
        wish = {"partner": "old-payer", "member": f"Patient/our-{number}", "other_member_number": person["identifier"][0]["value"],
                "other_number_system": person["identifier"][0]["system"], "opt_in_by": "desk", "opt_in_at": "2026-01-02",
                "opt_in_how": "paper", "opt_in_policy": "sensitive"}
        (self.folder / "wish.json").write_text(json.dumps(wish))
        return self.json("exchange", "start", "wish.json")["id"]

    def ended(self, exchange):
        """The exchange when it has come to its end, or to a person."""
        until = time.monotonic() + END_S
        while True:
            shown = self.json("exchange", "show", exchange)
            if shown["ended_at"] or shown["owner"] == "operator":
                return shown
            assert time.monotonic() < until, json.dumps(shown, indent=1) + self.log()
            time.sleep(0.2)

    def log(self):
        return (self.folder / "server.log").read_text()[-6000:]

    @property
    def store(self):
        return self.folder / "causeway-data" / "causeway.db"


def members(program, folder, count):
    """What `causeway synth` writes: the resources by name (type/id)."""
    subprocess.run([program, "synth", "--members", str(count), "--member-system", OLD, "--out", str(folder), "--quiet"], check=True,
                   capture_output=True)
    lines = [line for file in sorted(pathlib.Path(folder).glob("*.ndjson")) for line in file.read_text().splitlines()]
    resources = [json.loads(line, parse_float=str) for line in lines]
    return {f"{one['resourceType']}/{one['id']}": one for one in resources}
