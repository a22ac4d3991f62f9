#!/usr/bin/env python3
"""Two incidents, live: a partner's server is dead, and nobody can read the metrics. Each raises its alert in a real Prometheus, and no other one; then it
is mended, and the alert clears.

    tests/alerts/live.py --causeway PROGRAM --keys FOLDER --work FOLDER

Prometheus reads a copy of deploy/prometheus in which all times are a twentieth: intervals, `for`, windows and offsets. But a scrape has five seconds, and
there have to be several in a row that fail before they raise an alert: one that a busy machine answers late is no incident. What the server itself waits for
between two tries of a dead partner is shortened in its store, as an hour of patience would be. It judges its alerts once a minute, and that stays so:
all of it takes about three minutes. KEYS is what `causeway demo` leaves.
"""

import argparse
import json
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/foreign"))
from payer import NEW, OLD, Payer, free_port, members  # noqa: E402

FACTOR = 20
# A scrape may take as long as the time between two.
SCRAPE_S = 5
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Where a duration stands: a range, an offset, and the value of a key.
DURATION = re.compile(r"(\[|offset |(?:for|scrape_interval|evaluation_interval): )(\d+)([smhd])\b")
FAILING, MISSING = "CausewayPartnerFailing", "CausewayScrapeMissing"
# The server judges its alerts each 60 s (`SWEEP` in src/app/sweeps.rs). All waits end when what they are for is there: their limits are for what never
# comes, and not for a slow machine.
LONGEST = 300


def scaled(text):
    """A configuration or rules in which every duration is a twentieth, but at least a second, or what a scrape has."""
    def shorter(found):
        least = SCRAPE_S if found[1].startswith("scrape_interval") else 1
        seconds = max(least, round(int(found[2]) * SECONDS[found[3]] / FACTOR))
        return f"{found[1]}{seconds}s"

    assert DURATION.search(text), "nothing to scale"
    return DURATION.sub(shorter, text)


def planted():
    """The scaling must find each kind of duration."""
    text = "for: 5m\nrate(x[1h])\nx offset 1h\nscrape_interval: 15s\nevaluation_interval: 15s\nx[7d] offset 30m\nx > 600\n"
    wanted = "for: 15s\nrate(x[180s])\nx offset 180s\nscrape_interval: 5s\nevaluation_interval: 1s\nx[30240s] offset 90s\nx > 600\n"
    assert scaled(text) == wanted, scaled(text)


class Prometheus:
    """Debian's Prometheus as a process, over the scaled copy; its data are in this folder."""

    def __init__(self, folder, ops):
        folder.mkdir()
        for name in ("prometheus.yml", "causeway.rules.yml"):
            text = scaled((ROOT / "deploy/prometheus" / name).read_text(encoding="utf-8"))
            (folder / name).write_text(text.replace("127.0.0.1:9443", f"127.0.0.1:{ops}"), encoding="utf-8")
        assert str(ops) in (folder / "prometheus.yml").read_text(encoding="utf-8"), "the target of the example has another address"
        subprocess.run(["promtool", "check", "config", str(folder / "prometheus.yml")], check=True, stdout=subprocess.DEVNULL)
        self.base = f"http://127.0.0.1:{free_port()}"
        self.out = folder / "prometheus.out"
        with self.out.open("w", encoding="utf-8") as out:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
                 f"--web.listen-address={self.base.removeprefix('http://')}", "--log.level=warn"], stdout=out, stderr=out)

    def ask(self, path):
        with urllib.request.urlopen(f"{self.base}{path}", timeout=30) as answer:
            return json.load(answer)["data"]

    def firing(self):
        """The names of the alerts that fire now; `None` while Prometheus is not up."""
        assert self.process.poll() is None, self.out.read_text(encoding="utf-8")
        try:
            return {one["labels"]["alertname"] for one in self.ask("/api/v1/alerts")["alerts"] if one["state"] == "firing"}
        except (urllib.error.URLError, OSError):
            return None

    def reads(self):
        """Whether it has read the metrics of the server."""
        try:
            result = self.ask("/api/v1/query?query=causeway_alerts_raised")["result"]
        except (urllib.error.URLError, OSError):
            return False
        return len(result) > 0


