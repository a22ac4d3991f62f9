#!/usr/bin/env python3
"""Makes small changes in the program, one at a time, and says which of them the tests notice.

    tests/mutants.py                      everything
    tests/mutants.py tables               tables of moves of reviews and links, whole: seconds
    tests/mutants.py exchanges            table of moves of exchanges, each row
    tests/mutants.py identity             the matcher (crates/identity), whole
    tests/mutants.py consent release-rule search scopes assertion
                                          a sample of each of these modules
    tests/mutants.py --list WHAT          only names the changes
    tests/mutants.py --seed 7 --sample 90 another sample, or a larger one; 60 is the least
    tests/mutants.py --folder F --build   only builds, and keeps what was built for a run with the same folder

Needs Python 3.11, `rustc` and `cargo` (the environment variable CARGO may name another command).
Tables: each row taken out, each row leading to another state, and each move added that is not listed. The tables of `tables` are taken out of
their files with the tests that compare them with the written-out requirement, and all changes are compiled together.
Code, and the rows of exchanges: `tests/mutants` writes all changes into a copy of the project, each behind a switch, so that one build serves
all of them. Each test runs once unchanged and notes which changes it reaches; then the tests that reach a change run with it. A change that makes
them hang is noticed; one that does not compile is not counted; one that no test reaches is not noticed.
The working tree is not touched. Never run in CI. `docs/mutants.md` has the figures of the last run.

Exit code: 0 every change is noticed; 1 some are not (each is named); 2 something could not be read, or a test fails unchanged.
"""
import argparse
import dataclasses
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parent.parent


def die(text):
    print(text, file=sys.stderr)
    sys.exit(2)


def between(text, begin, end):
    """From the first `begin` through the next `end`."""
    start = text.find(begin)
    stop = text.find(end, start)
    if start < 0 or stop < 0:
        die(f"not found: {begin!r} … {end!r}")
    return text[start : stop + len(end)]


def review():
    """Table and test of `src/review/state.rs`."""
    text = (ROOT / "src/review/state.rs").read_text()
    code = text[: text.index("#[cfg(test)]")]
    test = between(text, "    const TABLE: &str", '";\n') + between(text, "    #[test]\n    fn a_review_moves_as", "\n    }\n")
    return code, test


def links():
    """Table and test of `src/identity/graph.rs`."""
    text = (ROOT / "src/identity/graph.rs").read_text()
    code = text[text.index("macro_rules! words") :]
    code = code[: code.index("\n}\n", code.index("pub fn after(")) + 3]
    code = code.replace("Serialize, Deserialize", "").replace("#[serde(rename = $code)] ", "")
    tests = (ROOT / "src/identity/graph_tests.rs").read_text()
    test = between(tests, "const TABLE: &str", '";\n') + between(tests, "#[test]\nfn a_link_moves_as", "\n}\n")
    return code, test


def names(code, kind):
    """The variants of `State` or `Event`, in order."""
    found = re.search(rf"enum \w*{kind} \{{(.*?)\n\}}", code, re.S) or re.search(rf"\n    {kind} \{{(.*?)\n    \}}", code, re.S)
    return re.findall(r"^\s+([A-Z]\w+)(?:,| =>)", found.group(1), re.M)


def mutants(code):
    """Each change as its name and the changed code."""
    table = between(code, "pub const MOVES", "\n};")
    rows = re.findall(r"^ {8}\((.+), (\w+), (\w+)\),$", table, re.M)
    states, events = names(code, "State"), names(code, "Event")
    sources = [f"Some({state})" for state in states] + ["None"] if "None" in table else states
    if len(rows) < 10 or not set(row[2] for row in rows) <= set(states):
        die("the table of moves is not as expected")
    line = "        ({}, {}, {}),\n".format
    for row in rows:
        move = f"{row[0]} {row[1]}"
        yield f"{move}: taken out", code.replace(line(*row), "")
        for state in states:
            if state != row[2]:
                yield f"{move}: to {state}, not {row[2]}", code.replace(line(*row), line(row[0], row[1], state))
    listed = {row[:2] for row in rows}
    for number, pair in enumerate(itertools.product(sources, events)):
        if pair not in listed:
            state = states[number % len(states)]
            yield f"{pair[0]} {pair[1]}: added, to {state}", code.replace(line(*rows[-1]), line(*rows[-1]) + line(*pair, state))


