"""Where pages are followed: a folder with the program, and the account of which commands of which page were run."""

import datetime
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "DATABASE_URL"}
# What a command begins with, after variables. Other indented lines are answers.
PROGRAMS = (r"(causeway|target/release/causeway|curl|c|a|openssl|jq|sqlite3|psql|pg_dump|pg_restore|install|useradd|runuser|systemctl|systemd-analyze|"
            r"journalctl|cargo|\.ci/run|tests/\S+|bash|python3?|tar|sha256sum|node|java|ruby|touch|echo|printf|mv|for|CREATE|\[) ")
COMMAND = re.compile(rf"^(?:[A-Z_]+=\S+ )*{PROGRAMS}|^(?:export )?(?:[A-Z_]+|base|ops|d)=\S|^\w+\(\) \{{|^\.ci/run$|^causeway$|^cargo test")
RAN = set()


def page(name):
    return (ROOT / name).read_text(encoding="utf-8")


def part(text, begin, end=None):
    """The text from one mark to another, each of which must be there."""
    after = text[text.index(begin):]
    return after[:after.index(end, 1)] if end else after


def commands(text, *begins):
    """The indented commands that begin so, with the lines that continue them. They count as run."""
    found, goes_on = [], False
    for line in text.splitlines():
        bare = line.lstrip()
        if line.startswith("    ") and (goes_on or line[4:].startswith(begins) or bare.startswith(begins)):
            found.append(line[4:] if line[4:].startswith(begins) or goes_on else bare)
            RAN.add(bare)
            goes_on = line.endswith("\\")
        else:
            goes_on = False
    assert found, f"no command begins with {begins}"
    return "\n".join(found)


def fenced(text, language, holds=""):
    return next(block for block in re.findall(rf"```{language}\n(.*?)```", text, re.S) if holds in block)


def written():
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "conformance").rglob("*.md"))]


def listed(text):
    """The commands of a page: number of the line, the line, and the reason when a mark says that it is not run.

    A mark covers the commands that follow it up to the next heading; before the first heading below the title, all of the page.
    """
    fence, headed, reason, whole = False, False, None, None
    text = re.sub(r"<!-- not-run: (.+?) -->", lambda mark: f"<!-- not-run: {' '.join(mark[1].split())} -->" + "\n" * mark[0].count("\n"), text, flags=re.S)
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fence = not fence
        if line.startswith("## ") and not fence:
            reason, headed = whole, True
        if mark := re.match(r"<!-- not-run: (.+?) -->", line):
            reason = mark[1]
            whole = whole if headed else reason
        if not fence and line.startswith("    ") and COMMAND.match(line.lstrip()) and not re.match(r"\s*([-*|]|\d+\.) ", line):
            yield number, line.lstrip(), reason


def anchor(heading):
    """The anchor of a heading, as GitHub makes it."""
    kept = re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).lower())
    return kept.strip().replace(" ", "-")


def dead_links():
    """The links of the pages whose file or heading is not there. Addresses of other hosts are not asked."""
    found = []
    for path in [*written(), ROOT / "CHANGELOG.md", ROOT / "ARCHITECTURE.md"]:
        text = re.sub(r"(?ms)^ *```.*?^ *```[ \t]*$", "", path.read_text(encoding="utf-8"))
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text)):
            file, _, part_of = target.partition("#")
            if "://" in target or target.startswith("mailto:"):
                continue
            page_of = (path.parent / file).resolve() if file else path
            if not page_of.exists():
                found.append(f"{path.relative_to(ROOT)}: {target}")
            elif part_of and page_of.suffix == ".md":
                headings = re.findall(r"^#+ (.+)$", page_of.read_text(encoding="utf-8"), re.M)
                if part_of not in {anchor(one) for one in headings}:
                    found.append(f"{path.relative_to(ROOT)}: {target}: no such heading")
    return found


def free_port():
    """A port below those that the kernel hands out for connections, which other steps make meanwhile, and of a range that other steps do not use."""
    while True:
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", random.randrange(28000, 30000)))
            except OSError:
                continue
            return tried.getsockname()[1]