def until(holds, what):
    """Waits until this holds; says how long it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < LONGEST, f"not within {LONGEST} s: {what}"
        time.sleep(0.25)
    return time.monotonic() - began


def expect(prometheus, wanted, meanwhile):
    """Waits until exactly these alerts fire. Of others only `meanwhile` may fire until then."""
    def holds():
        found = prometheus.firing()
        assert found is None or found <= wanted | meanwhile, f"other alerts fire too: {sorted(found - wanted - meanwhile)}"
        return found == wanted

    took = until(holds, f"exactly these alerts fire: {sorted(wanted) or 'none'}")
    print(f"  {', '.join(sorted(wanted)) or 'all clear'} after {took:.1f} s")


def health(payer):
    """How often in a row the circuit of the partner was opened; 0 when it is well."""
    with sqlite3.connect(payer.store, timeout=60) as store:
        row = store.execute("SELECT opened FROM partner_health WHERE open_until_ms IS NOT NULL").fetchone()
    store.close()
    return row[0] if row else 0


def hurry(payer):
    """Lets the wait of the circuit and of what waits for it be over."""
    now_ms = int(time.time() * 1000)
    with sqlite3.connect(payer.store, timeout=60) as store:
        store.execute("UPDATE partner_health SET open_until_ms = ?, probe_until_ms = NULL WHERE open_until_ms > ?", (now_ms - 1, now_ms))
        store.execute("UPDATE job SET due_ms = ? WHERE kind = 'exchange' AND state = 'waiting' AND due_ms > ?", (now_ms, now_ms))
    store.close()


def partner_dead(prometheus, old, new, exchanges):
    def opened(times):
        if health(new) >= times:
            return True
        hurry(new)
        return False
    until(lambda: opened(1), "the circuit of the partner opens")
    until(lambda: opened(2), "the circuit opens again")
    expect(prometheus, {FAILING}, set())
    old.serve()

    def is_well():
        hurry(new)
        return health(new) == 0
    until(is_well, "the partner is called again")
    expect(prometheus, set(), {FAILING})
    phases = lambda: [new.json("exchange", "show", one)["phase"] for one in exchanges]  # noqa: E731

    def one_completed():
        hurry(new)
        return "completed" in phases()
    until(one_completed, "an exchange completes once the partner is back")


def no_scrape(prometheus, new):
    new.stop()
    expect(prometheus, {MISSING}, set())
    new.serve()
    expect(prometheus, set(), {MISSING})


def end(processes):
    """Ends all of them. One that does not end in time is killed, and keeps no other one alive."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main():
    parser = argparse.ArgumentParser()
    for name in ("causeway", "keys", "work"):
        parser.add_argument(f"--{name}", required=True, type=pathlib.Path)
    options = parser.parse_args()
    causeway, keys, work = options.causeway.resolve(), options.keys.resolve(), options.work.resolve()
    planted()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    began = time.monotonic()
    held = members(causeway, work / "members", 4)
    persons = [one for one in held.values() if one["resourceType"] == "Patient" and not one["id"].startswith("showcase")][:2]
    old = Payer(causeway, work / "old-payer", keys, "1992000012", OLD)
    new = Payer(causeway, work / "new-payer", keys, "1992000020", NEW, asks=True)
    prometheus = None
    try:
        old.partner((keys / "partner.toml").read_text(encoding="utf-8").replace("partner-jwks-public.json", f"{keys}/partner-jwks-public.json"))
        old.run("import", str(work / "members"), "--quiet")
        # Nobody serves at this address yet: that is the incident.
        new.old_payer(old.base, '{ hrex = "1.1", pdex = "2.2", us_core = "6.1.0" }')
        new.enrol(persons)
        exchanges = [new.ask(number, person) for number, person in enumerate(persons)]
        new.serve()
        prometheus = Prometheus(work / "prometheus", new.ops)
        until(prometheus.reads, "Prometheus reads the metrics")
        print("a partner is dead")
        partner_dead(prometheus, old, new, exchanges)
        print("nobody reads the metrics")
        no_scrape(prometheus, new)
        print(f"both incidents raised their alert, and no other, and cleared: {time.monotonic() - began:.0f} s")
    finally:
        end([process for process in (prometheus and prometheus.process, new.server, old.server) if process is not None])


main()
