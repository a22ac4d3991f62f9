"""From nothing to PostgreSQL with a backup that was restored, and a SQLite store from its backup, as the pages for operators have it."""

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

from desk import whole
from place import RAN, ROOT, commands, fenced, free_port, page, part, practice, serve, with_ports


def binaries():
    """The folder of PostgreSQL's programs: in PATH, or where Debian has them."""
    found = shutil.which("initdb")
    known = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name)) if Path("/usr/lib/postgresql").is_dir() else []
    assert found or known, "no PostgreSQL here"
    return str(Path(found).resolve().parent) if found else str(known[-1])


class Cluster:
    """A PostgreSQL of this walk alone, on a port of its own. It does not run as root."""

    def __init__(self, place):
        self.home, self.port = place.folder / "postgres", free_port()
        self.home.mkdir()
        self.as_user = ["runuser", "-u", "nobody", "--"] if os.getuid() == 0 else []
        if self.as_user:
            shutil.chown(self.home, "nobody")
            for folder in [self.home.parent, *self.home.parent.parents]:
                if folder != Path("/") and folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & 0o001:
                    folder.chmod(folder.stat().st_mode | 0o011)
        self.bin = binaries()
        self.run("initdb", "-D", self.home / "data", "-U", "postgres", "--auth", "trust", "--no-sync")
        self.run("pg_ctl", "-D", self.home / "data", "-w", "-t", "300", "-l", self.home / "log", "-o", f"-p {self.port} -h 127.0.0.1 -k {self.home}", "start")
        place.environment |= {"PGPORT": str(self.port), "PATH": f"{place.environment['PATH']}:{self.bin}"}

    def run(self, program, *arguments):
        done = subprocess.run([*self.as_user, f"{self.bin}/{program}", *map(str, arguments)], cwd="/", stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0, done.stderr

    def stop(self):
        self.run("pg_ctl", "-D", self.home / "data", "-m", "immediate", "stop")


def whole_command(text, command):
    """A command that stands in a sentence of the page."""
    assert f"`{command}`" in text, command
    return command


def superuser(place, sql):
    place.bash(f"psql -h 127.0.0.1 -U postgres -d postgres -v ON_ERROR_STOP=1 <<'END'\n{sql}\nEND")


def postgresql(place):
    text, backup = page("docs/operators/postgresql.md"), page("docs/operators/backup.md")
    cluster = Cluster(place)
    try:
        superuser(place, commands(text, "CREATE "))
        migrated = place.bash(commands(text, "DATABASE_URL=postgres://causeway_owner") + " 2>&1")
        assert "role causeway_data has its rights" in migrated, migrated
        serving = commands(text, "DATABASE_URL=postgres://causeway_data")
        place.environment["DATABASE_URL"] = serving.split("=", 1)[1]
        told = place.bash(commands(text, "causeway durability"))
        assert told.count(" ok") == 3, told
        practice(place)
        place.bash("causeway match list")
        place.environment.pop("DATABASE_URL")
        restore = part(backup, "## PostgreSQL")
        place.bash(commands(restore, "pg_dump"))
        place.stop()
        superuser(place, commands(restore, "CREATE DATABASE"))
        place.bash(commands(restore, "pg_restore"))
        assert "role causeway_data has its rights" in place.bash(commands(restore, "DATABASE_URL=postgres://causeway_owner") + " 2>&1")
        assert "new-payer" in place.bash(commands(restore, "DATABASE_URL=postgres://causeway_data"))
        place.environment["DATABASE_URL"] = serving.split("=", 1)[1] + "_restored"
        # The server that stopped after the dump has signed more entries than the dump has.
        begun = whole_command(restore, "causeway audit new-log --reason WHY").replace("WHY", "'put back from a dump'")
        place.bash(begun)
        serve(place, ops_of(place))
        restarted = commands(page("docs/operators/upgrade.md"), "DATABASE_URL=")
        place.bash(restarted.replace("@db/", ":owner-secret@127.0.0.1/"))
        place.environment.pop("DATABASE_URL")
        served = commands(page("README.md"), "DATABASE_URL=postgres://user")
        assert served.endswith("causeway serve"), served
    finally:
        place.stop()
        cluster.stop()


def ops_of(place):
    return re.search(r'ops_listen = "127.0.0.1:(\d+)"', (place.folder / "causeway.toml").read_text())[1]


def asking(place):
    """The server is also to ask other payers, with a key that the page's program makes: the next start reads it, and makes `received.keys`."""
    (place.folder / "exchange_key.py").write_text(re.sub("^   ", "", fenced(page("docs/operators/exchanges.md"), "python", "# exchange_key.py"), flags=re.M))
    place.bash("python exchange_key.py && test $(stat -c %a exchange-key.json) = 600 && jq -e '.keys[0].d == null and .keys[0].x != null' exchange-jwks.json")
    with (place.folder / "causeway.toml").open("a") as config:
        config.write('[exchange]\nclient_id = "new-payer"\nsigning_key = "exchange-key.json"\ncertificate = "partner.pem"\ncertificate_key = "partner.key"\n')


def sqlite(place):
    """A backup while the server runs, what ends a right after it, the restore, and the right ended again."""
    practice(place)
    text = page("docs/operators/backup.md")
    begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    # A store that is seconds old has signed nothing yet.
    place.bash("for n in $(seq 180); do causeway audit checkpoint >signed.checkpoint && exit; sleep 1; done; exit 1")
    witness = page("docs/operators/witness.md")
    place.bash("causeway audit key >ledger.pub")
    place.bash("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=witness.example "
               "-keyout witness-tls.key -out witness.pem")
    for begin in ["causeway witness --name", "causeway witness --log"]:
        # It is ended as soon as it has said where it answers.
        said = "grep -q 'The witness answers at' witness.said"
        place.bash(f"timeout 120 {commands(witness, begin)} >witness.said 2>&1 & "
                   f"while kill -0 $! 2>/dev/null && ! {said}; do sleep 0.1; done; kill $! 2>/dev/null || true; wait $! || true; cat witness.said; {said}")
    told = place.bash(commands(part(text, "### Back up", "### Restore"), "causeway backup"))
    assert "SHA-256 of manifest.json" in told, told
    kept = commands(part(text, "### Back up", "### Restore"), "causeway audit checkpoint")
    done = part(text, "## What a restore brings back")
    suspend = commands(done, "causeway partner suspend")
    place.bash(suspend)
    place.environment["TOKEN"] = place.bash("causeway operator token --role auditor --name ana 2>/dev/null").split()[0]
    ledger = with_ports("\n".join(one for one in whole("docs/operators/backup.md") if one.startswith("curl")), "8443", ops_of(place))
    seen = place.bash(re.sub(r"from=[0-9TZ:-]+", f"from={begun}", ledger))
    assert "partner.suspended" in seen, seen
    place.bash(f"for n in $(seq 180); do {kept} && exit; sleep 1; done; exit 1")
    place.stop()
    commands_of = part(text, "### Restore", "## PostgreSQL")
    told = place.bash(commands(commands_of, "causeway restore"))
    assert "lost: at least" in told and "partner.suspended" in told, told
    checked = place.bash(commands(commands_of, "causeway migrate --check") + " 2>&1")
    assert f"{len(list((ROOT / 'migrations/sqlite').iterdir()))} migrations" in checked, checked
    assert "active" in place.bash("causeway partner list")
    asking(place)
    place.bash(suspend)
    place.bash(commands(done, "causeway partner rotate"))
    serve(place, ops_of(place))
    assert "suspended" in place.bash("causeway partner list")
    place.bash("test $(stat -c %a causeway-data/received.keys) = 600")
    RAN.update(commands(done, "causeway consent revoke", "causeway grant revoke").splitlines())  # the same commands as in consents.md
    place.bash(commands(page("docs/operators/upgrade.md"), "causeway migrate --check"), 0)