def noticed(codes, test, folder):
    """For each text of `codes` whether its test fails. They are compiled together, each as a module of its own."""
    source, program = folder / "tables.rs", folder / "tables"
    with source.open("w") as file:
        file.write("#![allow(dead_code)]\n")
        for number, code in enumerate(codes):
            code = re.sub(r"^//!.*\n", "", code, flags=re.M)
            file.write(f"mod m{number} {{\n{code}\n#[cfg(test)]\nmod tests {{\nuse super::*;\n{test}\n}}\n}}\n")
    built = subprocess.run(
        ["rustc", "--edition", "2024", "--test", "-C", "debuginfo=0", "-o", program, source], capture_output=True, text=True
    )
    if built.returncode:
        die(built.stderr)
    ran = subprocess.run([program], capture_output=True, text=True)
    answers = dict(re.findall(r"^test m(\d+)::tests::\w+ \.\.\. (ok|FAILED)$", ran.stdout, re.M))
    if len(answers) != len(codes):
        die(f"{len(answers)} of {len(codes)} tests answered")
    return [answers[str(number)] == "FAILED" for number in range(len(codes))]


def tables(options, folder):
    """The tables of moves of reviews and identity links: changes and what was not noticed."""
    missed = []
    for name, (code, test) in {"src/review/state.rs": review(), "src/identity/graph.rs": links()}.items():
        changes = list(mutants(code))
        for change, mutated in changes:
            if mutated == code:
                die(f"{name}: {change}: nothing was changed")
            if options.list:
                print(f"{name}: {change}")
        if options.list:
            continue
        unchanged, *answers = noticed([code, *(mutated for _, mutated in changes)], test, folder)
        if unchanged:
            die(f"{name}: its test fails unchanged")
        tell(name, len(answers), sum(answers), 0)
        missed += [f"{name}: {change}" for (change, _), answer in zip(changes, answers) if not answer]
    return missed


def tell(name, tried, caught, unviable):
    share = f"{100 * caught / tried:.1f} %" if tried else "none"
    print(f"{name}: {tried} changes, {caught} noticed ({share}); {unviable} more do not compile", flush=True)


EXCHANGES = "src/exchange/moves.rs"


def rows_of_exchanges(text):
    """The rows of the table, as they are written."""
    head = text.index("pub const MOVES: &[Move]")
    begin = text.index("    &[\n", head) + len("    &[\n")
    table = text[begin : text.index("\n    ]\n};", begin)]
    rows, row, depth = [], "", 0
    for line in table.splitlines(keepends=True):
        if not row and line.strip().startswith("//"):
            continue
        row += line
        depth += sum(map(line.count, "([{")) - sum(map(line.count, ")]}"))
        if depth == 0 and line.rstrip().endswith(","):
            rows.append(row)
            row = ""
    if len(rows) < 20 or not all(row.lstrip().startswith("Move::new(") for row in rows):
        die(f"{EXCHANGES}: the table of moves is not as expected")
    return rows


def changes_of_exchanges(seed):
    """Two changes of each row, as name and changed table: it is taken out, and it leads to another phase."""
    text = (ROOT / EXCHANGES).read_text()
    phases = names((ROOT / "src/exchange/phase.rs").read_text(), "Phase")
    head = text.index("pub const MOVES: &[Move]")
    table = text[head : text.index("\n    ]\n};", head) + len("\n    ]\n};")]
    chance = random.Random(f"{seed} exchanges")
    for number, row in enumerate(rows_of_exchanges(text), 1):
        event = re.search(r"E::(\w+)", row)[1]
        name = f"row {number}, {event}"
        yield f"{name}: taken out", table.replace(row, "", 1)
        target = re.search(r"\bTo\((\w+)\)|\bStays\b", row)
        other = chance.choice([phase for phase in phases if phase != target[1]])
        moved = row[: target.start()] + f"LeadsTo::Phase(Phase::{other})" + row[target.end() :]
        yield f"{name}: to {other}, not {target[1] or 'the same'}", table.replace(row, moved, 1)