class Place:
    """A folder in which pages are followed, with the program in its PATH."""

    def __init__(self, folder, causeway):
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / "bin/causeway").symlink_to(causeway)
        self.environment = {name: value for name, value in os.environ.items() if name not in HERE}
        self.environment["PATH"] = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.running = None

    def bash(self, script, code=0):
        done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", script], cwd=self.folder, env=self.environment,
                              capture_output=True, text=True, timeout=900)
        assert done.returncode == code, f"{script}\nended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout + (done.stderr if code else "")

    def json(self, command):
        return json.loads(self.bash(f"{command} --json"))

    def start(self, *arguments, until):
        out = (self.folder / "out").open("w")
        self.running = subprocess.Popen(["causeway", *arguments], cwd=self.folder, env=self.environment, stdout=out, stderr=out)
        for _ in range(3000):
            if until():
                return
            assert self.running.poll() is None, (self.folder / "out").read_text()
            time.sleep(0.1)
        raise AssertionError("it did not become ready")

    def stop(self):
        if self.running:
            self.running.send_signal(signal.SIGTERM)
            self.running.wait(180)
            self.running = None


def with_ports(text, fhir, ops):
    """The text with a server's own ports. An id may hold the same digits, and so may another port: only a whole port is replaced."""
    return re.sub(r"(?<=:)(8443|9443)(?!\w)", lambda port: {"8443": fhir, "9443": ops}[port[1]], text)


def practice(place):
    """The payer and the partner of the onboarding page, up to a running server."""
    onboarding = page("docs/partners/onboarding.md")
    ports = {free_port() for _ in range(8)}
    fhir, ops = str(ports.pop()), str(ports.pop())
    ported = lambda text: with_ports(text, fhir, ops)
    place.bash(commands(part(onboarding, "## 1. ", "## 2. "), "openssl"))
    server = part(onboarding, "## A server to practice with")
    place.bash(commands(server, "openssl"))
    config, registration = fenced(onboarding, "toml", "[server]"), fenced(onboarding, "toml", "certificate_uri")
    same_elsewhere(config, registration)
    match = json.loads(fenced(onboarding, "json", "MemberPatient"))
    today = datetime.date.today()
    match["parameter"][3]["resource"]["provision"]["period"] = {
        "start": str(today - datetime.timedelta(30)), "end": str(today + datetime.timedelta(120))}
    for name, text in {
        "causeway.toml": config,
        "new-payer.toml": registration,
        "jwks.sh": fenced(page("docs/partners/certificates-and-assertions.md"), "bash", "# jwks.sh"),
        "get_token.py": fenced(onboarding, "python", "# get_token.py"),
        "match.json": json.dumps(match),
    }.items():
        (place.folder / name).write_text(ported(text), encoding="utf-8")
    place.bash(commands(page("docs/partners/certificates-and-assertions.md"), "bash jwks.sh"))
    place.bash(commands(server, "causeway synth", "causeway import", "causeway partner add"))
    serve(place, ops)
    RAN.add("causeway serve")
    return ported, match


def same_elsewhere(config, registration):
    """The files of README.md and of the operators' pages are those of the onboarding page, but for addresses, the revocation list and the store."""
    for name in ["README.md", "docs/operators/install.md"]:
        other = fenced(page(name), "toml", "[server]").replace("0.0.0.0", "127.0.0.1").replace("fhir.old-payer.example", "localhost:8443")
        other = re.sub(r"^client_crl = .*\n|^\[store\]\nurl = .*\n", "", other, flags=re.M)
        assert other == config, f"{name} has another configuration:\n{other}"
    for name in ["README.md", "docs/operators/partners.md"]:
        assert fenced(page(name), "toml", "certificate_uri") == registration, f"{name} has another registration"


def serve(place, ops):
    ready = f"curl -sf http://127.0.0.1:{ops}/ready"
    place.start("serve", until=lambda: subprocess.run(ready.split(), capture_output=True).returncode == 0)
