#!/usr/bin/env python3
"""A server under hours of ordinary work with one percent of each attack mixed in: memory, descriptors and write-ahead log stay flat,
and no partner gets a wrong answer.

    tests/soak.py --causeway target/release/causeway                 two hours
    tests/soak.py --causeway target/release/causeway --minutes 3     a try

Needs Python 3.11, the `openssl` command and nothing else. Makes a payer of its own in a new folder: two partners that work (one with
mutual TLS, one that fetches its tokens without), one whose rights are taken from it while its records run, one that asks for records and
reads none, and strangers, each on an address of its own. No limit of the server is loosened.

Exit code: 0 flat and right; 1 not flat, or something was wrong; 2 it could not be set up.
"""
import argparse
import base64
import collections
import hashlib
import http.client
import json
import os
import pathlib
import random
import signal
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import uuid
from datetime import date, timedelta

MATCH = "http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
NPI = "http://hl7.org/fhir/sid/us-npi"
OLD_NPI = "1992000012"
MEMBER_SYSTEM = "http://old-payer.example/identifiers/member"
# Share of each attack in what is done.
SHARE = 0.01
# Seconds between two samples, and between two things that a partner does.
SAMPLE, PAUSE = 10.0, 0.05
# A partner waits so long for an answer, in seconds, before it counts as wrong.
PATIENCE = 30.0
# Attacks under way at once; more are left out, and counted.
AT_ONCE = 64
MIB = 1 << 20


class Wrong(Exception):
    """An answer that must not be."""


# ---------------------------------------------------------------- the payer


def run(command, cwd, **more):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def coded(system, code):
    return {"coding": [{"system": system, "code": code}]}


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Payer:
    """The server, its store and its certificates, in a folder."""

    def __init__(self, arguments):
        self.home = pathlib.Path(arguments.folder or tempfile.mkdtemp(prefix="causeway-soak-"))
        self.home.mkdir(parents=True, exist_ok=True)
        self.program = str(pathlib.Path(arguments.causeway).resolve())
        self.store = arguments.store or f"sqlite:{self.home / 'causeway.db'}"
        self.fhir, self.ops = free_ports(2)
        self.origin = f"https://localhost:{self.fhir}"
        self.base = f"{self.origin}/fhir"
        self.process = None
        self.authority()
        self.certificate("server", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth")
        (self.home / "causeway.toml").write_text(
            f'[server]\nfhir_listen = "127.0.0.1:{self.fhir}"\nops_listen = "127.0.0.1:{self.ops}"\nbase_url = "{self.base}"\n'
            '[tls]\ncertificate = "server.pem"\nkey = "server.key"\nclient_ca = ["ca.pem"]\n'
            f'[store]\nurl = "{self.store}"\n[log]\nlevel = "warn"\n'
        )

    def command(self, *arguments):
        return run([self.program, *arguments], self.home)

    def authority(self):
        run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "30",
             "-subj", "/CN=Soak authority", "-addext", "basicConstraints=critical,CA:TRUE",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign"], self.home)

    def certificate(self, name, extensions):
        (self.home / f"{name}.ext").write_text(f"basicConstraints=CA:FALSE\n{extensions}\n")
        run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"],
            self.home)
        run(["openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
             "-extfile", f"{name}.ext", "-out", f"{name}.pem"], self.home)

    def fill(self, members, large):
        self.command("synth", "--members", str(members), "--one-large", str(large), "--no-showcase", "--out", "members", "--quiet")
        said = json.loads(self.command("import", "members", "--quiet", "--json"))
        if said["rejected"] != 0 or said["stored"] == 0:
            raise RuntimeError(f"the import said {said}")
        lines = lambda kind: [json.loads(line) for line in (self.home / "members" / f"{kind}.ndjson").open()]
        cards = {one["beneficiary"]["reference"]: one for one in lines("Coverage")}
        return [(one, cards[f"Patient/{one['id']}"]) for one in lines("Patient") if f"Patient/{one['id']}" in cards]

    def serve(self):
        log = (self.home / "server.out").open("ab")
        self.process = subprocess.Popen([self.program, "serve", "--quiet", "--log-file", "server.log"], cwd=self.home, stdout=log, stderr=log)
        until = time.monotonic() + 60
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the server did not become ready: {(self.home / 'server.out').read_text()}")
            time.sleep(0.1)

    def is_ready(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.ops, timeout=10)
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def sample(self):
        """What the process holds now."""
        folder = pathlib.Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        wal = self.home / "causeway.db-wal"
        return {
            "resident_bytes": int(status["VmRSS"].split()[0]) * 1024,
            "descriptors": len(os.listdir(folder / "fd")),
            "wal_bytes": wal.stat().st_size if wal.exists() else 0,
            "threads": int(status["Threads"]),
            "ready": self.is_ready(),
        }

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(90)