def write_exchanges(options, copy, first):
    """Writes all changed tables of moves into the copy, behind the switch. Returns the changes by number."""
    changes = list(changes_of_exchanges(options.seed))
    path = copy / EXCHANGES
    text = path.read_text()
    text = text.replace("pub const MOVES: &[Move] = {", "const UNCHANGED: &[Move] = {")
    text = text.replace("&MOVES[0]", "&UNCHANGED[0]")
    picks = "".join(f"    {first + number} => CHANGED_{number},\n" for number in range(len(changes)))
    text += (
        "\n/// The table that the environment chooses.\npub static MOVES: std::sync::LazyLock<&[Move]> = std::sync::LazyLock::new(|| {\n"
        f"    for number in {first}..{first + len(changes)} {{ crate::mutant::is(number); }}\n"
        f"    match crate::mutant::chosen() {{\n{picks}    _ => UNCHANGED,\n    }}\n}});\n"
    )
    for number, (_, table) in enumerate(changes):
        text += table.replace("pub const MOVES: &[Move] = {", f"const CHANGED_{number}: &[Move] = {{") + "\n"
    path.write_text(text)
    for other in [path, *copy.glob("src/exchange/**/*.rs"), *copy.glob("tests/it/exchange/*.rs")]:
        body = other.read_text()
        fixed = re.sub(r"\bin MOVES\b", "in MOVES.iter()", re.sub(r"^    MOVES$", "    *MOVES", body, flags=re.M))
        if fixed != body:
            other.write_text(fixed)
    return {first + number: f"{EXCHANGES}: {name}" for number, (name, _) in enumerate(changes)}


@dataclasses.dataclass
class Module:
    """Code that is changed, and the tests that run for it: filters on the names of unit tests (`own`) and of integration tests (`others`)."""

    files: list[str]
    own: list[str]
    others: list[str] = dataclasses.field(default_factory=list)
    package: str = "causeway"
    is_whole: bool = False


MODULES = {
    "identity": Module(["crates/identity/src/**/*.rs"], [""], [""], package="causeway-identity", is_whole=True),
    "exchanges": Module([EXCHANGES], ["exchange::"], ["exchange::tables", "exchange::simulation"], is_whole=True),
    "steps": Module(
        ["src/exchange/step_table.rs", "src/exchange/retry.rs", "src/exchange/phase.rs"], ["exchange::"], ["exchange::tables", "exchange::simulation"]
    ),
    "consent": Module(["src/consent/policy.rs"], ["consent::", "member_match::"], ["contract_grant", "withdrawal::"]),
    "decision": Module(["src/member_match/decide.rs", "src/member_match/guess.rs"], ["member_match::"], ["contract_match", "guess"]),
    "release-rule": Module(
        ["src/store/release_rule.rs", "src/release/search/granted.rs"],
        ["release_rule", "release::"],
        ["live_grant", "release_rules", "revoked_answers", "withdrawal::", "contract_release"],
    ),
    "search": Module(["src/fhir/search/**/*.rs"], ["fhir::search"], ["search_oracle", "search_fuzz", "threats_search", "dates::"]),
    "scopes": Module(["src/security/scopes.rs"], ["security::"], ["contract_trust", "bad_input", "threats::"]),
    "assertion": Module(["src/security/assertion.rs"], ["security::"], ["contract_trust", "threats::"]),
}
# A sample is drawn larger by this much, for the changes that do not compile.
SPARE = 1.4
SWITCH = "mutant_switch.rs"
CARGO = os.environ.get("CARGO", "cargo")


def run(arguments, place, **more):
    return subprocess.run(arguments, cwd=place, capture_output=True, text=True, **more)


def cargo(arguments, place, target):
    flags = {"CARGO_TARGET_DIR": str(target), "CARGO_INCREMENTAL": "0", "RUSTFLAGS": "--cap-lints warn"}
    return run([CARGO, *arguments], place, env=os.environ | flags)


