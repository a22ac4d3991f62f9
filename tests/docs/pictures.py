#!/usr/bin/env python3
"""Makes the pictures in docs/pictures from what the program really shows: terminals at 80 and 120 columns, pages at 390 and 1280 pixels.

    tests/docs/pictures.py --causeway target/release/causeway --browser FOLDER [--out docs/pictures]

It plays `causeway demo` in a folder of its own. Commands run on a pseudo-terminal of that width (script of util-linux), and what they print becomes an SVG.
FOLDER holds tests/browser with its npm packages; its pictures.mjs takes the pages for partners, and tickets.mjs those of the console. All pictures together stay below 2 MB.
"""

import argparse
import html
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unicodedata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES = 2_500_000
WIDE, HIGH, PAD = 8.4, 18, 14
STYLES = {"1": "b", "2": "d", "31": "r", "32": "g", "33": "y", "34": "u", "36": "c"}
CSS = """text{font:14px "DejaVu Sans Mono",Menlo,Consolas,monospace;fill:#e6e6e6;white-space:pre}
.b{font-weight:bold}.d{fill:#9aa0a6}.r{fill:#ff7b72}.g{fill:#7ee787}.y{fill:#e3b341}.u{fill:#79c0ff}.c{fill:#76e3ea}"""


def columns_of(text):
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 0 if unicodedata.combining(one) else 1 for one in text)


def svg(title, lines, columns):
    """A terminal with these lines; SGR sequences become classes."""
    width, height = round(columns * WIDE + 2 * PAD), len(lines) * HIGH + 2 * PAD
    rows = []
    for at, line in enumerate(lines):
        column, style = 0, set()
        for piece in re.split(r"(\x1b\[[0-9;]*m)", line):
            if piece.startswith("\x1b["):
                for code in piece[2:-1].split(";"):
                    style = set() if code in ("", "0") else style | {STYLES.get(code, "")}
                continue
            if piece.strip():
                name = " ".join(sorted(style - {""}))
                mark = f' class="{name}"' if name else ""
                place = f'x="{PAD + column * WIDE:g}" y="{PAD + at * HIGH + 13}" textLength="{columns_of(piece) * WIDE:g}"'
                rows.append(f"<text {place}{mark}>{html.escape(piece)}</text>")
            column += columns_of(piece)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" aria-label="{html.escape(title)}">\n'
            f"<style>{CSS}</style>\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#16191d\"/>\n" + "\n".join(rows) + "\n</svg>\n")


class Demo:
    def __init__(self, causeway, folder):
        self.folder, self.causeway = folder, causeway
        (folder / "bin").mkdir()
        (folder / "bin/causeway").symlink_to(causeway)
        kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "NO_COLOR", "COLUMNS"}}
        self.environment = kept | {"PATH": f"{folder / 'bin'}:{kept['PATH']}", "TERM": "xterm", "SHELL": "/bin/sh",
                                   "CAUSEWAY_STORE__URL": f"sqlite:{folder}/causeway-data/demo/old-payer/causeway.db"}
        self.out = folder / "out"
        self.start("demo", until="stays up")

    def start(self, *command, until):
        with self.out.open("w") as out:
            self.running = subprocess.Popen(["causeway", *command], cwd=self.folder, env=self.environment, stdout=out, stderr=out)
        for _ in range(3000):
            if until in self.out.read_text():
                return
            assert self.running.poll() is None, self.out.read_text()
            time.sleep(0.1)
        self.stop()
        raise AssertionError(f"{command} did not start")

    def ops(self):
        return re.search(r"operations on (http://[0-9.:]*[0-9])", self.out.read_text())[1]

    def stop(self):
        self.running.send_signal(signal.SIGTERM)
        self.running.wait(180)

    def terminal(self, command, columns):
        """What a person at a terminal of so many columns sees."""
        line = f"stty cols {columns} rows 50; {command}"
        said = subprocess.run(["script", "-qec", line, "/dev/null"], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=True)
        lines = [f"\x1b[32m$\x1b[0m {command}"] + said.stdout.replace("\r", "").rstrip().split("\n")
        for line in lines[1:]:
            assert columns_of(re.sub(r"\x1b\[[0-9;]*m", "", line)) <= columns, f"{command} at {columns} columns is too wide:\n{line}"
        return lines

    def json(self, *command):
        said = subprocess.run(["causeway", *command, "--json"], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=True)
        return json.loads(said.stdout)