# ---------------------------------------------------------------- partners


class Partner:
    """A partner's side: its certificate if it has one, its key, its token."""

    def __init__(self, payer, name, npi, mtls, address):
        self.payer, self.name, self.npi, self.address = payer, name, npi, address
        self.uri = f"https://{name}.example/fhir"
        home = payer.home
        run(["openssl", "genrsa", "-out", f"{name}-sign.key", "2048"], home)
        modulus = run(["openssl", "rsa", "-in", f"{name}-sign.key", "-noout", "-modulus"], home).strip().split("=")[1]
        key = {"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS384", "n": base64url(bytes.fromhex(modulus)), "e": "AQAB"}
        (home / f"{name}-jwks.json").write_text(json.dumps({"keys": [key]}))
        self.tls = ssl.create_default_context(cafile=str(home / "ca.pem"))
        if mtls:
            payer.certificate(name, f"subjectAltName=URI:{self.uri}\nextendedKeyUsage=clientAuth")
            self.tls.load_cert_chain(home / f"{name}.pem", home / f"{name}.key")
        (home / f"{name}.toml").write_text(
            f'id = "{name}"\nname = "{name}"\nnpi = "{npi}"\nclient_id = "{name}"\njwks_file = "{name}-jwks.json"\n'
            f'certificate_uri = "{self.uri}"\nmtls = "{"required" if mtls else "off"}"\nscopes = ["system/*.rs", "{MATCH}"]\n'
        )
        payer.command("partner", "add", "--file", f"{name}.toml", "--quiet")
        self.token, self.good_until = None, 0.0
        self.connection, self.uses = None, 0
        self.known = {}

    def sign(self, endpoint):
        part = lambda value: base64url(json.dumps(value).encode())
        claims = {"iss": self.name, "sub": self.name, "aud": endpoint, "exp": int(time.time()) + 240, "jti": str(uuid.uuid4())}
        text = f'{part({"alg": "RS384", "kid": "k1", "typ": "JWT"})}.{part(claims)}'
        signed = subprocess.run(["openssl", "dgst", "-sha384", "-sign", self.payer.home / f"{self.name}-sign.key"],
                                input=text.encode(), capture_output=True, check=True).stdout
        return f"{text}.{base64url(signed)}"

    def connect(self):
        """A connection, used for twenty requests."""
        if self.connection is None or self.uses >= 20:
            self.close()
            self.connection = http.client.HTTPSConnection("localhost", self.payer.fhir, context=self.tls, timeout=PATIENCE,
                                                          source_address=(self.address, 0))
            self.uses = 0
        self.uses += 1
        return self.connection

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def ask(self, method, path, body=None, headers=None):
        try:
            connection = self.connect()
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Wrong(f"{method}: {error!r}") from error

    def form(self, path, fields):
        endpoint = f"{self.payer.origin}/oauth/token"
        proof = {"client_assertion_type": ASSERTION, "client_assertion": self.sign(endpoint)}
        return self.ask("POST", path, urllib.parse.urlencode(fields | proof), {"Content-Type": "application/x-www-form-urlencoded"})

    def fresh_token(self):
        status, body = self.form("/oauth/token", {"grant_type": "client_credentials", "scope": f"system/*.rs {MATCH}"})
        if status != 200:
            raise Wrong(f"token: {status} {body[:200]!r}")
        answer = json.loads(body)
        self.token, self.good_until = answer["access_token"], time.monotonic() + answer["expires_in"] * 0.8
        return self.token

    def bearer(self, **more):
        if time.monotonic() > self.good_until:
            self.fresh_token()
        return {"Authorization": f"Bearer {self.token}"} | more

    def expect(self, name, method, path, body=None, headers=None):
        """The answer is the one of the first time."""
        status, found = self.ask(method, path, body, headers if headers is not None else self.bearer())
        if status != 200:
            raise Wrong(f"{name}: {status} {found[:200]!r}")
        digest = hashlib.sha256(found).digest()
        if self.known.setdefault(name, digest) != digest:
            raise Wrong(f"{name}: another answer than the first time")
        return found

    def match(self, member):
        patient, card = member
        status, found = self.ask("POST", "/fhir/Patient/$member-match", json.dumps(self.request(patient, card)),
                                 self.bearer(**{"Content-Type": "application/fhir+json"}))
        if status != 200:
            raise Wrong(f"match: {status} {found[-500:]!r}")
        parts = {one["name"]: one for one in json.loads(found)["parameter"]}
        if parts["MemberId"]["valueReference"]["reference"] != f"Patient/{patient['id']}":
            raise Wrong("match: another member")

    def request(self, patient, card):
        """A `$member-match` request as HRex 1.1 has it."""
        asked = {key: patient[key] for key in ("name", "telecom", "gender", "birthDate", "address") if key in patient}
        cover = {key: card[key] for key in ("identifier", "status", "subscriberId", "relationship", "period") if key in card}
        whom = {"reference": "Patient/member"}
        actor = lambda system, role, npi: {"role": coded(f"http://terminology.hl7.org/CodeSystem/{system}", role),
                                           "reference": {"identifier": {"system": NPI, "value": npi}}}
        today = date.today()
        consent = {
            "resourceType": "Consent", "id": "consent", "status": "active",
            "scope": coded("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
            "category": [coded("http://terminology.hl7.org/CodeSystem/v3-ActCode", "IDSCL")],
            "patient": whom, "performer": [whom],
            "sourceReference": {"reference": f"{self.uri}/DocumentReference/opt-in"},
            "policy": [{"uri": "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#regular"}],
            "provision": {
                "type": "permit",
                "period": {"start": str(today - timedelta(days=30)), "end": str(today + timedelta(days=120))},
                "actor": [actor("provenance-participant-type", "performer", OLD_NPI),
                          actor("v3-ParticipationType", "IRCP", self.npi)],
                "action": [coded("http://terminology.hl7.org/CodeSystem/consentaction", "disclose")],
            },
        }
        payor = lambda npi: [{"identifier": {"system": NPI, "value": npi}}]
        parameters = {
            "MemberPatient": {"resourceType": "Patient", "id": "member"} | asked,
            "CoverageToMatch": {"resourceType": "Coverage", "id": "old-cover", "beneficiary": whom, "payor": payor(OLD_NPI)} | cover,
            "CoverageToLink": {"resourceType": "Coverage", "id": "new-cover", "status": "active", "beneficiary": whom, "payor": payor(self.npi),
                               "identifier": [{"type": coded("http://terminology.hl7.org/CodeSystem/v2-0203", "MB"),
                                               "system": f"{self.uri}/member", "value": f"N-{patient['id']}"}]},
            "Consent": consent,
        }
        return {"resourceType": "Parameters", "parameter": [{"name": name, "resource": one} for name, one in parameters.items()]}


# ---------------------------------------------------------------- attacks


class Attacker:
    """Strangers, each kind on an address of its own, the partner whose rights are taken from it, and the one that does not read."""

    # What partners do; only strangers may be turned away with a closed connection.
    OF_PARTNERS = ("unread_record", "token_revoked", "partner_suspended")

    def __init__(self, payer, victim, idle, large):
        self.payer, self.victim, self.idle, self.large = payer, victim, idle, large
        self.tls = ssl.create_default_context(cafile=str(payer.home / "ca.pem"))
        self.one_at_a_time, self.asking = threading.Lock(), threading.Lock()
        kinds = ["slow_head", "slow_body", "silent_socket", "unread_metadata", "unread_record", "metadata_flood", "bad_tokens",
                 "bad_assertions", "long_head", "http2_unread", "token_revoked", "partner_suspended"]
        self.addresses = {kind: f"127.0.1.{10 + at}" for at, kind in enumerate(kinds)}

    def tcp(self, kind, receive=None):
        plain = socket.socket()
        if receive:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        plain.settimeout(90)
        plain.bind((self.addresses[kind], 0))
        plain.connect(("127.0.0.1", self.payer.fhir))
        return plain

    def open(self, kind, tls=None, receive=None):
        return (tls or self.tls).wrap_socket(self.tcp(kind, receive), server_hostname="localhost")

    def ends_within(self, connection, seconds):
        """Reads until the server ends it; what came."""
        until, found = time.monotonic() + seconds, b""
        while True:
            connection.settimeout(max(0.1, until - time.monotonic()))
            try:
                piece = connection.recv(1 << 16)
            except (TimeoutError, socket.timeout) as error:
                raise Wrong(f"still open after {seconds} s") from error
            except OSError:
                return found
            if not piece:
                return found
            found = (found + piece)[-(1 << 16):]
            if time.monotonic() > until:
                raise Wrong(f"still open after {seconds} s")

    def drip(self, connection, data, seconds):
        """Sends a byte each second until the server ends it."""
        started = time.monotonic()
        for byte in data:
            if time.monotonic() - started > seconds:
                raise Wrong(f"a drip was taken for {seconds} s")
            try:
                connection.send(bytes([byte]))
                connection.settimeout(1)
                if not connection.recv(4096):
                    return
            except (TimeoutError, socket.timeout):
                continue
            except OSError:
                return

    def slow_head(self, kind):
        with self.open(kind) as connection:
            self.drip(connection, b"GET /fhir/metadata HTTP/1.1\r\nhost: localhost\r\nx-slow: " + b"a" * 200, 45)

    def slow_body(self, kind):
        with self.open(kind) as connection:
            connection.send(b"POST /oauth/token HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n"
                            b"content-length: 4000\r\n\r\n")
            self.drip(connection, b"grant_type=client_credentials&" + b"a" * 200, 75)

    def silent_socket(self, kind):
        with self.tcp(kind) as connection:
            self.ends_within(connection, 60)

    def unread_metadata(self, kind):
        with self.open(kind, receive=4096) as connection:
            connection.send(b"GET /fhir/metadata HTTP/1.1\r\nhost: localhost\r\n\r\n" * 40)
            time.sleep(20)
            self.ends_within(connection, 120)

    def unread_record(self, kind):
        with self.asking:
            connection = self.stream(kind, self.idle)
        with connection:
            time.sleep(20)
            self.ends_within(connection, 60)

    def metadata_flood(self, kind):
        with self.open(kind) as connection:
            for _ in range(50):
                try:
                    connection.send(b"GET /fhir/metadata HTTP/1.1\r\nhost: localhost\r\n\r\n")
                    answer = http.client.HTTPResponse(connection)
                    answer.begin()
                    answer.read()
                except (OSError, http.client.HTTPException):
                    return  # closed early: one way to answer it
                if answer.status not in (200, 429, 503):
                    raise Wrong(f"metadata: {answer.status}")

    def status(self, kind, request, allowed):
        with self.open(kind) as connection:
            try:
                connection.send(request)
                answer = http.client.HTTPResponse(connection)
                answer.begin()
                answer.read()
            except (OSError, http.client.HTTPException):
                return
            if answer.status not in allowed:
                raise Wrong(f"status {answer.status}, not one of {allowed}")

    def bad_tokens(self, kind):
        token = base64url(os.urandom(32)).encode()
        self.status(kind, b"GET /fhir/Patient/" + self.large.encode() + b" HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer " + token
                    + b"\r\nconnection: close\r\n\r\n", (401, 429, 503))

    def bad_assertions(self, kind):
        fields = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": "system/*.rs", "client_assertion_type": ASSERTION,
                                         "client_assertion": f"{base64url(os.urandom(60))}.{base64url(os.urandom(90))}.{base64url(os.urandom(64))}"})
        head = ("POST /oauth/token HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n"
                f"content-length: {len(fields)}\r\nconnection: close\r\n\r\n{fields}")
        self.status(kind, head.encode(), (400, 401, 429, 503))

    def long_head(self, kind):
        self.status(kind, b"GET /fhir/metadata HTTP/1.1\r\nhost: localhost\r\nx-long: " + b"a" * 300_000 + b"\r\n\r\n", (400, 431))

    def http2_unread(self, kind):
        """Fifty requests whose answers have no room, where HTTP/2 is spoken."""
        tls = ssl.create_default_context(cafile=str(self.payer.home / "ca.pem"))
        tls.set_alpn_protocols(["h2", "http/1.1"])
        with self.open(kind, tls, receive=4096) as connection:
            if connection.selected_alpn_protocol() != "h2":
                return
            frame = lambda length, sort, flags, stream: struct.pack("!I", length)[1:] + bytes([sort, flags]) + struct.pack("!I", stream)
            no_window = struct.pack("!HI", 4, 0)
            text = lambda value: bytes([len(value)]) + value
            fields = b"\x82\x87\x04" + text(b"/fhir/metadata") + b"\x01" + text(b"localhost")
            try:
                connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(len(no_window), 4, 0, 0) + no_window)
                for at in range(50):
                    connection.send(frame(len(fields), 1, 5, 2 * at + 1) + fields)
                time.sleep(20)
            except OSError:
                return

    def stream(self, kind, partner):
        """The long record for a partner, its head read."""
        token = partner.fresh_token()
        connection = self.open(kind, partner.tls, receive=32768)
        connection.send(f"GET /fhir/Patient/{self.large}/$everything HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n"
                        "connection: close\r\n\r\n".encode())
        head = connection.recv(4096)
        if not head.startswith(b"HTTP/1.1 200"):
            connection.close()
            raise Wrong(f"no stream: {head[:60]!r}")
        return connection

    def is_cut(self, connection, acted):
        found = self.ends_within(connection, 20)
        if found.endswith(b"\r\n0\r\n\r\n"):
            raise Wrong("it ended as if it were whole")
        took = time.monotonic() - acted
        if took > 3:
            raise Wrong(f"it ended {took:.1f} s after it")

    def token_revoked(self, kind):
        with self.one_at_a_time, self.stream(kind, self.victim) as connection:
            status, body = self.victim.form("/oauth/revoke", {"token": self.victim.token})
            if status != 200:
                raise Wrong(f"revoke: {status} {body[:200]!r}")
            self.is_cut(connection, time.monotonic())

    def partner_suspended(self, kind):
        with self.one_at_a_time, self.stream(kind, self.victim) as connection:
            try:
                self.payer.command("partner", "suspend", self.victim.name, "--reason", "soak", "--quiet")
                self.is_cut(connection, time.monotonic())
            finally:
                self.payer.command("partner", "resume", self.victim.name, "--quiet")
                time.sleep(0.6)  # what is remembered of a partner is half a second old at most


# ---------------------------------------------------------------- the run


class Run:
    """Counts, samples, and who works until when."""

    def __init__(self, seed):
        self.lock = threading.Lock()
        self.answers = collections.defaultdict(lambda: {"right": 0, "wrong": 0, "times": collections.deque(maxlen=10_000)})
        self.left_out = 0
        self.wrongs, self.samples = [], []
        self.stopping = threading.Event()
        self.places = threading.Semaphore(AT_ONCE)
        self.random = random.Random(seed)

    def judge(self, kind, work):
        began = time.monotonic()
        problem = None
        try:
            work()
        except Wrong as wrong:
            problem = str(wrong)
        except (OSError, RuntimeError, http.client.HTTPException, ValueError, KeyError) as error:
            problem = repr(error)
        took = time.monotonic() - began
        with self.lock:
            one = self.answers[kind]
            one["times"].append(took)
            one["wrong" if problem else "right"] += 1
            if problem and len(self.wrongs) < 200:
                self.wrongs.append({"at": round(time.time(), 1), "kind": kind, "why": problem[:400]})
        if problem:
            print(f"wrong: {kind}: {problem[:200]}", file=sys.stderr)

    def attack(self, attacker, kind):
        if not self.places.acquire(blocking=False):
            with self.lock:
                self.left_out += 1
            return

        def attack():
            try:
                getattr(attacker, kind)(kind)
            except (ConnectionError, ssl.SSLError):
                if kind in attacker.OF_PARTNERS:
                    raise

        def work():
            try:
                self.judge(f"attack:{kind}", attack)
            finally:
                self.places.release()

        threading.Thread(target=work, daemon=True).start()

    def work(self, partner, members, large, attacker):
        """What a partner does all day: mostly reads, now and then a match, seldom a whole record."""
        searched = f"Observation?patient={members[1][0]['id']}&_count=20"
        while not self.stopping.is_set():
            member = self.random.choice(members[1:])
            patient = member[0]["id"]
            draw = self.random.random()
            if draw < 0.60:
                kind, work = "read", lambda: partner.expect(f"Patient/{patient}", "GET", f"/fhir/Patient/{patient}")
            elif draw < 0.75:
                kind, work = "search", lambda: self.searched(partner, searched)
            elif draw < 0.90:
                kind, work = "match", lambda: partner.match(member)
            elif draw < 0.97:
                kind, work = "record", lambda: partner.expect(f"all {patient}", "GET", f"/fhir/Patient/{patient}/$everything")
            elif draw < 0.98:
                kind, work = "large_record", lambda: partner.expect("all large", "GET", f"/fhir/Patient/{large}/$everything")
            elif draw < 0.99:
                kind, work = "metadata", lambda: self.metadata(partner)
            else:
                kind, work = "token", partner.fresh_token
            self.judge(f"{partner.name}:{kind}", work)
            for attack in attacker.addresses:
                if self.random.random() < SHARE:
                    self.attack(attacker, attack)
            self.stopping.wait(PAUSE)
        partner.close()

    def searched(self, partner, path):
        status, found = partner.ask("GET", f"/fhir/{path}", None, partner.bearer())
        total = json.loads(found).get("total") if status == 200 else None
        if total is None or partner.known.setdefault("search", total) != total:
            raise Wrong(f"search: {status} {found[:200]!r}")

    def metadata(self, partner):
        status, found = partner.ask("GET", "/fhir/metadata")
        if status != 200 or json.loads(found)["resourceType"] != "CapabilityStatement":
            raise Wrong(f"metadata: {status}")


# Below so many minutes what a process holds is still growing to its size: told, and not judged.
JUDGED_FROM = 10.0


def flat(samples, key, share, room, ceiling=None):
    """Whether the middle value of the last quarter is that of the second quarter, within a share and a room of its own."""
    quarter = max(1, len(samples) // 4)
    middle = lambda part: statistics.median(one[key] for one in part)
    before, after = middle(samples[quarter:2 * quarter]), middle(samples[-quarter:])
    bound = before * (1 + share) + room
    if ceiling is not None:
        bound = min(max(bound, before), ceiling)
    return {"what": key, "second_quarter": before, "last_quarter": after, "bound": bound, "ok": after <= bound}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--causeway", default="target/release/causeway", help="the program")
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--folder", help="a new folder for the payer; a temporary one when left out, and it is kept")
    parser.add_argument("--store", help="address of an empty store; SQLite in the folder when left out")
    parser.add_argument("--large", type=int, default=20_000, help="resources of the long record")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--json", action="store_true", help="print one JSON document, all samples in it")
    arguments = parser.parse_args()
    say = lambda text: print(text, file=sys.stderr, flush=True)
    payer = None
    try:
        payer = Payer(arguments)
        say(f"payer in {payer.home}, seed {arguments.seed}")
        members = payer.fill(40, arguments.large)
        partners = [Partner(payer, "steady-payer", "1992000020", True, "127.0.0.2"),
                    Partner(payer, "plain-payer", "1992000038", False, "127.0.0.3")]
        victim = Partner(payer, "shaken-payer", "1992000046", True, "127.0.0.4")
        idle = Partner(payer, "idle-payer", "1992000053", True, "127.0.0.5")
        payer.serve()
        large = members[0][0]["id"]
        for partner in [*partners, victim, idle]:
            for member in members if partner in partners else members[:1]:
                partner.match(member)
    except (RuntimeError, OSError, Wrong, subprocess.CalledProcessError) as error:
        say(f"it could not be set up: {error}")
        if payer is not None and payer.process is not None:
            payer.process.kill()
        return 2
    run_ = Run(arguments.seed)
    attacker = Attacker(payer, victim, idle, large)
    workers = [threading.Thread(target=run_.work, args=(partner, members, large, attacker), daemon=True) for partner in partners]
    began, until = time.monotonic(), time.monotonic() + arguments.minutes * 60
    for worker in workers:
        worker.start()
    with (payer.home / "samples.ndjson").open("w") as file:
        while time.monotonic() < until:
            time.sleep(min(SAMPLE, max(0.1, until - time.monotonic())))
            if payer.process.poll() is not None:
                run_.wrongs.append({"kind": "server", "why": f"it ended with {payer.process.returncode}"})
                break
            sample = {"second": round(time.monotonic() - began, 1)} | payer.sample()
            run_.samples.append(sample)
            file.write(json.dumps(sample) + "\n")
            file.flush()
            if not sample["ready"]:
                run_.wrongs.append({"kind": "ready", "why": "not ready", "at": sample["second"]})
    run_.stopping.set()
    for worker in workers:
        worker.join(PATIENCE + 5)
    exit_code = payer.stop() if payer.process.poll() is None else payer.process.returncode
    return report(arguments, payer, run_, exit_code, time.monotonic() - began, say)


def report(arguments, payer, run_, exit_code, seconds, say):
    with run_.lock:
        answers = {kind: {"right": one["right"], "wrong": one["wrong"],
                          "p50_ms": round(statistics.median(one["times"]) * 1000, 1),
                          "longest_ms": round(max(one["times"]) * 1000, 1)}
                   for kind, one in sorted(run_.answers.items())}
    verdicts = [{"what": "wrong answers", "last_quarter": len(run_.wrongs), "bound": 0, "ok": not run_.wrongs},
                {"what": "exit code after SIGTERM", "last_quarter": exit_code, "bound": 0, "ok": exit_code == 0}]
    if len(run_.samples) >= 4:
        held = [flat(run_.samples, "resident_bytes", 0.10, 16 * MIB),
                flat(run_.samples, "descriptors", 0.10, 16),
                flat(run_.samples, "wal_bytes", 0.25, 8 * MIB, 96 * MIB)]
        if arguments.minutes < JUDGED_FROM:
            held = [one | {"ok": True, "judged": False} for one in held]
        verdicts += held
    else:
        verdicts.append({"what": "samples", "last_quarter": len(run_.samples), "bound": 4, "ok": False})
    ok = all(one["ok"] for one in verdicts)
    told = {"ok": ok, "seed": arguments.seed, "seconds": round(seconds, 1), "folder": str(payer.home), "answers": answers,
            "attacks_left_out": run_.left_out, "verdicts": verdicts, "wrong": run_.wrongs}
    (payer.home / "soak.json").write_text(json.dumps(told | {"samples": run_.samples}, indent=1))
    if arguments.json:
        print(json.dumps(told | {"samples": run_.samples}))
    else:
        for kind, one in answers.items():
            print(f"{kind:34} {one['right']:8} right {one['wrong']:5} wrong   p50 {one['p50_ms']:9} ms   longest {one['longest_ms']:9} ms")
        for one in verdicts:
            before = one.get("second_quarter")
            word = "ok " if one["ok"] else "NOT"
            print(f"{word if one.get('judged', True) else 'too short:'} {one['what']}: {one['last_quarter']:.0f} (bound {one['bound']:.0f}"
                  + (f", second quarter {before:.0f})" if before is not None else ")"))
        print(f"report: {payer.home / 'soak.json'}")
    say("flat, and right" if ok else "NOT as it must be")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