class Copy:
    """A copy of the project in which the changes of some modules of one package are written, each behind a switch."""

    def __init__(self, package, modules, options, folder):
        self.package, self.target = package, folder / "target"
        self.place = folder / package
        self.lib = "src" if package == "causeway" else f"crates/{package.removeprefix('causeway-')}/src"
        self.rewrite = folder / "target/release/causeway-mutants"
        self.options, self.modules = options, modules
        tool = ROOT / "tests/mutants"
        built = cargo(["build", "--release", "--quiet", "--manifest-path", str(tool / "Cargo.toml")], tool, self.target)
        if built.returncode:
            die(built.stderr)
        self.lay()
        # Which numbers are chosen, by module.
        self.changes, self.of, self.unviable = {}, {}, {name: 0 for name in modules}
        for name, module in modules.items():
            first = 1000 * (1 + list(MODULES).index(name)) if package == "causeway" else 1
            found = write_exchanges(options, self.place, first) if name == "exchanges" else self.write(module, first, "-")
            numbers = sorted(found)
            if not module.is_whole:
                random.Random(f"{options.seed} {name}").shuffle(numbers)
                numbers = numbers[: int(options.sample * SPARE)]
            self.changes |= {number: found[number] for number in numbers}
            self.of[name] = numbers

    def lay(self):
        """Copies the project anew; files that are as they were keep their times."""
        self.place.mkdir(parents=True, exist_ok=True)
        files = run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], ROOT).stdout.splitlines()
        for name in files:
            old, new = ROOT / name, self.place / name
            if old.is_file():
                new.parent.mkdir(parents=True, exist_ok=True)
                if not new.exists() or new.read_bytes() != old.read_bytes():
                    shutil.copy(old, new)
        lib = self.place / self.lib / "lib.rs"
        # In a file of its own, which is never changed: a switch that asks itself does not end.
        shutil.copy(ROOT / "tests/mutants/src/mutant.rs.txt", lib.with_name(SWITCH))
        lib.write_text(f"{lib.read_text()}\nmod {SWITCH.removesuffix('.rs')};\n#[doc(hidden)]\npub use {SWITCH.removesuffix('.rs')}::mutant;\n")
        shared = self.place.parent / "shared"
        if not shared.exists() and (ROOT.parent / "shared").exists():
            shared.symlink_to((ROOT.parent / "shared").resolve())

    def write(self, module, first, kept):
        paths = {path for glob in module.files for path in self.place.glob(glob) if not path.stem.endswith("tests") and path.name != SWITCH}
        files = sorted(str(path.relative_to(self.place)) for path in paths)
        ran = run([self.rewrite, str(first), kept, *files], self.place)
        if ran.returncode or not ran.stdout:
            die(f"{module.files}: {ran.stderr}")
        rows = [line.split("\t") for line in ran.stdout.splitlines()]
        return {int(number): f"{file}:{line}: {what}" for number, file, line, what in rows}

    def build(self):
        """Builds the tests. Changes that do not compile are left out. Returns the programs of the tests by name."""
        for _ in range(40):
            self.lay()
            for name, module in self.modules.items():
                if name == "exchanges":
                    write_exchanges(self.options, self.place, self.of[name][0])
                    continue
                kept = self.target / "kept"
                kept.write_text("\n".join(map(str, self.of[name])))
                first = 1000 * (1 + list(MODULES).index(name)) if self.package == "causeway" else 1
                self.write(module, first, str(kept))
            checked = cargo(["check", "-p", self.package, "--lib", "--message-format", "json"], self.place, self.target)
            if checked.returncode == 0:
                break
            self.leave_out(checked)
        else:
            die("the changes do not compile")
        which = ["--lib", "--test", "it"] if self.package == "causeway" else []
        built = cargo(["test", "--no-run", "-p", self.package, *which, "--message-format", "json"], self.place, self.target)
        if built.returncode:
            die(built.stderr)
        programs = {}
        for line in built.stdout.splitlines():
            message = json.loads(line)
            if message.get("executable") and message["profile"]["test"]:
                kind = "own" if "lib" in message["target"]["kind"] else "others"
                programs[message["executable"]] = kind
        return programs

    def leave_out(self, checked):
        """Leaves out the changes on whose lines the compiler found a fault; where a fault is on none, those of the nearest lines above."""
        bad = set()
        for line in checked.stdout.splitlines():
            message = json.loads(line).get("message")
            if not isinstance(message, dict) or message["level"] != "error":
                continue
            for span in message["spans"]:
                lines = (self.place / span["file_name"]).read_text().splitlines()
                inside = "\n".join(lines[span["line_start"] - 1 : span["line_end"]])
                found = [int(number) for number in re.findall(r"/\*M(\d+)\*/", inside)]
                if not found:
                    above = "\n".join(lines[max(0, span["line_start"] - 4) : span["line_end"] + 2])
                    found = [int(number) for number in re.findall(r"/\*M(\d+)\*/", above)]
                bad.update(found)
        if not bad & set(self.changes):
            die(f"the copy does not compile:\n{checked.stderr[-3000:]}")
        for name, numbers in self.of.items():
            self.unviable[name] += len(bad & set(numbers))
            self.of[name] = [number for number in numbers if number not in bad]
        print(f"{len(bad)} changes do not compile", file=sys.stderr, flush=True)