def screens(demo, out):
    review = demo.json("review", "list")[0]["id"]
    shown = {
        "match-list": "causeway match list",
        "match-explain": "causeway match explain " + demo.json("match", "list")[0]["id"],
        "review-list": "causeway review list",
        "review-show": f"causeway review show {review} --reason complaint",
        "partner-list": "causeway partner list",
        "metrics": f"curl -s {demo.ops()}/metrics | grep -E '_(matches_total|store_bytes){{'",
    }
    for name, command in shown.items():
        draw(demo, out, name, command)


def tickets(demo, out, browser):
    """The console as docs/operators/tickets.md shows it: an exchange, a review, a preview of replays and evidence."""
    patient = next(link["patient_id"] for link in demo.json("link", "list") if link["source"])
    # Nothing answers there, and nothing is asked: the exchange is paused.
    (demo.folder / "third.toml").write_text(
        f'id = "third-payer"\nname = "Third Payer"\nnpi = "1992000038"\nclient_id = "third-payer"\nmtls = "off"\nscopes = ["system/*.rs"]\n'
        f'jwks_file = "{demo.folder}/causeway-data/demo/partner-jwks-public.json"\n[endpoint]\nfhir = "https://localhost:9/fhir"\n')
    demo.json("partner", "add", "--file", "third.toml")
    wish = {"partner": "third-payer", "member": f"Patient/{patient}", "other_member_number": "THEIRS-1",
            "opt_in_by": "desk", "opt_in_at": "2026-01-02", "opt_in_how": "paper"}
    (demo.folder / "wish.json").write_text(json.dumps(wish))
    started = demo.json("exchange", "start", "wish.json")["id"]
    demo.json("exchange", "pause", started, "--reason", "the partner asks us to wait")
    roles = "support,operator,reviewer,auditor"
    link = demo.json("console", "link", "--role", roles, "--name", "ana", "--reason", "pictures for the documentation")["url"]
    subprocess.run(["node", browser / "tickets.mjs", "--ops", demo.ops(), "--secret", link.rsplit("/", 1)[1], "--exchange", started,
                    "--out", out.resolve()], check=True, timeout=900)


def draw(demo, out, name, command):
    for columns in (80, 120):
        (out / f"{name}-{columns}.svg").write_text(svg(command, demo.terminal(command, columns), columns), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--causeway", required=True)
    parser.add_argument("--browser", required=True)
    parser.add_argument("--out", default=str(ROOT / "docs/pictures"))
    given = parser.parse_args()
    out = Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    for old in [*out.glob("*.svg"), *out.glob("*.png")]:
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        demo = Demo(Path(given.causeway).resolve(), Path(folder))
        try:
            screens(demo, out)
            keys = demo.folder / "causeway-data/demo"
            base = (keys / "base-url.txt").read_text().strip()
            script = Path(given.browser).resolve() / "pictures.mjs"
            subprocess.run(["node", script, "--base", base, "--keys", keys, "--out", out.resolve()], check=True, timeout=900)
            tickets(demo, out, script.parent)
            # The demonstration has no background work; a server on its store has.
            demo.stop()
            demo.start("serve", "--dev", until="operations  http://")
            for _ in range(300):
                if demo.json("jobs", "list"):
                    break
                time.sleep(0.2)
            draw(demo, out, "jobs-list", "causeway jobs list")
        finally:
            demo.stop()
    made = sorted(out.iterdir())
    size = sum(path.stat().st_size for path in made)
    print(f"{len(made)} pictures, {size} bytes")
    sys.exit(size >= MOST_BYTES)


main()