def reached(program, filters, place, folder):
    """The tests of a program that pass the filters, each with the changes that it reaches and its time."""
    listed = run([program, "--list", "--format", "terse"], place).stdout
    tests = [line.removesuffix(": test") for line in listed.splitlines() if line.endswith(": test")]
    tests = [test for test in tests if any(part in test for part in filters)]

    def trace(test):
        path = folder / f"trace-{os.path.basename(program)}-{test.replace('::', '-')}"
        path.unlink(missing_ok=True)
        begun = time.monotonic()
        ran = run([program, "--exact", test], place, env=os.environ | SETTINGS | {"MUTANT_TRACE": str(path)})
        if ran.returncode:
            die(f"{test} fails unchanged:\n{ran.stdout[-2000:]}")
        seen = {int(line) for line in path.read_text().split()} if path.exists() else set()
        return program, test, seen, time.monotonic() - begun

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(trace, tests))


SETTINGS = {"PROPTEST_CASES": "24", "CARGO_TERM_COLOR": "never"}
# A test that takes longer hangs.
LONGEST = 60


def is_noticed(number, tests, place):
    """Whether a test that reaches the change fails or hangs; quick tests first."""
    quick = sorted((test for test in tests if number in test[2]), key=lambda test: test[3])
    while quick:
        program = quick[0][0]
        together = [test for test in quick if test[0] == program]
        # The quick ones of a program at once, a slow one alone.
        together = [test for test in together if test[3] < 1] or together[:1]
        quick = [test for test in quick if test not in together]
        try:
            ran = run(
                [program, "--exact", *(test[1] for test in together)],
                place,
                env=os.environ | SETTINGS | {"MUTANT": str(number)},
                timeout=LONGEST + 4 * sum(test[3] for test in together),
            )
        except subprocess.TimeoutExpired:
            return True
        if ran.returncode:
            return True
    return False


def code(wanted, options, folder):
    """Modules of one package: what was not noticed."""
    package = MODULES[wanted[0]].package
    copy = Copy(package, {name: MODULES[name] for name in wanted}, options, folder)
    if options.list:
        print("\n".join(f"{name}: {copy.changes[number]}" for name in wanted for number in copy.of[name]))
        return []
    programs = copy.build()
    if options.build:
        return []
    place = copy.place if package == "causeway" else (copy.place / copy.lib).parent
    missed = []
    for name in wanted:
        module, tests = MODULES[name], []
        for program, kind in programs.items():
            filters = module.own if kind == "own" else module.others
            if filters:
                tests += reached(program, filters, place, folder)
        numbers = copy.of[name] if module.is_whole else copy.of[name][: options.sample]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            noticed = list(pool.map(lambda number: is_noticed(number, tests, place), numbers))
        tell(name, len(numbers), sum(noticed), copy.unviable[name])
        for number, answer in zip(numbers, noticed):
            if not answer:
                at_all = "" if any(number in test[2] for test in tests) else " (no test reaches it)"
                missed.append(f"{copy.changes[number]}{at_all}")
                print(f"not noticed: {missed[-1]}", flush=True)
    return missed


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = ["tables", *MODULES]
    arguments.add_argument("what", nargs="*", metavar="WHAT", help=f"some of: {', '.join(every)}")
    arguments.add_argument("--list", action="store_true", help="only name the changes")
    arguments.add_argument("--seed", type=int, default=1, help="the seed of samples")
    arguments.add_argument("--sample", type=int, default=60, help="how many changes of each module, at least 60")
    arguments.add_argument("--folder", type=pathlib.Path, help="keep the copy and what is built of it here, for another run")
    arguments.add_argument("--build", action="store_true", help="only build; with --folder, a run after it builds nothing")
    options = arguments.parse_args()
    unknown = [what for what in options.what if what not in every]
    if unknown or options.sample < 60:
        arguments.error(f"unknown: {', '.join(unknown)}" if unknown else "a sample has at least 60 changes")
    wanted = options.what or every
    missed = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or pathlib.Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if "tables" in wanted:
            missed += tables(options, folder)
        for package in ("causeway-identity", "causeway"):
            modules = [name for name, module in MODULES.items() if name in wanted and module.package == package]
            missed += code(modules, options, folder) if modules else []
    if options.build or options.list:
        return
    print(f"{len(missed)} changes were not noticed" if missed else "every change was noticed", file=sys.stderr)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
